//! Proxies: local handles to a manager's objects.
//!
//! A proxy goes into a worker as a field of its role, and into other objects as data: `dict.insert("inner",
//! &list)` stores a reference, and `List::try_from(&datum)` makes a proxy of a fetched one. Cloning a proxy is cheap.
//! The object lives as long as any proxy of it or reference to it exists.
//!
//! A method that only sends its arguments and returns the answer is a line in a table: see [`methods!`]. [`Answer`] says
//! how each type of result is read.

mod array;
mod barrier;
mod condition;
mod dict;
mod list;
mod lock;
mod place;
mod queue;

use std::time::Duration;

pub use array::{Array, Value};
pub use barrier::{Barrier, Event};
pub use condition::{Condition, ConditionGuard};
pub use dict::{Dict, Namespace};
pub use list::List;
pub use lock::{BoundedSemaphore, Guard, Lock, RLock, Semaphore};
pub use place::Place;
pub use queue::{JoinableQueue, Queue, Task};

use super::client::{Object, Pending};
use super::data::{Key, Kind, Map, Variant};
use super::error::ManagerError;
use super::store::{Failure, Method, Reply, Swap};
use crate::ipc::error::{Error, Result};

/// A proxy of one of the manager's types.
pub trait Proxy: Sized {
    /// The type.
    const KIND: Kind;

    /// Returns the object behind it.
    fn object(&self) -> &Object;

    /// Makes a proxy of an object.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if the object is of another type.
    fn of(object: Object) -> Result<Self>;
}

/// Defines the proxy of one type, with what all proxies have in common.
macro_rules! proxy {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Every method returns [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if the object refuses
        /// the call and is unchanged; [`ManagerError::Gone`](crate::manager::ManagerError::Gone) if the
        /// manager has ended, even in the middle of a wait;
        /// [`ManagerError::Silent`](crate::manager::ManagerError::Silent) if it does not answer in time.
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name {
            object: $crate::ipc::manager::client::Object,
        }

        impl $crate::ipc::manager::proxy::Proxy for $name {
            const KIND: $crate::ipc::manager::data::Kind = $crate::ipc::manager::data::Kind::$name;

            fn object(&self) -> &$crate::ipc::manager::client::Object {
                &self.object
            }

            fn of(object: $crate::ipc::manager::client::Object) -> $crate::Result<Self> {
                $crate::ipc::manager::proxy::check_kind(&object, Self::KIND)?;
                Ok($name { object })
            }
        }

        /// A reference to the object, to store in another.
        impl From<&$name> for $crate::ipc::manager::data::Variant {
            fn from(proxy: &$name) -> Self {
                proxy.object.reference().into()
            }
        }

        /// The object that a fetched reference names.
        impl TryFrom<&$crate::ipc::manager::data::Variant> for $name {
            type Error = $crate::Error;

            fn try_from(variant: &$crate::ipc::manager::data::Variant) -> $crate::Result<Self> {
                $crate::ipc::manager::proxy::object_in(variant).and_then($crate::ipc::manager::proxy::Proxy::of)
            }
        }
    };
}
use proxy;

/// Defines methods of one or several proxies. A line is a method's name, its arguments, its result, and the method of the
/// object that it calls. An argument of type `Key` or `Variant` is anything that converts into one; `str` is `&str`.
/// A method that may block ends with `blocking`, or takes a timeout after a semicolon.
macro_rules! methods {
    ([$($proxy:ident)+] $table:tt) => {
        $($crate::ipc::manager::proxy::methods! { $proxy $table })+
    };
    ($proxy:ident {$(
        $(#[$doc:meta])*
        $name:ident($($arg:ident: $type:ident),* $(; $timeout:ident)?) -> $result:ty = $method:ident $($blocking:ident)?;
    )*}) => {
        impl $proxy {$(
            $(#[$doc])*
            pub fn $name(
                &self,
                $($arg: $crate::ipc::manager::proxy::argument!($type),)*
                $($timeout: std::time::Duration,)?
            ) -> $crate::Result<$result> {
                let args = vec![$($crate::ipc::manager::proxy::argument!($type $arg)),*];
                let limit = $crate::ipc::manager::proxy::limit!($($timeout)? $($blocking)?);
                self.object.ask_within(limit, $crate::ipc::manager::store::Method::$method, args)
            }
        )*}
    };
}
use methods;

/// How long a method in a table of methods may block.
macro_rules! limit {
    () => {
        Some(std::time::Duration::ZERO)
    };
    (blocking) => {
        None
    };
    ($timeout:ident) => {
        Some($timeout)
    };
}
use limit;

/// The type of an argument in a table of methods, and its conversion to data.
macro_rules! argument {
    (Key) => { impl Into<$crate::ipc::manager::data::Key> };
    (Variant) => { impl Into<$crate::ipc::manager::data::Variant> };
    (str) => { &str };
    ($type:ident) => { $type };
    (Key $value:ident) => { $crate::ipc::manager::data::Variant::from(Into::<$crate::ipc::manager::data::Key>::into($value)) };
    ($type:ident $value:ident) => { Into::<$crate::ipc::manager::data::Variant>::into($value) };
}
use argument;

/// A bound or the step of a slice; `None` leaves it open.
type Bound = Option<i64>;

/// The result of a method, read from the answer of `object`.
trait Answer<'a>: Sized {
    /// Reads a reply. `None` if it has another shape, which a manager of the same version never sends.
    fn from_reply(object: &'a Object, reply: Reply) -> Option<Self>;

    fn read(object: &'a Object, answer: Result<Reply>) -> Result<Self> {
        Ok(Self::from_reply(object, answer?).ok_or_else(ManagerError::gone)?)
    }
}

/// Whether there was nothing, where that is an expected outcome.
fn is_none(answer: &Result<Reply>) -> bool {
    use Failure::{Empty, IndexOutOfRange, NoSuchAttribute, NoSuchKey, NotInList};
    match answer {
        Ok(reply) => *reply == Reply::NotInTime,
        Err(Error::Manager(ManagerError::Managed { source, .. })) => {
            matches!(**source, NoSuchKey(_) | NoSuchAttribute(_) | IndexOutOfRange | NotInList | Empty(_))
        }
        Err(_) => false,
    }
}

impl<'a, T: Answer<'a>> Answer<'a> for Option<T> {
    fn from_reply(object: &'a Object, reply: Reply) -> Option<Self> {
        T::from_reply(object, reply).map(Some)
    }

    fn read(object: &'a Object, answer: Result<Reply>) -> Result<Self> {
        if is_none(&answer) { Ok(None) } else { T::read(object, answer).map(Some) }
    }
}

impl Answer<'_> for () {
    fn from_reply(_: &Object, _: Reply) -> Option<Self> {
        Some(())
    }
}

/// The object's own answer, or else whether the call was done.
impl Answer<'_> for bool {
    fn from_reply(object: &Object, reply: Reply) -> Option<Self> {
        Variant::from_reply(object, reply).map(|variant| variant.as_bool().unwrap_or(true))
    }

    fn read(object: &Object, answer: Result<Reply>) -> Result<Self> {
        let done: Option<Variant> = Answer::read(object, answer)?;
        Ok(done.is_some_and(|variant| variant.as_bool().unwrap_or(true)))
    }
}

/// Defines how data is read as each type of result.
macro_rules! answers {
    ($($type:ty: $variant:ident => $result:expr;)*) => {$(
        impl Answer<'_> for $type {
            fn from_reply(_: &Object, reply: Reply) -> Option<Self> {
                let (Reply::Variant($variant) | Reply::Item($variant)) = reply else { return None };
                $result
            }
        }
    )*};
}
answers! {
    Variant: data => Some(data);
    usize: data => data.as_int();
    String: data => if let Variant::Str(text) = data { Some(text) } else { None };
    Map: data => if let Variant::Dict(map) = data { Some(*map) } else { None };
    Vec<Variant>: data => if let Variant::List(items) = data { Some(items) } else { None };
    Vec<Key>: data => list_of(data, |key| Key::try_from(key).ok());
    Vec<(Key, Variant)>: data => list_of(data, entry);
    (Key, Variant): data => entry(data);
}

fn list_of<T>(data: Variant, item: impl FnMut(Variant) -> Option<T>) -> Option<Vec<T>> {
    if let Variant::List(items) = data { items.into_iter().map(item).collect() } else { None }
}

fn entry(pair: Variant) -> Option<(Key, Variant)> {
    let [key, variant] = <[Variant; 2]>::try_from(list_of(pair, Some)?).ok()?;
    Some((Key::try_from(key).ok()?, variant))
}

/// Checks that an object is of the type `wanted`.
fn check_kind(object: &Object, wanted: Kind) -> Result<()> {
    match object.kind() {
        is if is == wanted => Ok(()),
        is => {
            let doing = format!("using object {}", object.id());
            Err(ManagerError::managed(doing, Failure::WrongKind { is, wanted }).into())
        }
    }
}

/// The object of a reference in data.
fn object_in(variant: &Variant) -> Result<Object> {
    let Some(reference) = variant.as_object() else {
        let failure = Failure::bad_argument("a reference", variant.shape());
        return Err(ManagerError::managed("making a proxy", failure).into());
    };
    Ok(Object::of(reference).ok_or(ManagerError::ForeignReference)?)
}

impl Object {
    /// Calls a method that does not wait.
    fn ask<'a, T: Answer<'a>>(&'a self, method: Method, args: Vec<Variant>) -> Result<T> {
        self.ask_within(Some(Duration::ZERO), method, args)
    }

    /// Calls a method that may wait; `None` waits without limit.
    fn ask_within<'a, T: Answer<'a>>(
        &'a self,
        timeout: Option<Duration>,
        method: Method,
        args: Vec<Variant>,
    ) -> Result<T> {
        T::read(self, self.call(method, args, timeout))
    }

    /// Sends a call whose answer is read later.
    fn later<T: for<'a> Answer<'a>>(&self, method: Method, args: Vec<Variant>) -> Result<Later<T>> {
        let pending = self.start(method, args, Some(Duration::ZERO))?;
        Ok(Later { pending, object: self.clone(), read: |object, answer| T::read(object, answer) })
    }
}

/// A call that was sent, and whose answer is read when needed.
///
/// Many calls may be pending at once: they run in the order in which they were sent, and all together take little more
/// time than one. Dropping this discards the answer; the call still runs.
#[must_use = "the answer tells whether the call was done"]
pub struct Later<T> {
    pending: Pending,
    object: Object,
    read: fn(&Object, Result<Reply>) -> Result<T>,
}

impl<T> Later<T> {
    /// Blocks until the answer arrives.
    ///
    /// # Errors
    /// Those of the call.
    pub fn wait(self) -> Result<T> {
        (self.read)(&self.object, self.pending.wait())
    }
}

impl<T> std::fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, pending", self.pending.doing)
    }
}
