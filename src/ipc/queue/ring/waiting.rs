//! How an operation waits: it spins for a few microseconds while the peer is busy, then sleeps in the kernel.

use std::time::Duration;

use crate::ipc::deadline::{Deadline, LIVENESS_CHECK_NS};
use crate::ipc::operation::{Object, Waits};
use crate::ipc::queue::event_count::EventCount;
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;

use super::cursor::{Cursor, Seen};
use super::spin::Spin;

/// The timeout of one operation, over all of its waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// `None`: not at all.
    until: Option<Deadline>,
    has_spun: bool,
}

/// The outcome of a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// Something may have changed: look again.
    Retry,
    /// The operation's timeout has passed.
    TimedOut,
    /// No process is left that could change anything.
    Disconnected,
}

/// The result of the last check before a sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PreSleepCheck {
    Sleep,
    /// There is something to do after all.
    GoOn,
    /// What is waited for can no longer happen.
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
    /// Waits until success or disconnection.
    pub(crate) const FOREVER: Waiting = Waiting { until: Some(Deadline::NEVER), has_spun: false };

    /// Waits for at most `timeout` from now; not at all if it is zero.
    pub(crate) fn at_most(timeout: Duration) -> Self {
        let until = (!timeout.is_zero()).then(|| Deadline::after(timeout));
        Waiting { until, has_spun: until.is_none() }
    }

    /// As [`at_most`](Self::at_most), or until success or disconnection if there is no `timeout`.
    #[inline]
    pub(crate) fn within(timeout: Option<Duration>) -> Self {
        timeout.map_or(Waiting::FOREVER, Waiting::at_most)
    }

    /// Returns when to wake up and check for dead processes; `None` on timeout.
    pub(crate) fn next_check_ns(&self) -> Option<u64> {
        let now = monotonic_ns();
        let look = now + LIVENESS_CHECK_NS;
        match self.until?.at_ns() {
            Some(end) if end <= now => None,
            Some(end) => Some(end.min(look)),
            None => Some(look),
        }
    }

    /// To be called after progress: the next event may be close again, so spinning is allowed once more.
    pub(crate) fn progressed(&mut self) {
        self.has_spun = !self.will();
    }

    /// Passes the point of an operation that waits without limit, for a limited time, or not at all. `look` tells
    /// whether it could go on without waiting.
    #[inline]
    pub(crate) fn point(&self, operations: &Waits, object: &impl Object, look: impl Fn() -> bool) {
        let is_endless = self.until == Some(Deadline::NEVER);
        let timeout = if self.will() { Duration::MAX } else { Duration::ZERO };
        operations.pass((!is_endless).then_some(timeout), object, look);
    }

    /// Returns whether the operation waits at all.
    #[inline]
    pub(crate) fn will(&self) -> bool {
        self.until.is_some()
    }

    /// Blocks until `cursor` moves beyond `seen`, `event_count` is notified, or it is time for the next check.
    ///
    /// `last_look` is called once the sleep is announced, so no notification after it can be missed.
    pub(crate) fn wait(
        &mut self,
        cursor: &Cursor,
        seen: Seen,
        event_count: &EventCount,
        spin: &Spin,
        last_look: impl FnOnce() -> PreSleepCheck,
    ) -> Waited {
        // An operation spins once: what does not happen within microseconds is waited for asleep.
        if !std::mem::replace(&mut self.has_spun, true) && spin.until(|| cursor.has_moved(seen)) {
            return Waited::Retry;
        }
        let sleep = self.next_check_ns().map(|look_ns| (look_ns, event_count.announce_sleeper()));
        if sleep.is_some() && !cursor.announce_sleeper(seen) {
            return Waited::Retry;
        }
        match last_look() {
            PreSleepCheck::Sleep => {}
            // A peer that left may have published before.
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
