//! Proxies: local handles to a manager's objects.
//!
//! A proxy goes into a worker as a field of its role, and into other objects as data: `dict.insert("inner",
//! &list)` stores a reference, and `List::try_from(&datum)` makes a proxy of a fetched one. Cloning a proxy is cheap.
//! The object lives as long as any proxy of it or reference to it exists.

mod array;
mod barrier;
mod condition;
mod dict;
mod list;
mod lock;
mod place;
mod queue;

use std::marker::PhantomData;
use std::time::Duration;

pub use array::{Array, Value};
pub use barrier::{Barrier, Event};
pub use condition::{Condition, ConditionGuard};
pub use dict::{Dict, Namespace};
pub use list::List;
pub use lock::{BoundedSemaphore, Guard, Lock, RLock, Semaphore};
pub use place::{Place, Swap};
pub use queue::{JoinableQueue, Queue, Task};

use super::client::{Object, Pending};
use super::data::{Kind, Variant};
use super::store::{Failure, Method, Reply};
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
                let object = $crate::ipc::manager::client::check_kind(object, Self::KIND)?;
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
            |invitation: $crate::ipc::manager::client::ConnectInfo| {
                let kind = <Self as $crate::ipc::manager::proxy::Proxy>::KIND;
                invitation.take_over(kind).map(|object| $name { object })
            }
        );
    };
}
use proxy;

/// The object of a reference in data.
fn object_in(variant: &Variant) -> Result<Object> {
    let failed = |failure| Error::Managed { doing: "making a proxy".to_owned(), source: Box::new(failure) };
    let reference = variant.as_object().ok_or_else(|| failed(Failure::bad_argument("a reference", variant.shape())))?;
    Object::of(reference).ok_or(Error::ForeignReference)
}

/// Without blocking.
const AT_ONCE: Option<Duration> = Some(Duration::ZERO);

impl Object {
    /// Calls a method that returns data.
    fn get(&self, method: Method, args: Vec<Variant>) -> Result<Variant> {
        into_datum(self.call(method, args)?)
    }

    /// Calls a method that returns nothing.
    fn tell(&self, method: Method, args: Vec<Variant>) -> Result<()> {
        self.call(method, args).map(drop)
    }

    fn get_number(&self, method: Method) -> Result<usize> {
        Ok(self.get(method, vec![])?.as_int().unwrap_or_default())
    }

    fn get_bool(&self, method: Method, args: Vec<Variant>) -> Result<bool> {
        Ok(self.get(method, args)?.as_bool().unwrap_or_default())
    }

    fn get_list(&self, method: Method, args: Vec<Variant>) -> Result<Vec<Variant>> {
        match self.get(method, args)? {
            Variant::List(items) => Ok(items),
            _ => Err(Error::manager_gone()),
        }
    }

    /// Sends a call whose answer is read later.
    fn later<T>(&self, method: Method, args: Vec<Variant>, read: fn(Result<Reply>) -> Result<T>) -> Result<Later<T>> {
        let pending = self.start(method, args, AT_ONCE, 0)?;
        Ok(Later { pending, object: self.clone(), method, read, answer: PhantomData })
    }
}

/// Returns the data of an answer that must have some.
fn into_datum(reply: Reply) -> Result<Variant> {
    match reply {
        Reply::Variant(variant) | Reply::Item(variant) => Ok(variant),
        // A manager of the same version never answers this.
        _ => Err(Error::manager_gone()),
    }
}

/// Maps "there is none", where it is an expected outcome, to `None`.
fn if_there(answer: Result<Reply>) -> Result<Option<Variant>> {
    use Failure::{Empty, IndexOutOfRange, NoSuchAttribute, NoSuchKey, NotInList};
    match answer {
        Err(Error::Managed { source, .. })
            if matches!(*source, NoSuchKey(_) | NoSuchAttribute(_) | IndexOutOfRange | NotInList | Empty(_)) =>
        {
            Ok(None)
        }
        other => other.and_then(into_datum).map(Some),
    }
}

fn nothing(answer: Result<Reply>) -> Result<()> {
    answer.map(drop)
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
    answer: PhantomData<fn() -> T>,
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
