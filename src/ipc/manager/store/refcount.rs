//! What keeps an object alive: every reference to it, wherever it is stored, is a reference-counted Rust handle.
//!
//! # State
//! A reference holds an `Arc`; when the last is dropped, from whatever container, session or message, the object's id
//! is added to the pending drops, and the store removes the object after the request. So no code counts references by
//! hand.

use std::sync::{Arc, Mutex, PoisonError};

use crate::ipc::manager::data::{Keeper, ObjectId};

/// The ids of objects that lost their last reference.
#[derive(Debug, Clone, Default)]
pub(crate) struct PendingDrops(Arc<Mutex<Vec<ObjectId>>>);

struct PendingDrop {
    id: ObjectId,
    pending_drops: PendingDrops,
}

impl Drop for PendingDrop {
    fn drop(&mut self) {
        self.pending_drops.numbers().push(self.id);
    }
}

impl PendingDrops {
    /// Returns the first handle of a new object.
    pub(crate) fn watch(&self, id: ObjectId) -> Keeper {
        Arc::new(PendingDrop { id, pending_drops: self.clone() })
    }

    /// Returns the next object without references.
    pub(crate) fn next(&self) -> Option<ObjectId> {
        self.numbers().pop()
    }

    fn numbers(&self) -> std::sync::MutexGuard<'_, Vec<ObjectId>> {
        // A list of numbers is consistent at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
