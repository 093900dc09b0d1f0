//! Mutual exclusion locks between processes that survive the death of their holder: `Lock`, and the reentrant `RLock`.
//!
//! # State
//! See `lock_state`. Waiters are recorded for [`find_deadlock`](crate::sync::find_deadlock).
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel immediately hands the lock to the next in line, however deep the
//! dead holder was, and the guard reports it: [`LockGuard::abandoned`]. A process killed while waiting leaves no trace.
//!
//! A stopped holder (SIGSTOP, Ctrl-Z) is not dead and keeps the lock. Waits with a timeout still time out, and
//! [`GenericLock::holder`] and `{lock:?}` show the holder and that it is stopped.
//!
//! # Standard
//! Python `multiprocessing.Lock` and `RLock`: the owner of an `RLock` is a thread of a process. Differs: they are
//! released by dropping a guard, so only the holder can release them; a killed holder does not keep them; a thread that
//! would wait for itself gets an error.

use std::fmt;
use std::time::Duration;

use super::deadlock::LockId;
use super::holder::Holder;
use super::lock_state::{LockGuard, LockState};
use crate::ipc::error::{Result, os};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::shm::Mapping;

const ACQUIRE: Waits = Waits::change(["lock.acquire", "lock.acquire_timeout", "lock.try_acquire"]);

/// A lock that processes share. Its methods are those of [`GenericLock`].
///
/// ```
/// let lock = ipc_demo::Lock::new()?;
/// {
///     let guard = lock.acquire()?;
///     assert!(guard.abandoned().is_none());
///     assert!(lock.try_acquire()?.is_none(), "this thread holds it");
/// } // released here
/// assert_eq!(lock.with(|_| 6 * 7)?, 42);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub type Lock = GenericLock<false>;

/// A lock between processes that its holding thread can acquire again. Its methods are those of [`GenericLock`].
///
/// ```
/// let lock = ipc_demo::RLock::new()?;
/// let outer = lock.acquire()?;
/// let inner = lock.acquire()?;
/// drop(outer);
/// assert_eq!(lock.holder_pid(), Some(std::process::id()), "there is still the other");
/// drop(inner);
/// assert_eq!(lock.holder_pid(), None);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub type RLock = GenericLock<true>;

/// What [`Lock`] and [`RLock`] have in common. They differ in what a thread gets that already holds the lock: an error,
/// or one guard more.
#[derive(Clone)]
pub struct GenericLock<const REENTRANT: bool> {
    state: Mapping<LockState>,
}

impl<const REENTRANT: bool> GenericLock<REENTRANT> {
    /// Creates a free lock.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn new() -> Result<Self> {
        Ok(GenericLock { state: Mapping::create(0, LockState::init).map_err(os("make a lock"))? })
    }

    /// Acquires the lock. Blocks while another thread holds it.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`](crate::Error::WouldDeadlock) if this thread already holds a [`Lock`],
    /// [`Error::TooManyLocks`](crate::Error::TooManyLocks) if it holds 2,000 others.
    ///
    /// # Death
    /// If the holder dies the wait ends immediately: the guard reports it as [`abandoned`](LockGuard::abandoned).
    ///
    /// # System calls
    /// `futex`, only if another thread holds the lock.
    #[inline(always)]
    pub fn acquire(&self) -> Result<LockGuard<'_>> {
        Ok(self.acquire_within(None)?.expect("a wait without end ends with the lock"))
    }

    /// Acquires the lock if it is free, or if it is an [`RLock`] that this thread holds; otherwise returns `None`. Does
    /// not block.
    ///
    /// # Errors
    /// [`Error::TooManyLocks`](crate::Error::TooManyLocks) if this thread holds 2,000 others.
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>> {
        self.acquire_within(Some(Duration::ZERO))
    }

    /// Acquires the lock, blocking for at most `timeout` on the monotonic clock. Returns `None` on timeout;
    /// `Duration::ZERO` tries once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Standard
    /// Python `Lock.acquire(timeout=…)`. Differs: returns a guard, not a bool.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard<'_>>> {
        self.acquire_within(Some(timeout))
    }

    #[inline(always)]
    fn acquire_within(&self, timeout: Option<Duration>) -> Result<Option<LockGuard<'_>>> {
        ACQUIRE.pass(timeout, &*self.state, || self.state.can_be_acquired());
        Ok(self.state.acquire_within(timeout, REENTRANT)?.map(LockGuard))
    }

    /// Acquires the lock, runs `critical_section`, and releases the lock, even on panic.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn with<R>(&self, critical_section: impl FnOnce(&LockGuard<'_>) -> R) -> Result<R> {
        let guard = self.acquire()?;
        Ok(critical_section(&guard))
    }

    /// Returns the process that holds the lock, for diagnosis: it may change before this returns.
    pub fn holder_pid(&self) -> Option<u32> {
        point(Operation::read("lock.holder"), &*self.state, always);
        self.state.holder_pid()
    }

    /// Returns the holder of the lock, for diagnosis: it may change before this returns.
    ///
    /// ```
    /// let lock = ipc_demo::Lock::new()?;
    /// let _guard = lock.acquire()?;
    /// let holder = lock.holder().expect("this thread");
    /// assert_eq!(holder.to_string(), format!("process {}", std::process::id()));
    /// assert!(!holder.is_stopped());
    /// # Ok::<(), ipc_demo::Error>(())
    /// ```
    ///
    /// # System calls
    /// Reads `/proc`.
    pub fn holder(&self) -> Option<Holder> {
        point(Operation::read("lock.holder"), &*self.state, always);
        self.state.holder()
    }

    /// Returns the lock's number, the same in every process, by which a deadlock names it.
    pub fn id(&self) -> LockId {
        LockId(self.state.id())
    }

    /// Returns the lock's state in shared memory.
    pub(crate) fn state(&self) -> &Mapping<LockState> {
        &self.state
    }
}

impl<const REENTRANT: bool> fmt::Debug for GenericLock<REENTRANT> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if REENTRANT { "RLock" } else { "Lock" };
        f.debug_struct(name).field("held_by", &self.state.held_by()).finish_non_exhaustive()
    }
}

sent_in_roles!(
    [const REENTRANT: bool] GenericLock<REENTRANT>, if REENTRANT { "an RLock" } else { "a Lock" },
    |lock, _| Ok(&lock.state), |state: Mapping<LockState>| Ok(GenericLock { state })
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::ipc::operation::tests::{goes, up_to_the_point, would_block};
    use crate::ipc::sync::lock_state::Abandoned;
    use crate::ipc::test_util::{watchdog, with_sleepers};
    use std::sync::mpsc;
    use std::thread;

    #[test]
    fn smoke() {
        let lock = Lock::new().expect("a lock");
        let guard = lock.acquire().expect("free");
        assert_eq!(lock.holder_pid(), Some(std::process::id()));
        drop(guard);
        assert_eq!(lock.holder_pid(), None);
        assert!(lock.try_acquire().expect("a try").is_some());
    }

    #[test]
    fn acquire_twice_in_one_thread_is_an_error() {
        let lock = Lock::new().expect("a lock");
        let _guard = lock.acquire().expect("free");
        assert!(matches!(lock.acquire(), Err(Error::WouldDeadlock)));
        assert!(matches!(lock.acquire_timeout(Duration::from_millis(1)), Err(Error::WouldDeadlock)));
        assert!(lock.acquire_timeout(Duration::ZERO).expect("a try").is_none());
    }

    #[test]
    fn every_operation_passes_one_point() {
        let lock = Lock::new().expect("a lock");
        let object = &*lock.state;
        let guard = goes("lock.acquire", object, || lock.acquire()).expect("free");
        goes("lock.release", object, || drop(guard));
        assert!(up_to_the_point(|| lock.with(|_| unreachable!("not acquired yet"))).could_go);
        let guard = goes("lock.acquire_timeout", object, || lock.acquire_timeout(Duration::MAX)).expect("free");
        assert_eq!(goes("lock.holder", object, || lock.holder_pid()), Some(std::process::id()));
        assert!(goes("lock.holder", object, || lock.holder()).is_some());
        assert!(goes("lock.acquire", object, || lock.acquire()).is_err(), "it does not wait for itself");
        thread::scope(|scope| {
            scope.spawn(|| {
                would_block("lock.acquire", object, || lock.acquire());
                would_block("lock.acquire_timeout", object, || lock.acquire_timeout(Duration::MAX));
                assert!(goes("lock.try_acquire", object, || lock.try_acquire()).expect("a try").is_none());
                assert!(goes("lock.try_acquire", object, || lock.acquire_timeout(Duration::ZERO)).is_ok());
            });
        });
        drop(guard);
        thread::scope(|scope| scope.spawn(|| std::mem::forget(lock.acquire().expect("free"))).join())
            .expect("no panic");
        drop(goes("lock.acquire", object, || lock.acquire()).expect("abandoned"));
    }

    #[test]
    fn acquire_times_out_and_leaves_the_lock_usable() {
        let lock = Lock::new().expect("a lock");
        let guard = lock.acquire().expect("free");
        thread::scope(|scope| {
            let other = scope.spawn(|| lock.acquire_timeout(Duration::from_millis(1)).expect("no error").is_none());
            assert!(other.join().expect("no panic"));
        });
        drop(guard);
        assert!(lock.acquire_timeout(Duration::MAX).expect("no error").is_some());
    }

    #[test]
    fn acquire_blocks_until_released() {
        let _watchdog = watchdog();
        let lock = Lock::new().expect("a lock");
        let (order, seen) = mpsc::channel();
        let guard = lock.acquire().expect("free");
        let take = || {
            let _guard = lock.acquire().expect("released in the end");
            order.send("taken").expect("the test listens");
        };
        with_sleepers(1, take, || {
            order.send("released").expect("the test listens");
            drop(guard);
        });
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["released", "taken"]);
    }

    #[test]
    fn thread_that_ends_with_the_lock_abandons_it() {
        let lock = Lock::new().expect("a lock");
        thread::scope(|scope| {
            scope.spawn(|| std::mem::forget(lock.acquire().expect("free")));
        });
        let guard = lock.acquire().expect("handed on");
        assert_eq!(guard.abandoned(), Some(Abandoned { pid: Some(std::process::id()) }));
        drop(guard);
        assert_eq!(lock.acquire().expect("free").abandoned(), None);
    }

    #[test]
    fn panic_in_the_critical_section_releases() {
        let lock = Lock::new().expect("a lock");
        let outcome = std::panic::catch_unwind(|| lock.with(|_| panic!("inside")));
        assert!(outcome.is_err());
        assert!(lock.try_acquire().expect("a try").is_some());
    }

    fn rlock() -> RLock {
        RLock::new().expect("a lock")
    }

    fn is_free(lock: &RLock) -> bool {
        thread::scope(|scope| {
            let other = scope.spawn(|| lock.try_acquire().expect("a try").is_some());
            other.join().expect("no panic")
        })
    }

    #[test]
    fn rlock_is_free_when_its_last_guard_is_dropped() {
        let _watchdog = watchdog();
        let lock = rlock();
        let outer = lock.acquire().expect("free");
        let inner = lock.try_acquire().expect("a try").expect("this thread's own");
        let third = lock.acquire_timeout(Duration::ZERO).expect("a try").expect("this thread's own");
        assert_eq!(lock.with(|_| 6 * 7).expect("this thread's own"), 42);
        drop((outer, third));
        assert!(!is_free(&lock), "one guard is left");
        drop(inner);
        assert!(is_free(&lock));
    }

    #[test]
    fn acquire_of_an_rlock_times_out_in_another_thread() {
        let _watchdog = watchdog();
        let lock = rlock();
        let guard = lock.acquire().expect("free");
        thread::scope(|scope| {
            let other = scope.spawn(|| lock.acquire_timeout(Duration::from_millis(1)).expect("no error").is_none());
            assert!(other.join().expect("no panic"));
        });
        drop(guard);
        assert!(lock.acquire_timeout(Duration::MAX).expect("no error").is_some());
    }

    #[test]
    fn acquire_of_an_rlock_blocks_until_the_last_guard_is_dropped() {
        let _watchdog = watchdog();
        let lock = rlock();
        let (order, seen) = mpsc::channel();
        let (outer, inner) = (lock.acquire().expect("free"), lock.acquire().expect("own"));
        let take = || {
            let _guard = lock.acquire().expect("released in the end");
            order.send("taken").expect("the test listens");
        };
        with_sleepers(1, take, || {
            drop(inner);
            order.send("released").expect("the test listens");
            drop(outer);
        });
        assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["released", "taken"]);
    }

    #[test]
    fn thread_that_ends_with_the_lock_abandons_an_rlock_whole() {
        let _watchdog = watchdog();
        let lock = rlock();
        thread::scope(|scope| {
            scope.spawn(|| std::mem::forget((lock.acquire().expect("free"), lock.acquire().expect("own"))));
        });
        let guard = lock.acquire().expect("handed on");
        assert_eq!(guard.abandoned(), Some(Abandoned { pid: Some(std::process::id()) }));
        assert_eq!(lock.acquire().expect("own").abandoned(), None);
        drop(guard);
        assert!(is_free(&lock), "the dead holder's guards do not count");
    }

    #[test]
    fn handles_of_the_same_rlock_count_together() {
        let lock = rlock();
        let again = lock.clone();
        assert_eq!(lock.id(), again.id());
        let (one, two) = (lock.acquire().expect("free"), again.acquire().expect("own"));
        drop(one);
        assert!(!is_free(&lock));
        drop(two);
        assert!(is_free(&lock) && is_free(&again));
    }
}
