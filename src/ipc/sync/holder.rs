//! The holder of a mutex, for diagnosis by its waiters.
//!
//! # Death
//! A dead process is not a holder: the mutex is handed on. A stopped one (SIGSTOP, Ctrl-Z, a debugger) is not dead and
//! keeps what it holds until it continues or is killed; [`Holder::is_stopped`] shows this.

use std::fmt;

use crate::sys::robust::RobustMutex;
use crate::sys::task::Task;

/// A thread of a worker.
///
/// Shown as its process: `process 17`, or `process 17 (stopped)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// The kernel's id of the thread; a process's first thread has the process's own.
    pub thread: u32,
}

impl Holder {
    /// Returns the current holder of a mutex; `None` if it is free, or if the holder is gone before its process can be
    /// looked up.
    pub(crate) fn of(mutex: &RobustMutex) -> Option<Self> {
        let thread = mutex.owner_tid()?;
        Task::of(thread).map(|task| Holder { pid: task.pid, thread })
    }

    /// Returns whether it is stopped, by a signal or by a debugger: it releases nothing until it continues or dies.
    ///
    /// # System calls
    /// Reads `/proc`; `false` where there is none.
    pub fn is_stopped(&self) -> bool {
        Task::of(self.thread).is_some_and(|task| task.pid == self.pid && task.is_stopped)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {}{}", self.pid, if self.is_stopped() { " (stopped)" } else { "" })
    }
}

/// The holder of a mutex, as a debug field of the object that contains the mutex.
pub(crate) struct HeldBy<'a>(pub(crate) &'a RobustMutex);

impl fmt::Debug for HeldBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Holder::of(self.0) {
            Some(holder) => write!(f, "{holder}"),
            None => f.write_str("nobody"),
        }
    }
}
