//! The table of all cases: one file per object, one line per place of a kill.

mod barrier;
mod condition;
mod event;
mod joinable_queue;
mod lock;
mod owned_semaphore;
mod pipe;
mod pipe_queue;
mod queue;
mod rlock;
mod semaphore;
mod value;

use super::case::Row;

/// All rows, in the order of the output.
pub(super) static ROWS: &[&[Row]] = &[
    &lock::ROWS,
    &rlock::ROWS,
    &semaphore::ROWS,
    &owned_semaphore::ROWS,
    &event::ROWS,
    &condition::ROWS,
    &barrier::ROWS,
    &value::ROWS,
    &pipe::ROWS,
    &queue::ROWS,
    &joinable_queue::ROWS,
    &pipe_queue::ROWS,
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use unicode_width::UnicodeWidthStr;

    use super::*;
    use crate::chaos::python::PROGRAM;
    use crate::chaos::report::{PLACE_WIDTH, SURVIVORS_WIDTH};

    #[test]
    fn no_two_rows_have_the_same_place() {
        let places: BTreeSet<_> = ROWS.iter().copied().flatten().map(|row| (row.object, row.place.en)).collect();
        assert_eq!(places.len(), ROWS.iter().copied().flatten().count());
    }

    #[test]
    fn python_can_do_what_rows_name_and_no_more() {
        let named: BTreeSet<_> = ROWS.iter().copied().flatten().filter_map(|row| row.python).collect();
        let table = PROGRAM.split_once("NAMED = {").and_then(|(_, table)| table.split_once("\n}")).expect("a table").0;
        let known: BTreeSet<_> = table.split('"').skip(1).step_by(2).collect();
        assert_eq!(named, known);
    }

    #[test]
    fn words_fit_their_columns() {
        for row in ROWS.iter().copied().flatten() {
            for place in [row.place.en, row.place.zh] {
                assert!(place.width() <= PLACE_WIDTH, "{place}");
            }
            for survivors in [row.survivors.en, row.survivors.zh] {
                assert!(survivors.width() <= SURVIVORS_WIDTH, "{survivors}");
            }
        }
    }
}
