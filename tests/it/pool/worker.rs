//! What a worker does besides its tasks: it is set up, replaced, and passes long inputs and outputs on.

use std::error::Error;
use std::time::Duration;

use ipc_demo::pool::{Pool, Task, TaskError};
use ipc_demo::{RoleResult, Value};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::task::*;
use crate::harness::{is_running, patient_watchdog, send, until, watchdog};

#[test]
fn workers_are_replaced_after_their_tasks() {
    let _watchdog = watchdog("pool::tasks_per_worker");
    for workers in [1, 2] {
        let pool = builder().workers(workers).tasks_per_worker(3).build(Does::new()).expect("a pool");
        let mut pids: Vec<u64> = pool.imap((0..12).map(|_| Act::Pid)).map(number).collect();
        pids.sort_unstable();
        assert!(pids.chunk_by(|one, other| one == other).all(|tasks| tasks.len() <= 3), "{pids:?}");
    }
}

#[test]
fn value_is_new_after_a_panic_and_its_worker_is_not() {
    let _watchdog = watchdog("pool::value_is_new");
    let pool = pool(1, Does::new());
    let mut results = pool.map([Act::Pid, Act::Setups, Act::Panic, Act::Setups, Act::Pid]);
    let pid = number(results.remove(0));
    assert_eq!(number(results.pop().expect("five")), pid);
    assert_eq!(number(results.pop().expect("four")), 1, "a new clone was set up");
    assert!(matches!(results.pop(), Some(Err(TaskError::Panicked(_)))));
    assert_eq!(number(results.pop().expect("two")), 1);
}

/// How a set-up goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum SetUp {
    Fails,
    Panics,
    Exits,
    Dies,
    /// Only the first two times.
    FailsFirst,
    Hangs,
    /// Only the first time.
    HangsFirst,
}

/// Cannot be set up.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NeverReady {
    how: SetUp,
    tries: Value<u32>,
}

impl Task for NeverReady {
    const NAME: &'static str = "test.pool.never-ready";
    type Input = u64;
    type Output = u64;

    fn set_up(&mut self) -> RoleResult {
        let tries = self.tries.update(|tries| tries + 1)?;
        match self.how {
            SetUp::Fails => Err("there is no model to load".into()),
            SetUp::Panics => panic!("a model that went wrong"),
            SetUp::Exits => std::process::exit(3),
            SetUp::Dies => std::process::abort(),
            SetUp::FailsFirst if tries < 2 => Err("not yet".into()),
            SetUp::Hangs => hang(),
            SetUp::HangsFirst if tries == 1 => hang(),
            SetUp::FailsFirst | SetUp::HangsFirst => Ok(()),
        }
    }

    fn run(&mut self, input: u64) -> Outcome<u64> {
        Ok(input)
    }
}

#[test]
fn set_up_that_fails_is_told_by_every_task_and_not_tried_for_ever() {
    let _watchdog = watchdog("pool::set_up_that_fails");
    for (how, words) in [
        (SetUp::Fails, "there is no model to load"),
        (SetUp::Panics, "a model that went wrong"),
        (SetUp::Exits, "exit code 3"),
        (SetUp::Dies, "SIGABRT"),
    ] {
        for workers in [1, 2] {
            let tries = Value::new(0).expect("a value");
            let task = NeverReady { how, tries: tries.clone() };
            let pool = builder().workers(workers).build(task).expect("the processes exist");
            for result in pool.map(0..20) {
                let Err(TaskError::NoWorkers { reason }) = result else { panic!("{how:?}: {result:?}") };
                assert!(reason.contains(words), "{how:?}: {reason}");
            }
            let is_refused = matches!(pool.submit(1), Err(TaskError::NoWorkers { .. }));
            assert!(is_refused && (3..=4).contains(&tries.get()), "{how:?}: {} tries", tries.get());
            pool.join();
            assert!(pool.workers().is_empty());
        }
    }
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

#[test]
fn set_up_that_hangs_holds_up_no_other_worker() {
    let _watchdog = watchdog("pool::set_up_hangs_first");
    let task = NeverReady { how: SetUp::HangsFirst, tries: Value::new(0).expect("a value") };
    let builder = builder().workers(2).time_limit(Duration::from_secs(1));
    let pool = builder.build(task).expect("a pool");
    let workers = pool.workers();
    assert!(pool.map(0..1000).into_iter().eq((0..1000).map(Ok)));
    assert_eq!(pool.workers(), workers, "the limit is that of a task");
    drop(pool);
    assert!(workers.iter().all(|(_, pid)| !is_running(*pid)));
}

#[test]
fn tasks_of_a_pool_whose_set_up_hangs_can_be_cancelled_and_stopped() {
    let _watchdog = watchdog("pool::set_up_hangs");
    let tries = Value::new(0).expect("a value");
    let pool = builder().workers(1).build(NeverReady { how: SetUp::Hangs, tries: tries.clone() }).expect("a pool");
    let mut cancelled = pool.submit(1).expect("it is accepted");
    let mut stopped = pool.submit(2).expect("it is accepted");
    until(|| tries.get() == 1);
    assert!(cancelled.wait_timeout(Duration::from_millis(1)).is_none());
    assert!(cancelled.cancel());
    assert_eq!(cancelled.wait(), Err(TaskError::Cancelled));
    pool.terminate();
    assert_eq!(stopped.wait(), Err(TaskError::Stopped));
    pool.join();
    assert!(pool.workers().is_empty());
}

#[test]
fn set_up_that_fails_at_first_is_tried_again() {
    let _watchdog = watchdog("pool::set_up_at_first");
    let task = NeverReady { how: SetUp::FailsFirst, tries: Value::new(0).expect("a value") };
    let pool = builder().workers(1).build(task).expect("a pool");
    assert!(pool.map(0..20).into_iter().eq((0..20).map(Ok)));
}

#[test]
fn unknown_program_is_told_by_every_task() {
    let _watchdog = watchdog("pool::unknown_program");
    let pool = Pool::builder().workers(2).program("/bin/true", &[]).build(Does::new()).expect("the processes exist");
    for result in pool.map(doubles(0..3)) {
        let Err(TaskError::NoWorkers { reason }) = result else { panic!("{result:?}") };
        assert!(reason.contains("never entered the role"), "{reason}");
    }
}

#[test]
fn long_inputs_and_outputs_arrive() {
    let _watchdog = watchdog("pool::long_inputs");
    let pool = builder().workers(2).in_flight_bytes(1 << 20).build(Does::new()).expect("a pool");
    for len in [0, 20, 33, 39, 40, 41, 47, 48, 49, 1000, 100_000, (1 << 20) - 100] {
        let text = "y".repeat(len);
        let results = pool.map((0..40).map(|_| Act::Measure(text.clone())));
        assert!(results.into_iter().map(number).all(|found| found == len as u64), "{len}");
        for result in pool.imap((0..40).map(|_| Act::Text(len))) {
            assert!(matches!(result, Ok(Output::Text(text)) if text == "x".repeat(len)), "{len}");
        }
    }
    let long = super::task::pool(1, Does::new()).map([Act::Text(64 << 20)]).pop();
    assert!(matches!(long, Some(Ok(Output::Text(text))) if text.len() == 64 << 20));
    let too_long = pool.map([Act::Measure("y".repeat(1 << 20)), Act::Text(1 << 20), Act::Double(1)]);
    for (result, is_right) in [
        (&too_long[0], matches!(&too_long[0], Err(TaskError::Input(_)))),
        (&too_long[1], matches!(&too_long[1], Err(TaskError::Output(_)))),
    ] {
        let source = result.as_ref().expect_err("it is too long").source().expect("why").to_string();
        assert!(is_right && source.ends_with("and Builder::in_flight_bytes allows 1048576"), "{result:?}: {source}");
    }
    assert!(too_long[2].is_ok());
}

#[test]
#[ignore = "takes 3 GiB of memory: cargo test --release --test it gibibyte -- --ignored"]
fn result_of_a_gibibyte_arrives_if_it_is_allowed() {
    let _watchdog = patient_watchdog("pool::gibibyte");
    const GIBIBYTE: usize = 1 << 30;
    let pool = builder().workers(2).in_flight_bytes(GIBIBYTE as u64 + 100).build(Does::new()).expect("a pool");
    let mut results = pool.map([Act::Text(GIBIBYTE), Act::Double(1)]);
    assert_eq!(number(results.pop().expect("two")), 2);
    let text = results.pop().expect("one").expect("it has room");
    assert!(matches!(text, Output::Text(text) if text.len() == GIBIBYTE && text.bytes().all(|byte| byte == b'x')));
    let refused = super::task::pool(1, Does::new()).map([Act::Text(GIBIBYTE)]).pop().expect("one");
    assert!(matches!(refused, Err(TaskError::Output(_))), "more than the default");
}

#[test]
fn long_results_are_kept_for_another_caller_and_after_their_worker() {
    let _watchdog = watchdog("pool::kept_for_another");
    const LEN: usize = 200_000;
    let pool = builder().workers(1).in_flight_bytes(4 * LEN as u64).build(Does::new()).expect("a pool");
    let is_whole = |result: Result<Output, TaskError>| matches!(result, Ok(Output::Text(text)) if text.len() == LEN);
    let mut handles: Vec<_> = (0..8).map(|_| pool.submit(Act::Text(LEN)).expect("it is accepted")).collect();
    let mut texts = pool.imap((0..20).map(|_| Act::Text(LEN)));
    assert!(texts.next().is_some_and(is_whole));
    // Its results stay untaken, and hold up nobody.
    assert!(pool.map((0..20).map(|_| Act::Text(LEN))).into_iter().all(is_whole));
    let (_, pid) = pool.workers().pop().expect("one worker");
    send(pid, Signal::SIGKILL);
    assert!(texts.all(is_whole));
    assert!(handles.iter_mut().all(|handle| is_whole(handle.wait())));
}
