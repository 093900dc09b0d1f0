//! How a run ended, and the one table of exit codes.

use std::process::ExitCode;

use crate::ipc::StopSignal;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything ran; the claim was true, or nothing had promised it.
    Fine,
    /// A promised claim was false, or any with `--strict`.
    Broken,
    /// The arguments or the input cannot be used; nothing was started.
    Unusable,
    /// A worker could not be started or died unexpectedly, or the system refused something.
    MachineryFailed,
    /// Somebody asked to stop; the workers were stopped and what happened so far was summed up.
    Stopped(StopSignal),
    /// Whoever read stdout went away; the workers were stopped.
    ReaderGone,
}

impl Outcome {
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Outcome::Fine | Outcome::ReaderGone => 0,
            Outcome::Broken => 1,
            Outcome::Unusable => 2,
            Outcome::MachineryFailed => 3,
            Outcome::Stopped(signal) => signal.exit_code(),
        })
    }
}

/// Why a run has no outcome of its own.
pub(crate) enum Failure {
    /// The input cannot be used; nothing was started.
    Unusable(anyhow::Error),
    /// The machinery failed: how the run ended for all that, and every reason.
    Machinery(Outcome, Vec<anyhow::Error>),
}

impl Failure {
    /// Why a run could not be prepared: the input's fault, if the error is no [`MachineryError`].
    pub(crate) fn of_preparing(error: anyhow::Error) -> Self {
        match error.is::<MachineryError>() {
            true => Failure::Machinery(Outcome::MachineryFailed, vec![error]),
            false => Failure::Unusable(error),
        }
    }
}

/// What failed before anything was started, and better input would not mend.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct MachineryError(pub(crate) anyhow::Error);
