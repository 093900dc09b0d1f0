//! A buffer that a thread keeps for its longer items, until its next one that is much shorter.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};

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

#[cfg(test)]
mod tests {
    use super::*;

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
}
