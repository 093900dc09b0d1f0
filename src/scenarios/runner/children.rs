//! The worker processes of a run.

use std::os::fd::BorrowedFd;

use anyhow::Context;

use crate::process::{Ended, ExitStatus};
use crate::report::WorkerExited;
use crate::{Process, Result, Role};

/// A worker and its name.
pub(super) struct Child {
    process: Process,
    pub(super) name: String,
    /// Whether the run ends without waiting for it.
    daemon: bool,
}

impl Child {
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }

    fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }

    /// Returns how the worker ended; it has.
    pub(super) fn join(&mut self) -> Result<Ended> {
        self.process.join().cloned()
    }
}

/// All workers of a run, in the order of starting.
#[derive(Default)]
pub(super) struct Children(Vec<Child>);

impl Children {
    /// Starts a worker and returns its process ID.
    pub(super) fn start<R: Role>(&mut self, name: &str, daemon: bool, role: R) -> anyhow::Result<u32> {
        // A signal that the run ignores must not end its workers.
        let process = Process::builder().inherit_ignored_signals().spawn(name, role)?;
        let pid = process.pid();
        self.0.push(Child { process, name: name.to_owned(), daemon });
        Ok(pid)
    }

    /// Returns how many were started.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Child> {
        self.0.get_mut(index)
    }

    pub(super) fn by_pid(&self, pid: u32) -> Option<&Child> {
        self.0.iter().find(|child| child.pid() == pid)
    }

    /// Returns whether a worker is left that the run waits for.
    pub(super) fn is_anybody_expected(&self) -> bool {
        self.0.iter().any(|child| child.is_running() && !child.daemon)
    }

    pub(super) fn is_anybody_running(&self) -> bool {
        self.0.iter().any(Child::is_running)
    }

    /// Returns descriptors that become readable when a worker ends.
    pub(super) fn sentinels(&self) -> Vec<BorrowedFd<'_>> {
        self.0.iter().filter(|child| child.is_running()).map(|child| child.process.sentinel()).collect()
    }

    /// Returns those that have ended and were not joined.
    pub(super) fn ended(&self) -> Vec<usize> {
        let has_ended = |child: &Child| child.is_running() && !child.process.is_alive();
        (0..self.0.len()).filter(|&index| has_ended(&self.0[index])).collect()
    }

    /// Applies `end` to all running workers, and returns the first error.
    pub(super) fn end_all(&self, end: fn(&Process) -> Result<()>) -> anyhow::Result<()> {
        let running = self.0.iter().filter(|child| child.is_running());
        let ended = running.map(|child| end(&child.process).with_context(|| format!("cannot stop {}", child.name)));
        ended.fold(Ok(()), anyhow::Result::and)
    }
}

/// Returns the event of a worker's end.
pub(super) fn exited(ended: &Ended) -> WorkerExited {
    let (exit_code, signal) = match ended.status {
        ExitStatus::Code(code) => (Some(code), None),
        ExitStatus::Signal(signal) => (None, Some(signal)),
        ExitStatus::Unknown => (None, None),
    };
    WorkerExited { exit_code, signal, failure: ended.failure.as_ref().map(ToString::to_string) }
}
