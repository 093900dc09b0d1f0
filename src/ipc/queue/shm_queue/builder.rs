//! The builder of a queue.

use super::Queue;
use crate::ipc::error::Result;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::ring::{Plan, Ring};

/// Default limit for the bytes of items in a queue: 256 MiB. Memory is allocated only as needed; the queue
/// takes four times as much address space.
pub const DEFAULT_BYTE_LIMIT: u64 = 256 << 20;

/// Options of a new queue.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct QueueBuilder {
    capacity_items: Option<usize>,
    byte_limit: Option<u64>,
}

impl QueueBuilder {
    /// Limits the number of items; unlimited if not set or `usize::MAX`.
    pub fn capacity(mut self, items: usize) -> Self {
        self.capacity_items = Some(items);
        self
    }

    /// Limits the bytes of serialised items in the queue; [`DEFAULT_BYTE_LIMIT`] if not set. No item can be longer.
    ///
    /// An item of up to 128 bytes counts as 64 bytes, and so such items may have twice as many bytes together; one of more
    /// than 48 takes 192. Longer ones have a limit of their own, of the same size; each takes consecutive memory, so one
    /// may have to wait although as many bytes are free in several places. One of a batch takes 4 bytes more.
    pub fn byte_limit(mut self, bytes: u64) -> Self {
        self.byte_limit = Some(bytes);
        self
    }

    pub(crate) fn plan(&self, is_leasing: bool) -> Result<Plan> {
        let capacity = self.capacity_items.filter(|items| *items != usize::MAX).map(|items| items as u64);
        Plan::new(capacity, self.byte_limit.unwrap_or(DEFAULT_BYTE_LIMIT), is_leasing)
    }

    /// Creates the queue.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a capacity or limit of 0 or a limit above 1 TiB, and
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn build<T: ?Sized>(&self) -> Result<Queue<T>> {
        Ring::create(self.plan(false)?, Rights::BOTH, |_| {}).map(Queue::of)
    }
}
