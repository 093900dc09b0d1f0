//! What the kernel says of a thread, of whichever process. For diagnosis: it may be otherwise by the time it is read.
//!
//! # Standard
//! `proc_pid_status(5)`: `State`, `Tgid`.

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Task {
    /// The process that it is one of.
    pub(crate) pid: u32,
    /// Whether a signal or a debugger has stopped it.
    pub(crate) is_stopped: bool,
}

impl Task {
    /// The thread with this id; `None` if there is none, or no `/proc`.
    pub(crate) fn of(tid: u32) -> Option<Self> {
        Task::read(&std::fs::read_to_string(format!("/proc/{tid}/status")).ok()?)
    }

    fn read(status: &str) -> Option<Self> {
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let is_stopped = field("State:")?.starts_with(['T', 't']);
        Some(Task { pid: field("Tgid:")?.parse().ok()?, is_stopped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_whatever_the_thread_is_called() {
        let status = |state| format!("Name:\tState: T\nUmask:\t0022\nState:\t{state}\nTgid:\t17\nPid:\t18\n");
        for (state, is_stopped) in [("S (sleeping)", false), ("T (stopped)", true), ("t (tracing stop)", true)] {
            assert_eq!(Task::read(&status(state)), Some(Task { pid: 17, is_stopped }), "{state}");
        }
        assert_eq!(Task::read("Name:\tnothing else\n"), None);
    }

    #[test]
    fn this_thread_runs_and_nobody_is_thread_zero() {
        let this = Task { pid: std::process::id(), is_stopped: false };
        assert_eq!(Task::of(crate::sys::robust::own_tid()), Some(this));
        assert_eq!(Task::of(0), None);
    }
}
