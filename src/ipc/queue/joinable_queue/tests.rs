//! The joinable queue against a model.

use std::collections::{BTreeMap, VecDeque};

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::ipc::operation::tests::{goes, would_block};
use crate::ipc::queue::put_error::PutError;
use crate::ipc::queue::ring::Plan;
use crate::sys::atomic::Ordering::Relaxed;

/// Items that can all be read.
fn all<T>(items: impl IntoIterator<Item = Result<T>>) -> Vec<T> {
    items.into_iter().collect::<Result<_>>().expect("well-formed")
}

/// A queue of tiny segments and chunks, whose numbers soon wrap.
fn tiny(capacity: u64, byte_limit: u64, chunk_bytes: u32, max_redeliveries: u32) -> JoinableQueue<Vec<u8>> {
    let plan = Plan::of(capacity, byte_limit, 4, 100, chunk_bytes);
    let ring = Ring::create_late(plan, |state| {
        state.max_redeliveries.store(max_redeliveries, Relaxed);
    });
    JoinableQueue::of(ring.expect("a queue"))
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Get,
    GetMany(usize),
    Done(usize),
    Nack(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop_oneof![3 => 0..20_usize, 1 => 0..300_usize].prop_map(Step::Put),
        3 => Just(Step::Get),
        1 => (1..4_usize).prop_map(Step::GetMany),
        3 => (0..10_usize).prop_map(Step::Done),
        2 => (0..10_usize).prop_map(Step::Nack),
    ];
    prop::collection::vec(step, 1..150)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_task_is_leased_until_it_is_done(
        steps in steps(),
        capacity in 1..6_u64,
        byte_limit in 50..400_u64,
        chunk_bytes in prop::sample::select(vec![64_u32, 128, 4096]),
        max in 0..3_u32,
    ) {
        let queue = tiny(capacity, byte_limit, chunk_bytes, max);
        let (mut number, mut waiting) = (0_u64, VecDeque::new());
        // Returned items, with the number of returns.
        let mut returned = BTreeMap::new();
        let mut leases: Vec<(Lease<'_, Vec<u8>>, Vec<u8>)> = Vec::new();
        let mut dead = BTreeMap::new();
        for step in steps {
            match step {
                Step::Put(len) => {
                    let item = vec![number as u8; len];
                    match queue.try_put(item.clone()) {
                        Ok(()) => {
                            waiting.push_back((number, item));
                            number += 1;
                        }
                        Err(PutError::Full(_)) => prop_assert!(!waiting.is_empty() || !leases.is_empty()
                            || !returned.is_empty() || !dead.is_empty(), "full of nothing"),
                        Err(PutError::Failed(_, error)) => {
                            prop_assert!(matches!(error, Error::TooLong { .. }), "{}", error);
                        }
                    }
                    prop_assert!(waiting.len() as u64 <= capacity);
                }
                Step::Get | Step::GetMany(_) => {
                    let most = if let Step::GetMany(most) = step { most } else { 1 };
                    let got = match step {
                        Step::Get => queue.try_get().expect("no error").into_iter().collect(),
                        _ => all(queue.get_many_timeout(most, Duration::ZERO).expect("no error")),
                    };
                    if returned.is_empty() {
                        prop_assert_eq!(got.len(), most.min(waiting.len()));
                    } else {
                        prop_assert_eq!(got.len(), 1);
                    }
                    for lease in got {
                        let (times, item) = match returned.remove(&lease.number()) {
                            Some(known) => known,
                            None => {
                                let (first, item) = waiting.pop_front().expect("got from nothing");
                                prop_assert_eq!(first, lease.number());
                                (0, item)
                            }
                        };
                        prop_assert_eq!(lease.redelivered(), times);
                        prop_assert_eq!(&*lease, &item);
                        leases.push((lease, item));
                    }
                }
                Step::Done(index) if index < leases.len() => {
                    let (lease, item) = leases.swap_remove(index);
                    prop_assert_eq!(lease.task_done().expect("it is ours"), item);
                }
                Step::Nack(index) if index < leases.len() => {
                    let (lease, item) = leases.swap_remove(index);
                    let (key, times) = (lease.number(), lease.redelivered() + 1);
                    if index % 2 == 0 { drop(lease) } else { lease.nack().expect("it is ours") }
                    let place = if times > max { &mut dead } else { &mut returned };
                    place.insert(key, (times, item));
                }
                Step::Done(_) | Step::Nack(_) => {}
            }
            let unfinished = waiting.len() + returned.len() + leases.len();
            prop_assert_eq!(queue.unfinished(), unfinished as u64);
            prop_assert_eq!(queue.join_timeout(Duration::ZERO).expect("no error"), unfinished == 0);
            prop_assert_eq!(queue.dead_letter_count(), dead.len());
            prop_assert_eq!(queue.qsize(), waiting.len());
        }
        // The bytes of leased items are still in place, whatever was put meanwhile.
        for (lease, item) in leases {
            let key = lease.number();
            let redelivered = lease.redelivered();
            drop(lease);
            if redelivered < max {
                let again = queue.try_get().expect("no error").expect("it came back");
                // Others may have been returned before.
                let expected = if again.number() == key { Some(&item) } else { returned.get(&again.number()).map(|known| &known.1) };
                if let Some(expected) = expected {
                    prop_assert_eq!(&*again, expected);
                }
                again.task_done().expect("it is ours");
            }
        }
        for letter in all(queue.drain_dead_letters()) {
            if let Some((times, item)) = dead.get(&letter.number) {
                prop_assert_eq!((letter.redelivered, &letter.item), (*times, item));
            }
        }
        prop_assert_eq!(queue.dead_letter_count(), 0);
    }
}

#[test]
fn lease_that_was_taken_over_is_lost() {
    let queue = tiny(9, 1000, 64, 9);
    queue.put(vec![7]).expect("room");
    let stale = Cell::new(None);
    queue.ring.lease(1, Waiting::NO, |token| stale.set(Some(token))).expect("no error");
    let stale = stale.get().expect("an item");
    queue.ring.return_lease(&stale).expect("it is ours");
    let lease = queue.get().expect("it came back");
    assert!(matches!(queue.ring.finish_lease(&stale), Err(Error::LeaseLost { item: 0 })));
    assert!(matches!(queue.ring.return_lease(&stale), Err(Error::LeaseLost { item: 0 })));
    lease.task_done().expect("the new lease stands");
    assert!(matches!(queue.ring.finish_lease(&stale), Err(Error::LeaseLost { item: 0 })));
}

#[test]
fn handle_that_is_dropped_gives_back_what_it_owes() {
    let queue = tiny(9, 1000, 64, 9);
    queue.put(vec![7]).expect("room");
    let consumer = queue.consumer();
    assert_eq!(consumer.get().expect("an item").into_item(), [7]);
    drop(consumer);
    assert_eq!(queue.get().expect("it came back").redelivered(), 1);
}

#[test]
fn panic_while_an_item_is_read_gives_it_back() {
    struct Bomb;
    impl<'de> serde::Deserialize<'de> for Bomb {
        fn deserialize<D: serde::Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
            panic!("it goes off")
        }
    }
    let queue = tiny(9, 1000, 64, 9);
    queue.put_many(&[vec![1], vec![2], vec![3]]).expect("room");
    let bombs = queue.another::<Bomb, Both>();
    for most in [1, 2] {
        let outcome = std::panic::catch_unwind(|| bombs.get_many(most).map(drop));
        assert!(outcome.is_err());
        assert_eq!(queue.unfinished(), 3);
        assert!(queue.ring.leases().all(|lease| lease.word.owner().is_none()));
    }
}

#[test]
fn unreadable_item_keeps_its_place_among_the_good_ones() {
    // An empty list is not a valid array of one.
    let queue = tiny(9, 1000, 64, 0);
    let reading = queue.another::<[u8; 1], Both>();
    let put = || queue.put_many(&[vec![1], vec![2], vec![], vec![4]]).expect("room");
    put();
    let leases = reading.get_many(9).expect("items");
    assert!(matches!(&leases[..], [Ok(_), Ok(_), Err(Error::Codec { .. }), Ok(_)]), "{leases:?}");
    assert_eq!((queue.unfinished(), queue.dead_letter_count()), (3, 1), "the third has come back too often");
    drop(leases);
    assert_eq!((queue.unfinished(), queue.dead_letter_count()), (0, 4));
    let letters = reading.drain_dead_letters();
    let numbers: Vec<_> = letters.iter().map(|letter| letter.as_ref().ok().map(|letter| letter.number)).collect();
    assert_eq!(numbers, [Some(0), Some(1), None, Some(3)]);
    assert_eq!((queue.dead_letter_count(), reading.drain_dead_letters().len()), (0, 0));
}

#[test]
fn join_waits_for_the_last_task() {
    let queue = tiny(9, 1000, 64, 9);
    queue.put_many(&[vec![1], vec![2]]).expect("room");
    let leases = all(queue.get_many(2).expect("two"));
    let (order, seen) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let (joined, queue) = (order.clone(), &queue);
        scope.spawn(move || {
            queue.join().expect("tasks end");
            joined.send("joined").expect("the test listens");
        });
        for lease in leases {
            order.send("done").expect("the test listens");
            lease.task_done().expect("it is ours");
        }
    });
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["done", "done", "joined"]);
}

#[test]
fn every_operation_passes_one_point() {
    let queue = JoinableQueue::<u8>::bounded(3).expect("a queue");
    let object = &queue.ring.shared;
    assert!(goes("queue.try_join", object, || queue.join_timeout(Duration::ZERO)).expect("nothing to do"));
    goes("queue.join", object, || queue.join()).expect("nothing to do");
    goes("queue.put_many", object, || queue.put_many(&[1, 2, 3])).expect("room");
    would_block("queue.put", object, || queue.put(4));
    let first = goes("queue.get", object, || queue.get()).expect("an item");
    let second = goes("queue.try_get", object, || queue.try_get()).expect("no error").expect("an item");
    let third = goes("queue.get_many", object, || queue.get_many(5)).expect("an item").pop().expect("one");
    assert_eq!(goes("queue.unfinished", object, || queue.unfinished()), 3);
    would_block("queue.join_timeout", object, || queue.join_timeout(Duration::from_secs(1)));
    goes("queue.nack", object, || first.nack()).expect("it is ours");
    goes("queue.nack", object, || drop(second));
    goes("queue.task_done", object, || third.expect("an item").task_done()).expect("it is ours");
    let item = goes("queue.get_timeout", object, || queue.get_timeout(Duration::from_secs(1)));
    item.expect("no error").expect("it came back").into_item();
    goes("queue.task_done", object, || queue.task_done()).expect("it was taken");
    assert_eq!(goes("queue.dead_letter_count", object, || queue.dead_letter_count()), 0);
    assert!(goes("queue.drain_dead_letters", object, || queue.drain_dead_letters()).is_empty());
    goes("queue.close", object, || queue.close());
}
