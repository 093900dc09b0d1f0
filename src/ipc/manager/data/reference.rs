//! A reference to an object, inside another or inside a message.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The id of an object in its manager. Never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectId(pub(crate) u64);

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Defines [`Kind`] by a table of the types and their names.
macro_rules! kinds {
    ($($kind:ident $name:literal)*) => {
        /// The types of objects that a manager serves, by Python's names.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "each is the type of that name")]
        pub enum Kind {
            $($kind,)*
        }

        impl Kind {
            /// Every type.
            pub const ALL: [Kind; [$($name),*].len()] = [$(Kind::$kind),*];

            /// Python's typeid: `list` and `dict` as there, the others capitalised.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$kind => $name,)*
                }
            }
        }
    };
}
kinds! {
    List "list"
    Dict "dict"
    Namespace "Namespace"
    Lock "Lock"
    RLock "RLock"
    Semaphore "Semaphore"
    BoundedSemaphore "BoundedSemaphore"
    Condition "Condition"
    Event "Event"
    Barrier "Barrier"
    Queue "Queue"
    JoinableQueue "JoinableQueue"
    Value "Value"
    Array "Array"
}

impl Kind {
    /// Returns the type of this name, case-insensitively.
    pub fn by_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Keeps a referenced object alive as long as the reference exists; client and server each have their own.
pub(crate) type Keeper = Arc<dyn Any + Send + Sync>;

/// A reference to an object inside data: a dict in a dict stays a reference.
#[derive(Clone, Serialize, Deserialize)]
pub struct ObjectRef {
    id: ObjectId,
    kind: Kind,
    #[serde(skip)]
    keeper: Option<Keeper>,
}

impl ObjectRef {
    pub(crate) fn new(id: ObjectId, kind: Kind, keeper: Option<Keeper>) -> Self {
        ObjectRef { id, kind, keeper }
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// Returns the object's type.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn keeper(&self) -> Option<&Keeper> {
        self.keeper.as_ref()
    }
}

impl PartialEq for ObjectRef {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_is_found_by_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::by_name(&kind.name().to_lowercase()), Some(kind));
        }
        assert_eq!(Kind::by_name("set"), None);
    }
}
