//! Handles in roles: where they may appear, how they are counted, and what a failed start leaves behind.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::time::Duration;

use ipc_demo::pipe::{Connection, Sender, duplex, pipe};
use ipc_demo::process::{FailureKind, Fd};
use ipc_demo::queue::PipeQueue;
use ipc_demo::sync::OwnedSemaphore;
use ipc_demo::{
    Array, Barrier, BoundedSemaphore, Condition, Consumer, Error, Event, JoinableQueue, Lock, Process, Producer, Queue,
    RLock, Role, RoleEntry, RoleResult, Semaphore, Value, enter,
};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, meeting_point, try_worker, watchdog, worker};

/// Adds to every value in its role, wherever it appears.
#[derive(Serialize, Deserialize)]
pub(crate) struct AddsEverywhere {
    option: Option<Value<u32>>,
    nothing: Option<Lock>,
    list: Vec<(Lock, Value<u32>)>,
    map: BTreeMap<(u8, String), Value<u32>>,
    inner: Inner,
    #[serde(flatten)]
    flat: Inner,
    either: [Either; 2],
    tagged: Tagged,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    value: Value<u32>,
    guarded: Result<Value<u32>, String>,
}

/// Decoding tries the first variant in vain, with the same handles.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Either {
    WithNumber { numbers: Producer<u32>, put: Value<u32>, number: u32 },
    WithText { numbers: Producer<u32>, put: Value<u32>, text: String },
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { value: Value<u32> },
}

impl Role for AddsEverywhere {
    const NAME: &'static str = "test.adds-everywhere";
    fn run(self) -> RoleResult {
        assert!(self.nothing.is_none());
        let mut values = vec![self.option.ok_or("it is there")?, self.inner.value, self.flat.value];
        values.extend([self.inner.guarded?, self.flat.guarded?]);
        values.extend(self.map.into_values());
        for (lock, value) in self.list {
            let _guard = lock.acquire()?;
            values.push(value);
        }
        let Tagged::One { value } = self.tagged;
        values.push(value);
        for either in self.either {
            match either {
                Either::WithNumber { numbers, put, number } => {
                    numbers.put(number)?;
                    values.push(put);
                }
                Either::WithText { numbers, put, text } => {
                    numbers.put(text.parse()?)?;
                    values.push(put);
                }
            }
        }
        values.iter().try_for_each(|value| value.update(|n| n + 1).map(drop))?;
        Ok(())
    }
}

#[test]
fn handles_may_stand_anywhere_in_a_role() {
    let _watchdog = watchdog("transfer::anywhere");
    let (queue, lock) = (Queue::new().expect("a queue"), Lock::new().expect("a lock"));
    let values: Vec<Value<u32>> = (0..12).map(|_| Value::new(0).expect("a value")).collect();
    let mut next = values.iter().cloned();
    let mut value = || next.next().expect("as many as there are places");
    let (numbers, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let role = AddsEverywhere {
        option: Some(value()),
        nothing: None,
        list: vec![(lock.clone(), value()), (lock, value())],
        map: BTreeMap::from([((1, "one".to_owned()), value()), ((2, String::new()), value())]),
        inner: Inner { value: value(), guarded: Ok(value()) },
        flat: Inner { value: value(), guarded: Ok(value()) },
        either: [
            Either::WithText { numbers: numbers.clone(), put: value(), text: "7".to_owned() },
            Either::WithNumber { numbers, put: value(), number: 8 },
        ],
        tagged: Tagged::One { value: value() },
    };
    let mut process = worker("adds everywhere", role);
    assert_eq!(consumer.iter().collect::<Result<Vec<_>, _>>().expect("numbers"), [7, 8]);
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
    let added: Vec<u32> = values.iter().map(Value::get).collect();
    assert_eq!(added, [1; 12]);
}

/// Uses one lock through two handles, and sends the parent its number of descriptors.
#[derive(Serialize, Deserialize)]
pub(crate) struct HasTwice {
    locks: (Lock, Lock),
    queues: Vec<Queue<u8>>,
}

impl Role for HasTwice {
    const NAME: &'static str = "test.has-twice";
    fn run(self) -> RoleResult {
        let (one, other) = self.locks;
        let guard = one.acquire()?;
        let taken = other.try_acquire()?.is_some();
        drop(guard);
        self.queues[0].put(7)?;
        let got = self.queues[1].get()?;
        Err(format!("{taken} {got} {}", memfds()?).into())
    }
}

/// Returns how many shared memory objects this process has open.
fn memfds() -> std::io::Result<usize> {
    let targets = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("/memfd:ipc_demo ")).count())
}

#[test]
fn same_handle_twice_is_the_same_object_and_one_descriptor() {
    let _watchdog = watchdog("transfer::twice");
    let (lock, queue) = (Lock::new().expect("a lock"), Queue::new().expect("a queue"));
    let role = HasTwice { locks: (lock.clone(), lock), queues: vec![queue.clone(), queue] };
    let said = worker("has twice", role).join().expect("it ends").failure.clone().expect("what it has").message;
    // The lock, the queue, and the process table.
    assert_eq!(said, "false 7 3");
}

const OUTSIDE: &str = "can only be sent inside a role given to Process::spawn";

/// Returns the error that a handle cannot be sent, as a text with all causes.
fn refusal<E: std::error::Error>(outcome: Result<(), E>) -> String {
    let error = outcome.expect_err("a handle outside of a role");
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Tries to forward the handles of its role, in a message and in an item.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendsOn {
    lock: Lock,
    locks: Queue<Lock>,
    sender: Sender<Lock>,
}

impl Role for SendsOn {
    const NAME: &'static str = "test.sends-on";
    fn run(mut self) -> RoleResult {
        assert!(self.locks.put(self.lock.clone()).is_err());
        assert!(self.sender.send(&self.lock).is_err());
        assert!(serde_json::to_string(&self.lock).expect_err("no form").to_string().contains(OUTSIDE));
        Ok(())
    }
}

#[test]
fn handle_outside_of_a_role_has_no_form() {
    let _watchdog = watchdog("transfer::outside");
    let lock = Lock::new().expect("a lock");
    let said = refusal(serde_json::to_string(&lock).map(drop));
    assert!(said.starts_with("a Lock can only be sent inside a role given to Process::spawn"), "{said}");
    let texts = [
        refusal(serde_json::to_string(&RLock::new().expect("a lock")).map(drop)),
        refusal(serde_json::to_string(&Event::new().expect("an event")).map(drop)),
        refusal(serde_json::to_string(&Value::new(1).expect("a value")).map(drop)),
        refusal(serde_json::to_string(&Queue::<u8>::new().expect("a queue")).map(drop)),
        refusal(serde_json::to_string(&PipeQueue::<u8>::unbounded().expect("a queue")).map(drop)),
        refusal(serde_json::to_string(&pipe::<u8>().expect("a pipe").1).map(drop)),
        refusal(serde_json::to_string(&Fd::new(std::io::pipe().expect("a pipe").0)).map(drop)),
        refusal(serde_json::from_str::<Lock>("0").map(drop)),
        refusal(serde_json::from_str::<Connection>("0").map(drop)),
        refusal(serde_json::from_str::<Fd>("3").map(drop)),
    ];
    for said in texts {
        assert!(said.contains(OUTSIDE), "{said}");
    }
    let (receiver, sender) = pipe().expect("a pipe");
    let locks = Queue::new().expect("a queue");
    assert!(locks.put(lock.clone()).is_err() && locks.is_empty());
    // Not while a worker runs either, there or here.
    let mut process = worker("sends on", SendsOn { lock: lock.clone(), locks: locks.clone(), sender });
    assert!(locks.put(lock).is_err() && locks.is_empty());
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
    drop(receiver);
}

/// Keeps the putting end of a queue until it is told to end.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeepsProducers {
    queue: Producer<u32>,
    joinable: JoinableQueue<u32>,
    pipe_queue: PipeQueue<u32>,
    here: Fd,
    until: Fd,
}

impl Role for KeepsProducers {
    const NAME: &'static str = "test.keeps-producers";
    fn run(self) -> RoleResult {
        arrive(&self.here, b'k');
        await_word(&self.until);
        Ok(())
    }
}

#[test]
fn queue_is_not_abandoned_while_its_last_producer_moves_into_a_worker() {
    let _watchdog = watchdog("transfer::no_gap");
    for _ in 0..10 {
        let queue = Queue::new().expect("a queue");
        let (joinable, pipe_queue) = (JoinableQueue::new().expect("a queue"), PipeQueue::unbounded().expect("a queue"));
        let (consumer, tasks, items) = (queue.consumer(), joinable.consumer(), pipe_queue.clone());
        let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let role = KeepsProducers { queue: queue.producer(), joinable, pipe_queue, here: arrives, until: until.into() };
        drop(queue);
        std::thread::scope(|scope| {
            // They wait all the time, and would be told as soon as no producer was left.
            let waiting = scope.spawn(|| consumer.get().expect_err("nobody puts"));
            let waiting_too = scope.spawn(|| tasks.get().map(drop).expect_err("nobody puts"));
            let waiting_also = scope.spawn(|| items.get().expect_err("nobody puts"));
            let _process = worker("keeps", role);
            assert_eq!(here.meet(), Some(b'k'));
            assert!(![&waiting, &waiting_too, &waiting_also].iter().any(|waiting| waiting.is_finished()));
            drop(release);
            for waiting in [waiting, waiting_too, waiting_also] {
                let error = waiting.join().expect("no panic");
                assert!(matches!(error, Error::Disconnected), "{error}");
            }
        });
    }
}

/// One handle of each kind.
#[derive(Serialize, Deserialize)]
struct HasEverything {
    locks: (Lock, RLock, Condition, Event),
    semaphores: (Semaphore, BoundedSemaphore, OwnedSemaphore),
    barrier: Barrier,
    numbers: (Value<i64>, Array<f32>),
    ring: (Queue<u8>, Producer<u8>, Consumer<u8>),
    queues: (JoinableQueue<u8>, PipeQueue<u8>),
    ends: (Sender<u8>, Connection),
    fd: Fd,
}

impl Role for HasEverything {
    const NAME: &'static str = "test.has-everything";
    fn run(self) -> RoleResult {
        Ok(())
    }
}

/// Fails to start workers, in a process of its own where no other test opens descriptors.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsNobody;

impl Role for StartsNobody {
    const NAME: &'static str = "test.starts-nobody";
    fn run(self) -> RoleResult {
        start_nobody();
        Ok(())
    }
}

#[test]
fn start_that_fails_takes_everything_back() {
    let _watchdog = watchdog("transfer::failed_start");
    let mut process = worker("starts nobody", StartsNobody);
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
}

fn start_nobody() {
    let open = || std::fs::read_dir("/proc/self/fd").expect("a list").count();
    let before = open();
    let barrier = Barrier::new(2).expect("a barrier");
    let queue = Queue::new().expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    for _ in 0..3 {
        let role = HasEverything {
            locks: (
                Lock::new().expect("a lock"),
                RLock::new().expect("a lock"),
                Condition::new().expect("a condition"),
                Event::new().expect("an event"),
            ),
            semaphores: (
                Semaphore::new(1).expect("a semaphore"),
                BoundedSemaphore::new(1).expect("a semaphore"),
                OwnedSemaphore::new(1).expect("a semaphore"),
            ),
            barrier: barrier.clone(),
            numbers: (Value::new(1).expect("a value"), Array::zeroed(3).expect("an array")),
            ring: (queue.clone(), producer.clone(), consumer.clone()),
            queues: (JoinableQueue::new().expect("a queue"), PipeQueue::unbounded().expect("a queue")),
            ends: (pipe().expect("a pipe").1, duplex().expect("a connection").0),
            fd: Fd::new(std::io::pipe().expect("a pipe").0),
        };
        let failed = Process::builder().program("/nonexistent/program", &[]).spawn("nobody", role);
        assert!(matches!(failed, Err(Error::Start { .. })), "{failed:?}");
    }
    // No party has died at the barrier, and none is expected there.
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait());
        barrier.wait().expect("two came");
        other.join().expect("no panic").expect("two came");
    });
    drop(queue);
    assert_eq!(consumer.get_timeout(Duration::ZERO).expect("the producer is here"), None);
    drop(producer);
    assert!(matches!(consumer.get(), Err(Error::Disconnected)), "those who were not started do not count");
    drop((consumer, barrier));
    assert_eq!(open(), before);
}

/// Values that other encodings change or reject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct IsEqual {
    bits: Vec<u64>,
    floats: Vec<Option<f64>>,
    nested: Vec<Option<Option<()>>>,
    wide: (u128, i128),
    pairs: BTreeMap<(u8, Option<char>), ()>,
    name: OsString,
}

fn all_values() -> IsEqual {
    let floats = [f64::INFINITY, f64::NEG_INFINITY, -0.0, f64::MIN_POSITIVE, 1e300];
    IsEqual {
        bits: floats.iter().map(|float| float.to_bits()).collect(),
        floats: floats.into_iter().map(Some).chain([None]).collect(),
        nested: vec![None, Some(None), Some(Some(()))],
        wide: (u128::MAX, i128::MIN),
        pairs: BTreeMap::from([((1, None), ()), ((1, Some('ä')), ())]),
        name: OsString::from_vec(vec![0xff, b'a']),
    }
}

impl Role for IsEqual {
    const NAME: &'static str = "test.is-equal";
    fn run(self) -> RoleResult {
        assert_eq!(self, all_values());
        Ok(())
    }
}

#[test]
fn values_in_a_role_arrive_equal() {
    let _watchdog = watchdog("transfer::equal");
    let mut process = worker("is equal", all_values());
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
}

/// Holds something that may not be encodable.
#[derive(Serialize, Deserialize)]
struct HasPath {
    lock: Lock,
    path: PathBuf,
}

impl Role for HasPath {
    const NAME: &'static str = "test.has-path";
    fn run(self) -> RoleResult {
        Ok(())
    }
}

#[test]
fn role_without_a_form_is_refused_at_the_start() {
    let lock = Lock::new().expect("a lock");
    let refused = try_worker("nobody", HasPath { lock, path: OsString::from_vec(vec![0xff]).into() });
    let error = refused.expect_err("the path is not UTF-8");
    assert!(matches!(&error, Error::Role { role, .. } if role.ends_with("transfer::HasPath")), "{error:?}");
    assert!(refusal(Err(error)).ends_with("HasPath to a worker: path contains invalid UTF-8 characters"));
}

/// Two roles with the same name.
#[derive(Serialize, Deserialize)]
struct Twin;

impl Role for Twin {
    const NAME: &'static str = "test.is-equal";
    fn run(self) -> RoleResult {
        Ok(())
    }
}

static TWINS: &[RoleEntry] =
    &[RoleEntry::of::<HasPath>(), RoleEntry::of::<IsEqual>(), RoleEntry::of::<HasTwice>(), RoleEntry::of::<Twin>()];

/// As a worker, it is the entry with a bad table; as a test, it checks the error messages, here and there.
#[test]
#[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
fn table_with_one_name_twice_is_refused() {
    let _watchdog = watchdog("transfer::one_name_twice");
    let here = || std::panic::catch_unwind(|| enter(TWINS));
    if std::env::var_os("IPC_DEMO_BOOT").is_some() {
        let code = here().expect("a worker says it otherwise").expect("it is a worker");
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
    let said = *here().expect_err("refused").downcast::<String>().expect("a text");
    assert_eq!(said, "two roles of the table given to ipc_demo::enter have the name test.is-equal");
    let null = std::fs::File::options().write(true).open("/dev/null").expect("there is a null device");
    let entry = ["process::transfer::table_with_one_name_twice_is_refused", "--exact", "--test-threads=1"];
    let builder = Process::builder().program("/proc/self/exe", &entry).stdout(std::os::fd::AsFd::as_fd(&null));
    let mut process = builder.spawn("twin", Twin).expect("it starts");
    let failure = process.join().expect("it ends").failure.clone().expect("why not");
    assert_eq!((failure.kind, failure.message), (FailureKind::Startup, said));
}
