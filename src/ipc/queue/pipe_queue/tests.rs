//! The pipe queue within one process.

use std::thread;

use serde::Serialize;

use super::*;
use crate::Error;
use crate::ipc::test_util::{watchdog, with_sleepers};

/// Items that can all be read.
fn all<T>(items: impl IntoIterator<Item = Result<T>>) -> Vec<T> {
    items.into_iter().collect::<Result<_>>().expect("well-formed")
}

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
    assert_eq!(queue::<u8>(usize::MAX).capacity(), None, "as many as there can be");
    for capacity in [0, 1 << 31] {
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
    #[derive(Debug, serde::Deserialize)]
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
    assert!(matches!(queue.parts.participant.check_torn(), Err(Error::Torn)), "half an item is in the pipe");
}

#[test]
fn item_that_is_given_up_before_its_first_byte_is_written_tears_nothing() {
    let _watchdog = watchdog();
    let queue = PipeQueue::unbounded().expect("a queue");
    let putter = queue.clone();
    // Each fills a page, and so all of them the pipe.
    const PAGES: usize = 16;
    putter.put_many(&vec![vec![0_u8; 4080]; PAGES]).expect("room");
    putter.put(vec![0; 1_000_000]).expect("room");
    while queue.parts.participant.writing.load(Relaxed) == 0 {
        thread::yield_now();
    }
    putter.cancel_join_thread();
    putter.join_thread();
    let last = queue.clone();
    last.put(vec![1]).expect("room");
    for _ in 0..PAGES {
        assert_eq!(queue.get().expect("it is whole").len(), 4080);
    }
    assert_eq!(queue.get().expect("it is whole"), [1]);
}

#[test]
fn closed_handles_do_not_wait_for_each_other_to_read() {
    let _watchdog = watchdog();
    let queues = [(); 2].map({
        let queue = PipeQueue::unbounded().expect("a queue");
        move |()| queue.clone()
    });
    for queue in &queues {
        queue.put(vec![0_u8; 1_000_000]).expect("room");
    }
    queues.iter().for_each(PipeQueue::close);
    queues.iter().for_each(PipeQueue::join_thread);
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
    assert_eq!(all(queue.get_many_timeout(2, MOMENT).expect("no error")), [1, 2]);
    assert_eq!(all(queue.drain().expect("no error")), [3, 4, 5]);
    assert_eq!(queue.drain().expect("no error").len(), 0);
    let other = queue.clone();
    assert_eq!(queue.get_many_timeout(2, MOMENT).expect("somebody may put").len(), 0);
    other.put_many(&[6, 7]).expect("room");
    assert_eq!(queue.iter().take(2).collect::<Result<Vec<_>>>().expect("put before"), [6, 7]);
}

#[test]
fn waiting_put_and_get_are_told_of_the_close() {
    let _watchdog = watchdog();
    let (full, empty) = (queue(1), queue::<u8>(1));
    let _others = (full.clone(), empty.clone());
    full.put(1).expect("room");
    let put = || assert!(matches!(full.put(2), Err(PutError::Failed(2, Error::Closed))));
    with_sleepers(1, put, || full.close());
    // One of the two has the lock, the other waits for it.
    let get = || assert!(matches!(empty.get(), Err(Error::Closed)));
    with_sleepers(2, get, || empty.close());
}

#[test]
fn waiting_get_waits_for_another_thread_that_puts_through_its_handle() {
    let _watchdog = watchdog();
    let queue = queue(1);
    drop(queue.clone());
    queue.put(1).expect("room");
    assert_eq!(queue.get().expect("put before"), 1);
    let get = || assert_eq!(queue.get().expect("an item in the end"), 2);
    with_sleepers(1, get, || queue.put(2).expect("room"));
    queue.put(3).expect("room");
    let put = || queue.put(4).expect("room in the end");
    with_sleepers(1, put, || assert_eq!(queue.get().expect("put before"), 3));
}

#[test]
fn unreadable_item_keeps_its_place_among_the_good_ones() {
    let putter = queue::<u16>(9);
    // 300 and 400 are no `u8`.
    let reading = PipeQueue::<u8>::of(putter.parts.another());
    for items in [[0, 1, 300, 1], [1, 0, 400, 0]] {
        putter.put_many(&items).expect("room");
        while putter.feeder.is_busy() {
            std::thread::yield_now();
        }
        let got: Vec<_> = reading.drain().expect("items").map(|item| item.ok().map(u16::from)).collect();
        assert_eq!(got, items.map(|item| Some(item).filter(|item| *item < 2)));
    }
}
