//! What can be asked of the store, and what it answers. The vocabulary of every protocol in front of it.

use std::fmt;
use std::str::FromStr;
use std::vec;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::ipc::manager::data::{Datum, Int, Key, Kind, Map, ObjectId, ObjectRef};

/// What can be called on objects. Which type has which is the matter of the types.
///
/// Names are Python's without underscores (`get_item` is `__getitem__`), in small letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is the method of that name; the types' documentation says what it does")]
pub enum Method {
    // Containers.
    Len,
    Contains,
    GetItem,
    SetItem,
    DelItem,
    GetSlice,
    SetSlice,
    DelSlice,
    Clear,
    Copy,
    Reversed,
    Snapshot,
    // Dicts.
    Get,
    Keys,
    Values,
    Items,
    Pop,
    PopItem,
    SetDefault,
    Update,
    Or,
    FromKeys,
    // Lists.
    Append,
    Extend,
    Insert,
    Remove,
    Index,
    Count,
    Reverse,
    Sort,
    Concat,
    Repeat,
    RepeatInPlace,
    // Several steps as one, which Python has not.
    Add,
    CompareAndSwap,
    GetAt,
    SetAt,
    RemoveAt,
    PushAt,
    AddAt,
    CompareAndSwapAt,
    // Locks, semaphores, conditions.
    Acquire,
    Release,
    Locked,
    GetValue,
    Wait,
    Notify,
    NotifyAll,
    // Events and cells.
    IsSet,
    Set,
    Typecode,
    // Barriers.
    Finish,
    Abort,
    Reset,
    Parties,
    NWaiting,
    Broken,
    // Queues.
    Put,
    Qsize,
    Empty,
    Full,
    TaskDone,
    Join,
    Shutdown,
    Unfinished,
    DeadLetters,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The one list of names is the one that serde makes of the variants.
        self.serialize(f)
    }
}

/// There is no method of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no method {0}")]
pub struct UnknownMethod(String);

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let parsed: Result<Self, serde::de::value::Error> = Method::deserialize(name.into_deserializer());
        parsed.map_err(|_| UnknownMethod(name.to_owned()))
    }
}

/// How long a call may wait for what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Patience {
    Forever,
    Nanos(u64),
}

impl Patience {
    pub(crate) const NONE: Patience = Patience::Nanos(0);
}

/// A call of a method of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) object: ObjectId,
    pub(crate) method: Method,
    pub(crate) args: Vec<Datum>,
    pub(crate) patience: Patience,
    /// Which of the client's threads calls; only recursive locks and conditions tell threads apart.
    pub(crate) thread: u64,
}

/// A handle on its way from one client to another: who knows the number may take it, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct LoanToken(pub(crate) u128);

impl fmt::Debug for LoanToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loan")
    }
}

/// What a client can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    Call(Call),
    /// A new object. With a name that is known: the object of that name, if it is of this type.
    Create {
        kind: Kind,
        args: Vec<Datum>,
        name: Option<String>,
    },
    /// The object of a name.
    Lookup {
        name: String,
    },
    /// The names and their objects' types.
    Names,
    /// The object loses its name, and lives on only as long as somebody refers to it.
    Unname {
        name: String,
    },
    /// The client no longer uses so many of the references that it was given.
    Release {
        object: ObjectId,
        count: u64,
    },
    /// Keeps the object alive until somebody takes over the handle, or the lender leaves.
    Lend {
        object: ObjectId,
        token: LoanToken,
    },
    /// Takes over a handle that was lent.
    TakeLoan {
        token: LoanToken,
    },
    /// The handle will not be taken over any more.
    EndLoan {
        token: LoanToken,
    },
}

impl Request {
    /// The object that a call is for.
    pub(crate) fn object(&self) -> Option<ObjectId> {
        match self {
            Request::Call(call) => Some(call.object),
            _ => None,
        }
    }
}

/// What a client gets back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Datum(Datum),
    /// The time passed: not acquired, nothing there, no room.
    NotInTime,
    /// A lock or a permit. `abandoned`: its holder before died with it.
    Acquired {
        permit: u64,
        abandoned: bool,
    },
    /// The end of a condition's wait, with the lock held again.
    Woken {
        notified: bool,
        abandoned: bool,
    },
    /// The end of a barrier's wait. Who leads runs the barrier's action and says when it is finished.
    Arrived {
        index: u32,
        leads: bool,
    },
    /// An item of a plain queue: the taker's from now on.
    Item(Datum),
    /// An item of a queue that wants to hear that it is done.
    Leased {
        lease: u64,
        deliveries: u32,
        item: Datum,
    },
    /// What a compare-and-swap found, and whether it was what it expected.
    Swapped {
        swapped: bool,
        found: Option<Datum>,
    },
    /// A reference to an object, new or known.
    Object(ObjectRef),
}

impl<T: Into<Datum>> From<T> for Reply {
    fn from(datum: T) -> Self {
        Reply::Datum(datum.into())
    }
}

impl Reply {
    /// The answer of what has nothing to say.
    pub(crate) const DONE: Reply = Reply::Datum(Datum::Null);

    pub(crate) fn each_reference<E>(
        &mut self,
        visit: &mut impl FnMut(&mut ObjectRef) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Reply::Datum(datum)
            | Reply::Item(datum)
            | Reply::Leased { item: datum, .. }
            | Reply::Swapped { found: Some(datum), .. } => datum.each_reference(visit),
            Reply::Object(reference) => visit(reference),
            _ => Ok(()),
        }
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_the_names_they_show() {
        for method in [Method::Len, Method::CompareAndSwapAt, Method::NWaiting, Method::DeadLetters] {
            assert_eq!(method.to_string().parse(), Ok(method));
        }
        assert_eq!("get_item".parse(), Ok(Method::GetItem));
        assert_eq!("__getitem__".parse::<Method>(), Err(UnknownMethod("__getitem__".to_owned())));
    }
}
