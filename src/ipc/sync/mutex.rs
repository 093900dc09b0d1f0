//! The common part of `Lock` and `RLock`: a robust mutex, its holder's process id, and the record of its waiters.
//!
//! # State
//! Next to the mutex stands the process id of the holder, for diagnosis. It is written after the mutex is acquired and
//! cleared before it is released, so it may lag by an instruction and never decides anything. The lock gets its number
//! in the process table when it is first needed: when a thread has to wait.
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel immediately hands the mutex to the next in line. A stopped
//! holder is not dead, see [`Holder`].

use std::io;

use super::holder::{HeldBy, Holder};
use super::waits::Waiting;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::process::table::ProcessTable;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sys::robust::{self, Locked, RobustMutex};
use crate::sys::shm::shared_layout;

/// Maximum number of locks that one thread may hold. The kernel hands on 2,048 robust mutexes of a thread that ends;
/// the rest is reserved for those that the library itself holds briefly, inside a queue or a barrier.
pub(crate) const MOST_HELD: u32 = 2_000;

/// This thread holds [`MOST_HELD`] locks, and this one is not among them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HoldsTooMany;

/// Outcome of a lock attempt.
pub(crate) type Attempt = std::result::Result<Locked, HoldsTooMany>;

impl From<HoldsTooMany> for Error {
    fn from(HoldsTooMany: HoldsTooMany) -> Self {
        Error::TooManyLocks { limit: MOST_HELD }
    }
}

shared_layout! {
    pub struct MutexState {
        mutex: RobustMutex,
        holder_pid: AtomicU32,
        number: AtomicU32,
    }
}

/// The previous holder died with the lock: the protected data may be inconsistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The process id of the dead holder; `None` if it died before recording it.
    pub pid: Option<u32>,
}

impl MutexState {
    /// Initialises zeroed memory as a free mutex.
    pub(crate) fn init(&self) -> io::Result<()> {
        self.mutex.init()
    }

    /// Acquires the mutex if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> Attempt {
        if robust::held_by_this_thread() < MOST_HELD { Ok(self.mutex.try_lock_unless_own()) } else { self.refuse() }
    }

    /// The outcome for a thread that holds [`MOST_HELD`] locks: one more would stay locked if the thread died with
    /// them.
    #[cold]
    fn refuse(&self) -> Attempt {
        let is_own = self.mutex.owner_tid() == Some(robust::own_tid());
        if is_own { Ok(Locked::WouldDeadlock) } else { Err(HoldsTooMany) }
    }

    /// Returns whether [`lock`](Self::lock) would return now: the mutex is free, abandoned, or this thread's own.
    pub(crate) fn can_be_locked(&self) -> bool {
        self.mutex.owner_tid().is_none_or(|owner| owner == robust::own_tid()) || self.is_abandoned()
    }

    /// Acquires the mutex, blocking until `deadline`.
    #[inline]
    pub(crate) fn lock(&self, deadline: impl FnOnce() -> Deadline) -> Attempt {
        match self.try_lock()? {
            Locked::Busy => Ok(self.wait(deadline())),
            locked => Ok(locked),
        }
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> Locked {
        // A thread that cannot be recorded waits all the same: the record is only for deadlock detection.
        let waiting = self.number().ok().and_then(Waiting::begin);
        loop {
            if let Some(waiting) = &waiting {
                waiting.look_at(&self.mutex);
            }
            match self.mutex.lock(Some(deadline.next_check())) {
                Locked::Busy if !deadline.has_passed() => {}
                locked => return locked,
            }
        }
    }

    /// Records the new holder, and returns the dead one if the mutex was `abandoned`.
    #[inline]
    pub(crate) fn taken_by(&self, pid: u32, abandoned: bool) -> Option<Abandoned> {
        let dead = abandoned.then(|| Abandoned { pid: self.holder_pid() });
        self.holder_pid.store(pid, Relaxed);
        dead
    }

    /// Releases the mutex, as the thread that owns it.
    #[inline]
    pub(crate) fn unlock(&self) {
        self.holder_pid.store(0, Relaxed);
        let was_ours = self.mutex.unlock();
        debug_assert!(was_ours, "a guard stays in the thread that took the lock");
    }

    /// Returns the process that holds the mutex; it may change before this returns.
    pub(crate) fn holder_pid(&self) -> Option<u32> {
        Some(self.holder_pid.load(Relaxed)).filter(|pid| *pid != 0)
    }

    /// Returns the thread that holds the mutex; it may change before this returns.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of(&self.mutex)
    }

    /// Returns the holder as a debug field of the lock.
    pub(crate) fn held_by(&self) -> HeldBy<'_> {
        HeldBy(&self.mutex)
    }

    /// Returns whether the last holder died with the mutex and it has not been acquired since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }

    /// Returns the mutex's number, unique among locks and the same in every process of the process table. Never 0.
    pub(crate) fn number(&self) -> Result<u32> {
        let known = self.number.load(Acquire);
        if known != 0 {
            return Ok(known);
        }
        let fresh = ProcessTable::ours()?.next_lock_number();
        Ok(self.number.compare_exchange(0, fresh, AcqRel, Acquire).map_or_else(|theirs| theirs, |_| fresh))
    }
}

/// A held lock, which [`Condition`](crate::Condition) releases while it waits, and reacquires.
///
/// Implemented by [`LockGuard`](crate::sync::LockGuard) and [`RLockGuard`](crate::sync::RLockGuard) only.
pub trait Guard: Suspend {}

/// How a guard is released and reacquired; not nameable outside this crate, so it cannot be implemented there.
pub trait Suspend: Sized {
    /// The lock, and what is needed to hold it again as before.
    type Suspended: Copy;

    /// Returns the mutex of the lock.
    fn mutex(&self) -> &MutexState;

    /// The same, while the lock is released.
    fn mutex_of(suspended: &Self::Suspended) -> &MutexState;

    /// Releases the lock, however often this thread holds it.
    fn suspend(self) -> Self::Suspended;

    /// Reacquires the lock as it was held.
    fn resume(suspended: Self::Suspended) -> Result<Self>;

    /// Returns whether the previous holder died with the lock.
    fn was_abandoned(&self) -> bool;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::watchdog;
    use crate::sys::shm::Mapping;
    use std::thread;

    /// More than the kernel hands on.
    const MANY: usize = 2_100;

    shared_layout! {
        struct Many = b"testmany" {
            mutexes: [MutexState; MANY],
        }
    }

    #[test]
    fn every_lock_that_a_thread_could_take_is_handed_on_when_it_ends() {
        let _watchdog = watchdog();
        let init = |many: &Many| many.mutexes.iter().try_for_each(MutexState::init);
        let many = Mapping::create(0, init).expect("memory");
        let taken = thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let taken = many.mutexes.iter().take_while(|mutex| mutex.try_lock() == Ok(Locked::Clean)).count();
                assert_eq!(many.mutexes[taken].lock(|| Deadline::NEVER), Err(HoldsTooMany), "the next is refused");
                assert_eq!(many.mutexes[0].try_lock(), Ok(Locked::WouldDeadlock), "its own are known to it");
                many.mutexes[0].unlock();
                assert_eq!(many.mutexes[taken].try_lock(), Ok(Locked::Clean), "one was given back");
                many.mutexes[taken].unlock();
                assert_eq!(many.mutexes[0].try_lock(), Ok(Locked::Clean));
                taken
            });
            holder.join().expect("no panic")
        });
        assert_eq!(taken, MOST_HELD as usize);
        for (index, mutex) in many.mutexes.iter().enumerate() {
            let expected = if index < taken { Locked::Abandoned } else { Locked::Clean };
            assert_eq!(mutex.try_lock(), Ok(expected), "mutex {index}");
            mutex.unlock();
        }
    }
}
