//! The arguments of a call.
//!
//! Their number is checked before the first is read, so a method never fails for it after a change. Each is checked for
//! its type as it is read: a method reads all its arguments before it changes anything.

use std::vec;

use super::{Failure, Key, Kind, Map, Method, Signature, Variant};

/// A function that returns whether there is memory for this many more bytes. `None` means always.
pub(crate) type Memory = Option<fn(u64) -> bool>;

/// A call that needs less memory than this beyond its arguments does not ask whether there is that much.
const LITTLE_MEMORY: usize = 1 << 20;

/// The arguments of a call, read in order.
pub(crate) struct Args {
    memory: Memory,
    items: vec::IntoIter<Variant>,
    /// The method; `None` to create an object of the type.
    method: Option<Method>,
    kind: Kind,
    signature: Signature,
    taken: usize,
}

impl Args {
    /// Returns the arguments of a method of an object of type `kind`, or of its creation. Fails if the type has no such
    /// method, or if the number of arguments is wrong.
    pub(crate) fn new(
        method: Option<Method>,
        kind: Kind,
        items: Vec<Variant>,
        memory: Memory,
    ) -> Result<Self, Failure> {
        let signature = match method {
            Some(method) => method.signature(kind).ok_or(Failure::NoSuchMethod { kind, method })?,
            None => kind.signature(),
        };
        let args = Args { memory, items: items.into_iter(), method, kind, signature, taken: 0 };
        let given = args.items.len();
        if signature.takes(given) {
            return Ok(args);
        }
        Err(Failure::ArgumentCount { called: args.called(), takes: signature.to_string(), given })
    }

    fn called(&self) -> String {
        self.method.map_or_else(|| self.kind.to_string(), |method| method.to_string())
    }

    /// Fails if there is no memory for `len` values of type `T`, which the call is about to create.
    pub(crate) fn check_memory_for<T>(&self, len: usize) -> Result<(), Failure> {
        let bytes = len.saturating_mul(size_of::<T>());
        let is_enough = bytes < LITTLE_MEMORY || self.memory.is_none_or(|is_there| is_there(bytes as u64));
        if is_enough { Ok(()) } else { Err(Failure::OutOfMemory { bytes }) }
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

    /// Reads the next argument; without one, or if it is null, it is `default`.
    pub(crate) fn or<T>(
        &mut self,
        default: T,
        read: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let None | Some(Variant::Null) = self.items.as_slice().first() {
            self.optional();
            return Ok(default);
        }
        read(self)
    }

    /// Reads the next argument with `read`, which gives it back if it is not `what`.
    fn read<T>(&mut self, what: &str, read: impl FnOnce(Variant) -> Result<T, Variant>) -> Result<T, Failure> {
        read(self.variant()?).map_err(|other| self.bad(what, other.shape()))
    }

    /// The first step of a path, within the object itself: an index, a name, or a key.
    pub(crate) fn step(&mut self) -> Result<Key, Failure> {
        match self.kind {
            Kind::List | Kind::Array => self.int::<i64>().map(Key::from),
            Kind::Namespace => self.text().map(Key::from),
            _ => self.key(),
        }
    }

    pub(crate) fn key(&mut self) -> Result<Key, Failure> {
        Ok(Key::try_from(self.variant()?)?)
    }

    pub(crate) fn int<N: TryFrom<i128>>(&mut self) -> Result<N, Failure> {
        let number = self.read("a whole number", |variant| variant.as_int::<i128>().ok_or(variant))?;
        N::try_from(number).map_err(|_| self.bad("a whole number in its range", &number.to_string()))
    }

    pub(crate) fn bool(&mut self) -> Result<bool, Failure> {
        self.read("true or false", |variant| variant.as_bool().ok_or(variant))
    }

    pub(crate) fn text(&mut self) -> Result<String, Failure> {
        self.read("text", |variant| if let Variant::Str(text) = variant { Ok(text) } else { Err(variant) })
    }

    pub(crate) fn list(&mut self) -> Result<Vec<Variant>, Failure> {
        self.read("a list", |variant| if let Variant::List(items) = variant { Ok(items) } else { Err(variant) })
    }

    /// A dict, or a list of pairs.
    pub(crate) fn entries(&mut self) -> Result<Map, Failure> {
        let what = "a dict or a list of pairs";
        let pairs = match self.variant()? {
            Variant::Dict(map) => return Ok(*map),
            Variant::List(pairs) => pairs,
            other => return Err(self.bad(what, other.shape())),
        };
        let pair = |pair| match pair {
            Variant::List(pair) => {
                let wrong = |pair: Vec<Variant>| self.bad(what, &format!("a list with a list of {}", pair.len()));
                let [key, variant] = <[Variant; 2]>::try_from(pair).map_err(wrong)?;
                Ok((Key::try_from(key)?, variant))
            }
            other => Err(self.bad(what, &format!("a list with {}", other.shape()))),
        };
        pairs.into_iter().map(pair).collect()
    }

    /// A list of keys; also used for paths.
    pub(crate) fn keys(&mut self) -> Result<Vec<Key>, Failure> {
        self.list()?.into_iter().map(|step| Ok(Key::try_from(step)?)).collect()
    }

    /// An optional value: a list of one or of none.
    pub(crate) fn maybe(&mut self) -> Result<Option<Variant>, Failure> {
        let mut list = self.list()?;
        match list.len() {
            0 | 1 => Ok(list.pop()),
            len => Err(self.bad("a list of one, or of none for nothing", &format!("a list of {len}"))),
        }
    }

    /// A slice: begin, end and step, each a number or null.
    pub(crate) fn slice(&mut self) -> Result<[Option<i64>; 3], Failure> {
        // Beyond 64 signed bits is beyond every list.
        let clamp = |number: i128| number.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let mut bound = || self.or(None, |args| args.int().map(|number| Some(clamp(number))));
        Ok([bound()?, bound()?, bound()?])
    }

    /// Returns the error that the type does not have the method.
    pub(crate) fn no_such_method(&self) -> Failure {
        self.method.map_or(Failure::NoSuchObject, |method| Failure::NoSuchMethod { kind: self.kind, method })
    }

    /// The error that the argument read last has the wrong type.
    pub(crate) fn bad(&self, what: &str, got: &str) -> Failure {
        let name = self.signature.name(self.taken.saturating_sub(1)).to_uppercase();
        Failure::bad_argument(format!("{} {name}: {what}", self.called()), got)
    }
}
