//! Calls of a client that an exploration schedules: it decides when each goes on, and who goes first.
//!
//! # State
//! Such a client makes a call when it is its turn, and only if the call can go on: nothing of it is known here before.
//! Only a wait that has to be begun is known here: that for the other parties of a barrier, and that for a notification
//! of a condition. A waiter that was notified does not acquire the lock by itself, as others of the exploration may
//! acquire it first. A client has one call at a time.

use super::waits::{Caller, Want};
use super::{Call, Failure, Object, Outcome, Reply, SessionId, Store};

impl Store {
    /// Makes a call. Returns [`Reply::Waits`] if it waits, and `None` if it has just ended a wait that is its own, too.
    pub(super) fn step_of(&mut self, caller: Caller, call: Call) -> Result<Option<Reply>, Failure> {
        let reply = self.call(caller, call)?;
        Ok(reply.or_else(|| self.waits.waits(caller.session).then_some(Reply::Waits)))
    }

    /// Ends the wait of a session, if it has not ended yet.
    pub(super) fn end_wait(&mut self, session: SessionId, in_time: bool) -> Outcome {
        let Some(mut waiter) = self.waits.take_of_session(session) else { return Ok(Reply::DONE) };
        if !in_time {
            self.give_up(waiter);
            return Ok(Reply::DONE);
        }
        match self.objects.get_mut(&waiter.object).and_then(|object| object.attempt(&mut waiter)) {
            Some(result) => self.waits.complete(waiter, result),
            None => self.waits.park(waiter)?,
        }
        Ok(Reply::DONE)
    }

    /// Returns whether the next step of a call can be made without waiting.
    pub(super) fn look(&self, caller: Caller, call: &Call) -> Reply {
        let lock = match self.objects.get(&call.object) {
            Some(Object::Condition(lock)) => Some(lock.id()),
            _ => None,
        };
        let can_go = match self.waits.of_session(caller.session) {
            Some(waiter) => match (&waiter.want, self.objects.get(&waiter.object)) {
                (Want::Resume { .. }, Some(Object::Mutex(mutex))) => mutex.can_be_acquired_by(caller),
                _ => false,
            },
            // What is refused does not wait.
            None if !self.is_well_formed(caller.session, call) => true,
            None => {
                let object = self.objects.get(&lock.unwrap_or(call.object));
                object.is_none_or(|object| !object.would_wait(caller, call.method))
            }
        };
        Reply::Look { can_go, lock }
    }

    /// Returns whether a session holds something.
    pub(super) fn holds(&self, session: SessionId) -> bool {
        let touched = self.sessions.get(&session).into_iter().flat_map(|session| &session.touched);
        touched.filter_map(|id| self.objects.get(id)).any(|object| object.is_held_by(session))
    }

    /// Returns whether the object of a call has the method, with this number of arguments.
    fn is_well_formed(&self, session: SessionId, call: &Call) -> bool {
        let own = self.sessions.get(&session).and_then(|session| session.references.get(&call.object));
        let signature = own.and_then(|(reference, _)| call.method.signature(reference.kind()));
        signature.is_some_and(|signature| signature.takes(call.args.len()))
    }
}
