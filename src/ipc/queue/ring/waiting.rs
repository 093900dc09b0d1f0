//! How an operation waits: it spins for a few microseconds while the peer is busy, then sleeps in the kernel.

use std::time::Duration;

use super::spin::Spin;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result};
use crate::ipc::operation::{Object, Waits};
use crate::ipc::queue::event_count::EventCount;
use crate::ipc::sync::holder::Holder;
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
        self.until.filter(|until| !until.has_passed()).map(Deadline::next_check)
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
    /// returns an error if no attempt can succeed any more, unless one does that is made after that.
    pub(crate) fn until<R>(
        &self,
        queue: &WaitQueue,
        (spin, position): (&Spin, u64),
        mut attempt: impl FnMut(bool) -> Result<Option<R>>,
        refusal: impl Fn() -> Option<Error>,
    ) -> Result<Option<R>> {
        let mut done = Ok(None);
        let mut is_done = |is_last: bool| {
            done = attempt(is_last);
            !matches!(done, Ok(None))
        };
        let is_over = self.will() && spin.until(position, || is_done(false));
        if is_over || self.in_line(queue, spin, false, || is_done(true), refusal)? { done } else { Ok(None) }
    }

    /// As [`until`](Self::until), but `attempt` is called with the mutex of `queue` held. `is_worth_it` tells whether it
    /// may succeed.
    pub(crate) fn until_first<R>(
        &self,
        queue: &WaitQueue,
        (spin, position): (&Spin, u64),
        is_worth_it: impl Fn() -> bool,
        mut attempt: impl FnMut() -> Result<Option<R>>,
        refusal: impl Fn() -> Option<Error>,
    ) -> Result<Option<R>> {
        let mut done = Ok(None);
        let mut is_done = || {
            done = attempt();
            !matches!(done, Ok(None))
        };
        let is_done_now = Held::after(queue.mutex.try_lock(), &queue.mutex)?.is_some_and(|_held| is_done());
        if is_done_now {
            return done;
        }
        if self.will() {
            spin.until(position, is_worth_it);
        }
        if self.in_line(queue, spin, true, is_done, refusal)? { done } else { Ok(None) }
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
    ) -> Result<bool> {
        let mut first: Option<Held<'_>> = None;
        let grace = Deadline::after(GRACE);
        loop {
            if must_be_first && first.is_some() && is_done() {
                return Ok(true);
            }
            let sleep_on = first.as_ref().map(|_| queue.event.announce_sleeper());
            let refused = refusal();
            if (first.is_some() || !must_be_first) && is_done() {
                return Ok(true);
            }
            if let Some(error) = refused {
                return Err(error);
            }
            let check_ns = self.next_check_ns();
            if let Some((word, value)) = sleep_on {
                let Some(check_ns) = check_ns else { return Ok(false) };
                let asleep_ns = monotonic_ns();
                futex::wait(word, value, Some(check_ns));
                spin.slept(monotonic_ns() - asleep_ns);
                continue;
            }
            // A holder that does not sleep is about to release the mutex, unless it is stopped.
            let is_soon_free = || {
                let is_stopped = || Holder::of(&queue.mutex).is_some_and(|holder| holder.is_stopped());
                must_be_first && !queue.event.has_sleeper() && !grace.has_passed() && !is_stopped()
            };
            let soon_ns = || is_soon_free().then(|| monotonic_ns() + LOOK_AT_HOLDER_NS);
            first = match queue.mutex.try_lock() {
                Locked::Busy => match check_ns.or_else(soon_ns) {
                    Some(check_ns) => Held::after(queue.mutex.lock(Some(check_ns)), &queue.mutex)?,
                    None => return Ok(false),
                },
                locked => Held::after(locked, &queue.mutex)?,
            };
        }
    }
}

/// How long an operation still waits after its timeout for a mutex that is about to be released: it is held for as long
/// as a copy takes, unless its holder is stopped, or has no processor for a while.
pub(super) const GRACE: Duration = Duration::from_secs(2);
/// Interval between checks whether the holder is stopped.
const LOOK_AT_HOLDER_NS: u64 = 2_000_000;

/// The mutex of a [`WaitQueue`], held: the first in line.
struct Held<'q>(&'q RobustMutex);

impl<'q> Held<'q> {
    fn after(locked: Locked, mutex: &'q RobustMutex) -> Result<Option<Self>> {
        match locked {
            Locked::Clean | Locked::Abandoned => Ok(Some(Held(mutex))),
            Locked::Busy => Ok(None),
            Locked::WouldDeadlock => Err(Error::WouldDeadlock),
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let was_ours = self.0.unlock();
        debug_assert!(was_ours, "a waiter stays in the thread that took the mutex");
    }
}
