//! Why an item was not put. It comes back, whatever the reason.

use std::fmt;

use super::error::Error;

/// Why a queue did not take an item; the item comes back.
#[non_exhaustive]
pub enum PutError<T> {
    /// There was no room, or none in time.
    Full(T),
    /// This process has closed the queue.
    Closed(T),
    /// There was no room, and nobody is left who could make some.
    Disconnected(T),
    /// The item cannot be put, or the queue cannot be used.
    Failed {
        /// What was to be put.
        item: T,
        /// Why not.
        source: Error,
    },
}

impl<T> PutError<T> {
    /// The item that was not put.
    pub fn into_item(self) -> T {
        match self {
            PutError::Full(item) | PutError::Closed(item) | PutError::Disconnected(item) => item,
            PutError::Failed { item, .. } => item,
        }
    }
}

impl<T> fmt::Display for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PutError::Full(_) => "the queue is full",
            PutError::Closed(_) => "this process has closed the queue",
            PutError::Disconnected(_) => "the queue is full and nobody is left to take from it",
            PutError::Failed { .. } => "cannot put the item",
        })
    }
}

impl<T> fmt::Debug for PutError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PutError::Full(_) => f.write_str("Full(..)"),
            PutError::Closed(_) => f.write_str("Closed(..)"),
            PutError::Disconnected(_) => f.write_str("Disconnected(..)"),
            PutError::Failed { source, .. } => f.debug_struct("Failed").field("source", source).finish_non_exhaustive(),
        }
    }
}

impl<T> std::error::Error for PutError<T> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            PutError::Failed { source, .. } => Some(source),
            _ => None,
        }
    }
}
