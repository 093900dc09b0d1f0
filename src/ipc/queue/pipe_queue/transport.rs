//! Queues on a pipe as a [`Transport`].

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::PipeQueue;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::ipc::queue::ends::{GetEnd, PutEnd, Transport};
use crate::ipc::queue::item::Item;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::put_error::PutError;

/// Queues on a pipe: [`PipeQueue`]. Each of the two ends is a participant that may put and get.
#[derive(Debug, Clone, Copy)]
pub struct Pipe;

impl<T: Item> Transport<T> for Pipe {
    type Producer = PipeQueue<T>;
    type Consumer = PipeQueue<T>;
    const ARRIVES_WITH_PUT: bool = false;

    fn open(&self, capacity_items: Option<usize>) -> Result<(PipeQueue<T>, PipeQueue<T>)> {
        let queue = PipeQueue::bounded(capacity_items.unwrap_or(usize::MAX))?;
        Ok((queue.clone(), queue))
    }
}

impl<T: Item> PutEnd<T> for PipeQueue<T> {
    fn put_within(&self, item: T, timeout: Option<Duration>) -> std::result::Result<(), PutError<T>> {
        self.put_until(item, Deadline::within(timeout))
    }

    fn put_many_within(&self, items: &[T], timeout: Option<Duration>) -> Result<usize> {
        self.put_some(items, Deadline::within(timeout))
    }

    fn close(&self) {
        self.close();
    }

    fn capacity(&self) -> Option<usize> {
        self.capacity()
    }

    fn qsize(&self) -> Result<usize> {
        Ok(self.qsize())
    }

    fn is_full(&self) -> bool {
        self.is_full()
    }

    fn has_consumers(&self) -> bool {
        self.parts.participant.is_connected(Rights::GET)
    }
}

impl<T: DeserializeOwned> GetEnd<T> for PipeQueue<T> {
    fn get_within(&self, timeout: Option<Duration>) -> Result<Option<T>> {
        self.get_until(Deadline::within(timeout))
    }

    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<Result<T>>> {
        self.take_many(most, Deadline::within(timeout))
    }

    fn qsize(&self) -> Result<usize> {
        Ok(self.qsize())
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn has_producers(&self) -> bool {
        self.parts.participant.is_connected(Rights::PUT)
    }
}
