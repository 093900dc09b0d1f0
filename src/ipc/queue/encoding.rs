//! Serialisation of items, and the buffers for it.
//!
//! Small items are encoded and decoded on the stack. For larger ones a thread keeps a buffer, until its next item that is
//! much smaller.

use std::cell::Cell;

use serde::de::DeserializeOwned;

use super::batch;
use super::item::Item;
use super::ring::INLINE_BYTES;
use crate::ipc::codec::{self, Sink};
use crate::ipc::error::{self, Result, check_len};

/// Buffers that grew beyond this are kept only between two items of that size.
const KEPT_BYTES: usize = 1 << 20;
/// Buffers that grew beyond this are not kept.
const MOST_KEPT_BYTES: usize = 64 << 20;

/// A buffer that a thread uses again.
#[derive(Default)]
struct Kept {
    buffer: Cell<Vec<u8>>,
    /// How much of it was used the last time.
    used: Cell<usize>,
}

thread_local! {
    static KEPT: Kept = Kept::default();
}

/// Returns this thread's buffer, or a new one while it is borrowed. Its content is unspecified.
pub(crate) fn borrow_buffer() -> Vec<u8> {
    KEPT.try_with(|kept| kept.buffer.take()).unwrap_or_default()
}

/// Keeps a buffer of which `used` bytes were used for this thread's next item.
pub(crate) fn recycle(buffer: Vec<u8>, used: usize) {
    // A thread that ends needs none.
    let _ = KEPT.try_with(|kept| {
        let used_before = kept.used.replace(used);
        let most = if used.min(used_before) > KEPT_BYTES { MOST_KEPT_BYTES } else { KEPT_BYTES };
        if buffer.capacity() <= most {
            kept.buffer.set(buffer);
        }
    });
}

/// Destination for one item: on the stack, and in a buffer of the thread once the stack buffer is too small.
struct Room<'b> {
    small: &'b mut [u8],
    /// Bytes of `small` in use; [`SPILT`] once all of them are in `large`.
    len: usize,
    large: &'b mut Vec<u8>,
}

/// More than any length.
const SPILT: usize = usize::MAX;

impl Room<'_> {
    #[inline]
    fn put_large(&mut self, data: &[u8]) {
        if self.len != SPILT {
            self.spill();
        }
        self.large.extend_from_slice(data);
    }

    #[cold]
    fn spill(&mut self) {
        *self.large = borrow_buffer();
        self.large.clear();
        self.large.extend_from_slice(&self.small[..self.len]);
        self.len = SPILT;
    }
}

impl Sink for Room<'_> {
    #[inline(always)]
    fn put(&mut self, bytes: &[u8]) {
        match self.small.get_mut(self.len..).and_then(|room| room.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            None => self.put_large(bytes),
        }
    }
}

/// Serialises an item, and hands its bytes to `put` if they are at most `longest`.
#[inline]
pub(crate) fn encode<T: Item>(item: &T, longest: usize, put: impl FnOnce(&[u8]) -> Result<()>) -> Result<()> {
    let (mut small, mut large) = ([0; INLINE_BYTES], Vec::new());
    let mut room = Room { small: &mut small, len: 0, large: &mut large };
    codec::write(item, &mut room).map_err(error::codec("serialise an item"))?;
    let len = room.len;
    if len != SPILT {
        return check_len(len, longest).and_then(|()| put(&small[..len]));
    }
    let outcome = check_len(large.len(), longest).and_then(|()| put(&large));
    let used = large.len();
    recycle(large, used);
    outcome
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
        for len in [0, 1, 3, 4, INLINE_BYTES - 2, INLINE_BYTES - 1, INLINE_BYTES, 5000] {
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
            let mut buffer = borrow_buffer();
            buffer.resize(used.max(buffer.len()), 0);
            recycle(buffer, used);
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
