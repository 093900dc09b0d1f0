//! Many tasks at once: inputs are drawn as results are taken, and an error ends nothing.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use ipc_demo::pool::TaskError;

use super::task::*;
use crate::harness::{meeting_point, watchdog};

#[test]
fn endless_input_is_drawn_as_results_are_taken() {
    let _watchdog = watchdog("pool::endless_input");
    let drawn = Cell::new(0_u64);
    let endless = || {
        std::iter::repeat_with(|| {
            drawn.set(drawn.get() + 1);
            Act::Double(drawn.get())
        })
    };
    let pool = pool(2, Does::new());
    let mut results = pool.imap(endless());
    assert_eq!(drawn.get(), 0, "nothing is drawn before it is asked for");
    for taken in 1..=20_000 {
        assert_eq!(number(results.next().expect("it is endless")), 2 * taken);
        assert!(drawn.get() - taken <= 4096 + 64, "{} drawn, {taken} taken", drawn.get());
    }
    drop(results);
    drawn.set(0);
    assert!(pool.imap_unordered(endless()).take(20_000).all(|(_, result)| number(result) > 0));
    assert!(drawn.get() <= 20_000 + 4096 + 64);
    assert!(pool.map([Act::Double(1)]).pop().is_some_and(|result| result.is_ok()), "the rest was withdrawn");
}

#[test]
fn map_draws_inputs_as_there_is_room_for_them() {
    let _watchdog = watchdog("pool::map_draws");
    let task = Does::new();
    let count = task.count.clone();
    let pool = builder().workers(1).in_flight(4).build(task).expect("a pool");
    let most = Cell::new(0);
    let inputs = (0..2000).map(|drawn| {
        most.set(most.get().max(drawn - count.get()));
        Act::Count
    });
    assert!(pool.map(inputs).iter().all(Result::is_ok));
    assert!(most.get() <= 128, "{} were drawn before they could be submitted", most.get());
}

#[test]
fn all_workers_take_tasks_again_after_many_short_ones() {
    let _watchdog = watchdog("pool::short_then_long");
    const WORKERS: usize = 4;
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let pool = pool(WORKERS, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let all_meet = thread::spawn(move || {
        // A task that no worker takes never arrives.
        (0..WORKERS).for_each(|_| assert_eq!(here.meet(), Some(b'm')));
        drop(release);
    });
    let long = (0..WORKERS).map(|_| Act::Meet(b'm'));
    let results = pool.imap(doubles(0..50_000).chain(long));
    assert_eq!(results.map(number).filter(|number| *number > 0).count(), 50_000 - 1 + WORKERS);
    all_meet.join().expect("all arrive");
}

#[test]
fn results_that_nobody_takes_are_bounded_in_bytes() {
    let _watchdog = watchdog("pool::bounded_in_bytes");
    let drawn = Cell::new(0_u64);
    let pool = builder().workers(2).in_flight_bytes(1 << 20).build(Does::new()).expect("a pool");
    // The first is slow, so all others wait for it.
    let inputs = (0..).map(|index: u64| {
        drawn.set(index);
        if index == 0 { Act::Pid } else { Act::Text(100_000) }
    });
    let mut results = pool.imap(inputs);
    results.next();
    for _ in 0..200 {
        assert!(results.next().is_some_and(|result| result.is_ok()));
    }
    assert!(drawn.get() < 200 + 150, "{} drawn", drawn.get());
}

#[test]
fn iterators_know_how_many_results_are_left() {
    let _watchdog = watchdog("pool::size_hint");
    let pool = pool(2, Does::new());
    let mut results = pool.imap(doubles(0..100));
    for left in (0..100).rev() {
        assert_eq!(results.len(), left + 1);
        assert!(results.next().is_some());
    }
    assert_eq!((results.len(), results.next()), (0, None));
    let mut unordered = pool.imap_unordered(doubles(0..3));
    assert_eq!((unordered.len(), unordered.next().is_some(), unordered.len()), (3, true, 2));
    let endless = pool.imap(std::iter::repeat(Act::Pid));
    assert_eq!(endless.size_hint(), (usize::MAX, None));
    drop(endless);
}

#[test]
fn error_of_one_task_ends_no_iterator() {
    let _watchdog = watchdog("pool::error_ends_no_iterator");
    let pool = pool(2, Does::new());
    let acts =
        || (0..60).map(|index| [Act::Double(index), Act::Fail, Act::Panic, Act::Formless][index as usize % 4].clone());
    let is_right = |(index, result): (usize, Result<Output, TaskError>)| match index % 4 {
        0 => number(result) == 2 * index as u64,
        1 => matches!(result, Err(TaskError::Failed(_))),
        2 => matches!(result, Err(TaskError::Panicked(_))),
        _ => matches!(result, Err(TaskError::Input(_))),
    };
    assert_eq!(pool.imap(acts()).enumerate().map(is_right).filter(|is_right| *is_right).count(), 60);
    assert_eq!(pool.imap_unordered(acts()).map(is_right).filter(|is_right| *is_right).count(), 60);
}

#[test]
fn panic_of_the_input_is_the_callers() {
    let _watchdog = watchdog("pool::panic_of_the_input");
    let pool = pool(2, Does::new());
    let inputs = (0..100).map(|index| if index == 70 { panic!("no more") } else { Act::Double(index) });
    let run = std::panic::AssertUnwindSafe(|| pool.map(inputs));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(pool.map(doubles(0..100)).into_iter().map(number).count(), 100, "the pool goes on");
}

#[test]
fn panic_while_a_result_is_read_is_the_callers_and_its_slot_is_free_again() {
    let _watchdog = watchdog("pool::panic_in_read");
    let pool = builder().workers(1).in_flight(2).build(Does::new()).expect("a pool");
    for bytes in [10, 1000, 100_000] {
        for _ in 0..6 {
            let read = AssertUnwindSafe(|| pool.map([Act::ReturnPanicking(bytes)]));
            assert!(catch_unwind(read).is_err(), "{bytes}");
        }
    }
    assert!(pool.map(doubles(0..10)).into_iter().map(number).eq((0..10).map(|number| 2 * number)));
}
