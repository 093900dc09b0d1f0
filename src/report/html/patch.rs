//! The difference of two JSON values, so that a page does not repeat what stays the same.
//!
//! | form | meaning |
//! |---|---|
//! | `[new]` | another value |
//! | `{"key": patch, …}` | other values under these keys of an object, or at these indices of an array |
//! | `[start, removed, [new, …]]` | other elements in place of `removed` elements of an array, from index `start` |
//!
//! `patched` in `page.js` applies them.

use serde_json::{Value, json};

/// Returns how to turn one value into another; `None` if they are equal.
pub(super) fn between(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    Some(match (old, new) {
        (Value::Object(old), Value::Object(new)) if old.keys().eq(new.keys()) => {
            let changes = new.iter().filter_map(|(key, new)| Some((key.clone(), between(&old[key], new)?)));
            Value::Object(changes.collect())
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            let pairs = old.iter().zip(new).enumerate();
            let changes = pairs.filter_map(|(index, (old, new))| Some((index.to_string(), between(old, new)?)));
            Value::Object(changes.collect())
        }
        (Value::Array(old), Value::Array(new)) => {
            let start = old.iter().zip(new).take_while(|(old, new)| old == new).count();
            let (old, new) = (&old[start..], &new[start..]);
            let same = old.iter().rev().zip(new.iter().rev()).take_while(|(old, new)| old == new).count();
            json!([start, old.len() - same, new[..new.len() - same]])
        }
        _ => json!([new]),
    })
}

/// Does what `patched` in `page.js` does.
#[cfg(test)]
pub(in crate::report) fn patched(old: &Value, patch: &Value) -> Value {
    let mut value = old.clone();
    match (patch, &mut value) {
        (Value::Null, _) => {}
        (Value::Array(patch), Value::Array(elements)) if patch.len() == 3 => {
            let [start, removed] = [0, 1].map(|at| patch[at].as_u64().expect("a number") as usize);
            let added = patch[2].as_array().expect("elements").iter().cloned();
            elements.splice(start..start + removed, added);
        }
        (Value::Array(patch), value) => *value = patch[0].clone(),
        (Value::Object(changes), Value::Array(elements)) => {
            for (index, patch) in changes {
                let element = &mut elements[index.parse::<usize>().expect("an index")];
                *element = patched(element, patch);
            }
        }
        (Value::Object(changes), value) => {
            for (key, patch) in changes {
                value[key] = patched(&value[key], patch);
            }
        }
        (other, _) => panic!("{other} is no patch"),
    }
    value
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), (0..4_u32).prop_map(Value::from)];
        leaf.prop_recursive(3, 24, 5, |inner| {
            let object = proptest::collection::btree_map("[ab]", inner.clone(), 0..3);
            let object = object.prop_map(|entries| Value::Object(entries.into_iter().collect()));
            prop_oneof![proptest::collection::vec(inner, 0..5).prop_map(Value::Array), object]
        })
    }

    proptest! {
        #[test]
        fn patch_turns_the_old_value_into_the_new_one(old in any_value(), new in any_value()) {
            match between(&old, &new) {
                Some(patch) => prop_assert_eq!(patched(&old, &patch), new),
                None => prop_assert_eq!(old, new),
            }
        }
    }

    #[test]
    fn patch_holds_only_what_is_new() {
        let state = |waiters: &[u32], left: u32| json!({ "lock": { "waiters": waiters }, "left": left });
        let patch = |old, new| between(&old, &new).expect("a change");
        assert_eq!(patch(state(&[2, 3], 9), state(&[2, 3], 8)), json!({ "left": [8] }));
        assert_eq!(patch(state(&[2, 3], 9), state(&[3], 9)), json!({ "lock": { "waiters": [0, 1, []] } }));
        assert_eq!(patch(state(&[2], 9), state(&[2, 3], 9)), json!({ "lock": { "waiters": [1, 0, [3]] } }));
        assert_eq!(patch(json!([1, 2]), json!([1, 5])), json!({ "1": [5] }));
    }
}
