//! Pictures of runs by hand: what their golden files cannot say.

use proptest::prelude::*;
use serde_json::json;

use super::{Run, lock, summary, well_formed, worker_exited, worker_started};
use crate::report::event::{Event, Fact, RUNNER, Verdict};
use crate::report::language::Language;
use crate::report::{timeline, trace};

fn traced(events: &[Event]) -> String {
    let mut out = Vec::new();
    trace::write(events, &mut out).expect("memory takes everything");
    String::from_utf8(out).expect("text")
}

fn item(worker: &str, number: u64, at_us: u64) -> Event {
    let fact = Fact::ItemPut { value: number.into(), from: worker.to_owned(), number, size: None };
    Event { at_us, worker: worker.to_owned(), pid: 1, fact }
}

fn got(from: &str, worker: &str, number: u64, at_us: u64) -> Event {
    let (from, size) = (from.to_owned(), None);
    let fact = Fact::ItemGot { value: number.into(), from, number, size, redelivered: false };
    Event { at_us, worker: worker.to_owned(), pid: 2, fact }
}

#[test]
fn nothing_at_all_is_a_picture() {
    well_formed::timeline(&timeline::draw(&[], Language::En));
    assert!(well_formed::trace(&traced(&[])).is_empty());
}

#[test]
fn names_and_reasons_are_escaped() {
    let evil = "</text><script>&\u{1b}[31m\"'";
    let run = Run::of(evil, 1)
        .then("<b>&-1", worker_started(false))
        .then("<b>&-1", Fact::LockWaiting { lock: evil.to_owned() })
        .then("<b>&-1", Fact::SendRefused { error: evil.to_owned() })
        .then("<b>&-1", worker_exited(Some(1), None, Some(evil)))
        .then(RUNNER, summary(evil, Verdict::Violated, true, json!({ evil: 1 })));
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
    assert!((50..=300).contains(&drawn), "{drawn}");
    let said = well_formed::timeline(&picture);
    assert!(said.contains(&format!("left out, too close to others: {} arrows", 10_000 - drawn)), "{said}");
    assert_eq!(well_formed::trace(&traced(&events)).iter().filter(|event| event["ph"] == "f").count(), 10_000);
}

#[test]
fn a_million_events_are_a_picture_of_a_page() {
    let mut events = Vec::new();
    for round in 0..250_000 {
        let event = |at_us, fact| Event { at_us, worker: format!("w-{}", round % 100), pid: round as u32 % 100, fact };
        let at_us = round * 4;
        events.push(event(at_us, Fact::LockWaiting { lock: lock() }));
        events.push(event(at_us + 1, Fact::LockAcquired { lock: lock(), waited_us: 1, abandoned: false }));
        events.push(event(at_us + 2, Fact::TicketBought { left: 1 }));
        events.push(event(at_us + 3, Fact::LockReleased { lock: lock(), held_us: 2 }));
    }
    let picture = timeline::draw(&events, Language::En);
    assert!(picture.len() < 8_000_000, "{} bytes", picture.len());
}

fn any_fact() -> impl Strategy<Value = Fact> {
    let name = || prop::sample::select(vec!["a".to_owned(), "b".to_owned()]);
    prop_oneof![
        any::<bool>().prop_map(|daemon| Fact::WorkerStarted { role: "a.role".to_owned(), daemon }),
        (any::<Option<i32>>(), any::<Option<i32>>()).prop_map(|(exit_code, signal)| Fact::WorkerExited {
            exit_code,
            signal,
            failure: None
        }),
        name().prop_map(|lock| Fact::LockWaiting { lock }),
        (name(), any::<bool>()).prop_map(|(lock, abandoned)| Fact::LockAcquired { lock, waited_us: 3, abandoned }),
        name().prop_map(|lock| Fact::LockReleased { lock, held_us: 3 }),
        (0..3_u64).prop_map(|value| Fact::MessageSent { value: value.into() }),
        (0..3_u64).prop_map(|value| Fact::MessageReceived { value: value.into() }),
        (name(), 0..3_u64).prop_map(|(from, number)| Fact::ItemPut { value: json!(0.5), from, number, size: None }),
        (name(), 0..3_u64, any::<bool>()).prop_map(|(from, number, redelivered)| {
            Fact::ItemGot { value: json!(0.5), from, number, size: Some(1), redelivered }
        }),
        (name(), 0..3_u64).prop_map(|(from, number)| Fact::TaskDone { value: json!(0.5), from, number }),
        any::<u64>().prop_map(|timeout_us| Fact::QueueFull { timeout_us }),
        Just(Fact::EndOfFile),
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

    /// Whatever is told in whatever order, the pictures are well-formed.
    #[test]
    fn every_list_of_events_has_well_formed_pictures(events in any_events()) {
        well_formed::trace(&traced(&events));
        well_formed::timeline(&timeline::draw(&events, Language::En));
        well_formed::timeline(&timeline::draw(&events, Language::Zh));
    }
}
