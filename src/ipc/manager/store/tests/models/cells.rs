//! Values and arrays, and the change of one place in any object.

use super::*;

/// The arguments of a change, after its path.
pub(super) fn change_args(method: Method, draw: &Draw) -> Vec<Variant> {
    match method {
        Method::SetAt => vec![draw.item()],
        Method::PushAt => vec![draw.number.into()],
        Method::Add | Method::AddAt if draw.flag => vec![draw.number.into(), draw.bound.into()],
        Method::Add | Method::AddAt => vec![draw.number.into()],
        Method::CompareAndSwap | Method::CompareAndSwapAt => {
            let (expected, new) = swap(draw);
            vec![expected.into_iter().collect(), new.into_iter().collect()]
        }
        _ => vec![],
    }
}

/// The expected and the new value.
fn swap(draw: &Draw) -> (Option<Variant>, Option<Variant>) {
    ((draw.bound != 0).then(|| draw.item()), (draw.index != 0).then(|| draw.index.into()))
}

/// Whether the place must have a value.
pub(super) fn needs_one(method: Method, draw: &Draw) -> bool {
    match method {
        Method::Add | Method::AddAt => !draw.flag,
        Method::GetAt | Method::RemoveAt | Method::PushAt => true,
        _ => false,
    }
}

/// Returns the value at the place afterwards, and the answer.
pub(super) fn change(found: Option<Variant>, method: Method, draw: &Draw) -> Result<(Option<Variant>, Reply), Failure> {
    Ok(match method {
        Method::GetAt => (found.clone(), found.ok_or_else(wrong)?.into()),
        Method::SetAt => (Some(draw.item()), Reply::DONE),
        Method::RemoveAt => (None, found.ok_or_else(wrong)?.into()),
        Method::PushAt => match found {
            Some(Variant::List(mut items)) => {
                items.push(draw.number.into());
                let len = items.len();
                (Some(items.into()), len.into())
            }
            _ => return Err(wrong()),
        },
        Method::Add | Method::AddAt => {
            let before = found.unwrap_or_else(|| draw.bound.into());
            let sum = Variant::from(before.as_int::<i64>().ok_or_else(wrong)? + draw.number);
            (Some(sum.clone()), sum.into())
        }
        _ => {
            let (expected, new) = swap(draw);
            let swapped = found == expected;
            (if swapped { new } else { found.clone() }, Reply::Swapped(Swap { swapped, found }))
        }
    })
}

/// Whether a method changes one place inside.
pub(super) fn is_change(method: Method) -> bool {
    use Method::{Add, AddAt, CompareAndSwap, CompareAndSwapAt, GetAt, PushAt, RemoveAt, SetAt};
    matches!(method, Add | AddAt | CompareAndSwap | CompareAndSwapAt | GetAt | PushAt | RemoveAt | SetAt)
}

/// The arguments of a change of the place that `step` leads to: bare, or as a path of one.
pub(super) fn args_at(step: Variant, method: Method, draw: &Draw) -> Vec<Variant> {
    let is_bare = matches!(method, Method::Add | Method::CompareAndSwap);
    let way = if is_bare { step } else { vec![step].into() };
    std::iter::once(way).chain(change_args(method, draw)).collect()
}

/// One piece of data.
pub(super) struct Value(Variant);

impl Value {
    pub(super) fn new() -> Self {
        Value(Variant::from(1))
    }
}

impl Model for Value {
    fn made_with(&self) -> Vec<Variant> {
        vec!["q".into(), self.0.clone()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        Some(match method {
            Method::Get => (vec![], Ok(self.0.clone().into())),
            Method::Set => {
                self.0 = draw.item();
                (vec![self.0.clone()], done())
            }
            Method::Typecode => (vec![], Ok("q".into())),
            change if is_change(change) => {
                let is_bare = matches!(method, Method::Add | Method::CompareAndSwap);
                let way = (!is_bare).then(|| Variant::from(vec![]));
                let args = way.into_iter().chain(change_args(method, draw)).collect();
                let changed = cells::change(Some(self.0.clone()), method, draw);
                // A cell whose content is removed holds null.
                let expected = changed.map(|(after, reply)| {
                    self.0 = after.unwrap_or(Variant::Null);
                    reply
                });
                (args, expected)
            }
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        self.0.clone()
    }
}

/// Integers of one byte.
pub(super) struct Array(Vec<i8>);

impl Array {
    pub(super) fn new(size: usize) -> Self {
        Array(vec![0; size])
    }
}

fn element(variant: &Variant) -> Result<i8, Failure> {
    let number: i64 = variant.as_int().ok_or_else(wrong)?;
    i8::try_from(number).map_err(|_| Failure::OutOfRange { value: number.to_string(), typecode: 'b' })
}

fn numbers(elements: impl IntoIterator<Item = i8>) -> Variant {
    elements.into_iter().map(|number| Variant::from(i64::from(number))).collect()
}

impl Model for Array {
    fn made_with(&self) -> Vec<Variant> {
        vec!["b".into(), self.0.len().into()]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let at = containers::place(draw.index, self.0.len());
        // Some are too large.
        let large = if draw.is_list { draw.item() } else { Variant::from(draw.number * 60) };
        Some(match method {
            Method::Len => (vec![], Ok(self.0.len().into())),
            Method::GetItem => (vec![draw.index.into()], at.map(|at| i64::from(self.0[at]).into())),
            Method::SetItem => {
                let set = at.and_then(|at| element(&large).map(|number| self.0[at] = number));
                (vec![draw.index.into(), large], set.map(|()| Reply::DONE))
            }
            Method::GetSlice => {
                let places = containers::places(draw, self.0.len());
                (draw.slice(), Ok(numbers(places.iter().map(|at| self.0[*at])).into()))
            }
            Method::SetSlice => {
                let places = containers::places(draw, self.0.len());
                let new = vec![large; draw.number as usize];
                let set = if places.len() == new.len() {
                    new.iter().map(element).collect::<Result<Vec<_>, _>>()
                } else {
                    Err(Failure::SliceLength { expected: places.len(), got: new.len() })
                };
                let args = draw.slice().into_iter().chain([new.into()]).collect();
                let set = set.map(|new| places.into_iter().zip(new).for_each(|(at, number)| self.0[at] = number));
                (args, set.map(|()| Reply::DONE))
            }
            Method::Typecode => (vec![], Ok("b".into())),
            Method::Copy => (vec![], Ok(self.snapshot().into())),
            change if is_change(change) => {
                let set = at.and_then(|at| {
                    let (after, reply) = cells::change(Some(i64::from(self.0[at]).into()), method, draw)?;
                    self.0[at] = element(&after.ok_or_else(wrong)?)?;
                    Ok(reply)
                });
                (args_at(draw.index.into(), method, draw), set)
            }
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        numbers(self.0.iter().copied())
    }
}
