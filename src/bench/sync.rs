//! The synchronisation primitives, uncontended and back and forth, next to the equivalents of POSIX and the kernel.
//!
//! The two parties are threads, for ours and for the baselines; in Python they are processes, since its threads run one
//! at a time.

use std::hint::black_box;
use std::thread;

use anyhow::Result;
use serde_json::json;

use super::workload::{Point, Sample, Workload};
use crate::sync::OwnedSemaphore;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::SeqCst;
use crate::sys::futex;
use crate::sys::posix::{PosixBarrier, PosixSemaphore};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};
use crate::{Barrier, Condition, Event, Lock, RLock, Semaphore, Value};

/// Returns all workloads, in the order of the output.
pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let point = |task: &str| Point::only().python(json!({ "task": task }));
    vec![
        Workload::new(
            "lock",
            "acquire and release an uncontended lock",
            point("lock").ours("Lock", lock).baseline(ROBUST_MUTEX, robust_mutex),
        ),
        Workload::new(
            "rlock",
            "acquire and release an uncontended recursive lock",
            point("rlock").ours("RLock", rlock).baseline(ROBUST_MUTEX, robust_mutex),
        ),
        Workload::new(
            "semaphore",
            "acquire and release an available permit",
            point("semaphore").ours("Semaphore", semaphore).baseline("sem_t", sem_t),
        ),
        Workload::new(
            "owned-semaphore",
            "the same with permits recovered from dead processes",
            Point::only().ours("OwnedSemaphore", owned_semaphore).baseline("sem_t", sem_t),
        ),
        Workload::new(
            "value",
            "read, change and write a shared number under its lock",
            point("value").ours("Value::update", value).baseline(ROBUST_MUTEX, robust_mutex),
        ),
        Workload::new(
            "event",
            "wake each other in turn, one round trip",
            point("event").ours("two Events", event).baseline(BARE_FUTEX, bare_futex),
        ),
        Workload::new(
            "condition",
            "take turns under a lock, one round trip",
            point("condition").ours("Condition and Lock", condition).baseline(BARE_FUTEX, bare_futex),
        ),
        Workload::new(
            "barrier",
            "two participants meet",
            point("barrier").ours("Barrier", barrier).baseline("pthread_barrier_t", posix_barrier),
        ),
    ]
}

const ROBUST_MUTEX: &str = "robust pthread mutex";
const BARE_FUTEX: &str = "two words and futex(2)";

shared_layout! {
    struct Baseline = b"yardstik" {
        semaphore: PosixSemaphore,
        barrier: PosixBarrier,
        mutex: RobustMutex,
        words: [AtomicU32; 2],
    }
}

fn baseline() -> std::io::Result<Mapping<Baseline>> {
    Mapping::create(0, |baseline: &Baseline| {
        baseline.semaphore.init(1);
        baseline.barrier.init(2);
        baseline.mutex.init()
    })
}

/// Lets two threads each do their half of every operation.
fn each_of_two(
    times: u64,
    here: impl FnMut() -> Result<()>,
    mut there: impl FnMut() -> Result<()> + Send,
) -> Result<Sample> {
    thread::scope(|scope| {
        let other = scope.spawn(move || (0..times).try_for_each(|_| there()));
        let sample = Sample::of(times, here)?;
        other.join().expect("the other half does not panic")?;
        Ok(sample)
    })
}

fn lock(times: u64) -> Result<Sample> {
    let lock = Lock::new()?;
    Sample::of(times, || {
        let _: () = drop(lock.acquire()?);
        Ok(())
    })
}

fn rlock(times: u64) -> Result<Sample> {
    let lock = RLock::new()?;
    Sample::of(times, || {
        let _: () = drop(lock.acquire()?);
        Ok(())
    })
}

fn robust_mutex(times: u64) -> Result<Sample> {
    let bare = baseline()?;
    Sample::of(times, || {
        bare.mutex.lock(None);
        bare.mutex.unlock();
        Ok(())
    })
}

fn semaphore(times: u64) -> Result<Sample> {
    let semaphore = Semaphore::new(1)?;
    Sample::of(times, || {
        semaphore.acquire();
        Ok(semaphore.release()?)
    })
}

fn owned_semaphore(times: u64) -> Result<Sample> {
    let semaphore = OwnedSemaphore::new(1)?;
    Sample::of(times, || {
        let _: () = drop(semaphore.acquire());
        Ok(())
    })
}

fn sem_t(times: u64) -> Result<Sample> {
    let bare = baseline()?;
    Sample::of(times, || {
        bare.semaphore.wait();
        bare.semaphore.post();
        Ok(())
    })
}

fn value(times: u64) -> Result<Sample> {
    let value = Value::new(0_u64)?;
    Sample::of(times, || {
        black_box(value.update(|number| number + 1)?);
        Ok(())
    })
}

fn event(times: u64) -> Result<Sample> {
    let (ping, pong) = (Event::new()?, Event::new()?);
    each_of_two(
        times,
        || {
            ping.set();
            pong.wait();
            let _: () = pong.clear();
            Ok(())
        },
        || {
            ping.wait();
            ping.clear();
            let _: () = pong.set();
            Ok(())
        },
    )
}

fn condition(times: u64) -> Result<Sample> {
    let (lock, condition, turn) = (Lock::new()?, Condition::new()?, AtomicU32::new(0));
    let play = |own: u32| {
        let guard = lock.acquire()?;
        let guard = condition.wait_for(guard, |_| turn.load(SeqCst) == own)?;
        turn.store(1 - own, SeqCst);
        condition.notify(&guard, 1)?;
        Ok(())
    };
    each_of_two(times, || play(0), || play(1))
}

fn bare_futex(times: u64) -> Result<Sample> {
    let bare = baseline()?;
    let [one, other] = &bare.words;
    let take = |word: &AtomicU32| {
        while word.compare_exchange(1, 0, SeqCst, SeqCst).is_err() {
            futex::wait(word, 0, None);
        }
    };
    let give = |word: &AtomicU32| {
        word.store(1, SeqCst);
        futex::wake(word, 1);
    };
    each_of_two(
        times,
        || {
            give(one);
            take(other);
            Ok(())
        },
        || {
            take(one);
            give(other);
            Ok(())
        },
    )
}

fn barrier(times: u64) -> Result<Sample> {
    let barrier = Barrier::new(2)?;
    let wait = || {
        barrier.wait()?;
        Ok(())
    };
    each_of_two(times, wait, wait)
}

fn posix_barrier(times: u64) -> Result<Sample> {
    let bare = baseline()?;
    let wait = || {
        bare.barrier.wait();
        Ok(())
    };
    each_of_two(times, wait, wait)
}
