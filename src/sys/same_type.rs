//! Values of a generic type that is a known one: serde hands bytes over one by one, and they are copied in one piece.
//!
//! # Standard
//! `Any::downcast_ref`, for types that may borrow.

use std::slice;

/// Returns the bytes of `iterator` if it is one over a slice of bytes.
#[inline]
pub(crate) fn as_slice_of_bytes<I>(iterator: &I) -> Option<&[u8]> {
    if typeid::of::<I>() != typeid::of::<slice::Iter<'_, u8>>() {
        return None;
    }
    // SAFETY: the types are equal but for the lifetime of the slice, which `typeid` does not see. The slice lives at least
    // as long as the iterator, and so as long as the returned borrow of it.
    let iterator = unsafe { &*std::ptr::from_ref(iterator).cast::<slice::Iter<'_, u8>>() };
    Some(iterator.as_slice())
}

/// Returns `value` as a vector of bytes if it is one.
#[inline]
pub(crate) fn as_vec_of_bytes<T>(value: &mut T) -> Option<&mut Vec<u8>> {
    if typeid::of::<T>() != typeid::of::<Vec<u8>>() {
        return None;
    }
    // SAFETY: the types are equal, and a `Vec<u8>` has no lifetime that `typeid` could not see.
    Some(unsafe { &mut *std::ptr::from_mut(value).cast::<Vec<u8>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bytes_are_bytes() {
        let (bytes, numbers) = (vec![1_u8, 2], vec![1_i8, 2]);
        assert_eq!(as_slice_of_bytes(&bytes.iter()), Some(&[1, 2][..]));
        assert_eq!(as_slice_of_bytes(&(bytes.iter(), 1).0), Some(&[1, 2][..]));
        assert_eq!(as_slice_of_bytes(&numbers.iter()), None);
        assert_eq!(as_slice_of_bytes(&bytes.iter().rev()), None);
        let mut both = (bytes, numbers);
        as_vec_of_bytes(&mut both.0).expect("bytes").push(3);
        assert_eq!((both.0, as_vec_of_bytes(&mut both.1)), (vec![1, 2, 3], None));
    }
}
