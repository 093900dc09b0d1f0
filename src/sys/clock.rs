//! The monotonic clock, common to all processes of a machine.
//!
//! # Standard
//! `clock_gettime(2)`, `CLOCK_MONOTONIC`: it does not jump, and its timestamps are comparable between processes.

use nix::libc::timespec;
use nix::time::{ClockId, clock_gettime};

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Returns the time on the monotonic clock in nanoseconds, since some moment before the machine's first process.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("Linux always has a monotonic clock");
    // Seconds and nanoseconds of a running machine are never negative; 2^64 ns are 584 years.
    now.tv_sec() as u64 * NANOS_PER_SECOND + now.tv_nsec() as u64
}

/// Converts `at_ns` on the monotonic clock to the kernel's form.
pub(crate) fn timespec_of(at_ns: u64) -> timespec {
    timespec {
        // 2^64 ns are 18,446,744,073 s: both fit their fields.
        tv_sec: (at_ns / NANOS_PER_SECOND) as i64,
        tv_nsec: (at_ns % NANOS_PER_SECOND) as i64,
    }
}
