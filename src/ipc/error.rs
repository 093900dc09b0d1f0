//! What can go wrong between processes, one variant for each thing that a caller may handle differently.
//!
//! An expected outcome is a value and not an error: a lock that is not free in time is `Ok(None)`.

use std::io;

use super::manager;
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
    /// An object of a manager refused a call; nothing was done.
    #[error("{doing} failed")]
    Managed {
        /// The method and the object.
        doing: String,
        /// The object's reason.
        #[source]
        source: manager::Failure,
    },
    /// A reference to an object of one manager was sent to another, or to the same over another connection.
    #[error("a reference is good only at the manager, and over the connection, that it came from")]
    ForeignReference,
    /// The manager's process ended, or the connection to it broke. What was under way may have been done or not.
    #[error("the manager is gone, and {doing} has no answer")]
    ManagerGone {
        /// The method and the object.
        doing: String,
    },
    /// The manager lives but does not answer. The connection was ended, and with it all that was held over it.
    #[error("the manager does not answer, and {doing} was given up")]
    ManagerSilent {
        /// The method and the object.
        doing: String,
    },
    /// Nobody can be reached where a manager should be.
    #[error("cannot reach a manager at {address}")]
    Unreachable {
        /// Where.
        address: manager::Address,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The greeting between a manager and its client came to nothing.
    #[error(transparent)]
    Unwelcome(#[from] manager::Unwelcome),
    /// A key without a single byte would let everybody in.
    #[error(transparent)]
    EmptyKey(#[from] manager::EmptyKey),
    /// Nobody is left at the other end.
    #[error("nobody is left at the other end")]
    Disconnected,
}

/// Names the action of an I/O error.
pub(crate) fn os(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Os { action, source }
}

impl Error {
    /// A manager's connection is at its end; what was under way is said one floor up, by [`during`](Self::during).
    pub(crate) fn manager_gone() -> Error {
        Error::ManagerGone { doing: "talking to it".to_owned() }
    }

    pub(crate) fn manager_silent() -> Error {
        Error::ManagerSilent { doing: "talking to it".to_owned() }
    }

    /// Says what a manager has no answer to.
    pub(crate) fn during(self, doing: impl FnOnce() -> String) -> Error {
        match self {
            Error::ManagerGone { .. } => Error::ManagerGone { doing: doing() },
            Error::ManagerSilent { .. } => Error::ManagerSilent { doing: doing() },
            other => other,
        }
    }
}
