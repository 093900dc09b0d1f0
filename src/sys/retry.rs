//! Results of system calls: retried when a signal interrupts them, and of the kind that is an error number or 0.

use std::io;

use nix::errno::Errno;

/// Repeats a system call until no signal interrupts it.
#[inline]
pub(super) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}

/// Turns the result of a pthread or spawn function, which is an error number or 0.
pub(super) fn succeed(code: nix::libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}
