//! A queue whose items are tasks: each item is leased to a consumer, and the queue knows when all are done.
//!
//! # State
//! The ring of [`Queue`](crate::Queue). The number of unfinished tasks is computed from its slots.
//!
//! # Death
//! An item whose consumer dies before the task is done goes to another consumer, or as the queue's death policy says:
//! [`OnConsumerDeath`](crate::queue::OnConsumerDeath). So [`join`](JoinableQueue::join) always ends; it returns an error
//! if no process is left that could finish.
//!
//! A stopped consumer is not dead: it keeps its item, and `join` waits for it. Stopped in `put` or `get` itself, it
//! blocks others as with a [`Queue`](crate::Queue).
//!
//! # Standard
//! Python `multiprocessing.JoinableQueue`. Differs: `get` returns a [`Lease`], so a task is done only once; `join` has
//! a timeout and does not wait for dead processes.

mod builder;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

pub use builder::{DEFAULT_REDELIVERIES, JoinableQueueBuilder};

use serde::de::DeserializeOwned;

use super::access::{Access, Both, GetOnly, Gets, Leased, PutOnly};
use super::encoding;
use super::ends::until_disconnected;
use super::lease::Lease;
use super::leasing::LeaseToken;
use super::participants::Sent;
use super::ring::{Ring, RingState, Waiting};
use super::shm_queue::{GET, GET_MANY, Queue};
use crate::ipc::error::{Error, Result};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::fork::forked_from;
use crate::sys::shm::Mapping;

/// A queue of tasks of type `T` that processes share.
///
/// It dereferences to a [`Queue`](crate::Queue) for everything except getting items. As in a queue, `A` determines the
/// kind of handle; every kind may [`join`](Self::join).
///
/// ```
/// use ipc_demo::{Error, JoinableQueue};
///
/// let queue = JoinableQueue::bounded(8)?;
/// queue.put_many(&[1, 2])?;
/// let first = queue.get()?;
/// assert_eq!((*first, first.redelivered()), (1, 0));
/// drop(first); // not done: it comes back
/// let first = queue.get()?;
/// assert_eq!((*first, first.redelivered()), (1, 1));
/// first.task_done()?;
/// let second = queue.get()?.into_item(); // as in Python
/// assert_eq!((second, queue.unfinished()), (2, 1));
/// queue.task_done()?;
/// queue.join()?;
/// assert!(matches!(queue.task_done(), Err(Error::TaskDoneTooOften)));
/// # Ok::<(), Error>(())
/// ```
pub struct JoinableQueue<T: ?Sized, A: Access = Both> {
    queue: Queue<T, Leased<A>>,
    /// The leases whose items were moved out of their [`Lease`], oldest first.
    unacked: Unacked,
}

/// Leases that [`JoinableQueue::task_done`] ends, oldest first.
pub(super) type Unacked = Mutex<VecDeque<LeaseToken>>;

/// The putting end of a [`JoinableQueue`].
pub type JoinableProducer<T> = JoinableQueue<T, PutOnly>;
/// The getting end of a [`JoinableQueue`].
pub type JoinableConsumer<T> = JoinableQueue<T, GetOnly>;

/// An item that was redelivered too often, or whose consumer died under a policy that makes this fatal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter<T> {
    /// The item.
    pub item: T,
    /// Its number, counted from 0 in the order of the puts.
    pub number: u64,
    /// How many times it was redelivered.
    pub redelivered: u32,
}

/// As with the other operations: without a limit of time, with one, and without waiting.
const JOIN: Waits = Waits::change(["queue.join", "queue.join_timeout", "queue.try_join"]);

impl<T: ?Sized> JoinableQueue<T> {
    /// Creates a queue that grows with its contents, up to [`DEFAULT_BYTE_LIMIT`](crate::queue::DEFAULT_BYTE_LIMIT).
    ///
    /// # Errors
    /// As [`JoinableQueueBuilder::build`].
    pub fn new() -> Result<Self> {
        JoinableQueue::<T>::builder().build()
    }

    /// Creates a queue of at most `capacity_items` items; `usize::MAX` means no limit.
    ///
    /// # Errors
    /// As [`JoinableQueueBuilder::build`].
    pub fn bounded(capacity_items: usize) -> Result<Self> {
        JoinableQueue::<T>::builder().capacity(capacity_items).build()
    }

    /// Returns a builder for a queue with options.
    pub fn builder() -> JoinableQueueBuilder {
        JoinableQueueBuilder::default()
    }

    /// Returns a handle that only puts.
    pub fn producer(&self) -> JoinableProducer<T> {
        self.another()
    }

    /// Returns a handle that only gets.
    pub fn consumer(&self) -> JoinableConsumer<T> {
        self.another()
    }
}

impl<T: ?Sized, A: Access> JoinableQueue<T, A> {
    fn of(ring: Ring) -> Self {
        JoinableQueue { queue: Queue::of(ring), unacked: Unacked::default() }
    }

    fn another<U: ?Sized, B: Access>(&self) -> JoinableQueue<U, B> {
        JoinableQueue { queue: self.queue.another(), unacked: Unacked::default() }
    }

    fn point(&self, operation: Operation) {
        point(operation, &self.ring.shared, always);
    }

    fn join_waiting(&self, waiting: &Waiting) -> Result<bool> {
        waiting.point(&JOIN, &self.ring.shared, || self.ring.can_join());
        self.ring.join(waiting)
    }

    fn unacked(&self) -> MutexGuard<'_, VecDeque<LeaseToken>> {
        self.unacked.lock().expect("nothing panics while it holds the lock")
    }

    /// Returns the number of unfinished tasks: items in the queue, leased, or returned.
    pub fn unfinished(&self) -> u64 {
        self.point(Operation::read("queue.unfinished"));
        self.ring.unfinished()
    }

    /// Blocks until every task is done. Dead letters count as done.
    ///
    /// # Errors
    /// [`Error::NoConsumers`] if tasks are unfinished and no consumer is left (a living process with a lease counts as
    /// one, and so does the caller's own handle if it can get and this process has another thread, which could get
    /// through it), and [`Error::ConsumerDied`] if the queue was created with
    /// [`OnConsumerDeath::Fail`](crate::queue::OnConsumerDeath::Fail).
    ///
    /// # Death
    /// A consumer's death is detected within 250 ms.
    pub fn join(&self) -> Result<()> {
        self.join_waiting(&Waiting::FOREVER).map(drop)
    }

    /// Blocks until every task is done, for at most `timeout`. Returns `false` on timeout; `Duration::ZERO` only
    /// checks.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool> {
        self.join_waiting(&Waiting::at_most(timeout))
    }

    /// Returns the number of dead letters.
    pub fn dead_letter_count(&self) -> usize {
        self.point(Operation::read("queue.dead_letter_count"));
        self.ring.dead_letters().count()
    }
}

/// The queue without its `get` methods: puts items, and reports the state of the queue. The size does not include
/// leased items.
impl<T: ?Sized, A: Access> Deref for JoinableQueue<T, A> {
    type Target = Queue<T, Leased<A>>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl<T: ?Sized, A: Gets> JoinableQueue<T, A> {
    /// Leases the oldest item, and reads it. Returns `None` on timeout.
    pub(super) fn lease<U>(
        &self,
        waiting: Waiting,
        read: impl FnOnce(&LeaseToken) -> Result<U>,
    ) -> Result<Option<Lease<'_, U>>> {
        waiting.point(&GET, &self.ring.shared, || self.ring.can_lease());
        let lease = Cell::new(None);
        self.ring.lease(1, waiting, |token| lease.set(Some(self.unread(token))))?;
        lease.take().map(|lease: Lease<'_, U>| lease.with_item(read)).transpose()
    }

    fn unread<U>(&self, token: LeaseToken) -> Lease<'_, U> {
        Lease::unread(token, &self.ring, &self.unacked)
    }

    /// Removes the dead letters, oldest first, and reads them.
    pub(super) fn drain_letters<U>(&self, read: impl Fn(Vec<u8>) -> Result<U>) -> Vec<Result<DeadLetter<U>>> {
        self.point(Operation::change("queue.drain_dead_letters"));
        let mut tokens: Vec<LeaseToken> = self.ring.dead_letters().collect();
        tokens.sort_unstable_by_key(|token| token.item);
        let mut letters = Vec::new();
        for token in tokens {
            let bytes = self.ring.copy_item(token.spot);
            // Another process may have been faster.
            if self.ring.finish_lease(&token).is_ok() {
                letters.push(bytes.and_then(&read).map(|item| DeadLetter {
                    item,
                    number: token.item,
                    redelivered: token.word.returns(),
                }));
            }
        }
        letters
    }
}

impl<T: DeserializeOwned, A: Gets> JoinableQueue<T, A> {
    /// Leases the oldest item, returned ones first. Blocks while there is none.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if the queue is empty, no producer is left (as with
    /// [`Queue::get`](crate::Queue::get)), and no other process holds an item that could be returned.
    /// [`Error::Codec`] if the bytes are not a valid `T`; the item is then returned to the queue.
    ///
    /// # Death
    /// If the process is killed in the call or after it, the item goes to another consumer.
    pub fn get(&self) -> Result<Lease<'_, T>> {
        Ok(self.take(Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// Leases the oldest item, blocking for at most `timeout`. Returns `None` on timeout; `Duration::ZERO` is
    /// [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Lease<'_, T>>> {
        self.take(Waiting::at_most(timeout))
    }

    /// Leases the oldest item if there is one. Finds it where [`Queue::try_get`](crate::Queue::try_get) would.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<Lease<'_, T>>> {
        self.take(Waiting::NO)
    }

    /// Leases up to `most` of the items that are in the queue. Blocks while there is none.
    ///
    /// Returns a result for each item: one whose bytes are not a valid `T` is [`Error::Codec`] in its place and is
    /// returned to the queue; the others are leased.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for errors of single items. No item was leased then.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<Lease<'_, T>>>> {
        self.take_many(most, Waiting::FOREVER)
    }

    /// As [`get_many`](Self::get_many), blocking for at most `timeout` while there is none. Returns an empty vector on
    /// timeout.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<Lease<'_, T>>>> {
        self.take_many(most, Waiting::at_most(timeout))
    }

    /// Leases items one by one, blocking for each, until no more can arrive.
    pub fn iter(&self) -> impl Iterator<Item = Result<Lease<'_, T>>> {
        until_disconnected(|| self.get())
    }

    /// Marks a task done: the oldest one whose item was moved out by [`Lease::into_item`] through this handle.
    ///
    /// # Errors
    /// [`Error::TaskDoneTooOften`] if there is none, and [`Error::LeaseLost`] if its lease has already ended.
    ///
    /// # Standard
    /// Python `task_done`, which counts for all processes together and raises `ValueError` only when all tasks are done.
    pub fn task_done(&self) -> Result<()> {
        self.point(Operation::change("queue.task_done"));
        let token = self.unacked().pop_front().ok_or(Error::TaskDoneTooOften)?;
        self.ring.finish_lease(&token)
    }

    /// Removes the dead letters from the queue, oldest first.
    ///
    /// Returns a result for each: one whose bytes are not a valid `T` is [`Error::Codec`] in its place, and is removed
    /// as well.
    pub fn drain_dead_letters(&self) -> Vec<Result<DeadLetter<T>>> {
        self.drain_letters(|bytes| encoding::decode(&bytes))
    }

    fn take(&self, waiting: Waiting) -> Result<Option<Lease<'_, T>>> {
        self.lease(waiting, |token| self.read(token))
    }

    fn take_many(&self, most: usize, waiting: Waiting) -> Result<Vec<Result<Lease<'_, T>>>> {
        waiting.point(&GET_MANY, &self.ring.shared, || most == 0 || self.ring.can_lease());
        let leases = RefCell::new(Vec::new());
        if most > 0 {
            self.ring.lease(most, waiting, |token| leases.borrow_mut().push(self.unread(token)))?;
        }
        // If reading one panics, the unread leases are returned to the queue.
        Ok(leases
            .into_inner()
            .into_iter()
            .map(|lease: Lease<'_, T>| lease.with_item(|token| self.read(token)))
            .collect())
    }

    /// Decodes the item of a lease. Its bytes stay in place while the lease is held.
    fn read(&self, token: &LeaseToken) -> Result<T> {
        self.ring.read_item(token.spot, self.ring.slot(token.spot), encoding::decode)
    }
}

/// Creates and counts another handle of the same kind. Threads can share a handle; with a handle each they do not
/// contend for its buffer. A clone of a closed handle is closed.
impl<T: ?Sized, A: Access> Clone for JoinableQueue<T, A> {
    fn clone(&self) -> Self {
        self.another()
    }
}

/// Returns the tasks that can no longer be marked done to the queue.
impl<T: ?Sized, A: Access> Drop for JoinableQueue<T, A> {
    fn drop(&mut self) {
        if forked_from().is_none() {
            let leases = std::mem::take(&mut *self.unacked());
            leases.iter().for_each(|token| drop(self.ring.return_lease(token)));
        }
    }
}

sent_in_roles!(
    [T: ?Sized, A: Access] JoinableQueue<T, A>, "a JoinableQueue", |queue, recipient| queue.ring.counted_for(recipient),
    |sent: Sent<Mapping<RingState>>| Ring::received(sent).map(JoinableQueue::of)
);

impl<T: ?Sized, A: Access> fmt::Debug for JoinableQueue<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.debug(f, "JoinableQueue", "joinable queue")
    }
}
