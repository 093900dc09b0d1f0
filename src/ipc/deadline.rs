//! A point in time on the monotonic clock that limits a whole operation, however many waits it consists of.
//!
//! In an exploration the thread has a virtual clock instead, which only the explorer advances. What depends on that
//! clock is never waited for in the kernel: a deadline has passed, or it never will.

use std::cell::Cell;
use std::time::Duration;

use crate::sys::clock::monotonic_ns;

/// Interval between liveness checks while asleep: the longest sleep before the waiter rechecks its condition and its
/// peers. Well below the 250 ms within which a death must be detected.
pub(crate) const LOOK_EVERY: Duration = Duration::from_nanos(LIVENESS_CHECK_NS);
/// The same in nanoseconds.
pub(crate) const LIVENESS_CHECK_NS: u64 = 100_000_000;

/// The clock of a thread that an exploration schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VirtualClock {
    pub(crate) now_ns: u64,
    /// Whether the current operation times out, whenever its deadline is.
    pub(crate) times_out: bool,
}

thread_local! {
    static VIRTUAL: Cell<Option<VirtualClock>> = const { Cell::new(None) };
}

/// Sets this thread's virtual clock; `None` returns to the monotonic clock.
pub(crate) fn set_virtual(clock: Option<VirtualClock>) {
    VIRTUAL.set(clock);
}

/// Returns whether this thread has a virtual clock.
pub(crate) fn is_virtual() -> bool {
    VIRTUAL.get().is_some()
}

/// Advances this thread's virtual clock to `now_ns`, unless it is ahead, before an operation that `times_out` or not.
pub(crate) fn advance_virtual(now_ns: u64, times_out: bool) {
    let own_ns = VIRTUAL.get().map_or(0, |clock| clock.now_ns);
    set_virtual(Some(VirtualClock { now_ns: now_ns.max(own_ns), times_out }));
}

/// Returns the time on this thread's clock.
fn now_ns() -> u64 {
    VIRTUAL.get().map_or_else(monotonic_ns, |clock| clock.now_ns)
}

/// When to give up: a point in time, or never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deadline(Option<u64>);

impl Deadline {
    /// Never gives up.
    pub(crate) const NEVER: Deadline = Deadline(None);

    /// Gives up `timeout` from now. A deadline beyond the clock's range (centuries) means never.
    pub(crate) fn after(timeout: Duration) -> Self {
        let timeout_ns = u64::try_from(timeout.as_nanos()).ok();
        Deadline(timeout_ns.and_then(|timeout_ns| now_ns().checked_add(timeout_ns)))
    }

    /// As [`after`](Self::after), or never if there is no `timeout`.
    pub(crate) fn within(timeout: Option<Duration>) -> Self {
        timeout.map_or(Deadline::NEVER, Deadline::after)
    }

    /// Returns the earlier of this deadline and `timeout` from now, for a long wait with periodic checks.
    pub(crate) fn or_after(self, timeout: Duration) -> Self {
        Deadline::after(timeout).0.map_or(self, |at_ns| self.or_at(at_ns))
    }

    /// Returns the earlier of this deadline and another point in time on this thread's clock.
    pub(crate) fn or_at(self, at_ns: u64) -> Self {
        Deadline(Some(self.0.map_or(at_ns, |own_ns| own_ns.min(at_ns))))
    }

    /// Returns whether the deadline has passed.
    pub(crate) fn has_passed(self) -> bool {
        self.0.is_some_and(|at_ns| match VIRTUAL.get() {
            None => at_ns <= monotonic_ns(),
            Some(clock) => clock.times_out || at_ns <= clock.now_ns,
        })
    }

    /// Returns the latest time for the next check, on the monotonic clock.
    pub(crate) fn next_check(self) -> u64 {
        let look_ns = monotonic_ns() + LIVENESS_CHECK_NS;
        self.at_ns().map_or(look_ns, |at_ns| at_ns.min(look_ns))
    }

    /// Returns the time left until the deadline; `None` if there is no deadline.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0.map(|at_ns| Duration::from_nanos(at_ns.saturating_sub(now_ns())))
    }

    /// Returns the deadline in nanoseconds on the monotonic clock. One on a virtual clock is in the past, or never.
    pub(crate) fn at_ns(self) -> Option<u64> {
        match VIRTUAL.get() {
            None => self.0,
            Some(_) => self.has_passed().then_some(0),
        }
    }

    /// Returns the deadline in nanoseconds on this thread's clock.
    pub(crate) fn on_own_clock(self) -> Option<u64> {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_more_than_the_clock_counts_is_never() {
        assert_eq!(Deadline::after(Duration::MAX), Deadline::NEVER);
    }

    #[test]
    fn next_look_is_never_behind_the_end() {
        let soon = Deadline::after(Duration::from_millis(1));
        assert_eq!(Some(soon.next_check()), soon.at_ns());
        assert!(Deadline::NEVER.next_check() <= monotonic_ns() + LIVENESS_CHECK_NS);
        assert!(Deadline::after(Duration::ZERO).has_passed() && !Deadline::NEVER.has_passed());
    }

    #[test]
    fn virtual_clock_passes_only_when_it_is_advanced() {
        set_virtual(Some(VirtualClock { now_ns: 0, times_out: false }));
        let (now, soon) = (Deadline::after(Duration::ZERO), Deadline::after(Duration::from_nanos(7)));
        assert_eq!((now.has_passed(), now.at_ns(), soon.has_passed(), soon.at_ns()), (true, Some(0), false, None));
        assert!(soon.next_check() > monotonic_ns());
        advance_virtual(3, true);
        assert!(soon.has_passed() && !Deadline::NEVER.has_passed());
        advance_virtual(2, false);
        assert_eq!((soon.has_passed(), soon.left()), (false, Some(Duration::from_nanos(4))));
        advance_virtual(7, false);
        assert_eq!((soon.has_passed(), soon.next_check(), soon.left()), (true, 0, Some(Duration::ZERO)));
        set_virtual(None);
        assert!(Deadline::after(Duration::ZERO).at_ns() > Some(7));
    }

    #[test]
    fn after_a_hundred_years_is_a_moment() {
        assert!(Deadline::after(Duration::from_secs(100 * 365 * 24 * 3600)).at_ns().is_some());
    }
}
