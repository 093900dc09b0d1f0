//! The dimensions of a ring: number of items, number of bytes, and chunk size.

use super::RingState;
use super::lease_table::LeaseSlot;
use crate::ipc::error::{Error, Result};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::shm::Mapping;

/// Bytes in front of each record: its length.
pub(crate) const HEADER_BYTES: usize = 4;
/// Returns the space that a record of `len` bytes occupies.
pub(crate) const fn record_bytes(len: usize) -> usize {
    (HEADER_BYTES + len).next_multiple_of(HEADER_BYTES)
}

/// The maximum byte limit of a ring.
pub(crate) const MOST_BYTES: u64 = 1 << 40;
/// The longest record: its length has 32 bits.
const LONGEST_RECORD: u64 = u32::MAX as u64 - 8;
/// Chunks are small enough that a small ring stays in the cache, and large enough that a large one has few.
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 4096..=1 << 20;

/// The dimensions of a ring, and the offsets of its parts after [`RingState`]. A private copy of validated values,
/// which cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Maximum number of items; `u64::MAX` if unlimited.
    pub(crate) capacity: u64,
    /// Maximum number of bytes of items, not counting the length header of the longest one.
    pub(crate) byte_limit: u64,
    /// Number of lease slots, 0 for none.
    pub(crate) leases: u32,
    /// Bytes of a chunk, a power of two.
    pub(crate) chunk_bytes: u32,
    pub(super) chunks: u32,
    pub(super) in_use_at: usize,
    pub(super) populated_at: usize,
    pub(super) leases_at: usize,
    pub(super) data_at: usize,
}

impl Plan {
    pub(crate) fn new(capacity: Option<u64>, byte_limit: u64, leases: u32) -> Result<Self> {
        let check = |what, given, most| match (1..=most).contains(&given) {
            true => Ok(given),
            false => Err(Error::OutOfRange { what, given, least: 1, most }),
        };
        let capacity = capacity.map(|capacity| check("a queue's capacity", capacity, u64::MAX - 1)).transpose()?;
        let byte_limit = check("a queue's byte limit", byte_limit, MOST_BYTES)?;
        let chunk_bytes = (byte_limit / 4096).next_power_of_two().clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
        Ok(Plan::of(capacity.unwrap_or(u64::MAX), byte_limit, leases, chunk_bytes as u32))
    }

    pub(crate) fn of(capacity: u64, byte_limit: u64, leases: u32, chunk_bytes: u32) -> Self {
        // One more than the bytes need: the first and the last may be used in part.
        let chunks = (record_bytes(byte_limit as usize) as u64).div_ceil(u64::from(chunk_bytes)) as usize + 1;
        let bitmap_bytes = chunks.div_ceil(64) * 8;
        let in_use_at = (chunks * 4).next_multiple_of(8);
        let populated_at = in_use_at + bitmap_bytes;
        let leases_at = Mapping::<RingState>::at_page(populated_at + bitmap_bytes);
        let data_at = Mapping::<RingState>::at_page(leases_at + leases as usize * size_of::<LeaseSlot>());
        let chunks = chunks as u32;
        Plan { capacity, byte_limit, leases, chunk_bytes, chunks, in_use_at, populated_at, leases_at, data_at }
    }

    /// Reads the plan of a ring that another process created; `None` if it is invalid.
    pub(super) fn read(shared: &Mapping<RingState>) -> Option<Self> {
        let (byte_limit, chunk_bytes) = (shared.byte_limit.load(Relaxed), shared.chunk_bytes.load(Relaxed));
        let is_plausible = (1..=MOST_BYTES).contains(&byte_limit) && chunk_bytes.is_power_of_two();
        let plan = is_plausible
            .then(|| Plan::of(shared.capacity.load(Relaxed), byte_limit, shared.leases.load(Relaxed), chunk_bytes));
        plan.filter(|plan| plan.tail_len() == shared.tail_len())
    }

    pub(super) fn write(&self, state: &RingState) {
        state.capacity.store(self.capacity, Relaxed);
        state.byte_limit.store(self.byte_limit, Relaxed);
        state.chunk_bytes.store(self.chunk_bytes, Relaxed);
        state.leases.store(self.leases, Relaxed);
    }

    /// Returns the number of bytes after [`RingState`].
    pub(super) fn tail_len(&self) -> usize {
        self.data_at + self.chunks as usize * self.chunk_bytes as usize
    }

    /// Returns the capacity in record bytes: one item of the byte limit fits together with its header.
    #[inline]
    pub(super) fn ring_bytes(&self) -> u64 {
        record_bytes(self.byte_limit as usize) as u64
    }

    /// Returns the length of the longest item that fits.
    pub(crate) fn longest(&self) -> usize {
        self.byte_limit.min(LONGEST_RECORD) as usize
    }
}
