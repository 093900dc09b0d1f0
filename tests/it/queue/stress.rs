//! Many workers on one queue, half of the runs with random kills, and every item accounted for.
//!
//! Each worker keeps a log in a file of its own, which outlives it: a putter records how many puts have returned, a
//! getter records every item. An item that was put and never got is lost; a killed `get` may lose one.
//!
//! A watcher observes the logs and the workers' states all the time. A period in which nothing was got, no worker was
//! running and one wanted to put is a stall: the workers wait for each other, or for a dead process.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::fs::FileExt;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, OnceLock};
use std::thread;
use std::time::Duration;

use ipc_demo::process::{Ended, Fd};
use ipc_demo::queue::{JoinableConsumer, JoinableProducer, Puts};
use ipc_demo::{Consumer, JoinableQueue, Process, Producer, Queue, Role, RoleResult};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::harness::{states, watchdog, worker};

/// Its putter, its number, and bytes that follow from both.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    pub(super) putter: u32,
    pub(super) number: u32,
    bytes: Vec<u8>,
}

impl Item {
    pub(super) fn new(putter: u32, number: u32) -> Self {
        // Mostly small, at times larger than a chunk of a small queue.
        let len = if number.is_multiple_of(50) { 10_000 } else { number as usize * 7 % 64 };
        Item { putter, number, bytes: vec![(putter ^ number) as u8; len] }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        let is_whole = self.bytes == Item::new(self.putter, self.number).bytes;
        if is_whole { Ok(()) } else { Err(format!("torn: {self:?}")) }
    }
}

/// An entry in a getter's log: putter, number, times returned.
pub(super) type Entry = [u32; 3];

pub(super) fn note(book: &mut File, entry: Entry) -> std::io::Result<()> {
    book.write_all(entry.map(u32::to_le_bytes).as_flattened())
}

pub(super) fn read_book(mut book: &File) -> Vec<Entry> {
    let mut bytes = Vec::new();
    book.rewind().expect("a file");
    book.read_to_end(&mut bytes).expect("a file");
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    bytes.chunks_exact(12).map(|line| [number(&line[..4]), number(&line[4..8]), number(&line[8..])]).collect()
}

/// Puts `count` items; the log contains how many puts have returned.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressPuts {
    queue: Option<Producer<Item>>,
    joinable: Option<JoinableProducer<Item>>,
    putter: u32,
    count: u32,
    book: Fd,
}

impl Role for StressPuts {
    const NAME: &'static str = "test.stress-puts";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        let joinable = self.joinable;
        let book = File::from(self.book.into_owned()?);
        for number in 0..self.count {
            let item = Item::new(self.putter, number);
            match (&queue, &joinable) {
                (Some(queue), _) => queue.put(item)?,
                (_, Some(joinable)) => joinable.put(item)?,
                _ => {}
            }
            book.write_all_at(&(number + 1).to_le_bytes(), 0)?;
        }
        Ok(())
    }
}

/// Gets items until there are no more; the log contains them.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressGets {
    queue: Consumer<Item>,
    book: Fd,
}

impl Role for StressGets {
    const NAME: &'static str = "test.stress-gets";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        let mut book = File::from(self.book.into_owned()?);
        for item in queue.iter() {
            let item = item?;
            item.check()?;
            note(&mut book, [item.putter, item.number, 0])?;
        }
        Ok(())
    }
}

/// The same with leases, each done after it is logged.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressLeases {
    queue: JoinableConsumer<Item>,
    book: Fd,
}

impl Role for StressLeases {
    const NAME: &'static str = "test.stress-leases";
    fn run(self) -> RoleResult {
        let queue = self.queue;
        let mut book = File::from(self.book.into_owned()?);
        for lease in queue.iter() {
            let lease = lease?;
            lease.check()?;
            note(&mut book, [lease.putter, lease.number, lease.redelivered()])?;
            lease.task_done()?;
        }
        Ok(())
    }
}

/// An item as bytes: its putter, its number, and bytes that follow from both.
fn bytes_of(putter: u32, number: u32) -> Vec<u8> {
    let len = match number % 50 {
        0 => 200_000,
        1..5 => 5_000,
        _ => 8 + number as usize * 7 % 90,
    };
    let mut bytes = vec![(putter ^ number) as u8; len];
    bytes[..4].copy_from_slice(&putter.to_le_bytes());
    bytes[4..8].copy_from_slice(&number.to_le_bytes());
    bytes
}

/// Returns the putter and the number of an item that is whole.
fn checked(bytes: &[u8]) -> Result<[u32; 2], String> {
    let [putter, number] = [0, 4].map(|at| {
        let number = bytes.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        number.map_or(0, u32::from_le_bytes)
    });
    let is_whole = bytes == bytes_of(putter, number);
    if is_whole { Ok([putter, number]) } else { Err(format!("torn: {number} of {putter}")) }
}

/// As [`StressPuts`], with bytes that are copied, or written in place; some reservations are dropped.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressPutsBytes {
    queue: Option<Producer<[u8]>>,
    joinable: Option<JoinableProducer<[u8]>>,
    putter: u32,
    count: u32,
    book: Fd,
}

impl Role for StressPutsBytes {
    const NAME: &'static str = "test.stress-puts-bytes";
    fn run(self) -> RoleResult {
        let book = File::from(self.book.into_owned()?);
        for number in 0..self.count {
            let bytes = bytes_of(self.putter, number);
            match (&self.queue, &self.joinable) {
                (Some(queue), _) => put_bytes(queue, number, &bytes)?,
                (_, Some(queue)) => put_bytes(&**queue, number, &bytes)?,
                _ => {}
            }
            book.write_all_at(&(number + 1).to_le_bytes(), 0)?;
        }
        Ok(())
    }
}

fn put_bytes<A: Puts>(queue: &Queue<[u8], A>, number: u32, bytes: &[u8]) -> ipc_demo::Result<()> {
    if number.is_multiple_of(3) {
        return queue.put_bytes(bytes);
    }
    if number.is_multiple_of(7) {
        queue.reserve(bytes.len())?.fill(0xff);
    }
    let mut reservation = queue.reserve(bytes.len() + number as usize % 2 * 100)?;
    reservation.truncate(bytes.len());
    reservation.copy_from_slice(bytes);
    reservation.commit()
}

/// As [`StressGets`] and [`StressLeases`], with bytes that are copied, or read in place.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressGetsBytes {
    queue: Option<Consumer<[u8]>>,
    joinable: Option<JoinableConsumer<[u8]>>,
    book: Fd,
}

impl Role for StressGetsBytes {
    const NAME: &'static str = "test.stress-gets-bytes";
    fn run(self) -> RoleResult {
        let mut book = File::from(self.book.into_owned()?);
        let outcome = match (&self.queue, &self.joinable) {
            (Some(queue), _) => get_bytes(queue, &mut book),
            (_, Some(queue)) => lease_bytes(queue, &mut book),
            _ => Ok(()),
        };
        match outcome {
            Err(error) if matches!(error.downcast_ref(), Some(ipc_demo::Error::Disconnected)) => Ok(()),
            outcome => outcome,
        }
    }
}

fn get_bytes(queue: &Consumer<[u8]>, book: &mut File) -> RoleResult {
    let mut buffer = Vec::new();
    loop {
        queue.get_into(&mut buffer)?;
        let [putter, number] = checked(&buffer)?;
        note(book, [putter, number, 0])?;
        let first = queue.get_ref()?;
        let [putter, number] = checked(&first)?;
        note(book, [putter, number, 0])?;
        // Both are read at the same time. Nobody waits for an item while he has one: putters may need its memory.
        if let Some(second) = queue.try_get_ref()? {
            let [putter, number] = checked(&second)?;
            note(book, [putter, number, 0])?;
            checked(&first)?;
        }
    }
}

fn lease_bytes(queue: &JoinableConsumer<[u8]>, book: &mut File) -> RoleResult {
    loop {
        let lease = queue.get_ref()?;
        let [putter, number] = checked(&lease)?;
        note(book, [putter, number, lease.redelivered()])?;
        lease.task_done()?;
    }
}

/// A worker and its log.
pub(super) struct Booked {
    pub(super) process: Process,
    pub(super) book: File,
}

pub(super) fn booked(start: impl FnOnce(&Fd) -> Process) -> Booked {
    let book = Fd::new(tempfile::tempfile().expect("a file"));
    Booked { process: start(&book), book: File::from(book.into_owned().expect("a descriptor")) }
}

/// Interval between observations.
const LOOK: Duration = Duration::from_millis(5);
/// Consecutive observations without progress that make a stall, of 250 ms or more.
const LOOKS_OF_A_STALL: u32 = 50;

/// The watcher of a run.
#[derive(Default)]
struct Watch {
    /// Every worker that was ever started.
    workers: Mutex<Vec<Watched>>,
    /// The workers' states when they had made no progress for too long.
    stall: OnceLock<String>,
}

struct Watched {
    part: Part,
    pid: u32,
    book: File,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Puts,
    Gets,
}

impl Watch {
    /// Watches a worker from now on.
    fn over(&self, part: Part, worker: Booked) -> Booked {
        let book = worker.book.try_clone().expect("a descriptor to spare");
        let watched = Watched { part, pid: worker.process.pid(), book };
        self.workers.lock().expect("no panic").push(watched);
        worker
    }

    /// Observes until the run is over.
    fn look_on(&self, over: &Receiver<()>) {
        let (mut got, mut stuck) = (0, 0);
        while over.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
            let got_before = std::mem::replace(&mut got, self.bytes_got());
            let idle = if got == got_before { self.idle() } else { None };
            stuck = if idle.is_some() { stuck + 1 } else { 0 };
            if let Some(states) = idle.filter(|_| stuck > LOOKS_OF_A_STALL) {
                // Only the first stall is of interest.
                let _ = self.stall.set(states);
            }
        }
    }

    /// Returns the total length of the logs of all current and former getters.
    fn bytes_got(&self) -> u64 {
        let workers = self.workers.lock().expect("no panic");
        let books = workers.iter().filter(|worker| worker.part == Part::Gets).map(|worker| &worker.book);
        books.map(|book| book.metadata().expect("a file").len()).sum()
    }

    /// Returns the states of all living workers, if none is running or waiting only for a processor or a disk, and one
    /// of them puts: when all have put, getters wait for nothing but the end.
    fn idle(&self) -> Option<String> {
        let workers = self.workers.lock().expect("no panic");
        let states = workers.iter().map(|worker| (worker, states(worker.pid)));
        let living: Vec<_> =
            states.filter(|(_, states)| states.contains(|state| !matches!(state, 'Z' | 'X'))).collect();
        let is_busy = living.iter().any(|(_, states)| states.contains(['R', 'D']));
        let one_puts = living.iter().any(|(worker, _)| worker.part == Part::Puts);
        let line = |(worker, states): &(&Watched, String)| format!("{:?} {} {states}", worker.part, worker.pid);
        (one_puts && !is_busy).then(|| living.iter().map(line).collect::<Vec<_>>().join(", "))
    }

    /// Waits until a worker has succeeded, or the run has stalled, perhaps permanently.
    fn await_end(&self, seed: u64, process: &mut Process) {
        while process.join_timeout(LOOK).expect("a wait").is_none() {
            self.assert_no_stall(seed);
        }
        assert!(process.ended().is_some_and(Ended::is_success), "{:?}", process.ended());
    }

    fn assert_no_stall(&self, seed: u64) {
        assert_eq!(self.stall.get(), None, "seed {seed}: nobody gets anywhere");
    }
}

/// What happened in a run.
#[derive(Default)]
pub(super) struct Run {
    put: BTreeMap<u32, u32>,
    pub(super) got: Vec<Vec<Entry>>,
    killed_getters: usize,
}

impl Run {
    /// Returns how many items it has put.
    pub(super) fn close_putter(&mut self, number: u32, worker: Booked) -> u32 {
        let mut count = [0; 4];
        // A worker that was killed before its first put has an empty log.
        let _ = worker.book.read_exact_at(&mut count, 0);
        let count = u32::from_le_bytes(count);
        self.put.insert(number, count);
        count
    }

    /// Returns how many items all putters have put.
    pub(super) fn put_by_all(&self) -> u64 {
        self.put.values().map(|count| u64::from(*count)).sum()
    }

    fn close_getter(&mut self, worker: &Booked) {
        self.got.push(read_book(&worker.book));
    }

    /// Returns how many items were never got, after checking the order and that nothing came twice.
    pub(super) fn lost(&self) -> usize {
        let mut got: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        for book in &self.got {
            let mut last: BTreeMap<u32, u32> = BTreeMap::new();
            for [putter, number, redelivered] in book {
                got.entry((*putter, *number)).or_default().push(*redelivered);
                if *redelivered == 0
                    && let Some(last) = last.insert(*putter, *number)
                {
                    assert!(last < *number, "item {number} of {putter} after {last}");
                }
            }
        }
        for (item, times) in &mut got {
            times.sort_unstable();
            // A lease whose worker died between its log entry and `task_done` appears twice, and is marked as returned.
            assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "{item:?} came twice: {times:?}");
        }
        self.put
            .iter()
            .map(|(putter, count)| (0..*count).filter(|number| !got.contains_key(&(*putter, *number))).count())
            .sum()
    }
}

const PUTTERS: u32 = 4;
const GETTERS: usize = 4;

/// Runs `PUTTERS` x `GETTERS` workers with `kills` kills at random moments; killed workers are replaced.
fn stress(seed: u64, kills: u32, start_putter: impl Fn(u32) -> Booked, start_getter: impl Fn() -> Booked) -> Run {
    let watch = Watch::default();
    let (going_on, over) = mpsc::channel();
    thread::scope(|scope| {
        let watch = &watch;
        scope.spawn(move || watch.look_on(&over));
        let run = work(
            seed,
            kills,
            watch,
            move |number| watch.over(Part::Puts, start_putter(number)),
            || watch.over(Part::Gets, start_getter()),
        );
        watch.assert_no_stall(seed);
        drop(going_on);
        run
    })
}

fn work(
    seed: u64,
    kills: u32,
    watch: &Watch,
    start_putter: impl Fn(u32) -> Booked,
    start_getter: impl Fn() -> Booked,
) -> Run {
    let mut random = StdRng::seed_from_u64(seed);
    let mut run = Run::default();
    let mut next_putter = PUTTERS;
    let mut putters: Vec<(u32, Booked)> = (0..PUTTERS).map(|number| (number, start_putter(number))).collect();
    let mut getters: Vec<Booked> = (0..GETTERS).map(|_| start_getter()).collect();
    for _ in 0..kills {
        let victim = random.random_range(0..putters.len() + getters.len());
        let moment = Duration::from_micros(random.random_range(0..20_000));
        let process = match putters.get_mut(victim) {
            Some((_, putter)) => &mut putter.process,
            None => &mut getters[victim - PUTTERS as usize].process,
        };
        process.join_timeout(moment).expect("a wait");
        process.kill().expect("a signal");
        process.join().expect("it ends");
        if victim < putters.len() {
            let (number, dead) = std::mem::replace(&mut putters[victim], (next_putter, start_putter(next_putter)));
            run.close_putter(number, dead);
            next_putter += 1;
        } else {
            let dead = std::mem::replace(&mut getters[victim - PUTTERS as usize], start_getter());
            run.close_getter(&dead);
            run.killed_getters += 1;
        }
    }
    for (number, mut putter) in putters {
        watch.await_end(seed, &mut putter.process);
        run.close_putter(number, putter);
    }
    drop((start_putter, getters.len()));
    for mut getter in getters {
        watch.await_end(seed, &mut getter.process);
        run.close_getter(&getter);
    }
    run
}

fn stress_queue(seed: u64, count: u32, capacity: usize, kills: u32) {
    let queue = Queue::<Item>::bounded(capacity).expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let run = stress(
        seed,
        kills,
        move |putter| {
            booked(|book| {
                worker(
                    "putter",
                    StressPuts { queue: Some(producer.clone()), joinable: None, putter, count, book: book.clone() },
                )
            })
        },
        move || booked(|book| worker("getter", StressGets { queue: consumer.clone(), book: book.clone() })),
    );
    let lost = run.lost();
    assert!(lost <= run.killed_getters, "seed {seed}: {lost} lost by {} killed", run.killed_getters);
}

fn stress_joinable(seed: u64, count: u32, capacity: usize, kills: u32) {
    let queue = JoinableQueue::<Item>::builder().capacity(capacity).max_redeliveries(1000).build().expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let watcher = queue.producer();
    watcher.close();
    drop(queue);
    let run = stress(
        seed,
        kills,
        move |putter| {
            booked(|book| {
                worker(
                    "putter",
                    StressPuts { queue: None, joinable: Some(producer.clone()), putter, count, book: book.clone() },
                )
            })
        },
        move || booked(|book| worker("getter", StressLeases { queue: consumer.clone(), book: book.clone() })),
    );
    watcher.join().expect("every task was done");
    assert_eq!((run.lost(), watcher.dead_letter_count()), (0, 0), "seed {seed}");
}

/// Memory for a few of the longest items.
const BYTE_LIMIT: u64 = 1 << 20;

fn stress_bytes(seed: u64, count: u32, kills: u32) {
    let queue = Queue::<[u8]>::builder().byte_limit(BYTE_LIMIT).build().expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    drop(queue);
    let puts = move |putter| {
        booked(|book| {
            let queue = Some(producer.clone());
            worker("putter", StressPutsBytes { queue, joinable: None, putter, count, book: book.clone() })
        })
    };
    let gets = move || {
        booked(|book| {
            let queue = Some(consumer.clone());
            worker("getter", StressGetsBytes { queue, joinable: None, book: book.clone() })
        })
    };
    let run = stress(seed, kills, puts, gets);
    let lost = run.lost();
    // One that reads two items at a time has noted the first.
    assert!(lost <= run.killed_getters, "seed {seed}: {lost} lost by {} killed", run.killed_getters);
}

fn stress_joinable_bytes(seed: u64, count: u32, kills: u32) {
    let builder = JoinableQueue::<[u8]>::builder();
    let queue = builder.byte_limit(BYTE_LIMIT).max_redeliveries(1000).build::<[u8]>().expect("a queue");
    let (producer, consumer) = (queue.producer(), queue.consumer());
    let watcher = queue.producer();
    watcher.close();
    drop(queue);
    let puts = move |putter| {
        booked(|book| {
            let joinable = producer.clone();
            worker(
                "putter",
                StressPutsBytes { queue: None, joinable: Some(joinable), putter, count, book: book.clone() },
            )
        })
    };
    let gets = move || {
        booked(|book| {
            let joinable = Some(consumer.clone());
            worker("getter", StressGetsBytes { queue: None, joinable, book: book.clone() })
        })
    };
    let run = stress(seed, kills, puts, gets);
    watcher.join().expect("every task was done");
    assert_eq!((run.lost(), watcher.dead_letter_count()), (0, 0), "seed {seed}");
}

#[test]
fn stress_bytes_quiet_and_with_kills() {
    let _watchdog = watchdog("queue_stress::bytes");
    stress_bytes(1, 1_000, 0);
    stress_bytes(2, 1_000, 40);
    stress_joinable_bytes(3, 1_000, 0);
    stress_joinable_bytes(4, 1_000, 40);
}

#[test]
fn stress_queue_quiet_and_with_kills() {
    let _watchdog = watchdog("queue_stress::queue");
    for (seed, capacity) in [(1, 1), (2, 5), (3, 64)] {
        stress_queue(seed, 1_000, capacity, 0);
        stress_queue(seed, 1_000, capacity, 20);
    }
}

#[test]
fn stress_joinable_quiet_and_with_kills() {
    let _watchdog = watchdog("queue_stress::joinable");
    for (seed, capacity) in [(1, 1), (2, 5), (3, 64)] {
        stress_joinable(seed, 1_000, capacity, 0);
        stress_joinable(seed, 1_000, capacity, 20);
    }
}

/// cargo test --release --test it stress_million -- --ignored
#[test]
#[ignore = "takes minutes"]
fn stress_million() {
    for seed in 0..4 {
        stress_queue(seed, 250_000, 1024, 0);
        stress_queue(seed, 250_000, 1024, 200);
        stress_joinable(seed, 250_000, 1024, 0);
        stress_joinable(seed, 250_000, 1024, 200);
        stress_bytes(seed, 50_000, 200);
        stress_joinable_bytes(seed, 50_000, 200);
    }
}
