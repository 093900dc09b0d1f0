//! Processes: starting workers in a role, giving them handles, waiting for them, stopping, and liveness.
//!
//! [`Process::spawn`] starts a worker in a [`Role`], which [`enter`] runs in the new process. A role is a plain serde
//! struct; the handles in its fields go to the worker with it, and so does a descriptor in an [`Fd`].
//! [`Process::builder`] starts workers that are daemons, or another program. [`Ended`] says how a worker ended, and
//! [`WorkerFailure`] why it failed. [`StopSignals`] turns Ctrl-C and SIGTERM into values.

// The files: `child` is a worker process from start to end; `role` and `transfer` are a worker's role and the
// handles in it; `boot` is what a worker is given, and what it leaves behind; `stop` are
// requests to stop; `table` and `members` are the living processes, and the members of a shared object;
// `wait_record` is a thread's wait for a lock, in the table; `scheduler` is
// the interface to an exploration.

pub(crate) mod boot;
pub(crate) mod child;
pub(crate) mod failure;
pub(crate) mod members;
pub(crate) mod role;
pub(crate) mod scheduler;
pub(crate) mod stop;
pub(crate) mod table;
pub(crate) mod transfer;
pub(crate) mod wait_record;

pub use crate::ipc::codec::CodecError;
pub use boot::{current_name, enter};
pub use child::{Builder, Ended, ExitStatus, Process};
pub use failure::{FailureKind, WorkerFailure};
pub use role::{Role, RoleEntry, RoleResult};
pub use stop::{StopSignal, StopSignals};
pub use transfer::Fd;
