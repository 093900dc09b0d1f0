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
    /// [`Error::Managed`] if the object is of another type.
    fn of(object: Object) -> Result<Self>;
}

/// Defines the proxy of one type, with what all proxies have in common.
macro_rules! proxy {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// Every method returns [`Error::Managed`](crate::Error::Managed) if the object refuses the call, which then
        /// has changed nothing; [`Error::ManagerGone`](crate::Error::ManagerGone) if the manager has ended, even in the
        /// middle of a wait; [`Error::ManagerSilent`](crate::Error::ManagerSilent) if it does not answer in time.
        #[derive(Debug, Clone)]
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

        $crate::ipc::process::transfer::sent_in_roles!(
            [] $name, concat!("the proxy of a ", stringify!($name)),
            |proxy, recipient| proxy.object.client().invite(recipient, Some(&proxy.object)),
            |sent: $crate::ipc::manager::client::ConnectInfo| $crate::ipc::manager::proxy::Proxy::of(sent.import()?)
        );
    };
}
use proxy;

/// Defines methods of one or several proxies. A line is a method's name, its arguments, its result, and the method of the
/// object that it calls. An argument of type `Key` or `Variant` is anything that converts into one; `str` is `&str`.
macro_rules! methods {
    ([$($proxy:ident)+] $table:tt) => {
        $($crate::ipc::manager::proxy::methods! { $proxy $table })+
    };
    ($proxy:ident {$(
        $(#[$doc:meta])* $name:ident($($arg:ident: $type:ident),*) -> $result:ty = $method:ident;
    )*}) => {
        impl $proxy {$(
            $(#[$doc])*
            pub fn $name(&self, $($arg: $crate::ipc::manager::proxy::argument!($type)),*) -> $crate::Result<$result> {
                let args = vec![$($crate::ipc::manager::proxy::argument!($type $arg)),*];
                self.object.ask($crate::ipc::manager::store::Method::$method, args)
            }
        )*}
    };
}
use methods;

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

/// A result of a method, as it is read from the object's answer.
trait Answer: Sized {
    /// Reads a reply. `None` if it has another shape, which a manager of the same version never sends.
    fn from_reply(reply: Reply) -> Option<Self>;

    fn read(answer: Result<Reply>) -> Result<Self> {
        Self::from_reply(answer?).ok_or_else(Error::manager_gone)
    }
}

/// Whether there was nothing, where that is an expected outcome.
fn is_none(answer: &Result<Reply>) -> bool {
    use Failure::{Empty, IndexOutOfRange, NoSuchAttribute, NoSuchKey, NotInList};
    match answer {
        Ok(reply) => *reply == Reply::NotInTime,
        Err(Error::Managed { source, .. }) => {
            matches!(**source, NoSuchKey(_) | NoSuchAttribute(_) | IndexOutOfRange | NotInList | Empty(_))
        }
        Err(_) => false,
    }
}

impl<T: Answer> Answer for Option<T> {
    fn from_reply(reply: Reply) -> Option<Self> {
        T::from_reply(reply).map(Some)
    }

    fn read(answer: Result<Reply>) -> Result<Self> {
        if is_none(&answer) { Ok(None) } else { T::read(answer).map(Some) }
    }
}

impl Answer for () {
    fn from_reply(_reply: Reply) -> Option<Self> {
        Some(())
    }
}

/// The object's own answer, or else whether the call was done.
impl Answer for bool {
    fn from_reply(reply: Reply) -> Option<Self> {
        Variant::from_reply(reply).map(|variant| variant.as_bool().unwrap_or(true))
    }

    fn read(answer: Result<Reply>) -> Result<Self> {
        if is_none(&answer) { Ok(false) } else { Self::from_reply(answer?).ok_or_else(Error::manager_gone) }
    }
}

/// Defines how data is read as each type of result.
macro_rules! answers {
    ($($type:ty: $variant:ident => $result:expr;)*) => {$(
        impl Answer for $type {
            fn from_reply(reply: Reply) -> Option<Self> {
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
    let is = object.kind();
    if is == wanted {
        return Ok(());
    }
    let doing = format!("using object {}", object.id());
    Err(Error::Managed { doing, source: Box::new(Failure::WrongKind { is, wanted }) })
}

/// The object of a reference in data.
fn object_in(variant: &Variant) -> Result<Object> {
    let failed = |failure| Error::Managed { doing: "making a proxy".to_owned(), source: Box::new(failure) };
    let reference = variant.as_object().ok_or_else(|| failed(Failure::bad_argument("a reference", variant.shape())))?;
    Object::of(reference).ok_or(Error::ForeignReference)
}

impl Object {
    /// Calls a method that does not wait.
    fn ask<T: Answer>(&self, method: Method, args: Vec<Variant>) -> Result<T> {
        self.ask_within(Some(Duration::ZERO), method, args)
    }

    /// Calls a method that may wait; `None` waits without limit.
    fn ask_within<T: Answer>(&self, timeout: Option<Duration>, method: Method, args: Vec<Variant>) -> Result<T> {
        T::read(self.call(method, args, timeout))
    }

    /// Sends a call whose answer is read later.
    fn later<T: Answer>(&self, method: Method, args: Vec<Variant>) -> Result<Later<T>> {
        let pending = self.start(method, args, Some(Duration::ZERO))?;
        Ok(Later { pending, object: self.clone(), method, read: T::read })
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
    method: Method,
    read: fn(Result<Reply>) -> Result<T>,
}

impl<T> Later<T> {
    /// Blocks until the answer arrives.
    ///
    /// # Errors
    /// Those of the call.
    pub fn wait(self) -> Result<T> {
        (self.read)(self.object.answer(self.method, self.pending))
    }
}

impl<T> std::fmt::Debug for Later<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} {}, under way", self.method, self.object.kind(), self.object.id())
    }
}
