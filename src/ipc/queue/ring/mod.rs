//! A queue of byte records in shared memory, for any number of processes on both sides.
//!
//! # State
//! Two sides (writers and readers), each with a robust mutex and a [`Cursor`]. The content of the ring is what lies
//! between the two positions, and nothing else records it: counts, sizes, full and empty are computed from them. A
//! record is its length in four bytes and its bytes, padded to a multiple of four, in a chain of [`chunks`].
//!
//! # Ordering
//! Each side's mutex orders its holders; the cursor words order one side against the other.
//!
//! # Death
//! A writer or reader killed before it publishes has done nothing, after it everything; the kernel hands its mutex on.
//! Chunks that a dead writer had reserved become free when the chunks in use are recounted. A stopped process keeps its
//! mutex: its side stands still until it continues or dies; the other side does not.
//!
//! # Standard
//! Lamport's bounded buffer, with one mutex per side; crash recovery from derived state instead of logs.

use std::ops::Deref;

mod chunks;
mod cursor;
mod lease_table;
mod memory;
mod plan;
mod reader;
mod spin;
mod waiting;
mod writer;

pub(crate) use cursor::{Place, Position};
pub(crate) use lease_table::{LeaseState, LeaseStatus, LeaseToken};
pub(crate) use plan::{HEADER_BYTES, Plan, record_bytes};
pub(crate) use reader::{Reader, Record, first_bytes};
pub(crate) use waiting::Waiting;
pub(crate) use writer::Records;

use self::cursor::{Cursor, Seen};
use self::memory::PutSide;
use self::reader::GetSide;
use self::spin::Spin;
use super::event_count::EventCount;
use super::participants::{Counted, Handle, Participants, Rights, Sent};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::sync::holder::{HeldBy, Holder};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};
use crate::sys::task::has_other_threads;

shared_layout! {
    /// The state that each side has.
    struct Side {
        lock: RobustMutex,
        /// A lower bound of the other side's position, so that its cursor is rarely read. Accessed only by the lock's
        /// holder.
        seen_bytes: AtomicU64,
        seen_items: AtomicU64,
    }
}

shared_layout! {
    pub(crate) struct RingState = b"ring    " + [lease_table::LeaseSlot] {
        // Written once by the creator.
        capacity: AtomicU64,
        byte_limit: AtomicU64,
        chunk_bytes: AtomicU32,
        leases: AtomicU32,
        pub(crate) max_redeliveries: AtomicU32,
        pub(crate) on_death: AtomicU32,
        // Changes rarely.
        /// No lease slot at or above this index was ever used.
        lease_high: AtomicU32,
        /// Number of items that lease holders have returned.
        pub(crate) returned: AtomicU32,
        /// 1 while a writer finds no memory because of leases.
        pub(crate) starved: AtomicU32,
        distance: [AtomicU32; 5],
        // 128 bytes each: what one side writes is never on a cache line that the other needs, nor on the adjacent one,
        // which the processor prefetches.
        put: PutSide,
        tail: Cursor,
        pub(crate) get: GetSide,
        head: Cursor,
        /// Notified when a producer has left, or an item was returned: waiting consumers check again.
        pub(crate) getters: EventCount,
        /// Notified when a consumer has left, or memory was freed.
        pub(crate) putters: EventCount,
        /// Notified when a task is done.
        pub(crate) joiners: EventCount,
        bells_distance: [AtomicU32; 29],
        participants: Participants,
    }
}

impl Counted for RingState {
    fn participants(&self) -> &Participants {
        &self.participants
    }

    fn left(&self, rights: Rights) {
        if rights.has(Rights::PUT) {
            self.getters.notify();
        }
        if rights.has(Rights::GET) {
            self.putters.notify();
            self.joiners.notify();
        }
    }
}

/// A ring, as one handle of one process sees it.
pub(crate) struct Ring {
    handle: Handle<RingState>,
    pub(crate) plan: Plan,
    /// The id of the process that has this handle; saves a system call.
    pub(crate) pid: u32,
    put_spin: Spin,
    get_spin: Spin,
    lock_spin: Spin,
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
        let shared = Mapping::create_sparse(plan.tail_len(), plan.leases_at, |state: &RingState| {
            plan.write(state);
            init(state);
            state.put.side.lock.init()?;
            state.get.side.lock.init()
        });
        let ring = Ring::of(Handle::new(shared.map_err(os("make a queue"))?, rights)?, plan);
        ring.populate_first()?;
        Ok(ring)
    }

    /// Creates a handle on a ring of another process from what that process sent.
    pub(crate) fn received(sent: Sent<Mapping<RingState>>) -> Result<Self> {
        let handle = Handle::received(sent)?;
        // Validated here once; from now on only the copy is used.
        let plan = Plan::read(&handle.shared).ok_or(Error::Damaged { object: "queue" })?;
        Ok(Ring::of(handle, plan))
    }

    fn of(handle: Handle<RingState>, plan: Plan) -> Self {
        let [put_spin, get_spin, lock_spin] = Default::default();
        Ring { handle, plan, pid: std::process::id(), put_spin, get_spin, lock_spin }
    }

    /// Creates another handle of this process, with those of `rights` that this one still has.
    pub(crate) fn another(&self, rights: Rights) -> Self {
        Ring::of(self.handle.another(rights), self.plan)
    }

    /// Returns whether this handle has the right to put and was not closed. The value that a put sees while it holds
    /// the writers' mutex decides: see [`producers_are_gone`](Self::producers_are_gone).
    #[inline]
    pub(crate) fn may_put(&self) -> bool {
        self.rights().has(Rights::PUT)
    }

    /// Gives up the right to put. Waiting puts through this handle fail.
    pub(crate) fn close(&self) {
        if self.give_up(Rights::PUT) {
            self.shared.putters.notify();
        }
    }

    /// The current producer, or the one that waits with all others behind it.
    pub(crate) fn putting(&self) -> HeldBy<'_> {
        HeldBy(&self.shared.put.side.lock)
    }

    /// The current consumer, or the one that waits with all others behind it.
    pub(crate) fn getting(&self) -> HeldBy<'_> {
        HeldBy(&self.shared.get.side.lock)
    }

    /// Returns whether `right` can still be used by any thread but the calling one: through another handle, or by
    /// another thread of this process through this one.
    pub(crate) fn is_right_left(&self, right: Rights) -> bool {
        self.has_other_handle(right) || self.rights().has(right) && has_other_threads()
    }

    /// Returns both positions at one moment.
    ///
    /// If readers are so busy that no consistent pair is seen, the first is older than the second: the content then
    /// never looks smaller than it was.
    pub(crate) fn committed(&self) -> (Position, Position) {
        let mut first = self.shared.head.read();
        for _ in 0..COMMITTED_TRIES {
            let (_, tail) = self.shared.tail.read();
            let again = self.shared.head.read();
            if again.0 == first.0 {
                return (first.1, tail);
            }
            first = again;
        }
        (first.1, self.shared.tail.read().1)
    }

    /// Returns the number of items in the ring at one moment.
    pub(crate) fn items(&self) -> u64 {
        let (head, tail) = self.committed();
        tail.items.wrapping_sub(head.items).min(self.plan.capacity)
    }

    /// Returns the maximum number of items; `None` if unlimited.
    pub(crate) fn capacity(&self) -> Option<usize> {
        let capacity = self.plan.capacity;
        (capacity != u64::MAX).then_some(capacity as usize)
    }

    /// Reads the other side's cursor `theirs` for the holder of the mutex of `side`.
    fn look(&self, side: &Side, theirs: &Cursor, spin: &Spin) -> (Seen, Position) {
        spin.gather();
        let (seen, position) = theirs.read();
        spin.found(position.items.wrapping_sub(side.seen_items.load(Relaxed)));
        side.seen_bytes.store(position.bytes, Relaxed);
        side.seen_items.store(position.items, Relaxed);
        (seen, position)
    }

    /// Acquires one side's mutex, waiting as long as `waiting` allows and there is no `refusal`. Returns `None` on
    /// timeout if the side has nothing to offer, or its holder is stopped.
    ///
    /// Also returns whether the previous holder died with it.
    fn lock(
        &self,
        mutex: &RobustMutex,
        waiting: &Waiting,
        has_something: impl Fn() -> bool,
        refusal: impl Fn() -> Option<Error>,
    ) -> Result<Option<bool>> {
        let is_holder_stopped = || Holder::of(mutex).is_some_and(|holder| holder.is_stopped());
        let mut locked = mutex.try_lock();
        if locked == Locked::Busy && waiting.will() && self.lock_spin.until(|| mutex.looks_free()) {
            locked = mutex.try_lock();
        }
        let mut give_up_ns = None;
        loop {
            match locked {
                Locked::Clean => return Ok(Some(false)),
                Locked::Abandoned => return Ok(Some(true)),
                Locked::WouldDeadlock => return Err(Error::WouldDeadlock),
                Locked::Busy => {}
            }
            if let Some(refused) = refusal() {
                return Err(refused);
            }
            let until_ns = waiting.next_check_ns().or_else(|| {
                let now_ns = monotonic_ns();
                let goes_on = match give_up_ns {
                    None => has_something(),
                    Some(give_up_ns) => now_ns < give_up_ns && has_something() && !is_holder_stopped(),
                };
                let give_up_ns = *give_up_ns.get_or_insert(now_ns + GRACE_NS);
                goes_on.then(|| give_up_ns.min(now_ns + LOOK_AT_HOLDER_NS))
            });
            let Some(until_ns) = until_ns else { return Ok(None) };
            locked = mutex.lock(Some(until_ns));
        }
    }
}

/// Attempts to read both positions at one moment: each takes well below a microsecond.
const COMMITTED_TRIES: u32 = 100;

/// How long an operation still waits after its timeout for a mutex that is about to be released: it is held for
/// microseconds, unless its holder is stopped, or has no processor for a while.
const GRACE_NS: u64 = 2_000_000_000;
/// Interval between checks whether the holder is stopped.
const LOOK_AT_HOLDER_NS: u64 = 2_000_000;

#[cfg(test)]
impl Ring {
    /// Makes both sequence numbers wrap after `publications` publications.
    pub(crate) fn wrap_after(&self, publications: u32) {
        self.shared.tail.start_at((u32::MAX >> 1) - publications);
        self.shared.head.start_at((u32::MAX >> 1) - publications);
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.shared.resident_bytes().expect("an open memfd")
    }
}
