//! Requests to stop: Ctrl-C, SIGTERM and a closed terminal as events that a process with workers can wait for.
//!
//! # Standard
//! Python's `KeyboardInterrupt`, but in the parent only: workers ignore SIGINT and SIGHUP, and the parent stops them in
//! order. A process that was started with SIGHUP ignored, as by `nohup`, keeps ignoring it.

use std::os::fd::{AsFd, BorrowedFd};

use crate::ipc::error::{Result, os};
use crate::sys::Signal;
use crate::sys::signal::StopWakeup;

/// A request to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGINT: Ctrl-C.
    Interrupt = Signal::SIGINT as isize,
    /// SIGTERM.
    Terminate = Signal::SIGTERM as isize,
    /// SIGHUP: the terminal was closed.
    HangUp = Signal::SIGHUP as isize,
}

impl StopSignal {
    /// Returns the exit code that a shell gives to a process ended by this signal: 130, 143 or 129.
    pub fn exit_code(self) -> u8 {
        128 + self as u8
    }
}

/// Records the first SIGINT, SIGTERM or SIGHUP instead of dying of it; a second one of a kind ends the process at once,
/// and its workers with it.
///
/// Only one may exist in a process at a time, because signal handlers are process-wide. Dropping it restores the
/// default.
#[derive(Debug)]
pub struct StopSignals {
    wakeup: StopWakeup,
}

impl StopSignals {
    /// Starts recording.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if the kernel refuses the handler or a descriptor.
    pub fn catch() -> Result<Self> {
        Ok(StopSignals { wakeup: StopWakeup::hang().map_err(os("catch Ctrl-C, SIGTERM and SIGHUP"))? })
    }

    /// Returns the signal that arrived first, if any. Does not block: to wait, wait for [`AsFd`] to become readable.
    pub fn asked(&self) -> Option<StopSignal> {
        match self.wakeup.asked()? {
            Signal::SIGTERM => Some(StopSignal::Terminate),
            Signal::SIGHUP => Some(StopSignal::HangUp),
            _ => Some(StopSignal::Interrupt),
        }
    }
}

impl AsFd for StopSignals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }
}
