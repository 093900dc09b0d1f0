//! The clock of a run: its time, and the speed of simulated pauses. The runner can change both during the run, and hold
//! all workers.
//!
//! # State
//! The rate of pauses, the time if it is not the system's, and a counter of changes, which is the word that pauses wait
//! on. A pause waits for its end at the current rate, or for a change; then it continues at the new rate. While the clock
//! is held, its time stands still, so no pause ends, and who reports an event waits.
//!
//! # Ordering
//! A change is stored before it is counted, so a reader that sees the counter also sees the change.
//!
//! # Death
//! The workers only read: a killed one leaves nothing behind. They end with their runner.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::speed::Speed;
use crate::ipc::deadline::Deadline;
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    struct ClockState = b"runclock" {
        /// How fast pauses pass, as the bits of an `f64`: 0 stops them, infinity ends them at once.
        rate: AtomicU64,
        /// When the run began, on the monotonic clock.
        began_ns: AtomicU64,
        /// The time since the run began, or [`SYSTEM_TIME`].
        virtual_ns: AtomicU64,
        /// The time at which the clock is held, or [`SYSTEM_TIME`].
        held_ns: AtomicU64,
        /// For how long it was held before.
        skipped_ns: AtomicU64,
        /// A bit for each worker that pauses.
        pausing: [AtomicU64; PAUSING_WORDS],
        changes: AtomicU32,
        padding: AtomicU32,
    }
}

/// Workers whose numbers differ by a multiple of 4,096 share a bit.
const PAUSING_WORDS: usize = 64;

/// The clock is the system's.
const SYSTEM_TIME: u64 = u64::MAX;

/// The clock of a run, shared with its workers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Clock(Mapping<ClockState>);

impl Clock {
    /// Starts a clock.
    pub(crate) fn start(speed: Speed) -> crate::Result<Self> {
        let state = Mapping::create(0, |state: &ClockState| {
            state.rate.store(speed.rate().to_bits(), Relaxed);
            state.began_ns.store(monotonic_ns(), Relaxed);
            state.virtual_ns.store(SYSTEM_TIME, Relaxed);
            state.held_ns.store(SYSTEM_TIME, Relaxed);
            Ok(())
        });
        Ok(Clock(state.map_err(|source| crate::Error::Os { action: "make a clock", source })?))
    }

    /// Returns the microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        self.now_ns() / 1_000
    }

    /// As [`now_us`](Self::now_us), by the system's clock: for what takes real time.
    pub(crate) fn system_us(&self) -> u64 {
        self.system_ns() / 1_000
    }

    fn system_ns(&self) -> u64 {
        monotonic_ns().saturating_sub(self.0.began_ns.load(Relaxed))
    }

    fn now_ns(&self) -> u64 {
        match (self.0.virtual_ns.load(Relaxed), self.0.held_ns.load(Acquire)) {
            // pairs with: Clock::resume
            (SYSTEM_TIME, SYSTEM_TIME) => self.system_ns().saturating_sub(self.0.skipped_ns.load(Relaxed)),
            (SYSTEM_TIME, held_ns) => held_ns,
            (virtual_ns, _) => virtual_ns,
        }
    }

    /// Returns whether the time passes only by [`set_time`](Self::set_time).
    pub(crate) fn is_virtual(&self) -> bool {
        self.0.virtual_ns.load(Relaxed) != SYSTEM_TIME
    }

    /// Returns when something is reported that began at `at_us`: in virtual time, nothing else happens in between.
    pub(crate) fn since(&self, at_us: u64) -> u64 {
        if self.is_virtual() { self.now_us() } else { at_us }
    }

    /// Returns whether the time stands still and workers wait.
    pub(crate) fn is_held(&self) -> bool {
        self.0.held_ns.load(Relaxed) != SYSTEM_TIME
    }

    /// Lets the time stand still. Only one process may hold the clock, and only the system's time can be held.
    pub(crate) fn hold(&self) {
        self.change(&self.0.held_ns, self.now_ns());
    }

    /// Lets the time go on where it was held.
    pub(crate) fn resume(&self) {
        let held_ns = self.0.held_ns.load(Relaxed);
        if held_ns != SYSTEM_TIME {
            self.0.skipped_ns.store(self.system_ns().saturating_sub(held_ns), Relaxed);
            // A release: who sees that it is not held any more sees how long it was.
            self.0.held_ns.store(SYSTEM_TIME, Release);
            futex::add_one_and_wake_all(&self.0.changes);
        }
    }

    /// Blocks while the clock is held.
    pub(crate) fn wait_while_held(&self) {
        while self.is_held() {
            let changes = self.0.changes.load(Acquire);
            if self.is_held() {
                futex::wait(&self.0.changes, changes, None);
            }
        }
    }

    /// Returns the speed of pauses.
    pub(crate) fn speed(&self) -> Speed {
        Speed::of(self.rate())
    }

    fn rate(&self) -> f64 {
        f64::from_bits(self.0.rate.load(Relaxed))
    }

    /// Changes the speed of all pauses, also of those in progress.
    pub(crate) fn set_speed(&self, speed: Speed) {
        self.change(&self.0.rate, speed.rate().to_bits());
    }

    /// Sets the time since the run began; from now on it passes only by this.
    pub(crate) fn set_time(&self, since_began: Duration) {
        self.change(&self.0.virtual_ns, since_began.as_nanos() as u64);
    }

    /// As [`set_time`](Self::set_time), while nobody pauses: wakes nobody.
    pub(crate) fn advance(&self, since_began: Duration) {
        self.0.virtual_ns.store(since_began.as_nanos() as u64, Relaxed);
    }

    fn change(&self, value: &AtomicU64, new: u64) {
        value.store(new, Relaxed);
        // A release: pairs with the load in `pause`.
        futex::add_one_and_wake_all(&self.0.changes);
    }

    /// Pauses the worker with this number for `at_speed_one`, scaled to the speed.
    pub(crate) fn pause(&self, worker: u32, at_speed_one: Duration) {
        let mut pause = Pause::begin(self, at_speed_one);
        let (word, bit) = self.pausing(worker);
        loop {
            let changes = self.0.changes.load(Acquire);
            let Some(end) = pause.end() else { break };
            word.fetch_or(bit, Relaxed);
            futex::wait(&self.0.changes, changes, end.at_ns());
        }
        if word.load(Relaxed) & bit != 0 {
            word.fetch_and(!bit, Relaxed);
        }
    }

    /// Returns whether the worker with this number pauses; one that was killed may seem to.
    pub(crate) fn is_pausing(&self, worker: u32) -> bool {
        let (word, bit) = self.pausing(worker);
        word.load(Relaxed) & bit != 0
    }

    fn pausing(&self, worker: u32) -> (&AtomicU64, u64) {
        (&self.0.pausing[worker as usize / 64 % PAUSING_WORDS], 1 << (worker % 64))
    }
}

/// A pause in progress.
pub(crate) struct Pause<'c> {
    clock: &'c Clock,
    /// What is left of it, at speed 1, since `since_ns`; from then on it passes at `rate`.
    left: Duration,
    since_ns: u64,
    rate: f64,
}

impl<'c> Pause<'c> {
    /// Begins a pause of `at_speed_one`.
    pub(crate) fn begin(clock: &'c Clock, at_speed_one: Duration) -> Self {
        Pause { clock, left: at_speed_one, since_ns: clock.now_ns(), rate: clock.rate() }
    }

    /// Returns when it ends if the clock is not changed; `None` if it is over.
    pub(crate) fn end(&mut self) -> Option<Deadline> {
        let (now_ns, rate) = (self.clock.now_ns(), self.clock.rate());
        let elapsed = Duration::from_nanos(now_ns.saturating_sub(self.since_ns));
        // At an infinite rate, as after more than a duration can hold, nothing is left.
        let passed = Duration::try_from_secs_f64(elapsed.as_secs_f64() * self.rate).unwrap_or(Duration::MAX);
        (self.left, self.since_ns, self.rate) = (self.left.saturating_sub(passed), now_ns, rate);
        // At a rate near zero, the pause has no end.
        let left = Duration::try_from_secs_f64(self.left.as_secs_f64() / rate).unwrap_or(Duration::MAX);
        if self.left.is_zero() || left.is_zero() {
            return None;
        }
        let stands_still = self.clock.is_virtual() || self.clock.is_held();
        Some(if stands_still { Deadline::NEVER } else { Deadline::after(left) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};

    fn clock(speed: &str) -> Clock {
        Clock::start(speed.parse().expect("a speed")).expect("a clock")
    }

    fn max() -> Speed {
        "max".parse().expect("a speed")
    }

    /// Returns the end of a pause of one second that has just begun, from now.
    fn end_of_a_second(speed: &str) -> Option<Option<Duration>> {
        let clock = clock(speed);
        Pause::begin(&clock, Duration::from_secs(1)).end().map(Deadline::left)
    }

    #[test]
    fn speed_scales_pauses() {
        let is_about = |speed, wanted: u64| {
            let left = end_of_a_second(speed).flatten().expect("an end");
            assert!(left <= Duration::from_millis(wanted) && left > Duration::from_millis(wanted / 2), "{left:?}");
        };
        is_about("0.001", 1_000_000);
        is_about("0.01", 100_000);
        assert_eq!(end_of_a_second("max"), None);
        assert_eq!(end_of_a_second("1e-300"), Some(None));
    }

    #[test]
    fn new_speed_holds_for_what_is_left_of_a_pause() {
        let clock = clock("1");
        clock.set_time(Duration::ZERO);
        let mut pause = Pause::begin(&clock, Duration::from_secs(10));
        for (at_secs, left_secs, speed) in [(4, 6, "2"), (6, 2, "0.5"), (8, 1, "1")] {
            clock.set_time(Duration::from_secs(at_secs));
            clock.set_speed(speed.parse().expect("a speed"));
            assert_eq!(pause.end(), Some(Deadline::NEVER), "only a change of the time ends it");
            assert_eq!(pause.left, Duration::from_secs(left_secs));
        }
        clock.set_time(Duration::from_secs(9));
        assert_eq!(pause.end(), None);
        assert_eq!(clock.now_us(), 9_000_000);
    }

    #[test]
    fn change_of_the_speed_ends_pauses_in_progress() {
        let _watchdog = watchdog();
        let clock = clock("1e-9");
        with_sleepers(2, || clock.pause(65, Duration::from_secs(1)), || clock.set_speed(max()));
        assert!(!clock.is_pausing(65));
    }

    #[test]
    fn held_clock_holds_pauses_and_reports_until_it_goes_on() {
        let _watchdog = watchdog();
        let clock = clock("1");
        clock.hold();
        assert_eq!(clock.now_us(), clock.now_us());
        let resume = || {
            assert!(clock.is_pausing(3) && !clock.is_pausing(2));
            clock.resume();
        };
        with_sleepers(2, || clock.pause(3, Duration::from_nanos(1)), resume);
        clock.hold();
        with_sleepers(2, || clock.wait_while_held(), || clock.resume());
        // Not held, nobody waits.
        clock.wait_while_held();
    }

    #[test]
    fn time_goes_on_where_it_was_held() {
        let clock = clock("1");
        clock.0.began_ns.store(monotonic_ns() - 10_000_000_000, Relaxed);
        clock.hold();
        let held_us = clock.now_us();
        assert!((10_000_000..15_000_000).contains(&held_us), "{held_us}");
        // As if five seconds had passed.
        clock.0.began_ns.fetch_sub(5_000_000_000, Relaxed);
        assert_eq!(clock.now_us(), held_us);
        clock.resume();
        clock.resume();
        assert!((held_us..held_us + 4_000_000).contains(&clock.now_us()));
        assert!(clock.system_us() >= held_us + 5_000_000, "what takes real time is not held");
    }

    #[test]
    fn set_time_ends_pauses() {
        let _watchdog = watchdog();
        let clock = clock("1");
        clock.set_time(Duration::ZERO);
        with_sleepers(2, || clock.pause(0, Duration::from_nanos(1)), || clock.set_time(Duration::from_secs(1)));
    }
}
