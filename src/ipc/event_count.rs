//! A futex word to sleep on next to other state, notified after each change that a sleeper should check.
//!
//! # State
//! Odd while a process may be asleep on it. A waiter makes the word odd and then checks its condition once more; a
//! notifier that finds it odd adds one and wakes all sleepers, in one system call. Every change of the word wakes all
//! sleepers on it, so none sleeps on an even value, and two concurrent notifiers cost at most one redundant system
//! call.
//!
//! # Ordering
//! A notifier changes the state, then loads the word; a waiter changes the word, then checks the state. A
//! [`membarrier`] separates the two steps on both sides, so at least one of the two sees the other. It costs the
//! notifier nothing.
//!
//! # Death
//! If a notifier is killed between the change and the notification, sleepers check again after
//! [`LOOK_EVERY`](crate::ipc::deadline::LOOK_EVERY).
//!
//! # Standard
//! `futex(2)` `FUTEX_WAKE_OP`; Dekker's argument.

use crate::sys::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst};
use crate::sys::futex;
use crate::sys::membarrier;
use crate::sys::shm::shared_layout;

shared_layout! {
    /// The event count in shared memory.
    pub(crate) struct EventCount {
        word: AtomicU32,
    }
}

impl EventCount {
    /// Wakes all sleepers, and returns whether there were any. Cheap if not.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        self.notify_if(|| true)
    }

    /// As [`notify`](Self::notify) if `is_worth_it`, which is called only if there may be any.
    #[inline]
    pub(crate) fn notify_if(&self, is_worth_it: impl FnOnce() -> bool) -> bool {
        membarrier::light();
        self.word.load(Relaxed) & 1 != 0 && is_worth_it() && futex::add_one_and_wake_all(&self.word) > 0
    }

    /// Announces a sleeper. The caller checks its condition once more, then sleeps on the returned word and value.
    pub(crate) fn announce_sleeper(&self) -> (&AtomicU32, u32) {
        let value = self.word.fetch_or(1, SeqCst) | 1;
        membarrier::heavy();
        (&self.word, value)
    }

    /// Takes back the announcement of the only sleeper, unless the event has happened.
    pub(crate) fn retract_sleeper(&self, value: u32) {
        // Even again: the next event needs no system call.
        let _ = self.word.compare_exchange(value, value.wrapping_add(1), Relaxed, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::watchdog;
    use crate::sys::shm::Mapping;

    shared_layout! {
        struct One = b"testbell" { event_count: EventCount, change: AtomicU32 }
    }

    #[test]
    fn every_change_is_seen_without_a_timeout() {
        let _watchdog = watchdog();
        let one = Mapping::<One>::create(0, |_| Ok(())).expect("memory");
        const ROUNDS: u32 = 2000;
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while one.change.load(Relaxed) < 2 * ROUNDS {
                        let (word, value) = one.event_count.announce_sleeper();
                        if one.change.load(Relaxed) < 2 * ROUNDS {
                            futex::wait(word, value, None);
                        }
                    }
                });
                scope.spawn(|| {
                    for _ in 0..ROUNDS {
                        one.change.fetch_add(1, Relaxed);
                        one.event_count.notify();
                    }
                });
            }
        });
    }
}
