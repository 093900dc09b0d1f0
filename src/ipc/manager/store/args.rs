//! The arguments of a call.
//!
//! Their number is checked before the first is read, so a method never fails for it after a change. Each is checked for
//! its type as it is read: a method reads all its arguments before it changes anything.

use std::fmt;
use std::vec;

use super::failure::Failure;
use super::method::{Method, Signature};
use crate::ipc::manager::data::{Int, Key, Kind, Map, Variant};

/// The target of a call: a method, or a type to create an object of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Called {
    Method(Method),
    Type(Kind),
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Called::Method(method) => method.fmt(f),
            Called::Type(kind) => kind.fmt(f),
        }
    }
}

/// The arguments of a call, read in order.
pub(crate) struct Args {
    items: vec::IntoIter<Variant>,
    called: Called,
    signature: Signature,
    taken: usize,
}

impl Args {
    /// Arguments of a method of an object of type `kind`; fails if it has no such method, or not with this many
    /// arguments.
    pub(crate) fn of_method(method: Method, kind: Kind, items: Vec<Variant>) -> Result<Self, Failure> {
        let signature = method.signature(kind).ok_or(Failure::NoSuchMethod { kind, method })?;
        Args::new(Called::Method(method), signature, items)
    }

    /// Arguments to create an object of type `kind`; fails if their number is wrong.
    pub(crate) fn of_type(kind: Kind, items: Vec<Variant>) -> Result<Self, Failure> {
        Args::new(Called::Type(kind), kind.signature(), items)
    }

    fn new(called: Called, signature: Signature, items: Vec<Variant>) -> Result<Self, Failure> {
        if !signature.takes(items.len()) {
            let (called, takes) = (called.to_string(), signature.to_string());
            return Err(Failure::ArgumentCount { called, takes, given: items.len() });
        }
        Ok(Args { items: items.into_iter(), called, signature, taken: 0 })
    }

    /// Returns the next argument, of any shape.
    pub(crate) fn variant(&mut self) -> Result<Variant, Failure> {
        self.optional().ok_or_else(|| self.bad("a value", "nothing"))
    }

    /// Returns the next argument, if there is one.
    pub(crate) fn optional(&mut self) -> Option<Variant> {
        self.taken += 1;
        self.items.next()
    }

    pub(crate) fn key(&mut self) -> Result<Key, Failure> {
        Ok(Key::try_from(self.variant()?)?)
    }

    pub(crate) fn int<N: TryFrom<i128>>(&mut self) -> Result<N, Failure> {
        let variant = self.variant()?;
        self.as_int(&variant)
    }

    pub(crate) fn int_or<N: TryFrom<i128>>(&mut self, default: N) -> Result<N, Failure> {
        match self.optional() {
            None | Some(Variant::Null) => Ok(default),
            Some(variant) => self.as_int(&variant),
        }
    }

    fn as_int<N: TryFrom<i128>>(&self, variant: &Variant) -> Result<N, Failure> {
        let wrong = || match variant.as_int::<i128>() {
            Some(number) => self.bad("a whole number in its range", &number.to_string()),
            None => self.bad("a whole number", variant.shape()),
        };
        variant.as_int().ok_or_else(wrong)
    }

    pub(crate) fn bool_or(&mut self, default: bool) -> Result<bool, Failure> {
        match self.optional() {
            None | Some(Variant::Null) => Ok(default),
            Some(variant) => variant.as_bool().ok_or_else(|| self.bad("true or false", variant.shape())),
        }
    }

    pub(crate) fn text(&mut self) -> Result<String, Failure> {
        match self.variant()? {
            Variant::Str(text) => Ok(text),
            other => Err(self.bad("text", other.shape())),
        }
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Variant>, Failure> {
        let variant = self.variant()?;
        self.as_list(variant)
    }

    pub(crate) fn list_or_empty(&mut self) -> Result<Vec<Variant>, Failure> {
        self.optional().map_or(Ok(Vec::new()), |variant| self.as_list(variant))
    }

    fn as_list(&self, variant: Variant) -> Result<Vec<Variant>, Failure> {
        match variant {
            Variant::List(items) => Ok(items),
            other => Err(self.bad("a list", other.shape())),
        }
    }

    /// A dict, or a list of pairs.
    pub(crate) fn entries(&mut self) -> Result<Map, Failure> {
        let variant = self.variant()?;
        self.as_entries(variant)
    }

    pub(crate) fn entries_or_empty(&mut self) -> Result<Map, Failure> {
        self.optional().map_or(Ok(Map::new()), |variant| self.as_entries(variant))
    }

    fn as_entries(&self, variant: Variant) -> Result<Map, Failure> {
        let what = "a dict or a list of pairs";
        let pair = |pair| match pair {
            Variant::List(pair) => {
                let wrong = |pair: Vec<Variant>| self.bad(what, &format!("a list with a list of {}", pair.len()));
                let [key, variant] = <[Variant; 2]>::try_from(pair).map_err(wrong)?;
                Ok((Key::try_from(key)?, variant))
            }
            other => Err(self.bad(what, &format!("a list with {}", other.shape()))),
        };
        match variant {
            Variant::Dict(map) => Ok(*map),
            Variant::List(pairs) => pairs.into_iter().map(pair).collect(),
            other => Err(self.bad(what, other.shape())),
        }
    }

    /// A list of keys; also used for paths.
    pub(crate) fn keys(&mut self) -> Result<Vec<Key>, Failure> {
        self.list()?.into_iter().map(|step| Ok(Key::try_from(step)?)).collect()
    }

    /// An optional value: a list of one or of none.
    pub(crate) fn maybe(&mut self) -> Result<Option<Variant>, Failure> {
        let what = "a list of one, or of none for nothing";
        match self.variant()? {
            Variant::List(mut list) if list.len() <= 1 => Ok(list.pop()),
            Variant::List(list) => Err(self.bad(what, &format!("a list of {}", list.len()))),
            other => Err(self.bad(what, other.shape())),
        }
    }

    /// A slice: begin, end and step, each a number or null.
    pub(crate) fn slice(&mut self) -> Result<[Option<i64>; 3], Failure> {
        let mut bound = || match self.optional() {
            None | Some(Variant::Null) => Ok(None),
            // Beyond 64 signed bits is beyond every list.
            Some(Variant::Int(number)) => Ok(Some(clamp(number))),
            Some(other) => Err(self.bad("a whole number or null", other.shape())),
        };
        Ok([bound()?, bound()?, bound()?])
    }

    /// The error that the argument read last has the wrong type.
    pub(crate) fn bad(&self, what: &str, got: &str) -> Failure {
        let name = self.signature.name(self.taken.saturating_sub(1)).to_uppercase();
        Failure::bad_argument(format!("{} {name}: {what}", self.called), got)
    }
}

fn clamp(number: Int) -> i64 {
    i64::try_from(number.get()).unwrap_or(if number.get() < 0 { i64::MIN } else { i64::MAX })
}
