//! What every queue does, whatever its implementation: cases over the library's traits [`Transport`], [`PutEnd`] and
//! [`GetEnd`], run on each implementation by [`queue_cases!`], with threads of this process and with either end, and
//! both, in a worker (`remote`).
//!
//! The textbook queue cannot do all that the rings can. What it lacks is in [`ring_cases!`], and for each of those,
//! `pipe_queue` has a case that shows what it does instead.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use ipc_demo::queue::{
    GetEnd, JoinableConsumer, JoinableProducer, Pipe, PipeQueue, PutEnd, PutError, SharedMemory, Transport,
};
use ipc_demo::{Consumer, Error, JoinableQueue, Producer, Result};
use nix::unistd::{Pid, gettid};
use serde::{Deserialize, Serialize};

use crate::harness::await_sleep_of;

pub(crate) type Item = Vec<u8>;
pub(crate) type Put = std::result::Result<(), PutError<Item>>;

/// A transport that is tested.
pub(crate) trait Kind: Sized + Transport<Item, Producer: PutAs, Consumer: GetAs> {
    const KIND: Self;
    /// Returns whether this machine has what it needs.
    fn is_available() -> bool {
        true
    }
    fn ends(capacity_items: Option<usize>) -> (Self::Producer, Self::Consumer) {
        Self::KIND.open(capacity_items).expect("a queue")
    }
}

pub(crate) trait PutAs: PutEnd<Item> {
    /// Puts, and calls `begins` with the thread that is about to put, wherever it runs.
    fn put_as(&self, item: Item, begins: &dyn Fn(Pid)) -> Put {
        begins(gettid());
        self.put(item)
    }
}

pub(crate) trait GetAs: GetEnd<Item> {
    /// Gets, and calls `begins` with the thread that is about to get, wherever it runs.
    fn get_as(&self, begins: &dyn Fn(Pid)) -> Result<Item> {
        begins(gettid());
        self.get()
    }
}

impl Kind for SharedMemory {
    const KIND: Self = SharedMemory;
}

impl Kind for Pipe {
    const KIND: Self = Pipe;
}

impl PutAs for Producer<Item> {}
impl PutAs for JoinableProducer<Item> {}
impl PutAs for PipeQueue<Item> {}
impl GetAs for Consumer<Item> {}
impl GetAs for AtOnce {}
impl GetAs for PipeQueue<Item> {}

/// Joinable queues, got from as from others.
pub(crate) struct Joinable;

/// Marks each task done as soon as it is got.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AtOnce(JoinableConsumer<Item>);

impl Kind for Joinable {
    const KIND: Self = Joinable;
}

impl Transport<Item> for Joinable {
    type Producer = JoinableProducer<Item>;
    type Consumer = AtOnce;
    const ARRIVES_WITH_PUT: bool = true;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        let queue = capacity_items.map_or_else(JoinableQueue::new, JoinableQueue::bounded)?;
        Ok((queue.producer(), AtOnce(queue.consumer())))
    }
}

impl GetEnd<Item> for AtOnce {
    fn get_within(&self, timeout: Option<Duration>) -> Result<Option<Item>> {
        let lease = match timeout {
            None => Some(self.0.get()?),
            Some(timeout) => self.0.get_timeout(timeout)?,
        };
        lease.map(|lease| lease.task_done()).transpose()
    }
    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<Result<Item>>> {
        let leases = match timeout {
            None => self.0.get_many(most)?,
            Some(timeout) => self.0.get_many_timeout(most, timeout)?,
        };
        Ok(leases.into_iter().map(|lease| lease?.task_done()).collect())
    }
    fn qsize(&self) -> Result<usize> {
        Ok(self.0.qsize())
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    fn has_producers(&self) -> bool {
        !matches!(self.0.try_get(), Err(Error::Disconnected))
    }
}

/// The items of a batch, all of which are valid.
fn all(items: Vec<Result<Item>>) -> Vec<Item> {
    items.into_iter().collect::<Result<_>>().expect("valid items")
}

/// Runs the cases that every [`Kind`] passes, with both ends here and with each of them in another process.
macro_rules! queue_cases {
    ($transport:ty) => {
        mod cases {
            $crate::queue::cases::queue_cases!(@everywhere $transport:
                smoke capacity put_blocks_until_there_is_room get_blocks_until_there_is_an_item times_out
                wakes_exactly_one_getter wakes_exactly_one_putter full_gives_the_item_back empty_is_none
                batches_arrive_in_order batch_larger_than_the_capacity_goes_through zero_length_items each_end_knows_whether_the_other_is_left
                large_items_pass_a_queue_of_many close_ends_the_putting_of_one_handle
                getters_disconnect_when_the_last_putter_is_dropped
                putters_of_a_full_queue_disconnect_when_the_last_getter_is_dropped
                blocked_getters_are_told_of_the_last_putter blocked_putters_are_told_of_the_last_getter);
        }
    };
    (@everywhere $transport:ty: $($case:ident)*) => {
        $crate::queue::cases::queue_cases!(@each $transport: $($case)*);
        mod putter_away {
            $crate::queue::cases::queue_cases!(@each $crate::queue::remote::PutterAway<$transport>: $($case)*);
        }
        mod getter_away {
            $crate::queue::cases::queue_cases!(@each $crate::queue::remote::GetterAway<$transport>: $($case)*);
        }
        mod both_away {
            $crate::queue::cases::queue_cases!(@each $crate::queue::remote::BothAway<$transport>: $($case)*);
        }
    };
    (@each $transport:ty: $($case:ident)*) => {
        $(#[test]
        fn $case() {
            let _watchdog = $crate::harness::watchdog(concat!(module_path!(), "::", stringify!($case)));
            if <$transport as $crate::queue::cases::Kind>::is_available() {
                $crate::queue::cases::$case::<$transport>();
            }
        })*
    };
}
pub(crate) use queue_cases;

/// Runs the cases that only a queue in shared memory passes.
macro_rules! ring_cases {
    ($transport:ty) => {
        mod ring_cases {
            // Not in other processes: sending such an item to the worker that rejects it, and back, would take many
            // seconds.
            $crate::queue::cases::queue_cases!(@each $transport: items_above_the_limit_are_refused);
            $crate::queue::cases::queue_cases!(@everywhere $transport:
                items_can_be_got_as_soon_as_they_are_put putters_disconnect_when_the_last_getter_is_dropped
                blocked_getter_is_told_at_once_of_the_last_putter blocked_putter_is_told_at_once_of_the_last_getter);
        }
    };
}
pub(crate) use ring_cases;

const LONG: Duration = Duration::from_secs(3600);

fn item(number: u8) -> Item {
    vec![number; 3]
}

/// Waits until an item that was put can be got.
fn await_arrival<Q: Kind>(get: &Q::Consumer) {
    while get.is_empty() {
        assert!(!Q::ARRIVES_WITH_PUT, "the item is there");
        thread::yield_now();
    }
}

/// Gets `count` items, in as many calls as it takes.
fn got_in_all(get: &impl GetEnd<Item>, count: usize) -> Vec<Item> {
    let mut items = Vec::new();
    while items.len() < count {
        let some = all(get.get_many(count - items.len()).expect("items"));
        assert!(!some.is_empty(), "it waits for the first");
        items.extend(some);
    }
    items
}

pub(crate) fn smoke<Q: Kind>() {
    let (put, get) = Q::ends(Some(3));
    for number in 0..50 {
        put.put(item(number)).expect("room");
        put.put_within(item(number + 100), Some(LONG)).expect("room");
        assert_eq!(get.qsize().ok(), Some(2));
        await_arrival::<Q>(&get);
        assert_eq!(get.get().expect("an item"), item(number));
        assert_eq!(get.get_within(Some(LONG)).expect("no error").expect("an item"), item(number + 100));
        assert_eq!((get.qsize().ok(), get.is_empty()), (Some(0), true));
    }
}

pub(crate) fn capacity<Q: Kind>() {
    for capacity in [1, 2, 7, 64] {
        let (put, get) = Q::ends(Some(capacity));
        assert_eq!(put.capacity(), Some(capacity));
        for number in 0..capacity {
            assert!(!put.is_full());
            put.try_put(item(number as u8)).expect("room");
        }
        assert_eq!((get.qsize().ok(), put.is_full()), (Some(capacity), true));
        assert!(put.try_put(item(0)).is_err());
        get.get().expect("an item");
        assert!(!put.is_full());
        put.try_put(item(0)).expect("room for one");
    }
    let (put, _get) = Q::ends(None);
    assert_eq!(put.capacity(), None);
    (0..5000).for_each(|_| put.try_put(item(0)).expect("room"));
}

pub(crate) fn put_blocks_until_there_is_room<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    let (order, seen) = mpsc::channel();
    put.put(item(1)).expect("room");
    thread::scope(|scope| {
        let (told, put) = (order.clone(), &put);
        scope.spawn(move || {
            put.put(item(2)).expect("room in the end");
            told.send("put").expect("the test listens");
        });
        order.send("got").expect("the test listens");
        assert_eq!(get.get().expect("an item"), item(1));
    });
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["got", "put"]);
    assert_eq!(get.get().expect("an item"), item(2));
}

pub(crate) fn get_blocks_until_there_is_an_item<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    let (order, seen) = mpsc::channel();
    thread::scope(|scope| {
        let (told, get) = (order.clone(), &get);
        scope.spawn(move || {
            assert_eq!(get.get().expect("an item in the end"), item(1));
            told.send("got").expect("the test listens");
        });
        order.send("put").expect("the test listens");
        put.put(item(1)).expect("room");
    });
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), ["put", "got"]);
}

pub(crate) fn times_out<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(120)] {
        assert_eq!(get.get_within(Some(timeout)).expect("no error"), None);
    }
    put.put(item(1)).expect("room");
    for timeout in [Duration::ZERO, Duration::from_millis(1), Duration::from_millis(120)] {
        let Err(PutError::Full(back)) = put.put_within(item(2), Some(timeout)) else { panic!("it is full") };
        assert_eq!(back, item(2));
    }
    await_arrival::<Q>(&get);
    assert_eq!(get.get_within(Some(Duration::ZERO)).expect("no error"), Some(item(1)), "a timeout changes nothing");
}

pub(crate) fn wakes_exactly_one_getter<Q: Kind>() {
    let (put, get) = Q::ends(Some(9));
    let (got, seen) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..3 {
            let (got, get) = (got.clone(), get.clone());
            scope.spawn(move || got.send(get.get().expect("an item for each")).expect("the test listens"));
        }
        for number in 0..3 {
            put.put(item(number)).expect("room");
            assert_eq!(seen.recv().expect("one of them has it"), item(number));
            assert!(seen.try_recv().is_err(), "and no other");
        }
    });
}

pub(crate) fn wakes_exactly_one_putter<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    put.put(item(9)).expect("room");
    thread::scope(|scope| {
        for number in 0..3 {
            let put = put.clone();
            scope.spawn(move || put.put(item(number)).expect("room for each"));
        }
        let mut got: Vec<Item> = (0..4).map(|_| get.get().expect("an item")).collect();
        got.sort_unstable();
        assert_eq!(got, [item(0), item(1), item(2), item(9)]);
    });
    assert!(get.is_empty());
}

pub(crate) fn full_gives_the_item_back<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    put.try_put(item(1)).expect("room");
    let refused = put.try_put(item(2)).expect_err("it is full");
    assert!(matches!(refused, PutError::Full(_)), "{refused:?}");
    put.try_put(refused.into_item()).expect_err("still full");
    await_arrival::<Q>(&get);
    assert_eq!(get.try_get().expect("no error"), Some(item(1)));
}

pub(crate) fn empty_is_none<Q: Kind>() {
    let (_put, get) = Q::ends(None);
    assert_eq!(get.try_get().expect("no error"), None);
    assert!(get.is_empty());
}

pub(crate) fn batches_arrive_in_order<Q: Kind>() {
    let (put, get) = Q::ends(None);
    let items: Vec<Item> = (0..200).map(|number| vec![number; usize::from(number) * 7]).collect();
    put.put_many(&[]).expect("nothing to do");
    put.put_many(&items).expect("room");
    assert_eq!(get.qsize().ok(), Some(200));
    assert_eq!(got_in_all(&get, 3), items[..3]);
    assert_eq!(get.get().expect("an item"), items[3]);
    assert_eq!(got_in_all(&get, 196), items[4..]);
    assert_eq!((get.qsize().ok(), get.is_empty()), (Some(0), true));
    assert!(get.get_many(0).expect("no items").is_empty());
}

pub(crate) fn batch_larger_than_the_capacity_goes_through<Q: Kind>() {
    let (put, get) = Q::ends(Some(4));
    let items: Vec<Item> = (0..250).map(item).collect();
    assert_eq!(put.put_many_within(&items, Some(Duration::from_millis(1))).expect("no error"), 4);
    thread::scope(|scope| {
        scope.spawn(|| put.put_many(&items[4..]).expect("room in the end"));
        let mut got = Vec::new();
        while got.len() < items.len() {
            let some = all(get.get_many(3).expect("items"));
            assert!((1..=3).contains(&some.len()));
            got.extend(some);
        }
        assert_eq!(got, items);
    });
}

pub(crate) fn zero_length_items<Q: Kind>() {
    let (put, get) = Q::ends(Some(100));
    put.put_many(&vec![Vec::new(); 100]).expect("room");
    assert!(put.is_full());
    for _ in 0..100 {
        await_arrival::<Q>(&get);
        assert_eq!(get.try_get().expect("no error"), Some(Vec::new()));
    }
    assert!(get.is_empty());
}

pub(crate) fn large_items_pass_a_queue_of_many<Q: Kind>() {
    let (put, get) = Q::ends(Some(1024));
    let large: Item = (0..10 << 20).map(|byte: u32| (byte % 251) as u8).collect();
    put.put(large.clone()).expect("room");
    let items = vec![vec![5; 64 << 10]; 64];
    put.put_many(&items).expect("room");
    assert_eq!(get.qsize().ok(), Some(65));
    assert!(get.get().expect("an item") == large, "every byte of a large item arrives");
    assert!(got_in_all(&get, 64) == items);
}

pub(crate) fn items_can_be_got_as_soon_as_they_are_put<Q: Kind>() {
    let (put, get) = Q::ends(None);
    let items: Vec<Item> = (0..100).map(item).collect();
    put.put_many(&items).expect("room");
    assert_eq!((get.qsize().ok(), get.is_empty()), (Some(100), false));
    assert_eq!(get.try_get().expect("no error"), Some(item(0)));
    assert_eq!(all(get.get_many(3).expect("items")), items[1..4]);
    assert_eq!(all(get.get_many(1000).expect("items")), items[4..]);
}

pub(crate) fn items_above_the_limit_are_refused<Q: Kind>() {
    let (put, get) = Q::ends(Some(1024));
    let too_long = vec![0; 257 << 20];
    let refused = put.try_put(too_long).expect_err("longer than 256 MiB");
    let PutError::Failed(_, Error::TooLong { bytes, limit }) = refused else { panic!("{refused:?}") };
    assert!(bytes > 257 << 20 && limit == 256 << 20);
    put.put(item(1)).expect("the queue is as it was");
    assert_eq!(get.get().expect("an item"), item(1));
}

pub(crate) fn close_ends_the_putting_of_one_handle<Q: Kind>() {
    let (put, get) = Q::ends(None);
    let other = put.clone();
    put.put(item(1)).expect("room");
    // Two handles may have separate paths into the queue: earlier items come before those that another handle puts now.
    await_arrival::<Q>(&get);
    put.close();
    put.close();
    let refused = put.put(item(2)).expect_err("it is closed");
    let PutError::Failed(back, Error::Closed) = refused else { panic!("{refused:?}") };
    assert_eq!(back, item(2));
    assert!(matches!(put.put_many(&[item(2)]), Err(Error::Closed)));
    other.put(item(3)).expect("this one is open");
    other.close();
    assert_eq!(get.get().expect("an item"), item(1));
    assert_eq!(get.get().expect("an item"), item(3));
    assert!(matches!(get.get(), Err(Error::Disconnected)));
}

pub(crate) fn getters_disconnect_when_the_last_putter_is_dropped<Q: Kind>() {
    let (put, get) = Q::ends(None);
    let other = put.clone();
    put.put(item(1)).expect("room");
    drop(put);
    assert_eq!(get.try_get().expect("no error"), Some(item(1)));
    assert_eq!(get.try_get().expect("another may put"), None);
    other.put(item(2)).expect("room");
    drop(other);
    assert_eq!(get.get().expect("what was put stays"), item(2));
    assert!(matches!(get.get(), Err(Error::Disconnected)));
    assert!(matches!(get.try_get(), Err(Error::Disconnected)));
    assert!(matches!(get.get_within(Some(LONG)), Err(Error::Disconnected)));
    assert!(matches!(get.get_many(2), Err(Error::Disconnected)));
}

pub(crate) fn putters_of_a_full_queue_disconnect_when_the_last_getter_is_dropped<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    let other = get.clone();
    drop(get);
    put.put(item(1)).expect("another may get");
    assert!(matches!(put.try_put(item(2)), Err(PutError::Full(_))), "another may make room");
    drop(other);
    for refused in [put.put(item(2)), put.put_within(item(2), Some(LONG))] {
        let Err(PutError::Failed(back, Error::Disconnected)) = refused else { panic!("{refused:?}") };
        assert_eq!(back, item(2));
    }
    assert!(matches!(put.put_many(&[item(1)]), Err(Error::Disconnected)));
}

pub(crate) fn each_end_knows_whether_the_other_is_left<Q: Kind>() {
    let (put, get) = Q::ends(None);
    assert!(put.has_consumers() && get.has_producers());
    drop(put);
    assert!(!get.has_producers());
    let (put, get) = Q::ends(None);
    let other = get.clone();
    drop(get);
    assert!(put.has_consumers(), "the other is one");
    drop(other);
    assert!(!put.has_consumers());
}

pub(crate) fn putters_disconnect_when_the_last_getter_is_dropped<Q: Kind>() {
    let (put, get) = Q::ends(None);
    let other = get.clone();
    drop(get);
    put.put(item(1)).expect("another may get");
    drop(other);
    let refused = put.put(item(2)).expect_err("nobody gets");
    let PutError::Failed(back, Error::Disconnected) = refused else { panic!("{refused:?}") };
    assert_eq!(back, item(2));
    assert!(matches!(put.put_many(&[item(1)]), Err(Error::Disconnected)));
}

/// Runs `blocked`, drops `leaves` once the reported thread sleeps, and returns how it ended and how soon.
fn told<R: Send, L>(blocked: impl FnOnce(&dyn Fn(Pid)) -> R + Send, leaves: L) -> (R, Duration) {
    thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let sleeper = scope.spawn(move || blocked(&|thread| tell.send(thread).expect("the test listens")));
        await_sleep_of(told.recv().expect("it starts"));
        let start = Instant::now();
        drop(leaves);
        (sleeper.join().expect("no panic"), start.elapsed())
    })
}

/// A waiter that is not told checks on its own after a tenth of a second, in each round; one that is told is later than
/// that only when the machine stands still.
fn assert_told_at_once(mut round: impl FnMut() -> Duration) {
    assert!((0..100).any(|_| round() < Duration::from_millis(50)));
}

pub(crate) fn blocked_getter_is_told_at_once_of_the_last_putter<Q: Kind>() {
    assert_told_at_once(|| {
        let (put, get) = Q::ends(None);
        let (outcome, took) = told(|begins| get.get_as(begins), put);
        assert!(matches!(outcome, Err(Error::Disconnected)), "{outcome:?}");
        took
    });
}

pub(crate) fn blocked_putter_is_told_at_once_of_the_last_getter<Q: Kind>() {
    assert_told_at_once(|| {
        let (put, get) = Q::ends(Some(1));
        put.put(item(0)).expect("room");
        let (outcome, took) = told(|begins| put.put_as(item(1), begins), get);
        assert!(matches!(outcome, Err(PutError::Failed(_, Error::Disconnected))), "{outcome:?}");
        took
    });
}

pub(crate) fn blocked_getters_are_told_of_the_last_putter<Q: Kind>() {
    let (put, get) = Q::ends(None);
    thread::scope(|scope| {
        let getters: Vec<_> = (0..3).map(|_| scope.spawn(|| get.get())).collect();
        drop(put);
        for getter in getters {
            assert!(matches!(getter.join().expect("no panic"), Err(Error::Disconnected)));
        }
    });
}

pub(crate) fn blocked_putters_are_told_of_the_last_getter<Q: Kind>() {
    let (put, get) = Q::ends(Some(1));
    put.put(item(0)).expect("room");
    thread::scope(|scope| {
        let putters: Vec<_> = (0..3).map(|_| scope.spawn(|| put.put(item(1)))).collect();
        drop(get);
        for putter in putters {
            let outcome = putter.join().expect("no panic");
            assert!(matches!(outcome, Err(PutError::Failed(_, Error::Disconnected))), "{outcome:?}");
        }
    });
}
