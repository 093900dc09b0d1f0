//! The primitives that synchronise, alone and there and back, beside what POSIX and the bare kernel have.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

use super::{Side, Workload};
use crate::ipc::{Barrier, Condition, Event, Lock, OwnedSemaphore, RLock, Semaphore, Value};
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::SeqCst;
use crate::sys::futex;
use crate::sys::posix::{PosixBarrier, PosixSemaphore};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};

const PAIRS: u32 = 1_000_000;
const ROUND_TRIPS: u32 = 10_000;

pub(super) static LOCK: Workload = Workload {
    name: "lock",
    about: "take and give back a lock that nobody else wants",
    sides: &[Side { name: "Lock", ns_per_operation: lock }, ROBUST_MUTEX],
};
pub(super) static RLOCK: Workload = Workload {
    name: "rlock",
    about: "the same with a lock that its holder may take again",
    sides: &[Side { name: "RLock", ns_per_operation: rlock }, ROBUST_MUTEX],
};
pub(super) static SEMAPHORE: Workload = Workload {
    name: "semaphore",
    about: "take and give back a permit that is free",
    sides: &[Side { name: "Semaphore", ns_per_operation: semaphore }, SEM_T],
};
pub(super) static OWNED_SEMAPHORE: Workload = Workload {
    name: "owned-semaphore",
    about: "the same with permits that come back from the dead",
    sides: &[Side { name: "OwnedSemaphore", ns_per_operation: owned_semaphore }, SEM_T],
};
pub(super) static VALUE: Workload = Workload {
    name: "value",
    about: "read, change and write a shared number under its lock",
    sides: &[Side { name: "Value::update", ns_per_operation: value }, ROBUST_MUTEX],
};
pub(super) static EVENT: Workload = Workload {
    name: "event",
    about: "two threads wake each other, there and back",
    sides: &[Side { name: "two Events", ns_per_operation: event }, BARE_FUTEX],
};
pub(super) static CONDITION: Workload = Workload {
    name: "condition",
    about: "two threads take turns under a lock, there and back",
    sides: &[Side { name: "Condition and Lock", ns_per_operation: condition }, BARE_FUTEX],
};
pub(super) static BARRIER: Workload = Workload {
    name: "barrier",
    about: "two threads meet",
    sides: &[
        Side { name: "Barrier", ns_per_operation: barrier },
        Side { name: "pthread_barrier_t", ns_per_operation: posix_barrier },
    ],
};

const ROBUST_MUTEX: Side = Side { name: "robust pthread mutex", ns_per_operation: robust_mutex };
const SEM_T: Side = Side { name: "sem_t", ns_per_operation: sem_t };
const BARE_FUTEX: Side = Side { name: "two words and futex(2)", ns_per_operation: bare_futex };

shared_layout! {
    struct Yardstick = b"yardstik" {
        semaphore: PosixSemaphore,
        barrier: PosixBarrier,
        mutex: RobustMutex,
        words: [AtomicU32; 2],
    }
}

fn yardstick() -> std::io::Result<Mapping<Yardstick>> {
    Mapping::create(0, |yardstick: &Yardstick| {
        yardstick.semaphore.init(1);
        yardstick.barrier.init(2);
        yardstick.mutex.init()
    })
}

/// What one of many takes.
fn each(times: u32, mut one: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..times {
        one()?;
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(times))
}

/// What one of many takes when two threads do their half of it together.
fn each_of_two(
    here: impl FnMut() -> anyhow::Result<()>,
    mut there: impl FnMut() -> anyhow::Result<()> + Send,
) -> anyhow::Result<f64> {
    thread::scope(|scope| {
        let other = scope.spawn(move || (0..ROUND_TRIPS).try_for_each(|_| there()));
        let took = each(ROUND_TRIPS, here)?;
        other.join().expect("the other half does not panic")?;
        Ok(took)
    })
}

fn lock() -> anyhow::Result<f64> {
    let lock = Lock::new()?;
    each(PAIRS, || {
        let _: () = drop(lock.acquire()?);
        Ok(())
    })
}

fn rlock() -> anyhow::Result<f64> {
    let lock = RLock::new()?;
    each(PAIRS, || {
        let _: () = drop(lock.acquire()?);
        Ok(())
    })
}

fn robust_mutex() -> anyhow::Result<f64> {
    let bare = yardstick()?;
    each(PAIRS, || {
        bare.mutex.lock(None);
        bare.mutex.unlock();
        Ok(())
    })
}

fn semaphore() -> anyhow::Result<f64> {
    let semaphore = Semaphore::new(1)?;
    each(PAIRS, || {
        semaphore.acquire();
        Ok(semaphore.release()?)
    })
}

fn owned_semaphore() -> anyhow::Result<f64> {
    let semaphore = OwnedSemaphore::new(1)?;
    each(PAIRS, || {
        let _: () = drop(semaphore.acquire());
        Ok(())
    })
}

fn sem_t() -> anyhow::Result<f64> {
    let bare = yardstick()?;
    each(PAIRS, || {
        bare.semaphore.wait();
        bare.semaphore.post();
        Ok(())
    })
}

fn value() -> anyhow::Result<f64> {
    let value = Value::new(0_u64)?;
    each(PAIRS, || {
        black_box(value.update(|number| number + 1)?);
        Ok(())
    })
}

fn event() -> anyhow::Result<f64> {
    let (ping, pong) = (Event::new()?, Event::new()?);
    each_of_two(
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

fn condition() -> anyhow::Result<f64> {
    let (lock, condition, turn) = (Lock::new()?, Condition::new()?, AtomicU32::new(0));
    let play = |own: u32| {
        let guard = lock.acquire()?;
        let guard = condition.wait_for(guard, |_| turn.load(SeqCst) == own)?;
        turn.store(1 - own, SeqCst);
        condition.notify(&guard, 1)?;
        Ok(())
    };
    each_of_two(|| play(0), || play(1))
}

fn bare_futex() -> anyhow::Result<f64> {
    let bare = yardstick()?;
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

fn barrier() -> anyhow::Result<f64> {
    let barrier = Barrier::new(2)?;
    let wait = || {
        barrier.wait()?;
        Ok(())
    };
    each_of_two(wait, wait)
}

fn posix_barrier() -> anyhow::Result<f64> {
    let bare = yardstick()?;
    let wait = || {
        bare.barrier.wait();
        Ok(())
    };
    each_of_two(wait, wait)
}
