//! The speed of every simulated pause.

use std::fmt;
use std::str::FromStr;

/// The speeds that a key changes to, and the maximum.
const STEPS: [f64; 10] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0];

/// The speed of a run: `1` is the pace of the reference programs, `max` has no pauses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Infinite at the maximum.
    factor: f64,
}

impl Speed {
    /// Pauses end at once.
    pub(crate) const MAX: Speed = Speed { factor: f64::INFINITY };

    /// Returns the speed of this rate.
    pub(crate) fn of(rate: f64) -> Self {
        Speed { factor: rate }
    }

    /// Returns the next higher speed of those that a key changes to.
    pub(crate) fn faster(self) -> Self {
        Speed { factor: STEPS.into_iter().find(|step| *step > self.factor).unwrap_or(f64::INFINITY) }
    }

    /// Returns the next lower speed of those that a key changes to.
    pub(crate) fn slower(self) -> Self {
        Speed { factor: STEPS.into_iter().rev().find(|step| *step < self.factor).unwrap_or(self.factor) }
    }

    /// Returns how much of a pause at speed 1 passes in a second at this speed.
    pub(crate) fn rate(self) -> f64 {
        self.factor
    }

    pub(crate) fn to_json(self) -> serde_json::Value {
        match self.factor {
            f64::INFINITY => "max".into(),
            factor if factor.fract() == 0.0 && factor < 1e15 => (factor as u64).into(),
            factor => factor.into(),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.factor == f64::INFINITY { out.write_str("max") } else { write!(out, "{}", self.factor) }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Speed::MAX);
        }
        match text.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Speed { factor }),
            _ => Err("a speed is a number above 0 (10 is ten times faster than the reference), or max".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_change_the_speed_in_steps() {
        let speed = |text: &str| text.parse::<Speed>().expect("a speed");
        let around = |text: &str| (speed(text).slower().to_string(), speed(text).faster().to_string());
        let both = |slower: &str, faster: &str| (slower.to_owned(), faster.to_owned());
        assert_eq!(around("1"), both("0.5", "2"));
        assert_eq!(around("3"), both("2", "5"));
        assert_eq!(around("max"), both("100", "max"));
        assert_eq!(around("100"), both("50", "max"));
        assert_eq!(around("0.1"), both("0.1", "0.2"));
    }

    #[test]
    fn bad_speeds_are_refused() {
        for bad in ["0", "-1", "nan", "inf", "-inf", "", "fast", "1e999"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
