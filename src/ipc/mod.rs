//! Python's `multiprocessing` in Rust: processes, and what they share.
//!
//! | Python | here | file |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process`, `role` |
//! | arguments of a process | a role's fields; handles as [`Slot`]s | `share` |
//! | `freeze_support` | [`enter`] | `boot` |
//! | `Lock` | [`Lock`] | `lock` |
//! | `Pipe(False)`, `Pipe(True)` | [`pipe`], [`duplex`] | `pipe` |
//! | `connection.Connection` | [`Connection`], or a [`Receiver`] or [`Sender`] of one type | `connection` |
//! | `connection.wait` | [`wait`] | `wait` |
//! | `Queue`, as Python makes it | [`PipeQueue`] | `pipe_queue` |
//! | - | [`datagrams`]: whole messages from many to one | `datagram` |

mod boot;
mod connection;
mod datagram;
mod deadline;
mod error;
mod family;
mod frame;
mod incoming;
mod lock;
mod outgoing;
mod pipe;
mod pipe_queue;
mod process;
mod put_error;
mod role;
mod share;
mod wait;

pub use boot::enter;
pub use connection::{Connection, MESSAGE_LIMIT};
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use error::{Error, Result};
pub use lock::{Abandoned, Lock, LockGuard};
pub use pipe::{Receiver, Sender, duplex, pipe};
pub use pipe_queue::PipeQueue;
pub use process::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use put_error::PutError;
pub use role::{Role, RoleEntry, RoleResult};
pub use share::{Adopted, Give, Inherited, Parcel, Share, Slot};
pub use wait::{Waitable, wait};
