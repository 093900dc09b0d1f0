//! A pool of workers: parallel work that survives its workers.
//!
//! A [`Task`] says what the workers do with each input. [`Pool::map`] runs it for many inputs and returns all results,
//! [`Pool::imap`] and [`Pool::imap_unordered`] give them one by one, with bounded memory even for endless inputs, and
//! [`Pool::submit`] runs it once. Each task has exactly one result: its output, or a [`TaskError`].
//!
//! Hashes all files of a folder on all processors, with its progress; a file whose worker is killed is hashed by
//! another one:
//!
//! ```standalone_crate
//! use std::hash::{DefaultHasher, Hasher};
//! use std::path::{Path, PathBuf};
//! use std::process::ExitCode;
//!
//! use ipc_demo::pool::{Pool, Task};
//! use serde::{Deserialize, Serialize};
//!
//! /// Hashes a file.
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Hash;
//!
//! impl Task for Hash {
//!     const NAME: &'static str = "hash";
//!     type Input = PathBuf;
//!     type Output = u64;
//!
//!     fn run(&mut self, path: PathBuf) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
//!         let mut hasher = DefaultHasher::new();
//!         hasher.write(&std::fs::read(path)?);
//!         Ok(hasher.finish())
//!     }
//! }
//!
//! fn files_in(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
//!     for entry in std::fs::read_dir(folder)? {
//!         let entry = entry?;
//!         if entry.file_type()?.is_dir() { files_in(&entry.path(), files)? } else { files.push(entry.path()) }
//!     }
//!     Ok(())
//! }
//!
//! fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
//!     // A worker begins here.
//!     if let Some(code) = ipc_demo::enter(&[ipc_demo::RoleEntry::of_task::<Hash>()]) {
//!         return Ok(code);
//!     }
//!     let mut files = Vec::new();
//!     files_in(Path::new("src"), &mut files)?;
//!     let pool = Pool::builder().build(Hash)?;
//!     let mut hashes = pool.imap(files.iter().cloned());
//!     for file in &files {
//!         let hash = hashes.next().expect("one for each file")?;
//!         println!("{hash:016x}  {}", file.display());
//!         // An iterator that knows its length: the progress bar of a crate takes it as it is.
//!         let done = 40 - 40 * hashes.len() / files.len();
//!         eprint!("\r[{:-<40}]", "#".repeat(done));
//!     }
//!     Ok(ExitCode::SUCCESS)
//! }
//! ```
//!
//! # Death
//! If a worker dies, by whatever signal or exit, only the task that it was running is affected: another worker runs it
//! again, and the worker is replaced.

// The files: `process_pool` and `builder` are the pool itself; `task` is what its workers run; `caller` and `iter` submit
// tasks and wait for their `outcome`s; `table` with the `word`s of its slots is shared with the `worker`s, who have their
// `output`s in memory of their own; `state` with the memory of `inputs` is what the parent knows; `supervisor` is the
// thread that replaces workers.

mod builder;
mod caller;
mod inputs;
mod iter;
mod outcome;
mod output;
mod process_pool;
mod state;
mod supervisor;
mod table;
mod task;
mod word;
mod worker;

pub use builder::{Builder, DEFAULT_IN_FLIGHT, DEFAULT_IN_FLIGHT_BYTES};
pub use caller::TaskHandle;
pub use iter::{Imap, ImapUnordered};
pub use process_pool::{Pool, Stopper};
pub use supervisor::WorkerEvent;
pub use task::{Task, TaskError};
