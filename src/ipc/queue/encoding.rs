//! Serialisation of items, and the buffers for it.
//!
//! Small items are encoded and decoded on the stack. For larger ones a handle keeps a buffer; a thread that finds it in
//! use allocates its own.

use std::sync::Mutex;

use serde::de::DeserializeOwned;

use super::item::Item;
use super::ring::{HEADER_BYTES, Records, record_bytes};
use crate::ipc::codec::{self, Sink};
use crate::ipc::error::{self, Error, Result};

/// Records up to this length live on the stack.
pub(crate) const SMALL: usize = 128;
/// Buffers that grew beyond this are kept only between two items of that size.
const KEPT_BYTES: usize = 1 << 20;
/// Buffers that grew beyond this are not kept.
const MOST_KEPT_BYTES: usize = 64 << 20;

/// A reusable buffer.
#[derive(Debug, Default)]
pub(crate) struct Scratch(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    buffer: Vec<u8>,
    /// How much of it was used the last time.
    used: usize,
}

impl Scratch {
    /// Returns the buffer, or a new one while another thread uses it. Its content is unspecified.
    pub(crate) fn borrow(&self) -> Vec<u8> {
        self.0.try_lock().map(|mut kept| std::mem::take(&mut kept.buffer)).unwrap_or_default()
    }

    /// Keeps a buffer of which `used` bytes were used.
    pub(crate) fn recycle(&self, buffer: Vec<u8>, used: usize) {
        let Ok(mut kept) = self.0.try_lock() else { return };
        let used_before = std::mem::replace(&mut kept.used, used);
        let most = if used.min(used_before) > KEPT_BYTES { MOST_KEPT_BYTES } else { KEPT_BYTES };
        if (kept.buffer.capacity() + 1..=most).contains(&buffer.capacity()) {
            kept.buffer = buffer;
        }
    }
}

/// Destination for one item: on the stack, and in a buffer of the handle once the stack buffer is too small.
struct Room<'b> {
    small: &'b mut [u8],
    /// Bytes of `small` in use; [`SPILT`] once all of them are in `large`.
    len: usize,
    large: &'b mut Vec<u8>,
    scratch: &'b Scratch,
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
        *self.large = self.scratch.borrow();
        self.large.clear();
        self.large.extend_from_slice(&[0; HEADER_BYTES]);
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

/// Writes the record of a small item into `small`. Returns `None` if the item is not small: it is then in `large`, a
/// buffer of `scratch`, and its length is not yet checked.
#[inline]
pub(crate) fn encode<'b, T: Item>(
    item: &T,
    small: &'b mut [u8; SMALL],
    large: &mut Vec<u8>,
    scratch: &Scratch,
) -> Result<Option<Records<'b>>> {
    let mut room = Room { small: &mut small[HEADER_BYTES..], len: 0, large, scratch };
    codec::write(item, &mut room).map_err(error::codec("serialise an item"))?;
    let len = room.len;
    if len == SPILT {
        return Ok(None);
    }
    small[..HEADER_BYTES].copy_from_slice(&(len as u32).to_ne_bytes());
    Ok(Some(Records { bytes: &small[..record_bytes(len)], items: 1 }))
}

/// Appends the record of an item of at most `longest` bytes.
///
/// After an error, the appended bytes are unspecified.
#[inline]
pub(crate) fn append<T: Item>(item: &T, longest: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let start = bytes.len();
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    codec::write(item, bytes).map_err(error::codec("serialise an item"))?;
    finish(start, longest, bytes)
}

/// Turns the bytes behind a header at `start` into a record of at most `longest` bytes.
#[inline]
pub(crate) fn finish(start: usize, longest: usize, bytes: &mut Vec<u8>) -> Result<()> {
    let len = bytes.len() - start - HEADER_BYTES;
    if len > longest {
        return Err(Error::TooLong { bytes: len, limit: longest });
    }
    bytes[start..start + HEADER_BYTES].copy_from_slice(&(len as u32).to_ne_bytes());
    // Append the maximum padding first: a length known at compile time.
    bytes.extend_from_slice(&[0; HEADER_BYTES]);
    bytes.truncate(start + record_bytes(len));
    Ok(())
}

/// Decodes an item from its bytes.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    codec::from_slice(bytes).map_err(error::codec("read an item"))
}

/// Decodes the items of consecutive records. One that cannot be decoded yields an error in its place.
pub(crate) fn decode_all<T: DeserializeOwned>(mut records: &[u8], items: &mut Vec<Result<T>>) {
    while let Some((header, rest)) = records.split_first_chunk::<HEADER_BYTES>() {
        let len = u32::from_ne_bytes(*header) as usize;
        // The copy may be arbitrary bytes if a peer wrote into the shared memory meanwhile.
        let whole = record_bytes(len);
        if whole > records.len() {
            items.push(Err(Error::Damaged { object: "queue" }));
            return;
        }
        match codec::from_slice(&rest[..len]) {
            // In place: to copy a `Result` whose parts were stored just now would stall.
            Ok(item) => items.push(Ok(item)),
            Err(error) => items.push(Err(error::codec("read an item")(error))),
        }
        records = &records[whole..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_of_every_length_come_back() {
        for len in [0, 1, 3, 4, SMALL - 6, SMALL - 5, SMALL - 4, SMALL - 3, SMALL, 5000] {
            let item = "x".repeat(len);
            let (mut small, mut spilt, scratch) = ([0; SMALL], Vec::new(), Scratch::default());
            let mut large = Vec::new();
            append(&item, 10_000, &mut large).expect("it fits");
            if let Some(records) = encode(&item, &mut small, &mut spilt, &scratch).expect("no error") {
                assert_eq!(records.bytes, large, "{len}");
            } else {
                assert!(len > SMALL - HEADER_BYTES - 2, "{len} is small");
                finish(0, 10_000, &mut spilt).expect("it fits");
                assert_eq!(spilt, large, "{len}");
            }
            append(&item, 10_000, &mut large).expect("it fits");
            let mut items: Vec<Result<String>> = Vec::new();
            decode_all(&large, &mut items);
            let items: Vec<String> = items.into_iter().collect::<Result<_>>().expect("well-formed");
            assert_eq!(items, [item.clone(), item]);
        }
    }

    #[test]
    fn buffers_are_kept_while_items_are_as_long() {
        let scratch = Scratch::default();
        let kept_after = |used: usize| {
            let mut buffer = scratch.borrow();
            buffer.resize(used.max(buffer.len()), 0);
            scratch.recycle(buffer, used);
            scratch.0.lock().expect("nobody panics").buffer.capacity()
        };
        assert_eq!([kept_after(1000), kept_after(KEPT_BYTES)], [1000, KEPT_BYTES]);
        assert_eq!(kept_after(KEPT_BYTES + 1), 0, "one long item");
        assert!(kept_after(KEPT_BYTES + 1) > KEPT_BYTES, "one after the other");
        assert_eq!(kept_after(10), 0, "no more of them");
        assert_eq!([kept_after(MOST_KEPT_BYTES + 1), kept_after(MOST_KEPT_BYTES + 1)], [0, 0]);
    }

    #[test]
    fn too_long_item_is_refused_with_both_lengths() {
        let refused = append(&"four".to_owned(), 5, &mut Vec::new()).expect_err("it has six bytes");
        assert!(matches!(refused, Error::TooLong { bytes: 6, limit: 5 }), "{refused}");
    }

    #[test]
    fn length_beyond_the_bytes_is_damage() {
        let mut items: Vec<Result<u8>> = Vec::new();
        let mut bytes = Vec::new();
        append(&7_u8, 9, &mut bytes).expect("it fits");
        bytes.extend([9, 0, 0, 0, 1, 2, 3, 4]);
        decode_all(&bytes, &mut items);
        assert!(matches!(&items[..], [Ok(7), Err(Error::Damaged { .. })]), "{items:?}");
    }
}
