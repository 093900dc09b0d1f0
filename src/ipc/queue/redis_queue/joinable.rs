//! A queue of tasks on a server, with a lease on every item, that can be joined from any machine.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::Queue;
use super::answer::Taken;
use super::builder::QueueBuilder;
use super::handle::{Handle, MOST_ITEMS, SentHandle};
use super::server::Server;
use crate::ipc::error::{Error, Result};
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::queue::access::{Access, Both, GetOnly, Gets, Leased, PutOnly};
use crate::ipc::queue::encoding;
use crate::ipc::queue::ends::until_disconnected;
use crate::ipc::queue::joinable_queue::DeadLetter;
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::ring::Waiting;
use crate::sys::fork::forked_from;

/// A queue of tasks of type `T` on a server.
///
/// As [`ipc_demo::JoinableQueue`](crate::JoinableQueue). It dereferences to a [`Queue`] for everything except getting
/// items.
pub struct JoinableQueue<T, A: Access = Both> {
    queue: Queue<T, Leased<A>>,
    /// The leases whose items were moved out of their [`Lease`], oldest first.
    unacked: Unacked,
}

type Unacked = Mutex<VecDeque<Token>>;

/// The putting end of a [`JoinableQueue`].
pub type JoinableProducer<T> = JoinableQueue<T, PutOnly>;
/// The getting end of a [`JoinableQueue`].
pub type JoinableConsumer<T> = JoinableQueue<T, GetOnly>;

/// What ends a lease.
#[derive(Debug, Clone)]
struct Token {
    holder: Arc<str>,
    number: u64,
    len: usize,
    /// The string that has its payload, if one has.
    string: Option<Arc<str>>,
    returned: u32,
}

/// Options of a joinable queue on a server.
#[derive(Debug, Clone)]
#[must_use]
pub struct JoinableQueueBuilder(QueueBuilder);

impl JoinableQueueBuilder {
    /// As [`QueueBuilder::name`].
    pub fn name(self, name: &str) -> Self {
        JoinableQueueBuilder(self.0.name(name))
    }

    /// Limits the number of items, not counting leased ones.
    pub fn capacity(self, items: usize) -> Self {
        JoinableQueueBuilder(self.0.capacity(items))
    }

    /// As [`QueueBuilder::byte_limit`].
    pub fn byte_limit(self, bytes: u64) -> Self {
        JoinableQueueBuilder(self.0.byte_limit(bytes))
    }

    /// Sets what happens to an item whose consumer dies.
    pub fn on_consumer_death(mut self, policy: OnConsumerDeath) -> Self {
        self.0.plan.on_death = policy;
        self
    }

    /// Sets how many times an item may be returned, by death or undone, before it becomes a dead letter:
    /// [`DEFAULT_REDELIVERIES`](crate::queue::DEFAULT_REDELIVERIES) if not set.
    pub fn max_redeliveries(mut self, times: u32) -> Self {
        self.0.plan.max_redeliveries = times;
        self
    }

    /// Creates the queue, or joins the one of that name.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn build<T>(&self) -> Result<JoinableQueue<T>> {
        self.0.open(Rights::BOTH).map(JoinableQueue::of)
    }

    /// As [`build`](Self::build), with these rights: others of the handle are as if closed.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "a side is chosen at run time only by the program"))]
    pub(crate) fn build_for<T>(&self, puts: bool, gets: bool) -> Result<JoinableQueue<T>> {
        self.0.open(Rights::of(puts, gets)).map(JoinableQueue::of)
    }

    /// As [`build`](Self::build), but the handle only puts and joins.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn build_producer<T>(&self) -> Result<JoinableProducer<T>> {
        self.0.open(Rights::PUT).map(JoinableQueue::of)
    }

    /// As [`build`](Self::build), but the handle only gets and joins.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn build_consumer<T>(&self) -> Result<JoinableConsumer<T>> {
        self.0.open(Rights::GET).map(JoinableQueue::of)
    }
}

impl<T> JoinableQueue<T> {
    /// Creates a queue without a name, of up to [`DEFAULT_BYTE_LIMIT`](crate::queue::DEFAULT_BYTE_LIMIT).
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn new(server: &Server) -> Result<Self> {
        JoinableQueue::<T>::builder(server).build()
    }

    /// Creates a queue without a name of at most `capacity_items` items; `usize::MAX` means no limit.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn bounded(server: &Server, capacity_items: usize) -> Result<Self> {
        JoinableQueue::<T>::builder(server).capacity(capacity_items).build()
    }

    /// Returns a builder for a queue with options.
    pub fn builder(server: &Server) -> JoinableQueueBuilder {
        let mut builder = QueueBuilder::new(server);
        builder.plan.has_tasks = true;
        JoinableQueueBuilder(builder)
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

impl<T, A: Access> JoinableQueue<T, A> {
    fn of(handle: Handle) -> Self {
        JoinableQueue { queue: Queue::of(handle), unacked: Unacked::default() }
    }

    fn another<U, B: Access>(&self) -> JoinableQueue<U, B> {
        JoinableQueue { queue: self.queue.another(), unacked: Unacked::default() }
    }

    fn unacked(&self) -> MutexGuard<'_, VecDeque<Token>> {
        self.unacked.lock().expect("nothing panics while it holds the lock")
    }

    /// Returns the number of unfinished tasks: items in the queue, leased, or returned.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn unfinished(&self) -> Result<u64> {
        Ok(self.handle.counts()?.unfinished)
    }

    /// Blocks until every task is done, wherever. Dead letters count as done.
    ///
    /// # Errors
    /// [`Error::NoConsumers`] and [`Error::ConsumerDied`] as
    /// [`ipc_demo::JoinableQueue::join`](crate::JoinableQueue::join), and [`Error::Redis`]. In a queue with a name, the
    /// first consumer is waited for.
    pub fn join(&self) -> Result<()> {
        self.handle.join(&Waiting::FOREVER).map(drop)
    }

    /// Blocks until every task is done, for at most `timeout`. Returns `false` on timeout.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_timeout(&self, timeout: Duration) -> Result<bool> {
        self.handle.join(&Waiting::at_most(timeout))
    }

    /// Returns the number of dead letters.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn dead_letter_count(&self) -> Result<usize> {
        Ok(self.handle.counts()?.dead)
    }
}

impl<T, A: Access> Deref for JoinableQueue<T, A> {
    type Target = Queue<T, Leased<A>>;

    fn deref(&self) -> &Self::Target {
        &self.queue
    }
}

impl<T: DeserializeOwned, A: Gets> JoinableQueue<T, A> {
    /// Leases the oldest item, returned ones first. Blocks while there is none.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if the queue is empty, no producer is left, and no other process holds an item that could
    /// be returned; [`Error::Codec`] if the bytes are not a valid `T`, which is then returned to the queue; and
    /// [`Error::Redis`].
    ///
    /// # Death
    /// If the process is killed in the call or after it, the item goes to another consumer.
    pub fn get(&self) -> Result<Lease<'_, T>> {
        Ok(self.take(&Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// Leases the oldest item, blocking for at most `timeout`. Returns `None` on timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<Lease<'_, T>>> {
        self.take(&Waiting::at_most(timeout))
    }

    /// Leases the oldest item if there is one.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<Lease<'_, T>>> {
        self.take(&Waiting::NO)
    }

    /// Leases up to `most` of the items that are in the queue, at most 1,000, in one round trip. Blocks while there is
    /// none. Returns a result for each item.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for errors of single items. No item was leased then.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<Lease<'_, T>>>> {
        self.take_many(most, &Waiting::FOREVER)
    }

    /// As [`get_many`](Self::get_many), blocking for at most `timeout`. Returns an empty vector on timeout.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<Lease<'_, T>>>> {
        self.take_many(most, &Waiting::at_most(timeout))
    }

    /// Leases items one by one, blocking for each, until no more can arrive.
    pub fn iter(&self) -> impl Iterator<Item = Result<Lease<'_, T>>> {
        until_disconnected(|| self.get())
    }

    /// Ends the leases of this queue: marks their tasks done, in one round trip for up to 1,000. Returns a result for
    /// each, with its item.
    ///
    /// # Errors
    /// [`Error::Redis`]; [`Error::LeaseLost`] in the place of a lease that has already ended.
    pub fn finish_many(&self, leases: Vec<Lease<'_, T>>) -> Result<Vec<Result<T>>> {
        let mut outcomes = Vec::with_capacity(leases.len());
        let mut leases = leases.into_iter().peekable();
        while let Some(first) = leases.peek() {
            let holder = Arc::clone(&first.token.holder);
            let mut slice = Vec::new();
            while let Some(lease) = leases.next_if(|lease| lease.token.holder == holder && slice.len() < MOST_ITEMS) {
                slice.push(lease);
            }
            let is_done = Token::finish_all(slice.iter().map(|lease| &lease.token), &holder, &self.handle)?;
            outcomes.extend(slice.into_iter().zip(is_done).map(|(mut lease, is_done)| {
                let item = lease.end();
                if is_done { Ok(item) } else { Err(Error::LeaseLost { item: lease.token.number }) }
            }));
        }
        Ok(outcomes)
    }

    /// Marks a task done: the oldest one whose item was moved out by [`Lease::into_item`] through this handle.
    ///
    /// # Errors
    /// [`Error::TaskDoneTooOften`] if there is none, [`Error::LeaseLost`] if its lease has already ended, and
    /// [`Error::Redis`].
    pub fn task_done(&self) -> Result<()> {
        let token = self.unacked().pop_front().ok_or(Error::TaskDoneTooOften)?;
        token.finish(&self.queue.handle)
    }

    /// Removes the dead letters from the queue, oldest first. Returns a result for each.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn drain_dead_letters(&self) -> Result<Vec<Result<DeadLetter<T>>>> {
        let mut letters = Vec::new();
        loop {
            let read = self.handle.dead_letters()?;
            if read.is_empty() {
                return Ok(letters);
            }
            let numbers: Vec<u64> = read.iter().map(|letter| letter.number).collect();
            // Another process may have been faster.
            let is_ours = self.handle.discard(&numbers)?;
            let ours = read.into_iter().zip(is_ours).filter_map(|(letter, is_ours)| is_ours.then_some(letter));
            letters.extend(ours.map(|Taken { number, payload, returned }| {
                let letter = |item| DeadLetter { item, number, redelivered: returned };
                encoding::decode(&payload).map(letter)
            }));
        }
    }

    fn take(&self, waiting: &Waiting) -> Result<Option<Lease<'_, T>>> {
        self.lease(1, waiting)?.pop().transpose()
    }

    fn take_many(&self, most: usize, waiting: &Waiting) -> Result<Vec<Result<Lease<'_, T>>>> {
        if most == 0 { Ok(Vec::new()) } else { self.lease(most, waiting) }
    }

    fn lease(&self, most: usize, waiting: &Waiting) -> Result<Vec<Result<Lease<'_, T>>>> {
        let Some(batch) = self.handle.lease(most, waiting)? else { return Ok(Vec::new()) };
        // All are leases before the first is read: if reading panics, they are returned to the queue.
        let unread = batch.items.into_iter().map(|Taken { number, payload, returned }| {
            let (holder, len) = (Arc::clone(&batch.holder), payload.len());
            let token = Token { holder, number, len, string: payload.string.clone(), returned };
            (Lease { item: None, has_ended: false, token, queue: &self.queue.handle, unacked: &self.unacked }, payload)
        });
        let unread: Vec<_> = unread.collect();
        let read = unread.into_iter().map(|(mut lease, payload)| {
            lease.item = Some(encoding::decode(&payload)?);
            Ok(lease)
        });
        Ok(read.collect())
    }
}

impl Token {
    fn finish(&self, queue: &Handle) -> Result<()> {
        self.unless_lost(&Token::finish_all([self].into_iter(), &self.holder, queue)?)
    }

    /// Ends leases of one holder. Returns whether each was still held.
    fn finish_all<'t>(
        tokens: impl Iterator<Item = &'t Self> + Clone,
        holder: &str,
        queue: &Handle,
    ) -> Result<Vec<bool>> {
        let numbers: Vec<u64> = tokens.clone().map(|token| token.number).collect();
        let were_returned = tokens.clone().any(|token| token.returned > 0);
        let bytes = tokens.clone().map(|token| token.len).sum();
        let mut counts = BTreeMap::<&str, usize>::new();
        tokens.filter_map(|token| token.string.as_deref()).for_each(|name| *counts.entry(name).or_default() += 1);
        let strings: String = counts.iter().map(|(name, count)| format!("{name} {count} ")).collect();
        queue.finish(holder, &numbers, were_returned, bytes, &strings)
    }

    fn give_back(&self, queue: &Handle) -> Result<()> {
        self.unless_lost(&queue.give_back(&self.holder, &[self.number])?)
    }

    fn unless_lost(&self, was_held: &[bool]) -> Result<()> {
        if was_held == [true] { Ok(()) } else { Err(Error::LeaseLost { item: self.number }) }
    }
}

/// A leased item. It belongs to the holder until [`task_done`](Self::task_done), and goes to another consumer if the
/// holder dies before, or does not reach the server for 1.5 s.
///
/// Dropping it without `task_done` returns the item to the queue.
#[must_use = "dropping a lease gives the item back"]
pub struct Lease<'q, T> {
    /// `None` until the item is read, and after the lease has ended.
    item: Option<T>,
    has_ended: bool,
    token: Token,
    queue: &'q Handle,
    unacked: &'q Unacked,
}

impl<T> Lease<'_, T> {
    fn end(&mut self) -> T {
        self.has_ended = true;
        self.item.take().expect("there until the lease ends")
    }

    /// Returns how many times the item was redelivered.
    pub fn redelivered(&self) -> u32 {
        self.token.returned
    }

    /// Returns the number of the item, counted from 0 in the order of the puts.
    pub fn number(&self) -> u64 {
        self.token.number
    }

    /// Ends the lease: marks the task done and returns the item.
    ///
    /// # Errors
    /// [`Error::LeaseLost`] if the lease has already ended, and [`Error::Redis`].
    pub fn task_done(mut self) -> Result<T> {
        let item = self.end();
        self.token.finish(self.queue).map(|()| item)
    }

    /// Returns the item to the queue, for any consumer. Dropping does the same and reports no error.
    ///
    /// # Errors
    /// As [`task_done`](Self::task_done).
    pub fn nack(mut self) -> Result<()> {
        self.end();
        self.token.give_back(self.queue)
    }

    /// Returns the item. Its task is marked done later by [`JoinableQueue::task_done`], oldest first.
    pub fn into_item(mut self) -> T {
        self.unacked.lock().expect("nothing panics while it holds the lock").push_back(self.token.clone());
        self.end()
    }
}

impl<T> Deref for Lease<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.item.as_ref().expect("there until the lease ends")
    }
}

impl<T> DerefMut for Lease<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.item.as_mut().expect("there until the lease ends")
    }
}

impl<T> Drop for Lease<'_, T> {
    fn drop(&mut self) {
        if !self.has_ended && forked_from().is_none() {
            // If this fails, the item is returned when the process is declared dead.
            let _ = self.token.give_back(self.queue);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("item", &self.item).field("number", &self.number()).finish_non_exhaustive()
    }
}

/// Creates and counts another handle of the same kind. A clone of a closed handle is closed.
impl<T, A: Access> Clone for JoinableQueue<T, A> {
    fn clone(&self) -> Self {
        self.another()
    }
}

/// Returns the tasks that can no longer be marked done to the queue.
impl<T, A: Access> Drop for JoinableQueue<T, A> {
    fn drop(&mut self) {
        if forked_from().is_none() {
            let leases = std::mem::take(&mut *self.unacked());
            leases.iter().for_each(|token| drop(token.give_back(&self.queue.handle)));
        }
    }
}

sent_in_roles!(
    [T, A: Access] JoinableQueue<T, A>, "a Redis JoinableQueue", |queue, recipient| queue.handle.counted_for(recipient),
    |sent: SentHandle| Handle::received(sent).map(JoinableQueue::of)
);

impl<T, A: Access> fmt::Debug for JoinableQueue<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.queue.handle.member;
        let mut queue = f.debug_struct("JoinableQueue");
        queue.field("kind", &format!("redis joinable queue{}", A::END)).field("name", &member.name());
        queue.field("server", member.server()).field("capacity", &member.capacity()).finish_non_exhaustive()
    }
}
