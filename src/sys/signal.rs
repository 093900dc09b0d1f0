//! Signals: those that end a run, and what a worker does about them and about its parent's death.
//!
//! # Standard
//! `sigaction(2)`, `signal-safety(7)`, `F_SETSIG(2const)`, `PR_SET_NAME(2const)`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::libc;
use nix::sys::eventfd::EventFd;
use nix::sys::prctl;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, SigmaskHow, Signal, sigaction, sigprocmask};
use nix::unistd::{Pid, getpid};

use super::clock::monotonic_ns;
use super::{epoll, fd};

/// The signal that asked this process to stop, 0 before.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// The signals that were noted, a bit for each: only process 1 gets one of them a second time.
static NOTED: AtomicI32 = AtomicI32::new(0);
/// The first process of a pid namespace.
const INIT: Pid = Pid::from_raw(1);
/// The descriptor that the handler writes to, -1 before there is one.
static WAKEUP: AtomicI32 = AtomicI32::new(-1);

/// `fcntl(2)`: the signal that an asynchronous descriptor raises.
const F_SETSIG: libc::c_int = 10;

/// What asks a process to stop.
const STOPPING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];
/// What a terminal sends to all its processes, the workers too.
const OF_THE_TERMINAL: [Signal; 2] = [Signal::SIGINT, Signal::SIGHUP];

/// Ends this process with SIGKILL, as `kill -9` from outside would.
pub(crate) fn kill_self() -> io::Result<()> {
    Ok(nix::sys::signal::kill(getpid(), Signal::SIGKILL)?)
}

/// SIGINT, SIGTERM and SIGHUP as something to wait for. One for a process: signal handlers belong to the whole of it.
#[derive(Debug)]
pub(crate) struct StopWakeup {
    wakeup: EventFd,
    caught: Vec<Signal>,
}

impl StopWakeup {
    /// From now on the first of these signals is only noted; a second one of the same kind ends the process at once.
    pub(crate) fn hang() -> io::Result<Self> {
        let wakeup = epoll::eventfd()?;
        WAKEUP.store(wakeup.as_fd().as_raw_fd(), Ordering::Relaxed);
        NOTED.store(0, Ordering::Relaxed);
        // SA_RESETHAND puts the default back as the handler starts: that is what makes the second one deadly. Of process 1
        // the kernel takes no default: there the handler ends it.
        let flags = if getpid() == INIT { SaFlags::empty() } else { SaFlags::SA_RESETHAND };
        let note = SigAction::new(SigHandler::Handler(note_stop), flags, SigSet::empty());
        let mut caught = Vec::with_capacity(STOPPING.len());
        for signal in STOPPING {
            // SAFETY: the handler uses only an atomic and `write`, both async-signal-safe.
            let before = unsafe { sigaction(signal, &note) }?;
            // What was ignored at the start, by nohup or a shell's background job, stays so.
            if matches!(before.handler(), SigHandler::SigIgn) {
                // SAFETY: what was there before, which runs no code.
                unsafe { sigaction(signal, &before) }?;
            } else {
                caught.push(signal);
            }
        }
        Ok(StopWakeup { wakeup, caught })
    }

    /// Becomes readable with the first signal and stays so.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.wakeup.as_fd()
    }

    /// The signal that came first, if any did.
    pub(crate) fn asked(&self) -> Option<Signal> {
        Signal::try_from(ASKED.load(Ordering::Relaxed)).ok()
    }
}

extern "C" fn note_stop(signal: libc::c_int) {
    if NOTED.fetch_or(1 << signal, Ordering::Relaxed) & (1 << signal) != 0 {
        // SAFETY: ends the process at once, without running anything of ours; async-signal-safe.
        unsafe { libc::_exit(128 + signal) };
    }
    let _ = ASKED.compare_exchange(0, signal, Ordering::Relaxed, Ordering::Relaxed);
    let wakeup: RawFd = WAKEUP.load(Ordering::Relaxed);
    let one = 1_u64;
    // SAFETY: eight bytes of our stack to an eventfd that is never closed while handlers are set; a failed write changes
    // nothing (the counter is only full if the bell already rings).
    unsafe { libc::write(wakeup, (&raw const one).cast(), size_of::<u64>()) };
}

impl Drop for StopWakeup {
    fn drop(&mut self) {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in self.caught.drain(..) {
            // SAFETY: the default disposition runs no code of ours.
            let restored = unsafe { sigaction(signal, &default) };
            debug_assert!(restored.is_ok(), "it was set before");
        }
        WAKEUP.store(-1, Ordering::Relaxed);
    }
}

/// A worker's signals: what a terminal sends reaches the whole foreground group, but stopping workers is their parent's
/// business. A file that grows beyond its limit is an error of the write, as Python has it, and not SIGXFSZ.
///
/// The parent starts us with these signals blocked, so that one that came before this line is discarded here.
pub(crate) fn set_up_worker() -> io::Result<()> {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    for signal in OF_THE_TERMINAL.into_iter().chain([Signal::SIGXFSZ]) {
        // SAFETY: ignoring runs no code of ours.
        unsafe { sigaction(signal, &ignore) }?;
    }
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&blocked_at_start()), None)?;
    Ok(())
}

/// From now on a write that would make a file longer than this process may (`ulimit -f`) is the error `EFBIG`. Without this
/// it sends SIGXFSZ, which ends the process before it can say why.
///
/// What this process starts inherits it.
pub(crate) fn report_file_limit() {
    let ignore = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: ignoring runs no code of ours.
    let ignored = unsafe { sigaction(Signal::SIGXFSZ, &ignore) };
    debug_assert!(ignored.is_ok(), "SIGXFSZ can be ignored");
}

/// Lets the signals that stop a run come, although the process was started with them blocked.
pub(crate) fn unblock_stopping() {
    let unblocked = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&STOPPING.into_iter().collect()), None);
    debug_assert!(unblocked.is_ok(), "a mask can be changed");
}

/// The set that the parent blocks for a worker's start.
pub(crate) fn blocked_at_start() -> SigSet {
    OF_THE_TERMINAL.into_iter().collect()
}

/// Ends this process as a kill from outside would.
pub(crate) fn kill_this_process() {
    let _ = nix::sys::signal::kill(getpid(), Signal::SIGKILL);
}

/// Asks the kernel to kill this process when the last writing end of `pipe` is closed. `false` if it is closed already.
///
/// The kernel raises the signal of an asynchronous descriptor itself, so a stopped process dies too. Unlike
/// `PR_SET_PDEATHSIG` it follows the process that has the other end and not one thread of it, and it stays when this process
/// changes its user: the rights are those of now.
pub(crate) fn die_when_closed(pipe: OwnedFd) -> io::Result<bool> {
    // Open as long as this process lives.
    let pipe: BorrowedFd<'static> = fd::leak(pipe);
    let set = |command, argument: libc::c_int| {
        // SAFETY: an open descriptor, and commands that take an integer.
        Errno::result(unsafe { libc::fcntl(pipe.as_raw_fd(), command, argument) })
    };
    set(libc::F_SETOWN, getpid().as_raw())?;
    set(F_SETSIG, Signal::SIGKILL as libc::c_int)?;
    let flags = set(libc::F_GETFL, 0)?;
    set(libc::F_SETFL, flags | libc::O_ASYNC)?;
    // Closed before the line above it sends nothing any more.
    Ok(!fd::wait_readable(pipe, Some(monotonic_ns()))?)
}

/// Lets children of this process be waited for, though it was started with SIGCHLD ignored.
pub(crate) fn wait_for_children() -> io::Result<()> {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: the default disposition runs no code of ours.
    unsafe { sigaction(Signal::SIGCHLD, &default) }?;
    Ok(())
}

/// The name that `ps` and `top` show for this thread, cut to 15 bytes.
pub(crate) fn name_thread(name: &str) {
    if let Ok(name) = CString::new(name) {
        // Only for the eyes of people: a name that cannot be set changes nothing.
        let _ = prctl::set_name(&name);
    }
}
