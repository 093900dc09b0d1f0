//! Queues on the Redis server of `IPC_DEMO_REDIS`, next to the raw commands that do the least of the same work, of the same
//! client in the same run: `RPUSH` and `LPOP`; for leases `RPUSH`, `LMOVE` and `LPOP` of the list of leased items.
//!
//! Each side has threads with a connection each. The raw lists have no capacity, nobody dies, and a request that is
//! repeated is performed twice.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::queue::Block;
use super::workload::{Point, Sample, Workload};
use crate::Error;
use crate::redis::{DEFAULT_TIMEOUT, JoinableQueue, Queue, Server};
use crate::scenarios::server_in_environment;

/// Items that a queue has room for.
const CAPACITY: usize = 4096;

/// What is sent, and by how many threads to how many.
#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    about: &'static str,
    bytes: usize,
    batch: usize,
    is_leased: bool,
    producers: u64,
    consumers: u64,
}

const fn case(name: &'static str, about: &'static str, bytes: usize, batch: usize, is_leased: bool) -> Case {
    Case { name, about, bytes, batch, is_leased, producers: 1, consumers: 1 }
}

const fn of_many(case: Case, producers: u64, consumers: u64) -> Case {
    Case { producers, consumers, ..case }
}

const CASES: [Case; 22] = [
    case("redis-8", "8 B over a server, one by one", 8, 1, false),
    case("redis-8-x64", "8 B over a server, in batches of 64", 8, 64, false),
    case("redis-8-x256", "8 B over a server, in batches of 256", 8, 256, false),
    case("redis-1k", "1 KiB over a server, one by one", 1 << 10, 1, false),
    case("redis-1k-x64", "1 KiB over a server, in batches of 64", 1 << 10, 64, false),
    case("redis-1k-x256", "1 KiB over a server, in batches of 256", 1 << 10, 256, false),
    case("redis-64k", "64 KiB over a server, one by one", 64 << 10, 1, false),
    case("redis-64k-x64", "64 KiB over a server, in batches of 64", 64 << 10, 64, false),
    case("redis-leased-8", "8 B leased over a server and done, one by one", 8, 1, true),
    case("redis-leased-8-x64", "8 B leased over a server and done, in batches of 64", 8, 64, true),
    case("redis-leased-8-x256", "8 B leased over a server and done, in batches of 256", 8, 256, true),
    case("redis-leased-1k", "1 KiB leased over a server and done, one by one", 1 << 10, 1, true),
    case("redis-leased-1k-x64", "1 KiB leased over a server and done, in batches of 64", 1 << 10, 64, true),
    case("redis-leased-1k-x256", "1 KiB leased over a server and done, in batches of 256", 1 << 10, 256, true),
    case("redis-leased-64k", "64 KiB leased over a server and done, one by one", 64 << 10, 1, true),
    case("redis-leased-64k-x64", "64 KiB leased over a server and done, in batches of 64", 64 << 10, 64, true),
    of_many(case("redis-8-2to2", "8 B over a server, two to two", 8, 1, false), 2, 2),
    of_many(case("redis-8-x64-2to2", "8 B over a server, in batches of 64, two to two", 8, 64, false), 2, 2),
    of_many(case("redis-leased-8-2to2", "8 B leased over a server and done, two to two", 8, 1, true), 2, 2),
    of_many(case("redis-leased-8-x64-2to2", "8 B leased and done in batches of 64, two to two", 8, 64, true), 2, 2),
    of_many(case("redis-8-16to1", "8 B over a server, sixteen producers", 8, 1, false), 16, 1),
    of_many(case("redis-leased-8-16to1", "8 B leased over a server and done, sixteen producers", 8, 1, true), 16, 1),
];

/// Returns the server to measure.
pub(super) fn server() -> Result<Server> {
    server_in_environment()
}

pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let workload = |case: Case| {
        let commands = if case.is_leased { "RPUSH, LMOVE, LPOP" } else { "RPUSH, LPOP" };
        let point = Point::only().ours("Queue on a server", move |items| ours(case, items));
        Workload::new(case.name, case.about, point.baseline(commands, move |items| raw(case, items)))
    };
    [round_trips(), CASES.into_iter().map(workload).collect()].into_iter().flatten().collect()
}

/// Returns the workloads of single requests, one after the other in one thread.
fn round_trips<'a>() -> Vec<Workload<'a>> {
    let fill = |count: u64| -> Result<Queue<u64>> {
        let queue = Queue::<u64>::new(&server()?)?;
        (0..count).collect::<Vec<_>>().chunks(MANY).try_for_each(|items| queue.put_many(items))?;
        Ok(queue)
    };
    let put = move |count| {
        let queue = fill(0)?;
        Sample::of_each(count, || Ok(queue.put(7).map_err(Error::from)?))
    };
    let get = move |count| {
        let queue = fill(count)?;
        Sample::of_each(count, || {
            queue.get()?;
            Ok(())
        })
    };
    let push = |count| raw_round_trips(count, 0, |list| list.rpush());
    let pop = |count| raw_round_trips(count, count, |list| list.lpop());
    let workload = |name, about, point| Workload::new(name, about, point);
    vec![
        workload("redis-put", "a put, median", Point::only().ours("Queue on a server", put).baseline("RPUSH", push)),
        workload("redis-get", "a get, median", Point::only().ours("Queue on a server", get).baseline("LPOP", pop)),
    ]
}

/// Items in a request that prepares a measurement.
const MANY: usize = 1000;

/// A connection to the list of the raw commands.
struct RawList(::redis::Connection);

impl RawList {
    fn rpush(&mut self) -> Result<()> {
        Ok(::redis::cmd("RPUSH").arg(LIST).arg(&[7_u8; 8][..]).exec(&mut self.0)?)
    }

    fn lpop(&mut self) -> Result<()> {
        Ok(::redis::cmd("LPOP").arg(LIST).query::<Option<Vec<u8>>>(&mut self.0).map(drop)?)
    }
}

fn raw_round_trips(count: u64, filled: u64, operation: impl Fn(&mut RawList) -> Result<()>) -> Result<Sample> {
    let mut list = RawList(server()?.connect(DEFAULT_TIMEOUT)?);
    ::redis::cmd("DEL").arg(LIST).exec(&mut list.0)?;
    for first in (0..filled).step_by(MANY) {
        let mut push = ::redis::cmd("RPUSH");
        push.arg(LIST);
        (first..filled.min(first + MANY as u64)).for_each(|_| _ = push.arg(&[7_u8; 8][..]));
        push.exec(&mut list.0)?;
    }
    let sample = Sample::of_each(count, || operation(&mut list));
    ::redis::cmd("DEL").arg(LIST).exec(&mut list.0)?;
    sample
}

/// Runs producers and consumers in threads until `each` producer has put its share, and all is got.
fn threads(
    case: Case,
    items: u64,
    put: impl Fn(u64) -> Result<()> + Sync,
    get: impl Fn(u64) -> Result<u64> + Sync,
) -> Result<Sample> {
    let each = items.div_ceil(case.producers);
    let begun = Instant::now();
    let got = thread::scope(|scope| {
        let consumers: Vec<_> = (0..case.consumers).map(|_| scope.spawn(|| get(each * case.producers))).collect();
        let producers: Vec<_> = (0..case.producers).map(|_| scope.spawn(|| put(each))).collect();
        for producer in producers {
            producer.join().expect("no panic")?;
        }
        consumers.into_iter().try_fold(0, |sum, consumer| anyhow::Ok(sum + consumer.join().expect("no panic")?))
    })?;
    ensure!(got == each * case.producers, "{got} of {} items arrived", each * case.producers);
    Ok(Sample::since(begun, got))
}

fn ours(case: Case, items: u64) -> Result<Sample> {
    let server = server()?;
    let block = Block(vec![7; case.bytes]);
    let batch = vec![block.clone(); case.batch];
    // `put_many` puts batches, the last one shorter.
    let slices = |items: u64| (0..items).step_by(case.batch).map(move |first| case.batch.min((items - first) as usize));
    let left = AtomicU64::new(case.producers);
    macro_rules! put {
        ($queue:ident) => {
            |items| {
                let queue = $queue.producer();
                for count in slices(items) {
                    if case.batch == 1 {
                        queue.put(block.clone()).map_err(Error::from)?
                    } else {
                        queue.put_many(&batch[..count])?
                    }
                }
                // The last one ends the queue for the consumers.
                drop(queue);
                if left.fetch_sub(1, Relaxed) == 1 {
                    $queue.close();
                }
                Ok(())
            }
        };
    }
    if case.is_leased {
        let queue = JoinableQueue::<Block>::bounded(&server, CAPACITY)?;
        let done = AtomicU64::new(0);
        let get = |expected| {
            let queue = queue.consumer();
            let mut got = 0;
            loop {
                match queue.get_many(case.batch) {
                    Err(Error::Disconnected) => return Ok(got),
                    leases => {
                        let leases = leases?.into_iter().collect::<crate::Result<Vec<_>>>()?;
                        let finished = queue.finish_many(leases)?.len() as u64;
                        got += finished;
                        if done.fetch_add(finished, Relaxed) + finished == expected {
                            return Ok(got);
                        }
                    }
                }
            }
        };
        threads(case, items, put!(queue), get)
    } else {
        let queue = Queue::<Block>::bounded(&server, CAPACITY)?;
        let get = |_| {
            let queue = queue.consumer();
            let mut got = 0;
            loop {
                let some = if case.batch == 1 {
                    queue.get().map(|_| 1)
                } else {
                    queue.get_many(case.batch).map(|some| some.len())
                };
                match some {
                    Err(Error::Disconnected) => return Ok(got),
                    some => got += some? as u64,
                }
            }
        };
        threads(case, items, put!(queue), get)
    }
}

/// The list of the raw commands. Two runs at once would disturb each other.
const LIST: &str = "ipcq:bench";
const LEASED: &str = "ipcq:bench:leased";

fn raw(case: Case, items: u64) -> Result<Sample> {
    let server = server()?;
    let connect = || server.connect(DEFAULT_TIMEOUT).context("cannot connect to the server of IPC_DEMO_REDIS");
    let delete = || -> Result<()> { Ok(::redis::cmd("DEL").arg(LIST).arg(LEASED).exec(&mut connect()?)?) };
    delete()?;
    let got_by_all = AtomicU64::new(0);
    let payload = vec![7_u8; case.bytes];
    let put = |items: u64| {
        let mut connection = connect()?;
        for first in (0..items).step_by(case.batch) {
            let mut push = ::redis::cmd("RPUSH");
            push.arg(LIST);
            (0..case.batch.min((items - first) as usize)).for_each(|_| _ = push.arg(&payload));
            push.exec(&mut connection)?;
        }
        Ok(())
    };
    let get = |expected: u64| {
        let mut connection = connect()?;
        let mut got = 0;
        loop {
            let mut payloads: Vec<Vec<u8>> = if case.is_leased {
                let mut pipeline = ::redis::pipe();
                (0..case.batch).for_each(|_| _ = pipeline.cmd("LMOVE").arg(LIST).arg(LEASED).arg("LEFT").arg("RIGHT"));
                let moved: Vec<Option<Vec<u8>>> = pipeline.query(&mut connection)?;
                let moved: Vec<_> = moved.into_iter().flatten().collect();
                if !moved.is_empty() {
                    ::redis::cmd("LPOP").arg(LEASED).arg(moved.len()).query::<Vec<Vec<u8>>>(&mut connection)?;
                }
                moved
            } else {
                let popped: Option<Vec<Vec<u8>>> =
                    ::redis::cmd("LPOP").arg(LIST).arg(case.batch).query(&mut connection)?;
                popped.unwrap_or_default()
            };
            payloads.retain(|payload| !payload.is_empty());
            got += payloads.len() as u64;
            let sum = got_by_all.fetch_add(payloads.len() as u64, Relaxed) + payloads.len() as u64;
            if sum >= expected {
                // Those that still wait end with an empty item.
                let mut push = ::redis::cmd("RPUSH");
                push.arg(LIST);
                (0..case.consumers).for_each(|_| _ = push.arg(""));
                push.exec(&mut connection)?;
                return Ok(got);
            }
            if payloads.is_empty() {
                // Ours waits on the server too; this item goes back to where it was.
                let waited: Option<(String, Vec<u8>)> =
                    ::redis::cmd("BLPOP").arg(LIST).arg(0.1).query(&mut connection)?;
                if let Some((_, item)) = waited {
                    ::redis::cmd("LPUSH").arg(LIST).arg(item).exec(&mut connection)?;
                }
            }
        }
    };
    let sample = threads(case, items, put, get);
    delete()?;
    sample
}
