//! How an operation waits: it spins for a few microseconds while the peer is busy, then sleeps in the kernel.

use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::event_count::EventCount;
use crate::ipc::operation::{Object, Waits};
use crate::ipc::spin::Spin;
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::clock::monotonic_ns;
use crate::sys::futex;
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::shared_layout;

shared_layout! {
    /// Where the operations of one kind wait: one of them sleeps on the event count, and those behind it on the mutex
    /// that it holds, so that one event wakes one of them. A killed one hands on the mutex.
    pub(crate) struct WaitQueue {
        pub(crate) mutex: RobustMutex,
        padding: [AtomicU64; 11],
        // Not on the mutex's cache line: the other side looks at it after each item.
        pub(crate) event: EventCount,
        distance: [AtomicU32; 31],
    }
}
const _: () = assert!(size_of::<WaitQueue>() == 256);

/// The timeout of one operation, over all of its waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    /// `None`: not at all.
    until: Option<Deadline>,
}

impl Waiting {
    /// Does not wait.
    pub(crate) const NO: Waiting = Waiting { until: None };
    /// Waits until success or disconnection.
    pub(crate) const FOREVER: Waiting = Waiting { until: Some(Deadline::NEVER) };

    /// Waits for at most `timeout` from now; not at all if it is zero.
    pub(crate) fn at_most(timeout: Duration) -> Self {
        Waiting { until: (!timeout.is_zero()).then(|| Deadline::after(timeout)) }
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

    /// Calls `attempt` until it returns a result, and blocks between two calls until the event of `queue` has happened,
    /// or it is time for the next check. Returns `None` on timeout.
    ///
    /// `attempt` is told whether it is the last one before a sleep or the end, which may take more time. `refusal`
    /// returns an error if no attempt can succeed any more, unless one does that is made after that. If it `must_be_first`,
    /// no attempt is made while another one waits in line. `idle` is called after a sleep without an event.
    pub(crate) fn until<R>(
        &self,
        queue: &WaitQueue,
        (spin, position): (&Spin, u64),
        must_be_first: bool,
        mut attempt: impl FnMut(bool) -> Result<Option<R>>,
        refusal: impl Fn() -> Option<Error>,
        idle: impl Fn(),
    ) -> Result<Option<R>> {
        let mut done = Ok(None);
        let mut is_done = |is_last: bool| {
            done = attempt(is_last);
            !matches!(done, Ok(None))
        };
        let may_attempt = || !must_be_first || queue.mutex.owner_tid().is_none();
        let is_over = self.will() && spin.until(position, || may_attempt() && is_done(false));
        if is_over || self.in_line(queue, spin, must_be_first, || is_done(true), refusal, idle)? {
            done
        } else {
            Ok(None)
        }
    }

    /// Waits in `queue` until `is_done`, which is only called by the first in line if it `must_be_first`. Returns
    /// `false` on timeout.
    fn in_line(
        &self,
        queue: &WaitQueue,
        spin: &Spin,
        must_be_first: bool,
        mut is_done: impl FnMut() -> bool,
        refusal: impl Fn() -> Option<Error>,
        idle: impl Fn(),
    ) -> Result<bool> {
        let mut first = None;
        let mut is_idle = false;
        loop {
            let sleep_on = first.as_ref().map(|_| queue.event.announce_sleeper());
            let refused = refusal();
            let is_done = (first.is_some() || !must_be_first) && is_done();
            let check_ns = self.next_check_ns();
            if let Some((_, value)) = sleep_on
                && (is_done || refused.is_some() || check_ns.is_none())
            {
                queue.event.retract_sleeper(value);
            }
            if is_done {
                // It was worth while not to sleep.
                spin.slept(0);
                return Ok(true);
            }
            if let Some(error) = refused {
                return Err(error);
            }
            if let Some((word, value)) = sleep_on {
                let Some(check_ns) = check_ns else { return Ok(false) };
                if std::mem::take(&mut is_idle) {
                    idle();
                }
                let asleep_ns = monotonic_ns();
                is_idle = !futex::wait(word, value, Some(check_ns));
                spin.slept(monotonic_ns() - asleep_ns);
                continue;
            }
            let locked = match (queue.mutex.try_lock(), check_ns) {
                (Locked::Busy, Some(check_ns)) => queue.mutex.lock(Some(check_ns)),
                (Locked::Busy, None) => return Ok(false),
                (locked, _) => locked,
            };
            if locked == Locked::WouldDeadlock {
                return Err(Error::WouldDeadlock);
            }
            first = queue.mutex.held(locked);
        }
    }
}
