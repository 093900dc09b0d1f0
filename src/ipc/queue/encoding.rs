//! Serialisation of items, and the buffers for it.
//!
//! Short items are encoded on the stack. For longer ones a thread keeps a buffer, until its next item that is much shorter.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

use arrayvec::ArrayVec;
use serde::de::DeserializeOwned;

use super::batch;
use super::item::Item;
use super::ring::SHORT_BYTES;
use crate::ipc::codec::{self, Sink};
use crate::ipc::error::{self, Result, check_len};

/// Buffers that grew beyond this are kept only between two items of that size.
const KEPT_BYTES: usize = 1 << 20;
/// Buffers that grew beyond this are not kept.
const MOST_KEPT_BYTES: usize = 64 << 20;

/// What a thread keeps of its last buffer.
#[derive(Default)]
struct Kept {
    buffer: Cell<Vec<u8>>,
    /// How much of it was used.
    used: Cell<usize>,
}

thread_local! {
    static KEPT: Kept = Kept::default();
}

/// This thread's buffer, or a new one while that is borrowed. When it is dropped, the thread keeps it for its next item.
pub(crate) struct Buffer(Vec<u8>);

impl Buffer {
    /// Returns a buffer with unspecified content.
    pub(crate) fn borrow() -> Self {
        Buffer(KEPT.try_with(|kept| kept.buffer.take()).unwrap_or_default())
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    #[inline]
    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        // A thread that ends needs none.
        let _ = KEPT.try_with(|kept| {
            let used_before = kept.used.replace(buffer.len());
            let is_long = buffer.len().min(used_before) > KEPT_BYTES;
            if buffer.capacity() <= if is_long { MOST_KEPT_BYTES } else { KEPT_BYTES } {
                kept.buffer.set(buffer);
            }
        });
    }
}

/// Destination for one item: on the stack, and in a buffer of the thread once that is too small.
#[derive(Default)]
struct Room {
    small: ArrayVec<u8, SHORT_BYTES>,
    /// All of the item, once it is not small.
    large: Option<Buffer>,
}

impl Room {
    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        let large = self.large.insert(Buffer::borrow());
        large.clear();
        large.extend_from_slice(&self.small);
        large.extend_from_slice(bytes);
    }
}

impl Sink for Room {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        match &mut self.large {
            Some(large) => large.extend_from_slice(bytes),
            None if self.small.try_extend_from_slice(bytes).is_ok() => {}
            None => self.spill(bytes),
        }
    }
}

/// Serialises an item, and hands its bytes to `put` if they are at most `longest`.
#[inline]
pub(crate) fn encode<T: Item>(item: &T, longest: usize, put: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
    let mut room = Room::default();
    codec::write(item, &mut room).map_err(error::codec("serialise an item"))?;
    let bytes = room.large.as_deref().map_or(room.small.as_slice(), Vec::as_slice);
    check_len(bytes.len(), longest).and_then(|()| put(bytes))
}

/// Appends an item of at most `longest` bytes to a batch.
///
/// After an error, the appended bytes are unspecified.
pub(crate) fn append<T: Item>(item: &T, longest: usize, batch: &mut Vec<u8>) -> Result<()> {
    let len = batch::append(batch, |batch| codec::write(item, batch)).map_err(error::codec("serialise an item"))?;
    check_len(len, longest)
}

/// Decodes an item from its bytes.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    codec::from_slice(bytes).map_err(error::codec("read an item"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;

    #[test]
    fn items_of_every_length_come_back() {
        for len in [0, 1, 3, 4, SHORT_BYTES - 2, SHORT_BYTES - 1, SHORT_BYTES, 5000] {
            let (item, mut batch) = ("x".repeat(len), Vec::new());
            let mut encoded = Vec::new();
            let put = |bytes: &[u8]| {
                encoded = bytes.to_vec();
                Ok(())
            };
            encode(&item, 10_000, put).expect("it fits");
            append(&item, 10_000, &mut batch).expect("it fits");
            append(&item, 10_000, &mut batch).expect("it fits");
            assert_eq!(batch::Items::of(&batch).collect::<Vec<_>>(), [&encoded, &encoded], "{len}");
            assert_eq!(decode::<String>(&encoded).expect("well-formed"), item);
        }
    }

    #[test]
    fn buffers_are_kept_while_items_are_as_long() {
        let kept_after = |used: usize| {
            Buffer::borrow().resize(used, 0);
            KEPT.with(|kept| {
                let buffer = kept.buffer.take();
                let capacity = buffer.capacity();
                kept.buffer.set(buffer);
                capacity
            })
        };
        assert_eq!([kept_after(1000), kept_after(KEPT_BYTES)], [1000, KEPT_BYTES]);
        assert_eq!(kept_after(KEPT_BYTES + 1), 0, "one long item");
        assert!(kept_after(KEPT_BYTES + 1) > KEPT_BYTES, "one after the other");
        assert_eq!(kept_after(10), 0, "no more of them");
        assert_eq!([kept_after(MOST_KEPT_BYTES + 1), kept_after(MOST_KEPT_BYTES + 1)], [0, 0]);
    }

    #[test]
    fn too_long_item_is_refused_with_both_lengths() {
        let item = "four".to_owned();
        let batch = append(&item, 5, &mut Vec::new());
        let single = encode(&item, 5, |_| panic!("it is not put"));
        for refused in [batch, single] {
            let refused = refused.expect_err("it has five bytes and more");
            assert!(matches!(refused, Error::TooLong { bytes: 6, limit: 5 }), "{refused}");
        }
    }
}
