//! Sleeping on a word of shared memory until it changes.
//!
//! # Ordering
//! The kernel compares the word and enqueues the sleeper in one step, so a change followed by a wake is never missed.
//! Nothing here orders other memory: callers load the word with `Acquire` after they wake.
//!
//! # Standard
//! `futex(2)`. Never with `FUTEX_PRIVATE_FLAG`: the waiters are in other processes.

use std::io;
use std::ptr;

use nix::errno::Errno;
use nix::libc;

use super::atomic::AtomicU32;
use super::clock::timespec_of;

/// Wakes all waiters, as a waiter count.
pub(crate) const ALL: i32 = i32::MAX;

/// Blocks while `word` holds `expected`, at most until `until_ns` on the monotonic clock.
///
/// Returns `false` only on timeout. `true` means only "check again": the word differed, or a wake or a signal ended the
/// wait.
pub(crate) fn wait(word: &AtomicU32, expected: u32, until_ns: Option<u64>) -> bool {
    let until = until_ns.map(timespec_of);
    let until_ptr = until.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: FUTEX_WAIT_BITSET reads the word, which `word` keeps mapped and aligned, and the timespec, which `until`
    // keeps alive for the call (or null: no end).
    let outcome = Errno::result(unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT_BITSET,
            expected,
            until_ptr,
            ptr::null::<u32>(),
            libc::FUTEX_BITSET_MATCH_ANY,
        )
    });
    match outcome {
        Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => true,
        Err(Errno::ETIMEDOUT) => false,
        Err(errno) => unreachable!("futex wait on a mapped, aligned word: {errno}"),
    }
}

/// Wakes at most `count` sleepers of `word` and returns how many it woke.
pub(crate) fn wake(word: &AtomicU32, count: i32) -> u32 {
    // SAFETY: FUTEX_WAKE only uses the address of the word, which `word` keeps mapped and aligned.
    let woken = Errno::result(unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE, count) });
    woken.expect("futex wake on a mapped, aligned word cannot fail") as u32
}

/// Adds one to `word` and wakes all of its sleepers, in one system call.
///
/// A process killed before the call has done neither, one killed after it both: a death cannot separate a change from
/// its wake and leave a sleeper behind.
pub(crate) fn add_one_and_wake_all(word: &AtomicU32) -> u32 {
    change_and_wake(word, libc::FUTEX_OP_ADD, 1, ALL)
}

/// Adds `addend` (below 2,048) to `word` and wakes at most `count` of its sleepers (at least one), in one system call.
pub(crate) fn add_and_wake(word: &AtomicU32, addend: u16, count: i32) -> u32 {
    change_and_wake(word, libc::FUTEX_OP_ADD, addend, count)
}

/// Sets `bits` (below 2,048) in `word` and wakes all of its sleepers, in one system call.
pub(crate) fn set_bits_and_wake_all(word: &AtomicU32, bits: u16) -> u32 {
    change_and_wake(word, libc::FUTEX_OP_OR, bits, ALL)
}

fn change_and_wake(word: &AtomicU32, operation: i32, operand: u16, count: i32) -> u32 {
    // The kernel sign-extends a twelve-bit operand.
    debug_assert!(operand < 1 << 11, "{operand} does not fit the operand of FUTEX_WAKE_OP");
    #[cfg(all(debug_assertions, feature = "cli"))]
    let operand = super::failpoint::change_first(word, operation, operand);
    let change = libc::FUTEX_OP(operation, i32::from(operand), libc::FUTEX_OP_CMP_LT, 0);
    // SAFETY: FUTEX_WAKE_OP changes the second word, here the same as the first, atomically in the kernel; `word` keeps
    // it mapped and aligned. The fourth argument is the count for the second word: none, it is the same queue.
    let woken = Errno::result(unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE_OP, count, 0usize, word.as_ptr(), change)
    });
    woken.map_err(io::Error::from).expect("futex wake-op on a mapped, aligned word cannot fail") as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};
    use crate::sys::atomic::Ordering::SeqCst;
    use crate::sys::clock::monotonic_ns;

    #[test]
    fn wait_on_another_value_returns_at_once() {
        assert!(wait(&AtomicU32::new(1), 0, None));
    }

    #[test]
    fn wait_until_the_past_times_out() {
        assert!(!wait(&AtomicU32::new(1), 1, Some(monotonic_ns() - 1)));
    }

    #[test]
    fn add_one_and_wake_all_does_both() {
        let _watchdog = watchdog();
        let word = AtomicU32::new(7);
        let sleep = || {
            while word.load(SeqCst) == 7 {
                wait(&word, 7, None);
            }
        };
        with_sleepers(1, sleep, || {
            add_one_and_wake_all(&word);
        });
        assert_eq!(word.load(SeqCst), 8);
    }
}
