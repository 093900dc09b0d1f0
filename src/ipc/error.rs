//! What can go wrong between processes, one variant for each thing that a caller may handle differently.
//!
//! An expected outcome is a value and not an error: a lock that is not free in time is `Ok(None)`.

use std::io;

use super::breach::Breach;
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
    /// A condition was used with a guard of another lock than before.
    #[error("the condition is used with another lock")]
    WrongLock,
    /// More wait than there are places for.
    #[error("at most {limit} can wait at once")]
    TooManyWaiters {
        /// The most that can.
        limit: usize,
    },
    /// A barrier is broken, or broke while this party waited.
    #[error("the barrier is broken: {0}")]
    BrokenBarrier(Breach),
    /// More processes were given a shared object than it can count on.
    #[error("at most {limit} processes can be given this")]
    TooManyMembers {
        /// The most that can.
        limit: usize,
    },
    /// A value without a lock has none to take.
    #[error("this was made without a lock")]
    NoLock,
    /// An index that an array does not have.
    #[error("index {index} lies outside of an array of {len}")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// How many numbers the array has.
        len: usize,
    },
    /// A slice was set to another number of numbers than it has.
    #[error("a slice of {expected} cannot be set to {given} numbers")]
    LengthMismatch {
        /// Length of the slice.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A number that a shared object cannot be made with.
    #[error("{what} must lie between {least} and {most}, and {given} does not")]
    OutOfRange {
        /// What the number is.
        what: &'static str,
        /// The number.
        given: u64,
        /// The smallest that works.
        least: u64,
        /// The largest that works.
        most: u64,
    },
    /// A semaphore has as many free permits as it can have.
    #[error("the semaphore has {limit} free permits already, the most that it can have")]
    ReleasedTooOften {
        /// The most free permits.
        limit: u32,
    },
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
    /// Nobody is left at the other end.
    #[error("nobody is left at the other end")]
    Disconnected,
}

/// Names the action of an I/O error.
pub(crate) fn os(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Os { action, source }
}
