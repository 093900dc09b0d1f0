//! Leases on the items of a ring: taking, finishing and returning them, and reclaiming those of dead processes.
//!
//! # State
//! The words of the ring's slots. An item is leased where it is: its slot and its bytes stay until its task is done, and
//! producers go on in other segments. The number of unfinished tasks is computed from the slots.
//!
//! # Death
//! A consumer finds the leases of dead processes in its next get: always when the ring is empty, and at intervals while
//! it is not. Killed midway, it leaves each lease either still owned by the dead process or already returned. A late
//! `task_done` of a lease that was taken over fails, because the word counts the leases.
//!
//! # Standard
//! Visibility timeouts and dead letters of message brokers, with the kernel's knowledge of process deaths in place of
//! the timeout.

use std::cell::Cell;

use super::participants::Rights;
use super::ring::{Ring, Spot, State, Waiting, Word};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};

/// The state of a leased item when it was read: permits changing it as long as that state is current.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseToken {
    pub(crate) spot: Spot,
    pub(crate) word: Word,
    /// Number of the item in the order of the puts.
    pub(crate) item: u64,
}

/// What happens to an item whose consumer dies before the task is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnConsumerDeath {
    /// Another consumer gets it, up to the limit of redeliveries.
    #[default]
    Requeue,
    /// It becomes a dead letter, and `join` fails with [`Error::ConsumerDied`].
    Fail,
    /// It is discarded.
    Drop,
}

impl OnConsumerDeath {
    pub(crate) fn to_word(self) -> u32 {
        self as u32
    }

    pub(crate) fn from_word(word: u32) -> Self {
        match word {
            1 => OnConsumerDeath::Fail,
            2 => OnConsumerDeath::Drop,
            _ => OnConsumerDeath::Requeue,
        }
    }
}

/// Number of gets from a busy ring between two checks for dead consumers.
const LOOK_EVERY: u32 = 256;

impl Ring {
    /// Leases up to `most` of the oldest items, or a returned one. Returns `false` if there was none within the
    /// timeout.
    pub(crate) fn lease(&self, most: usize, waiting: Waiting, lease: impl Fn(LeaseToken)) -> Result<bool> {
        check_not_forked()?;
        let returned_before = Cell::new(0);
        let attempt = |is_last: bool| {
            let state = &self.shared;
            let returned = state.returned.load(Acquire);
            returned_before.set(returned);
            let ticks = state.lease_ticks.load(Relaxed);
            let is_due = returned != state.returned_seen.load(Relaxed) || ticks >= LOOK_EVERY;
            let lease_returned = || {
                state.lease_ticks.store(0, Relaxed);
                let token = self.lease_returned();
                if token.is_none() {
                    state.returned_seen.store(returned, Relaxed);
                }
                token.map(&lease)
            };
            if !is_due {
                state.lease_ticks.store(ticks.wrapping_add(1), Relaxed);
            } else if let Some(leased) = lease_returned() {
                return Ok(Some(leased));
            }
            let tokens = std::iter::from_fn(|| self.take(|_, ready| ready.leased_to(self.me))).take(most);
            let count = tokens.map(|(spot, _, word)| lease(self.leased(spot, word))).count();
            Ok(if count == 0 && is_last && !is_due { lease_returned() } else { (count > 0).then_some(()) })
        };
        // The last lease holder may have returned its item and left.
        let may_come = || self.others_hold_leases() || self.shared.returned.load(Acquire) != returned_before.get();
        if attempt(true)?.is_some() {
            return Ok(true);
        }
        Ok(self.get_slowly(waiting, attempt, may_come)?.is_some())
    }

    fn token(&self, spot: Spot, word: Word) -> LeaseToken {
        LeaseToken { spot, word, item: self.number_of(spot) }
    }

    /// Records who has a lease that has just begun.
    fn leased(&self, spot: Spot, word: Word) -> LeaseToken {
        self.set_pid(spot, self.pid);
        self.token(spot, word)
    }

    /// Returns the items that were taken and are not done: leased, returned or dead.
    pub(crate) fn leases(&self) -> impl Iterator<Item = LeaseToken> {
        // Nothing is taken behind the first item.
        let is_passed = |(_, word): &(Spot, Word)| !matches!(word.state(), State::Claimed | State::Ready);
        let taken = self.slots().take_while(is_passed).filter(|(_, word)| word.is_leased());
        taken.map(|(spot, word)| self.token(spot, word))
    }

    /// Returns whether [`lease`](Self::lease) would not block: there is an item, an item was returned or its holder is
    /// dead, or the call would fail.
    pub(crate) fn can_lease(&self) -> bool {
        let can_come_back = |lease: LeaseToken| lease.word.state() == State::Returned || self.is_abandoned(&lease);
        self.can_get() && (!self.is_empty() || !self.others_hold_leases()) || self.leases().any(can_come_back)
    }

    /// Returns whether the owner of a lease is dead.
    fn is_abandoned(&self, lease: &LeaseToken) -> bool {
        lease.word.state() == State::Leased && !self.is_owner_alive(lease.word)
    }

    /// Returns whether another process has items that may be returned, or has died with them.
    fn others_hold_leases(&self) -> bool {
        self.leases().any(|lease| match lease.word.state() {
            State::Leased => lease.word.owner() != Some(self.me),
            state => state == State::Returned,
        })
    }

    /// Reclaims the leases of dead processes, and leases the first returned item.
    fn lease_returned(&self) -> Option<LeaseToken> {
        self.reclaim_dead();
        let mut returned = self.leases().filter(|lease| lease.word.state() == State::Returned);
        returned.find_map(|lease| {
            let leased = lease.word.leased_to(self.me);
            self.replace(&lease, leased).then(|| self.leased(lease.spot, leased))
        })
    }

    /// Applies the queue's death policy to the leases of dead processes.
    pub(crate) fn reclaim_dead(&self) {
        let policy = OnConsumerDeath::from_word(self.shared.on_death.load(Relaxed));
        for lease in self.leases().filter(|lease| self.is_abandoned(lease)) {
            let after = match policy {
                OnConsumerDeath::Requeue => self.returned(&lease),
                OnConsumerDeath::Fail => lease.word.dead(),
                OnConsumerDeath::Drop => self.done(lease.spot),
            };
            // Another process may have been faster.
            let _ = self.end_lease(&lease, after);
        }
    }

    fn returned(&self, lease: &LeaseToken) -> Word {
        lease.word.returned(self.shared.max_redeliveries.load(Relaxed))
    }

    /// Ends a lease: its task is done.
    pub(crate) fn finish_lease(&self, lease: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        self.end_lease(lease, self.done(lease.spot))
    }

    /// Returns an item to the queue, for any consumer.
    pub(crate) fn return_lease(&self, lease: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        self.end_lease(lease, self.returned(lease))
    }

    /// Ends a lease. Wakes the consumers if the item was returned, otherwise the processes that may wait for the task
    /// to end.
    fn end_lease(&self, lease: &LeaseToken, after: Word) -> Result<()> {
        let is_ours = if after.state() == State::Done { self.finish(lease) } else { self.replace(lease, after) };
        if !is_ours {
            return Err(Error::LeaseLost { item: lease.item });
        }
        let state = &self.shared;
        if after.state() == State::Returned {
            state.returned.fetch_add(1, Release);
            state.getters.event.notify();
            return Ok(());
        }
        // A joiner has nothing to check before the ring is empty, and the last task ends after that.
        state.joiners.notify_if(|| self.is_empty());
        // Consumers wait for items that may be returned; after the last of them they need not wait any more.
        state.getters.event.notify_if(|| !self.has_other_handle(Rights::PUT));
        // Its memory is free.
        self.notify_putters();
        Ok(())
    }

    /// Returns the dead letters.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = LeaseToken> {
        self.leases().filter(|lease| lease.word.state() == State::Dead)
    }
}
