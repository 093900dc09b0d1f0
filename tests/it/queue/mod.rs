//! Queues between real processes.

pub(crate) mod bytes;
pub(crate) mod cases;
pub(crate) mod joinable_queue;
pub(crate) mod pipe_queue;
pub(crate) mod redis_faults;
pub(crate) mod redis_queue;
pub(crate) mod redis_storm;
pub(crate) mod remote;
pub(crate) mod shm_queue;
pub(crate) mod stress;
