//! One piece of data of any shape.
//!
//! # Standard
//! JSON's shapes, Python's equality: `1`, `1.0` and `true` are equal, dicts are equal whatever their order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::int::{Beyond64Bits, Int};
use super::key::Key;
use super::map::Map;
use super::order::number_eq;
use super::reference::ObjectRef;

/// One piece of data: what objects hold, what calls are given and what they return. Always a copy, except for references.
#[derive(Clone, Serialize)]
pub enum Datum {
    /// Nothing: Python's `None`.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number that fits 64 bits.
    Int(Int),
    /// A floating-point number.
    Float(f64),
    /// Text.
    Str(String),
    /// Bytes of any value.
    Bytes(Vec<u8>),
    /// A plain list: a copy, unlike a reference to a list object.
    List(Vec<Datum>),
    /// A plain dict: a copy, unlike a reference to a dict object.
    Dict(Box<Map>),
    /// A reference to an object of the same manager.
    Object(Box<ObjectRef>),
    /// A shape that is none of the above.
    Tagged(Box<Tagged>),
}

/// Data of a shape that JSON does not have, such as a tuple or a set: kept and given back, never looked into.
///
/// The way in which a protocol with more shapes than these keeps them; references inside are counted like all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tagged {
    /// What the shape is called.
    pub tag: String,
    /// What it is made of.
    pub items: Vec<Datum>,
}

impl Datum {
    /// Bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Datum::Bytes(bytes.into())
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Datum::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, if it is one (or a bool) and fits `N`.
    pub fn as_int<N: TryFrom<i128>>(&self) -> Option<N> {
        match *self {
            Datum::Int(number) => N::try_from(number.get()).ok(),
            Datum::Bool(yes) => N::try_from(i128::from(yes)).ok(),
            _ => None,
        }
    }

    /// The number, whole or not.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Datum::Float(number) => Some(number),
            _ => self.as_int::<i128>().map(|number| number as f64),
        }
    }

    /// The bool, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match *self {
            Datum::Bool(yes) => Some(yes),
            _ => None,
        }
    }

    /// The bytes, if it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Datum::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Datum]> {
        match self {
            Datum::List(items) => Some(items),
            _ => None,
        }
    }

    /// The entries, if it is a dict.
    pub fn as_dict(&self) -> Option<&Map> {
        match self {
            Datum::Dict(map) => Some(map),
            _ => None,
        }
    }

    /// The reference, if it is one.
    pub fn as_object(&self) -> Option<&ObjectRef> {
        match self {
            Datum::Object(reference) => Some(reference),
            _ => None,
        }
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        matches!(self, Datum::Null)
    }

    /// What it is, for error messages.
    pub(crate) fn shape(&self) -> &'static str {
        match self {
            Datum::Null => "null",
            Datum::Bool(_) => "a bool",
            Datum::Int(_) => "a whole number",
            Datum::Float(_) => "a float",
            Datum::Str(_) => "text",
            Datum::Bytes(_) => "bytes",
            Datum::List(_) => "a list",
            Datum::Dict(_) => "a dict",
            Datum::Object(_) => "a reference",
            Datum::Tagged(_) => "a tagged value",
        }
    }

    /// Whether nothing inside is nested deeper than `limit`. Looks no deeper than that itself.
    pub(crate) fn is_within_depth(&self, limit: usize) -> bool {
        let within = |item: &Datum| limit > 0 && item.is_within_depth(limit - 1);
        match self {
            Datum::List(items) => items.iter().all(within),
            Datum::Dict(map) => map.iter().all(|(key, item)| within(key.as_datum()) && within(item)),
            Datum::Tagged(tagged) => tagged.items.iter().all(within),
            _ => true,
        }
    }

    /// Shows every reference inside to `visit`, until it fails.
    pub(crate) fn each_reference<E>(
        &mut self,
        visit: &mut impl FnMut(&mut ObjectRef) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Datum::Object(reference) => visit(reference),
            Datum::List(items) => items.iter_mut().try_for_each(|item| item.each_reference(visit)),
            // Keys hold no references.
            Datum::Dict(map) => map.iter_mut().try_for_each(|(_, item)| item.each_reference(visit)),
            Datum::Tagged(tagged) => tagged.items.iter_mut().try_for_each(|item| item.each_reference(visit)),
            _ => Ok(()),
        }
    }
}

impl PartialEq for Datum {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Datum::Null, Datum::Null) => true,
            (Datum::Str(a), Datum::Str(b)) => a == b,
            (Datum::Bytes(a), Datum::Bytes(b)) => a == b,
            (Datum::List(a), Datum::List(b)) => a == b,
            (Datum::Dict(a), Datum::Dict(b)) => a == b,
            (Datum::Object(a), Datum::Object(b)) => a == b,
            (Datum::Tagged(a), Datum::Tagged(b)) => a == b,
            _ => number_eq(self, other),
        }
    }
}

impl<N: Into<Int>> From<N> for Datum {
    fn from(number: N) -> Self {
        Datum::Int(number.into())
    }
}

impl TryFrom<i128> for Datum {
    type Error = Beyond64Bits;

    fn try_from(number: i128) -> Result<Self, Beyond64Bits> {
        Int::try_from(number).map(Datum::Int)
    }
}

/// Every type that is a shape of its own.
macro_rules! is_shape {
    ($($from:ty, $value:ident => $datum:expr;)*) => {$(
        impl From<$from> for Datum {
            fn from($value: $from) -> Self {
                $datum
            }
        }
    )*};
}
is_shape! {
    bool, yes => Datum::Bool(yes);
    f64, number => Datum::Float(number);
    &str, text => Datum::Str(text.to_owned());
    String, text => Datum::Str(text);
    &[u8], bytes => Datum::Bytes(bytes.to_vec());
    Vec<Datum>, items => Datum::List(items);
    Map, map => Datum::Dict(Box::new(map));
    ObjectRef, reference => Datum::Object(Box::new(reference));
    Key, key => key.into_datum();
}

impl FromIterator<Datum> for Datum {
    fn from_iter<I: IntoIterator<Item = Datum>>(items: I) -> Self {
        Datum::List(items.into_iter().collect())
    }
}

/// As JSON, with a form of its own for what JSON does not have.
impl fmt::Display for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

impl fmt::Debug for Datum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_python_s() {
        assert_eq!(Datum::from(1), Datum::from(1.0));
        assert_eq!(Datum::from(true), Datum::from(1));
        assert_ne!(Datum::from("1"), Datum::from(1));
        assert_ne!(Datum::from(u64::MAX), Datum::from(u64::MAX as f64), "2^64 is one more");
        assert_ne!(Datum::from(f64::NAN), Datum::from(f64::NAN));
        assert_ne!(Datum::Null, Datum::from(false));
    }

    #[test]
    fn numbers_are_read_in_the_width_asked_for() {
        assert_eq!(Datum::from(300).as_int::<u8>(), None);
        assert_eq!(Datum::from(u64::MAX).as_int::<u64>(), Some(u64::MAX));
        assert_eq!(Datum::from(7).as_f64(), Some(7.0));
        assert!(Datum::try_from(i128::from(u64::MAX) + 1).is_err());
    }

    #[test]
    fn depth_is_counted_in_lists_and_dicts() {
        let mut nested = Datum::Null;
        for _ in 0..3 {
            nested = Datum::from(vec![nested]);
        }
        assert!(nested.is_within_depth(3));
        assert!(!nested.is_within_depth(2));
    }
}
