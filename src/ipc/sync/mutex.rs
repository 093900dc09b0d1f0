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
use crate::ipc::error::{Error, Result};
use crate::ipc::process::table::ProcessTable;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use crate::sys::robust::{self, Locked, RobustMutex};
use crate::sys::shm::shared_layout;

/// The most locks that one thread may hold. The kernel hands on 2,048 robust mutexes of a thread that ends; the rest is for
/// those that the library itself holds for a moment, inside a queue or a barrier.
pub(crate) const MOST_HELD: u32 = 2_000;

/// This thread holds [`MOST_HELD`] locks, and this one is not among them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HoldsTooMany;

/// What an attempt to take a lock gives.
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
    pub(crate) fn try_lock(&self) -> Attempt {
        if robust::held_by_this_thread() < MOST_HELD { Ok(self.mutex.try_lock_unless_own()) } else { self.refuse() }
    }

    /// What a thread gets that holds [`MOST_HELD`] locks: one more would stay locked if the thread died with them.
    #[cold]
    fn refuse(&self) -> Attempt {
        let is_own = self.mutex.owner_tid() == Some(robust::own_tid());
        if is_own { Ok(Locked::WouldDeadlock) } else { Err(HoldsTooMany) }
    }

    /// Takes the mutex, waiting until `deadline`.
    #[inline]
    pub(crate) fn lock(&self, deadline: impl FnOnce() -> Deadline) -> Attempt {
        match self.try_lock()? {
            Locked::Busy => Ok(self.wait(deadline())),
            locked => Ok(locked),
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
            match self.mutex.lock(Some(deadline.next_check())) {
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

    /// The mutex's number, the same in every process of the process table and no other lock's. Never 0.
    pub(crate) fn number(&self) -> Result<u32> {
        let known = self.number.load(Acquire);
        if known != 0 {
            return Ok(known);
        }
        let fresh = ProcessTable::ours()?.next_lock_number();
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
