//! Unnamed files in memory.
//!
//! # Standard
//! `memfd_create(2)`. `RLIMIT_FSIZE` of `getrlimit(2)` applies to them as to any file: exceeding it raises SIGXFSZ,
//! which ends the process silently. So the limit is checked first, and exceeding it is an error.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::ftruncate;

use super::fd::above_standard;

/// Creates an empty file that can be sealed. `name` is what `/proc` shows.
pub(crate) fn create(name: &str) -> io::Result<OwnedFd> {
    above_standard(memfd_create(name, MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?)
}

/// Sets the file's length; new bytes are zero.
pub(crate) fn set_len(file: impl AsFd, bytes: u64) -> io::Result<()> {
    check_file_limit(bytes)?;
    let bytes = bytes.try_into().map_err(|_| io::Error::from(nix::errno::Errno::EFBIG))?;
    Ok(ftruncate(file, bytes)?)
}

/// Checks that this process may write a file of `bytes` bytes.
///
/// # Errors
/// [`io::ErrorKind::FileTooLarge`], with the limit.
pub(crate) fn check_file_limit(bytes: u64) -> io::Result<()> {
    // If the call fails, no limit is known.
    let (limit, _) = getrlimit(Resource::RLIMIT_FSIZE).unwrap_or((u64::MAX, u64::MAX));
    if bytes <= limit {
        return Ok(());
    }
    let reason = format!("{bytes} bytes are needed, and this process may write files of {limit} at most (ulimit -f)");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, reason))
}
