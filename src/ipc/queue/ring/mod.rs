//! A queue of byte records in shared memory, for any number of processes on both sides.
//!
//! # State
//! Two sides (writers and readers), each with a robust mutex and a [`Cursor`]. The content of the ring is what lies
//! between the two positions, and nothing else records it: counts, sizes, full and empty are computed from them. A
//! record is its length in four bytes and its bytes, padded to four, in a chain of [`chunks`].
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
pub(crate) use lease_table::{LeaseSlot, LeaseState, LeaseStatus};
pub(crate) use plan::{HEADER_BYTES, Plan, record_bytes};
pub(crate) use reader::{Reader, Record, first_bytes};
pub(crate) use waiting::Waiting;
pub(crate) use writer::Records;

use self::cursor::{Cursor, Seen};
use self::memory::PutSide;
use self::reader::GetSide;
use self::spin::Spin;
use super::event_count::EventCount;
use super::participants::{Participants, Right, Rights};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer;
use crate::ipc::sync::holder::HeldBy;
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use crate::sys::clock::monotonic_ns;
use crate::sys::fork::forked_from;
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};
use crate::sys::task::{Task, has_other_threads};

shared_layout! {
    /// What both sides have.
    struct Side {
        lock: RobustMutex,
        /// A lower bound of the other side's position, to read its cursor rarely. Accessed only by the lock's holder.
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
        populated: AtomicU32,
        /// No lease slot at or above this index was ever used.
        lease_high: AtomicU32,
        /// Number of items that lease holders have returned.
        pub(crate) returned: AtomicU32,
        /// 1 while a writer finds no memory because of leases.
        pub(crate) starved: AtomicU32,
        distance: [AtomicU32; 4],
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

/// What is sent of a handle: the memory, its rights, and the number under which it is counted.
pub(crate) type SentRing<M = Mapping<RingState>> = (M, Rights, u32);

/// A ring, as one handle of one process sees it.
pub(crate) struct Ring {
    /// The memory, which is the object of every operation on the queue.
    pub(crate) shared: Mapping<RingState>,
    pub(crate) plan: Plan,
    pub(crate) process_table: &'static ProcessTable,
    /// The slot of the process that has this handle.
    pub(crate) me: ProcessSlot,
    /// The id of that process, without a system call.
    pub(crate) pid: u32,
    rights: Rights,
    /// 1 once this handle gave up its right to put.
    closed: AtomicU32,
    put_spin: Spin,
    get_spin: Spin,
    lock_spin: Spin,
    /// Where a participant with the other right was last found alive.
    peer: AtomicU32,
}

impl Ring {
    pub(crate) fn create(plan: Plan, rights: Rights, init: impl FnOnce(&RingState)) -> Result<Self> {
        let shared = Mapping::create_sparse(plan.tail_len(), plan.leases_at, |state: &RingState| {
            plan.write(state);
            init(state);
            state.put.side.lock.init()?;
            state.get.side.lock.init()
        });
        let ring = Ring::joined(shared.map_err(os("make a queue"))?, plan, rights)?;
        ring.populate_first()?;
        Ok(ring)
    }

    /// Creates a handle on a ring of another process from what that process sent.
    pub(crate) fn received((shared, rights, counted): SentRing) -> Result<Self> {
        // Validated here once; from now on only the copy is used.
        let plan = Plan::read(&shared).ok_or(Error::Damaged { object: "queue" })?;
        let ring = Ring::joined(shared, plan, rights)?;
        let (shared, me) = (ring.shared.clone(), ring.me);
        transfer::received(counted, move || leave(&shared, me, rights));
        Ok(ring)
    }

    /// Creates and counts a handle.
    fn joined(shared: Mapping<RingState>, plan: Plan, rights: Rights) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        let me = process_table.me();
        shared.participants.join(process_table, me, rights)?;
        Ok(Ring {
            shared,
            plan,
            process_table,
            me,
            pid: std::process::id(),
            rights,
            closed: AtomicU32::new(0),
            put_spin: Spin::default(),
            get_spin: Spin::default(),
            lock_spin: Spin::default(),
            peer: AtomicU32::new(0),
        })
    }

    /// Creates another handle of this process, with those of `rights` that this one still has.
    pub(crate) fn another(&self, rights: Rights) -> Self {
        let own = self.rights();
        let rights = Rights { put: rights.put && own.put, get: rights.get && own.get };
        let ring = Ring::joined(self.shared.clone(), self.plan, rights);
        ring.expect("there are fewer handles than 65,535 for each of 4,096 processes")
    }

    /// Counts a handle like this one for the process in `recipient`, before it is sent. Returns what is sent.
    pub(crate) fn counted_for(&self, recipient: ProcessSlot) -> Result<SentRing<&Mapping<RingState>>> {
        let rights = self.rights();
        self.shared.participants.join(self.process_table, recipient, rights)?;
        let shared = self.shared.clone();
        Ok((&self.shared, rights, transfer::counted(move || leave(&shared, recipient, rights))))
    }

    /// Returns the rights that this handle still has.
    #[inline]
    pub(crate) fn rights(&self) -> Rights {
        Rights { put: self.may_put(), get: self.rights.get }
    }

    /// Returns whether this handle has the right to put and was not closed. The value that a put sees while it holds
    /// the writers' mutex decides: see [`producers_are_gone`](Self::producers_are_gone).
    #[inline]
    pub(crate) fn may_put(&self) -> bool {
        self.rights.put && self.closed.load(Relaxed) == 0
    }

    /// Gives up the right to put. Waiting puts through this handle fail.
    pub(crate) fn close(&self) {
        if self.rights.put && self.closed.swap(1, SeqCst) == 0 {
            self.leave(Rights { put: true, get: false });
            self.shared.putters.notify();
        }
    }

    /// Uncounts rights of this process, unless it is a fork: then the parent still has the handle.
    fn leave(&self, rights: Rights) {
        if forked_from().is_none() {
            leave(&self.shared, self.me, rights);
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
    pub(crate) fn is_right_left(&self, right: Right) -> bool {
        self.has_other_handle(right) || self.rights().has(right) && has_other_threads()
    }

    /// Returns whether there is another handle with `right`.
    pub(crate) fn has_other_handle(&self, right: Right) -> bool {
        let own = self.rights().has(right);
        let participants = &self.shared.participants;
        let (me, own_count) = (self.me, u64::from(own));
        let index = self.peer.load(Relaxed) as usize;
        if participants.still(self.process_table, index, right, me, own_count) {
            return true;
        }
        if let Some(index) = participants.find(self.process_table, right, me, own_count) {
            self.peer.store(index as u32, Relaxed);
            return true;
        }
        false
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
    #[inline]
    fn lock(
        &self,
        mutex: &RobustMutex,
        waiting: &Waiting,
        has_something: impl Fn() -> bool,
        refusal: impl Fn() -> Option<Error>,
    ) -> Result<Option<bool>> {
        match mutex.try_lock() {
            Locked::Clean => Ok(Some(false)),
            locked => self.lock_contended(locked, mutex, waiting, has_something, refusal),
        }
    }

    #[cold]
    fn lock_contended(
        &self,
        mut locked: Locked,
        mutex: &RobustMutex,
        waiting: &Waiting,
        has_something: impl Fn() -> bool,
        refusal: impl Fn() -> Option<Error>,
    ) -> Result<Option<bool>> {
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
                    Some(give_up_ns) => now_ns < give_up_ns && has_something() && !is_held_by_a_stopped_thread(mutex),
                };
                let give_up_ns = *give_up_ns.get_or_insert(now_ns + GRACE_NS);
                goes_on.then(|| give_up_ns.min(now_ns + LOOK_AT_HOLDER_NS))
            });
            let Some(until_ns) = until_ns else { return Ok(None) };
            locked = mutex.lock(Some(until_ns));
        }
    }
}

/// Uncounts rights of the process in `slot`, and wakes peers that wait for what can no longer happen.
fn leave(state: &RingState, slot: ProcessSlot, rights: Rights) {
    state.participants.leave(slot, rights);
    if rights.put {
        state.getters.notify();
    }
    if rights.get {
        state.putters.notify();
        state.joiners.notify();
    }
}

/// Attempts to read both positions at one moment: each takes well below a microsecond.
const COMMITTED_TRIES: u32 = 100;

/// How long an operation still waits after its timeout for a mutex that is about to be released: it is held for
/// microseconds, unless its holder is stopped, or has no processor for a while.
const GRACE_NS: u64 = 2_000_000_000;
/// Interval between checks whether the holder is stopped.
const LOOK_AT_HOLDER_NS: u64 = 2_000_000;

fn is_held_by_a_stopped_thread(mutex: &RobustMutex) -> bool {
    mutex.owner_tid().and_then(Task::of).is_some_and(|holder| holder.is_stopped)
}

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

impl Drop for Ring {
    fn drop(&mut self) {
        self.leave(self.rights());
    }
}

impl std::fmt::Debug for Ring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ring").field("plan", &self.plan).field("rights", &self.rights).finish_non_exhaustive()
    }
}
