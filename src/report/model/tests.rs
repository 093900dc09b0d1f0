//! Models of short lists of events.

use super::*;
use crate::report::event::AnyFact;
use crate::report::frame::{WorkerExited, WorkerStarted};
use crate::scenarios::facts::*;

fn event(at_us: u64, worker: &str, fact: impl Into<AnyFact>) -> Event {
    Event { at_us, worker: worker.to_owned(), pid: worker.len() as u32, fact: fact.into() }
}

fn started() -> WorkerStarted {
    WorkerStarted { role: "a.role", daemon: false }
}

fn exited(signal: Option<i32>) -> WorkerExited {
    WorkerExited { exit_code: signal.is_none().then_some(0), signal, failure: None }
}

fn waiting() -> LockFact {
    LockFact::LockWaiting { lock: "l".to_owned() }
}

fn acquired(abandoned: bool) -> LockFact {
    LockFact::LockAcquired { lock: "l".to_owned(), waited_us: 0, abandoned }
}

fn released() -> LockFact {
    LockFact::LockReleased { lock: "l".to_owned(), held_us: 0 }
}

fn put(number: u64) -> ItemFact {
    ItemFact::ItemPut { value: number.into(), from: "a".to_owned(), number, size: None }
}

fn got(number: u64, redelivered: bool) -> ItemFact {
    ItemFact::ItemGot { value: number.into(), from: "a".to_owned(), number, size: None, redelivered }
}

fn done(number: u64) -> ItemFact {
    ItemFact::TaskDone { value: number.into(), from: "a".to_owned(), number }
}

fn spans(model: &RunModel<'_>, lane: usize) -> Vec<(SpanKind, f64, f64)> {
    model.lanes[lane].spans.iter().map(|span| (span.kind, span.from_us, span.to_us)).collect()
}

fn ends(edge: &Edge<'_>) -> (EdgeKind, usize, f64, usize, f64) {
    (edge.edge_kind, edge.from.lane, edge.from.at_us, edge.to.lane, edge.to.at_us)
}

#[test]
fn waiting_ends_with_holding_and_holding_with_release() {
    let events = [
        event(0, "a", started()),
        event(10, "a", waiting()),
        event(30, "a", acquired(false)),
        event(70, "a", released()),
        event(80, "a", exited(None)),
    ];
    let model = RunModel::of(&events);
    assert_eq!(spans(&model, 0), [(SpanKind::Waiting, 10.0, 30.0), (SpanKind::Holding, 30.0, 70.0)]);
    assert_eq!((model.lanes[0].began_us, model.lanes[0].ended_us), (0.0, 80.0));
}

#[test]
fn what_happens_in_one_microsecond_keeps_its_order() {
    let events = [event(5, "a", waiting()), event(5, "a", acquired(false)), event(6, "a", released())];
    assert_eq!(spans(&RunModel::of(&events), 0), [(SpanKind::Waiting, 5.0, 5.5), (SpanKind::Holding, 5.5, 6.0)]);
}

#[test]
fn whoever_takes_over_a_lock_ends_its_dead_holder_s_hold() {
    // The runner notices the death only after the lock was handed on.
    let events = [
        event(0, "a", acquired(false)),
        event(1, "bb", waiting()),
        event(8, "bb", acquired(true)),
        event(9, "a", exited(Some(9))),
    ];
    let model = RunModel::of(&events);
    assert_eq!(spans(&model, 0), [(SpanKind::Holding, 0.0, 8.0)]);
    assert_eq!(model.edges.iter().map(ends).collect::<Vec<_>>(), [(EdgeKind::Inherited, 0, 8.0, 1, 8.0)]);
    assert_eq!(model.lanes[0].ending, Some(Ending::Killed(9)));
}

#[test]
fn what_was_going_on_at_the_end_lasts_until_then() {
    let events = [event(0, "a", waiting()), event(1, "bb", acquired(false)), event(7, "ccc", started())];
    let model = RunModel::of(&events);
    assert_eq!(spans(&model, 0), [(SpanKind::Waiting, 0.0, 7.0)]);
    assert_eq!((model.lanes[1].ended_us, model.lanes[1].ending), (7.0, None));
}

#[test]
fn nothing_arrives_before_it_left() {
    // A producer tells of an item after it put it, and by then it may be gone.
    let events = [event(0, "a", started()), event(5, "bb", got(1, false)), event(6, "a", put(1))];
    let model = RunModel::of(&events);
    assert_eq!(model.edges.iter().map(ends).collect::<Vec<_>>(), [(EdgeKind::Item, 0, 5.0, 1, 5.0)]);
    assert_eq!(model.lanes[0].moments[1].at_us, 5.0);
}

#[test]
fn taken_items_are_worked_on_only_if_somebody_says_that_they_are_done() {
    let taken = [event(0, "a", put(1)), event(1, "bb", got(1, false)), event(9, "bb", exited(None))];
    assert_eq!(spans(&RunModel::of(&taken), 1), []);
    let leased = [event(0, "a", put(1)), event(1, "bb", got(1, false)), event(4, "bb", done(1))];
    assert_eq!(spans(&RunModel::of(&leased), 1), [(SpanKind::Working, 1.0, 4.0)]);
}

#[test]
fn item_of_a_dead_taker_goes_on_from_it() {
    let events = [
        event(0, "a", put(1)),
        event(1, "bb", got(1, false)),
        event(2, "bb", exited(Some(9))),
        event(3, "ccc", got(1, true)),
        event(5, "ccc", done(1)),
    ];
    let model = RunModel::of(&events);
    let edges = [(EdgeKind::Item, 0, 0.0, 1, 1.0), (EdgeKind::Redelivered, 1, 2.0, 2, 3.0)];
    assert_eq!(model.edges.iter().map(ends).collect::<Vec<_>>(), edges);
    assert_eq!(spans(&model, 1), [(SpanKind::Working, 1.0, 2.0)]);
}

#[test]
fn wait_that_was_told_afterwards_began_then_but_not_before_what_was_told_before() {
    let full = || ItemFact::QueueFull { timeout_us: 10 };
    let events = [event(0, "a", started()), event(30, "a", full()), event(35, "a", full())];
    assert_eq!(spans(&RunModel::of(&events), 0), [(SpanKind::Waiting, 20.0, 30.0), (SpanKind::Waiting, 30.0, 35.0)]);
}

#[test]
fn name_that_comes_again_is_another_process() {
    let mut second = event(9, "a", started());
    second.pid = 77;
    let events = [event(0, "a", started()), event(5, "a", exited(Some(9))), second];
    let model = RunModel::of(&events);
    assert_eq!(model.lanes.iter().map(|lane| (lane.name, lane.pid)).collect::<Vec<_>>(), [("a", 1), ("a", 77)]);
}

#[test]
fn manager_has_a_lane_and_every_call_is_an_arrow_to_it() {
    let made = || ManagerFact::ObjectMade { object: "dict".to_owned(), name: None };
    let called = || ManagerFact::ObjectCalled {
        object: "dict".to_owned(),
        method: "len".to_owned(),
        args: vec![],
        answer: None,
    };
    let manager = |pid| ManagerFact::ManagerStarted { manager_pid: pid, addresses: vec![] };
    let run = |manager_pid| {
        [
            event(0, RUNNER, manager(manager_pid)),
            event(10, RUNNER, made()),
            event(20, "a", started()),
            event(30, "a", called()),
        ]
    };
    let events = run(500);
    let model = RunModel::of(&events);
    let lanes: Vec<_> = model.lanes.iter().map(|lane| (lane.lane_kind, lane.began_us, lane.ended_us)).collect();
    assert_eq!(lanes, [(LaneKind::Runner, 0.0, 30.0), (LaneKind::Server, 0.0, 30.0), (LaneKind::Worker, 20.0, 30.0)]);
    let calls = [(EdgeKind::Call, 0, 10.0, 1, 10.0), (EdgeKind::Call, 2, 30.0, 1, 30.0)];
    assert_eq!(model.edges.iter().map(ends).collect::<Vec<_>>(), calls);
    // A process that serves as a manager itself has one lane.
    let events = run(RUNNER.len() as u32);
    let model = RunModel::of(&events);
    assert_eq!((model.lanes.len(), model.edges.len()), (2, 0));
}
