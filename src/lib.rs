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
//! # Modules
//! `ipc` is the library; its primitives are listed below. It is built on `sys`, the only module with Linux system calls
//! and `unsafe` code. `scenarios` contains the demonstrations, `report` presents their results to people and programs,
//! `bench` measures the cost of each mechanism, and [`cli`] ties them together.

mod bench;
mod chaos;
pub mod cli;
mod ipc;
mod number;
mod outcome;
pub mod report;
mod scenarios;
mod sys;

pub use ipc::*;

/// Compiles the examples in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
