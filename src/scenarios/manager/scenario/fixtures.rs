//! The objects for a type's demonstration: created in a manager, given to workers, and read in the end.

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::manager::{
    Array, Barrier, BoundedSemaphore, Condition, Dict, Event, JoinableQueue, Kind, List, Lock, Manager, Namespace,
    Object, Proxy, Queue, RLock, Semaphore, Value, Variant,
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
pub(super) enum Fixtures {
    List(List),
    Dict(Dict),
    Namespace(Namespace),
    Value(Value),
    Array(Array),
    /// With the counter that it protects, like the next three.
    Lock(Lock, Value),
    RLock(RLock, Value),
    Semaphore(Semaphore, Value),
    BoundedSemaphore(BoundedSemaphore, Value),
    /// With the goods whose arrival it announces.
    Condition(Condition, List),
    Event(Event),
    Barrier(Barrier),
    Queue(Queue),
    JoinableQueue(JoinableQueue),
}

/// Where objects come from: a manager, and whether other clients can use them too.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) manager: &'a Manager,
    pub(super) is_shared: bool,
}

impl Source<'_> {
    /// Returns the name of an object that other clients may use at the same time without conflicts.
    pub(super) fn name_of(self, kind: Kind) -> Option<String> {
        use Kind::{Array, BoundedSemaphore, Dict, List, Lock, Namespace, RLock, Semaphore, Value};
        let can_be =
            matches!(kind, List | Dict | Namespace | Value | Array | Lock | RLock | Semaphore | BoundedSemaphore);
        (self.is_shared && can_be).then(|| kind.name().to_lowercase())
    }

    fn make<P: Proxy>(self, args: Vec<Variant>) -> Result<P> {
        self.make_called(self.name_of(P::KIND), args)
    }

    fn make_called<P: Proxy>(self, name: Option<String>, args: Vec<Variant>) -> Result<P> {
        match name {
            Some(name) => self.manager.make_named(&name, args),
            None => self.manager.make(args),
        }
    }

    /// Creates a lock or a semaphore, and the counter that it protects, with the same lifetime.
    fn guarded<P: Proxy>(self, fixtures: fn(P, Value) -> Fixtures, args: Vec<Variant>) -> Result<Fixtures> {
        let name = self.name_of(P::KIND).map(|name| format!("{name}.count"));
        Ok(fixtures(self.make(args)?, self.make_called(name, vec!["Q".into(), 0.into()])?))
    }
}

impl Fixtures {
    /// Creates the objects of a type, for this number of workers.
    pub(super) fn make(kind: Kind, source: Source<'_>, workers: u32) -> Result<Self> {
        Ok(match kind {
            Kind::List => Fixtures::List(source.make(vec![])?),
            Kind::Dict => Fixtures::Dict(source.make(vec![])?),
            Kind::Namespace => {
                let namespace: Namespace = source.make(vec![])?;
                namespace.at([TOTAL]).compare_and_swap(None, Some(0.into()))?;
                Fixtures::Namespace(namespace)
            }
            Kind::Value => Fixtures::Value(source.make(vec!["Q".into(), 0.into()])?),
            Kind::Array => Fixtures::Array(source.make(vec!["Q".into(), vec![Variant::from(0); PLACES].into()])?),
            Kind::Lock => source.guarded(Fixtures::Lock, vec![])?,
            Kind::RLock => source.guarded(Fixtures::RLock, vec![])?,
            Kind::Semaphore => source.guarded(Fixtures::Semaphore, vec![1.into()])?,
            Kind::BoundedSemaphore => source.guarded(Fixtures::BoundedSemaphore, vec![1.into()])?,
            Kind::Condition => Fixtures::Condition(source.make(vec![])?, source.manager.list()?),
            Kind::Event => Fixtures::Event(source.make(vec![])?),
            Kind::Barrier => Fixtures::Barrier(source.make(vec![workers.into()])?),
            Kind::Queue => Fixtures::Queue(source.make(vec![])?),
            Kind::JoinableQueue => Fixtures::JoinableQueue(source.make(vec![])?),
        })
    }

    /// Returns the object to show, and its name.
    pub(super) fn shown(&self) -> (&'static str, &Object) {
        match self {
            Fixtures::List(list) => ("list", list.object()),
            Fixtures::Dict(dict) => ("dict", dict.object()),
            Fixtures::Namespace(namespace) => ("namespace", namespace.object()),
            Fixtures::Value(value) => ("value", value.object()),
            Fixtures::Array(array) => ("array", array.object()),
            Fixtures::Lock(_, count)
            | Fixtures::RLock(_, count)
            | Fixtures::Semaphore(_, count)
            | Fixtures::BoundedSemaphore(_, count) => ("count", count.object()),
            Fixtures::Condition(_, goods) => ("goods", goods.object()),
            Fixtures::Event(event) => ("event", event.object()),
            Fixtures::Barrier(barrier) => ("waiting", barrier.object()),
            Fixtures::Queue(queue) => ("queue", queue.object()),
            Fixtures::JoinableQueue(queue) => ("queue", queue.object()),
        }
    }

    /// Returns how many steps are visible; for a queue, how many items are left.
    pub(super) fn marks(&self, workers: u32) -> Result<u64> {
        let number = |variant: Variant| variant.as_int().unwrap_or_default();
        Ok(match self {
            Fixtures::List(list) => list.len()? as u64,
            // A null is not an item: it was put for a worker that died before getting it.
            Fixtures::Condition(_, goods) => goods.copy()?.iter().filter(|item| !item.is_null()).count() as u64,
            Fixtures::Dict(dict) => {
                let entries = dict.copy()?;
                let is_written =
                    |key: &String| entries.get(&key.as_str().into()).and_then(Variant::as_str) == Some(key);
                (1..=workers).map(key_of).filter(is_written).count() as u64
            }
            Fixtures::Namespace(namespace) => namespace.get(TOTAL)?.map(number).unwrap_or_default(),
            Fixtures::Value(count)
            | Fixtures::Lock(_, count)
            | Fixtures::RLock(_, count)
            | Fixtures::Semaphore(_, count)
            | Fixtures::BoundedSemaphore(_, count) => number(count.get()?),
            Fixtures::Array(array) => array.copy()?.into_iter().map(number).sum(),
            Fixtures::Queue(queue) => queue.qsize()? as u64,
            Fixtures::JoinableQueue(queue) => queue.unfinished()? as u64,
            Fixtures::Event(_) | Fixtures::Barrier(_) => 0,
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
