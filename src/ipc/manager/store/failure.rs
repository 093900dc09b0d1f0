//! Why an object refused a call: the counterpart of the exceptions of Python's methods.

use serde::{Deserialize, Serialize};

use super::method::Method;
use crate::ipc::manager::data::{Beyond64Bits, DEPTH_LIMIT, Key, Kind, NotComparable, Unhashable};
use crate::ipc::sync::BreakCause;

/// Why an object of a manager refused a call, which then had no effect.
///
/// Messages that Python programs look for are the same as Python's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the message of each says what it is")]
pub enum Failure {
    #[error("no such object: it was removed, or this client has no reference to it")]
    NoSuchObject,
    #[error("{kind} has no method {method}")]
    NoSuchMethod { kind: Kind, method: Method },
    #[error("no object named {name:?}")]
    NoSuchName { name: String },
    #[error("{name:?} is the name of another type of object: {kind}")]
    NameTaken { name: String, kind: Kind },
    #[error("the object is of type {is}, not {wanted}")]
    WrongKind { is: Kind, wanted: Kind },
    #[error("the handle was already taken, or its owner has exited")]
    NoSuchTransfer,
    #[error("{what} expected, {got} given")]
    BadArgument { what: String, got: String },
    #[error("{called} takes {}, and {given} {} given", takes_or_none(.takes), if *.given == 1 { "was" } else { "were" })]
    ArgumentCount { called: String, takes: String, given: usize },
    #[error("no such key: {0}")]
    NoSuchKey(String),
    #[error("no such attribute: {0}")]
    NoSuchAttribute(String),
    #[error("index out of range")]
    IndexOutOfRange,
    #[error("no such item in the list")]
    NotInList,
    #[error("{0} is empty")]
    Empty(Kind),
    #[error(transparent)]
    Unhashable(#[from] Unhashable),
    #[error(transparent)]
    NotComparable(#[from] NotComparable),
    #[error(transparent)]
    Beyond64Bits(#[from] Beyond64Bits),
    #[error("{value} does not fit an element of type '{typecode}'")]
    OutOfRange { value: String, typecode: char },
    #[error("cannot assign {got} elements to a slice of {expected}")]
    SliceLength { expected: usize, got: usize },
    #[error("there is no memory for {bytes} bytes")]
    OutOfMemory { bytes: usize },
    #[error("data is nested more than {DEPTH_LIMIT} levels deep")]
    TooDeep,
    #[error("release unlocked lock")]
    ReleaseUnlocked,
    #[error("cannot release un-acquired lock")]
    ReleaseUnacquired,
    #[error("Semaphore released too many times")]
    ReleasedTooOften,
    #[error("cannot wait on un-acquired lock")]
    WaitUnacquired,
    #[error("cannot notify on un-acquired lock")]
    NotifyUnacquired,
    #[error("the barrier is broken: {0}")]
    BrokenBarrier(BreakCause),
    #[error("the queue is shut down")]
    ShutDown,
    #[error("task_done() called too many times")]
    TooManyTasksDone,
    #[error("the lease on this item has ended: another has it")]
    LeaseLost,
    #[error("too many calls of this client wait: at most {limit} can")]
    TooManyWaiting { limit: usize },
    #[error("the answer is too long: {bytes} bytes, and at most {limit} can be sent")]
    AnswerTooLong { bytes: usize, limit: usize },
}

fn takes_or_none(takes: &str) -> &str {
    if takes.is_empty() { "no arguments" } else { takes }
}

impl Failure {
    pub(crate) fn no_such_key(key: &Key) -> Self {
        // Shortened, since a long key would hide the rest of the message.
        let mut text = key.to_string();
        if let Some((cut, _)) = text.char_indices().nth(75) {
            text.truncate(cut);
            text.push('…');
        }
        Failure::NoSuchKey(text)
    }

    pub(crate) fn bad_argument(what: impl Into<String>, got: impl Into<String>) -> Self {
        Failure::BadArgument { what: what.into(), got: got.into() }
    }
}
