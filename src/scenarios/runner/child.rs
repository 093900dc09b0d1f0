//! A worker process of a run.

use anyhow::Context;

use crate::process::{Ended, ExitStatus};
use crate::report::WorkerExited;
use crate::{Process, Result, Role};

/// A worker and its name.
pub(super) struct Child {
    pub(super) process: Process,
    pub(super) name: String,
    /// Whether the run ends without waiting for it.
    daemon: bool,
}

impl Child {
    /// Starts a worker.
    pub(super) fn start<R: Role>(name: &str, daemon: bool, role: R) -> Result<Self> {
        // A signal that the run ignores must not end its workers.
        let process = Process::builder().inherit_ignored_signals().spawn(name, role)?;
        Ok(Child { process, name: name.to_owned(), daemon })
    }

    /// Returns whether it was not joined yet.
    pub(super) fn is_running(&self) -> bool {
        self.process.ended().is_none()
    }

    /// Returns whether the run waits for it.
    pub(super) fn is_expected(&self) -> bool {
        self.is_running() && !self.daemon
    }

    /// Returns whether it has ended but was not joined yet.
    pub(super) fn has_ended(&self) -> bool {
        self.is_running() && !self.process.is_alive()
    }

    /// Ends the worker, if it is running.
    pub(super) fn end(&self, end: fn(&Process) -> Result<()>) -> anyhow::Result<()> {
        if self.is_running() {
            end(&self.process).with_context(|| format!("cannot stop {}", self.name))
        } else {
            Ok(())
        }
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
