//! Tasks through a queue that knows when all are done, next to a channel between threads with the same accounting.

use std::io::Write;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::queue::CAPACITY;
use super::start_barrier::{Participant, StartBarrier, join_all};
use super::workload::{Point, Sample, Workload};
use crate::queue::{JoinableConsumer, JoinableProducer};
use crate::{Error, JoinableQueue, Process, Role, RoleEntry, RoleResult};

pub(super) const ROLES: &[RoleEntry] = &[RoleEntry::of::<PutsTasks>(), RoleEntry::of::<DoesTasks>()];

pub(super) fn workload<'a>() -> Workload<'a> {
    let point = Point::only()
        .ours("JoinableQueue", processes)
        .baseline("channel, counter, condvar", threads)
        .python(json!({ "task": "joinable", "capacity": CAPACITY }));
    Workload::new("joinable", "put a u64, get it on a lease, mark it done; then join", point)
}

/// Puts tasks and waits until all are done.
#[derive(Serialize, Deserialize)]
struct PutsTasks {
    start: Participant,
    queue: JoinableProducer<u64>,
    tasks: u64,
}

impl Role for PutsTasks {
    const NAME: &'static str = "bench.puts-tasks";

    fn run(self) -> RoleResult {
        let queue = self.queue;
        let mut report = self.start.wait()?;
        for number in 0..self.tasks {
            queue.put(number).map_err(Error::from)?;
        }
        queue.join()?;
        Ok(report.write_all(&[1])?)
    }
}

/// Gets tasks and marks them as done, as long as there are any.
#[derive(Serialize, Deserialize)]
struct DoesTasks {
    start: Participant,
    queue: JoinableConsumer<u64>,
    tasks: u64,
}

impl Role for DoesTasks {
    const NAME: &'static str = "bench.does-tasks";

    fn run(self) -> RoleResult {
        let queue = self.queue;
        self.start.wait()?;
        let (mut tasks, mut sum) = (0, 0_u64);
        for lease in queue.iter() {
            let lease = lease?;
            (tasks, sum) = (tasks + 1, sum.wrapping_add(*lease));
            lease.task_done()?;
        }
        check(self.tasks, tasks, sum)
    }
}

/// Checks that each number below `expected` was a task once.
fn check(expected: u64, tasks: u64, sum: u64) -> RoleResult {
    let all = (0..expected).fold(0_u64, u64::wrapping_add);
    if (tasks, sum) == (expected, all) { Ok(()) } else { Err(format!("{tasks} of {expected} tasks came").into()) }
}

fn processes(tasks: u64) -> Result<Sample> {
    let queue = JoinableQueue::<u64>::bounded(CAPACITY)?;
    let start = StartBarrier::new()?;
    let does = DoesTasks { start: start.participant(), queue: queue.consumer(), tasks };
    let puts = PutsTasks { start: start.participant(), queue: queue.producer(), tasks };
    drop(queue);
    let workers = [Process::spawn("does", does)?, Process::spawn("puts", puts)?];
    let (begun, mut report) = start.open(workers.len())?;
    std::io::Read::read_exact(&mut report, &mut [0]).context("the tasks are done")?;
    let sample = Sample::since(begun, tasks);
    join_all(workers)?;
    Ok(sample)
}

fn threads(tasks: u64) -> Result<Sample> {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    let (unfinished, all_done) = (Mutex::new(0_u64), Condvar::new());
    let count = || unfinished.lock().expect("no thread panics");
    let begun = Instant::now();
    thread::scope(|scope| {
        let done = scope.spawn(|| {
            let (mut tasks_done, mut sum) = (0, 0_u64);
            for number in receiver {
                (tasks_done, sum) = (tasks_done + 1, sum.wrapping_add(number));
                let mut unfinished = count();
                *unfinished -= 1;
                if *unfinished == 0 {
                    all_done.notify_all();
                }
            }
            check(tasks, tasks_done, sum).map_err(|error| anyhow::anyhow!(error))
        });
        for number in 0..tasks {
            *count() += 1;
            sender.send(number)?;
        }
        drop(all_done.wait_while(count(), |unfinished| *unfinished > 0).expect("no thread panics"));
        let sample = Sample::since(begun, tasks);
        drop(sender);
        done.join().expect("no panic")?;
        Ok(sample)
    })
}
