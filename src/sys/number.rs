//! Numbers for shared objects: each object gets one from the process that creates it.
//!
//! # State
//! `creator << 32 | count`: the first process of a process table counts with creator 0, and a worker with the creator
//! that it was given when it began ([`count_as`]). So no two objects of a process table have the same number, and none
//! depends on an address, on a process id or on the moment.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Returns the number of the next object that this process creates. Never 0.
pub(crate) fn next() -> u64 {
    NEXT.fetch_add(1, Relaxed)
}

/// Counts from the beginning, as another creator.
pub(crate) fn count_as(creator: u32) {
    NEXT.store(u64::from(creator) << 32 | 1, Relaxed);
}
