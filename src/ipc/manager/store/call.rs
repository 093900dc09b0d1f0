//! Requests to the store and its replies: the vocabulary of every protocol in front of it.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Failure, Kind, Method, ObjectId, ObjectRef, Status, Variant};

/// A call of a method of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    pub(crate) object: ObjectId,
    pub(crate) method: Method,
    pub(crate) args: Vec<Variant>,
    /// How long the call may wait; `None` is no limit.
    pub(crate) timeout: Option<Duration>,
    /// The calling thread of the client; only recursive locks and conditions distinguish threads.
    pub(crate) thread: u64,
}

impl Call {
    /// Whether it can follow a reference from its object to another one.
    pub(crate) fn can_cross_objects(&self, kind: Kind) -> bool {
        use Method::{Add, AddAt, CompareAndSwapAt, GetAt, PushAt, RemoveAt, SetAt};
        let own_steps = if kind == Kind::Value { 0 } else { 1 };
        match self.method {
            Add => kind != Kind::Array,
            AddAt | PushAt => true,
            GetAt | SetAt | RemoveAt | CompareAndSwapAt => {
                !matches!(self.args.first(), Some(Variant::List(path)) if path.len() <= own_steps)
            }
            _ => false,
        }
    }
}

/// A reference in transfer from one client to another: a client that knows the number may import it, once.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct TransferToken(pub(crate) u128);

impl fmt::Debug for TransferToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("token")
    }
}

/// A client's request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Request {
    Call(Call),
    /// Creates an object. If the name exists: returns its object, if it is of this type.
    Create {
        kind: Kind,
        args: Vec<Variant>,
        name: Option<String>,
    },
    /// Returns the object with this name.
    Lookup(String),
    /// Returns the names and their objects' types.
    Names,
    /// Removes the name; its object lives on only while anything refers to it.
    RemoveName(String),
    /// The client no longer uses this many of the references that it was given.
    Release {
        object: ObjectId,
        count: u64,
    },
    /// Exports a reference: keeps the object alive until the reference is imported, or the exporting client leaves.
    Export {
        object: ObjectId,
        token: TransferToken,
    },
    /// Imports an exported reference.
    Import(TransferToken),
    /// Cancels an export: the reference will not be imported any more.
    CancelExport(TransferToken),
    /// Returns the manager's counters.
    Status,
    /// In an exploration: whether a call can go on now, without any effect.
    Look(Call),
    /// In an exploration: makes a call, which waits only at a condition or a barrier.
    Step(Call),
    /// In an exploration: ends the wait of a call if it has not ended yet, `in_time` or because its time has passed.
    EndWait {
        in_time: bool,
    },
    /// In an exploration: whether the client holds a lock, a permit or an item, which its end gives to others.
    Holds,
    /// In an exploration: waits until all clients that are gone have released what they held.
    Settle,
}

impl Request {
    /// Whether the answer may hold the only copy of something: it must not be refused for its length.
    pub(crate) fn takes_away(&self) -> bool {
        use Method::{CompareAndSwap, CompareAndSwapAt, Get, Pop, PopItem, RemoveAt, SetDefault};
        self.call().is_some_and(|call| {
            matches!(call.method, Get | Pop | PopItem | RemoveAt | SetDefault | CompareAndSwap | CompareAndSwapAt)
        })
    }

    /// The call, if it is one.
    pub(crate) fn call(&self) -> Option<&Call> {
        if let Request::Call(call) | Request::Step(call) = self { Some(call) } else { None }
    }
}

/// The object's answer to a request.
pub(crate) type Outcome = Result<Reply, Failure>;

/// The reply to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Variant(Variant),
    /// Timeout: not acquired, nothing there, no room.
    NotInTime,
    /// A lock or a permit. `abandoned`: its previous holder died with it.
    Acquired {
        permit: u64,
        abandoned: bool,
    },
    /// The end of a condition's wait, with the lock held again.
    Woken {
        notified: bool,
        abandoned: bool,
    },
    /// The end of a barrier's wait. The leader runs the barrier's action and reports when it is finished.
    Arrived {
        index: u32,
        leads: bool,
    },
    /// An item of a plain queue, which belongs to the consumer from now on.
    Item(Variant),
    /// An item of a joinable queue, to be reported as done.
    Leased {
        lease: u64,
        deliveries: u32,
        item: Variant,
    },
    Swapped(Swap),
    /// A reference to an object, new or known.
    Object(ObjectRef),
    Status(Status),
    /// Whether a call can go on, and the lock of its condition.
    Look {
        can_go: bool,
        lock: Option<ObjectId>,
    },
    /// A call has begun to wait. Its reply follows.
    Waits,
}

/// Outcome of a compare-and-swap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// Whether the expected value was found, and replaced by the new one.
    pub swapped: bool,
    /// The value that was found; `None` if there was none.
    pub found: Option<Variant>,
}

impl<T: Into<Variant>> From<T> for Reply {
    fn from(variant: T) -> Self {
        Reply::Variant(variant.into())
    }
}

impl Reply {
    /// The reply of a call without a result.
    pub(crate) const DONE: Reply = Reply::Variant(Variant::Null);

    pub(crate) fn each_reference(&mut self, visit: &mut impl FnMut(&mut ObjectRef)) {
        match self {
            Reply::Variant(variant)
            | Reply::Item(variant)
            | Reply::Leased { item: variant, .. }
            | Reply::Swapped(Swap { found: Some(variant), .. }) => variant.each_reference(visit),
            Reply::Object(reference) => visit(reference),
            _ => {}
        }
    }
}
