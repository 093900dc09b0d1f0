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

use super::participants::Right;
use super::ring::{LeaseSlot, LeaseState, LeaseStatus, Place, PreSleepCheck, Reader, Record, Ring, Waited, Waiting};
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

/// The right to finish one item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseToken {
    slot: u32,
    status: LeaseStatus,
    /// Number of the item in the order of the puts.
    pub(crate) item: u64,
    /// Where its bytes are.
    pub(crate) place: Place,
    pub(crate) len: u32,
}

impl LeaseToken {
    fn new(slot: u32, memory: &LeaseSlot, status: LeaseStatus) -> Self {
        let pinned = memory.pinned();
        LeaseToken { slot, status, item: memory.item(), place: pinned.place, len: pinned.len }
    }

    pub(crate) fn redelivered(&self) -> u32 {
        self.status.returns
    }
}

/// Number of leases in a busy ring between two checks for dead consumers.
const LOOK_EVERY: u32 = 256;

/// A ring whose items are leased.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leasing<'a> {
    pub(crate) ring: &'a Ring,
}

impl<'a> Leasing<'a> {
    /// Leases up to `most` of the oldest items, or a returned one. Returns `false` if there was none within the
    /// timeout.
    pub(crate) fn take(self, most: usize, mut waiting: Waiting, mut lease: impl FnMut(LeaseToken)) -> Result<bool> {
        check_not_forked()?;
        let (ring, state) = (self.ring, self.ring.state());
        let Some(mut reader) = ring.reader(&waiting, || self.has_returned(), || self.others_hold_leases())? else {
            return Ok(false);
        };
        self.roll_back_after_death(&reader);
        let (mut is_idle, will_wait) = (false, waiting.will());
        loop {
            let returned = state.returned.load(Acquire);
            let ticks = reader.side().lease_ticks.load(Relaxed);
            let first = reader.first()?;
            if first.is_none() || ticks >= LOOK_EVERY || returned != reader.side().returned_seen.load(Relaxed) {
                reader.side().lease_ticks.store(0, Relaxed);
                if let Some(token) = self.look_through(&reader) {
                    lease(token);
                    return Ok(true);
                }
                reader.side().returned_seen.store(returned, Relaxed);
            }
            if let Some(record) = first {
                reader.side().lease_ticks.store(ticks.wrapping_add(1), Relaxed);
                self.lease_from(&mut reader, record, most, &mut lease)?;
                return Ok(true);
            }
            if is_idle {
                ring.release_surplus();
            }
            let waited = reader.wait(&mut waiting, || {
                let is_hopeless = ring.nobody_puts(will_wait) && !self.others_hold_leases();
                // Checked after that: the last lease holder may have returned its item and left.
                let has_come_back = state.returned.load(Acquire) != returned;
                if has_come_back { PreSleepCheck::GoOn } else { PreSleepCheck::disconnected_if(is_hopeless) }
            });
            match waited {
                Waited::Retry => is_idle = true,
                Waited::TimedOut => return Ok(false),
                Waited::Disconnected => return Err(Error::Disconnected),
            }
        }
    }

    /// Returns whether [`take`](Self::take) could go on now: there is an item, one was returned or its holder is dead, or
    /// it would fail.
    pub(crate) fn can_take(self) -> bool {
        let process_table = self.ring.process_table();
        let is_dead = |status: &LeaseStatus| status.owner.is_none_or(|owner| !process_table.is_alive(owner));
        !self.ring.is_empty()
            || self.valid().any(|(_, _, status)| match status.state {
                LeaseState::Leased => is_dead(&status),
                state => state == LeaseState::Returned,
            })
            || self.ring.no_producer_is_left(true) && !self.others_hold_leases()
    }

    /// Leases `record` and the records behind it, all in one step.
    fn lease_from(
        self,
        reader: &mut Reader<'_>,
        first: Record,
        most: usize,
        lease: &mut impl FnMut(LeaseToken),
    ) -> Result<()> {
        let leases = reader.leases();
        let (mut next, mut after, mut tokens) = (Some(first), None, 0);
        while let Some(record) = next.filter(|_| tokens < most) {
            let index = match leases.find_free() {
                Ok(Some(index)) => index,
                // Return the leases made so far; the next call meets the same error.
                Ok(None) | Err(_) if tokens > 0 => break,
                Ok(None) => return Err(Error::TooManyLeases { limit: leases.limit() }),
                Err(error) => return Err(error),
            };
            let slot = leases.slot(index);
            let status = slot.fill(&record, self.ring.me(), self.ring.pid());
            lease(LeaseToken::new(index, slot, status));
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

    /// To be called after every acquisition of the readers' mutex.
    pub(crate) fn roll_back_after_death(self, reader: &Reader<'_>) {
        if reader.was_abandoned() {
            reader.leases().roll_back_unpublished(reader.head_items());
        }
    }

    /// Returns whether there may be returned items that are not leased again: a quick check.
    pub(crate) fn has_returned(self) -> bool {
        let state = self.ring.state();
        state.returned.load(Acquire) != state.get.returned_seen.load(Relaxed)
    }

    /// Returns whether another process has items that may be returned, or has died with them.
    fn others_hold_leases(self) -> bool {
        let me = self.ring.me();
        self.valid().any(|(_, _, status)| match status.state {
            LeaseState::Leased => status.owner != Some(me),
            state => state == LeaseState::Returned,
        })
    }

    /// Returns the leases that the readers' cursor has made valid, in any state.
    pub(crate) fn valid(self) -> impl Iterator<Item = (u32, &'a LeaseSlot, LeaseStatus)> {
        let (head, _) = self.ring.committed();
        let used = self.ring.leases().used().map(|(index, slot)| (index, slot, slot.status()));
        used.filter(move |(_, slot, status)| status.state != LeaseState::Free && slot.is_before(head.items))
    }

    /// Reclaims the leases of dead processes, and leases the first returned item.
    fn look_through(self, reader: &Reader<'_>) -> Option<LeaseToken> {
        self.reclaim_dead(reader);
        reader.leases().used().find_map(|(index, slot)| {
            let returned = Some(slot.status()).filter(|status| status.state == LeaseState::Returned)?;
            let leased = slot.take_over(returned, self.ring.me(), self.ring.pid())?;
            Some(LeaseToken::new(index, slot, leased))
        })
    }

    /// Reclaims the leases of dead processes.
    pub(crate) fn reclaim_dead(self, reader: &Reader<'_>) {
        let (process_table, head_items) = (self.ring.process_table(), reader.head_items());
        let is_dead = |status: &LeaseStatus| {
            status.state == LeaseState::Leased && status.owner.is_none_or(|owner| !process_table.is_alive(owner))
        };
        let leases = reader.leases().used().map(|(_, slot)| (slot, slot.status()));
        for (slot, status) in leases.filter(|(slot, status)| is_dead(status) && slot.is_before(head_items)) {
            self.reclaim(slot, status);
        }
    }

    /// Applies the queue's death policy to a dead process's lease.
    fn reclaim(self, slot: &LeaseSlot, status: LeaseStatus) {
        let state = self.ring.state();
        let after = match OnConsumerDeath::from_word(state.on_death.load(Relaxed)) {
            OnConsumerDeath::Requeue => status.returned(state.max_redeliveries.load(Relaxed)),
            OnConsumerDeath::Fail => status.dead(),
            OnConsumerDeath::Drop => status.free(),
        };
        // Dead processes do not race, and the readers' mutex excludes other reclaimers.
        slot.replace(status, after);
        self.came_back(after);
    }

    /// Ends a lease: its task is done.
    pub(crate) fn done(self, token: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        let slot = self.ring.leases().slot(token.slot);
        if !slot.replace(token.status, token.status.free()) {
            return Err(Error::LeaseLost { item: token.item });
        }
        self.ended();
        Ok(())
    }

    /// Returns an item to the queue, for any consumer.
    pub(crate) fn nack(self, token: &LeaseToken) -> Result<()> {
        check_not_forked()?;
        let state = self.ring.state();
        let after = token.status.returned(state.max_redeliveries.load(Relaxed));
        if !self.ring.leases().slot(token.slot).replace(token.status, after) {
            return Err(Error::LeaseLost { item: token.item });
        }
        self.came_back(after);
        Ok(())
    }

    /// A lease ended without its task: wakes consumers if the item was returned, otherwise counts the task as ended.
    fn came_back(self, after: LeaseStatus) {
        let state = self.ring.state();
        if after.state == LeaseState::Returned {
            state.returned.fetch_add(1, Release);
            state.getters.notify();
        } else {
            self.ended();
        }
    }

    /// A task ended: wakes the processes that may wait for it.
    fn ended(self) {
        let (ring, state) = (self.ring, self.ring.state());
        // A joiner has nothing to check before the ring is empty, and the last task ends after that.
        state.joiners.notify_if(|| ring.is_empty());
        // Consumers wait for items that may be returned; after the last of them they need not wait any more.
        state.getters.notify_if(|| !ring.has_other_handle(Right::Put));
        if state.starved.load(Relaxed) != 0 {
            state.starved.store(0, SeqCst);
            state.putters.notify();
        }
    }

    /// Returns the dead letters.
    pub(crate) fn dead(self) -> impl Iterator<Item = LeaseToken> {
        self.valid()
            .filter(|(_, _, status)| status.state == LeaseState::Dead)
            .map(|(index, slot, status)| LeaseToken::new(index, slot, status))
    }
}
