//! Pools: each task has exactly one result, whatever becomes of its worker, and nothing is left behind.

mod builder;
mod caller;
mod iter;
pub(crate) mod process_pool;
pub(crate) mod stress;
mod supervisor;
pub(crate) mod task;
pub(crate) mod worker;
