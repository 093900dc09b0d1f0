//! What the mechanisms cost on this machine, each beside its yardstick in the same run.

pub(crate) mod pipe;
