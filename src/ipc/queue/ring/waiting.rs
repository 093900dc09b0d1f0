//! How long an operation waits, and how: a few microseconds awake while the other side is busy, then asleep in the kernel.

use std::time::Duration;

use crate::ipc::deadline::{Deadline, LIVENESS_CHECK_NS};
use crate::ipc::queue::event_count::EventCount;
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;

use super::cursor::{Cursor, Seen};
use super::spin::Spin;

/// How long one operation is willing to wait, over all of its waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// `None`: not at all.
    until: Option<Deadline>,
    has_spun: bool,
}

/// What a wait came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something may have changed: look again.
    Retry,
    /// The operation has waited as long as it was willing to.
    TimedOut,
    /// Nobody is left who could change anything.
    Disconnected,
}

/// What the last look before a sleep says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreSleepCheck {
    Sleep,
    /// There is something to do after all.
    GoOn,
    /// What is waited for will never come.
    Disconnected,
}

impl PreSleepCheck {
    pub(crate) fn disconnected_if(is_hopeless: bool) -> Self {
        if is_hopeless { PreSleepCheck::Disconnected } else { PreSleepCheck::Sleep }
    }
}

impl Waiting {
    /// Does not wait.
    pub(crate) const NO: Waiting = Waiting { until: None, has_spun: true };
    /// Waits as long as there is hope.
    pub(crate) const FOREVER: Waiting = Waiting { until: Some(Deadline::NEVER), has_spun: false };

    /// Waits at most `timeout` from now; not at all if it is zero.
    pub(crate) fn at_most(timeout: Duration) -> Self {
        let until = (!timeout.is_zero()).then(|| Deadline::after(timeout));
        Waiting { until, has_spun: until.is_none() }
    }

    /// When to wake up and look who lives; `None` if there is no more time at all.
    pub(crate) fn next_check_ns(&self) -> Option<u64> {
        let now = monotonic_ns();
        let look = now + LIVENESS_CHECK_NS;
        match self.until?.at_ns() {
            Some(end) if end <= now => None,
            Some(end) => Some(end.min(look)),
            None => Some(look),
        }
    }

    /// The operation got something done: what it waits for next may be near again.
    pub(crate) fn progressed(&mut self) {
        self.has_spun = !self.will();
    }

    /// Whether the operation waits at all.
    #[inline]
    pub(crate) fn will(&self) -> bool {
        self.until.is_some()
    }

    /// Waits until `cursor` moves beyond `seen`, `event_count` rings, or it is time to look again.
    ///
    /// `last_look` is taken once a sleep is announced, so nothing that rings the event count after it can be missed.
    pub(crate) fn wait(
        &mut self,
        cursor: &Cursor,
        seen: Seen,
        event_count: &EventCount,
        spin: &Spin,
        last_look: impl FnOnce() -> PreSleepCheck,
    ) -> Waited {
        // An operation spins once: what did not come in microseconds is waited for asleep.
        if !std::mem::replace(&mut self.has_spun, true) && spin.until(|| cursor.has_moved(seen)) {
            return Waited::Retry;
        }
        let sleep = self.next_check_ns().map(|look_ns| (look_ns, event_count.announce_sleeper()));
        if sleep.is_some() && !cursor.announce_sleeper(seen) {
            return Waited::Retry;
        }
        match last_look() {
            PreSleepCheck::Sleep => {}
            // Whoever left may have published before.
            PreSleepCheck::Disconnected if !cursor.has_moved(seen) => return Waited::Disconnected,
            PreSleepCheck::Disconnected | PreSleepCheck::GoOn => return Waited::Retry,
        }
        let Some((look_ns, event_count)) = sleep else { return Waited::TimedOut };
        let asleep_ns = monotonic_ns();
        futex::wait_all_unchanged([cursor.sleep_on(seen), event_count], look_ns);
        spin.slept(monotonic_ns() - asleep_ns);
        Waited::Retry
    }
}
