//! Deadlock detection: cycles are found whatever their length, and nothing else is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use ipc_demo::process::Fd;
use ipc_demo::sync::{Holder, find_deadlock};
use ipc_demo::{Lock, Process, RLock, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, join_all, meeting_point, watchdog, worker};

/// Acquires one lock, reports, and when told to acquires another. One kind or the other of each.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesTwo {
    first: Lock,
    second: RLock,
    /// Whether to acquire the second lock first.
    swapped: bool,
    here: Fd,
    until: Fd,
}

impl Role for TakesTwo {
    const NAME: &'static str = "test.takes-two";
    fn run(self) -> RoleResult {
        let (lock, rlock) = (self.first, self.second);
        let (here, until) = (self.here, self.until);
        let pause = || {
            arrive(&here, b'1');
            await_word(&until);
        };
        if self.swapped {
            let _first = rlock.acquire()?;
            pause();
            let _second = lock.acquire()?;
        } else {
            let _first = lock.acquire()?;
            pause();
            let _second = rlock.acquire()?;
        }
        arrive(&here, b'2');
        Ok(())
    }
}

/// All tests share one process table, so each would see deadlocks of the others: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts `n` workers around a table with a lock between each two; each holds one and waits for its neighbour's.
fn ring_is_found(n: usize) {
    let locks: Vec<(Lock, RLock)> =
        (0..n / 2).map(|_| (Lock::new().expect("a lock"), RLock::new().expect("a lock"))).collect();
    let ((mut here, arrives), (until, go)) = (meeting_point(), meeting_point());
    let until = Fd::from(until);
    // Worker 2k holds Lock k and wants RLock k; worker 2k + 1 holds RLock k and wants Lock k + 1.
    let start = |number: usize| {
        let lock = &locks[number.div_ceil(2) % locks.len()].0;
        worker(
            &format!("worker-{number}"),
            TakesTwo {
                first: lock.clone(),
                second: locks[number / 2].1.clone(),
                swapped: number % 2 == 1,
                here: arrives.clone(),
                until: until.clone(),
            },
        )
    };
    let mut workers: Vec<Process> = (0..n).map(start).collect();
    workers.iter().for_each(|_| assert_eq!(here.meet(), Some(b'1')));
    assert_eq!(find_deadlock().expect("a family"), None, "all hold and nobody waits");
    drop(go);
    let found = loop {
        if let Some(found) = find_deadlock().expect("a family") {
            break found;
        }
        std::thread::yield_now();
    };
    let first = workers[0].pid();
    let start = found.iter().position(|wait| wait.waiter.pid == first).expect("all are in it");
    let ring: Vec<_> = found.iter().cycle().skip(start).take(found.len()).collect();
    let pids = |who: fn(&ipc_demo::sync::Wait) -> Holder| ring.iter().map(|wait| who(wait).pid).collect::<Vec<_>>();
    let mut expected: Vec<u32> = workers.iter().map(Process::pid).collect();
    assert_eq!(pids(|wait| wait.waiter), expected);
    expected.rotate_left(1);
    assert_eq!(pids(|wait| wait.held_by), expected);
    for (number, wait) in ring.iter().enumerate() {
        let (lock, rlock) = (&locks[number.div_ceil(2) % locks.len()].0, &locks[number / 2].1);
        let (mut holds, mut wants) = (lock.id(), rlock.id());
        if number % 2 == 1 {
            std::mem::swap(&mut holds, &mut wants);
        }
        assert_eq!((wait.holds, wait.waits_for), (holds, wants));
    }
    workers[0].kill().expect("a signal");
    workers[0].join().expect("it ends");
    drop(workers.remove(0));
    join_all(&mut workers);
    assert_eq!(find_deadlock().expect("a family"), None);
}

#[test]
fn rings_of_2_4_and_8_are_found() {
    let (_alone, _watchdog) = (alone(), watchdog("deadlock::rings"));
    [2, 4, 8].into_iter().for_each(ring_is_found);
}

/// Acquires two locks many times, always in the same order.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesInOrder {
    locks: [Lock; 2],
    times: u32,
}

impl Role for TakesInOrder {
    const NAME: &'static str = "test.takes-in-order";
    fn run(self) -> RoleResult {
        let [one, two] = self.locks;
        for _ in 0..self.times {
            let _one = one.acquire()?;
            std::thread::yield_now();
            let _two = two.acquire()?;
        }
        Ok(())
    }
}

#[test]
fn stress_of_ordered_locks_is_no_deadlock() {
    let (_alone, _watchdog) = (alone(), watchdog("deadlock::ordered"));
    let locks = [Lock::new().expect("a lock"), Lock::new().expect("a lock")];
    let start = |number| {
        worker(&format!("worker-{number}"), TakesInOrder { locks: [locks[0].clone(), locks[1].clone()], times: 2_000 })
    };
    let mut workers: Vec<Process> = (0..4).map(start).collect();
    while workers.iter().any(Process::is_alive) {
        assert_eq!(find_deadlock().expect("a family"), None);
    }
    join_all(&mut workers);
}
