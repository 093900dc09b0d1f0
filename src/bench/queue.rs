//! The queue between real processes, and `std::sync::mpsc::sync_channel` between threads doing the same work in the same
//! run.
//!
//! Every item is checked by who takes it: numbers are added up, and the bytes of the larger loads too, so that a transport
//! that never touches them gains nothing.

use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ipc_demo::{Consumer, Inherited, Process, Producer, Queue, Role, RoleEntry, RoleResult, Slot};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What the workers of the benchmark can be.
pub(crate) const ROLES: &[RoleEntry] = &[
    RoleEntry::of::<Puts<u64>>(),
    RoleEntry::of::<Gets<u64>>(),
    RoleEntry::of::<Puts<Block>>(),
    RoleEntry::of::<Gets<Block>>(),
    RoleEntry::of::<Echoes>(),
];

const CAPACITY: usize = 1024;

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
pub(crate) struct Block(Vec<u8>);

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

/// One line of the table.
#[derive(Debug, Clone, Copy)]
struct Case {
    label: &'static str,
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
pub(crate) struct Puts<T> {
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
                queue.put(T::make(number, self.bytes)).map_err(ipc_demo::Error::from)?;
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
pub(crate) struct Gets<T> {
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
                    Err(ipc_demo::Error::Disconnected) => break,
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

/// Items a second through the queue, between processes.
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
    Ok(items as f64 / elapsed.as_secs_f64())
}

/// Items a second through a `sync_channel`, between threads.
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
    Ok(items as f64 / start.elapsed().as_secs_f64())
}

/// Takes a number and puts it into the other queue.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echoes {
    from: Slot<Consumer<u64>>,
    to: Slot<Producer<u64>>,
}

impl Role for Echoes {
    const NAME: &'static str = "bench.echoes";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let (from, to) = (inherited.take(self.from)?, inherited.take(self.to)?);
        for item in from.iter() {
            to.put(item?).map_err(ipc_demo::Error::from)?;
        }
        Ok(())
    }
}

/// The median of round trips.
fn ping_pong(rounds: u64, mut round: impl FnMut(u64) -> Result<u64>) -> Result<Duration> {
    let mut took = Vec::with_capacity(rounds as usize);
    for number in 0..rounds {
        let start = Instant::now();
        ensure!(round(number)? == number, "the wrong number came back");
        took.push(start.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2])
}

fn ping_pong_processes(rounds: u64) -> Result<Duration> {
    let (there, back) = (Queue::<u64>::bounded(CAPACITY)?, Queue::<u64>::bounded(CAPACITY)?);
    let (put, get) = (there.producer()?, back.consumer()?);
    let mut echo = Process::spawn("echo", |give| Echoes {
        from: give.hand_over(there.consumer().expect("a descriptor")),
        to: give.hand_over(back.producer().expect("a descriptor")),
    })?;
    drop((there, back));
    let median = ping_pong(rounds, |number| {
        put.put(number).map_err(ipc_demo::Error::from)?;
        Ok(get.get()?)
    })?;
    drop(put);
    ensure!(echo.join()?.is_success(), "{:?}", echo.ended());
    Ok(median)
}

fn ping_pong_threads(rounds: u64) -> Result<Duration> {
    let (put, from) = mpsc::sync_channel(CAPACITY);
    let (to, get) = mpsc::sync_channel(CAPACITY);
    thread::scope(|scope| {
        scope.spawn(move || from.iter().all(|number| to.send(number).is_ok()));
        let put = put;
        ping_pong(rounds, |number| {
            put.send(number)?;
            Ok(get.recv()?)
        })
    })
}

/// Time of a put and a get by the same thread: what the operations cost when nobody is in the way.
fn alone(rounds: u64, mut round: impl FnMut(u64) -> Result<u64>) -> Result<Duration> {
    let start = Instant::now();
    for number in 0..rounds {
        ensure!(round(number)? == number, "the wrong number came back");
    }
    Ok(start.elapsed() / rounds as u32)
}

fn alone_with_queue(rounds: u64) -> Result<Duration> {
    let queue = Queue::<u64>::bounded(CAPACITY)?;
    alone(rounds, |number| {
        queue.put(number).map_err(ipc_demo::Error::from)?;
        Ok(queue.get()?)
    })
}

fn alone_with_channel(rounds: u64) -> Result<Duration> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    alone(rounds, |number| {
        sender.send(number)?;
        Ok(receiver.recv()?)
    })
}

fn best(repeats: u32, mut run: impl FnMut() -> Result<f64>) -> Result<f64> {
    (0..repeats).try_fold(0.0_f64, |best, _| Ok(best.max(run()?)))
}

fn line<T: Load>(case: Case, repeats: u32, out: &mut impl Write) -> Result<()> {
    let ours = best(repeats, || processes::<T>(case))?;
    let theirs = best(repeats, || threads::<T>(Case { batch: 1, ..case }))?;
    let Case { label, pairs, .. } = case;
    writeln!(
        out,
        "{label:<24} {pairs} -> {pairs} {:>12.3} M/s {:>12.3} M/s {:>7.2}x",
        ours / 1e6,
        theirs / 1e6,
        ours / theirs
    )?;
    Ok(())
}

/// Prints the table. `scale` multiplies the number of items.
pub(crate) fn run(scale: f64, repeats: u32, only: Option<&str>, out: &mut impl Write) -> Result<()> {
    writeln!(out, "{:<24} {:<6} {:>12}     {:>12}", "queue, capacity 1024", "", "processes", "threads")?;
    let cases = [
        ("u64", 8, 4_000_000, 1),
        ("u64, batches of 256", 8, 10_000_000, 256),
        ("1 KiB", 1 << 10, 1_000_000, 1),
        ("1 KiB, batches of 64", 1 << 10, 1_000_000, 64),
        ("64 KiB", 64 << 10, 60_000, 1),
    ];
    for (label, bytes, items, batch) in cases {
        for pairs in [1, 2] {
            if only.is_some_and(|only| !format!("{label} {pairs}").contains(only)) {
                continue;
            }
            let items = ((items as f64 * scale) as u64 / 2).max(1) * 2;
            let case = Case { label, bytes, pairs, items, batch };
            match bytes {
                8 => line::<u64>(case, repeats, out)?,
                _ => line::<Block>(case, repeats, out)?,
            }
        }
    }
    if only.is_none_or(|only| "alone".contains(only)) {
        let rounds = ((10_000_000_f64 * scale) as u64).max(1000);
        let (ours, theirs) = (alone_with_queue(rounds)?, alone_with_channel(rounds)?);
        writeln!(out, "{:<24} {:<6} {ours:>13.2?}    {theirs:>13.2?}", "put and get, alone", "1")?;
    }
    if only.is_none_or(|only| "ping".contains(only)) {
        let rounds = ((200_000_f64 * scale) as u64).max(1000);
        let (ours, theirs) = (ping_pong_processes(rounds)?, ping_pong_threads(rounds)?);
        writeln!(out, "{:<24} {:<6} {ours:>13.2?}    {theirs:>13.2?}   (median)", "ping-pong, u64", "1 <-> 1")?;
    }
    Ok(())
}
