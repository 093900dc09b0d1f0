//! What `Lock` and `RLock` have in common: a robust mutex, the name of its holder, and the record of who waits for it.
//!
//! # State
//! Beside the mutex stands the process id of the holder, for diagnosis. The id is written after the mutex is taken and
//! cleared before it is given back, so it may lag behind by an instruction and never decides anything. The lock's number
//! in its family is given when it is first asked for: when somebody has to wait.
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel hands the mutex to the next in line at once. A stopped one is not
//! dead, see [`Holder`].

use std::io;

use super::holder::{HeldBy, Holder};
use super::waits::Waiting;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::ipc::processes::family::Family;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::shared_layout;

shared_layout! {
    pub struct MutexState {
        mutex: RobustMutex,
        holder_pid: AtomicU32,
        number: AtomicU32,
    }
}

/// The holder before this one died with the lock: what the lock protects may be half changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The process id of the dead holder; `None` if it died before it could write it down.
    pub pid: Option<u32>,
}

impl MutexState {
    /// Makes zeroed memory a free mutex.
    pub(crate) fn init(&self) -> io::Result<()> {
        self.mutex.init()
    }

    /// Takes the mutex if it is free.
    #[inline]
    pub(crate) fn try_lock(&self) -> Locked {
        self.mutex.try_lock_unless_own()
    }

    /// Takes the mutex, waiting until `deadline`.
    #[inline]
    pub(crate) fn lock(&self, deadline: impl FnOnce() -> Deadline) -> Locked {
        match self.try_lock() {
            Locked::Busy => self.wait(deadline()),
            locked => locked,
        }
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> Locked {
        // Who cannot be recorded waits all the same: the record is for whoever looks for a deadlock.
        let waiting = self.number().ok().and_then(Waiting::begin);
        loop {
            if let Some(waiting) = &waiting {
                waiting.look_at(&self.mutex);
            }
            match self.mutex.lock(Some(deadline.next_look())) {
                Locked::Busy if !deadline.has_passed() => {}
                locked => return locked,
            }
        }
    }

    /// Notes the new holder, and says who died with the lock if it was got `abandoned`.
    #[inline]
    pub(crate) fn taken_by(&self, pid: u32, abandoned: bool) -> Option<Abandoned> {
        let dead = abandoned.then(|| Abandoned { pid: self.holder_pid() });
        self.holder_pid.store(pid, Relaxed);
        dead
    }

    /// Gives the mutex back, as the thread that owns it.
    #[inline]
    pub(crate) fn unlock(&self) {
        self.holder_pid.store(0, Relaxed);
        let was_ours = self.mutex.unlock();
        debug_assert!(was_ours, "a guard stays in the thread that took the lock");
    }

    /// The process that holds the mutex; it may be another by the time this returns.
    pub(crate) fn holder_pid(&self) -> Option<u32> {
        Some(self.holder_pid.load(Relaxed)).filter(|pid| *pid != 0)
    }

    /// The thread that holds the mutex; it may be another by the time this returns.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of(&self.mutex)
    }

    /// The same as a field of the lock.
    pub(crate) fn held_by(&self) -> HeldBy<'_> {
        HeldBy(&self.mutex)
    }

    /// Whether the last holder died with the mutex and nobody has taken it since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }

    /// The mutex's number, the same in every process of the family and no other lock's. Never 0.
    pub(crate) fn number(&self) -> Result<u32> {
        let known = self.number.load(Acquire);
        if known != 0 {
            return Ok(known);
        }
        let fresh = Family::ours()?.next_lock_number();
        Ok(self.number.compare_exchange(0, fresh, AcqRel, Acquire).map_or_else(|theirs| theirs, |_| fresh))
    }
}

/// A lock that is held: what [`Condition`](crate::ipc::Condition) gives up while it waits, and takes again.
///
/// Implemented by [`LockGuard`](crate::ipc::LockGuard) and [`RLockGuard`](crate::ipc::RLockGuard), and by nobody else.
pub trait Guard: Suspend {}

/// How a guard is given up and taken again; not to be named outside of this crate, so that it cannot be implemented there.
pub trait Suspend: Sized {
    /// The lock, and what it takes to hold it again as before.
    type Suspended: Copy;

    /// The mutex of the lock.
    fn mutex(&self) -> &MutexState;

    /// The same, while the lock is given up.
    fn mutex_of(suspended: &Self::Suspended) -> &MutexState;

    /// Gives the lock up, however often this thread holds it.
    fn suspend(self) -> Self::Suspended;

    /// Takes the lock as it was held.
    fn resume(suspended: Self::Suspended) -> Result<Self>;

    /// Whether the holder before died with the lock.
    fn was_abandoned(&self) -> bool;
}
