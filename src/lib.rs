//! Python's `multiprocessing` model in Rust, safe where the original hangs; and `ipc-demo`, the program that shows it.
//!
//! Worker processes re-exec the running program in a [`Role`]. They share the handles in their roles, and nothing else.
//! When a worker is killed, the survivors recover what it held.
//!
//! ```no_run
//! use ipc_demo::{Lock, Process, Role, RoleEntry, RoleResult};
//! use serde::{Deserialize, Serialize};
//!
//! /// What a worker knows, and the handles that it uses.
//! #[derive(Serialize, Deserialize)]
//! struct Greeter {
//!     name: String,
//!     lock: Lock,
//! }
//!
//! impl Role for Greeter {
//!     const NAME: &'static str = "greeter";
//!
//!     fn run(self) -> RoleResult {
//!         self.lock.with(|_| println!("{} has the lock", self.name))?;
//!         Ok(())
//!     }
//! }
//!
//! fn main() -> Result<std::process::ExitCode, ipc_demo::Error> {
//!     // A worker begins here, does its part, and ends.
//!     if let Some(code) = ipc_demo::enter(&[RoleEntry::of::<Greeter>()]) {
//!         return Ok(code);
//!     }
//!     let lock = Lock::new()?;
//!     // A clone is shared with the worker; a handle that is moved into the role is handed over.
//!     let mut workers = ["ann", "bob"]
//!         .map(|name| Process::spawn(name, Greeter { name: name.to_owned(), lock: lock.clone() }));
//!     for worker in &mut workers {
//!         let worker = worker.as_mut().expect("it started");
//!         assert!(worker.join()?.is_success());
//!     }
//!     Ok(std::process::ExitCode::SUCCESS)
//! }
//! ```
//!
//! # Handles
//! A handle in a role refers to the same object in the worker. A handle that several processes can use is `Clone`: give
//! each worker a clone. An end of a pipe belongs to one process, because it may have read ahead or half sent a message: move
//! it into the role, or share it by its `try_clone`. A worker has the handles of its role until it drops them or ends.
//!
//! A queue ends for its consumers when no process is left that can put, and a pipe when none is left that can send. So drop
//! the parent's own handles: after the workers are started, a [`Producer`], a [`Queue`] and a
//! [`Sender`](pipe::Sender) that the parent does not use itself.
//!
//! # Modules
//! What is used daily is exported here. Every module has that of its kind, with all that belongs to it.
//!
//! | Python | here | in |
//! |---|---|---|
//! | `Process` | [`Process`], with a [`Role`] instead of a target function | [`process`] |
//! | arguments of a process | a role's fields, handles included | [`process`] |
//! | `freeze_support` | [`enter`] | [`process`] |
//! | `current_process().name` | [`current_name`](process::current_name) | [`process`] |
//! | `KeyboardInterrupt` | [`StopSignals`](process::StopSignals) | [`process`] |
//! | `Lock`, `RLock` | [`Lock`], [`RLock`] | [`sync`] |
//! | `Semaphore`, `BoundedSemaphore` | [`Semaphore`], [`BoundedSemaphore`] | [`sync`] |
//! | - | [`OwnedSemaphore`](sync::OwnedSemaphore): recovers the permits of a dead process | [`sync`] |
//! | `Condition`, `Event`, `Barrier` | [`Condition`], [`Event`], [`Barrier`] | [`sync`] |
//! | - | [`Explorer`](explore::Explorer): runs workers in every order of their operations, to find one that fails | [`explore`] |
//! | - | [`find_deadlock`](sync::find_deadlock): finds a cycle of waiters and holders | [`sync`] |
//! | `Queue`, `SimpleQueue` | [`Queue`], and one-sided [`Producer`] and [`Consumer`] | [`queue`] |
//! | `JoinableQueue` | [`JoinableQueue`], with a [`Lease`](queue::Lease) on every item | [`queue`] |
//! | `Queue` of a remote manager | [`Queue`](redis/struct.Queue.html) and [`JoinableQueue`](redis/struct.JoinableQueue.html) on a Redis server, for several machines | [`redis`](redis/index.html) |
//! | `Queue`, as Python makes it | [`PipeQueue`](queue::PipeQueue) | [`queue`] |
//! | `Pipe(False)`, `Pipe(True)` | [`pipe::pipe`], [`pipe::duplex`] | [`mod@pipe`] |
//! | `connection.Connection` | [`Connection`](pipe::Connection), or [`Receiver`](pipe::Receiver) or [`Sender`](pipe::Sender) of one type | [`mod@pipe`] |
//! | `connection.wait` | [`pipe::wait`] | [`mod@pipe`] |
//! | `Pool`, `ProcessPoolExecutor` | [`Pool`](pool::Pool) of a [`Task`](pool::Task): each has one result, also if its worker is killed | [`pool`] |
//! | - | [`pipe::datagrams`]: whole messages from many senders to one receiver | [`mod@pipe`] |
//! | `Value`, `Array` | [`Value`], [`Array`] of any [`Plain`](shared::Plain) number | [`shared`] |
//! | `Manager` | [`Manager`](manager/struct.Manager.html), and proxies for fourteen types of objects | [`manager`](manager/index.html) |
//!
//! # Features
//! ```toml
//! [dependencies]
//! ipc-demo = { version = "0.1", default-features = false }
//! serde = { version = "1", features = ["derive"] }
//! ```
//!
//! - `manager` (default): the module [`manager`](manager/index.html).
//! - `redis` (default): the module [`redis`](redis/index.html); `redis-tls` adds `rediss://`.
//! - `live` (default): the option `--live` of the program.
//! - `cli` (default): everything that only the program needs. Programs that use the library leave it out.
//!
//! # Platform
//! 64-bit Linux 5.14 or later, with glibc 2.34 or later.
//!
//! # In the source
//! `ipc` is the library. It is built on `sys`, the only module with Linux system calls and `unsafe` code. Of the program,
//! `scenarios` contains the demonstrations, `report` presents their results to people and programs, `bench` measures the
//! cost of each mechanism, `chaos` kills workers to prove what survives, and `cli` ties them together.

#![cfg_attr(
    not(all(feature = "cli", feature = "live")),
    allow(dead_code, reason = "only the program and the manager use it; they are built with `cli` and `live`")
)]

#[cfg(feature = "cli")]
mod bench;
#[cfg(feature = "cli")]
mod chaos;
#[cfg(feature = "cli")]
pub mod cli;
mod ipc;
#[cfg(feature = "cli")]
mod number;
#[cfg(feature = "cli")]
mod outcome;
#[cfg(feature = "cli")]
mod python;
#[cfg(feature = "cli")]
mod report;
#[cfg(feature = "cli")]
mod scenarios;
mod sys;

#[cfg(feature = "manager")]
pub use ipc::manager;
pub use ipc::process::{Process, Role, RoleEntry, RoleResult, enter};
#[cfg(feature = "redis")]
pub use ipc::queue::redis_queue as redis;
pub use ipc::queue::{Consumer, JoinableQueue, Producer, Queue};
pub use ipc::shared::{Array, Value};
pub use ipc::sync::{Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore};
pub use ipc::{Error, Result, explore, pipe, pool, process, queue, shared, sync};

/// Compiles the examples in the README.
#[cfg(all(doctest, feature = "cli"))]
#[doc = include_str!("../README.md")]
struct Readme;
