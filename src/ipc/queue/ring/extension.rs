//! Memory for short items that do not fit into their slots.
//!
//! # State
//! An extension for each slot, which has all of such an item. Those of a segment get memory when one is needed first, and
//! keep it until the segment is free: the segment's entry tells.
//!
//! # Ordering
//! The word of the slot orders all accesses. The entry changes under `chaining`. A process that claims a slot looks at the
//! word, then at the entry, and then changes the word: so the segment is not free meanwhile.
//!
//! # Death
//! An extension is its slot's. Killed before the entry tells of the memory, a process leaves it to the next one that needs
//! it, or that gives back the segment's.

use super::Ring;
use super::segments::Spot;
use super::slot::{INLINE_BYTES, Slot};
use crate::ipc::error::{Result, os};
use crate::sys::atomic::{Ordering::Acquire, Ordering::Release};
use crate::sys::shm::copy_into_words;

/// Longer items are [elsewhere](super::large), and the slot has their place.
pub(crate) const SHORT_BYTES: usize = 128;

/// Returns whether an item of `len` bytes needs the extension of its slot.
#[inline]
pub(crate) fn is_extended(len: usize) -> bool {
    (INLINE_BYTES + 1..=SHORT_BYTES).contains(&len)
}

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
        self.segment(spot.segment).has_extensions.load(Acquire) != 0
    }

    /// Gets memory for the extensions of a segment, unless that is free.
    #[cold]
    pub(super) fn populate_extensions(&self, spot: Spot) -> Result<()> {
        let _held = self.shared.chaining.hold();
        if self.is_current(spot) && !self.has_extension(spot) {
            let all = self.plan.extensions_of(spot.segment);
            let populated = self.shared.populate(all.start, all.len()).map_err(os("get memory for a queue"));
            populated.inspect_err(|_| self.release_extensions(spot.segment))?;
            self.segment(spot.segment).has_extensions.store(1, Release);
        }
        Ok(())
    }

    /// Gives back the memory of a free segment's extensions. Only for the holder of `chaining`.
    pub(super) fn release_extensions(&self, segment: u32) {
        self.segment(segment).has_extensions.store(0, Release);
        let all = self.plan.extensions_of(segment);
        // If the kernel does not take memory back, the segment keeps it until it is used again.
        let _ = self.shared.release(all.start, all.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::queue::batch::{Items, batch_of};
    use crate::ipc::queue::participants::Rights;
    use crate::ipc::queue::ring::{Plan, Waiting};

    /// Returns how much memory an idle ring has, in whose last segment a process was killed as it got some.
    fn left_by_idle(was_killed: bool) -> u64 {
        let ring =
            Ring::create(Plan::new(None, 16 << 20, false).expect("a plan"), Rights::BOTH, |_| {}).expect("a ring");
        let batch = batch_of(&vec![vec![7]; 70_000]);
        ring.put_items(Items::of(&batch), Waiting::NO, &mut 0).expect("room");
        let all = ring.plan.extensions_of(ring.tail().segment - 1);
        if was_killed {
            ring.shared.populate(all.start, all.len()).expect("memory");
        }
        while ring.get_items(1000, |_| {}) > 0 {}
        ring.release_segments();
        ring.resident_bytes()
    }

    #[test]
    fn memory_of_a_killed_process_goes_back_with_its_segment() {
        assert_eq!(left_by_idle(true), left_by_idle(false));
    }
}
