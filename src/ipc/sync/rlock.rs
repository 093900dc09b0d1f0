//! A reentrant lock.
//!
//! # State
//! As [`Lock`](crate::Lock), plus the number of guards of the holder. Only the thread that owns the mutex reads or
//! writes that number.
//!
//! # Ordering
//! Unlock happens-before the next lock.
//!
//! # Death
//! As [`Lock`](crate::Lock): the next in line gets it immediately, however deep the dead holder was, and its guard
//! reports it.
//!
//! # Standard
//! Python `multiprocessing.RLock`: the owner is a thread of a process. Differs: it is released by dropping guards, so
//! only its holder can release it.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::deadlock::LockId;
use super::holder::Holder;
use super::mutex::{Abandoned, Guard, MutexState, Suspend};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Result, check_not_forked, os};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::fork::forked_from;
use crate::sys::robust::Locked;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    pub(crate) struct RLockState = b"rlock   " {
        mutex: MutexState,
        depth: AtomicU64,
    }
}

/// A lock between processes that its holding thread can acquire again.
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
#[derive(Clone)]
pub struct RLock {
    state: Mapping<RLockState>,
    own_pid: u32,
}

/// One hold of an [`RLock`]. The lock is released when all of its holder's guards are dropped.
///
/// It cannot be sent to another thread: a lock belongs to the thread that acquired it.
#[derive(Debug)]
#[must_use = "the lock is given back when its guards are dropped"]
pub struct RLockGuard<'a> {
    held: Held<'a>,
    abandoned: Option<Abandoned>,
    not_send: PhantomData<*const ()>,
}

/// A lock in shared memory, and the process that uses it here.
#[derive(Clone, Copy)]
struct Held<'a> {
    state: &'a RLockState,
    own_pid: u32,
}

impl fmt::Debug for Held<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("own_pid", &self.own_pid).finish_non_exhaustive()
    }
}

impl RLockState {
    /// Initialises zeroed memory as a free lock.
    pub(crate) fn init(&self) -> std::io::Result<()> {
        self.mutex.init()
    }

    /// Acquires the lock, blocking until `deadline`. `own_pid` is this process.
    #[inline]
    pub(crate) fn acquire(&self, own_pid: u32, deadline: impl FnOnce() -> Deadline) -> Result<Option<RLockGuard<'_>>> {
        Ok(Held { state: self, own_pid }.guard(self.mutex.lock(deadline)?))
    }

    /// Acquires the lock if no other thread holds it.
    #[inline]
    pub(crate) fn try_acquire(&self, own_pid: u32) -> Result<Option<RLockGuard<'_>>> {
        Ok(Held { state: self, own_pid }.guard(self.mutex.try_lock()?))
    }
}

impl<'a> Held<'a> {
    #[inline]
    fn guard(self, locked: Locked) -> Option<RLockGuard<'a>> {
        let depth = &self.state.depth;
        let abandoned = match locked {
            Locked::Busy => return None,
            Locked::WouldDeadlock => {
                depth.store(depth.load(Relaxed) + 1, Relaxed);
                None
            }
            Locked::Clean | Locked::Abandoned => {
                let abandoned = self.state.mutex.taken_by(self.own_pid, locked == Locked::Abandoned);
                depth.store(1, Relaxed);
                abandoned
            }
        };
        Some(RLockGuard { held: self, abandoned, not_send: PhantomData })
    }
}

impl RLock {
    /// Creates a free lock.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn new() -> Result<Self> {
        Ok(RLock::of(Mapping::create(0, RLockState::init).map_err(os("make an rlock"))?))
    }

    fn of(state: Mapping<RLockState>) -> Self {
        RLock { state, own_pid: std::process::id() }
    }

    /// Acquires the lock. Blocks while another thread holds it; returns immediately if this thread does.
    ///
    /// # Errors
    /// [`Error::TooManyLocks`](crate::Error::TooManyLocks) if this thread holds 2,000 others.
    ///
    /// # Death
    /// If the holder dies the wait ends immediately: the guard reports it as [`abandoned`](RLockGuard::abandoned).
    ///
    /// # System calls
    /// `futex`, only if another thread holds the lock.
    #[inline]
    pub fn acquire(&self) -> Result<RLockGuard<'_>> {
        check_not_forked()?;
        let guard = self.state.acquire(self.own_pid, || Deadline::NEVER)?;
        Ok(guard.expect("a wait without end ends with the lock"))
    }

    /// Acquires the lock if no other thread holds it; `None` if one does. Does not block.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<RLockGuard<'_>>> {
        check_not_forked()?;
        self.state.try_acquire(self.own_pid)
    }

    /// Acquires the lock, blocking for at most `timeout` on the monotonic clock. Returns `None` on timeout;
    /// `Duration::ZERO` tries once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<RLockGuard<'_>>> {
        check_not_forked()?;
        if timeout.is_zero() {
            return self.try_acquire();
        }
        self.state.acquire(self.own_pid, || Deadline::after(timeout))
    }

    /// Acquires the lock, runs `critical_section`, and releases the lock, even on panic.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn with<R>(&self, critical_section: impl FnOnce(&RLockGuard<'_>) -> R) -> Result<R> {
        let guard = self.acquire()?;
        Ok(critical_section(&guard))
    }

    /// Returns the process that holds the lock, for diagnosis: it may change before this returns.
    pub fn holder_pid(&self) -> Option<u32> {
        self.state.mutex.holder_pid()
    }

    /// Returns the holder of the lock, for diagnosis: it may change before this returns.
    ///
    /// ```
    /// let lock = ipc_demo::RLock::new()?;
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
        self.state.mutex.holder()
    }

    /// Returns the lock's number, the same in all processes of the process table, by which a deadlock names it.
    ///
    /// # Errors
    /// The error that kept this process from joining a process table.
    pub fn id(&self) -> Result<LockId> {
        self.state.mutex.number().map(LockId)
    }
}

impl RLockGuard<'_> {
    /// Returns whether the previous holder died with the lock. The protected data may be inconsistent: check it first.
    /// Reported to the first guard of a holder, not to nested ones.
    pub fn abandoned(&self) -> Option<Abandoned> {
        self.abandoned
    }
}

impl Drop for RLockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if forked_from().is_some() {
            // A forked copy: the lock belongs to a thread of the parent.
            return;
        }
        let RLockState { mutex, depth } = self.held.state;
        let left = depth.load(Relaxed) - 1;
        depth.store(left, Relaxed);
        if left == 0 {
            mutex.unlock();
        }
    }
}

impl Guard for RLockGuard<'_> {}

impl<'a> Suspend for RLockGuard<'a> {
    type Suspended = Suspended<'a>;

    fn mutex(&self) -> &MutexState {
        &self.held.state.mutex
    }

    fn mutex_of<'l>(suspended: &'l Suspended<'a>) -> &'l MutexState {
        &suspended.held.state.mutex
    }

    fn suspend(self) -> Suspended<'a> {
        let held = self.held;
        let depth = held.state.depth.load(Relaxed);
        held.state.depth.store(1, Relaxed);
        // Dropping the last guard releases the lock.
        Suspended { held, depth }
    }

    fn resume(Suspended { held, depth }: Suspended<'a>) -> Result<Self> {
        let guard = held.guard(held.state.mutex.lock(|| Deadline::NEVER)?);
        held.state.depth.store(depth, Relaxed);
        Ok(guard.expect("a wait without end ends with the lock"))
    }

    fn was_abandoned(&self) -> bool {
        self.abandoned.is_some()
    }
}

/// A lock that was released at some depth.
#[derive(Debug, Clone, Copy)]
pub struct Suspended<'a> {
    held: Held<'a>,
    depth: u64,
}

impl fmt::Debug for RLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RLock").field("held_by", &self.state.mutex.held_by()).finish_non_exhaustive()
    }
}

sent_in_roles!([] RLock, "an RLock", |lock, _| Ok(&lock.state), |state: Mapping<RLockState>| Ok(RLock::of(state)));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};
    use std::sync::mpsc;
    use std::thread;

    fn lock() -> RLock {
        RLock::new().expect("a lock")
    }

    fn is_free(lock: &RLock) -> bool {
        thread::scope(|scope| {
            let other = scope.spawn(|| lock.try_acquire().expect("a try").is_some());
            other.join().expect("no panic")
        })
    }

    #[test]
    fn smoke() {
        let _watchdog = watchdog();
        let lock = lock();
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
    fn acquire_times_out_in_another_thread() {
        let _watchdog = watchdog();
        let lock = lock();
        let guard = lock.acquire().expect("free");
        thread::scope(|scope| {
            let other = scope.spawn(|| lock.acquire_timeout(Duration::from_millis(1)).expect("no error").is_none());
            assert!(other.join().expect("no panic"));
        });
        drop(guard);
        assert!(lock.acquire_timeout(Duration::MAX).expect("no error").is_some());
    }

    #[test]
    fn acquire_blocks_until_the_last_guard_is_dropped() {
        let _watchdog = watchdog();
        let lock = lock();
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
    fn thread_that_ends_with_the_lock_abandons_it_whole() {
        let _watchdog = watchdog();
        let lock = lock();
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
    fn handles_of_the_same_lock_count_together() {
        let lock = lock();
        let again = lock.clone();
        assert_eq!(lock.id().expect("a number"), again.id().expect("a number"));
        let (one, two) = (lock.acquire().expect("free"), again.acquire().expect("own"));
        drop(one);
        assert!(!is_free(&lock));
        drop(two);
        assert!(is_free(&lock) && is_free(&again));
    }
}
