//! An item leased from a [`JoinableQueue`](crate::JoinableQueue), to be finished by its holder.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::joinable_queue::Unacked;
use super::leasing::LeaseToken;
use super::ring::{InPlace, Ring};
use crate::ipc::error::Result;
use crate::ipc::operation::{Operation, always, point};
use crate::sys::fork::forked_from;

/// A leased item. It belongs to the holder until [`task_done`](Self::task_done), and goes to another consumer if the
/// holder dies before.
///
/// Dropping it without `task_done`, as a panic does, returns the item to the queue: a consumer gets it again (possibly
/// the same one), until the limit of redeliveries makes it a dead letter.
#[must_use = "dropping a lease gives the item back"]
pub struct Lease<'q, T> {
    /// `None` until the item is read, and after the lease has ended.
    item: Option<T>,
    has_ended: bool,
    token: LeaseToken,
    ring: &'q Ring,
    unacked: &'q Unacked,
}

impl<'q, T> Lease<'q, T> {
    /// A lease whose item is not yet read. Dropping it returns the item to the queue.
    pub(crate) fn unread(token: LeaseToken, ring: &'q Ring, unacked: &'q Unacked) -> Self {
        Lease { item: None, has_ended: false, token, ring, unacked }
    }

    /// Reads the item of this lease. If that fails or panics, the item is returned to the queue.
    pub(crate) fn with_item(mut self, read: impl FnOnce(&LeaseToken) -> Result<T>) -> Result<Self> {
        self.item = Some(read(&self.token)?);
        Ok(self)
    }

    fn end(&mut self) -> T {
        self.has_ended = true;
        self.item.take().expect("there until the lease ends")
    }

    /// Returns how many times the item was redelivered.
    pub fn redelivered(&self) -> u32 {
        self.token.word.returns()
    }

    /// Returns the number of the item, counted from 0 in the order of the puts.
    pub fn number(&self) -> u64 {
        self.token.item
    }

    /// Ends the lease: marks the task done and returns the item.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::Error::LeaseLost) if the lease has already ended; another consumer has the item
    /// then.
    ///
    /// # Death
    /// One atomic step: if the process is killed before it, the task is not done, and the item goes to another
    /// consumer.
    pub fn task_done(mut self) -> Result<T> {
        point(Operation::change("queue.task_done"), &self.ring.shared, always);
        let item = self.end();
        self.ring.finish_lease(&self.token).map(|()| item)
    }

    /// Returns the item to the queue, for any consumer. Dropping does the same and cannot fail.
    ///
    /// # Errors
    /// As [`task_done`](Self::task_done).
    pub fn nack(mut self) -> Result<()> {
        point(Operation::change("queue.nack"), &self.ring.shared, always);
        self.end();
        self.ring.return_lease(&self.token)
    }

    /// Returns the item. Its task is marked done later by
    /// [`JoinableQueue::task_done`](crate::JoinableQueue::task_done), oldest first.
    ///
    /// # Standard
    /// Python's `item = queue.get()`, `queue.task_done()`.
    pub fn into_item(mut self) -> T {
        self.unacked.lock().expect("nothing panics while it holds the lock").push_back(self.token);
        self.end()
    }
}

impl Lease<'_, InPlace> {
    /// Returns the bytes of the item.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.ring.bytes_of(self)
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
            if self.item.is_some() {
                // Otherwise it is a part of the get that could not read the item.
                point(Operation::change("queue.nack"), &self.ring.shared, always);
            }
            // A lost lease has nothing to return.
            let _ = self.ring.return_lease(&self.token);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lease = f.debug_struct("Lease");
        lease.field("item", &self.item).field("redelivered", &self.redelivered()).finish_non_exhaustive()
    }
}
