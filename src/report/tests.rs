//! Every format shows the same handmade run; the expected output is in `data/golden`.

mod pictures;
pub(crate) mod well_formed;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use serde_json::json;

use super::Reporter;
use super::event::{Allowance, Event, Fact, Link, RUNNER, Reason, Verdict};
use super::jsonl::JsonLines;
use super::language::Language;
use super::text::Text;
use super::{timeline, trace};

/// Bytes that a reporter writes and the test reads.
#[derive(Clone, Default)]
struct Paper(Rc<RefCell<Vec<u8>>>);

impl io::Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Paper {
    fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).expect("reports are text")
    }
}

/// A handmade run: one event per second, process IDs from 100.
struct Run(Vec<Event>);

impl Run {
    fn of(scenario: &str, workers: u32) -> Self {
        let started = Fact::RunStarted {
            scenario: scenario.to_owned(),
            seed: 7,
            speed: json!(1),
            version: "0.0.0".to_owned(),
            args: vec![scenario.to_owned(), "--strict".to_owned()],
            workers,
            moments: vec!["waiting".to_owned(), "holding".to_owned()],
        };
        Run(Vec::new()).then(RUNNER, started)
    }

    fn then(mut self, worker: &str, fact: Fact) -> Self {
        let pid = worker.rsplit_once('-').and_then(|(_, number)| number.parse().ok());
        let pid = match worker {
            RUNNER => 99,
            _ => 100 + pid.unwrap_or(u32::from(worker.as_bytes()[0])),
        };
        self.0.push(Event { at_us: self.0.len() as u64 * 1_000_000, worker: worker.to_owned(), pid, fact });
        self
    }

    fn shown_by<R: Reporter>(&self, reporter: impl FnOnce(Paper) -> R) -> String {
        let paper = Paper::default();
        let mut reporter = reporter(paper.clone());
        self.0.iter().try_for_each(|event| reporter.event(event)).expect("paper takes everything");
        paper.text()
    }

    /// Compares the output of each format with its golden file.
    fn matches_golden_files(&self, name: &str) {
        let text = |language, colored| self.shown_by(|paper| Text::new(paper, language, colored, false));
        insta::with_settings!({ snapshot_path => "../../data/golden", prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!(format!("{name}.en"), text(Language::En, false));
            insta::assert_snapshot!(format!("{name}.zh"), text(Language::Zh, false));
            insta::assert_snapshot!(format!("{name}.jsonl"), self.shown_by(JsonLines::new));
            let picture = timeline::draw(&self.0, Language::En);
            well_formed::timeline(&picture);
            insta::assert_snapshot!(format!("{name}.timeline"), picture);
            let mut traced = Vec::new();
            trace::write(&self.0, &mut traced).expect("memory takes everything");
            let traced = String::from_utf8(traced).expect("a trace is text");
            well_formed::trace(&traced);
            insta::assert_snapshot!(format!("{name}.trace"), traced);
        });
    }
}

fn lock() -> String {
    "tickets".to_owned()
}

fn worker_started(daemon: bool) -> Fact {
    Fact::WorkerStarted { role: "tickets.buyer".to_owned(), daemon }
}

fn worker_exited(exit_code: Option<i32>, signal: Option<i32>, failure: Option<&str>) -> Fact {
    Fact::WorkerExited { exit_code, signal, failure: failure.map(str::to_owned) }
}

fn summary(scenario: &str, verdict: Verdict, guaranteed: bool, facts: serde_json::Value) -> Fact {
    let facts = facts.as_object().expect("facts by name").clone();
    let claim = "the claim of the scenario".to_owned();
    let (scenario, elapsed_us) = (scenario.to_owned(), 12_345);
    Fact::Summary { scenario, claim, verdict, guaranteed, allowance: None, reason: None, elapsed_us, facts }
}

impl Fact {
    /// Returns this summary with an allowance, for a run that did not finish.
    fn because(mut self, allowed: Option<Allowance>, why: Option<Reason>) -> Self {
        if let Fact::Summary { allowance, reason, .. } = &mut self {
            (*allowance, *reason) = (allowed, why);
        }
        self
    }
}

#[test]
fn sale_with_a_lock() {
    Run::of("tickets", 3)
        .then("buyer-1", worker_started(false))
        .then("buyer-2", worker_started(false))
        .then("buyer-3", worker_started(true))
        .then("buyer-1", Fact::StockChecked { left: 1 })
        .then("buyer-1", Fact::LockWaiting { lock: lock() })
        .then("buyer-1", Fact::LockAcquired { lock: lock(), waited_us: 0, abandoned: false })
        .then("buyer-2", Fact::LockWaiting { lock: lock() })
        .then("buyer-3", Fact::LockWaiting { lock: lock() })
        .then("buyer-1", worker_exited(None, Some(9), None))
        .then("buyer-2", Fact::LockAcquired { lock: lock(), waited_us: 2_000_000, abandoned: true })
        .then("buyer-2", Fact::TicketBought { left: 0 })
        .then("buyer-2", Fact::LockReleased { lock: lock(), held_us: 1_000_000 })
        .then("buyer-3", Fact::LockAcquired { lock: lock(), waited_us: 12, abandoned: false })
        .then("buyer-2", worker_exited(Some(0), None, None))
        .then("buyer-3", Fact::TicketRefused { left: 0 })
        .then("buyer-3", worker_exited(Some(1), None, Some("worker buyer-3 panicked: no change (at shop.rs:1:1)")))
        .then(
            RUNNER,
            summary("tickets", Verdict::Held, true, json!({"stock": 1, "bought": 1, "refused": 1, "left": 0})),
        )
        .matches_golden_files("tickets_lock");
}

#[test]
fn tasks_that_outlive_a_worker() {
    let put = |number| Fact::ItemPut { value: json!(0.25), from: "producer-1".to_owned(), number, size: Some(1) };
    let got = |number, redelivered| {
        let (from, size) = ("producer-1".to_owned(), Some(0));
        Fact::ItemGot { value: json!(0.25), from, number, size, redelivered }
    };
    let done = |number| Fact::TaskDone { value: json!(0.25), from: "producer-1".to_owned(), number };
    Run::of("joinable", 3)
        .then("producer-1", worker_started(false))
        .then("consumer-2", worker_started(true))
        .then("consumer-3", worker_started(true))
        .then("producer-1", put(1))
        .then("consumer-2", got(1, false))
        .then("producer-1", put(2))
        .then("producer-1", Fact::QueueFull { timeout_us: 500_000 })
        .then("consumer-3", got(2, false))
        .then("consumer-2", worker_exited(None, Some(9), None))
        .then("consumer-3", done(2))
        .then("consumer-3", got(1, true))
        .then("consumer-3", done(1))
        .then(RUNNER, Fact::QueueJoined { tasks: 2 })
        .then("producer-1", worker_exited(Some(0), None, None))
        .then("consumer-3", worker_exited(None, Some(15), None))
        .then(RUNNER, summary("joinable", Verdict::Held, true, json!({"produced": 2, "consumed": 2, "tasks_done": 2})))
        .matches_golden_files("joinable");
}

#[test]
fn messages_and_answers() {
    let value = || json!(1);
    Run::of("pipe", 2)
        .then("producer", worker_started(false))
        .then("consumer", worker_started(false))
        .then("consumer", Fact::SendRefused { error: "this end only receives".to_owned() })
        .then("producer", Fact::MessageSent { value: value() })
        .then("consumer", Fact::MessageReceived { value: value() })
        .then("consumer", Fact::ReplySent { value: value() })
        .then("producer", Fact::ReplyReceived { value: value() })
        .then("producer", worker_exited(Some(0), None, None))
        .then("consumer", Fact::EndOfFile)
        .then("consumer", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("pipe", Verdict::Held, true, json!({"sent": 1, "received": 1, "replies": 1})))
        .matches_golden_files("pipe");
}

#[test]
fn workers_that_wait_for_each_other() {
    let waiting = |lock: &str| Fact::LockWaiting { lock: lock.to_owned() };
    let acquired = |lock: &str| Fact::LockAcquired { lock: lock.to_owned(), waited_us: 0, abandoned: false };
    let released = |lock: &str| Fact::LockReleased { lock: lock.to_owned(), held_us: 1 };
    Run::of("deadlock", 2)
        .then("worker-1", worker_started(false))
        .then("worker-2", worker_started(false))
        .then("worker-1", waiting("left"))
        .then("worker-1", acquired("left"))
        .then("worker-2", waiting("right"))
        .then("worker-2", acquired("right"))
        .then("worker-1", waiting("right"))
        .then("worker-2", waiting("left"))
        .then("worker-1", worker_exited(None, Some(9), None))
        .then("worker-2", Fact::LockAcquired { lock: "left".to_owned(), waited_us: 1_000_000, abandoned: true })
        .then("worker-2", Fact::StockChecked { left: 1 })
        .then("worker-2", released("right"))
        .then("worker-2", Fact::StockChecked { left: 1 })
        .then("worker-2", released("left"))
        .then("worker-2", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("deadlock", Verdict::Violated, false, json!({"finished": 1})))
        .matches_golden_files("two_locks");
}

#[test]
fn sale_without_a_lock() {
    Run::of("tickets", 30)
        .then("buyer-1", worker_started(false))
        .then("buyer-1", Fact::StockChecked { left: 2 })
        .then("buyer-1", Fact::DataTorn { error: "EOF while parsing a value".to_owned() })
        .then("buyer-1", worker_exited(None, Some(15), None))
        .then("buyer-2", worker_started(false))
        .then("buyer-2", worker_exited(None, Some(11), None))
        .then("buyer-3", worker_started(false))
        .then("buyer-3", worker_exited(Some(3), None, None))
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"oversold": 7})))
        .matches_golden_files("tickets_race");
}

/// Returns a cycle of workers, each with the lock of its number.
fn ring_of(workers: usize) -> Fact {
    let link = |own| {
        let next = own % workers + 1;
        let (worker, holds) = (format!("worker-{own}"), format!("lock-{own}"));
        Link { worker, holds, waits_for: format!("lock-{next}"), held_by: format!("worker-{next}") }
    };
    Fact::DeadlockFound { cycle: (1..=workers).map(link).collect() }
}

#[test]
fn deadlock_broken_by_a_timeout() {
    let wants = |lock: &str| Fact::LockWaiting { lock: lock.to_owned() };
    let has = |lock: &str, abandoned| Fact::LockAcquired { lock: lock.to_owned(), waited_us: 1_500_000, abandoned };
    let drops = |lock: &str| Fact::LockReleased { lock: lock.to_owned(), held_us: 2_500_000 };
    Run::of("deadlock", 2)
        .then("worker-1", worker_started(false))
        .then("worker-2", worker_started(false))
        .then("worker-1", has("lock-1", false))
        .then("worker-2", has("lock-2", false))
        .then("worker-1", wants("lock-2"))
        .then("worker-2", wants("lock-1"))
        .then(RUNNER, ring_of(2))
        .then("worker-1", Fact::LockTimedOut { lock: "lock-2".to_owned(), waited_us: 2_000_000 })
        .then("worker-1", drops("lock-1"))
        .then("worker-2", has("lock-1", true))
        .then("worker-2", drops("lock-1"))
        .then("worker-2", drops("lock-2"))
        .then("worker-2", worker_exited(Some(0), None, None))
        .then(RUNNER, summary("deadlock", Verdict::Violated, false, json!({"deadlocks": 1, "found": 1, "timeouts": 1})))
        .matches_golden_files("deadlock");
}

#[test]
fn long_ring_is_cut_short() {
    let run = Run::of("deadlock", 12).then(RUNNER, ring_of(12));
    let text = run.shown_by(|paper| Text::new(paper, Language::En, false, false));
    assert_eq!(text.lines().filter(|line| line.contains(" and waits for ")).count(), 10, "{text}");
    assert!(text.ends_with("and 2 more\n"), "{text}");
}

#[test]
fn other_endings() {
    let facts = || json!({"in_order": true, "lost": 0, "left": false});
    Run::of("tickets", 0)
        .then(RUNNER, summary("tickets", Verdict::Violated, true, facts()))
        .then(RUNNER, summary("tickets", Verdict::Held, false, facts()))
        .then(RUNNER, summary("tickets", Verdict::NotShown, true, facts()).because(None, Some(Reason::Cut)))
        .then(RUNNER, summary("tickets", Verdict::NotShown, true, facts()).because(None, Some(Reason::Machinery)))
        .then(RUNNER, summary("tickets", Verdict::Violated, true, facts()).because(None, Some(Reason::Cut)))
        .then(RUNNER, summary("queue", Verdict::Held, true, facts()).because(Some(Allowance::Lost), None))
        .then(RUNNER, summary("queue", Verdict::Held, true, facts()).because(Some(Allowance::Lost), Some(Reason::Cut)))
        .matches_golden_files("endings");
}

#[test]
fn colours_wrap_whole_words_and_end() {
    let run =
        Run::of("tickets", 1).then("buyer-1", worker_started(false)).then("buyer-1", Fact::TicketBought { left: 2 });
    let plain = run.shown_by(|paper| Text::new(paper, Language::En, false, false));
    let colored = run.shown_by(|paper| Text::new(paper, Language::En, true, false));
    assert!(!plain.contains('\u{1b}'));
    assert!(colored.contains("\u{1b}[32mbuys a ticket and writes: 2 tickets left\u{1b}[0m"), "{colored:?}");
    // Taking the colours away leaves the plain report.
    let mut rest = colored.as_str();
    let mut stripped = String::new();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        stripped.push_str(before);
        rest = after.split_once('m').expect("every sequence ends").1;
    }
    stripped.push_str(rest);
    assert_eq!(stripped, plain);
}

#[test]
fn every_line_fits_eighty_columns() {
    use unicode_width::UnicodeWidthStr;
    let run = Run::of("tickets", 10)
        .then("buyer-10", worker_started(true))
        .then("buyer-10", Fact::LockAcquired { lock: lock(), waited_us: 999_949, abandoned: true })
        .then("buyer-10", Fact::DataTorn { error: "expected value at line 1 column 1".to_owned() })
        .then("buyer-10", Fact::TicketBought { left: 10 })
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"stock": 3, "buyers": 10, "oversold": 7})));
    let long = || "lock-10".to_owned();
    let others = Run::of("deadlock", 10)
        .then("worker-10", worker_started(false))
        .then("worker-10", Fact::LockAcquired { lock: long(), waited_us: 999_949, abandoned: true })
        .then("worker-10", Fact::LockReleased { lock: long(), held_us: 999_949 })
        .then("worker-10", Fact::LockTimedOut { lock: long(), waited_us: 999_949 })
        .then(RUNNER, ring_of(10))
        .then("worker-10", Fact::PermitAcquired { semaphore: "car park".to_owned(), waited_us: 999_949 })
        .then("worker-10", Fact::PermitReleased { semaphore: "car park".to_owned(), held_us: 999_949 })
        .then("worker-10", Fact::LineCrossed { ran_us: 999_949 })
        .then("worker-10", Fact::BarrierPassed { round: 100_000, waited_us: 999_949 })
        .then("worker-10", Fact::BarrierBroken { round: 1, cause: "process 4194304 died".to_owned(), dead_pid: None })
        .then("worker-10", Fact::ConditionMet { condition: "not empty".to_owned(), waited_us: 999_949 })
        .then(
            "producer-10",
            Fact::ItemPut { value: json!(1), from: "producer-10".to_owned(), number: 1, size: Some(3) },
        )
        .then("worker-10", Fact::IncrementsMade { made: 1_000_000_000, seen: 1_000_000_000_000 });
    for (language, run) in
        [Language::En, Language::Zh].into_iter().flat_map(|language| [(language, &run), (language, &others)])
    {
        let text = run.shown_by(|paper| Text::new(paper, language, false, false));
        for line in text.lines() {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
    }
}

#[test]
fn lines_follow_the_width_and_break_only_between_words() {
    use unicode_width::UnicodeWidthStr;
    let args: Vec<String> =
        "tickets --lock --data '/var/shop/a b.json' --buyers 12".split(' ').map(str::to_owned).collect();
    let run = Run::of("tickets", 12)
        .then("buyer-10", worker_started(true))
        .then("buyer-10", Fact::LockAcquired { lock: lock(), waited_us: 999_949, abandoned: true })
        .then("buyer-10", Fact::TicketBought { left: 10 })
        .then("buyer-10", Fact::DataTorn { error: "expected value at line 1 column 1".to_owned() })
        .then(RUNNER, ring_of(3))
        .then(RUNNER, summary("tickets", Verdict::Violated, false, json!({"stock": 3, "buyers": 10, "oversold": 7})));
    let mut run = run;
    if let Fact::RunStarted { args: typed, .. } = &mut run.0[0].fact {
        *typed = args;
    }
    let words = |text: &str| text.replace('\\', "").split_whitespace().collect::<Vec<_>>().join(" ");
    for language in [Language::En, Language::Zh] {
        let shown = |columns| run.shown_by(|paper| Text::new(paper, language, false, false).of_width(columns));
        // Without lanes, so that the text is the same at any width.
        let narrow = shown(40);
        for line in narrow.lines() {
            assert!(line.width() <= 40, "{} columns: {line}", line.width());
        }
        let wide = shown(51);
        assert!(wide.lines().count() < narrow.lines().count());
        if language == Language::En {
            assert_eq!(words(&narrow), words(&wide), "no word was broken");
        }
        for columns in [60, 80, 100, 200] {
            for line in shown(columns).lines() {
                assert!(line.width() <= columns, "{} columns: {line}", line.width());
            }
        }
        assert!(shown(100).contains("×") && !shown(51).contains("×"), "twelve lanes, and none");
    }
}

#[test]
fn abandoned_locks_and_broken_barriers_name_the_dead() {
    let acquired = |abandoned| Fact::LockAcquired { lock: "lock-2".to_owned(), waited_us: 5, abandoned };
    let cause = || "process 102 died".to_owned();
    let run = Run::of("deadlock", 2)
        .then("worker-2", worker_started(false))
        .then("worker-2", acquired(false))
        .then("worker-2", worker_exited(None, Some(9), None))
        .then("worker-1", acquired(true))
        .then("worker-1", Fact::BarrierBroken { round: 1, cause: cause(), dead_pid: Some(102) })
        .then("worker-1", Fact::BarrierBroken { round: 1, cause: cause(), dead_pid: Some(7) });
    let said = |language| run.shown_by(|paper| Text::new(paper, language, false, false));
    for lane_kind in [
        "takes over lock-2 from worker-2, which died\n",
        "finds the barrier broken: worker-2 died\n",
        "finds the barrier broken: process 102 died\n",
    ] {
        assert!(said(Language::En).contains(lane_kind), "{lane_kind:?} in {}", said(Language::En));
    }
    for lane_kind in
        ["接管锁2：工作进程2已终止\n", "发现屏障已损坏：工作进程2已终止\n", "发现屏障已损坏：进程 7 已终止\n"]
    {
        assert!(said(Language::Zh).contains(lane_kind), "{lane_kind:?} in {}", said(Language::Zh));
    }
}

#[test]
fn filled_queue_prints_the_lines_of_the_reference_program() {
    let mut run = Run::of("queue", 1).then("filler", worker_started(false));
    for number in 1..=10 {
        let (from, size) = ("filler".to_owned(), Some(number));
        run = run.then("filler", Fact::ItemPut { value: json!(number), from, number, size });
    }
    run = run.then("filler", Fact::QueueFull { timeout_us: 0 });
    for number in 1..=10 {
        let (from, size) = ("filler".to_owned(), Some(10 - number));
        run = run.then("filler", Fact::ItemGot { value: json!(number), from, number, size, redelivered: false });
    }
    run = run.then("filler", Fact::QueueEmpty);
    let said = run.shown_by(|paper| Text::new(paper, Language::Zh, false, false));
    let lines: Vec<&str> = said.lines().map(str::trim).collect();
    assert!(lines.contains(&"1 2 3 4 5 6 7 8 9 10"), "{said}");
    assert!(lines.contains(&"1->2->3->4->5->6->7->8->9->10->"), "{said}");
}

#[test]
fn chinese_has_no_english_in_it() {
    let error = || "this end can only receive".to_owned();
    let waiting = |condition: &str| Fact::ConditionWaiting { condition: condition.to_owned() };
    let started = |worker| (worker, worker_started(false));
    let told = [
        started("filler"),
        started("producer"),
        started("car-1"),
        started("racer-1"),
        ("producer", Fact::SendRefused { error: error() }),
        ("producer", Fact::DataTorn { error: "EOF while parsing".to_owned() }),
        ("producer", waiting("not full")),
        ("producer", Fact::BarrierBroken { round: 1, cause: "a party timed out".to_owned(), dead_pid: None }),
        ("producer", Fact::LockTimedOut { lock: "lock-1".to_owned(), waited_us: 0 }),
        ("car-1", Fact::PermitWaiting { semaphore: "car park".to_owned() }),
        ("car-1", Fact::PermitAcquired { semaphore: "car park".to_owned(), waited_us: 0 }),
        ("racer-1", Fact::GunAwaited),
        ("racer-1", Fact::GunHeard { waited_us: 0 }),
        ("racer-1", Fact::LineCrossed { ran_us: 0 }),
        ("racer-1", Fact::IncrementsMade { made: 1, seen: 1 }),
        ("racer-1", Fact::StockChecked { left: 1 }),
        (RUNNER, Fact::GunFired),
        (RUNNER, Fact::QueueJoined { tasks: 1 }),
        (RUNNER, Fact::QueueEmpty),
        (RUNNER, Fact::EndOfFile),
        (RUNNER, Fact::EventSet),
        (RUNNER, ring_of(2)),
    ];
    let run = told.into_iter().fold(Run::of("pipe", 4), |run, (worker, fact)| run.then(worker, fact));
    let said = run.shown_by(|paper| Text::new(paper, Language::Zh, false, false));
    let words = well_formed::timeline(&timeline::draw(&run.0, Language::Zh));
    // The scenario's name and the command line are what one types, and units are international.
    let typed = |line: &&str| !line.contains("pipe");
    for line in said.lines().chain(words.lines()).filter(typed) {
        let has_word = line.split(|letter: char| !letter.is_ascii_alphabetic()).any(|word| word.len() > 2);
        assert!(!has_word, "{line}");
    }
}

#[test]
fn events_come_back_from_json_as_they_were() {
    let run = Run::of("tickets", 1).then("buyer-1", worker_exited(None, Some(9), None));
    for line in run.shown_by(JsonLines::new).lines() {
        let event: Event = serde_json::from_str(line).expect("an event");
        assert_eq!(serde_json::to_string(&event).expect("JSON"), line);
    }
}

#[test]
fn objects_of_a_manager() {
    let made =
        |object: &str, name: Option<&str>| Fact::ObjectMade { object: object.into(), name: name.map(Into::into) };
    let shown = |object: &str, value| Fact::ObjectShown { object: object.into(), value };
    let called = |method: &str, args: serde_json::Value, answer| {
        let args = args.as_array().expect("arguments").clone();
        Fact::ObjectCalled { object: "dict".into(), method: method.into(), args, answer }
    };
    let (cause, semaphore) = ("a party died".to_owned(), || "semaphore".to_owned());
    Run::of("manager", 1)
        .then(RUNNER, Fact::ManagerStarted { manager_pid: 500, addresses: Vec::new() })
        .then(RUNNER, made("dict", None))
        .then(RUNNER, shown("dict", json!({})))
        .then("worker-1", worker_started(false))
        .then("worker-1", called("set_item", json!(["a", "a"]), None))
        .then("worker-1", called("add", json!(["n", 1]), Some(json!(2))))
        .then("worker-1", worker_exited(Some(0), None, None))
        .then(RUNNER, shown("dict", json!({"a": "a", "n": [null, true]})))
        // The next turn's worker comes by the same name.
        .then(RUNNER, made("Event", None))
        .then("worker-1", worker_started(false))
        .then("worker-1", Fact::EventAwaited)
        .then(RUNNER, Fact::EventSet)
        .then("worker-1", Fact::EventSeen { waited_us: 1_000_000 })
        .then("worker-1", Fact::PermitWaiting { semaphore: semaphore() })
        .then("worker-1", Fact::PermitAcquired { semaphore: semaphore(), waited_us: 1_000_000 })
        .then("worker-1", Fact::PermitReleased { semaphore: semaphore(), held_us: 1_000_000 })
        .then("worker-1", Fact::BarrierBroken { round: 1, cause, dead_pid: None })
        .then("worker-1", worker_exited(Some(0), None, None))
        .then(RUNNER, shown("count", json!(6)))
        .then(RUNNER, Fact::KeyExposed { file: "key".into() })
        .then(RUNNER, Fact::ManagerConnected { address: "tcp:10.0.0.1:5000".into() })
        .then(RUNNER, made("dict", Some("dict")))
        .then(RUNNER, Fact::ManagerStarted { manager_pid: 99, addresses: vec!["tcp:0.0.0.0:5000".into()] })
        .then(RUNNER, summary("manager", Verdict::Held, true, json!({"types": 2, "steps": 1, "manager_gone": true})))
        .matches_golden_files("manager");
}
