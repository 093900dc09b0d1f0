//! The dimensions of a ring: the number of items and bytes, and how its memory is divided.

use std::ops::{Range, RangeInclusive};

use super::RingState;
use super::extension::SHORT_BYTES;
use super::large::{ChunkEntry, PLACES};
use super::segments::SegmentEntry;
use super::slot::Slot;
use crate::ipc::error::{Result, check_range};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::shm::Mapping;

/// The maximum byte limit of a ring.
pub(crate) const MOST_BYTES: u64 = 1 << 40;
/// The longest item: its length has 32 bits.
const LONGEST_ITEM: u64 = u32::MAX as u64 - 8;
/// The maximum number of items at once: 1 GiB of slots.
const MOST_SLOTS: u64 = 1 << 24;
/// Segments are small enough that few items need little memory, and large enough that many items have few.
const SEGMENT_SLOTS: RangeInclusive<u64> = 256..=4096;
/// Segments beyond those that hold all items: one stays in use as long as any of its items is leased, or just taken.
const MORE_SEGMENTS: u64 = 64;
/// The same for the chunks of long items.
const CHUNK_BYTES: RangeInclusive<u64> = 4096..=16 << 20;

/// The dimensions of a ring, and the offsets of its parts after [`RingState`]. A private copy of validated values,
/// which cannot change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Maximum number of items; `u64::MAX` if unlimited.
    pub(crate) capacity: u64,
    /// Maximum number of bytes of long items, and of an item.
    pub(crate) byte_limit: u64,
    /// How many items there can be at once.
    pub(super) slots: u64,
    /// Whether items of a batch that fit into slots are [packed](super::packed). Not if they are leased one by one.
    pub(super) packs: bool,
    /// Number of slots of a segment, a power of two.
    pub(super) segment_slots: u32,
    pub(super) segments: u32,
    /// Bytes of a chunk, a power of two.
    pub(super) chunk_bytes: u32,
    pub(super) chunks: u32,
    pub(super) chunk_entries_at: usize,
    pub(super) slots_at: usize,
    pub(super) extensions_at: usize,
    pub(super) chunks_at: usize,
}

impl Plan {
    /// Returns a plan; `is_leasing` makes room for leased items, which the capacity does not count.
    pub(crate) fn new(capacity: Option<u64>, byte_limit: u64, is_leasing: bool) -> Result<Self> {
        check_range("the capacity of a queue", capacity.unwrap_or(1), 1..=u64::MAX - 1)?;
        check_range("the byte limit of a queue", byte_limit, 1..=MOST_BYTES)?;
        let most = if is_leasing { None } else { capacity };
        let most_slots = most.unwrap_or(u64::MAX).min(slots_in(byte_limit));
        let [segment_slots, chunk_bytes] = [(most_slots / 4096, SEGMENT_SLOTS), (byte_limit / 16384, CHUNK_BYTES)]
            .map(|(part, range)| part.next_power_of_two().clamp(*range.start(), *range.end()) as u32);
        let segments = most_slots.div_ceil(u64::from(segment_slots)) + MORE_SEGMENTS;
        let plan = Plan::of(capacity.unwrap_or(u64::MAX), byte_limit, segment_slots, segments as u32, chunk_bytes);
        Ok(if is_leasing { plan } else { plan.packing() })
    }

    pub(crate) fn of(capacity: u64, byte_limit: u64, segment_slots: u32, segments: u32, chunk_bytes: u32) -> Self {
        let slots = capacity.min(slots_in(byte_limit));
        let chunks = byte_limit.div_ceil(u64::from(chunk_bytes)) as usize;
        let chunk_entries_at = Mapping::<RingState>::at_page(segments as usize * size_of::<SegmentEntry>());
        let slots_at = Mapping::<RingState>::at_page(chunk_entries_at + chunks * size_of::<ChunkEntry>());
        let all_slots = segments as usize * segment_slots as usize;
        let extensions_at = Mapping::<RingState>::at_page(slots_at + all_slots * size_of::<Slot>());
        let chunks_at = Mapping::<RingState>::at_page(extensions_at + all_slots * SHORT_BYTES);
        let chunks = chunks as u32;
        Plan {
            capacity,
            byte_limit,
            slots,
            packs: false,
            segment_slots,
            segments,
            chunk_bytes,
            chunks,
            chunk_entries_at,
            slots_at,
            extensions_at,
            chunks_at,
        }
    }

    /// With batches packed.
    pub(crate) fn packing(self) -> Self {
        Plan { packs: true, ..self }
    }

    /// Reads the plan of a ring that another process created; `None` if it is invalid.
    pub(super) fn read(shared: &Mapping<RingState>) -> Option<Self> {
        let (byte_limit, chunk_bytes) = (shared.byte_limit.load(Relaxed), shared.chunk_bytes.load(Relaxed));
        let (segment_slots, segments) = (shared.segment_slots.load(Relaxed), shared.segments.load(Relaxed));
        let is_plausible = (1..=MOST_BYTES).contains(&byte_limit)
            && chunk_bytes.is_power_of_two()
            && chunk_bytes as usize >= PLACES
            && segment_slots.is_power_of_two()
            && u64::from(segment_slots) <= MOST_SLOTS;
        let plan = is_plausible
            .then(|| Plan::of(shared.capacity.load(Relaxed), byte_limit, segment_slots, segments, chunk_bytes));
        let plan = plan.filter(|plan| plan.tail_len() == shared.tail_len());
        plan.map(|plan| Plan { packs: shared.packs.load(Relaxed) != 0, ..plan })
    }

    pub(super) fn write(&self, state: &RingState) {
        state.capacity.store(self.capacity, Relaxed);
        state.byte_limit.store(self.byte_limit, Relaxed);
        state.segment_slots.store(self.segment_slots, Relaxed);
        state.segments.store(self.segments, Relaxed);
        state.chunk_bytes.store(self.chunk_bytes, Relaxed);
        state.packs.store(self.packs.into(), Relaxed);
    }

    /// Returns the number of bytes after [`RingState`].
    pub(super) fn tail_len(&self) -> usize {
        self.chunks_at + self.chunks as usize * self.chunk_bytes as usize
    }

    /// Returns the length of the longest item that fits.
    #[inline]
    pub(crate) fn longest(&self) -> usize {
        self.byte_limit.min(LONGEST_ITEM) as usize
    }

    pub(super) fn segment_bytes(&self) -> usize {
        self.segment_slots as usize * size_of::<Slot>()
    }

    /// Returns the offset of a segment's slots.
    pub(super) fn segment_at(&self, segment: u32) -> usize {
        self.slots_at + segment as usize * self.segment_bytes()
    }

    /// Returns the offsets of the extensions of a segment's slots.
    pub(super) fn extensions_of(&self, segment: u32) -> Range<usize> {
        let bytes = self.segment_slots as usize * SHORT_BYTES;
        let start = self.extensions_at + segment as usize * bytes;
        start..start + bytes
    }
}

/// Returns how many slots take `bytes` bytes, at least one.
fn slots_in(bytes: u64) -> u64 {
    (bytes / size_of::<Slot>() as u64).clamp(1, MOST_SLOTS)
}
