//! Python's `multiprocessing` model in Rust, safe where the original hangs.
#[cfg(test)]
mod bench;
mod ipc;
mod sys;

pub use ipc::*;
