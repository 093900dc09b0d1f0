//! Items of a batch that fit into slots, packed into those of a run: many of them need few cache lines.
//!
//! # State
//! The memory of a run's slots behind their words, taken together, holds a part of a [batch](crate::ipc::queue::batch). The
//! first slot's word is that of all of them and counts the items that were taken; the words of the others are those of an
//! earlier use. There are as many slots as items, so that a position still tells the number of items before it.
//!
//! # Ordering
//! A consumer reads items before it takes them, and then takes them only if the word has not changed meanwhile: nothing is
//! written into the slots before all of them are taken. Otherwise it discards what it has read.
//!
//! # Death
//! The word changes from one number of items to another at once. A consumer that is killed before that has taken nothing,
//! and after it has taken the items with it.

use arrayvec::ArrayVec;

use super::segments::{Spot, distance};
use super::slot::{INLINE_BYTES, SLOT_BYTES, Slot};
use super::word::{LONGEST_RUN, Pack, Word};
use super::{DAMAGED, Ring};
use crate::ipc::error::Result;
use crate::ipc::queue::batch::{self, HEADER_BYTES, Items};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::shm::prefetch_ahead;

// As many of the longest items fit as there are slots.
const _: () = assert!(HEADER_BYTES + INLINE_BYTES <= SLOT_BYTES);
const MOST_BYTES: usize = SLOT_BYTES * LONGEST_RUN as usize;

/// A copy of packed items of a run, slot by slot.
struct Copied<'r> {
    rest: std::slice::Iter<'r, Slot>,
    copied: ArrayVec<[[u8; 8]; SLOT_BYTES / 8], { LONGEST_RUN as usize }>,
}

impl Copied<'_> {
    fn bytes(&self) -> &[u8] {
        self.copied.as_flattened().as_flattened()
    }

    /// Copies what comes before offset `end`, as far as it is not copied yet.
    #[inline]
    fn copy_up_to(&mut self, end: usize) {
        while self.bytes().len() < end
            && let Some(slot) = self.rest.next()
        {
            self.copied.push(slot.read_packed());
        }
    }

    /// Copies `count` items from offset `start` on. Returns the offset behind them.
    fn copy_items(&mut self, start: usize, count: u32) -> usize {
        (0..count).fold(start, |at, _| {
            self.copy_up_to(at + HEADER_BYTES);
            // What ends too early is found to be damaged later.
            let len = self.bytes().get(at..).and_then(batch::item_len).unwrap_or(0);
            let end = at + HEADER_BYTES + len;
            self.copy_up_to(end);
            end
        })
    }
}

impl Ring {
    /// Writes `items`, as many as there are slots, into a run that this process has claimed, and publishes it. The caller
    /// wakes the waiting consumers.
    pub(super) fn publish_packed(&self, first: Spot, slots: &[Slot], items: &[u8]) -> Result<()> {
        slots.iter().zip(items.chunks(SLOT_BYTES)).for_each(|(slot, bytes)| slot.write_packed(bytes));
        self.check_open(first)?;
        let used = items.len().div_ceil(SLOT_BYTES) as u32;
        prefetch_ahead(&slots[..used as usize], slots.len());
        let pack = Pack { len: slots.len() as u32, used, taken: 0, next: 0 };
        Word::packed(self.number(first), pack).store(&slots[0].word);
        Ok(())
    }

    /// Takes up to `most` packed items of a run, whose word was `ready`, and hands each to `read`. Returns their number:
    /// none if another process was faster. A damaged word is one error, and ends the run. The caller wakes the waiting
    /// producers.
    pub(super) fn get_packed(
        &self,
        (first, ready, pack): (Spot, Word, Pack),
        most: usize,
        read: &mut impl FnMut(Result<&[u8]>),
    ) -> usize {
        let (longest, start) = (self.longest_run(first), pack.next as usize);
        let is_sound = pack.taken < pack.len
            && pack.used <= pack.len
            && pack.len <= longest
            && start < pack.used as usize * SLOT_BYTES;
        if !is_sound {
            let is_ours = self.end_packed(first, ready, pack.len.min(longest), 1);
            if is_ours {
                read(Err(DAMAGED));
            }
            return usize::from(is_ours);
        }
        let left = pack.len - pack.taken;
        let count = left.min(u32::try_from(most).unwrap_or(u32::MAX));
        let slots = self.run(first, pack.len);
        // The slots before that of the next item are not needed.
        let (passed, start) = (start / SLOT_BYTES, start % SLOT_BYTES);
        let mut copied = Copied { rest: slots[passed..pack.used as usize].iter(), copied: ArrayVec::new() };
        let are_ours = if count == left {
            copied.copy_up_to(MOST_BYTES);
            self.end_packed(first, ready, pack.len, pack.used)
        } else {
            let end = copied.copy_items(start, count).min(MOST_BYTES);
            let next = (passed * SLOT_BYTES + end) as u32;
            let rest = Pack { taken: pack.taken + count, next, ..pack };
            ready.replace(&slots[0].word, Word::packed(self.number(first), rest))
        };
        if !are_ours {
            return 0;
        }
        let mut items = Items::of(&copied.bytes()[start..]);
        for _ in 0..count {
            match items.next() {
                Some(item) => read(Ok(item)),
                None => read(Err(DAMAGED)),
            }
        }
        count as usize
    }

    /// Takes all that is left of a run of `len` slots, and prefetches the next one, if it is as long and claimed by now.
    fn end_packed(&self, first: Spot, ready: Word, len: u32, used: u32) -> bool {
        let slots = self.run(first, len);
        let done = Word::packed(self.number(first), Pack { len, used, taken: len, next: 0 });
        let is_ours = ready.replace(&slots[0].word, done);
        if is_ours {
            self.note_passed(&self.shared.head, &self.known_head, self.behind(first, len - 1));
            let behind_next = self.behind(first, 2 * len).position;
            if distance(self.seen_tail.load(Relaxed), behind_next) >= 0 {
                prefetch_ahead(&slots[..used as usize], len as usize);
            } else {
                self.see_tail();
            }
        }
        is_ours
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::queue::batch::batch_of;
    use crate::ipc::queue::participants::Rights;
    use crate::ipc::queue::ring::{Plan, State, Waiting};

    /// A ring with packed items in its first slots.
    fn packed(lens: &[usize]) -> (Ring, Spot) {
        let plan = Plan::of(100, 8192, 64, 3, 64).packing();
        let ring = Ring::create(plan, Rights::BOTH, |_| {}).expect("a ring");
        ring.put_item(&[], Waiting::NO).expect("room");
        assert!(ring.get_item(|_| Ok(())).expect("no error").is_some());
        let items: Vec<_> = lens.iter().map(|len| (0..*len).map(|at| at as u8).collect()).collect();
        ring.put_items(Items::of(&batch_of(&items)), Waiting::NO, &mut 0).expect("room");
        let (first, ready) = ring.first_ready().expect("items");
        assert_eq!(ready.pack().expect("they are packed").len, lens.len() as u32);
        (ring, first)
    }

    #[test]
    fn as_many_of_the_longest_items_as_fit_come_back() {
        for len in [0, 1, INLINE_BYTES - 1, INLINE_BYTES] {
            let (ring, _) = packed(&[len; LONGEST_RUN as usize]);
            let mut got = Vec::new();
            while ring.get_items(5, |item| got.push(item.expect("whole").to_vec())) > 0 {}
            assert_eq!(got, vec![(0..len).map(|at| at as u8).collect::<Vec<_>>(); LONGEST_RUN as usize], "{len}");
        }
    }

    #[test]
    fn words_that_no_producer_writes_are_one_error() {
        let sound = Pack { len: 3, used: 1, taken: 0, next: 0 };
        for pack in [
            Pack { len: LONGEST_RUN, ..sound },
            Pack { used: LONGEST_RUN, ..sound },
            Pack { taken: 4, ..sound },
            Pack { next: SLOT_BYTES as u32, ..sound },
        ] {
            let (ring, first) = packed(&[1, 1, 1]);
            // Not far from the end of the segment.
            let first = Spot { position: first.position + 40, ..first };
            let word = Word::packed(ring.number(first), pack);
            assert_eq!(word.pack(), Some(pack));
            word.store(&ring.slot(first).word);
            let mut errors = 0;
            let mut count = |item: Result<&[u8]>| errors += u32::from(item.is_err());
            assert_eq!(ring.get_packed((first, word, pack), 9, &mut count), 1, "{pack:?}");
            assert_eq!((errors, ring.word(first).state()), (1, State::Done));
        }
    }

    #[test]
    fn lengths_that_lead_out_of_the_run_are_errors() {
        for most in [1, 2, 3] {
            let (ring, first) = packed(&[40, 40, 40]);
            ring.run(first, 3).iter().for_each(|slot| slot.write_packed(&[0xFE; SLOT_BYTES]));
            let mut errors = 0;
            let mut count = |item: Result<&[u8]>| {
                errors += u32::from(matches!(item, Err(crate::Error::Damaged { .. })));
            };
            while ring.get_items(most, &mut count) > 0 {}
            assert!(errors > 0 && ring.is_empty(), "{most} at a time");
        }
    }
}
