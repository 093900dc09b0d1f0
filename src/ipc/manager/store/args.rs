//! The arguments of a call, checked one by one.

use std::vec;

use super::failure::Failure;
use super::method::Method;
use crate::ipc::manager::data::{Datum, Int, Key, Map};

/// The arguments of a call, taken one after the other.
pub(crate) struct Args {
    items: vec::IntoIter<Datum>,
    method: Method,
}

impl Args {
    pub(crate) fn new(items: Vec<Datum>, method: Method) -> Self {
        Args { items: items.into_iter(), method }
    }

    /// The next argument, of any shape.
    pub(crate) fn datum(&mut self, what: &str) -> Result<Datum, Failure> {
        self.items.next().ok_or_else(|| self.bad(what, "nothing"))
    }

    /// The next argument, if there is one.
    pub(crate) fn optional(&mut self) -> Option<Datum> {
        self.items.next()
    }

    pub(crate) fn key(&mut self) -> Result<Key, Failure> {
        Ok(Key::try_from(self.datum("a key")?)?)
    }

    pub(crate) fn int<N: TryFrom<i128>>(&mut self, what: &str) -> Result<N, Failure> {
        let datum = self.datum(what)?;
        datum.as_int().ok_or_else(|| self.bad(what, datum.shape()))
    }

    pub(crate) fn int_or<N: TryFrom<i128>>(&mut self, what: &str, default: N) -> Result<N, Failure> {
        match self.items.next() {
            None | Some(Datum::Null) => Ok(default),
            Some(datum) => datum.as_int().ok_or_else(|| self.bad(what, datum.shape())),
        }
    }

    pub(crate) fn bool_or(&mut self, what: &str, default: bool) -> Result<bool, Failure> {
        match self.items.next() {
            None | Some(Datum::Null) => Ok(default),
            Some(datum) => datum.as_bool().ok_or_else(|| self.bad(what, datum.shape())),
        }
    }

    pub(crate) fn text(&mut self, what: &str) -> Result<String, Failure> {
        match self.datum(what)? {
            Datum::Str(text) => Ok(text),
            other => Err(self.bad(what, other.shape())),
        }
    }

    pub(crate) fn list(&mut self, what: &str) -> Result<Vec<Datum>, Failure> {
        match self.datum(what)? {
            Datum::List(items) => Ok(items),
            other => Err(self.bad(what, other.shape())),
        }
    }

    /// A dict, or a list of pairs.
    pub(crate) fn entries(&mut self) -> Result<Map, Failure> {
        let what = "a dict, or a list of pairs";
        match self.datum(what)? {
            Datum::Dict(map) => Ok(*map),
            Datum::List(pairs) => {
                let pair = |pair| match pair {
                    Datum::List(pair) => {
                        let [key, datum] = <[Datum; 2]>::try_from(pair).map_err(|_| self.bad(what, "a longer list"))?;
                        Ok((Key::try_from(key)?, datum))
                    }
                    other => Err(self.bad(what, other.shape())),
                };
                pairs.into_iter().map(pair).collect()
            }
            other => Err(self.bad(what, other.shape())),
        }
    }

    /// The way to a place inside: a list of keys and indices.
    pub(crate) fn path(&mut self) -> Result<Vec<Key>, Failure> {
        self.list("a path (a list of keys)")?.into_iter().map(|step| Ok(Key::try_from(step)?)).collect()
    }

    /// Something or nothing: a list of one or of none.
    pub(crate) fn maybe(&mut self, what: &str) -> Result<Option<Datum>, Failure> {
        let mut list = self.list(what)?;
        if list.len() > 1 {
            return Err(self.bad(what, "a longer list"));
        }
        Ok(list.pop())
    }

    /// A slice: begin, end and step, each a number or null.
    pub(crate) fn slice(&mut self) -> Result<[Option<i64>; 3], Failure> {
        let mut bound = || match self.items.next() {
            None | Some(Datum::Null) => Ok(None),
            // What lies beyond 64 signed bits lies beyond every list.
            Some(Datum::Int(number)) => Ok(Some(clamp(number))),
            Some(other) => Err(Failure::bad_argument("a whole number or null in a slice", other.shape())),
        };
        Ok([bound()?, bound()?, bound()?])
    }

    /// Refuses arguments that the method does not know.
    pub(crate) fn end(mut self) -> Result<(), Failure> {
        match self.items.next() {
            None => Ok(()),
            Some(extra) => Err(self.bad("no more arguments", extra.shape())),
        }
    }

    fn bad(&self, what: &str, got: &str) -> Failure {
        Failure::bad_argument(format!("{}: {what}", self.method), got)
    }
}

fn clamp(number: Int) -> i64 {
    i64::try_from(number.get()).unwrap_or(if number.get() < 0 { i64::MIN } else { i64::MAX })
}
