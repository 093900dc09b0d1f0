//! The dimensions of a ring: number of items, number of bytes, and chunk size.

use crate::ipc::error::{Error, Result};

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

/// The dimensions of a ring.
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

    /// Returns the capacity in record bytes: one item of the byte limit fits together with its header.
    pub(super) fn ring_bytes(&self) -> u64 {
        record_bytes(self.byte_limit as usize) as u64
    }

    /// Returns the length of the longest record that fits.
    pub(crate) fn longest(&self) -> usize {
        self.byte_limit.min(LONGEST_RECORD) as usize
    }
}
