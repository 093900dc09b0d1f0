//! The lock of a shared value: its own, a given one, or none.

use serde::{Deserialize, Serialize};

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::sync::lock::{Lock, LockGuard};
use crate::ipc::sync::mutex::Abandoned;
use crate::ipc::sync::rlock::{RLock, RLockGuard, RLockState};

/// Which lock a value or an array has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum ValueLock {
    /// None: separate reads and writes of several processes may interleave.
    Nobody,
    /// The lock in the value's own memory.
    Own,
    Lock(Lock),
    RLock(RLock),
}

/// A lock that can be given to a [`Value`](crate::Value) or an [`Array`](crate::Array): [`Lock`] or [`RLock`].
pub trait AnyLock: Sealed {}

impl AnyLock for Lock {}
impl AnyLock for RLock {}

/// Not nameable outside this crate, so that [`AnyLock`] cannot be implemented there.
pub trait Sealed {
    #[doc(hidden)]
    fn lock_choice(&self) -> ValueLock;
}

impl Sealed for Lock {
    fn lock_choice(&self) -> ValueLock {
        ValueLock::Lock(self.clone())
    }
}

impl Sealed for RLock {
    fn lock_choice(&self) -> ValueLock {
        ValueLock::RLock(self.clone())
    }
}

/// The held lock of a value. Dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is given back when the guard is dropped"]
pub struct ValueGuard<'a>(Held<'a>);

#[derive(Debug)]
enum Held<'a> {
    Lock(LockGuard<'a>),
    RLock(RLockGuard<'a>),
}

impl ValueGuard<'_> {
    /// Returns whether the previous holder died with the lock. Single numbers and whole slices are never half written,
    /// but a change of several steps may be incomplete.
    pub fn abandoned(&self) -> Option<Abandoned> {
        match &self.0 {
            Held::Lock(guard) => guard.abandoned(),
            Held::RLock(guard) => guard.abandoned(),
        }
    }
}

impl ValueLock {
    /// Acquires the lock; `own` is the one in the value's memory.
    pub(crate) fn acquire<'a>(&'a self, own: &'a RLockState, own_pid: u32) -> Result<ValueGuard<'a>> {
        let held = match self {
            ValueLock::Nobody => return Err(Error::NoLock),
            ValueLock::Own => {
                let guard = own.acquire(own_pid, || Deadline::NEVER)?;
                Held::RLock(guard.expect("a wait without end ends with the lock"))
            }
            ValueLock::Lock(lock) => Held::Lock(lock.acquire()?),
            ValueLock::RLock(lock) => Held::RLock(lock.acquire()?),
        };
        Ok(ValueGuard(held))
    }

    /// Acquires the lock if there is one.
    pub(crate) fn acquire_if_any<'a>(&'a self, own: &'a RLockState, own_pid: u32) -> Result<Option<ValueGuard<'a>>> {
        match self {
            ValueLock::Nobody => Ok(None),
            _ => self.acquire(own, own_pid).map(Some),
        }
    }
}
