//! What the death of a worker costs, and what a limit ends: one task, and nothing else.

use std::sync::mpsc;
use std::time::Duration;

use ipc_demo::pool::{TaskError, WorkerEvent};
use ipc_demo::process::ExitStatus;
use nix::sys::signal::Signal;

use super::task::*;
use crate::harness::{await_end, meeting_point, send, stop, watchdog};

/// One bad task among eleven good ones: the good ones are right, and the bad one has the error.
fn one_bad(act: &Act) -> TaskError {
    let pool = pool(2, Does::new());
    let inputs = (0..12).map(|index| if index == 5 { act.clone() } else { Act::Double(index) });
    let mut results = pool.map(inputs);
    let bad = results.remove(5).expect_err("it has no output");
    let wanted = (0..12).filter(|index| *index != 5).map(|index| 2 * index);
    assert!(results.into_iter().map(number).eq(wanted), "{act:?}");
    bad
}

#[test]
fn death_costs_the_task_that_was_running() {
    let _watchdog = watchdog("pool::death_costs_the_task");
    for (act, wanted) in [
        (Act::KillItself, ExitStatus::Signal(9)),
        (Act::Abort, ExitStatus::Signal(6)),
        (Act::Exit(3), ExitStatus::Code(3)),
        (Act::Exit(0), ExitStatus::Code(0)),
        (Act::DeadlyToRead(Deadly { parent: std::process::id() }), ExitStatus::Signal(9)),
        (Act::ReturnDeadly, ExitStatus::Signal(9)),
    ] {
        let TaskError::WorkerDied { worker, status, attempts } = one_bad(&act) else { panic!("{act:?}") };
        assert_eq!((status, attempts), (wanted, 2), "{act:?}");
        assert!(worker.starts_with("worker-"), "{worker}");
    }
}

#[test]
fn failures_are_results() {
    let _watchdog = watchdog("pool::failures_are_results");
    let TaskError::Failed(failure) = one_bad(&Act::Fail) else { panic!("it fails") };
    assert!(failure.message.contains("No such file") && failure.worker.starts_with("worker-"), "{failure}");
    let TaskError::Panicked(failure) = one_bad(&Act::Panic) else { panic!("it panics") };
    assert!(failure.message == "a task that went wrong", "{failure}");
    assert!(failure.location.as_ref().is_some_and(|location| location.contains("task.rs:")), "{failure}");
    for (act, is_input) in [
        (Act::Formless, true),
        (Act::Unreadable(Unreadable), true),
        (Act::ReturnFormless, false),
        (Act::ReturnUnreadable, false),
    ] {
        let error = one_bad(&act);
        let is_right = matches!((&error, is_input), (TaskError::Input(_), true) | (TaskError::Output(_), false));
        assert!(is_right, "{act:?}: {error:?}");
    }
}

#[test]
fn task_is_tried_again_as_often_as_was_asked_for() {
    let _watchdog = watchdog("pool::tried_again");
    for (retries, deaths) in [(0, 0), (1, 1), (3, 3), (0, 1), (1, 2), (3, 4)] {
        let pool = builder().workers(2).retries(retries).build(Does::dying(deaths)).expect("a pool");
        let result = pool.map([Act::DieTimes]).pop().expect("one result");
        if deaths <= retries as i32 {
            assert_eq!(number(result), 7);
        } else {
            let Err(TaskError::WorkerDied { attempts, .. }) = result else { panic!("{result:?}") };
            assert_eq!(attempts, retries + 1);
        }
    }
}

#[test]
fn killed_idle_worker_costs_nothing_and_is_replaced() {
    let _watchdog = watchdog("pool::killed_idle_worker");
    let (tell, told) = mpsc::channel();
    let report = move |event| tell.send(event).expect("the test outlives the pool");
    let pool = builder().workers(2).on_worker(report).build(Does::new()).expect("a pool");
    let (mut ended, mut workers) = (Vec::new(), Vec::new());
    let mut hear = |events, workers: &mut Vec<u32>| {
        for event in told.iter().take(events) {
            match event {
                WorkerEvent::Started { pid, .. } => workers.push(pid),
                WorkerEvent::Ended { pid, .. } => ended.push(pid),
                other => panic!("{other:?}"),
            }
        }
        std::mem::take(&mut ended)
    };
    hear(2, &mut workers);
    for _ in 0..3 {
        assert!(pool.map([Act::Pid, Act::Pid]).into_iter().map(number).all(|pid| workers.contains(&(pid as u32))));
        let killed = std::mem::take(&mut workers);
        killed.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
        assert!(pool.map(doubles(0..100)).into_iter().map(number).eq((0..100).map(|number| 2 * number)));
        let mut ended = hear(4, &mut workers);
        ended.sort_unstable_by_key(|pid| killed.iter().position(|killed| killed == pid));
        assert!(ended == killed && workers.len() == 2, "{killed:?}, {ended:?}, {workers:?}");
    }
}

#[test]
fn time_limit_ends_a_task_and_no_other() {
    let _watchdog = watchdog("pool::time_limit");
    let pool = builder().workers(2).time_limit(Duration::from_millis(200)).build(Does::new()).expect("a pool");
    let inputs = (0..40).map(|index| if index % 10 == 3 { Act::Sleep } else { Act::Double(index) });
    for (index, result) in pool.map(inputs).into_iter().enumerate() {
        match result {
            Err(TaskError::TimedOut { worker }) if index % 10 == 3 => assert!(worker.starts_with("worker-")),
            result => assert_eq!(number(result), 2 * index as u64),
        }
    }
}

#[test]
fn room_that_comes_without_a_result_is_used() {
    let _watchdog = watchdog("pool::room_without_a_result");
    let builder = builder().workers(1).in_flight(1).time_limit(Duration::from_millis(50));
    let mut results = builder.build(Does::new()).expect("a pool").map([Act::Sleep, Act::Sleep, Act::Double(1)]);
    assert_eq!(number(results.pop().expect("three")), 2);
    assert!(results.iter().all(|result| matches!(result, Err(TaskError::TimedOut { .. }))));
}

#[test]
fn stopped_worker_loses_its_task_to_the_limit_and_holds_up_no_other() {
    let _watchdog = watchdog("pool::stopped_worker");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = builder().workers(2).time_limit(Duration::from_secs(2)).build(task).expect("a pool");
    let mut stopped = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    let busy = number(pool.submit(Act::Pid).expect("it is accepted").wait()) as u32;
    let other = pool.workers().into_iter().map(|(_, pid)| pid).find(|pid| *pid != busy).expect("two workers");
    stop(other);
    assert_eq!(pool.map(doubles(0..1000)).into_iter().map(number).count(), 1000);
    assert!(stopped.wait_timeout(Duration::ZERO).is_none(), "it is stopped in the middle");
    assert!(matches!(stopped.wait(), Err(TaskError::TimedOut { .. })));
    await_end(other);
    drop(release);
}
