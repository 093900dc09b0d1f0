//! One piece of data of any shape.
//!
//! # Standard
//! JSON's shapes, Python's equality: `1`, `1.0` and `true` are equal, dicts are equal whatever their order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::decode::nested;
use super::order::number_eq;
use super::{Beyond64Bits, Int, Key, Map, ObjectRef};

/// One piece of data: the content of objects, and the arguments and results of calls. Always a copy, except for
/// references.
#[derive(Clone, Default, Serialize, Deserialize)]
pub enum Variant {
    /// Nothing: Python's `None`.
    #[default]
    Null,
    /// A Boolean.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(Int),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A plain list: a copy, unlike a reference to a list object.
    #[serde(deserialize_with = "nested")]
    List(Vec<Variant>),
    /// A plain dict: a copy, unlike a reference to a dict object.
    #[serde(deserialize_with = "nested")]
    Dict(Box<Map>),
    /// A reference to an object of the same manager.
    Object(Box<ObjectRef>),
    /// A shape that is none of the above.
    #[serde(deserialize_with = "nested")]
    Tagged(Box<Tagged>),
}

/// Data of a shape that JSON lacks, such as a tuple or a set: stored and returned, but never interpreted.
///
/// A protocol with more shapes than these stores them this way; references inside are counted like all others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tagged {
    /// The name of the shape.
    pub tag: String,
    /// Its components.
    pub items: Vec<Variant>,
}

impl Variant {
    /// Creates bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Variant::Bytes(bytes.into())
    }

    /// Returns the integer, if it is one (or a bool) and fits `N`.
    pub fn as_int<N: TryFrom<i128>>(&self) -> Option<N> {
        match *self {
            Variant::Int(number) => N::try_from(number.get()).ok(),
            Variant::Bool(yes) => N::try_from(i128::from(yes)).ok(),
            _ => None,
        }
    }

    /// Returns the number, integer or not.
    pub fn as_f64(&self) -> Option<f64> {
        match *self {
            Variant::Float(number) => Some(number),
            _ => self.as_int::<i128>().map(|number| number as f64),
        }
    }

    /// Returns the bool, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        if let Variant::Bool(yes) = *self { Some(yes) } else { None }
    }

    /// Returns the text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        if let Variant::Str(text) = self { Some(text) } else { None }
    }

    /// Returns the bytes, if it is bytes.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Variant::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// Returns the items, if it is a list.
    pub fn as_list(&self) -> Option<&[Variant]> {
        if let Variant::List(items) = self { Some(items) } else { None }
    }

    /// Returns the entries, if it is a dict.
    pub fn as_dict(&self) -> Option<&Map> {
        if let Variant::Dict(map) = self { Some(map) } else { None }
    }

    /// Returns the reference, if it is one.
    pub fn as_object(&self) -> Option<&ObjectRef> {
        if let Variant::Object(reference) = self { Some(reference) } else { None }
    }

    /// Returns whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Variant::Null)
    }

    /// Returns the name of its shape, for error messages.
    pub(crate) fn shape(&self) -> &'static str {
        match self {
            Variant::Null => "null",
            Variant::Bool(_) => "a bool",
            Variant::Int(_) => "a whole number",
            Variant::Float(_) => "a float",
            Variant::Str(_) => "text",
            Variant::Bytes(_) => "bytes",
            Variant::List(_) => "a list",
            Variant::Dict(_) => "a dict",
            Variant::Object(_) => "a reference",
            Variant::Tagged(_) => "a tagged value",
        }
    }

    /// Whether nothing inside is nested deeper than `limit`. Recurses no deeper than that.
    pub(crate) fn is_within_depth(&self, limit: usize) -> bool {
        let within = |item: &Variant| limit > 0 && item.is_within_depth(limit - 1);
        match self {
            Variant::List(items) => items.iter().all(within),
            Variant::Dict(map) => map.iter().all(|(key, item)| within(key.as_datum()) && within(item)),
            Variant::Tagged(tagged) => tagged.items.iter().all(within),
            _ => true,
        }
    }

    /// Visits every reference inside.
    pub(crate) fn each_reference(&mut self, visit: &mut impl FnMut(&mut ObjectRef)) {
        match self {
            Variant::Object(reference) => visit(reference),
            Variant::List(items) => items.iter_mut().for_each(|item| item.each_reference(visit)),
            // Keys hold no references.
            Variant::Dict(map) => map.iter_mut().for_each(|(_, item)| item.each_reference(visit)),
            Variant::Tagged(tagged) => tagged.items.iter_mut().for_each(|item| item.each_reference(visit)),
            _ => {}
        }
    }
}

impl PartialEq for Variant {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Variant::Null, Variant::Null) => true,
            (Variant::Str(a), Variant::Str(b)) => a == b,
            (Variant::Bytes(a), Variant::Bytes(b)) => a == b,
            (Variant::List(a), Variant::List(b)) => a == b,
            (Variant::Dict(a), Variant::Dict(b)) => a == b,
            (Variant::Object(a), Variant::Object(b)) => a == b,
            (Variant::Tagged(a), Variant::Tagged(b)) => a == b,
            _ => number_eq(self, other),
        }
    }
}

impl<N: Into<Int>> From<N> for Variant {
    fn from(number: N) -> Self {
        Variant::Int(number.into())
    }
}

impl TryFrom<i128> for Variant {
    type Error = Beyond64Bits;

    fn try_from(number: i128) -> Result<Self, Beyond64Bits> {
        Int::try_from(number).map(Variant::Int)
    }
}

conversions! {
    Variant:
    bool, yes => Variant::Bool(yes);
    f64, number => Variant::Float(number);
    &str, text => Variant::Str(text.to_owned());
    String, text => Variant::Str(text);
    &[u8], bytes => Variant::Bytes(bytes.to_vec());
    Option<i64>, number => number.map_or(Variant::Null, Variant::from);
    Vec<Variant>, items => Variant::List(items);
    Map, map => Variant::Dict(Box::new(map));
    ObjectRef, reference => Variant::Object(Box::new(reference));
    Key, key => key.into_datum();
}

impl FromIterator<Variant> for Variant {
    fn from_iter<I: IntoIterator<Item = Variant>>(items: I) -> Self {
        Variant::List(items.into_iter().collect())
    }
}

/// Formats as JSON, with the forms of [`to_json`](Variant::to_json) for shapes that JSON lacks.
impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_json().fmt(f)
    }
}

impl fmt::Debug for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equality_is_python_s() {
        assert_eq!(Variant::from(1), Variant::from(1.0));
        assert_eq!(Variant::from(true), Variant::from(1));
        assert_ne!(Variant::from("1"), Variant::from(1));
        assert_ne!(Variant::from(u64::MAX), Variant::from(u64::MAX as f64), "2^64 is one more");
        assert_ne!(Variant::from(f64::NAN), Variant::from(f64::NAN));
        assert_ne!(Variant::Null, Variant::from(false));
    }

    #[test]
    fn numbers_are_read_in_the_width_asked_for() {
        assert_eq!(Variant::from(300).as_int::<u8>(), None);
        assert_eq!(Variant::from(u64::MAX).as_int::<u64>(), Some(u64::MAX));
        assert_eq!(Variant::from(7).as_f64(), Some(7.0));
        assert!(Variant::try_from(i128::from(u64::MAX) + 1).is_err());
    }

    #[test]
    fn depth_is_counted_in_lists_and_dicts() {
        let mut nested = Variant::Null;
        for _ in 0..3 {
            nested = Variant::from(vec![nested]);
        }
        assert!(nested.is_within_depth(3));
        assert!(!nested.is_within_depth(2));
    }
}
