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
use std::ops::Range;

use super::cursor::Place;
use super::lease_table::{LeaseState, LeaseToken};
use super::{Ring, Side};
use crate::ipc::error::{Error, Result, os};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use crate::sys::shm::shared_layout;

shared_layout! {
    /// Accessed only by the holder of the writers' mutex.
    pub(super) struct PutSide {
        pub(super) side: Side,
        reclaimed: AtomicU32,
        /// The words of the bitmap before this one have no free chunk.
        lowest: AtomicU32,
        /// Chunks allocated since the last check for surplus.
        taken: AtomicU32,
        /// The readers' cursor word that a waiting writer has seen, or [`LEASES`], or 0: it has looked, and is the
        /// next.
        pub(super) waits_on: AtomicU32,
        distance: [AtomicU64; 7],
    }
}
const _: () = assert!(size_of::<PutSide>() == 128);

/// In [`PutSide::waits_on`]: the writer waits until leases end. No cursor word that was seen is even.
pub(super) const LEASES: u32 = 2;

/// Memory that a ring keeps in reserve.
const KEPT_BYTES: u64 = 4 << 20;
/// While a ring is busy it releases at most one chunk for this many that it allocates.
const RELEASE_EVERY: u32 = 8;

impl Ring {
    /// Allocates memory for the first chunk, before any other process knows the ring.
    pub(super) fn populate_first(&self) -> Result<()> {
        self.mark(0);
        self.populate(0).map_err(os("get memory for a queue"))
    }

    fn in_use(&self, word: u32) -> &AtomicU64 {
        self.shared.shared_at(self.plan.in_use_at + word as usize * 8)
    }

    fn populated(&self, word: u32) -> &AtomicU64 {
        self.shared.shared_at(self.plan.populated_at + word as usize * 8)
    }

    fn words(&self) -> Range<u32> {
        0..self.plan.chunks.div_ceil(64)
    }

    fn populated_chunks(&self) -> u32 {
        self.words().map(|word| self.populated(word).load(Relaxed).count_ones()).sum()
    }

    /// Allocates a free chunk, to follow `last`.
    #[cold]
    pub(super) fn take(&self, last: u32, head: Place) -> Result<Option<u32>> {
        self.reclaim_chunks(head, last)?;
        let is_populated = |chunk: &u32| self.populated(chunk / 64).load(Relaxed) & bit(*chunk) != 0;
        let mut found = self.lowest_free();
        if self.plan.leases > 0 && !found.is_some_and(|chunk| is_populated(&chunk)) {
            // Leases that have ended since the last count may have freed some.
            self.recount(head, last)?;
            found = self.lowest_free();
        }
        let Some(chunk) = found else { return Ok(None) };
        if !is_populated(&chunk) {
            self.populate(chunk).map_err(os("get memory for a queue"))?;
        }
        self.mark(chunk);
        let taken = self.shared.put.taken.load(Relaxed).wrapping_add(1);
        self.shared.put.taken.store(taken, Relaxed);
        if taken.is_multiple_of(RELEASE_EVERY) {
            let in_use: u32 = self.words().map(|word| self.in_use(word).load(Relaxed).count_ones()).sum();
            self.release(2 * in_use, 1);
        }
        Ok(Some(chunk))
    }

    fn lowest_free(&self) -> Option<u32> {
        let mut words = self.shared.put.lowest.load(Relaxed)..self.words().end;
        let word = words.find(|word| self.in_use(*word).load(Relaxed) != u64::MAX)?;
        self.shared.put.lowest.store(word, Relaxed);
        let chunk = word * 64 + self.in_use(word).load(Relaxed).trailing_ones();
        (chunk < self.plan.chunks).then_some(chunk)
    }

    /// Frees the chunks that the readers have left. `last` is the writer's own, published or not.
    fn reclaim_chunks(&self, head: Place, last: u32) -> Result<()> {
        let mut chunk = self.shared.put.reclaimed.load(Relaxed);
        if chunk == head.chunk {
            return Ok(());
        }
        if self.plan.leases > 0 {
            return self.recount(head, last);
        }
        for _ in 0..self.plan.chunks {
            if chunk == head.chunk {
                self.shared.put.reclaimed.store(chunk, Relaxed);
                return Ok(());
            }
            let next = self.following(chunk)?;
            self.unmark(chunk);
            chunk = next;
        }
        Err(Error::Damaged { object: "queue" })
    }

    /// Recounts the chunks in use: those from the head's to `last`, and those under leases. Only for the holder of the
    /// writers' mutex.
    pub(super) fn recount(&self, head: Place, last: u32) -> Result<()> {
        self.words().for_each(|word| self.in_use(word).store(0, Relaxed));
        self.shared.put.lowest.store(0, Relaxed);
        self.shared.put.reclaimed.store(head.chunk, Relaxed);
        self.mark_chain(head.chunk, |chunk, _| chunk == last)?;
        // Read after the head position: every lease on an item before that position is in the table by now.
        for LeaseToken { place, len, .. } in self.used_leases().filter(|lease| lease.status.state != LeaseState::Free) {
            let count = (u64::from(place.offset) + u64::from(len)).div_ceil(u64::from(self.plan.chunk_bytes)).max(1);
            if place.chunk < self.plan.chunks {
                // A slot that is being changed right now may lead anywhere, but then its lease is on the chain above;
                // marking too many chunks is harmless.
                let _ = self.mark_chain(place.chunk, |_, marked| marked >= count);
            }
        }
        Ok(())
    }

    fn mark_chain(&self, first: u32, is_last: impl Fn(u32, u64) -> bool) -> Result<()> {
        let mut chunk = first;
        for marked in 1..=u64::from(self.plan.chunks) {
            self.mark(chunk);
            if is_last(chunk, marked) {
                return Ok(());
            }
            chunk = self.following(chunk)?;
        }
        Err(Error::Damaged { object: "queue" })
    }

    fn mark(&self, chunk: u32) {
        let word = self.in_use(chunk / 64);
        word.store(word.load(Relaxed) | bit(chunk), Relaxed);
    }

    fn unmark(&self, chunk: u32) {
        let word = self.in_use(chunk / 64);
        word.store(word.load(Relaxed) & !bit(chunk), Relaxed);
        self.shared.put.lowest.store(self.shared.put.lowest.load(Relaxed).min(chunk / 64), Relaxed);
    }

    fn populate(&self, chunk: u32) -> io::Result<()> {
        self.shared.populate(self.at(Place { chunk, offset: 0 }), self.plan.chunk_bytes as usize)?;
        let word = self.populated(chunk / 64);
        word.store(word.load(Relaxed) | bit(chunk), Relaxed);
        Ok(())
    }

    /// Returns whether an empty ring has more memory than its reserve.
    pub(super) fn has_surplus(&self) -> bool {
        u64::from(self.populated_chunks()) * u64::from(self.plan.chunk_bytes) > KEPT_BYTES
    }

    /// Releases the memory of up to `most` free chunks, the highest first, as long as there is more than `needed` and
    /// the reserve. Only for the holder of the writers' mutex.
    pub(super) fn release(&self, needed: u32, most: u32) {
        let kept = needed.max((KEPT_BYTES / u64::from(self.plan.chunk_bytes)) as u32);
        let mut surplus = self.populated_chunks().saturating_sub(kept).min(most);
        for word in self.words().rev() {
            let populated = self.populated(word);
            let mut idle = populated.load(Relaxed) & !self.in_use(word).load(Relaxed);
            while idle != 0 {
                if surplus == 0 {
                    return;
                }
                surplus -= 1;
                let chunk = word * 64 + 63 - idle.leading_zeros();
                idle &= !bit(chunk);
                populated.store(populated.load(Relaxed) & !bit(chunk), Relaxed);
                // If the kernel does not take memory back, the chunk keeps it until it is used again.
                let _ = self.shared.release(self.at(Place { chunk, offset: 0 }), self.plan.chunk_bytes as usize);
            }
        }
    }
}

fn bit(chunk: u32) -> u64 {
    1 << (chunk % 64)
}
