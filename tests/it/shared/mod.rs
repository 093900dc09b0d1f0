//! Numbers in shared memory, changed by several processes.

pub(crate) mod value;
