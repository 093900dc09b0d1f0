//! A pool of workers: parallel work that survives its workers.
//!
//! A [`Task`] says what the workers do with each input. [`Pool::map`] runs it for many inputs and returns all results,
//! [`Pool::imap`] and [`Pool::imap_unordered`] give them one by one, with bounded memory even for endless inputs, and
//! [`Pool::submit`] runs it once. Each task has exactly one result: its output, or a [`TaskError`].
//!
//! # Death
//! A worker that dies, by whatever signal or exit, costs the task that it was running, and nothing else: the task is
//! tried again by another worker, and the worker is replaced.

// The files: `pool` and `builder` are the pool itself; `task` is what its workers run; `caller` and `iter` submit tasks
// and wait for results; `table` with the `word`s of its slots is shared with the `worker`s, who have their `output`s in
// memory of their own; `state` with the memory of `inputs` is what the parent knows; `supervisor` is the thread that
// replaces workers.

mod builder;
mod caller;
mod inputs;
mod iter;
mod output;
mod pool;
mod state;
mod supervisor;
mod table;
mod task;
mod word;
mod worker;

pub use builder::{Builder, DEFAULT_IN_FLIGHT, DEFAULT_IN_FLIGHT_BYTES};
pub use caller::JobHandle;
pub use iter::{Imap, ImapUnordered};
pub use pool::{Pool, Stopper};
pub use supervisor::WorkerEvent;
pub use task::{Task, TaskError};
