//! The table of methods: their names, which types have them, with which arguments, and what they do.
//!
//! Calls are checked against it before an object sees them; `--call` reads names and shows usage from it. Tests check
//! that the types implement exactly this table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ipc::manager::data::Kind;

/// The arguments of a method: the required ones, then the optional ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signature {
    needed: &'static [&'static str],
    optional: &'static [&'static str],
    /// Whether a call leaves the object as it is.
    reads_only: bool,
    may_wait: bool,
}

impl Signature {
    const PLAIN: Signature = Signature { needed: &[], optional: &[], reads_only: false, may_wait: false };

    /// Whether a call may wait for other clients.
    pub fn may_wait(self) -> bool {
        self.may_wait
    }

    /// Returns the name of an argument by its position.
    pub(super) fn name(self, place: usize) -> &'static str {
        self.needed.iter().chain(self.optional).nth(place).copied().unwrap_or("argument")
    }

    /// Whether a call may have this many arguments.
    pub(super) fn takes(self, count: usize) -> bool {
        (self.needed.len()..=self.needed.len() + self.optional.len()).contains(&count)
    }
}

/// As in a usage message: `KEY [DEFAULT]`; empty if there are no arguments.
impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let needed = self.needed.iter().map(|name| name.to_uppercase());
        let optional = self.optional.iter().map(|name| format!("[{}]", name.to_uppercase()));
        f.write_str(&needed.chain(optional).collect::<Vec<_>>().join(" "))
    }
}

/// `(needed, …; optional, …)`, followed by the properties that a call has.
macro_rules! signature {
    (($($needed:ident),* $(; $($optional:ident),*)?) $($property:ident)*) => {
        Signature {
            needed: &[$(stringify!($needed)),*],
            optional: &[$($(stringify!($optional)),*)?],
            $($property: true,)*
            ..Signature::PLAIN
        }
    };
}

/// Defines [`Method`] and the properties of each. A line is a name and, for each group of types at which it takes the
/// same arguments, `[Type | …](needed, …; optional, …)` and the properties of a call: `reads_only`, `may_wait`.
macro_rules! methods {
    ($($(#[doc = $doc:literal])* $method:ident: $([$($kind:ident)|*] $args:tt $($property:ident)*),*;)*) => {
        /// A method of an object in a manager.
        ///
        /// Names are Python's without underscores at the ends (`get_item` is `__getitem__`), in lower case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Method {
            $($(#[doc = $doc])* $method,)*
        }

        impl Method {
            /// All methods, in the order of the table.
            pub const ALL: &'static [Method] = &[$(Method::$method),*];

            /// Returns the arguments of the method for objects of type `kind`; `None` if the type does not have it.
            #[allow(clippy::needless_update, reason = "some calls have every property")]
            pub const fn signature(self, kind: Kind) -> Option<Signature> {
                match (self, kind) {
                    $($((Method::$method, $(Kind::$kind)|*) => Some(signature!($args $($property)*)),)*)*
                    _ => None,
                }
            }
        }
    };
}

methods! {
    /// The number of items.
    Len: [List | Dict | Array | Queue | JoinableQueue]() reads_only;
    /// Whether there is such an item, key or attribute.
    Contains: [List](value) reads_only, [Dict](key) reads_only, [Namespace](name) reads_only;
    /// The item at an index, or for a key or name. An error if there is none.
    GetItem: [List | Array](index) reads_only, [Dict](key) reads_only, [Namespace](name) reads_only;
    /// Sets the item at an index, or for a key or name.
    SetItem: [List | Array](index, value), [Dict](key, value), [Namespace](name, value);
    /// Removes the item at an index, or for a key or name.
    DelItem: [List](index), [Dict](key), [Namespace](name);
    /// The items of a slice.
    GetSlice: [List | Array](; begin, end, step) reads_only;
    /// Replaces the items of a slice. `null` leaves a bound open.
    SetSlice: [List | Array](begin, end, step, items);
    /// Removes the items of a slice.
    DelSlice: [List](; begin, end, step);
    /// The item for a key, or a default; a value; the next item of a queue.
    Get: [Dict](key; default) reads_only, [Value]() reads_only, [Queue | JoinableQueue]() may_wait;
    /// Replaces a value; sets an event.
    Set: [Value](value), [Event]();
    /// The keys in the order of insertion.
    Keys: [Dict]() reads_only;
    /// The values in the order of insertion.
    Values: [Dict]() reads_only;
    /// Pairs of key and value in the order of insertion.
    Items: [Dict]() reads_only;
    /// Removes and returns the item at an index (default: the last), or for a key.
    Pop: [List](; index), [Dict](key; default);
    /// Removes and returns the entry that was inserted last.
    PopItem: [Dict]();
    /// The value of a key, which is set to a default first if there is none.
    SetDefault: [Dict](key; default);
    /// Sets the entries of a dict or of a list of pairs.
    Update: [Dict | Namespace](entries);
    /// A copy with the entries of another.
    Or: [Dict](entries) reads_only;
    /// A new dict of these keys, all with the same value.
    FromKeys: [Dict](keys; value);
    /// Appends an item.
    Append: [List](value);
    /// Appends all items of a list.
    Extend: [List](items);
    /// Inserts an item before an index.
    Insert: [List](index, value);
    /// Removes the first equal item.
    Remove: [List](value);
    /// The index of the first equal item.
    Index: [List](value; begin, end) reads_only;
    /// The number of equal items.
    Count: [List](value) reads_only;
    /// Reverses the list.
    Reverse: [List]();
    /// The items, or keys, in reverse order.
    Reversed: [List | Dict]() reads_only;
    /// Sorts the list.
    Sort: [List](; reverse);
    /// The items followed by those of another list.
    Concat: [List](items) reads_only;
    /// The items, repeated.
    Repeat: [List](times) reads_only;
    /// Repeats the list's items in place.
    RepeatInPlace: [List](times);
    /// A consistent copy of everything.
    Copy: [List | Dict | Namespace | Array]() reads_only;
    /// Removes everything; resets an event.
    Clear: [List | Dict | Event]();
    /// The type of a value or of an array's elements.
    Typecode: [Value | Array]() reads_only;
    /// Acquires a lock or a permit, waiting until one is free.
    Acquire: [Lock | RLock | Semaphore | BoundedSemaphore | Condition]() may_wait;
    /// Releases it.
    Release: [Lock | RLock | Condition](; permit), [Semaphore | BoundedSemaphore](; count);
    /// Whether acquiring it would wait now.
    Locked: [Lock | RLock | Semaphore | BoundedSemaphore | Condition]() reads_only;
    /// The number of free permits.
    GetValue: [Semaphore | BoundedSemaphore]() reads_only;
    /// Waits for a notification, the event, or the other parties.
    Wait: [Condition | Barrier]() may_wait, [Event]() reads_only may_wait;
    /// Wakes some of the waiters.
    Notify: [Condition](; count);
    /// Wakes all waiters.
    NotifyAll: [Condition]();
    /// Whether the event is set.
    IsSet: [Event]() reads_only;
    /// Reports that the barrier's action is finished.
    Finish: [Barrier](; went_well);
    /// Breaks the barrier.
    Abort: [Barrier]();
    /// Repairs a broken barrier; breaks it for present waiters.
    Reset: [Barrier]();
    /// The number of parties.
    Parties: [Barrier]() reads_only;
    /// The number of parties that wait.
    NWaiting: [Barrier]() reads_only;
    /// Whether the barrier is broken.
    Broken: [Barrier]() reads_only;
    /// Puts an item in, waiting for room.
    Put: [Queue | JoinableQueue](item) may_wait;
    /// Reports an item as done.
    TaskDone: [Queue | JoinableQueue](; lease);
    /// Waits until all items are reported as done.
    Join: [Queue | JoinableQueue]() reads_only may_wait;
    /// Shuts the queue down: nothing more can be put, and with `now` its items are dropped.
    Shutdown: [Queue | JoinableQueue](; now);
    /// The number of items.
    Qsize: [Queue | JoinableQueue]() reads_only;
    /// Whether there are no items.
    Empty: [Queue | JoinableQueue]() reads_only;
    /// Whether there is no room.
    Full: [Queue | JoinableQueue]() reads_only;
    /// The number of items that are not reported as done.
    Unfinished: [Queue | JoinableQueue]() reads_only;
    /// The items that were delivered as often as allowed.
    DeadLetters: [Queue | JoinableQueue]() reads_only;
    /// Atomically adds to a number, and returns the sum.
    Add: [List | Array](index, amount; default), [Dict](key, amount; default), [Namespace](name, amount; default),
        [Value](amount; default);
    /// Replaces a value if it is the expected one. Each is a list of one value, or empty for none.
    CompareAndSwap: [List | Array](index, expected, new), [Dict](key, expected, new), [Namespace](name, expected, new),
        [Value](expected, new);
    /// The value at a path: a list of keys and indices.
    GetAt: [List | Dict | Namespace | Value | Array](path) reads_only;
    /// Sets the value at a path.
    SetAt: [List | Dict | Namespace | Value | Array](path, value);
    /// Removes the value at a path.
    RemoveAt: [List | Dict | Namespace | Value | Array](path);
    /// Appends to the list at a path, and returns its length.
    PushAt: [List | Dict | Namespace | Value | Array](path, value);
    /// Atomically adds to the number at a path, and returns the sum.
    AddAt: [List | Dict | Namespace | Value | Array](path, amount; default);
    /// Replaces the value at a path if it is the expected one.
    CompareAndSwapAt: [List | Dict | Namespace | Value | Array](path, expected, new);
    /// The object's state, for display.
    Snapshot: [List | Dict | Namespace | Lock | RLock | Semaphore | BoundedSemaphore | Condition | Event | Barrier | Queue
        | JoinableQueue | Value | Array]() reads_only;
}

impl Method {
    /// Whether a call leaves the object as it is.
    pub(crate) fn reads_only(self, kind: Kind) -> bool {
        self.signature(kind).is_some_and(|signature| signature.reads_only)
    }
}

impl Kind {
    /// Returns the methods of the objects of this type.
    pub fn methods(self) -> Vec<Method> {
        Method::ALL.iter().copied().filter(|method| method.signature(self).is_some()).collect()
    }

    /// Returns the arguments with which an object of this type is created.
    pub const fn signature(self) -> Signature {
        match self {
            Kind::List => signature!((; items)),
            Kind::Dict | Kind::Namespace => signature!((; entries)),
            Kind::Lock | Kind::RLock | Kind::Event => signature!(()),
            Kind::Semaphore | Kind::BoundedSemaphore => signature!((; permits, has_holders)),
            Kind::Condition => signature!((; lock)),
            Kind::Barrier => signature!((parties; has_action, timeout_ns)),
            Kind::Queue => signature!((; maxsize)),
            Kind::JoinableQueue => signature!((; maxsize, deliveries)),
            Kind::Value => signature!((typecode, value)),
            Kind::Array => signature!((typecode, items)),
        }
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The single list of names is the one that serde makes of the variants.
        self.serialize(f)
    }
}

/// No type has a method of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no type has a method {0:?}")]
pub struct UnknownMethod(String);

impl FromStr for Method {
    type Err = UnknownMethod;

    fn from_str(name: &str) -> Result<Self, UnknownMethod> {
        let found = Method::ALL.iter().copied().find(|method| method.to_string() == name);
        found.ok_or_else(|| UnknownMethod(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_found_by_the_names_they_show() {
        for method in Method::ALL {
            assert_eq!(method.to_string().parse(), Ok(*method));
        }
        assert_eq!("get_item".parse(), Ok(Method::GetItem));
        assert_eq!("__getitem__".parse::<Method>(), Err(UnknownMethod("__getitem__".to_owned())));
    }

    #[test]
    fn signature_reads_as_usage() {
        let usage = |method: Method, kind| method.signature(kind).expect("a method of it").to_string();
        assert_eq!(usage(Method::Get, Kind::Dict), "KEY [DEFAULT]");
        assert_eq!(usage(Method::Clear, Kind::Dict), "");
        assert_eq!(Kind::Array.signature().to_string(), "TYPECODE ITEMS");
    }
}
