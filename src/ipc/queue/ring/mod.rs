//! A queue of items in shared memory, for any number of processes on both sides.
//!
//! # State
//! A slot for each item, with a [`word`], in a chain of [`segments`]. The content of the ring is what lies between the first slot
//! that was not taken and the first that was never claimed, and nothing else records it: counts, full and empty are
//! computed from the slots. Items that do not fit into a slot are in its [`extension`], or in [`large`].
//!
//! # Ordering
//! The word of a slot orders its producer against its consumer. Sleepers: see [`crate::ipc::event_count`].
//!
//! # Death
//! A change is complete with the store of one word: before it nothing has happened, after it everything. The owner in
//! that word tells whether the process that is at work on a slot is alive; others go on where a dead one was. A stopped
//! producer that has claimed a slot and not published it is in the way of the items behind it, until it continues or
//! dies.
//!
//! # Standard
//! A ring of slots with a word each, after Vyukov's bounded queue; segments as in Michael and Scott's list. Crash
//! recovery from derived state instead of logs.

use std::ops::Deref;

mod extension;
mod get;
mod in_place;
mod large;
#[cfg(test)]
mod model;
mod packed;
mod plan;
mod put;
mod segments;
mod slot;
mod waiting;
mod word;

pub(crate) use extension::SHORT_BYTES;
pub(crate) use in_place::{InPlace, Room};
pub(crate) use plan::Plan;
pub(crate) use segments::{Spot, distance};
pub(crate) use waiting::Waiting;
pub(crate) use word::{State, Word};

use self::segments::NOWHERE;
use self::slot::Slot;
use self::waiting::WaitQueue;
use super::participants::{Counted, Handle, Rights, Sent};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::event_count::EventCount;
use crate::ipc::process::members::Members;
use crate::ipc::process::table as process;
use crate::ipc::spin::Spin;
use crate::ipc::sync::holder::HeldBy;
use crate::sys::atomic::{self, AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, SharedSlice, shared_layout};
use crate::sys::task::has_other_threads;

/// Values in shared memory that no ring has.
const DAMAGED: Error = Error::Damaged { object: "queue" };

shared_layout! {
    pub(crate) struct RingState = b"ring    " + [Slot] {
        // Written once by the creator.
        capacity: AtomicU64,
        byte_limit: AtomicU64,
        segment_slots: AtomicU32,
        segments: AtomicU32,
        chunk_bytes: AtomicU32,
        pub(crate) max_redeliveries: AtomicU32,
        pub(crate) on_death: AtomicU32,
        /// 1 if batches are packed.
        packs: AtomicU32,
        // Changes rarely.
        /// Position of the first item.
        first_position: AtomicU64,
        /// No segment at or above this index ever had memory.
        used_segments: AtomicU32,
        /// Counts the segments that were added to the chain.
        added_segments: AtomicU32,
        padding: AtomicU32,
        /// No slot behind this position was claimed and then released without an item.
        last_aborted: AtomicU64,
        /// Number of items that lease holders have returned.
        pub(crate) returned: AtomicU32,
        /// The count of returned items up to which all are leased again.
        pub(crate) returned_seen: AtomicU32,
        /// Notified when a task is done.
        pub(crate) joiners: EventCount,
        padding_of_joiners: AtomicU32,
        // 128 bytes each: what one side writes is never on a cache line that the other needs, nor on the adjacent one,
        // which the processor prefetches.
        distance: [AtomicU64; 16],
        pub(crate) getters: WaitQueue,
        pub(crate) putters: WaitQueue,
        /// Where to look next for empty chunks.
        next_chunk: AtomicU32,
        /// Number of chunks whose entries have memory: the others are not looked at.
        used_chunks: AtomicU32,
        padding_of_chunks: AtomicU64,
        /// Held by the thread that changes the chain of segments, or gives memory back.
        chaining: RobustMutex,
        distance_of_tail: [AtomicU64; 15],
        tail: AtomicU64,
        distance_of_head: [AtomicU64; 15],
        head: AtomicU64,
        /// Leases made since the last check for dead consumers.
        pub(crate) lease_ticks: AtomicU32,
        padding_of_ticks: AtomicU32,
        open: AtomicU64,
        distance_of_members: [AtomicU64; 15],
        members: Members,
    }
}

impl Counted for RingState {
    fn members(&self) -> &Members {
        &self.members
    }

    fn left(&self, rights: Rights) {
        if rights.has(Rights::PUT) {
            self.getters.event.notify();
        }
        if rights.has(Rights::GET) {
            self.putters.event.notify();
            self.joiners.notify();
        }
    }
}

/// A ring, as one handle of one process sees it.
pub(crate) struct Ring {
    handle: Handle<RingState>,
    slots: SharedSlice<RingState, Slot>,
    chunks: SharedSlice<RingState, large::ChunkEntry>,
    pub(crate) plan: Plan,
    /// A segment has two to the power of this slots.
    shift: u32,
    /// The id of the process that has this handle; saves a system call.
    pub(crate) pid: u32,
    /// A position at or before the head's, so that the head is rarely read.
    seen_head: AtomicU64,
    /// A position at or before the tail's.
    seen_tail: AtomicU64,
    /// What this handle has noted last.
    known_tail: AtomicU64,
    known_head: AtomicU64,
    /// The chunk that has this handle's last long item; [`large::NO_CHUNK`] before the first.
    own_chunk: AtomicU32,
    /// Number of chunks in a row that were taken from those whose memory is kept.
    calm: AtomicU32,
    /// When a put that finds the ring full looks for dead producers again.
    next_check_ns: AtomicU64,
    put_spin: Spin,
    get_spin: Spin,
}

impl Deref for Ring {
    type Target = Handle<RingState>;

    #[inline]
    fn deref(&self) -> &Handle<RingState> {
        &self.handle
    }
}

impl Ring {
    pub(crate) fn create(plan: Plan, rights: Rights, init: impl FnOnce(&RingState)) -> Result<Self> {
        Ring::create_from(plan, 0, rights, init)
    }

    /// Creates a ring whose first segment has the number `first`.
    fn create_from(plan: Plan, first: u64, rights: Rights, init: impl FnOnce(&RingState)) -> Result<Self> {
        let shared = Mapping::create_sparse(plan.tail_len(), plan.chunk_entries_at, |state: &RingState| {
            plan.write(state);
            init(state);
            state.getters.mutex.init()?;
            state.putters.mutex.init()?;
            state.chaining.init()
        });
        let ring = Ring::of(Handle::new(shared.map_err(os("make a queue"))?, rights)?, plan);
        ring.chain_first(first)?;
        ring.seen_head.store(ring.head().position, Relaxed);
        ring.seen_tail.store(ring.head().position, Relaxed);
        Ok(ring)
    }

    /// Creates a ring whose numbers wrap soon.
    #[cfg(test)]
    pub(crate) fn create_late(plan: Plan, init: impl FnOnce(&RingState)) -> Result<Self> {
        Ring::create_from(plan, RingState::late(plan.segment_slots), Rights::BOTH, init)
    }

    /// Creates a handle on a ring of another process from what that process sent.
    pub(crate) fn received(sent: Sent<Mapping<RingState>>) -> Result<Self> {
        let handle = Handle::received(sent)?;
        // Validated here once; from now on only the copy is used.
        let plan = Plan::read(&handle.shared).ok_or(DAMAGED)?;
        let ring = Ring::of(handle, plan);
        ring.seen_head.store(ring.head().position, Relaxed);
        ring.seen_tail.store(ring.head().position, Relaxed);
        Ok(ring)
    }

    fn of(handle: Handle<RingState>, plan: Plan) -> Self {
        crate::sys::membarrier::register();
        let shift = plan.segment_slots.trailing_zeros();
        Ring {
            slots: handle.shared.shared_slice(plan.slots_at, (plan.segments as usize) << shift),
            chunks: handle.shared.shared_slice(plan.chunk_entries_at, plan.chunks as usize),
            handle,
            plan,
            shift,
            pid: std::process::id(),
            seen_head: AtomicU64::default(),
            seen_tail: AtomicU64::default(),
            known_tail: AtomicU64::new(NOWHERE),
            known_head: AtomicU64::new(NOWHERE),
            own_chunk: AtomicU32::new(large::NO_CHUNK),
            calm: AtomicU32::default(),
            next_check_ns: AtomicU64::default(),
            put_spin: Spin::default(),
            get_spin: Spin::default(),
        }
    }

    /// Creates another handle of this process, with those of `rights` that this one still has.
    pub(crate) fn another(&self, rights: Rights) -> Self {
        let ring = Ring::of(self.handle.another(rights), self.plan);
        ring.seen_head.store(self.seen_head.load(Relaxed), Relaxed);
        ring.seen_tail.store(self.seen_tail.load(Relaxed), Relaxed);
        ring
    }

    /// Gets memory for `bytes` bytes at `offset` behind [`RingState`], unless they have some.
    fn populate(&self, offset: usize, bytes: usize) -> Result<()> {
        self.shared.populate(offset, bytes).map_err(os("get memory for a queue"))
    }

    /// Returns whether this handle has the right to put and was not closed.
    #[inline]
    pub(crate) fn may_put(&self) -> bool {
        self.rights().has(Rights::PUT)
    }

    /// Gives up the right to put. Waiting puts through this handle fail.
    pub(crate) fn close(&self) {
        if self.give_up(Rights::PUT) {
            self.shared.putters.event.notify();
        }
    }

    /// The producer that waits with all others behind it.
    pub(crate) fn putting(&self) -> HeldBy<'_> {
        HeldBy(&self.shared.putters.mutex)
    }

    /// The consumer that waits with all others behind it.
    pub(crate) fn getting(&self) -> HeldBy<'_> {
        HeldBy(&self.shared.getters.mutex)
    }

    /// Returns whether `right` can still be used by any thread but the calling one: through another handle, or by
    /// another thread of this process through this one.
    #[inline]
    pub(crate) fn is_right_left(&self, right: Rights) -> bool {
        self.has_other_handle(right) || self.rights().has(right) && has_other_threads()
    }

    /// Returns the first slot that was not taken and the first that was never claimed, at one moment.
    ///
    /// If consumers are so busy that no consistent pair is seen, the first is older than the second: the content then
    /// never looks smaller than it was.
    fn ends(&self) -> (Spot, Spot) {
        let (mut head, _) = self.first_untaken();
        for _ in 0..CONSISTENT_TRIES {
            let tail = self.first_unclaimed();
            let (again, _) = self.first_untaken();
            if again == head {
                return (head, tail);
            }
            head = again;
        }
        (head, self.first_unclaimed())
    }

    /// Returns the first slot that was never claimed.
    fn first_unclaimed(&self) -> Spot {
        let mut spot = self.tail();
        loop {
            let word = self.word(spot);
            if word.is_of(self.number(spot)) {
                match self.next_behind(spot, word) {
                    Some(next) => spot = next,
                    None => return Spot { position: spot.position + 1, ..spot },
                }
            } else if word.is_free_in(self.number(spot)) {
                return spot;
            } else {
                // The segment is another by now.
                spot = self.newest();
            }
        }
    }

    /// Returns the number of items in the ring at one moment. An item that is being put counts, and so does one whose
    /// producer was killed in the put, until a get or a put that finds the ring full has noticed.
    pub(crate) fn items(&self) -> u64 {
        let (head, tail) = self.ends();
        if !self.is_any_aborted(head) {
            return distance(tail.position, head.position) as u64;
        }
        self.slots().map(|(_, word)| u64::from(word.items())).sum()
    }

    /// Returns the number of an item in the order of the puts.
    pub(crate) fn number_of(&self, spot: Spot) -> u64 {
        distance(spot.position, self.shared.first_position.load(Relaxed)) as u64
    }

    /// Returns the maximum number of items; `None` if unlimited.
    pub(crate) fn capacity(&self) -> Option<usize> {
        let capacity = self.plan.capacity;
        (capacity != u64::MAX).then_some(capacity as usize)
    }
}

/// Attempts to read both ends at one moment: each takes well below a microsecond.
const CONSISTENT_TRIES: u32 = 100;
