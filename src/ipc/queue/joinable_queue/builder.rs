//! How a joinable queue is made.

use super::JoinableQueue;
use crate::ipc::error::Result;
use crate::ipc::queue::channel::{Both, Channel, rights_of};
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::shm_queue::QueueBuilder;
use crate::sys::atomic::Ordering::Relaxed;

/// How many items can be leased at once.
pub const MOST_LEASES: u32 = 1 << 16;
/// How many times an item comes back before it is a dead letter, if nothing else is said.
pub const DEFAULT_REDELIVERIES: u32 = 5;

/// What a joinable queue is made with.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct JoinableQueueBuilder {
    queue: QueueBuilder,
    on_death: OnConsumerDeath,
    max_redeliveries: Option<u32>,
}

impl JoinableQueueBuilder {
    /// At most so many items at once, not counting those that are leased.
    pub fn capacity(mut self, items: usize) -> Self {
        self.queue = self.queue.capacity(items);
        self
    }

    /// At most so many bytes at once; see [`QueueBuilder::byte_limit`]. Leased items keep their memory, so many large ones
    /// make producers wait too.
    pub fn byte_limit(mut self, bytes: u64) -> Self {
        self.queue = self.queue.byte_limit(bytes);
        self
    }

    /// What becomes of an item whose taker dies.
    pub fn on_consumer_death(mut self, policy: OnConsumerDeath) -> Self {
        self.on_death = policy;
        self
    }

    /// How many times an item may come back, by death or undone, before it is a dead letter: [`DEFAULT_REDELIVERIES`] if not
    /// set, at most 1023.
    pub fn max_redeliveries(mut self, times: u32) -> Self {
        self.max_redeliveries = Some(times);
        self
    }

    /// Makes the queue.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn build<T>(&self) -> Result<JoinableQueue<T>> {
        let channel = Channel::create(self.queue.plan(MOST_LEASES)?, rights_of::<Both>(), |state| {
            state.on_death.store(self.on_death.to_word(), Relaxed);
            state.max_redeliveries.store(self.max_redeliveries.unwrap_or(DEFAULT_REDELIVERIES), Relaxed);
        });
        channel.map(JoinableQueue::of)
    }
}
