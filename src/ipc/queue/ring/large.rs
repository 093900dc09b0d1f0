//! Memory for the items that do not fit into a slot: each lies in consecutive chunks.
//!
//! # State
//! A chunk is in use if a slot names a place in it. A bitmap caches this, and `next` is where the next item goes: behind
//! the last one, around a reserve that stays in the cache, and beyond it if that is full. A second bitmap records which
//! chunks have memory.
//!
//! # Ordering
//! All of it belongs to the holder of the putters' mutex. The slots order the bytes.
//!
//! # Death
//! What a killed producer had written is in use only if it has published the slot. `populated` is set after memory is
//! allocated and cleared before it is released: at worst a chunk keeps uncounted memory until it is used again.

use std::ops::Range;

use super::Ring;
use super::segments::{INLINE_BYTES, KEPT_BYTES, Slot, distance};
use super::word::State;
use crate::ipc::error::{Error, Result, os};
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};

impl Ring {
    fn bit(&self, bitmap_at: usize, chunk: u32) -> (&AtomicU64, u64) {
        (self.shared.shared_at(bitmap_at + (chunk / 64) as usize * 8), 1 << (chunk % 64))
    }

    fn has(&self, bitmap_at: usize, chunk: u32) -> bool {
        let (word, bit) = self.bit(bitmap_at, chunk);
        word.load(Relaxed) & bit != 0
    }

    fn set(&self, bitmap_at: usize, chunk: u32, is_set: bool) {
        let (word, bit) = self.bit(bitmap_at, chunk);
        let others = word.load(Relaxed) & !bit;
        word.store(if is_set { others | bit } else { others }, Relaxed);
    }

    fn count(&self, bitmap_at: usize) -> u32 {
        let words = (0..self.plan.chunks).step_by(64);
        words.map(|chunk| self.bit(bitmap_at, chunk).0.load(Relaxed).count_ones()).sum()
    }

    /// Returns the chunks of `len` bytes at `place`.
    fn chunks_of(&self, place: u64, len: usize) -> Range<u32> {
        let bytes = u64::from(self.plan.chunk_bytes);
        (place / bytes) as u32..(place + len as u64).div_ceil(bytes) as u32
    }

    /// Number of chunks in which items go around while they have room there.
    fn reserve_chunks(&self) -> u32 {
        ((KEPT_BYTES / u64::from(self.plan.chunk_bytes)) as u32).min(self.plan.chunks)
    }

    /// Returns a place for an item of `len` bytes, with memory; `None` if there is none now.
    pub(super) fn allocate(&self, len: usize) -> Result<Option<u64>> {
        let mut found = self.find_room(len, self.reserve_chunks());
        if found.is_none() {
            // Each recount looks at every item: only after enough of them have gone.
            let (head, _) = self.ends();
            let gone = distance(head.position, self.shared.recounted_at.load(Relaxed)) as u64;
            if gone > self.items() / 4 {
                self.recount()?;
                found = self.find_room(len, self.reserve_chunks());
            }
            found = found.or_else(|| self.find_room(len, self.plan.chunks));
            if found.is_none() && gone > 0 {
                self.recount()?;
                found = self.find_room(len, self.plan.chunks);
            }
        }
        let Some(place) = found else { return Ok(None) };
        for chunk in self.chunks_of(place, len) {
            if !self.has(self.plan.populated_at, chunk) {
                let populated = self.shared.populate(self.chunk_at(chunk), self.plan.chunk_bytes as usize);
                populated.map_err(os("get memory for a queue"))?;
                self.set(self.plan.populated_at, chunk, true);
            }
            self.set(self.plan.in_use_at, chunk, true);
        }
        self.shared.next_place.store((place + len as u64).next_multiple_of(PLACES), Relaxed);
        Ok(Some(place))
    }

    /// Returns a place in the first `chunks` chunks: behind the last item, or in the next chunks that are free.
    fn find_room(&self, len: usize, chunks: u32) -> Option<u64> {
        let is_free = |chunk: u32| !self.has(self.plan.in_use_at, chunk);
        let bytes = u64::from(self.plan.chunk_bytes);
        let next = self.shared.next_place.load(Relaxed);
        let (first, behind) = ((next / bytes) as u32, self.chunks_of(next, len));
        let is_begun = !next.is_multiple_of(bytes);
        if behind.end <= chunks && behind.clone().all(|chunk| is_begun && chunk == first || is_free(chunk)) {
            return Some(next);
        }
        let run = self.chunks_of(0, len).end;
        let (mut start, mut free) = (0, 0);
        // Around once, and not beyond the end.
        let from = if first < chunks { first } else { 0 };
        for chunk in (from..chunks).chain(0..chunks.min(from + run)) {
            if chunk == 0 {
                free = 0;
            }
            if !is_free(chunk) {
                free = 0;
                continue;
            }
            if free == 0 {
                start = chunk;
            }
            free += 1;
            if free == run {
                return Some(u64::from(start) * bytes);
            }
        }
        None
    }

    fn chunk_at(&self, chunk: u32) -> usize {
        self.plan.chunks_at + chunk as usize * self.plan.chunk_bytes as usize
    }

    /// Recounts the chunks in use.
    pub(super) fn recount(&self) -> Result<()> {
        let (head, _) = self.ends();
        self.shared.recounted_at.store(head.position, Relaxed);
        let words = (0..self.plan.chunks).step_by(64);
        words.for_each(|chunk| self.bit(self.plan.in_use_at, chunk).0.store(0, Relaxed));
        for (spot, word) in self.slots() {
            // What is claimed is not large, or its producer is dead: a large item is put under the putters' mutex.
            if word.state() == State::Claimed {
                continue;
            }
            let slot = self.slot(spot);
            let len = slot.len.load(Relaxed) as usize;
            if len > INLINE_BYTES {
                self.chunks_of(self.place(slot)?, len).for_each(|chunk| self.set(self.plan.in_use_at, chunk, true));
            }
        }
        let (populated, in_use) = (self.count(self.plan.populated_at), self.count(self.plan.in_use_at));
        if populated > (2 * in_use).max(self.reserve_chunks()) {
            self.release_chunks(2 * in_use);
        }
        Ok(())
    }

    /// Gives back the memory of free chunks, the highest first, as long as there is more than `needed` and the reserve.
    pub(super) fn release_chunks(&self, needed: u32) {
        let mut surplus = self.count(self.plan.populated_at).saturating_sub(needed.max(self.reserve_chunks()));
        for chunk in (0..self.plan.chunks).rev() {
            if surplus == 0 {
                return;
            }
            if self.has(self.plan.populated_at, chunk) && !self.has(self.plan.in_use_at, chunk) {
                self.set(self.plan.populated_at, chunk, false);
                // If the kernel does not take memory back, the chunk keeps it until it is used again.
                let _ = self.shared.release(self.chunk_at(chunk), self.plan.chunk_bytes as usize);
                surplus -= 1;
            }
        }
    }

    /// Returns where the bytes of a large item are: values from shared memory are checked before use.
    pub(super) fn place(&self, slot: &Slot) -> Result<u64> {
        let (place, len) = (slot.content[0].load(Relaxed), slot.len.load(Relaxed));
        let end = place.checked_add(u64::from(len));
        let is_inside = end.is_some_and(|end| end <= u64::from(self.plan.chunks) * u64::from(self.plan.chunk_bytes));
        if is_inside { Ok(place) } else { Err(Error::Damaged { object: "queue" }) }
    }
}

/// Items begin at multiples of this.
const PLACES: u64 = 64;
