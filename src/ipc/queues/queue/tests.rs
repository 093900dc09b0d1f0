//! The queue against a model, and between threads.

use std::collections::VecDeque;
use std::sync::Arc;
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::ipc::queues::ring::{Plan, record_bytes};

fn tiny(capacity: Option<u64>, byte_limit: u64, chunk_bytes: u32) -> Queue<Vec<u8>> {
    let plan = Plan { capacity: capacity.unwrap_or(u64::MAX), byte_limit, leases: 0, chunk_bytes };
    let queue = Queue::of(Channel::create(plan, rights_of::<Both>(), |_| {}).expect("a queue"));
    queue.channel.ring.wrap_after(10);
    queue
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

/// What the queue should do, with a `VecDeque`.
struct Model {
    items: VecDeque<Vec<u8>>,
    capacity: Option<u64>,
    byte_limit: u64,
    next: u8,
}

fn encoded_bytes(item: &Vec<u8>) -> usize {
    postcard::to_stdvec(item).expect("bytes have a form").len()
}

impl Model {
    fn make(&mut self, len: usize) -> Vec<u8> {
        self.next = self.next.wrapping_add(1);
        vec![self.next; len]
    }

    fn fits(&self, item: &Vec<u8>) -> bool {
        let held: usize = self.items.iter().map(|item| record_bytes(encoded_bytes(item))).sum();
        let room = record_bytes(self.byte_limit as usize);
        self.capacity.is_none_or(|capacity| (self.items.len() as u64) < capacity)
            && held + record_bytes(encoded_bytes(item)) <= room
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
        capacity in prop::option::of(1..5_u64),
        byte_limit in 1..400_u64,
        chunk_bytes in prop::sample::select(vec![8_u32, 16, 64, 4096]),
    ) {
        let queue = tiny(capacity, byte_limit, chunk_bytes);
        let mut user = queue.clone();
        let mut model = Model { items: VecDeque::new(), capacity, byte_limit, next: 0 };
        for step in steps {
            match step {
                Step::Put(len) => {
                    let item = model.make(len);
                    match user.try_put(item.clone()) {
                        Ok(()) => {
                            prop_assert!(model.fits(&item), "put {len} although it does not fit");
                            model.items.push_back(item);
                        }
                        Err(PutError::Full(back)) => {
                            prop_assert!(!model.fits(&item) && !model.is_too_long(&item), "refused {len}");
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
                    let mut put = 0;
                    for item in items {
                        if !model.fits(&item) {
                            break;
                        }
                        model.items.push_back(item);
                        put += 1;
                    }
                    prop_assert_eq!(outcome.expect("no error"), put);
                }
                Step::Get => prop_assert_eq!(user.try_get().expect("no error"), model.items.pop_front()),
                Step::GetMany(most) => {
                    let expected: Vec<_> = model.items.drain(..most.min(model.items.len())).collect();
                    prop_assert_eq!(user.get_many_timeout(most, Duration::ZERO).expect("no error"), expected);
                }
                Step::Drain => {
                    let drained: Vec<_> = user.drain().expect("no error").collect();
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
    let queue = Queue::<(u8, u32)>::bounded(7).expect("a queue");
    queue.channel.ring.wrap_after(1000);
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
    let before = queue.channel.ring.resident_bytes();
    assert!(before < 1 << 20, "an empty queue takes {before} bytes");
    queue.put("x".repeat(100 << 20)).expect("room for 100 MiB");
    let full = queue.channel.ring.resident_bytes();
    assert!(full > 100 << 20);
    assert_eq!(queue.get().expect("an item").len(), 100 << 20);
    assert_eq!(queue.get_timeout(Duration::from_millis(150)).expect("no error"), None);
    let after = queue.channel.ring.resident_bytes();
    assert!(after < 8 << 20, "{after} bytes of {full} are left");
    queue.put("again".to_owned()).expect("room");
    assert_eq!(queue.get().expect("an item"), "again");
}

#[test]
fn busy_queue_gives_back_what_it_no_longer_needs() {
    let queue = Queue::<String>::new().expect("a queue");
    (0..64).for_each(|_| queue.put("x".repeat(1 << 20)).expect("room for 64 MiB"));
    let full = queue.channel.ring.resident_bytes();
    (0..64).for_each(|_| drop(queue.get().expect("an item")));
    for _ in 0..3000 {
        queue.put("x".repeat(200_000)).expect("room");
        queue.get().expect("an item");
    }
    let after = queue.channel.ring.resident_bytes();
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
    let bytes = queue.channel.ring.resident_bytes();
    assert!(bytes < 512 << 10, "{bytes} bytes for 1000 numbers");
}

#[test]
fn numbers_out_of_range_are_refused() {
    for builder in [
        Queue::<u8>::builder().capacity(0),
        Queue::<u8>::builder().byte_limit(0),
        Queue::<u8>::builder().byte_limit(u64::MAX),
        Queue::<u8>::builder().capacity(usize::MAX),
    ] {
        assert!(matches!(builder.build::<u8>(), Err(Error::OutOfRange { .. })), "{builder:?}");
    }
    let huge = Queue::<u8>::builder().capacity(usize::MAX - 1).byte_limit(1 << 40).build::<u8>().expect("a queue");
    huge.put(1).expect("room");
    assert_eq!(huge.get().expect("an item"), 1);
}
