//! Who waits, until when, and which waits have ended.
//!
//! # State
//! An object keeps its waiters in its own line, by number; the desk knows whose call each is and when it gives up. A wait
//! ends exactly once: whoever takes it off the desk also takes it out of the object's line.

use std::collections::{BTreeSet, HashMap};

use super::call::{Reply, Timeout};
use super::failure::Failure;
use crate::ipc::manager::data::ObjectId;

/// The number of a client's connection. Never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// Which of a session's requests: chosen by the protocol in front of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

/// The number of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WaiterId(u64);

impl WaiterId {
    /// Whether the wait began before the desk gave out `number`.
    pub(crate) fn began_before(self, number: u64) -> bool {
        self.0 < number
    }
}

/// Who calls.
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

/// How a call goes on.
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

    /// A number that was never given out before: of a wait, a permit, a lease.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Puts down that `caller` waits at `object`.
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
            // Beyond the clock's range is never.
            Timeout::Nanos(patience_ns) => self.now_ns.checked_add(patience_ns),
        };
        self.deadlines.extend(deadline_ns.map(|deadline_ns| (deadline_ns, waiter)));
        self.waiters.insert(waiter, Waiter { caller, object, deadline_ns });
        Ok(waiter)
    }

    /// Who waits, and where.
    pub(crate) fn who(&self, waiter: WaiterId) -> Option<(Caller, ObjectId)> {
        self.waiters.get(&waiter).map(|waiter| (waiter.caller, waiter.object))
    }

    /// From now on the call waits at another object, without a time limit: a condition's waiter for its lock.
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

    /// The waits of a session that has ended, with the objects they wait at. They get no answer.
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

    /// A wait whose time has passed.
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

/// What an object needs to know of a call beside its arguments.
pub(crate) struct Context<'a> {
    pub(crate) caller: Caller,
    pub(crate) object: ObjectId,
    pub(crate) timeout: Timeout,
    pub(crate) waits: &'a mut WaitTable,
}

impl Context<'_> {
    /// Lets the call wait; `None` if it has no patience.
    pub(crate) fn park(&mut self) -> Result<Option<WaiterId>, Failure> {
        if self.timeout == Timeout::NONE {
            return Ok(None);
        }
        self.waits.park(self.caller, self.object, self.timeout).map(Some)
    }
}
