//! The textbook queue: a pipe, a lock at each end of it, a bounded semaphore, and a thread that writes.
//!
//! It is here to be watched, measured and compared.
//!
//! # State
//! A put takes a permit of the semaphore and leaves the item in a buffer of its process; the [`Feeder`] writes it into the
//! pipe under the write lock. A get takes the read lock, waits for the pipe, reads one item and gives the permit back. So
//! the number of items is known four times over (permits, buffers, pipe, and what the reader has half read), and the four do
//! not change together: `qsize`, `is_empty` and `is_full` may contradict each other and a `try_get` right after a `put`.
//!
//! # Ordering
//! The items go through the kernel, which orders them. Items of one process stay in order; between processes the feeders decide.
//!
//! # Death
//! The locks are robust, and everybody is on a [`ParticipantTable`](participants::ParticipantTable), so nobody waits for ever for the dead. What remains is the textbook's:
//! - Killed after a put: items that were still in its buffer are lost, although `put` returned.
//! - Killed with items in the buffer, or between reading an item and giving its permit back: the permits stay taken, and the
//!   queue has less room for good.
//! - Killed while its feeder writes an item of more than 4,092 bytes, or while it reads an item: the pipe is torn, and nobody
//!   can use the queue any more. Everybody is told ([`Error::Torn`]), within 100 ms, and nobody gets half an item.
//! - Stopped (SIGSTOP, Ctrl-Z) while it waits in `get`, or while its feeder writes, it is not dead and keeps its end's lock:
//!   nobody else gets, or their items stay in their buffers, until it goes on or is killed. Timeouts pass as ever.
//! - A process that ends in order waits until its items are in the pipe, as long as somebody lives who may read them.
//!
//! # Standard
//! Python `multiprocessing.Queue`. Differs: an item that has no serialised form fails in `put` and not in the feeder; a
//! killed reader or writer does not keep its lock; who waits for nobody is told so.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::feeder::Feeder;
use self::parts::Parts;
use super::item::Item;
#[cfg(debug_assertions)]
use super::item::check_survives;
use super::put_error::PutError;
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::pipe::connection::{MESSAGE_LIMIT, decode};
use crate::ipc::pipe::outgoing::encode;
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::sync::semaphore::MAX_VALUE;
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sys::fork::forked_from;
use crate::sys::task::has_other_threads;

mod batch;
mod feeder;
mod participants;
mod parts;

/// What a semaphore counts to: the capacity of a queue without one.
const UNBOUNDED: u32 = MAX_VALUE;

/// A queue made of a pipe and locks, for any number of processes.
///
/// ```
/// let queue = ipc_demo::PipeQueue::bounded(2)?;
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
    /// 1 once something was got through this handle.
    has_got: AtomicU32,
    item: PhantomData<fn(T) -> T>,
}

impl<T> PipeQueue<T> {
    /// Makes a queue with room for `capacity` items; `usize::MAX` is any number.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] if that is none or more than a semaphore counts; [`Error::Os`] if there is no memory or no descriptor for it.
    pub fn bounded(capacity: usize) -> Result<Self> {
        let limit = UNBOUNDED - 1;
        match u32::try_from(capacity).ok().filter(|capacity| (1..=limit).contains(capacity)) {
            Some(capacity) => PipeQueue::with(capacity),
            None if capacity == usize::MAX => PipeQueue::unbounded(),
            None => Err(Error::OutOfRange {
                what: "the capacity of a queue",
                given: capacity as u64,
                least: 1,
                most: limit.into(),
            }),
        }
    }

    /// Makes a queue that always has room: what does not fit into the pipe is kept in the memory of who puts.
    ///
    /// # Errors
    /// [`Error::Os`] if there is no memory or no descriptor for it.
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

    /// How many items there is room for; `None` if there always is.
    pub fn capacity(&self) -> Option<usize> {
        Some(self.parts.participants.capacity())
            .filter(|capacity| *capacity != UNBOUNDED)
            .map(|capacity| capacity as usize)
    }

    /// How many permits are taken: the items in all buffers and in the pipe, and those that died with a process.
    pub fn qsize(&self) -> usize {
        self.parts.participants.capacity().saturating_sub(self.parts.slots.get_value()) as usize
    }

    /// Whether the pipe is empty. Items may still be in the buffers of those who put them.
    pub fn is_empty(&self) -> bool {
        !self.parts.has_arrived(Deadline::after(Duration::ZERO)).unwrap_or(false)
    }

    /// Whether all permits are taken.
    pub fn is_full(&self) -> bool {
        self.parts.slots.get_value() == 0
    }

    /// Ends the use of the queue by this process: it neither puts nor gets any more. What it put still goes into the pipe.
    pub fn close(&self) {
        self.feeder.close();
    }

    /// Closes, and waits until all that this process put is in the pipe.
    ///
    /// Waits as long as somebody lives who may make room in the pipe; what then is left is lost.
    ///
    /// # Standard
    /// Python `Queue.join_thread`. Differs: closes by itself.
    pub fn join_thread(&self) {
        self.close();
        self.feeder.join(None);
    }

    /// Closes, and waits at most `timeout` until all that this process put is in the pipe; `false` if it is not.
    pub fn join_thread_timeout(&self, timeout: Duration) -> bool {
        self.close();
        self.feeder.join(Some(timeout))
    }

    /// Closes, and gives up what is not yet in the pipe, so that dropping the queue does not wait.
    ///
    /// An item that is half in the pipe tears it, for everybody.
    ///
    /// # Standard
    /// Python `Queue.cancel_join_thread`. Differs: gives up at once and not at the end of the process.
    pub fn cancel_join_thread(&self) {
        self.feeder.cancel();
    }
}

impl<T: Item> PipeQueue<T> {
    /// Puts an item, waiting until there is room.
    ///
    /// Returns when the item is in this process's buffer: it may still be lost with the process.
    ///
    /// # Errors
    /// All give the item back: [`PutError::Failed`] with [`Error::Closed`] (also if the handle is closed while this waits),
    /// [`Error::Codec`], [`Error::TooLong`], [`Error::Torn`], or with [`Error::Disconnected`] if there is no room, no other
    /// handle is left, and nothing was ever got through this one or this process has no other thread.
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

    /// Puts an item if there is room. Does not wait. [`PutError::Full`] remains while an item is got and its permit not yet
    /// given back.
    ///
    /// # Errors
    /// As [`put`](Self::put), and [`PutError::Full`].
    pub fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_timeout(item, Duration::ZERO)
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
        #[cfg(debug_assertions)]
        check_survives::<T>(&frame[crate::ipc::pipe::frame::LONG..])?;
        frame.drain(..range.start);
        loop {
            self.parts.participants.check_torn()?;
            let wait = deadline.or_after(LOOK_EVERY).left().unwrap_or(LOOK_EVERY);
            if self.parts.slots.acquire_timeout(wait) {
                break;
            }
            if self.feeder.is_closed() {
                return Err(Error::Closed);
            }
            let may_get_here = || self.has_got.load(Relaxed) != 0 && has_other_threads();
            if !self.parts.participants.is_connected() && !may_get_here() {
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
    /// Takes the next item, waiting until there is one.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if there is none, no other handle is left, and nothing was ever put through this one or this
    /// process has no other thread; [`Error::Closed`], also if the handle is closed while this waits; [`Error::Torn`];
    /// [`Error::Codec`] if the item is no `T`: it is gone then.
    pub fn get(&self) -> Result<T> {
        Ok(self.get_until(Deadline::NEVER)?.expect("a wait without end ends with an item"))
    }

    /// Takes the next item if its first byte is there within `timeout`; `None` if it is not.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.get_until(Deadline::after(timeout))
    }

    /// Takes the next item if there is one in the pipe, and no other process or thread is getting or waiting to. Does not
    /// wait: `None` although an item was put remains while that is in its producer's buffer, or somebody else is at the pipe.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<T>> {
        self.get_timeout(Duration::ZERO)
    }

    fn get_until(&self, deadline: Deadline) -> Result<Option<T>> {
        self.receive(deadline)?.map(|message| decode(&message)).transpose()
    }

    /// Takes the bytes of the next item.
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

    /// Whether items may still come from this handle: from its buffer, or from another thread that puts through it.
    fn may_put_here(&self) -> Result<bool> {
        if self.feeder.is_closed() {
            return Err(Error::Closed);
        }
        Ok(self.feeder.is_busy() || self.feeder.is_running() && has_other_threads())
    }
}

/// Waits until what this process put is in the pipe, as Python does at the end of a process; a thread that panics does not.
impl<T> Drop for PipeQueue<T> {
    fn drop(&mut self) {
        if forked_from().is_some() {
            // The queue is its parent's, and so is the feeder's thread.
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

/// Makes another user of the same queue in this process, with a buffer and a feeder of its own.
///
/// It counts as somebody else: a queue with two handles has others as long as both are open. A clone of a closed handle is
/// closed.
///
/// # Panics
/// If the queue has 4,096 users, in all processes.
impl<T> Clone for PipeQueue<T> {
    fn clone(&self) -> Self {
        let clone = PipeQueue::of(self.parts.another().expect("a queue has at most 4,096 users"));
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
