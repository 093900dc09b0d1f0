//! An item taken from a [`JoinableQueue`](crate::ipc::JoinableQueue), and the duty to finish it.

use std::fmt;
use std::ops::{Deref, DerefMut};

use super::leasing::LeaseToken;
use super::unacked::UnackedLeases;
use crate::ipc::error::Result;
use crate::sys::fork::forked_from;

/// An item on lease: it is the taker's until [`task_done`](Self::task_done), and somebody else's if the taker dies before.
///
/// Dropping it without `task_done`, as a panic does, gives the item back: another consumer gets it, or the same, until the
/// limit of redeliveries makes it a dead letter.
#[must_use = "dropping a lease gives the item back"]
pub struct Lease<'q, T> {
    /// `None` until it was read, and when the lease has ended.
    item: Option<T>,
    has_ended: bool,
    token: LeaseToken,
    unacked: &'q UnackedLeases,
}

impl<'q, T> Lease<'q, T> {
    /// A lease whose item is to be read next. Dropped before, the item is given back.
    pub(crate) fn unread(token: LeaseToken, unacked: &'q UnackedLeases) -> Self {
        Lease { item: None, has_ended: false, token, unacked }
    }

    /// This lease with its item. If reading it fails or panics the item is given back.
    pub(crate) fn with_item(mut self, read: impl FnOnce(&LeaseToken) -> Result<T>) -> Result<Self> {
        self.item = Some(read(&self.token)?);
        Ok(self)
    }

    fn end(&mut self) -> T {
        self.has_ended = true;
        self.item.take().expect("there until the lease ends")
    }

    /// How many times the item was taken before and came back.
    pub fn redelivered(&self) -> u32 {
        self.token.redelivered()
    }

    /// Number of the item, counted from 0 in the order of the puts.
    pub fn number(&self) -> u64 {
        self.token.item
    }

    /// Ends the lease: the task is done, and the item is given.
    ///
    /// # Errors
    /// [`Error::LeaseLost`](crate::ipc::Error::LeaseLost) if the lease has ended already; somebody else has the item then.
    ///
    /// # Death
    /// One atomic step: a process killed before it has not done the task, and the item goes to another consumer.
    pub fn task_done(mut self) -> Result<T> {
        let item = self.end();
        self.unacked.leasing().done(&self.token).map(|()| item)
    }

    /// Gives the item back, for another consumer or the same. Dropping does the same and cannot fail.
    ///
    /// # Errors
    /// As [`task_done`](Self::task_done).
    pub fn nack(mut self) -> Result<()> {
        self.end();
        self.unacked.leasing().nack(&self.token)
    }

    /// The item, whose task is then reported by [`JoinableQueue::task_done`](crate::ipc::JoinableQueue::task_done), oldest first.
    ///
    /// # Standard
    /// Python's `item = queue.get()`, `queue.task_done()`.
    pub fn into_item(mut self) -> T {
        self.unacked.push(self.token);
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
            // A lost lease has nothing to give back.
            let _ = self.unacked.leasing().nack(&self.token);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Lease<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lease = f.debug_struct("Lease");
        lease.field("item", &self.item).field("redelivered", &self.redelivered()).finish_non_exhaustive()
    }
}
