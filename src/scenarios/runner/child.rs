//! A worker process of a run.

use std::io;
use std::os::fd::BorrowedFd;

use anyhow::Context;

use crate::process::{Ended, ExitStatus, FailureKind, WorkerFailure};
use crate::report::{Loss, WorkerExited};
use crate::sys::{Signal, signal};
use crate::{Process, Result, Role};

/// A worker and its name.
pub(super) struct Child {
    pub(super) name: String,
    pid: u32,
    /// Its process; `None` if a pool has started it, and waits for it.
    process: Option<Process>,
    /// What the pool told of its end.
    told: Option<Ended>,
    is_joined: bool,
    /// Whether the run ends without waiting for it.
    daemon: bool,
}

impl Child {
    /// Returns a worker of a pool.
    pub(super) fn of_pool(name: String, pid: u32) -> Self {
        Child { name, pid, process: None, told: None, is_joined: false, daemon: false }
    }

    /// Starts a worker.
    pub(super) fn start<R: Role>(name: &str, daemon: bool, role: R) -> Result<Self> {
        // A signal that the run ignores must not end its workers.
        let process = Process::builder().inherit_ignored_signals().spawn(name, role)?;
        let child = Child::of_pool(name.to_owned(), process.pid());
        Ok(Child { process: Some(process), daemon, ..child })
    }

    /// Notes the end of a worker of a pool.
    pub(super) fn note_end(&mut self, ended: Ended) {
        self.told = Some(ended);
    }

    /// Returns whether a pool replaces it when it dies.
    pub(super) fn is_pooled(&self) -> bool {
        self.process.is_none()
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// Returns a descriptor that becomes readable when it ends, if nobody else tells.
    pub(super) fn sentinel(&self) -> Option<BorrowedFd<'_>> {
        self.process.as_ref().map(Process::sentinel)
    }

    /// Returns how it ended; blocks until then.
    pub(super) fn join(&mut self) -> Result<Ended> {
        let ended = match &mut self.process {
            Some(process) => process.join()?.clone(),
            None => self.told.clone().expect("it is joined when its end was told"),
        };
        self.is_joined = true;
        Ok(ended)
    }

    /// Sends it a signal for which it need not be reaped, if it is running: its process ID is not used again before
    /// that. A pool may just have reaped its worker.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        if self.is_running() { signal::send(self.pid, signal) } else { Ok(()) }
    }

    /// Returns whether it was not joined yet.
    pub(super) fn is_running(&self) -> bool {
        !self.is_joined
    }

    /// Returns whether the run waits for it.
    pub(super) fn is_expected(&self) -> bool {
        self.is_running() && !self.daemon
    }

    /// Returns whether it has ended but was not joined yet.
    pub(super) fn has_ended(&self) -> bool {
        self.is_running() && self.process.as_ref().map_or(self.told.is_some(), |process| !process.is_alive())
    }

    /// Ends the worker, if it is running. A pool ends its workers itself.
    pub(super) fn end(&self, end: fn(&Process) -> Result<()>) -> anyhow::Result<()> {
        match &self.process {
            Some(process) if self.is_running() => end(process).with_context(|| format!("cannot stop {}", self.name)),
            _ => Ok(()),
        }
    }
}

/// Returns what happened to a worker that did not end in order.
pub(super) fn loss(status: ExitStatus, failure: Option<&WorkerFailure>) -> Loss {
    match (status, failure) {
        (ExitStatus::Signal(_), _) => Loss::Killed,
        (_, Some(WorkerFailure { kind: FailureKind::Startup, .. })) => Loss::Unstarted,
        _ => Loss::Failed,
    }
}

/// Returns the event of a worker's end.
pub(super) fn exited(ended: &Ended) -> WorkerExited {
    let (exit_code, signal) = codes(ended.status);
    WorkerExited { exit_code, signal, failure: ended.failure.as_ref().map(ToString::to_string) }
}

/// Returns the exit code of a process, or the signal that ended it.
pub(in crate::scenarios) fn codes(status: ExitStatus) -> (Option<i32>, Option<i32>) {
    match status {
        ExitStatus::Code(code) => (Some(code), None),
        ExitStatus::Signal(signal) => (None, Some(signal)),
        ExitStatus::Unknown => (None, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_what_happened() {
        let failure = |kind| WorkerFailure { worker: String::new(), kind, message: String::new(), location: None };
        let killed = failure(FailureKind::Error);
        for (status, failure, wanted) in [
            (ExitStatus::Signal(9), None, Loss::Killed),
            (ExitStatus::Signal(9), Some(killed), Loss::Killed),
            (ExitStatus::Code(1), Some(failure(FailureKind::Startup)), Loss::Unstarted),
            (ExitStatus::Code(1), Some(failure(FailureKind::Error)), Loss::Failed),
            (ExitStatus::Code(101), Some(failure(FailureKind::Panic)), Loss::Failed),
            (ExitStatus::Code(3), None, Loss::Failed),
        ] {
            assert_eq!(loss(status, failure.as_ref()), wanted, "{status}");
        }
    }
}
