//! Shared numbers: a change is complete, or it did not happen.

use super::*;
use crate::{Array, Value};

const SEE_OLD_OR_NEW: Texts = ["see the old or the new", "看到旧值或新值"];

const OLD: [u64; 3] = [1, 2, 3];
const NEW: [u64; 3] = [7, 8, 9];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(|value: Value<u64>| marked(|| value.update(|number| number + 1)), changed)
            .within(["in update", "update 中"], SEE_OLD_OR_NEW)
            .like_python("Value.in_update"),
        Row::of(|value| marked(|| value.fetch_add(1)), changed)
            .within(["in fetch_add", "fetch_add 中"], SEE_OLD_OR_NEW),
        Row::of(|value| marked(|| value.lock().map(|_guard| value.set(value.get() + 1))), changed)
            .within(["in lock, set, unlock", "lock、set、unlock 中"], SEE_OLD_OR_NEW)
            .like_python("Value.in_update"),
    ]
}

pub(super) fn array_rows() -> Vec<Row> {
    vec![
        Row::of(|array: Array<u64>| marked(|| array.write(.., &NEW)), overwritten)
            .within(["in write, a slice", "write 切片中"], SEE_OLD_OR_NEW)
            .like_python("Array.in_write"),
        Row::of(|array| marked(|| array.update_all(|numbers| numbers.copy_from_slice(&NEW))), overwritten)
            .within(["in update_all", "update_all 中"], SEE_OLD_OR_NEW)
            .like_python("Array.in_write"),
    ]
}

/// The victim adds one to 40.
fn changed(kill: Kill<'_, Value<u64>>) -> Result<Effect> {
    let value = Value::new(40)?;
    kill.alone(value.clone())?.fresh(value, |value| {
        let found = value.get();
        ensure!(matches!(found, 40 | 41), Fault::Torn);
        for _ in 0..2 {
            let guard = value.lock()?;
            let next = value.get() + 1;
            value.set(next);
            drop(guard);
            ensure!(value.update(|number| number + 1)? == next + 1, Fault::Lost);
        }
        Ok(Effect::done_if(found == 41))
    })
}

/// The victim changes the whole array.
fn overwritten(kill: Kill<'_, Array<u64>>) -> Result<Effect> {
    let array = Array::new(&OLD)?;
    kill.alone(array.clone())?.fresh(array, |array| {
        // Each number alone, without the lock, before any peer acquires it.
        let bare: Vec<u64> = (0..OLD.len()).filter_map(|index| array.get(index).ok()).collect();
        ensure!(bare == OLD || bare == NEW, Fault::Torn);
        ensure!(array.read(..)? == bare, Fault::Torn);
        for numbers in [OLD, NEW] {
            array.write(.., &numbers)?;
            ensure!(array.read(..)? == numbers, Fault::Torn);
        }
        Ok(Effect::done_if(bare == NEW))
    })
}
