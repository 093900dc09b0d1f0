//! Processes: their start and end, and the handles in their roles.

pub(crate) mod child;
pub(crate) mod inheritance;
mod stopped;
pub(crate) mod transfer;
