//! CPU affinity of a thread.
//!
//! # Standard
//! `sched_setaffinity(2)`, `sched_getcpu(3)`.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};
use nix::unistd::Pid;

/// Keeps this thread, and the threads and processes that it starts, on one processor until this is dropped.
#[must_use]
pub(crate) struct Pinned(CpuSet);

const THIS_THREAD: Pid = Pid::from_raw(0);

/// Returns the numbers of the processors that this thread may run on, beginning with its current one.
pub(crate) fn processors() -> io::Result<Vec<usize>> {
    let all = sched_getaffinity(THIS_THREAD)?;
    let current = sched_getcpu()?;
    let others = (0..CpuSet::count()).filter(|&number| number != current && all.is_set(number).unwrap_or(false));
    Ok(std::iter::once(current).chain(others).collect())
}

/// Pins this thread to a processor.
pub(crate) fn pin(processor: usize) -> io::Result<Pinned> {
    let all = sched_getaffinity(THIS_THREAD)?;
    let mut one = CpuSet::new();
    one.set(processor)?;
    sched_setaffinity(THIS_THREAD, &one)?;
    Ok(Pinned(all))
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // Restores the mask that was valid before, so an error is not expected.
        let _ = sched_setaffinity(THIS_THREAD, &self.0);
    }
}
