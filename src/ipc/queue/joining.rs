//! Waiting until every task of a queue is done.
//!
//! # State
//! None: what is unfinished is computed from the ring's marks and the lease table.
//!
//! # Ordering
//! A task ends, then the event count is rung; who joins announces itself, then counts. See [`super::event_count`].
//!
//! # Death
//! A consumer killed between the end of its task and the event count: who joins counts again by itself. One killed before: its item
//! goes to another, by the hand of who joins if nobody else looks.
//!
//! # Standard
//! Python `JoinableQueue.join`, which waits for a counter that a killed consumer never brings down.

use super::leasing::{Leasing, OnConsumerDeath};
use super::participants::Right;
use super::ring::{LeaseSlot, LeaseState, Waiting};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::futex;

impl Leasing<'_> {
    /// How many items were put whose tasks are not done: those in the ring, and the leases on those before.
    pub(crate) fn unfinished(self) -> u64 {
        let (head, tail) = self.ring.committed();
        // Looked at after the marks: what was taken before them is in the table, or done by now.
        let is_open = |slot: &LeaseSlot| {
            matches!(slot.status().state, LeaseState::Leased | LeaseState::Returned) && slot.is_before(head.items)
        };
        let leased = self.ring.leases().used().filter(|(_, slot)| is_open(slot)).count();
        tail.items.wrapping_sub(head.items) + leased as u64
    }

    /// Waits until nothing is unfinished. `false` if the time passed.
    pub(crate) fn join(self, waiting: &Waiting) -> Result<bool> {
        check_not_forked()?;
        loop {
            let (word, value) = self.ring.state().joiners.announce_sleeper();
            let is_hopeless = !self.ring.is_anybody_left(Right::Get) && !self.is_anything_leased();
            if is_hopeless {
                // What becomes of the items of the last dead may end the wait in another way.
                self.look_for_deaths();
            }
            // Counted after that: the last consumer may have finished the last task and left.
            match (self.unfinished(), self.first_death()) {
                (_, Some(death)) => return Err(death),
                (0, None) => return Ok(true),
                (unfinished, None) if is_hopeless => return Err(Error::NoConsumers { unfinished }),
                _ => {}
            }
            let Some(look_ns) = waiting.next_check_ns() else { return Ok(false) };
            if !futex::wait(word, value, Some(look_ns)) {
                // Consumers find the items of the dead when they get. While all are busy somebody else has to.
                self.look_for_deaths();
            }
        }
    }

    /// Whether a living process is at work on an item.
    fn is_anything_leased(self) -> bool {
        let process_table = self.ring.process_table();
        self.valid().any(|(_, _, status)| {
            status.state == LeaseState::Leased && status.owner.is_some_and(|owner| process_table.is_alive(owner))
        })
    }

    fn look_for_deaths(self) {
        // A consumer that sleeps holds the readers' mutex; then it is awake often enough to look.
        if let Some(reader) = self.ring.reader_now() {
            self.roll_back_after_death(&reader);
            self.reclaim_dead(&reader);
        }
    }

    /// The consumer whose death makes `join` fail.
    fn first_death(self) -> Option<Error> {
        if OnConsumerDeath::from_word(self.ring.state().on_death.load(Relaxed)) != OnConsumerDeath::Fail {
            return None;
        }
        let mut valid = self.valid();
        let dead = valid.find(|(_, _, status)| status.state == LeaseState::Dead && status.owner.is_some());
        dead.map(|(_, slot, _)| Error::ConsumerDied { pid: slot.owner_pid(), item: slot.item() })
    }
}
