//! Free chunks of a ring, and chunks with memory: allocated as content grows, released when it shrinks.
//!
//! # State
//! A chunk is in use if it lies on the chain from the head's chunk to the tail's, or under a lease. A bitmap caches
//! this for the writers, and `reclaimed` is the first chunk that they have not yet checked since readers left it. The
//! lowest free chunk is allocated next, so a ring with little content stays in few chunks, whatever it held before. A
//! second bitmap records which chunks have memory.
//!
//! # Ordering
//! All of it belongs to the holder of the writers' mutex.
//!
//! # Death
//! Unpublished changes of a writer are discarded: the next one recounts the chunks in use when it learns that its
//! predecessor died. `populated` is set after memory is allocated and cleared before it is released: at worst a chunk
//! keeps uncounted memory until it is used again.

use std::io;

use super::RingState;
use super::chunks::Chunks;
use super::cursor::Place;
use crate::ipc::error::{Error, Result, os};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::robust::RobustMutex;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    /// Accessed only by the holder of the writers' mutex.
    pub(super) struct PutSide {
        pub(super) lock: RobustMutex,
        /// A lower bound of the readers' position, to read their cursor rarely.
        pub(super) seen_bytes: AtomicU64,
        pub(super) seen_items: AtomicU64,
        reclaimed: AtomicU32,
        /// The words of the bitmap before this one have no free chunk.
        lowest: AtomicU32,
        in_use: AtomicU32,
        /// Chunks allocated since the last check for surplus.
        taken: AtomicU32,
        /// The readers' cursor word that a waiting writer has seen, or [`LEASES`], or 0: it has looked, and is the
        /// next.
        pub(super) waits_on: AtomicU32,
        padding: AtomicU32,
        distance: [AtomicU64; 6],
    }
}
const _: () = assert!(size_of::<PutSide>() == 128);

/// In [`PutSide::waits_on`]: the writer waits until leases end. No cursor word that was seen is even.
pub(super) const LEASES: u32 = 2;

/// Memory that a ring keeps in reserve.
const KEPT_BYTES: u64 = 4 << 20;
/// While a ring is busy it releases at most one chunk for this many that it allocates.
const RELEASE_EVERY: u32 = 8;

impl Chunks {
    /// Allocates memory for the first chunk, before any other process knows the ring.
    pub(super) fn take_first(&self, shared: &Mapping<RingState>) -> Result<()> {
        self.position(shared, 0);
        self.populate(shared, 0).map_err(os("get memory for a queue"))
    }

    fn in_use<'a>(&self, shared: &'a Mapping<RingState>, word: u32) -> &'a AtomicU64 {
        shared.shared_at(self.in_use_at + word as usize * 8)
    }

    fn populated<'a>(&self, shared: &'a Mapping<RingState>, word: u32) -> &'a AtomicU64 {
        shared.shared_at(self.populated_at + word as usize * 8)
    }

    /// Allocates a free chunk, to follow `last`.
    #[cold]
    pub(super) fn take(&self, shared: &Mapping<RingState>, last: u32, head: Place) -> Result<Option<u32>> {
        self.reclaim(shared, head, last)?;
        let is_populated = |chunk: &u32| self.populated(shared, chunk / 64).load(Relaxed) & bit(*chunk) != 0;
        let mut found = self.lowest_free(shared);
        if self.leases > 0 && !found.is_some_and(|chunk| is_populated(&chunk)) {
            // Leases that have ended since the last count may have freed some.
            self.count_anew(shared, head, last)?;
            found = self.lowest_free(shared);
        }
        let Some(chunk) = found else { return Ok(None) };
        if !is_populated(&chunk) {
            self.populate(shared, chunk).map_err(os("get memory for a queue"))?;
        }
        self.position(shared, chunk);
        let taken = shared.put.taken.load(Relaxed).wrapping_add(1);
        shared.put.taken.store(taken, Relaxed);
        if taken.is_multiple_of(RELEASE_EVERY) {
            let needed = 2 * shared.put.in_use.load(Relaxed);
            self.release(shared, needed, 1);
        }
        Ok(Some(chunk))
    }

    fn lowest_free(&self, shared: &Mapping<RingState>) -> Option<u32> {
        let words = self.chunks.div_ceil(64);
        let from = shared.put.lowest.load(Relaxed).min(words);
        let word = (from..words).find(|word| self.in_use(shared, *word).load(Relaxed) != u64::MAX)?;
        shared.put.lowest.store(word, Relaxed);
        let chunk = word * 64 + self.in_use(shared, word).load(Relaxed).trailing_ones();
        (chunk < self.chunks).then_some(chunk)
    }

    /// Frees the chunks that the readers have left. `last` is the writer's own, published or not.
    fn reclaim(&self, shared: &Mapping<RingState>, head: Place, last: u32) -> Result<()> {
        let mut chunk = shared.put.reclaimed.load(Relaxed);
        if chunk == head.chunk {
            return Ok(());
        }
        if self.leases > 0 {
            return self.count_anew(shared, head, last);
        }
        for _ in 0..self.chunks {
            if chunk == head.chunk {
                shared.put.reclaimed.store(chunk, Relaxed);
                return Ok(());
            }
            let next = self.following(shared, chunk)?;
            self.unmark(shared, chunk);
            chunk = next;
        }
        Err(Error::Damaged { object: "queue" })
    }

    /// Recounts the chunks in use: those from the head's to `last`, and those under leases. Only for the holder of the
    /// writers' mutex.
    pub(super) fn count_anew(&self, shared: &Mapping<RingState>, head: Place, last: u32) -> Result<()> {
        (0..self.chunks.div_ceil(64)).for_each(|word| self.in_use(shared, word).store(0, Relaxed));
        shared.put.in_use.store(0, Relaxed);
        shared.put.lowest.store(0, Relaxed);
        shared.put.reclaimed.store(head.chunk, Relaxed);
        self.mark_chain(shared, head.chunk, |chunk, _| chunk == last)?;
        // Read after the head position: every lease on an item before that position is in the table by now.
        for lease in self.leases(shared).pinning() {
            let end = u64::from(lease.place.offset) + u64::from(lease.len);
            let count = end.div_ceil(u64::from(self.chunk_bytes)).max(1);
            if lease.place.chunk < self.chunks {
                // A slot that is being changed right now may lead anywhere, but then its lease is on the chain above;
                // marking too many chunks is harmless.
                let _ = self.mark_chain(shared, lease.place.chunk, |_, marked| marked >= count);
            }
        }
        Ok(())
    }

    fn mark_chain(&self, shared: &Mapping<RingState>, first: u32, is_last: impl Fn(u32, u64) -> bool) -> Result<()> {
        let mut chunk = first;
        for marked in 1..=u64::from(self.chunks) {
            self.position(shared, chunk);
            if is_last(chunk, marked) {
                return Ok(());
            }
            chunk = self.following(shared, chunk)?;
        }
        Err(Error::Damaged { object: "queue" })
    }

    fn position(&self, shared: &Mapping<RingState>, chunk: u32) {
        let word = self.in_use(shared, chunk / 64);
        let bits = word.load(Relaxed);
        if bits & bit(chunk) == 0 {
            word.store(bits | bit(chunk), Relaxed);
            shared.put.in_use.store(shared.put.in_use.load(Relaxed) + 1, Relaxed);
        }
    }

    fn unmark(&self, shared: &Mapping<RingState>, chunk: u32) {
        let word = self.in_use(shared, chunk / 64);
        word.store(word.load(Relaxed) & !bit(chunk), Relaxed);
        shared.put.in_use.store(shared.put.in_use.load(Relaxed).saturating_sub(1), Relaxed);
        shared.put.lowest.store(shared.put.lowest.load(Relaxed).min(chunk / 64), Relaxed);
    }

    fn populate(&self, shared: &Mapping<RingState>, chunk: u32) -> io::Result<()> {
        shared.populate(self.at(Place { chunk, offset: 0 }), self.chunk_bytes as usize)?;
        let word = self.populated(shared, chunk / 64);
        word.store(word.load(Relaxed) | bit(chunk), Relaxed);
        shared.populated.store(shared.populated.load(Relaxed) + 1, Relaxed);
        Ok(())
    }

    /// Returns whether an empty ring has more memory than its reserve.
    pub(super) fn has_surplus(&self, shared: &Mapping<RingState>) -> bool {
        u64::from(shared.populated.load(Relaxed)) * u64::from(self.chunk_bytes) > KEPT_BYTES
    }

    /// Releases the memory of up to `most` free chunks, the highest first, as long as there is more than `needed` and
    /// the reserve. Only for the holder of the writers' mutex.
    fn release(&self, shared: &Mapping<RingState>, needed: u32, most: u32) {
        let kept = needed.max((KEPT_BYTES / u64::from(self.chunk_bytes)) as u32);
        let mut released = 0;
        for word in (0..self.chunks.div_ceil(64)).rev() {
            let in_use = self.in_use(shared, word).load(Relaxed);
            let mut idle = self.populated(shared, word).load(Relaxed) & !in_use;
            while idle != 0 {
                if released == most || shared.populated.load(Relaxed) <= kept {
                    return;
                }
                let chunk = word * 64 + 63 - idle.leading_zeros();
                idle &= !bit(chunk);
                let populated = self.populated(shared, word);
                populated.store(populated.load(Relaxed) & !bit(chunk), Relaxed);
                shared.populated.store(shared.populated.load(Relaxed) - 1, Relaxed);
                // If the kernel does not take memory back, the chunk keeps it until it is used again.
                let _ = shared.release(self.at(Place { chunk, offset: 0 }), self.chunk_bytes as usize);
                released += 1;
            }
        }
    }

    /// Releases all memory that a ring with this content does not need. Only for the holder of the writers' mutex.
    pub(super) fn release_surplus(&self, shared: &Mapping<RingState>, head: Place, last: u32) -> Result<()> {
        self.count_anew(shared, head, last)?;
        self.release(shared, 0, u32::MAX);
        Ok(())
    }
}

fn bit(chunk: u32) -> u64 {
    1 << (chunk % 64)
}
