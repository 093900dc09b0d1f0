//! Lists, dicts and namespaces.

use super::cells::{args_at, change, is_change, needs_one};
use super::*;

/// The position for a Python index.
pub(super) fn place(index: i64, len: usize) -> Result<usize, Failure> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|at| *at < len).ok_or(Failure::IndexOutOfRange)
}

/// The positions of a slice: all positions within the bounds, in the order of the step.
pub(super) fn places(draw: &Draw, len: usize) -> Vec<usize> {
    let (len, step) = (len as i64, draw.step.unwrap_or(1));
    let from_the_start = |bound: i64| if bound < 0 { bound + len } else { bound };
    let (begin, end) = (from_the_start(draw.index), from_the_start(draw.bound));
    let is_in: Box<dyn Fn(&i64) -> bool> = if step > 0 {
        let begin = begin.max(0);
        Box::new(move |at| (begin..end).contains(at) && (at - begin) % step == 0)
    } else {
        let begin = begin.min(len - 1);
        Box::new(move |at| *at <= begin && *at > end.max(-1) && (begin - at) % step == 0)
    };
    let mut places: Vec<i64> = (0..len).filter(is_in).collect();
    if step < 0 {
        places.reverse();
    }
    places.into_iter().map(|at| at as usize).collect()
}

/// Numbers, and lists of numbers.
#[derive(Default)]
pub(super) struct List(Vec<Variant>);

impl List {
    fn set_slice(&mut self, draw: &Draw, new: &[Variant]) -> Expected {
        let len = self.0.len();
        if draw.step.is_none_or(|step| step == 1) {
            let bound =
                |bound: i64| if bound < 0 { (bound + len as i64).max(0) } else { bound.min(len as i64) } as usize;
            let begin = bound(draw.index);
            self.0.splice(begin..bound(draw.bound).max(begin), new.iter().cloned());
            return done();
        }
        let places = places(draw, len);
        if places.len() != new.len() {
            return Err(Failure::SliceLength { expected: places.len(), got: new.len() });
        }
        places.into_iter().zip(new).for_each(|(at, item)| self.0[at] = item.clone());
        done()
    }

    fn sort(&mut self, reverse: bool) -> Expected {
        let lists = self.0.iter().filter(|item| item.as_list().is_some()).count();
        if lists != 0 && lists != self.0.len() {
            return Err(no_order());
        }
        let numbers = |item: &Variant| match item.as_list() {
            Some(items) => items.iter().filter_map(Variant::as_int::<i64>).collect(),
            None => vec![item.as_int::<i64>().expect("a number")],
        };
        self.0.sort_by_key(numbers);
        if reverse {
            self.0.reverse();
        }
        done()
    }
}

impl Model for List {
    fn made_with(&self) -> Vec<Variant> {
        vec![]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let (len, item) = (self.0.len(), draw.item());
        let at = place(draw.index, len);
        let index = Variant::from(draw.index);
        let found = self.0.iter().position(|known| *known == item).ok_or(Failure::NotInList);
        let two = || vec![item.clone(), draw.number.into()];
        // Limits the length.
        let times = if len > 20 { 0 } else { draw.number };
        let repeated = |items: &[Variant]| vec![items; times as usize].concat();
        Some(match method {
            Method::Len => (vec![], Ok(len.into())),
            Method::Contains => (vec![item], Ok(found.is_ok().into())),
            Method::GetItem => (vec![index], at.map(|at| self.0[at].clone().into())),
            Method::SetItem => (vec![index, item.clone()], at.map(|at| self.0[at] = item).and(done())),
            Method::DelItem => (vec![index], at.map(|at| self.0.remove(at)).and(done())),
            Method::GetSlice => {
                let items = places(draw, len).into_iter().map(|at| self.0[at].clone());
                (draw.slice(), Ok(items.collect::<Variant>().into()))
            }
            Method::SetSlice => {
                let args = draw.slice().into_iter().chain([two().into()]).collect();
                (args, self.set_slice(draw, &two()))
            }
            Method::DelSlice => {
                let mut places = places(draw, len);
                places.sort_unstable();
                places.into_iter().rev().for_each(|at| drop(self.0.remove(at)));
                (draw.slice(), done())
            }
            Method::Append => {
                self.0.push(item.clone());
                (vec![item], done())
            }
            Method::Extend => {
                self.0.extend(two());
                (vec![two().into()], done())
            }
            Method::Insert => {
                let from_the_end = (len as i64 + draw.index).max(0) as usize;
                let at = if draw.index < 0 { from_the_end } else { (draw.index as usize).min(len) };
                self.0.insert(at, item.clone());
                (vec![index, item], done())
            }
            Method::Pop if len == 0 => (vec![index], Err(Failure::Empty(Kind::List))),
            Method::Pop => (vec![index], at.map(|at| self.0.remove(at).into())),
            Method::Remove => (vec![item], found.map(|at| self.0.remove(at)).and(done())),
            Method::Index => (vec![item], found.map(Reply::from)),
            Method::Count => (vec![item.clone()], Ok(self.0.iter().filter(|known| **known == item).count().into())),
            Method::Reverse => {
                self.0.reverse();
                (vec![], done())
            }
            Method::Reversed => (vec![], Ok(self.0.iter().rev().cloned().collect::<Variant>().into())),
            Method::Sort => (vec![draw.flag.into()], self.sort(draw.flag)),
            Method::Concat => (vec![two().into()], Ok([self.0.clone(), two()].concat().into())),
            Method::Repeat => (vec![times.into()], Ok(repeated(&self.0).into())),
            Method::RepeatInPlace => {
                self.0 = repeated(&self.0);
                (vec![times.into()], done())
            }
            Method::Copy => (vec![], Ok(self.snapshot().into())),
            Method::Clear => {
                self.0.clear();
                (vec![], done())
            }
            // An empty path leads to the list itself.
            Method::PushAt if draw.flag => {
                self.0.push(draw.number.into());
                (vec![vec![].into(), draw.number.into()], Ok((len + 1).into()))
            }
            method if is_change(method) => {
                let changed = at.and_then(|at| {
                    let (after, reply) = change(Some(self.0[at].clone()), method, draw)?;
                    self.0.splice(at..=at, after);
                    Ok(reply)
                });
                (args_at(index, method, draw), changed)
            }
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        self.0.clone().into()
    }
}

/// Entries in the insertion order of their keys.
#[derive(Default)]
struct Entries(Vec<(String, Variant)>);

impl Entries {
    fn at(&self, key: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known == key)
    }

    fn get(&self, key: &str) -> Option<Variant> {
        self.at(key).map(|at| self.0[at].1.clone())
    }

    fn set(&mut self, key: &str, variant: Option<Variant>) {
        match (self.at(key), variant) {
            (Some(at), Some(variant)) => self.0[at].1 = variant,
            (Some(at), None) => drop(self.0.remove(at)),
            (None, variant) => self.0.extend(variant.map(|variant| (key.to_owned(), variant))),
        }
    }

    fn remove(&mut self, key: &str) -> Option<Variant> {
        let found = self.get(key);
        self.set(key, None);
        found
    }

    fn change(&mut self, method: Method, draw: &Draw, missing: Failure) -> (Vec<Variant>, Expected) {
        let found = self.get(&draw.key);
        let changed =
            if found.is_none() && needs_one(method, draw) { Err(missing) } else { change(found, method, draw) };
        let expected = changed.map(|(after, reply)| {
            self.set(&draw.key, after);
            reply
        });
        (args_at(draw.key.as_str().into(), method, draw), expected)
    }

    fn map(&self) -> Variant {
        self.0.iter().map(|(key, variant)| (Key::from(key), variant.clone())).collect::<Map>().into()
    }
}

fn one(draw: &Draw) -> Variant {
    [(Key::from(&draw.key), draw.item())].into_iter().collect::<Map>().into()
}

#[derive(Default)]
pub(super) struct Dict(Entries);

impl Model for Dict {
    fn made_with(&self) -> Vec<Variant> {
        vec![]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let entries = &mut self.0;
        let (key, item) = (Variant::from(draw.key.as_str()), draw.item());
        let found = entries.get(&draw.key);
        let missing = Failure::no_such_key(&Key::from(&draw.key));
        let pair = |(key, variant): &(String, Variant)| Variant::from(vec![key.as_str().into(), variant.clone()]);
        let keys = |entries: &[(String, Variant)]| entries.iter().map(|(key, _)| Variant::from(key.as_str())).collect();
        Some(match method {
            Method::Len => (vec![], Ok(entries.0.len().into())),
            Method::Contains => (vec![key], Ok(found.is_some().into())),
            Method::GetItem => (vec![key], found.map(Reply::from).ok_or(missing)),
            Method::Get if draw.flag => (vec![key, item.clone()], Ok(found.unwrap_or(item).into())),
            Method::Get => (vec![key], Ok(found.unwrap_or(Variant::Null).into())),
            Method::SetItem => {
                entries.set(&draw.key, Some(item.clone()));
                (vec![key, item], done())
            }
            Method::DelItem => (vec![key], entries.remove(&draw.key).map(|_| Reply::DONE).ok_or(missing)),
            Method::Pop if draw.flag => (vec![key, item.clone()], Ok(entries.remove(&draw.key).unwrap_or(item).into())),
            Method::Pop => (vec![key], entries.remove(&draw.key).map(Reply::from).ok_or(missing)),
            Method::PopItem => {
                let last = entries.0.pop().ok_or(Failure::Empty(Kind::Dict));
                (vec![], last.map(|last| pair(&last).into()))
            }
            Method::SetDefault => {
                let known = found.unwrap_or_else(|| item.clone());
                entries.set(&draw.key, Some(known.clone()));
                (vec![key, item], Ok(known.into()))
            }
            Method::Update => {
                entries.set(&draw.key, Some(item));
                (vec![one(draw)], done())
            }
            Method::Or => {
                let mut both = Entries(entries.0.clone());
                both.set(&draw.key, Some(item));
                (vec![one(draw)], Ok(both.map().into()))
            }
            Method::FromKeys => (vec![vec![key].into(), item], Ok(one(draw).into())),
            Method::Keys => (vec![], Ok(Reply::Variant(keys(&entries.0)))),
            Method::Values => {
                (vec![], Ok(entries.0.iter().map(|(_, variant)| variant.clone()).collect::<Variant>().into()))
            }
            Method::Items => (vec![], Ok(entries.0.iter().map(pair).collect::<Variant>().into())),
            Method::Reversed => {
                let turned: Vec<_> = entries.0.iter().rev().cloned().collect();
                (vec![], Ok(Reply::Variant(keys(&turned))))
            }
            Method::Copy => (vec![], Ok(entries.map().into())),
            Method::Clear => {
                entries.0.clear();
                (vec![], done())
            }
            method if is_change(method) => entries.change(method, draw, missing),
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        self.0.map()
    }
}

#[derive(Default)]
pub(super) struct Namespace(Entries);

impl Model for Namespace {
    fn made_with(&self) -> Vec<Variant> {
        vec![]
    }

    fn call(&mut self, method: Method, draw: &Draw) -> Option<(Vec<Variant>, Expected)> {
        let attributes = &mut self.0;
        let (name, item) = (Variant::from(draw.key.as_str()), draw.item());
        let missing = Failure::NoSuchAttribute(draw.key.clone());
        Some(match method {
            Method::GetItem => (vec![name], attributes.get(&draw.key).map(Reply::from).ok_or(missing)),
            Method::SetItem => {
                attributes.set(&draw.key, Some(item.clone()));
                (vec![name, item], done())
            }
            Method::DelItem => (vec![name], attributes.remove(&draw.key).map(|_| Reply::DONE).ok_or(missing)),
            Method::Contains => (vec![name], Ok(attributes.at(&draw.key).is_some().into())),
            Method::Update => {
                attributes.set(&draw.key, Some(item));
                (vec![one(draw)], done())
            }
            Method::Copy => (vec![], Ok(attributes.map().into())),
            method if is_change(method) => attributes.change(method, draw, missing),
            _ => return None,
        })
    }

    fn snapshot(&self) -> Variant {
        self.0.map()
    }
}
