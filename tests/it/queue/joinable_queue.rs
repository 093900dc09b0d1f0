//! The joinable queue: the common cases, and the fate of tasks whose workers are killed.

use std::thread;
use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::queue::{DeadLetter, JoinableConsumer, OnConsumerDeath};
use ipc_demo::{Error, JoinableQueue, Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, watchdog, worker};
use crate::queue::cases::{queue_cases, ring_cases};

queue_cases!(crate::queue::cases::Joinable);
ring_cases!(crate::queue::cases::Joinable);

/// Leases `count` items, reports, and finishes them when told to.
#[derive(Serialize, Deserialize)]
pub(crate) struct Leases {
    pub(crate) queue: JoinableConsumer<u32>,
    pub(crate) count: u32,
    pub(crate) said: Fd,
    pub(crate) until: Fd,
}

impl Role for Leases {
    const NAME: &'static str = "test.leases";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        let (said, until) = (self.said, self.until);
        let leases = (0..self.count).map(|_| queue.get()).collect::<Result<Vec<_>, _>>()?;
        arrive(&said, b'l');
        await_word(&until);
        for lease in leases {
            lease.task_done()?;
        }
        Ok(())
    }
}

struct Leaser {
    process: Process,
    _said: MeetingReader,
    release: Fd,
}

/// Returns a worker that has leased `count` items.
fn leaser(queue: &JoinableQueue<u32>, count: u32) -> Leaser {
    let ((mut said, says), (until, release)) = (meeting_point(), meeting_point());
    let process = worker("leaser", Leases { queue: queue.consumer(), count, said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'l'));
    Leaser { process, _said: said, release }
}

impl Leaser {
    fn kill(mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }

    fn finish(mut self) {
        drop(self.release);
        assert!(self.process.join().expect("it ends").is_success(), "{:?}", self.process.ended());
    }
}

#[test]
fn join_waits_for_tasks_in_other_processes() {
    let _watchdog = watchdog("joinable::join_waits");
    let queue = JoinableQueue::new().expect("a queue");
    queue.join().expect("nothing to wait for");
    queue.put_many(&[1, 2, 3]).expect("room");
    let worker = leaser(&queue, 3);
    assert_eq!((queue.qsize(), queue.unfinished()), (0, 3));
    assert!(!queue.join_timeout(Duration::from_millis(1)).expect("no error"));
    thread::scope(|scope| {
        let joiner = scope.spawn(|| queue.join());
        worker.finish();
        joiner.join().expect("no panic").expect("all is done");
    });
    assert_eq!(queue.unfinished(), 0);
}

#[test]
fn tasks_of_a_killed_consumer_go_to_another() {
    let _watchdog = watchdog("joinable::killed_consumer");
    let queue = JoinableQueue::new().expect("a queue");
    queue.put_many(&[10, 11, 12]).expect("room");
    let (first, second) = (leaser(&queue, 2), leaser(&queue, 1));
    thread::scope(|scope| {
        // Waits while the others are alive: their items may be returned.
        let consumer = scope.spawn(|| {
            let lease = queue.get_timeout(Duration::from_secs(60)).expect("no error").expect("it comes back");
            (lease.number(), lease.redelivered(), lease.task_done().expect("it is ours"))
        });
        first.kill();
        let (number, redelivered, item) = consumer.join().expect("no panic");
        assert_eq!((number, redelivered, item), (0, 1, 10));
    });
    let lease = queue.try_get().expect("no error").expect("the other one came back too");
    assert_eq!((*lease, lease.redelivered()), (11, 1));
    lease.task_done().expect("it is ours");
    assert!(queue.try_get().is_ok_and(|lease| lease.is_none()), "the third is leased to the living");
    second.finish();
    queue.join().expect("all is done");
}

#[test]
fn join_ends_by_itself_when_tasks_of_the_dead_are_finished_by_others() {
    let _watchdog = watchdog("joinable::join_ends");
    let queue = JoinableQueue::new().expect("a queue");
    queue.put_many(&(0..20).collect::<Vec<_>>()).expect("room");
    leaser(&queue, 5).kill();
    let survivor = leaser(&queue, 20);
    survivor.finish();
    queue.join().expect("all is done");
}

#[test]
fn poison_becomes_a_dead_letter() {
    let _watchdog = watchdog("joinable::poison");
    let queue = JoinableQueue::<u32>::builder().max_redeliveries(2).build().expect("a queue");
    queue.put(66).expect("room");
    for _ in 0..3 {
        leaser(&queue, 1).kill();
    }
    assert!(queue.try_get().expect("no error").is_none());
    assert_eq!(queue.dead_letter_count(), 1);
    queue.join().expect("a dead letter is done with");
    let letters: Vec<_> = queue.drain_dead_letters().into_iter().map(|letter| letter.expect("well-formed")).collect();
    assert_eq!(letters, [DeadLetter { item: 66, number: 0, redelivered: 3 }]);
    assert_eq!(queue.dead_letter_count(), 0);
}

#[test]
fn join_without_consumers_says_so() {
    let _watchdog = watchdog("joinable::no_consumers");
    let queue = JoinableQueue::new().expect("a queue");
    let producer = queue.producer();
    queue.put_many(&[1, 2]).expect("room");
    let worker = leaser(&queue, 1);
    drop(queue);
    thread::scope(|scope| {
        let joiner = scope.spawn(|| producer.join());
        worker.kill();
        let outcome = joiner.join().expect("no panic");
        assert!(matches!(outcome, Err(Error::NoConsumers { unfinished: 2 })), "{outcome:?}");
    });
}

#[test]
fn policy_fail_makes_join_fail_with_the_item() {
    let _watchdog = watchdog("joinable::policy_fail");
    let queue = JoinableQueue::<u32>::builder().on_consumer_death(OnConsumerDeath::Fail).build().expect("a queue");
    queue.put_many(&[1, 2]).expect("room");
    let worker = leaser(&queue, 2);
    let pid = worker.process.pid();
    let waits = queue.consumer();
    worker.kill();
    let outcome = queue.join();
    assert!(matches!(outcome, Err(Error::ConsumerDied { pid: died, item: 0 }) if died == pid), "{outcome:?}");
    assert_eq!(waits.drain_dead_letters().len(), 2);
    queue.join().expect("nothing is left");
}

#[test]
fn policy_drop_forgets_the_item() {
    let _watchdog = watchdog("joinable::policy_drop");
    let queue = JoinableQueue::<u32>::builder().on_consumer_death(OnConsumerDeath::Drop).build().expect("a queue");
    queue.put(1).expect("room");
    let _waits = queue.consumer();
    leaser(&queue, 1).kill();
    queue.join().expect("nothing is left");
    assert_eq!((queue.unfinished(), queue.dead_letter_count()), (0, 0));
}

#[test]
fn consumer_waits_while_another_may_give_back() {
    let _watchdog = watchdog("joinable::may_give_back");
    let queue = JoinableQueue::new().expect("a queue");
    queue.put(1).expect("room");
    let worker = leaser(&queue, 1);
    let consumer = queue.consumer();
    drop(queue);
    assert!(consumer.get_timeout(Duration::from_millis(1)).expect("it may come back").is_none());
    thread::scope(|scope| {
        let getter = scope.spawn(|| consumer.get().map(|lease| *lease));
        worker.finish();
        assert!(matches!(getter.join().expect("no panic"), Err(Error::Disconnected)));
    });
}
