//! What the library costs on this machine, next to what threads of one process pay.

pub(crate) mod queue;
