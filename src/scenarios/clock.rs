//! The clock of a run: its time, and the speed of simulated pauses. The runner can change both during the run.
//!
//! # State
//! The rate of pauses, the time if it is not the system's, and a counter of changes, which is the word that pauses wait
//! on. A pause waits for its end at the current rate, or for a change; then it continues at the new rate.
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
use crate::sys::atomic::Ordering::{Acquire, Relaxed};
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
        changes: AtomicU32,
        padding: AtomicU32,
    }
}

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
        match self.0.virtual_ns.load(Relaxed) {
            SYSTEM_TIME => self.system_ns(),
            virtual_ns => virtual_ns,
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

    fn rate(&self) -> f64 {
        f64::from_bits(self.0.rate.load(Relaxed))
    }

    /// Changes the speed of all pauses, also of those in progress. [`Speed::STOPPED`] holds them.
    #[cfg_attr(not(test), expect(dead_code, reason = "for a run that is controlled while it lasts"))]
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

    /// Pauses for `at_speed_one`, scaled to the speed.
    pub(crate) fn pause(&self, at_speed_one: Duration) {
        let mut pause = Pause::begin(self, at_speed_one);
        loop {
            let changes = self.0.changes.load(Acquire);
            let Some(end) = pause.end() else { return };
            futex::wait(&self.0.changes, changes, end.at_ns());
        }
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
        // At a rate of zero, or near it, the pause has no end.
        let left = Duration::try_from_secs_f64(self.left.as_secs_f64() / rate).unwrap_or(Duration::MAX);
        if self.left.is_zero() || left.is_zero() {
            return None;
        }
        Some(if self.clock.is_virtual() { Deadline::NEVER } else { Deadline::after(left) })
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
        with_sleepers(2, || clock.pause(Duration::from_secs(1)), || clock.set_speed(max()));
    }

    #[test]
    fn stopped_clock_holds_pauses_until_it_goes_on() {
        let _watchdog = watchdog();
        let clock = clock("max");
        clock.set_speed(Speed::STOPPED);
        with_sleepers(2, || clock.pause(Duration::from_nanos(1)), || clock.set_speed(max()));
    }

    #[test]
    fn set_time_ends_pauses() {
        let _watchdog = watchdog();
        let clock = clock("1");
        clock.set_time(Duration::ZERO);
        with_sleepers(2, || clock.pause(Duration::from_nanos(1)), || clock.set_time(Duration::from_secs(1)));
    }
}
