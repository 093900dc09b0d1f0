//! The types of numbers that can be stored in shared memory.

use crate::sys::atomic::Ordering::{AcqRel, Acquire, Release};
use crate::sys::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64};
use crate::sys::shm::Shared;

/// A type of number that [`Value`](crate::Value) and [`Array`](crate::Array) can hold: every integer of 8 to
/// 64 bits, `f32` and `f64`.
///
/// Only this crate implements it: data in shared memory must have a fixed size, be valid for all bit patterns, and
/// contain no pointers.
pub trait Plain: Bits + Default + PartialEq + std::fmt::Debug + Send + Sync + 'static {}

/// How a number is stored. Not nameable outside this crate.
pub trait Bits: Copy {
    /// An atomic of the number's size.
    type Atom: Shared;

    fn load(atom: &Self::Atom) -> Self;
    fn store(self, atom: &Self::Atom);
    /// Stores `new` if `atom` still has exactly the bits of `self`.
    fn replace(self, atom: &Self::Atom, new: Self) -> bool;
    /// Adds `self` to `atom`, and returns what was there before. An integer wraps around.
    fn add_to(self, atom: &Self::Atom) -> Self;
}

macro_rules! plain {
    ($($number:ty, $atom:ty, $to_bits:expr, $from_bits:expr, $add_to:expr;)*) => {$(
        impl Plain for $number {}

        impl Bits for $number {
            type Atom = $atom;

            #[inline]
            fn load(atom: &$atom) -> Self {
                $from_bits(atom.load(Acquire))
            }

            #[inline]
            fn store(self, atom: &$atom) {
                atom.store($to_bits(self), Release);
            }

            #[inline]
            fn replace(self, atom: &$atom, new: Self) -> bool {
                atom.compare_exchange($to_bits(self), $to_bits(new), AcqRel, Acquire).is_ok()
            }

            #[inline]
            fn add_to(self, atom: &$atom) -> Self {
                $add_to(self, atom)
            }
        }
    )*};
}

plain! {
    i8, AtomicU8, i8::cast_unsigned, u8::cast_signed, |number, atom: &AtomicU8| u8::cast_signed(atom.fetch_add(i8::cast_unsigned(number), AcqRel));
    u8, AtomicU8, u8::from, u8::from, |number, atom: &AtomicU8| atom.fetch_add(number, AcqRel);
    i16, AtomicU16, i16::cast_unsigned, u16::cast_signed, |number, atom: &AtomicU16| u16::cast_signed(atom.fetch_add(i16::cast_unsigned(number), AcqRel));
    u16, AtomicU16, u16::from, u16::from, |number, atom: &AtomicU16| atom.fetch_add(number, AcqRel);
    i32, AtomicU32, i32::cast_unsigned, u32::cast_signed, |number, atom: &AtomicU32| u32::cast_signed(atom.fetch_add(i32::cast_unsigned(number), AcqRel));
    u32, AtomicU32, u32::from, u32::from, |number, atom: &AtomicU32| atom.fetch_add(number, AcqRel);
    i64, AtomicU64, i64::cast_unsigned, u64::cast_signed, |number, atom: &AtomicU64| u64::cast_signed(atom.fetch_add(i64::cast_unsigned(number), AcqRel));
    u64, AtomicU64, u64::from, u64::from, |number, atom: &AtomicU64| atom.fetch_add(number, AcqRel);
    f32, AtomicU32, f32::to_bits, f32::from_bits, |number, atom| update(atom, |old| old + number).0;
    f64, AtomicU64, f64::to_bits, f64::from_bits, |number, atom| update(atom, |old| old + number).0;
}

/// Replaces the number in `atom` by the result of `change`, atomically: retries if the number changed meanwhile. Returns
/// the old one and the new one.
#[inline]
pub(crate) fn update<T: Plain>(atom: &T::Atom, mut change: impl FnMut(T) -> T) -> (T, T) {
    loop {
        let old = T::load(atom);
        let new = change(old);
        if old.replace(atom, new) {
            return (old, new);
        }
    }
}
