//! How the end of a client affects the others: none waits for a client that is gone.
//!
//! The store cannot tell a client that was killed from one that closed its connection. The difference is what it
//! released before: a client that still refers to a barrier would have arrived.

use super::waits::Notice;
use super::{Object, ObjectId, Session, SessionId, Store, Transfer, TransferToken, Want};
use crate::ipc::sync::BreakCause;

impl Store {
    /// Closes the session of a client that is gone, and releases everything it held.
    pub(crate) fn close_session(&mut self, session: SessionId, now_ns: u64) {
        let Some(Session { references, touched, pid }) = self.sessions.remove(&session) else { return };
        let cause = BreakCause::Died(pid);
        self.waits.now_ns = now_ns;
        let mut orphaned: Vec<Notice> = Vec::new();
        for waiter in self.waits.session_ended(session) {
            match waiter.want {
                Want::Resume { notice, .. } => orphaned.extend(notice),
                Want::Parties => self.lose_party(waiter.object, cause),
                _ => {}
            }
        }
        for id in touched {
            let object = self.objects.get_mut(&id);
            if object.is_some_and(|object| object.session_ended(session, cause, id, &mut self.waits)) {
                self.wake_heirs(id);
            }
        }
        for notice in orphaned {
            self.pass_on(notice);
        }
        references.keys().for_each(|id| self.lose_party(*id, cause));
        let exported: Vec<_> = self.transfers.extract_if(|_, transfer| transfer.exporter == session).collect();
        exported.iter().for_each(|(_, transfer)| self.lose_party(transfer.reference.id(), cause));
        drop(exported);
        let had: Vec<ObjectId> = references.into_keys().collect();
        self.drop_unreferenced();
        self.may_have_circles |= had.into_iter().any(|id| self.objects.contains_key(&id) && !self.is_rooted(id));
        if self.may_have_circles {
            self.sweep();
        }
    }

    /// Cancels an export: the reference will not be imported, since its recipient is gone.
    pub(super) fn cancel_export(&mut self, exporter: SessionId, token: TransferToken) {
        // No effect if it was imported already.
        if self.transfers.get(&token).is_some_and(|transfer| transfer.exporter == exporter)
            && let Some(Transfer { reference, .. }) = self.transfers.remove(&token)
        {
            self.lose_party(reference.id(), BreakCause::Died(None));
        }
    }

    /// Breaks the object if it is a barrier: one of its parties is lost.
    pub(super) fn lose_party(&mut self, object: ObjectId, cause: BreakCause) {
        if let Some(Object::Barrier(barrier)) = self.objects.get_mut(&object) {
            barrier.break_it(cause);
            self.serve(object);
        }
    }

    /// A lock was abandoned: the waiters of its conditions may wait for a notification that never comes.
    fn wake_heirs(&mut self, lock: ObjectId) {
        let is_of_lock = |object: &Object| matches!(object, Object::Condition(of) if of.id() == lock);
        let mut conditions: Vec<ObjectId> =
            self.objects.iter().filter(|(_, object)| is_of_lock(object)).map(|(id, _)| *id).collect();
        conditions.sort_unstable();
        for condition in conditions {
            let notice = Notice { condition, number: self.waits.number(), abandoned: true };
            self.pass_on(notice);
        }
    }
}
