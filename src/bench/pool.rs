//! Tasks for a pool of workers, next to threads that take them from a channel.

use std::hint::black_box;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::queue::{Block, Load};
use super::workload::{Point, Sample, Workload};
use crate::RoleEntry;
use crate::pool::{Pool, Task};

pub(super) const ROLES: &[RoleEntry] = &[RoleEntry::of_task::<Computes>(), RoleEntry::of_task::<Makes>()];

/// How many tasks or results the channels between threads have room for.
const ROOM: usize = 4096;
const KIB_64: usize = 64 << 10;

type Outcome<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let computes = |name, about, busy_ns, workers: &[usize]| {
        let point = |workers: &usize| {
            let (workers, task) = (*workers, Computes { busy_ns });
            let point = Point::at(workers as u64)
                .ours("Pool", move |tasks| processes(task, workers, tasks))
                .baseline("threads", move |tasks| threads(task, workers, tasks));
            pythons(
                point,
                |way| json!({ "task": "pool", "way": way, "workers": workers, "busy_ns": busy_ns, "bytes": 0 }),
            )
        };
        Workload::growing(name, about, "workers", workers.iter().map(point).collect())
    };
    let makes = |workers: usize| {
        let point = Point::at(workers as u64)
            .ours("Pool", move |tasks| processes(Makes, workers, tasks))
            .baseline("threads", move |tasks| threads(Makes, workers, tasks));
        pythons(point, |way| json!({ "task": "pool", "way": way, "workers": workers, "busy_ns": 0, "bytes": KIB_64 }))
    };
    let starts = |workers: usize| {
        Point::at(workers as u64)
            .ours("Pool", move |starts| first_results(workers, starts))
            .python_named("mp.Pool", json!({ "task": "pool_start", "way": "map", "workers": workers }))
            .python_named("Executor", json!({ "task": "pool_start", "way": "executor", "workers": workers }))
    };
    vec![
        computes("pool", "a task with a result of 8 bytes that does nothing", 0, &[1, 2, 4]),
        computes("pool-10us", "a task of 10 us", 10_000, &[1, 2]),
        computes("pool-1ms", "a task of 1 ms", 1_000_000, &[1, 2]),
        Workload::growing("pool-64k", "a task with a result of 64 KiB", "workers", [1, 2].map(makes).into()),
        Workload::growing("pool-start", "start a pool, until its first result", "workers", [1, 4].map(starts).into()),
    ]
}

/// Adds the ways in which Python does many tasks: `Pool.map` with chunks and without, and `ProcessPoolExecutor.map`.
fn pythons(point: Point<'_>, task: impl Fn(&str) -> Value) -> Point<'_> {
    let named = [("Pool.map", "map"), ("chunk 1", "chunksize_1"), ("Executor", "executor")];
    named.into_iter().fold(point, |point, (name, way)| point.python_named(name, task(way)))
}

/// Is busy for a time, and returns its number.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Computes {
    busy_ns: u64,
}

impl Task for Computes {
    const NAME: &'static str = "bench.computes";
    type Input = u64;
    type Output = u64;

    fn run(&mut self, number: u64) -> Outcome<u64> {
        let begun = Instant::now();
        while self.busy_ns > 0 && (begun.elapsed().as_nanos() as u64) < self.busy_ns {}
        Ok(black_box(number))
    }
}

/// Makes 64 KiB.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Makes;

impl Task for Makes {
    const NAME: &'static str = "bench.makes";
    type Input = u64;
    type Output = Block;

    fn run(&mut self, number: u64) -> Outcome<Block> {
        Ok(Block::make(number, KIB_64))
    }
}

/// Runs tasks in a pool whose workers are ready.
fn processes<W: Task<Input = u64, Output: Load>>(task: W, workers: usize, tasks: u64) -> Result<Sample> {
    let pool = Pool::builder().workers(workers).build(task)?;
    for result in pool.map((0..workers as u64).map(|_| 0)) {
        result?;
    }
    let begun = Instant::now();
    let (mut results, mut sum) = (0, 0_u64);
    for (_, output) in pool.imap_unordered(0..tasks) {
        (results, sum) = (results + 1, sum.wrapping_add(output?.sum()));
    }
    let sample = Sample::since(begun, tasks);
    black_box(sum);
    ensure!(results == tasks, "{results} of {tasks} results came");
    Ok(sample)
}

/// Runs tasks in threads.
fn threads<W: Task<Input = u64, Output: Load>>(task: W, workers: usize, tasks: u64) -> Result<Sample> {
    let (submit, taken) = mpsc::sync_channel(ROOM);
    let (done, results) = mpsc::sync_channel(ROOM);
    // A std channel has one receiver.
    let taken = Mutex::new(taken);
    let taken = &taken;
    let begun = Instant::now();
    let (results, sum) = thread::scope(|scope| {
        for _ in 0..workers {
            let (done, mut task) = (done.clone(), task.clone());
            scope.spawn(move || {
                loop {
                    let next = taken.lock().expect("no thread panics").recv();
                    let Ok(number) = next else { return };
                    let Ok(output) = task.run(number) else { return };
                    if done.send(output).is_err() {
                        return;
                    }
                }
            });
        }
        drop(done);
        scope.spawn(move || (0..tasks).try_for_each(|number| submit.send(number)));
        results.iter().fold((0, 0_u64), |(results, sum), output| (results + 1, sum.wrapping_add(output.sum())))
    });
    let sample = Sample::since(begun, tasks);
    black_box(sum);
    ensure!(results == tasks, "{results} of {tasks} results came");
    Ok(sample)
}

/// Starts pools and waits for the result of one task in each. Their ends do not count.
fn first_results(workers: usize, starts: u64) -> Result<Sample> {
    let mut elapsed = Duration::ZERO;
    for _ in 0..starts {
        let begun = Instant::now();
        let pool = Pool::builder().workers(workers).build(Computes { busy_ns: 0 })?;
        ensure!(pool.submit(7)?.wait()? == 7, "another result came");
        elapsed += begun.elapsed();
    }
    Ok(Sample { operations: starts, elapsed, round_trips: None })
}
