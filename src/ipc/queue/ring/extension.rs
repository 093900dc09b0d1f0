//! Memory for short items that do not fit into their slots.
//!
//! # State
//! An extension for each slot, which has all of such an item. Those of a segment get memory when one is needed first, and
//! keep it while the segment is in use: the segment's entry tells.
//!
//! # Ordering
//! The word of the slot orders all accesses. What the entry tells changes under `chaining`. A process that claims a slot
//! looks at the word, then at the entry, and then changes the word: so the segment is in use all the time.
//!
//! # Death
//! An extension is its slot's. Killed while it gets or gives back memory, a process leaves MAYBE in the entry: then memory
//! is got again, or given back again.

use super::Ring;
use super::segments::Spot;
use super::slot::{INLINE_BYTES, Slot};
use crate::ipc::error::Result;
use crate::sys::atomic::{Ordering::Acquire, Ordering::Relaxed, Ordering::Release};
use crate::sys::shm::copy_into_words;

/// Longer items are [elsewhere](super::large), and the slot has their place.
pub(crate) const SHORT_BYTES: usize = 128;

/// Returns whether an item of `len` bytes needs the extension of its slot.
#[inline]
pub(crate) fn is_extended(len: usize) -> bool {
    (INLINE_BYTES + 1..=SHORT_BYTES).contains(&len)
}

/// The extensions of a segment have no memory.
const NO_MEMORY: u64 = 0;
/// They have.
const MEMORY: u64 = 1;
/// A process is getting it or giving it back.
const MAYBE: u64 = 2;

impl Ring {
    /// Writes a short item into a slot that this process has claimed, with the extension if it needs that.
    #[inline(always)]
    pub(crate) fn write_short(&self, spot: Spot, slot: &Slot, bytes: &[u8]) {
        slot.set_len(bytes.len());
        if is_extended(bytes.len()) {
            self.write_extension(spot, bytes);
        } else {
            copy_into_words(slot.content(), bytes);
        }
    }

    // Not a part of each put.
    #[inline(never)]
    fn write_extension(&self, spot: Spot, bytes: &[u8]) {
        self.shared.copy_in(self.extension_at(spot), bytes);
    }

    /// Returns where the extension of a slot is in the memory of the ring.
    #[inline]
    pub(super) fn extension_at(&self, spot: Spot) -> usize {
        self.plan.extensions_at + self.slot_index(spot) * SHORT_BYTES
    }

    /// Returns whether the extension of a slot has memory.
    #[inline]
    pub(super) fn has_extension(&self, spot: Spot) -> bool {
        self.segment(spot.segment).extensions.load(Acquire) == MEMORY
    }

    /// Gets memory for the extensions of a segment, unless they have some or the segment is no longer in use. Returns `false`
    /// if another process that changes the chain does not end.
    #[cold]
    pub(super) fn populate_extensions(&self, spot: Spot) -> Result<bool> {
        let Some(_held) = self.lock_chaining() else { return Ok(false) };
        if self.is_current(spot) && !self.has_extension(spot) {
            let all = self.plan.extensions_of(spot.segment);
            let state = &self.segment(spot.segment).extensions;
            state.store(MAYBE, Release);
            self.populate(all.start, all.len()).inspect_err(|_| self.release_extensions(spot.segment))?;
            state.store(MEMORY, Release);
        }
        Ok(true)
    }

    /// Gives back the memory of extensions that no item can be in. Only for the holder of `chaining`.
    pub(super) fn release_extensions(&self, segment: u32) {
        let (all, state) = (self.plan.extensions_of(segment), &self.segment(segment).extensions);
        if state.load(Relaxed) != NO_MEMORY {
            state.store(MAYBE, Release);
            if self.shared.release(all.start, all.len()).is_ok() {
                state.store(NO_MEMORY, Release);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;
    use crate::ipc::error::Error;
    use crate::ipc::queue::batch::{Items, batch_of};
    use crate::ipc::queue::participants::Rights;
    use crate::ipc::queue::ring::{Plan, Waiting};
    use crate::ipc::test_util::watchdog;

    /// Returns how much memory an idle ring has, after a process was perhaps killed as it got some for the extensions of
    /// the first segment and of one of the last.
    fn left_by_idle(was_killed: bool) -> u64 {
        let ring =
            Ring::create(Plan::new(None, 16 << 20, false).expect("a plan"), Rights::BOTH, |_| {}).expect("a ring");
        let batch = batch_of(&vec![vec![7]; 70_000]);
        ring.put_items(Items::of(&batch), Waiting::NO, &mut 0).expect("room");
        for segment in [0, ring.tail().segment - 1].into_iter().filter(|_| was_killed) {
            let all = ring.plan.extensions_of(segment);
            ring.segment(segment).extensions.store(MAYBE, Relaxed);
            ring.populate(all.start, all.len()).expect("memory");
        }
        while ring.get_items(1000, |_| {}) > 0 {}
        ring.release_segments();
        ring.resident_bytes()
    }

    #[test]
    fn memory_of_a_killed_process_goes_back_with_its_segment() {
        assert_eq!(left_by_idle(true), left_by_idle(false));
    }

    #[test]
    fn put_does_not_wait_for_a_process_that_is_stopped_while_it_gets_memory() {
        let _watchdog = watchdog();
        let ring = Ring::create(Plan::of(300, 1 << 20, 256, 3, 4096), Rights::BOTH, |_| {}).expect("a ring");
        let put = |len| ring.put_item(&vec![7; len], Waiting::NO);
        (0..255).for_each(|_| put(1).expect("room"));
        let held_meanwhile = |check: &dyn Fn()| {
            let (held, end) = (Barrier::new(2), Barrier::new(2));
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _held = ring.shared.chaining.hold();
                    held.wait();
                    end.wait();
                });
                held.wait();
                check();
                end.wait();
            });
        };
        held_meanwhile(&|| assert!(matches!(put(100), Err(Error::Full)), "its extension has no memory"));
        put(100).expect("it gets some");
        held_meanwhile(&|| assert!(matches!(put(1), Err(Error::Full)), "the next segment has no memory"));
        put(1).expect("it gets some");
    }
}
