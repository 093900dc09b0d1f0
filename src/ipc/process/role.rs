//! Roles: what a worker does, as a plain value with a name, run in its own process.

use std::os::fd::OwnedFd;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::failure::{FailureKind, WorkerFailure};
use super::transfer;
use crate::ipc::error::chain;

/// The result of a role: success, or an error that is sent to the parent.
pub type RoleResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The work of a worker process.
///
/// The value is what the worker needs: data, and the handles that it uses. Both may appear anywhere in it: in options,
/// lists, tuples, maps, enums and other structs. Data arrives equal; every handle refers to the same object.
///
/// ```
/// use ipc_demo::{Lock, Queue, Role, RoleResult};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Counter {
///     lines: Vec<String>,
///     lock: Option<Lock>,
///     counts: Queue<usize>,
/// }
///
/// impl Role for Counter {
///     const NAME: &'static str = "counter";
///
///     fn run(self) -> RoleResult {
///         let _guard = self.lock.as_ref().map(Lock::acquire).transpose()?;
///         self.lines.iter().try_for_each(|line| self.counts.put(line.len()))?;
///         Ok(())
///     }
/// }
/// ```
pub trait Role: Serialize + DeserializeOwned {
    /// The name under which the worker finds this role in the table given to [`enter`](crate::enter), and which
    /// `ps` shows. Names in a table are unique.
    const NAME: &'static str;

    /// Does the work, in the worker.
    ///
    /// # Errors
    /// Any error; it reaches the parent as a [`WorkerFailure`](crate::process::WorkerFailure), and so does a panic.
    fn run(self) -> RoleResult;
}

/// An entry of the table of roles that a program gives to [`enter`](crate::enter).
#[derive(Debug, Clone, Copy)]
pub struct RoleEntry {
    name: &'static str,
    run: fn(&[u8], Vec<OwnedFd>) -> std::result::Result<(), WorkerFailure>,
}

impl RoleEntry {
    /// Returns the entry of role `R`.
    pub const fn of<R: Role>() -> Self {
        fn run<R: Role>(bytes: &[u8], descriptors: Vec<OwnedFd>) -> std::result::Result<(), WorkerFailure> {
            let role: R =
                transfer::decode(bytes, descriptors).map_err(|error| WorkerFailure::startup(chain(&error)))?;
            role.run().map_err(|error| WorkerFailure::new(FailureKind::Error, chain(&*error)))
        }
        RoleEntry { name: R::NAME, run: run::<R> }
    }

    /// Returns the role's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Decodes the role and runs it.
    pub(crate) fn run(&self, bytes: &[u8], descriptors: Vec<OwnedFd>) -> std::result::Result<(), WorkerFailure> {
        (self.run)(bytes, descriptors)
    }
}

/// Checks that no two roles of a table have the same name.
pub(crate) fn check_names(roles: &[RoleEntry]) -> std::result::Result<(), String> {
    let mut names: Vec<_> = roles.iter().map(RoleEntry::name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two roles of the table given to ipc_demo::enter have the name {}", pair[0])),
        None => Ok(()),
    }
}
