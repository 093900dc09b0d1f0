//! The slots of a ring in the order of the puts: a chain of segments, made as items come and used again when all of
//! their items are gone.
//!
//! # State
//! A [`SegmentEntry`] for each segment: without memory, free, or in the chain, with its number in the order of the puts
//! and the next segment. A segment is in use from when it is chained until all of its slots are done: nothing else
//! records it. `tail` is a hint where to look for the first slot that was never claimed, `head` for the first that was
//! not taken, `open` for the first that is not done; they may be too low, never too high, and may name a segment that is no
//! longer in use.
//!
//! # Ordering
//! The entries belong to the holder of `chaining`; others read them, and note in them that a segment is done. A process
//! that gives memory back holds it as well. A segment's number is its tag, so a process that looks at a segment which is another by
//! now finds no word that it could change: see [`super::word`].
//!
//! # Death
//! A segment becomes part of the chain by the store of its own entry. Killed before that, a process leaves a free
//! segment that its predecessor names; the next one completes the step.

use std::slice;

use super::slot::Slot;
use super::word::{LONGEST_RUN, State, Word};
use super::{Ring, RingState};
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::error::Result;
use crate::sys::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence};
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::HeldMutex;
use crate::sys::shm::{prefetch_ahead, shared_layout};

shared_layout! {
    pub(crate) struct SegmentEntry {
        /// `number << 16 | (next + 1) << 2 | state`. Of a free segment, the number is that of its last use.
        word: AtomicU64,
        /// The number plus one of the last segment that a consumer found done.
        done: AtomicU64,
        /// Whether the [extensions](super::extension) of its slots have memory.
        pub(super) extensions: AtomicU64,
    }
}

const NO_MEMORY: u64 = 0;
const FREE: u64 = 1;
const CHAINED: u64 = 2;
const STATE: u64 = 3;
const NEXT_SHIFT: u32 = 2;
const NUMBER_SHIFT: u32 = 16;
/// Bits of a segment's index in a [`Spot`]'s word.
const INDEX_BITS: u32 = NUMBER_SHIFT - NEXT_SHIFT;
/// Positions count modulo this: 52 days at one item in 4 ns.
const POSITIONS: u64 = 1 << (u64::BITS - INDEX_BITS);

/// A segment in the chain.
#[derive(Debug, Clone, Copy)]
struct Chained {
    number: u64,
    next: Option<u32>,
}

/// A slot, and its place in the order of the puts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(super) segment: u32,
    pub(crate) position: u64,
}

impl Spot {
    #[inline]
    fn from_word(word: u64) -> Self {
        Spot { segment: word as u32 & ((1 << INDEX_BITS) - 1), position: word >> INDEX_BITS }
    }

    #[inline]
    fn to_word(self) -> u64 {
        self.position << INDEX_BITS | u64::from(self.segment)
    }
}

/// Returns how far position `later` is behind `earlier`, negative if it is before.
#[inline]
pub(crate) fn distance(later: u64, earlier: u64) -> i64 {
    ((later.wrapping_sub(earlier) << INDEX_BITS) as i64) >> INDEX_BITS
}

/// The value of a hint of a handle that has noted nothing: no [`Spot`].
pub(super) const NOWHERE: u64 = u64::MAX;

/// Returns what a handle has noted last: everything before it is passed, and its segment was in use then.
#[inline]
pub(super) fn known(known: &AtomicU64) -> Option<Spot> {
    Some(known.load(Relaxed)).filter(|word| *word != NOWHERE).map(Spot::from_word)
}

/// Segment numbers are divided into ages of this many: the words of a segment are all written before its first use in an
/// age, well before their tags wrap.
const AGE: u64 = 1 << 20;

/// How many slots ahead one is prefetched.
pub(super) const AHEAD: usize = 16;

/// Memory that a ring keeps in reserve.
const KEPT_BYTES: u64 = 4 << 20;

impl Ring {
    /// Makes the first segment, before any other process knows the ring. Position 0 is the first slot of segment
    /// number 0, or that of a later one to test how numbers wrap.
    pub(super) fn chain_first(&self, number: u64) -> Result<()> {
        self.prepare(0, number)?;
        self.entry(0).store(number << NUMBER_SHIFT | CHAINED, Relaxed);
        let first = Spot { segment: 0, position: number << self.shift };
        self.note(&self.shared.tail, first);
        self.note(&self.shared.head, first);
        self.note(&self.shared.open, first);
        self.shared.first_position.store(first.position, Relaxed);
        self.shared.last_aborted.store(first.position.wrapping_sub(1), Relaxed);
        Ok(())
    }

    #[inline]
    pub(super) fn segment(&self, segment: u32) -> &SegmentEntry {
        self.shared.shared_at(segment as usize * size_of::<SegmentEntry>())
    }

    #[inline]
    fn entry(&self, segment: u32) -> &AtomicU64 {
        &self.segment(segment).word
    }

    fn is_in(&self, segment: u32, state: u64) -> bool {
        self.entry(segment).load(Relaxed) & STATE == state
    }

    #[inline]
    fn chained(&self, segment: u32) -> Option<Chained> {
        if segment >= self.plan.segments {
            return None;
        }
        let word = self.entry(segment).load(Acquire);
        let next = (word >> NEXT_SHIFT) as u32 & ((1 << INDEX_BITS) - 1);
        (word & STATE == CHAINED).then(|| Chained { number: word >> NUMBER_SHIFT, next: next.checked_sub(1) })
    }

    /// Returns the number of a spot's segment.
    #[inline]
    pub(super) fn number(&self, spot: Spot) -> u64 {
        spot.position >> self.shift
    }

    #[inline]
    fn index(&self, spot: Spot) -> u32 {
        spot.position as u32 & (self.plan.segment_slots - 1)
    }

    #[inline]
    pub(super) fn slot_index(&self, spot: Spot) -> usize {
        (spot.segment as usize) << self.shift | self.index(spot) as usize
    }

    #[inline]
    pub(crate) fn slot(&self, spot: Spot) -> &Slot {
        self.slots.at(self.slot_index(spot))
    }

    /// Returns the slots of a run.
    #[inline]
    pub(super) fn run(&self, first: Spot, len: u32) -> &[Slot] {
        self.slots.range(self.slot_index(first), len as usize)
    }

    /// Prefetches as many slots as `slots` that are needed soon, and that the other side had last, for a consumer that has
    /// taken `slots` from `first` on. It must not take a slot away from the producer that is about to claim it.
    #[inline]
    pub(super) fn prefetch_to_take(&self, first: Spot, slots: &[Slot]) {
        let len = slots.len() as u64;
        let claimed = || distance(self.seen_tail.load(Relaxed), first.position + len);
        if claimed() >= AHEAD as i64 {
            prefetch_ahead(slots, AHEAD);
        } else if first.position % (AHEAD as u64) < len {
            // From time to time. Those before the tail were not claimed when others could have been prefetched with them.
            self.see_tail();
            let last = slice::from_ref(&slots[slots.len() - 1]);
            (1..=claimed().min(AHEAD as i64)).for_each(|ahead| prefetch_ahead(last, ahead as usize));
        }
    }

    /// Looks how far producers have come.
    pub(super) fn see_tail(&self) {
        let tail = Spot::from_word(self.shared.tail.load(Relaxed));
        self.seen_tail.store(tail.position, Relaxed);
    }

    #[inline]
    pub(super) fn word(&self, spot: Spot) -> Word {
        Word::load(&self.slot(spot).word)
    }

    /// Returns whether a word is another than before what was read meanwhile.
    pub(super) fn has_changed(&self, spot: Spot, word: Word) -> bool {
        fence(Acquire);
        self.word(spot) != word
    }

    /// Records where to look first from now on.
    #[inline]
    fn note(&self, hint: &AtomicU64, spot: Spot) {
        hint.store(spot.to_word(), Release);
    }

    /// Records that `spot` need not be looked at any more. The last one of a segment stays noted: it names the segment.
    #[inline]
    pub(super) fn note_passed(&self, hint: &AtomicU64, known: &AtomicU64, spot: Spot) {
        self.note(hint, self.pass(known, spot));
    }

    /// As [`note_passed`](Self::note_passed) for this handle alone. Returns where it looks from now on.
    #[inline]
    pub(super) fn pass(&self, known: &AtomicU64, spot: Spot) -> Spot {
        let next = Spot { position: spot.position + u64::from(!self.is_last(spot)), ..spot };
        known.store(next.to_word(), Relaxed);
        next
    }

    #[inline]
    pub(super) fn is_last(&self, spot: Spot) -> bool {
        self.index(spot) == self.plan.segment_slots - 1
    }

    /// Records that a segment is done, if it is: the slots are still in this processor's cache.
    #[cold]
    pub(super) fn note_done(&self, last: Spot) {
        let first = Spot { position: last.position - u64::from(self.plan.segment_slots - 1), ..last };
        if self.is_done(first) {
            self.segment(last.segment).done.store(self.number(last) + 1, Release);
        }
    }

    /// Returns the spot that `hint` names, if its segment is still the same.
    #[inline]
    pub(super) fn noted(&self, hint: &AtomicU64) -> Option<Spot> {
        let spot = Spot::from_word(hint.load(Acquire));
        self.is_current(spot).then_some(spot)
    }

    /// As [`noted`](Self::noted), with the slot and its word. If it is `known`, the segment was in use once, and still is:
    /// nobody has passed the spot.
    #[inline(always)]
    pub(super) fn noted_or_known(&self, hint: &AtomicU64, known: &AtomicU64) -> Option<(Spot, &Slot, Word)> {
        let noted = hint.load(Acquire);
        let spot = Spot::from_word(noted);
        if noted != known.load(Relaxed) && !self.is_current(spot) {
            return None;
        }
        let slot = self.slot(spot);
        let word = Word::load(&slot.word);
        // Again, after the look at the word: this process may have been stopped for so long that words of now look old.
        let is_in_use = hint.load(Relaxed) == noted || self.is_current(spot);
        is_in_use.then_some((spot, slot, word))
    }

    #[inline]
    pub(super) fn is_current(&self, spot: Spot) -> bool {
        self.chained(spot.segment).is_some_and(|chained| chained.number == self.number(spot))
    }

    /// Returns a spot at or before the first slot that was never claimed.
    #[inline]
    pub(super) fn tail(&self) -> Spot {
        self.noted(&self.shared.tail).unwrap_or_else(|| self.newest())
    }

    /// Returns a spot at or before the first slot that was not taken.
    #[inline]
    pub(super) fn head(&self) -> Spot {
        self.noted(&self.shared.head).unwrap_or_else(|| self.oldest())
    }

    /// Returns the first slot of the newest segment.
    #[cold]
    pub(super) fn newest(&self) -> Spot {
        self.any(|this, best| distance(this, best) > 0)
    }

    /// Returns the first slot of the oldest segment.
    #[cold]
    pub(super) fn oldest(&self) -> Spot {
        self.any(|this, best| distance(this, best) < 0)
    }

    fn any(&self, is_better: impl Fn(u64, u64) -> bool) -> Spot {
        loop {
            let better = |best: Spot, spot: Spot| if is_better(spot.position, best.position) { spot } else { best };
            // There is always one, but it may have become one after a look at its entry.
            if let Some(best) = self.among_chained(|spots| spots.reduce(better)) {
                return best;
            }
        }
    }

    /// Calls `choose` with the first slots of the segments in the chain, in no order, until no segment was added
    /// meanwhile: otherwise one could be missed and a later one seen.
    fn among_chained<R>(&self, choose: impl Fn(&mut dyn Iterator<Item = Spot>) -> R) -> R {
        loop {
            let added = self.shared.added_segments.load(Acquire);
            let chosen = choose(&mut self.chained_spots());
            fence(Acquire);
            if self.shared.added_segments.load(Relaxed) == added {
                return chosen;
            }
        }
    }

    fn chained_spots(&self) -> impl Iterator<Item = Spot> {
        let used = self.shared.used_segments.load(Acquire).min(self.plan.segments);
        (0..used).filter_map(|segment| {
            let position = self.chained(segment)?.number << self.shift;
            Some(Spot { segment, position })
        })
    }

    /// Returns the slot `index` behind `first`, in the same segment.
    #[inline]
    pub(super) fn behind(&self, first: Spot, index: u32) -> Spot {
        Spot { position: first.position + u64::from(index), ..first }
    }

    /// Returns how many slots from `first` on a run can have. The last slot of a segment is never part of a longer one:
    /// it stays noted as the tail and as the head after it is passed, and so its own word must tell what it is.
    #[inline]
    pub(super) fn longest_run(&self, first: Spot) -> u32 {
        (self.plan.segment_slots - 1 - self.index(first)).clamp(1, LONGEST_RUN)
    }

    /// Returns the first slot that `spot` and its `word` tell nothing of: as [`next`](Self::next), behind a run.
    #[inline]
    pub(super) fn next_behind(&self, spot: Spot, word: Word) -> Option<Spot> {
        self.next(self.behind(spot, word.run() - 1))
    }

    /// Releases slots without an item, or whose item is gone: those of a dead process, or this process's own. Returns
    /// `false` if another process was faster.
    pub(super) fn release_run(&self, first: Spot, owned: Word) -> bool {
        let slots = self.run(first, owned.run());
        owned.release_run(self.number(first), |index| &slots[index as usize].word)
    }

    /// Returns the slot behind `spot`, in the next segment that is in use; `None` at the end of the chain.
    #[inline]
    pub(super) fn next(&self, spot: Spot) -> Option<Spot> {
        let position = (spot.position + 1) % POSITIONS;
        if position as u32 & (self.plan.segment_slots - 1) != 0 {
            return Some(Spot { position, ..spot });
        }
        let chained = self.chained(spot.segment);
        let next = chained.and_then(|chained| chained.next).map(|segment| Spot { segment, position });
        next.filter(|next| self.is_current(*next)).or_else(|| self.successor(spot))
    }

    /// Returns the first slot of the oldest segment after that of `spot`: the next one may be out of use.
    #[cold]
    fn successor(&self, spot: Spot) -> Option<Spot> {
        let behind = |other: &Spot| distance(other.position, spot.position);
        self.among_chained(|spots| spots.filter(|other| behind(other) > 0).min_by_key(behind))
    }

    /// Locks the chain. Returns `None` if another process that changes it does not end: it is stopped, and a put has a
    /// timeout.
    pub(super) fn lock_chaining(&self) -> Option<HeldMutex<'_>> {
        let chaining = &self.shared.chaining;
        chaining.held(chaining.lock(Some(monotonic_ns() + LIVENESS_CHECK_NS)))
    }

    /// As [`lock_chaining`](Self::lock_chaining), and also `None` if another process has it now.
    pub(super) fn try_lock_chaining(&self) -> Option<HeldMutex<'_>> {
        let chaining = &self.shared.chaining;
        chaining.held(chaining.try_lock())
    }

    /// Adds a segment behind that of `last`, unless there is one. Returns `false` if all are in use, or if another process
    /// that changes the chain does not end.
    #[cold]
    pub(super) fn extend(&self, last: Spot) -> Result<bool> {
        let Some(_held) = self.lock_chaining() else { return Ok(false) };
        if !self.is_current(last) || self.successor(last).is_some() {
            return Ok(true);
        }
        let number = (self.number(last) + 1) % (POSITIONS >> self.shift);
        let next = match self.chained(last.segment).and_then(|chained| chained.next) {
            // A process was killed in the middle of this.
            Some(next) if self.is_in(next, FREE) => next,
            Some(next) => self.prepare(next, number).map(|()| next)?,
            None => {
                let Some(free) = self.free_segment(number)? else { return Ok(false) };
                let word = self.number(last) << NUMBER_SHIFT | u64::from(free + 1) << NEXT_SHIFT | CHAINED;
                self.entry(last.segment).store(word, Release);
                free
            }
        };
        self.renew(next, number);
        self.shared.added_segments.fetch_add(1, SeqCst);
        self.entry(next).store(number << NUMBER_SHIFT | CHAINED, Release);
        Ok(true)
    }

    /// Returns a free segment with memory, to become number `number`. Only for the holder of `chaining`.
    fn free_segment(&self, number: u64) -> Result<Option<u32>> {
        let find = |state| (0..self.plan.segments).find(|segment| self.is_in(*segment, state));
        if let Some(free) = find(FREE) {
            return Ok(Some(free));
        }
        let is_noted = |first: &Spot| self.segment(first.segment).done.load(Acquire) == self.number(*first) + 1;
        if self.free_segments(is_noted) > 0 || self.free_segments(|first| self.is_done(*first)) > 0 {
            return Ok(find(FREE));
        }
        let Some(new) = find(NO_MEMORY) else { return Ok(None) };
        self.prepare(new, number).map(|()| Some(new))
    }

    /// Gets memory for a segment that will be number `number`.
    fn prepare(&self, segment: u32, number: u64) -> Result<()> {
        self.populate(self.plan.segment_at(segment), self.plan.segment_bytes())?;
        self.write_words(segment, number);
        self.shared.used_segments.fetch_max(segment + 1, Release);
        self.entry(segment).store(number.wrapping_sub(1) << NUMBER_SHIFT | FREE, Release);
        Ok(())
    }

    /// Writes the words of a free segment that will be number `number`.
    fn write_words(&self, segment: u32, number: u64) {
        let done = Word::free(State::Done, number.wrapping_sub(1));
        self.slots_of(segment).iter().for_each(|slot| done.store(&slot.word));
    }

    /// Writes the words of a free segment that will be number `number` before its first use in an age. Old words would in
    /// time look like future ones: those of segments that were free for long, and of slots within packed runs, which keep
    /// theirs. Only for the holder of `chaining`.
    fn renew(&self, segment: u32, number: u64) {
        let last = self.entry(segment).load(Relaxed) >> NUMBER_SHIFT;
        if last / AGE != number / AGE {
            self.write_words(segment, number);
        }
    }

    fn slots_of(&self, segment: u32) -> &[Slot] {
        self.slots.range((segment as usize) << self.shift, self.plan.segment_slots as usize)
    }

    /// Frees the segments of which `is_done` says that they are. Returns their number. Only for the holder of `chaining`.
    fn free_segments(&self, is_done: impl Fn(&Spot) -> bool) -> usize {
        // Not the hint: a process that was stopped may have set it back to a segment that is out of use.
        let (head, word) = self.first_untaken();
        // The last segment stays in the chain.
        let head = Spot { position: head.position - u64::from(word.is_none()), ..head };
        let is_before = |spot: &Spot| distance(head.position, spot.position) >= i64::from(self.plan.segment_slots);
        let done = self.chained_spots().filter(is_before).filter(is_done);
        done.map(|first| self.entry(first.segment).store(self.number(first) << NUMBER_SHIFT | FREE, Release)).count()
    }

    /// Returns whether all slots of a segment are done; those of dead consumers are, after this.
    fn is_done(&self, first: Spot) -> bool {
        let (slots, done) = (self.slots_of(first.segment), self.done(first));
        let mut index = 0;
        while let Some(slot) = slots.get(index as usize) {
            let word = Word::load(&slot.word);
            // A branch, so that the processor need not wait for one word to find the next.
            if word == done {
                index += 1;
                continue;
            }
            let is_gone = || match word.state() {
                State::Done => true,
                State::Taking => self.release_of_dead(self.behind(first, index), word),
                _ => false,
            };
            // A process that was stopped before this may find a later use.
            if !word.is_of(self.number(first)) || !is_gone() {
                return false;
            }
            index += word.run();
        }
        true
    }

    /// Returns every slot that was claimed and is not done, oldest first, until the first that never was claimed; of a run
    /// the first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Spot, Word)> {
        let mut next = Some(self.noted(&self.shared.open).unwrap_or_else(|| self.oldest()));
        let mut is_first = true;
        std::iter::from_fn(move || {
            loop {
                let spot = next?;
                let word = self.word(spot);
                // The word of a leased item has no tag. Only the segment tells which use it belongs to.
                let is_claimed = word.is_of(self.number(spot)) && (!word.is_leased() || self.is_current(spot));
                let is_current = is_claimed || self.is_current(spot);
                let is_open = is_claimed && word.state() != State::Done;
                if is_first && (is_open || !is_claimed && is_current) {
                    is_first = false;
                    self.note(&self.shared.open, spot);
                }
                next = match () {
                    () if is_claimed => self.next_behind(spot, word),
                    // It was never claimed.
                    () if is_current => None,
                    // All items of a segment that is no longer in use are done.
                    () => self.successor(spot),
                };
                if is_open {
                    return Some((spot, word));
                }
            }
        })
    }

    /// Gives back the memory of free segments, but for a reserve. Only for the holder of `chaining`.
    pub(super) fn release_segments(&self) {
        self.free_segments(|first| self.is_done(*first));
        let bytes = self.plan.segment_bytes();
        let kept = (KEPT_BYTES / bytes as u64).max(1) as u32;
        let used = 0..self.shared.used_segments.load(Relaxed).min(self.plan.segments);
        for segment in used.rev().filter(|segment| self.is_in(*segment, FREE)) {
            self.release_extensions(segment);
            if segment >= kept {
                self.entry(segment).store(NO_MEMORY, Release);
                // If the kernel does not take memory back, the segment keeps it until it is used again.
                let _ = self.shared.release(self.plan.segment_at(segment), bytes);
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.shared.resident_bytes().expect("an open memfd")
    }
}

impl RingState {
    /// The first segment number of a ring whose numbers soon wrap.
    #[cfg(test)]
    pub(crate) fn late(segment_slots: u32) -> u64 {
        (POSITIONS >> segment_slots.trailing_zeros()) - 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::process::table::ProcessSlot;
    use crate::ipc::queue::batch::{Items, batch_of};
    use crate::ipc::queue::participants::Rights;
    use crate::ipc::queue::ring::{Plan, Waiting};
    use crate::ipc::test_util::watchdog;

    fn ring() -> Ring {
        let plan = Plan::of(100, 4096, 4, 3, 64).packing();
        Ring::create_from(plan, 300 * AGE, Rights::BOTH, |_| {}).expect("a ring")
    }

    fn pass(ring: &Ring, items: std::ops::Range<u8>) {
        for item in items {
            ring.put_item(&[item], Waiting::NO).expect("room");
            assert_eq!(ring.get_item(|bytes| Ok(bytes.to_vec())).expect("no error"), Some(vec![item]));
        }
    }

    #[test]
    fn words_that_were_not_written_for_long_are_renewed() {
        let _watchdog = watchdog();
        let ring = ring();
        pass(&ring, 0..12);
        assert!(ring.free_segments(|first| ring.is_done(*first)) > 0);
        for segment in (0..3).filter(|segment| ring.is_in(*segment, FREE)) {
            // More segments ago than there are tags ahead.
            let old = 150 * AGE;
            ring.entry(segment).store(old << NUMBER_SHIFT | FREE, Relaxed);
            ring.slots_of(segment).iter().for_each(|slot| Word::free(State::Done, old).store(&slot.word));
        }
        pass(&ring, 12..24);
    }

    #[test]
    fn handle_that_was_idle_for_long_puts_its_batch_behind_the_others() {
        let _watchdog = watchdog();
        let ring = ring();
        pass(&ring, 0..2);
        let long_ago = Spot { segment: 0, position: (150 * AGE) << ring.shift };
        ring.known_tail.store(long_ago.to_word(), Relaxed);
        ring.put_items(Items::of(&batch_of(&[vec![7], vec![8]])), Waiting::NO, &mut 0).expect("room");
        let mut got = Vec::new();
        ring.get_items(9, |item| got.extend_from_slice(item.expect("whole")));
        assert_eq!(got, [7, 8]);
    }

    #[test]
    fn later_use_of_a_segment_is_not_taken_for_its_end() {
        let ring = ring();
        pass(&ring, 0..12);
        let first = ring.chained_spots().next().expect("a segment");
        let earlier = Spot { position: first.position - 1000 * 4, ..first };
        // Of another generation of this process's slot.
        let dead = ProcessSlot::from_word(ring.me.to_word() ^ 1 << 31).expect("it is not 0");
        let taking = Word::owned(State::Taking, dead, ring.number(first));
        taking.store(&ring.slot(first).word);
        assert!(!ring.is_done(earlier));
        assert_eq!(ring.word(first), taking);
        assert!(ring.release_of_dead(first, taking));
    }

    #[test]
    fn lease_in_a_later_use_of_a_segment_is_found_at_its_own_place() {
        let _watchdog = watchdog();
        let ring = Ring::create(Plan::of(100, 4096, 4, 3, 64), Rights::BOTH, |_| {}).expect("a ring");
        let lease = || {
            ring.put_item(&[7], Waiting::NO).expect("room");
            let leased = std::cell::Cell::new(None);
            assert!(ring.lease(1, Waiting::NO, |token| leased.set(Some(token))).expect("no error"));
            leased.take().expect("an item")
        };
        let first = lease();
        // It has its first slot now, and looks at the word later.
        let mut late = ring.leases();
        ring.finish_lease(&first).expect("it is this process's");
        let token = loop {
            let token = lease();
            if token.spot.segment == first.spot.segment && token.spot.position > first.spot.position + 3 {
                break token;
            }
            ring.finish_lease(&token).expect("it is this process's");
        };
        ring.return_lease(&token).expect("it is this process's");
        assert_eq!(late.next().expect("it was returned").spot, token.spot);
    }
}
