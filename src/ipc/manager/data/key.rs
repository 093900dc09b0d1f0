//! Keys of a dict.
//!
//! # Standard
//! Python's hashable values: `1`, `1.0` and `True` are one key. Differs: a NaN as a key equals itself, so that it can
//! be found again.

use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::{Int, Variant};

/// A key: null, a bool, a number, text, bytes, or tagged data made of those.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "Variant")]
pub struct Key(Variant);

/// Data that cannot be a key: a list, a dict or a reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{0} cannot be a key")]
pub struct Unhashable(pub(crate) String);

impl Key {
    /// Returns the key as data.
    pub fn as_datum(&self) -> &Variant {
        &self.0
    }

    /// Converts the key to data.
    pub fn into_datum(self) -> Variant {
        self.0
    }

    /// Returns the key's text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        self.0.as_str()
    }
}

impl TryFrom<Variant> for Key {
    type Error = Unhashable;

    fn try_from(variant: Variant) -> Result<Self, Unhashable> {
        fn check(variant: &Variant) -> Result<(), Unhashable> {
            match variant {
                Variant::List(_) | Variant::Dict(_) | Variant::Object(_) => Err(Unhashable(variant.shape().to_owned())),
                Variant::Tagged(tagged) => tagged.items.iter().try_for_each(check),
                _ => Ok(()),
            }
        }
        check(&variant).map(|()| Key(variant))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        let both_nan =
            || matches!((&self.0, &other.0), (Variant::Float(a), Variant::Float(b)) if a.is_nan() && b.is_nan());
        self.0 == other.0 || both_nan()
    }
}

impl Eq for Key {}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash(&self.0, state);
    }
}

fn hash<H: Hasher>(variant: &Variant, state: &mut H) {
    match variant {
        Variant::Str(text) => text.hash(state),
        Variant::Bytes(bytes) => bytes.hash(state),
        Variant::Float(number) if number.fract() == 0.0 && number.abs() < 2_f64.powi(65) => {
            // Equal to an integer, so it must have the same hash.
            (*number as i128).hash(state);
        }
        Variant::Float(number) if number.is_nan() => u64::MAX.hash(state),
        Variant::Float(number) => number.to_bits().hash(state),
        Variant::Tagged(tagged) => {
            tagged.tag.hash(state);
            tagged.items.iter().for_each(|item| hash(item, state));
        }
        _ => match variant.as_int::<i128>() {
            Some(number) => number.hash(state),
            None => u8::MAX.hash(state),
        },
    }
}

impl<N: Into<Int>> From<N> for Key {
    fn from(number: N) -> Self {
        Key(Variant::Int(number.into()))
    }
}

conversions! {
    Key:
    &str, text => Key(Variant::from(text));
    String, text => Key(Variant::Str(text));
    &String, text => Key(Variant::from(text.as_str()));
    &Key, key => key.clone();
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, RandomState};

    fn key(variant: impl Into<Variant>) -> Key {
        Key::try_from(variant.into()).expect("may be a key")
    }

    #[test]
    fn equal_keys_have_equal_hashes() {
        let state = RandomState::new();
        for (a, b) in [(key(1), key(1.0)), (key(true), key(1)), (key(0), key(-0.0)), (key(f64::NAN), key(-f64::NAN))] {
            assert_eq!(a, b);
            assert_eq!(state.hash_one(&a), state.hash_one(&b));
        }
        assert_ne!(key("1"), key(1));
        assert_ne!(key(Variant::Null), key(false));
    }

    #[test]
    fn lists_and_dicts_are_no_keys() {
        assert_eq!(Key::try_from(Variant::from(vec![])), Err(Unhashable("a list".to_owned())));
        let tuple = super::super::variant::Tagged { tag: "tuple".to_owned(), items: vec![Variant::from(vec![])] };
        assert!(Key::try_from(Variant::Tagged(Box::new(tuple))).is_err());
    }
}
