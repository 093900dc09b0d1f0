//! Bytes in every way through a queue, against a model, and in the way of others.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::*;
use crate::ipc::operation::tests::{goes, would_block};
use crate::ipc::queue::ring::{Plan, SHORT_BYTES};
use crate::ipc::test_util::{watchdog, with_sleepers};
use crate::sys::atomic::Ordering::Relaxed;

/// A queue of tiny segments and chunks, whose numbers soon wrap.
fn tiny(capacity: u64, byte_limit: u64, chunk_bytes: u32) -> Queue<[u8]> {
    let plan = Plan::of(capacity, byte_limit, 4, 20, chunk_bytes);
    Queue::of(Ring::create_late(plan, |_| {}).expect("a queue"))
}

/// Bytes that differ between items, and within one.
fn bytes(seed: u8, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index % 251) as u8 ^ seed).collect()
}

fn write(queue: &Queue<[u8]>, bytes: &[u8]) -> Option<()> {
    let mut reservation = queue.try_reserve(bytes.len()).expect("no error")?;
    reservation.copy_from_slice(bytes);
    reservation.commit().expect("room for what was reserved");
    Some(())
}

const LENGTHS: [usize; 11] = [0, 1, 8, 48, 49, 64, SHORT_BYTES, SHORT_BYTES + 1, 4096, 5000, 100_000];

#[test]
fn items_of_every_length_go_every_way() {
    let queue = Queue::<[u8]>::bounded(4).expect("a queue");
    let mut buffer = b"of before".to_vec();
    for (seed, len) in (0..).zip(LENGTHS) {
        let item = bytes(seed, len);
        queue.put_bytes(&item).expect("room");
        write(&queue, &item).expect("room");
        let mut long = queue.reserve(len + 70_000).expect("room");
        long[..len].copy_from_slice(&item);
        long.truncate(len);
        long.truncate(len + 1);
        assert_eq!((&*long, long.len()), (&item[..], len));
        long.commit().expect("room");
        queue.put_bytes(&item).expect("room");
        let [first, second] = [queue.get_ref(), queue.get_ref()].map(|item| item.expect("an item"));
        assert_eq!((&*first, &*second), (&item[..], &item[..]), "{len}");
        if len > 48 {
            assert!([first.as_ptr(), second.as_ptr()].iter().all(|place| place.addr().is_multiple_of(64)));
        }
        queue.get_into(&mut buffer).expect("an item");
        assert_eq!(buffer, item);
        assert!(queue.try_get_into(&mut buffer).expect("no error"));
        assert_eq!((buffer.as_slice(), queue.is_empty()), (&item[..], true));
    }
    buffer = b"kept".to_vec();
    assert!(!queue.get_into_timeout(&mut buffer, Duration::from_millis(1)).expect("no error"));
    assert_eq!((buffer.as_slice(), queue.try_get_ref().expect("no error").is_none()), (&b"kept"[..], true));
}

#[test]
fn reservation_is_no_item_and_takes_memory_until_it_ends() {
    let queue = tiny(4, 4096, 4096);
    let mut reservation = queue.reserve(4000).expect("room");
    reservation.fill(1);
    assert_eq!((queue.qsize(), queue.is_empty()), (0, true));
    assert!(queue.try_reserve(4000).expect("no error").is_none());
    assert!(matches!(queue.try_put_bytes(&[0; 4000]), Err(Error::Full)));
    queue.put_bytes(b"short").expect("short items have memory of their own");
    drop(reservation);
    write(&queue, &[2; 4000]).expect("the memory is free");
    assert_eq!(queue.get_ref().expect("an item")[..], b"short"[..]);
    assert_eq!(queue.get_ref().expect("an item")[..], [2; 4000]);
    let refused = queue.try_reserve(4097).expect_err("longer than the limit");
    assert!(matches!(refused, Error::TooLong { bytes: 4097, limit: 4096 }), "{refused}");
    assert!(matches!(queue.put_bytes(&[0; 4097]), Err(Error::TooLong { .. })));
}

#[test]
fn item_that_is_read_in_place_stays_while_others_pass() {
    let queue = tiny(2, 1024, 128);
    let held = bytes(9, 300);
    queue.put_bytes(&held).expect("room");
    let item = queue.get_ref().expect("an item");
    for round in 0..200 {
        let other = bytes(round, 300);
        write(&queue, &other).expect("room beside what is read");
        assert_eq!(queue.get_ref().expect("an item")[..], other);
        assert_eq!(item[..], held);
    }
    assert!(matches!(queue.try_put_bytes(&[0; 1024]), Err(Error::Full)), "what is read has memory");
    drop(item);
    queue.put_bytes(&[0; 1024]).expect("all memory is free");
}

#[test]
fn commit_in_a_full_queue_waits_or_gives_the_reservation_back() {
    let _watchdog = watchdog();
    for len in [10, 100, 1000] {
        let queue = Queue::<[u8]>::bounded(1).expect("a queue");
        let [mut first, mut second] = [(); 2].map(|()| queue.reserve(len).expect("room"));
        first.fill(1);
        second.fill(2);
        first.commit().expect("room");
        let refused = second.commit_timeout(Duration::ZERO).expect_err("it is full");
        assert!(matches!(refused, PutError::Full(_)), "{refused:?}");
        let second = std::sync::Mutex::new(Some(refused.into_item()));
        let commit = || {
            let second = second.lock().expect("no panic").take().expect("one thread");
            second.commit().expect("room in the end");
        };
        with_sleepers(1, commit, || assert_eq!(queue.get_ref().expect("an item")[..], vec![1; len]));
        assert_eq!(queue.get_ref().expect("an item")[..], vec![2; len]);
    }
}

#[test]
fn reservation_waits_for_the_memory_of_what_is_read() {
    let _watchdog = watchdog();
    let queue = tiny(4, 4096, 4096);
    queue.put_bytes(&[1; 4000]).expect("room");
    let item = queue.get_ref().expect("an item");
    assert!(queue.reserve_timeout(4000, Duration::from_millis(1)).expect("no error").is_none());
    let reserve = || drop(queue.reserve(4000).expect("room in the end"));
    with_sleepers(2, reserve, || drop(item));
}

#[test]
fn full_queue_has_no_room_for_a_reservation() {
    let queue = Queue::<[u8]>::bounded(256).expect("a queue");
    (0..256).for_each(|_| queue.put_bytes(&[1; 100]).expect("room"));
    for len in [10, 100, 200] {
        assert!(queue.try_reserve(len).expect("no error").is_none());
    }
}

#[test]
fn commit_after_the_close_gives_the_reservation_back() {
    let queue = Queue::<[u8]>::new().expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let reservations = [10, 100, 1000].map(|len| producer.reserve(len).expect("room"));
    producer.close();
    for reservation in reservations {
        let len = reservation.len();
        let refused = reservation.commit_timeout(Duration::ZERO).expect_err("it is closed");
        assert!(matches!(refused, PutError::Failed(_, Error::Closed)), "{refused:?}");
        let reservation = refused.into_item();
        assert_eq!(reservation.len(), len);
        assert!(matches!(reservation.commit(), Err(Error::Closed)));
    }
    assert!(matches!(producer.try_reserve(1), Err(Error::Closed)));
    assert!(matches!(producer.put_bytes(&[]), Err(Error::Closed)));
    assert!(matches!(consumer.get_ref(), Err(Error::Disconnected)));
    drop(consumer);
}

#[test]
fn last_consumer_that_leaves_is_told_to_a_commit() {
    let queue = Queue::<[u8]>::bounded(1).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let reservation = producer.reserve(1000).expect("room");
    drop(consumer);
    let refused = reservation.commit().expect_err("nobody can get it");
    assert!(matches!(refused, Error::Disconnected), "{refused}");
}

#[test]
fn lease_in_place_goes_back_until_it_is_done() {
    let queue = JoinableQueue::<[u8]>::builder().max_redeliveries(1).build().expect("a queue");
    for len in [10, 100, 10_000] {
        let item = bytes(3, len);
        queue.put_bytes(&item).expect("room");
        queue.put_bytes(&item).expect("room");
        drop(queue.get_ref().expect("an item"));
        let lease = queue.get_ref().expect("the same item");
        assert_eq!((&lease[..], lease.redelivered()), (&item[..], 1));
        lease.task_done().expect("a lease");
        queue.get_ref().expect("an item").nack().expect("a lease");
        drop(queue.try_get_ref().expect("no error").expect("the same item"));
        assert!(queue.get_ref_timeout(Duration::from_millis(1)).expect("no error").is_none());
        queue.join().expect("one is done, one a dead letter");
        let letters: Vec<_> = queue.drain_dead_letters().into_iter().map(|letter| letter.expect("bytes")).collect();
        assert_eq!(letters.iter().map(|letter| (&letter.item, letter.redelivered)).collect::<Vec<_>>(), [(&item, 2)]);
    }
}

#[test]
fn place_outside_of_the_memory_is_an_error_and_no_access() {
    let queue = tiny(4, 4096, 4096);
    for _ in 0..2 {
        queue.put_bytes(&[1; 1000]).expect("room");
        let (spot, _) = queue.ring.first_ready().expect("an item");
        queue.ring.slot(spot).content()[0].store(u64::MAX - 100, Relaxed);
        assert!(matches!(queue.get_ref(), Err(Error::Damaged { .. })));
    }
    assert!(queue.is_empty());
}

#[test]
fn each_operation_passes_one_point_with_its_name() {
    let queue = tiny(1, 4096, 4096);
    let (put, get) = (queue.producer(), queue.consumer());
    drop(queue);
    let object = &put.ring.shared;
    let reservation = goes("queue.reserve", object, || put.reserve(100)).expect("room");
    goes("queue.commit", object, || reservation.commit()).expect("room");
    would_block("queue.reserve", object, || drop(put.reserve(100)));
    would_block("queue.put", object, || put.put_bytes(b""));
    goes("queue.try_put", object, || put.try_put_bytes(b"")).expect_err("it is full");
    drop(goes("queue.get", object, || get.get_ref()).expect("an item"));
    would_block("queue.get", object, || get.get_into(&mut Vec::new()));
}

#[test]
fn guards_may_go_to_other_threads() {
    fn is_free<T: Send + Sync>() {}
    is_free::<Reservation<'_>>();
    is_free::<ItemRef<'_>>();
    is_free::<LeaseRef<'_>>();
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    Reserve(usize),
    Commit(usize),
    Forget(usize),
    Get,
    GetInto,
    Release(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![2 => 0..60_usize, 2 => 0..300_usize];
    let step = prop_oneof![
        4 => len.clone().prop_map(Step::Put),
        4 => len.prop_map(Step::Reserve),
        3 => (0..4_usize).prop_map(Step::Commit),
        1 => (0..4_usize).prop_map(Step::Forget),
        4 => Just(Step::Get),
        2 => Just(Step::GetInto),
        4 => (0..4_usize).prop_map(Step::Release),
    ];
    prop::collection::vec(step, 1..150)
}

/// How many items are written or read in place at once: each keeps a segment.
const AT_ONCE: usize = 4;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn bytes_in_place_are_nobody_elses(
        steps in steps(),
        capacity in 1..5_u64,
        byte_limit in 300..2000_u64,
        chunk_bytes in prop::sample::select(vec![64_u32, 128, 4096]),
    ) {
        let queue = tiny(capacity, byte_limit, chunk_bytes);
        let (mut items, mut written, mut read) = (VecDeque::new(), Vec::new(), Vec::new());
        let mut seed = 0;
        for step in steps {
            seed = (seed + 1) % 250;
            match step {
                Step::Put(len) => match queue.try_put_bytes(&bytes(seed, len)) {
                    Ok(()) => items.push_back(bytes(seed, len)),
                    Err(error) => {
                        prop_assert!(matches!(error, Error::Full), "{error}");
                        let is_used = !items.is_empty() || !written.is_empty() || !read.is_empty();
                        prop_assert!(is_used, "an unused queue has no room for {len}");
                    }
                },
                Step::Reserve(len) if written.len() < AT_ONCE => {
                    if let Some(mut reservation) = queue.try_reserve(len).expect("no error") {
                        reservation.copy_from_slice(&bytes(seed, len));
                        written.push((reservation, bytes(seed, len)));
                    }
                }
                Step::Commit(index) if index < written.len() => {
                    let (reservation, bytes) = written.swap_remove(index);
                    match reservation.commit_timeout(Duration::ZERO) {
                        Ok(()) => items.push_back(bytes),
                        Err(error) => {
                            prop_assert!(matches!(error, PutError::Full(_)) && items.len() as u64 == capacity);
                            written.push((error.into_item(), bytes));
                        }
                    }
                }
                Step::Forget(index) if index < written.len() => drop(written.swap_remove(index)),
                Step::Get if read.len() < AT_ONCE => match queue.try_get_ref().expect("no error") {
                    Some(item) => read.push((item, items.pop_front().expect("it was put"))),
                    None => prop_assert!(items.is_empty()),
                },
                Step::GetInto => {
                    let mut buffer = Vec::new();
                    let item = queue.try_get_into(&mut buffer).expect("no error").then_some(buffer);
                    prop_assert_eq!(item, items.pop_front());
                }
                Step::Release(index) if index < read.len() => drop(read.swap_remove(index)),
                _ => {}
            }
            for (place, expected) in &written {
                prop_assert_eq!(&**place, &expected[..]);
            }
            for (place, expected) in &read {
                prop_assert_eq!(&**place, &expected[..]);
            }
            prop_assert_eq!(queue.qsize(), items.len());
        }
    }
}
