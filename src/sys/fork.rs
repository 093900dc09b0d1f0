//! Detects that this process is a fork of the one that created the handles.
//!
//! A forked child has every handle of its parent but none of its threads, and shared memory would record its actions as
//! its parent's.
//!
//! # State
//! One page of private memory whose first word is 1; the kernel zeroes it in a forked child. So the check is two loads
//! and no system call, and it also detects a fork that bypassed glibc.
//!
//! # Standard
//! `MADV_WIPEONFORK` of `madvise(2)`, Linux 4.14.

use std::io;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicPtr, AtomicU32};

use nix::errno::Errno;
use nix::libc;

use super::memory::map_private;

/// The page, once there is something that a forked child must not use.
static PAGE: AtomicPtr<AtomicU32> = AtomicPtr::new(ptr::null_mut());
/// The process that created the page.
static ORIGIN: AtomicU32 = AtomicU32::new(0);

const ONE_WORD: usize = size_of::<AtomicU32>();

/// Records this process as the owner of handles. Fails in a child forked afterwards.
pub(crate) fn note_origin() -> io::Result<()> {
    if PAGE.load(Acquire).is_null() {
        make_page()?;
    }
    match forked_from() {
        None => Ok(()),
        Some(origin) => {
            Err(io::Error::other(format!("process {origin} has forked this one, which cannot use the library")))
        }
    }
}

/// Returns the process that owns the handles, if this is a forked child of it.
#[inline]
pub(crate) fn forked_from() -> Option<u32> {
    // SAFETY: null, or a page that is never unmapped.
    let word = unsafe { PAGE.load(Acquire).as_ref() };
    word.is_some_and(|word| word.load(Relaxed) == 0).then(|| ORIGIN.load(Relaxed))
}

/// Returns the process that owns the handles, 0 if there are none yet.
#[inline]
pub(crate) fn origin() -> u32 {
    ORIGIN.load(Relaxed)
}

#[cold]
fn make_page() -> io::Result<()> {
    // The length is rounded up to a page.
    let page = map_private(ONE_WORD)?.as_ptr();
    // SAFETY: the mapping made above, which is not shared yet.
    let advised = Errno::result(unsafe { libc::madvise(page, ONE_WORD, libc::MADV_WIPEONFORK) });
    let word = page.cast::<AtomicU32>();
    if advised.is_ok() {
        // SAFETY: mapped, aligned to a page, and zeroed, which is a valid value.
        unsafe { &*word }.store(1, Relaxed);
        ORIGIN.store(std::process::id(), Relaxed);
    }
    // pairs with: the loads of the page
    let is_first = advised.is_ok() && PAGE.compare_exchange(ptr::null_mut(), word, AcqRel, Acquire).is_ok();
    if !is_first {
        // SAFETY: the mapping made above, which was never published.
        unsafe { libc::munmap(page, ONE_WORD) };
    }
    advised.map(drop).map_err(io::Error::from)
}

/// Runs `child` in a forked child and returns its result. For tests: only this thread exists in the child, so `child`
/// must not wait for another.
#[cfg(test)]
pub(crate) fn in_fork(child: impl FnOnce() -> bool) -> bool {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};
    // SAFETY: the child uses `malloc`, which glibc keeps usable after a fork, and ends with `_exit`, which runs no exit
    // handlers.
    match unsafe { fork() }.expect("a process more") {
        ForkResult::Parent { child } => {
            matches!(waitpid(child, None).expect("a child"), WaitStatus::Exited(_, 0))
        }
        ForkResult::Child => {
            let code = i32::from(!std::panic::catch_unwind(std::panic::AssertUnwindSafe(child)).unwrap_or(false));
            // SAFETY: ends the process.
            unsafe { libc::_exit(code) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forked_child_knows_its_origin_and_its_parent_is_none() {
        note_origin().expect("a page");
        let origin = std::process::id();
        assert!(in_fork(|| forked_from() == Some(origin) && note_origin().is_err()));
        assert_eq!(forked_from(), None);
        note_origin().expect("it is there");
    }
}
