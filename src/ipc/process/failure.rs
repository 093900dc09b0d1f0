//! Why a worker failed, as data that it leaves to its parent.

use serde::{Deserialize, Serialize};

/// The phase in which a worker failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Before its role began: the program never called [`enter`](crate::enter), is of another version, or has no
    /// such role; or a handle could not be created.
    Startup,
    /// Its role returned an error.
    Error,
    /// Its role panicked.
    Panic,
}

/// Why a worker failed, as reported by the worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("worker {worker} {}: {message}{}", self.verb(), self.place())]
pub struct WorkerFailure {
    /// The worker's name.
    pub worker: String,
    /// The phase in which it failed.
    pub kind: FailureKind,
    /// The error with its causes, or the panic's message.
    pub message: String,
    /// File, line and column of a panic.
    pub location: Option<String>,
}

impl WorkerFailure {
    pub(crate) fn new(kind: FailureKind, message: String) -> Self {
        WorkerFailure { worker: String::new(), kind, message, location: None }
    }

    pub(crate) fn startup(message: String) -> Self {
        WorkerFailure::new(FailureKind::Startup, message)
    }

    fn verb(&self) -> &'static str {
        match self.kind {
            FailureKind::Startup => "could not start its role",
            FailureKind::Error => "failed",
            FailureKind::Panic => "panicked",
        }
    }

    fn place(&self) -> String {
        self.location.as_ref().map(|location| format!(" (at {location})")).unwrap_or_default()
    }
}
