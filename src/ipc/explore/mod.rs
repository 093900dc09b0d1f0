//! Exploration: runs the same worker processes in every possible order of their operations on shared objects.
//!
//! An [`Explorer`] takes the place of the kernel's scheduler. It runs a closure once for each schedule. The closure
//! creates its objects, starts workers, joins them, and checks what must hold. Exactly one process runs at a time. At
//! each operation on a shared object the explorer decides which process runs next, and therefore which one gets a lock
//! or an item. Time is virtual: it passes only when every process is blocked, until the earliest deadline. So a race
//! that otherwise occurs only by chance is found, and can be replayed.
//!
//! Finding a lost update between two workers:
//!
//! ```no_run
//! # use ipc_demo::{Process, Role, RoleResult, Value, explore::Explorer};
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Adds(Value<u64>);
//!
//! impl Role for Adds {
//!     const NAME: &'static str = "adds";
//!     fn run(self) -> RoleResult {
//!         self.0.set(self.0.get() + 1);
//!         Ok(())
//!     }
//! }
//!
//! let found = Explorer::new().check(|| {
//!     let sum = Value::new(0)?;
//!     let mut ann = Process::spawn("ann", Adds(sum.clone()))?;
//!     let mut bob = Process::spawn("bob", Adds(sum.clone()))?;
//!     ann.join()?;
//!     bob.join()?;
//!     assert_eq!(sum.get(), 2);
//!     Ok(())
//! });
//! // ab2a: ann reads, bob reads and writes, ann writes.
//! assert_eq!(found.expect_err("an update is lost").schedule, "ab2a@");
//! ```
//!
//! Proving that a transfer under two locks cannot deadlock:
//!
//! ```no_run
//! # use ipc_demo::{Lock, Process, Role, RoleResult, explore::Explorer};
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Transfers(Lock, Lock);
//!
//! impl Role for Transfers {
//!     const NAME: &'static str = "transfers";
//!     fn run(self) -> RoleResult {
//!         let _from = self.0.acquire()?;
//!         let _to = self.1.acquire()?;
//!         Ok(())
//!     }
//! }
//!
//! let report = Explorer::new().check(|| {
//!     let (giro, savings) = (Lock::new()?, Lock::new()?);
//!     let mut ann = Process::spawn("ann", Transfers(giro.clone(), savings.clone()))?;
//!     let mut bob = Process::spawn("bob", Transfers(giro, savings))?;
//!     ann.join()?;
//!     bob.join()?;
//!     Ok(())
//! });
//! assert!(report.expect("no deadlock").exhausted);
//! ```
//!
//! # What is scheduled
//! Operations on locks, semaphores, events, conditions, barriers, queues, pipes, datagrams, values and arrays, and calls of
//! a [manager](crate::manager)'s objects, by the closure and by the thread that runs a worker's role. Starting and joining
//! a process are not scheduled: a worker runs to its first operation when it is started, and a join returns as soon as it
//! can. A join with a timeout times out only when every process is blocked. When a worker's role has ended, its process is
//! reused for the next schedule: its statics, threads and open descriptors persist.
//!
//! Dropping a process's last handle on an end of a queue, a pipe or a datagram channel is a step. It belongs to the step
//! before if it is a queue's and the closure still has a handle on that end. Of several operations with the earliest
//! deadline, any may be the first to time out. A schedule that has not ended after 10,000 steps is cut off. When a
//! schedule cannot continue and the closure is blocked, the closure is unwound, without the panic hook.
//!
//! A manager that the closure starts runs outside the schedule, and answers each call at once. Its calls concern the
//! object that they address, except those that may follow a reference from there: these concern the whole manager.
//!
//! Do not use what is not scheduled: a [`PipeQueue`](crate::queue::PipeQueue), whose items are moved by a thread, a
//! manager with other clients, a [wait for several objects](crate::pipe::wait()), a message longer than a pipe's buffer
//! (64 KiB), and any communication between workers outside this library. If a schedule behaves differently when it is run
//! again, the exploration fails and reports the step.
//!
//! # Standard
//! loom and shuttle do the same for threads, and dBug (Simsa et al., SSV 2010) and CHESS (Musuvathi et al., OSDI 2008)
//! for whole programs. The number of schedules is estimated from random ones (Knuth, Estimating the efficiency of
//! backtrack programs, 1975).

// The files: `search` chooses the next schedule, `lanes` is what the searches of several processors share, `random`
// generates a schedule at random, `shortest` finds the one of a class with the fewest switches, and `schedule` is the
// text form; `survey` judges every schedule or replays one, and `by_hand` is what is told to who chooses its turns;
// `run` runs a schedule, `control` is the turns in shared memory, and `worker` is the workers' side.

pub(crate) mod by_hand;
mod control;
mod lanes;
pub(crate) mod random;
mod run;
pub(crate) mod schedule;
mod search;
mod shortest;
pub(crate) mod survey;
pub(crate) mod worker;

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::ipc::deadline::{self, VirtualClock};
use crate::ipc::error::{Result, chain, os};
use crate::ipc::operation;
use crate::ipc::process::boot::panic_message;
use crate::ipc::process::scheduler;
use crate::sys::affinity;
use lanes::{EndsWhenDropped, Lanes, Over};
use run::{Finished, Run, Stuck};
use schedule::Schedule;
use search::{Bounds, Search};
use shortest::fewest_switches;

/// The environment variable that contains the only schedule to run.
const SCHEDULE_VARIABLE: &str = "IPC_DEMO_SCHEDULE";

/// The number of random schedules that are run to estimate how many there are.
const SAMPLES: u64 = 100;

/// The result of the closure: an error if a check failed.
pub type Checked = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Runs a closure in every schedule.
#[derive(Debug, Clone)]
#[must_use]
pub struct Explorer {
    all: bool,
    bounds: Bounds,
    limit: u64,
    time: Option<Duration>,
    /// The number of random schedules, and their seed.
    random: (u64, u64),
}

/// The result of an exploration in which nothing failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The number of schedules that were run.
    pub schedules: u64,
    /// Whether these are all schedules, and none was cut off.
    pub exhausted: bool,
    /// The number of them in which every process was blocked until an operation timed out. Without a timeout, that is
    /// a [`Failure`].
    pub deadlocks: u64,
    /// The number of them that were cut off after 10,000 steps. What the closure returned then is not a failure.
    pub cut: u64,
    /// About how many schedules there are, without reduction, if they were not exhausted; 10^18 if there are more.
    pub estimate: Option<u64>,
}

/// A schedule in which the closure failed.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The schedule: a letter for each worker in the order of start, or `@` for the closure, followed by its number of
    /// steps, `!` if it is killed, or `~` if its operation times out. Among the schedules of its class, this one has
    /// the fewest switches.
    pub schedule: String,
    /// The reason: the closure's error or panic, or what stopped the schedule, such as a deadlock.
    pub reason: String,
    /// The number of earlier schedules, in which the closure did not fail.
    pub held: u64,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { schedule, reason, held } = self;
        write!(f, "schedule {schedule} fails: {reason} ({held} held; to replay it: {SCHEDULE_VARIABLE}='{schedule}')")
    }
}

/// The same text as [`Display`](fmt::Display), for tests that end with `?` or `expect`.
impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}

impl Default for Explorer {
    fn default() -> Self {
        Explorer { all: false, bounds: Bounds::default(), limit: 100_000, time: None, random: (0, 1) }
    }
}

impl Explorer {
    /// Creates an explorer that runs one schedule of each class. Two schedules are in the same class if they differ
    /// only in the order of operations on different objects, or of operations that only read.
    pub fn new() -> Self {
        Explorer::default()
    }

    /// Sets whether every schedule is run, instead of one of each class.
    pub fn all(mut self, all: bool) -> Self {
        self.all = all;
        self
    }

    /// Sets the maximum number of workers that are killed in a schedule, with SIGKILL; each is tried at every operation
    /// that it reaches. The default is 0.
    pub fn kills(mut self, workers: u32) -> Self {
        self.bounds.kills = workers;
        self
    }

    /// Also lets operations time out early, although a process can run, until this many operations have timed out in a
    /// schedule. The default is 0: an operation times out only when every process is blocked.
    pub fn timeouts(mut self, operations: u32) -> Self {
        self.bounds.timeouts = operations;
        self
    }

    /// Sets the maximum number of schedules. The default is 100,000.
    ///
    /// If that does not suffice, up to 100 random schedules more are run to estimate how many there are. They are
    /// checked but not counted.
    pub fn limit(mut self, schedules: u64) -> Self {
        self.limit = schedules;
        self
    }

    /// Ends the exploration after this time, once the current schedule has ended; after a tenth of it more if the
    /// number of schedules has to be estimated.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Also runs this many random schedules if the limit or the time did not suffice for all. The same seed generates
    /// the same schedules.
    pub fn random(mut self, schedules: u64, seed: u64) -> Self {
        self.random = (schedules, seed);
        self
    }

    /// Runs `closure` once for each schedule, until it fails. It runs on this thread; other threads of this process are
    /// not affected.
    ///
    /// If the environment variable `IPC_DEMO_SCHEDULE` contains a schedule, only that schedule is run.
    ///
    /// # Errors
    /// The [`Failure`] of the first schedule in which the closure returned an error or panicked, its workers
    /// deadlocked, or a worker reached no operation on a shared object within five seconds.
    ///
    /// # Death
    /// The unexpected death of a worker does not fail the exploration: [`Process::join`](crate::Process::join) reports
    /// it to the closure. No worker outlives this call.
    ///
    /// # Cost
    /// Worker processes are reused from schedule to schedule. Switching from one worker to another costs two context
    /// switches. All run on one processor; [`check_parallel`](Self::check_parallel) uses the others too.
    pub fn check(&self, closure: impl Fn() -> Checked) -> std::result::Result<Report, Failure> {
        let given = std::env::var(SCHEDULE_VARIABLE).ok();
        let failed = |schedule: String, reason: String| Failure { schedule, reason, held: 0 };
        match given {
            None => self.explore(&closure).map_err(|error| failed(String::new(), chain(&error)))?,
            Some(given) => {
                let schedule = given.parse::<Schedule>().map_err(|error| failed(given, error.to_string()))?;
                let run = new_run(Search::replay(schedule.clone()));
                let run = run.map_err(|error| failed(schedule.to_string(), chain(&error)))?;
                let (finished, checked) = run_once(&run, &closure);
                let mut report = Report::default();
                report.count(&finished);
                match reason(&finished, checked) {
                    None => Ok(report),
                    Some(reason) => Err(failed(schedule.to_string(), reason)),
                }
            }
        }
    }

    /// As [`check`](Self::check), on all processors at once: each runs schedules of its own, with its own workers.
    /// `closure` is called by several threads at a time.
    ///
    /// Returns what `check` would, except that the random schedules are others.
    ///
    /// # Errors
    /// As [`check`](Self::check). After a failure the exploration is repeated by `check`, so that the schedule is the
    /// same every time.
    pub fn check_parallel(&self, closure: impl Fn() -> Checked + Sync) -> std::result::Result<Report, Failure> {
        let outcome = match std::env::var_os(SCHEDULE_VARIABLE) {
            None => self.explore_parallel(&closure),
            Some(_) => return self.check(closure),
        };
        match outcome {
            Ok(Ok(report)) => Ok(report),
            // Within the limit of time, one processor may not come as far.
            Ok(Err(failure)) => self.check(closure).and(Err(failure)),
            Err(error) => Err(Failure { schedule: String::new(), reason: chain(&error), held: 0 }),
        }
    }

    /// Runs `closure` in the schedules of this explorer, until it fails.
    fn explore(&self, closure: &dyn Fn() -> Checked) -> Result<std::result::Result<Report, Failure>> {
        let run = new_run(Search::new(!self.all, self.bounds))?;
        let mut judged = Judged::default();
        let lane = (0, affinity::processors().map_or(0, |all| all[0]));
        let seen = &mut |finished, checked| judged.judge(finished, checked);
        let over = self.lane(lane, &Lanes::new(1, self.limit), &run, closure, seen);
        Ok(judged.outcome(over, &run, closure))
    }

    /// As [`explore`](Self::explore), on all processors.
    fn explore_parallel(&self, closure: &(dyn Fn() -> Checked + Sync)) -> Result<std::result::Result<Report, Failure>> {
        let judged = Mutex::new(Judged::default());
        let lock = || judged.lock().expect("nothing panics while it holds the lock");
        let (run, over) = self.each_parallel(closure, &|finished, checked| lock().judge(finished, checked))?;
        Ok(judged.into_inner().expect("no lane panicked").outcome(over, &run, closure))
    }

    /// Runs the schedules of a lane for each processor. Also returns what is needed to run further schedules.
    fn each_parallel<T>(
        &self,
        closure: &(dyn Fn() -> T + Sync),
        seen: &(dyn Fn(Finished, thread::Result<T>) -> bool + Sync),
    ) -> Result<(Rc<RefCell<Run>>, Over)> {
        let processors = affinity::processors().map_err(os("choose a processor"))?;
        let lanes = Arc::new(Lanes::new(processors.len(), self.limit));
        let run_lane = |index: usize| {
            let _unless_ended = EndsWhenDropped(&lanes);
            let run = new_run(Search::new(!self.all, self.bounds).in_lanes(Arc::clone(&lanes)))?;
            let over = self.lane((index, processors[index]), &lanes, &run, &|| closure(), &mut |finished, outcome| {
                seen(finished, outcome)
            });
            Ok((run, over))
        };
        thread::scope(|scope| {
            let others: Vec<_> =
                (1..processors.len()).map(|index| scope.spawn(move || run_lane(index).map(drop))).collect();
            let own = run_lane(0);
            for other in others {
                other.join().unwrap_or_else(|payload| resume_unwind(payload))?;
            }
            own
        })
    }

    /// Runs the schedules of one lane, whose number and processor are given, as long as `seen` returns `true`. Returns
    /// why it ended. The first schedule of lane 0 is run twice, to see that it is the same both times; the second time it
    /// is redundant.
    fn lane<T>(
        &self,
        (index, processor): (usize, usize),
        lanes: &Lanes,
        run: &Rc<RefCell<Run>>,
        closure: &dyn Fn() -> T,
        seen: &mut dyn FnMut(Finished, thread::Result<T>) -> bool,
    ) -> Over {
        // One process of a lane runs at a time. Waking the next on another processor would take ten times as long.
        let _pinned = affinity::pin(processor);
        let begun = Instant::now();
        let has_time = |more: u32| self.time.is_none_or(|time| begun.elapsed() < time.saturating_add(time / 10 * more));
        let mut is_first = index == 0;
        let mut has_next = is_first || run.borrow_mut().search.wait_for_branch();
        while has_next {
            if !has_time(0) || !lanes.reserve() {
                lanes.end(Over::Limit);
                break;
            }
            let (finished, outcome) = run_once(run, closure);
            lanes.finished(finished.is_redundant);
            let mut goes_on = seen(finished, outcome);
            if goes_on && std::mem::take(&mut is_first) {
                run.borrow_mut().search.repeat();
                let (finished, outcome) = run_once(run, closure);
                goes_on = seen(Finished { is_redundant: true, ..finished }, outcome);
            }
            if !goes_on {
                lanes.end(Over::Enough);
            }
            has_next = lanes.over().is_none() && run.borrow_mut().search.advance();
        }
        let over = lanes.over().unwrap_or(Over::Exhausted);
        if over != Over::Limit {
            return over;
        }
        let (random, seed) = self.random;
        // Only the first lane estimates.
        let samples = if random == 0 && index == 0 { SAMPLES } else { 0 };
        let own = random / lanes.number() as u64 + u64::from((index as u64) < random % lanes.number() as u64);
        run.borrow_mut().search = Search::random(self.bounds, seed.wrapping_add(index as u64));
        for _ in 0..own + samples {
            let (finished, outcome) = run_once(run, closure);
            let is_redundant = samples > 0;
            if !seen(Finished { is_redundant, ..finished }, outcome) {
                lanes.end(Over::Enough);
                return Over::Enough;
            }
            run.borrow_mut().search.advance();
            if !has_time(is_redundant.into()) {
                break;
            }
        }
        over
    }
}

/// What the schedules showed so far, until one fails.
#[derive(Default)]
struct Judged {
    report: Report,
    /// The schedule that failed, and why.
    failed: Option<(Finished, String)>,
}

impl Judged {
    /// Judges a schedule. Returns whether to go on.
    fn judge(&mut self, finished: Finished, checked: thread::Result<Checked>) -> bool {
        match reason(&finished, checked) {
            None if !finished.is_redundant => self.report.count(&finished),
            None => {}
            Some(reason) => _ = self.failed.get_or_insert((finished, reason)),
        }
        self.failed.is_none()
    }

    fn outcome(
        mut self,
        over: Over,
        run: &Rc<RefCell<Run>>,
        closure: &dyn Fn() -> Checked,
    ) -> std::result::Result<Report, Failure> {
        match self.failed {
            None => {
                self.report.exhausted = over == Over::Exhausted && self.report.cut == 0;
                self.report.estimate = run.borrow().search.estimate(self.report.schedules);
                Ok(self.report)
            }
            Some((finished, reason)) => {
                // The equivalent schedule with the fewest switches, if it fails too.
                let fewest = fewest_switches(&finished.taken);
                run.borrow_mut().search = Search::replay(fewest.clone());
                let (same, checked) = run_once(run, closure);
                let (schedule, reason) = match self::reason(&same, checked) {
                    Some(reason) if same.schedule() == fewest => (fewest, reason),
                    _ => (finished.schedule(), reason),
                };
                Err(Failure { schedule: schedule.to_string(), reason, held: self.report.schedules })
            }
        }
    }
}

impl Report {
    /// Counts a schedule that did not fail.
    fn count(&mut self, finished: &Finished) {
        self.schedules += 1;
        self.deadlocks += u64::from(finished.is_deadlock());
        self.cut += u64::from(finished.stuck == Some(Stuck::TooLong));
    }
}

impl Finished {
    /// Returns whether all processes were blocked, forever or until an operation timed out.
    fn is_deadlock(&self) -> bool {
        matches!(self.stuck, Some(Stuck::Deadlock(_))) || self.taken.iter().any(|taken| taken.is_forced)
    }

    fn schedule(&self) -> Schedule {
        Schedule(self.taken.iter().map(|taken| taken.turn).collect())
    }
}

fn new_run(search: Search) -> Result<Rc<RefCell<Run>>> {
    Ok(Rc::new(RefCell::new(Run::new(search)?)))
}

/// Runs one schedule, with this thread as the spawner.
fn run_once<T>(run: &Rc<RefCell<Run>>, closure: &dyn Fn() -> T) -> (Finished, thread::Result<T>) {
    let scheduling = scheduler::schedule_with(Rc::clone(run) as Rc<dyn scheduler::Scheduler>);
    let spawner = Rc::clone(run);
    let observing = operation::observe(move |point| {
        // The drops of a closure that has failed are no steps.
        if !thread::panicking() {
            spawner.borrow_mut().pass(point);
        }
    });
    deadline::set_virtual(Some(VirtualClock { now_ns: 0, times_out: false }));
    let outcome = catch_unwind(AssertUnwindSafe(closure));
    deadline::set_virtual(None);
    drop((observing, scheduling));
    let finished = run.borrow_mut().finish();
    (finished, outcome)
}

/// Returns why a schedule failed, if it did.
fn reason(finished: &Finished, checked: thread::Result<Checked>) -> Option<String> {
    match (&finished.stuck, checked) {
        (Some(Stuck::TooLong), _) => None,
        (Some(stuck), _) => Some(stuck.to_string()),
        (None, Ok(checked)) => checked.err().map(|error| chain(&*error)),
        (None, Err(payload)) => Some(panic_message(&*payload)),
    }
}
