//! Blocking until every task of a queue is done.
//!
//! # State
//! None: the number of unfinished tasks is computed from the ring's slots.
//!
//! # Ordering
//! A task ends, then the event count is notified; a joiner announces itself, then counts. See [`crate::ipc::event_count`].
//!
//! # Death
//! If a consumer is killed between the end of its task and the notification, the joiner counts again by itself. If it
//! is killed before, its item goes to another consumer; the joiner reclaims it if no other process does.
//!
//! # Standard
//! Python `JoinableQueue.join`, which waits for a counter that a killed consumer never decrements.

use super::leasing::OnConsumerDeath;
use super::participants::Rights;
use super::ring::{Ring, State, Waiting, Word};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::futex;

impl Ring {
    /// Returns the number of unfinished tasks: the items in the ring, and those that are leased or returned.
    ///
    /// 0 only if at one moment all tasks were done: a task stays done, and new ones come behind all others.
    pub(crate) fn unfinished(&self) -> u64 {
        let is_open = |word: Word| matches!(word.state(), State::Ready | State::Leased | State::Returned);
        self.slots().filter(|(_, word)| is_open(*word)).count() as u64
    }

    /// Returns whether a join could go on now: no task is unfinished, or it would fail.
    pub(crate) fn can_join(&self) -> bool {
        self.unfinished() == 0 || self.first_death().is_some() || self.has_no_consumer()
    }

    /// Returns whether no consumer is left that could finish a task.
    fn has_no_consumer(&self) -> bool {
        !self.is_right_left(Rights::GET) && !self.is_anything_leased()
    }

    /// Blocks until no task is unfinished. Returns `false` on timeout.
    pub(crate) fn join(&self, waiting: &Waiting) -> Result<bool> {
        check_not_forked()?;
        loop {
            let (word, value) = self.shared.joiners.announce_sleeper();
            let has_no_consumer = self.has_no_consumer();
            if has_no_consumer {
                // Reclaiming the items of the last dead process may end the wait in another way.
                self.reclaim_dead();
            }
            // Counted after that: the last consumer may have finished the last task and left.
            match (self.unfinished(), self.first_death()) {
                (_, Some(death)) => return Err(death),
                (0, None) => return Ok(true),
                (unfinished, None) if has_no_consumer => return Err(Error::NoConsumers { unfinished }),
                _ => {}
            }
            let Some(look_ns) = waiting.next_check_ns() else { return Ok(false) };
            if !futex::wait(word, value, Some(look_ns)) {
                // Consumers find the items of dead processes when they get. While all are busy, the joiner has to look.
                self.reclaim_dead();
            }
        }
    }

    /// Returns whether a living process holds a lease.
    fn is_anything_leased(&self) -> bool {
        self.leases().any(|lease| lease.word.state() == State::Leased && self.is_owner_alive(lease.word))
    }

    /// Returns the consumer death that makes `join` fail.
    fn first_death(&self) -> Option<Error> {
        if OnConsumerDeath::from_word(self.shared.on_death.load(Relaxed)) != OnConsumerDeath::Fail {
            return None;
        }
        let mut dead = self.dead_letters().filter(|lease| lease.word.owner().is_some());
        dead.next().map(|lease| Error::ConsumerDied { pid: self.pid(lease.spot), item: lease.item })
    }
}
