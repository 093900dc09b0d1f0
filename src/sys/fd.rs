//! Descriptors: born close-on-exec, waited for with a monotonic deadline, copied out of the way of others.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::stat::fstat;
use nix::unistd::{Pid, pipe2};

use super::clock::monotonic_ns;
use super::retry::retry;

/// A close-on-exec copy of `fd` with a number of at least `lowest`.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the kernel just made this descriptor, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Lets this process have as many descriptors as its hard limit allows.
pub(crate) fn raise_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Where it cannot be raised, running out of descriptors is an error of its own.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Keeps 0, 1 and 2 for the standard streams: where one of them is closed the kernel gives its number to the next descriptor,
/// and what is printed then goes there. To be called with every descriptor that this library makes.
pub(crate) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO { Ok(fd) } else { duplicate(fd.as_fd(), libc::STDERR_FILENO + 1) }
}

/// The reading and the writing end of a pipe.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((above_standard(reading)?, above_standard(writing)?))
}

/// Two connected Unix sockets.
pub(crate) fn socket_pair(kind: SockType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((above_standard(one)?, above_standard(other)?))
}

/// Device and inode of what descriptor `number` refers to: the same file has the same, under whatever number.
pub(crate) fn identity(number: RawFd) -> io::Result<(u64, u64)> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: not -1 (checked above), and used for `fstat` alone, for which a number that is no descriptor gives EBADF.
    let stat = fstat(unsafe { BorrowedFd::borrow_raw(number) })?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Keeps `fd` open as long as this process lives.
pub(crate) fn leak(fd: OwnedFd) -> BorrowedFd<'static> {
    // SAFETY: nobody closes it any more, as it has no owner.
    unsafe { BorrowedFd::borrow_raw(fd.into_raw_fd()) }
}

/// A descriptor of this process by its number, close-on-exec from now on; `None` if there is none of that number.
///
/// For numbers that a boot record promised to this process alone: nobody else may own them.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD only looks the number up; a number that is no descriptor gives EBADF.
    let known = unsafe { libc::fcntl(number, libc::F_SETFD, FdFlag::FD_CLOEXEC.bits()) };
    // SAFETY: the descriptor exists (the line above), and by this function's contract it has no other owner.
    (number >= 0 && known == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// A descriptor that becomes readable when the process ends. `pid` is an own child that was not waited for yet.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes two integers and makes a close-on-exec descriptor or fails.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel just made this descriptor, and nobody else knows its number.
    above_standard(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Whether [`pidfd_open`] failed because there is no process of that number.
pub(crate) fn is_no_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::ESRCH as i32)
}

/// Waits until `fd` is readable, or closed at its other end, at most until `until_ns`. `false` if the time passed.
pub(crate) fn wait_readable(fd: impl AsFd, until_ns: Option<u64>) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], until_ns)
}

/// Waits until there is room to write to `fd`, or nobody reads it any more, at most until `until_ns`. `false` if the time passed.
pub(crate) fn wait_writable(fd: impl AsFd, until_ns: Option<u64>) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], until_ns)
}

/// Waits until one of `fds` is readable, or closed at its other end, at most until `until_ns`. Says of each whether it is:
/// none of them if the time passed.
pub(crate) fn wait_any_readable(fds: &[BorrowedFd<'_>], until_ns: Option<u64>) -> io::Result<Vec<bool>> {
    let mut asked: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    wait_for(&mut asked, until_ns)?;
    // What nix has no name for is an event too.
    Ok(asked.iter().map(|asked| asked.any() != Some(false)).collect())
}

/// Waits until one of `asked` is ready, at most until `until_ns`. `false` if the time passed. Signals do not end it.
pub(super) fn wait_for(asked: &mut [PollFd<'_>], until_ns: Option<u64>) -> io::Result<bool> {
    loop {
        match retry(|| poll(asked, poll_timeout(until_ns)))? {
            0 if until_ns.is_none_or(|until_ns| monotonic_ns() < until_ns) => {}
            ready => return Ok(ready > 0),
        }
    }
}

/// What is left until `until_ns`, for `poll`: whole milliseconds, rounded up so that it never ends early.
pub(super) fn poll_timeout(until_ns: Option<u64>) -> PollTimeout {
    let Some(until_ns) = until_ns else { return PollTimeout::NONE };
    let left_ms = until_ns.saturating_sub(monotonic_ns()).div_ceil(1_000_000);
    // What is longer than `poll` can count (24 days) is waited for in pieces.
    PollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX))
}
