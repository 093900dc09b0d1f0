//! The waiting calls: the queues of every object's waiters, their deadlines, and the waits that have ended.
//!
//! # State
//! A waiter is in one queue, in order of arrival. It leaves the queue with an answer, or without one if its client has
//! disconnected: a wait ends exactly once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::{Failure, Method, ObjectId, Outcome, Reply, Variant};

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
    /// Whether it is scheduled by an exploration: it says when its call goes on.
    pub(crate) is_scheduled: bool,
}

/// The answer to a call that had to wait.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Completion {
    pub(crate) session: SessionId,
    pub(crate) ticket: Ticket,
    pub(crate) result: Outcome,
    pub(crate) object: ObjectId,
}

/// How a call continues.
#[derive(Debug)]
pub(crate) enum Step {
    Reply(Reply),
    /// The reply is sent as soon as what the call wants is available.
    Wait(Want),
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
    /// The reply if it does not come in time.
    pub(super) fn not_in_time(&self) -> Reply {
        if let Want::Event = self { false.into() } else { Reply::NotInTime }
    }
}

/// An object's queues of waiters: one, except that queues distinguish producers, consumers and joiners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Line {
    Putters,
    Main,
    Joiners,
    /// Those that acquire a lock again when an exploration schedules them.
    Scheduled,
}

impl Line {
    pub(super) const ALL: [Line; 4] = [Line::Putters, Line::Main, Line::Joiners, Line::Scheduled];
    /// Those that are served without being told to.
    pub(super) const SERVED: [Line; 3] = [Line::Putters, Line::Main, Line::Joiners];
}

/// How many calls of one session may wait at once.
const WAITING_LIMIT: usize = 10_000;

/// A waiter's queue, and its number: the sort key within the queue.
type Place = (ObjectId, Line, u64);

/// A call that may have to wait.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(super) caller: Caller,
    pub(super) object: ObjectId,
    pub(super) want: Want,
    /// The call's number in the wait table, in the order of calls. Also identifies what the call acquires.
    pub(super) number: u64,
    deadline_ns: Option<u64>,
}

impl Waiter {
    fn place(&self) -> Place {
        let line = match self.want {
            Want::Room(_) => Line::Putters,
            Want::Done => Line::Joiners,
            Want::Resume { .. } if self.caller.is_scheduled => Line::Scheduled,
            _ => Line::Main,
        };
        (self.object, line, self.number)
    }
}

/// The waits of all objects, and the answers that are ready.
#[derive(Debug, Default)]
pub(crate) struct WaitTable {
    waiters: BTreeMap<Place, Waiter>,
    deadlines: BTreeSet<(u64, Place)>,
    by_session: HashMap<SessionId, BTreeSet<Place>>,
    pub(super) completed: Vec<Completion>,
    numbers: u64,
    pub(super) now_ns: u64,
}

impl WaitTable {
    /// Returns a new number, greater than all before.
    pub(crate) fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Creates a call of `caller` that waits for at most `timeout`.
    pub(crate) fn waiter(&mut self, caller: Caller, object: ObjectId, want: Want, timeout: Option<Duration>) -> Waiter {
        let timeout_ns = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        // Beyond the clock's range means never. An exploration has a clock of its own.
        let deadline_ns =
            timeout_ns.filter(|_| !caller.is_scheduled).and_then(|timeout_ns| self.now_ns.checked_add(timeout_ns));
        Waiter { caller, object, want, number: self.number(), deadline_ns }
    }

    /// Makes a call wait at the end of its queue.
    pub(crate) fn park(&mut self, waiter: Waiter) -> Result<(), Failure> {
        if self.by_session.get(&waiter.caller.session).is_some_and(|own| own.len() >= WAITING_LIMIT) {
            return Err(Failure::TooManyWaiting { limit: WAITING_LIMIT });
        }
        self.push(waiter);
        Ok(())
    }

    fn push(&mut self, waiter: Waiter) {
        let place = waiter.place();
        self.by_session.entry(waiter.caller.session).or_default().insert(place);
        self.deadlines.extend(waiter.deadline_ns.map(|deadline_ns| (deadline_ns, place)));
        self.waiters.insert(place, waiter);
    }

    /// Moves a waiter that was removed from a condition's queue to the queue of the lock that it released.
    pub(crate) fn resume(&mut self, waiter: Waiter, lock: ObjectId, notice: Option<Notice>) {
        if let Want::Notice(held) = waiter.want {
            let waiter = self.waiter(waiter.caller, lock, Want::Resume { held, notice }, None);
            self.push(waiter);
        }
    }

    /// Returns the waiters in a queue, in order of arrival.
    pub(crate) fn queue(&mut self, object: ObjectId, line: Line) -> impl Iterator<Item = &mut Waiter> {
        self.waiters.range_mut((object, line, 0)..=(object, line, u64::MAX)).map(|(_, waiter)| waiter)
    }

    /// Takes the waiter at this position out of a queue.
    pub(crate) fn take(&mut self, object: ObjectId, line: Line, at: usize) -> Option<Waiter> {
        let place = self.queue(object, line).nth(at)?.place();
        self.take_place(place)
    }

    fn take_place(&mut self, place: Place) -> Option<Waiter> {
        let waiter = self.waiters.remove(&place)?;
        self.deadlines.remove(&(waiter.deadline_ns.unwrap_or_default(), place));
        if let Some(own) = self.by_session.get_mut(&waiter.caller.session) {
            own.remove(&place);
        }
        Some(waiter)
    }

    /// Ends a wait with an answer.
    pub(crate) fn complete(&mut self, waiter: Waiter, result: Outcome) {
        let Waiter { caller: Caller { session, ticket, .. }, object, .. } = waiter;
        self.completed.push(Completion { session, ticket, result, object });
    }

    /// Ends all waits on an object with the same failure.
    pub(crate) fn fail_all(&mut self, object: ObjectId, failure: &Failure) {
        for line in Line::ALL {
            while let Some(waiter) = self.take(object, line, 0) {
                self.complete(waiter, Err(failure.clone()));
            }
        }
    }

    /// Takes out the waits of a session that has ended. They get no answer.
    pub(crate) fn session_ended(&mut self, session: SessionId) -> Vec<Waiter> {
        let own = self.by_session.remove(&session).unwrap_or_default();
        own.into_iter().filter_map(|place| self.take_place(place)).collect()
    }

    /// Returns the waiting call of a session that has at most one.
    pub(crate) fn of_session(&self, session: SessionId) -> Option<&Waiter> {
        self.by_session.get(&session)?.first().and_then(|place| self.waiters.get(place))
    }

    /// Takes out the waiting call of a session that has at most one.
    pub(crate) fn take_of_session(&mut self, session: SessionId) -> Option<Waiter> {
        let place = *self.by_session.get(&session)?.first()?;
        self.take_place(place)
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
        self.waiters.len()
    }
}

/// A call of a method, in addition to its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    pub(crate) caller: Caller,
    pub(crate) object: ObjectId,
    pub(crate) method: Method,
    pub(crate) timeout: Option<Duration>,
}
