//! What can be asked of the store, and what it answers. The vocabulary of every protocol in front of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::method::Method;
use crate::ipc::manager::data::{Kind, ObjectId, ObjectRef, Variant};

/// How long a call may wait for what it asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Timeout {
    Forever,
    Nanos(u64),
}

impl Timeout {
    pub(crate) const NONE: Timeout = Timeout::Nanos(0);
}

/// A call of a method of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) object: ObjectId,
    pub(crate) method: Method,
    pub(crate) args: Vec<Variant>,
    pub(crate) timeout: Timeout,
    /// Which of the client's threads calls; only recursive locks and conditions tell threads apart.
    pub(crate) thread: u64,
}

/// A handle on its way from one client to another: who knows the number may take it, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TransferToken(pub(crate) u128);

impl fmt::Debug for TransferToken {
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
        args: Vec<Variant>,
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
        token: TransferToken,
    },
    /// Takes over a handle that was lent.
    TakeLoan {
        token: TransferToken,
    },
    /// The handle will not be taken over any more.
    EndLoan {
        token: TransferToken,
    },
    /// Whether the handle can still be taken over.
    IsLent {
        token: TransferToken,
    },
}

impl Request {
    /// Whether the answer may be all that is left of something: it must not be refused for its length.
    pub(crate) fn takes_away(&self) -> bool {
        use Method::{CompareAndSwap, CompareAndSwapAt, Get, Pop, PopItem, RemoveAt, SetDefault};
        match self {
            Request::Call(call) => {
                matches!(call.method, Get | Pop | PopItem | RemoveAt | SetDefault | CompareAndSwap | CompareAndSwapAt)
            }
            _ => false,
        }
    }

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
    Variant(Variant),
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
    Item(Variant),
    /// An item of a queue that wants to hear that it is done.
    Leased {
        lease: u64,
        deliveries: u32,
        item: Variant,
    },
    /// What a compare-and-swap found, and whether it was what it expected.
    Swapped {
        swapped: bool,
        found: Option<Variant>,
    },
    /// A reference to an object, new or known.
    Object(ObjectRef),
}

impl<T: Into<Variant>> From<T> for Reply {
    fn from(variant: T) -> Self {
        Reply::Variant(variant.into())
    }
}

impl Reply {
    /// The answer of what has nothing to say.
    pub(crate) const DONE: Reply = Reply::Variant(Variant::Null);

    pub(crate) fn each_reference<E>(
        &mut self,
        visit: &mut impl FnMut(&mut ObjectRef) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Reply::Variant(variant)
            | Reply::Item(variant)
            | Reply::Leased { item: variant, .. }
            | Reply::Swapped { found: Some(variant), .. } => variant.each_reference(visit),
            Reply::Object(reference) => visit(reference),
            _ => Ok(()),
        }
    }
}
