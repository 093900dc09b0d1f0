//! The screen of each scenario at one moment of a handmade run; the expected screens are in `data/golden`.

use std::time::{Duration, Instant};

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::json;
use unicode_width::UnicodeWidthStr;

use super::draw::draw;
use super::keys::Key;
use super::look::Look;
use super::thing;
use super::view::{Pressed, View};
use super::{Live, locked};
use crate::report::control::{Control, Next, Request, Status};
use crate::report::event::{AnyFact, Event, RUNNER};
use crate::report::frame::{RunStarted, Summary, Verdict, WorkerExited, WorkerStarted, counter};
use crate::report::{Color, Language, Reporter};
use crate::scenarios::facts::*;

/// A handmade run: an event every 0.4 seconds, held after the last one.
struct Run {
    events: Vec<Event>,
    status: Status,
}

impl Run {
    fn of(scenario: &'static str, args: &[&str], workers: &[String]) -> Self {
        let (claim, _) = claim(scenario);
        let started = RunStarted {
            scenario,
            seed: 7,
            speed: 1.into(),
            version: "",
            args: std::iter::once(scenario).chain(args.iter().copied()).chain(["--live"]).map(str::to_owned).collect(),
            workers: workers.len() as u32,
            moments: vec!["waiting", "holding", "working"],
            has_tasks: ["joinable", "pool"].contains(&scenario),
            names: names(scenario),
            claim,
            things: if scenario == "manager" { Vec::new() } else { things_of(scenario, args) },
            is_explored: false,
        };
        let status = Status { is_held: true, speed: "1".to_owned(), ..Status::default() };
        let run = Run { events: Vec::new(), status }.then(RUNNER, started);
        workers.iter().fold(run, |run, worker| run.at(0, worker, WorkerStarted { role: "role", daemon: false }))
    }

    fn at(mut self, at_us: u64, worker: &str, fact: impl Into<AnyFact>) -> Self {
        let number = worker.rsplit_once('-').and_then(|(_, number)| number.parse::<u32>().ok());
        let pid = 100 + number.unwrap_or(0);
        self.events.push(Event { at_us, worker: worker.to_owned(), pid, fact: fact.into() });
        self
    }

    fn then(self, worker: &str, fact: impl Into<AnyFact>) -> Self {
        let at_us = self.events.last().map_or(0, |last| last.at_us + 400_000);
        self.at(at_us, worker, fact)
    }

    fn view(&self, language: Language) -> View {
        let mut view = View::new(language);
        view.set_status(self.status.clone());
        self.events.iter().for_each(|event| view.apply(event));
        view
    }

    fn screen(&self, language: Language, width: u16, height: u16) -> String {
        screen_of(&mut self.view(language), language, width, height)
    }

    fn matches_golden_file(&self, name: &str) {
        for (language, code) in [(Language::En, "en"), (Language::Zh, "zh")] {
            golden(&format!("live.{name}.{code}"), &self.screen(language, 80, 24));
        }
    }
}

fn screen_of(view: &mut View, language: Language, width: u16, height: u16) -> String {
    let area = Rect::new(0, 0, width, height);
    let mut buffer = Buffer::empty(area);
    draw(&*view, Instant::now(), Look::plain(language), area, &mut buffer);
    text_of(&buffer)
}

/// Returns the letters on a screen.
fn text_of(buffer: &Buffer) -> String {
    let mut text = String::new();
    for y in 0..buffer.area.height {
        let (mut line, mut x) = (String::new(), 0);
        while x < buffer.area.width {
            let symbol = buffer[(x, y)].symbol();
            line.push_str(symbol);
            x += unicode_width::UnicodeWidthStr::width(symbol).max(1) as u16;
        }
        text += &format!("{}\n", line.trim_end());
    }
    text
}

fn golden(name: &str, screen: &str) {
    insta::with_settings!({ snapshot_path => "../../../data/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!(name, screen);
    });
}

fn numbered(kind: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{kind}-{number}")).collect()
}

fn killed() -> WorkerExited {
    WorkerExited { exit_code: None, signal: Some(9), failure: None }
}

/// The summary of a sale that broke its claim.
fn oversold() -> Summary {
    let (claim, needs) = claim("tickets");
    Summary {
        scenario: "tickets",
        claim,
        seen: Some([
            "The shop sold 10 tickets, but it had only 3.".to_owned(),
            "只有 3 张票，却卖出了 10 张。".to_owned(),
        ]),
        verdict: Verdict::Violated,
        guaranteed: false,
        needs,
        allowance: None,
        reason: None,
        loss: None,
        elapsed_us: 2_000_000,
        facts: vec![counter("stock", "票数", 3), counter("bought", "买到", 10), counter("oversold", "超卖", 7)],
        schedule: None,
        explored: None,
        advice: None,
    }
}

fn exited() -> WorkerExited {
    WorkerExited { exit_code: Some(0), signal: None, failure: None }
}

fn waits(lock: &str) -> LockFact {
    LockFact::LockWaiting { lock: lock.to_owned() }
}

fn has(lock: &str, abandoned: bool) -> LockFact {
    LockFact::LockAcquired { lock: lock.to_owned(), waited_us: 400_000, abandoned }
}

fn put(from: &str, number: u64, value: f64) -> ItemFact {
    ItemFact::ItemPut { value: json!(value), from: from.to_owned(), number, size: None }
}

fn got(from: &str, number: u64, value: f64, redelivered: bool) -> ItemFact {
    ItemFact::ItemGot { value: json!(value), from: from.to_owned(), number, size: None, redelivered }
}

/// Ten buyers: the first has bought, the second was killed with the lock, and the third took over.
fn sale() -> Run {
    let run = Run::of("tickets", &["--lock"], &numbered("buyer", 10));
    let run = numbered("buyer", 10).iter().fold(run, |run, buyer| {
        run.at(100_000, buyer, SaleFact::StockChecked { left: 3 }).at(100_000, buyer, waits("tickets"))
    });
    run.then("buyer-1", has("tickets", false))
        .then("buyer-1", SaleFact::TicketBought { left: 2 })
        .then("buyer-1", LockFact::LockReleased { lock: "tickets".to_owned(), held_us: 800_000 })
        .then("buyer-1", exited())
        .then("buyer-2", has("tickets", false))
        .then("buyer-2", killed())
        .then("buyer-3", has("tickets", true))
}

#[test]
fn sale_shows_the_file_the_lock_and_who_took_over() {
    sale().matches_golden_file("tickets");
    golden("live.tickets.wide", &sale().screen(Language::En, 200, 50));
}

#[test]
fn pipe_shows_messages_both_ways() {
    Run::of("pipe", &["--duplex"], &["producer".to_owned(), "consumer".to_owned()])
        .then("producer", PipeFact::MessageSent { value: 1.into() })
        .then("consumer", PipeFact::MessageReceived { value: 1.into() })
        .then("producer", PipeFact::MessageSent { value: 2.into() })
        .then("consumer", PipeFact::ReplySent { value: 1.into() })
        .matches_golden_file("pipe");
}

#[test]
fn queue_shows_its_items() {
    let run = Run::of("queue", &["--capacity", "5"], &["producer".to_owned(), "consumer".to_owned()]);
    let run = (1..=5).fold(run, |run, number| run.then("producer", put("producer", number, 0.1 * number as f64)));
    let run = run.then("consumer", got("producer", 1, 0.1, false)).then("producer", put("producer", 6, 0.654_321));
    run.then("producer", ItemFact::QueueFull { timeout_us: 0 }).matches_golden_file("queue");
}

#[test]
fn prodcons_shows_a_queue_without_an_end() {
    let workers: Vec<String> = ["producer-1", "producer-2", "consumer"].map(str::to_owned).to_vec();
    let run = Run::of("prodcons", &["--producers", "2"], &workers);
    let run = (1..=9).fold(run, |run, number| {
        let from = format!("producer-{}", number % 2 + 1);
        run.then(&from, put(&from, number, 0.9 / number as f64))
    });
    run.then("consumer", got("producer-2", 1, 0.9, false)).matches_golden_file("prodcons");
}

#[test]
fn joinable_shows_who_has_which_task_and_what_a_dead_one_left() {
    let workers: Vec<String> = ["producer-1", "consumer-1", "consumer-2"].map(str::to_owned).to_vec();
    let run = Run::of("joinable", &["--producers", "1", "--consumers", "2"], &workers);
    let run = (1..=4).fold(run, |run, number| run.then("producer-1", put("producer-1", number, 0.2 * number as f64)));
    let done = ItemFact::TaskDone { value: json!(0.2), from: "producer-1".to_owned(), number: 1 };
    run.then("consumer-1", got("producer-1", 1, 0.2, false))
        .then("consumer-2", got("producer-1", 2, 0.4, false))
        .then("consumer-1", done)
        .then("consumer-2", killed())
        .then("consumer-1", got("producer-1", 2, 0.4, true))
        .matches_golden_file("joinable");
}

#[test]
fn values_shows_the_counter_and_what_was_added() {
    let run = Run::of("values", &[], &numbered("worker", 4));
    let run = (1..=4).fold(run, |run, worker| {
        let fact = ValuesFact::IncrementsMade { made: 100 * worker, seen: 90 * worker };
        run.then(&format!("worker-{worker}"), fact)
    });
    run.matches_golden_file("values");
}

#[test]
fn pool_shows_its_tasks() {
    let run = Run::of("pool", &["--workers", "2"], &numbered("worker", 2));
    let starts = |task| PoolFact::TaskStarted { task };
    run.then("worker-1", starts(1))
        .then("worker-2", starts(2))
        .then("worker-1", PoolFact::TaskFinished { task: 1, value: 1 })
        .then("worker-1", starts(3))
        .then("worker-2", killed())
        .then("worker-3", WorkerStarted { role: "", daemon: false })
        .matches_golden_file("pool");
}

#[test]
fn semaphore_shows_who_has_a_space_and_who_waits() {
    let run = Run::of("semaphore", &["--permits", "3"], &numbered("car", 6));
    let semaphore = || "car park".to_owned();
    let run = numbered("car", 5)
        .iter()
        .fold(run, |run, car| run.then(car, PermitFact::PermitWaiting { semaphore: semaphore() }));
    let run = numbered("car", 3).iter().fold(run, |run, car| {
        run.then(car, PermitFact::PermitAcquired { semaphore: semaphore(), waited_us: 1_200_000 })
    });
    run.then("car-2", PermitFact::PermitReleased { semaphore: semaphore(), held_us: 400_000 })
        .matches_golden_file("semaphore");
}

#[test]
fn event_shows_its_lamp() {
    let run = Run::of("event", &[], &numbered("racer", 5));
    let run = run.then("racer-2", RaceFact::GunAwaited).then("racer-5", RaceFact::GunAwaited);
    run.matches_golden_file("event");
    let run = run.then(RUNNER, RaceFact::GunFired).then("racer-2", RaceFact::GunHeard { waited_us: 800_000 });
    let screen = run.screen(Language::En, 80, 24);
    assert!(screen.contains("● set") && screen.contains("racer-5"), "{screen}");
}

#[test]
fn barrier_shows_how_many_have_arrived() {
    Run::of("barrier", &["--parties", "4"], &numbered("worker", 4))
        .then("worker-3", BarrierFact::BarrierWaiting { round: 1 })
        .then("worker-1", BarrierFact::BarrierWaiting { round: 1 })
        .matches_golden_file("barrier");
}

#[test]
fn condition_shows_the_buffer_and_who_waits_for_what() {
    let workers: Vec<String> = ["producer-1", "producer-2", "consumer-1", "consumer-2"].map(str::to_owned).to_vec();
    let sized = |number, size| ItemFact::ItemPut {
        value: json!(number),
        from: "producer-1".to_owned(),
        number,
        size: Some(size),
    };
    let waits = |condition: &str| ConditionFact::ConditionWaiting { condition: condition.to_owned() };
    let run = Run::of("condition", &["--capacity", "3"], &workers).then("consumer-1", waits("not empty"));
    let run = run.then("producer-1", sized(1, 1));
    let met = ConditionFact::ConditionMet { condition: "not empty".to_owned(), waited_us: 400_000 };
    let run = run.then("consumer-1", met).then("producer-1", sized(2, 2)).then("producer-1", sized(3, 3));
    run.then("producer-2", waits("not full")).matches_golden_file("condition");
}

#[test]
fn deadlock_shows_the_cycle() {
    let lock = |number| format!("lock-{number}");
    let link = |worker: &str, own, other, held_by: &str| Link {
        worker: worker.to_owned(),
        holds: lock(own),
        waits_for: lock(other),
        held_by: held_by.to_owned(),
    };
    let cycle = vec![link("worker-1", 1, 2, "worker-2"), link("worker-2", 2, 1, "worker-1")];
    Run::of("deadlock", &[], &numbered("worker", 2))
        .then("worker-1", has("lock-1", false))
        .then("worker-2", has("lock-2", false))
        .then("worker-1", waits("lock-2"))
        .then("worker-2", waits("lock-1"))
        .then(RUNNER, DeadlockFound { cycle })
        .matches_golden_file("deadlock");
}

#[test]
fn manager_shows_its_objects() {
    let made = |object: &str| ManagerFact::ObjectMade { object: object.to_owned(), name: None };
    let shown = |object: &str, value| ManagerFact::ObjectShown { object: object.to_owned(), value };
    let set = ManagerFact::ObjectCalled {
        object: "dict".to_owned(),
        method: "set_item".to_owned(),
        args: vec![json!("a"), json!("a")],
        answer: None,
    };
    Run::of("manager", &[], &numbered("worker", 2))
        .then(RUNNER, ManagerFact::ManagerStarted { manager_pid: 99, addresses: Vec::new() })
        .then(RUNNER, made("dict"))
        .then(RUNNER, shown("dict", json!({})))
        .then("worker-1", set)
        .then(RUNNER, made("Lock"))
        .then(RUNNER, shown("count", json!(0)))
        .then("worker-2", waits("lock"))
        .then("worker-2", has("lock", false))
        .matches_golden_file("manager");
}

#[test]
fn hundred_workers_have_a_sign_each_and_lines_around_the_selected_one() {
    let run = Run::of("tickets", &["--lock", "--buyers", "100"], &numbered("buyer", 100));
    let run = run.at(1_000, "buyer-40", has("tickets", false));
    let run = (41..=100).fold(run, |run, number| run.at(2_000, &format!("buyer-{number}"), waits("tickets")));
    golden("live.hundred.en", &run.screen(Language::En, 80, 24));
    let mut view = run.view(Language::En);
    view.press(Key::End);
    let screen = screen_of(&mut view, Language::En, 200, 50);
    assert!(screen.contains("▸ buyer-100 ") && screen.contains(" of 100"), "{screen}");
    assert!(screen.lines().any(|line| line.contains("all  ·······")), "{screen}");
    // Nothing is drawn beyond any screen, however small.
    for (width, height) in [(1, 1), (39, 24), (40, 10), (80, 9), (60, 12), (121, 11), (300, 100)] {
        let screen = screen_of(&mut view, Language::Zh, width, height);
        assert_eq!(screen.lines().count(), usize::from(height));
    }
}

#[test]
fn number_of_the_waiters_that_are_left_out_is_whole_at_every_width() {
    let run = Run::of("tickets", &["--lock", "--buyers", "100"], &numbered("buyer", 100));
    let run = run.then("buyer-1", has("tickets", false));
    let run = (2..=100).fold(run, |run, number| run.at(2_000, &format!("buyer-{number}"), waits("tickets")));
    for (language, kind) in [(Language::En, "buyer-"), (Language::Zh, "购票者")] {
        let view = run.view(language);
        for (width, most) in (40..=120).flat_map(|width| [1, 2, 3].map(|most| (width, most))) {
            let lines = thing::lines(&view.scene.things.all()[1], &view.scene, Look::plain(language), 10, width, most);
            let lines: Vec<String> =
                lines.iter().map(|line| line.iter().map(|(text, _)| text.as_str()).collect()).collect();
            assert!(lines.iter().all(|line| line.trim_end().width() <= width), "{width} {lines:?}");
            let (_, left_out) = lines[lines.len() - 1].rsplit_once("  +").expect("some are left out");
            let shown = lines.concat().matches(kind).count();
            assert_eq!(shown + left_out.parse::<usize>().expect("a number"), 100, "{width} {lines:?}");
        }
    }
}

#[test]
fn single_line_of_a_list_has_one_number() {
    for (language, workers, shared) in [
        (Language::En, "── worker 3 of 10 ──", "── shared 2 of 2 ──"),
        (Language::Zh, "── 进程 3，共 10 个 ──", "── 共享对象 2，共 2 个 ──"),
    ] {
        let screen = sale().screen(language, 40, 10);
        assert!(screen.contains(workers) && screen.contains(shared), "{screen}");
    }
}

#[test]
fn notice_ends_with_its_reason() {
    let run = sale();
    let mut view = run.view(Language::En);
    let has_notice = |view: &View| view.notice(Instant::now()).is_some();
    assert!(has_notice(&view), "a death has left something to another");
    view.press(Key::Down);
    assert!(!has_notice(&view));
    view.press(Key::Letter('k'));
    assert!(has_notice(&view), "it has ended");
    let end = run.then(RUNNER, oversold()).events.pop().expect("it was added");
    view.apply(&end);
    assert!(!has_notice(&view));
}

#[test]
fn keys_ask_for_what_they_stand_for() {
    let mut view = sale().view(Language::En);
    let asks = |request| Pressed::Asks(request);
    for (key, request) in [
        (' ', Request::Hold),
        ('+', Request::Faster),
        ('-', Request::Slower),
        ('q', Request::End),
        ('.', Request::Step(None)),
    ] {
        assert_eq!(view.press(Key::Letter(key)), asks(request), "{key}");
    }
    let notice = |view: &View| view.notice(Instant::now()).unwrap_or_default().to_owned();
    assert_eq!(view.press(Key::Letter('k')), Pressed::Nothing);
    assert!(notice(&view).contains("select a worker first"));
    view.press(Key::Down);
    assert_eq!(view.press(Key::Letter('k')), Pressed::Nothing, "it has ended");
    view.press(Key::Down);
    view.press(Key::Down);
    assert_eq!(view.press(Key::Letter('k')), asks(Request::Kill(103)));
    assert_eq!(view.press(Key::Letter('s')), asks(Request::Stop(103)));
    assert_eq!(view.press(Key::Letter('.')), asks(Request::Step(Some(2))));
    view.press(Key::Up);
    assert_eq!(view.selected, Some(1));
    let interrupt = view.press(Key::Control('c'));
    assert_eq!(interrupt, Pressed::Interrupt);
}

#[test]
fn help_explains_keys_and_signs() {
    for (language, code) in [(Language::En, "en"), (Language::Zh, "zh")] {
        let mut view = sale().view(language);
        view.press(Key::Letter('h'));
        golden(&format!("live.help.{code}"), &screen_of(&mut view, language, 80, 24));
        golden(&format!("live.help.wide.{code}"), &screen_of(&mut view, language, 120, 24));
        view.press(Key::Letter('h'));
        assert!(!view.is_help);
    }
}

#[test]
fn end_shows_the_verdict_and_the_counts() {
    let run = Run::of("tickets", &[], &numbered("buyer", 3)).then("buyer-1", SaleFact::TicketBought { left: 2 });
    run.then("buyer-1", exited()).then(RUNNER, oversold()).matches_golden_file("end");
}

#[test]
fn stopped_workers_and_steps_of_a_schedule_are_told() {
    let mut run = sale();
    run.status.stopped.insert(103);
    let screen = run.screen(Language::En, 80, 24);
    assert!(screen.contains("STOPPED; holds: lock") && screen.contains("PAUSED"), "{screen}");
    let mut run = Run::of("tickets", &[], &numbered("buyer", 2));
    let text = ["next: read file".to_owned(), "下一步：read file".to_owned()];
    run.status.next = vec![Next { text, is_blocked: false }; 2];
    run.status.steps = Some(12);
    let screen = run.screen(Language::Zh, 80, 24);
    assert!(
        screen.contains("下一步：read file") && screen.contains(". 走一步") && screen.contains("第 12 步"),
        "{screen}"
    );
}

#[test]
fn no_time_passes_in_a_schedule_before_the_first_picture() {
    let control = Control::new().expect("a descriptor");
    control.update(|status| status.steps = Some(0));
    let mut live = Live::new(control, Language::En, Color::Never);
    // Without a terminal.
    live.is_begun = true;
    let run = Run::of("barrier", &[], &numbered("worker", 2));
    run.events.iter().for_each(|event| live.event(event).expect("nothing is printed"));
    let later = Instant::now() + Duration::from_secs(1);
    assert_eq!(locked(&live.view).now_us(later), 0);
}

#[test]
fn what_no_event_tells_is_seen() {
    let workers: Vec<String> = ["producer", "consumer"].map(str::to_owned).to_vec();
    let mut run = Run::of("prodcons", &[], &workers);
    run.status.is_held = false;
    let mut view = run.view(Language::En);
    view.look(Instant::now(), |worker| worker == 0, |_| true);
    let screen = screen_of(&mut view, Language::En, 80, 24);
    assert!(screen.contains("· sleeps") && screen.contains("┆ waits"), "{screen}");
    // An event tells more.
    view.apply(&run.then("consumer", got("producer", 1, 0.5, false)).events[3]);
    let screen = screen_of(&mut view, Language::En, 80, 24);
    assert!(screen.contains("· sleeps") && screen.contains("· runs"), "{screen}");
}

#[test]
fn screen_is_ascii_where_the_locale_is() {
    let run = sale();
    let area = Rect::new(0, 0, 80, 24);
    let mut buffer = Buffer::empty(area);
    draw(&run.view(Language::En), Instant::now(), Look::plain(Language::En).in_ascii(), area, &mut buffer);
    let screen = text_of(&buffer);
    assert!(screen.is_ascii() && screen.contains("# holds: lock") && screen.contains("-- workers --"), "{screen}");
}

#[test]
fn colours_are_an_aid_only() {
    let run = sale();
    let area = Rect::new(0, 0, 80, 24);
    let drawn = |look: Look| {
        let mut buffer = Buffer::empty(area);
        draw(&run.view(Language::En), Instant::now(), look, area, &mut buffer);
        buffer
    };
    let (plain, colored) = (drawn(Look::plain(Language::En)), drawn(Look::new(Language::En, true)));
    assert_eq!(text_of(&plain), text_of(&colored));
    let has_color = |buffer: &Buffer| buffer.content().iter().any(|cell| cell.fg != ratatui::style::Color::Reset);
    assert!(has_color(&colored) && !has_color(&plain));
}
