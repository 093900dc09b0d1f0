//! Integers on the command line, and the messages for invalid ones.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// Returns a parser for an integer within `range`; its errors name the expected range.
pub(crate) fn whole<T>(range: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, String> + Clone
where
    T: FromStr + PartialOrd + Display + Clone,
{
    move |word| {
        let number = word.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| format!("expected a whole number from {} to {}", range.start(), range.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_the_range_are_taken() {
        let parse = whole::<u32>(1..=500);
        for (word, number) in [("1", 1), ("500", 500), ("042", 42)] {
            assert_eq!(parse(word), Ok(number));
        }
    }

    #[test]
    fn whatever_else_is_told_what_was_expected() {
        let parse = whole::<u32>(1..=500);
        for word in ["", "x", "0", "501", "-1", "1.5", "4294967297", "1e2"] {
            assert_eq!(parse(word), Err("expected a whole number from 1 to 500".to_owned()), "{word:?}");
        }
    }
}
