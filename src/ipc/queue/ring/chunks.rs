//! The bytes of a ring: a chain of chunks to copy into and out of.
//!
//! # State
//! `next[chunk]` is the next chunk in the chain, which leads from the head's chunk to the tail's. Writers lengthen it
//! before they publish; a chunk's successor never changes while any process may follow it. [`super::memory`] manages
//! the free chunks.
//!
//! # Ordering
//! A successor is stored with `Release` and loaded with `Acquire`; the cursor words order the bytes.

use super::RingState;
use super::cursor::Place;
use super::lease_table::{LeaseSlot, LeaseTable};
use super::plan::Plan;
use crate::ipc::error::{Error, Result};
use crate::sys::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};
use crate::sys::shm::Mapping;

/// How far ahead of the last record a writer prefetches the cache line that a reader last had.
const AHEAD_BYTES: usize = 128;

/// The layout of the ring's memory. A private copy of validated values: nothing in it can change.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunks {
    pub(super) chunks: u32,
    pub(super) chunk_bytes: u32,
    pub(super) leases: u32,
    pub(super) in_use_at: usize,
    pub(super) populated_at: usize,
    leases_at: usize,
    data_at: usize,
}

impl Chunks {
    pub(super) fn new(plan: &Plan) -> Self {
        // One more than the bytes need: the first and the last may be used in part.
        let chunks = plan.ring_bytes().div_ceil(u64::from(plan.chunk_bytes)) as usize + 1;
        let bitmap_bytes = chunks.div_ceil(64) * 8;
        let in_use_at = (chunks * 4).next_multiple_of(8);
        let populated_at = in_use_at + bitmap_bytes;
        let leases_at = Mapping::<RingState>::at_page(populated_at + bitmap_bytes);
        let data_at = Mapping::<RingState>::at_page(leases_at + plan.leases as usize * size_of::<LeaseSlot>());
        let (chunks, chunk_bytes, leases) = (chunks as u32, plan.chunk_bytes, plan.leases);
        Chunks { chunks, chunk_bytes, leases, in_use_at, populated_at, leases_at, data_at }
    }

    pub(super) fn tail_len(&self) -> usize {
        self.data_at + self.chunks as usize * self.chunk_bytes as usize
    }

    pub(super) fn solid_len(&self) -> usize {
        self.leases_at
    }

    pub(super) fn leases<'a>(&self, shared: &'a Mapping<RingState>) -> LeaseTable<'a> {
        LeaseTable::new(shared, self.leases_at, self.leases)
    }

    fn next<'a>(&self, shared: &'a Mapping<RingState>, chunk: u32) -> &'a AtomicU32 {
        shared.shared_at(chunk as usize * 4)
    }

    pub(super) fn at(&self, place: Place) -> usize {
        self.data_at + place.chunk as usize * self.chunk_bytes as usize + place.offset as usize
    }

    /// Returns `place` if it is valid: values from shared memory are validated before use.
    #[inline]
    pub(super) fn checked(&self, place: Place) -> Result<Place> {
        let plausible = place.chunk < self.chunks && place.offset <= self.chunk_bytes && place.offset.is_multiple_of(4);
        if plausible { Ok(place) } else { Err(Error::Damaged { object: "queue" }) }
    }

    /// Returns the chunk after `chunk` in the chain.
    pub(super) fn following(&self, shared: &Mapping<RingState>, chunk: u32) -> Result<u32> {
        let next = self.next(shared, chunk).load(Acquire);
        if next < self.chunks { Ok(next) } else { Err(Error::Damaged { object: "queue" }) }
    }

    /// Returns where the first byte of the record at `place` lies.
    #[inline]
    pub(super) fn start(&self, shared: &Mapping<RingState>, place: Place) -> Result<Place> {
        if place.offset < self.chunk_bytes {
            return Ok(place);
        }
        Ok(Place { chunk: self.following(shared, place.chunk)?, offset: 0 })
    }

    /// Copies out of the chain from `at`, and advances `at`.
    #[inline(always)]
    pub(super) fn copy_out(&self, shared: &Mapping<RingState>, at: &mut Place, mut bytes: &mut [u8]) -> Result<()> {
        loop {
            let room = (self.chunk_bytes - at.offset) as usize;
            if bytes.len() <= room {
                shared.copy_out(self.at(*at), bytes);
                at.offset += bytes.len() as u32;
                return Ok(());
            }
            let (now, later) = bytes.split_at_mut(room);
            shared.copy_out(self.at(*at), now);
            *at = Place { chunk: self.following(shared, at.chunk)?, offset: 0 };
            bytes = later;
        }
    }

    /// Advances `at` by `len` bytes.
    #[inline(always)]
    pub(super) fn skip(&self, shared: &Mapping<RingState>, at: &mut Place, mut len: usize) -> Result<()> {
        loop {
            let room = (self.chunk_bytes - at.offset) as usize;
            if len <= room {
                at.offset += len as u32;
                return Ok(());
            }
            len -= room;
            *at = Place { chunk: self.following(shared, at.chunk)?, offset: 0 };
        }
    }

    /// Copies into the chunk of `at`, and advances `at`. Returns `false`, without any effect, if the bytes do not fit
    /// into it.
    #[inline]
    pub(super) fn copy_in_place(&self, shared: &Mapping<RingState>, at: &mut Place, bytes: &[u8]) -> bool {
        let room = (self.chunk_bytes - at.offset) as usize;
        let fits = bytes.len() <= room;
        if fits {
            shared.copy_in(self.at(*at), bytes);
            at.offset += bytes.len() as u32;
            shared.prefetch_to_write(self.at(*at) + AHEAD_BYTES);
        }
        fits
    }

    /// Copies into the chain from `at`, allocating chunks as needed, and advances `at`. Returns `false` if there are
    /// not enough, which only leases can cause.
    #[inline]
    pub(super) fn copy_in(
        &self,
        shared: &Mapping<RingState>,
        at: &mut Place,
        mut bytes: &[u8],
        head: Place,
    ) -> Result<bool> {
        loop {
            let room = (self.chunk_bytes - at.offset) as usize;
            if bytes.len() <= room {
                shared.copy_in(self.at(*at), bytes);
                at.offset += bytes.len() as u32;
                return Ok(true);
            }
            let (now, later) = bytes.split_at(room);
            shared.copy_in(self.at(*at), now);
            let Some(chunk) = self.take(shared, at.chunk, head)? else { return Ok(false) };
            self.next(shared, at.chunk).store(chunk, Release);
            *at = Place { chunk, offset: 0 };
            bytes = later;
        }
    }
}
