//! A flag that processes can wait for.
//!
//! # State
//! One word: `generation << 2 | WAITING | SET`. Setting adds SET; if WAITING is set it does so in the kernel and wakes
//! all sleepers in the same system call. Clearing begins the next generation, with neither. A waiter returns when it
//! sees SET or a generation other than the one it began in: an event that was set and cleared since counts as set.
//!
//! # Ordering
//! Everything before [`Event::set`] is visible to the waiters that it wakes.
//!
//! # Death
//! The word has at most one writer at a time: a killed process has either set the event and woken all waiters, or done
//! neither. A killed waiter leaves no trace, and no process waits for it.
//!
//! # Standard
//! Python `multiprocessing.Event`. Differs: `set` directly followed by `clear` releases every waiter (gh-95826), and
//! `set` acquires no lock, so a signal handler may call it (gh-126434).

use std::fmt;
use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Result, os};
use crate::ipc::operation::{Operation, Waits, always, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::atomic::AtomicU32;
use crate::sys::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::sys::futex;
use crate::sys::shm::{Mapping, shared_layout};

const SET: u32 = 1;
/// A process may be asleep.
const WAITING: u32 = 2;
const GENERATION: u32 = 4;

const WAIT: Waits = Waits::read(["event.wait", "event.wait_timeout", "event.is_set"]);

shared_layout! {
    struct EventState = b"event   " {
        word: AtomicU32,
        padding: AtomicU32,
    }
}

/// A flag that any process can set, clear and wait for.
///
/// ```
/// # use std::time::Duration;
/// let event = ipc_demo::Event::new()?;
/// assert!(!event.wait_timeout(Duration::from_millis(1)));
/// event.set();
/// event.wait();
/// event.clear();
/// assert!(!event.is_set());
/// # Ok::<(), ipc_demo::Error>(())
/// ```
#[derive(Clone)]
pub struct Event {
    state: Mapping<EventState>,
}

impl Event {
    /// Creates an event that is not set.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if memory or descriptors run out.
    pub fn new() -> Result<Self> {
        Ok(Event { state: Mapping::create(0, |_| Ok(())).map_err(os("make an event"))? })
    }

    /// Returns whether the event is set; the state may change before this returns.
    #[inline]
    pub fn is_set(&self) -> bool {
        point(Operation::read("event.is_set"), &self.state, always);
        self.now_set()
    }

    #[inline]
    fn now_set(&self) -> bool {
        self.state.word.load(Acquire) & SET != 0
    }

    /// Sets the event and wakes all waiters. Does not block, and may be called in a signal handler.
    ///
    /// # System calls
    /// `futex`, only if a process may be asleep.
    #[inline]
    pub fn set(&self) {
        point(Operation::change("event.set"), &self.state, always);
        let word = &self.state.word;
        let unawaited = |now| (now & (SET | WAITING) == 0).then_some(now | SET);
        // If it is already set there is no one to wake: the setter did so, in one step.
        if word.fetch_update(AcqRel, Acquire, unawaited).is_err_and(|now| now & SET == 0) {
            futex::set_bits_and_wake_all(word, SET as u16);
        }
    }

    /// Clears the event: later waits block. Waits that began before it was set still return.
    #[inline]
    pub fn clear(&self) {
        point(Operation::change("event.clear"), &self.state, always);
        let next = |now: u32| (now & SET != 0).then_some((now & !(SET | WAITING)).wrapping_add(GENERATION));
        // Fails if the event is not set.
        let _ = self.state.word.fetch_update(AcqRel, Acquire, next);
    }

    /// Blocks until the event is set. Returns immediately if it is.
    ///
    /// # System calls
    /// `futex`, only if it is not set.
    pub fn wait(&self) {
        self.wait_within(None);
    }

    /// Blocks until the event is set, for at most `timeout` on the monotonic clock. Returns whether it was.
    ///
    /// `Duration::ZERO` only checks.
    ///
    /// # Standard
    /// Python `Event.wait(timeout)`. Differs: `true` also if the event was cleared again before this waiter ran.
    pub fn wait_timeout(&self, timeout: Duration) -> bool {
        self.wait_within(Some(timeout))
    }

    #[inline]
    fn wait_within(&self, timeout: Option<Duration>) -> bool {
        // pairs with: `set`
        let begun = self.state.word.load(Acquire);
        WAIT.pass(timeout, &self.state, || was_set(begun, self.state.word.load(Acquire)));
        begun & SET != 0 || (timeout != Some(Duration::ZERO) && self.sleep(begun, Deadline::within(timeout)))
    }

    #[cold]
    fn sleep(&self, begun: u32, deadline: Deadline) -> bool {
        let word = &self.state.word;
        loop {
            // pairs with: `set`, or `clear` which saw it
            let now = word.load(Acquire);
            if was_set(begun, now) {
                return true;
            }
            if deadline.has_passed() {
                return false;
            }
            if now & WAITING != 0 || word.compare_exchange(now, now | WAITING, Release, Acquire).is_ok() {
                futex::wait(word, now | WAITING, Some(deadline.next_check()));
            }
        }
    }
}

/// Returns whether an event whose word is `now` was set since its word was `begun`.
fn was_set(begun: u32, now: u32) -> bool {
    now & SET != 0 || now / GENERATION != begun / GENERATION
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").field("is_set", &self.now_set()).finish_non_exhaustive()
    }
}

sent_in_roles!([] Event, "an Event", |event, _| Ok(&event.state), |state: Mapping<EventState>| Ok(Event { state }));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{goes, up_to_the_point, would_block};
    use crate::ipc::operation::{Point, observe};
    use crate::ipc::test_util::{watchdog, with_sleepers, without_a_look};
    use std::sync::Barrier;
    use std::thread;

    fn event() -> Event {
        Event::new().expect("an event")
    }

    fn sleepers(event: &Event) -> bool {
        event.state.word.load(Acquire) & WAITING != 0
    }

    #[test]
    fn every_operation_passes_one_point() {
        let event = event();
        let object = &event.state;
        would_block("event.wait", object, || event.wait());
        would_block("event.wait_timeout", object, || event.wait_timeout(Duration::MAX));
        assert!(!goes("event.is_set", object, || event.wait_timeout(Duration::ZERO)));
        goes("event.set", object, || event.set());
        assert!(goes("event.is_set", object, || event.is_set()));
        goes("event.wait", object, || event.wait());
        assert!(goes("event.wait_timeout", object, || event.wait_timeout(Duration::MAX)));
        goes("event.clear", object, || event.clear());
        assert!(!up_to_the_point(|| event.wait()).could_go);
    }

    #[test]
    fn event_that_was_set_and_cleared_since_the_wait_began_lets_it_go() {
        let event = event();
        let other = event.clone();
        let observing = observe(move |point: &Point<'_>| {
            assert!(!point.can_go());
            other.set();
            other.clear();
            assert!(point.can_go());
        });
        event.wait();
        drop(observing);
    }

    #[test]
    fn smoke() {
        let _watchdog = watchdog();
        let event = event();
        assert!(!event.is_set());
        event.clear();
        event.set();
        event.set();
        assert!(event.is_set());
        event.wait();
        assert!(event.wait_timeout(Duration::ZERO));
        event.clear();
        event.clear();
        assert!(!event.is_set());
    }

    #[test]
    fn wait_times_out() {
        let _watchdog = watchdog();
        let event = event();
        assert!(!event.wait_timeout(Duration::ZERO));
        assert!(!event.wait_timeout(Duration::from_millis(1)));
        event.set();
        assert!(event.wait_timeout(Duration::MAX), "and is usable");
    }

    #[test]
    fn set_wakes_all() {
        let _watchdog = watchdog();
        without_a_look(|| {
            let event = event();
            with_sleepers(4, || event.wait(), || event.set());
        });
    }

    #[test]
    fn set_directly_followed_by_clear_lets_all_go() {
        let _watchdog = watchdog();
        let event = event();
        for _ in 0..200 {
            thread::scope(|scope| {
                let waiter = scope.spawn(|| event.wait_timeout(Duration::from_secs(60)));
                while !sleepers(&event) {
                    thread::yield_now();
                }
                event.set();
                event.clear();
                assert!(waiter.join().expect("no panic"));
            });
            assert!(!event.is_set());
        }
    }

    #[test]
    fn stress_sets_at_once_do_not_undo_each_other() {
        const ROUNDS: usize = 1_000;
        let _watchdog = watchdog();
        let event = event();
        let (begin, end) = (Barrier::new(4), Barrier::new(4));
        let each_round = |step: &dyn Fn()| {
            for _ in 0..ROUNDS {
                begin.wait();
                step();
                end.wait();
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| each_round(&|| event.set()));
            }
            // A possible sleeper is what makes `set` call the kernel.
            let waiter = scope.spawn(|| {
                let mut woken = 0;
                for _ in 0..ROUNDS {
                    begin.wait();
                    woken += usize::from(event.wait_timeout(Duration::from_secs(60)));
                    end.wait();
                }
                woken
            });
            let mut still_set = 0;
            for _ in 0..ROUNDS {
                begin.wait();
                end.wait();
                still_set += usize::from(event.is_set());
                event.clear();
            }
            assert_eq!((waiter.join().expect("no panic"), still_set), (ROUNDS, ROUNDS));
        });
    }
}
