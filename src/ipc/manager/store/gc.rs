//! When objects are removed: with the last reference, or in cycles to which nothing else refers.
//!
//! # State
//! Every reference to an object holds an `Arc`, whether it is in a container, a session or a message. Dropping the last
//! one adds the object's id to the pending drops, and the store removes the object after the request. So no code counts
//! references by hand.
//!
//! Cycles are searched for when a client leaves an object behind to which only objects refer, and when there are twice
//! as many objects as after the last search.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::waits::Line;
use super::{Failure, ObjectId, ObjectRef, Reply, SessionId, Store, Want};
use crate::ipc::manager::data::Keeper;

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

    fn numbers(&self) -> MutexGuard<'_, Vec<ObjectId>> {
        // A list of numbers is consistent at every moment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Records the references in an answer: the client may use them until it releases them.
    pub(super) fn note_references(&mut self, session: SessionId, reply: &mut Reply) {
        let Some(session) = self.sessions.get_mut(&session) else { return };
        reply.each_reference(&mut |reference| {
            let (_, count) = session.references.entry(reference.id()).or_insert_with(|| (reference.clone(), 0));
            *count += 1;
        });
    }

    pub(super) fn release(&mut self, session: SessionId, object: ObjectId, count: u64) {
        if let Some(session) = self.sessions.get_mut(&session)
            && let Some((_, left)) = session.references.get_mut(&object)
        {
            *left = left.saturating_sub(count);
            if *left == 0 {
                session.references.remove(&object);
                self.drop_unreferenced();
                self.may_have_circles |= self.objects.contains_key(&object) && !self.is_rooted(object);
            }
        }
    }

    /// Whether a client, a name or a transfer refers to an object, and not only other objects.
    pub(super) fn is_rooted(&self, id: ObjectId) -> bool {
        self.sessions.values().any(|session| session.references.contains_key(&id))
            || self.names.values().any(|reference| reference.id() == id)
            || self.transfers.values().any(|transfer| transfer.reference.id() == id)
    }

    /// Removes the objects without references, and those to which only these referred.
    pub(super) fn drop_unreferenced(&mut self) {
        while let Some(id) = self.pending_drops.next() {
            self.remove(id);
        }
    }

    fn remove(&mut self, id: ObjectId) {
        if self.objects.remove(&id).is_some() {
            self.waits.fail_all(id, &Failure::NoSuchObject);
        }
    }

    /// Removes objects that only refer to each other, in cycles.
    pub(super) fn sweep(&mut self) {
        let mut reached: HashSet<ObjectId> = HashSet::new();
        let of_sessions = self.sessions.values().flat_map(|session| session.references.keys().copied());
        let of_names = self.names.values().map(ObjectRef::id);
        let of_transfers = self.transfers.values().map(|transfer| transfer.reference.id());
        let mut next: Vec<ObjectId> = of_sessions.chain(of_names).chain(of_transfers).collect();
        while let Some(id) = next.pop() {
            if reached.insert(id)
                && let Some(object) = self.objects.get_mut(&id)
            {
                let mut see = |reference: &mut ObjectRef| next.push(reference.id());
                object.each_reference(&mut see);
                for waiter in self.waits.queue(id, Line::Putters) {
                    if let Want::Room(item) = &mut waiter.want {
                        item.each_reference(&mut see);
                    }
                }
            }
        }
        let lost: Vec<ObjectId> = self.objects.keys().filter(|id| !reached.contains(id)).copied().collect();
        lost.into_iter().for_each(|id| self.remove(id));
        // Their own pending drops name objects that are removed already.
        self.drop_unreferenced();
        self.after_last_sweep = self.objects.len();
        self.may_have_circles = false;
    }
}
