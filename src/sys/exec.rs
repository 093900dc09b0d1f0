//! Starting this program again as a worker.
//!
//! `posix_spawn` does the fork and the exec: in the child only glibc's own async-signal-safe code runs between the two,
//! and a failed exec is reported as an error.
//!
//! # Death
//! If the parent is killed between fork and exec, the child still completes the exec; the worker then finds that its
//! parent has changed, and ends (see [`super::signal::die_when_closed`]).
//!
//! # Standard
//! `posix_spawn(3)`, `posix_spawn_file_actions_addclosefrom_np` (glibc 2.34), `pidfd_open(2)`, `waitid(2)` `P_PIDFD`.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::stat::Mode;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::clock::monotonic_ns;
use super::fd::{duplicate, pidfd_open, wait_readable};
use super::retry::{retry, succeed};
use super::signal::blocked_at_start;

/// The number of a worker's first descriptor after the standard ones.
pub(crate) const FIRST_DESCRIPTOR: RawFd = 3;

/// A program to start, with its arguments, environment and descriptors.
pub(crate) struct Launch<'a> {
    /// Path of the executable.
    pub(crate) program: &'a CStr,
    /// Its arguments, including its own name as the first.
    pub(crate) arguments: &'a [CString],
    /// A variable added to this process's environment.
    pub(crate) variable: (&'a str, &'a str),
    /// Become [`FIRST_DESCRIPTOR`] and the numbers after it. Only stdout and stderr are inherited otherwise.
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// Becomes stdout; this process's stdout by default.
    pub(crate) stdout: Option<BorrowedFd<'a>>,
    /// Signals that this process ignores stay ignored.
    pub(crate) inherits_ignored: bool,
}

/// A child process: its id, and a descriptor that becomes readable when it ends.
pub(crate) struct Launched {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
}

impl Launch<'_> {
    /// Starts the program, with an empty standard input.
    pub(crate) fn start(self) -> io::Result<Launched> {
        // Copies above every target number, so that no `dup2` in the child overwrites the source of a later one.
        let above = FIRST_DESCRIPTOR + self.descriptors.len() as RawFd;
        let out_of_the_way = |fd: &BorrowedFd<'_>| match fd.as_raw_fd() {
            number if number < above => duplicate(*fd, above).map(Some),
            _ => Ok(None),
        };
        let copies = self.descriptors.iter().map(out_of_the_way).collect::<io::Result<Vec<_>>>()?;
        let mut actions = PosixSpawnFileActions::init()?;
        // First: it may be descriptor 0.
        if let Some(stdout) = self.stdout {
            actions.add_dup2(stdout.as_raw_fd(), libc::STDOUT_FILENO)?;
        }
        actions.add_open(libc::STDIN_FILENO, c"/dev/null", OFlag::O_RDONLY, Mode::empty())?;
        for (target, (fd, copy)) in (FIRST_DESCRIPTOR..).zip(self.descriptors.iter().zip(&copies)) {
            actions.add_dup2(copy.as_ref().map_or(fd.as_raw_fd(), AsRawFd::as_raw_fd), target)?;
        }
        let raw_actions = ptr::from_mut(&mut actions).cast::<libc::posix_spawn_file_actions_t>();
        // SAFETY: initialised actions, of which nix's type is a transparent wrapper; the closing happens in the child.
        succeed(unsafe { libc::posix_spawn_file_actions_addclosefrom_np(raw_actions, above) })?;

        let environment = environment_with(self.variable);
        let attributes = attributes(self.inherits_ignored)?;
        // Keeps a number for the descriptor of the child, which may run before that is open.
        let reserved = self.descriptors.first().map(|fd| duplicate(*fd, 0)).transpose()?;
        let pid = posix_spawn(self.program, &actions, &attributes, self.arguments, &environment)?;
        drop(reserved);
        match pidfd_open(pid) {
            Ok(pidfd) => Ok(Launched { pid, pidfd }),
            // Its id may be reused already.
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {
                Err(io::Error::other("it ended immediately, and another part of this process reaped it"))
            }
            Err(error) => {
                // Without a descriptor to watch it the child is useless.
                let _ = kill(pid, Signal::SIGKILL);
                let _ = waitpid(pid, None);
                Err(error)
            }
        }
    }
}

/// Reaps a child that has already ended, and returns its exit status: a code, or a signal's number.
///
/// Returns `None` if the child was reaped elsewhere: SIGCHLD is ignored, or another part of the process reaps.
pub(crate) fn reap(pidfd: BorrowedFd<'_>) -> io::Result<Option<Result<i32, i32>>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // Not nix's `waitid`: it reaps a child that a real-time signal has ended, and then fails on the unknown signal.
    let reaped = retry(|| {
        // SAFETY: an open descriptor, and memory for one `siginfo_t`.
        Errno::result(unsafe {
            libc::waitid(libc::P_PIDFD, pidfd.as_raw_fd() as libc::id_t, info.as_mut_ptr(), libc::WEXITED)
        })
    });
    match reaped {
        Ok(_) => {}
        Err(Errno::ECHILD) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    }
    // SAFETY: zeroed at first, which is a valid `siginfo_t`, and filled in by the call that succeeded.
    let info = unsafe { info.assume_init() };
    // SAFETY: `waitid` fills in the fields of a SIGCHLD.
    let status = unsafe { info.si_status() };
    Ok(Some(if info.si_code == libc::CLD_EXITED { Ok(status) } else { Err(status) }))
}

/// Sends `signal` to a child that was not reaped here yet. It is not an error if the child has already ended.
///
/// Falls back to `kill` where `pidfd_send_signal` is not available (old container filters): the id is the child's until
/// it is reaped.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, pid: Pid, signal: Signal) -> io::Result<()> {
    // SAFETY: `pidfd_send_signal` takes an open descriptor, a signal number, no signal info and no flags.
    let sent = unsafe {
        libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal as i32, ptr::null::<libc::siginfo_t>(), 0)
    };
    let sent = match Errno::result(sent) {
        // With a foreign reaper an ended child's id may be reused: nothing is sent to it then.
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) if !wait_readable(pidfd, Some(monotonic_ns()))? => {
            kill(pid, signal)
        }
        Err(Errno::EPERM | Errno::ENOSYS | Errno::EACCES) => Ok(()),
        sent => sent.map(drop),
    };
    match sent {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes a variable from this process's environment, so that the programs it starts do not inherit it.
///
/// Must be called before other threads read the environment by other means than `std`.
pub(crate) fn forget_variable(name: &str) {
    // SAFETY: `std` synchronises its own readers with this; by this function's contract no other readers run yet.
    unsafe { std::env::remove_var(name) };
}

fn environment_with((name, value): (&str, &str)) -> Vec<CString> {
    let inherited = std::env::vars_os().filter(|(key, _)| key != name);
    let added = (name.into(), value.into());
    // Strings from an environment contain no NUL, nor do ours.
    let variable = |(key, value): (OsString, OsString)| CString::new([key.as_bytes(), b"=", value.as_bytes()].concat());
    inherited.chain([added]).filter_map(|pair| variable(pair).ok()).collect()
}

/// The initial signal state: no signals are blocked or ignored, regardless of this process's state, unless the worker
/// inherits the ignored ones. Signals from the terminal are blocked until the worker ignores them.
fn attributes(inherits_ignored: bool) -> nix::Result<PosixSpawnAttr> {
    let mut attributes = PosixSpawnAttr::init()?;
    attributes.set_sigmask(&blocked_at_start())?;
    // An exec resets all but the ignored ones.
    attributes.set_sigdefault(&if inherits_ignored { SigSet::empty() } else { SigSet::all() })?;
    attributes.set_flags(PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK | PosixSpawnFlags::POSIX_SPAWN_SETSIGDEF)?;
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::process::Command;
    use std::thread;

    /// Makes system call `number` fail with `errno` in the calling thread, as container filters do.
    fn forbid(number: libc::c_long, errno: Errno) {
        let (load, equals, ret) = (0x20, 0x15, 0x06);
        let step = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
        let failure = libc::SECCOMP_RET_ERRNO | errno as u32;
        let mut steps = [
            step(load, 0, 0),
            step(equals, 1, number as u32),
            step(ret, 0, failure),
            step(ret, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let program = libc::sock_fprog { len: steps.len() as libc::c_ushort, filter: steps.as_mut_ptr() };
        // SAFETY: takes integers.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }).expect("always allowed");
        // SAFETY: a program on our stack, which the kernel copies.
        let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
        Errno::result(set).expect("a filter may be set without new privileges");
    }

    #[test]
    fn child_is_killed_where_pidfd_send_signal_is_forbidden() {
        for errno in [Errno::EPERM, Errno::ENOSYS, Errno::EACCES] {
            let filtered = move || {
                let mut child = Command::new("sleep").arg("600").spawn().expect("a child");
                forbid(libc::SYS_pidfd_send_signal, errno);
                let pid = Pid::from_raw(child.id() as i32);
                let pidfd = pidfd_open(pid).expect("a descriptor");
                send_signal(pidfd.as_fd(), pid, Signal::SIGKILL).expect("it is killed");
                assert!(wait_readable(&pidfd, None).expect("a wait"));
                send_signal(pidfd.as_fd(), pid, Signal::SIGKILL).expect("one that has ended is no error");
                assert_eq!(reap(pidfd.as_fd()).expect("a child"), Some(Err(libc::SIGKILL)));
                assert_eq!(reap(pidfd.as_fd()).expect("no error"), None, "somebody has reaped it");
                child.wait().expect_err("it is reaped");
            };
            // The filter applies only to its thread.
            thread::spawn(filtered).join().expect("the test passes");
        }
    }

    #[test]
    fn real_time_signal_is_an_end_as_others_are() {
        let mut child = Command::new("sh").args(["-c", "kill -40 $$"]).spawn().expect("a child");
        let pidfd = pidfd_open(Pid::from_raw(child.id() as i32)).expect("a descriptor");
        assert!(wait_readable(&pidfd, None).expect("a wait"));
        assert_eq!(reap(pidfd.as_fd()).expect("a child"), Some(Err(40)));
        child.wait().expect_err("it is reaped");
    }
}
