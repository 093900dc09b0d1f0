//! Python's `multiprocessing` in Rust: processes, and what they share.
//!
//! | Python | here | file |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process`, `role` |
//! | arguments of a process | a role's fields; handles as [`Slot`]s | `share` |
//! | `freeze_support` | [`enter`] | `boot` |
//! | `Lock` | [`Lock`] | `lock` |
//! | `KeyboardInterrupt` | [`StopSignals`] | `stop` |
//! | `Pipe(False)`, `Pipe(True)` | [`pipe`], [`duplex`] | `pipe` |
//! | `connection.Connection` | [`Connection`], or a [`Receiver`] or [`Sender`] of one type | `connection` |
//! | `connection.wait` | [`wait`] | `wait` |
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
mod process;
mod role;
mod share;
mod stop;
mod wait;

pub use boot::enter;
pub use connection::{Connection, MESSAGE_LIMIT};
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use error::{Error, Result};
pub use lock::{Abandoned, Lock, LockGuard};
pub use pipe::{Receiver, Sender, duplex, pipe};
pub use process::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use role::{Role, RoleEntry, RoleResult};
pub use share::{Adopted, Give, Inherited, Parcel, Share, Slot};
pub use stop::{StopSignal, StopSignals};
pub use wait::{Waitable, wait};

/// Nanoseconds on the monotonic clock, which all processes of a machine share: stamps of two workers can be compared.
pub fn monotonic_ns() -> u64 {
    crate::sys::clock::monotonic_ns()
}
