//! The queue: the common cases, and the effects of workers that leave or are killed.

use std::thread;

use ipc_demo::process::Fd;
use ipc_demo::queue::PutError;
use ipc_demo::{Consumer, Error, Producer, Queue, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, meeting_point, watchdog, worker};
use crate::queue::cases::{queue_cases, ring_cases};

queue_cases!(ipc_demo::queue::SharedMemory);
ring_cases!(ipc_demo::queue::SharedMemory);

/// Puts numbers and sends `p` after each; a full queue blocks it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Puts {
    pub(crate) queue: Producer<u64>,
    pub(crate) numbers: std::ops::Range<u64>,
    pub(crate) said: Fd,
}

impl Role for Puts {
    const NAME: &'static str = "test.puts";
    fn run(self) -> RoleResult {
        let (queue, said) = (self.queue, self.said);
        for number in self.numbers {
            queue.put(number)?;
            arrive(&said, b'p');
        }
        Ok(())
    }
}

/// Holds a producer until it is told to drop it, and then stays alive.
#[derive(Serialize, Deserialize)]
pub(crate) struct HoldsProducer {
    queue: Producer<u64>,
    said: Fd,
    until: Fd,
}

impl Role for HoldsProducer {
    const NAME: &'static str = "test.holds-producer";
    fn run(self) -> RoleResult {
        let (said, until) = (self.said, self.until);
        let queue = self.queue;
        arrive(&said, b'h');
        await_word(&until);
        drop(queue);
        arrive(&said, b'd');
        await_word(&until);
        Ok(())
    }
}

/// Gets numbers until no producer is left; sends `g` before it begins and then each number's lowest byte.
#[derive(Serialize, Deserialize)]
pub(crate) struct Gets {
    pub(crate) queue: Consumer<u64>,
    pub(crate) said: Fd,
}

impl Role for Gets {
    const NAME: &'static str = "test.gets";
    fn run(self) -> RoleResult {
        let (queue, said) = (self.queue, self.said);
        arrive(&said, b'g');
        for number in queue.iter() {
            arrive(&said, number? as u8);
        }
        Ok(())
    }
}

#[test]
fn items_cross_processes_in_order_and_the_end_is_natural() {
    let _watchdog = watchdog("queue::items_cross");
    for capacity in [1, 2, 64] {
        let queue = Queue::bounded(capacity).expect("a queue");
        let (mut said, says) = meeting_point();
        let mut getter = worker("getter", Gets { queue: queue.consumer(), said: says });
        let (_putter_said, putter_says) = meeting_point();
        let producer = queue.producer();
        drop(queue);
        assert_eq!(said.meet(), Some(b'g'));
        let mut putter = worker("putter", Puts { queue: producer, numbers: 0..200, said: putter_says });
        for number in 0..200 {
            assert_eq!(said.meet(), Some(number));
        }
        assert_eq!(said.meet(), None, "the getter ends with the last putter");
        assert!(getter.join().expect("it ends").is_success(), "{:?}", getter.ended());
        putter.join().expect("it ends");
    }
}

#[test]
fn getter_is_told_at_once_when_the_last_producer_is_dropped() {
    let _watchdog = watchdog("queue::told_at_once");
    let queue = Queue::<u64>::bounded(4).expect("a queue");
    let ((mut said, says), (until, release)) = (meeting_point(), meeting_point());
    let producer = queue.producer();
    let consumer = queue.consumer();
    drop(queue);
    let mut holder = worker("holder", HoldsProducer { queue: producer, said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'h'));
    assert_eq!(consumer.try_get().expect("the worker may put"), None);
    thread::scope(|scope| {
        let getter = scope.spawn(|| consumer.get());
        arrive(&release, b'x');
        assert!(matches!(getter.join().expect("no panic"), Err(Error::Disconnected)));
    });
    assert_eq!(said.meet(), Some(b'd'));
    assert!(holder.is_alive(), "its process lives on");
    drop(release);
    assert!(holder.join().expect("it ends").is_success());
}

#[test]
fn getter_is_told_when_the_last_producer_is_killed() {
    let _watchdog = watchdog("queue::producer_killed");
    let queue = Queue::<u64>::bounded(4).expect("a queue");
    let ((mut said, says), (until, _release)) = (meeting_point(), meeting_point());
    let mut holder = worker("holder", HoldsProducer { queue: queue.producer(), said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'h'));
    let consumer = queue.consumer();
    drop(queue);
    thread::scope(|scope| {
        let getter = scope.spawn(|| consumer.get());
        holder.kill().expect("a signal");
        let outcome = getter.join().expect("no panic");
        assert!(matches!(outcome, Err(Error::Disconnected)), "{outcome:?}");
    });
    holder.join().expect("it ends");
}

#[test]
fn putter_is_told_when_the_last_consumer_is_killed() {
    let _watchdog = watchdog("queue::consumer_killed");
    let queue = Queue::<u64>::bounded(1).expect("a queue");
    let (mut said, says) = meeting_point();
    let producer = queue.producer();
    let mut getter = worker("getter", Gets { queue: queue.consumer(), said: says });
    drop(queue);
    assert_eq!(said.meet(), Some(b'g'));
    producer.put(1).expect("room");
    assert_eq!(said.meet(), Some(1));
    getter.kill().expect("a signal");
    getter.join().expect("it ends");
    // One put may find space before the death is noticed, the second cannot.
    let outcome = producer.put(2).and_then(|()| producer.put(3));
    assert!(matches!(outcome, Err(PutError::Failed(_, Error::Disconnected))), "{outcome:?}");
}

#[test]
fn killed_getter_leaves_the_others_working() {
    let _watchdog = watchdog("queue::killed_getter");
    let queue = Queue::<u64>::bounded(4).expect("a queue");
    for round in 0..5 {
        let ((mut one_said, one_says), (mut other_said, other_says)) = (meeting_point(), meeting_point());
        let start = |says| worker("getter", Gets { queue: queue.consumer(), said: says });
        // Both sleep in `get`, one holding the mutex and one waiting for it; either may be the one that is killed.
        let (mut one, mut other) = (start(one_says), start(other_says));
        assert_eq!((one_said.meet(), other_said.meet()), (Some(b'g'), Some(b'g')));
        one.kill().expect("a signal");
        one.join().expect("it ends");
        queue.put(round).expect("room");
        assert_eq!(other_said.meet(), Some(round as u8));
        other.kill().expect("a signal");
        other.join().expect("it ends");
        assert!(queue.is_empty());
    }
}

#[test]
fn killed_putter_leaves_the_others_working() {
    let _watchdog = watchdog("queue::killed_putter");
    let queue = Queue::<u64>::bounded(2).expect("a queue");
    let (mut said, says) = meeting_point();
    let mut putter = worker("putter", Puts { queue: queue.producer(), numbers: 0..100, said: says });
    assert_eq!((said.meet(), said.meet()), (Some(b'p'), Some(b'p')));
    // The third put sleeps, or is about to, holding the putters' mutex.
    putter.kill().expect("a signal");
    putter.join().expect("it ends");
    assert!(matches!(queue.try_put(7), Err(PutError::Full(7))));
    assert_eq!((queue.get().expect("an item"), queue.get().expect("an item")), (0, 1));
    queue.put(8).expect("room");
    assert_eq!(queue.get().expect("an item"), 8);
}

#[test]
fn queue_lent_to_a_worker_that_never_took_it_counts_until_it_ends() {
    let _watchdog = watchdog("queue::never_took");
    let queue = Queue::<u64>::bounded(2).expect("a queue");
    let consumer = queue.consumer();
    let (mut said, says) = meeting_point();
    let mut putter = worker("putter", Puts { queue: queue.producer(), numbers: 0..0, said: says });
    drop(queue);
    assert!(matches!(consumer.get(), Err(Error::Disconnected)));
    assert_eq!(said.meet(), None);
    assert!(putter.join().expect("it ends").is_success());
}

#[test]
fn items_without_a_serialised_form_fail_in_put() {
    #[derive(Debug, Deserialize)]
    struct Unserialisable;
    impl Serialize for Unserialisable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> std::result::Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no form"))
        }
    }
    let queue = Queue::<Unserialisable>::bounded(1).expect("a queue");
    let refused = queue.put(Unserialisable).expect_err("it has no form");
    assert!(matches!(refused, PutError::Failed(Unserialisable, Error::Codec { .. })), "{refused:?}");
    assert!(queue.put_many(&[Unserialisable]).is_err());
    assert!(queue.is_empty());
}

#[test]
fn units_take_no_bytes_and_are_counted() {
    let queue = Queue::<()>::bounded(3).expect("a queue");
    (0..3).for_each(|_| queue.try_put(()).expect("room"));
    assert!(queue.try_put(()).is_err());
    assert_eq!(queue.drain().expect("no error").count(), 3);
    assert!(queue.is_empty());
}

#[test]
fn hundred_mebibytes_in_one_item() {
    let _watchdog = watchdog("queue::hundred_mebibytes");
    let limit = 100 << 20;
    let queue = Queue::<String>::builder().capacity(1024).byte_limit(limit).build().expect("a queue");
    // A long string is encoded as a tag and its length, in ten bytes, followed by its bytes.
    let item = "x".repeat(limit as usize - 10);
    queue.put(item).expect("just the limit");
    let refused = queue.try_put("x".repeat(200)).expect_err("no byte is left");
    assert!(matches!(refused, PutError::Full(_)), "{refused:?}");
    queue.try_put("short".to_owned()).expect("short items have memory of their own");
    assert_eq!(queue.get().expect("an item").len(), limit as usize - 10);
    assert_eq!(queue.get().expect("an item"), "short");
    let too_long = queue.put("x".repeat(limit as usize - 9)).expect_err("one byte more");
    assert!(matches!(too_long, PutError::Failed(_, Error::TooLong { .. })), "{too_long:?}");
}
