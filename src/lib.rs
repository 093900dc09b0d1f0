//! Python's `multiprocessing` model in Rust, safe where the original hangs; and `ipc-demo`, the program that shows it.
//!
//! Worker processes re-exec the running program in a [`Role`]. They share the handles in their roles, and nothing else. Whatever
//! a worker holds when it is killed is handed on to those who live.
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
//! # The rooms of this crate
//! `ipc` is the library: a file a primitive, listed below. It stands on `sys`, the only place that knows Linux and has
//! `unsafe`. `scenarios` are the plays of the program, `report` tells a person or a program what happened in them, `bench`
//! measures what each mechanism costs, and [`cli`] puts them together.

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

/// The examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
