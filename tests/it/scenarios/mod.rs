//! The scenarios through the real binary: their events, and the effects of kills.

mod barrier;
mod condition;
mod deadlock;
mod event;
mod explore;
mod kill;
mod manager;
mod pipe;
mod pool;
mod queues;
pub(crate) mod redis;
mod semaphore;
mod tickets;
mod values;
mod verdicts;

use crate::report::schema::{Event, Fact, Reason, Verdict};
use nix::sys::signal::Signal;
use unicode_width::UnicodeWidthStr;

use crate::harness::{Demo, send};

/// Returns how many events match.
fn count(events: &[Event], wanted: impl Fn(&Fact) -> bool) -> u64 {
    events.iter().filter(|event| wanted(&event.fact)).count() as u64
}

/// Returns the verdict of a run, and whether the claim was promised.
pub(crate) fn verdict(events: &[Event]) -> (Verdict, bool) {
    match events.last().expect("a run has events").fact {
        Fact::Summary { verdict, guaranteed, .. } => (verdict, guaranteed),
        ref other => panic!("the last event is {other:?}"),
    }
}

/// Returns why a run did not finish.
pub(crate) fn reason(events: &[Event]) -> Option<Reason> {
    match events.last().expect("a run has events").fact {
        Fact::Summary { reason, .. } => reason,
        ref other => panic!("the last event is {other:?}"),
    }
}

/// Returns how many workers ended in order.
fn ended(events: &[Event]) -> u64 {
    count(events, |fact| matches!(fact, Fact::WorkerExited { exit_code: Some(0), .. }))
}

/// Interrupts a run at a matching event: all workers are stopped, and the run so far is summed up.
#[track_caller]
fn interrupt(demo: Demo, when: impl Fn(&Event) -> bool) -> Vec<Event> {
    let mut run = demo.start();
    run.until(when);
    send(run.pid(), Signal::SIGINT);
    let (code, events, stderr) = run.finish();
    assert_eq!((code, stderr.as_str()), (Some(130), ""));
    let started = count(&events, |fact| matches!(fact, Fact::WorkerStarted { .. }));
    let exited = count(&events, |fact| matches!(fact, Fact::WorkerExited { .. }));
    assert_eq!(started, exited);
    assert_ne!(verdict(&events).0, Verdict::Violated, "nobody is blamed for what was still under way");
    assert_eq!(reason(&events), Some(Reason::Cut));
    events
}

/// Runs it in both languages and checks the width of every line. Returns the output.
#[track_caller]
fn said_in_eighty_columns(demo: impl Fn() -> Demo) -> [String; 2] {
    ["en", "zh"].map(|language| {
        let said = demo().args(["--lang", language]).expect_exit(0).stdout;
        for line in said.lines().filter(|line| !line.contains("ipc-demo")) {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
        said
    })
}
