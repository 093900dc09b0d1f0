//! Operations on many items. A pipe has no batches: items are put and got one by one.
//!
//! # Death
//! As for each item by itself: a batch is not atomic, and a process killed midway has put or got part of it.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::PipeQueue;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::pipe::connection::decode;
use crate::ipc::queue::item::Item;

impl<T: Item> PipeQueue<T> {
    /// Puts all of `items`, one by one: other producers' items may come between them. An empty slice does nothing.
    ///
    /// # Errors
    /// As [`put`](Self::put). The items before the failed one are put.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        items.iter().try_for_each(|item| self.send(item, Deadline::NEVER))
    }

    /// Puts as many of `items` as there is room for within `timeout`, in order; returns the count. It is also lower if
    /// an item cannot be put.
    ///
    /// # Errors
    /// As [`put`](Self::put), and only if no item was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        self.put_some(items, Deadline::after(timeout))
    }

    pub(super) fn put_some(&self, items: &[T], deadline: Deadline) -> Result<usize> {
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
}

impl<T: DeserializeOwned> PipeQueue<T> {
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
    /// vector on timeout.
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
        std::iter::from_fn(|| match self.get() {
            Err(Error::Disconnected) => None,
            outcome => Some(outcome),
        })
    }

    pub(super) fn take_many(&self, most: usize, deadline: Deadline) -> Result<Vec<Result<T>>> {
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
}
