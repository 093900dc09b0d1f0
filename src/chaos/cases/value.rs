//! Shared numbers: a change is complete, or it did not happen.

use super::*;
use crate::{Array, Value};

const SEE_OLD_OR_NEW: Localized = localized("see the old or the new", "看到旧值或新值");

const OLD: [u64; 3] = [1, 2, 3];
const NEW: [u64; 3] = [7, 8, 9];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Case::of("Value", update, changed)
            .within(localized("in update", "update 中"), SEE_OLD_OR_NEW, OPERATION)
            .like_python("Value.in_update"),
        Case::of("Value", lock_and_set, changed)
            .within(localized("in lock, set, unlock", "lock、set、unlock 中"), SEE_OLD_OR_NEW, OPERATION)
            .like_python("Value.in_update"),
        Case::of("Array", write, overwritten)
            .within(localized("in write, a slice", "write 切片中"), SEE_OLD_OR_NEW, OPERATION)
            .like_python("Array.in_write"),
        Case::of("Array", update_all, overwritten)
            .within(localized("in update_all", "update_all 中"), SEE_OLD_OR_NEW, OPERATION)
            .like_python("Array.in_write"),
    ]
}

fn update(value: Value<u64>) -> RoleResult {
    marked(|| value.update(|number| number + 1))?;
    Ok(())
}

fn lock_and_set(value: Value<u64>) -> RoleResult {
    Ok(marked(|| value.lock().map(|_guard| value.set(value.get() + 1)))?)
}

fn write(array: Array<u64>) -> RoleResult {
    Ok(marked(|| array.write(.., &NEW))?)
}

fn update_all(array: Array<u64>) -> RoleResult {
    Ok(marked(|| array.update_all(|numbers| numbers.copy_from_slice(&NEW)))?)
}

/// The victim adds one to 40.
fn changed(kill: Kill<'_, Value<u64>>) -> Result<Effect> {
    let value = Value::new(40)?;
    let seen = kill.victim(value.clone())?.kill()?;
    seen.fresh(move || {
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
    let seen = kill.victim(array.clone())?.kill()?;
    seen.fresh(move || {
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
