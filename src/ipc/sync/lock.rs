//! A mutual exclusion lock between processes that survives the death of its holder.
//!
//! # State
//! A robust mutex and the process id of its holder, see `mutex`. Waiters are recorded for
//! [`find_deadlock`](crate::sync::find_deadlock).
//!
//! # Ordering
//! Unlock happens-before the next lock.
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel immediately hands the lock to the next in line, and the guard
//! reports it: [`LockGuard::abandoned`]. A process killed while waiting leaves no trace.
//!
//! A stopped holder (SIGSTOP, Ctrl-Z) is not dead and keeps the lock. Waits with a timeout still time out, and
//! [`Lock::holder`] and `{lock:?}` show the holder and that it is stopped.
//!
//! # Standard
//! Python `multiprocessing.Lock`. Differs: it is released by dropping a guard, so only its holder can release it; a
//! killed holder does not keep it; a thread that would wait for itself gets an error.

use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::time::Duration;

use super::deadlock::LockId;
use super::holder::Holder;
use super::mutex::{Abandoned, Guard, MutexState, Suspend};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::operation::{Operation, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::fork::forked_from;
use crate::sys::robust::Locked;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    struct LockState = b"lock    " {
        mutex: MutexState,
    }
}

/// A lock that processes share.
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
#[derive(Clone)]
pub struct Lock {
    state: Mapping<LockState>,
    own_pid: u32,
}

/// A held [`Lock`]. Dropping the guard releases the lock.
///
/// It cannot be sent to another thread: a lock belongs to the thread that acquired it.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
    abandoned: Option<Abandoned>,
    not_send: PhantomData<*const ()>,
}

impl Lock {
    /// Creates a free lock.
    ///
    /// # Errors
    /// [`Error::Os`] if memory or descriptors run out.
    pub fn new() -> Result<Self> {
        Ok(Lock::of(Mapping::create(0, |state: &LockState| state.mutex.init()).map_err(os("make a lock"))?))
    }

    fn of(state: Mapping<LockState>) -> Self {
        Lock { state, own_pid: std::process::id() }
    }

    /// Acquires the lock. Blocks while another thread holds it.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`] if this thread already holds it, [`Error::TooManyLocks`] if it holds 2,000 others.
    ///
    /// # Death
    /// If the holder dies the wait ends immediately: the guard reports it as [`abandoned`](LockGuard::abandoned).
    ///
    /// # System calls
    /// `futex`, only if another thread holds the lock.
    #[inline]
    pub fn acquire(&self) -> Result<LockGuard<'_>> {
        point(Operation::change("lock.acquire"), &self.state, || self.state.mutex.can_be_locked());
        self.acquire_unobserved()
    }

    #[inline]
    fn acquire_unobserved(&self) -> Result<LockGuard<'_>> {
        check_not_forked()?;
        match self.state.mutex.try_lock()? {
            Locked::Clean => Ok(self.guard(false)),
            locked => self.acquire_slowly(locked),
        }
    }

    #[cold]
    fn acquire_slowly(&self, locked: Locked) -> Result<LockGuard<'_>> {
        let locked = if locked == Locked::Busy { self.state.mutex.lock(|| Deadline::NEVER)? } else { locked };
        Ok(self.held(locked)?.expect("a wait without end ends with the lock"))
    }

    /// Acquires the lock if it is free; `None` if it is held, by this thread or another. Does not block.
    ///
    /// # Errors
    /// [`Error::TooManyLocks`] if this thread holds 2,000 others.
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>> {
        point(Operation::change("lock.try_acquire"), &self.state, always);
        self.try_acquire_unobserved()
    }

    #[inline]
    fn try_acquire_unobserved(&self) -> Result<Option<LockGuard<'_>>> {
        check_not_forked()?;
        match self.state.mutex.try_lock()? {
            // A non-blocking attempt does not wait for itself.
            Locked::WouldDeadlock => Ok(None),
            locked => self.held(locked),
        }
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
        if timeout.is_zero() {
            return self.try_acquire();
        }
        point(Operation::change("lock.acquire_timeout"), &self.state, || self.state.mutex.can_be_locked());
        check_not_forked()?;
        self.held(self.state.mutex.lock(|| Deadline::after(timeout))?)
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
        point(Operation::read("lock.holder"), &self.state, always);
        self.state.mutex.holder_pid()
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
        point(Operation::read("lock.holder"), &self.state, always);
        self.state.mutex.holder()
    }

    /// Returns the lock's number, the same in all processes of the process table, by which a deadlock names it.
    ///
    /// # Errors
    /// The error that kept this process from joining a process table.
    pub fn id(&self) -> Result<LockId> {
        self.state.mutex.number().map(LockId)
    }

    /// Returns whether the last holder died with the lock and it has not been acquired since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.mutex.is_abandoned()
    }

    fn held(&self, locked: Locked) -> Result<Option<LockGuard<'_>>> {
        match locked {
            Locked::Clean | Locked::Abandoned => Ok(Some(self.guard(locked == Locked::Abandoned))),
            Locked::Busy => Ok(None),
            Locked::WouldDeadlock => Err(Error::WouldDeadlock),
        }
    }

    /// Creates the guard for a mutex that was just acquired.
    #[inline]
    fn guard(&self, abandoned: bool) -> LockGuard<'_> {
        let abandoned = self.state.mutex.taken_by(self.own_pid, abandoned);
        LockGuard { lock: self, abandoned, not_send: PhantomData }
    }
}

impl LockGuard<'_> {
    /// Returns whether the previous holder died with the lock. The protected data may be inconsistent: check it first.
    pub fn abandoned(&self) -> Option<Abandoned> {
        self.abandoned
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if forked_from().is_some() {
            // A forked copy: the lock belongs to a thread of the parent.
            return;
        }
        point(Operation::change("lock.release"), &self.lock.state, always);
        self.lock.state.mutex.unlock();
    }
}

impl Guard for LockGuard<'_> {}

impl<'a> Suspend for LockGuard<'a> {
    type Suspended = &'a Lock;

    fn mutex(&self) -> &MutexState {
        &self.lock.state.mutex
    }

    fn mutex_of<'l>(lock: &'l &'a Lock) -> &'l MutexState {
        &lock.state.mutex
    }

    fn suspend(self) -> &'a Lock {
        let guard = ManuallyDrop::new(self);
        guard.lock.state.mutex.unlock();
        guard.lock
    }

    fn resume(lock: &'a Lock) -> Result<Self> {
        lock.acquire_unobserved()
    }

    fn was_abandoned(&self) -> bool {
        self.abandoned.is_some()
    }
}

impl fmt::Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lock").field("held_by", &self.state.mutex.held_by()).finish_non_exhaustive()
    }
}

sent_in_roles!([] Lock, "a Lock", |lock, _| Ok(&lock.state), |state: Mapping<LockState>| Ok(Lock::of(state)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, up_to_the_point, would_block};
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
        let object = &lock.state;
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
}
