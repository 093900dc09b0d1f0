//! Serialisation of items: of short ones on the stack.

use arrayvec::ArrayVec;
use serde::de::DeserializeOwned;

use super::batch;
use super::item::Item;
use super::ring::SHORT_BYTES;
use crate::ipc::buffer::Buffer;
use crate::ipc::codec::{self, Sink};
use crate::ipc::error::{self, Result, check_len};

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
