//! Counting semaphores, as in Python: any process may release, and permits have no recorded holder.
//!
//! # State
//! One word: `free permits << 7 | joins << 1 | WAITING`. Acquiring subtracts a permit. A waiter that finds none joins
//! the sleepers: one CAS sets WAITING and changes `joins`, so that the value each sleeper sleeps on is its own. A
//! release that sees WAITING adds its permit and wakes one sleeper; if there was none, it clears WAITING with a CAS
//! that fails if another waiter joined meanwhile. Without WAITING there are no system calls.
//!
//! # Ordering
//! A permit is released with `Release` and acquired with `Acquire`: everything before [`Semaphore::release`] is visible
//! after the acquire that got the permit.
//!
//! # Death
//! A killed waiter leaves no trace. A killed holder keeps its permits, as in Python;
//! [`OwnedSemaphore`](crate::sync::OwnedSemaphore) recovers them. A permit and its wake-up are one system call, so a
//! release is done or never happened. A waiter that is woken and killed before it acquired its permit leaves it free;
//! sleepers look every 100 ms and find it.
//!
//! # Standard
//! Python `multiprocessing.Semaphore`, `BoundedSemaphore`. The single word follows glibc's `sem_t`.

use std::fmt;
use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_range, os};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::sys::futex;
use crate::sys::shm::{Mapping, shared_layout};

/// A process may be asleep.
const WAITING: u32 = 1;
const JOIN: u32 = 1 << 1;
const JOINS: u32 = 0x3f << 1;
/// One free permit.
const PERMIT: u32 = 1 << 7;
/// Maximum number of permits that a semaphore counts.
pub(crate) const MAX_VALUE: u32 = u32::MAX / PERMIT;

const ACQUIRE: Waits = Waits::change(["semaphore.acquire", "semaphore.acquire_timeout", "semaphore.try_acquire"]);

shared_layout! {
    struct SemaphoreState = b"semaphor" {
        word: AtomicU32,
        limit: AtomicU32,
    }
}

/// A counting semaphore between processes: a counter that blocks instead of falling below zero. Its methods are those of
/// [`GenericSemaphore`].
///
/// Permits have no owner: a killed process does not release its permits. [`OwnedSemaphore`](crate::sync::OwnedSemaphore)
/// recovers them.
///
/// ```
/// # use std::time::Duration;
/// let semaphore = ipc_demo::Semaphore::new(1)?;
/// semaphore.acquire();
/// assert!(!semaphore.try_acquire());
/// assert!(!semaphore.acquire_timeout(Duration::from_millis(1)));
/// semaphore.release()?;
/// assert_eq!(semaphore.get_value(), 1);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub type Semaphore = GenericSemaphore<false>;

/// A [`Semaphore`] that never has more free permits than initially: an excess release is an error. Its methods are
/// those of [`GenericSemaphore`].
pub type BoundedSemaphore = GenericSemaphore<true>;

/// The common implementation of [`Semaphore`] and [`BoundedSemaphore`], which differ in their maximum number of free
/// permits.
#[derive(Clone)]
pub struct GenericSemaphore<const BOUNDED: bool> {
    state: Mapping<SemaphoreState>,
}

impl<const BOUNDED: bool> GenericSemaphore<BOUNDED> {
    /// Creates a semaphore with `value` free permits, which is also the maximum of a [`BoundedSemaphore`]. With 0,
    /// acquirers block until the first release.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] above 33,554,431, and for a [`BoundedSemaphore`] of 0, which could never be acquired;
    /// [`Error::Os`] if memory or descriptors run out.
    pub fn new(value: u32) -> Result<Self> {
        check_range("the value of a semaphore", value.into(), u64::from(BOUNDED)..=MAX_VALUE.into())?;
        let init = |state: &SemaphoreState| {
            state.word.store(value * PERMIT, Relaxed);
            state.limit.store(if BOUNDED { value } else { MAX_VALUE }, Relaxed);
            Ok(())
        };
        Ok(GenericSemaphore { state: Mapping::create(0, init).map_err(os("make a semaphore"))? })
    }

    /// Acquires a permit. Blocks until one is free.
    ///
    /// # System calls
    /// `futex`, only if no permit is free.
    #[inline]
    pub fn acquire(&self) {
        self.acquire_within(None);
    }

    /// Acquires a permit if one is free, and returns whether it did. Does not block.
    #[inline]
    pub fn try_acquire(&self) -> bool {
        self.acquire_within(Some(Duration::ZERO))
    }

    /// Acquires a permit, blocking for at most `timeout` on the monotonic clock. Returns `false` on timeout;
    /// `Duration::ZERO` tries once.
    ///
    /// # Standard
    /// Python `Semaphore.acquire(timeout=…)`.
    pub fn acquire_timeout(&self, timeout: Duration) -> bool {
        self.acquire_within(Some(timeout))
    }

    #[inline]
    fn acquire_within(&self, timeout: Option<Duration>) -> bool {
        ACQUIRE.pass(timeout, &self.state, || self.value() > 0);
        // pairs with: the additions in `release`
        let taken = self.state.word.fetch_update(Acquire, Relaxed, |now| now.checked_sub(PERMIT));
        taken.is_ok() || (timeout != Some(Duration::ZERO) && self.wait(Deadline::within(timeout)))
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> bool {
        let word = &self.state.word;
        loop {
            let Err(now) = word.fetch_update(Acquire, Relaxed, |now| now.checked_sub(PERMIT)) else { return true };
            if deadline.has_passed() {
                return false;
            }
            let joined = (now.wrapping_add(JOIN) & JOINS) | WAITING;
            if word.compare_exchange(now, joined, Relaxed, Relaxed).is_ok() {
                futex::wait(word, joined, Some(deadline.next_check()));
            }
        }
    }

    /// Releases a permit, whether or not the caller acquired it, and wakes at most one waiter.
    ///
    /// # Errors
    /// [`Error::ReleasedTooOften`] above 33,554,431 free permits, and above the initial value of a
    /// [`BoundedSemaphore`]; the semaphore is unchanged then.
    ///
    /// # System calls
    /// `futex`, only if a process may be waiting.
    #[inline]
    pub fn release(&self) -> Result<()> {
        point(Operation::change("semaphore.release"), &self.state, always);
        let limit = if BOUNDED { self.state.limit.load(Relaxed) } else { MAX_VALUE };
        let add_unawaited = |now| (now & WAITING == 0 && now / PERMIT < limit).then(|| now + PERMIT);
        // pairs with: the subtraction in `acquire_within`
        match self.state.word.fetch_update(Release, Relaxed, add_unawaited) {
            Ok(_) => Ok(()),
            Err(_) => self.release_and_wake(limit),
        }
    }

    /// The slow path of a release: there are waiters, or too many free permits.
    ///
    /// # Death
    /// If the addition must be checked, adding and waking are two steps. If the process is killed in between, a
    /// sleeping waiter finds the permit at its next check.
    #[cold]
    fn release_and_wake(&self, limit: u32) -> Result<()> {
        let word = &self.state.word;
        let mut before = word.load(Relaxed);
        // The kernel adds without a check, which is safe only far below the limit.
        let woken = if !BOUNDED && before / PERMIT < limit / 2 {
            futex::add_and_wake(word, PERMIT as u16, 1)
        } else {
            let add = |now| (now / PERMIT < limit).then(|| now + PERMIT);
            before = word.fetch_update(AcqRel, Relaxed, add).map_err(|_| Error::ReleasedTooOften { limit })?;
            futex::wake(word, 1)
        };
        if woken == 0 && before & WAITING != 0 {
            let after = before + PERMIT;
            // Fails if the word changed since: then WAITING stays, and the next release calls the kernel again.
            let _ = word.compare_exchange(after, after & !WAITING, Relaxed, Relaxed);
        }
        Ok(())
    }

    /// Returns the number of free permits; it may change before this returns.
    pub fn get_value(&self) -> u32 {
        point(Operation::read("semaphore.get_value"), &self.state, always);
        self.value()
    }

    fn value(&self) -> u32 {
        self.state.word.load(Relaxed) / PERMIT
    }
}

impl<const BOUNDED: bool> fmt::Debug for GenericSemaphore<BOUNDED> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if BOUNDED { "BoundedSemaphore" } else { "Semaphore" };
        f.debug_struct(name).field("value", &self.value()).finish_non_exhaustive()
    }
}

sent_in_roles!(
    [const BOUNDED: bool] GenericSemaphore<BOUNDED>, if BOUNDED { "a BoundedSemaphore" } else { "a Semaphore" },
    |semaphore, _| Ok(&semaphore.state), |state: Mapping<SemaphoreState>| Ok(GenericSemaphore { state })
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, would_block};
    use crate::ipc::test_util::{watchdog, with_sleepers, without_a_look};
    use std::sync::atomic::AtomicU64;
    use std::thread;

    const SOON: Duration = Duration::from_millis(1);

    #[test]
    fn every_operation_passes_one_point() {
        let semaphore = Semaphore::new(1).expect("a semaphore");
        let object = &semaphore.state;
        goes("semaphore.acquire", object, || semaphore.acquire());
        would_block("semaphore.acquire", object, || semaphore.acquire());
        would_block("semaphore.acquire_timeout", object, || semaphore.acquire_timeout(Duration::MAX));
        assert!(!goes("semaphore.try_acquire", object, || semaphore.try_acquire()));
        assert!(!goes("semaphore.try_acquire", object, || semaphore.acquire_timeout(Duration::ZERO)));
        goes("semaphore.release", object, || semaphore.release()).expect("few permits");
        assert_eq!(goes("semaphore.get_value", object, || semaphore.get_value()), 1, "nothing was done at a point");
        assert!(goes("semaphore.acquire_timeout", object, || semaphore.acquire_timeout(Duration::MAX)));
        let bounded = BoundedSemaphore::new(1).expect("a semaphore");
        let object = &bounded.state;
        goes("semaphore.acquire", object, || bounded.acquire());
        would_block("semaphore.acquire", object, || bounded.acquire());
        goes("semaphore.release", object, || bounded.release()).expect("it was acquired");
        goes("semaphore.release", object, || bounded.release()).expect_err("once too often");
    }

    #[test]
    fn smoke() {
        let _watchdog = watchdog();
        let semaphore = Semaphore::new(2).expect("a semaphore");
        semaphore.acquire();
        assert!(semaphore.try_acquire());
        assert!(!semaphore.try_acquire());
        assert_eq!(semaphore.get_value(), 0);
        semaphore.release().expect("room");
        assert!(semaphore.acquire_timeout(Duration::MAX));
    }

    #[test]
    fn release_without_acquire_adds_a_permit() {
        let semaphore = Semaphore::new(0).expect("a semaphore");
        semaphore.release().expect("room");
        semaphore.release().expect("room");
        assert_eq!(semaphore.get_value(), 2);
    }

    #[test]
    fn acquire_times_out_and_leaves_the_semaphore_usable() {
        let _watchdog = watchdog();
        let semaphore = Semaphore::new(0).expect("a semaphore");
        assert!(!semaphore.acquire_timeout(Duration::ZERO));
        assert!(!semaphore.acquire_timeout(SOON));
        semaphore.release().expect("room");
        assert_eq!(semaphore.get_value(), 1);
        let word = semaphore.state.word.load(Relaxed);
        assert_eq!(word & WAITING, 0, "the release found nobody asleep and says so");
        assert!(semaphore.acquire_timeout(Duration::from_secs(100 * 365 * 24 * 3600)));
    }

    #[test]
    fn bounded_release_above_the_start_is_an_error() {
        let semaphore = BoundedSemaphore::new(2).expect("a semaphore");
        assert!(matches!(semaphore.release(), Err(Error::ReleasedTooOften { limit: 2 })));
        semaphore.acquire();
        semaphore.release().expect("one was taken");
        assert!(semaphore.release().is_err());
        assert_eq!(semaphore.get_value(), 2);
    }

    #[test]
    fn value_out_of_range_is_an_error() {
        assert!(Semaphore::new(0).is_ok(), "the first release opens it");
        assert!(matches!(BoundedSemaphore::new(0), Err(Error::OutOfRange { given: 0, .. })));
        assert!(matches!(Semaphore::new(MAX_VALUE + 1), Err(Error::OutOfRange { .. })));
        let full = Semaphore::new(MAX_VALUE).expect("the most there can be");
        assert!(matches!(full.release(), Err(Error::ReleasedTooOften { limit: MAX_VALUE })));
        assert_eq!(full.get_value(), MAX_VALUE);
    }

    #[test]
    fn each_release_lets_one_waiter_in() {
        let _watchdog = watchdog();
        let semaphore = Semaphore::new(0).expect("a semaphore");
        let inside = AtomicU64::new(0);
        thread::scope(|scope| {
            let waiters: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        semaphore.acquire();
                        inside.fetch_add(1, Relaxed);
                    })
                })
                .collect();
            for released in 1..=4 {
                semaphore.release().expect("room");
                while inside.load(Relaxed) < released {
                    thread::yield_now();
                }
                assert_eq!(semaphore.get_value(), 0, "the permit is taken, by exactly one");
            }
            assert_eq!(waiters.into_iter().filter_map(|waiter| waiter.join().ok()).count(), 4);
        });
    }

    #[test]
    fn release_wakes_who_sleeps() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let semaphore = Semaphore::new(0).expect("a semaphore");
            with_sleepers(3, || semaphore.acquire(), || (0..3).for_each(|_| semaphore.release().expect("room")));
        });
        without_a_look(|| {
            let semaphore = BoundedSemaphore::new(3).expect("a semaphore");
            (0..3).for_each(|_| semaphore.acquire());
            with_sleepers(3, || semaphore.acquire(), || (0..3).for_each(|_| semaphore.release().expect("room")));
        });
    }

    #[test]
    fn stress_bounded_never_goes_above_its_limit() {
        let _watchdog = watchdog();
        let semaphore = BoundedSemaphore::new(1).expect("a semaphore");
        // Successful releases minus successful acquires; no thread ever sees more than one free permit.
        let balance = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        if semaphore.acquire_timeout(Duration::from_micros(5)) {
                            balance.fetch_sub(1, Relaxed);
                        }
                        assert!(semaphore.get_value() <= 1);
                        if semaphore.release().is_ok() {
                            balance.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(u64::from(semaphore.get_value()), balance.load(Relaxed).wrapping_add(1));
    }
}
