//! The waiting calls: the queues of every object's waiters, their deadlines, and the waits that have ended.
//!
//! # State
//! A waiter stands in one queue. Whoever takes it out answers it, or drops it if its client is gone: a wait ends exactly
//! once. Each queue is in order of arrival.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::call::{Reply, Timeout};
use super::failure::Failure;
use crate::ipc::manager::data::{ObjectId, Variant};

/// The id of a client's connection. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// The id of a session's request, chosen by the protocol in front of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Ticket(pub(crate) u64);

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

/// Depth and permit of a lock that a condition's waiter released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(super) depth: u64,
    pub(super) permit: u64,
}

/// What ends a condition's wait, other than a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(super) condition: ObjectId,
    /// When it was given, as a number of the wait table.
    pub(super) number: u64,
    /// Not from a notifier: a holder died with the lock.
    pub(super) abandoned: bool,
}

/// What a call waits for.
#[derive(Debug)]
pub(crate) enum Want {
    /// A lock, a permit, or an item.
    Acquire,
    /// The end of a condition's wait, with the lock held again. Without a notice it has timed out.
    Resume { held: Held, notice: Option<Notice> },
    /// A condition's notification.
    Notice(Held),
    /// An event to be set.
    Event,
    /// The other parties of a barrier.
    Parties,
    /// Room in a queue for this item.
    Room(Variant),
    /// All items of a queue to be done.
    Done,
}

impl Want {
    fn line(&self) -> Line {
        match self {
            Want::Room(_) => Line::Putters,
            Want::Done => Line::Joiners,
            _ => Line::Main,
        }
    }

    /// The reply if it does not come in time.
    pub(super) fn not_in_time(&self) -> Reply {
        if let Want::Event = self { false.into() } else { Reply::NotInTime }
    }
}

/// An object's queues of waiters: one, except that queues distinguish consumers, producers and joiners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    Main,
    Putters,
    Joiners,
}

/// How many calls of one session may wait at once.
const WAITING_LIMIT: usize = 10_000;

/// The place of a waiter: its number, by which its queue is sorted, and its queue.
type Place = (u64, ObjectId, Line);

/// A waiting call.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(super) caller: Caller,
    pub(super) object: ObjectId,
    pub(super) want: Want,
    number: u64,
    deadline_ns: Option<u64>,
}

impl Waiter {
    /// Whether the wait began before the table issued `number`.
    pub(crate) fn began_before(&self, number: u64) -> bool {
        self.number < number
    }

    fn place(&self) -> Place {
        (self.number, self.object, self.want.line())
    }
}

/// The waits of all objects, and the answers that are ready.
#[derive(Debug, Default)]
pub(crate) struct WaitTable {
    pub(super) lines: HashMap<(ObjectId, Line), VecDeque<Waiter>>,
    deadlines: BTreeSet<(u64, Place)>,
    by_session: HashMap<SessionId, BTreeSet<Place>>,
    pub(super) completed: Vec<Completion>,
    numbers: u64,
    pub(super) now_ns: u64,
}

impl WaitTable {
    /// Returns a number that was never issued before: for a wait, a permit, a lease.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn push(&mut self, caller: Caller, object: ObjectId, want: Want, deadline_ns: Option<u64>) {
        let waiter = Waiter { caller, object, want, number: self.number(), deadline_ns };
        let place = waiter.place();
        self.by_session.entry(caller.session).or_default().insert(place);
        self.deadlines.extend(deadline_ns.map(|deadline_ns| (deadline_ns, place)));
        self.lines.entry((object, place.2)).or_default().push_back(waiter);
    }

    /// Queues a waiter that was taken out of another queue, now without a deadline: a condition's waiter at its lock.
    pub(crate) fn requeue(&mut self, waiter: Waiter, object: ObjectId, want: Want) {
        self.push(waiter.caller, object, want, None);
    }

    pub(crate) fn first(&self, object: ObjectId) -> Option<&Waiter> {
        self.lines.get(&(object, Line::Main))?.front()
    }

    pub(crate) fn count(&self, object: ObjectId) -> usize {
        self.lines.get(&(object, Line::Main)).map_or(0, VecDeque::len)
    }

    /// Takes the first waiter out of a queue.
    pub(crate) fn pop(&mut self, object: ObjectId, line: Line) -> Option<Waiter> {
        self.take(object, line, 0)
    }

    /// Takes the waiter at this position out of a queue.
    pub(crate) fn take(&mut self, object: ObjectId, line: Line, at: usize) -> Option<Waiter> {
        let waiter = self.lines.get_mut(&(object, line))?.remove(at)?;
        let place = waiter.place();
        self.deadlines.remove(&(waiter.deadline_ns.unwrap_or_default(), place));
        if let Some(own) = self.by_session.get_mut(&waiter.caller.session) {
            own.remove(&place);
        }
        Some(waiter)
    }

    fn take_place(&mut self, (number, object, line): Place) -> Option<Waiter> {
        let line_of = self.lines.get(&(object, line))?;
        let at = line_of.binary_search_by_key(&number, |waiter| waiter.number).ok()?;
        self.take(object, line, at)
    }

    /// Ends a wait with an answer.
    pub(crate) fn complete(&mut self, waiter: Waiter, result: Result<Reply, Failure>) {
        let Waiter { caller: Caller { session, ticket, .. }, object, .. } = waiter;
        self.completed.push(Completion { session, ticket, result, object });
    }

    /// Ends all waits in a queue with the same answer.
    pub(crate) fn complete_all(&mut self, object: ObjectId, line: Line, result: &Result<Reply, Failure>) {
        while let Some(waiter) = self.pop(object, line) {
            self.complete(waiter, result.clone());
        }
    }

    /// Ends all waits at an object that was removed.
    pub(crate) fn object_removed(&mut self, object: ObjectId) {
        for line in [Line::Main, Line::Putters, Line::Joiners] {
            self.complete_all(object, line, &Err(Failure::NoSuchObject));
            self.lines.remove(&(object, line));
        }
    }

    /// Visits the items for which there is no room yet in a queue.
    pub(crate) fn each_item(&mut self, object: ObjectId, visit: &mut impl FnMut(&mut Variant)) {
        for waiter in self.lines.get_mut(&(object, Line::Putters)).into_iter().flatten() {
            if let Want::Room(item) = &mut waiter.want {
                visit(item);
            }
        }
    }

    /// Takes out the waits of a session that has ended. They get no answer.
    pub(crate) fn session_ended(&mut self, session: SessionId) -> Vec<Waiter> {
        let own = self.by_session.remove(&session).unwrap_or_default();
        own.into_iter().filter_map(|place| self.take_place(place)).collect()
    }

    /// Takes out a waiter whose deadline has passed.
    pub(crate) fn overdue(&mut self, now_ns: u64) -> Option<Waiter> {
        let &(_, place) = self.deadlines.first().filter(|(deadline_ns, _)| *deadline_ns <= now_ns)?;
        self.take_place(place)
    }

    pub(crate) fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_ns, _)| *deadline_ns)
    }

    pub(crate) fn waits(&self, session: SessionId) -> bool {
        self.by_session.get(&session).is_some_and(|own| !own.is_empty())
    }

    pub(crate) fn waiting(&self) -> usize {
        self.by_session.values().map(BTreeSet::len).sum()
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
    /// Makes the call wait; answers at once if its timeout is 0.
    pub(crate) fn wait(&mut self, want: Want) -> Result<Step, Failure> {
        if self.timeout == Timeout::NONE {
            return Ok(want.not_in_time().into());
        }
        self.park(want)
    }

    /// Makes the call wait, whatever its timeout.
    pub(crate) fn park(&mut self, want: Want) -> Result<Step, Failure> {
        if self.waits.by_session.get(&self.caller.session).is_some_and(|own| own.len() >= WAITING_LIMIT) {
            return Err(Failure::TooManyWaiting { limit: WAITING_LIMIT });
        }
        let deadline_ns = match self.timeout {
            Timeout::Forever => None,
            // Beyond the clock's range means never.
            Timeout::Nanos(timeout_ns) => self.waits.now_ns.checked_add(timeout_ns),
        };
        self.waits.push(self.caller, self.object, want, deadline_ns);
        Ok(Step::Parked)
    }
}
