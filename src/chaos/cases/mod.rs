//! The table of all cases: a file an object, a line a place to be killed.

mod lock;
mod semaphore;

use super::case::Row;

/// All rows, in the order of the output.
pub(super) static ROWS: &[&[Row]] = &[&lock::ROWS, &semaphore::ROWS];
