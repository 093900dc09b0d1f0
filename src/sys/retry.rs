//! What a signal interrupts is done again.

use nix::errno::Errno;

/// Makes a system call until no signal interrupts it.
#[inline]
pub(super) fn retry<T>(mut call: impl FnMut() -> nix::Result<T>) -> nix::Result<T> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            done => return done,
        }
    }
}
