//! Memory for long items: each lies in consecutive chunks.
//!
//! # State
//! A word for each chunk: `count << 35 | field << 3 | has_memory << 2 | state`. A chunk that is free has nothing in it. A
//! producer at work owns its chunks (`field` is the process), and leaves them in use (`field` is the end of what was
//! written): anybody may add an item behind that. `count` grows with each change. A chunk in use is empty when as many
//! of its items are gone as were put.
//!
//! # Ordering
//! Only the owner of a chunk writes into it. The slots order the bytes.
//!
//! # Death
//! A consumer counts an item before it releases the slot. Killed before that, it leaves a chunk that never looks empty,
//! as a producer does that is killed at work. A sweep finds such chunks: no slot names a place in them. Memory is counted
//! after it was allocated and before it is released: at worst a chunk keeps uncounted memory until it is used again.

use std::ops::Range;

use super::slot::Slot;
use super::word::State;
use super::{DAMAGED, Ring};
use crate::ipc::error::Result;
use crate::ipc::process::table::ProcessSlot;
use crate::sys::atomic::{
    AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use crate::sys::fork::forked_from;
use crate::sys::shm::shared_layout;

shared_layout! {
    /// A chunk: a cache line that producers write, and one that consumers write.
    pub(super) struct ChunkEntry {
        word: AtomicU64,
        /// Number of items that were put since the chunk was empty.
        put: AtomicU32,
        padding: AtomicU32,
        distance: [AtomicU64; 6],
        /// Number of those that are gone.
        gone: AtomicU32,
        padding_of_gone: AtomicU32,
        distance_of_gone: [AtomicU64; 7],
    }
}

/// Places begin at multiples of this. A single item begins there, too.
pub(super) const PLACES: usize = 64;

/// The chunk before the first.
pub(super) const NO_CHUNK: u32 = u32::MAX;

/// Memory that a queue keeps while it is idle, and uses in turn.
const KEPT_BYTES: u32 = 1 << 20;

/// The maximum number of bytes that items of a batch share.
pub(super) const MOST_TOGETHER: usize = 64 << 10;

/// How many chunks to look at in each place before more memory is used.
const LOOKS: u32 = 32;

/// How many chunks in a row are taken from those whose memory is kept before memory of the others is given back. It costs
/// more than an item to give it back and to get it again.
const CALM: u32 = 16_384;

/// How far ahead memory is prefetched that a consumer had last, and for items of which length.
const AHEAD: usize = 2048;
const MOST_PREFETCHED: usize = 8192;

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

/// A place for items, in chunks that this process owns until this is dropped.
pub(crate) struct Place<'r> {
    ring: &'r Ring,
    chunks: Range<u32>,
    /// Offset from the first chunk of the ring.
    pub(super) at: usize,
    /// End of the last item that a slot names.
    end: usize,
}

impl Place<'_> {
    /// Returns the first `len` bytes: as many as were asked for, or fewer.
    pub(super) fn bytes(&self, len: usize) -> &[u8] {
        self.ring.shared.bytes(self.ring.plan.chunks_at + self.at, len)
    }

    /// As [`bytes`](Self::bytes). Their content is what was there before.
    pub(super) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        self.ring.shared.bytes_mut(self.ring.plan.chunks_at + self.at, len)
    }

    /// Keeps the item of `len` bytes: a slot names it.
    pub(super) fn keep(mut self, len: usize) {
        self.ring.prefetch_behind(self.at, len);
        self.keep_at(self.at, len);
    }

    /// As [`keep`](Self::keep) for one of several items, in their order.
    pub(super) fn keep_at(&mut self, at: usize, len: usize) {
        for chunk in self.ring.chunks_of(at, len) {
            let entry = self.ring.chunk(chunk);
            entry.put.store(entry.put.load(Relaxed).wrapping_add(1), Relaxed);
        }
        self.end = at + len;
        self.ring.own_chunk.store(self.chunks.end - 1, Relaxed);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let ring = self.ring;
        // In a forked child they are its parent's.
        if self.chunks.is_empty() || forked_from().is_some() {
            return;
        }
        for chunk in self.chunks.clone() {
            let entry = ring.chunk(chunk);
            let start = ring.chunk_start(chunk);
            let used = self.end.saturating_sub(start).min(ring.plan.chunk_bytes as usize).div_ceil(PLACES);
            let state = if used == 0 { FREE } else { USED };
            let word = ChunkWord::load(entry);
            word.next(state, used as u32, word.has_memory()).store(entry);
        }
        // A put that found too little room may add its item behind this one.
        ring.shared.putters.event.notify();
    }
}

impl ChunkWord {
    fn load(entry: &ChunkEntry) -> Self {
        ChunkWord(entry.word.load(Acquire))
    }

    fn store(self, entry: &ChunkEntry) {
        entry.word.store(self.0, Release);
    }

    fn replace(self, entry: &ChunkEntry, then: ChunkWord) -> bool {
        entry.word.compare_exchange(self.0, then.0, AcqRel, Relaxed).is_ok()
    }

    /// Returns whether nothing is in the chunk.
    fn is_empty(self, entry: &ChunkEntry) -> bool {
        match self.state() {
            FREE => true,
            USED => entry.gone.load(Acquire) == entry.put.load(Relaxed),
            _ => false,
        }
    }
}

impl Ring {
    fn chunk(&self, chunk: u32) -> &ChunkEntry {
        self.chunks.at(chunk as usize)
    }

    /// Prefetches memory for the items behind one at `at`, unless that is long.
    fn prefetch_behind(&self, at: usize, len: usize) {
        if len <= MOST_PREFETCHED {
            let ahead = self.plan.chunks_at + at + AHEAD;
            self.shared.prefetch_to_write(ahead..ahead + len.next_multiple_of(PLACES));
        }
    }

    /// Offset of a chunk from the first one.
    fn chunk_start(&self, chunk: u32) -> usize {
        chunk as usize * self.plan.chunk_bytes as usize
    }

    /// Returns the chunks that an item is in.
    #[inline]
    fn chunks_of(&self, at: usize, len: usize) -> Range<u32> {
        // A division takes as long as an atomic exchange.
        let (shift, last) = (self.plan.chunk_bytes.trailing_zeros(), self.plan.chunk_bytes as usize - 1);
        (at >> shift) as u32..((at + len + last) >> shift) as u32
    }

    /// Number of chunks in use: no other ever had memory, nor has its entry.
    fn used_chunks(&self) -> u32 {
        self.shared.used_chunks.load(Acquire).min(self.plan.chunks)
    }

    /// Returns a place for an item of `len` bytes, with memory; `None` if there is none now.
    #[inline(always)]
    pub(super) fn allocate(&self, len: usize) -> Result<Option<Place<'_>>> {
        let own = self.own_chunk.load(Relaxed);
        match self.place_in(own, len) {
            None => self.allocate_chunks(own, len),
            place => Ok(place),
        }
    }

    /// As [`place_behind`](Self::place_behind) within one chunk that has memory.
    #[inline(always)]
    fn place_in(&self, chunk: u32, len: usize) -> Option<Place<'_>> {
        if chunk >= self.used_chunks() {
            return None;
        }
        let entry = self.chunk(chunk);
        let word = ChunkWord::load(entry);
        let is_possible =
            word.state() == USED && word.has_memory() && word.used() + len <= self.plan.chunk_bytes as usize;
        let is_ours = is_possible && word.replace(entry, word.next(OWNED, self.me.to_word(), true));
        let at = self.chunk_start(chunk) + word.used();
        is_ours.then(|| Place { ring: self, chunks: chunk..chunk + 1, at, end: at })
    }

    /// As [`allocate`](Self::allocate) if the item does not fit into chunk `own`.
    #[inline(never)]
    fn allocate_chunks(&self, own: u32, len: usize) -> Result<Option<Place<'_>>> {
        let kept = self.kept_chunks();
        if self.used_chunks() < kept {
            self.add_chunks(kept)?;
        }
        // In turn: the longer ago a chunk was used, the less of it is still in a consumer's cache.
        let used = self.used_chunks();
        let first = 0..LOOKS.min(used);
        let next = own.wrapping_add(1).min(used);
        let behind = next..(next + LOOKS).min(used);
        let [one, other] = if own < kept { [behind, first] } else { [first, behind] };
        let mut found = self.find(one, len, used)?;
        if found.is_none() {
            found = self.find(other, len, used)?;
        }
        let taken = found.as_ref().filter(|place| place.chunks.start < kept).map(|place| place.chunks.len() as u32);
        self.release_if_calm(taken, used);
        if found.is_none() {
            found = self.find(self.next_chunks(used, LOOKS), len, used)?;
        }
        match found {
            None => self.allocate_more(own, used, len),
            found => Ok(found),
        }
    }

    /// Number of chunks that keep their memory.
    fn kept_chunks(&self) -> u32 {
        (KEPT_BYTES / self.plan.chunk_bytes).clamp(1, self.plan.chunks)
    }

    /// As [`allocate_chunks`](Self::allocate_chunks), in chunks that are added to `used` ones, or anywhere.
    fn allocate_more(&self, own: u32, used: u32, len: usize) -> Result<Option<Place<'_>>> {
        let run = self.chunks_of(0, len).end;
        while self.add_chunks(run)? {
            let more = self.used_chunks();
            if let Some(place) = self.place_behind(own, len, more)? {
                return Ok(Some(place));
            }
            // The last ones in use may be empty.
            if let Some(place) = self.find(used.saturating_sub(run)..more, len, more)? {
                return Ok(Some(place));
            }
        }
        let all = self.plan.chunks;
        if let Some(place) = self.find(0..all, len, all)? {
            return Ok(Some(place));
        }
        self.sweep()?;
        if let Some(place) = self.find(0..all, len, all)? {
            return Ok(Some(place));
        }
        for chunk in 0..all {
            if let Some(place) = self.place_behind(chunk, len, all)? {
                return Ok(Some(place));
            }
        }
        Ok(None)
    }

    /// Returns the next `count` chunks to look at, of `used` that producers look at in turn.
    fn next_chunks(&self, used: u32, count: u32) -> Range<u32> {
        let next = Some(self.shared.next_chunk.load(Relaxed)).filter(|next| *next < used).unwrap_or(0);
        let end = used.min(next + count);
        self.shared.next_chunk.store(end, Relaxed);
        next..end
    }

    /// Adds up to `count` chunks to those in use. Returns `false` if all are.
    fn add_chunks(&self, count: u32) -> Result<bool> {
        let used = self.used_chunks();
        let more = self.plan.chunks.min(used + count);
        if more == used {
            return Ok(false);
        }
        let at = |chunk: u32| self.plan.chunk_entries_at + chunk as usize * size_of::<ChunkEntry>();
        self.populate(at(used), at(more) - at(used))?;
        self.shared.used_chunks.fetch_max(more, Release);
        Ok(true)
    }

    /// Gives back memory of the `used` chunks that is not kept, if the rest has been enough for some time. The caller has
    /// `taken` so many chunks of that.
    fn release_if_calm(&self, taken: Option<u32>, used: u32) {
        let calm = taken.map_or(0, |taken| self.calm.load(Relaxed).saturating_add(taken));
        self.calm.store(calm, Relaxed);
        if let Some(taken) = taken
            && calm > CALM
        {
            let next = self.next_chunks(used, taken);
            next.filter(|chunk| *chunk >= self.kept_chunks()).for_each(|chunk| self.release_chunk(chunk));
        }
    }

    /// Returns a place behind what is in use of `chunk`, in chunks before `end`.
    fn place_behind(&self, chunk: u32, len: usize, end: u32) -> Result<Option<Place<'_>>> {
        if chunk >= self.used_chunks() {
            return Ok(None);
        }
        let word = ChunkWord::load(self.chunk(chunk));
        let at = self.chunk_start(chunk) + word.used();
        let is_possible =
            word.state() == USED && word.used() < self.plan.chunk_bytes as usize && at + len <= self.chunk_start(end);
        if is_possible { self.own(at, len) } else { Ok(None) }
    }

    /// Returns a place in empty chunks before `end`, of which the first is one of `starts`.
    fn find(&self, starts: Range<u32>, len: usize, end: u32) -> Result<Option<Place<'_>>> {
        let run = self.chunks_of(0, len).end;
        let is_empty = |chunk: u32| {
            let entry = self.chunk(chunk);
            ChunkWord::load(entry).is_empty(entry)
        };
        let (mut start, mut next) = (starts.start, starts.start);
        while start < starts.end && start + run <= end {
            if !is_empty(next) {
                (start, next) = (next + 1, next + 1);
                continue;
            }
            next += 1;
            if next == start + run {
                if let Some(place) = self.own(self.chunk_start(start), len)? {
                    return Ok(Some(place));
                }
                // Another producer was faster.
                start = next;
            }
        }
        Ok(None)
    }

    /// Owns the chunks of `len` bytes at `at`, if the first is in use up to there and the others are empty.
    fn own(&self, at: usize, len: usize) -> Result<Option<Place<'_>>> {
        let chunks = self.chunks_of(at, len);
        let used_of = |chunk: u32| at.saturating_sub(self.chunk_start(chunk));
        let expected = |chunk: u32| {
            let (entry, word) = (self.chunk(chunk), ChunkWord::load(self.chunk(chunk)));
            let is_as_expected = match used_of(chunk) {
                0 => word.is_empty(entry),
                used => word.state() == USED && word.used() == used,
            };
            is_as_expected.then_some((entry, word))
        };
        // To give back the first of them wakes the process itself if it waits for room.
        if !chunks.clone().all(|chunk| expected(chunk).is_some()) {
            return Ok(None);
        }
        // Gives back what it got if it does not get all.
        let mut place = Place { ring: self, chunks: chunks.start..chunks.start, at, end: at };
        for chunk in chunks {
            let Some((entry, word)) = expected(chunk) else { return Ok(None) };
            let (used, owned) = (used_of(chunk), word.next(OWNED, self.me.to_word(), word.has_memory()));
            if !word.replace(entry, owned) {
                return Ok(None);
            }
            place.chunks.end = chunk + 1;
            if used == 0 {
                // No process counts here now: all items are gone, or the processes that did not count them are dead.
                entry.put.store(0, Relaxed);
                entry.gone.store(0, Relaxed);
            }
            if !word.has_memory() {
                let (start, bytes) = (self.plan.chunks_at + self.chunk_start(chunk), self.plan.chunk_bytes as usize);
                self.populate(start, bytes)?;
                owned.next(OWNED, owned.field(), true).store(entry);
            }
        }
        Ok(Some(place))
    }

    /// Counts that the items of `slots` are gone, whose bytes nobody reads any more.
    #[inline]
    pub(super) fn count_gone(&self, slots: &[Slot]) {
        let count = |chunk: u32, gone: u32| {
            if chunk < self.plan.chunks {
                self.chunk(chunk).gone.fetch_add(gone, Release);
            }
        };
        // Those in one chunk, one behind the other, are counted together.
        let (mut last, mut gone) = (self.plan.chunks, 0);
        for slot in slots {
            // What lies nowhere cannot be counted.
            let len = slot.len();
            let Ok(place) = self.place(slot, len) else { continue };
            for chunk in self.chunks_of(place, len) {
                if chunk != last {
                    count(last, gone);
                    (last, gone) = (chunk, 0);
                }
                gone += 1;
            }
        }
        count(last, gone);
    }

    /// Frees the chunks that have no item any more, although they do not look empty.
    pub(super) fn sweep(&self) -> Result<()> {
        let is_owner_dead = |word: ChunkWord| {
            word.state() == OWNED
                && !ProcessSlot::from_word(word.field()).is_some_and(|owner| self.process_table.is_alive(owner))
                // One of its threads may still be in the system call that gives the memory back.
                && (word.has_memory() || self.try_lock_chaining().is_some())
        };
        // Before the slots: what is put into a chunk after that changes its word.
        let mut in_use: Vec<Option<ChunkWord>> = (0..self.used_chunks())
            .map(|chunk| ChunkWord::load(self.chunk(chunk)))
            .map(|word| Some(word).filter(|word| word.state() == USED || is_owner_dead(*word)))
            .collect();
        for (spot, word) in self.slots() {
            // What is claimed has no item yet, and packed items are short.
            let may_be_large = word.state() != State::Claimed && word.pack().is_none();
            if !may_be_large || word.state() == State::Taking && self.release_of_dead(spot, word) {
                continue;
            }
            for slot in self.run(spot, word.run()).iter().filter(|slot| slot.is_large()) {
                let len = slot.len();
                let chunks = match self.place(slot, len) {
                    Ok(place) => self.chunks_of(place, len),
                    // The item is gone, and the slot is used again.
                    Err(_) if self.has_changed(spot, word) => continue,
                    Err(error) => return Err(error),
                };
                (chunks.start as usize..chunks.end as usize).for_each(|chunk| {
                    if let Some(word) = in_use.get_mut(chunk) {
                        *word = None;
                    }
                });
            }
        }
        let empty = (0..).zip(in_use).filter_map(|(chunk, word)| Some((chunk, word?)));
        empty.for_each(|(chunk, word)| {
            word.replace(self.chunk(chunk), word.next(FREE, 0, word.has_memory()));
        });
        Ok(())
    }

    /// Gives back the memory of empty chunks, but for some that is always kept.
    pub(super) fn release_chunks(&self) {
        (self.kept_chunks()..self.used_chunks()).for_each(|chunk| self.release_chunk(chunk));
    }

    /// Gives back the memory of a chunk if it is empty, and if no other process holds `chaining` now.
    fn release_chunk(&self, chunk: u32) {
        let (entry, word) = (self.chunk(chunk), ChunkWord::load(self.chunk(chunk)));
        if !word.has_memory() || !word.is_empty(entry) {
            return;
        }
        // Held until the memory is gone: see `sweep`.
        let Some(_held) = self.try_lock_chaining() else { return };
        let owned = word.next(OWNED, self.me.to_word(), false);
        if word.replace(entry, owned) {
            // If the kernel does not take memory back, the chunk keeps it until it is used again.
            let at = self.plan.chunks_at + self.chunk_start(chunk);
            let _ = self.shared.release(at, self.plan.chunk_bytes as usize);
            owned.next(FREE, 0, false).store(entry);
        }
    }

    /// Returns where the bytes of a large item are: values from shared memory are checked before use.
    pub(super) fn place(&self, slot: &Slot, len: usize) -> Result<usize> {
        let place = slot.content()[0].load(Relaxed) as usize;
        let is_inside = place.checked_add(len).is_some_and(|end| end <= self.chunk_start(self.plan.chunks));
        if is_inside { Ok(place) } else { Err(DAMAGED) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::queue::batch::{Items, batch_of};
    use crate::ipc::queue::participants::Rights;
    use crate::ipc::queue::ring::{Plan, Waiting};

    #[test]
    fn batch_that_is_being_read_keeps_all_its_memory() {
        let ring = Ring::create(Plan::of(100, 2048, 64, 3, 64), Rights::BOTH, |_| {}).expect("a ring");
        let other = ring.another(Rights::BOTH);
        // Afterwards this handle takes runs.
        ring.put_item(&[0; 200], Waiting::NO).expect("room");
        assert_eq!(ring.get_items(1, |_| {}), 1);
        let items = [1, 2, 3].map(|number| vec![number; 200]);
        ring.put_items(Items::of(&batch_of(&items)), Waiting::NO, &mut 0).expect("room");
        let (mut got, mut others) = (Vec::new(), 0);
        let count = ring.get_items(3, |item| {
            while other.put_item(&[9; 200], Waiting::NO).is_ok() {
                others += 1;
            }
            got.push(item.expect("whole").to_vec());
        });
        assert_eq!((count, others), (3, 5), "items until the memory is full");
        assert_eq!(got, items);
    }
}
