//! Lists.
//!
//! # Standard
//! Python `list` with the methods of `ListProxy` (3.14). Differs: `sort` has no key function, and refuses a NaN, which
//! cannot be ordered.

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::slice::{place, places, range};
use crate::ipc::manager::data::{Kind, NotComparable, Variant, compare};

/// The maximum length of a list made by repetition.
const REPEAT_LIMIT: usize = 1 << 24;

/// A list object.
#[derive(Debug, Default)]
pub(crate) struct List {
    pub(crate) items: Vec<Variant>,
}

impl List {
    pub(crate) fn create(mut args: Args) -> Result<Self, Failure> {
        Ok(List { items: args.list_or_empty()? })
    }

    pub(crate) fn call(&mut self, method: Method, mut args: Args) -> Result<Reply, Failure> {
        let items = &mut self.items;
        let len = items.len();
        let reply = match method {
            Method::Len => Reply::from(len),
            Method::Contains => items.contains(&args.variant()?).into(),
            Method::GetItem => items[place(args.int()?, len)?].clone().into(),
            Method::SetItem => {
                let at = place(args.int()?, len)?;
                items[at] = args.variant()?;
                Reply::DONE
            }
            Method::DelItem => {
                items.remove(place(args.int()?, len)?);
                Reply::DONE
            }
            Method::GetSlice => {
                places(args.slice()?, len)?.into_iter().map(|at| items[at].clone()).collect::<Variant>().into()
            }
            Method::SetSlice => {
                let slice = args.slice()?;
                set_slice(items, slice, args.list()?)?;
                Reply::DONE
            }
            Method::DelSlice => {
                let mut gone = places(args.slice()?, len)?;
                gone.sort_unstable();
                let mut at = 0;
                items.retain(|_| {
                    at += 1;
                    gone.binary_search(&(at - 1)).is_err()
                });
                Reply::DONE
            }
            Method::Append => {
                items.push(args.variant()?);
                Reply::DONE
            }
            Method::Extend => {
                items.extend(args.list()?);
                Reply::DONE
            }
            Method::Insert => {
                let index: i64 = args.int()?;
                let at = if index < 0 { (i128::from(index) + len as i128).max(0) } else { i128::from(index) };
                items.insert((at as usize).min(len), args.variant()?);
                Reply::DONE
            }
            Method::Pop => {
                let index = args.int_or(-1)?;
                if items.is_empty() {
                    return Err(Failure::Empty(Kind::List));
                }
                items.remove(place(index, len)?).into()
            }
            Method::Remove => {
                let wanted = args.variant()?;
                let at = items.iter().position(|item| *item == wanted).ok_or(Failure::NotInList)?;
                items.remove(at);
                Reply::DONE
            }
            Method::Index => {
                let wanted = args.variant()?;
                let within =
                    range([Some(args.int_or(0)?), Some(args.int_or(i64::MAX)?), None], len).unwrap_or_default();
                let begin = within.start;
                let at = items[within].iter().position(|item| *item == wanted).ok_or(Failure::NotInList)?;
                (begin + at).into()
            }
            Method::Count => {
                let wanted = args.variant()?;
                items.iter().filter(|item| **item == wanted).count().into()
            }
            Method::Reverse => {
                items.reverse();
                Reply::DONE
            }
            Method::Reversed => items.iter().rev().cloned().collect::<Variant>().into(),
            Method::Sort => {
                sort(items, args.bool_or(false)?)?;
                Reply::DONE
            }
            Method::Concat => items.iter().cloned().chain(args.list()?).collect::<Variant>().into(),
            Method::Repeat => repeated(items, args.int()?)?.into(),
            Method::RepeatInPlace => {
                *items = repeated(items, args.int()?)?;
                Reply::DONE
            }
            Method::Copy | Method::Snapshot => items.clone().into(),
            Method::Clear => {
                items.clear();
                Reply::DONE
            }
            _ => return Err(Failure::NoSuchMethod { kind: Kind::List, method }),
        };
        Ok(reply)
    }
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
    for (at, item) in places.into_iter().zip(new) {
        items[at] = item;
    }
    Ok(())
}

fn repeated(items: &[Variant], times: i64) -> Result<Vec<Variant>, Failure> {
    let times = usize::try_from(times).unwrap_or(0);
    match items.len().checked_mul(times) {
        Some(len) if len <= REPEAT_LIMIT => Ok(items.iter().cycle().take(len).cloned().collect()),
        _ => Err(Failure::bad_argument(format!("a list of at most {REPEAT_LIMIT} items"), "more")),
    }
}

/// Sorts, or leaves the list unchanged if two items cannot be ordered. Stable, reversed or not.
fn sort(items: &mut [Variant], reverse: bool) -> Result<(), Failure> {
    let order = merge_sorted((0..items.len()).collect(), &|a: usize, b: usize| {
        let order = compare(&items[a], &items[b])?;
        Ok(if reverse { order.is_lt() } else { order.is_gt() })
    })?;
    let mut taken: Vec<Variant> = items.iter_mut().map(|item| std::mem::replace(item, Variant::Null)).collect();
    for (at, from) in order.into_iter().enumerate() {
        items[at] = std::mem::replace(&mut taken[from], Variant::Null);
    }
    Ok(())
}

/// A merge sort whose comparison may fail, unlike the standard library's.
fn merge_sorted(
    mut left: Vec<usize>,
    comes_after: &impl Fn(usize, usize) -> Result<bool, NotComparable>,
) -> Result<Vec<usize>, NotComparable> {
    if left.len() < 2 {
        return Ok(left);
    }
    let right = merge_sorted(left.split_off(left.len() / 2), comes_after)?;
    let left = merge_sorted(left, comes_after)?;
    let mut merged = Vec::with_capacity(left.len() + right.len());
    let (mut left, mut right) = (left.into_iter().peekable(), right.into_iter().peekable());
    while let (Some(&first), Some(&second)) = (left.peek(), right.peek()) {
        merged.extend(if comes_after(first, second)? { right.next() } else { left.next() });
    }
    merged.extend(left);
    merged.extend(right);
    Ok(merged)
}
