//! A pair of memory barriers of which only the rare one costs something: for two sides that each write one word and
//! then read the other's.
//!
//! # Ordering
//! A side that calls [`light`] between its two steps and one that calls [`heavy`] cannot both miss the other's write.
//! `heavy` makes every processor that runs a registered process execute a full barrier, so `light` only has to keep the
//! compiler from moving the two steps. Where the kernel does not provide this, both are full barriers, and a process
//! that cannot register is never relied on: its `light` is a full barrier too.
//!
//! # Standard
//! `membarrier(2)` `MEMBARRIER_CMD_GLOBAL_EXPEDITED`, Linux 4.16.

use nix::errno::Errno;
use nix::libc;

use super::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};

/// 0 until registration was tried, 1 if it failed, 2 if it succeeded.
static REGISTERED: AtomicU32 = AtomicU32::new(0);

const GLOBAL_EXPEDITED: libc::c_int = 1 << 1;
const REGISTER_GLOBAL_EXPEDITED: libc::c_int = 1 << 2;

/// Registers this process, once. In a process with several threads it takes the kernel ten milliseconds.
pub(crate) fn register() {
    if REGISTERED.load(Relaxed) == 0 {
        REGISTERED.store(1 + u32::from(call(REGISTER_GLOBAL_EXPEDITED)), Relaxed);
    }
}

fn call(command: libc::c_int) -> bool {
    // SAFETY: the system call takes numbers only.
    Errno::result(unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) }).is_ok()
}

/// The barrier of the side that must be fast.
#[inline]
pub(crate) fn light() {
    if REGISTERED.load(Relaxed) == 2 {
        std::sync::atomic::compiler_fence(SeqCst);
    } else {
        fence(SeqCst);
    }
}

/// The barrier of the side that is about to sleep.
pub(crate) fn heavy() {
    fence(SeqCst);
    if REGISTERED.load(Relaxed) == 2 {
        // Sleepers check from time to time in any case.
        call(GLOBAL_EXPEDITED);
    }
}
