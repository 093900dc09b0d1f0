//! Descriptors: created close-on-exec, waited for with a monotonic deadline, kept clear of the standard streams.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

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

/// Returns a close-on-exec copy of `fd` with a number of at least `lowest`.
pub(crate) fn duplicate(fd: BorrowedFd<'_>, lowest: RawFd) -> io::Result<OwnedFd> {
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the kernel just made this descriptor, and its number is not known elsewhere.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Raises this process's descriptor limit to its hard limit.
pub(crate) fn raise_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // If it cannot be raised, running out of descriptors is reported when it happens.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Moves `fd` above 0, 1 and 2: if a standard stream is closed, the kernel gives its number to the next descriptor,
/// which would then receive what is printed. Must be called with every descriptor that this library creates.
pub(crate) fn above_standard(fd: OwnedFd) -> io::Result<OwnedFd> {
    if fd.as_raw_fd() > libc::STDERR_FILENO { Ok(fd) } else { duplicate(fd.as_fd(), libc::STDERR_FILENO + 1) }
}

/// Creates a pipe: its reading and its writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reading, writing) = pipe2(OFlag::O_CLOEXEC)?;
    Ok((above_standard(reading)?, above_standard(writing)?))
}

/// Creates two connected Unix sockets.
pub(crate) fn socket_pair(kind: SockType) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = socketpair(AddressFamily::Unix, kind, None, SockFlag::SOCK_CLOEXEC)?;
    Ok((above_standard(one)?, above_standard(other)?))
}

/// Returns device and inode of descriptor `number`: equal for the same file, under whatever number.
pub(crate) fn identity(number: RawFd) -> io::Result<(u64, u64)> {
    if number < 0 {
        return Err(Errno::EBADF.into());
    }
    // SAFETY: not -1 (checked above), and used for `fstat` alone, which fails with EBADF if the number is not a
    // descriptor.
    let stat = fstat(unsafe { BorrowedFd::borrow_raw(number) })?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Takes ownership of a descriptor by its number and makes it close-on-exec; `None` if there is no such descriptor.
///
/// Only for numbers that a boot record reserved for this process alone: they must have no other owner.
pub(crate) fn inherited(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: F_SETFD only looks the number up; it fails with EBADF if the number is not a descriptor.
    let known = unsafe { libc::fcntl(number, libc::F_SETFD, FdFlag::FD_CLOEXEC.bits()) };
    // SAFETY: the descriptor exists (the line above), and by this function's contract it has no other owner.
    (number >= 0 && known == 0).then(|| unsafe { OwnedFd::from_raw_fd(number) })
}

/// Returns a descriptor that becomes readable when the process ends. `pid` must be a child that was not reaped yet.
pub(crate) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes two integers and makes a close-on-exec descriptor or fails.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })?;
    // SAFETY: the kernel just made this descriptor, and its number is not known elsewhere.
    above_standard(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Blocks until `fd` is readable or its other end is closed, at most until `until_ns`. Returns `false` on timeout.
pub(crate) fn wait_readable(fd: impl AsFd, until_ns: Option<u64>) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLIN)], until_ns)
}

/// Blocks until `fd` has room to write or its reader is gone, at most until `until_ns`. Returns `false` on timeout.
pub(crate) fn wait_writable(fd: impl AsFd, until_ns: Option<u64>) -> io::Result<bool> {
    wait_for(&mut [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)], until_ns)
}

/// Blocks until one of `fds` is readable or its other end is closed, at most until `until_ns`. Returns for each whether
/// it is: `false` for all on timeout.
pub(crate) fn wait_any_readable(fds: &[BorrowedFd<'_>], until_ns: Option<u64>) -> io::Result<Vec<bool>> {
    let mut asked: Vec<PollFd<'_>> = fds.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    wait_for(&mut asked, until_ns)?;
    // Events unknown to nix count too.
    Ok(asked.iter().map(|asked| asked.any() != Some(false)).collect())
}

/// Blocks until one of `asked` is ready, at most until `until_ns`. Returns `false` on timeout. Signals do not interrupt
/// it.
pub(super) fn wait_for(asked: &mut [PollFd<'_>], until_ns: Option<u64>) -> io::Result<bool> {
    loop {
        match retry(|| poll(asked, poll_timeout(until_ns)))? {
            0 if until_ns.is_none_or(|until_ns| monotonic_ns() < until_ns) => {}
            ready => return Ok(ready > 0),
        }
    }
}

/// Returns the time left until `until_ns`, for `poll`: whole milliseconds, rounded up so that it never ends early.
pub(super) fn poll_timeout(until_ns: Option<u64>) -> PollTimeout {
    let Some(until_ns) = until_ns else { return PollTimeout::NONE };
    let left_ms = until_ns.saturating_sub(monotonic_ns()).div_ceil(1_000_000);
    // Waits in pieces for a time longer than `poll` can express.
    PollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX))
}
