//! The pace of every simulated pause.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The speed of a run: `1` is the pace of the reference programs, `max` has no pauses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Speed {
    /// `None` is the maximum.
    factor: Option<f64>,
}

impl Speed {
    /// Returns the duration of a pause at this speed.
    pub(crate) fn scaled(self, at_speed_one: Duration) -> Duration {
        let Some(factor) = self.factor else { return Duration::ZERO };
        // A speed near zero makes pauses longer than a `Duration` can hold, which are treated as endless.
        Duration::try_from_secs_f64(at_speed_one.as_secs_f64() / factor).unwrap_or(Duration::MAX)
    }

    pub(crate) fn to_json(self) -> serde_json::Value {
        match self.factor {
            None => "max".into(),
            Some(factor) if factor.fract() == 0.0 && factor < 1e15 => (factor as u64).into(),
            Some(factor) => factor.into(),
        }
    }
}

impl FromStr for Speed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Speed { factor: None });
        }
        match text.parse::<f64>() {
            Ok(factor) if factor.is_finite() && factor > 0.0 => Ok(Speed { factor: Some(factor) }),
            _ => Err("a speed is a number above 0 (10 is ten times faster than the reference), or max".to_owned()),
        }
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.factor {
            None => f.write_str("max"),
            Some(factor) => write!(f, "{factor}"),
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

    #[test]
    fn speed_scales_pauses() {
        let second = Duration::from_secs(1);
        let at = |speed: &str| speed.parse::<Speed>().expect("a speed").scaled(second);
        assert_eq!(at("10"), Duration::from_millis(100));
        assert_eq!(at("0.5"), Duration::from_secs(2));
        assert_eq!(at("max"), Duration::ZERO);
        assert_eq!(at("1e-300"), Duration::MAX);
    }
}
