//! Retrying system calls that a signal interrupts.

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
