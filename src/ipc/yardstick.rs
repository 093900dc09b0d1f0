//! Our primitives beside what POSIX and the bare kernel have, in one run. Only an optimised build says anything:
//! `cargo test --release --lib yardstick -- --ignored --test-threads=1 --nocapture`.

use std::hint::black_box;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use super::{Barrier, Condition, Event, Lock, OwnedSemaphore, RLock, Semaphore, Value};
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::SeqCst;
use crate::sys::futex;
use crate::sys::posix::{PosixBarrier, PosixSemaphore};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    struct Yardstick = b"yardstik" {
        semaphore: PosixSemaphore,
        barrier: PosixBarrier,
        mutex: RobustMutex,
        words: [AtomicU32; 2],
    }
}

fn yardstick() -> Mapping<Yardstick> {
    let init = |yardstick: &Yardstick| {
        yardstick.semaphore.init(1);
        yardstick.barrier.init(2);
        yardstick.mutex.init()
    };
    Mapping::create(0, init).expect("memory")
}

/// The best of several runs: what the machine's other work added is not ours.
fn nanoseconds_each(times: u32, run: impl Fn(u32)) -> f64 {
    let once = || {
        let begun = Instant::now();
        run(times);
        begun.elapsed()
    };
    let best: Duration = (0..7).map(|_| once()).min().expect("seven runs");
    best.as_secs_f64() * 1e9 / f64::from(times)
}

fn compare(what: &str, ours: f64, theirs: f64, limit: f64) {
    let ratio = ours / theirs;
    let line = format!("{what}: {ours:.1} ns, yardstick {theirs:.1} ns, ratio {ratio:.2} (at most {limit})\n");
    let _ = std::io::stderr().write_all(line.as_bytes());
    assert!(ratio <= limit, "{line}");
}

fn repeat(step: impl Fn()) -> impl Fn(u32) {
    move |times| (0..times).for_each(|_| step())
}

#[test]
#[ignore = "measures; needs an optimised build and a quiet machine"]
fn uncontended() {
    const TIMES: u32 = 1_000_000;
    let theirs = yardstick();
    let sem_t = nanoseconds_each(
        TIMES,
        repeat(|| {
            theirs.semaphore.wait();
            theirs.semaphore.post();
        }),
    );
    let robust = nanoseconds_each(
        TIMES,
        repeat(|| {
            black_box(theirs.mutex.lock(None));
            black_box(theirs.mutex.unlock());
        }),
    );
    let semaphore = Semaphore::new(1).expect("a semaphore");
    let ours = nanoseconds_each(
        TIMES,
        repeat(|| {
            semaphore.acquire();
            semaphore.release().expect("room");
        }),
    );
    compare("semaphore, acquire and release", ours, sem_t, 1.5);
    let owned = OwnedSemaphore::new(1).expect("a semaphore");
    compare(
        "owned semaphore, acquire and release",
        nanoseconds_each(TIMES, repeat(|| drop(owned.acquire()))),
        sem_t,
        1.5,
    );
    let lock = Lock::new().expect("a lock");
    let ours = nanoseconds_each(TIMES, repeat(|| drop(lock.acquire().expect("free"))));
    compare("lock, acquire and release", ours, robust, 1.2);
    let rlock = RLock::new().expect("a lock");
    let ours = nanoseconds_each(TIMES, repeat(|| drop(rlock.acquire().expect("free"))));
    compare("rlock, acquire and release", ours, robust, 1.2);
    let value = Value::new(0_u64).expect("a value");
    let ours = nanoseconds_each(
        TIMES,
        repeat(|| {
            black_box(value.update(|n| n + 1).expect("free"));
        }),
    );
    // The lock and a compare-and-swap, so that a plain set in between is not lost.
    compare("value, update under its lock", ours, robust, 2.0);
}

#[test]
#[ignore = "measures; needs an optimised build and a quiet machine"]
fn ping_pong() {
    const TIMES: u32 = 20_000;
    let theirs = yardstick();
    let [one, other] = &theirs.words;
    let take = |word: &AtomicU32| {
        while word.compare_exchange(1, 0, SeqCst, SeqCst).is_err() {
            futex::wait(word, 0, None);
        }
    };
    let give = |word: &AtomicU32| {
        word.store(1, SeqCst);
        futex::wake(word, 1);
    };
    let both = |ping: &(dyn Fn() + Sync), pong: &(dyn Fn() + Sync)| {
        nanoseconds_each(TIMES, |times| {
            thread::scope(|scope| {
                scope.spawn(|| (0..times).for_each(|_| pong()));
                (0..times).for_each(|_| ping());
            });
        })
    };
    let bare = both(
        &|| {
            give(one);
            take(other);
        },
        &|| {
            take(one);
            give(other);
        },
    );
    let [ping, pong] = [Event::new().expect("an event"), Event::new().expect("an event")];
    let events = both(
        &|| {
            ping.set();
            pong.wait();
            pong.clear();
        },
        &|| {
            ping.wait();
            ping.clear();
            pong.set();
        },
    );
    compare("event, there and back", events, bare, 1.5);
    let [ping, pong] = [Semaphore::new(0).expect("a semaphore"), Semaphore::new(0).expect("a semaphore")];
    let semaphores = both(
        &|| {
            ping.release().expect("room");
            pong.acquire();
        },
        &|| {
            ping.acquire();
            pong.release().expect("room");
        },
    );
    compare("semaphore, there and back", semaphores, bare, 1.5);
    let posix = both(&|| theirs.barrier.wait(), &|| theirs.barrier.wait());
    let barrier = Barrier::new(2).expect("a barrier");
    let wait = || {
        black_box(barrier.wait().expect("two"));
    };
    compare("barrier of two", both(&wait, &wait), posix, 1.5);
    let (lock, condition) = (Lock::new().expect("a lock"), Condition::new().expect("a condition"));
    let turn = AtomicU32::new(0);
    let play = |own: u32| {
        let guard = lock.acquire().expect("free");
        let guard = condition.wait_for(guard, |_| turn.load(SeqCst) == own).expect("notified");
        turn.store(1 - own, SeqCst);
        condition.notify(&guard, 1).expect("the same lock");
    };
    let ours = both(&|| play(0), &|| play(1));
    // No counterpart survives a kill; two wakes and a lock each way, so twice the bare one is what can be hoped for.
    compare("condition, there and back", ours, bare, 3.0);
}
