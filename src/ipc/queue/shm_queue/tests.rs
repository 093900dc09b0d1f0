//! The queue against a model, and between threads.

use std::collections::VecDeque;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;
use crate::JoinableQueue;
use crate::ipc::operation::tests::{goes, passed, would_block};
use crate::ipc::queue::ring::{Plan, SHORT_BYTES};
use crate::ipc::test_util::{watchdog, with_sleepers};
use crate::queue::{JoinableConsumer, JoinableProducer, PipeQueue};
use crate::sys::atomic::{AtomicU32, Ordering::Relaxed};

/// Items that can all be read.
fn all<T>(items: impl IntoIterator<Item = Result<T>>) -> Vec<T> {
    items.into_iter().collect::<Result<_>>().expect("well-formed")
}

/// A queue of tiny segments and chunks, whose numbers soon wrap.
fn tiny(capacity: Option<u64>, byte_limit: u64, segment_slots: u32, chunk_bytes: u32) -> Queue<Vec<u8>> {
    let plan = Plan::of(capacity.unwrap_or(u64::MAX), byte_limit, segment_slots, 20, chunk_bytes).packing();
    Queue::of(Ring::create_late(plan, |_| {}).expect("a queue"))
}

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    PutMany(Vec<usize>),
    Get,
    GetMany(usize),
    Drain,
    ByAnother,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let len = prop_oneof![3 => 0..20_usize, 1 => 0..300_usize];
    let step = prop_oneof![
        4 => len.clone().prop_map(Step::Put),
        2 => prop::collection::vec(len, 0..6).prop_map(Step::PutMany),
        5 => Just(Step::Get),
        2 => (0..6_usize).prop_map(Step::GetMany),
        1 => Just(Step::Drain),
        1 => Just(Step::ByAnother),
    ];
    prop::collection::vec(step, 1..120)
}

/// The expected behaviour, with a `VecDeque`.
struct Model {
    items: VecDeque<Vec<u8>>,
    capacity: Option<u64>,
    byte_limit: u64,
    next: u8,
}

fn encoded_bytes(item: &Vec<u8>) -> usize {
    crate::ipc::codec::to_vec(item).expect("bytes have a form").len()
}

impl Model {
    fn make(&mut self, len: usize) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        vec![self.next; len]
    }

    fn has_capacity(&self) -> bool {
        let limit = (self.byte_limit / 64).max(1);
        (self.items.len() as u64) < self.capacity.unwrap_or(u64::MAX).min(limit)
    }

    /// Whether an item can be put: a long one perhaps, if there are others.
    fn fits(&self, item: &Vec<u8>, is_put: bool) -> bool {
        let is_long = |item: &Vec<u8>| encoded_bytes(item) > SHORT_BYTES;
        let has_long = self.items.iter().any(is_long);
        self.has_capacity() && (is_put || is_long(item) && has_long) || !self.has_capacity() && !is_put
    }

    fn is_too_long(&self, item: &Vec<u8>) -> bool {
        encoded_bytes(item) as u64 > self.byte_limit
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn queue_does_what_a_deque_does(
        steps in steps(),
        capacity in prop::option::of(1..12_u64),
        byte_limit in 1..1000_u64,
        segment_slots in prop::sample::select(vec![4_u32, 8, 16]),
        chunk_bytes in prop::sample::select(vec![64_u32, 128, 4096]),
    ) {
        let queue = tiny(capacity, byte_limit, segment_slots, chunk_bytes);
        let mut user = queue.clone();
        let mut model = Model { items: VecDeque::new(), capacity, byte_limit, next: 0 };
        for step in steps {
            match step {
                Step::Put(len) => {
                    let item = model.make(len);
                    match user.try_put(item.clone()) {
                        Ok(()) => {
                            prop_assert!(model.fits(&item, true), "put {len} although it does not fit");
                            model.items.push_back(item);
                        }
                        Err(PutError::Full(back)) => {
                            prop_assert!(model.fits(&item, false) && !model.is_too_long(&item), "refused {len}");
                            prop_assert_eq!(back, item);
                        }
                        Err(PutError::Failed(back, error)) => {
                            let fair = matches!(error, Error::TooLong { .. }) && model.is_too_long(&item);
                            prop_assert!(fair, "{}", error);
                            prop_assert_eq!(back, item);
                        }
                    }
                }
                Step::PutMany(lens) => {
                    let items: Vec<_> = lens.into_iter().map(|len| model.make(len)).collect();
                    let outcome = user.put_many_timeout(&items, Duration::ZERO);
                    if items.iter().any(|item| model.is_too_long(item)) {
                        prop_assert!(matches!(outcome, Err(Error::TooLong { .. })), "{outcome:?}");
                        continue;
                    }
                    let put = outcome.expect("no error");
                    for (index, item) in items.into_iter().enumerate().take(put + 1) {
                        prop_assert!(model.fits(&item, index < put), "{put} of a batch");
                        if index < put {
                            model.items.push_back(item);
                        }
                    }
                }
                Step::Get => prop_assert_eq!(user.try_get().expect("no error"), model.items.pop_front()),
                Step::GetMany(most) => {
                    let expected: Vec<_> = model.items.drain(..most.min(model.items.len())).collect();
                    prop_assert_eq!(all(user.get_many_timeout(most, Duration::ZERO).expect("no error")), expected);
                }
                Step::Drain => {
                    let drained = all(user.drain().expect("no error"));
                    prop_assert_eq!(drained, model.items.drain(..).collect::<Vec<_>>());
                }
                Step::ByAnother => user = queue.clone(),
            }
            prop_assert_eq!(queue.qsize(), model.items.len());
            prop_assert_eq!(queue.is_empty(), model.items.is_empty());
            if let Some(capacity) = capacity {
                prop_assert!(model.items.len() < capacity as usize || queue.is_full());
            }
        }
    }
}

#[test]
fn threads_share_one_handle_each_item_once_in_order() {
    const ITEMS: u32 = 20_000;
    let queue: Queue<(u8, u32)> = tiny(Some(7), 1024, 4, 4096).another();
    let taken: Vec<Vec<(u8, u32)>> = thread::scope(|scope| {
        let (producer, consumer) = (queue.producer(), queue.consumer());
        let getters: Vec<_> = (0..2)
            .map(|_| {
                let consumer = consumer.clone();
                scope.spawn(move || consumer.iter().map(|item| item.expect("well-formed")).collect())
            })
            .collect();
        drop((queue, consumer));
        // The last thread that puts drops the handle.
        let producer = Arc::new(producer);
        for putter in 0..2_u8 {
            let producer = Arc::clone(&producer);
            scope.spawn(move || (0..ITEMS).for_each(|number| producer.put((putter, number)).expect("somebody gets")));
        }
        drop(producer);
        getters.into_iter().map(|getter| getter.join().expect("no panic")).collect()
    });
    for putter in 0..2 {
        let of = |taken: &[(u8, u32)]| -> Vec<u32> {
            taken.iter().filter(|(from, _)| *from == putter).map(|(_, number)| *number).collect()
        };
        let mut all = Vec::new();
        for taken in &taken {
            let numbers = of(taken);
            assert!(numbers.is_sorted(), "FIFO for each producer");
            all.extend(numbers);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..ITEMS), "each item of {putter} exactly once");
    }
}

#[test]
fn unused_memory_goes_back_when_the_queue_is_idle() {
    let queue = Queue::<String>::new().expect("a queue");
    let before = queue.ring.resident_bytes();
    assert!(before < 1 << 20, "an empty queue takes {before} bytes");
    queue.put("x".repeat(100 << 20)).expect("room for 100 MiB");
    let full = queue.ring.resident_bytes();
    assert!(full > 100 << 20);
    assert_eq!(queue.get().expect("an item").len(), 100 << 20);
    assert_eq!(queue.get_timeout(Duration::from_millis(150)).expect("no error"), None);
    let after = queue.ring.resident_bytes();
    assert!(after < 8 << 20, "{after} bytes of {full} are left");
    queue.put("again".to_owned()).expect("room");
    assert_eq!(queue.get().expect("an item"), "again");
    // Of slots, and of what is behind them.
    let items = vec!["x".repeat(100); 200_000];
    queue.put_many(&items).expect("room for 20 MB");
    let full = queue.ring.resident_bytes();
    assert!(full > 20 << 20);
    let got: Vec<_> =
        queue.get_many(items.len()).expect("no error").into_iter().map(|item| item.expect("whole")).collect();
    assert_eq!(got, items);
    assert_eq!(queue.get_timeout(Duration::from_millis(150)).expect("no error"), None);
    let after = queue.ring.resident_bytes();
    assert!(after < 10 << 20, "{after} bytes of {full} are left");
}

#[test]
fn busy_queue_gives_back_what_it_no_longer_needs() {
    let queue = Queue::<String>::new().expect("a queue");
    (0..64).for_each(|_| queue.put("x".repeat(1 << 20)).expect("room for 64 MiB"));
    let full = queue.ring.resident_bytes();
    (0..64).for_each(|_| drop(queue.get().expect("an item")));
    for _ in 0..3000 {
        queue.put("x".repeat(200_000)).expect("room");
        queue.get().expect("an item");
    }
    let after = queue.ring.resident_bytes();
    assert!(full > 64 << 20 && after < 8 << 20, "{full} bytes, then {after}");
}

#[test]
fn small_items_stay_in_little_memory() {
    let queue = Queue::<u64>::bounded(1024).expect("a queue");
    for number in 0..300_000 {
        queue.put(number).expect("room");
        if number >= 1000 {
            assert_eq!(queue.get().expect("an item"), number - 1000);
        }
    }
    let bytes = queue.ring.resident_bytes();
    assert!(bytes < 512 << 10, "{bytes} bytes for 1000 numbers");
}

#[test]
fn numbers_out_of_range_are_refused() {
    for builder in [
        Queue::<u8>::builder().capacity(0),
        Queue::<u8>::builder().byte_limit(0),
        Queue::<u8>::builder().byte_limit(u64::MAX),
    ] {
        assert!(matches!(builder.build::<u8>(), Err(Error::OutOfRange { .. })), "{builder:?}");
    }
    let huge = Queue::<u8>::builder().capacity(usize::MAX - 1).byte_limit(1 << 40).build::<u8>().expect("a queue");
    huge.put(1).expect("room");
    assert_eq!(huge.get().expect("an item"), 1);
    assert_eq!(Queue::<u8>::bounded(usize::MAX).expect("a queue").capacity(), None, "as many as there can be");
}

/// An item that reports when it is serialised, and then blocks until released.
struct Slow(Option<(mpsc::Sender<()>, Mutex<mpsc::Receiver<()>>)>);

impl Serialize for Slow {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        if let Some((tell, go)) = &self.0 {
            tell.send(()).expect("the test listens");
            go.lock().expect("nobody panics").recv().expect("the test lets it go");
        }
        serializer.serialize_u8(2)
    }
}

impl<'de> Deserialize<'de> for Slow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|_| Slow(None))
    }
}

#[test]
fn put_that_waits_for_room_is_told_of_the_close() {
    let _watchdog = watchdog();
    let queue = Queue::<u8>::bounded(1).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    producer.put(1).expect("room");
    let outcomes = Mutex::new(Vec::new());
    let put = || {
        let outcome = producer.put(2);
        outcomes.lock().expect("nobody panics").push(outcome);
    };
    let told = Mutex::new(None);
    let get = || {
        producer.close();
        let got = [consumer.get(), consumer.get()];
        *told.lock().expect("nobody panics") = Some(got);
    };
    // One of the two has the mutex, the other waits for it.
    with_sleepers(2, put, get);
    let told = told.into_inner().expect("nobody panics");
    assert!(matches!(told, Some([Ok(1), Err(Error::Disconnected)])), "{told:?}");
    let outcomes = outcomes.into_inner().expect("nobody panics");
    let closed = |outcome: &_| matches!(outcome, Err(PutError::Failed(2, Error::Closed)));
    assert!(outcomes.len() == 2 && outcomes.iter().all(closed), "{outcomes:?}");
}

#[test]
fn batch_that_waits_for_room_is_told_of_the_close() {
    let _watchdog = watchdog();
    let queue = Queue::<u8>::bounded(2).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let many = || assert!(matches!(producer.put_many(&[1, 2, 3, 4]), Err(Error::Closed)));
    let get = || {
        producer.close();
        assert_eq!([consumer.get().expect("an item"), consumer.get().expect("an item")], [1, 2]);
        assert!(matches!(consumer.get(), Err(Error::Disconnected)));
    };
    with_sleepers(1, many, get);
}

#[test]
fn item_that_is_serialised_while_its_handle_is_closed_is_not_put() {
    let _watchdog = watchdog();
    let queue = Queue::<Slow>::bounded(4).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let ((tell, told), (go, goes)) = (mpsc::channel(), mpsc::channel());
    thread::scope(|scope| {
        let putter = scope.spawn(|| producer.put(Slow(Some((tell, Mutex::new(goes))))));
        told.recv().expect("it is serialised");
        producer.close();
        assert_eq!(consumer.qsize(), 0);
        go.send(()).expect("it waits");
        let outcome = putter.join().expect("no panic");
        assert!(matches!(outcome, Err(PutError::Failed(_, Error::Closed))), "{outcome:?}");
        assert_eq!(consumer.qsize(), 0);
    });
}

#[test]
fn consumer_is_not_told_of_the_end_while_a_put_is_under_way() {
    let _watchdog = watchdog();
    let queue = Queue::<u8>::bounded(4).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    // A put that has seen its handle open, and has not published yet.
    let (claimed, slot) = producer.ring.claim(false).expect("no error").expect("room");
    producer.close();
    assert!(!producer.ring.may_put());
    // A get that does not wait for an item waits for the put.
    let publish = || producer.ring.publish(claimed, slot).expect_err("it is closed");
    thread::scope(|scope| {
        let got = scope.spawn(|| consumer.try_get());
        let closed = publish();
        assert!(matches!(closed, Error::Closed));
        let got = got.join().expect("no panic");
        assert!(matches!(got, Err(Error::Disconnected) | Ok(None)), "{got:?}");
    });
    assert!(matches!(consumer.get(), Err(Error::Disconnected)));
}

#[test]
fn waiting_get_waits_for_another_thread_of_its_process() {
    let _watchdog = watchdog();
    let queue = Queue::<u8>::bounded(1).expect("a queue");
    // Another handle came and went.
    drop(queue.clone());
    let get = || assert_eq!(queue.get().expect("an item"), 1);
    with_sleepers(1, get, || queue.put(1).expect("room"));
    queue.put(2).expect("room");
    let put = || queue.put(3).expect("room in the end");
    with_sleepers(1, put, || assert_eq!(queue.get().expect("an item"), 2));
}

/// A byte that cannot be read if it is 3.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct NotThree(u8);

impl<'de> Deserialize<'de> for NotThree {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            3 => Err(serde::de::Error::custom("it is three")),
            number => Ok(NotThree(number)),
        }
    }
}

#[test]
fn unreadable_item_keeps_its_place_among_the_good_ones() {
    let queue = Queue::<u8>::bounded(20).expect("a queue");
    let reading = queue.another::<NotThree, Both>();
    let put = || queue.put_many(&[1, 2, 3, 4, 5]).expect("room");
    let check = |items: Vec<Result<NotThree>>| {
        let numbers: Vec<_> = items.into_iter().map(|item| item.ok().map(|NotThree(number)| number)).collect();
        assert_eq!(numbers, [Some(1), Some(2), None, Some(4), Some(5)]);
        assert!(queue.is_empty());
    };
    put();
    check(reading.get_many(9).expect("items"));
    put();
    check(reading.get_many_timeout(9, Duration::ZERO).expect("items"));
    put();
    check(reading.drain().expect("items").collect());
}

#[test]
fn large_item_is_serialised_once() {
    static TIMES: AtomicU32 = AtomicU32::new(0);
    struct Counted {
        text: String,
        is_copy: bool,
    }
    impl Serialize for Counted {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
            TIMES.fetch_add(u32::from(!self.is_copy), Relaxed);
            self.text.serialize(serializer)
        }
    }
    // The check in debug builds serialises what it has read.
    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
            String::deserialize(deserializer).map(|text| Counted { text, is_copy: true })
        }
    }
    let queue = Queue::<Counted>::bounded(1).expect("a queue");
    for len in [10, 10_000] {
        TIMES.store(0, Relaxed);
        assert!(queue.put(Counted { text: "x".repeat(len), is_copy: false }).is_ok());
        assert_eq!(TIMES.load(Relaxed), 1, "{len}");
        assert_eq!(queue.get().expect("an item").text.len(), len);
    }
}

/// An item that panics while it is read if it says so.
#[derive(Debug, Serialize)]
struct Fuse(bool, String);

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (is_lit, text) = <(bool, String)>::deserialize(deserializer)?;
        assert!(!is_lit, "it blows");
        Ok(Fuse(is_lit, text))
    }
}

#[test]
fn panic_while_items_are_read_leaves_no_slot_taken_and_no_memory() {
    let _watchdog = watchdog();
    for len in [0, 10_000] {
        let fuse = |is_lit| Fuse(is_lit, "x".repeat(len));
        let queue = Queue::<Fuse>::builder().byte_limit(60_000).build().expect("a queue");
        for _ in 0..20 {
            queue.put(fuse(true)).expect("room");
            std::panic::catch_unwind(|| queue.get().map(|_| ())).expect_err("it panics");
            queue.put_many(&[fuse(false), fuse(true), fuse(false)]).expect("room");
            std::panic::catch_unwind(|| queue.get_many(3).map(|_| ())).expect_err("the second panics");
            while queue.try_get().expect("no error").is_some() {}
            assert!(queue.ring.slots().next().is_none(), "a taken slot keeps its segment in use");
        }
    }
}

#[test]
fn batches_are_got_in_parts_by_several_handles() {
    let queue = Queue::<u64>::bounded(200).expect("a queue");
    let other = queue.clone();
    let (mut put, mut next) = (0, 0);
    for most in (0..7).cycle() {
        if next == 3000 {
            break;
        }
        if next == put {
            let batch = put..put + 150;
            queue.put_many(&batch.collect::<Vec<_>>()).expect("room");
            put += 150;
        }
        let got = match most {
            0 => vec![queue.get().expect("an item")],
            1 => vec![other.get().expect("an item")],
            _ if most % 2 == 0 => all(queue.get_many(most).expect("items")),
            _ => all(other.get_many(most).expect("items")),
        };
        assert!(got.iter().copied().eq(next..next + got.len() as u64), "{got:?} are not the next");
        next += got.len() as u64;
        assert_eq!(queue.qsize() as u64, put - next);
    }
}

#[test]
fn catch_unwind_takes_every_kind_of_queue() {
    fn assert_safe<Q: UnwindSafe + RefUnwindSafe>() {}
    // An item that is not unwind-safe: a handle does not contain it.
    type Item = std::cell::RefCell<Box<dyn Fn()>>;
    assert_safe::<Queue<Item>>();
    assert_safe::<Producer<Item>>();
    assert_safe::<Consumer<Item>>();
    assert_safe::<JoinableQueue<Item>>();
    assert_safe::<JoinableProducer<Item>>();
    assert_safe::<JoinableConsumer<Item>>();
    assert_safe::<PipeQueue<Item>>();
    let queue = Queue::<u8>::bounded(1).expect("a queue");
    assert!(std::panic::catch_unwind(|| queue.try_get()).expect("no panic").expect("no error").is_none());
}

#[test]
fn try_waits_for_who_is_in_the_middle_of_its_step() {
    let _watchdog = watchdog();
    let queue = Queue::<u8>::bounded(2).expect("a queue");
    let ring = &queue.ring;
    let (claimed, slot) = ring.claim(false).expect("no error").expect("room");
    // Others put behind it, and are in the queue.
    queue.try_put(2).expect("there is room");
    assert_eq!((queue.qsize(), queue.is_empty()), (2, true), "who is behind cannot be got yet");
    thread::scope(|scope| {
        let got = scope.spawn(|| queue.try_get());
        let all_got = scope.spawn(|| queue.get_timeout(Duration::from_nanos(1)));
        let bytes = crate::ipc::codec::to_vec(&1_u8).expect("a number has a form");
        ring.write_short(claimed, slot, &bytes);
        ring.publish(claimed, slot).expect("the handle is open");
        let mut got = [got, all_got].map(|got| got.join().expect("no panic").expect("no error"));
        got.sort_unstable();
        assert_eq!(got, [Some(1), Some(2)]);
    });
}

#[test]
fn long_item_is_behind_one_that_waits_for_more_room() {
    let _watchdog = watchdog();
    let queue = Queue::<String>::builder().byte_limit(8192).build().expect("a queue");
    queue.put("x".repeat(4000)).expect("room");
    let put = || queue.put("x".repeat(8000)).expect("room in the end");
    with_sleepers(1, put, || {
        assert!(!queue.is_full());
        assert!(matches!(queue.try_put("x".repeat(200)), Err(PutError::Full(_))), "the other one is the next");
        queue.try_put("short".to_owned()).expect("it needs none of that memory");
        assert_eq!(queue.get().expect("an item").len(), 4000);
    });
    assert_eq!(queue.get().expect("an item"), "short");
    assert_eq!(queue.get().expect("an item").len(), 8000);
    queue.try_put("x".repeat(200)).expect("there is room");
}

#[test]
fn long_put_sleeps_until_there_is_room() {
    let _watchdog = watchdog();
    // Full at the end of a segment, and behind an item that ends in the middle of a chunk.
    let full_segment = (Queue::<String>::bounded(256).expect("a queue"), 256, 200);
    let full_chunks = (Queue::<String>::builder().byte_limit(8192).build().expect("a queue"), 2, 4000);
    for (queue, fits, len) in [full_segment, full_chunks] {
        let put = || queue.put("x".repeat(len)).expect("room in the end");
        (0..fits).for_each(|_| put());
        with_sleepers(1, put, || assert_eq!(queue.get().expect("an item").len(), len));
    }
}

#[test]
fn every_operation_passes_one_point() {
    let queue = Queue::<u8>::bounded(2).expect("a queue");
    let (put, get) = (queue.producer(), queue.consumer());
    drop(queue);
    let object = &put.ring.shared;
    assert!(goes("queue.is_empty", object, || get.is_empty()));
    would_block("queue.get", object, || get.get());
    would_block("queue.get_timeout", object, || get.get_timeout(Duration::from_secs(1)));
    would_block("queue.get_many", object, || get.get_many(2));
    would_block("queue.get_many_timeout", object, || get.get_many_timeout(2, Duration::from_secs(1)));
    assert_eq!(goes("queue.try_get", object, || get.try_get()).expect("no error"), None);
    goes("queue.put", object, || put.put(1)).expect("room");
    goes("queue.put_timeout", object, || put.put_timeout(2, Duration::from_secs(1))).expect("room");
    assert!(goes("queue.is_full", object, || put.is_full()));
    would_block("queue.put", object, || put.put(3));
    would_block("queue.put_timeout", object, || put.put_timeout(3, Duration::from_secs(1)));
    would_block("queue.put_many", object, || put.put_many(&[3, 4]));
    would_block("queue.put_many_timeout", object, || put.put_many_timeout(&[3], Duration::from_secs(1)));
    goes("queue.try_put", object, || put.try_put(3)).expect_err("it is full");
    assert_eq!(goes("queue.try_put_many", object, || put.put_many_timeout(&[3], Duration::ZERO)).expect("no error"), 0);
    assert_eq!(goes("queue.qsize", object, || get.qsize()), 2, "nothing was done at a point");
    assert_eq!(goes("queue.get", object, || get.get()).expect("an item"), 1);
    assert_eq!(goes("queue.try_get_many", object, || get.drain()).expect("an item").count(), 1);
    let (count, points) = passed(|| put.put_many_timeout(&[5, 6, 7], Duration::from_millis(1)));
    let mut points: Vec<_> = points.iter().map(|point| (point.operation, point.could_go)).collect();
    points.dedup();
    assert_eq!(
        (count.expect("room"), &points[..]),
        (2, &[("queue.put_many_timeout", true), ("queue.put_more", false)][..])
    );
    assert_eq!(get.drain().expect("items").count(), 2);
    goes("queue.put_many", object, || put.put_many(&[5, 6])).expect("room");
    assert_eq!(goes("queue.get_many", object, || get.get_many(2)).expect("items").len(), 2);
    goes("queue.close", object, || put.close());
    goes("queue.get", object, || get.get()).expect_err("no producer is left");
    goes("queue.put", object, || put.put(7)).expect_err("it is closed");
}
