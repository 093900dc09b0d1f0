//! A lock in shared memory: a robust mutex, its number, its holder's process id, and the guard.
//!
//! # State
//! Next to the mutex stands the process id of the holder, for diagnosis. It is written after the mutex is acquired and
//! cleared before it is released, so it may lag by an instruction and never decides anything. `depth` counts the
//! holder's guards beyond the first, so it is 0 unless the holder has acquired a reentrant lock again. Only the thread
//! that owns the mutex reads or writes it. `deaths` only grows; a waiter of a condition compares it with what it was when
//! the wait began.
//!
//! # Ordering
//! Unlock happens-before the next lock.
//!
//! # Death
//! When the holder dies, by exit or by kill, the kernel immediately hands the mutex to the next in line, which resets
//! `depth` and increments `deaths`. A stopped holder is not dead, see [`Holder`].

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::time::Duration;

use super::holder::{HeldBy, Holder};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::operation::{Object, ObjectId, Operation, always, point};
use crate::ipc::process::wait_record::Waiting;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::fork::{forked_from, origin};
use crate::sys::robust::{self, Locked, RobustMutex};
use crate::sys::shm::shared_layout;

/// Maximum number of locks that one thread may hold. The kernel hands on 2,048 robust mutexes of a thread that ends;
/// the rest is reserved for those that the library itself holds briefly, inside a queue or a barrier.
const MOST_HELD: u32 = 2_000;

shared_layout! {
    pub(crate) struct LockState = b"lock    " {
        mutex: RobustMutex,
        number: AtomicU64,
        depth: AtomicU64,
        holder_pid: AtomicU32,
        /// Number of times that the lock was acquired after its holder had died. Written by the new holder.
        deaths: AtomicU32,
    }
}

/// The previous holder died with the lock: the protected data may be inconsistent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abandoned {
    /// The process id of the dead holder; `None` if it died before recording it.
    pub pid: Option<u32>,
}

/// A held [`Lock`](crate::Lock) or [`RLock`](crate::RLock). Dropping the guard releases the lock, or one hold
/// of an `RLock`, which is free when all of its holder's guards are dropped.
///
/// It cannot be sent to another thread: a lock belongs to the thread that acquired it.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct LockGuard<'a>(pub(crate) RawGuard<'a>);

/// What a [`LockGuard`] holds. Dropping it alone passes no [`point`]: for a lock that is acquired as a part of another
/// operation.
pub(crate) struct RawGuard<'a> {
    pub(crate) state: &'a LockState,
    pub(crate) abandoned: Option<Abandoned>,
    not_send: PhantomData<*const ()>,
}

impl LockState {
    /// Initialises zeroed memory as a free lock.
    pub(crate) fn init(&self) -> io::Result<()> {
        self.number.store(ObjectId::new().to_word(), Relaxed);
        self.mutex.init()
    }

    /// Returns the lock's number, the same in every process.
    pub(crate) fn id(&self) -> ObjectId {
        ObjectId::from_word(self.number.load(Relaxed))
    }

    /// Returns whether [`acquire`](Self::acquire) would return now: the lock is free, abandoned, or this thread's own.
    pub(crate) fn can_be_acquired(&self) -> bool {
        self.mutex.owner_tid().is_none_or(|owner| owner == robust::own_tid()) || self.is_abandoned()
    }

    /// Acquires the lock. Blocks for at most `timeout`, or indefinitely if it is `None`. If this thread already holds
    /// the lock, returns another guard if the lock is `reentrant`; otherwise an error, or `None` if the timeout is
    /// zero.
    #[inline(always)]
    pub(crate) fn acquire_within(&self, timeout: Option<Duration>, reentrant: bool) -> Result<Option<RawGuard<'_>>> {
        check_not_forked()?;
        if robust::held_by_this_thread() >= MOST_HELD {
            self.check_own()?;
        }
        let abandoned = match self.mutex.try_lock() {
            Locked::Clean => None,
            locked => match self.acquire_slowly(locked, timeout, reentrant) {
                Ok(abandoned) => abandoned,
                Err(Locked::WouldDeadlock) => return Err(Error::WouldDeadlock),
                Err(_) => return Ok(None),
            },
        };
        self.holder_pid.store(origin(), Relaxed);
        Ok(Some(RawGuard { state: self, abandoned, not_send: PhantomData }))
    }

    /// Acquires the lock, as [`acquire_within`](Self::acquire_within) without a timeout.
    #[inline(always)]
    pub(crate) fn acquire(&self, reentrant: bool) -> Result<RawGuard<'_>> {
        Ok(self.acquire_within(None, reentrant)?.expect("a wait without end ends with the lock"))
    }

    /// Refuses another lock to a thread that already holds [`MOST_HELD`]: the lock would stay locked if the thread
    /// died.
    #[cold]
    fn check_own(&self) -> Result<()> {
        let is_own = self.mutex.owner_tid() == Some(robust::own_tid());
        if is_own { Ok(()) } else { Err(Error::TooManyLocks { limit: MOST_HELD }) }
    }

    /// The slow path of an acquire whose first attempt returned `tried`. Fails with `Busy` or `WouldDeadlock`.
    ///
    /// The result fits into a register: a guard in memory would cost the fast path more than the lock does.
    #[cold]
    fn acquire_slowly(
        &self,
        tried: Locked,
        timeout: Option<Duration>,
        reentrant: bool,
    ) -> std::result::Result<Option<Abandoned>, Locked> {
        let may_block = timeout != Some(Duration::ZERO);
        match if tried == Locked::Busy && may_block { self.wait(Deadline::within(timeout)) } else { tried } {
            Locked::Clean => Ok(None),
            Locked::Abandoned => {
                self.deaths.fetch_add(1, Relaxed);
                self.depth.store(0, Relaxed);
                Ok(Some(Abandoned { pid: self.holder_pid() }))
            }
            Locked::WouldDeadlock if reentrant => {
                self.depth.store(self.depth.load(Relaxed) + 1, Relaxed);
                Ok(None)
            }
            Locked::WouldDeadlock if may_block => Err(Locked::WouldDeadlock),
            Locked::WouldDeadlock | Locked::Busy => Err(Locked::Busy),
        }
    }

    #[cold]
    fn wait(&self, deadline: Deadline) -> Locked {
        // A thread that cannot be recorded waits all the same: the record is only for deadlock detection.
        let waiting = Waiting::begin(self.id());
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

    #[inline]
    fn unlock(&self) {
        self.holder_pid.store(0, Relaxed);
        let was_ours = self.mutex.unlock();
        debug_assert!(was_ours, "a guard stays in the thread that took the lock");
    }

    /// Returns how many times the lock was acquired after its holder had died.
    pub(crate) fn deaths(&self) -> u32 {
        self.deaths.load(Relaxed)
    }

    /// Returns the process that holds the lock; it may change before this returns.
    pub(crate) fn holder_pid(&self) -> Option<u32> {
        Some(self.holder_pid.load(Relaxed)).filter(|pid| *pid != 0)
    }

    /// Returns the thread that holds the lock; it may change before this returns.
    pub(crate) fn holder(&self) -> Option<Holder> {
        Holder::of(&self.mutex)
    }

    /// Returns the holder as a debug field of the lock.
    pub(crate) fn held_by(&self) -> HeldBy<'_> {
        HeldBy(&self.mutex)
    }

    /// Returns whether the last holder died with the lock and it has not been acquired since.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.mutex.is_abandoned()
    }
}

impl Object for LockState {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        (self.id(), None)
    }
}

impl LockGuard<'_> {
    /// Returns whether the previous holder died with the lock. The protected data may be inconsistent: check it first.
    /// Reported to the first guard of a holder, not to nested ones of an [`RLock`](crate::RLock).
    pub fn abandoned(&self) -> Option<Abandoned> {
        self.0.abandoned
    }
}

impl Drop for LockGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if forked_from().is_none() {
            point(Operation::change("lock.release"), self.0.state, always);
        }
    }
}

impl Drop for RawGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        if forked_from().is_some() {
            // A forked copy: the lock belongs to a thread of the parent.
            return;
        }
        match self.state.depth.load(Relaxed) {
            0 => self.state.unlock(),
            depth => self.state.depth.store(depth - 1, Relaxed),
        }
    }
}

impl fmt::Debug for RawGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawGuard").field("abandoned", &self.abandoned).finish_non_exhaustive()
    }
}

/// A lock that was released however often its holder held it.
#[derive(Clone, Copy)]
pub(crate) struct Suspended<'a> {
    state: &'a LockState,
    depth: u64,
}

impl<'a> Suspended<'a> {
    /// Releases the lock, however often this thread holds it.
    pub(crate) fn from(guard: LockGuard<'a>) -> Self {
        let state = ManuallyDrop::new(guard).0.state;
        let depth = state.depth.swap(0, Relaxed);
        state.unlock();
        Suspended { state, depth }
    }

    /// Acquires the lock again as it was held.
    pub(crate) fn resume(self) -> Result<LockGuard<'a>> {
        let guard = self.state.acquire(false)?;
        self.state.depth.store(self.depth, Relaxed);
        Ok(LockGuard(guard))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::watchdog;
    use crate::sys::shm::Mapping;
    use std::mem::forget;
    use std::thread;

    /// More than the kernel hands on.
    const MANY: usize = 2_100;

    shared_layout! {
        struct Many = b"testmany" {
            locks: [LockState; MANY],
        }
    }

    #[test]
    fn every_lock_that_a_thread_could_take_is_handed_on_when_it_ends() {
        let _watchdog = watchdog();
        let init = |many: &Many| many.locks.iter().try_for_each(LockState::init);
        let many = Mapping::create(0, init).expect("memory");
        let taken = thread::scope(|scope| {
            let holder = scope.spawn(|| {
                let taken = many.locks.iter().take_while(|lock| lock.acquire(false).map(forget).is_ok()).count();
                let refused = many.locks[taken].acquire(false).expect_err("one too many");
                assert!(matches!(refused, Error::TooManyLocks { limit: MOST_HELD }));
                assert!(matches!(many.locks[0].acquire(false), Err(Error::WouldDeadlock)), "known to it");
                many.locks[0].unlock();
                drop(many.locks[taken].acquire(false).expect("one was released"));
                forget(many.locks[0].acquire(false).expect("one was released"));
                taken
            });
            holder.join().expect("no panic")
        });
        assert_eq!(taken, MOST_HELD as usize);
        for (index, lock) in many.locks.iter().enumerate() {
            let guard = lock.acquire(false).expect("no error");
            assert_eq!(guard.abandoned.is_some(), index < taken, "lock {index}");
        }
    }
}
