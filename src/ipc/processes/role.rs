//! What a worker does: a plain value with a name, run in a process of its own.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::share::Inherited;

/// How a role ends: well, or with an error that is sent home to the parent.
pub type RoleResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// The work of a worker process.
///
/// The value is what the worker needs to know; a handle stands in it as a [`Slot`](crate::ipc::Slot).
pub trait Role: Serialize + DeserializeOwned {
    /// The name under which the worker finds this role in the table given to [`enter`](crate::ipc::enter), and which `ps` shows.
    const NAME: &'static str;

    /// Does the work, in the worker.
    ///
    /// # Errors
    /// Anything; it reaches the parent as a [`WorkerFailure`](crate::ipc::WorkerFailure), and so does a panic.
    fn run(self, inherited: &mut Inherited) -> RoleResult;
}

/// A line of the table of roles.
#[derive(Debug, Clone, Copy)]
pub struct RoleEntry {
    name: &'static str,
    run: fn(&str, &mut Inherited) -> RoleResult,
}

impl RoleEntry {
    /// The entry of role `R`.
    pub const fn of<R: Role>() -> Self {
        fn run<R: Role>(role_json: &str, inherited: &mut Inherited) -> RoleResult {
            serde_json::from_str::<R>(role_json)?.run(inherited)
        }
        RoleEntry { name: R::NAME, run: run::<R> }
    }

    /// The role's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn run(&self, role_json: &str, inherited: &mut Inherited) -> RoleResult {
        (self.run)(role_json, inherited)
    }
}
