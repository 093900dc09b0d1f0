//! A semaphore whose permits record their holder, so that those of a dead process are recovered.
//!
//! # State
//! One word per permit: 0, or the slot of the process that holds it. The number of free permits is not stored but
//! counted. `turn` is `joins << 1 | WAITING`, the word that sleepers sleep on: a waiter that finds no permit joins with
//! one CAS and looks again before it sleeps. A release clears its permit's word; if it then sees WAITING it changes
//! `turn` and wakes one sleeper in one system call. If there was no sleeper it clears WAITING, unless another waiter
//! joined meanwhile.
//!
//! # Ordering
//! A permit is cleared with `SeqCst` before `turn` is read, and `turn` is joined with `SeqCst` before the permits are
//! read again: either the release sees the sleeper, or the sleeper the permit. The same pair of accesses makes
//! everything done with a permit visible to its next holder.
//!
//! # Death
//! A permit whose holder is dead counts as free, and a process that needs it takes it over by one CAS: nothing needs
//! repair. Sleepers look for such permits every 100 ms; that also finds the permit of a process that was killed between
//! clearing it and the wake-up, or killed after being woken but before it acquired one. A killed waiter leaves no
//! trace.
//!
//! # Standard
//! Python's `multiprocessing.Semaphore` with a `with` statement. Differs: a permit is a guard, so only its holder can
//! release it, and only once; a killed holder does not keep its permits (as with `SEM_UNDO` of `semop(2)`).

use std::fmt;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Result, check_range, os};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::table::ProcessTable;
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{Relaxed, SeqCst};
use crate::sys::fork::forked_from;
use crate::sys::futex;
use crate::sys::shm::{Mapping, shared_layout};

const FREE: u32 = 0;
/// A process may be asleep.
const WAITING: u32 = 1;
const JOIN: u32 = 2;
/// Maximum number of permits: each has its own word, and a search for a free one reads them all.
const MAX_PERMITS: u32 = 65_536;

const ACQUIRE: Waits =
    Waits::change(["owned_semaphore.acquire", "owned_semaphore.acquire_timeout", "owned_semaphore.try_acquire"]);

shared_layout! {
    struct OwnedSemaphoreState = b"ownedsem" {
        turn: AtomicU32,
        padding: AtomicU32,
    }
}

/// A fixed number of permits. Each is held by one process at a time, and becomes free when its holder dies.
///
/// ```
/// let car_park = ipc_demo::sync::OwnedSemaphore::new(2)?;
/// let first = car_park.acquire();
/// let _second = car_park.acquire();
/// assert!(car_park.try_acquire().is_none());
/// drop(first);
/// assert_eq!(car_park.get_value(), 1);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub struct OwnedSemaphore {
    state: Mapping<OwnedSemaphoreState>,
    process_table: &'static ProcessTable,
    /// Where to look first: the permit that this handle last acquired.
    hint: AtomicUsize,
}

/// A permit held by this process. Dropping it releases it.
#[derive(Debug)]
#[must_use = "the permit is released when this is dropped"]
pub struct Permit<'a> {
    semaphore: &'a OwnedSemaphore,
    index: usize,
}

impl OwnedSemaphore {
    /// Creates a semaphore with `permits` free permits.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for 0 or more than 65,536;
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn new(permits: u32) -> Result<Self> {
        check_range("the number of permits", permits.into(), 1..=MAX_PERMITS.into())?;
        let bytes = permits as usize * size_of::<AtomicU32>();
        OwnedSemaphore::of(Mapping::create(bytes, |_| Ok(())).map_err(os("make a semaphore"))?)
    }

    fn of(state: Mapping<OwnedSemaphoreState>) -> Result<Self> {
        Ok(OwnedSemaphore { state, process_table: ProcessTable::ours()?, hint: AtomicUsize::new(0) })
    }

    #[inline]
    fn permits(&self) -> &[AtomicU32] {
        self.state.tail_as()
    }

    /// Acquires a permit. Blocks until one is free.
    ///
    /// # Panics
    /// In a process forked from the one that created the handle, as every operation here; dropping a copied permit
    /// there does nothing.
    ///
    /// # Death
    /// If a holder dies meanwhile, its permit is acquired within 100 ms.
    ///
    /// # System calls
    /// `futex`, only if no permit is free.
    #[inline]
    pub fn acquire(&self) -> Permit<'_> {
        self.acquire_within(None).expect("a wait without end ends with a permit")
    }

    /// Acquires a permit if one is free, including those of dead holders. Does not block.
    pub fn try_acquire(&self) -> Option<Permit<'_>> {
        self.acquire_within(Some(Duration::ZERO))
    }

    /// Acquires a permit, blocking for at most `timeout` on the monotonic clock. Returns `None` on timeout;
    /// `Duration::ZERO` tries once.
    pub fn acquire_timeout(&self, timeout: Duration) -> Option<Permit<'_>> {
        self.acquire_within(Some(timeout))
    }

    #[inline]
    fn acquire_within(&self, timeout: Option<Duration>) -> Option<Permit<'_>> {
        ACQUIRE.pass(timeout, &self.state, || self.value() > 0);
        let hinted = self.take(self.hint.load(Relaxed), FREE);
        hinted.or_else(|| self.take_free()).or_else(|| match timeout {
            Some(Duration::ZERO) => self.take_over(),
            timeout => self.wait(Deadline::within(timeout)),
        })
    }

    fn take_free(&self) -> Option<Permit<'_>> {
        let permits = self.permits();
        let first = self.hint.load(Relaxed);
        let places = (first..permits.len()).chain(0..first.min(permits.len()));
        places.filter(|&index| permits[index].load(SeqCst) == FREE).find_map(|index| self.take(index, FREE))
    }

    /// Acquires the permit of a dead holder.
    #[cold]
    fn take_over(&self) -> Option<Permit<'_>> {
        let held = self.permits().iter().map(|permit| permit.load(SeqCst)).enumerate();
        held.filter(|&(_, holder)| !self.process_table.is_living(holder))
            .find_map(|(index, holder)| self.take(index, holder))
    }

    #[inline]
    fn take(&self, index: usize, from: u32) -> Option<Permit<'_>> {
        let own = self.process_table.me().to_word();
        self.permits().get(index)?.compare_exchange(from, own, SeqCst, Relaxed).ok()?;
        self.hint.store(index, Relaxed);
        Some(Permit { semaphore: self, index })
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> Option<Permit<'_>> {
        let turn = &self.state.turn;
        loop {
            let now = turn.load(Relaxed);
            let joined = now.wrapping_add(JOIN) | WAITING;
            if turn.compare_exchange(now, joined, SeqCst, Relaxed).is_err() {
                continue;
            }
            if let Some(permit) = self.take_free().or_else(|| self.take_over()) {
                return Some(permit);
            }
            if deadline.has_passed() {
                return None;
            }
            futex::wait(turn, joined, Some(deadline.next_check()));
        }
    }

    #[cold]
    fn wake_one(&self, before: u32) {
        let turn = &self.state.turn;
        // The addition makes all waiters that joined but do not sleep yet look again.
        if futex::add_and_wake(turn, JOIN as u16, 1) == 0 {
            let after = before.wrapping_add(JOIN);
            // Fails if another waiter joined since: then it stays, and the next release calls the kernel again.
            let _ = turn.compare_exchange(after, after & !WAITING, Relaxed, Relaxed);
        }
    }

    /// Returns the number of free permits, including those of dead holders; it may change before this returns.
    pub fn get_value(&self) -> u32 {
        point(Operation::read("owned_semaphore.get_value"), &self.state, always);
        self.value()
    }

    fn value(&self) -> u32 {
        let is_free = |permit: &&AtomicU32| !self.process_table.is_living(permit.load(SeqCst));
        self.permits().iter().filter(is_free).count() as u32
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        // A forked child's copy does not count: the permit belongs to the parent.
        if forked_from().is_none() {
            let semaphore = self.semaphore;
            point(Operation::change("owned_semaphore.release"), &semaphore.state, always);
            // pairs with: `take`
            semaphore.permits()[self.index].store(FREE, SeqCst);
            let turn = semaphore.state.turn.load(SeqCst);
            if turn & WAITING != 0 {
                semaphore.wake_one(turn);
            }
        }
    }
}

impl fmt::Debug for OwnedSemaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedSemaphore").field("value", &self.value()).finish_non_exhaustive()
    }
}

impl Clone for OwnedSemaphore {
    fn clone(&self) -> Self {
        let hint = AtomicUsize::new(self.hint.load(Relaxed));
        OwnedSemaphore { state: self.state.clone(), process_table: self.process_table, hint }
    }
}

sent_in_roles!(
    [] OwnedSemaphore, "an OwnedSemaphore", |semaphore, _| Ok(&semaphore.state),
    |state: Mapping<OwnedSemaphoreState>| OwnedSemaphore::of(state)
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::ipc::operation::tests::{goes, would_block};
    use crate::ipc::test_util::{watchdog, with_sleepers, without_a_look};
    use std::sync::atomic::AtomicU64;
    use std::thread;

    fn semaphore(permits: u32) -> OwnedSemaphore {
        OwnedSemaphore::new(permits).expect("a semaphore")
    }

    #[test]
    fn every_operation_passes_one_point() {
        let semaphore = OwnedSemaphore::new(1).expect("a semaphore");
        let object = &semaphore.state;
        let permit = goes("owned_semaphore.acquire", object, || semaphore.acquire());
        would_block("owned_semaphore.acquire", object, || semaphore.acquire());
        would_block("owned_semaphore.acquire_timeout", object, || semaphore.acquire_timeout(Duration::MAX));
        assert!(goes("owned_semaphore.try_acquire", object, || semaphore.try_acquire()).is_none());
        assert!(goes("owned_semaphore.try_acquire", object, || semaphore.acquire_timeout(Duration::ZERO)).is_none());
        goes("owned_semaphore.release", object, || drop(permit));
        assert_eq!(goes("owned_semaphore.get_value", object, || semaphore.get_value()), 1);
        let permit = goes("owned_semaphore.acquire_timeout", object, || semaphore.acquire_timeout(Duration::MAX));
        assert!(permit.is_some());
    }

    #[test]
    fn smoke() {
        let _watchdog = watchdog();
        let semaphore = semaphore(2);
        let (one, two) = (semaphore.acquire(), semaphore.try_acquire().expect("a second"));
        assert!(semaphore.try_acquire().is_none());
        assert!(semaphore.acquire_timeout(Duration::ZERO).is_none());
        assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
        drop(two);
        assert_eq!(semaphore.get_value(), 1);
        drop(one);
        assert_eq!(semaphore.get_value(), 2);
        assert!(semaphore.acquire_timeout(Duration::MAX).is_some());
    }

    #[test]
    fn no_permits_and_too_many_are_errors() {
        assert!(matches!(OwnedSemaphore::new(0), Err(Error::OutOfRange { given: 0, .. })));
        assert!(matches!(OwnedSemaphore::new(MAX_PERMITS + 1), Err(Error::OutOfRange { .. })));
        assert_eq!(semaphore(MAX_PERMITS).get_value(), MAX_PERMITS);
    }

    #[test]
    fn permit_of_the_dead_comes_back() {
        let semaphore = semaphore(2);
        let process_table = ProcessTable::ours().expect("a table");
        let dead = process_table.reserve().expect("a slot");
        semaphore.permits()[0].store(dead.to_word(), SeqCst);
        let own = semaphore.try_acquire().expect("the other one");
        assert!(semaphore.try_acquire().is_none(), "the holder of the first lives");
        process_table.release_slot(dead);
        assert_eq!(semaphore.get_value(), 1);
        let again = semaphore.acquire();
        assert_eq!((semaphore.get_value(), again.index), (0, 0));
        drop((own, again));
        assert_eq!(semaphore.get_value(), 2);
    }

    #[test]
    fn sleeper_takes_over_the_permit_of_who_dies_meanwhile() {
        let _watchdog = watchdog();
        let semaphore = semaphore(1);
        let process_table = ProcessTable::ours().expect("a table");
        let holder = process_table.reserve().expect("a slot");
        semaphore.permits()[0].store(holder.to_word(), SeqCst);
        thread::scope(|scope| {
            let sleeper = scope.spawn(|| semaphore.acquire().index);
            while semaphore.state.turn.load(SeqCst) & WAITING == 0 {
                thread::yield_now();
            }
            process_table.release_slot(holder);
            assert_eq!(sleeper.join().expect("no panic"), 0);
        });
    }

    #[test]
    fn release_that_finds_nobody_asleep_stops_asking_the_kernel() {
        let _watchdog = watchdog();
        let semaphore = semaphore(1);
        let permit = semaphore.acquire();
        assert!(semaphore.acquire_timeout(Duration::from_millis(1)).is_none());
        assert_ne!(semaphore.state.turn.load(SeqCst) & WAITING, 0);
        drop(permit);
        assert_eq!(semaphore.state.turn.load(SeqCst) & WAITING, 0);
    }

    #[test]
    fn release_wakes_who_sleeps() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let semaphore = semaphore(3);
            let held = [semaphore.acquire(), semaphore.acquire(), semaphore.acquire()];
            // Three enter at once, and as each leaves, one of the other three enters.
            with_sleepers(6, || drop(semaphore.acquire()), || drop(held));
        });
    }

    #[test]
    fn stress_never_more_inside_than_permits() {
        let _watchdog = watchdog();
        let semaphore = semaphore(3);
        let (inside, entered) = (AtomicU64::new(0), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..2_000 {
                        let _permit = semaphore.acquire();
                        assert!(inside.fetch_add(1, SeqCst) < 3);
                        entered.fetch_add(1, Relaxed);
                        thread::yield_now();
                        inside.fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        assert_eq!((entered.into_inner(), semaphore.get_value()), (16_000, 3));
    }
}
