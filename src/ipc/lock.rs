//! A mutual exclusion lock between processes that survives the death of its holder.
//!
//! # State
//! A robust mutex, and beside it the process id of the holder, for diagnosis. The id is written after the mutex is taken
//! and cleared before it is given back, so it may lag behind by an instruction and never decides anything.
//!
//! # Ordering
//! The mutex orders everything that its holders do, as every pthread mutex.
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel hands the lock to the next in line at once, and the guard says
//! so: [`LockGuard::abandoned`]. Whoever is killed while waiting leaves no trace.
//!
//! # Standard
//! Python `multiprocessing.Lock`. Differs: it is given back by dropping a guard, so it cannot be released by who does not
//! hold it; a killed holder does not keep it for ever; a thread that would wait for itself gets an error.

use std::marker::PhantomData;
use std::time::Duration;

use super::deadline::Deadline;
use super::error::{Error, Result, os};
use super::share::{Adopted, Parcel, Share};
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    struct LockState = b"lock    " {
        mutex: RobustMutex,
        holder_pid: AtomicU32,
        padding: AtomicU32,
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
#[derive(Debug)]
pub struct Lock {
    state: Mapping<LockState>,
    own_pid: u32,
}

/// The holder before this one died with the lock: what the lock protects may be half changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The process id of the dead holder; `None` if it died before it could write it down.
    pub pid: Option<u32>,
}

/// The lock, held. Dropping it gives the lock back.
///
/// Stays in the thread that took it: a lock belongs to a thread.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct LockGuard<'a> {
    lock: &'a Lock,
    abandoned: Option<Abandoned>,
    not_send: PhantomData<*const ()>,
}

impl Lock {
    /// Makes a free lock.
    ///
    /// # Errors
    /// [`Error::Os`] if there is no memory or no descriptor for it.
    pub fn new() -> Result<Self> {
        Lock::of(Mapping::create(0, |state: &LockState| state.mutex.init()).map_err(os("make a lock"))?)
    }

    fn of(state: Mapping<LockState>) -> Result<Self> {
        Ok(Lock { state, own_pid: std::process::id() })
    }

    /// Takes the lock, waiting as long as another holds it.
    ///
    /// # Errors
    /// [`Error::WouldDeadlock`] if this thread holds it already.
    ///
    /// # Death
    /// If the holder dies the wait ends at once: the guard says [`abandoned`](LockGuard::abandoned).
    ///
    /// # System calls
    /// `futex`, only if another holds the lock.
    #[inline]
    pub fn acquire(&self) -> Result<LockGuard<'_>> {
        let held = self.held(self.state.mutex.lock(None))?;
        Ok(held.expect("a wait without end ends with the lock"))
    }

    /// Takes the lock if nobody holds it; `None` if somebody does, this thread included. Does not wait.
    ///
    /// # Errors
    /// None today; a `Result` like its siblings.
    #[inline]
    pub fn try_acquire(&self) -> Result<Option<LockGuard<'_>>> {
        self.held(self.state.mutex.try_lock())
    }

    /// Takes the lock, waiting at most `timeout` on the monotonic clock. `None` if it passed; `Duration::ZERO` tries once.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    ///
    /// # Standard
    /// Python `Lock.acquire(timeout=…)`. Differs: gives a guard, not a bool.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<LockGuard<'_>>> {
        match Deadline::after(timeout).at_ns() {
            Some(_) if timeout.is_zero() => self.try_acquire(),
            until_ns => self.held(self.state.mutex.lock(until_ns)),
        }
    }

    /// Takes the lock, runs `critical_section`, and gives the lock back, also if it panics.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire).
    pub fn with<R>(&self, critical_section: impl FnOnce(&LockGuard<'_>) -> R) -> Result<R> {
        let guard = self.acquire()?;
        Ok(critical_section(&guard))
    }

    /// The process that holds the lock, for diagnosis: it may be another by the time this returns.
    pub fn holder_pid(&self) -> Option<u32> {
        Some(self.state.holder_pid.load(Relaxed)).filter(|pid| *pid != 0)
    }

    #[inline]
    fn held(&self, locked: Locked) -> Result<Option<LockGuard<'_>>> {
        let abandoned = match locked {
            Locked::Clean => None,
            Locked::Abandoned => Some(Abandoned { pid: self.holder_pid() }),
            Locked::Busy => return Ok(None),
            Locked::WouldDeadlock => return Err(Error::WouldDeadlock),
        };
        self.state.holder_pid.store(self.own_pid, Relaxed);
        Ok(Some(LockGuard { lock: self, abandoned, not_send: PhantomData }))
    }
}

impl LockGuard<'_> {
    /// Whether the holder before this one died with the lock. What it was changing may be half done: look at it first.
    pub fn abandoned(&self) -> Option<Abandoned> {
        self.abandoned
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.lock.state.holder_pid.store(0, Relaxed);
        let was_ours = self.lock.state.mutex.unlock();
        debug_assert!(was_ours, "a guard stays in the thread that took the lock");
    }
}

impl Share for Lock {
    const KIND: &'static str = "lock";

    fn lend(&self, parcel: &mut Parcel) -> Result<()> {
        parcel.add(self.state.memfd())
    }

    fn adopt(parcel: &mut Adopted) -> Result<Self> {
        Lock::of(Mapping::open(parcel.descriptor()?).map_err(os("open a lock"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
        let lock = Lock::new().expect("a lock");
        let (order, seen) = mpsc::channel();
        let guard = lock.acquire().expect("free");
        thread::scope(|scope| {
            let told = order.clone();
            let lock = &lock;
            scope.spawn(move || {
                let _guard = lock.acquire().expect("released in the end");
                told.send("taken").expect("the test listens");
            });
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
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lock.with(|_| panic!("inside"))));
        assert!(outcome.is_err());
        assert!(lock.try_acquire().expect("a try").is_some());
    }
}
