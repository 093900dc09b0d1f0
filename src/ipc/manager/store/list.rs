//! Lists.
//!
//! # Standard
//! Python `list` with the methods of `ListProxy` (3.14). Differs: `sort` has no key function, and refuses a NaN, which
//! cannot be ordered.

use std::collections::HashSet;

use super::slice::{bound, place, places, range};
use super::{Args, Failure, Kind, Method, Outcome, Reply, Variant};
use crate::ipc::manager::data::compare;

/// The maximum length of a list made by repetition.
const REPEAT_LIMIT: usize = 1 << 24;

/// Calls a method of a list object.
pub(super) fn call(items: &mut Vec<Variant>, method: Method, mut args: Args) -> Outcome {
    let len = items.len();
    Ok(match method {
        Method::Len => len.into(),
        Method::Contains => items.contains(&args.variant()?).into(),
        Method::GetSlice => places(args.slice()?, len)?.map(|at| items[at].clone()).collect::<Variant>().into(),
        Method::Pop => {
            let index = args.or(-1, Args::int)?;
            if items.is_empty() {
                return Err(Failure::Empty(Kind::List));
            }
            items.remove(place(index, len)?).into()
        }
        Method::Index => {
            let wanted = args.variant()?;
            let bounds = [Some(args.or(0, Args::int)?), Some(args.or(i64::MAX, Args::int)?), None];
            let within = range(bounds, len).unwrap_or_default();
            (within.start + position(&items[within], &wanted)?).into()
        }
        Method::Count => {
            let wanted = args.variant()?;
            items.iter().filter(|item| **item == wanted).count().into()
        }
        Method::Reversed => items.iter().rev().cloned().collect::<Variant>().into(),
        Method::Concat => items.iter().cloned().chain(args.list()?).collect::<Variant>().into(),
        Method::Repeat => repeated(items, &mut args)?.into(),
        _ => {
            change(items, method, args)?;
            Reply::DONE
        }
    })
}

/// Calls a method that returns nothing.
fn change(items: &mut Vec<Variant>, method: Method, mut args: Args) -> Result<(), Failure> {
    let len = items.len();
    match method {
        Method::SetSlice => set_slice(items, args.slice()?, args.list()?)?,
        Method::DelSlice => {
            let gone: HashSet<usize> = places(args.slice()?, len)?.collect();
            let mut at = 0..len;
            items.retain(|_| at.next().is_some_and(|at| !gone.contains(&at)));
        }
        Method::Append => items.push(args.variant()?),
        Method::Extend => items.extend(args.list()?),
        Method::Insert => {
            let at = bound(args.int()?, len, 0, len as i128) as usize;
            items.insert(at, args.variant()?);
        }
        Method::Remove => drop(items.remove(position(items, &args.variant()?)?)),
        Method::Reverse => items.reverse(),
        Method::Sort => sort(items, args.or(false, Args::bool)?)?,
        Method::RepeatInPlace => *items = repeated(items, &mut args)?,
        Method::Clear => items.clear(),
        _ => return Err(args.no_such_method()),
    }
    Ok(())
}

/// Returns the index of the first item equal to `wanted`.
fn position(items: &[Variant], wanted: &Variant) -> Result<usize, Failure> {
    items.iter().position(|item| item == wanted).ok_or(Failure::NotInList)
}

fn set_slice(items: &mut Vec<Variant>, slice: [Option<i64>; 3], new: Vec<Variant>) -> Result<(), Failure> {
    if let Some(range) = range(slice, items.len()) {
        items.splice(range, new);
        return Ok(());
    }
    let places = places(slice, items.len())?;
    if places.len() != new.len() {
        return Err(Failure::SliceLength { expected: places.len(), got: new.len() });
    }
    for (at, item) in places.zip(new) {
        items[at] = item;
    }
    Ok(())
}

fn repeated(items: &[Variant], args: &mut Args) -> Result<Vec<Variant>, Failure> {
    let times = usize::try_from(args.int::<i64>()?).unwrap_or(0);
    match items.len().checked_mul(times) {
        Some(len) if len <= REPEAT_LIMIT => {
            args.check_memory_for::<Variant>(len)?;
            Ok(items.iter().cycle().take(len).cloned().collect())
        }
        _ => Err(Failure::bad_argument(format!("a list of at most {REPEAT_LIMIT} items"), "more")),
    }
}

/// Sorts, or leaves the list unchanged if two items cannot be ordered. Stable, reversed or not.
fn sort(items: &mut Vec<Variant>, reverse: bool) -> Result<(), Failure> {
    let (mut order, mut refused): (Vec<usize>, _) = ((0..items.len()).collect(), None);
    order.sort_by(|a, b| {
        // The later item comes second in a refusal.
        let order = compare(&items[*b], &items[*a], &mut refused);
        if reverse { order } else { order.reverse() }
    });
    refused.map_or(Ok(()), |refused| Err(Failure::from(refused)))?;
    *items = order.into_iter().map(|at| std::mem::take(&mut items[at])).collect();
    Ok(())
}
