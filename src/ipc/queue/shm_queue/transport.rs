//! Queues in shared memory as a [`Transport`].

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::{Consumer, Producer, Queue};
use crate::ipc::error::Result;
use crate::ipc::queue::access::{Gets, Puts};
use crate::ipc::queue::ends::{GetEnd, PutEnd, Transport};
use crate::ipc::queue::item::Item;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::put_error::PutError;
use crate::ipc::queue::ring::Waiting;

/// Queues in shared memory: [`Queue`].
#[derive(Debug, Clone, Copy)]
pub struct SharedMemory;

impl<T: Item> Transport<T> for SharedMemory {
    type Producer = Producer<T>;
    type Consumer = Consumer<T>;
    const ARRIVES_WITH_PUT: bool = true;

    fn open(&self, capacity_items: Option<usize>) -> Result<(Producer<T>, Consumer<T>)> {
        let queue = Queue::bounded(capacity_items.unwrap_or(usize::MAX))?;
        Ok((queue.producer(), queue.consumer()))
    }
}

impl<T: Item, A: Puts> PutEnd<T> for Queue<T, A> {
    #[inline]
    fn put_within(&self, item: T, timeout: Option<Duration>) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::within(timeout))
    }

    fn put_many_within(&self, items: &[T], timeout: Option<Duration>) -> Result<usize> {
        self.put_some(items, Waiting::within(timeout))
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
        self.ring.is_right_left(Rights::GET)
    }
}

impl<T: DeserializeOwned, A: Gets> GetEnd<T> for Queue<T, A> {
    #[inline]
    fn get_within(&self, timeout: Option<Duration>) -> Result<Option<T>> {
        self.take(Waiting::within(timeout))
    }

    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<Result<T>>> {
        self.take_many(most, Waiting::within(timeout))
    }

    fn qsize(&self) -> Result<usize> {
        Ok(self.qsize())
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }

    fn has_producers(&self) -> bool {
        self.ring.is_right_left(Rights::PUT)
    }
}
