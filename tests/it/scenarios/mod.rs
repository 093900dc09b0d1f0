//! The scenarios by the real binary: what their events say, and what kills do to them.

mod pipe;
mod queues;
mod tickets;

use ipc_demo::report::{Event, Fact, Verdict};

/// How many events tell of something.
fn count(events: &[Event], wanted: impl Fn(&Fact) -> bool) -> u64 {
    events.iter().filter(|event| wanted(&event.fact)).count() as u64
}

/// The verdict of a run, and whether it was promised.
fn verdict(events: &[Event]) -> (Verdict, bool) {
    match events.last().expect("a run has events").fact {
        Fact::Summary { verdict, guaranteed, .. } => (verdict, guaranteed),
        ref other => panic!("the last event is {other:?}"),
    }
}
