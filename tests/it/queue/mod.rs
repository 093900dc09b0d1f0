//! Queues between real processes.

pub(crate) mod joinable_queue;
pub(crate) mod pipe_queue;
pub(crate) mod shm_queue;
pub(crate) mod stress;
