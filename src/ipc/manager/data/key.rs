//! What may be a key of a dict.
//!
//! # Standard
//! Python's hashable values: `1`, `1.0` and `True` are one key. Differs: a NaN equals itself as a key, so that it can be
//! found again.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Deserializer, Serialize};

use super::datum::Datum;
use super::int::Int;

/// A key: null, a bool, a number, text, bytes, or tagged data made of those.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct Key(Datum);

/// Data that can be no key: a list, a dict or a reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} cannot be a key")]
pub struct Unhashable(pub(crate) &'static str);

impl Key {
    /// The key as data.
    pub fn as_datum(&self) -> &Datum {
        &self.0
    }

    /// The key as data.
    pub fn into_datum(self) -> Datum {
        self.0
    }

    /// The key's text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_str()
    }
}

impl TryFrom<Datum> for Key {
    type Error = Unhashable;

    fn try_from(datum: Datum) -> Result<Self, Unhashable> {
        fn check(datum: &Datum) -> Result<(), Unhashable> {
            match datum {
                Datum::List(_) | Datum::Dict(_) | Datum::Object(_) => Err(Unhashable(datum.shape())),
                Datum::Tagged(tagged) => tagged.items.iter().try_for_each(check),
                _ => Ok(()),
            }
        }
        check(&datum).map(|()| Key(datum))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let both_nan = || matches!((&self.0, &other.0), (Datum::Float(a), Datum::Float(b)) if a.is_nan() && b.is_nan());
        self.0 == other.0 || both_nan()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

fn hash<H: Hasher>(datum: &Datum, state: &mut H) {
    match datum {
        Datum::Str(text) => text.hash(state),
        Datum::Bytes(bytes) => bytes.hash(state),
        Datum::Float(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(65) => {
            // Equal to a whole number, so it must have the same hash.
            (*number as i128).hash(state);
        }
        Datum::Float(number) if number.is_nan() => u64::MAX.hash(state),
        Datum::Float(number) => number.to_bits().hash(state),
        Datum::Tagged(tagged) => {
            tagged.tag.hash(state);
            tagged.items.iter().for_each(|item| hash(item, state));
        }
        _ => datum.as_int::<i128>().hash_number(state),
    }
}

/// A number hashes as the number; what is none (null) as nothing.
trait HashNumber {
    fn hash_number<H: Hasher>(self, state: &mut H);
}

impl HashNumber for Option<i128> {
    fn hash_number<H: Hasher>(self, state: &mut H) {
        match self {
            Some(number) => number.hash(state),
            None => u8::MAX.hash(state),
        }
    }
}

impl<N: Into<Int>> From<N> for Key {
    fn from(number: N) -> Self {
        Key(Datum::Int(number.into()))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key(Datum::from(text))
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        Key(Datum::Str(text))
    }
}

impl From<&String> for Key {
    fn from(text: &String) -> Self {
        Key(Datum::from(text.as_str()))
    }
}

impl From<&Key> for Key {
    fn from(key: &Key) -> Self {
        key.clone()
    }
}

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Key::try_from(Datum::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    fn key(datum: impl Into<Datum>) -> Key {
        Key::try_from(datum.into()).expect("may be a key")
    }

    #[test]
    fn equal_keys_have_equal_hashes() {
        let state = RandomState::new();
        for (a, b) in [(key(1), key(1.0)), (key(true), key(1)), (key(0), key(-0.0)), (key(f64::NAN), key(-f64::NAN))] {
            assert_eq!(a, b);
            assert_eq!(state.hash_one(&a), state.hash_one(&b));
        }
        assert_ne!(key("1"), key(1));
        assert_ne!(key(Datum::Null), key(false));
    }

    #[test]
    fn lists_and_dicts_are_no_keys() {
        assert_eq!(Key::try_from(Datum::from(vec![])), Err(Unhashable("a list")));
        let tuple = super::super::datum::Tagged { tag: "tuple".to_owned(), items: vec![Datum::from(vec![])] };
        assert!(Key::try_from(Datum::Tagged(Box::new(tuple))).is_err());
    }
}
