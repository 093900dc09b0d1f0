//! Containers against the standard library's, with random calls.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn call(
    stage: &mut Stage,
    client: SessionId,
    object: &ObjectRef,
    method: Method,
    args: Vec<Datum>,
) -> Result<Datum, Failure> {
    match stage.call_for(client, object, method, args, Patience::NONE) {
        Some(Ok(Reply::Datum(datum) | Reply::Item(datum))) => Ok(datum),
        Some(Ok(Reply::NotInTime)) => Ok(Datum::from("not in time")),
        Some(Err(failure)) => Err(failure),
        other => panic!("{method} came to {other:?}"),
    }
}

/// Where Python's index points, if anywhere.
fn at(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index + len as i64 } else { index };
    usize::try_from(index).ok().filter(|at| *at < len)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn list_does_what_a_vec_does(steps in prop::collection::vec((0..9_u8, -8..8_i64, 0..5_i64), 0..80)) {
        let mut stage = Stage::new();
        let client = stage.client();
        let list = stage.make(client, Kind::List, vec![]);
        let mut model: Vec<i64> = Vec::new();
        let null = || Ok(Datum::Null);
        for (step, index, item) in steps {
            let (mut of, len) = (|method, args| call(&mut stage, client, &list, method, args), model.len());
            match step {
                0 => {
                    prop_assert_eq!(of(Method::Append, vec![item.into()]), null());
                    model.push(item);
                }
                1 => {
                    prop_assert_eq!(of(Method::Insert, vec![index.into(), item.into()]), null());
                    let at = if index < 0 { (index + len as i64).max(0) as usize } else { (index as usize).min(len) };
                    model.insert(at, item);
                }
                2 => {
                    let expected = match at(index, len) {
                        _ if len == 0 => Err(Failure::Empty(Kind::List)),
                        Some(at) => Ok(model.remove(at).into()),
                        None => Err(Failure::IndexOutOfRange),
                    };
                    prop_assert_eq!(of(Method::Pop, vec![index.into()]), expected);
                }
                3 => {
                    let found = model.iter().position(|known| *known == item);
                    let expected = found.map(|at| { model.remove(at); Datum::Null }).ok_or(Failure::NotInList);
                    prop_assert_eq!(of(Method::Remove, vec![item.into()]), expected);
                }
                4 => {
                    prop_assert_eq!(of(Method::Sort, vec![(item % 2 == 0).into()]), null());
                    model.sort_unstable();
                    if item % 2 == 0 { model.reverse() }
                }
                5 => {
                    let expected = at(index, len).map(|at| { model[at] = item; Datum::Null }).ok_or(Failure::IndexOutOfRange);
                    prop_assert_eq!(of(Method::SetItem, vec![index.into(), item.into()]), expected);
                }
                6 => {
                    let found = model.iter().position(|known| *known == item).map(Datum::from).ok_or(Failure::NotInList);
                    prop_assert_eq!(of(Method::Index, vec![item.into()]), found);
                }
                7 => {
                    let count = model.iter().filter(|known| **known == item).count();
                    prop_assert_eq!(of(Method::Count, vec![item.into()]), Ok(count.into()));
                }
                _ => {
                    prop_assert_eq!(of(Method::Reverse, vec![]), null());
                    model.reverse();
                }
            }
            let whole = call(&mut stage, client, &list, Method::Copy, vec![]);
            prop_assert_eq!(whole, Ok(model.iter().map(|item| Datum::from(*item)).collect()));
        }
    }

    #[test]
    fn dict_does_what_a_map_does(steps in prop::collection::vec((0..7_u8, "[a-d]", 0..9_i64), 0..80)) {
        let mut stage = Stage::new();
        let client = stage.client();
        let dict = stage.make(client, Kind::Dict, vec![]);
        let mut model: BTreeMap<String, i64> = BTreeMap::new();
        for (step, key, datum) in steps {
            let mut of = |method, args| call(&mut stage, client, &dict, method, args);
            let missing = Failure::no_such_key(&Key::from(&key));
            let by_key = vec![Datum::from(key.as_str())];
            let both = vec![Datum::from(key.as_str()), Datum::from(datum)];
            match step {
                0 => {
                    prop_assert_eq!(of(Method::SetItem, both), Ok(Datum::Null));
                    model.insert(key, datum);
                }
                1 => prop_assert_eq!(of(Method::GetItem, by_key), model.get(&key).map(|d| (*d).into()).ok_or(missing)),
                2 => prop_assert_eq!(of(Method::Pop, by_key), model.remove(&key).map(Datum::from).ok_or(missing)),
                3 => prop_assert_eq!(of(Method::SetDefault, both), Ok((*model.entry(key).or_insert(datum)).into())),
                4 => prop_assert_eq!(of(Method::Contains, by_key), Ok(model.contains_key(&key).into())),
                5 => {
                    let sum = model.get(&key).map(|known| known + datum);
                    prop_assert_eq!(of(Method::Add, both), sum.map(Datum::from).ok_or(missing));
                    model.entry(key).and_modify(|known| *known += datum);
                }
                _ => {
                    let expected = model.get(&key).copied();
                    let args = vec![Datum::from(key.as_str()), vec![Datum::from(datum)].into(), vec![].into()];
                    let call = Call { object: dict.id(), method: Method::CompareAndSwap, args, patience: Patience::NONE, thread: 0 };
                    let swapped = expected == Some(datum);
                    let reply = Reply::Swapped { swapped, found: expected.map(Datum::from) };
                    prop_assert_eq!(stage.ask(client, Request::Call(call)), Some(Ok(reply)));
                    if swapped { model.remove(&key); }
                }
            }
            let whole = call(&mut stage, client, &dict, Method::Copy, vec![]);
            let model: Map = model.iter().map(|(key, datum)| (Key::from(key), Datum::from(*datum))).collect();
            prop_assert_eq!(whole, Ok(model.into()));
        }
    }

    #[test]
    fn queue_does_what_a_bounded_deque_does(size in 0..4_i64, steps in prop::collection::vec((0..4_u8, 0..9_i64), 0..80)) {
        let mut stage = Stage::new();
        let client = stage.client();
        let queue = stage.make(client, Kind::Queue, vec![size.into()]);
        let (mut model, mut undone) = (VecDeque::new(), 0_u64);
        for (step, item) in steps {
            let mut of = |method, args| call(&mut stage, client, &queue, method, args);
            let is_full = size > 0 && model.len() == size as usize;
            match step {
                0 | 1 if is_full => prop_assert_eq!(of(Method::Put, vec![item.into()]), Ok("not in time".into())),
                0 | 1 => {
                    prop_assert_eq!(of(Method::Put, vec![item.into()]), Ok(Datum::Null));
                    model.push_back(item);
                    undone += 1;
                }
                2 => {
                    let expected = model.pop_front().map_or(Datum::from("not in time"), Datum::from);
                    prop_assert_eq!(of(Method::Get, vec![]), Ok(expected));
                }
                _ if undone == 0 => prop_assert_eq!(of(Method::TaskDone, vec![]), Err(Failure::TooManyTasksDone)),
                _ => {
                    prop_assert_eq!(of(Method::TaskDone, vec![]), Ok(Datum::Null));
                    undone -= 1;
                }
            }
            let mut of = |method| call(&mut stage, client, &queue, method, vec![]);
            prop_assert_eq!(of(Method::Qsize), Ok(model.len().into()));
            prop_assert_eq!(of(Method::Empty), Ok(model.is_empty().into()));
            prop_assert_eq!(of(Method::Full), Ok((size > 0 && model.len() == size as usize).into()));
            prop_assert_eq!(of(Method::Unfinished), Ok(undone.into()));
        }
    }

    /// Any calls at all, with any arguments, by two clients that come and go: nothing panics, nobody is left waiting.
    #[test]
    fn any_calls_leave_a_sound_store(
        steps in prop::collection::vec(
            (0..14_usize, 0..80_u8, prop::collection::vec(crate::ipc::manager::data::any_datum(), 0..3), 0..12_u8), 1..60)
    ) {
        let mut stage = Stage::new();
        let mut clients = [stage.client(), stage.client()];
        let mut objects: Vec<ObjectRef> = Vec::new();
        for kind in Kind::ALL {
            let arguments = match kind {
                Kind::Barrier => args("[2]"),
                Kind::Value | Kind::Array => args(r#"["i", 3]"#),
                Kind::Queue | Kind::JoinableQueue => args("[1]"),
                _ => vec![],
            };
            objects.push(stage.make(clients[0], kind, arguments));
        }
        for object in &objects {
            stage.give(clients[0], clients[1], object);
        }
        for (object, method, mut arguments, how) in steps {
            let Ok(method) = postcard::from_bytes::<Method>(&[method]) else { continue };
            for argument in &mut arguments {
                // References that are there, so that objects come to hold each other.
                let _ = argument.each_reference::<()>(&mut |reference| {
                    *reference = objects[reference.id().0 as usize % objects.len()].clone();
                    Ok(())
                });
            }
            let patience = if how % 2 == 0 { Patience::Forever } else { Patience::Nanos(u64::from(how)) };
            let client = clients[usize::from(how) % 2];
            stage.call_for(client, &objects[object], method, arguments, patience);
            stage.after(1);
            if how == 11 {
                stage.leave(clients[1]);
                clients[1] = stage.client();
                for object in &objects {
                    stage.give(clients[0], clients[1], object);
                }
            }
        }
        for client in clients {
            stage.leave(client);
        }
        // The test's own references are counted ones too.
        drop(objects);
        stage.leave(clients[0]);
        let newcomer = stage.client();
        stage.leave(newcomer);
        prop_assert_eq!(stage.store.census(), Census::default());
    }
}
