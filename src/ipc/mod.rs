//! Python's `multiprocessing` in Rust: processes, and what they share.
//!
//! | Python | here | file |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process`, `role` |
//! | arguments of a process | a role's fields; handles as [`Slot`]s | `share` |
//! | `freeze_support` | [`enter`] | `boot` |
//! | `KeyboardInterrupt` | [`StopSignals`] | `stop` |
//! | `Queue`, `SimpleQueue` | [`Queue`], and one-sided [`Producer`] and [`Consumer`] | `queue`, `ring` |
//! | `JoinableQueue` | [`JoinableQueue`], with a [`Lease`] on every item | `joinable_queue`, `lease` |
//! | `Queue`, as Python makes it | [`PipeQueue`] | `pipe_queue` |
//! | `Pipe(False)`, `Pipe(True)` | [`pipe`], [`duplex`] | `pipe` |
//! | `connection.Connection` | [`Connection`], or a [`Receiver`] or [`Sender`] of one type | `connection` |
//! | `connection.wait` | [`wait`] | `wait` |
//! | `Lock`, `RLock` | [`Lock`], [`RLock`] | `lock`, `rlock`; what they share: `mutex` |
//! | `Semaphore`, `BoundedSemaphore` | [`Semaphore`], [`BoundedSemaphore`] | `semaphore` |
//! | - | [`OwnedSemaphore`]: permits that come back from the dead | `owned_semaphore` |
//! | `Condition` | [`Condition`] | `condition` |
//! | `Event` | [`Event`] | `event` |
//! | `Barrier` | [`Barrier`] | `barrier`, `members`, `breach` |
//! | `Value`, `Array` | [`Value`], [`Array`] of any [`Plain`] number | `value`, `array`, `plain`, `guardian` |
//! | - | [`find_deadlock`]: who waits for whom | `deadlock`, `waits` |
//! | `Manager` | [`manager::Manager`], and proxies for fourteen types of objects | `manager` |
//! | - | [`datagrams`]: whole messages from many to one | `datagram` |

mod array;
mod barrier;
mod bell;
mod boot;
mod breach;
mod channel;
mod condition;
mod connection;
mod datagram;
mod deadline;
mod deadlock;
mod desk;
mod encoding;
mod error;
mod event;
mod family;
mod frame;
mod guardian;
mod holder;
mod incoming;
mod joinable_queue;
mod joining;
mod lease;
mod leasing;
mod lock;
pub mod manager;
mod members;
mod mutex;
mod outgoing;
mod owned_semaphore;
mod participants;
mod pipe;
mod pipe_queue;
mod plain;
mod process;
mod put_error;
mod queue;
mod ring;
mod rlock;
mod role;
mod semaphore;
mod share;
mod stop;
#[cfg(test)]
mod trial;
mod value;
mod wait;
mod waits;

pub use array::Array;
pub use barrier::Barrier;
pub use boot::enter;
pub use breach::Breach;
pub use channel::{Access, Both, GetOnly, Gets, PutOnly, Puts};
pub use condition::Condition;
pub use connection::{Connection, MESSAGE_LIMIT};
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use deadlock::{LockId, Wait, find_deadlock};
pub use error::{Error, Result};
pub use event::Event;
pub use guardian::{AnyLock, ValueGuard};
pub use holder::Holder;
pub use joinable_queue::{
    DEFAULT_REDELIVERIES, DeadLetter, JoinableConsumer, JoinableProducer, JoinableQueue, JoinableQueueBuilder,
    MOST_LEASES,
};
pub use lease::Lease;
pub use leasing::OnConsumerDeath;
pub use lock::{Lock, LockGuard};
pub use mutex::{Abandoned, Guard};
pub use owned_semaphore::{OwnedSemaphore, Permit};
pub use pipe::{Receiver, Sender, duplex, pipe};
pub use pipe_queue::PipeQueue;
pub use plain::Plain;
pub use process::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use put_error::PutError;
pub use queue::{Consumer, DEFAULT_BYTE_LIMIT, Producer, Queue, QueueBuilder};
pub use rlock::{RLock, RLockGuard};
pub use role::{Role, RoleEntry, RoleResult};
pub use semaphore::{BoundedSemaphore, Semaphore};
pub use share::{Adopted, Give, Inherited, Parcel, Share, Slot};
pub use stop::{StopSignal, StopSignals};
pub use value::Value;
pub use wait::{Waitable, wait};

/// Nanoseconds on the monotonic clock, which all processes of a machine share: stamps of two workers can be compared.
pub fn monotonic_ns() -> u64 {
    crate::sys::clock::monotonic_ns()
}
