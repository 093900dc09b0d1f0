//! The common part of values and arrays: numbers in shared memory, and the lock that protects them.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::plain::Plain;
use crate::ipc::error::{Error, Result, os};
use crate::ipc::operation::{Object, ObjectId, Operation, point};
use crate::ipc::sync::lock::GenericLock;
use crate::ipc::sync::lock_state::{LockGuard, LockState, RawGuard};
use crate::sys::atomic::AtomicU32;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    /// The numbers are in the tail of the mapping.
    pub(crate) struct NumbersState = b"numbers " {
        pub(crate) own: LockState,
        /// Which copy of an array is valid.
        pub(crate) live: AtomicU32,
        padding: AtomicU32,
    }
}

/// Selects the lock of the numbers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum LockChoice {
    /// None: separate reads and writes of several processes may interleave.
    Nobody,
    /// The lock in the numbers' own memory, which is reentrant.
    Own,
    Given {
        lock: Mapping<LockState>,
        reentrant: bool,
    },
}

impl LockChoice {
    pub(crate) fn given<const REENTRANT: bool>(lock: &GenericLock<REENTRANT>) -> Self {
        LockChoice::Given { lock: lock.state().clone(), reentrant: REENTRANT }
    }
}

/// Numbers in shared memory, and their lock.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Numbers<T> {
    pub(crate) state: Mapping<NumbersState>,
    lock_choice: LockChoice,
    numbers: PhantomData<T>,
}

impl<T: Plain> Numbers<T> {
    /// Creates `bytes` zero bytes. `action` describes this in errors.
    pub(crate) fn create(bytes: usize, lock_choice: LockChoice, action: &'static str) -> Result<Self> {
        let state = Mapping::create(bytes, |state: &NumbersState| state.own.init()).map_err(os(action))?;
        Ok(Numbers { state, lock_choice, numbers: PhantomData })
    }

    /// Returns all numbers in shared memory.
    #[inline]
    pub(crate) fn atoms(&self) -> &[T::Atom] {
        self.state.tail_as()
    }

    /// Returns the lock, if there is one, and whether it is reentrant.
    #[inline]
    fn choice(&self) -> Option<(&LockState, bool)> {
        match &self.lock_choice {
            LockChoice::Nobody => None,
            LockChoice::Own => Some((&self.state.own, true)),
            LockChoice::Given { lock, reentrant } => Some((lock, *reentrant)),
        }
    }

    pub(crate) fn has_lock(&self) -> bool {
        self.choice().is_some()
    }

    /// Acquires the lock, as a separate operation.
    pub(crate) fn lock(&self) -> Result<LockGuard<'_>> {
        let (lock, reentrant) = self.choice().ok_or(Error::NoLock)?;
        point(Operation::change("lock.acquire"), lock, || lock.can_be_acquired());
        lock.acquire(reentrant).map(LockGuard)
    }

    /// Acquires the lock, if there is one, as part of `operation` on the numbers.
    #[inline(always)]
    pub(crate) fn lock_for(&self, operation: Operation) -> Result<Option<RawGuard<'_>>> {
        point(operation, self, || self.choice().is_none_or(|(lock, _)| lock.can_be_acquired()));
        self.choice().map(|(lock, reentrant)| lock.acquire(reentrant)).transpose()
    }
}

/// For the operations that acquire the lock as well.
impl<T: Plain> Object for Numbers<T> {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        (self.state.objects().0, self.choice().map(|(lock, _)| lock.id()))
    }
}
