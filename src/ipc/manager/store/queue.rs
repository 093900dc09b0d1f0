//! Queues, plain and joinable.
//!
//! # State
//! The items in order. Consumers, producers that wait for room (with their items), and waiters for all items to be done
//! are served in FIFO order. A joinable queue leases its items: a delivered
//! item stays here, as a lease of its consumer's session, until that reports it as done.
//!
//! # Death
//! When a session ends, its leased items go back to the front, for another consumer. One that was delivered as often as
//! the queue allows goes to the dead letters: it may be what kills its consumers. An item of a plain queue belongs to
//! its consumer once delivered; one that could not be delivered because the consumer was gone is put back. A dead
//! waiter leaves its queue; an item for which a dead producer waited for room was never put. Other producers may come
//! at any time, so a consumer waits on when the last producer is gone, until the queue is shut down; `join` of a plain
//! queue waits for items that dead consumers have not reported.
//!
//! # Standard
//! Python `queue.Queue` in a manager, with `shutdown` (3.13). Differs: `join` has a timeout, tasks of dead workers are
//! not lost.

use std::collections::{BTreeMap, VecDeque};

use super::{Args, Failure, Method, Outcome, Reply, SessionId, Step, Variant, Waiter, Want};

#[derive(Debug)]
struct Item {
    variant: Variant,
    deliveries: u32,
}

#[derive(Debug)]
struct Lease {
    session: SessionId,
    item: Item,
}

/// A queue object.
#[derive(Debug)]
pub(crate) struct Queue {
    lends: bool,
    maxsize: usize,
    max_deliveries: u32,
    items: VecDeque<Item>,
    leases: BTreeMap<u64, Lease>,
    dead_letters: Vec<Variant>,
    /// Plain queues: items that were put but not reported as done.
    undone: u64,
    is_shut: bool,
}

impl Queue {
    /// Arguments: the maximum number of items (0: no limit), and of deliveries per item in a joinable queue (0: no
    /// limit).
    pub(crate) fn create(lends: bool, mut args: Args) -> Result<Self, Failure> {
        // Negative means no limit, as in Python.
        let maxsize = args.or(0, Args::int::<i64>)?;
        let max_deliveries = if lends { args.or(0, Args::int)? } else { 0 };
        Ok(Queue {
            lends,
            maxsize: usize::try_from(maxsize).unwrap_or(0),
            max_deliveries,
            items: VecDeque::new(),
            leases: BTreeMap::new(),
            dead_letters: Vec::new(),
            undone: 0,
            is_shut: false,
        })
    }

    pub(crate) fn call(&mut self, session: SessionId, method: Method, mut args: Args) -> Result<Step, Failure> {
        Ok(match method {
            Method::Put => Step::Wait(Want::Room(args.variant()?)),
            Method::Get => Step::Wait(Want::Acquire),
            Method::Join => Step::Wait(Want::Done),
            Method::TaskDone => {
                let lease = args.or(0, Args::int)?;
                self.task_done(session, lease)?;
                Reply::DONE.into()
            }
            Method::Shutdown => {
                let at_once = args.or(false, Args::bool)?;
                self.is_shut = true;
                if at_once {
                    self.undone = self.undone.saturating_sub(self.items.len() as u64);
                    self.items.clear();
                }
                Reply::DONE.into()
            }
            Method::Qsize | Method::Len => self.items.len().into(),
            Method::Empty => self.items.is_empty().into(),
            Method::Full => (!self.has_room()).into(),
            Method::Unfinished => self.unfinished().into(),
            Method::DeadLetters => self.dead_letters.clone().into(),
            Method::Snapshot => self.items.iter().map(|item| item.variant.clone()).collect::<Variant>().into(),
            _ => return Err(args.no_such_method()),
        })
    }

    fn has_room(&self) -> bool {
        self.maxsize == 0 || self.items.len() < self.maxsize
    }

    fn unfinished(&self) -> u64 {
        if self.lends { (self.items.len() + self.leases.len()) as u64 } else { self.undone }
    }

    /// Whether a call would wait now.
    pub(crate) fn would_wait(&self, method: Method) -> bool {
        match method {
            Method::Put => !self.is_shut && !self.has_room(),
            Method::Get => !self.is_shut && self.items.is_empty(),
            Method::Join => self.unfinished() != 0,
            _ => false,
        }
    }

    /// Takes the item of a waiting producer, gives an item to a waiting consumer, or ends a join when all tasks are
    /// done.
    pub(crate) fn attempt(&mut self, waiter: &mut Waiter) -> Option<Outcome> {
        match &mut waiter.want {
            Want::Room(_) if self.is_shut => Some(Err(Failure::ShutDown)),
            Want::Room(variant) => self.has_room().then(|| {
                self.undone += 1;
                self.items.push_back(Item { variant: std::mem::take(variant), deliveries: 0 });
                Ok(Reply::DONE)
            }),
            Want::Done => (self.unfinished() == 0).then_some(Ok(Reply::DONE)),
            _ => match self.items.pop_front() {
                Some(item) => Some(Ok(self.deliver(item, waiter.caller.session, waiter.number))),
                // No more items will arrive.
                None => self.is_shut.then_some(Err(Failure::ShutDown)),
            },
        }
    }

    fn deliver(&mut self, mut item: Item, session: SessionId, lease: u64) -> Reply {
        if !self.lends {
            return Reply::Item(item.variant);
        }
        item.deliveries += 1;
        let reply = Reply::Leased { lease, deliveries: item.deliveries, item: item.variant.clone() };
        self.leases.insert(lease, Lease { session, item });
        reply
    }

    fn task_done(&mut self, session: SessionId, lease: u64) -> Result<(), Failure> {
        if !self.lends {
            self.undone = self.undone.checked_sub(1).ok_or(Failure::TooManyTasksDone)?;
        } else if lease != 0 {
            // Only a lease of the same session: another's is not the caller's to end.
            if self.leases.get(&lease).is_none_or(|lease| lease.session != session) {
                return Err(Failure::LeaseLost);
            }
            self.leases.remove(&lease);
        } else {
            // Python's form names no item: ends the caller's oldest lease, or else the oldest of all.
            let own = self.leases.iter().find(|(_, lease)| lease.session == session);
            let oldest = own.or_else(|| self.leases.iter().next()).map(|(lease, _)| *lease);
            self.leases.remove(&oldest.ok_or(Failure::TooManyTasksDone)?);
        }
        Ok(())
    }

    /// Puts back an item that could not be delivered, for another consumer.
    pub(crate) fn take_back(&mut self, variant: Variant) {
        if !self.lends {
            self.items.push_front(Item { variant, deliveries: 0 });
        }
    }

    pub(crate) fn is_lent_to(&self, session: SessionId) -> bool {
        self.leases.values().any(|lease| lease.session == session)
    }

    pub(crate) fn session_ended(&mut self, session: SessionId) {
        let (ended, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.leases).into_iter().partition(|(_, lease)| lease.session == session);
        self.leases = kept.into_iter().collect();
        // In reverse order, so that the oldest is at the front again.
        for (_, Lease { item, .. }) in ended.into_iter().rev() {
            if self.max_deliveries != 0 && item.deliveries >= self.max_deliveries {
                self.dead_letters.push(item.variant);
            } else {
                self.items.push_front(item);
            }
        }
    }

    /// Visits all data inside.
    pub(crate) fn each_datum(&mut self, visit: &mut impl FnMut(&mut Variant)) {
        self.items.iter_mut().for_each(|item| visit(&mut item.variant));
        self.leases.values_mut().for_each(|lease| visit(&mut lease.item.variant));
        self.dead_letters.iter_mut().for_each(visit);
    }
}
