//! An atomic change of one place: in an object, inside a nested value, or through references in another object.
//!
//! Python lacks this: there a nested list is fetched, changed and stored again, and concurrent changes are lost.

use std::collections::HashMap;
use std::mem;

use super::args::Args;
use super::call::Reply;
use super::container::Container;
use super::dict::check_key;
use super::failure::Failure;
use super::method::Method;
use super::object::Object;
use super::slice::place;
use crate::ipc::manager::data::{DEPTH_LIMIT, Key, Kind, ObjectId, Variant, add};

/// The operation on one place.
pub(crate) enum Change {
    Get,
    Set(Variant),
    Remove,
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
        use Method::{Add, AddAt, CompareAndSwap, CompareAndSwapAt, GetAt, PushAt, RemoveAt, SetAt};
        let path = match method {
            // A value is a single place, so its path is empty.
            Add | CompareAndSwap if kind == Kind::Value => Vec::new(),
            Add | CompareAndSwap => vec![args.key()?],
            GetAt | SetAt | RemoveAt | PushAt | AddAt | CompareAndSwapAt => args.keys()?,
            _ => return Ok(None),
        };
        let change = match method {
            SetAt => Change::Set(args.variant()?),
            RemoveAt => Change::Remove,
            PushAt => Change::Push(args.variant()?),
            Add | AddAt => Change::Add { amount: args.variant()?, default: args.optional() },
            CompareAndSwap | CompareAndSwapAt => Change::Swap { expected: args.maybe()?, new: args.maybe()? },
            _ => Change::Get,
        };
        Ok(Some((path, change)))
    }

    /// Applies the change, following references from object to object.
    pub(crate) fn apply(
        &self,
        objects: &mut HashMap<ObjectId, Object>,
        object: ObjectId,
        path: Vec<Key>,
    ) -> Result<Reply, Failure> {
        let new_levels = match self {
            Change::Push(_) => path.len(),
            // The first step leads to what an object holds.
            _ => path.len().saturating_sub(1),
        };
        if let Change::Set(variant) | Change::Push(variant) | Change::Swap { new: Some(variant), .. } = self
            && !variant.is_within_depth(DEPTH_LIMIT.saturating_sub(new_levels))
        {
            return Err(Failure::TooDeep);
        }
        let (steps, mut within) = (path.len(), object);
        let mut path = path.into_iter().peekable();
        // A reference may lead back to where it is.
        for _ in 0..=steps + DEPTH_LIMIT {
            match objects.get_mut(&within).ok_or(Failure::NoSuchObject)? {
                Object::Container(container) => match self.in_container(container, &mut path)? {
                    Found::Done(reply) => return Ok(reply),
                    Found::Elsewhere(next) => within = next,
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
                other => return Err(Failure::NoSuchMethod { kind: other.kind(), method: Method::GetAt }),
            }
        }
        Err(Failure::TooDeep)
    }

    /// Follows the path within one object, and applies the change if the path ends there.
    fn in_container(&self, container: &mut Container, path: &mut Path) -> Result<Found, Failure> {
        match path.peek() {
            Some(step) => check_key(container.kind, step)?,
            None if container.kind == Kind::Value => {}
            None if container.kind == Kind::List && matches!(self, Change::Push(_)) => {}
            None => return Err(Failure::bad_argument("a path", "nothing")),
        }
        let mut place = &mut container.content;
        loop {
            if self.leads_on(Some(place), path.peek().is_none())
                && let Variant::Object(reference) = place
            {
                return Ok(Found::Elsewhere(reference.id()));
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
                        return Err(Failure::no_such_key(&step));
                    }
                    let done = self.change(&mut found);
                    match found {
                        Some(variant) => drop(map.insert(step, variant)),
                        None => drop(map.remove(&step)),
                    }
                    return done.map(Found::Done);
                }
                Variant::Dict(map) => map.get_mut(&step).ok_or_else(|| Failure::no_such_key(&step))?,
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
        }
    }

    /// Whether the way continues in the object to which a reference at this place refers. At its end it does only for
    /// changes inside an object, such as pushing to a list object.
    fn leads_on(&self, place: Option<&Variant>, is_last: bool) -> bool {
        matches!(place, Some(Variant::Object(_))) && (!is_last || matches!(self, Change::Push(_) | Change::Add { .. }))
    }

    fn needs_one(&self) -> bool {
        matches!(self, Change::Get | Change::Remove | Change::Push(_) | Change::Add { default: None, .. })
    }

    /// Applies the change to a place, which may be empty. Leaves it unchanged on failure.
    fn change(&self, place: &mut Option<Variant>) -> Result<Reply, Failure> {
        match self {
            Change::Get => Ok(place.clone().unwrap_or_default().into()),
            Change::Set(variant) => {
                *place = Some(variant.clone());
                Ok(Reply::DONE)
            }
            Change::Remove => Ok(place.take().unwrap_or_default().into()),
            Change::Add { amount, default } => {
                let before = place.as_ref().or(default.as_ref()).unwrap_or(&Variant::Null);
                let no_number = || {
                    let culprit = if amount.as_f64().is_none() { amount } else { before };
                    Failure::bad_argument("a number", culprit.shape())
                };
                let sum = add(before, amount).ok_or_else(no_number)??;
                *place = Some(sum.clone());
                Ok(sum.into())
            }
            Change::Push(variant) => match place {
                Some(Variant::List(items)) => {
                    items.push(variant.clone());
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
                    place.clone_from(new);
                }
                Ok(Reply::Swapped { swapped, found })
            }
        }
    }
}

enum Found {
    Done(Reply),
    Elsewhere(ObjectId),
}

fn index(step: &Key) -> Result<i64, Failure> {
    step.as_datum().as_int().ok_or_else(|| Failure::bad_argument("an index", step.as_datum().shape()))
}
