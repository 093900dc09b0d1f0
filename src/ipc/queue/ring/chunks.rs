//! The bytes of a ring: a chain of chunks to copy into and out of.
//!
//! # State
//! `next[chunk]` is the next chunk in the chain, which leads from the head's chunk to the tail's. Writers lengthen it
//! before they publish; a chunk's successor never changes while any process may follow it. [`super::memory`] manages
//! the free chunks.
//!
//! # Ordering
//! A successor is stored with `Release` and loaded with `Acquire`; the cursor words order the bytes.

use super::Ring;
use super::cursor::Place;
use crate::ipc::error::{Error, Result};
use crate::sys::atomic::{AtomicU32, Ordering::Acquire, Ordering::Release};

/// How far ahead of the last record a writer prefetches the cache line that a reader last had.
const AHEAD_BYTES: usize = 128;

impl Ring {
    fn next(&self, chunk: u32) -> &AtomicU32 {
        self.shared.shared_at(chunk as usize * 4)
    }

    pub(super) fn at(&self, place: Place) -> usize {
        self.plan.data_at + place.chunk as usize * self.plan.chunk_bytes as usize + place.offset as usize
    }

    /// Returns `place` if it is valid: values from shared memory are validated before use.
    #[inline]
    pub(super) fn checked(&self, place: Place) -> Result<Place> {
        let plausible =
            place.chunk < self.plan.chunks && place.offset <= self.plan.chunk_bytes && place.offset.is_multiple_of(4);
        if plausible { Ok(place) } else { Err(Error::Damaged { object: "queue" }) }
    }

    /// Returns the chunk after `chunk` in the chain.
    pub(super) fn following(&self, chunk: u32) -> Result<u32> {
        let next = self.next(chunk).load(Acquire);
        if next < self.plan.chunks { Ok(next) } else { Err(Error::Damaged { object: "queue" }) }
    }

    /// Returns where the first byte of the record at `place` lies.
    #[inline]
    pub(super) fn start(&self, place: Place) -> Result<Place> {
        if place.offset < self.plan.chunk_bytes {
            return Ok(place);
        }
        Ok(Place { chunk: self.following(place.chunk)?, offset: 0 })
    }

    /// Copies out of the chain from `at`, and advances `at`.
    #[inline(always)]
    pub(super) fn copy_out(&self, at: &mut Place, mut bytes: &mut [u8]) -> Result<()> {
        loop {
            let room = (self.plan.chunk_bytes - at.offset) as usize;
            if bytes.len() <= room {
                self.shared.copy_out(self.at(*at), bytes);
                at.offset += bytes.len() as u32;
                return Ok(());
            }
            let (now, later) = bytes.split_at_mut(room);
            self.shared.copy_out(self.at(*at), now);
            *at = Place { chunk: self.following(at.chunk)?, offset: 0 };
            bytes = later;
        }
    }

    /// Advances `at` by `len` bytes.
    #[inline(always)]
    pub(super) fn skip(&self, at: &mut Place, mut len: usize) -> Result<()> {
        loop {
            let room = (self.plan.chunk_bytes - at.offset) as usize;
            if len <= room {
                at.offset += len as u32;
                return Ok(());
            }
            len -= room;
            *at = Place { chunk: self.following(at.chunk)?, offset: 0 };
        }
    }

    /// Copies into the chunk of `at`, and advances `at`. Returns `false`, without any effect, if the bytes do not fit
    /// into it.
    #[inline]
    pub(super) fn copy_in_place(&self, at: &mut Place, bytes: &[u8]) -> bool {
        let room = (self.plan.chunk_bytes - at.offset) as usize;
        let fits = bytes.len() <= room;
        if fits {
            self.shared.copy_in(self.at(*at), bytes);
            at.offset += bytes.len() as u32;
            self.shared.prefetch_to_write(self.at(*at) + AHEAD_BYTES);
        }
        fits
    }

    /// Copies into the chain from `at`, allocating chunks as needed, and advances `at`. Returns `false` if there are
    /// not enough, which only leases can cause.
    #[inline]
    pub(super) fn copy_in(&self, at: &mut Place, mut bytes: &[u8], head: Place) -> Result<bool> {
        loop {
            let room = (self.plan.chunk_bytes - at.offset) as usize;
            if bytes.len() <= room {
                self.shared.copy_in(self.at(*at), bytes);
                at.offset += bytes.len() as u32;
                return Ok(true);
            }
            let (now, later) = bytes.split_at(room);
            self.shared.copy_in(self.at(*at), now);
            let Some(chunk) = self.take(at.chunk, head)? else { return Ok(false) };
            self.next(at.chunk).store(chunk, Release);
            *at = Place { chunk, offset: 0 };
            bytes = later;
        }
    }
}
