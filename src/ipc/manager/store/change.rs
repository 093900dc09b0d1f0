//! An atomic change of one place: in an object, inside a nested value, or through references in another object.
//!
//! Python lacks this: there a nested list is fetched, changed and stored again, and concurrent changes are lost.

use std::collections::HashMap;
use std::mem;

use super::container::Container;
use super::dict::{check_key, missing};
use super::slice::place;
use super::{
    Args, DEPTH_LIMIT, Failure, Key, Kind, Method, Object, ObjectId, ObjectRef, Outcome, Reply, Swap, Variant,
};
use crate::ipc::manager::data::add;

/// The operation on one place.
pub(crate) enum Change {
    /// Returns the value at the place, or `default` if there is none.
    Get {
        default: Option<Variant>,
    },
    Set(Variant),
    /// Removes and returns the value at the place; returns `default` if there is none.
    Remove {
        default: Option<Variant>,
    },
    /// Removes the value at the place.
    Delete,
    /// Adds to the number there, or to `default` if there is none.
    Add {
        amount: Variant,
        default: Option<Variant>,
    },
    Push(Variant),
    /// Replaces the value by `new` if it equals `expected`. `None` means no value, for example no such key.
    Swap {
        expected: Option<Variant>,
        new: Option<Variant>,
    },
}

type Path = std::iter::Peekable<std::vec::IntoIter<Key>>;

impl Change {
    /// Parses a call of `method` into path and change, if it is one of this module's methods.
    pub(crate) fn read(method: Method, kind: Kind, args: &mut Args) -> Result<Option<(Vec<Key>, Change)>, Failure> {
        use Method::{
            Add, AddAt, CompareAndSwap, CompareAndSwapAt, DelItem, Get, GetAt, GetItem, Pop, PushAt, RemoveAt, Set,
            SetAt, SetItem,
        };
        let path = match method {
            GetAt | SetAt | RemoveAt | PushAt | AddAt | CompareAndSwapAt => args.keys()?,
            // A value is a single place, so its path is empty.
            Get | Set | Add | CompareAndSwap if kind == Kind::Value => Vec::new(),
            Get | Pop if kind == Kind::Dict => vec![args.step()?],
            GetItem | SetItem | DelItem | Add | CompareAndSwap => vec![args.step()?],
            _ => return Ok(None),
        };
        let change = match method {
            Get if kind == Kind::Dict => Change::Get { default: Some(args.optional().unwrap_or_default()) },
            Set | SetItem | SetAt => Change::Set(args.variant()?),
            Pop | RemoveAt => Change::Remove { default: args.optional() },
            DelItem => Change::Delete,
            PushAt => Change::Push(args.variant()?),
            Add | AddAt => Change::Add { amount: args.variant()?, default: args.optional() },
            CompareAndSwap | CompareAndSwapAt => Change::Swap { expected: args.maybe()?, new: args.maybe()? },
            _ => Change::Get { default: None },
        };
        Ok(Some((path, change)))
    }

    /// Applies the change, following references from object to object.
    pub(crate) fn apply(
        mut self,
        objects: &mut HashMap<ObjectId, Object>,
        (mut object, mut kind): (ObjectId, Kind),
        path: Vec<Key>,
    ) -> Outcome {
        let new_levels = match self {
            Change::Push(_) => path.len(),
            // The first step leads to what an object holds.
            _ => path.len().saturating_sub(1),
        };
        if let Change::Set(variant) | Change::Push(variant) | Change::Swap { new: Some(variant), .. } = &self
            && !variant.is_within_depth(DEPTH_LIMIT.saturating_sub(new_levels))
        {
            return Err(Failure::TooDeep);
        }
        let steps = path.len();
        let mut path = path.into_iter().peekable();
        // A reference may lead back to where it is.
        for _ in 0..=steps + DEPTH_LIMIT {
            match objects.get_mut(&object).ok_or(Failure::NoSuchObject)? {
                Object::Container(container) => match self.in_container(container, &mut path)? {
                    Found::Done(reply) => return Ok(reply),
                    Found::Elsewhere(next) => (object, kind) = (next.id(), next.kind()),
                },
                Object::Array(array) => {
                    let index = index(&path.next().ok_or_else(|| Failure::bad_argument("an index", "nothing"))?)?;
                    if let Some(further) = path.next() {
                        return Err(Failure::no_such_key(&further));
                    }
                    let mut element = Some(array.get(index)?);
                    let reply = self.change(&mut element)?;
                    let stays = || Failure::bad_argument("an array's element to stay", "a removal");
                    return array.set(index, &element.ok_or_else(stays)?).map(|()| reply);
                }
                _ => return Err(Failure::NoSuchMethod { kind, method: Method::GetAt }),
            }
        }
        Err(Failure::TooDeep)
    }

    /// Follows the path within one object, and applies the change if the path ends there.
    fn in_container(&mut self, container: &mut Container, path: &mut Path) -> Result<Found, Failure> {
        match path.peek() {
            Some(step) => check_key(container.kind, step)?,
            None if container.kind == Kind::Value => {}
            None if container.kind == Kind::List && matches!(self, Change::Push(_)) => {}
            None => return Err(Failure::bad_argument("a path", "nothing")),
        }
        let (mut place, mut kind) = (&mut container.content, container.kind);
        loop {
            if self.leads_on(Some(place), path.peek().is_none())
                && let Variant::Object(reference) = place
            {
                return Ok(Found::Elsewhere((**reference).clone()));
            }
            let Some(step) = path.next() else {
                let mut whole = Some(mem::take(place));
                let done = self.change(&mut whole);
                // A value whose content is removed holds null.
                *place = whole.unwrap_or_default();
                return done.map(Found::Done);
            };
            let is_last = path.peek().is_none();
            place = match place {
                Variant::Dict(map) if is_last && !self.leads_on(map.get(&step), true) => {
                    let mut found = map.get_mut(&step).map(mem::take);
                    if found.is_none() && self.needs_one() {
                        return Err(missing(kind, &step));
                    }
                    let done = self.change(&mut found);
                    match found {
                        Some(variant) => drop(map.insert(step, variant)),
                        None => drop(map.remove(&step)),
                    }
                    return done.map(Found::Done);
                }
                Variant::Dict(map) => map.get_mut(&step).ok_or_else(|| missing(kind, &step))?,
                Variant::List(items) => {
                    let at = self::place(index(&step)?, items.len())?;
                    if is_last && !self.leads_on(items.get(at), true) {
                        let mut found = Some(mem::take(&mut items[at]));
                        let done = self.change(&mut found);
                        items.splice(at..=at, found);
                        return done.map(Found::Done);
                    }
                    &mut items[at]
                }
                other => return Err(Failure::bad_argument(format!("a list or a dict before {step}"), other.shape())),
            };
            // The value of an attribute is indexed by keys.
            kind = Kind::Dict;
        }
    }

    /// Whether the way continues in the object to which a reference at this place refers. At its end it does only for
    /// changes inside an object, such as pushing to a list object.
    fn leads_on(&self, place: Option<&Variant>, is_last: bool) -> bool {
        matches!(place, Some(Variant::Object(_))) && (!is_last || matches!(self, Change::Push(_) | Change::Add { .. }))
    }

    fn needs_one(&self) -> bool {
        use Change::{Add, Delete, Get, Push, Remove};
        matches!(self, Get { default: None } | Remove { default: None } | Delete | Push(_) | Add { default: None, .. })
    }

    /// Applies the change to a place, which may be empty. Leaves it unchanged on failure.
    fn change(&mut self, place: &mut Option<Variant>) -> Outcome {
        match self {
            Change::Get { default } => Ok(place.clone().or_else(|| default.take()).unwrap_or_default().into()),
            Change::Set(variant) => {
                *place = Some(mem::take(variant));
                Ok(Reply::DONE)
            }
            Change::Remove { default } => Ok(place.take().or_else(|| default.take()).unwrap_or_default().into()),
            Change::Delete => {
                *place = None;
                Ok(Reply::DONE)
            }
            Change::Add { amount, default } => {
                let before = place.as_ref().or(default.as_ref()).unwrap_or(&Variant::Null);
                let no_number = || {
                    let culprit = if amount.as_f64().is_none() { &*amount } else { before };
                    Failure::bad_argument("a number", culprit.shape())
                };
                let sum = add(before, amount).ok_or_else(no_number)??;
                *place = Some(sum.clone());
                Ok(sum.into())
            }
            Change::Push(variant) => match place {
                Some(Variant::List(items)) => {
                    items.push(mem::take(variant));
                    Ok(items.len().into())
                }
                other => {
                    let got = other.as_ref().map_or("nothing", Variant::shape);
                    Err(Failure::bad_argument("a list to push to", got))
                }
            },
            Change::Swap { expected, new } => {
                let found = place.clone();
                let swapped = found == *expected;
                if swapped {
                    *place = new.take();
                }
                Ok(Reply::Swapped(Swap { swapped, found }))
            }
        }
    }
}

enum Found {
    Done(Reply),
    Elsewhere(ObjectRef),
}

fn index(step: &Key) -> Result<i64, Failure> {
    step.as_datum().as_int().ok_or_else(|| Failure::bad_argument("an index", step.as_datum().shape()))
}
