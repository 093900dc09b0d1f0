//! The lock of a shared value: its own, a given one, or none.

use serde::{Deserialize, Serialize};

use crate::ipc::error::{Error, Result};
use crate::ipc::operation::{ObjectId, Operation, point};
use crate::ipc::sync::lock::GenericLock;
use crate::ipc::sync::lock_state::{LockGuard, LockState, RawGuard};
use crate::sys::shm::Mapping;

/// Which lock a value or an array has. `own` is always the one in its memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum ValueLock {
    /// None: separate reads and writes of several processes may interleave.
    Nobody,
    /// The lock in the value's own memory, which is reentrant.
    Own,
    Given {
        lock: Mapping<LockState>,
        reentrant: bool,
    },
}

impl ValueLock {
    pub(crate) fn given<const REENTRANT: bool>(lock: &GenericLock<REENTRANT>) -> Self {
        ValueLock::Given { lock: lock.state().clone(), reentrant: REENTRANT }
    }

    #[inline]
    fn lock<'a>(&'a self, own: &'a LockState) -> Option<(&'a LockState, bool)> {
        match self {
            ValueLock::Nobody => None,
            ValueLock::Own => Some((own, true)),
            ValueLock::Given { lock, reentrant } => Some((lock, *reentrant)),
        }
    }

    /// Returns the number of the lock, if there is one.
    pub(crate) fn id(&self, own: &LockState) -> Option<ObjectId> {
        self.lock(own).map(|(lock, _)| lock.id())
    }

    /// Returns whether [`acquire_if_any`](Self::acquire_if_any) would return now.
    pub(crate) fn can_be_acquired(&self, own: &LockState) -> bool {
        self.lock(own).is_none_or(|(lock, _)| lock.can_be_acquired())
    }

    /// Acquires the lock, as an operation of its own.
    pub(crate) fn acquire<'a>(&'a self, own: &'a LockState) -> Result<LockGuard<'a>> {
        let (lock, reentrant) = self.lock(own).ok_or(Error::NoLock)?;
        point(Operation::change("lock.acquire"), lock, || lock.can_be_acquired());
        lock.acquire(reentrant).map(LockGuard)
    }

    /// Acquires the lock if there is one, as a part of an operation on the value.
    #[inline]
    pub(crate) fn acquire_if_any<'a>(&'a self, own: &'a LockState) -> Result<Option<RawGuard<'a>>> {
        self.lock(own).map(|(lock, reentrant)| lock.acquire(reentrant)).transpose()
    }
}
