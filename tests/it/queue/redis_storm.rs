//! Many workers on one queue on a server, while workers are killed, the server is killed or stopped, and connections are
//! cut, at random moments; every item is accounted for. And the faults that this must find.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use ipc_demo::process::{Ended, Fd};
use ipc_demo::redis::{self, JoinableConsumer, JoinableProducer, JoinableQueue, Queue, Server};
use ipc_demo::{Error, Role, RoleResult};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use super::redis_queue::leaser;
use super::stress::{Booked, Entry, Item, Run, booked, note};
use crate::harness::{patient_watchdog, until, worker};
use crate::redis_server::RedisServer;

const PUTTERS: u32 = 2;
const GETTERS: usize = 3;
/// In a log, in place of how often the item was returned: the lease was lost, although its holder lived.
const ROBBED: u32 = u32::MAX;

#[derive(Clone, Serialize, Deserialize)]
enum PutEnd {
    Plain(redis::Producer<Item>),
    Tasks(JoinableProducer<Item>),
}

#[derive(Clone, Serialize, Deserialize)]
enum GetEnd {
    Plain(redis::Consumer<Item>),
    Tasks(JoinableConsumer<Item>),
}

/// Puts `count` items; the log contains how many puts have returned.
#[derive(Serialize, Deserialize)]
pub(crate) struct PutsInStorm {
    queue: PutEnd,
    putter: u32,
    count: u32,
    book: Fd,
}

impl Role for PutsInStorm {
    const NAME: &'static str = "test.puts-in-storm";
    fn run(self) -> RoleResult {
        let book = File::from(self.book.into_owned()?);
        for number in 0..self.count {
            let item = Item::new(self.putter, number);
            match &self.queue {
                PutEnd::Plain(queue) => queue.put(item)?,
                PutEnd::Tasks(queue) => queue.put(item)?,
            }
            book.write_all_at(&(number + 1).to_le_bytes(), 0)?;
        }
        Ok(())
    }
}

/// Gets items until there are no more; the log contains them.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetsInStorm {
    queue: GetEnd,
    book: Fd,
}

impl Role for GetsInStorm {
    const NAME: &'static str = "test.gets-in-storm";
    fn run(self) -> RoleResult {
        let mut book = File::from(self.book.into_owned()?);
        match &self.queue {
            GetEnd::Plain(queue) => {
                for item in queue.iter() {
                    let item = item?;
                    item.check()?;
                    note(&mut book, [item.putter, item.number, 0])?;
                }
            }
            GetEnd::Tasks(queue) => {
                for lease in queue.iter() {
                    let lease = lease?;
                    lease.check()?;
                    let (putter, number) = (lease.putter, lease.number);
                    note(&mut book, [putter, number, lease.redelivered()])?;
                    match lease.task_done() {
                        Err(Error::LeaseLost { .. }) => note(&mut book, [putter, number, ROBBED])?,
                        done => drop(done?),
                    }
                }
            }
        }
        Ok(())
    }
}

/// What happens to a queue.
#[derive(Debug, Clone, Copy)]
enum Fault {
    KillPutter,
    KillGetter,
    CutConnections,
    /// The server is killed, and started again after this.
    KillServer(Duration),
    /// The server is stopped for so long.
    StopServer(Duration),
}

impl Fault {
    fn random(random: &mut StdRng) -> Self {
        let ms = Duration::from_millis;
        match random.random_range(0..100) {
            0..35 => Fault::KillGetter,
            35..60 => Fault::KillPutter,
            60..80 => Fault::CutConnections,
            80..92 => Fault::KillServer(ms(random.random_range(0..50))),
            92..94 => Fault::KillServer(ms(2000)),
            _ => Fault::StopServer(ms(random.random_range(0..300))),
        }
    }
}

/// The workers of a storm.
struct Storm {
    seed: u64,
    random: StdRng,
    server: RedisServer,
    /// Until the end.
    ends: Option<(PutEnd, GetEnd)>,
    items: u32,
    next_putter: u32,
    putters: Vec<(u32, Booked)>,
    getters: Vec<Booked>,
    run: Run,
}

impl Storm {
    fn new(seed: u64, server: RedisServer, ends: (PutEnd, GetEnd), items: u32) -> Self {
        let random = StdRng::seed_from_u64(seed);
        let (putters, getters, run) = (Vec::new(), Vec::new(), Run::default());
        let mut storm = Storm { seed, random, server, ends: Some(ends), items, next_putter: 0, putters, getters, run };
        (0..PUTTERS).for_each(|_| storm.start_putter());
        (0..GETTERS).for_each(|_| storm.start_getter());
        storm
    }

    fn start_putter(&mut self) {
        let queue = self.ends.as_ref().expect("until the end").0.clone();
        let (putter, count) = (self.next_putter, self.items);
        let start = |book: &Fd| worker("putter", PutsInStorm { queue, putter, count, book: book.clone() });
        self.putters.push((putter, booked(start)));
        self.next_putter += 1;
    }

    fn start_getter(&mut self) {
        let queue = self.ends.as_ref().expect("until the end").1.clone();
        self.getters.push(booked(|book: &Fd| worker("getter", GetsInStorm { queue, book: book.clone() })));
    }

    fn close_getter(&mut self, worker: &Booked) {
        let book: Vec<Entry> = super::stress::read_book(&worker.book);
        self.run.got.push(book);
    }

    /// Lets the workers work for a random moment, and strikes.
    fn strike(&mut self) {
        let fault = Fault::random(&mut self.random);
        let moment = Duration::from_micros(self.random.random_range(0..15_000));
        let victim = self.random.random_range(0..1 << 20);
        // Those that have put everything are replaced: there is always somebody who puts.
        while let Some(ended) = self.putters.iter_mut().position(|(_, putter)| has_succeeded(self.seed, putter)) {
            let (number, putter) = self.putters.swap_remove(ended);
            self.run.close_putter(number, putter);
            self.start_putter();
        }
        self.getters[0].process.join_timeout(moment).expect("a wait");
        match fault {
            Fault::KillPutter => {
                let (number, mut dead) = self.putters.swap_remove(victim % PUTTERS as usize);
                dead.process.kill().expect("a signal");
                dead.process.join().expect("it ends");
                self.run.close_putter(number, dead);
                self.start_putter();
            }
            Fault::KillGetter => {
                let mut dead = self.getters.swap_remove(victim % GETTERS);
                dead.process.kill().expect("a signal");
                dead.process.join().expect("it ends");
                self.close_getter(&dead);
                self.run.killed_getters += 1;
                self.start_getter();
            }
            Fault::CutConnections => drop(self.server.ask("CLIENT KILL TYPE normal SKIPME yes")),
            Fault::KillServer(away) => {
                self.server.kill();
                std::thread::sleep(away);
                self.server.restart();
            }
            Fault::StopServer(away) => {
                self.server.signal(Signal::SIGSTOP);
                std::thread::sleep(away);
                self.server.signal(Signal::SIGCONT);
            }
        }
    }

    /// Waits until all is put and got, and returns what went wrong; nothing if all is well.
    fn end(mut self) -> Result<(), String> {
        let seed = self.seed;
        for (number, mut putter) in std::mem::take(&mut self.putters) {
            await_end(seed, &mut putter)?;
            self.run.close_putter(number, putter);
        }
        let joiner = match self.ends.take() {
            Some((PutEnd::Tasks(queue), _)) => {
                queue.close();
                Some(queue)
            }
            _ => None,
        };
        for mut getter in std::mem::take(&mut self.getters) {
            await_end(seed, &mut getter)?;
            self.close_getter(&getter);
        }
        let robbed: usize = self.run.got.iter().flatten().filter(|entry| entry[2] == ROBBED).count();
        self.run.got.iter_mut().for_each(|book| book.retain(|entry| entry[2] != ROBBED));
        let lost = std::panic::catch_unwind(|| self.run.lost())
            .map_err(|_| format!("seed {seed}: came twice or in another order"))?;
        let may_be_lost = if joiner.is_some() { 0 } else { self.run.killed_getters };
        if lost > may_be_lost {
            return Err(format!("seed {seed}: {lost} lost by {may_be_lost} killed"));
        }
        if robbed > 0 {
            return Err(format!("seed {seed}: {robbed} leases of living processes were lost"));
        }
        match joiner {
            Some(joiner) => {
                joiner.join().map_err(|error| format!("seed {seed}: {error}"))?;
                let dead = joiner.dead_letter_count().map_err(|error| error.to_string())?;
                if dead == 0 { Ok(()) } else { Err(format!("seed {seed}: {dead} dead letters")) }
            }
            None => Ok(()),
        }
    }
}

fn has_succeeded(seed: u64, worker: &mut Booked) -> bool {
    let ended = worker.process.join_timeout(Duration::ZERO).expect("a wait").is_some();
    assert!(
        !ended || worker.process.ended().is_some_and(Ended::is_success),
        "seed {seed}: {:?}",
        worker.process.ended()
    );
    ended
}

fn await_end(seed: u64, worker: &mut Booked) -> Result<(), String> {
    worker.process.join().expect("it ends");
    let ended = worker.process.ended();
    if ended.is_some_and(Ended::is_success) { Ok(()) } else { Err(format!("seed {seed}: {ended:?}")) }
}

fn ends(server: &Server, has_tasks: bool, capacity: usize) -> (PutEnd, GetEnd) {
    if has_tasks {
        let builder = JoinableQueue::<Item>::builder(server).capacity(capacity).max_redeliveries(1000);
        let queue = builder.build::<Item>().expect("a queue");
        (PutEnd::Tasks(queue.producer()), GetEnd::Tasks(queue.consumer()))
    } else {
        let queue = Queue::<Item>::bounded(server, capacity).expect("a queue");
        (PutEnd::Plain(queue.producer()), GetEnd::Plain(queue.consumer()))
    }
}

/// Strikes a queue with faults, and returns what went wrong.
fn storm(seed: u64, has_tasks: bool, faults: u32) -> Result<(), String> {
    let Some(server) = RedisServer::start(&[]) else { return Ok(()) };
    let ends = ends(&server.server(), has_tasks, 16);
    let mut storm = Storm::new(seed, server, ends, 400);
    (0..faults).for_each(|_| storm.strike());
    storm.end()
}

#[test]
fn nothing_is_lost_or_doubled_in_a_storm() {
    let _watchdog = patient_watchdog("redis_storm::small");
    for seed in 0..2 {
        for has_tasks in [false, true] {
            storm(seed, has_tasks, 12).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
}

/// cargo test --release --test it redis_storm::five_hundred -- --ignored
#[test]
#[ignore = "takes minutes"]
fn five_hundred() {
    for seed in 0..20 {
        storm(seed, seed % 2 == 1, 25).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

#[test]
fn long_tasks_outlive_a_server_that_is_away() {
    let _watchdog = patient_watchdog("redis_storm::long_tasks");
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let queue = JoinableQueue::<u32>::new(&server.server()).expect("a queue");
    queue.put_many(&[1, 2, 3, 4]).expect("room");
    let leasers: Vec<_> = (0..4).map(|_| leaser(&queue, 1)).collect();
    server.kill();
    // Longer than a process may be silent.
    std::thread::sleep(Duration::from_secs(2));
    server.restart();
    let is_alive = |member: &redis::MemberInfo| matches!(member.life, redis::Life::Alive(_));
    let reached = || server.ask(&format!("HGET ipcq:{{{}}}:meta beat", queue.name()));
    let before = reached();
    // Everybody has been heard of again: with two beats of half a second each process has had its turn.
    until(|| reached() != before);
    until(|| {
        redis::show(&server.server(), queue.name())
            .is_ok_and(|info| info.members.len() == 5 && info.members.iter().all(is_alive))
    });
    leasers.into_iter().for_each(|leaser| leaser.finish());
    queue.join().expect("all is done");
}

/// A storm of cut connections, for a process with a deliberate fault.
#[test]
#[ignore = "a part of another test"]
fn one_storm() {
    let seed = std::env::var(SEED).expect("started by the other test").parse().expect("a number");
    storm(seed, false, 10).unwrap_or_else(|wrong| panic!("{wrong}"));
}

const SEED: &str = "IPC_DEMO_STORM";

/// Runs a test of this file in a process with a deliberate fault, and returns whether it fails.
fn fails(test: &str, failpoint: &str, seed: u64) -> bool {
    let mut this = Command::new(std::env::current_exe().expect("this program"));
    this.args([&format!("queue::redis_storm::{test}"), "--exact", "--include-ignored"]);
    this.env("IPC_DEMO_FAILPOINT", failpoint).env(SEED, seed.to_string());
    let output = this.output().expect("this program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("running 1 test"), "{said}");
    !output.status.success()
}

#[test]
fn storms_find_deliberate_faults() {
    let _watchdog = patient_watchdog("redis_storm::deliberate_faults");
    // Without debug assertions, the faults are not compiled.
    if !cfg!(debug_assertions) || RedisServer::start(&[]).is_none() {
        return;
    }
    assert!(
        (0..20).any(|seed| fails("one_storm", "no-sessions", seed)),
        "requests that are not recognised double items"
    );
    assert!(
        (0..5).any(|seed| fails("long_tasks_outlive_a_server_that_is_away", "no-absence-rule", seed)),
        "living processes lose their leases when the server was away"
    );
}
