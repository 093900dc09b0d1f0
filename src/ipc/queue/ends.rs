//! What every queue does, however it is made: the traits that let a program choose how at run time.
//!
//! A transport is one file: a type for each end, and an implementation of [`Transport`]. `timeout` is `None` to wait
//! without limit, and [`Duration::ZERO`] to try once. Both end traits can be made into objects.

use std::ops::Deref;
use std::time::Duration;

use super::put_error::PutError;
use crate::ipc::error::{Error, Result};

/// A way to make queues of `T`.
pub trait Transport<T> {
    /// The end of a process that puts.
    type Producer: PutEnd<T> + Clone;
    /// The end of a process that gets.
    type Consumer: GetEnd<T> + Clone;
    /// Whether an item can be got as soon as the put has returned. Otherwise it may be in transit.
    const ARRIVES_WITH_PUT: bool;

    /// Opens a queue of at most `capacity_items` items, or without a limit, and returns its two ends.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a capacity of 0 or beyond what the transport can count, and
    /// others if the queue cannot be made or reached.
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)>;
}

/// The end of a queue through which items of type `T` are put.
pub trait PutEnd<T>: Send + Sync {
    /// Puts an item, blocking for at most `timeout` while the queue is full.
    ///
    /// # Errors
    /// [`PutError::Full`] if there was no room in time; [`PutError::Failed`] if the item cannot be put, now or later,
    /// with [`Error::Closed`](crate::Error::Closed) after [`close`](Self::close) and
    /// [`Error::Disconnected`](crate::Error::Disconnected) if no consumer is left. Both return the item.
    fn put_within(&self, item: T, timeout: Option<Duration>) -> std::result::Result<(), PutError<T>>;

    /// Puts `items` in order, blocking for at most `timeout` in total. Returns the number of items put.
    ///
    /// # Errors
    /// As [`put_within`](Self::put_within), and only if no item was put: after a part, the next call returns the error.
    fn put_many_within(&self, items: &[T], timeout: Option<Duration>) -> Result<usize>;

    /// Closes this end. Items that were put stay.
    fn close(&self);

    /// Returns the maximum number of items; `None` if unlimited.
    fn capacity(&self) -> Option<usize>;

    /// Returns the number of items in the queue.
    ///
    /// # Errors
    /// That of the transport, if it cannot look.
    fn qsize(&self) -> Result<usize>;

    /// Returns whether the queue has no room for another item.
    fn is_full(&self) -> bool;

    /// Returns whether a consumer is left, or may still appear.
    fn has_consumers(&self) -> bool;

    /// Puts an item. Blocks while the queue is full.
    ///
    /// # Errors
    /// As [`put_within`](Self::put_within).
    fn put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_within(item, None)
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    /// As [`put_within`](Self::put_within).
    fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_within(item, Some(Duration::ZERO))
    }

    /// Puts all of `items`, in order. Blocks while the queue is full.
    ///
    /// # Errors
    /// As [`put_within`](Self::put_within). A part may have been put: [`put_many_within`](Self::put_many_within) returns
    /// the count.
    fn put_many(&self, items: &[T]) -> Result<()> {
        let mut put = 0;
        loop {
            put += self.put_many_within(&items[put..], None)?;
            if put == items.len() {
                return Ok(());
            }
        }
    }
}

/// A queue of tasks is put into as the queue that it dereferences to. Getting is different: it gives leases.
impl<T, Q: Deref<Target: PutEnd<T>> + Send + Sync> PutEnd<T> for Q {
    fn put_within(&self, item: T, timeout: Option<Duration>) -> std::result::Result<(), PutError<T>> {
        (**self).put_within(item, timeout)
    }

    fn put_many_within(&self, items: &[T], timeout: Option<Duration>) -> Result<usize> {
        (**self).put_many_within(items, timeout)
    }

    fn close(&self) {
        (**self).close();
    }

    fn capacity(&self) -> Option<usize> {
        (**self).capacity()
    }

    fn qsize(&self) -> Result<usize> {
        (**self).qsize()
    }

    fn is_full(&self) -> bool {
        (**self).is_full()
    }

    fn has_consumers(&self) -> bool {
        (**self).has_consumers()
    }
}

/// The end of a queue through which items of type `T` are got.
pub trait GetEnd<T>: Send + Sync {
    /// Removes and returns the oldest item, blocking for at most `timeout` while the queue is empty. Returns `None` on
    /// timeout.
    ///
    /// # Errors
    /// [`Error::Disconnected`](crate::Error::Disconnected) if the queue is empty and no producer is left;
    /// [`Error::Codec`](crate::Error::Codec) if the bytes are not a valid `T`: the item is lost.
    fn get_within(&self, timeout: Option<Duration>) -> Result<Option<T>>;

    /// Removes up to `most` items that are there, blocking for at most `timeout` while there is none. Returns a result
    /// for each item, and an empty vector on timeout.
    ///
    /// # Errors
    /// As [`get_within`](Self::get_within), except for errors of single items. No item was removed then.
    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<Result<T>>>;

    /// Returns the number of items in the queue.
    ///
    /// # Errors
    /// That of the transport, if it cannot look.
    fn qsize(&self) -> Result<usize>;

    /// Returns whether there is no item to get.
    fn is_empty(&self) -> bool;

    /// Returns whether a producer is left, or may still appear.
    fn has_producers(&self) -> bool;

    /// Removes and returns the oldest item. Blocks while the queue is empty.
    ///
    /// # Errors
    /// As [`get_within`](Self::get_within).
    fn get(&self) -> Result<T> {
        Ok(self.get_within(None)?.expect("a wait without end ends with an item or an error"))
    }

    /// Removes and returns the oldest item if there is one.
    ///
    /// # Errors
    /// As [`get_within`](Self::get_within).
    fn try_get(&self) -> Result<Option<T>> {
        self.get_within(Some(Duration::ZERO))
    }

    /// Removes up to `most` items that are there. Blocks while there is none.
    ///
    /// # Errors
    /// As [`get_many_within`](Self::get_many_within).
    fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.get_many_within(most, None)
    }
}

/// Calls `get` for each item, and ends when no more can arrive.
pub(super) fn until_disconnected<R>(mut get: impl FnMut() -> Result<R>) -> impl Iterator<Item = Result<R>> {
    std::iter::from_fn(move || match get() {
        Err(Error::Disconnected) => None,
        outcome => Some(outcome),
    })
}
