//! A first-in first-out queue between processes that no killed process can break.
//!
//! # State
//! The [`Ring`](super::ring) in shared memory, and nothing else: sizes, full and empty come from its two marks.
//!
//! # Death
//! A process killed in `put` has put its item or not; one killed in `get` has taken one item or none. Nobody else notices,
//! except that who would wait for ever is told so: [`Error::Disconnected`].
//!
//! One that is stopped (SIGSTOP, Ctrl-Z) in `put` or `get` is not dead. Until it goes on or is killed nobody else puts,
//! or gets: a timeout passes as if the queue were full, or empty, and `{queue:?}` says who is in the way. One that runs, or
//! waits for a processor, in its short step is waited for, also by who does not wait and after a timeout has passed: up
//! to two seconds.
//!
//! # Standard
//! Python `multiprocessing.Queue`, `SimpleQueue`. Differs: no feeder thread, so an item is in the queue when `put` returns
//! and one that has no serialised form fails there; FIFO over all producers; `qsize`, `is_empty` and `is_full` never
//! contradict each other; nobody waits for a dead process.

mod builder;
#[cfg(test)]
mod tests;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

pub use builder::{DEFAULT_BYTE_LIMIT, QueueBuilder};

use serde::de::DeserializeOwned;

use super::channel::{Access, Both, Channel, GetOnly, Gets, PutOnly, Puts, rights_of};
use super::encoding::{self, SMALL, first_bytes};
use super::item::Item;
use super::participants::Rights;
use super::put_error::PutError;
use super::ring::{PreSleepCheck, Reader, RingState, Taken, Waited, Waiting};
use crate::ipc::error::{Error, Result};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::shm::Mapping;

/// A queue of items of type `T` that processes share.
///
/// Any number of processes and threads may put and get. A handle is [`Queue`] (both), [`Producer`] or [`Consumer`], as
/// `A` says; give workers that only do one of the two the one-sided kind, and [`get`](Self::get) ends by itself when the
/// last producer is gone.
///
/// Items are serialised with postcard: [`Item`] says what that asks of their types. It writes a `Vec<u8>` byte by byte; for
/// large ones use a type that serialises as bytes (`serde_bytes`).
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
pub struct Queue<T, A: Access = Both> {
    channel: Channel,
    item: PhantomData<fn(T) -> T>,
    access: PhantomData<A>,
}

/// The putting end of a [`Queue`].
pub type Producer<T> = Queue<T, PutOnly>;
/// The getting end of a [`Queue`].
pub type Consumer<T> = Queue<T, GetOnly>;

impl<T> Queue<T> {
    /// Makes a queue that grows with what is in it, up to [`DEFAULT_BYTE_LIMIT`]; then `put` waits.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn new() -> Result<Self> {
        Queue::<T>::builder().build()
    }

    /// Makes a queue of at most `capacity_items` items; `usize::MAX` is any number.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn bounded(capacity_items: usize) -> Result<Self> {
        Queue::<T>::builder().capacity(capacity_items).build()
    }

    /// Makes a queue with options.
    pub fn builder() -> QueueBuilder {
        QueueBuilder::default()
    }

    /// A handle that only puts.
    pub fn producer(&self) -> Producer<T> {
        self.another()
    }

    /// A handle that only gets.
    pub fn consumer(&self) -> Consumer<T> {
        self.another()
    }
}

impl<T, A: Access> Queue<T, A> {
    fn of(channel: Channel) -> Self {
        Queue { channel, item: PhantomData, access: PhantomData }
    }

    fn another<B: Access>(&self) -> Queue<T, B> {
        Queue::of(self.channel.another(rights_of::<B>()))
    }

    /// How many items are in the queue.
    ///
    /// # Standard
    /// Python `qsize`. Differs: exact, for one moment during the call.
    pub fn qsize(&self) -> usize {
        self.channel.items() as usize
    }

    /// Whether nothing is in the queue.
    pub fn is_empty(&self) -> bool {
        self.channel.ring.is_empty()
    }

    /// Whether the queue has as many items as its capacity, or as many bytes as its limit.
    pub fn is_full(&self) -> bool {
        self.channel.ring.is_full()
    }

    /// The most items at once; `None` for any number.
    pub fn capacity(&self) -> Option<usize> {
        self.channel.capacity()
    }

    /// The most bytes of serialised items at once.
    pub fn byte_limit(&self) -> u64 {
        self.channel.ring.plan().byte_limit
    }
}

impl<T: Item, A: Puts> Queue<T, A> {
    /// Puts an item, waiting as long as the queue is full.
    ///
    /// When it returns the item is in the queue, whatever happens to this process.
    ///
    /// # Errors
    /// [`PutError::Failed`] with [`Error::Codec`] if the item has no serialised form, [`Error::TooLong`] if it is longer than
    /// the byte limit, [`Error::ItemChanged`] (with debug assertions) if it is not what is read back, [`Error::Closed`] after [`close`](Self::close), also if another thread calls it while this waits, and
    /// [`Error::Disconnected`] if no consumer is left: immediately for a [`Producer`]; for a handle that gets too only when
    /// it would block, and when this process has no other thread that could get through it.
    ///
    /// # Death
    /// Killed in the call, the item is in the queue or not. While it waits the death of the last other who gets shows
    /// within 250 ms.
    ///
    /// # System calls
    /// `futex`, only to wait and to wake who sleeps.
    #[inline]
    pub fn put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        let outcome = self.channel.put(&item, Waiting::FOREVER);
        PutError::unless_put(item, outcome)
    }

    /// Puts an item, waiting at most `timeout`; `Duration::ZERO` is [`try_put`](Self::try_put).
    ///
    /// # Errors
    /// [`PutError::Full`] if there was no room, and as [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> std::result::Result<(), PutError<T>> {
        let outcome = self.channel.put(&item, Waiting::at_most(timeout));
        PutError::unless_put(item, outcome)
    }

    /// Puts an item if there is room.
    ///
    /// Does not wait for room, but for another process or thread in the middle of its put. [`PutError::Full`] although there
    /// is room remains if that one is stopped, if it has not had a processor for two seconds, or if it waits for more bytes
    /// than are free: then it is the next to put.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout), but [`Error::Disconnected`] only for a [`Producer`]: who gets too may do so
    /// after this call.
    ///
    /// # Standard
    /// Python `put_nowait`.
    #[inline]
    pub fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        let outcome = self.channel.put(&item, Waiting::NO);
        PutError::unless_put(item, outcome)
    }

    /// Puts all of `items`, side by side and in as few steps as there is room for: much faster than one by one.
    ///
    /// No other producer's item comes between them. An empty slice does nothing.
    ///
    /// # Errors
    /// As [`put`](Self::put). After [`Error::Codec`], [`Error::ItemChanged`] and [`Error::TooLong`] none was put. After
    /// [`Error::Closed`] and [`Error::Disconnected`] the first ones may have been, if there was not room for all at once:
    /// [`put_many_timeout`](Self::put_many_timeout) says how many.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        self.channel.put_all(items)
    }

    /// Puts as many of `items` as there is room for within `timeout`, in order; returns the count. It is lower also if the
    /// handle is closed or the last consumer leaves meanwhile.
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many), and only if none was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        self.channel.put_some(items, timeout)
    }

    /// Puts no more through this handle; who waits for items learns it as if the handle were dropped.
    ///
    /// Does not wait. Of other threads' puts through this handle that are under way, each is either in the queue before
    /// a consumer is told [`Error::Disconnected`], or fails with [`Error::Closed`].
    ///
    /// # Standard
    /// Python `Queue.close`. Differs: nothing is left to flush, and a handle that gets may go on getting.
    pub fn close(&self) {
        self.channel.ring.close();
    }
}

impl<T: DeserializeOwned, A: Gets> Queue<T, A> {
    /// Takes the oldest item, waiting as long as there is none.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if the queue is empty and no producer is left: every other handle that puts was dropped or
    /// closed, or its process died. A handle that puts too counts as a producer as long as this process has another thread,
    /// which could put through it: use a [`Consumer`], or [`close`](Self::close), where that is not meant.
    /// [`Error::Codec`] if the bytes are no `T`; the item is gone then.
    ///
    /// # Death
    /// Killed in the call, the item is still in the queue or gone with this process. While it waits the death of the last
    /// other who puts shows within 250 ms.
    ///
    /// # System calls
    /// `futex`, only to wait and to wake who sleeps.
    #[inline]
    pub fn get(&self) -> Result<T> {
        Ok(self.take(Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// Takes the oldest item, waiting at most `timeout`. `None` if it passed; `Duration::ZERO` is [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.take(Waiting::at_most(timeout))
    }

    /// Takes the oldest item if there is one.
    ///
    /// Does not wait for an item, but for another process or thread in the middle of its get. `None` although there is an
    /// item remains if that one is stopped, or has not had a processor for two seconds.
    ///
    /// # Errors
    /// As [`get`](Self::get), but [`Error::Disconnected`] only for a [`Consumer`]: who puts too may do so after this call.
    ///
    /// # Standard
    /// Python `get_nowait`. Differs: an empty queue is `None`, no error.
    #[inline]
    pub fn try_get(&self) -> Result<Option<T>> {
        self.take(Waiting::NO)
    }

    /// Takes what is there, at most `most` items, waiting as long as there is nothing. One step, however many.
    ///
    /// Returns a result for each item: one whose bytes are no `T` is [`Error::Codec`] in its place, and the others are there.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for single items. Nothing was taken then.
    ///
    /// # Death
    /// All of them are this process's from then on, and gone with it.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.take_many(most, Waiting::FOREVER)
    }

    /// As [`get_many`](Self::get_many), waiting at most `timeout` while there is nothing. Empty if it passed; with
    /// `Duration::ZERO` as [`try_get`](Self::try_get).
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>> {
        self.take_many(most, Waiting::at_most(timeout))
    }

    /// Takes everything that is there now, in one step, and iterates over it. Finds nothing only where
    /// [`try_get`](Self::try_get) would.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many), but an empty queue is an empty iterator.
    pub fn drain(&self) -> Result<std::vec::IntoIter<Result<T>>> {
        match self.take_many(usize::MAX, Waiting::NO) {
            Ok(items) => Ok(items.into_iter()),
            Err(Error::Disconnected) => Ok(Vec::new().into_iter()),
            Err(error) => Err(error),
        }
    }

    /// Takes items one by one, waiting for each, until nobody is left who could put.
    ///
    /// An item whose bytes are no `T` is an error in its place; the iterator goes on behind it.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        std::iter::from_fn(|| match self.get() {
            Err(Error::Disconnected) => None,
            outcome => Some(outcome),
        })
    }

    #[inline]
    fn take(&self, waiting: Waiting) -> Result<Option<T>> {
        if let Some(mut reader) = self.channel.ring.reader_now() {
            let mut small = [0; SMALL];
            if let Some(Taken::Bytes(len)) = reader.take_first(&mut small)? {
                drop(reader);
                return encoding::decode(&small[..len]).map(Some);
            }
            return self.take_slowly(Some(reader), waiting);
        }
        self.take_slowly(None, waiting)
    }

    /// The same where it has to wait, or there is something large.
    #[cold]
    fn take_slowly(&self, reader: Option<Reader<'_>>, waiting: Waiting) -> Result<Option<T>> {
        let reader =
            reader.map_or_else(|| self.channel.ring.reader(&waiting, || false, || false), |reader| Ok(Some(reader)))?;
        let Some(mut reader) = reader else { return Ok(None) };
        if !self.await_item(&mut reader, waiting)? {
            return Ok(None);
        }
        let mut buffer = self.channel.scratch.borrow();
        let mut taken = reader.take_first(&mut buffer)?;
        if let Some(Taken::TooLong(record)) = taken {
            taken = reader.take_first(first_bytes(&mut buffer, record.len as usize))?;
        }
        drop(reader);
        let Some(Taken::Bytes(len)) = taken else { return Err(Error::Damaged { object: "queue" }) };
        let item = encoding::decode(&buffer[..len]);
        self.channel.scratch.recycle(buffer, len);
        item.map(Some)
    }

    fn take_many(&self, most: usize, waiting: Waiting) -> Result<Vec<Result<T>>> {
        let mut items = Vec::new();
        if most == 0 {
            return Ok(items);
        }
        let Some(mut reader) = self.channel.ring.reader(&waiting, || false, || false)? else { return Ok(items) };
        if !self.await_item(&mut reader, waiting)? {
            return Ok(items);
        }
        let mut buffer = self.channel.scratch.borrow();
        let (records, count) = reader.take_many(most as u64, &mut buffer)?;
        drop(reader);
        // Every record has its bytes in the buffer, so the count is bounded by what was really there.
        items.reserve(records.len().min(count as usize));
        encoding::decode_all(records, &mut items);
        let used = records.len();
        self.channel.scratch.recycle(buffer, used);
        Ok(items)
    }

    /// Waits until there is an item. `false` if there was none as long as it was willing to wait.
    fn await_item(&self, reader: &mut Reader<'_>, mut waiting: Waiting) -> Result<bool> {
        let ring = &self.channel.ring;
        let (mut is_idle, will_wait) = (false, waiting.will());
        while reader.first()?.is_none() {
            if is_idle {
                ring.release_surplus();
            }
            match reader.wait(&mut waiting, || PreSleepCheck::disconnected_if(ring.nobody_puts(will_wait))) {
                Waited::Retry => is_idle = true,
                Waited::TimedOut => return Ok(false),
                Waited::Disconnected => return Err(Error::Disconnected),
            }
        }
        Ok(true)
    }
}

/// Counts another handle of the same kind. Threads may as well share one; a handle each spares them waiting for each other's
/// buffers. A clone of a closed handle is closed.
impl<T, A: Access> Clone for Queue<T, A> {
    fn clone(&self) -> Self {
        Queue::of(self.channel.another(rights_of::<A>()))
    }
}

sent_in_roles!(
    [T, A: Access] Queue<T, A>, "a Queue", |queue, recipient| queue.channel.counted_for(recipient),
    |parts: (Mapping<RingState>, Rights, u32)| Channel::received(parts).map(Queue::of)
);

impl<T, A: Access> fmt::Debug for Queue<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = &self.channel.ring;
        let mut queue = f.debug_struct("Queue");
        queue.field("kind", &A::QUEUE).field("capacity", &self.capacity());
        queue.field("putting", &ring.putting()).field("getting", &ring.getting()).finish_non_exhaustive()
    }
}
