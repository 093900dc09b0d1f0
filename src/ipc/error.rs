//! What can go wrong between processes, one variant for each thing that a caller may handle differently.
//!
//! An expected outcome is a value and not an error: a lock that is not free in time is `Ok(None)`.

use std::io;
use std::ops::RangeInclusive;

use crate::ipc::codec::CodecError;
#[cfg(feature = "manager")]
use crate::ipc::manager::error::ManagerError;
use crate::ipc::process::failure::WorkerFailure;
#[cfg(feature = "redis")]
use crate::ipc::queue::redis_queue::RedisError;
use crate::ipc::sync::break_cause::BreakCause;
use crate::sys::Errno;
use crate::sys::fork::forked_from;

/// The result of an operation between processes.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation between processes failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The kernel refused a call.
    #[error("cannot {action}{}", limit_behind(source, action.contains("thread")))]
    Os {
        /// What was tried.
        action: &'static str,
        /// The kernel's reason.
        #[source]
        source: io::Error,
    },
    /// A worker could not be started; nothing of it runs.
    #[error("cannot start worker {worker}{}", limit_behind(source, true))]
    Start {
        /// The worker's name.
        worker: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The handle belongs to the process that made it, and this one was forked from it, as by `fork(2)` or `daemon(3)`.
    /// Nothing was done.
    #[error(
        "the handle belongs to process {origin}, and this is a process forked from it: \
         fork before the first handle is made, or start workers with Process::spawn"
    )]
    Forked {
        /// The process that the handle belongs to.
        origin: u32,
    },
    /// The exploration cannot continue the current schedule.
    #[error("the schedule cannot continue: {reason}")]
    Schedule {
        /// The reason.
        reason: String,
    },
    /// A worker ended in another way than by returning from its role.
    #[error(transparent)]
    Worker(Box<WorkerFailure>),
    /// The thread already holds the lock that it tried to acquire, and would wait for itself forever.
    #[error("this thread already holds the lock and would wait for itself")]
    WouldDeadlock,
    /// This thread holds as many locks as the kernel hands on when a thread dies; one more could stay locked.
    #[error("this thread already holds {limit} locks, the most that are handed on if it dies; release some first")]
    TooManyLocks {
        /// The most that a thread can hold.
        limit: u32,
    },
    /// A condition was used with a guard of another lock than that of its waiters.
    #[error("other waiters use this condition with another lock")]
    WrongLock,
    /// More wait than there are places for.
    #[error("at most {limit} can wait at the same time")]
    TooManyWaiters {
        /// The most that can.
        limit: usize,
    },
    /// A barrier is broken, or broke while this party waited.
    #[error("the barrier is broken: {0}")]
    BrokenBarrier(BreakCause),
    /// More processes were given a shared object than it can count on.
    #[error("at most {limit} processes can share this object")]
    TooManyMembers {
        /// The most that can.
        limit: usize,
    },
    /// A value without a lock has none to take.
    #[error("the value was created without a lock")]
    NoLock,
    /// An index that an array does not have.
    #[error("index {index} is out of range for an array of length {len}")]
    IndexOutOfRange {
        /// The index.
        index: usize,
        /// How many numbers the array has.
        len: usize,
    },
    /// A slice was set to another number of numbers than it has.
    #[error("cannot write {given} numbers to a slice of {expected}")]
    LengthMismatch {
        /// Length of the slice.
        expected: usize,
        /// How many were given.
        given: usize,
    },
    /// A number that a shared object cannot be made with.
    #[error("{what} must be between {least} and {most}, not {given}")]
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
    #[error("the semaphore already has {limit} free permits, its maximum")]
    ReleasedTooOften {
        /// The most free permits.
        limit: u32,
    },
    /// A role has no serialised form, or bytes are not the form of the role.
    #[error("cannot send the role {} to a worker", without_path(role))]
    Role {
        /// The role's type.
        role: &'static str,
        /// Why not.
        #[source]
        source: CodecError,
    },
    /// This program has not called [`enter`](crate::enter), so its workers could not find their role.
    #[error(
        "workers cannot run {role}: main must begin with a call to ipc_demo::enter, with a table that contains it; \
         in a test, a #[test] function that Builder::program names must do so"
    )]
    NotEntered {
        /// The role's name.
        role: &'static str,
    },
    /// The table that this program gave to [`enter`](crate::enter) does not have this role.
    #[error("the table given to ipc_demo::enter does not contain {role} (it contains: {known})")]
    NoSuchRole {
        /// The role's name.
        role: &'static str,
        /// The names in the table.
        known: String,
    },
    /// A worker was not given what its role names, or what it starts with.
    #[error("descriptor {index} was not given to this worker (it got {given})")]
    NoSuchDescriptor {
        /// Its index in the list.
        index: u32,
        /// How many the worker got.
        given: usize,
    },
    /// There are as many processes as one process table can have.
    #[error("at most {limit} processes can run at once")]
    ProcessTableFull {
        /// The limit.
        limit: usize,
    },
    /// A message is longer than its channel takes.
    #[error("a message of {bytes} bytes exceeds the limit of this channel, {limit} bytes")]
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
        source: CodecError,
    },
    /// An operation on a manager failed.
    #[cfg(feature = "manager")]
    #[error(transparent)]
    Manager(#[from] ManagerError),
    /// An operation on a Redis server failed.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Redis(Box<RedisError>),
    /// The other end of a connection is closed, and all messages are read.
    #[error("the other end is closed")]
    EndOfFile,
    /// The other end was closed, or its process killed, in the middle of a message.
    #[error("the other end was closed after {received} bytes of a message")]
    EndOfFileInsideMessage {
        /// How much of the message arrived, its header included.
        received: usize,
    },
    /// Nobody can receive any more what is sent.
    #[error("nobody is left to receive")]
    BrokenPipe,
    /// The other end was closed while something sent to it was still unread.
    #[error("the other end was closed before it had read everything")]
    ConnectionReset,
    /// Nothing can be sent through this end.
    #[error("the connection is read-only")]
    ReadOnly,
    /// Nothing can be received from this end.
    #[error("the connection is write-only")]
    WriteOnly,
    /// A message is longer than the receiver takes, or its length is none. The connection cannot be read any more: where
    /// the next message begins is not known.
    #[error("bad message length: {announced} bytes announced, at most {limit} accepted")]
    BadMessageLength {
        /// The length as it arrived.
        announced: i128,
        /// The longest that is taken.
        limit: usize,
    },
    /// A buffer is too small for the message that was received; here it is.
    #[error("a message of {} bytes does not fit into the remaining {room} bytes of the buffer", message.len())]
    BufferTooShort {
        /// The whole message.
        message: Vec<u8>,
        /// How much would have fitted.
        room: usize,
    },
    /// A part of a buffer was named that does not lie in it.
    #[error("{size} bytes at offset {offset} exceed a buffer of {len} bytes")]
    BadRange {
        /// Where the part begins.
        offset: usize,
        /// How long it is.
        size: usize,
        /// Length of the buffer.
        len: usize,
    },
    /// The time passed while a message was on its way. Its rest is kept, and goes before the next one.
    #[error("only {sent} of the {bytes} bytes of a message could be sent in time")]
    HalfSent {
        /// How much was sent, the message's header included.
        sent: usize,
        /// Length of the message with its header.
        bytes: usize,
    },
    /// An end was to be cloned that has read ahead: what it has read would be missing at the other holder's.
    #[error("{bytes} bytes that were read ahead cannot be shared; move the end into the role instead")]
    ReadAhead {
        /// How many.
        bytes: usize,
    },
    /// A process died in the middle of an item: in the pipe of the queue nobody can tell any more where an item begins.
    #[error("a process died in the middle of an item, and the queue is torn")]
    Torn,
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
    /// A task was reported done for which no item was taken.
    #[error("task_done was called more often than items were taken")]
    TaskDoneTooOften,
    /// The lease on an item has ended: the item was given back or taken over.
    #[error("the lease on item {item} is lost: another consumer has it now")]
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
    /// No process is left at the other end.
    #[error("no process is left at the other end")]
    Disconnected,
}

/// An error in a process that was forked from the one that made its handles. Two loads, no system call.
#[inline]
pub(crate) fn check_not_forked() -> Result<()> {
    match forked_from() {
        None => Ok(()),
        Some(origin) => forked(origin),
    }
}

#[cold]
fn forked(origin: u32) -> Result<()> {
    Err(Error::Forked { origin })
}

/// Returns an error unless `given` is in `range`.
pub(crate) fn check_range(what: &'static str, given: u64, range: RangeInclusive<u64>) -> Result<()> {
    let (least, most) = (*range.start(), *range.end());
    if range.contains(&given) { Ok(()) } else { Err(Error::OutOfRange { what, given, least, most }) }
}

/// Returns an error if a message or an item is longer than possible.
pub(crate) fn check_len(bytes: usize, limit: usize) -> Result<()> {
    if bytes > limit { Err(Error::TooLong { bytes, limit }) } else { Ok(()) }
}

/// Names the limit that an I/O error comes from, if it does, and what to do. `starts` says that the call was to start a
/// process or a thread: only then `EAGAIN` is a limit.
fn limit_behind(source: &io::Error, starts: bool) -> &'static str {
    match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EMFILE | Errno::ENFILE) => {
            ": the limit on open files is reached (ulimit -n); raise it, or use fewer workers or objects"
        }
        Some(Errno::EAGAIN) if starts => {
            ": the limit on processes is reached (ulimit -u); raise it, or start fewer workers"
        }
        Some(Errno::ENOMEM) if starts => ": the machine is out of memory; start fewer workers",
        _ => "",
    }
}

/// Returns the name of a type without its module and its parameters.
fn without_path(name: &str) -> &str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

/// Names the action of an error of the serialised form.
pub(crate) fn codec(action: &'static str) -> impl FnOnce(CodecError) -> Error {
    move |source| Error::Codec { action, source }
}

/// Names the action of an I/O error.
pub(crate) fn os(action: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Os { action, source }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Boxed: a queue returns a `Result` for each item, which has the size of the largest error.
impl From<WorkerFailure> for Error {
    fn from(failure: WorkerFailure) -> Self {
        Error::Worker(Box::new(failure))
    }
}

#[cfg(feature = "redis")]
impl From<RedisError> for Error {
    fn from(error: RedisError) -> Self {
        Error::Redis(Box::new(error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limit_is_named_with_what_to_do() {
        let start = |errno: Errno| Error::Start { worker: "ann".into(), source: errno.into() }.to_string();
        let make = |errno: Errno| os("make a lock")(errno.into()).to_string();
        assert!(start(Errno::EAGAIN).contains("ulimit -u") && start(Errno::EMFILE).contains("ulimit -n"));
        assert!(make(Errno::ENFILE).contains("ulimit -n"));
        assert!(os("start a thread")(Errno::EAGAIN.into()).to_string().contains("ulimit -u"));
        assert_eq!(make(Errno::EAGAIN), "cannot make a lock", "no process was to be started");
        assert_eq!(start(Errno::ENOENT), "cannot start worker ann");
    }
}
