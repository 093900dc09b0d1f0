//! What can go wrong between processes, one variant for each thing that a caller may handle differently.
//!
//! An expected outcome is a value and not an error: a lock that is not free in time is `Ok(None)`.

use std::io;

use super::process::WorkerFailure;

/// The result of an operation between processes.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation between processes failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a call.
    #[error("cannot {action}")]
    Os {
        /// What was tried.
        action: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A worker could not be started; nothing of it runs.
    #[error("cannot start worker {worker}")]
    Start {
        /// The worker's name.
        worker: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A worker ended in another way than by returning from its role.
    #[error(transparent)]
    Worker(#[from] WorkerFailure),
    /// The thread that asked for a lock holds it already and would wait for itself for ever.
    #[error("this thread already holds the lock and would wait for itself")]
    WouldDeadlock,
    /// A slot names nothing that this worker was given.
    #[error("slot {slot} names nothing that this worker was given (it got {given})")]
    NoSuchSlot {
        /// The slot's index.
        slot: u32,
        /// How many slots the worker got.
        given: usize,
    },
    /// A slot was taken twice.
    #[error("slot {slot} was taken before")]
    SlotTaken {
        /// The slot's index.
        slot: u32,
    },
    /// A slot holds another kind of handle.
    #[error("slot {slot} holds a {held}, not a {wanted}")]
    WrongKind {
        /// The slot's index.
        slot: u32,
        /// The kind of the handle in it.
        held: String,
        /// The kind that was asked for.
        wanted: &'static str,
    },
    /// There are as many processes as one family can have.
    #[error("a family has at most {limit} processes at once")]
    FamilyFull {
        /// The limit.
        limit: usize,
    },
    /// A message is longer than its channel takes.
    #[error("a message of {bytes} bytes is longer than the {limit} that this channel takes")]
    TooLong {
        /// Length of the message.
        bytes: usize,
        /// The longest possible.
        limit: usize,
    },
    /// A value has no serialised form, or bytes are not the form of the value asked for.
    #[error("cannot {action}")]
    Codec {
        /// What was tried.
        action: &'static str,
        /// The format's reason.
        #[source]
        source: postcard::Error,
    },
    /// A number is not one that the object can be made with.
    #[error("{what} of {value} is out of range ({lowest} to {highest})")]
    OutOfRange {
        /// What the number is for.
        what: &'static str,
        /// The number.
        value: u64,
        /// The lowest possible.
        lowest: u64,
        /// The highest possible.
        highest: u64,
    },
    /// Shared memory holds what this library does not write: somebody else wrote into it.
    #[error("the shared memory of a {object} is damaged")]
    Damaged {
        /// What lies in it.
        object: &'static str,
    },
    /// This handle was closed.
    #[error("this handle is closed")]
    Closed,
    /// The queue was full as long as the caller was willing to wait.
    #[error("the queue is full")]
    Full,
    /// As many items are leased as can be at once.
    #[error("{limit} items are leased at once already")]
    TooManyLeases {
        /// The limit.
        limit: u32,
    },
    /// A task was reported done for which no item was taken.
    #[error("task_done was called more often than items were taken")]
    TaskDoneTooOften,
    /// The lease on an item has ended: the item was given back or taken over.
    #[error("the lease on item {item} is lost: somebody else has it now")]
    LeaseLost {
        /// Number of the item, counted from 0 in the order of the puts.
        item: u64,
    },
    /// Tasks are unfinished and nobody is left who could finish them.
    #[error("{unfinished} tasks are unfinished and no consumer is left")]
    NoConsumers {
        /// How many.
        unfinished: u64,
    },
    /// A consumer died with an item, and the queue was made to fail then.
    #[error("process {pid} died with item {item}")]
    ConsumerDied {
        /// The consumer's process id.
        pid: u32,
        /// Number of the item, counted from 0 in the order of the puts.
        item: u64,
    },
    /// Nobody is left at the other end.
    #[error("nobody is left at the other end")]
    Disconnected,
}

/// Names the action of an I/O error.
pub(crate) fn os(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Os { action, source }
}
