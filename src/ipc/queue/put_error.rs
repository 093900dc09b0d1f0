//! The error of a put. It always returns the item.

use std::fmt;

use crate::ipc::error::{Error, Result};

/// Why an item was not put into a queue. It holds the item; `?` turns it into an [`Error`] without it.
#[derive(thiserror::Error)]
pub enum PutError<T> {
    /// The queue was full until the timeout.
    #[error("the queue is full")]
    Full(T),
    /// The item cannot be put, now or later.
    #[error("cannot put an item")]
    Failed(T, #[source] Error),
}

impl<T> PutError<T> {
    /// Returns the item.
    pub fn into_item(self) -> T {
        match self {
            PutError::Full(item) | PutError::Failed(item, _) => item,
        }
    }

    /// Returns the item in the error if it was not put.
    #[inline]
    pub(crate) fn unless_put(item: T, outcome: Result<()>) -> std::result::Result<(), Self> {
        match outcome {
            Ok(()) => Ok(()),
            Err(Error::Full) => Err(PutError::Full(item)),
            Err(error) => Err(PutError::Failed(item, error)),
        }
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full(_) => f.write_str("Full"),
            PutError::Failed(_, error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<T> From<PutError<T>> for Error {
    fn from(error: PutError<T>) -> Self {
        match error {
            PutError::Full(_) => Error::Full,
            PutError::Failed(_, error) => error,
        }
    }
}
