//! Many workers on one queue on a server, while workers are killed, the server is killed or stopped, connections are cut,
//! and a machine loses its network, at random moments; every item is accounted for. And the faults that this must find.

use std::process::Command;
use std::time::Duration;

use ipc_demo::process::{Ended, Fd};
use ipc_demo::redis::{self, JoinableQueue, Queue};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::redis_queue::leaser;
use super::redis_workers::{AWAY, GetEnd, GetsInStorm, PutEnd, PutsInStorm, ROBBED, Source};
use super::stress::{Booked, Entry, Item, Run, booked};
use crate::harness::{patient_watchdog, skip, until, worker, worker_within};
use crate::manager::hosts::Network;
use crate::redis_server::RedisServer;
use crate::scenarios::redis::three_hosts;

/// What works on a queue.
#[derive(Debug, Clone, Copy)]
struct Plan {
    has_tasks: bool,
    putters: usize,
    getters: usize,
    /// Items that a putter puts, and all putters together.
    each: u32,
    all: u64,
    /// Items in a call.
    batch: u32,
    capacity: usize,
}

/// What a storm has by default: it goes on until it has had all its faults.
const ENDLESS: Plan =
    Plan { has_tasks: false, putters: 2, getters: 3, each: 400, all: u64::MAX, batch: 1, capacity: 16 };

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
    /// The other machine has no network for so long.
    CutNetwork(Duration),
}

impl Fault {
    fn random(random: &mut StdRng, has_machine: bool) -> Self {
        let ms = Duration::from_millis;
        match random.random_range(0..if has_machine { 120 } else { 100 }) {
            0..35 => Fault::KillGetter,
            35..60 => Fault::KillPutter,
            60..80 => Fault::CutConnections,
            80..92 => Fault::KillServer(ms(random.random_range(0..50))),
            92..94 => Fault::KillServer(ms(2000)),
            94..100 => Fault::StopServer(ms(random.random_range(0..300))),
            100..117 => Fault::CutNetwork(ms(random.random_range(0..300))),
            // Longer than a process may be silent.
            _ => Fault::CutNetwork(ms(2000)),
        }
    }
}

/// Another machine than that of the server, with a putter and a getter.
struct Machine {
    host: Network,
    others: [Network; 2],
}

impl Machine {
    const URL: &str = "redis://10.58.1.1";
    const NAME: &str = "storm";

    fn source<E>(has_tasks: bool) -> Source<E> {
        Source::Opened { url: Self::URL.to_owned(), name: Self::NAME.to_owned(), has_tasks }
    }
}

/// The workers of a storm.
struct Storm {
    seed: u64,
    random: StdRng,
    plan: Plan,
    server: RedisServer,
    machine: Option<Machine>,
    /// Until the end.
    ends: Option<(PutEnd, GetEnd)>,
    left_to_put: u64,
    next_putter: u32,
    putters: Vec<(u32, u32, Booked)>,
    getters: Vec<Booked>,
    run: Run,
    may_be_lost: usize,
}

impl Storm {
    /// Starts the workers; `None`, with a printed reason, if this machine cannot.
    fn start(seed: u64, plan: Plan, machine: Option<Machine>) -> Option<Self> {
        let options = ["--port", "6379", "--bind", "0.0.0.0", "--protected-mode", "no"];
        let server = match &machine {
            Some(machine) => RedisServer::start_within(&machine.host.entrance(), &options)?,
            None => RedisServer::start(&[])?,
        };
        let ends = ends(&server, plan, machine.is_some());
        let mut storm = Storm {
            seed,
            random: StdRng::seed_from_u64(seed),
            plan,
            server,
            machine,
            ends: Some(ends),
            left_to_put: plan.all,
            next_putter: 0,
            putters: Vec::new(),
            getters: Vec::new(),
            run: Run::default(),
            may_be_lost: 0,
        };
        (0..plan.putters).for_each(|_| storm.start_putter());
        (0..plan.getters).for_each(|_| storm.start_getter());
        Some(storm)
    }

    /// Every second putter and getter is on the other machine, if there is one.
    fn elsewhere(&self, number: usize) -> Option<Vec<String>> {
        self.machine.as_ref().filter(|_| number % 2 == 1).map(|machine| machine.others[0].entrance())
    }

    fn start_putter(&mut self) {
        let count = u64::from(self.plan.each).min(self.left_to_put) as u32;
        if count == 0 {
            return;
        }
        self.left_to_put -= u64::from(count);
        let elsewhere = self.elsewhere(self.next_putter as usize);
        let queue = match &elsewhere {
            Some(_) => Machine::source(self.plan.has_tasks),
            None => Source::Given(self.ends.as_ref().expect("until the end").0.clone()),
        };
        let (putter, batch) = (self.next_putter, self.plan.batch);
        let role = |book: &Fd| PutsInStorm { queue, putter, count, batch, book: book.clone() };
        let start = |book: &Fd| match elsewhere {
            Some(entrance) => worker_within(&entrance, "putter", role(book)),
            None => worker("putter", role(book)),
        };
        self.putters.push((putter, count, booked(start)));
        self.next_putter += 1;
    }

    fn start_getter(&mut self) {
        let elsewhere = self.elsewhere(self.run.got.len() + self.getters.len());
        let queue = match &elsewhere {
            Some(_) => Machine::source(self.plan.has_tasks),
            None => Source::Given(self.ends.as_ref().expect("until the end").1.clone()),
        };
        let (batch, may_be_robbed) = (self.plan.batch, elsewhere.is_some());
        let role = |book: &Fd| GetsInStorm { queue, batch, may_be_robbed, book: book.clone() };
        self.getters.push(booked(|book: &Fd| match elsewhere {
            Some(entrance) => worker_within(&entrance, "getter", role(book)),
            None => worker("getter", role(book)),
        }));
    }

    /// What a putter had not put is put by another.
    fn close_putter(&mut self, (number, count, putter): (u32, u32, Booked)) {
        let put = self.run.close_putter(number, putter);
        self.left_to_put = self.left_to_put.saturating_add(u64::from(count - put));
    }

    fn close_getter(&mut self, worker: &Booked) {
        let book: Vec<Entry> = super::stress::read_book(&worker.book);
        self.run.got.push(book);
    }

    /// Replaces the putters that have put everything.
    fn replace_putters(&mut self) {
        while let Some(ended) = self.putters.iter_mut().position(|(_, _, putter)| has_succeeded(self.seed, putter)) {
            let putter = self.putters.swap_remove(ended);
            self.close_putter(putter);
            self.start_putter();
        }
    }

    /// Lets the workers work for a random moment, and strikes.
    fn strike(&mut self) {
        let fault = Fault::random(&mut self.random, self.machine.is_some());
        let moment = Duration::from_micros(self.random.random_range(0..15_000));
        self.strike_with(fault, moment);
    }

    fn strike_with(&mut self, fault: Fault, moment: Duration) {
        let victim = self.random.random_range(0..1_usize << 20);
        self.replace_putters();
        self.getters[0].process.join_timeout(moment).expect("a wait");
        match fault {
            Fault::KillPutter if self.putters.is_empty() => {}
            Fault::KillPutter => {
                let mut dead = self.putters.swap_remove(victim % self.putters.len());
                dead.2.process.kill().expect("a signal");
                dead.2.process.join().expect("it ends");
                self.close_putter(dead);
                self.start_putter();
            }
            Fault::KillGetter => {
                let mut dead = self.getters.swap_remove(victim % self.getters.len());
                dead.process.kill().expect("a signal");
                dead.process.join().expect("it ends");
                self.close_getter(&dead);
                self.may_be_lost += self.plan.batch as usize;
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
            Fault::CutNetwork(away) => {
                let host = &self.machine.as_ref().expect("there is one").host;
                host.run("ip link set cable1 down").expect("a cable");
                std::thread::sleep(away);
                host.run("ip link set cable1 up").expect("a cable");
                // Whoever was declared dead meanwhile loses what was on its way.
                self.may_be_lost += self.plan.getters * self.plan.batch as usize;
            }
        }
    }

    /// Waits until all is put and got, and returns what went wrong; nothing if all is well.
    fn end(mut self) -> Result<(), String> {
        let seed = self.seed;
        for mut putter in std::mem::take(&mut self.putters) {
            await_end(seed, &mut putter.2)?;
            self.close_putter(putter);
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
        let may_be_lost = if joiner.is_some() { 0 } else { self.may_be_lost };
        if lost > may_be_lost {
            return Err(format!("seed {seed}: {lost} lost, of which {may_be_lost} may be"));
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

fn ends(server: &RedisServer, plan: Plan, is_named: bool) -> (PutEnd, GetEnd) {
    let server = server.server().timeout(AWAY);
    if plan.has_tasks {
        let builder = JoinableQueue::<Item>::builder(&server).capacity(plan.capacity).max_redeliveries(1000);
        let builder = if is_named { builder.name(Machine::NAME) } else { builder };
        let queue = builder.build::<Item>().expect("a queue");
        (PutEnd::Tasks(queue.producer()), GetEnd::Tasks(queue.consumer()))
    } else {
        let builder = Queue::<Item>::builder(&server).capacity(plan.capacity);
        let builder = if is_named { builder.name(Machine::NAME) } else { builder };
        let queue = builder.build::<Item>().expect("a queue");
        (PutEnd::Plain(queue.producer()), GetEnd::Plain(queue.consumer()))
    }
}

/// Strikes a queue with faults, and returns what went wrong.
fn storm(seed: u64, plan: Plan, faults: u32, machine: Option<Machine>) -> Result<(), String> {
    let Some(mut storm) = Storm::start(seed, plan, machine) else { return Ok(()) };
    (0..faults).for_each(|_| storm.strike());
    storm.end()
}

/// Returns a machine beside that of the server; `None`, with a printed reason, if none can be made.
fn machine() -> Option<Machine> {
    match three_hosts() {
        Ok((host, others)) => Some(Machine { host, others }),
        Err(reason) => {
            skip("netns", format!("cannot make network namespaces: {reason}"));
            None
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_in_a_storm() {
    let _watchdog = patient_watchdog("redis_storm::small");
    for (seed, batch) in [(0, 1), (1, 7)] {
        for has_tasks in [false, true] {
            let plan = Plan { has_tasks, batch, ..ENDLESS };
            storm(seed, plan, 10, None).unwrap_or_else(|wrong| panic!("{wrong}"));
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_when_a_machine_loses_its_network() {
    let _watchdog = patient_watchdog("redis_storm::network");
    let Some(machine) = machine() else { return };
    let plan = Plan { has_tasks: true, batch: 3, each: 200, ..ENDLESS };
    let Some(mut storm) = Storm::start(2, plan, Some(machine)) else { return };
    (0..6).for_each(|_| storm.strike());
    storm.end().unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// cargo test --release --test it redis_storm::five_hundred -- --ignored
#[test]
#[ignore = "takes minutes"]
fn five_hundred() {
    for seed in 0..20 {
        let plan = Plan { has_tasks: seed % 2 == 1, batch: [1, 7, 64][seed as usize % 3], ..ENDLESS };
        let machine = if seed % 4 < 2 { machine() } else { None };
        storm(seed, plan, 25, machine).unwrap_or_else(|wrong| panic!("{wrong}"));
    }
}

/// Puts all items of a plan, while workers are killed and connections are cut now and then.
fn all(seed: u64, plan: Plan) -> Result<(), String> {
    let Some(mut storm) = Storm::start(seed, plan, None) else { return Ok(()) };
    while storm.left_to_put > 0 {
        let pause = Duration::from_millis(storm.random.random_range(0..200));
        let fault = match Fault::random(&mut storm.random, false) {
            // A server that is started again reads all that was ever put.
            Fault::KillServer(_) => Fault::CutConnections,
            fault => fault,
        };
        storm.strike_with(fault, pause);
    }
    // What the killed ones had not put is put in the end.
    while !storm.putters.is_empty() {
        storm.replace_putters();
        if let Some((_, _, putter)) = storm.putters.first_mut() {
            putter.process.join_timeout(Duration::from_millis(20)).expect("a wait");
        }
    }
    let put = storm.run.put_by_all();
    assert_eq!(put, plan.all, "seed {seed}: all was put");
    storm.end()
}

const FOUR_BY_FOUR: Plan = Plan { putters: 4, getters: 4, batch: 64, capacity: 4096, ..ENDLESS };

#[test]
fn all_items_of_four_by_four_arrive() {
    let _watchdog = patient_watchdog("redis_storm::four_by_four");
    all(3, Plan { has_tasks: true, each: 1000, all: 8000, ..FOUR_BY_FOUR }).unwrap_or_else(|wrong| panic!("{wrong}"));
}

/// cargo test --release --test it redis_storm::a_million -- --ignored
#[test]
#[ignore = "takes minutes"]
fn a_million() {
    for has_tasks in [false, true] {
        all(4, Plan { has_tasks, each: 25_000, all: 1_000_000, ..FOUR_BY_FOUR })
            .unwrap_or_else(|wrong| panic!("{wrong}"));
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
    storm(seed, ENDLESS, 10, None).unwrap_or_else(|wrong| panic!("{wrong}"));
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
        (0..20).any(|seed| fails("long_tasks_outlive_a_server_that_is_away", "no-absence-rule", seed)),
        "living processes lose their leases when the server was away"
    );
}
