//! A queue of byte records in shared memory, for any number of processes on both sides.
//!
//! # State
//! Two sides, each a robust mutex (who writes, who reads) and a [`Progress`] (how far it has come). What is in the ring is
//! what lies between the two marks, and nothing else says so: counts, sizes, full and empty are computed from them. A
//! record is its length in four bytes and its bytes, padded to four, in the chunks of [`Chunks`].
//!
//! # Ordering
//! Each side's mutex orders its holders; the progress words order one side against the other.
//!
//! # Death
//! A writer or reader killed before it publishes has done nothing, after it everything; the kernel hands its mutex on. What
//! a dead writer had reserved is found free again when the chunks in use are counted anew.
//!
//! # Standard
//! Lamport's bounded buffer, with one mutex a side; crash recovery by derived state instead of logs.

mod chunks;
mod lease_table;
mod progress;
mod reader;
mod waiting;
mod writer;

use std::os::fd::{BorrowedFd, OwnedFd};

pub(crate) use lease_table::{LeaseSlot, LeaseState, LeaseTable, Standing};
pub(crate) use progress::{Mark, Place};
pub(crate) use reader::{Reader, Record};
pub(crate) use waiting::{Spin, Waited, Waiting};
pub(crate) use writer::Records;

use self::chunks::{Chunks, PutSide};
use self::progress::Progress;
use self::reader::GetSide;
use super::bell::Bell;
use super::error::{Error, Result, os};
use super::family::{Family, Seat};
use super::participants::{Participants, Right, Rights};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::{Locked, RobustMutex};
use crate::sys::shm::{Mapping, shared_layout};

/// Bytes in front of each record: its length.
pub(crate) const HEADER_BYTES: usize = 4;
/// Bytes that a record of `len` bytes takes.
pub(crate) const fn record_bytes(len: usize) -> usize {
    (HEADER_BYTES + len).next_multiple_of(HEADER_BYTES)
}

/// The most bytes that a ring can be allowed.
pub(crate) const MOST_BYTES: u64 = 1 << 40;
/// The longest record: its length has 32 bits.
const LONGEST_RECORD: u64 = u32::MAX as u64 - 8;
/// Chunks are small enough that a small ring stays in the cache, and large enough that a large one has few.
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 20;

shared_layout! {
    pub(crate) struct RingState = b"ring    " {
        // Written once by the creator.
        capacity: AtomicU64,
        byte_limit: AtomicU64,
        chunk_bytes: AtomicU32,
        leases: AtomicU32,
        pub(crate) max_redeliveries: AtomicU32,
        pub(crate) on_death: AtomicU32,
        // Changes seldom.
        populated: AtomicU32,
        /// No slot for a lease at or above this index was ever used.
        lease_high: AtomicU32,
        /// How many items were given back by who had a lease on them.
        pub(crate) returned: AtomicU32,
        /// 1 while a writer finds no memory because leases hold it.
        pub(crate) starved: AtomicU32,
        distance: [AtomicU32; 4],
        // 128 bytes each: what one side writes is never on a cache line that the other needs, nor on its neighbour, which
        // the processor fetches along.
        put: PutSide,
        tail: Progress,
        pub(crate) get: GetSide,
        head: Progress,
        /// Rung when a process that puts has left, or an item came back: who waits to get looks again.
        pub(crate) getters: Bell,
        /// Rung when a process that gets has left, or memory was freed.
        pub(crate) putters: Bell,
        /// Rung when a task is done.
        pub(crate) joiners: Bell,
        bells_distance: [AtomicU32; 29],
        participants: Participants,
    }
}

/// What a ring is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// The most items; `u64::MAX` for any number.
    pub(crate) capacity: u64,
    /// The most bytes of items in it, their lengths not counted for the longest.
    pub(crate) byte_limit: u64,
    /// Places for leases, 0 for none.
    pub(crate) leases: u32,
    /// Bytes of a chunk, a power of two.
    pub(crate) chunk_bytes: u32,
}

impl Plan {
    pub(crate) fn new(capacity: Option<u64>, byte_limit: u64, leases: u32) -> Result<Self> {
        let check = |what, value, highest| match value {
            0 => Err(Error::OutOfRange { what, given: value, least: 1, most: highest }),
            value if value > highest => Err(Error::OutOfRange { what, given: value, least: 1, most: highest }),
            value => Ok(value),
        };
        let capacity = capacity.map(|capacity| check("a queue's capacity", capacity, u64::MAX - 1)).transpose()?;
        let byte_limit = check("a queue's byte limit", byte_limit, MOST_BYTES)?;
        let chunk_bytes = (byte_limit / 4096).next_power_of_two().clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
        Ok(Plan { capacity: capacity.unwrap_or(u64::MAX), byte_limit, leases, chunk_bytes: chunk_bytes as u32 })
    }

    /// Bytes of records that fit: one record of the byte limit does with its length.
    fn ring_bytes(&self) -> u64 {
        record_bytes(self.byte_limit as usize) as u64
    }

    /// The longest record that fits.
    pub(crate) fn longest(&self) -> usize {
        self.byte_limit.min(LONGEST_RECORD) as usize
    }
}

/// A ring, as one handle of one process sees it.
pub(crate) struct Ring {
    shared: Mapping<RingState>,
    chunks: Chunks,
    plan: Plan,
    family: &'static Family,
    rights: Rights,
    /// 1 once this handle gave up its right to put.
    closed: AtomicU32,
    put_spin: Spin,
    get_spin: Spin,
    lock_spin: Spin,
    /// Where a participant with the other right was found alive the last time.
    peer: AtomicU32,
}

impl Ring {
    pub(crate) fn create(plan: Plan, rights: Rights, init: impl FnOnce(&RingState)) -> Result<Self> {
        let chunks = Chunks::new(&plan);
        let shared = Mapping::create_sparse(chunks.tail_len(), chunks.solid_len(), |state: &RingState| {
            state.capacity.store(plan.capacity, Relaxed);
            state.byte_limit.store(plan.byte_limit, Relaxed);
            state.chunk_bytes.store(plan.chunk_bytes, Relaxed);
            state.leases.store(plan.leases, Relaxed);
            init(state);
            state.put.lock.init()?;
            state.get.lock.init()
        })
        .map_err(os("make a queue"))?;
        chunks.take_first(&shared)?;
        let family = Family::ours()?;
        shared.participants.join(family, family.me(), rights)?;
        Ring::of(shared, chunks, plan, rights)
    }

    /// Opens what this or another process created. The handle was counted before, and leaves when it is dropped.
    pub(crate) fn open(memfd: OwnedFd, rights: Rights) -> Result<Self> {
        let shared = Mapping::<RingState>::open(memfd).map_err(os("open a queue"))?;
        let capacity = shared.capacity.load(Relaxed);
        let plan = Plan {
            capacity,
            byte_limit: shared.byte_limit.load(Relaxed),
            leases: shared.leases.load(Relaxed),
            chunk_bytes: shared.chunk_bytes.load(Relaxed),
        };
        // Checked here once; from now on only the copy counts.
        let plausible = (1..=MOST_BYTES).contains(&plan.byte_limit) && plan.chunk_bytes.is_power_of_two();
        let chunks = plausible.then(|| Chunks::new(&plan)).filter(|chunks| chunks.tail_len() == shared.tail_len());
        Ring::of(shared, chunks.ok_or(Error::Damaged { object: "queue" })?, plan, rights)
    }

    fn of(shared: Mapping<RingState>, chunks: Chunks, plan: Plan, rights: Rights) -> Result<Self> {
        Ok(Ring {
            shared,
            chunks,
            plan,
            family: Family::ours()?,
            rights,
            closed: AtomicU32::new(0),
            put_spin: Spin::default(),
            get_spin: Spin::default(),
            lock_spin: Spin::default(),
            peer: AtomicU32::new(0),
        })
    }

    /// Another handle of this process with these rights.
    pub(crate) fn another(&self, rights: Rights) -> Result<Self> {
        let memfd = self.lend(self.family.me(), rights)?;
        let copy = memfd.try_clone_to_owned().map_err(os("copy a queue's descriptor"));
        copy.and_then(|memfd| Ring::open(memfd, rights)).inspect_err(|_| self.leave(rights))
    }

    /// Counts a handle with these rights for the process in `recipient`, which is about to be given one.
    pub(crate) fn lend(&self, recipient: Seat, rights: Rights) -> Result<BorrowedFd<'_>> {
        self.shared.participants.join(self.family, recipient, rights)?;
        Ok(self.shared.memfd())
    }

    /// The rights that this handle still has.
    #[inline]
    pub(crate) fn rights(&self) -> Rights {
        Rights { put: self.rights.put && self.closed.load(Relaxed) == 0, get: self.rights.get }
    }

    /// Gives up the right to put.
    pub(crate) fn close(&self) {
        if self.rights.put && self.closed.swap(1, Relaxed) == 0 {
            self.leave(Rights { put: true, get: false });
        }
    }

    /// No longer counts rights of this process, and wakes who waits for what will never come.
    fn leave(&self, rights: Rights) {
        self.shared.participants.leave(self.family.me(), rights);
        if rights.put {
            self.shared.getters.ring();
        }
        if rights.get {
            self.shared.putters.ring();
            self.shared.joiners.ring();
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(crate) fn family(&self) -> &'static Family {
        self.family
    }

    pub(crate) fn state(&self) -> &RingState {
        &self.shared
    }

    pub(crate) fn leases(&self) -> LeaseTable<'_> {
        self.chunks.leases(&self.shared)
    }

    /// Whether there is, or may come, somebody else with `right`, beside the caller's own handle.
    pub(crate) fn is_anybody_left(&self, right: Right) -> bool {
        let own = self.rights().has(right);
        let participants = &self.shared.participants;
        let (me, own_count) = (self.family.me(), u64::from(own));
        let index = self.peer.load(Relaxed) as usize;
        if participants.still(self.family, index, right, me, own_count) {
            return true;
        }
        if let Some(index) = participants.find(self.family, right, me, own_count) {
            self.peer.store(index as u32, Relaxed);
            return true;
        }
        own && !participants.ever_shared()
    }

    /// Both marks as they stood at one moment.
    pub(crate) fn committed(&self) -> (Mark, Mark) {
        let mut last = self.shared.head.read();
        loop {
            let (_, tail) = self.shared.tail.read();
            let again = self.shared.head.read();
            if again.0 == last.0 {
                return (last.1, tail);
            }
            last = again;
        }
    }

    /// Takes one side's mutex, waiting as `waiting` says. `None` if the time passed, or if it was not willing to wait and
    /// the side has nothing to offer.
    ///
    /// Says whether the holder before died with it.
    fn lock(
        &self,
        mutex: &RobustMutex,
        waiting: &Waiting,
        has_something: impl Fn() -> bool,
        is_hopeless: impl Fn() -> bool,
    ) -> Result<Option<bool>> {
        let mut locked = mutex.try_lock();
        if locked == Locked::Busy && waiting.will() && self.lock_spin.until(|| mutex.looks_free()) {
            locked = mutex.try_lock();
        }
        let give_up_ns = if locked == Locked::Busy { monotonic_ns() + TRY_PATIENCE_NS } else { 0 };
        loop {
            match locked {
                Locked::Clean => return Ok(Some(false)),
                Locked::Abandoned => return Ok(Some(true)),
                Locked::WouldDeadlock => return Err(Error::WouldDeadlock),
                Locked::Busy => {}
            }
            if is_hopeless() {
                return Err(Error::Disconnected);
            }
            let until_ns = if waiting.will() {
                waiting.next_look_ns()
            } else {
                let now = monotonic_ns();
                (has_something() && now < give_up_ns).then_some(now + 1_000_000)
            };
            let Some(until_ns) = until_ns else { return Ok(None) };
            locked = mutex.lock(Some(until_ns));
        }
    }
}

/// How long an operation that does not wait tries to get a mutex whose holder is about to give it back: it is held for
/// microseconds, unless its holder was stopped or has no processor.
const TRY_PATIENCE_NS: u64 = 20_000_000;

#[cfg(test)]
impl Ring {
    /// Lets both sequence numbers wrap after so many publications.
    pub(crate) fn wrap_after(&self, publications: u32) {
        self.shared.tail.start_at((u32::MAX >> 1) - publications);
        self.shared.head.start_at((u32::MAX >> 1) - publications);
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        self.shared.resident_bytes()
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
