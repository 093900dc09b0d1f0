//! The waiting calls, their deadlines, and the waits that have ended.
//!
//! # State
//! An object keeps the ids of its waiters in its own queue; the wait table has each one's caller and deadline. A wait
//! ends exactly once: code that removes it from the table also removes it from the object's queue.

use std::collections::{BTreeSet, HashMap};

use super::call::{Reply, Timeout};
use super::failure::Failure;
use crate::ipc::manager::data::ObjectId;

/// The id of a client's connection. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// The id of a session's request, chosen by the protocol in front of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// The id of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// Whether the wait began before the table issued `number`.
    pub(crate) fn began_before(self, number: u64) -> bool {
        self.0 < number
    }
}

/// The client and thread that call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) session: SessionId,
    pub(crate) thread: u64,
    pub(crate) ticket: Ticket,
}

/// The answer to a call that had to wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub(crate) session: SessionId,
    pub(crate) ticket: Ticket,
    pub(crate) result: Result<Reply, Failure>,
    pub(crate) object: ObjectId,
}

/// How a call continues.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    Reply(Reply),
    Parked,
}

impl<T: Into<Reply>> From<T> for Step {
    fn from(reply: T) -> Self {
        Step::Reply(reply.into())
    }
}

/// How many calls of one session may wait at once.
const WAITING_LIMIT: usize = 10_000;

#[derive(Debug)]
struct Waiter {
    caller: Caller,
    object: ObjectId,
    deadline_ns: Option<u64>,
}

/// The waits of all objects, and the answers that are ready.
#[derive(Debug, Default)]
pub(crate) struct WaitTable {
    waiters: HashMap<WaiterId, Waiter>,
    deadlines: BTreeSet<(u64, WaiterId)>,
    by_session: HashMap<SessionId, BTreeSet<WaiterId>>,
    completed: Vec<Completion>,
    numbers: u64,
    now_ns: u64,
}

impl WaitTable {
    pub(crate) fn set_now(&mut self, now_ns: u64) {
        self.now_ns = now_ns;
    }

    /// Returns a number that was never issued before: for a wait, a permit, a lease.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Records that `caller` waits at `object`.
    pub(crate) fn park(&mut self, caller: Caller, object: ObjectId, timeout: Timeout) -> Result<WaiterId, Failure> {
        let own = self.by_session.entry(caller.session).or_default();
        if own.len() >= WAITING_LIMIT {
            return Err(Failure::TooManyWaiting { limit: WAITING_LIMIT });
        }
        self.numbers += 1;
        let waiter = WaiterId(self.numbers);
        own.insert(waiter);
        let deadline_ns = match timeout {
            Timeout::Forever => None,
            // Beyond the clock's range means never.
            Timeout::Nanos(patience_ns) => self.now_ns.checked_add(patience_ns),
        };
        self.deadlines.extend(deadline_ns.map(|deadline_ns| (deadline_ns, waiter)));
        self.waiters.insert(waiter, Waiter { caller, object, deadline_ns });
        Ok(waiter)
    }

    /// Returns a wait's caller and object.
    pub(crate) fn who(&self, waiter: WaiterId) -> Option<(Caller, ObjectId)> {
        self.waiters.get(&waiter).map(|waiter| (waiter.caller, waiter.object))
    }

    /// Moves the wait to another object, without a deadline: a condition's waiter to its lock.
    pub(crate) fn move_on(&mut self, waiter: WaiterId, object: ObjectId) {
        if let Some(waiting) = self.waiters.get_mut(&waiter) {
            waiting.object = object;
            if let Some(deadline_ns) = waiting.deadline_ns.take() {
                self.deadlines.remove(&(deadline_ns, waiter));
            }
        }
    }

    /// Ends a wait with an answer.
    pub(crate) fn complete(&mut self, waiter: WaiterId, result: Result<Reply, Failure>) {
        if let Some(Waiter { caller, object, deadline_ns }) = self.waiters.remove(&waiter) {
            self.deadlines.remove(&(deadline_ns.unwrap_or_default(), waiter));
            if let Some(own) = self.by_session.get_mut(&caller.session) {
                own.remove(&waiter);
            }
            self.completed.push(Completion { session: caller.session, ticket: caller.ticket, result, object });
        }
    }

    /// Removes the waits of a session that has ended, and returns them with their objects. They get no answer.
    pub(crate) fn session_ended(&mut self, session: SessionId) -> Vec<(WaiterId, ObjectId)> {
        let own = self.by_session.remove(&session).unwrap_or_default();
        let mut ended = Vec::with_capacity(own.len());
        for waiter in own {
            if let Some(Waiter { object, deadline_ns, .. }) = self.waiters.remove(&waiter) {
                self.deadlines.remove(&(deadline_ns.unwrap_or_default(), waiter));
                ended.push((waiter, object));
            }
        }
        ended
    }

    /// Returns a wait whose deadline has passed.
    pub(crate) fn overdue(&self, now_ns: u64) -> Option<(WaiterId, ObjectId)> {
        let &(deadline_ns, waiter) = self.deadlines.first()?;
        (deadline_ns <= now_ns).then(|| self.who(waiter)).flatten().map(|(_, object)| (waiter, object))
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ns, _)| *deadline_ns)
    }

    pub(crate) fn waits(&self, session: SessionId) -> bool {
        self.by_session.get(&session).is_some_and(|own| !own.is_empty())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiters.len()
    }

    pub(crate) fn take_completed(&mut self) -> Vec<Completion> {
        std::mem::take(&mut self.completed)
    }

    pub(crate) fn has_completed(&self) -> bool {
        !self.completed.is_empty()
    }
}

/// The context of a call, in addition to its arguments.
pub(crate) struct Context<'a> {
    pub(crate) caller: Caller,
    pub(crate) object: ObjectId,
    pub(crate) timeout: Timeout,
    pub(crate) waits: &'a mut WaitTable,
}

impl Context<'_> {
    /// Makes the call wait; `None` if its timeout is 0.
    pub(crate) fn park(&mut self) -> Result<Option<WaiterId>, Failure> {
        if self.timeout == Timeout::NONE {
            return Ok(None);
        }
        self.waits.park(self.caller, self.object, self.timeout).map(Some)
    }
}
