//! Pictures of handmade runs: what their golden files cannot show.

use proptest::prelude::*;
use serde_json::json;

use super::{Run, lock, summary, well_formed, worker_exited, worker_started};
use crate::report::drawing::width_of;
use crate::report::event::{AnyFact, Event, RUNNER};
use crate::report::frame::{Verdict, WorkerExited, WorkerStarted};
use crate::report::language::Language;
use crate::report::{timeline, trace};
use crate::scenarios::facts::*;

fn traced(events: &[Event]) -> String {
    let mut out = Vec::new();
    trace::write(events, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("text")
}

fn item(worker: &str, number: u64, at_us: u64) -> Event {
    let fact = ItemFact::ItemPut { value: number.into(), from: worker.to_owned(), number, size: None };
    Event { at_us, worker: worker.to_owned(), pid: 1, fact: fact.into() }
}

fn got(from: &str, worker: &str, number: u64, at_us: u64) -> Event {
    let (from, size) = (from.to_owned(), None);
    let fact = ItemFact::ItemGot { value: number.into(), from, number, size, redelivered: false };
    Event { at_us, worker: worker.to_owned(), pid: 2, fact: fact.into() }
}

#[test]
fn nothing_at_all_is_a_picture() {
    well_formed::timeline(&timeline::draw(&[], Language::En));
    assert!(well_formed::trace(&traced(&[])).is_empty());
}

/// A run in which everything has this name.
pub(super) fn run_named(name: &'static str) -> Run {
    Run::of(name, 1)
        .then("<b>&-1", worker_started(false))
        .then("<b>&-1", LockFact::LockWaiting { lock: name.to_owned() })
        .then("<b>&-1", PipeFact::SendRefused { error: name.to_owned() })
        .then("<b>&-1", worker_exited(Some(1), None, Some(name)))
        .then(RUNNER, summary(name, Verdict::Violated, true, json!({ name: 1 })))
}

#[test]
fn names_and_reasons_are_escaped() {
    let evil = "</text><script>&\u{1b}[31m\"'";
    let run = run_named(evil);
    let said = well_formed::timeline(&timeline::draw(&run.0, Language::En));
    assert!(said.contains("<b>&-1") && said.contains("</text><script>& [31m"), "{said}");
    well_formed::trace(&traced(&run.0));
}

#[test]
fn arrows_that_would_hide_each_other_are_left_out_and_counted() {
    let mut events = Vec::new();
    for number in 0..10_000 {
        events.extend([item("p", number, number * 10), got("p", "c", number, number * 10 + 5)]);
    }
    let picture = timeline::draw(&events, Language::En);
    let drawn = picture.matches("url(#head)").count() - 1;
    assert!((50..=150).contains(&drawn), "{drawn}");
    let said = well_formed::timeline(&picture);
    assert!(said.contains(&format!("not shown for lack of space: {} arrows", 10_000 - drawn)), "{said}");
    assert_eq!(well_formed::trace(&traced(&events)).iter().filter(|event| event["ph"] == "f").count(), 10_000);
}

#[test]
fn label_of_the_last_arrow_is_inside_the_picture() {
    let got_value = |value: &str, number: u64, at_us: u64| {
        let (value, from, size) = (json!(value), "p".to_owned(), None);
        let fact = ItemFact::ItemGot { value, from, number, size, redelivered: false };
        Event { fact: fact.into(), ..got("p", "c", number, at_us) }
    };
    let long = "a long value";
    let events = [item("p", 1, 0), got_value(long, 1, 100), item("p", 2, 990), got_value(long, 2, 1_000)];
    let picture = timeline::draw(&events, Language::En);
    let labels = picture.split("<text").filter(|text| text.contains("soft tiny halo"));
    let ends: Vec<f64> = labels
        .map(|label| {
            let x = label.split_once(" x=\"").and_then(|(_, x)| x.split_once('"')).expect("a place").0;
            let name = label.split_once('>').and_then(|(_, name)| name.split_once('<')).expect("a name").0;
            x.parse::<f64>().expect("a number") + width_of(name.trim(), 10.5)
        })
        .collect();
    assert!(ends.len() == 2 && ends.iter().all(|end| *end < 960.0), "{ends:?}");
}

/// Returns hundreds of workers of two kinds, one of which died.
fn crowd() -> Vec<Event> {
    let mut events = Vec::new();
    for number in 0..500_u32 {
        let mut tell = |at_us, fact| events.push(Event { at_us, worker: format!("w-{number}"), pid: number + 1, fact });
        let at_us = u64::from(number) * 10;
        tell(at_us, worker_started(false).into());
        tell(
            at_us + 5_000,
            if number == 321 { RaceFact::GunFired.into() } else { SaleFact::StockChecked { left: 1 }.into() },
        );
        tell(
            at_us + 9_000,
            if number == 123 { worker_exited(None, Some(9), None) } else { worker_exited(Some(0), None, None) }.into(),
        );
    }
    events
}

#[test]
fn picture_of_many_workers_shows_those_that_differ_and_counts_the_others() {
    let picture = timeline::draw(&crowd(), Language::En);
    let said = well_formed::timeline(&picture);
    let names: Vec<&str> = said.lines().filter(|line| line.starts_with("w-")).collect();
    for differs in ["w-0", "w-123", "w-321"] {
        assert!(names.contains(&differs), "{differs} in {names:?}");
    }
    assert_eq!(names.len(), 60);
    assert!(said.contains("440 similar workers"), "{said}");
    let height: u32 =
        picture.split("height=\"").nth(1).and_then(|rest| rest.split('"').next()?.parse().ok()).expect("a height");
    assert!(height < 1_500, "{height}");
}

#[test]
fn arrows_between_very_many_lanes_are_thinned_and_counted() {
    let mut events = Vec::new();
    for number in 0..2_500_u64 {
        let (from, to) = (format!("p-{}", number % 25), format!("c-{}", number / 25 % 25));
        let put = ItemFact::ItemPut { value: number.into(), from: from.clone(), number, size: None };
        let got =
            ItemFact::ItemGot { value: number.into(), from: from.clone(), number, size: None, redelivered: false };
        events.push(Event { at_us: number, worker: from, pid: 1 + (number % 25) as u32, fact: put.into() });
        events.push(Event { at_us: number + 1, worker: to, pid: 101 + (number / 25 % 25) as u32, fact: got.into() });
    }
    let picture = timeline::draw(&events, Language::En);
    let drawn = picture.matches("url(#head)").count() - 1;
    assert!((20..=100).contains(&drawn), "{drawn}");
    assert!(picture.contains(&format!("{} arrows", 2_500 - drawn)));
}

#[test]
fn lanes_of_several_objects_say_which() {
    let made = |object: &str| ManagerFact::ObjectMade { object: object.to_owned(), name: None };
    let one = Run::of("manager", 1).then(RUNNER, made("list")).then("worker-1", worker_started(false));
    let said = |run: &Run| well_formed::timeline(&timeline::draw(&run.0, Language::En));
    assert!(said(&one).lines().any(|line| line == "worker-1"), "{}", said(&one));
    let two = one.then(RUNNER, made("dict")).then("worker-2", worker_started(false));
    for name in ["list worker-1", "dict worker-2"] {
        assert!(said(&two).lines().any(|line| line == name), "{name} in {}", said(&two));
    }
}

#[test]
fn legend_has_no_bars_that_cannot_be_seen() {
    let acquired = || LockFact::LockAcquired { lock: lock(), waited_us: 1, abandoned: false };
    let at = |at_us, fact: AnyFact| Event { at_us, worker: "w-1".to_owned(), pid: 1, fact };
    let run = |held_us: u64| {
        vec![
            at(0, worker_started(false).into()),
            at(1, LockFact::LockWaiting { lock: lock() }.into()),
            at(2, acquired().into()),
            at(2 + held_us, LockFact::LockReleased { lock: lock(), held_us }.into()),
            at(1_000_000, worker_exited(Some(0), None, None).into()),
        ]
    };
    let said = |held_us| well_formed::timeline(&timeline::draw(&run(held_us), Language::En));
    assert!(said(500_000).contains("holding the lock") && !said(500_000).contains("waiting for the lock"));
    assert!(!said(2).contains("holding the lock"), "{}", said(2));
    assert!(!timeline::draw(&run(2), Language::En).contains("class=\"holding\""));
}

#[test]
fn a_long_start_takes_little_of_the_width() {
    let mut events: Vec<Event> = (1..=10).map(|number| item("p", number, 5_000 + number)).collect();
    events.insert(0, Event { at_us: 0, worker: "p".to_owned(), pid: 1, fact: worker_started(false).into() });
    let said = well_formed::timeline(&timeline::draw(&events, Language::En));
    assert!(said.contains("5.002 ms") && !said.lines().any(|line| line == "1 ms"), "{said}");
}

#[test]
fn a_million_events_are_a_picture_of_a_page() {
    let mut events = Vec::new();
    for round in 0..250_000 {
        let event =
            |at_us, fact: AnyFact| Event { at_us, worker: format!("w-{}", round % 100), pid: round as u32 % 100, fact };
        let at_us = round * 4;
        events.push(event(at_us, LockFact::LockWaiting { lock: lock() }.into()));
        events.push(event(at_us + 1, LockFact::LockAcquired { lock: lock(), waited_us: 1, abandoned: false }.into()));
        events.push(event(at_us + 2, SaleFact::TicketBought { left: 1 }.into()));
        events.push(event(at_us + 3, LockFact::LockReleased { lock: lock(), held_us: 2 }.into()));
    }
    let picture = timeline::draw(&events, Language::En);
    assert!(picture.len() < 8_000_000, "{} bytes", picture.len());
}

fn any_fact() -> impl Strategy<Value = AnyFact> {
    let name = || prop::sample::select(vec!["a".to_owned(), "b".to_owned()]);
    prop_oneof![
        any::<bool>().prop_map(|daemon| AnyFact::from(WorkerStarted { role: "a.role", daemon })),
        (any::<Option<i32>>(), any::<Option<i32>>()).prop_map(|(exit_code, signal)| AnyFact::from(WorkerExited {
            exit_code,
            signal,
            failure: None
        })),
        name().prop_map(|lock| AnyFact::from(LockFact::LockWaiting { lock })),
        (name(), any::<bool>()).prop_map(|(lock, abandoned)| AnyFact::from(LockFact::LockAcquired {
            lock,
            waited_us: 3,
            abandoned
        })),
        name().prop_map(|lock| AnyFact::from(LockFact::LockReleased { lock, held_us: 3 })),
        (0..3_u64).prop_map(|value| AnyFact::from(PipeFact::MessageSent { value: value.into() })),
        (0..3_u64).prop_map(|value| AnyFact::from(PipeFact::MessageReceived { value: value.into() })),
        (name(), 0..3_u64).prop_map(|(from, number)| AnyFact::from(ItemFact::ItemPut {
            value: json!(0.5),
            from,
            number,
            size: None
        })),
        (name(), 0..3_u64, any::<bool>()).prop_map(|(from, number, redelivered)| AnyFact::from(ItemFact::ItemGot {
            value: json!(0.5),
            from,
            number,
            size: Some(1),
            redelivered
        })),
        (name(), 0..3_u64).prop_map(|(from, number)| AnyFact::from(ItemFact::TaskDone {
            value: json!(0.5),
            from,
            number
        })),
        any::<u64>().prop_map(|timeout_us| AnyFact::from(ItemFact::QueueFull { timeout_us })),
        Just(()).prop_map(|()| AnyFact::from(PipeFact::EndOfFile)),
    ]
}

fn any_events() -> impl Strategy<Value = Vec<Event>> {
    let event = (0..60_u64, 0..4_u32, any_fact()).prop_map(|(at_us, pid, fact)| Event {
        at_us,
        worker: format!("w-{pid}"),
        pid,
        fact,
    });
    prop::collection::vec(event, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Pictures of any events in any order are well-formed.
    #[test]
    fn every_list_of_events_has_well_formed_pictures(events in any_events()) {
        well_formed::trace(&traced(&events));
        well_formed::timeline(&timeline::draw(&events, Language::En));
        well_formed::timeline(&timeline::draw(&events, Language::Zh));
    }
}

#[test]
fn rare_kinds_of_workers_are_all_shown_and_the_others_share_the_rest() {
    let mut events = Vec::new();
    for number in 0..100_u32 {
        let mut tell =
            |fact: AnyFact| events.push(Event { at_us: 1, worker: format!("w-{number}"), pid: number, fact });
        tell(worker_started(false).into());
        let sold = matches!(number, 17 | 44 | 46 | 91);
        tell(if sold { SaleFact::TicketBought { left: 1 } } else { SaleFact::TicketRefused { left: 0 } }.into());
    }
    let said = well_formed::timeline(&timeline::draw(&events, Language::En));
    for winner in ["w-17", "w-44", "w-46", "w-91"] {
        assert!(said.lines().any(|line| line == winner), "{winner} in {said}");
    }
    assert!(said.contains("40 similar workers"), "{said}");
}

#[test]
fn what_a_killed_worker_received_last_is_shown_among_many() {
    let mut events = Vec::new();
    for number in 0..150_u64 {
        let (from, to, pid) = (format!("p-{}", number % 50), format!("c-{}", number % 50), number as u32 % 50);
        let put = ItemFact::ItemPut { value: number.into(), from: from.clone(), number, size: None };
        let got =
            ItemFact::ItemGot { value: number.into(), from: from.clone(), number, size: None, redelivered: false };
        events.push(Event { at_us: number, worker: from, pid: 1 + pid, fact: put.into() });
        events.push(Event { at_us: number + 1, worker: to.clone(), pid: 101 + pid, fact: got.into() });
        if number == 87 {
            let fact = worker_exited(None, Some(9), None).into();
            events.push(Event { at_us: number + 2, worker: to, pid: 101 + pid, fact });
        }
    }
    let said = well_formed::timeline(&timeline::draw(&events, Language::En));
    for shown in ["p-37", "c-37", "87"] {
        assert!(said.lines().any(|line| line == shown), "{shown} in {said}");
    }
}

#[test]
fn simultaneous_arrows_of_one_lane_have_their_own_heights() {
    let puts = (0..40).map(|number| item("filler", number, number * 10));
    let gets = (0..40).map(|number| Event { pid: 1, ..got("filler", "filler", number, 1_000 + number * 10) });
    let picture = timeline::draw(&puts.chain(gets).collect::<Vec<_>>(), Language::En);
    let mut heights: Vec<&str> = picture
        .split(" C")
        .filter(|curve| curve.starts_with(|letter: char| letter.is_ascii_digit()))
        .map(|curve| curve.split(' ').nth(1).expect("the height of its first control point"))
        .collect();
    assert_eq!(heights.len(), 10);
    heights.sort_unstable();
    heights.dedup();
    assert_eq!(heights.len(), 10, "{heights:?}");
    assert!(well_formed::timeline(&picture).contains("not shown for lack of space: 30 arrows"));
}

#[test]
fn legend_explains_arrows_of_one_look_once() {
    let called =
        ManagerFact::ObjectCalled { object: "list".into(), method: "append".into(), args: Vec::new(), answer: None };
    let mut events = vec![item("w-1", 1, 10), got("w-1", "w-2", 1, 20)];
    let started = ManagerFact::ManagerStarted { manager_pid: 9, addresses: Vec::new() };
    events.push(Event { at_us: 1, worker: RUNNER.to_owned(), pid: 8, fact: started.into() });
    events.push(Event { at_us: 30, worker: "w-1".to_owned(), pid: 1, fact: called.into() });
    let said = well_formed::timeline(&timeline::draw(&events, Language::En));
    assert!(said.lines().any(|line| line == "item, call"), "{said}");
}

#[test]
fn wait_that_a_dot_covers_is_not_in_the_legend() {
    let at = |at_us, fact: AnyFact| Event { at_us, worker: "w-1".to_owned(), pid: 1, fact };
    let said = |waited_us: u64| {
        let broken = BarrierFact::BarrierBroken { round: 1, cause: "a party died".to_owned(), dead_pid: None };
        let events = [
            at(0, worker_started(false).into()),
            at(100, BarrierFact::BarrierWaiting { round: 1 }.into()),
            at(100 + waited_us, broken.into()),
            at(1_000, worker_exited(Some(0), None, None).into()),
        ];
        well_formed::timeline(&timeline::draw(&events, Language::En))
    };
    assert!(said(50).contains("waiting for"), "{}", said(50));
    assert!(!said(2).contains("waiting for"), "{}", said(2));
}
