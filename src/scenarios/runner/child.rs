//! A worker process of a run.

use anyhow::Context;

use crate::process::{Ended, ExitStatus, FailureKind, WorkerFailure};
use crate::report::{Loss, WorkerExited};
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
    let (exit_code, signal) = match ended.status {
        ExitStatus::Code(code) => (Some(code), None),
        ExitStatus::Signal(signal) => (None, Some(signal)),
        ExitStatus::Unknown => (None, None),
    };
    WorkerExited { exit_code, signal, failure: ended.failure.as_ref().map(ToString::to_string) }
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
