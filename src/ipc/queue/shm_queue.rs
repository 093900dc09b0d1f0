//! A first-in first-out queue between processes that no killed process can break.
//!
//! # State
//! The [`Ring`](super::ring) in shared memory, and nothing else. Size, emptiness and fullness are computed from its
//! slots.
//!
//! # Death
//! A process killed in `put` has either put its item or not; one killed in `get` has removed one item or none. No other
//! process is affected, except that one that would otherwise block forever gets [`Error::Disconnected`].
//!
//! A process stopped (SIGSTOP, Ctrl-Z) in `put` is not dead. If it was in the few instructions in which it writes its
//! item, the items behind that one cannot be got until it continues or is killed: timeouts pass as if the queue were
//! empty. If it is only slow, other calls wait for it for up to two seconds, even a non-blocking one. A process stopped
//! while it waits in `put` or `get` delays those that wait behind it by up to 100 ms for each step, and holds up those
//! that put items longer than 128 bytes; `{queue:?}` shows which process that is. A process stopped while it gets memory
//! for the queue or gives some back holds up the puts that need memory.
//!
//! # Standard
//! Python `multiprocessing.Queue`, `SimpleQueue`. Differs: there is no feeder thread, so an item is in the queue when
//! `put` returns, and one that cannot be serialised fails there; items are FIFO over all producers; `qsize`, `is_empty`
//! and `is_full` never contradict each other; no call waits for a dead process.

mod builder;
#[cfg(test)]
mod tests;
mod transport;

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

pub use builder::{DEFAULT_BYTE_LIMIT, QueueBuilder};
pub use transport::SharedMemory;

use serde::de::DeserializeOwned;

use super::access::{Access, Both, GetOnly, Gets, PutOnly, Puts};
use super::batch::Items;
use super::encoding;
use super::ends::until_disconnected;
use super::item::Item;
use super::participants::{Rights, Sent};
use super::put_error::PutError;
use super::ring::{Ring, RingState, Waiting};
use crate::ipc::buffer::Buffer;
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::shm::Mapping;

/// A queue of items of type `T` that processes share.
///
/// Any number of processes and threads may put and get. `A` determines the kind of handle: [`Queue`] (both),
/// [`Producer`] or [`Consumer`]. Give one-sided handles to workers that only put or only get; then [`get`](Self::get)
/// ends by itself when the last producer is gone.
///
/// Items may be of every type that serde can serialise: see [`Item`]. A `Queue<[u8]>` has bytes as items, without serde: it
/// can also write and read them where they are, without a copy.
///
/// ```
/// use ipc_demo::{Error, Queue};
///
/// let queue = Queue::bounded(2)?;
/// queue.put("one".to_owned())?;
/// queue.put("two".to_owned())?;
/// assert!(queue.is_full());
/// let refused = queue.try_put("three".to_owned()).expect_err("it is full");
/// assert_eq!(refused.into_item(), "three");
///
/// let (producer, consumer) = (queue.producer(), queue.consumer());
/// drop((queue, producer));
/// assert_eq!(consumer.iter().collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
/// assert!(matches!(consumer.get(), Err(Error::Disconnected)));
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub struct Queue<T: ?Sized, A: Access = Both> {
    pub(super) ring: Ring,
    types: PhantomData<fn(&T, A) -> PhantomData<T>>,
}

/// The putting end of a [`Queue`]: the queue's methods that put. [`Queue::producer`] makes one.
pub type Producer<T> = Queue<T, PutOnly>;
/// The getting end of a [`Queue`]: the queue's methods that get. [`Queue::consumer`] makes one.
pub type Consumer<T> = Queue<T, GetOnly>;

/// The operations without a limit of time, with one, and without waiting.
pub(super) const PUT: Waits = Waits::change(["queue.put", "queue.put_timeout", "queue.try_put"]);
const PUT_MANY: Waits = Waits::change(["queue.put_many", "queue.put_many_timeout", "queue.try_put_many"]);
pub(super) const GET: Waits = Waits::change(["queue.get", "queue.get_timeout", "queue.try_get"]);
pub(super) const GET_MANY: Waits = Waits::change(["queue.get_many", "queue.get_many_timeout", "queue.try_get_many"]);

/// Room that `get_many` makes before it knows how many items there are.
const USUAL_BATCH: usize = 256;

impl<T: ?Sized> Queue<T> {
    /// Creates a queue that grows with its contents, up to [`DEFAULT_BYTE_LIMIT`]; beyond that `put` blocks.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn new() -> Result<Self> {
        Queue::<T>::builder().build()
    }

    /// Creates a queue of at most `capacity_items` items; `usize::MAX` means no limit.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn bounded(capacity_items: usize) -> Result<Self> {
        Queue::<T>::builder().capacity(capacity_items).build()
    }

    /// Returns a builder for a queue with options.
    pub fn builder() -> QueueBuilder {
        QueueBuilder::default()
    }

    /// Returns a handle that only puts.
    pub fn producer(&self) -> Producer<T> {
        self.another()
    }

    /// Returns a handle that only gets.
    pub fn consumer(&self) -> Consumer<T> {
        self.another()
    }
}

impl<T: ?Sized, A: Access> Queue<T, A> {
    pub(super) fn of(ring: Ring) -> Self {
        Queue { ring, types: PhantomData }
    }

    /// Creates another handle of this process, with those rights of `B` that this one still has.
    pub(super) fn another<U: ?Sized, B: Access>(&self) -> Queue<U, B> {
        Queue::of(self.ring.another(Rights(B::RIGHTS)))
    }

    /// Returns the number of items in the queue.
    ///
    /// # Standard
    /// Python `qsize`. Differs: exact at one moment during the call, but for items that are being put, which count. So
    /// does one whose producer was killed in the put, until a get reaches its place.
    pub fn qsize(&self) -> usize {
        point(Operation::read("queue.qsize"), &self.ring.shared, always);
        self.ring.items() as usize
    }

    /// Returns whether the queue is empty.
    pub fn is_empty(&self) -> bool {
        point(Operation::read("queue.is_empty"), &self.ring.shared, always);
        self.ring.is_empty()
    }

    /// Returns whether the queue has as many items as it can have. Long items may have no room before.
    pub fn is_full(&self) -> bool {
        point(Operation::read("queue.is_full"), &self.ring.shared, always);
        self.ring.is_full()
    }

    /// Returns the maximum number of items; `None` if unlimited.
    pub fn capacity(&self) -> Option<usize> {
        self.ring.capacity()
    }

    /// Returns the limit on the bytes of serialised items, as [`QueueBuilder::byte_limit`] counts them.
    pub fn byte_limit(&self) -> u64 {
        self.ring.plan.byte_limit
    }
}

impl<T: ?Sized, A: Puts> Queue<T, A> {
    /// Closes this handle for puts. To waiting consumers this is the same as dropping the handle.
    ///
    /// Does not wait. Each put that another thread is making through this handle either completes before any consumer
    /// gets [`Error::Disconnected`], or fails with [`Error::Closed`].
    ///
    /// # Standard
    /// Python `Queue.close`. Differs: there is nothing to flush, and a handle that can get may go on getting.
    pub fn close(&self) {
        point(Operation::change("queue.close"), &self.ring.shared, always);
        self.ring.close();
    }
}

impl<T: Item, A: Puts> Queue<T, A> {
    /// Puts an item. Blocks while the queue is full.
    ///
    /// When it returns, the item is in the queue even if this process dies.
    ///
    /// # Errors
    /// [`PutError::Failed`] with [`Error::Codec`] if the item cannot be serialised, [`Error::TooLong`] if it is longer
    /// than the byte limit, [`Error::Os`] if the queue needs memory and the kernel has none, [`Error::Closed`] after
    /// [`close`](Self::close), even if another thread calls it during the wait, and [`Error::Disconnected`] if no
    /// consumer is left: immediately for a [`Producer`]; for a handle that can also get, only when it would block and
    /// this process has no other thread that could get through it.
    ///
    /// # Death
    /// If the process is killed in the call, the item is in the queue or not. A waiting call detects the death of the
    /// last other consumer within 250 ms.
    ///
    /// # Cost
    /// One atomic exchange for an item of up to 128 bytes, and one more for each piece of memory that a longer one is copied
    /// into. A waiting call spins for up to 16 microseconds, or 100 if it has just woken the other side, and only while
    /// that pays; then it sleeps, and wakes ten times a second to check who is left.
    ///
    /// # System calls
    /// `futex`, only to wait and to wake waiters; `membarrier`, before a sleep; `madvise`, if the queue needs memory.
    #[inline]
    pub fn put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::FOREVER)
    }

    /// Puts an item, blocking for at most `timeout`; `Duration::ZERO` is [`try_put`](Self::try_put).
    ///
    /// # Errors
    /// [`PutError::Full`] if there was no room, and as [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::at_most(timeout))
    }

    /// Puts an item if there is room.
    ///
    /// For an item of more than 128 bytes [`PutError::Full`] is possible although there is room, if another put waits for
    /// more bytes than are free: then that one is the next. So it is for any item if the queue needs memory while another
    /// process is stopped in the middle of getting some or giving some back; the call then takes up to 100 ms.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout), but [`Error::Disconnected`] only for a [`Producer`]: a handle that can
    /// also get may do so after this call.
    ///
    /// # Standard
    /// Python `put_nowait`.
    #[inline]
    pub fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::NO)
    }

    /// Puts all of `items` in order. Blocks while the queue is full.
    ///
    /// Items of other producers may come between them. An empty slice does nothing.
    ///
    /// # Errors
    /// As [`put`](Self::put). After [`Error::Codec`] and [`Error::TooLong`] no item was put.
    /// After [`Error::Closed`] and [`Error::Disconnected`] a prefix may have been put:
    /// [`put_many_timeout`](Self::put_many_timeout) returns the count.
    ///
    /// # Death
    /// If the process is killed in the call, the first items are in the queue, and the others are not.
    ///
    /// # Cost
    /// One atomic exchange for up to 32 items. Those of up to 48 bytes share cache lines.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        self.put_all(items, Waiting::FOREVER, &mut 0)
    }

    /// Puts `items` in order, blocking for at most `timeout` in total. Returns the number of items put. It is less than
    /// the number of `items` on timeout, or if the handle is closed or the last consumer disconnects meanwhile.
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many), and only if no item was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        self.put_some(items, Waiting::at_most(timeout))
    }

    #[inline(always)]
    fn put_waiting(&self, item: T, waiting: Waiting) -> std::result::Result<(), PutError<T>> {
        let outcome = self.put_one(&item, waiting);
        PutError::unless_put(item, outcome)
    }

    #[inline(always)]
    fn put_one(&self, item: &T, waiting: Waiting) -> Result<()> {
        waiting.point(&PUT, &self.ring.shared, || self.ring.can_put());
        self.ring.check_may_put()?;
        encoding::encode(item, self.ring.plan.longest(), |bytes| self.ring.put_item(bytes, waiting))
    }

    /// Puts as many items as there is room for in time, and returns the count.
    fn put_some(&self, items: &[T], waiting: Waiting) -> Result<usize> {
        let mut put = 0;
        let outcome = self.put_all(items, waiting, &mut put);
        // The next call meets the same error again.
        if put > 0 { Ok(put) } else { outcome.map(|()| 0) }
    }

    /// Puts items in order as room becomes free, and counts them in `put`.
    fn put_all(&self, items: &[T], waiting: Waiting, put: &mut usize) -> Result<()> {
        waiting.point(&PUT_MANY, &self.ring.shared, || items.is_empty() || self.ring.can_put());
        self.ring.check_may_put()?;
        let mut batch = Buffer::borrow();
        batch.clear();
        let longest = self.ring.plan.longest();
        let encoded = items.iter().try_for_each(|item| encoding::append(item, longest, &mut batch));
        match encoded.and_then(|()| self.ring.put_items(Items::of(&batch), waiting, put)) {
            Err(Error::Full) => Ok(()),
            outcome => outcome,
        }
    }
}

impl<T: DeserializeOwned, A: Gets> Queue<T, A> {
    /// Removes and returns the oldest item. Blocks while the queue is empty.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if the queue is empty and no producer is left: every other handle that can put was
    /// dropped or closed, or its process died. A handle that can also put counts as a producer as long as this process
    /// has another thread, which could put through it: use a [`Consumer`] or [`close`](Self::close) to avoid that.
    /// [`Error::Codec`] if the bytes are not a valid `T`; the item is lost.
    ///
    /// # Death
    /// If the process is killed in the call, the item is still in the queue or lost with the process. A waiting call
    /// detects the death of the last other producer within 250 ms.
    ///
    /// # Cost
    /// One atomic exchange and a copy, without a lock. A waiting call spins as in [`put`](Self::put), then sleeps, and wakes
    /// ten times a second to check who is left.
    ///
    /// # System calls
    /// `futex`, only to wait and to wake waiters; `membarrier`, before a sleep.
    #[inline]
    pub fn get(&self) -> Result<T> {
        Ok(self.take(Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// Removes and returns the oldest item, blocking for at most `timeout`. Returns `None` on timeout; `Duration::ZERO`
    /// is [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.take(Waiting::at_most(timeout))
    }

    /// Removes and returns the oldest item if there is one.
    ///
    /// Does not wait for an item, but does wait for another process or thread in the middle of its put. `None` is
    /// possible although there is an item behind that one if it is stopped, or has not had a processor for two seconds.
    ///
    /// # Errors
    /// As [`get`](Self::get), but [`Error::Disconnected`] only for a [`Consumer`]: a handle that can also put may do so
    /// after this call.
    ///
    /// # Standard
    /// Python `get_nowait`. Differs: an empty queue returns `None`, not an error.
    #[inline]
    pub fn try_get(&self) -> Result<Option<T>> {
        self.take(Waiting::NO)
    }

    /// Removes up to `most` of the items that are in the queue now. Blocks while the queue is empty.
    ///
    /// Returns a result for each item: one whose bytes are not a valid `T` is [`Error::Codec`] in its place and does
    /// not affect the others.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for errors of single items. No item was removed then.
    ///
    /// # Death
    /// All the items belong to this process from when they are taken, and are lost with it.
    ///
    /// # Cost
    /// One atomic exchange for up to 32 items that were put together.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.take_many(most, Waiting::FOREVER)
    }

    /// As [`get_many`](Self::get_many), blocking for at most `timeout` while the queue is empty. Returns an empty
    /// vector on timeout; `Duration::ZERO` behaves as [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>> {
        self.take_many(most, Waiting::at_most(timeout))
    }

    /// Removes all items that are in the queue now, and iterates over them. Finds nothing only where
    /// [`try_get`](Self::try_get) would.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many), but an empty queue yields an empty iterator.
    pub fn drain(&self) -> Result<std::vec::IntoIter<Result<T>>> {
        match self.take_many(usize::MAX, Waiting::NO) {
            Ok(items) => Ok(items.into_iter()),
            Err(Error::Disconnected) => Ok(Vec::new().into_iter()),
            Err(error) => Err(error),
        }
    }

    /// Removes items one by one, blocking for each, until no producer is left.
    ///
    /// An item whose bytes are not a valid `T` yields an error in its place; the iterator continues with the next one.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        until_disconnected(|| self.get())
    }

    #[inline(always)]
    fn take(&self, waiting: Waiting) -> Result<Option<T>> {
        waiting.point(&GET, &self.ring.shared, || self.ring.can_get());
        check_not_forked()?;
        let attempt = |_| self.ring.get_item(encoding::decode);
        match attempt(false)? {
            Some(item) => Ok(Some(item)),
            None => self.ring.get_slowly(waiting, attempt, || false),
        }
    }

    fn take_many(&self, most: usize, waiting: Waiting) -> Result<Vec<Result<T>>> {
        waiting.point(&GET_MANY, &self.ring.shared, || most == 0 || self.ring.can_get());
        check_not_forked()?;
        let items = RefCell::new(Vec::with_capacity(most.min(USUAL_BATCH)));
        let attempt = |_| {
            let mut items = items.borrow_mut();
            let count = self.ring.get_items(most, |bytes| match bytes.and_then(encoding::decode) {
                // Not through a copy of the whole result, which is much longer than most items.
                Ok(item) => items.push(Ok(item)),
                Err(error) => items.push(Err(error)),
            });
            Ok((count > 0).then_some(()))
        };
        if attempt(false)?.is_none() && most > 0 {
            self.ring.get_slowly(waiting, attempt, || false)?;
        }
        let items = items.into_inner();
        Ok(items)
    }
}

/// Creates and counts another handle of the same kind. Threads can share a handle; with a handle each they do not
/// contend for its buffer. A clone of a closed handle is closed.
impl<T: ?Sized, A: Access> Clone for Queue<T, A> {
    fn clone(&self) -> Self {
        self.another()
    }
}

sent_in_roles!(
    [T: ?Sized, A: Access] Queue<T, A>, "a Queue", |queue, recipient| queue.ring.counted_for(recipient),
    |sent: Sent<Mapping<RingState>>| Ring::received(sent).map(Queue::of)
);

impl<T: ?Sized, A: Access> fmt::Debug for Queue<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.debug(f, "Queue", "queue")
    }
}

impl<T: ?Sized, A: Access> Queue<T, A> {
    pub(super) fn debug(&self, f: &mut fmt::Formatter<'_>, name: &str, kind: &str) -> fmt::Result {
        let mut queue = f.debug_struct(name);
        queue.field("kind", &format!("{kind}{}", A::END)).field("capacity", &self.capacity());
        queue.field("putting", &self.ring.putting()).field("getting", &self.ring.getting()).finish_non_exhaustive()
    }
}
