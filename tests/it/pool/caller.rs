//! Tasks that are cancelled.

use std::time::Duration;

use ipc_demo::pool::TaskError;

use super::task::*;
use crate::harness::{await_end, meeting_point, watchdog};

#[test]
fn cancelled_task_stops_while_it_runs_or_waits() {
    let _watchdog = watchdog("pool::cancelled_task");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let pool = pool(1, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let mut waiting = pool.submit(Act::Double(1)).expect("it is accepted");
    let mut last = pool.submit(Act::Double(2)).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    let (_, pid) = pool.workers().pop().expect("a worker");
    assert!(waiting.cancel() && waiting.cancel(), "again is no error");
    assert!(matches!(waiting.wait(), Err(TaskError::Cancelled)));
    assert!(running.wait_timeout(Duration::from_millis(1)).is_none());
    assert!(running.cancel());
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
    await_end(pid);
    assert_eq!(number(last.wait()), 4, "another worker does the rest");
    assert!(!last.cancel(), "it has its result");
    assert_eq!(number(last.wait()), 4);
    drop(release);
}

#[test]
fn cancelled_tasks_leave_no_trace_in_a_busy_pool() {
    let _watchdog = watchdog("pool::cancelled_tasks");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = builder().workers(1).in_flight(8).build(task).expect("a pool");
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    for number in 0..1000 {
        let job = pool.submit(Act::Double(number)).expect("it is accepted");
        assert!(job.cancel());
    }
    let mut last = pool.submit(Act::Double(4)).expect("it is accepted");
    drop(release);
    assert!(number(running.wait()) > 1);
    assert_eq!(number(last.wait()), 8);
}
