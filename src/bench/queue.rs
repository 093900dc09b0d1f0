//! The queue between real processes, and `std::sync::mpsc::sync_channel` between threads doing the same work in the same
//! run.
//!
//! Every item is checked by who takes it: numbers are added up, and the bytes of the larger loads too, so that a transport
//! that never touches them gains nothing.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Side, Workload};
use crate::ipc::{self, Consumer, Inherited, Process, Producer, Queue, Role, RoleEntry, RoleResult, Slot};

/// What the workers of the benchmark can be.
pub(super) const ROLES: &[RoleEntry] = &[
    RoleEntry::of::<Puts<u64>>(),
    RoleEntry::of::<Gets<u64>>(),
    RoleEntry::of::<Puts<Block>>(),
    RoleEntry::of::<Gets<Block>>(),
    RoleEntry::of::<Echoes>(),
];

const CAPACITY: usize = 1024;
const U64_1_CASE: Case = Case { bytes: 8, pairs: 1, items: 4_000_000, batch: 1 };
const U64_2_CASE: Case = Case { bytes: 8, pairs: 2, items: 4_000_000, batch: 1 };
const U64_BATCH_1_CASE: Case = Case { bytes: 8, pairs: 1, items: 10_000_000, batch: 256 };
const U64_BATCH_2_CASE: Case = Case { bytes: 8, pairs: 2, items: 10_000_000, batch: 256 };
const KIB_1_CASE: Case = Case { bytes: 1024, pairs: 1, items: 1_000_000, batch: 1 };
const KIB_2_CASE: Case = Case { bytes: 1024, pairs: 2, items: 1_000_000, batch: 1 };
const KIB_BATCH_1_CASE: Case = Case { bytes: 1024, pairs: 1, items: 1_000_000, batch: 64 };
const KIB_BATCH_2_CASE: Case = Case { bytes: 1024, pairs: 2, items: 1_000_000, batch: 64 };
const LARGE_1_CASE: Case = Case { bytes: 65536, pairs: 1, items: 60_000, batch: 1 };
const LARGE_2_CASE: Case = Case { bytes: 65536, pairs: 2, items: 60_000, batch: 1 };

pub(super) static WORKLOADS: [Workload; 12] = [
    Workload {
        name: "queue",
        about: "u64 from one process to another, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<u64>(U64_1_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<u64>(U64_1_CASE) },
        ],
    },
    Workload {
        name: "queue-2to2",
        about: "u64 from two processes to two others, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<u64>(U64_2_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<u64>(U64_2_CASE) },
        ],
    },
    Workload {
        name: "queue-batch",
        about: "u64 in batches of 256 from one process to another, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<u64>(U64_BATCH_1_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<u64>(U64_BATCH_1_CASE) },
        ],
    },
    Workload {
        name: "queue-batch-2to2",
        about: "u64 in batches of 256 from two processes to two others, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<u64>(U64_BATCH_2_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<u64>(U64_BATCH_2_CASE) },
        ],
    },
    Workload {
        name: "queue-1k",
        about: "1 KiB from one process to another, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(KIB_1_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(KIB_1_CASE) },
        ],
    },
    Workload {
        name: "queue-1k-2to2",
        about: "1 KiB from two processes to two others, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(KIB_2_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(KIB_2_CASE) },
        ],
    },
    Workload {
        name: "queue-1k-batch",
        about: "1 KiB in batches of 64 from one process to another, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(KIB_BATCH_1_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(KIB_BATCH_1_CASE) },
        ],
    },
    Workload {
        name: "queue-1k-batch-2to2",
        about: "1 KiB in batches of 64 from two processes to two others, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(KIB_BATCH_2_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(KIB_BATCH_2_CASE) },
        ],
    },
    Workload {
        name: "queue-64k",
        about: "64 KiB from one process to another, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(LARGE_1_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(LARGE_1_CASE) },
        ],
    },
    Workload {
        name: "queue-64k-2to2",
        about: "64 KiB from two processes to two others, capacity 1024",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: || processes::<Block>(LARGE_2_CASE) },
            Side { name: "sync_channel between threads", ns_per_operation: || threads::<Block>(LARGE_2_CASE) },
        ],
    },
    Workload {
        name: "queue-ping-pong",
        about: "a u64 there and back through two queues, median round trip",
        sides: &[
            Side { name: "Queue between processes", ns_per_operation: ping_pong_processes },
            Side { name: "sync_channel between threads", ns_per_operation: ping_pong_threads },
        ],
    },
    Workload {
        name: "queue-alone",
        about: "put and get a u64 with nobody in the way",
        sides: &[
            Side { name: "Queue", ns_per_operation: alone_with_queue },
            Side { name: "sync_channel", ns_per_operation: alone_with_channel },
        ],
    },
];

const PING_PONGS: u64 = 50_000;
const ALONE: u64 = 2_000_000;

/// Something to send.
trait Load: Serialize + DeserializeOwned + Clone + Send + 'static {
    const PUTS: &'static str;
    const GETS: &'static str;
    fn make(number: u64, bytes: usize) -> Self;
    /// A number that depends on all of it.
    fn sum(&self) -> u64;
}

impl Load for u64 {
    const PUTS: &'static str = "bench.puts-u64";
    const GETS: &'static str = "bench.gets-u64";
    fn make(number: u64, _: usize) -> Self {
        number
    }
    fn sum(&self) -> u64 {
        *self
    }
}

/// A fresh vector of bytes, serialised as such.
#[derive(Clone)]
struct Block(Vec<u8>);

impl Load for Block {
    const PUTS: &'static str = "bench.puts-block";
    const GETS: &'static str = "bench.gets-block";
    fn make(number: u64, bytes: usize) -> Self {
        Block(vec![number as u8; bytes])
    }
    fn sum(&self) -> u64 {
        self.0.as_chunks().0.iter().fold(0, |sum, eight| sum.wrapping_add(u64::from_ne_bytes(*eight)))
    }
}

impl Serialize for Block {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Block;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Block, E> {
                Ok(Block(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// What is sent, and by how many.
#[derive(Debug, Clone, Copy)]
struct Case {
    bytes: usize,
    /// As many producers as consumers.
    pairs: usize,
    /// Items of all producers.
    items: u64,
    /// Items a step; 1 is plain put and get.
    batch: usize,
}

/// Where a worker waits for the start, and says that it is there and what it has done.
#[derive(Serialize, Deserialize)]
struct Gate {
    ready: Slot<OwnedFd>,
    go: Slot<OwnedFd>,
}

impl Gate {
    fn pass(self, inherited: &mut Inherited) -> Result<std::io::PipeWriter> {
        let mut ready = std::io::PipeWriter::from(inherited.take(self.ready)?);
        ready.write_all(&[1])?;
        let mut go = std::io::PipeReader::from(inherited.take(self.go)?);
        go.read_to_end(&mut Vec::new())?;
        Ok(ready)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Puts<T> {
    gate: Gate,
    queue: Slot<Producer<T>>,
    items: u64,
    bytes: usize,
    batch: usize,
}

impl<T: Load> Role for Puts<T> {
    const NAME: &'static str = T::PUTS;
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let queue = inherited.take(self.queue)?;
        self.gate.pass(inherited)?;
        if self.batch == 1 {
            for number in 0..self.items {
                queue.put(T::make(number, self.bytes)).map_err(ipc::Error::from)?;
            }
            return Ok(());
        }
        let mut number = 0;
        let mut batch = Vec::with_capacity(self.batch);
        while number < self.items {
            batch.clear();
            let end = self.items.min(number + self.batch as u64);
            batch.extend((number..end).map(|number| T::make(number, self.bytes)));
            queue.put_many(&batch)?;
            number = end;
        }
        Ok(())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Gets<T> {
    gate: Gate,
    queue: Slot<Consumer<T>>,
    batch: usize,
}

impl<T: Load> Role for Gets<T> {
    const NAME: &'static str = T::GETS;
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let queue = inherited.take(self.queue)?;
        let mut report = self.gate.pass(inherited)?;
        let (mut items, mut sum) = (0_u64, 0_u64);
        if self.batch == 1 {
            for item in queue.iter() {
                (items, sum) = (items + 1, sum.wrapping_add(item?.sum()));
            }
        } else {
            loop {
                match queue.get_many(self.batch) {
                    Ok(batch) => {
                        items += batch.len() as u64;
                        sum = batch.iter().fold(sum, |sum, item| sum.wrapping_add(item.sum()));
                    }
                    Err(ipc::Error::Disconnected) => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        let mut bytes = items.to_le_bytes().to_vec();
        bytes.extend_from_slice(&sum.to_le_bytes());
        report.write_all(&bytes)?;
        Ok(())
    }
}

/// What an item takes through the queue, between processes.
fn processes<T: Load>(case: Case) -> Result<f64> {
    let queue = Queue::<T>::bounded(CAPACITY)?;
    let (producer, consumer) = (queue.producer()?, queue.consumer()?);
    drop(queue);
    let (mut ready, arrives) = std::io::pipe()?;
    let (waits, go) = std::io::pipe()?;
    let (arrives, waits) = (OwnedFd::from(arrives), OwnedFd::from(waits));
    let each = case.items / case.pairs as u64;
    let mut workers = Vec::new();
    for number in 0..case.pairs {
        workers.push(Process::spawn(&format!("getter-{number}"), |give| Gets::<T> {
            gate: Gate { ready: give.share(&arrives), go: give.share(&waits) },
            queue: give.share(&consumer),
            batch: case.batch,
        })?);
        workers.push(Process::spawn(&format!("putter-{number}"), |give| Puts::<T> {
            gate: Gate { ready: give.share(&arrives), go: give.share(&waits) },
            queue: give.share(&producer),
            items: each,
            bytes: case.bytes,
            batch: case.batch,
        })?);
    }
    drop((producer, consumer, arrives, waits));
    ready.read_exact(&mut vec![0; workers.len()]).context("the workers come to the start")?;
    let start = Instant::now();
    drop(go);
    let (mut items, mut sum) = (0, 0_u64);
    for _ in 0..case.pairs {
        let mut report = [0; 16];
        ready.read_exact(&mut report).context("the getters report")?;
        let [got, added] = [0, 8].map(|at| u64::from_le_bytes(std::array::from_fn(|byte| report[at + byte])));
        (items, sum) = (items + got, sum.wrapping_add(added));
    }
    let elapsed = start.elapsed();
    for mut worker in workers {
        ensure!(worker.join()?.is_success(), "{:?}", worker.ended());
    }
    let expected = (0..each).fold(0_u64, |sum, number| sum.wrapping_add(T::make(number, case.bytes).sum()));
    ensure!(items == case.items && sum == expected.wrapping_mul(case.pairs as u64), "{items} items arrived");
    Ok(elapsed.as_nanos() as f64 / items as f64)
}

/// What an item takes through a `sync_channel`, between threads. Its batches are single items.
fn threads<T: Load>(case: Case) -> Result<f64> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    // Of a channel of std there is one receiver: two consumers have to share it.
    let receiver = Mutex::new(receiver);
    let start = Instant::now();
    let items: u64 = thread::scope(|scope| {
        for _ in 0..case.pairs {
            let sender = sender.clone();
            scope.spawn(move || {
                for number in 0..case.items / case.pairs as u64 {
                    if sender.send(T::make(number, case.bytes)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let count = || {
            let (mut items, mut sum) = (0_u64, 0_u64);
            let mut add = |item: T| (items, sum) = (items + 1, sum.wrapping_add(item.sum()));
            if case.pairs == 1 {
                receiver.lock().expect("nobody panics").iter().for_each(&mut add);
            } else {
                loop {
                    let next = receiver.lock().expect("nobody panics").recv();
                    let Ok(item) = next else { break };
                    add(item);
                }
            }
            std::hint::black_box(sum);
            items
        };
        let getters: Vec<_> = (0..case.pairs).map(|_| scope.spawn(count)).collect();
        getters.into_iter().map(|getter| getter.join().expect("no panic")).sum()
    });
    Ok(start.elapsed().as_nanos() as f64 / items as f64)
}

/// Takes a number and puts it into the other queue.
#[derive(Serialize, Deserialize)]
struct Echoes {
    from: Slot<Consumer<u64>>,
    to: Slot<Producer<u64>>,
}

impl Role for Echoes {
    const NAME: &'static str = "bench.echoes";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let (from, to) = (inherited.take(self.from)?, inherited.take(self.to)?);
        for item in from.iter() {
            to.put(item?).map_err(ipc::Error::from)?;
        }
        Ok(())
    }
}

/// The median of round trips.
fn ping_pong(mut round: impl FnMut(u64) -> Result<u64>) -> Result<f64> {
    let mut took = Vec::with_capacity(PING_PONGS as usize);
    for number in 0..PING_PONGS {
        let start = Instant::now();
        ensure!(round(number)? == number, "the wrong number came back");
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2].as_nanos() as f64)
}

fn ping_pong_processes() -> Result<f64> {
    let (there, back) = (Queue::<u64>::bounded(CAPACITY)?, Queue::<u64>::bounded(CAPACITY)?);
    let (put, get) = (there.producer()?, back.consumer()?);
    let mut echo = Process::spawn("echo", |give| Echoes {
        from: give.hand_over(there.consumer().expect("a descriptor")),
        to: give.hand_over(back.producer().expect("a descriptor")),
    })?;
    drop((there, back));
    let median = ping_pong(|number| {
        put.put(number).map_err(ipc::Error::from)?;
        Ok(get.get()?)
    })?;
    drop(put);
    ensure!(echo.join()?.is_success(), "{:?}", echo.ended());
    Ok(median)
}

fn ping_pong_threads() -> Result<f64> {
    let (put, from) = mpsc::sync_channel(CAPACITY);
    let (to, get) = mpsc::sync_channel(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || from.iter().all(|number| to.send(number).is_ok()));
        let put = put;
        ping_pong(|number| {
            put.send(number)?;
            Ok(get.recv()?)
        })
    })
}

/// Time of a put and a get by the same thread: what the operations cost when nobody is in the way.
fn alone(mut round: impl FnMut(u64) -> Result<u64>) -> Result<f64> {
    let start = Instant::now();
    for number in 0..ALONE {
        ensure!(round(number)? == number, "the wrong number came back");
    }
    Ok(start.elapsed().as_nanos() as f64 / ALONE as f64)
}

fn alone_with_queue() -> Result<f64> {
    let queue = Queue::<u64>::bounded(CAPACITY)?;
    alone(|number| {
        queue.put(number).map_err(ipc::Error::from)?;
        Ok(queue.get()?)
    })
}

fn alone_with_channel() -> Result<f64> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    alone(|number| {
        sender.send(number)?;
        Ok(receiver.recv()?)
    })
}
