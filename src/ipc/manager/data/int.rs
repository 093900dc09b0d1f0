//! An integer from the minimum of 64 signed bits to the maximum of 64 unsigned bits.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// An integer that fits 64 bits, signed or unsigned. Others are refused and never wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
pub struct Int(i128);

/// An integer does not fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a whole number does not fit 64 bits")]
pub struct Beyond64Bits;

impl Int {
    const LEAST: i128 = i64::MIN as i128;
    const GREATEST: i128 = u64::MAX as i128;

    /// Returns the number.
    pub fn get(self) -> i128 {
        self.0
    }

    /// Returns the sum, or `None` if it is beyond 64 bits.
    pub fn checked_add(self, other: Int) -> Option<Int> {
        Int::try_from(self.0 + other.0).ok()
    }
}

impl TryFrom<i128> for Int {
    type Error = Beyond64Bits;

    fn try_from(number: i128) -> Result<Self, Beyond64Bits> {
        (Self::LEAST..=Self::GREATEST).contains(&number).then_some(Int(number)).ok_or(Beyond64Bits)
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Number types that always fit.
macro_rules! always_fits {
    ($($number:ty)*) => {$(
        impl From<$number> for Int {
            fn from(number: $number) -> Self {
                Int(number as i128)
            }
        }
    )*};
}
always_fits! { i8 i16 i32 i64 isize u8 u16 u32 u64 usize }

impl<'de> Deserialize<'de> for Int {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Int::try_from(i128::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_borders_fit_and_one_beyond_does_not() {
        assert_eq!(Int::try_from(i128::from(i64::MIN)), Ok(Int::from(i64::MIN)));
        assert_eq!(Int::try_from(i128::from(u64::MAX)), Ok(Int::from(u64::MAX)));
        assert_eq!(Int::try_from(i128::from(i64::MIN) - 1), Err(Beyond64Bits));
        assert_eq!(Int::try_from(i128::from(u64::MAX) + 1), Err(Beyond64Bits));
        assert_eq!(Int::from(u64::MAX).checked_add(Int::from(1)), None);
    }
}
