//! Tasks: what the workers of a pool do with each input, as a plain value with a name.

use std::error::Error as StdError;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::worker::PoolWorker;
use crate::ipc::codec::CodecError;
use crate::process::{ExitStatus, RoleEntry, RoleResult, WorkerFailure};
use crate::sys::fork::forked_from;

/// What the workers of a pool do with each input.
///
/// The value is what a worker needs for all inputs: data, and the handles that it uses, as in a
/// [`Role`](crate::Role). Each worker of the pool has a clone, and so has each that replaces one. Inputs and outputs are
/// plain data, without handles.
///
/// ```
/// use std::path::PathBuf;
///
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Length;
///
/// impl ipc_demo::pool::Task for Length {
///     const NAME: &'static str = "length";
///     type Input = PathBuf;
///     type Output = u64;
///
///     fn run(&mut self, path: PathBuf) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(std::fs::metadata(path)?.len())
///     }
/// }
/// ```
pub trait Task: Clone + Send + Serialize + DeserializeOwned + 'static {
    /// The name under which the worker finds this task in the table given to [`enter`](crate::enter), and which `ps`
    /// shows. No role or other task of the table has it.
    const NAME: &'static str;
    /// What a task is given.
    type Input: Serialize + DeserializeOwned;
    /// What a task results in.
    type Output: Serialize + DeserializeOwned;

    /// Prepares this value for its tasks, once when a worker starts, and again after each panic.
    ///
    /// It may take as long as it likes: [`Builder::time_limit`](super::Builder::time_limit) is that of a task. Meanwhile the
    /// other workers run tasks. Where it may hang, wait for results with a timeout; [`TaskHandle::cancel`] and
    /// [`Pool::terminate`](super::Pool::terminate) work as ever.
    ///
    /// [`TaskHandle::cancel`]: super::TaskHandle::cancel
    ///
    /// # Errors
    /// Any error: this worker runs no tasks. After three in a row, while no other worker can run tasks, each task has
    /// the result [`TaskError::NoWorkers`].
    fn set_up(&mut self) -> RoleResult {
        Ok(())
    }

    /// Does the work, in a worker.
    ///
    /// # Errors
    /// Any error is the result of this task, as [`TaskError::Failed`]. So is a panic, as [`TaskError::Panicked`]; the
    /// worker then goes on with a new clone of the task's value.
    fn run(&mut self, input: Self::Input) -> Result<Self::Output, Box<dyn StdError + Send + Sync>>;
}

impl RoleEntry {
    /// Returns the entry of the workers that run task `T`.
    pub const fn of_task<T: Task>() -> Self {
        RoleEntry::of::<PoolWorker<T>>()
    }
}

/// Why a task has no output. Small, because every result has room for it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TaskError {
    /// The task returned an error.
    #[error(transparent)]
    Failed(Box<WorkerFailure>),
    /// The task panicked.
    #[error(transparent)]
    Panicked(Box<WorkerFailure>),
    /// The worker died in the middle of the task, and so did those that tried it before.
    #[error("worker {worker} died in the middle of the task ({status}), attempt {attempts} of {attempts}")]
    WorkerDied {
        /// The name of the worker that died last.
        worker: Box<str>,
        /// How it died. Exit code 0 is a death, too: the task has ended its process.
        status: ExitStatus,
        /// How many workers died of it.
        attempts: u32,
    },
    /// The task took longer than the limit, and its worker was killed.
    #[error("the task exceeded its time limit, and its worker {worker} was killed")]
    TimedOut {
        /// The worker's name.
        worker: Box<str>,
    },
    /// The task was cancelled.
    #[error("the task was cancelled")]
    Cancelled,
    /// The input could not be sent to a worker: it has no serialised form, or is longer than the pool's limit.
    #[error("the input cannot be sent to a worker")]
    Input(#[source] Box<CodecError>),
    /// The output could not be sent back: it has no serialised form, or is longer than the pool's limit.
    #[error("the output cannot be sent back")]
    Output(#[source] Box<CodecError>),
    /// The pool was closed before the task was submitted, or terminated before it ended.
    #[error("the pool was stopped")]
    Stopped,
    /// No worker can run tasks.
    #[error("no worker of the pool can run tasks: {reason}")]
    NoWorkers {
        /// Why the last of them could not.
        reason: Box<str>,
    },
    /// This process was forked from the one that has the pool.
    #[error(
        "the pool belongs to process {origin}, and this is a process forked from it: \
         fork before the first handle is made, or start workers with Process::spawn"
    )]
    Forked {
        /// The process that the pool belongs to.
        origin: u32,
    },
}

const _: () = assert!(size_of::<TaskError>() <= 32);

/// An error in a process that was forked from the one that has the pool: it has no thread of the pool, and locks and
/// memory may be in the middle of a change.
pub(super) fn check_not_forked() -> Result<(), TaskError> {
    forked_from().map_or(Ok(()), |origin| Err(TaskError::Forked { origin }))
}

/// Returns why an input or an output is not sent.
pub(super) fn too_long(bytes: usize, limit: usize) -> CodecError {
    CodecError::Refused(format!("it has {bytes} bytes, and Builder::in_flight_bytes allows {limit}"))
}
