//! The word of a slot, which says what the slot holds and whose it is.
//!
//! # State
//! `word = tag << 35 | owner << 3 | state`. `tag` is the number of the slot's [segment](super::segments), so that a
//! word of an earlier use of the same memory is never mistaken for one of this use; `owner` is the process that is at
//! work on the slot, by its [`ProcessSlot`]. In CLAIMED and TAKING the upper bits of the tag hold the length of a run: the
//! word is also that of the slots behind this one, whose own words nobody looks at meanwhile.
//!
//! ```text
//! DONE (of an earlier segment) -> CLAIMED -> READY -> TAKING -> DONE
//!                                    |         |
//!                                    v         +-> LEASED -> DONE
//!                                   DONE            |  ^
//!                                                   v  |
//!                                                RETURNED    LEASED -> DEAD -> DONE
//! ```
//!
//! A producer claims a slot, writes the item, and publishes it; a consumer takes it, reads the item, and releases the
//! slot. Nobody changes a slot that has a living owner but its owner. A run is claimed or taken at its first slot, and
//! published or released from its last slot to the first: until then others pass all of it. From LEASED to DEAD the slot
//! keeps its segment in use, and the place of the tag holds the number of returns and of leases instead.
//!
//! The items of a run may also be [packed](super::packed). Then its first word stays that of all slots until the segment is
//! used again, the place of the owner holds a [`Pack`], and a consumer reads items first and then takes them: it changes
//! READY to READY, or to DONE with the last of them.
//!
//! # Ordering
//! The other words of a slot and its bytes are written between a claim and the publication (`Release`), and read after
//! the word was loaded (`Acquire`).
//!
//! # Death
//! Killed before the claim, a producer has done nothing; between claim and publication, its item was never put, and
//! the next process that meets the slot releases it, and of a run all slots. Killed in the middle of a get, a consumer takes its item with
//! it, but a packed one only after the exchange; killed with a lease, it does not: see [`super::super::leasing`].
//!
//! # Standard
//! Vyukov's bounded MPMC queue, with the owner in the word in place of a bare sequence number.

use super::atomic::{AtomicU64, Ordering};
use super::process::ProcessSlot;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Memory that was not prepared, or was given back.
    None,
    Done,
    Claimed,
    Ready,
    Taking,
    Leased,
    /// A lease was ended without its task: the item goes to the next consumer.
    Returned,
    /// A dead letter.
    Dead,
}

/// How items are packed into a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pack {
    /// Number of items, and of slots.
    pub(crate) len: u32,
    /// Number of slots that have a part of them.
    pub(crate) used: u32,
    /// Number of items that were taken.
    pub(crate) taken: u32,
    /// Offset of the next one in bytes.
    pub(crate) next: u32,
}

/// The word of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

const STATE_BITS: u32 = 3;
const OWNER_BITS: u32 = 32;
const TAG_SHIFT: u32 = STATE_BITS + OWNER_BITS;
/// Tags count modulo this.
const TAGS: u32 = 1 << 28;
/// Leases of one item count modulo this.
const LEASES: u32 = 1 << 18;
/// Tags of a slot that somebody is at work on count modulo this; the rest is the length of the run.
const OWNED_TAGS: u32 = TAGS / LONGEST_RUN;
/// The maximum number of slots that one word claims.
pub(crate) const LONGEST_RUN: u32 = 32;
/// The maximum number of returns that a word can count.
const MOST_RETURNS: u32 = TAGS / LEASES - 1;

impl Word {
    #[inline]
    fn of(state: State, owner: u32, tag: u32) -> Self {
        Word(u64::from(tag % TAGS) << TAG_SHIFT | u64::from(owner) << STATE_BITS | state as u64)
    }

    /// The word of a slot of segment `segment` that is not anybody's.
    #[inline]
    pub(crate) fn free(state: State, segment: u64) -> Self {
        Word::of(state, 0, segment as u32)
    }

    /// The word of the first slot of a run of segment `segment` with packed items: READY, or DONE if all were taken.
    #[inline]
    pub(crate) fn packed(segment: u64, pack: Pack) -> Self {
        let Pack { len, used, taken, next } = pack;
        if taken == len {
            return Word::of(State::Done, len - 1, segment as u32);
        }
        let field = ((next * LONGEST_RUN + taken) * LONGEST_RUN + used - 1) * LONGEST_RUN + len - 1;
        Word::of(State::Ready, field, segment as u32)
    }

    /// The word of a slot of segment `segment` on which `owner` is at work.
    #[inline]
    pub(crate) fn owned(state: State, owner: ProcessSlot, segment: u64) -> Self {
        Word::owned_run(state, owner, segment, 1)
    }

    /// The word of the first of `len` slots of segment `segment` on which `owner` is at work.
    #[inline]
    pub(crate) fn owned_run(state: State, owner: ProcessSlot, segment: u64, len: u32) -> Self {
        Word::of(state, owner.to_word(), (len - 1) * OWNED_TAGS + segment as u32 % OWNED_TAGS)
    }

    #[inline]
    pub(crate) fn load(place: &AtomicU64) -> Self {
        Word(place.load(Ordering::Acquire))
    }

    /// Changes the word of a slot that is this process's own, or of memory that no other process uses.
    #[inline]
    pub(crate) fn store(self, place: &AtomicU64) {
        place.store(self.0, Ordering::Release);
    }

    /// Replaces this word by `then`. Returns `false` if it has changed meanwhile.
    #[inline]
    pub(crate) fn replace(self, place: &AtomicU64, then: Word) -> bool {
        // SeqCst: a producer checks afterwards whether its handle was closed meanwhile.
        place.compare_exchange(self.0, then.0, Ordering::SeqCst, Ordering::Relaxed).is_ok()
    }

    /// Changes the words of a run that this process has claimed: the first one, which tells of all, as the last.
    #[inline]
    pub(crate) fn store_run<'r>(self, places: impl DoubleEndedIterator<Item = &'r AtomicU64>) {
        places.rev().for_each(|place| self.store(place));
    }

    /// Releases the slots of a run of segment `segment`, whose first one had this word: those of a dead process, or this
    /// process's own. Returns `false` if another process was faster. Killed midway, it leaves the rest to the next one.
    pub(crate) fn release_run<'r>(self, segment: u64, place: impl Fn(u32) -> &'r AtomicU64) -> bool {
        let done = Word::free(State::Done, segment);
        for index in (1..self.run()).rev() {
            let word = Word::load(place(index));
            // Otherwise it is released, and may even be used again.
            if word == Word::free(State::Ready, segment) || word.is_free_in(segment) {
                word.replace(place(index), done);
            }
        }
        self.replace(place(0), done)
    }

    #[inline]
    pub(crate) fn state(self) -> State {
        match self.0 & ((1 << STATE_BITS) - 1) {
            0 => State::None,
            1 => State::Done,
            2 => State::Claimed,
            3 => State::Ready,
            4 => State::Taking,
            5 => State::Leased,
            6 => State::Returned,
            _ => State::Dead,
        }
    }

    /// Returns the owner, unless the slot is nobody's. Meaningless for READY and DONE.
    pub(crate) fn owner(self) -> Option<ProcessSlot> {
        ProcessSlot::from_word(self.field())
    }

    /// Returns what is in the place of the owner.
    #[inline]
    fn field(self) -> u32 {
        (self.0 >> STATE_BITS) as u32
    }

    #[inline]
    fn tag(self) -> u32 {
        (self.0 >> TAG_SHIFT) as u32
    }

    /// Returns whether this word was written for segment `segment`.
    #[inline]
    pub(crate) fn is_of(self, segment: u64) -> bool {
        let tags = if self.is_owned() { OWNED_TAGS } else { TAGS };
        self.is_leased() || self.tag() % tags == segment as u32 % tags
    }

    #[inline]
    fn is_owned(self) -> bool {
        matches!(self.state(), State::Claimed | State::Taking)
    }

    /// Returns the number of slots that this is the word of.
    #[inline]
    pub(crate) fn run(self) -> u32 {
        match self.state() {
            State::Claimed | State::Taking => self.tag() / OWNED_TAGS + 1,
            State::Ready | State::Done => self.field() % LONGEST_RUN + 1,
            _ => 1,
        }
    }

    /// Returns where the items are if they are packed.
    #[inline]
    pub(crate) fn pack(self) -> Option<Pack> {
        let digit = |index| self.field() / LONGEST_RUN.pow(index) % LONGEST_RUN;
        let pack =
            Pack { len: digit(0) + 1, used: digit(1) + 1, taken: digit(2), next: self.field() / LONGEST_RUN.pow(3) };
        (self.state() == State::Ready && pack.len > 1).then_some(pack)
    }

    /// Returns how many packed items were taken.
    #[inline]
    pub(crate) fn taken(self) -> u32 {
        self.pack().map_or(0, |pack| pack.taken)
    }

    /// Returns the number of items that were put, or are being put, and not taken.
    pub(crate) fn items(self) -> u32 {
        match self.state() {
            State::Claimed | State::Ready => self.run().saturating_sub(self.taken()),
            _ => 0,
        }
    }

    /// Returns whether a slot of segment `segment` was not claimed yet: its item of an earlier segment is gone.
    #[inline]
    pub(crate) fn is_free_in(self, segment: u64) -> bool {
        let ahead = (segment as u32).wrapping_sub(self.tag()) << (u32::BITS - TAGS.trailing_zeros());
        self.state() == State::Done && ahead as i32 > 0
    }

    /// Returns whether the word counts leases in place of the tag.
    #[inline]
    pub(crate) fn is_leased(self) -> bool {
        matches!(self.state(), State::Leased | State::Returned | State::Dead)
    }

    /// How many times the item was returned.
    pub(crate) fn returns(self) -> u32 {
        self.tag() / LEASES
    }

    /// The next lease of an item that was returned, or the first one.
    pub(crate) fn leased_to(self, owner: ProcessSlot) -> Self {
        let returns = if self.is_leased() { self.returns() } else { 0 };
        Word::of(State::Leased, owner.to_word(), returns * LEASES + (self.tag() + 1) % LEASES)
    }

    /// The item was returned; it is a dead letter if it was returned `most` times before.
    pub(crate) fn returned(self, most: u32) -> Self {
        let returns = self.returns();
        let state = if returns < most.min(MOST_RETURNS) { State::Returned } else { State::Dead };
        Word::of(state, 0, (returns + 1).min(MOST_RETURNS) * LEASES + self.tag() % LEASES)
    }

    /// A dead letter because its owner, which stays in the word, died.
    pub(crate) fn dead(self) -> Self {
        Word(self.0 | State::Dead as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::process::table::ProcessTable;

    #[test]
    fn word_keeps_owner_returns_and_segment() {
        let me = ProcessTable::ours().expect("a table").me();
        let ready = Word::free(State::Ready, u64::from(TAGS) + 7);
        assert_eq!((ready.state(), ready.owner(), ready.is_of(7), ready.is_of(8)), (State::Ready, None, true, false));
        assert!(!ready.is_free_in(8) && !Word::free(State::Done, 7).is_free_in(7));
        assert!(Word::free(State::Done, 6).is_free_in(7) && !Word::free(State::Done, 8).is_free_in(7));
        assert!(Word::free(State::Done, u64::MAX).is_free_in(0));
        let last = u64::from(OWNED_TAGS) - 1;
        for len in [1, 2, LONGEST_RUN] {
            let run = Word::owned_run(State::Claimed, me, last, len);
            assert_eq!((run.state(), run.owner(), run.run()), (State::Claimed, Some(me), len));
            assert!(run.is_of(last) && !run.is_of(last - 1) && !run.is_of(last + 1));
        }
        let mut word = ready;
        for returns in 0..5 {
            word = word.leased_to(me);
            assert_eq!((word.returns(), word.state(), word.owner()), (returns, State::Leased, Some(me)));
            assert_eq!((word.dead().state(), word.dead().owner()), (State::Dead, Some(me)));
            word = word.returned(4);
        }
        assert_eq!((word.state(), word.owner(), word.returns()), (State::Dead, None, 5));
    }

    #[test]
    fn leases_of_one_item_differ_until_their_number_wraps() {
        let me = ProcessTable::ours().expect("a table").me();
        let last = Word::of(State::Ready, 0, LEASES - 2).leased_to(me);
        let next = last.returned(MOST_RETURNS).leased_to(me);
        assert_eq!((last.tag() % LEASES, next.tag() % LEASES, next.returns()), (LEASES - 1, 0, 1));
        let often = (0..2000).fold(next, |word, _| word.returned(u32::MAX));
        assert_eq!((often.returns(), often.state()), (MOST_RETURNS, State::Dead));
    }
}
