//! The objects for a type's demonstration: created in a manager, given to workers, and read in the end.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::manager::{
    Array, Dict, JoinableQueue, Kind, List, Manager, Namespace, Object, Proxy, Queue, Value, Variant,
};

/// How often a worker does its part.
pub(super) const TURNS: u32 = 3;
/// The maker of the goods.
pub(super) const SUPPLIER: &str = "runner";
/// The number of elements in the array.
pub(super) const PLACES: usize = 4;
/// The attribute of the namespace to which all workers add.
pub(super) const TOTAL: &str = "total";

/// The objects of one type's turn, in the runner and in the workers' roles.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Fixtures {
    object: Object,
    /// The counter that a lock or a semaphore protects; the goods whose arrival a condition announces.
    protected: Option<Object>,
}

/// Returns the name of an object in a manager that other clients use too, if they can use it at the same time without
/// conflicts.
pub(super) fn name_of(kind: Kind) -> Option<String> {
    use Kind::{Array, BoundedSemaphore, Dict, List, Lock, Namespace, RLock, Semaphore, Value};
    let can_be = matches!(kind, List | Dict | Namespace | Value | Array | Lock | RLock | Semaphore | BoundedSemaphore);
    can_be.then(|| kind.name().to_lowercase())
}

impl Fixtures {
    /// Creates the objects of a type, for this number of workers. What a lock protects has the same lifetime.
    pub(super) fn make(kind: Kind, manager: &Manager, name: Option<&str>, workers: u32) -> Result<Self> {
        let args = match kind {
            Kind::Value => vec!["Q".into(), 0.into()],
            Kind::Array => vec!["Q".into(), vec![Variant::from(0); PLACES].into()],
            Kind::Semaphore | Kind::BoundedSemaphore => vec![1.into()],
            Kind::Barrier => vec![workers.into()],
            _ => vec![],
        };
        let object = manager.make_any(kind, args, name)?;
        let protected = match kind {
            Kind::Lock | Kind::RLock | Kind::Semaphore | Kind::BoundedSemaphore => {
                let name = name.map(|name| format!("{name}.count"));
                Some(manager.make_any(Kind::Value, vec!["Q".into(), 0.into()], name.as_deref())?)
            }
            Kind::Condition => Some(manager.make_any(Kind::List, vec![], None)?),
            _ => None,
        };
        if kind == Kind::Namespace {
            Namespace::of(object.clone())?.at([TOTAL]).compare_and_swap(None, Some(0.into()))?;
        }
        Ok(Fixtures { object, protected })
    }

    pub(super) fn kind(&self) -> Kind {
        self.object.kind()
    }

    /// Returns the object, which must be of this type.
    pub(super) fn object<P: Proxy>(&self) -> Result<P> {
        P::of(self.object.clone())
    }

    /// Returns what the object protects, or else the object itself, which must be of this type.
    pub(super) fn protected<P: Proxy>(&self) -> Result<P> {
        P::of(self.protected.as_ref().unwrap_or(&self.object).clone())
    }

    /// Returns the object to show, and its name.
    pub(super) fn shown(&self) -> (String, &Object) {
        let name = match self.kind() {
            Kind::Lock | Kind::RLock | Kind::Semaphore | Kind::BoundedSemaphore => "count",
            Kind::Condition => "goods",
            Kind::Barrier => "waiting",
            Kind::JoinableQueue => "queue",
            kind => kind.name(),
        };
        (name.to_lowercase(), self.protected.as_ref().unwrap_or(&self.object))
    }

    /// Returns how many steps are visible; for a queue, how many items are left.
    pub(super) fn marks(&self, workers: u32) -> Result<u64> {
        let number = |variant: Variant| variant.as_int().unwrap_or_default();
        Ok(match self.kind() {
            Kind::List => self.object::<List>()?.len()? as u64,
            Kind::Condition => {
                // A null is not an item: it was put for a worker that died before getting it.
                self.protected::<List>()?.copy()?.iter().filter(|item| !item.is_null()).count() as u64
            }
            Kind::Dict => {
                let entries = self.object::<Dict>()?.copy()?;
                let is_written =
                    |key: &String| entries.get(&key.as_str().into()).and_then(Variant::as_str) == Some(key);
                (1..=workers).map(key_of).filter(is_written).count() as u64
            }
            Kind::Namespace => self.object::<Namespace>()?.get(TOTAL)?.map(number).unwrap_or_default(),
            Kind::Value | Kind::Lock | Kind::RLock | Kind::Semaphore | Kind::BoundedSemaphore => {
                number(self.protected::<Value>()?.get()?)
            }
            Kind::Array => self.object::<Array>()?.copy()?.into_iter().map(number).sum(),
            Kind::Queue => self.object::<Queue>()?.qsize()? as u64,
            Kind::JoinableQueue => self.object::<JoinableQueue>()?.unfinished()? as u64,
            Kind::Event | Kind::Barrier => 0,
        })
    }
}

/// Returns a worker's key and value in the dict: `a` for the first, as in the reference program.
pub(super) fn key_of(worker: u32) -> String {
    let of_number = |&number: &u32| (number > 26).then(|| (number - 1) / 26);
    let numbers: Vec<u32> = std::iter::successors(Some(worker), of_number).collect();
    numbers.iter().rev().map(|number| char::from(b'a' + ((number - 1) % 26) as u8)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_worker_has_a_key_of_its_own() {
        assert_eq!([1, 2, 26, 27, 52, 53, 500].map(key_of), ["a", "b", "z", "aa", "az", "ba", "sf"]);
        assert_eq!((1..=500).map(key_of).collect::<BTreeSet<_>>().len(), 500);
    }
}
