//! The builder of a queue on a server.

use super::Queue;
use super::handle::Handle;
use super::member::Member;
use super::server::Server;
use crate::ipc::error::{Result, check_range};
use crate::ipc::queue::joinable_queue::DEFAULT_REDELIVERIES;
use crate::ipc::queue::leasing::OnConsumerDeath;
use crate::ipc::queue::participants::Rights;
use crate::ipc::queue::shm_queue::DEFAULT_BYTE_LIMIT;

/// The longest item that a server takes (`proto-max-bulk-len`).
const LONGEST_ITEM: u64 = 512 << 20;

/// What a queue is made with.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// `None`: a random name, and the queue is deleted with its last member.
    pub(super) name: Option<String>,
    pub(super) has_tasks: bool,
    pub(super) capacity: Option<u64>,
    pub(super) byte_limit: u64,
    pub(super) on_death: OnConsumerDeath,
    pub(super) max_redeliveries: u32,
}

/// Options of a queue on a server.
#[derive(Debug, Clone)]
#[must_use]
pub struct QueueBuilder {
    pub(super) server: Server,
    pub(super) plan: Plan,
}

impl QueueBuilder {
    pub(super) fn new(server: &Server) -> Self {
        let plan = Plan {
            name: None,
            has_tasks: false,
            capacity: None,
            byte_limit: DEFAULT_BYTE_LIMIT,
            on_death: OnConsumerDeath::Requeue,
            max_redeliveries: DEFAULT_REDELIVERIES,
        };
        QueueBuilder { server: server.clone(), plan }
    }

    /// Names the queue, so that other processes can open it. The first process creates it with its options; the options of
    /// later ones are ignored. It is kept until it is [deleted](super::delete). Without a name, the queue is deleted with
    /// the last process that uses it.
    ///
    /// Until the first producer and the first consumer have come, `get` and `put` do not fail with
    /// [`Error::Disconnected`](crate::Error::Disconnected): `get` blocks, and `put` blocks only while the queue is full.
    /// When the last process has left, only the items remain. If there are none, the queue waits for the first producer
    /// again; if there are some, a consumer gets them and then [`Error::Disconnected`](crate::Error::Disconnected), unless a
    /// producer has come meanwhile.
    pub fn name(mut self, name: &str) -> Self {
        self.plan.name = Some(name.to_owned());
        self
    }

    /// Limits the number of items; unlimited if not set or `usize::MAX`.
    pub fn capacity(mut self, items: usize) -> Self {
        self.plan.capacity = (items != usize::MAX).then_some(items as u64);
        self
    }

    /// Limits the bytes of serialised items in the queue, leased ones included;
    /// [`DEFAULT_BYTE_LIMIT`](crate::queue::DEFAULT_BYTE_LIMIT) if not set. No item can be longer.
    pub fn byte_limit(mut self, bytes: u64) -> Self {
        self.plan.byte_limit = bytes;
        self
    }

    /// Creates the queue, or joins the one of that name.
    ///
    /// # Errors
    /// [`Error::OutOfRange`](crate::Error::OutOfRange) for a capacity or a limit of 0, or a limit above 512 MiB, and
    /// [`Error::Redis`](crate::Error::Redis).
    pub fn build<T>(&self) -> Result<Queue<T>> {
        self.open(Rights::BOTH).map(Queue::of)
    }

    /// As [`build`](Self::build), but the handle only puts: nobody waits in vain for this process to get.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_producer<T>(&self) -> Result<super::Producer<T>> {
        self.open(Rights::PUT).map(Queue::of)
    }

    /// As [`build`](Self::build), but the handle only gets.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_consumer<T>(&self) -> Result<super::Consumer<T>> {
        self.open(Rights::GET).map(Queue::of)
    }

    /// As [`build`](Self::build), with these rights: others of the handle are as if closed.
    #[cfg_attr(not(feature = "cli"), expect(dead_code, reason = "a side is chosen at run time only by the program"))]
    pub(crate) fn build_for<T>(&self, puts: bool, gets: bool) -> Result<Queue<T>> {
        self.open(Rights::of(puts, gets)).map(Queue::of)
    }

    pub(super) fn open(&self, rights: Rights) -> Result<Handle> {
        check_range("the capacity of a queue", self.plan.capacity.unwrap_or(1), 1..=i64::MAX as u64)?;
        check_range("the byte limit of a queue", self.plan.byte_limit, 1..=LONGEST_ITEM)?;
        Handle::new(&Member::open(&self.server, &self.plan)?, rights)
    }
}
