//! Leases on items that were removed from a ring and are not yet done.
//!
//! # State
//! A slot's word holds its whole state: `owner's slot << 32 | returns << 22 | generation << 2 | state`. FREE -> LEASED
//! (under the readers' mutex; the other fields are written before) -> FREE (done) or RETURNED (returned to the queue,
//! or its owner died) -> LEASED again, or DEAD (returned too often: a dead letter) -> FREE. Every change is one
//! compare-and-swap. A lease is valid only if its item lies before the readers' cursor, so publishing the cursor
//! removes the item from the ring and makes the lease valid in one step. The item's bytes stay in place, and keep their
//! chunks, until the slot is free.
//!
//! # Ordering
//! The word is stored with `Release` after the other fields and loaded with `Acquire` before them.
//!
//! # Death
//! A reader killed between writing the slot and publishing leaves a LEASED slot of an item that is still in the ring.
//! The next holder of its mutex frees such slots first: otherwise the next publication would make that lease valid, and
//! the item would be delivered twice. The generation grows with every lease, so a late `task_done` of a lease that was
//! taken over fails.
//!
//! # Standard
//! Visibility timeouts and dead letters of message brokers, with the kernel's knowledge of process deaths in place of
//! the timeout.

use super::cursor::Place;
use super::{Record, Ring};
use crate::ipc::error::{Result, os};
use crate::ipc::process::table::ProcessSlot;
use crate::sys::atomic::{
    AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use crate::sys::shm::shared_layout;

shared_layout! {
    /// A lease in shared memory.
    pub(crate) struct LeaseSlot {
        word: AtomicU64,
        item: AtomicU64,
        chunk: AtomicU32,
        offset: AtomicU32,
        len: AtomicU32,
        owner_pid: AtomicU32,
    }
}

/// The state of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeaseState {
    Free,
    Leased,
    Returned,
    Dead,
}

/// A slot's word, decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LeaseStatus {
    pub(crate) owner: Option<ProcessSlot>,
    /// How many times the item was returned.
    pub(crate) returns: u32,
    generation: u32,
    pub(crate) state: LeaseState,
}

/// The maximum number of returns that a word can count.
const MOST_RETURNS: u32 = (1 << 10) - 1;
const RETURNS_SHIFT: u32 = 22;
const GENERATIONS: u32 = 1 << 20;
const GENERATION_SHIFT: u32 = 2;

impl LeaseStatus {
    fn of(word: u64) -> Self {
        let low = word as u32;
        LeaseStatus {
            owner: ProcessSlot::from_word((word >> 32) as u32),
            returns: low >> RETURNS_SHIFT,
            generation: low >> GENERATION_SHIFT & (GENERATIONS - 1),
            state: match low & 3 {
                0 => LeaseState::Free,
                1 => LeaseState::Leased,
                2 => LeaseState::Returned,
                _ => LeaseState::Dead,
            },
        }
    }

    fn to_word(self) -> u64 {
        let owner = self.owner.map_or(0, ProcessSlot::to_word);
        let low = self.returns << RETURNS_SHIFT | self.generation << GENERATION_SHIFT | self.state as u32;
        u64::from(owner) << 32 | u64::from(low)
    }

    /// The next lease of the same item, or of another one if it starts with no returns.
    pub(crate) fn leased_to(self, owner: ProcessSlot) -> Self {
        let generation = (self.generation + 1) % GENERATIONS;
        LeaseStatus { owner: Some(owner), generation, state: LeaseState::Leased, ..self }
    }

    pub(crate) fn free(self) -> Self {
        LeaseStatus { owner: None, returns: 0, state: LeaseState::Free, ..self }
    }

    /// The item was returned; it is a dead letter if it was returned `max` times before.
    pub(crate) fn returned(self, max: u32) -> Self {
        let state = if self.returns < max.min(MOST_RETURNS) { LeaseState::Returned } else { LeaseState::Dead };
        LeaseStatus { owner: None, returns: (self.returns + 1).min(MOST_RETURNS), state, ..self }
    }

    /// A dead letter because its owner, which stays in the word, died.
    pub(crate) fn dead(self) -> Self {
        LeaseStatus { state: LeaseState::Dead, ..self }
    }
}

/// The state of a slot when it was read: permits changing the slot as long as that state is current.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseToken {
    slot: u32,
    pub(crate) status: LeaseStatus,
    /// Number of the item in the order of the puts.
    pub(crate) item: u64,
    /// Where its bytes are.
    pub(crate) place: Place,
    pub(crate) len: u32,
    pub(crate) owner_pid: u32,
}

/// Number of slots that get memory together.
const STEP: u32 = 128;

impl Ring {
    fn lease_slot(&self, index: u32) -> &LeaseSlot {
        self.shared.shared_at(self.plan.leases_at + index as usize * size_of::<LeaseSlot>())
    }

    fn read_lease(&self, index: u32) -> LeaseToken {
        let slot = self.lease_slot(index);
        LeaseToken {
            slot: index,
            status: slot.status(),
            item: slot.item.load(Relaxed),
            place: Place { chunk: slot.chunk.load(Relaxed), offset: slot.offset.load(Relaxed) },
            len: slot.len.load(Relaxed),
            owner_pid: slot.owner_pid.load(Relaxed),
        }
    }

    /// Reads every slot that has ever been used.
    pub(crate) fn used_leases(&self) -> impl Iterator<Item = LeaseToken> {
        let high = self.shared.lease_high.load(Acquire).min(self.plan.leases);
        (0..high).map(|index| self.read_lease(index))
    }

    /// Returns the leases that the readers' cursor has made valid, in any state.
    pub(crate) fn valid_leases(&self) -> impl Iterator<Item = LeaseToken> {
        let (head, _) = self.committed();
        self.used_leases().filter(move |lease| lease.status.state != LeaseState::Free && lease.item < head.items)
    }

    /// Returns a free slot, or `None` if all are in use. Only for the holder of the readers' mutex.
    pub(crate) fn find_free_lease(&self) -> Result<Option<u32>> {
        let get = &self.shared.get;
        let high = self.shared.lease_high.load(Relaxed).min(self.plan.leases);
        let credit = get.lease_credit.load(Relaxed);
        if credit > 0 && high < self.plan.leases {
            get.lease_credit.store(credit - 1, Relaxed);
            return self.raise_leases(high).map(Some);
        }
        let hint = get.lease_hint.load(Relaxed).min(high);
        let is_free = |index: &u32| self.lease_slot(*index).status().state == LeaseState::Free;
        if let Some(index) = (hint..high).chain(0..hint).find(is_free) {
            get.lease_hint.store(index + 1, Relaxed);
            return Ok(Some(index));
        }
        if high == self.plan.leases {
            return Ok(None);
        }
        // After a failed search, use as many new slots before the next one.
        get.lease_credit.store(high, Relaxed);
        self.raise_leases(high).map(Some)
    }

    /// Returns the first slot that was never used.
    fn raise_leases(&self, high: u32) -> Result<u32> {
        if high.is_multiple_of(STEP) {
            let bytes = size_of::<LeaseSlot>();
            let step = STEP.min(self.plan.leases - high) as usize;
            let populated = self.shared.populate(self.plan.leases_at + high as usize * bytes, step * bytes);
            populated.map_err(os("get memory for leases"))?;
        }
        self.shared.lease_high.store(high + 1, Release);
        Ok(high)
    }

    /// Frees the slots of items that are still in the ring (from the first one on): a reader wrote them and was killed
    /// before it published. Only for the holder of the readers' mutex, before it does anything else.
    pub(super) fn roll_back_unpublished(&self, head_items: u64) {
        #[cfg(all(debug_assertions, feature = "cli"))]
        let head_items = crate::sys::failpoint::all_taken(head_items);
        for lease in self.used_leases() {
            if lease.status.state == LeaseState::Leased && lease.item >= head_items {
                self.change_lease(&lease, lease.status.free());
            }
        }
    }

    /// Writes a lease on `record` into a free slot; it becomes valid when the reader's cursor passes the record.
    pub(crate) fn fill_lease(&self, index: u32, record: &Record) -> LeaseToken {
        let slot = self.lease_slot(index);
        slot.item.store(record.after.items.wrapping_sub(1), Relaxed);
        slot.chunk.store(record.place.chunk, Relaxed);
        slot.offset.store(record.place.offset, Relaxed);
        slot.len.store(record.len, Relaxed);
        slot.owner_pid.store(self.pid, Relaxed);
        slot.word.store(slot.status().leased_to(self.me).to_word(), Release);
        self.read_lease(index)
    }

    /// Leases a returned item to this process. Returns `None` if another process was faster.
    pub(crate) fn take_over(&self, returned: LeaseToken) -> Option<LeaseToken> {
        let leased = returned.status.leased_to(self.me);
        self.lease_slot(returned.slot).owner_pid.store(self.pid, Relaxed);
        self.change_lease(&returned, leased).then_some(LeaseToken { status: leased, ..returned })
    }

    /// Changes the status of a lease. Returns `false` if the status has changed since it was read.
    pub(crate) fn change_lease(&self, lease: &LeaseToken, then: LeaseStatus) -> bool {
        let word = &self.lease_slot(lease.slot).word;
        word.compare_exchange(lease.status.to_word(), then.to_word(), AcqRel, Relaxed).is_ok()
    }
}

impl LeaseSlot {
    fn status(&self) -> LeaseStatus {
        LeaseStatus::of(self.word.load(Acquire))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::process::table::ProcessTable;

    #[test]
    fn standing_survives_its_word() {
        let me = ProcessTable::ours().expect("a table").me();
        let free = LeaseStatus::of(0);
        assert_eq!((free.state, free.owner, free.to_word()), (LeaseState::Free, None, 0));
        let mut status = free;
        for returns in 0..5 {
            status = status.leased_to(me);
            assert_eq!(LeaseStatus::of(status.to_word()), status);
            assert_eq!((status.returns, status.state, status.owner), (returns, LeaseState::Leased, Some(me)));
            status = status.returned(4);
            assert_eq!(LeaseStatus::of(status.to_word()), status);
        }
        assert_eq!((status.state, status.owner), (LeaseState::Dead, None));
    }

    #[test]
    fn generation_wraps_inside_its_bits() {
        let me = ProcessTable::ours().expect("a table").me();
        let last = LeaseStatus {
            owner: Some(me),
            returns: MOST_RETURNS,
            generation: GENERATIONS - 1,
            state: LeaseState::Returned,
        };
        assert_eq!(LeaseStatus::of(last.to_word()), last);
        let next = last.leased_to(me);
        assert_eq!((next.generation, next.returns), (0, MOST_RETURNS));
    }
}
