//! Adaptive spinning: whether and how long to spin before a sleep, and how often to look meanwhile, learnt from
//! previous waits and looks.
//!
//! # State
//! Private to a handle, and only a heuristic: threads that share the handle may overwrite it.
//!
//! # Standard
//! The adaptive mutex of glibc (`PTHREAD_MUTEX_ADAPTIVE_NP`): spin while it pays.

use std::hint::spin_loop;

use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};
use crate::sys::clock::monotonic_ns;

/// How long a spin lasts while spinning pays off.
const SPIN_NS: u64 = 4_000;
/// Failed spins before the peer is considered idle.
const IDLE_AFTER: u32 = 4;
/// How long an idle peer is tried again, now and then. Two sides that wake each other from sleep answer only after the
/// tens of microseconds that waking takes on a virtual machine: a shorter trial would never discover how fast they are
/// awake.
const TRIAL_NS: u64 = 100_000;
/// Trials are so rare that together they cost about a microsecond per wait.
const TRIAL_EVERY: u32 = 64;

/// Pauses between two looks in request-reply traffic.
const SHORT_PAUSES: u32 = 4;
/// The same for a stream: each look takes the cache line away from the next writer, so items are left to gather for a
/// few microseconds.
const LONG_PAUSES: u32 = 256;
/// Steps of the peer between two looks from which on they count as a stream.
const STREAM_STEPS: u64 = 4;
/// Pauses before a look where both sides go in step, and how few steps a look then finds.
const GATHER_PAUSES: u32 = 512;
const IN_STEP: u64 = 16;
/// Maximum number of in-step looks before the next trial of a pause. The number doubles after each trial without
/// effect.
const MOST_BEFORE_TRIAL: u32 = 4096;
/// How often a short pause is followed by a long one, to detect a stream.
const LONG_EVERY: u32 = 16;

/// What a handle has learnt about one kind of its waits.
#[derive(Debug, Default)]
pub(crate) struct Spin {
    /// Consecutive waits that spinning would not have ended.
    in_vain: AtomicU32,
    /// Consecutive looks that found almost nothing.
    meagre: AtomicU32,
    /// Consecutive looks that found little although nothing was waited for.
    in_step: AtomicU32,
    /// After how many of them a pause lets items gather.
    gather_after: AtomicU32,
}

impl Spin {
    /// Spins until `is_done`, for as long as it may pay off: not at all after recent failures.
    pub(crate) fn until(&self, is_done: impl Fn() -> bool) -> bool {
        let in_vain = self.in_vain.load(Relaxed);
        let limit_ns = match in_vain {
            0..IDLE_AFTER => SPIN_NS,
            _ if in_vain.is_power_of_two() || in_vain.is_multiple_of(TRIAL_EVERY) => TRIAL_NS,
            _ => 0,
        };
        let done = limit_ns > 0 && self.spin(limit_ns, is_done);
        self.in_vain.store(if done { 0 } else { in_vain.wrapping_add(1) }, Relaxed);
        done
    }

    /// To be called before a look. Two sides of the same speed would go in step, and take the cache line away from each
    /// other for every item; this pauses to let some gather.
    #[inline]
    pub(crate) fn gather(&self) {
        if self.has_to_gather() {
            pause(GATHER_PAUSES);
        }
    }

    fn has_to_gather(&self) -> bool {
        self.in_step.load(Relaxed) > self.gather_after.load(Relaxed)
    }

    /// Records how long a sleep took: after a short one, spinning would have paid off.
    pub(crate) fn slept(&self, ns: u64) {
        if ns < SPIN_NS {
            self.in_vain.store(0, Relaxed);
        }
    }

    /// Records how far the peer has advanced between two looks.
    #[inline]
    pub(crate) fn found(&self, steps: u64) {
        let is_in_step = (1..IN_STEP).contains(&steps);
        let mut in_step = if is_in_step { self.in_step.load(Relaxed).wrapping_add(1) } else { 0 };
        if self.has_to_gather() {
            // The pause before this look either had an effect or not.
            let doubled = (2 * self.gather_after.load(Relaxed) + 1).min(MOST_BEFORE_TRIAL);
            self.gather_after.store(if is_in_step { doubled } else { 0 }, Relaxed);
            in_step = 0;
        }
        self.in_step.store(in_step, Relaxed);
        if steps >= STREAM_STEPS {
            self.meagre.store(0, Relaxed);
        } else if steps > 0 {
            self.meagre.store(self.meagre.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    fn spin(&self, limit_ns: u64, is_done: impl Fn() -> bool) -> bool {
        let is_stream = self.meagre.load(Relaxed).is_multiple_of(LONG_EVERY);
        let pauses = if is_stream { LONG_PAUSES } else { SHORT_PAUSES };
        let end_ns = monotonic_ns() + limit_ns;
        loop {
            pause(pauses);
            if is_done() {
                return true;
            }
            if monotonic_ns() > end_ns {
                return false;
            }
        }
    }
}

fn pause(times: u32) {
    for _ in 0..times {
        spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Returns whether it looked, and the result.
    fn looks(spin: &Spin, answer: bool) -> (bool, bool) {
        let looked = Cell::new(false);
        let said = spin.until(|| {
            looked.set(true);
            answer
        });
        (looked.get(), said)
    }

    #[test]
    fn spinning_stops_while_it_does_not_pay_and_is_tried_again() {
        let spin = Spin::default();
        let spun: Vec<u32> = (0..=2 * TRIAL_EVERY).filter(|_| looks(&spin, false).0).collect();
        assert_eq!(spun, [0, 1, 2, 3, 4, 8, 16, 32, 64, 128]);
        while looks(&spin, true) != (true, true) {}
        assert_eq!(looks(&spin, false), (true, false), "one that paid makes the next worth while");
    }

    #[test]
    fn short_sleep_makes_the_next_spin_worth_while() {
        let spin = Spin::default();
        while looks(&spin, false).0 || spin.in_vain.load(Relaxed) < 5 {}
        spin.slept(SPIN_NS);
        assert_eq!(looks(&spin, false), (false, false), "that was a real sleep");
        spin.slept(SPIN_NS - 1);
        assert_eq!(looks(&spin, false), (true, false));
    }

    #[test]
    fn sides_in_step_let_something_gather_while_that_pays() {
        let spin = Spin::default();
        spin.found(0);
        assert!(!spin.has_to_gather(), "who waits is not in step");
        for _ in 0..10 {
            spin.found(2);
            assert!(spin.has_to_gather());
            spin.found(100);
            assert!(!spin.has_to_gather(), "it pays: not before they are in step again");
        }
        // A thread that puts and gets in turn always finds what it has put.
        let gathered = (0..3 * MOST_BEFORE_TRIAL).filter(|_| {
            spin.found(1);
            spin.has_to_gather()
        });
        assert_eq!(gathered.count(), 13);
    }
}
