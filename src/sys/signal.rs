//! Signals: those that stop a run, how a worker handles them, and its end with its parent.
//!
//! # Standard
//! `sigaction(2)`, `signal-safety(7)`, `F_SETSIG(2const)`, `PR_SET_NAME(2const)`.

use std::ffi::CString;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::EventFd;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::{Pid, getpid};

use super::clock::monotonic_ns;
use super::{epoll, fd};

/// The signal that asked this process to stop; 0 if none has.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The signals received so far, one bit each: only process 1 receives one of them a second time.
static NOTED: AtomicI32 = AtomicI32::new(0);
/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);
/// The descriptor that the handler writes to, or -1.
static WAKEUP: AtomicI32 = AtomicI32::new(-1);

/// `fcntl(2)`: the signal that an asynchronous descriptor raises.
const F_SETSIG: libc::c_int = 10;

/// The signals that ask a process to stop.
const STOPPING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// The signals that a terminal sends to all its processes, workers included.
const OF_THE_TERMINAL: [Signal; 2] = [Signal::SIGINT, Signal::SIGHUP];

/// Ends this process with SIGKILL, as `kill -9` from outside would.
pub(crate) fn kill_self() -> io::Result<()> {
    Ok(nix::sys::signal::kill(getpid(), Signal::SIGKILL)?)
}

/// Kills a child, and returns when it is dead; it remains to be waited for. This thread blocks `SIGCHLD` from now on: at
/// that signal, a process that is traced would stop.
pub(crate) fn kill_child_quietly(pid: u32) -> io::Result<()> {
    SigSet::from(Signal::SIGCHLD).thread_block()?;
    send(pid, Signal::SIGKILL)?;
    waitid(Id::Pid(Pid::from_raw(pid as i32)), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT)?;
    Ok(())
}

/// Sends a signal to a process of this program.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    Ok(nix::sys::signal::kill(Pid::from_raw(pid as i32), signal)?)
}

/// SIGINT, SIGTERM and SIGHUP as an event to wait for. One per process, since signal handlers are process-wide.
#[derive(Debug)]
pub(crate) struct StopWakeup {
    wakeup: EventFd,
    caught: Vec<Signal>,
}

impl StopWakeup {
    /// Installs the handlers: the first of these signals is only recorded; a second one of the same kind ends the
    /// process.
    pub(crate) fn hang() -> io::Result<Self> {
        let wakeup = epoll::eventfd()?;
        WAKEUP.store(wakeup.as_fd().as_raw_fd(), Ordering::Relaxed);
        NOTED.store(0, Ordering::Relaxed);
        ASKED.store(0, Ordering::Relaxed);
        // SA_RESETHAND restores the default as the handler starts, which makes the second one deadly. The kernel
        // ignores default actions for process 1: there the handler ends it.
        let flags = if getpid() == INIT { SaFlags::empty() } else { SaFlags::SA_RESETHAND };
        let note = SigAction::new(SigHandler::Handler(note_stop), flags, SigSet::empty());
        let mut caught = Vec::with_capacity(STOPPING.len());
        for signal in STOPPING {
            // SAFETY: the handler uses only an atomic and `write`, both async-signal-safe.
            let before = unsafe { sigaction(signal, &note) }?;
            // Signals ignored at the start, by nohup or a shell's background job, stay ignored.
            if matches!(before.handler(), SigHandler::SigIgn) {
                // SAFETY: the previous disposition, which runs no code.
                unsafe { sigaction(signal, &before) }?;
            } else {
                caught.push(signal);
            }
        }
        Ok(StopWakeup { wakeup, caught })
    }

    /// Becomes readable with the first signal and stays readable.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// Returns the first signal received, if any.
    pub(crate) fn asked(&self) -> Option<Signal> {
        Signal::try_from(ASKED.load(Ordering::Relaxed)).ok()
    }
}

extern "C" fn note_stop(signal: libc::c_int) {
    if NOTED.fetch_or(1 << signal, Ordering::Relaxed) & (1 << signal) != 0 {
        // SAFETY: ends the process at once, without running any of our code; async-signal-safe.
        unsafe { libc::_exit(128 + signal) };
    }
    let _ = ASKED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    let wakeup: RawFd = WAKEUP.load(Ordering::Relaxed);
    let one = 1_u64;
    // SAFETY: eight bytes of our stack to an eventfd that is never closed while handlers are set; a failed write is
    // harmless (the counter is full only if the eventfd is readable already).
    unsafe { libc::write(wakeup, (&raw const one).cast(), size_of::<u64>()) };
}

impl Drop for StopWakeup {
    fn drop(&mut self) {
        for signal in self.caught.drain(..) {
            let restored = set_disposition(signal, SigHandler::SigDfl);
            debug_assert!(restored.is_ok(), "it was set before");
        }
        WAKEUP.store(-1, Ordering::Relaxed);
    }
}

/// Sets up a worker's signals. Signals from the terminal are ignored: they reach the whole foreground group, but
/// stopping workers is up to their parent. Exceeding the file size limit is an error of the write, as in Python, and
/// not SIGXFSZ.
///
/// The parent starts workers with these signals blocked, so that one received earlier is discarded here.
pub(crate) fn set_up_worker() -> io::Result<()> {
    for signal in OF_THE_TERMINAL.into_iter().chain([Signal::SIGXFSZ]) {
        set_disposition(signal, SigHandler::SigIgn)?;
    }
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&blocked_at_start()), None)?;
    Ok(())
}

/// Makes a write beyond the file size limit (`ulimit -f`) fail with `EFBIG` from now on. Otherwise SIGXFSZ ends the
/// process before it can report why.
///
/// Processes started by this one inherit it.
pub(crate) fn report_file_limit() {
    let ignored = set_disposition(Signal::SIGXFSZ, SigHandler::SigIgn);
    debug_assert!(ignored.is_ok(), "SIGXFSZ can be ignored");
}

/// Lets the signals that stop a run come, although the process was started with them blocked.
pub(crate) fn unblock_stopping() {
    let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&STOPPING.into_iter().collect()), None);
    debug_assert!(unblocked.is_ok(), "a mask can be changed");
}

/// The signals that the parent blocks for a worker's start.
pub(crate) fn blocked_at_start() -> SigSet {
    OF_THE_TERMINAL.into_iter().collect()
}

/// Makes the kernel kill this process when the last writing end of `pipe` is closed. Returns `false` if it is closed
/// already.
///
/// The kernel raises the signal of an asynchronous descriptor itself, so a stopped process dies too. Unlike
/// `PR_SET_PDEATHSIG` it follows the process that has the other end rather than one of its threads, and it survives a
/// change of this process's user: the rights are those at the time of this call.
pub(crate) fn die_when_closed(pipe: OwnedFd) -> io::Result<bool> {
    // Stays open for the rest of this process's life.
    let pipe = ManuallyDrop::new(pipe);
    let set = |command, argument: libc::c_int| {
        // SAFETY: an open descriptor, and commands that take an integer.
        Errno::result(unsafe { libc::fcntl(pipe.as_raw_fd(), command, argument) })
    };
    set(libc::F_SETOWN, getpid().as_raw())?;
    set(F_SETSIG, Signal::SIGKILL as libc::c_int)?;
    let flags = set(libc::F_GETFL, 0)?;
    set(libc::F_SETFL, flags | libc::O_ASYNC)?;
    // A pipe closed before the line above raises no signal any more.
    Ok(!fd::wait_readable(&*pipe, Some(monotonic_ns()))?)
}

/// Lets this process wait for its children even if it was started with SIGCHLD ignored.
pub(crate) fn wait_for_children() -> io::Result<()> {
    set_disposition(Signal::SIGCHLD, SigHandler::SigDfl)
}

/// Sets what a signal does to `SIG_DFL` or `SIG_IGN`.
fn set_disposition(signal: Signal, disposition: SigHandler) -> io::Result<()> {
    debug_assert!(matches!(disposition, SigHandler::SigDfl | SigHandler::SigIgn));
    // SAFETY: neither disposition runs code of ours.
    unsafe { sigaction(signal, &SigAction::new(disposition, SaFlags::empty(), SigSet::empty())) }?;
    Ok(())
}

/// Sets the name that `ps` and `top` show for this thread, cut to 15 bytes.
pub(crate) fn name_thread(name: &str) {
    if let Ok(name) = CString::new(name) {
        // Only for display: a failure has no consequences.
        let _ = prctl::set_name(&name);
    }
}
