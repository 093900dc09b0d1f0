//! A slot, and what it holds besides its [word](super::word).
//!
//! # Ordering
//! The word orders all accesses, but for packed items: those are read before it is known whether they may be.

use super::extension::SHORT_BYTES;
use crate::ipc::queue::batch::HEADER_BYTES;
use crate::sys::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sys::shm::{copy_from_words, shared_layout};

/// A longer item is in the slot's [extension](super::extension), or [elsewhere](super::large).
pub(crate) const INLINE_BYTES: usize = 48;
/// All of a slot but its word: room for [packed](super::packed) items.
pub(super) const SLOT_BYTES: usize = 8 + INLINE_BYTES;

shared_layout! {
    /// A slot: one cache line.
    pub(crate) struct Slot {
        pub(super) word: AtomicU64,
        /// `pid << 32 | len`: the number of bytes of the item, and the process id of the last one that leased it. Then the
        /// item if it fits, or the place of a long one. Of a slot in a packed run, all of it is content.
        rest: [AtomicU64; SLOT_BYTES / 8],
    }
}
const _: () = assert!(size_of::<Slot>() == 64);

impl Slot {
    /// Returns the number of bytes of the item.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.rest[0].load(Relaxed) as u32 as usize
    }

    #[inline]
    pub(super) fn set_len(&self, len: usize) {
        self.rest[0].store(u64::from(len as u32), Relaxed);
    }

    /// Returns the process id of the last one that leased the item.
    pub(super) fn pid(&self) -> u32 {
        (self.rest[0].load(Relaxed) >> u32::BITS) as u32
    }

    /// Only for the process that has leased the item.
    pub(super) fn set_pid(&self, pid: u32) {
        self.rest[0].store(u64::from(pid) << u32::BITS | self.len() as u64, Relaxed);
    }

    /// The item if it fits, or the place of a long one.
    #[inline]
    pub(crate) fn content(&self) -> &[AtomicU64] {
        &self.rest[1..]
    }

    /// Returns whether the item is in chunks.
    #[inline]
    pub(super) fn is_large(&self) -> bool {
        self.len() > SHORT_BYTES
    }

    /// Returns whether this is a long item, and that of `next` is behind it as in a batch.
    #[inline]
    pub(super) fn is_followed_by(&self, next: &Slot) -> bool {
        let [place, next] = [self, next].map(|slot| slot.content()[0].load(Relaxed));
        self.is_large() && place.wrapping_add((self.len() + HEADER_BYTES) as u64) == next
    }

    /// Writes a part of packed items.
    #[inline]
    pub(super) fn write_packed(&self, bytes: &[u8]) {
        let mut last = [0; SLOT_BYTES];
        let whole = bytes.first_chunk().unwrap_or_else(|| {
            last[..bytes.len()].copy_from_slice(bytes);
            &last
        });
        let words = whole.as_chunks().0;
        self.rest.iter().zip(words).for_each(|(word, bytes)| word.store(u64::from_ne_bytes(*bytes), Relaxed));
    }

    /// Copies a part of packed items. Atomically: a producer may write others meanwhile, and then the copy is meaningless.
    #[inline]
    pub(super) fn read_packed(&self) -> [[u8; 8]; SLOT_BYTES / 8] {
        self.rest.each_ref().map(|word| word.load(Relaxed).to_ne_bytes())
    }

    /// Copies an item that is in the slot into `buffer`, and returns it.
    #[inline]
    pub(super) fn copy_inline<'b>(&self, buffer: &'b mut [u8; INLINE_BYTES]) -> &'b [u8] {
        let bytes = &mut buffer[..self.len().min(INLINE_BYTES)];
        copy_from_words(self.content(), bytes);
        bytes
    }
}
