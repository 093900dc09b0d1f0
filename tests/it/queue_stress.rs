//! Many workers on one queue, half of the runs with random kills, and every item accounted for.
//!
//! Each worker keeps a book in a file of its own, which outlives it: who puts notes how many puts have returned, who gets
//! notes every item. An item that somebody has put and nobody has got is lost; a killed `get` may lose one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use ipc_demo::{
    Consumer, Inherited, JoinableConsumer, JoinableProducer, JoinableQueue, Process, Producer, Queue, Role, RoleResult,
    Slot,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::harness::{watchdog, worker};

/// Who put it, its number, and bytes that follow from both.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Item {
    putter: u32,
    number: u32,
    bytes: Vec<u8>,
}

impl Item {
    fn new(putter: u32, number: u32) -> Self {
        // Mostly small, at times larger than a chunk of a small queue.
        let len = if number.is_multiple_of(1000) { 10_000 } else { number as usize * 7 % 64 };
        Item { putter, number, bytes: vec![(putter ^ number) as u8; len] }
    }

    fn check(&self) -> Result<(), String> {
        let is_whole = self.bytes == Item::new(self.putter, self.number).bytes;
        if is_whole { Ok(()) } else { Err(format!("torn: {self:?}")) }
    }
}

/// A line in a getter's book: putter, number, how often it came back.
type Entry = [u32; 3];

fn note(book: &mut File, entry: Entry) -> std::io::Result<()> {
    book.write_all(entry.map(u32::to_le_bytes).as_flattened())
}

fn read_book(mut book: &File) -> Vec<Entry> {
    let mut bytes = Vec::new();
    book.rewind().expect("a file");
    book.read_to_end(&mut bytes).expect("a file");
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    bytes.chunks_exact(12).map(|line| [number(&line[..4]), number(&line[4..8]), number(&line[8..])]).collect()
}

/// Puts `count` items; the book says how many puts have returned.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressPuts {
    queue: Option<Slot<Producer<Item>>>,
    joinable: Option<Slot<JoinableProducer<Item>>>,
    putter: u32,
    count: u32,
    book: Slot<OwnedFd>,
}

impl Role for StressPuts {
    const NAME: &'static str = "test.stress-puts";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let queue = self.queue.map(|slot| inherited.take(slot)).transpose()?;
        let joinable = self.joinable.map(|slot| inherited.take(slot)).transpose()?;
        let book = File::from(inherited.take(self.book)?);
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

/// Gets items until there are no more; the book says which.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressGets {
    queue: Slot<Consumer<Item>>,
    book: Slot<OwnedFd>,
}

impl Role for StressGets {
    const NAME: &'static str = "test.stress-gets";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let queue = inherited.take(self.queue)?;
        let mut book = File::from(inherited.take(self.book)?);
        for item in queue.iter() {
            let item = item?;
            item.check()?;
            note(&mut book, [item.putter, item.number, 0])?;
        }
        Ok(())
    }
}

/// The same with leases, each done after it is in the book.
#[derive(Serialize, Deserialize)]
pub(crate) struct StressLeases {
    queue: Slot<JoinableConsumer<Item>>,
    book: Slot<OwnedFd>,
}

impl Role for StressLeases {
    const NAME: &'static str = "test.stress-leases";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let queue = inherited.take(self.queue)?;
        let mut book = File::from(inherited.take(self.book)?);
        for lease in queue.iter() {
            let lease = lease?;
            lease.check()?;
            note(&mut book, [lease.putter, lease.number, lease.redelivered()])?;
            lease.task_done()?;
        }
        Ok(())
    }
}

/// A worker and its book.
struct Booked {
    process: Process,
    book: File,
}

fn booked(start: impl FnOnce(&OwnedFd) -> Process) -> Booked {
    let book = OwnedFd::from(tempfile::tempfile().expect("a file"));
    Booked { process: start(&book), book: File::from(book) }
}

/// What happened in a run.
#[derive(Default)]
struct Run {
    put: BTreeMap<u32, u32>,
    got: Vec<Vec<Entry>>,
    killed_getters: usize,
}

impl Run {
    fn close_putter(&mut self, number: u32, worker: Booked) {
        let mut count = [0; 4];
        // One that was killed before its first put has an empty book.
        let _ = worker.book.read_exact_at(&mut count, 0);
        self.put.insert(number, u32::from_le_bytes(count));
    }

    fn close_getter(&mut self, worker: &Booked) {
        self.got.push(read_book(&worker.book));
    }

    /// How many items nobody got, after checking order and that nothing came twice.
    fn lost(&self) -> usize {
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
            // A lease whose taker died between its book and `task_done` shows twice, and says so.
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

/// Runs `PUTTERS` x `GETTERS` workers with `kills` kills at random moments; whoever is killed is replaced.
fn stress(seed: u64, kills: u32, start_putter: impl Fn(u32) -> Booked, start_getter: impl Fn() -> Booked) -> Run {
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
        let ended = putter.process.join().expect("it ends");
        assert!(ended.is_success(), "{ended:?}");
        run.close_putter(number, putter);
    }
    drop((start_putter, getters.len()));
    for mut getter in getters {
        let ended = getter.process.join().expect("it ends");
        assert!(ended.is_success(), "{ended:?}");
        run.close_getter(&getter);
    }
    run
}

fn stress_queue(seed: u64, count: u32, capacity: usize, kills: u32) {
    let queue = Queue::<Item>::bounded(capacity).expect("a queue");
    let (producer, consumer) = (queue.producer().expect("a handle"), queue.consumer().expect("a handle"));
    drop(queue);
    let run = stress(
        seed,
        kills,
        move |putter| {
            booked(|book| {
                worker("putter", |give| StressPuts {
                    queue: Some(give.share(&producer)),
                    joinable: None,
                    putter,
                    count,
                    book: give.share(book),
                })
            })
        },
        move || {
            booked(|book| worker("getter", |give| StressGets { queue: give.share(&consumer), book: give.share(book) }))
        },
    );
    let lost = run.lost();
    assert!(lost <= run.killed_getters, "seed {seed}: {lost} lost by {} killed", run.killed_getters);
}

fn stress_joinable(seed: u64, count: u32, capacity: usize, kills: u32) {
    let queue = JoinableQueue::<Item>::builder().capacity(capacity).max_redeliveries(1000).build().expect("a queue");
    let (producer, consumer) = (queue.producer().expect("a handle"), queue.consumer().expect("a handle"));
    let watcher = queue.producer().expect("a handle");
    watcher.close();
    drop(queue);
    let run = stress(
        seed,
        kills,
        move |putter| {
            booked(|book| {
                worker("putter", |give| StressPuts {
                    queue: None,
                    joinable: Some(give.share(&producer)),
                    putter,
                    count,
                    book: give.share(book),
                })
            })
        },
        move || {
            booked(|book| {
                worker("getter", |give| StressLeases { queue: give.share(&consumer), book: give.share(book) })
            })
        },
    );
    watcher.join().expect("every task was done");
    assert_eq!((run.lost(), watcher.dead_letter_count()), (0, 0), "seed {seed}");
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
    }
}
