//! A word to sleep on beside another: rung by whoever changed something that a sleeper should look at again.
//!
//! # State
//! Odd while somebody may sleep. Whoever is about to sleep makes it odd and looks once more; whoever rings an odd one adds
//! one and wakes everybody, in one system call. Every change of the word wakes all who sleep on it, so nobody sleeps on an
//! even value, and two who ring at once cost no more than a system call too many.
//!
//! # Ordering
//! A ringer changes something, then loads the word; a sleeper changes the word, then looks. A `SeqCst` fence stands between
//! the two steps on both sides, so at least one of the two sees the other.
//!
//! # Death
//! Killed between the change and the ring: sleepers look again by themselves after [`LOOK_EVERY`](crate::ipc::deadline::LOOK_EVERY).
//!
//! # Standard
//! `futex(2)` `FUTEX_WAKE_OP`; Dekker's argument.

use crate::sys::atomic::{AtomicU32, Ordering::Relaxed, Ordering::SeqCst, fence};
use crate::sys::futex;
use crate::sys::shm::shared_layout;

shared_layout! {
    /// The event count in shared memory.
    pub(crate) struct EventCount {
        word: AtomicU32,
    }
}

impl EventCount {
    /// Wakes everybody who sleeps here. Cheap if nobody does.
    #[inline]
    pub(crate) fn notify(&self) {
        self.notify_if(|| true);
    }

    /// Wakes everybody who sleeps here if `is_worth_it`, which is asked only if anybody may sleep.
    #[inline]
    pub(crate) fn notify_if(&self, is_worth_it: impl FnOnce() -> bool) {
        fence(SeqCst);
        if self.word.load(Relaxed) & 1 != 0 && is_worth_it() {
            futex::add_one_and_wake_all(&self.word);
        }
    }

    /// Says that somebody is about to sleep. What it returns is to be slept on, after one more look.
    pub(crate) fn announce_sleeper(&self) -> (&AtomicU32, u32) {
        let value = self.word.fetch_or(1, SeqCst) | 1;
        fence(SeqCst);
        (&self.word, value)
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
