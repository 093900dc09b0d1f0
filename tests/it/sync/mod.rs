//! What processes wait for, between real processes, also killed ones.

pub(crate) mod barrier;
pub(crate) mod condition;
pub(crate) mod deadlock;
pub(crate) mod event;
mod lock;
pub(crate) mod rlock;
pub(crate) mod semaphore;
