//! The textbook queue within one process.

use std::thread;

use super::*;
use crate::ipc::Error;

const MOMENT: Duration = Duration::from_millis(1);

fn queue<T>(capacity: usize) -> PipeQueue<T> {
    PipeQueue::bounded(capacity).expect("a queue")
}

#[test]
fn smoke() {
    let queue = queue(10);
    for number in 1..=10 {
        queue.put(number).expect("room");
    }
    assert_eq!(queue.qsize(), 10);
    for number in 1..=10 {
        assert_eq!(queue.get().expect("put before"), number);
    }
    assert_eq!(queue.qsize(), 0);
    assert!(queue.is_empty());
    assert_eq!(queue.try_get().expect("no error"), None);
}

#[test]
fn capacity_is_what_was_asked_for() {
    assert_eq!(queue::<u8>(7).capacity(), Some(7));
    assert_eq!(PipeQueue::<u8>::unbounded().expect("a queue").capacity(), None);
    for capacity in [0, 1 << 31, usize::MAX] {
        assert!(matches!(PipeQueue::<u8>::bounded(capacity), Err(Error::OutOfRange { .. })), "{capacity}");
    }
}

#[test]
fn put_on_full_queue_returns_the_item() {
    let queue = queue(2);
    for item in ["a", "b"] {
        queue.put(item.to_owned()).expect("room");
    }
    assert!(queue.is_full());
    assert!(matches!(queue.try_put("c".to_owned()), Err(PutError::Full(item)) if item == "c"));
    assert!(matches!(queue.put_timeout("d".to_owned(), MOMENT), Err(PutError::Full(item)) if item == "d"));
    assert_eq!(queue.get().expect("put before"), "a");
    queue.try_put("c".to_owned()).expect("room");
}

#[test]
fn get_times_out_and_takes_nothing() {
    let queue = queue::<u8>(1);
    assert_eq!(queue.get_timeout(MOMENT).expect("no error"), None);
    queue.put(1).expect("room");
    assert_eq!(queue.get_timeout(Duration::MAX).expect("no error"), Some(1));
}

#[test]
fn put_blocks_until_somebody_gets() {
    let queue = queue(1);
    queue.put(1).expect("room");
    thread::scope(|scope| {
        scope.spawn(|| queue.put(2).expect("room in the end"));
        assert_eq!(queue.get().expect("put before"), 1);
        assert_eq!(queue.get().expect("put before"), 2);
    });
}

#[test]
fn get_blocks_until_somebody_puts() {
    let queue = queue(1);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| queue.get().expect("an item in the end"));
        queue.put(1).expect("room");
        assert_eq!(waiting.join().expect("no panic"), 1);
    });
}

#[test]
fn put_wakes_exactly_one() {
    let queue = queue(4);
    thread::scope(|scope| {
        let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| queue.get().expect("an item each"))).collect();
        for number in 0..3 {
            queue.put(number).expect("room");
        }
        let mut got: Vec<i32> = getters.into_iter().map(|getter| getter.join().expect("no panic")).collect();
        got.sort_unstable();
        assert_eq!(got, [0, 1, 2]);
    });
    assert_eq!(queue.qsize(), 0);
}

#[test]
fn items_of_any_length_arrive_whole() {
    let queue = queue(20);
    let sizes = [0, 1, 4_090, 4_091, 100_000, 3_000_000, 0];
    for size in sizes {
        queue.put(vec![size as u8; size]).expect("room");
    }
    for size in sizes {
        assert!(queue.get().expect("put before") == vec![size as u8; size], "{size}");
    }
    queue.put(vec![]).expect("room");
    assert_eq!(queue.get().expect("put before"), [0_u8; 0]);
}

#[test]
fn empty_values_are_items_too() {
    let queue = queue(2);
    queue.put(()).expect("room");
    queue.put(()).expect("room");
    queue.get().expect("put before");
    queue.get().expect("put before");
    assert_eq!(queue.get_timeout(MOMENT).expect("no error"), None);
}

#[test]
fn item_without_a_form_comes_back_and_takes_no_room() {
    #[derive(Debug)]
    struct Formless;
    impl Serialize for Formless {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("has none"))
        }
    }
    let queue = queue(1);
    let refused = queue.put(Formless).expect_err("it has no form");
    assert!(matches!(refused, PutError::Failed(Formless, Error::Codec { .. })));
    assert_eq!(queue.qsize(), 0);
}

#[test]
fn closed_queue_takes_and_gives_nothing() {
    let queue = queue(2);
    queue.put(1).expect("room");
    queue.close();
    queue.close();
    assert!(matches!(queue.put(2), Err(PutError::Failed(2, Error::Closed))));
    assert!(matches!(queue.get(), Err(Error::Closed)));
    queue.join_thread();
    assert!(!queue.is_empty(), "what was put before is in the pipe");
}

#[test]
fn join_thread_waits_for_the_pipe_and_can_be_given_up() {
    let queue = queue(2);
    queue.put(vec![0_u8; 1_000_000]).expect("room");
    assert!(!queue.join_thread_timeout(MOMENT), "the pipe does not hold it");
    // The feeder has begun to write when something can be read.
    while queue.is_empty() {
        std::thread::yield_now();
    }
    queue.cancel_join_thread();
    queue.join_thread();
    assert!(matches!(queue.parts.board.check_torn(), Err(Error::Torn)), "half an item is in the pipe");
}

#[test]
fn drop_does_not_wait_for_a_reader_that_cannot_be() {
    let queue = queue(2);
    queue.put(vec![0_u8; 1_000_000]).expect("room");
    drop(queue);
}

#[test]
fn what_is_in_the_pipe_is_taken_in_order_and_in_parts() {
    let queue = queue(10);
    let putter = queue.clone();
    putter.put_many(&[1, 2, 3, 4, 5]).expect("room");
    putter.close();
    // The feeder has written them all.
    putter.join_thread();
    assert_eq!(queue.get_many_timeout(2, MOMENT).expect("no error"), [1, 2]);
    assert_eq!(queue.drain().expect("no error").collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(queue.drain().expect("no error").len(), 0);
    let other = queue.clone();
    assert_eq!(queue.get_many_timeout(2, MOMENT).expect("somebody may put"), [0; 0]);
    other.put_many(&[6, 7]).expect("room");
    assert_eq!(queue.iter().take(2).collect::<Result<Vec<_>>>().expect("put before"), [6, 7]);
}
