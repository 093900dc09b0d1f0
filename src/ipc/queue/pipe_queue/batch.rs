//! Many items in one call. A pipe knows no batches: they go and come one by one.
//!
//! # Death
//! As for each item by itself: a batch is no unit, and whoever is killed in the middle has put or got a part of it.

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
    /// As [`put`](Self::put). Those before the one that failed are put.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        items.iter().try_for_each(|item| self.send(item, Deadline::NEVER))
    }

    /// Puts as many of `items` as there is room for within `timeout`, in order; returns the count. It is lower also if an
    /// item cannot be put.
    ///
    /// # Errors
    /// As [`put`](Self::put), and only if none was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        let deadline = Deadline::after(timeout);
        for (put, item) in items.iter().enumerate() {
            match self.send(item, deadline) {
                Ok(()) => {}
                // The next call meets the obstacle again.
                Err(error) if put == 0 && !matches!(error, Error::Full) => return Err(error),
                Err(_) => return Ok(put),
            }
        }
        Ok(items.len())
    }
}

impl<T: DeserializeOwned> PipeQueue<T> {
    /// Takes what is in the pipe, at most `most` items, one by one, waiting as long as there is nothing.
    ///
    /// What is still in a producer's buffer is not there yet. Returns a result for each item: one that is no `T` is
    /// [`Error::Codec`] in its place, and the others are there.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for single items. Nothing was taken then.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.take_many(most, Deadline::NEVER)
    }

    /// Takes what is in the pipe, at most `most` items, waiting at most `timeout` while there is nothing. Empty if it passed.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>> {
        self.take_many(most, Deadline::after(timeout))
    }

    /// Takes everything that is in the pipe now, one by one, and iterates over it.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many), but an empty queue is an empty iterator.
    pub fn drain(&self) -> Result<std::vec::IntoIter<Result<T>>> {
        match self.take_many(usize::MAX, Deadline::after(Duration::ZERO)) {
            Err(Error::Disconnected) => Ok(Vec::new().into_iter()),
            outcome => outcome.map(Vec::into_iter),
        }
    }

    /// Takes items one by one, waiting for each, until nobody else is left who could put.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        std::iter::from_fn(|| match self.get() {
            Err(Error::Disconnected) => None,
            outcome => Some(outcome),
        })
    }

    fn take_many(&self, most: usize, deadline: Deadline) -> Result<Vec<Result<T>>> {
        let mut items = Vec::new();
        if most == 0 {
            return Ok(items);
        }
        items.extend(self.receive(deadline)?.map(|message| decode(&message)));
        while !items.is_empty() && items.len() < most {
            // An error would take those that are here with it; the next call meets it again.
            let Ok(Some(message)) = self.receive(Deadline::after(Duration::ZERO)) else { break };
            items.push(decode(&message));
        }
        Ok(items)
    }
}
