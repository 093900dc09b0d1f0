//! An atomic change of one place: in an object, inside a nested value, or through references in another object.
//!
//! Python lacks this: there a nested list is fetched, changed and stored again, and concurrent changes are lost.

use std::collections::HashMap;

use super::args::Args;
use super::call::Reply;
use super::dict::attribute_name;
use super::failure::Failure;
use super::method::Method;
use super::object::Object;
use super::slice::place;
use crate::ipc::manager::data::{DEPTH_LIMIT, Key, Kind, Map, ObjectId, Variant, add};

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
        let depth = path.len();
        let mut path = path.into_iter().peekable();
        let mut within = object;
        loop {
            let object = objects.get_mut(&within).ok_or(Failure::NoSuchObject)?;
            match go(object, &mut path, self, depth)? {
                Found::Done(reply) => return Ok(reply),
                Found::Elsewhere(next) => within = next,
            }
        }
    }
}

enum Found {
    Done(Reply),
    Elsewhere(ObjectId),
}

type Path = std::iter::Peekable<std::vec::IntoIter<Key>>;

/// Follows the path within one object, and applies the change if the path ends there.
fn go(object: &mut Object, path: &mut Path, change: &Change, depth: usize) -> Result<Found, Failure> {
    let place = match object {
        Object::Array(array) => {
            let step = path.next().ok_or_else(|| Failure::bad_argument("an index", "nothing"))?;
            let index = index(&step)?;
            if let Some(further) = path.next() {
                return Err(Failure::no_such_key(&further));
            }
            let mut element = Some(array.get(index)?);
            let reply = apply(&mut element, change)?;
            array.set(
                index,
                &element.ok_or_else(|| Failure::bad_argument("an array's element to stay", "a removal"))?,
            )?;
            return Ok(Found::Done(reply));
        }
        Object::Value(value) => &mut value.variant,
        Object::Dict(dict) => {
            let Some(step) = path.next() else { return Err(Failure::bad_argument("a path", "nothing")) };
            if path.peek().is_none() && !leads_on(dict.entries.get(&step), change) {
                return in_map(&mut dict.entries, step, change).map(Found::Done);
            }
            dict.entries.get_mut(&step).ok_or_else(|| Failure::no_such_key(&step))?
        }
        Object::Namespace(namespace) => {
            let Some(step) = path.next() else { return Err(Failure::bad_argument("a path", "nothing")) };
            let name = attribute_name(&step)?.to_owned();
            if path.peek().is_none() && !leads_on(namespace.attributes.get(&step), change) {
                return in_map(&mut namespace.attributes, step, change).map(Found::Done);
            }
            namespace.attributes.get_mut(&step).ok_or(Failure::NoSuchAttribute(name))?
        }
        Object::List(list) => {
            let Some(step) = path.next() else {
                return match change {
                    Change::Push(variant) => {
                        list.items.push(variant.clone());
                        Ok(Found::Done(list.items.len().into()))
                    }
                    _ => Err(Failure::bad_argument("a path", "nothing")),
                };
            };
            let at = place(index(&step)?, list.items.len())?;
            if path.peek().is_none() && !leads_on(list.items.get(at), change) {
                return in_list(&mut list.items, at, change).map(Found::Done);
            }
            &mut list.items[at]
        }
        other => return Err(Failure::NoSuchMethod { kind: other.kind(), method: Method::GetAt }),
    };
    inside(place, path, change, depth)
}

/// Whether a change at the end of the path applies to a referenced object: pushing to a list object stored there.
fn leads_on(place: Option<&Variant>, change: &Change) -> bool {
    goes_through(change) && matches!(place, Some(Variant::Object(_)))
}

fn goes_through(change: &Change) -> bool {
    matches!(change, Change::Push(_) | Change::Add { .. })
}

/// Follows the path inside one piece of data.
fn inside(mut place: &mut Variant, path: &mut Path, change: &Change, depth: usize) -> Result<Found, Failure> {
    if let Change::Set(variant) | Change::Push(variant) | Change::Swap { new: Some(variant), .. } = change
        && !variant.is_within_depth(DEPTH_LIMIT.saturating_sub(depth))
    {
        return Err(Failure::TooDeep);
    }
    loop {
        if let Variant::Object(reference) = place
            && (path.peek().is_some() || goes_through(change))
        {
            return Ok(Found::Elsewhere(reference.id()));
        }
        let Some(step) = path.next() else {
            let mut whole = Some(std::mem::replace(place, Variant::Null));
            let done = apply(&mut whole, change);
            // A cell whose content is removed holds null.
            *place = whole.unwrap_or(Variant::Null);
            return done.map(Found::Done);
        };
        let last = path.peek().is_none();
        place = match place {
            Variant::Dict(map) if last && !leads_on(map.get(&step), change) => {
                return in_map(map, step, change).map(Found::Done);
            }
            Variant::Dict(map) => map.get_mut(&step).ok_or_else(|| Failure::no_such_key(&step))?,
            Variant::List(items) => {
                let at = place_of(&step, items.len())?;
                if last && !leads_on(items.get(at), change) {
                    return in_list(items, at, change).map(Found::Done);
                }
                &mut items[at]
            }
            other => return Err(Failure::bad_argument(format!("a list or a dict before {step}"), other.shape())),
        };
    }
}

fn place_of(step: &Key, len: usize) -> Result<usize, Failure> {
    place(index(step)?, len)
}

fn index(step: &Key) -> Result<i64, Failure> {
    step.as_datum().as_int().ok_or_else(|| Failure::bad_argument("an index", step.as_datum().shape()))
}

fn in_map(map: &mut Map, key: Key, change: &Change) -> Result<Reply, Failure> {
    let needs_one =
        matches!(change, Change::Get | Change::Remove | Change::Push(_) | Change::Add { default: None, .. });
    let Some(place) = map.get_mut(&key) else {
        if needs_one {
            return Err(Failure::no_such_key(&key));
        }
        let mut place = None;
        let reply = apply(&mut place, change)?;
        if let Some(variant) = place {
            map.insert(key, variant);
        }
        return Ok(reply);
    };
    let mut whole = Some(std::mem::replace(place, Variant::Null));
    let done = apply(&mut whole, change);
    match whole {
        Some(variant) => *place = variant,
        None => drop(map.remove(&key)),
    }
    done
}

fn in_list(items: &mut Vec<Variant>, at: usize, change: &Change) -> Result<Reply, Failure> {
    let mut whole = Some(std::mem::replace(&mut items[at], Variant::Null));
    let done = apply(&mut whole, change);
    match whole {
        Some(variant) => items[at] = variant,
        None => drop(items.remove(at)),
    }
    done
}

/// Applies the change to a place, which may be empty. Leaves it unchanged on failure.
fn apply(place: &mut Option<Variant>, change: &Change) -> Result<Reply, Failure> {
    match change {
        Change::Get => Ok(place.clone().unwrap_or(Variant::Null).into()),
        Change::Set(variant) => {
            *place = Some(variant.clone());
            Ok(Reply::DONE)
        }
        Change::Remove => Ok(place.take().unwrap_or(Variant::Null).into()),
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
            other => Err(Failure::bad_argument("a list to push to", other.as_ref().map_or("nothing", Variant::shape))),
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
