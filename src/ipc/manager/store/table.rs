//! Which type has which methods: for messages, and for who looks for a method by its name.
//!
//! The types themselves decide what they serve; that this table says the same is tested.

use super::method::Method;
use crate::ipc::manager::data::Kind;

/// What is done at one place inside a container, in one step.
const INSIDE: [Method; 8] = {
    use Method::{Add, AddAt, CompareAndSwap, CompareAndSwapAt, GetAt, PushAt, RemoveAt, SetAt};
    [Add, CompareAndSwap, GetAt, SetAt, RemoveAt, PushAt, AddAt, CompareAndSwapAt]
};

impl Kind {
    /// The methods of the objects of this type.
    pub fn methods(self) -> Vec<Method> {
        let inside: &[Method] = match self {
            Kind::List | Kind::Dict | Kind::Namespace | Kind::Value | Kind::Array => &INSIDE,
            _ => &[],
        };
        [self.own_methods(), inside, &[Method::Snapshot]].concat()
    }

    fn own_methods(self) -> &'static [Method] {
        use Method::{
            Abort, Acquire, Append, Broken, Clear, Concat, Contains, Copy, Count, DeadLetters, DelItem, DelSlice,
            Empty, Extend, Finish, FromKeys, Full, Get, GetItem, GetSlice, GetValue, Index, Insert, IsSet, Items, Join,
            Keys, Len, Locked, NWaiting, Notify, NotifyAll, Or, Parties, Pop, PopItem, Put, Qsize, Release, Remove,
            Repeat, RepeatInPlace, Reset, Reverse, Reversed, Set, SetDefault, SetItem, SetSlice, Shutdown, Sort,
            TaskDone, Typecode, Unfinished, Update, Values, Wait,
        };
        match self {
            Kind::List => &[
                Len,
                Contains,
                GetItem,
                SetItem,
                DelItem,
                GetSlice,
                SetSlice,
                DelSlice,
                Append,
                Extend,
                Insert,
                Pop,
                Remove,
                Index,
                Count,
                Reverse,
                Reversed,
                Sort,
                Concat,
                Repeat,
                RepeatInPlace,
                Copy,
                Clear,
            ],
            Kind::Dict => &[
                Len, Contains, GetItem, Get, SetItem, DelItem, Pop, PopItem, SetDefault, Update, Or, FromKeys, Keys,
                Values, Items, Reversed, Copy, Clear,
            ],
            Kind::Namespace => &[GetItem, SetItem, DelItem, Contains, Update, Copy],
            Kind::Lock | Kind::RLock => &[Acquire, Release, Locked],
            Kind::Semaphore | Kind::BoundedSemaphore => &[Acquire, Release, GetValue, Locked],
            Kind::Condition => &[Acquire, Release, Locked, Wait, Notify, NotifyAll],
            Kind::Event => &[IsSet, Set, Clear, Wait],
            Kind::Barrier => &[Wait, Finish, Abort, Reset, Parties, NWaiting, Broken],
            Kind::Queue | Kind::JoinableQueue => {
                &[Put, Get, TaskDone, Join, Shutdown, Qsize, Len, Empty, Full, Unfinished, DeadLetters]
            }
            Kind::Value => &[Get, Set, Typecode],
            Kind::Array => &[Len, GetItem, SetItem, GetSlice, SetSlice, Typecode, Copy],
        }
    }

    /// Whether a method may wait for what others do.
    pub(crate) fn may_wait(self, method: Method) -> bool {
        match method {
            Method::Acquire | Method::Wait | Method::Join | Method::Put => true,
            Method::Get => matches!(self, Kind::Queue | Kind::JoinableQueue),
            _ => false,
        }
    }
}
