//! Pools: each task has exactly one result, whatever becomes of its worker, and nothing is left behind.

use std::cell::Cell;
use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ipc_demo::pool::{Builder, DEFAULT_IN_FLIGHT, Pool, Task, TaskError, WorkerEvent};
use ipc_demo::process::{ExitStatus, Fd};
use ipc_demo::{Error, Lock, Role, RoleEntry, RoleResult, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::harness::{
    arrive, await_end, await_word, children_of, is_running, meeting_point, patient_watchdog, send, stop, until,
    watchdog, worker,
};

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What one task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Returns twice the number.
    Double(u64),
    Fail,
    Panic,
    Abort,
    Exit(i32),
    KillItself,
    /// As often as the counter says, and then returns.
    DieTimes,
    Sleep,
    /// Returns this many bytes.
    Text(usize),
    /// Returns the length of the text.
    Measure(String),
    /// Cannot be serialised.
    #[serde(skip)]
    Formless,
    /// Cannot be read.
    Unreadable(Unreadable),
    /// Returns a text that cannot be serialised.
    ReturnFormless,
    Pid,
    /// Arrives at the meeting point, and waits for its end.
    Meet(u8),
    /// Increments a counter under a lock.
    Count,
    Setups,
}

/// Can be written, and not read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody can read this"))
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Output {
    Number(u64),
    Text(String),
    #[serde(skip)]
    Formless,
}

/// Does what its inputs say.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Does {
    deaths_left: Value<i32>,
    count: Value<u64>,
    /// The process that has begun a task last, so that it can be killed in the middle of one.
    last: Value<u32>,
    lock: Lock,
    here: Option<Fd>,
    until: Option<Fd>,
    set_ups: u64,
}

impl Does {
    fn new() -> Self {
        Does {
            deaths_left: Value::new(0).expect("a value"),
            count: Value::new(0).expect("a value"),
            last: Value::new(0).expect("a value"),
            lock: Lock::new().expect("a lock"),
            here: None,
            until: None,
            set_ups: 0,
        }
    }

    fn dying(times: i32) -> Self {
        Does { deaths_left: Value::new(times).expect("a value"), ..Does::new() }
    }
}

impl Task for Does {
    const NAME: &'static str = "test.pool.does";
    type Input = Act;
    type Output = Output;

    fn set_up(&mut self) -> RoleResult {
        self.set_ups += 1;
        Ok(())
    }

    fn run(&mut self, act: Act) -> Outcome<Output> {
        self.last.set(std::process::id());
        Ok(Output::Number(match act {
            Act::Double(number) => 2 * number,
            Act::Fail => Err(File::open("/nonexistent").expect_err("there is none"))?,
            Act::Panic => panic!("a task that went wrong"),
            Act::Abort => std::process::abort(),
            Act::Exit(code) => std::process::exit(code),
            Act::KillItself => {
                send(std::process::id(), Signal::SIGKILL);
                unreachable!("it was killed")
            }
            Act::DieTimes => {
                if self.deaths_left.update(|left| left - 1)? >= 0 {
                    std::process::abort();
                }
                7
            }
            Act::Sleep => loop {
                thread::park();
            },
            Act::Text(bytes) => return Ok(Output::Text("x".repeat(bytes))),
            Act::Measure(text) => text.len() as u64,
            Act::Formless | Act::Unreadable(_) => unreachable!("it cannot arrive"),
            Act::ReturnFormless => return Ok(Output::Formless),
            Act::Pid => u64::from(std::process::id()),
            Act::Meet(byte) => {
                arrive(self.here.as_ref().expect("a meeting point"), byte);
                let word = await_word(self.until.as_ref().expect("its other side"));
                word.map_or(u64::from(std::process::id()), u64::from)
            }
            Act::Count => {
                let _guard = self.lock.acquire()?;
                let now = self.count.get();
                self.count.set(now + 1);
                now
            }
            Act::Setups => self.set_ups,
        }))
    }
}

/// Returns a builder whose workers are this test program.
fn builder() -> Builder {
    let null = File::options().write(true).open("/dev/null").expect("there is a null device");
    Pool::builder().program("/proc/self/exe", &["worker_entry", "--exact", "--test-threads=1"]).stdout(Fd::new(null))
}

fn pool(workers: usize, task: Does) -> Pool<Does> {
    builder().workers(workers).build(task).expect("a pool")
}

fn doubles(numbers: std::ops::Range<u64>) -> impl ExactSizeIterator<Item = Act> {
    numbers.collect::<Vec<_>>().into_iter().map(Act::Double)
}

fn number(result: Result<Output, TaskError>) -> u64 {
    match result {
        Ok(Output::Number(number)) => number,
        other => panic!("no number: {other:?}"),
    }
}

#[test]
fn smoke() {
    let _watchdog = watchdog("pool::smoke");
    let pool = pool(2, Does::new());
    assert_eq!(number(pool.submit(Act::Double(21)).expect("it is accepted").wait()), 42);
    let results: Vec<u64> = pool.map(doubles(0..10_000)).into_iter().map(number).collect();
    assert!(results.into_iter().eq((0..10_000).map(|number| 2 * number)));
    assert!(pool.imap(doubles(0..1000)).map(number).eq((0..1000).map(|number| 2 * number)));
    let mut seen: Vec<(usize, u64)> = pool.imap_unordered(doubles(0..1000)).map(|(at, it)| (at, number(it))).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq((0..1000).map(|at| (at, 2 * at as u64))));
    assert_eq!(pool.map([]).len(), 0);
    assert!(pool.imap([]).next().is_none());
}

/// Kills the worker that has begun a task last, if it is one of the pool's. Returns its process id.
fn kill_one(pool: &Pool<Does>, last: &Value<u32>) -> Option<u32> {
    let last = last.get();
    // Until it is buried, nobody else has its process id.
    let is_there = pool.workers().iter().any(|(_, pid)| *pid == last);
    (is_there && kill(Pid::from_raw(last as i32), Signal::SIGKILL).is_ok()).then_some(last)
}

/// One bad task among eleven good ones: the good ones are right, and the bad one has the error.
fn one_bad(act: &Act) -> TaskError {
    let pool = pool(2, Does::new());
    let inputs = (0..12).map(|index| if index == 5 { act.clone() } else { Act::Double(index) });
    let mut results = pool.map(inputs);
    let bad = results.remove(5).expect_err("it has no output");
    let wanted = (0..12).filter(|index| *index != 5).map(|index| 2 * index);
    assert!(results.into_iter().map(number).eq(wanted), "{act:?}");
    bad
}

#[test]
fn death_costs_the_task_that_was_running() {
    let _watchdog = watchdog("pool::death_costs_the_task");
    for (act, wanted) in [
        (Act::KillItself, ExitStatus::Signal(9)),
        (Act::Abort, ExitStatus::Signal(6)),
        (Act::Exit(3), ExitStatus::Code(3)),
        (Act::Exit(0), ExitStatus::Code(0)),
    ] {
        let TaskError::WorkerDied { worker, status, attempts } = one_bad(&act) else { panic!("{act:?}") };
        assert_eq!((status, attempts), (wanted, 2), "{act:?}");
        assert!(worker.starts_with("worker-"), "{worker}");
    }
}

#[test]
fn failures_are_results() {
    let _watchdog = watchdog("pool::failures_are_results");
    let TaskError::Failed(failure) = one_bad(&Act::Fail) else { panic!("it fails") };
    assert!(failure.message.contains("No such file") && failure.worker.starts_with("worker-"), "{failure}");
    let TaskError::Panicked(failure) = one_bad(&Act::Panic) else { panic!("it panics") };
    assert!(failure.message == "a task that went wrong", "{failure}");
    assert!(failure.location.as_ref().is_some_and(|location| location.contains("pool.rs:")), "{failure}");
    for (act, is_input) in [(Act::Formless, true), (Act::Unreadable(Unreadable), true), (Act::ReturnFormless, false)] {
        let error = one_bad(&act);
        let is_right = matches!((&error, is_input), (TaskError::Input(_), true) | (TaskError::Output(_), false));
        assert!(is_right, "{act:?}: {error:?}");
    }
}

#[test]
fn task_is_tried_again_as_often_as_was_asked_for() {
    let _watchdog = watchdog("pool::tried_again");
    for (retries, deaths) in [(0, 0), (1, 1), (3, 3), (0, 1), (1, 2), (3, 4)] {
        let pool = builder().workers(2).retries(retries).build(Does::dying(deaths)).expect("a pool");
        let result = pool.map([Act::DieTimes]).pop().expect("one result");
        if deaths <= retries as i32 {
            assert_eq!(number(result), 7);
        } else {
            let Err(TaskError::WorkerDied { attempts, .. }) = result else { panic!("{result:?}") };
            assert_eq!(attempts, retries + 1);
        }
    }
}

#[test]
fn killed_idle_worker_costs_nothing_and_is_replaced() {
    let _watchdog = watchdog("pool::killed_idle_worker");
    let pool = pool(2, Does::new());
    for _ in 0..3 {
        let before = pool.workers();
        // Both have booted once each has run a task.
        let both: Vec<u64> = pool.map([Act::Pid, Act::Pid]).into_iter().map(number).collect();
        before.iter().for_each(|(_, pid)| send(*pid, Signal::SIGKILL));
        assert!(pool.map(doubles(0..100)).into_iter().map(number).eq((0..100).map(|number| 2 * number)), "{both:?}");
        let after = pool.workers();
        assert!(after.iter().all(|(name, _)| before.iter().all(|(dead, _)| dead != name)), "{before:?}, {after:?}");
    }
}

#[test]
fn time_limit_ends_a_task_and_no_other() {
    let _watchdog = watchdog("pool::time_limit");
    let pool = builder().workers(2).time_limit(Duration::from_millis(200)).build(Does::new()).expect("a pool");
    let inputs = (0..40).map(|index| if index % 10 == 3 { Act::Sleep } else { Act::Double(index) });
    for (index, result) in pool.map(inputs).into_iter().enumerate() {
        match result {
            Err(TaskError::TimedOut { worker }) if index % 10 == 3 => assert!(worker.starts_with("worker-")),
            result => assert_eq!(number(result), 2 * index as u64),
        }
    }
}

#[test]
fn room_that_comes_without_a_result_is_used() {
    let _watchdog = watchdog("pool::room_without_a_result");
    let builder = builder().workers(1).in_flight(1).time_limit(Duration::from_millis(50));
    let mut results = builder.build(Does::new()).expect("a pool").map([Act::Sleep, Act::Sleep, Act::Double(1)]);
    assert_eq!(number(results.pop().expect("three")), 2);
    assert!(results.iter().all(|result| matches!(result, Err(TaskError::TimedOut { .. }))));
}

#[test]
fn stopped_worker_loses_its_task_to_the_limit_and_holds_up_no_other() {
    let _watchdog = watchdog("pool::stopped_worker");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = builder().workers(2).time_limit(Duration::from_secs(2)).build(task).expect("a pool");
    let mut stopped = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    let busy = number(pool.submit(Act::Pid).expect("it is accepted").wait()) as u32;
    let other = pool.workers().into_iter().map(|(_, pid)| pid).find(|pid| *pid != busy).expect("two workers");
    stop(other);
    assert_eq!(pool.map(doubles(0..1000)).into_iter().map(number).count(), 1000);
    assert!(stopped.wait_timeout(Duration::ZERO).is_none(), "it is stopped in the middle");
    assert!(matches!(stopped.wait(), Err(TaskError::TimedOut { .. })));
    await_end(other);
    drop(release);
}

#[test]
fn cancelled_task_stops_while_it_runs_or_waits() {
    let _watchdog = watchdog("pool::cancelled_task");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let pool = pool(1, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let mut waiting = pool.submit(Act::Double(1)).expect("it is accepted");
    let mut last = pool.submit(Act::Double(2)).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    let (_, pid) = pool.workers().pop().expect("a worker");
    assert!(waiting.cancel() && waiting.cancel(), "again is no error");
    assert!(matches!(waiting.wait(), Err(TaskError::Cancelled)));
    assert!(running.wait_timeout(Duration::from_millis(1)).is_none());
    assert!(running.cancel());
    assert!(matches!(running.wait(), Err(TaskError::Cancelled)));
    await_end(pid);
    assert_eq!(number(last.wait()), 4, "another worker does the rest");
    assert!(!last.cancel(), "it has its result");
    assert_eq!(number(last.wait()), 4);
    drop(release);
}

#[test]
fn cancelled_tasks_leave_no_trace_in_a_busy_pool() {
    let _watchdog = watchdog("pool::cancelled_tasks");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = builder().workers(1).in_flight(8).build(task).expect("a pool");
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    for number in 0..1000 {
        let job = pool.submit(Act::Double(number)).expect("it is accepted");
        assert!(job.cancel());
    }
    let mut last = pool.submit(Act::Double(4)).expect("it is accepted");
    drop(release);
    assert!(number(running.wait()) > 1);
    assert_eq!(number(last.wait()), 8);
}

#[test]
fn workers_are_replaced_after_their_tasks() {
    let _watchdog = watchdog("pool::tasks_per_worker");
    for workers in [1, 2] {
        let pool = builder().workers(workers).tasks_per_worker(3).build(Does::new()).expect("a pool");
        let mut pids: Vec<u64> = pool.imap((0..12).map(|_| Act::Pid)).map(number).collect();
        pids.sort_unstable();
        assert!(pids.chunk_by(|one, other| one == other).all(|tasks| tasks.len() <= 3), "{pids:?}");
    }
}

#[test]
fn value_is_new_after_a_panic_and_its_worker_is_not() {
    let _watchdog = watchdog("pool::value_is_new");
    let pool = pool(1, Does::new());
    let mut results = pool.map([Act::Pid, Act::Setups, Act::Panic, Act::Setups, Act::Pid]);
    let pid = number(results.remove(0));
    assert_eq!(number(results.pop().expect("five")), pid);
    assert_eq!(number(results.pop().expect("four")), 1, "a new clone was set up");
    assert!(matches!(results.pop(), Some(Err(TaskError::Panicked(_)))));
    assert_eq!(number(results.pop().expect("two")), 1);
}

/// How a set-up goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum SetUp {
    Fails,
    Panics,
    Exits,
    Dies,
    /// Only this often.
    FailsFirst,
}

/// Cannot be set up.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NeverReady {
    how: SetUp,
    tries: Value<u32>,
}

impl Task for NeverReady {
    const NAME: &'static str = "test.pool.never-ready";
    type Input = u64;
    type Output = u64;

    fn set_up(&mut self) -> RoleResult {
        let tries = self.tries.update(|tries| tries + 1)?;
        match self.how {
            SetUp::Fails => Err("there is no model to load".into()),
            SetUp::Panics => panic!("a model that went wrong"),
            SetUp::Exits => std::process::exit(3),
            SetUp::Dies => std::process::abort(),
            SetUp::FailsFirst if tries < 2 => Err("not yet".into()),
            SetUp::FailsFirst => Ok(()),
        }
    }

    fn run(&mut self, input: u64) -> Outcome<u64> {
        Ok(input)
    }
}

#[test]
fn set_up_that_fails_is_told_by_every_task_and_not_tried_for_ever() {
    let _watchdog = watchdog("pool::set_up_that_fails");
    for (how, words) in [
        (SetUp::Fails, "there is no model to load"),
        (SetUp::Panics, "a model that went wrong"),
        (SetUp::Exits, "exit code 3"),
        (SetUp::Dies, "SIGABRT"),
    ] {
        for workers in [1, 2] {
            let tries = Value::new(0).expect("a value");
            let task = NeverReady { how, tries: tries.clone() };
            let pool = builder().workers(workers).build(task).expect("the processes exist");
            for result in pool.map(0..20) {
                let Err(TaskError::NoWorkers { last_words }) = result else { panic!("{how:?}: {result:?}") };
                assert!(last_words.contains(words), "{how:?}: {last_words}");
            }
            let is_refused = matches!(pool.submit(1), Err(TaskError::NoWorkers { .. }));
            assert!(is_refused && (3..=4).contains(&tries.get()), "{how:?}: {} tries", tries.get());
            pool.join();
            assert!(pool.workers().is_empty());
        }
    }
}

#[test]
fn set_up_that_fails_at_first_is_tried_again() {
    let _watchdog = watchdog("pool::set_up_at_first");
    let task = NeverReady { how: SetUp::FailsFirst, tries: Value::new(0).expect("a value") };
    let pool = builder().workers(1).build(task).expect("a pool");
    assert!(pool.map(0..20).into_iter().eq((0..20).map(Ok)));
}

#[test]
fn unknown_program_is_told_by_every_task() {
    let _watchdog = watchdog("pool::unknown_program");
    let pool = Pool::builder().workers(2).program("/bin/true", &[]).build(Does::new()).expect("the processes exist");
    for result in pool.map(doubles(0..3)) {
        let Err(TaskError::NoWorkers { last_words }) = result else { panic!("{result:?}") };
        assert!(last_words.contains("never entered the role"), "{last_words}");
    }
}

/// Runs a pool of its own for each input.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Nests;

impl Task for Nests {
    const NAME: &'static str = "test.pool.nests";
    type Input = u64;
    type Output = u64;

    fn run(&mut self, input: u64) -> Outcome<u64> {
        let inner = pool(2, Does::new());
        Ok(inner.map(doubles(0..input)).into_iter().map(number).sum())
    }
}

#[test]
fn worker_has_a_pool_of_its_own() {
    let _watchdog = watchdog("pool::nested");
    let pool = builder().workers(2).build(Nests).expect("a pool");
    assert!(pool.map([3, 10, 100]).into_iter().eq([6, 90, 9900].map(Ok)));
}

#[test]
fn primitives_work_in_a_task() {
    let _watchdog = watchdog("pool::primitives");
    let task = Does::new();
    let count = task.count.clone();
    let pool = pool(3, task);
    let mut seen: Vec<u64> = pool.map((0..500).map(|_| Act::Count)).into_iter().map(number).collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..500) && count.get() == 500);
}

#[test]
fn long_inputs_and_outputs_arrive() {
    let _watchdog = watchdog("pool::long_inputs");
    let pool = builder().workers(2).in_flight_bytes(1 << 20).build(Does::new()).expect("a pool");
    for len in [0, 20, 33, 39, 40, 41, 47, 48, 49, 1000, 100_000, (1 << 20) - 100] {
        let text = "y".repeat(len);
        let results = pool.map((0..40).map(|_| Act::Measure(text.clone())));
        assert!(results.into_iter().map(number).all(|found| found == len as u64), "{len}");
        for result in pool.imap((0..40).map(|_| Act::Text(len))) {
            assert!(matches!(result, Ok(Output::Text(text)) if text == "x".repeat(len)), "{len}");
        }
    }
    let too_long = pool.map([Act::Measure("y".repeat(1 << 20)), Act::Text(1 << 20), Act::Double(1)]);
    assert!(matches!(&too_long[0], Err(TaskError::Input(_))), "{:?}", too_long[0]);
    assert!(matches!(&too_long[1], Err(TaskError::Output(_))), "{:?}", too_long[1]);
    assert!(too_long[2].is_ok());
}

#[test]
fn endless_input_is_drawn_as_results_are_taken() {
    let _watchdog = watchdog("pool::endless_input");
    let drawn = Cell::new(0_u64);
    let endless = || {
        std::iter::repeat_with(|| {
            drawn.set(drawn.get() + 1);
            Act::Double(drawn.get())
        })
    };
    let pool = pool(2, Does::new());
    let mut results = pool.imap(endless());
    assert_eq!(drawn.get(), 0, "nothing is drawn before it is asked for");
    for taken in 1..=20_000 {
        assert_eq!(number(results.next().expect("it is endless")), 2 * taken);
        assert!(drawn.get() - taken <= 4096 + 64, "{} drawn, {taken} taken", drawn.get());
    }
    drop(results);
    drawn.set(0);
    assert!(pool.imap_unordered(endless()).take(20_000).all(|(_, result)| number(result) > 0));
    assert!(drawn.get() <= 20_000 + 4096 + 64);
    assert!(pool.map([Act::Double(1)]).pop().is_some_and(|result| result.is_ok()), "the rest was withdrawn");
}

#[test]
fn results_that_nobody_takes_are_bounded_in_bytes() {
    let _watchdog = watchdog("pool::bounded_in_bytes");
    let drawn = Cell::new(0_u64);
    let pool = builder().workers(2).in_flight_bytes(1 << 20).build(Does::new()).expect("a pool");
    // The first is slow, so all others wait for it.
    let inputs = (0..).map(|index: u64| {
        drawn.set(index);
        if index == 0 { Act::Pid } else { Act::Text(100_000) }
    });
    let mut results = pool.imap(inputs);
    results.next();
    for _ in 0..200 {
        assert!(results.next().is_some_and(|result| result.is_ok()));
    }
    assert!(drawn.get() < 200 + 150, "{} drawn", drawn.get());
}

#[test]
fn iterators_know_how_many_results_are_left() {
    let _watchdog = watchdog("pool::size_hint");
    let pool = pool(2, Does::new());
    let mut results = pool.imap(doubles(0..100));
    for left in (0..100).rev() {
        assert_eq!(results.len(), left + 1);
        assert!(results.next().is_some());
    }
    assert_eq!((results.len(), results.next()), (0, None));
    let mut unordered = pool.imap_unordered(doubles(0..3));
    assert_eq!((unordered.len(), unordered.next().is_some(), unordered.len()), (3, true, 2));
    let endless = pool.imap(std::iter::repeat(Act::Pid));
    assert_eq!(endless.size_hint(), (usize::MAX, None));
    drop(endless);
}

#[test]
fn error_of_one_task_ends_no_iterator() {
    let _watchdog = watchdog("pool::error_ends_no_iterator");
    let pool = pool(2, Does::new());
    let acts =
        || (0..60).map(|index| [Act::Double(index), Act::Fail, Act::Panic, Act::Formless][index as usize % 4].clone());
    let is_right = |(index, result): (usize, Result<Output, TaskError>)| match index % 4 {
        0 => number(result) == 2 * index as u64,
        1 => matches!(result, Err(TaskError::Failed(_))),
        2 => matches!(result, Err(TaskError::Panicked(_))),
        _ => matches!(result, Err(TaskError::Input(_))),
    };
    assert_eq!(pool.imap(acts()).enumerate().map(is_right).filter(|is_right| *is_right).count(), 60);
    assert_eq!(pool.imap_unordered(acts()).map(is_right).filter(|is_right| *is_right).count(), 60);
}

#[test]
fn panic_of_the_input_is_the_callers() {
    let _watchdog = watchdog("pool::panic_of_the_input");
    let pool = pool(2, Does::new());
    let inputs = (0..100).map(|index| if index == 70 { panic!("no more") } else { Act::Double(index) });
    let run = std::panic::AssertUnwindSafe(|| pool.map(inputs));
    assert!(std::panic::catch_unwind(run).is_err());
    assert_eq!(pool.map(doubles(0..100)).into_iter().map(number).count(), 100, "the pool goes on");
}

#[test]
fn threads_share_a_pool() {
    let _watchdog = watchdog("pool::threads_share");
    let pool = pool(2, Does::new());
    thread::scope(|scope| {
        for first in 0..4 {
            let pool = &pool;
            scope.spawn(move || {
                let numbers = first * 1000..first * 1000 + 1000;
                let wanted = numbers.clone().map(|number| 2 * number);
                assert!(pool.map(doubles(numbers.clone())).into_iter().map(number).eq(wanted.clone()));
                assert!(pool.imap(doubles(numbers)).map(number).eq(wanted));
                for _ in 0..100 {
                    assert_eq!(number(pool.submit(Act::Double(first)).expect("it is accepted").wait()), 2 * first);
                }
            });
        }
    });
}

#[test]
fn closed_pool_finishes_and_accepts_nothing() {
    let _watchdog = watchdog("pool::closed");
    let ((mut here, arrives), (waits, release)) = (meeting_point(), meeting_point());
    let pool = pool(2, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let mut running = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let mut jobs: Vec<_> = (0..100).map(|index| pool.submit(Act::Double(index)).expect("it is accepted")).collect();
    assert_eq!(here.meet(), Some(b'm'));
    pool.close();
    assert!(matches!(pool.submit(Act::Pid), Err(TaskError::Stopped)));
    assert!(pool.map([Act::Pid, Act::Pid]).iter().all(|result| matches!(result, Err(TaskError::Stopped))));
    drop(release);
    pool.join();
    assert!(pool.workers().is_empty() && number(running.wait()) > 1);
    for (index, job) in jobs.iter_mut().enumerate() {
        assert_eq!(number(job.wait()), 2 * index as u64, "its result is kept");
    }
    pool.join();
}

#[test]
fn closed_pool_still_replaces_a_worker_for_its_tasks() {
    let _watchdog = watchdog("pool::closed_still_replaces");
    let pool = pool(1, Does::dying(1));
    let mut job = pool.submit(Act::DieTimes).expect("it is accepted");
    pool.join();
    assert_eq!(number(job.wait()), 7);
}

#[test]
fn stopper_ends_a_map_from_another_thread() {
    let _watchdog = watchdog("pool::stopper");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let pool = pool(2, Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() });
    let (stopper, pids) = (pool.stopper(), pool.workers());
    let mut job = pool.submit(Act::Sleep).expect("it is accepted");
    let stops = thread::spawn(move || {
        assert_eq!(here.meet(), Some(b'm'));
        stopper.stop();
    });
    assert!(pool.map([Act::Meet(b'm'), Act::Pid]).iter().all(|result| *result == Err(TaskError::Stopped)));
    stops.join().expect("it stops");
    assert_eq!(job.wait(), Err(TaskError::Stopped));
    pool.join();
    assert!(pids.iter().all(|(_, pid)| !is_running(*pid)));
}

#[test]
fn dropped_pool_leaves_no_process() {
    let _watchdog = watchdog("pool::dropped");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let task = Does { here: Some(arrives), until: Some(waits.into()), ..Does::new() };
    let pool = pool(2, task);
    let pids = pool.workers();
    let mut job = pool.submit(Act::Meet(b'm')).expect("it is accepted");
    let _detached = pool.submit(Act::Sleep).expect("it is accepted");
    assert_eq!(here.meet(), Some(b'm'));
    drop(pool);
    assert!(pids.iter().all(|(_, pid)| !is_running(*pid)));
    assert_eq!(job.wait(), Err(TaskError::Stopped), "a handle outlives its pool");
}

/// Has a pool whose workers wait, and waits.
#[derive(Serialize, Deserialize)]
pub(crate) struct ParentOfPool {
    here: Fd,
    until: Fd,
}

impl Role for ParentOfPool {
    const NAME: &'static str = "test.pool.parent";

    fn run(self) -> RoleResult {
        let pool = pool(3, Does { here: Some(self.here), until: Some(self.until), ..Does::new() });
        let results = pool.map((0..3).map(|_| Act::Meet(b'w')));
        Err(format!("nobody ends them: {results:?}").into())
    }
}

#[test]
fn killed_parent_takes_its_pool_along() {
    let _watchdog = watchdog("pool::killed_parent");
    let ((mut here, arrives), (waits, _release)) = (meeting_point(), meeting_point());
    let mut parent = worker("parent", ParentOfPool { here: arrives, until: waits.into() });
    for _ in 0..3 {
        assert_eq!(here.meet(), Some(b'w'));
    }
    let workers = children_of(parent.pid());
    assert_eq!(workers.len(), 3);
    parent.kill().expect("a signal");
    parent.join().expect("it ends");
    workers.into_iter().for_each(await_end);
    assert_eq!(here.meet(), None, "all writers are gone");
}

#[test]
fn workers_are_told_of() {
    let _watchdog = watchdog("pool::told_of");
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let pool = builder().workers(1).retries(0).on_worker(move |event| told.lock().expect("no panic").push(event));
    let pool = pool.build(Does::new()).expect("a pool");
    assert!(matches!(pool.map([Act::Exit(3)]).pop(), Some(Err(TaskError::WorkerDied { .. }))));
    assert_eq!(number(pool.map([Act::Double(1)]).remove(0)), 2);
    pool.join();
    let events = events.lock().expect("no panic");
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            WorkerEvent::Started { name, .. } => format!("{name} starts"),
            WorkerEvent::Ended { name, ended, .. } => format!("{name} ends: {}", ended.status),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        ["worker-1 starts", "worker-1 ends: exit code 3", "worker-2 starts", "worker-2 ends: exit code 0"]
    );
}

#[test]
fn bad_numbers_are_refused() {
    let refused = |builder: Builder| match builder.build(Does::new()) {
        Err(Error::OutOfRange { what, given, .. }) => format!("{what}: {given}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(builder().workers(0)), "the number of workers: 0");
    assert_eq!(refused(builder().workers(4096)), "the number of workers: 4096");
    assert_eq!(refused(builder().in_flight(0)), "the number of tasks in flight: 0");
    assert_eq!(refused(builder().in_flight_bytes(0)), "the number of bytes in flight: 0");
    assert_eq!(refused(builder().in_flight_bytes(1 << 40)), format!("the number of bytes in flight: {}", 1_u64 << 40));
    assert_eq!(refused(builder().time_limit(Duration::ZERO)), "a time limit in nanoseconds: 0");
    assert_eq!(refused(builder().tasks_per_worker(0)), "the number of tasks of a worker: 0");
}

/// In no table.
#[derive(Clone, Serialize, Deserialize)]
struct Unregistered;

impl Task for Unregistered {
    const NAME: &'static str = "test.pool.unregistered";
    type Input = ();
    type Output = ();

    fn run(&mut self, (): ()) -> Outcome<()> {
        Ok(())
    }
}

#[test]
fn task_in_no_table_is_refused() {
    let _watchdog = watchdog("pool::in_no_table");
    // The first thing that main does.
    assert!(ipc_demo::enter(crate::roles::ROLES).is_none());
    let Err(refused) = Pool::builder().workers(1).build(Unregistered) else { panic!("it is in no table") };
    assert!(matches!(refused, Error::NoSuchRole { .. }), "{refused}");
    assert!(
        refused.to_string().contains("test.pool.unregistered") && refused.to_string().contains("test.pool.does"),
        "{refused}"
    );
    // The table of another program is known to its workers alone.
    let results = builder().workers(1).build(Unregistered).expect("the processes exist").map([()]);
    assert!(matches!(&results[..], [Err(TaskError::NoWorkers { last_words })] if last_words.contains("has no role")));
}

#[test]
fn task_and_role_of_one_name_are_refused() {
    let twice = [RoleEntry::of_task::<Does>(), RoleEntry::of_task::<Does>()];
    assert!(std::panic::catch_unwind(|| ipc_demo::enter(&twice)).is_err());
    assert!(ipc_demo::enter(crate::roles::ROLES).is_none(), "the table of this program");
}

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
    let pauses: Vec<u64> = (0..kills).map(|_| rng.random_range(0..3000)).collect();
    let is_over = AtomicBool::new(false);
    let results: Vec<(usize, Result<Output, TaskError>)> = thread::scope(|scope| {
        scope.spawn(|| {
            for pause in pauses {
                // At any moment: the only purpose of the pause.
                thread::sleep(Duration::from_micros(pause));
                if is_over.load(Relaxed) {
                    break;
                }
                kill_one(&pool, &last);
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
#[ignore = "takes minutes"]
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
#[ignore = "takes a minute"]
fn million_tasks_survive_a_thousand_kills() {
    let _watchdog = patient_watchdog("pool::million_tasks");
    many_tasks(1_000_000, 1000);
}
