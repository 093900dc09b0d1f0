//! Python's `multiprocessing` in Rust: processes, and what they share.
//!
//! | Python | here | file |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | `process`, `role` |
//! | arguments of a process | a role's fields; handles as [`Slot`]s | `share` |
//! | `freeze_support` | [`enter`] | `boot` |
//! | `Lock` | [`Lock`] | `lock` |
//! | `Manager` | [`manager::Manager`], and proxies for fourteen types of objects | `manager` |
//! | - | [`datagrams`]: whole messages from many to one | `datagram` |

mod boot;
mod datagram;
mod deadline;
mod error;
mod family;
mod lock;
pub mod manager;
mod process;
mod role;
mod share;

pub use boot::enter;
pub use datagram::{DATAGRAM_LIMIT, DatagramReceiver, DatagramSender, datagrams};
pub use error::{Error, Result};
pub use lock::{Abandoned, Lock, LockGuard};
pub use process::{Builder, Ended, ExitStatus, FailureKind, Process, WorkerFailure};
pub use role::{Role, RoleEntry, RoleResult};
pub use share::{Adopted, Give, Inherited, Parcel, Share, Slot};
