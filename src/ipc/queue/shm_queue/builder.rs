//! How a queue is made.

use super::Queue;
use crate::ipc::error::Result;
use crate::ipc::queue::channel::{Both, Channel, rights_of};
use crate::ipc::queue::ring::Plan;

/// How many bytes of items a queue holds if nothing else is said: 256 MiB. They are address space; memory is taken only as
/// it is needed.
pub const DEFAULT_BYTE_LIMIT: u64 = 256 << 20;

/// What a queue is made with.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct QueueBuilder {
    capacity_items: Option<usize>,
    byte_limit: Option<u64>,
}

impl QueueBuilder {
    /// At most so many items at once; any number if not set or `usize::MAX`.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity_items = Some(items);
        self
    }

    /// At most so many bytes of serialised items at once; [`DEFAULT_BYTE_LIMIT`] if not set. No item can be longer.
    pub fn byte_limit(mut self, bytes: u64) -> Self {
        self.byte_limit = Some(bytes);
        self
    }

    pub(crate) fn plan(&self, leases: u32) -> Result<Plan> {
        let capacity = self.capacity_items.filter(|items| *items != usize::MAX).map(|items| items as u64);
        Plan::new(capacity, self.byte_limit.unwrap_or(DEFAULT_BYTE_LIMIT), leases)
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a capacity or limit of 0 or a limit above 1 TiB, and [`Error::Os`](crate::Error::Os) if there is no memory or
    /// no descriptor for it.
    pub fn build<T>(&self) -> Result<Queue<T>> {
        Channel::create(self.plan(0)?, rights_of::<Both>(), |_| {}).map(Queue::of)
    }
}
