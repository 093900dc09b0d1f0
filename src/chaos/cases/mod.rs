//! The table of all rows: one file per kind of object, and one row per place of a kill.
//!
//! A file has the table of its rows first, then what victims do, then what survivors see: an effect, which `two_rounds`
//! returns if the object can be used for two more.

mod barrier;
mod bytes;
mod condition;
mod event;
mod joinable_queue;
mod lock;
mod pipe;
mod pipe_queue;
mod pool;
mod queue;
mod semaphore;
mod value;

use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Result, bail, ensure};

use super::case::Row;
use super::effect::Effect::{Done, HandedOn, Undone};
use super::effect::{Effect, Fault, Texts};
use super::kill::Kill;
use super::peer::{Observation, Peer};
use crate::sys::trace::mark;
use crate::{RoleEntry, RoleResult};

/// The workers of the pools that are tried.
pub(super) const POOL_ROLE: RoleEntry = RoleEntry::of_task::<pool::Square>();

/// A timeout for a wait that could hang: long enough to detect it.
const LONG: Duration = Duration::from_secs(2);
const IDLE: Texts = ["idle", "空闲"];
const WAITING: Texts = ["waiting", "等待"];
const HOLDING: Texts = ["holding", "持有"];
const FIND_ALL: Texts = ["find every item once", "每个数据恰好取到一次"];
const FIND_REST: Texts = ["find the rest once", "其余数据恰好取到一次"];
const DO_ALL: Texts = ["do every task once", "每个任务恰好处理一次"];
const PEER_GETS: Texts = ["the peer gets the item", "等待者取到数据"];
const IN_ACQUIRE: Texts = ["in acquire", "acquire 中"];
const IN_ACQUIRE_QUEUED: Texts = ["in acquire, one behind", "acquire 中，后有等待者"];
const IN_RELEASE: Texts = ["in release", "release 中"];
const IN_RELEASE_TO_PEER: Texts = ["in release, a peer waits", "release 中，有等待者"];
const IN_GET: Texts = ["in get", "get 中"];
const IN_GET_QUEUED: Texts = ["in get, one behind", "get 中，后有等待者"];

/// All rows, in the order of the output.
pub(super) static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let objects = [
        ("Lock", lock::rows()),
        ("RLock", lock::reentrant_rows()),
        ("Semaphore", semaphore::rows()),
        ("BoundedSemaphore", semaphore::bounded_rows()),
        ("OwnedSemaphore", semaphore::owned_rows()),
        ("Event", event::rows()),
        ("Condition", condition::rows()),
        ("Barrier", barrier::rows()),
        ("Value", value::rows()),
        ("Array", value::array_rows()),
        ("Pipe", pipe::rows()),
        ("Datagrams", pipe::datagram_rows()),
        ("Queue", queue::rows()),
        ("Queue", bytes::rows()),
        ("JoinableQueue", joinable_queue::rows()),
        ("JoinableQueue", bytes::leased_rows()),
        ("PipeQueue", pipe_queue::rows()),
        ("Pool", pool::rows()),
    ];
    let rows = objects.into_iter().flat_map(|(object, rows)| rows.into_iter().map(move |row| Row { object, ..row }));
    rows.enumerate().map(|(index, row)| Row { index, ..row }).collect()
});

/// A number and its complement: an item in which tearing is detectable.
type Item = (u64, u64);

fn item(number: u64) -> Item {
    (number, !number)
}

/// Returns the number of an item that is whole.
fn number((number, complement): Item) -> Result<u64> {
    demand(complement == !number, Fault::Torn).map(|()| number)
}

/// Performs a victim's operation between its two marks. The victim is killed at the second mark at the latest, so the
/// result of the operation is ignored.
#[inline(always)]
fn marked<T>(operation: impl FnOnce() -> T) -> RoleResult {
    mark();
    let _result = operation();
    mark();
    Ok(())
}

/// Returns the fault `otherwise` unless `holds`.
fn demand(holds: bool, otherwise: Fault) -> Result<()> {
    if holds { Ok(()) } else { Err(otherwise.into()) }
}

/// Compares what the survivors found with what is there if the operation was done, and if it was not.
fn effect_of<T: PartialEq>(found: &[T], undone: &[T], done: &[T]) -> Result<Effect> {
    match found {
        found if found == done => Ok(Done),
        found if found == undone => Ok(Undone),
        found if found.len() > undone.len().max(done.len()) => bail!(Fault::Twice),
        _ => bail!(Fault::Lost),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::chaos::python::PROGRAM;
    use crate::chaos::report::{PLACE_WIDTH, SURVIVORS_WIDTH};

    #[test]
    fn no_two_rows_have_the_same_place() {
        let places: BTreeSet<_> = ROWS.iter().map(|row| (row.object, row.place[0])).collect();
        assert_eq!(places.len(), ROWS.len());
    }

    #[test]
    fn python_can_do_what_rows_name_and_no_more() {
        let named: BTreeSet<_> = ROWS.iter().flat_map(Row::pythons).collect();
        let table = PROGRAM.split_once("NAMED = {").and_then(|(_, table)| table.split_once("\n}")).expect("a table").0;
        let known: BTreeSet<_> = table.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn words_fit_their_columns() {
        for row in ROWS.iter() {
            for place in row.place {
                assert!(place.width() <= PLACE_WIDTH, "{place}");
            }
            for survivors in row.survivors {
                assert!(survivors.width() <= SURVIVORS_WIDTH, "{survivors}");
            }
        }
    }
}
