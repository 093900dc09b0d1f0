//! The textbook queue: the common cases, its behaviour in those that it cannot pass, and the effects of a kill.

use std::collections::BTreeMap;
use std::time::Duration;

use ipc_demo::pipe::{Sender, pipe};
use ipc_demo::process::Fd;
use ipc_demo::queue::{PipeQueue, PutError};
use ipc_demo::{Error, Process, Role, RoleResult};
use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_asleep, await_word, meeting_point, send, stop, until, watchdog, worker};
use crate::queue::cases::queue_cases;

queue_cases!(ipc_demo::queue::Pipe);

const MOMENT: Duration = Duration::from_millis(1);

type Item = (u32, Vec<u8>);

/// Puts numbered items of one length, reports when the last is put, and ends when it is told to.
#[derive(Serialize, Deserialize)]
pub(crate) struct PutsItems {
    queue: PipeQueue<Item>,
    items: std::ops::Range<u32>,
    bytes: usize,
    here: Fd,
    until: Fd,
}

impl Role for PutsItems {
    const NAME: &'static str = "test.puts-items";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        for number in self.items {
            queue.put((number, vec![number as u8; self.bytes]))?;
        }
        arrive(&self.here, b'p');
        await_word(&self.until);
        Ok(())
    }
}

/// Reports that it is ready, gets items until a number 0 comes, and sends the numbers to the parent.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetsItems {
    queue: PipeQueue<Item>,
    here: Fd,
    home: Sender<Vec<u32>>,
}

impl Role for GetsItems {
    const NAME: &'static str = "test.gets-items";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        arrive(&self.here, b'g');
        let mut got = Vec::new();
        loop {
            match queue.get()? {
                (0, _) => break,
                (number, _) => got.push(number),
            }
        }
        let mut home = self.home;
        Ok(home.send(&got)?)
    }
}

/// A producer in its own process, and where it reports that it has put everything.
struct Producer {
    process: Process,
    here: crate::harness::MeetingReader,
    release: Fd,
}

fn producer(queue: &PipeQueue<Item>, items: std::ops::Range<u32>, bytes: usize) -> Producer {
    let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let process =
        worker("producer", PutsItems { queue: queue.clone(), items, bytes, here: arrives, until: until.into() });
    Producer { process, here, release }
}

impl Producer {
    fn ends_well(mut self) {
        drop(self.release);
        assert!(self.process.join().expect("it ends").is_success(), "{:?}", self.process.ended());
    }

    fn is_killed(&mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }
}

fn queue(capacity: usize) -> PipeQueue<Item> {
    PipeQueue::bounded(capacity).expect("a queue")
}

// In place of the cases of `cases::ring_cases`. One has no counterpart: the limit of an item is a gibibyte here,
// and testing an item above it would exhaust the machine's memory.

/// In place of `items_can_be_got_as_soon_as_they_are_put`: a put is in its process's buffer, and may be lost with it.
#[test]
fn items_are_put_before_they_can_be_got() {
    let _watchdog = watchdog("pipe_queue::before_they_can_be_got");
    let queue = PipeQueue::<Vec<u8>>::bounded(2).expect("a queue");
    let other = queue.clone();
    // The pipe is too small for it, so half of it stays behind until there is a get.
    queue.put(vec![1; 1_000_000]).expect("room");
    queue.put(vec![2]).expect("room");
    assert_eq!(queue.qsize(), 2);
    queue.cancel_join_thread();
    queue.join_thread();
    assert_eq!(other.qsize(), 2, "their room is taken all the same");
    let never = other.get().expect_err("nobody is left who has them");
    assert!(matches!(never, Error::Torn | Error::Disconnected), "{never}");
}

/// In place of `putters_disconnect_when_the_last_getter_is_dropped`: a put with room does not check for getters.
#[test]
fn put_with_room_does_not_notice_that_nobody_gets() {
    let _watchdog = watchdog("pipe_queue::does_not_notice");
    let queue = queue(2);
    drop(queue.clone());
    queue.put((1, Vec::new())).expect("room");
    queue.put((2, Vec::new())).expect("room");
    assert!(matches!(queue.put((3, Vec::new())), Err(PutError::Failed((3, _), Error::Disconnected))), "now it waits");
}

/// In place of `blocked_getter_is_told_at_once_of_the_last_putter`, and vice versa: waiters are not woken, they check.
#[test]
fn those_who_wait_look_who_is_left_by_themselves() {
    let _watchdog = watchdog("pipe_queue::look_by_themselves");
    let queue = queue(1);
    let other = queue.clone();
    std::thread::scope(|scope| {
        let getter = scope.spawn(|| queue.get());
        drop(other);
        assert!(matches!(getter.join().expect("no panic"), Err(Error::Disconnected)));
    });
    // And every remaining handle counts, even of a waiter for the same: it could perform the other operation.
    let other = queue.clone();
    assert_eq!(queue.get_timeout(MOMENT).expect("the other could put"), None);
    assert_eq!(other.get_timeout(MOMENT).expect("the other could put"), None);
}

#[test]
fn smoke() {
    let _watchdog = watchdog("pipe_queue::smoke");
    let queue = queue(3);
    let producer = producer(&queue, 1..11, 1);
    for number in 1..=10 {
        assert_eq!(queue.get().expect("put"), (number, vec![number as u8]));
    }
    producer.ends_well();
    assert!(matches!(queue.get(), Err(Error::Disconnected)));
    assert!(matches!(queue.try_get(), Err(Error::Disconnected)));
}

#[test]
fn every_item_arrives_once_for_any_capacity() {
    let _watchdog = watchdog("pipe_queue::every_item");
    for capacity in [1, 2, 64] {
        let queue = queue(capacity);
        let (mut lists, home) = pipe().expect("a pipe");
        let (_here, arrives) = meeting_point();
        let mut consumers = ["consumer-1", "consumer-2"].map(|name| {
            worker(
                name,
                GetsItems {
                    queue: queue.clone(),
                    here: arrives.clone(),
                    home: home.try_clone().expect("nothing is half sent"),
                },
            )
        });
        let mut producers = [producer(&queue, 1..501, 10), producer(&queue, 501..1001, 10)];
        for producer in &mut producers {
            assert_eq!(producer.here.meet(), Some(b'p'));
        }
        producers.into_iter().for_each(Producer::ends_well);
        // Everything is in the pipe: what is put now comes last.
        for _ in &consumers {
            queue.put((0, Vec::new())).expect("room");
        }
        let mut seen = BTreeMap::new();
        for _ in &consumers {
            let got: Vec<u32> = lists.recv().expect("a list");
            for half in [1..501_u32, 501..1001] {
                let of_one = got.iter().filter(|&number| half.contains(number));
                assert!(of_one.is_sorted(), "the items of one producer stay in order");
            }
            got.into_iter().for_each(|number| *seen.entry(number).or_insert(0) += 1);
        }
        assert!(seen.keys().copied().eq(1..1001) && seen.values().all(|times| *times == 1), "{capacity}");
        for consumer in &mut consumers {
            assert!(consumer.join().expect("it ends").is_success(), "{:?}", consumer.ended());
        }
    }
}

#[test]
fn worker_that_ends_in_order_loses_nothing() {
    let _watchdog = watchdog("pipe_queue::ends_in_order");
    let queue = queue(1_000);
    let mut producer = producer(&queue, 1..1_001, 1_000);
    assert_eq!(producer.here.meet(), Some(b'p'));
    drop(producer.release);
    for number in 1..=1_000 {
        assert_eq!(queue.get().expect("put").0, number);
    }
    assert!(producer.process.join().expect("it ends").is_success());
}

#[test]
fn worker_whose_items_nobody_can_read_ends_all_the_same() {
    let _watchdog = watchdog("pipe_queue::nobody_reads");
    let queue = queue(1_000);
    let mut producer = producer(&queue, 1..1_001, 1_000);
    assert_eq!(producer.here.meet(), Some(b'p'));
    drop(queue);
    producer.ends_well();
}

#[test]
fn put_without_room_and_without_others_gives_the_item_back() {
    let _watchdog = watchdog("pipe_queue::put_without_others");
    let queue = queue(1);
    let producer = producer(&queue, 1..2, 1);
    producer.ends_well();
    let refused = queue.put((2, Vec::new())).expect_err("it is full and nobody is left");
    assert!(matches!(refused, PutError::Failed((2, _), Error::Disconnected)), "{refused}");
}

/// In Python no process gets anything any more: the dead one keeps the read lock.
#[test]
fn survives_consumer_killed_while_it_waits() {
    let _watchdog = watchdog("pipe_queue::killed_while_it_waits");
    let queue = queue(10);
    let ((mut here, arrives), (_lists, home)) = (meeting_point(), pipe().expect("a pipe"));
    let mut victim = worker("victim", GetsItems { queue: queue.clone(), here: arrives, home });
    assert_eq!(here.meet(), Some(b'g'));
    queue.put((1, Vec::new())).expect("room");
    // It has got the item, and sleeps in the next `get`, holding the read lock.
    until(|| queue.qsize() == 0);
    await_asleep(victim.pid());
    victim.kill().expect("a signal");
    victim.join().expect("it ends");
    queue.put((2, Vec::new())).expect("room");
    assert_eq!(queue.get().expect("the lock is handed on").0, 2);
}

#[test]
fn killed_producer_loses_what_it_had_put_and_its_room() {
    let _watchdog = watchdog("pipe_queue::loses_its_room");
    let queue = queue(200);
    let mut producer = producer(&queue, 1..201, 1_000);
    assert_eq!(producer.here.meet(), Some(b'p'));
    assert_eq!(queue.qsize(), 200, "all 200 are put, for the producer");
    // The pipe has 16 pages, which hold four such items each; the rest is in the producer's buffer.
    producer.is_killed();
    let mut got = 0;
    let end = loop {
        match queue.get() {
            Ok((number, bytes)) => {
                got += 1;
                assert_eq!((number, bytes), (got, vec![got as u8; 1_000]), "in order and whole");
            }
            Err(end) => break end,
        }
    };
    assert!(matches!(end, Error::Disconnected), "{end}");
    assert!(got < 100, "{got} of 200 arrived");
    // The documented contradiction: empty, yet there is space only for what was got.
    assert!(queue.is_empty());
    assert_eq!(queue.qsize(), 200 - got as usize);
}

#[test]
fn producer_killed_inside_an_item_tears_the_queue_for_all() {
    let _watchdog = watchdog("pipe_queue::torn_by_producer");
    let queue = queue(10);
    let mut producer = producer(&queue, 1..3, 1_000_000);
    until(|| !queue.is_empty());
    producer.is_killed();
    assert!(matches!(queue.get(), Err(Error::Torn)));
    assert!(matches!(queue.get_timeout(MOMENT), Err(Error::Torn)), "for good");
    assert!(matches!(queue.put((9, Vec::new())), Err(PutError::Failed((9, _), Error::Torn))));
}

#[test]
fn writer_after_a_torn_item_does_not_write_behind_it() {
    let _watchdog = watchdog("pipe_queue::writer_after_torn");
    let queue = queue(10);
    let mut producer = producer(&queue, 1..3, 1_000_000);
    until(|| !queue.is_empty());
    producer.is_killed();
    // The first put still works: the feeder is what encounters the dead process's lock.
    queue.put((9, Vec::new())).expect("room");
    until(|| matches!(queue.try_put((9, Vec::new())), Err(PutError::Failed(_, Error::Torn))));
    assert!(matches!(queue.get(), Err(Error::Torn)));
}

#[test]
fn consumer_killed_inside_an_item_tears_the_queue_for_all() {
    let _watchdog = watchdog("pipe_queue::torn_by_consumer");
    let queue = queue(10);
    let mut producer = producer(&queue, 1..2, 1_000_000);
    until(|| !queue.is_empty());
    // Stopped in the middle of its item, it holds the write lock, and is not dead.
    stop(producer.process.pid());
    let ((_here, arrives), (_lists, home)) = (meeting_point(), pipe().expect("a pipe"));
    let mut victim = worker("victim", GetsItems { queue: queue.clone(), here: arrives, home });
    // It has read the available part, and waits for the rest while holding the read lock.
    until(|| queue.is_empty());
    assert!(queue.try_get().expect("somebody else waits").is_none());
    victim.kill().expect("a signal");
    victim.join().expect("it ends");
    assert!(matches!(queue.get(), Err(Error::Torn)));
    send(producer.process.pid(), Signal::SIGCONT);
    // The producer's feeder finds the pipe torn and gives up: the process ends.
    assert_eq!(producer.here.meet(), Some(b'p'));
    producer.ends_well();
}
