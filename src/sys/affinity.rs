//! The processors that a thread runs on.
//!
//! # Standard
//! `sched_setaffinity(2)`, `sched_getcpu(3)`.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// This thread runs on one processor only, and so does what it starts, until this is dropped.
#[must_use]
pub(crate) struct Pinned(CpuSet);

const THIS_THREAD: Pid = Pid::from_raw(0);

/// Keeps this thread on the processor that it runs on now.
pub(crate) fn pin() -> io::Result<Pinned> {
    let all = sched_getaffinity(THIS_THREAD)?;
    let mut one = CpuSet::new();
    one.set(sched_getcpu()?)?;
    sched_setaffinity(THIS_THREAD, &one)?;
    Ok(Pinned(all))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // It was allowed before.
        let _ = sched_setaffinity(THIS_THREAD, &self.0);
    }
}
