//! How an operation waits: it spins for a few microseconds while the peer is busy, then sleeps in the kernel.

use std::time::Duration;

use super::cursor::{Cursor, Seen};
use super::spin::Spin;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::ipc::operation::{Object, Waits};
use crate::ipc::queue::event_count::EventCount;
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;

/// The timeout of one operation, over all of its waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// `None`: not at all.
    until: Option<Deadline>,
    has_spun: bool,
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
        self.left().map(Deadline::next_check)
    }

    /// Returns the deadline; `None` if it has passed, or there is no wait at all.
    pub(crate) fn left(&self) -> Option<Deadline> {
        self.until.filter(|until| !until.has_passed())
    }

    /// To be called after progress: the next event may be close again, so spinning is allowed once more.
    pub(crate) fn progressed(&mut self) {
        self.has_spun = !self.will();
    }

    /// Passes the point of an operation that waits without limit, for a limited time, or not at all. `look` tells
    /// whether it could go on without waiting.
    #[inline]
    pub(crate) fn point(&self, operations: &Waits, object: &impl Object, look: impl Fn() -> bool) {
        operations.pass_until(self.until, object, look);
    }

    /// Returns whether the operation waits at all.
    #[inline]
    pub(crate) fn will(&self) -> bool {
        self.until.is_some()
    }

    /// Blocks until `cursor` moves beyond `seen`, `event_count` is notified, or it is time for the next check. Returns
    /// `false` if the operation's timeout has passed.
    ///
    /// `can_happen` is called after the sleep is announced, so no later notification can be missed. It returns `false`
    /// if the caller need not sleep after all, and an error if the awaited event can no longer happen.
    pub(crate) fn wait(
        &mut self,
        cursor: &Cursor,
        seen: Seen,
        event_count: &EventCount,
        spin: &Spin,
        can_happen: impl FnOnce() -> Result<bool>,
    ) -> Result<bool> {
        // An operation spins once: what does not happen within microseconds is waited for asleep.
        if !std::mem::replace(&mut self.has_spun, true) && spin.until(|| cursor.has_moved(seen)) {
            return Ok(true);
        }
        let sleep = self.next_check_ns().map(|look_ns| (look_ns, event_count.announce_sleeper()));
        if sleep.is_some() && !cursor.announce_sleeper(seen) {
            return Ok(true);
        }
        match can_happen() {
            Ok(true) => {}
            // A peer that left may have published before.
            Err(error) if !cursor.has_moved(seen) => return Err(error),
            _ => return Ok(true),
        }
        let Some((look_ns, event_count)) = sleep else { return Ok(false) };
        let asleep_ns = monotonic_ns();
        futex::wait_all_unchanged([cursor.sleep_on(seen), event_count], look_ns);
        spin.slept(monotonic_ns() - asleep_ns);
        Ok(true)
    }
}
