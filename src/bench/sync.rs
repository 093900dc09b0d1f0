//! The synchronisation primitives, uncontended and back and forth, next to the equivalents of POSIX and the kernel.
//!
//! The two parties are threads, for ours and for the baselines; in Python they are processes, since its threads run one
//! at a time.

use std::hint::black_box;
use std::thread;

use anyhow::Result;
use serde_json::json;

use super::workload::{Point, Sample, Workload};
use crate::sync::{GenericLock, OwnedSemaphore};
use crate::sys::atomic::Ordering::SeqCst;
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::futex;
use crate::sys::posix::{PosixBarrier, PosixSemaphore};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};
use crate::{Barrier, Condition, Event, Lock, Semaphore, Value};

/// A side's name, and its function.
type Side = (&'static str, fn(u64) -> Result<Sample>);

const ROBUST_MUTEX: Side = ("robust pthread mutex", robust_mutex);
const ATOMIC: Side = ("AtomicU64::fetch_add", atomic);
const SEM_T: Side = ("sem_t", sem_t);
const BARE_FUTEX: Side = ("two words and futex(2)", bare_futex);
const POSIX_BARRIER: Side = ("pthread_barrier_t", posix_barrier);

/// Returns all workloads, in the order of the output.
pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let sides = |ours: Side, baseline: Side| Point::only().ours(ours.0, ours.1).baseline(baseline.0, baseline.1);
    let workload =
        |name, about, ours, baseline| Workload::new(name, about, sides(ours, baseline).python(json!({ "task": name })));
    let recovered = sides(("OwnedSemaphore", owned_semaphore), SEM_T);
    vec![
        workload("lock", "acquire and release an uncontended lock", ("Lock", lock::<false>), ROBUST_MUTEX),
        workload("rlock", "acquire and release an uncontended recursive lock", ("RLock", lock::<true>), ROBUST_MUTEX),
        workload("semaphore", "acquire and release an available permit", ("Semaphore", semaphore), SEM_T),
        Workload::new("owned-semaphore", "the same with permits recovered from dead processes", recovered),
        workload(
            "value",
            "read, change and write a shared number under its lock",
            ("Value::update", value),
            ROBUST_MUTEX,
        ),
        Workload::new(
            "value-add",
            "add to a shared number, without a lock",
            sides(("Value::fetch_add", fetch_add), ATOMIC),
        ),
        workload("event", "wake each other in turn, one round trip", ("two Events", event), BARE_FUTEX),
        workload("condition", "take turns under a lock, one round trip", ("Condition and Lock", condition), BARE_FUTEX),
        workload("barrier", "two participants meet", ("Barrier", barrier), POSIX_BARRIER),
    ]
}

shared_layout! {
    struct Baseline = b"baseline" {
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
fn each_of_two<T>(
    times: u64,
    here: impl FnMut() -> Result<T>,
    mut there: impl FnMut() -> Result<T> + Send,
) -> Result<Sample> {
    thread::scope(|scope| {
        let other = scope.spawn(move || (0..times).try_for_each(|_| there().map(drop)));
        let sample = Sample::of(times, here)?;
        other.join().expect("the other half does not panic")?;
        Ok(sample)
    })
}

fn lock<const REENTRANT: bool>(times: u64) -> Result<Sample> {
    let lock = GenericLock::<REENTRANT>::new()?;
    Sample::of(times, || Ok(lock.acquire()?))
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
    Sample::of(times, || Ok(semaphore.acquire()))
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
    Sample::of(times, || Ok(black_box(value.update(|number| number + 1)?)))
}

fn fetch_add(times: u64) -> Result<Sample> {
    let value = Value::new(0_u64)?;
    Sample::of(times, || Ok(black_box(value.fetch_add(1))))
}

fn atomic(times: u64) -> Result<Sample> {
    let number = black_box(AtomicU64::new(0));
    Sample::of(times, || Ok(black_box(number.fetch_add(1, SeqCst))))
}

fn event(times: u64) -> Result<Sample> {
    let (ping, pong) = (Event::new()?, Event::new()?);
    let take = |event: &Event| {
        event.wait();
        event.clear();
        Ok(())
    };
    let ours = || {
        ping.set();
        take(&pong)
    };
    let theirs = || take(&ping).map(|()| pong.set());
    each_of_two(times, ours, theirs)
}

fn condition(times: u64) -> Result<Sample> {
    let (lock, condition, turn) = (Lock::new()?, Condition::new()?, AtomicU32::new(0));
    let take_turn = |own: u32| {
        let guard = lock.acquire()?;
        let guard = condition.wait_for(guard, |_| turn.load(SeqCst) == own)?;
        turn.store(1 - own, SeqCst);
        condition.notify(&guard, 1)?;
        Ok(())
    };
    each_of_two(times, || take_turn(0), || take_turn(1))
}

fn bare_futex(times: u64) -> Result<Sample> {
    let bare = baseline()?;
    let [ping, pong] = &bare.words;
    let take = |word: &AtomicU32| {
        while word.compare_exchange(1, 0, SeqCst, SeqCst).is_err() {
            futex::wait(word, 0, None);
        }
        Ok(())
    };
    let give = |word: &AtomicU32| {
        word.store(1, SeqCst);
        futex::wake(word, 1);
    };
    let ours = || {
        give(ping);
        take(pong)
    };
    let theirs = || take(ping).map(|()| give(pong));
    each_of_two(times, ours, theirs)
}

fn barrier(times: u64) -> Result<Sample> {
    let barrier = Barrier::new(2)?;
    let wait = || Ok(barrier.wait()?);
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
