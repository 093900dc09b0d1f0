//! How a run ended, and the only table of exit codes.

use std::io;
use std::process::ExitCode;

use anyhow::Context;

use crate::Error;
use crate::process::StopSignal;
use crate::sys::Errno;

/// The context of an error of writing to stdout.
pub(crate) const UNPRINTED: &str = "cannot write to stdout";

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything ran; the claim was true or not shown, or the scenario does not promise it.
    Fine,
    /// A promised claim was false, or any claim with `--strict`.
    Broken,
    /// The arguments or the input are unusable; nothing was started.
    Unusable,
    /// A worker could not be started or died unexpectedly, or the system refused a request.
    MachineryFailed,
    /// A stop was requested; the workers were stopped and the run so far was summed up.
    Stopped(StopSignal),
    /// The reader of stdout went away; the workers were stopped.
    ReaderGone,
}

impl Outcome {
    /// Returns the outcome of writing to stdout; `context` is the message of an error.
    pub(crate) fn of_write(written: io::Result<()>, context: &'static str) -> anyhow::Result<Self> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
            written => written.map(|()| Outcome::Fine).context(context),
        }
    }

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
    /// The input is unusable; nothing was started.
    Unusable(anyhow::Error),
    /// The machinery failed: how the run ended nevertheless, and every reason.
    Machinery(Outcome, Vec<anyhow::Error>),
}

/// The machinery failed, and the run has no other outcome.
impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Failure::Machinery(Outcome::MachineryFailed, vec![error.into()])
    }
}

impl Failure {
    /// Classifies a failed preparation: the machine's fault if the error is a [`MachineryError`], a resource was
    /// exhausted, or a shared object could not be created; otherwise the input's.
    pub(crate) fn of_preparing(error: anyhow::Error) -> Self {
        let is_machines = error.is::<MachineryError>() || error.chain().any(is_refused_by_machine);
        if is_machines { Failure::from(error) } else { Failure::Unusable(error) }
    }
}

fn is_refused_by_machine(cause: &(dyn std::error::Error + 'static)) -> bool {
    let errno = cause.downcast_ref::<Errno>().copied();
    let errno = errno.or_else(|| cause.downcast_ref::<io::Error>()?.raw_os_error().map(Errno::from_raw));
    let is_server_lost = matches!(cause.downcast_ref(), Some(Error::Redis(error)) if error.is_machinery());
    is_server_lost
        || matches!(cause.downcast_ref(), Some(Error::Os { .. } | Error::Start { .. }))
        || matches!(errno, Some(Errno::ENOMEM | Errno::EMFILE | Errno::ENFILE | Errno::ENOSPC))
}

/// A failure before anything was started that better input would not prevent.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub(crate) struct MachineryError(pub(crate) anyhow::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preparation_fails_for_the_machine_or_for_the_input() {
        let no_memory = || io::Error::from(Errno::ENOMEM);
        let out_of_range = Error::OutOfRange { what: "the number of permits", given: 0, least: 1, most: 2 };
        let missing = anyhow::Error::new(io::Error::from(Errno::ENOENT)).context("cannot use the data file");
        for (error, is_machines) in [
            (Error::Os { action: "make a lock", source: io::Error::from(Errno::EPERM) }.into(), true),
            (anyhow::Error::new(no_memory()).context("cannot make a data file in memory"), true),
            (anyhow::Error::new(Errno::EMFILE), true),
            (out_of_range.into(), false),
            (missing, false),
        ] {
            let said = format!("{error:#}");
            assert_eq!(matches!(Failure::of_preparing(error), Failure::Machinery(..)), is_machines, "{said}");
        }
    }
}
