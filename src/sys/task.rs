//! What the kernel reports about threads. It may be outdated by the time it is read.
//!
//! # Standard
//! `proc_pid_status(5)`: `State`, `Tgid`. `proc_pid_task(5)`: the link count of the directory.

use std::os::unix::fs::MetadataExt;

use super::atomic::{AtomicU64, Ordering::SeqCst};

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// The process that it belongs to.
    pub(crate) pid: u32,
    /// Whether a signal or a debugger has stopped it.
    pub(crate) is_stopped: bool,
    /// Whether it waits for something.
    pub(crate) is_asleep: bool,
}

/// Returns whether the main thread of a process waits for something; `false` if it has ended.
pub(crate) fn is_asleep(pid: u32) -> bool {
    Task::of(pid).is_some_and(|task| task.is_asleep)
}

impl Task {
    /// Returns the thread with this id; `None` if there is none, or no `/proc`.
    pub(crate) fn of(tid: u32) -> Option<Self> {
        Task::read(&std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?)
    }

    fn read(status: &str) -> Option<Self> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let state = field("State:")?;
        let (is_stopped, is_asleep) = (state.starts_with(['T', 't']), state.starts_with('S'));
        Some(Task { pid: field("Tgid:")?.parse().ok()?, is_stopped, is_asleep })
    }
}

/// The number of the library's own threads in this process in the low half, and a count of its changes in the high
/// half.
static INTERNAL: AtomicU64 = AtomicU64::new(0);
const ONE_CHANGE: u64 = 1 << 32;

/// Counts the calling thread as one of the library's own, which never calls user code. Created first and dropped last
/// in it, so that the count never exceeds the number of such threads.
#[derive(Debug)]
pub(crate) struct InternalThread(());

impl InternalThread {
    pub(crate) fn count() -> Self {
        INTERNAL.fetch_add(ONE_CHANGE + 1, SeqCst);
        InternalThread(())
    }
}

impl Drop for InternalThread {
    fn drop(&mut self) {
        INTERNAL.fetch_add(ONE_CHANGE - 1, SeqCst);
    }
}

/// Whether this process has, or may have, threads other than the caller and the library's own: `true` without `/proc`.
pub(crate) fn has_other_threads() -> bool {
    let internal = INTERNAL.load(SeqCst);
    let tasks = std::fs::metadata("/proc/self/task");
    // If the count changed meanwhile it means nothing; in that case another thread was active.
    let has_changed = INTERNAL.load(SeqCst) != internal;
    // A directory has two links, plus one per subdirectory: here the caller's and those of the internal threads.
    has_changed || tasks.map_or(true, |tasks| tasks.nlink() != 2 + 1 + internal % ONE_CHANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_whatever_the_thread_is_called() {
        let status = |state| format!("Name:\tState: T\nUmask:\t0022\nState:\t{state}\nTgid:\t17\nPid:\t18\n");
        for (state, is_stopped, is_asleep) in [
            ("S (sleeping)", false, true),
            ("R (running)", false, false),
            ("T (stopped)", true, false),
            ("t (tracing stop)", true, false),
        ] {
            assert_eq!(Task::read(&status(state)), Some(Task { pid: 17, is_stopped, is_asleep }), "{state}");
        }
        assert_eq!(Task::read("Name:\tnothing else\n"), None);
    }

    #[test]
    fn this_thread_runs_and_nobody_is_thread_zero() {
        let this = Task { pid: std::process::id(), is_stopped: false, is_asleep: false };
        assert_eq!(Task::of(crate::sys::robust::own_tid()), Some(this));
        assert_eq!(Task::of(0), None);
    }
}
