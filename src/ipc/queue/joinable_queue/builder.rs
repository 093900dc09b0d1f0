//! The builder of a joinable queue.

use super::JoinableQueue;
use crate::ipc::error::Result;
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::ring::Ring;
use crate::ipc::queue::shm_queue::QueueBuilder;
use crate::sys::atomic::Ordering::Relaxed;

/// Default number of times an item is returned before it becomes a dead letter.
pub const DEFAULT_REDELIVERIES: u32 = 5;

/// Options of a new joinable queue.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct JoinableQueueBuilder {
    queue: QueueBuilder,
    on_death: OnConsumerDeath,
    max_redeliveries: Option<u32>,
}

impl JoinableQueueBuilder {
    /// Limits the number of items, not counting leased ones.
    pub fn capacity(mut self, items: usize) -> Self {
        self.queue = self.queue.capacity(items);
        self
    }

    /// Limits the bytes in the queue; see [`QueueBuilder::byte_limit`]. Leased items keep their memory, so many large
    /// ones block producers too.
    pub fn byte_limit(mut self, bytes: u64) -> Self {
        self.queue = self.queue.byte_limit(bytes);
        self
    }

    /// Sets what happens to an item whose consumer dies.
    pub fn on_consumer_death(mut self, policy: OnConsumerDeath) -> Self {
        self.on_death = policy;
        self
    }

    /// Sets how many times an item may be returned, by death or undone, before it becomes a dead letter:
    /// [`DEFAULT_REDELIVERIES`] if not set, at most 1023.
    pub fn max_redeliveries(mut self, times: u32) -> Self {
        self.max_redeliveries = Some(times);
        self
    }

    /// Creates the queue.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn build<T: ?Sized>(&self) -> Result<JoinableQueue<T>> {
        let ring = Ring::create(self.queue.plan(true)?, Rights::BOTH, |state| {
            state.on_death.store(self.on_death.to_word(), Relaxed);
            state.max_redeliveries.store(self.max_redeliveries.unwrap_or(DEFAULT_REDELIVERIES), Relaxed);
        });
        ring.map(JoinableQueue::of)
    }
}
