//! Queues on a Redis server: the common cases, and what only they have.

use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::queue::{DeadLetter, GetEnd, OnConsumerDeath, PutError, Transport};
use ipc_demo::redis::{self, JoinableConsumer, JoinableProducer, JoinableQueue, Queue, RedisError, Server};
use ipc_demo::{Error, Process, Result, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, watchdog, worker};
use crate::queue::cases::{GetAs, Item, Kind, PutAs};
use crate::queue::remote::Givable;
use crate::redis_server::shared;

/// Queues on the shared server.
pub(crate) struct Plain;
/// Joinable queues on it, got from as from others.
pub(crate) struct Tasks;

mod plain {
    use crate::queue::cases::{queue_cases, ring_cases};
    queue_cases!(crate::queue::redis_queue::Plain);
    ring_cases!(crate::queue::redis_queue::Plain);
}

mod tasks {
    use crate::queue::cases::{queue_cases, ring_cases};
    queue_cases!(crate::queue::redis_queue::Tasks);
    ring_cases!(crate::queue::redis_queue::Tasks);
}

impl Transport<Item> for Plain {
    type Producer = redis::Producer<Item>;
    type Consumer = redis::Consumer<Item>;
    const ARRIVES_WITH_PUT: bool = true;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        shared().expect("it is available").open(capacity_items)
    }
}

impl Kind for Plain {
    const KIND: Self = Plain;
    fn is_available() -> bool {
        shared().is_some()
    }
}

impl Givable for Plain {
    const PUTTER: &'static str = "test.serves-redis-producer";
    const GETTER: &'static str = "test.serves-redis-consumer";
}

impl PutAs for redis::Producer<Item> {}
impl GetAs for redis::Consumer<Item> {}

/// Marks each task done as soon as it is got.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AtOnce(JoinableConsumer<Item>);

impl Transport<Item> for Tasks {
    type Producer = JoinableProducer<Item>;
    type Consumer = AtOnce;
    const ARRIVES_WITH_PUT: bool = true;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        let queue = JoinableQueue::bounded(&shared().expect("it is available"), capacity_items.unwrap_or(usize::MAX))?;
        Ok((queue.producer(), AtOnce(queue.consumer())))
    }
}

impl Kind for Tasks {
    const KIND: Self = Tasks;
    fn is_available() -> bool {
        shared().is_some()
    }
}

impl Givable for Tasks {
    const PUTTER: &'static str = "test.serves-redis-joinable-producer";
    const GETTER: &'static str = "test.serves-redis-joinable-consumer";
}

impl PutAs for JoinableProducer<Item> {}
impl GetAs for AtOnce {}

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
        self.0.finish_many(leases.into_iter().collect::<Result<_>>()?)
    }
    fn qsize(&self) -> Result<usize> {
        self.0.qsize()
    }
    fn is_empty(&self) -> bool {
        self.0.is_empty().expect("the server answers")
    }
    fn has_producers(&self) -> bool {
        !matches!(self.0.try_get(), Err(Error::Disconnected))
    }
}

/// Leases `count` items, reports, and finishes them when told to.
#[derive(Serialize, Deserialize)]
pub(crate) struct LeasesOnServer {
    queue: JoinableConsumer<u32>,
    count: u32,
    said: Fd,
    until: Fd,
}

impl Role for LeasesOnServer {
    const NAME: &'static str = "test.leases-on-server";
    fn run(self) -> RoleResult {
        let leases = (0..self.count).map(|_| self.queue.get()).collect::<Result<Vec<_>>>()?;
        arrive(&self.said, b'l');
        await_word(&self.until);
        for lease in leases {
            lease.task_done()?;
        }
        Ok(())
    }
}

/// Gets an item, reports, and waits until it is told to end.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetsFromServer {
    pub(super) queue: redis::Consumer<u32>,
    pub(super) said: Fd,
    pub(super) until: Fd,
}

impl Role for GetsFromServer {
    const NAME: &'static str = "test.gets-from-server";
    fn run(self) -> RoleResult {
        self.queue.get()?;
        arrive(&self.said, b'g');
        await_word(&self.until);
        Ok(())
    }
}

pub(super) struct Leaser {
    pub(super) process: Process,
    _said: MeetingReader,
    pub(super) release: Fd,
}

/// Returns a worker that has leased `count` items.
pub(super) fn leaser(queue: &JoinableQueue<u32>, count: u32) -> Leaser {
    let ((mut said, says), (until, release)) = (meeting_point(), meeting_point());
    let process = worker("leaser", LeasesOnServer { queue: queue.consumer(), count, said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'l'));
    Leaser { process, _said: said, release }
}

impl Leaser {
    pub(super) fn kill(mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }

    pub(super) fn finish(mut self) {
        drop(self.release);
        assert!(self.process.join().expect("it ends").is_success(), "{:?}", self.process.ended());
    }
}

fn tasks(server: &Server) -> JoinableQueue<u32> {
    JoinableQueue::new(server).expect("a queue")
}

#[test]
fn tasks_of_a_killed_consumer_go_to_another() {
    let _watchdog = watchdog("redis::killed_consumer");
    let Some(server) = shared() else { return };
    let queue = tasks(&server);
    queue.put_many(&[10, 11, 12]).expect("room");
    let (first, second) = (leaser(&queue, 2), leaser(&queue, 1));
    first.kill();
    let lease = queue.get().expect("it comes back");
    assert_eq!((*lease, lease.number(), lease.redelivered()), (10, 0, 1));
    lease.task_done().expect("it is ours");
    let lease = queue.get().expect("the other one came back too");
    assert_eq!((*lease, lease.redelivered()), (11, 1));
    lease.task_done().expect("it is ours");
    assert!(queue.try_get().is_ok_and(|lease| lease.is_none()), "the third is leased to the living");
    assert!(!queue.join_timeout(Duration::from_millis(1)).expect("no error"));
    second.finish();
    queue.join().expect("all is done");
}

#[test]
fn poison_becomes_a_dead_letter() {
    let _watchdog = watchdog("redis::poison");
    let Some(server) = shared() else { return };
    let queue = JoinableQueue::<u32>::builder(&server).max_redeliveries(2).build().expect("a queue");
    queue.put(66).expect("room");
    for _ in 0..2 {
        leaser(&queue, 1).kill();
    }
    drop(queue.get().expect("it comes back again"));
    queue.join().expect("a dead letter is done with");
    assert!(queue.try_get().expect("no error").is_none());
    assert_eq!(queue.dead_letter_count().expect("a count"), 1);
    let letters = queue.drain_dead_letters().expect("the server answers");
    let letters: Vec<_> = letters.into_iter().map(|letter| letter.expect("well-formed")).collect();
    assert_eq!(letters, [DeadLetter { item: 66, number: 0, redelivered: 3 }]);
    assert_eq!(queue.dead_letter_count().expect("a count"), 0);
}

#[test]
fn join_without_consumers_says_so() {
    let _watchdog = watchdog("redis::no_consumers");
    let Some(server) = shared() else { return };
    let queue = tasks(&server);
    let producer = queue.producer();
    queue.put_many(&[1, 2]).expect("room");
    let worker = leaser(&queue, 1);
    drop(queue);
    std::thread::scope(|scope| {
        let joiner = scope.spawn(|| producer.join());
        worker.kill();
        let outcome = joiner.join().expect("no panic");
        assert!(matches!(outcome, Err(Error::NoConsumers { unfinished: 2 })), "{outcome:?}");
    });
}

#[test]
fn policies_decide_on_the_items_of_the_dead() {
    let _watchdog = watchdog("redis::policies");
    let Some(server) = shared() else { return };
    let builder = JoinableQueue::<u32>::builder(&server);
    let queue: JoinableQueue<u32> = builder.clone().on_consumer_death(OnConsumerDeath::Fail).build().expect("a queue");
    queue.put_many(&[1, 2]).expect("room");
    let worker = leaser(&queue, 2);
    let pid = worker.process.pid();
    worker.kill();
    let outcome = queue.join();
    assert!(matches!(outcome, Err(Error::ConsumerDied { pid: died, item: 0 }) if died == pid), "{outcome:?}");
    assert_eq!(queue.drain_dead_letters().expect("the server answers").len(), 2);
    queue.join().expect("nothing is left");

    let queue: JoinableQueue<u32> = builder.on_consumer_death(OnConsumerDeath::Drop).build().expect("a queue");
    queue.put(1).expect("room");
    leaser(&queue, 1).kill();
    queue.join().expect("nothing is left");
    assert_eq!(queue.dead_letter_count().expect("a count"), 0);
}

#[test]
fn task_done_too_often_is_an_error() {
    let _watchdog = watchdog("redis::too_often");
    let Some(server) = shared() else { return };
    let queue = tasks(&server);
    queue.put(1).expect("room");
    assert_eq!(queue.get().expect("an item").into_item(), 1);
    queue.task_done().expect("one was taken");
    assert!(matches!(queue.task_done(), Err(Error::TaskDoneTooOften)));
    queue.join().expect("all is done");
}

#[test]
fn byte_limit_blocks_until_bytes_are_free() {
    let _watchdog = watchdog("redis::byte_limit");
    let Some(server) = shared() else { return };
    let queue: Queue<String> = Queue::<String>::builder(&server).byte_limit(1000).build().expect("a queue");
    queue.put("x".repeat(600)).expect("room");
    assert!(matches!(queue.try_put("x".repeat(600)), Err(PutError::Full(_))));
    queue.try_put("x".repeat(300)).expect("room for that");
    assert!(matches!(queue.try_put("x".repeat(1001)), Err(PutError::Failed(_, Error::TooLong { limit: 1000, .. }))));
    std::thread::scope(|scope| {
        let putter = scope.spawn(|| queue.put("x".repeat(600)));
        assert_eq!(queue.get().expect("an item").len(), 600);
        putter.join().expect("no panic").expect("room in the end");
    });
    // Tasks keep their bytes until they are done.
    let queue: JoinableQueue<String> =
        JoinableQueue::<String>::builder(&server).byte_limit(1000).build().expect("a queue");
    queue.put("x".repeat(600)).expect("room");
    let lease = queue.get().expect("an item");
    assert!(matches!(queue.try_put("x".repeat(600)), Err(PutError::Full(_))));
    lease.task_done().expect("it is ours");
    queue.try_put("x".repeat(600)).expect("room again");
}

#[test]
fn queue_without_a_name_ends_with_its_last_handle() {
    let _watchdog = watchdog("redis::without_a_name");
    let Some(server) = shared() else { return };
    let queue = tasks(&server);
    let name = queue.name().to_owned();
    queue.put(1).expect("room");
    assert!(redis::list(&server).expect("a list").iter().any(|queue| queue.name == name));
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop((queue, producer));
    assert_eq!(*consumer.get().expect("still there"), 1);
    drop(consumer);
    let gone = redis::show(&server, &name).expect_err("it was deleted");
    assert!(gone.to_string().contains(&name), "{gone}");
    assert!(!redis::list(&server).expect("a list").iter().any(|queue| queue.name == name));
}

#[test]
fn named_queue_is_joined_and_stays() {
    let _watchdog = watchdog("redis::named");
    let Some(server) = shared() else { return };
    let named = || Queue::<u32>::builder(&server).name("test:named").capacity(2);
    let consumer = named().build_consumer::<u32>().expect("a queue");
    // The first producer is waited for.
    assert_eq!(consumer.get_timeout(Duration::from_millis(1)).expect("none has come yet"), None);
    let producer = named().capacity(7).build_producer::<u32>().expect("the same queue");
    assert_eq!(producer.capacity(), Some(2), "the first one's options are valid");
    producer.put_many(&[1, 2]).expect("room");
    assert!(matches!(producer.try_put(3), Err(PutError::Full(3))));
    drop(producer);
    assert_eq!(consumer.get().expect("an item"), 1);
    assert_eq!(consumer.get().expect("an item"), 2);
    assert!(matches!(consumer.get(), Err(Error::Disconnected)), "the last producer has gone");
    drop(consumer);
    // As new.
    let producer = named().build_producer::<u32>().expect("a queue");
    producer.put(3).expect("the first consumer is waited for");
    drop(producer);
    // The last producer has gone, and something was left.
    let consumer = named().build_consumer::<u32>().expect("a queue");
    assert_eq!(consumer.get().expect("an item"), 3);
    assert!(matches!(consumer.get(), Err(Error::Disconnected)), "nothing can come any more");
    let producer = named().build_producer::<u32>().expect("a queue");
    producer.put(4).expect("there is a consumer");
    drop((consumer, producer));
    let kind = JoinableQueue::<u32>::builder(&server).name("test:named").build::<u32>().expect_err("it is plain");
    assert!(matches!(&kind, Error::Redis(error) if matches!(**error, RedisError::OtherKind { .. })), "{kind}");
    let info = redis::show(&server, "test:named").expect("it stays");
    assert_eq!((info.queued, info.is_joinable, info.is_temporary, info.members.len()), (1, false, false, 0));
    redis::delete(&server, "test:named").expect("it was there");
    assert!(redis::delete(&server, "test:named").is_err());
}
