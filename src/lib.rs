//! Python's `multiprocessing` model in Rust, safe where the original hangs.
mod ipc;
mod sys;

pub use ipc::*;
