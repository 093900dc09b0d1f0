//! The errors of a manager and its objects.

use std::io;

use super::address::Address;
use super::store::Failure;
use super::wire::HandshakeError;

/// Why an operation on a manager failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManagerError {
    /// An object refused a call; nothing was done.
    #[error("{doing} failed")]
    Managed {
        /// The method and the object.
        doing: String,
        /// The object's reason.
        #[source]
        source: Box<Failure>,
    },
    /// A reference to an object of one manager was sent to another, or to the same over another connection.
    #[error("a reference is valid only for the manager and the connection that it came from")]
    ForeignReference,
    /// The manager's process ended, or the connection to it broke. A pending call may or may not have been performed.
    #[error("the manager exited before it answered {doing}")]
    Gone {
        /// The method and the object.
        doing: String,
    },
    /// The manager is running but does not answer. The connection was closed, which released everything held over it.
    #[error("the manager does not answer: gave up on {doing}")]
    Silent {
        /// The method and the object.
        doing: String,
    },
    /// No manager can be reached at the address.
    #[error("cannot reach a manager at {address}")]
    Unreachable {
        /// The address.
        address: Address,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// The handshake between a manager and its client failed.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl ManagerError {
    /// The connection has ended. [`during`](Self::during) adds the pending call.
    pub(super) fn gone() -> Self {
        ManagerError::Gone { doing: "the handshake".to_owned() }
    }

    /// The manager does not answer. [`during`](Self::during) adds the pending call.
    pub(super) fn silent() -> Self {
        ManagerError::Silent { doing: "the handshake".to_owned() }
    }

    pub(super) fn managed(doing: impl Into<String>, failure: Failure) -> Self {
        ManagerError::Managed { doing: doing.into(), source: Box::new(failure) }
    }

    /// Sets the name of the unanswered call.
    pub(crate) fn during(self, doing: impl FnOnce() -> String) -> Self {
        match self {
            ManagerError::Gone { .. } => ManagerError::Gone { doing: doing() },
            ManagerError::Silent { .. } => ManagerError::Silent { doing: doing() },
            other => other,
        }
    }
}
