//! Leases on the items of a ring: taking, finishing and returning them, and reclaiming those of dead processes.
//!
//! # State
//! The lease table of the ring. The number of unfinished tasks is computed from the items in the ring and the valid
//! leases.
//!
//! # Death
//! A consumer finds the leases of dead processes in its next get: always when the ring is empty, and at intervals while
//! it is not. It holds the readers' mutex, so one process at a time reclaims. Killed midway, it leaves each lease
//! either still owned by the dead process or already returned.
//!
//! # Standard
//! At-least-once delivery; see [`super::ring`]'s lease table.

use std::cell::Cell;

use super::participants::Rights;
use super::ring::{LeaseState, LeaseStatus, LeaseToken, Reader, Record, Ring, Waiting};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

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

/// Number of leases in a busy ring between two checks for dead consumers.
const LOOK_EVERY: u32 = 256;

impl Ring {
    /// Leases up to `most` of the oldest items, or a returned one. Returns `false` if there was none within the
    /// timeout.
    pub(crate) fn lease(&self, most: usize, waiting: Waiting, mut lease: impl FnMut(LeaseToken)) -> Result<bool> {
        check_not_forked()?;
        let state = &self.shared;
        let Some(mut reader) = self.reader(&waiting, || self.has_returned(), || self.others_hold_leases())? else {
            return Ok(false);
        };
        let will_wait = waiting.will();
        let returned = Cell::new(0);
        let attempt = |reader: &mut Reader<'_>| {
            returned.set(state.returned.load(Acquire));
            let side = reader.side();
            let ticks = side.lease_ticks.load(Relaxed);
            let first = reader.first()?;
            if first.is_none() || ticks >= LOOK_EVERY || returned.get() != side.returned_seen.load(Relaxed) {
                side.lease_ticks.store(0, Relaxed);
                if let Some(token) = self.lease_returned(reader) {
                    lease(token);
                    return Ok(Some(()));
                }
                side.returned_seen.store(returned.get(), Relaxed);
            }
            let Some(first) = first else { return Ok(None) };
            side.lease_ticks.store(ticks.wrapping_add(1), Relaxed);
            self.lease_from(reader, first, most, &mut lease).map(Some)
        };
        let can_happen = || {
            let is_over = self.producers_are_gone(will_wait) && !self.others_hold_leases();
            // Checked after that: the last lease holder may have returned its item and left.
            let is_unchanged = state.returned.load(Acquire) == returned.get();
            if is_over && is_unchanged { Err(Error::Disconnected) } else { Ok(is_unchanged) }
        };
        Ok(reader.retry(waiting, attempt, can_happen)?.is_some())
    }

    /// Returns whether [`lease`](Self::lease) would not block: there is an item, an item was returned or its holder is
    /// dead, or the call would fail.
    pub(crate) fn can_lease(&self) -> bool {
        !self.is_empty()
            || self.valid_leases().any(|lease| lease.status.state == LeaseState::Returned || self.is_abandoned(&lease))
            || self.no_producer_is_left(true) && !self.others_hold_leases()
    }

    /// Returns whether the owner of a lease is dead.
    fn is_abandoned(&self, lease: &LeaseToken) -> bool {
        let is_dead = |owner| !self.process_table.is_alive(owner);
        lease.status.state == LeaseState::Leased && lease.status.owner.is_none_or(is_dead)
    }

    /// Leases `record` and the records behind it, all in one step.
    fn lease_from(
        &self,
        reader: &mut Reader<'_>,
        first: Record,
        most: usize,
        lease: &mut impl FnMut(LeaseToken),
    ) -> Result<()> {
        let (mut next, mut after, mut tokens) = (Some(first), None, 0);
        while let Some(record) = next.filter(|_| tokens < most) {
            let index = match self.find_free_lease() {
                Ok(Some(index)) => index,
                // Return the leases made so far; the next call meets the same error.
                Ok(None) | Err(_) if tokens > 0 => break,
                Ok(None) => return Err(Error::TooManyLeases { limit: self.plan.leases }),
                Err(error) => return Err(error),
            };
            lease(self.fill_lease(index, &record));
            tokens += 1;
            after = Some(record.after);
            next = if tokens < most { reader.record_at(record.after).unwrap_or(None) } else { None };
        }
        if let Some(after) = after {
            // This publication removes them from the ring and makes the leases valid, in one step.
            reader.take_until(after);
        }
        Ok(())
    }

    /// Returns whether there may be returned items that are not leased again: a quick check.
    pub(crate) fn has_returned(&self) -> bool {
        let state = &self.shared;
        state.returned.load(Acquire) != state.get.returned_seen.load(Relaxed)
    }

    /// Returns whether another process has items that may be returned, or has died with them.
    fn others_hold_leases(&self) -> bool {
        self.valid_leases().any(|lease| match lease.status.state {
            LeaseState::Leased => lease.status.owner != Some(self.me),
            state => state == LeaseState::Returned,
        })
    }

    /// Reclaims the leases of dead processes, and leases the first returned item.
    fn lease_returned(&self, reader: &Reader<'_>) -> Option<LeaseToken> {
        self.reclaim_dead(reader);
        let mut returned = self.used_leases().filter(|lease| lease.status.state == LeaseState::Returned);
        returned.find_map(|lease| self.take_over(lease))
    }

    /// Applies the queue's death policy to the leases of dead processes.
    pub(crate) fn reclaim_dead(&self, reader: &Reader<'_>) {
        let head_items = reader.head_items();
        let policy = OnConsumerDeath::from_word(self.shared.on_death.load(Relaxed));
        for lease in self.used_leases().filter(|lease| lease.item < head_items && self.is_abandoned(lease)) {
            let after = match policy {
                OnConsumerDeath::Requeue => self.returned(&lease),
                OnConsumerDeath::Fail => lease.status.dead(),
                OnConsumerDeath::Drop => lease.status.free(),
            };
            // This succeeds: dead processes do not race, and the readers' mutex excludes other reclaimers.
            let _ = self.end_lease(&lease, after);
        }
    }

    fn returned(&self, lease: &LeaseToken) -> LeaseStatus {
        lease.status.returned(self.shared.max_redeliveries.load(Relaxed))
    }

    /// Ends a lease: its task is done.
    pub(crate) fn finish_lease(&self, lease: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        self.end_lease(lease, lease.status.free())
    }

    /// Returns an item to the queue, for any consumer.
    pub(crate) fn return_lease(&self, lease: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        self.end_lease(lease, self.returned(lease))
    }

    /// Ends a lease. Wakes the consumers if the item was returned, otherwise the processes that may wait for the task
    /// to end.
    fn end_lease(&self, lease: &LeaseToken, after: LeaseStatus) -> Result<()> {
        if !self.change_lease(lease, after) {
            return Err(Error::LeaseLost { item: lease.item });
        }
        let state = &self.shared;
        if after.state == LeaseState::Returned {
            state.returned.fetch_add(1, Release);
            state.getters.notify();
            return Ok(());
        }
        // A joiner has nothing to check before the ring is empty, and the last task ends after that.
        state.joiners.notify_if(|| self.is_empty());
        // Consumers wait for items that may be returned; after the last of them they need not wait any more.
        state.getters.notify_if(|| !self.has_other_handle(Rights::PUT));
        if state.starved.load(Relaxed) != 0 {
            state.starved.store(0, SeqCst);
            state.putters.notify();
        }
        Ok(())
    }

    /// Returns the dead letters.
    pub(crate) fn dead_letters(&self) -> impl Iterator<Item = LeaseToken> {
        self.valid_leases().filter(|lease| lease.status.state == LeaseState::Dead)
    }
}
