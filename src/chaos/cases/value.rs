//! Shared numbers: a change is complete, or it did not happen.

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{Localized, localized};
use crate::sys::trace::mark;
use crate::{Array, RoleResult, Value};

const SEE_OLD_OR_NEW: Localized = localized("see the old or the new", "看到旧值或新值");
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

const OLD: [u64; 3] = [1, 2, 3];
const NEW: [u64; 3] = [7, 8, 9];

pub(in crate::chaos) static ROWS: [Row; 4] = [
    Row::within::<Change<false>>("Value", localized("in update", "update 中"), SEE_OLD_OR_NEW, OPERATION)
        .like_python("Value.in_update"),
    Row::within::<Change<true>>(
        "Value",
        localized("in lock, set, unlock", "lock、set、unlock 中"),
        SEE_OLD_OR_NEW,
        OPERATION,
    )
    .like_python("Value.in_update"),
    Row::within::<Slice<false>>("Array", localized("in write, a slice", "write 切片中"), SEE_OLD_OR_NEW, OPERATION)
        .like_python("Array.in_write"),
    Row::within::<Slice<true>>("Array", localized("in update_all", "update_all 中"), SEE_OLD_OR_NEW, OPERATION)
        .like_python("Array.in_write"),
];

/// The victim adds one: in one step, or in three under the lock.
struct Change<const STEPS: bool>(Value<u64>);

impl<const STEPS: bool> Case for Change<STEPS> {
    type Handles = Value<u64>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Change(Value::new(40)?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(value: Self::Handles) -> RoleResult {
        mark();
        if STEPS {
            let guard = value.lock()?;
            value.set(value.get() + 1);
            drop(guard);
        } else {
            value.update(|number| number + 1)?;
        }
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let value = self.0.clone();
        observation.fresh(move || {
            let effect = match value.get() {
                40 => Effect::Undone,
                41 => Effect::Done,
                _ => return Err(Fault::Torn),
            };
            for _ in 0..2 {
                let guard = value.lock().map_err(|_| Fault::Unusable)?;
                let next = value.get() + 1;
                value.set(next);
                drop(guard);
                let then = value.update(|number| number + 1).map_err(|_| Fault::Unusable)?;
                demand(then == next + 1, Fault::Lost)?;
            }
            Ok(effect)
        })?
    }
}

/// The victim changes a slice, or the whole array.
struct Slice<const WHOLE: bool>(Array<u64>);

impl<const WHOLE: bool> Case for Slice<WHOLE> {
    type Handles = Array<u64>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Slice(Array::new(&OLD)?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(array: Self::Handles) -> RoleResult {
        mark();
        if WHOLE {
            array.update_all(|numbers| numbers.copy_from_slice(&NEW))?;
        } else {
            array.write(.., &NEW)?;
        }
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let array = self.0.clone();
        observation.fresh(move || {
            let read = || array.read(..).map_err(|_| Fault::Unusable);
            // Each number alone, without the lock, before any peer acquires it.
            let bare: Vec<u64> = (0..OLD.len()).filter_map(|index| array.get(index).ok()).collect();
            let effect = match bare {
                old if old == OLD => Effect::Undone,
                new if new == NEW => Effect::Done,
                _ => return Err(Fault::Torn),
            };
            demand(read()? == if effect == Effect::Done { NEW } else { OLD }, Fault::Torn)?;
            for numbers in [OLD, NEW] {
                array.write(.., &numbers).map_err(|_| Fault::Unusable)?;
                demand(read()? == numbers, Fault::Torn)?;
            }
            Ok(effect)
        })?
    }
}
