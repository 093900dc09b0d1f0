//! Items that are written and read where they are, without a copy.
//!
//! # State
//! None beyond that of [`large`](super::large) and of the slots: a writer owns the chunks of its [`Room`], and a reader
//! has taken or leased the slot. Short items are written by a copy, and read in place unless they are in their slots.
//!
//! # Death
//! A writer that is killed leaves chunks with a dead owner, and no slot that names them: the item was never put. A reader
//! that is killed leaves a slot with a dead owner: the next one that needs the memory releases both.

use super::extension::SHORT_BYTES;
use super::large::Place;
use super::segments::Spot;
use super::slot::INLINE_BYTES;
use super::{Ring, Waiting};
use crate::ipc::error::{Error, Result, check_len};

/// Room for an item that is being written, of this process alone.
pub(crate) enum Room<'r> {
    Inline([u8; INLINE_BYTES]),
    /// For another short item. On the heap, because a room is moved a few times.
    Boxed(Box<[u8]>),
    Large(Place<'r>),
}

impl Room<'_> {
    /// Returns the first `len` bytes: as many as were asked for, or fewer.
    #[inline]
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        match self {
            Room::Inline(inline) => &inline[..len],
            Room::Boxed(boxed) => &boxed[..len],
            Room::Large(place) => place.bytes(len),
        }
    }

    /// As [`bytes`](Self::bytes). Their content is unspecified.
    #[inline]
    pub(crate) fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        match self {
            Room::Inline(inline) => &mut inline[..len],
            Room::Boxed(boxed) => &mut boxed[..len],
            Room::Large(place) => place.bytes_mut(len),
        }
    }

    /// Keeps the item of `len` bytes: it was put.
    pub(crate) fn keep(self, len: usize) {
        match self {
            Room::Large(place) if len > SHORT_BYTES => place.keep(len),
            _ => {}
        }
    }
}

/// Where the bytes of a taken or leased item are.
#[derive(Debug)]
pub(crate) enum InPlace {
    /// A copy: the item was in its slot.
    Copied { bytes: [u8; INLINE_BYTES], len: usize },
    /// The bytes at this offset, which stay until the slot is released.
    At { offset: usize, len: usize },
}

impl Ring {
    /// Returns room for an item of `len` bytes; blocks while there is none. Returns `None` on timeout.
    pub(crate) fn reserve(&self, len: usize, waiting: Waiting) -> Result<Option<Room<'_>>> {
        check_len(len, self.plan.longest())?;
        let is_large = len > SHORT_BYTES;
        let attempt = || match len {
            _ if is_large => Ok(self.try_place(len)?.map(Room::Large)),
            _ if self.is_full() => Ok(None),
            ..=INLINE_BYTES => Ok(Some(Room::Inline([0; _]))),
            _ => Ok(Some(Room::Boxed(vec![0; len].into()))),
        };
        match if is_large && self.is_put_waiting() { None } else { attempt()? } {
            None => self.as_soon_as_room(if is_large { len } else { 0 }, waiting, attempt),
            room => Ok(room),
        }
    }

    /// Puts the first `len` bytes of a room, which the caller [keeps](Room::keep) then; blocks while there is no slot.
    /// Returns `None` on timeout.
    pub(crate) fn commit(&self, room: &Room<'_>, len: usize, waiting: Waiting) -> Result<Option<()>> {
        match room {
            Room::Large(place) if len > SHORT_BYTES => match self.try_publish(place, len)? {
                // It has its memory, so it need not be the first of those that wait for some.
                None => self.as_soon_as_room(0, waiting, || self.try_publish(place, len)),
                is_put => Ok(is_put),
            },
            room => match self.put_item(room.bytes(len), waiting) {
                Err(Error::Full) => Ok(None),
                outcome => outcome.map(Some),
            },
        }
    }

    /// Takes the first item for this process alone, and leaves its bytes where they are until the slot is
    /// [released](Self::release_in_place). Returns `None` if there is no item.
    pub(crate) fn take_in_place(&self) -> Result<Option<(Spot, InPlace)>> {
        let Some((spot, slot, _)) = self.take(|spot, _| self.taking(spot)) else { return Ok(None) };
        let item = self.in_place(spot);
        // Of a copy, nothing is left to release later.
        if !matches!(item, Ok(InPlace::At { .. })) {
            self.release(spot, slot);
        }
        Ok(Some((spot, item?)))
    }

    /// Releases what [`take_in_place`](Self::take_in_place) took: nobody reads it any more.
    pub(crate) fn release_in_place(&self, spot: Spot, item: &InPlace) {
        if matches!(item, InPlace::At { .. }) {
            self.release(spot, self.slot(spot));
        }
    }

    /// Returns where the item of a slot is that this process has taken or leased.
    pub(crate) fn in_place(&self, spot: Spot) -> Result<InPlace> {
        let slot = self.slot(spot);
        let len = slot.len();
        if len > INLINE_BYTES {
            let offset = self.longer_item(spot, slot, len)?;
            return Ok(InPlace::At { offset, len });
        }
        let mut bytes = [0; INLINE_BYTES];
        let len = slot.copy_inline(&mut bytes).len();
        Ok(InPlace::Copied { bytes, len })
    }

    /// Returns the bytes of an item whose slot this process still has.
    #[inline]
    pub(crate) fn bytes_of<'i>(&'i self, item: &'i InPlace) -> &'i [u8] {
        match item {
            InPlace::Copied { bytes, len } => &bytes[..*len],
            InPlace::At { offset, len } => self.shared.bytes(*offset, *len),
        }
    }
}
