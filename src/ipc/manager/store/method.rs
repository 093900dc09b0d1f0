//! The names of what can be called.

use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};

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
