//! Python's queue: a pipe, a lock at each end of it, a bounded semaphore, and a feeder thread.
//!
//! It exists to be observed, measured and compared.
//!
//! # State
//! A put acquires a permit of the semaphore and leaves the item in a buffer of its process; the [`Feeder`] writes it
//! into the pipe under the write lock. A get acquires the read lock, waits for the pipe, reads one item and releases
//! the permit. So the number of items is recorded in four places (permits, buffers, pipe, and the reader's partial
//! item) that do not change together: `qsize`, `is_empty` and `is_full` may contradict each other and a `try_get` right
//! after a `put`.
//!
//! # Ordering
//! Items pass through the kernel, which orders them. Items of one process stay in order; between processes the feeders
//! decide.
//!
//! # Death
//! The locks are robust, and every handle is a counted [`Participant`](participants::Participant), so no call
//! waits forever for a dead process. What remains is inherent in Python's design:
//! - Killed after a put: items still in its buffer are lost, although `put` returned.
//! - Killed with items in the buffer, or between reading an item and releasing its permit: the permits are lost, which
//!   permanently reduces the queue's capacity.
//! - Killed while its feeder writes an item of more than 4,092 bytes, or while it reads an item: the pipe is torn, and
//!   no process can use the queue any more. Every call returns [`Error::Torn`] within 100 ms, and none returns half an
//!   item.
//! - Stopped (SIGSTOP, Ctrl-Z) while it waits in `get`, or while its feeder writes, it is not dead and keeps its end's
//!   lock: no other process can get, or their items stay in their buffers, until it continues or is killed. Timeouts
//!   still pass, except in a get that has begun to read an item: it blocks until the rest is in the pipe.
//! - A batch is not atomic: items are put and got one by one. A process that is killed meanwhile has put or got part of
//!   them.
//! - A process that exits normally waits until its items are in the pipe, as long as a process lives that could read
//!   them.
//!
//! # Standard
//! Python `multiprocessing.Queue`. Differs: an item that cannot be serialised fails in `put` and not in the feeder; a
//! killed reader or writer does not keep its lock; a call that would wait with no peer left returns an error.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::feeder::Feeder;
use self::parts::Parts;
use super::ends::until_disconnected;
use super::item::Item;
use super::participants::Rights;
use super::put_error::PutError;
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, check_not_forked, check_range};
use crate::ipc::pipe::connection::{MESSAGE_LIMIT, decode};
use crate::ipc::pipe::outgoing::encode;
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::sync::semaphore::MAX_VALUE;
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sys::fork::forked_from;
use crate::sys::task::has_other_threads;

mod feeder;
mod participants;
mod parts;
mod transport;

pub use transport::Pipe;

/// The semaphore's maximum: the capacity of a queue without a limit.
const UNBOUNDED: u32 = MAX_VALUE;

/// A queue made of a pipe and locks, for any number of processes.
///
/// ```
/// let queue = ipc_demo::queue::PipeQueue::bounded(2)?;
/// queue.put("first".to_owned())?;
/// queue.put("second".to_owned())?;
/// let full = queue.try_put("third".to_owned()).expect_err("there is room for two");
/// assert_eq!(full.into_item(), "third");
/// assert_eq!(queue.get()?, "first");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PipeQueue<T> {
    parts: Arc<Parts>,
    feeder: Arc<Feeder>,
    /// 1 once an item was got through this handle.
    has_got: AtomicU32,
    item: PhantomData<fn(T) -> T>,
}

impl<T> PipeQueue<T> {
    /// Creates a queue with room for `capacity` items; `usize::MAX` means no limit.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if `capacity` is 0 or more than a semaphore counts; [`Error::Os`] if memory or descriptors
    /// run out.
    pub fn bounded(capacity: usize) -> Result<Self> {
        if capacity == usize::MAX {
            return PipeQueue::unbounded();
        }
        check_range("the capacity of a queue", capacity as u64, 1..=u64::from(UNBOUNDED - 1))?;
        PipeQueue::with(capacity as u32)
    }

    /// Creates a queue that always has room: what does not fit into the pipe stays in the memory of the producing
    /// process.
    ///
    /// # Errors
    /// [`Error::Os`] if memory or descriptors run out.
    pub fn unbounded() -> Result<Self> {
        PipeQueue::with(UNBOUNDED)
    }

    fn with(capacity: u32) -> Result<Self> {
        Parts::new(capacity).map(PipeQueue::of)
    }

    fn of(parts: Parts) -> Self {
        let parts = Arc::new(parts);
        PipeQueue { feeder: Feeder::new(Arc::clone(&parts)), parts, has_got: AtomicU32::new(0), item: PhantomData }
    }

    /// Returns the maximum number of items; `None` if unlimited.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.permits()).filter(|permits| *permits != UNBOUNDED).map(|permits| permits as usize)
    }

    fn permits(&self) -> u32 {
        self.parts.participant.capacity.load(Relaxed)
    }

    /// Returns the number of permits in use: the items in all buffers and in the pipe, and permits lost with a dead
    /// process.
    pub fn qsize(&self) -> usize {
        self.permits().saturating_sub(self.parts.slots.get_value()) as usize
    }

    /// Returns whether the pipe is empty. Items may still be in the buffers of their producers.
    pub fn is_empty(&self) -> bool {
        !self.parts.has_arrived(Deadline::after(Duration::ZERO)).unwrap_or(false)
    }

    /// Returns whether all permits are in use.
    pub fn is_full(&self) -> bool {
        self.parts.slots.get_value() == 0
    }

    /// Closes this handle: it can neither put nor get any more. Items already put are still written to the pipe.
    pub fn close(&self) {
        self.feeder.close();
    }

    /// Closes the handle and blocks until all its items are in the pipe.
    ///
    /// Waits as long as a process lives that could make room in the pipe; any items left then are lost.
    ///
    /// # Standard
    /// Python `Queue.join_thread`. Differs: closes by itself.
    pub fn join_thread(&self) {
        self.close();
        self.feeder.join(None);
    }

    /// Closes the handle and blocks for at most `timeout` until all its items are in the pipe; returns `false` on
    /// timeout.
    pub fn join_thread_timeout(&self, timeout: Duration) -> bool {
        self.close();
        self.feeder.join(Some(timeout))
    }

    /// Closes the handle and discards the items that are not yet in the pipe, so that dropping the queue does not wait.
    ///
    /// An item half written to the pipe tears it for all processes.
    ///
    /// # Standard
    /// Python `Queue.cancel_join_thread`. Differs: discards immediately and not at the end of the process.
    pub fn cancel_join_thread(&self) {
        self.feeder.cancel();
    }
}

impl<T: Item> PipeQueue<T> {
    /// Puts an item. Blocks until there is room.
    ///
    /// Returns when the item is in this process's buffer: it may still be lost with the process.
    ///
    /// # Errors
    /// All return the item: [`PutError::Failed`] with [`Error::Closed`] (even if the handle is closed during the wait),
    /// [`Error::Codec`], [`Error::TooLong`], [`Error::Torn`], or with [`Error::Disconnected`] if there is no room, no
    /// other handle is left, and either nothing was ever got through this one or this process has no other thread.
    pub fn put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_until(item, Deadline::NEVER)
    }

    /// Puts an item if there is room within `timeout`.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`PutError::Full`].
    pub fn put_timeout(&self, item: T, timeout: Duration) -> std::result::Result<(), PutError<T>> {
        self.put_until(item, Deadline::after(timeout))
    }

    /// Puts an item if there is room. Does not block. Returns [`PutError::Full`] while another process has got an item
    /// but not yet released its permit.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`PutError::Full`].
    pub fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_timeout(item, Duration::ZERO)
    }

    /// Puts all of `items`, one by one: other producers' items may come between them. An empty slice does nothing.
    ///
    /// # Errors
    /// As [`put`](Self::put). The items before the failed one are put.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        items.iter().try_for_each(|item| self.send(item, Deadline::NEVER))
    }

    /// Puts `items` in order, blocking for at most `timeout` in total. Returns the number of items put. It is less than
    /// the number of `items` on timeout, or if an item cannot be put.
    ///
    /// # Errors
    /// As [`put`](Self::put), and only if no item was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        self.put_some(items, Deadline::after(timeout))
    }

    fn put_some(&self, items: &[T], deadline: Deadline) -> Result<usize> {
        for (put, item) in items.iter().enumerate() {
            match self.send(item, deadline) {
                Ok(()) => {}
                // The next call meets the same error again.
                Err(error) if put == 0 && !matches!(error, Error::Full) => return Err(error),
                Err(_) => return Ok(put),
            }
        }
        Ok(items.len())
    }

    fn put_until(&self, item: T, deadline: Deadline) -> std::result::Result<(), PutError<T>> {
        let outcome = self.send(&item, deadline);
        PutError::unless_put(item, outcome)
    }

    /// Leaves an item to the feeder. [`Error::Full`] if there was no room in time.
    fn send(&self, item: &T, deadline: Deadline) -> Result<()> {
        check_not_forked()?;
        if self.feeder.is_closed() {
            return Err(Error::Closed);
        }
        let mut frame = Vec::new();
        let range = encode(item, MESSAGE_LIMIT, &mut frame)?;
        frame.drain(..range.start);
        loop {
            self.parts.participant.check_torn()?;
            let wait = deadline.or_after(LOOK_EVERY).left().unwrap_or(LOOK_EVERY);
            if self.parts.slots.acquire_timeout(wait) {
                break;
            }
            if self.feeder.is_closed() {
                return Err(Error::Closed);
            }
            let may_get_here = || self.has_got.load(Relaxed) != 0 && has_other_threads();
            if !self.parts.participant.is_connected(Rights::GET) && !may_get_here() {
                return Err(Error::Disconnected);
            }
            if deadline.has_passed() {
                return Err(Error::Full);
            }
        }
        self.feeder.push(frame).inspect_err(|_| {
            let _ = self.parts.slots.release();
        })
    }
}

impl<T: DeserializeOwned> PipeQueue<T> {
    /// Removes and returns the next item. Blocks until there is one.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if there is none, no other handle is left, and either nothing was ever put through this
    /// one or this process has no other thread; [`Error::Closed`], even if the handle is closed during the wait;
    /// [`Error::Torn`]; [`Error::Codec`] if the item is not a valid `T`: it is lost.
    pub fn get(&self) -> Result<T> {
        Ok(self.get_until(Deadline::NEVER)?.expect("a wait without end ends with an item"))
    }

    /// Removes and returns the next item if its first byte arrives within `timeout`; `None` if not. Blocks until the rest
    /// has arrived, which takes longer if its producer is stopped.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.get_until(Deadline::after(timeout))
    }

    /// Removes and returns the next item if there is one in the pipe, and no other process or thread is getting or
    /// waiting to. Does not wait for an item, only for the rest of one that has begun to arrive. Returns `None` although an
    /// item was put while the item is in its producer's buffer, or while another consumer is at the pipe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<T>> {
        self.get_timeout(Duration::ZERO)
    }

    /// Removes up to `most` items from the pipe, one by one. Blocks while there is none.
    ///
    /// Items still in a producer's buffer are not included. Returns a result for each item: one that is not a valid `T`
    /// is [`Error::Codec`] in its place and does not affect the others.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for errors of single items. No item was removed then.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.take_many(most, Deadline::NEVER)
    }

    /// Removes up to `most` items from the pipe, blocking for at most `timeout` while there is none. Returns an empty
    /// vector on timeout. Blocks until the last item that has begun to arrive is complete.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>> {
        self.take_many(most, Deadline::after(timeout))
    }

    /// Removes all items that are in the pipe now, one by one, and iterates over them.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many), but an empty queue yields an empty iterator.
    pub fn drain(&self) -> Result<std::vec::IntoIter<Result<T>>> {
        match self.take_many(usize::MAX, Deadline::after(Duration::ZERO)) {
            Err(Error::Disconnected) => Ok(Vec::new().into_iter()),
            outcome => outcome.map(Vec::into_iter),
        }
    }

    /// Removes items one by one, blocking for each, until no other producer is left.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        until_disconnected(|| self.get())
    }

    fn take_many(&self, most: usize, deadline: Deadline) -> Result<Vec<Result<T>>> {
        let mut items = Vec::new();
        if most == 0 {
            return Ok(items);
        }
        items.extend(self.receive(deadline)?.map(|message| decode(&message)));
        while !items.is_empty() && items.len() < most {
            // An error would lose the items read so far; the next call meets it again.
            let Ok(Some(message)) = self.receive(Deadline::after(Duration::ZERO)) else { break };
            items.push(decode(&message));
        }
        Ok(items)
    }

    fn get_until(&self, deadline: Deadline) -> Result<Option<T>> {
        self.receive(deadline)?.map(|message| decode(&message)).transpose()
    }

    /// Reads the bytes of the next item.
    fn receive(&self, deadline: Deadline) -> Result<Option<Vec<u8>>> {
        check_not_forked()?;
        if self.feeder.is_closed() {
            return Err(Error::Closed);
        }
        let message = self.parts.read(deadline, || self.may_put_here())?;
        if message.is_some() {
            self.has_got.store(1, Relaxed);
        }
        Ok(message)
    }

    /// Returns whether items may still come from this handle: from its buffer, or from another thread that puts through
    /// it.
    fn may_put_here(&self) -> Result<bool> {
        if self.feeder.is_closed() {
            return Err(Error::Closed);
        }
        Ok(self.feeder.is_busy() || self.feeder.is_running() && has_other_threads())
    }
}

/// Blocks until this handle's items are in the pipe, as Python does at the end of a process; a panicking thread does
/// not wait.
impl<T> Drop for PipeQueue<T> {
    fn drop(&mut self) {
        if forked_from().is_some() {
            // The queue belongs to the parent, and so does the feeder's thread.
            return;
        }
        self.close();
        if !thread::panicking() {
            self.feeder.join(None);
        }
    }
}

impl<T> fmt::Debug for PipeQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (qsize, capacity) = (self.qsize(), self.capacity());
        f.debug_struct("PipeQueue").field("qsize", &qsize).field("capacity", &capacity).finish_non_exhaustive()
    }
}

/// Creates another participant of the same queue in this process, with its own buffer and feeder.
///
/// It counts as a peer: as long as two handles are open, each has another participant. A clone of a closed handle is
/// closed.
///
/// # Panics
/// If this process has 65,535 handles of the queue.
impl<T> Clone for PipeQueue<T> {
    fn clone(&self) -> Self {
        let clone = PipeQueue::of(self.parts.another());
        if self.feeder.is_closed() {
            clone.close();
        }
        clone
    }
}

impl<T> PipeQueue<T> {
    fn open_parts(&self) -> Result<&Parts> {
        if self.feeder.is_closed() { Err(Error::Closed) } else { Ok(&self.parts) }
    }
}

sent_in_roles!([T] PipeQueue<T>, "a PipeQueue", |queue, _| queue.open_parts(), |parts: Parts| Ok(PipeQueue::of(parts)));

#[cfg(test)]
mod tests;
