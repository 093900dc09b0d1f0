//! Adaptive spinning: whether and how long to spin before a sleep, and whether to let items gather first, learnt from
//! previous waits.
//!
//! # State
//! Private to a handle, and only a heuristic: threads that share the handle may overwrite it.
//!
//! # Standard
//! The adaptive mutex of glibc (`PTHREAD_MUTEX_ADAPTIVE_NP`): spin while it pays.

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;

use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::clock::monotonic_ns;

/// How long a spin lasts while spinning pays off.
const SPIN_NS: u64 = 16_000;
/// Failed spins before the peer is considered idle.
const IDLE_AFTER: u32 = 4;
/// How long a spin lasts after the peer was woken, which takes tens of microseconds on a virtual machine: two sides that do
/// not wait for that sleep in turns, each while the other is awake. An idle peer is tried again as long, now and then.
const WAKING_NS: u64 = 100_000;
/// Trials are so rare that together they cost about a microsecond per wait.
const TRIAL_EVERY: u32 = 64;

/// Pauses between two attempts.
const PAUSES: u32 = 4;

/// How many items between two waits make a stream: there is no hurry to look again.
const STREAM: u64 = 4;
/// Interval between two attempts in a stream: each takes a cache line away from the other side.
const STREAM_NS: u64 = 2_000;
/// How few steps between two waits mean that both sides go in step: each attempt then takes the cache line away from the
/// other side.
const IN_STEP: std::ops::Range<u64> = 1..16;
/// How long to let items gather where both sides go in step.
const GATHER_NS: u64 = 2_000;
/// Maximum number of in-step waits before the next trial of that. The number doubles after each trial without effect.
const MOST_BEFORE_TRIAL: u32 = 4096;

/// What a handle has learnt about one kind of its waits.
#[derive(Debug, Default)]
pub(crate) struct Spin {
    /// Consecutive waits that spinning would not have ended.
    in_vain: AtomicU32,
    /// Position at the last wait.
    position: AtomicU64,
    /// Consecutive waits in step.
    in_step: AtomicU32,
    /// After how many of them items are left to gather.
    gather_after: AtomicU32,
    /// Whether the peer was woken since the last wait.
    is_waking: AtomicBool,
    /// Consecutive waits for a peer that was woken which spinning would not have ended: it has no processor.
    waking_in_vain: AtomicU32,
}

impl Spin {
    /// Spins until `is_done`, for as long as it may pay off: not at all after recent failures. `position` grows by one
    /// with each item.
    pub(crate) fn until(&self, position: u64, is_done: impl FnMut() -> bool) -> bool {
        let is_stream = position.wrapping_sub(self.position.load(Relaxed)) >= STREAM;
        let gather_ns = if self.has_to_gather(position) { GATHER_NS } else { 0 };
        let every_ns = if is_stream { STREAM_NS } else { 0 };
        let is_waking = self.is_waking.load(Relaxed);
        let (in_vain, waking_in_vain) = (self.in_vain.load(Relaxed), self.waking_in_vain.load(Relaxed));
        let limit_ns = match in_vain {
            _ if is_waking && is_trial(waking_in_vain) => WAKING_NS,
            0..IDLE_AFTER => SPIN_NS,
            _ if is_trial(in_vain) => WAKING_NS,
            _ => 0,
        };
        let done = limit_ns > 0 && spin(gather_ns.max(every_ns), every_ns, limit_ns, is_done);
        let count = |in_vain: u32| if done { 0 } else { in_vain.wrapping_add(1) };
        self.in_vain.store(count(in_vain), Relaxed);
        if is_waking {
            self.is_waking.store(false, Relaxed);
            self.waking_in_vain.store(count(waking_in_vain), Relaxed);
        }
        done
    }

    /// Records a wait, and returns whether items should gather first.
    fn has_to_gather(&self, position: u64) -> bool {
        let last = self.position.swap(position, Relaxed);
        let (in_step, after) = (self.in_step.load(Relaxed), self.gather_after.load(Relaxed));
        let is_in_step = IN_STEP.contains(&position.wrapping_sub(last));
        // The last wait may have been such a trial.
        let was_trial = in_step > after;
        if was_trial {
            let doubled = (2 * after + 1).min(MOST_BEFORE_TRIAL);
            self.gather_after.store(if is_in_step { doubled } else { 0 }, Relaxed);
        }
        let in_step = if is_in_step { if was_trial { 1 } else { in_step + 1 } } else { 0 };
        self.in_step.store(in_step, Relaxed);
        in_step > self.gather_after.load(Relaxed)
    }

    /// Records that the peer was woken.
    #[cold]
    pub(crate) fn peer_is_waking(&self) {
        self.is_waking.store(true, Relaxed);
    }

    /// Records how long a sleep took: after a short one, spinning would have paid off.
    pub(crate) fn slept(&self, ns: u64) {
        if ns < SPIN_NS {
            self.in_vain.store(0, Relaxed);
        }
    }
}

/// Returns whether to spin long after this many waits in a row for which it did not pay.
fn is_trial(in_vain: u32) -> bool {
    in_vain.is_power_of_two() || in_vain.is_multiple_of(TRIAL_EVERY)
}

/// Makes the first attempt after `first_ns`, and others at an interval of `every_ns`.
fn spin(first_ns: u64, every_ns: u64, limit_ns: u64, mut is_done: impl FnMut() -> bool) -> bool {
    let begin_ns = monotonic_ns();
    let (mut now_ns, mut next_ns) = (begin_ns, begin_ns + first_ns);
    loop {
        (0..PAUSES).for_each(|_| spin_loop());
        if now_ns >= next_ns {
            if is_done() {
                return true;
            }
            next_ns = now_ns + every_ns;
        }
        now_ns = monotonic_ns();
        if now_ns > begin_ns + limit_ns {
            return false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Returns whether it looked, and the result.
    fn looks(spin: &Spin, answer: bool) -> (bool, bool) {
        let looked = Cell::new(false);
        let said = spin.until(0, || {
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
    fn peer_that_was_woken_is_waited_for_unless_that_was_in_vain() {
        let spin = Spin::default();
        while looks(&spin, false).0 || spin.in_vain.load(Relaxed) < 5 {}
        let woken = |answer| {
            spin.peer_is_waking();
            looks(&spin, answer)
        };
        let waited: Vec<u32> = (0..6).filter(|_| woken(false).0).collect();
        assert_eq!(waited, [0, 1, 2, 4]);
        while woken(true) != (true, true) {}
        assert_eq!(woken(false), (true, false), "one that paid makes the next worth while");
    }

    #[test]
    fn sides_in_step_let_something_gather_while_that_pays() {
        let spin = Spin::default();
        let mut position = 0;
        let mut waits_after = |steps: u64| {
            position += steps;
            spin.has_to_gather(position)
        };
        assert!(!waits_after(0), "nothing came at all");
        for _ in 0..10 {
            assert!(waits_after(2), "they are in step");
            assert!(!waits_after(100), "it pays: not before they are in step again");
        }
        // Where each item is an answer to the one before, it never pays.
        let gathered = (0..3 * MOST_BEFORE_TRIAL).filter(|_| waits_after(1));
        assert_eq!(gathered.count(), 14);
    }
}
