//! Any tasks and any kills: each task has one result, and nothing is left behind.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use ipc_demo::pool::{DEFAULT_IN_FLIGHT, Task, TaskError, WorkerEvent};
use ipc_demo::process::ExitStatus;
use ipc_demo::{Role, RoleResult};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use serde::{Deserialize, Serialize};

use super::task::*;
use crate::harness::{children_of, patient_watchdog, until, watchdog, worker};

/// Runs random tasks with random kills in a process of its own, and leaves nothing behind in it.
#[derive(Serialize, Deserialize)]
pub(crate) struct RunsAnything {
    seeds: std::ops::Range<u64>,
}

impl Role for RunsAnything {
    const NAME: &'static str = "test.pool.anything";

    fn run(self) -> RoleResult {
        let left = || {
            let descriptors = std::fs::read_dir("/proc/self/fd").expect("a list").count();
            let maps = std::fs::read_to_string("/proc/self/maps").expect("a list");
            let shared = maps.lines().filter(|line| line.contains("memfd:ipc_demo")).count();
            let threads = std::fs::read_dir("/proc/self/task").expect("a list").count();
            (descriptors, shared, threads, children_of(std::process::id()))
        };
        // What a process has once.
        run_anything(self.seeds.start);
        let before = left();
        self.seeds.for_each(run_anything);
        // A thread that was joined may be listed for a moment.
        until(|| left() == before);
        Ok(())
    }
}

fn random_act(rng: &mut StdRng, number: u64) -> Act {
    match rng.random_range(0..60) {
        0 => Act::Panic,
        1 => Act::Abort,
        2 => Act::Exit(0),
        3 => Act::Exit(3),
        4 => Act::KillItself,
        5 if rng.random_range(0..5) == 0 => Act::Sleep,
        6 => Act::Text(rng.random_range(0..3 << 20)),
        7 => Act::Measure("z".repeat(rng.random_range(0..100_000))),
        8 => Act::Formless,
        9 => Act::ReturnFormless,
        10..15 => Act::Fail,
        _ => Act::Double(number),
    }
}

/// Returns whether this is a result of the task, if its worker may be killed at any time.
fn is_right(act: &Act, result: &Result<Output, TaskError>, retries: u32) -> bool {
    let died = match result {
        Err(TaskError::WorkerDied { status, attempts, .. }) if *attempts == retries + 1 => Some(*status),
        _ => None,
    };
    let is_killed = died == Some(ExitStatus::Signal(9));
    match (act, result) {
        (Act::Formless, Err(TaskError::Input(_))) => true,
        (Act::Formless, _) => false,
        // The limit is wall time.
        (_, Err(TaskError::TimedOut { .. })) => true,
        (Act::Exit(code), _) => is_killed || died == Some(ExitStatus::Code(*code)),
        (Act::Abort, _) => is_killed || died == Some(ExitStatus::Signal(6)),
        (Act::KillItself, _) => is_killed,
        (_, Err(TaskError::WorkerDied { .. })) => is_killed,
        (Act::Double(number), Ok(Output::Number(double))) => *double == 2 * number,
        (Act::Text(bytes), Ok(Output::Text(text))) => text.len() == *bytes,
        (Act::Measure(text), Ok(Output::Number(len))) => *len == text.len() as u64,
        (Act::Fail, Err(TaskError::Failed(_))) | (Act::Panic, Err(TaskError::Panicked(_))) => true,
        (Act::ReturnFormless, Err(TaskError::Output(_))) => true,
        _ => false,
    }
}

fn run_anything(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let (task, retries) = (Does::new(), rng.random_range(0..3));
    let last = task.last.clone();
    let pool = builder()
        .workers(rng.random_range(1..=8))
        .retries(retries)
        .time_limit(Duration::from_millis(300))
        .tasks_per_worker(rng.random_range(10..1000))
        .in_flight(1 << rng.random_range(0..10))
        .in_flight_bytes(4 << 20)
        .build(task)
        .expect("a pool");
    let acts: Vec<Act> = (0..rng.random_range(0..400)).map(|number| random_act(&mut rng, number)).collect();
    let (mode, kills) = (rng.random_range(0..3), rng.random_range(0..20));
    let pauses: Vec<u64> = (0..kills).map(|_| rng.random_range(0..300)).collect();
    let is_over = AtomicBool::new(false);
    let results: Vec<(usize, Result<Output, TaskError>)> = thread::scope(|scope| {
        scope.spawn(|| {
            let mut killed = 0;
            for pause in pauses {
                // Some time after another worker has begun a task, if there is another task.
                while last.get() == killed && !is_over.load(Relaxed) {
                    thread::yield_now();
                }
                (0..pause).for_each(|_| thread::yield_now());
                if is_over.load(Relaxed) {
                    break;
                }
                killed = kill_one(&pool, &last).unwrap_or(killed);
            }
        });
        let results = match mode {
            0 => pool.map(acts.clone()).into_iter().enumerate().collect(),
            1 => pool.imap(acts.clone()).enumerate().collect(),
            _ => {
                let mut results: Vec<_> = pool.imap_unordered(acts.clone()).collect();
                results.sort_unstable_by_key(|(index, _)| *index);
                results
            }
        };
        is_over.store(true, Relaxed);
        results
    });
    assert!(results.iter().map(|(index, _)| *index).eq(0..acts.len()), "seed {seed}: not one result each");
    for (act, (index, result)) in acts.iter().zip(&results) {
        assert!(is_right(act, result, retries), "seed {seed}, task {index}: {act:?} has the result {result:?}");
    }
}

fn anything(seeds: std::ops::Range<u64>) {
    let mut process = worker("anything", RunsAnything { seeds });
    let ended = process.join().expect("it ends");
    assert!(ended.is_success(), "{ended:?}");
}

#[test]
fn each_of_any_tasks_has_one_result_whatever_is_killed() {
    let _watchdog = watchdog("pool::any_tasks");
    anything(0..10);
}

#[test]
#[ignore = "takes minutes: cargo test --release --test it stress_any_tasks -- --ignored"]
fn stress_any_tasks() {
    let _watchdog = patient_watchdog("pool::stress_any_tasks");
    anything(100..300);
}

/// Runs this many tasks with this many kills of workers that have begun one.
fn many_tasks(tasks: u64, kills: u64) {
    let task = Does::new();
    let last = task.last.clone();
    let deaths = Arc::new(Mutex::new(0));
    let noted = Arc::clone(&deaths);
    let pool = builder().workers(3).retries(20).on_worker(move |event| {
        if matches!(event, WorkerEvent::Ended { ended, .. } if ended.status == ExitStatus::Signal(9)) {
            *noted.lock().expect("no panic") += 1;
        }
    });
    let pool = pool.build(task).expect("a pool");
    let (mut is_done, mut taken, mut killed) = (Vec::new(), 0, Vec::new());
    for (index, result) in pool.imap_unordered((0..).map(Act::Double)) {
        assert_eq!(number(result), 2 * index as u64);
        is_done.resize(is_done.len().max(index + 1), false);
        assert!(!std::mem::replace(&mut is_done[index], true), "task {index} has two results");
        taken += 1;
        // A worker that was killed may still be the last that has begun a task.
        let is_due = (killed.len() as u64) < kills.min(taken * kills / tasks) && !killed.contains(&last.get());
        if is_due && let Some(pid) = kill_one(&pool, &last) {
            killed.push(pid);
        }
        if taken >= tasks && killed.len() as u64 == kills {
            break;
        }
    }
    let missing = is_done.iter().filter(|is_done| !**is_done).count();
    assert!(missing <= DEFAULT_IN_FLIGHT, "{missing} tasks were begun before others that have results");
    pool.join();
    let deaths = *deaths.lock().expect("no panic");
    assert_eq!(deaths, killed.len(), "each kill is one death");
}

#[test]
fn many_tasks_survive_many_kills() {
    let _watchdog = watchdog("pool::many_tasks");
    many_tasks(50_000, 50);
}

#[test]
#[ignore = "takes a minute: cargo test --release --test it million_tasks -- --ignored"]
fn million_tasks_survive_a_thousand_kills() {
    let _watchdog = patient_watchdog("pool::million_tasks");
    many_tasks(1_000_000, 1000);
}

/// Returns twice its input, and does nothing else.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Doubles;

impl Task for Doubles {
    const NAME: &'static str = "test.pool.doubles";
    type Input = u64;
    type Output = u64;

    fn run(&mut self, number: u64) -> Outcome<u64> {
        Ok(2 * number)
    }
}

#[test]
#[ignore = "measures: cargo test --release --test it beside_rayon -- --ignored --nocapture"]
fn empty_tasks_beside_rayon() {
    const TASKS: u64 = 2_000_000;
    for workers in [1, 2, 4] {
        let ns_per_task = |run: &dyn Fn() -> u64| {
            let begun = Instant::now();
            assert_eq!(run(), TASKS * (TASKS - 1));
            begun.elapsed().as_nanos() as f64 / TASKS as f64
        };
        let (pool, sum) = (builder().workers(workers).build(Doubles).expect("a pool"), AtomicU64::new(0));
        let threads = rayon::ThreadPoolBuilder::new().num_threads(workers).build().expect("threads");
        let ours = || pool.imap_unordered(0..TASKS).map(|(_, result)| result.expect("a number")).sum();
        let spawned = || {
            let sum = &sum;
            threads.in_place_scope(|scope| {
                for number in 0..TASKS {
                    scope.spawn(move |_| _ = sum.fetch_add(2 * number, Relaxed));
                }
            });
            sum.swap(0, Relaxed)
        };
        let iterated = || threads.install(|| (0..TASKS).into_par_iter().map(|number| 2 * number).sum());
        let [ours, spawned, iterated] = [&ours as &dyn Fn() -> u64, &spawned, &iterated].map(ns_per_task);
        eprintln!("{workers} workers: Pool {ours:.1} ns, rayon spawn {spawned:.1} ns, par_iter {iterated:.2} ns");
    }
}
