//! Python's `multiprocessing` in Rust: processes, and what they share.
//!
//! | Python | here | file |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process`, `role` |
//! | arguments of a process | a role's fields; handles as [`Slot`]s | `share` |
//! | `freeze_support` | [`enter`] | `boot` |
//! | `Lock` | [`Lock`] | `lock` |
//! | `Queue`, `SimpleQueue` | [`Queue`], and one-sided [`Producer`] and [`Consumer`] | `queue`, `ring` |
//! | `JoinableQueue` | [`JoinableQueue`], with a [`Lease`] on every item | `joinable_queue`, `lease` |
//! | - | [`datagrams`]: whole messages from many to one | `datagram` |

mod bell;
mod boot;
mod channel;
mod datagram;
mod deadline;
mod desk;
mod encoding;
mod error;
mod family;
mod joinable_queue;
mod joining;
mod lease;
mod leasing;
mod lock;
mod participants;
mod process;
mod queue;
mod ring;
mod role;
mod share;

pub use boot::enter;
pub use channel::{Access, Both, GetOnly, Gets, PutOnly, Puts};
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use error::{Error, Result};
pub use joinable_queue::{
    DEFAULT_REDELIVERIES, DeadLetter, JoinableConsumer, JoinableProducer, JoinableQueue, JoinableQueueBuilder,
    MOST_LEASES,
};
pub use lease::Lease;
pub use leasing::OnConsumerDeath;
pub use lock::{Abandoned, Lock, LockGuard};
pub use process::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use queue::{Consumer, DEFAULT_BYTE_LIMIT, Producer, PutError, Queue, QueueBuilder};
pub use role::{Role, RoleEntry, RoleResult};
pub use share::{Adopted, Give, Inherited, Parcel, Share, Slot};
