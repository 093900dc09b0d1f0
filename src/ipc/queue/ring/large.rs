//! Memory for the items that do not fit into a slot: each lies in consecutive chunks.
//!
//! # State
//! A word for each chunk: `count << 35 | field << 3 | has_memory << 2 | state`. A chunk that is free has nothing in it. A
//! producer at work owns its chunks (`field` is the process), and leaves them in use (`field` is the end of what was
//! written): anybody may add an item behind that. Which chunks in use have no item any more is not recorded: a sweep
//! finds out from the slots. `count` grows with each change.
//!
//! # Ordering
//! Only the owner of a chunk writes into it. The slots order the bytes.
//!
//! # Death
//! What a killed producer owned is in use as long as a slot names a place in it. Memory is counted after it was
//! allocated and before it is released: at worst a chunk keeps uncounted memory until it is used again.

use std::ops::Range;

use super::Ring;
use super::segments::{INLINE_BYTES, Slot};
use super::word::State;
use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::table::ProcessSlot;
use crate::sys::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

/// Items begin at multiples of this.
pub(super) const PLACES: usize = 64;

/// Memory that long items always have before a sweep.
const LEAST_BUSY_BYTES: u32 = 1 << 20;

const FREE: u64 = 0;
const OWNED: u64 = 1;
const USED: u64 = 2;
const STATE: u64 = 3;
const HAS_MEMORY: u64 = 4;
const FIELD_SHIFT: u32 = 3;
const COUNT_SHIFT: u32 = 35;

/// The word of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ChunkWord(u64);

impl ChunkWord {
    fn state(self) -> u64 {
        self.0 & STATE
    }

    fn field(self) -> u32 {
        (self.0 >> FIELD_SHIFT) as u32
    }

    fn has_memory(self) -> bool {
        self.0 & HAS_MEMORY != 0
    }

    /// Number of bytes in use, as long as nobody owns it.
    fn used(self) -> usize {
        self.field() as usize * PLACES
    }

    fn next(self, state: u64, field: u32, has_memory: bool) -> Self {
        let count = (self.0 >> COUNT_SHIFT) + 1;
        ChunkWord(count << COUNT_SHIFT | u64::from(field) << FIELD_SHIFT | u64::from(has_memory) << 2 | state)
    }
}

/// A place for an item, in chunks that this process owns until this is dropped.
pub(super) struct Place<'r> {
    ring: &'r Ring,
    chunks: Range<u32>,
    /// Offset from the first chunk of the ring.
    pub(super) at: usize,
    /// Where what is in use ends, after that.
    end: usize,
}

impl Place<'_> {
    /// Keeps the item: a slot names it.
    pub(super) fn keep(mut self, len: usize) {
        self.end = self.at + len;
        self.ring.own_chunk.store(self.chunks.end - 1, Relaxed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let ring = self.ring;
        for chunk in self.chunks.clone() {
            let start = ring.chunk_start(chunk);
            let used = self.end.saturating_sub(start).min(ring.plan.chunk_bytes as usize).div_ceil(PLACES);
            let state = if used == 0 { FREE } else { USED };
            let word = ring.chunk_word(chunk);
            word.next(state, used as u32, word.has_memory()).store(ring.chunk(chunk));
        }
        // Who found too little room may add an item behind this one.
        ring.shared.putters.event.notify();
    }
}

impl ChunkWord {
    fn store(self, place: &AtomicU64) {
        place.store(self.0, Release);
    }

    fn replace(self, place: &AtomicU64, then: ChunkWord) -> bool {
        place.compare_exchange(self.0, then.0, AcqRel, Relaxed).is_ok()
    }
}

impl Ring {
    fn chunk(&self, chunk: u32) -> &AtomicU64 {
        self.chunks.at(chunk as usize)
    }

    fn chunk_word(&self, chunk: u32) -> ChunkWord {
        ChunkWord(self.chunk(chunk).load(Acquire))
    }

    /// Offset of a chunk from the first one.
    fn chunk_start(&self, chunk: u32) -> usize {
        chunk as usize * self.plan.chunk_bytes as usize
    }

    /// Number of chunks in which items go around while they have room there: few remain in the cache, and with many a
    /// producer does not take memory away from a consumer that has just read it.
    fn busy_chunks(&self) -> u32 {
        let least = (LEAST_BUSY_BYTES / self.plan.chunk_bytes).max(1);
        self.shared.busy_chunks.load(Relaxed).max(least).min(self.plan.chunks)
    }

    /// Returns a place for an item of `len` bytes, with memory; `None` if there is none now.
    pub(super) fn allocate(&self, len: usize) -> Result<Option<Place<'_>>> {
        let all = self.plan.chunks;
        let mut found = self.find_room(len, self.busy_chunks())?;
        if found.is_none() {
            self.sweep()?;
            self.adapt_busy_chunks();
            found = self.find_room(len, self.busy_chunks())?;
        }
        if found.is_none() {
            found = self.find_room(len, all)?;
        }
        let mut chunks = 0..all;
        while found.is_none()
            && let Some(chunk) = chunks.next()
        {
            found = self.place_behind(chunk, len, all)?;
        }
        Ok(found)
    }

    /// Uses more chunks if few became free, because a sweep looks at every item; and fewer if nearly all did.
    fn adapt_busy_chunks(&self) {
        let busy = self.busy_chunks();
        let used = (0..busy).filter(|chunk| self.chunk_word(*chunk).state() != FREE).count() as u32;
        if used >= busy / 2 {
            self.shared.busy_chunks.store(2 * busy, Relaxed);
        } else if used < busy / 8 {
            self.shared.busy_chunks.store(busy / 2, Relaxed);
            self.release_chunks_behind(busy / 2);
        }
    }

    /// Returns a place behind what is in use of a chunk, in the first `chunks` chunks.
    fn place_behind(&self, chunk: u32, len: usize, chunks: u32) -> Result<Option<Place<'_>>> {
        if chunk >= chunks {
            return Ok(None);
        }
        let word = self.chunk_word(chunk);
        let at = self.chunk_start(chunk) + word.used();
        let is_possible = word.state() == USED
            && word.used() < self.plan.chunk_bytes as usize
            && at + len <= self.chunk_start(chunks);
        if is_possible { self.own(at, len) } else { Ok(None) }
    }

    /// Returns a place in the first `chunks` chunks: behind this handle's last item, or in the next ones that are free.
    fn find_room(&self, len: usize, chunks: u32) -> Result<Option<Place<'_>>> {
        if let Some(place) = self.place_behind(self.own_chunk.load(Relaxed), len, chunks)? {
            return Ok(Some(place));
        }
        let run = len.div_ceil(self.plan.chunk_bytes as usize) as u32;
        let next = self.shared.next_chunk.load(Relaxed);
        let from = if next < chunks { next } else { 0 };
        let (mut start, mut free) = (0, 0);
        // Around once, and not beyond the end.
        for chunk in (from..chunks).chain(0..chunks.min(from + run)) {
            if chunk == 0 {
                free = 0;
            }
            if self.chunk_word(chunk).state() != FREE {
                free = 0;
                continue;
            }
            if free == 0 {
                start = chunk;
            }
            free += 1;
            if free == run {
                if let Some(place) = self.own(self.chunk_start(start), len)? {
                    self.shared.next_chunk.store(place.chunks.end, Relaxed);
                    return Ok(Some(place));
                }
                // Another producer was faster.
                free = 0;
            }
        }
        Ok(None)
    }

    /// Owns the chunks of `len` bytes at `at`, if the first is in use up to there and the others are free.
    fn own(&self, at: usize, len: usize) -> Result<Option<Place<'_>>> {
        let bytes = self.plan.chunk_bytes as usize;
        let (first, end) = ((at / bytes) as u32, (at + len).div_ceil(bytes) as u32);
        // Gives back what it got if it does not get all.
        let mut place = Place { ring: self, chunks: first..first, at, end: at };
        for chunk in first..end {
            let word = self.chunk_word(chunk);
            let used = at.saturating_sub(self.chunk_start(chunk));
            let is_as_expected = match word.state() {
                FREE => used == 0,
                USED => used > 0 && word.used() == used,
                _ => false,
            };
            let owned = word.next(OWNED, self.me.to_word(), word.has_memory());
            if !is_as_expected || !word.replace(self.chunk(chunk), owned) {
                return Ok(None);
            }
            place.chunks.end = chunk + 1;
            if !word.has_memory() {
                let populated = self.shared.populate(self.plan.chunks_at + self.chunk_start(chunk), bytes);
                populated.map_err(os("get memory for a queue"))?;
                owned.next(OWNED, owned.field(), true).store(self.chunk(chunk));
            }
        }
        Ok(Some(place))
    }

    /// Frees the chunks that are in use and have no item any more.
    fn sweep(&self) -> Result<()> {
        let is_owner_dead = |word: ChunkWord| {
            word.state() == OWNED
                && !ProcessSlot::from_word(word.field()).is_some_and(|owner| self.process_table.is_alive(owner))
        };
        // Before the slots: what is put into a chunk after that changes its word.
        let mut in_use: Vec<Option<ChunkWord>> = (0..self.plan.chunks)
            .map(|chunk| Some(self.chunk_word(chunk)).filter(|word| word.state() == USED || is_owner_dead(*word)))
            .collect();
        for (spot, word) in self.slots() {
            // What is claimed has no item yet.
            let slot = self.slot(spot);
            let len = slot.len.load(Relaxed) as usize;
            if word.state() != State::Claimed && len > INLINE_BYTES {
                let bytes = self.plan.chunk_bytes as usize;
                let at = self.place(slot)?;
                in_use[at / bytes..(at + len).div_ceil(bytes)].fill(None);
            }
        }
        let empty = (0..).zip(in_use).filter_map(|(chunk, word)| Some((chunk, word?)));
        empty.for_each(|(chunk, word)| {
            word.replace(self.chunk(chunk), word.next(FREE, 0, word.has_memory()));
        });
        Ok(())
    }

    /// Gives back the memory of chunks that have no item, but for the least that is always used.
    pub(super) fn release_chunks(&self) {
        // What cannot be swept now is released later.
        if self.sweep().is_ok() {
            self.shared.busy_chunks.store(0, Relaxed);
            self.release_chunks_behind(self.busy_chunks());
        }
    }

    fn release_chunks_behind(&self, busy: u32) {
        for chunk in busy..self.plan.chunks {
            let word = self.chunk_word(chunk);
            let owned = word.next(OWNED, self.me.to_word(), false);
            if word.state() == FREE && word.has_memory() && word.replace(self.chunk(chunk), owned) {
                // If the kernel does not take memory back, the chunk keeps it until it is used again.
                let at = self.plan.chunks_at + self.chunk_start(chunk);
                let _ = self.shared.release(at, self.plan.chunk_bytes as usize);
                owned.next(FREE, 0, false).store(self.chunk(chunk));
            }
        }
    }

    /// Returns where the bytes of a large item are: values from shared memory are checked before use.
    pub(super) fn place(&self, slot: &Slot) -> Result<usize> {
        let (place, len) = (slot.content[0].load(Relaxed) as usize, slot.len.load(Relaxed) as usize);
        let is_inside = place.checked_add(len).is_some_and(|end| end <= self.chunk_start(self.plan.chunks));
        if is_inside { Ok(place) } else { Err(Error::Damaged { object: "queue" }) }
    }
}
