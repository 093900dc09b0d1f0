//! The atomics in all shared memory: the single place to swap them for those of a model checker.

pub(crate) use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};
