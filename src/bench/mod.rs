//! Measures what each mechanism costs on this machine, beside a bare yardstick in the same run.

pub(crate) mod manager;
