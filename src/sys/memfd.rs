//! Files without a name that live in memory.
//!
//! # Standard
//! `memfd_create(2)`. `RLIMIT_FSIZE` of `getrlimit(2)` counts for them as for any file: who makes one longer gets SIGXFSZ,
//! which ends a process without a word. So the limit is asked first, and being above it is an error.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::ftruncate;

use super::fd::above_standard;

/// Makes an empty file that can be sealed. `name` is what `/proc` shows.
pub(crate) fn create(name: &str) -> io::Result<OwnedFd> {
    above_standard(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// Gives the file a length; what is new of it is zero.
pub(crate) fn set_len(file: impl AsFd, bytes: u64) -> io::Result<()> {
    check_file_limit(bytes)?;
    let bytes = bytes.try_into().map_err(|_| io::Error::from(nix::errno::Errno::EFBIG))?;
    Ok(ftruncate(file, bytes)?)
}

/// Checks that this process may write a file of `bytes`.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`], with the limit.
pub(crate) fn check_file_limit(bytes: u64) -> io::Result<()> {
    // Without the call nothing is known to be forbidden.
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE).unwrap_or((u64::MAX, u64::MAX));
    if bytes <= limit {
        return Ok(());
    }
    let reason = format!("{bytes} bytes are needed, and this process may write files of {limit} at most (ulimit -f)");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}
