//! A pool from its first task to its end: what it runs, and that nothing is left of it.

use std::thread;

use ipc_demo::pool::{Task, TaskError};
use ipc_demo::process::Fd;
use ipc_demo::{Role, RoleResult};
use serde::{Deserialize, Serialize};

use super::task::*;
use crate::harness::{await_end, children_of, is_running, meeting_point, watchdog, worker};

#[test]
fn smoke() {
    let _watchdog = watchdog("pool::smoke");
    let pool = pool(2, Does::new());
    assert_eq!(number(pool.submit(Act::Double(21)).expect("it is accepted").wait()), 42);
    let results: Vec<u64> = pool.map(doubles(0..10_000)).into_iter().map(number).collect();
    assert!(results.into_iter().eq((0..10_000).map(|number| 2 * number)));
    assert!(pool.imap(doubles(0..1000)).map(number).eq((0..1000).map(|number| 2 * number)));
    let mut seen: Vec<(usize, u64)> = pool.imap_unordered(doubles(0..1000)).map(|(at, it)| (at, number(it))).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..1000).map(|at| (at, 2 * at as u64))));
    assert_eq!(pool.map([]).len(), 0);
    assert!(pool.imap([]).next().is_none());
}

/// Runs a pool of its own for each input.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Nests;

impl Task for Nests {
    const NAME: &'static str = "test.pool.nests";
    type Input = u64;
    type Output = u64;

    fn run(&mut self, input: u64) -> Outcome<u64> {
        let inner = pool(2, Does::new());
        Ok(inner.map(doubles(0..input)).into_iter().map(number).sum())
    }
}

#[test]
fn worker_has_a_pool_of_its_own() {
    let _watchdog = watchdog("pool::nested");
    let pool = builder().workers(2).build(Nests).expect("a pool");
    assert!(pool.map([3, 10, 100]).into_iter().eq([6, 90, 9900].map(Ok)));
}

#[test]
fn primitives_work_in_a_task() {
    let _watchdog = watchdog("pool::primitives");
    let task = Does::new();
    let count = task.count.clone();
    let pool = pool(3, task);
    let mut seen: Vec<u64> = pool.map((0..500).map(|_| Act::Count)).into_iter().map(number).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..500) && count.get() == 500);
}

#[test]
fn lock_of_a_thread_is_not_inherited() {
    let _watchdog = watchdog("pool::lock_of_a_thread");
    let _guard = LOCK_OF_PARENT.lock().expect("no panic");
    let results = pool(2, Does::new()).map([Act::LockOfParent, Act::LockOfParent]);
    assert!(results.into_iter().map(number).eq([3, 3]));
}

#[test]
fn threads_share_a_pool() {
    let _watchdog = watchdog("pool::threads_share");
    let pool = pool(2, Does::new());
    thread::scope(|scope| {
        for first in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                let numbers = first * 1000..first * 1000 + 1000;
                let wanted = numbers.clone().map(|number| 2 * number);
                assert!(pool.map(doubles(numbers.clone())).into_iter().map(number).eq(wanted.clone()));
                assert!(pool.imap(doubles(numbers)).map(number).eq(wanted));
                for _ in 0..100 {
                    assert_eq!(number(pool.submit(Act::Double(first)).expect("it is accepted").wait()), 2 * first);
                }
            });
        }
    });
}

#[test]
fn closed_pool_finishes_and_accepts_nothing() {
    let _watchdog = watchdog("pool::closed");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let pool = pool(2, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let mut jobs: Vec<_> = (0..100).map(|index| pool.submit(Act::Double(index)).expect("it is accepted")).collect();
    assert_eq!(here.meet(), Some(b'm'));
    pool.close();
    assert!(matches!(pool.submit(Act::Pid), Err(TaskError::Stopped)));
    assert!(pool.map([Act::Pid, Act::Pid]).iter().all(|result| matches!(result, Err(TaskError::Stopped))));
    drop(release);
    pool.join();
    assert!(pool.workers().is_empty() && number(running.wait()) > 1);
    for (index, job) in jobs.iter_mut().enumerate() {
        assert_eq!(number(job.wait()), 2 * index as u64, "its result is kept");
    }
    pool.join();
}

#[test]
fn closed_pool_still_replaces_a_worker_for_its_tasks() {
    let _watchdog = watchdog("pool::closed_still_replaces");
    let pool = pool(1, Does::dying(1));
    let mut job = pool.submit(Act::DieTimes).expect("it is accepted");
    pool.join();
    assert_eq!(number(job.wait()), 7);
}

#[test]
fn stopper_ends_a_map_from_another_thread() {
    let _watchdog = watchdog("pool::stopper");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let pool = pool(2, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let (stopper, pids) = (pool.stopper(), pool.workers());
    let mut job = pool.submit(Act::Sleep).expect("it is accepted");
    let stops = thread::spawn(move || {
        assert_eq!(here.meet(), Some(b'm'));
        stopper.stop();
    });
    assert!(pool.map([Act::Meet(b'm'), Act::Pid]).iter().all(|result| *result == Err(TaskError::Stopped)));
    stops.join().expect("it stops");
    assert_eq!(job.wait(), Err(TaskError::Stopped));
    pool.join();
    assert!(pids.iter().all(|(_, pid)| !is_running(*pid)));
}

#[test]
fn dropped_pool_leaves_no_process() {
    let _watchdog = watchdog("pool::dropped");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = pool(2, task);
    let pids = pool.workers();
    let mut job = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let _detached = pool.submit(Act::Sleep).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    drop(pool);
    assert!(pids.iter().all(|(_, pid)| !is_running(*pid)));
    assert_eq!(job.wait(), Err(TaskError::Stopped), "a handle outlives its pool");
}

/// Has a pool whose workers wait, and waits.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParentOfPool {
    here: Fd,
    until: Fd,
}

impl Role for ParentOfPool {
    const NAME: &'static str = "test.pool.parent";

    fn run(self) -> RoleResult {
        let pool = pool(3, Does { here: Some(self.here), until: Some(self.until), ..Does::new() });
        let results = pool.map((0..3).map(|_| Act::Meet(b'w')));
        Err(format!("nobody ends them: {results:?}").into())
    }
}

#[test]
fn killed_parent_takes_its_pool_along() {
    let _watchdog = watchdog("pool::killed_parent");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let mut parent = worker("parent", ParentOfPool { here: arrives, until: waits.into() });
    for _ in 0..3 {
        assert_eq!(here.meet(), Some(b'w'));
    }
    let workers = children_of(parent.pid());
    assert_eq!(workers.len(), 3);
    parent.kill().expect("a signal");
    parent.join().expect("it ends");
    workers.into_iter().for_each(await_end);
    assert_eq!(here.meet(), None, "all writers are gone");
}
