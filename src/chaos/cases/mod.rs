//! The table of all cases: a file an object, a line a place to be killed.

mod barrier;
mod condition;
mod event;
mod joinable_queue;
mod lock;
mod owned_semaphore;
mod pipe;
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
];
