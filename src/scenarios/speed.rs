//! The speed of every simulated pause.

use std::str::FromStr;

/// The speed of a run: `1` is the pace of the reference programs, `max` has no pauses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed {
    /// Infinite at the maximum.
    factor: f64,
}

impl Speed {
    /// Pauses do not end.
    #[cfg(test)]
    pub(crate) const STOPPED: Speed = Speed { factor: 0.0 };

    /// Pauses end at once.
    pub(crate) const MAX: Speed = Speed { factor: f64::INFINITY };

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
    fn bad_speeds_are_refused() {
        for bad in ["0", "-1", "nan", "inf", "-inf", "", "fast", "1e999"] {
            assert!(bad.parse::<Speed>().is_err(), "{bad}");
        }
    }
}
