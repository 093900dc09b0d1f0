//! How long an operation waits, and how: a few microseconds awake while the other side is busy, then asleep in the kernel.

use std::time::Duration;

use crate::ipc::deadline::{Deadline, LOOK_EVERY_NS};
use crate::ipc::queues::bell::Bell;
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;

use super::progress::{Progress, Seen};
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
    LookAgain,
    /// The operation has waited as long as it was willing to.
    TimedOut,
    /// Nobody is left who could change anything.
    Hopeless,
}

/// What the last look before a sleep says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastLook {
    Sleep,
    /// There is something to do after all.
    GoOn,
    /// What is waited for will never come.
    Hopeless,
}

impl LastLook {
    pub(crate) fn hopeless_if(is_hopeless: bool) -> Self {
        if is_hopeless { LastLook::Hopeless } else { LastLook::Sleep }
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
    pub(crate) fn next_look_ns(&self) -> Option<u64> {
        let now = monotonic_ns();
        let look = now + LOOK_EVERY_NS;
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

    /// Waits until `progress` moves beyond `seen`, `bell` rings, or it is time to look again.
    ///
    /// `last_look` is taken once a sleep is announced, so nothing that rings the bell after it can be missed.
    pub(crate) fn wait(
        &mut self,
        progress: &Progress,
        seen: Seen,
        bell: &Bell,
        spin: &Spin,
        last_look: impl FnOnce() -> LastLook,
    ) -> Waited {
        // An operation spins once: what did not come in microseconds is waited for asleep.
        if !std::mem::replace(&mut self.has_spun, true) && spin.until(|| progress.has_moved(seen)) {
            return Waited::LookAgain;
        }
        let sleep = self.next_look_ns().map(|look_ns| (look_ns, bell.announce_sleeper()));
        if sleep.is_some() && !progress.announce_sleeper(seen) {
            return Waited::LookAgain;
        }
        match last_look() {
            LastLook::Sleep => {}
            // Whoever left may have published before.
            LastLook::Hopeless if !progress.has_moved(seen) => return Waited::Hopeless,
            LastLook::Hopeless | LastLook::GoOn => return Waited::LookAgain,
        }
        let Some((look_ns, bell)) = sleep else { return Waited::TimedOut };
        let asleep_ns = monotonic_ns();
        futex::wait_all_unchanged([progress.sleep_on(seen), bell], look_ns);
        spin.slept(monotonic_ns() - asleep_ns);
        Waited::LookAgain
    }
}
