//! An integer from the minimum of 64 signed bits to the maximum of 64 unsigned bits.

use serde::{Deserialize, Serialize};

/// An integer that fits 64 bits, signed or unsigned. Others are refused and never wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i128")]
pub struct Int(i128);

/// An integer does not fit 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("a whole number does not fit 64 bits")]
pub struct Beyond64Bits;

impl Int {
    /// Returns the number.
    pub fn get(self) -> i128 {
        self.0
    }
}

impl TryFrom<i128> for Int {
    type Error = Beyond64Bits;

    fn try_from(number: i128) -> Result<Self, Beyond64Bits> {
        let fits = i64::try_from(number).is_ok() || u64::try_from(number).is_ok();
        if fits { Ok(Int(number)) } else { Err(Beyond64Bits) }
    }
}

conversions! {
    Int:
    i8 | i16 | i32 | i64 | isize | u8 | u16 | u32 | u64 | usize, number => Int(number as i128);
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
    }
}
