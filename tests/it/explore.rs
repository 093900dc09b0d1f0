//! Exploration of small programs, against the numbers of schedules that an enumeration by hand gives.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ipc_demo::explore::{Explorer, Failure, Report};
use ipc_demo::manager::{self, Dict, List};
use ipc_demo::pipe::{DatagramSender, Receiver, Sender, datagrams, pipe, wait};
use ipc_demo::process::ExitStatus;
use ipc_demo::{
    Barrier, Condition, Consumer, Event, Lock, Process, Producer, Queue, Role, RoleResult, Semaphore, Value,
};
use serde::{Deserialize, Serialize};

use crate::harness::{is_running, try_worker, watchdog};
use crate::manager::start_manager;

/// Increments a value `times` times, each time with a load and a store.
#[derive(Serialize, Deserialize)]
pub(crate) struct Increments {
    value: Value<u64>,
    lock: Option<Lock>,
    times: u32,
}

impl Role for Increments {
    const NAME: &'static str = "test.increments";
    fn run(self) -> RoleResult {
        for _ in 0..self.times {
            let _held = self.lock.as_ref().map(Lock::acquire).transpose()?;
            self.value.set(self.value.get() + 1);
        }
        Ok(())
    }
}

/// Acquires two locks, one after the other.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesBoth {
    first: Lock,
    second: Lock,
}

impl Role for TakesBoth {
    const NAME: &'static str = "test.takes-both";
    fn run(self) -> RoleResult {
        let _first = self.first.acquire()?;
        let _second = self.second.acquire()?;
        Ok(())
    }
}

/// Acquires two locks, and gives the second one up after a timeout, which is a failure.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesBothInTime {
    first: Lock,
    second: Lock,
    timeout: Duration,
}

impl Role for TakesBothInTime {
    const NAME: &'static str = "test.takes-both-in-time";
    fn run(self) -> RoleResult {
        let _first = self.first.acquire()?;
        let second = self.second.acquire_timeout(self.timeout)?;
        if second.is_some() { Ok(()) } else { Err("the second lock is not free".into()) }
    }
}

/// Retries forever what times out.
#[derive(Serialize, Deserialize)]
pub(crate) struct Retries(Event);

impl Role for Retries {
    const NAME: &'static str = "test.retries-for-ever";
    fn run(self) -> RoleResult {
        while !self.0.wait_timeout(Duration::from_secs(1)) {}
        Ok(())
    }
}

/// Waits for a condition with a timeout. The other one notifies it, with the lock held.
#[derive(Serialize, Deserialize)]
pub(crate) enum Notices {
    Waits(Lock, Condition, Duration),
    Notifies(Lock, Condition),
}

impl Role for Notices {
    const NAME: &'static str = "test.notices-in-time";
    fn run(self) -> RoleResult {
        match self {
            Notices::Waits(lock, condition, timeout) => _ = condition.wait_timeout(lock.acquire()?, timeout)?,
            Notices::Notifies(lock, condition) => _ = condition.notify_all(&lock.acquire()?)?,
        }
        Ok(())
    }
}

/// Puts the numbers below its own into a queue, or gets as many in their order.
#[derive(Serialize, Deserialize)]
pub(crate) enum Counts {
    Puts(Queue<u32>, u32),
    /// All of them in one operation.
    PutsMany(Producer<u32>, u32),
    Gets(Queue<u32>, u32),
    /// Those of two that put as many, each in order.
    GetsBoth(Consumer<u32>, u32),
}

impl Role for Counts {
    const NAME: &'static str = "test.counts-through-a-queue";
    fn run(self) -> RoleResult {
        match self {
            Counts::Puts(queue, end) => (0..end).try_for_each(|number| queue.put(number))?,
            Counts::PutsMany(queue, end) => queue.put_many(&(0..end).collect::<Vec<_>>())?,
            Counts::GetsBoth(queue, end) => {
                // How often each number has come, after a number that always could.
                let mut seen = [vec![2], vec![0; end as usize]].concat();
                for _ in 0..2 * end {
                    let number = queue.get()? as usize;
                    seen[number + 1] += 1;
                    assert!(seen.is_sorted_by(|before, after| before >= after), "{number} came too early: {seen:?}");
                }
            }
            Counts::Gets(queue, end) => {
                for number in 0..end {
                    assert_eq!(queue.get()?, number);
                }
            }
        }
        Ok(())
    }
}

/// An end of a queue or a pipe.
#[derive(Serialize, Deserialize)]
pub(crate) enum End {
    Puts(Producer<u32>),
    Gets(Consumer<u32>),
    Sends(Sender<u32>),
    Receives(Receiver<u32>),
}

/// Puts an item and drops its end, or gets it and notes what it finds then.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsesEnd {
    end: End,
    found: Value<u64>,
}

const EMPTY: u64 = 1;
const DISCONNECTED: u64 = 2;

impl Role for UsesEnd {
    const NAME: &'static str = "test.uses-an-end";
    fn run(self) -> RoleResult {
        let note =
            |left: ipc_demo::Result<Option<u32>>| self.found.set(if left.is_ok() { EMPTY } else { DISCONNECTED });
        match self.end {
            End::Puts(producer) => producer.put(7)?,
            End::Gets(consumer) => {
                assert_eq!(consumer.get()?, 7);
                note(consumer.try_get());
            }
            End::Sends(mut sender) => sender.send(&7)?,
            End::Receives(mut receiver) => {
                assert_eq!(receiver.recv()?, 7);
                note(receiver.try_recv());
            }
        }
        Ok(())
    }
}

/// Drops its end between two steps, or looks whether others have.
#[derive(Serialize, Deserialize)]
pub(crate) enum Leaves {
    Drops { end: Producer<u32>, before: Value<u64>, after: Value<u64> },
    Looks { end: Consumer<u32>, after: Value<u64>, found: Value<u64> },
}

impl Role for Leaves {
    const NAME: &'static str = "test.leaves-a-queue";
    fn run(self) -> RoleResult {
        match self {
            Leaves::Drops { end, before, after } => {
                before.set(1);
                drop(end);
                after.set(1);
            }
            Leaves::Looks { end, after, found } => {
                let after = after.get();
                let left = if end.try_get().is_ok() { EMPTY } else { DISCONNECTED };
                found.set(10 * after + left);
            }
        }
        Ok(())
    }
}

/// Waits until another worker is ready, which wakes it only if it sees it waiting.
#[derive(Serialize, Deserialize)]
pub(crate) struct Wakes {
    ready: Value<u64>,
    waiting: Value<u64>,
    wake: Semaphore,
    does: WakeRole,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) enum WakeRole {
    /// Looks, and then says that it waits: a wake-up in between is lost.
    WaitsLate,
    /// Says that it waits, and then looks.
    Waits,
    Wakes,
}

impl Role for Wakes {
    const NAME: &'static str = "test.wakes-who-waits";
    fn run(self) -> RoleResult {
        match self.does {
            WakeRole::WaitsLate if self.ready.get() == 0 => {
                self.waiting.set(1);
                self.wake.acquire();
            }
            WakeRole::WaitsLate => {}
            WakeRole::Waits => {
                self.waiting.set(1);
                if self.ready.get() == 0 {
                    self.wake.acquire();
                }
            }
            WakeRole::Wakes => {
                self.ready.set(1);
                if self.waiting.get() == 1 {
                    self.wake.release()?;
                }
            }
        }
        Ok(())
    }
}

/// Meets others at a barrier, which breaks if one of them dies.
#[derive(Serialize, Deserialize)]
pub(crate) struct MeetsOrBreaks(Barrier);

impl Role for MeetsOrBreaks {
    const NAME: &'static str = "test.meets-or-breaks";
    fn run(self) -> RoleResult {
        match self.0.wait() {
            Ok(_) | Err(ipc_demo::Error::BrokenBarrier(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Uses what blocks: a permit, a barrier, an event.
#[derive(Serialize, Deserialize)]
pub(crate) struct Meets {
    permits: Semaphore,
    barrier: Barrier,
    event: Event,
}

impl Role for Meets {
    const NAME: &'static str = "test.meets-others";
    fn run(self) -> RoleResult {
        self.permits.acquire();
        self.permits.release()?;
        if self.barrier.wait()? == 0 {
            self.event.set();
        }
        self.event.wait();
        Ok(())
    }
}

/// Uses objects of a manager.
#[derive(Serialize, Deserialize)]
pub(crate) enum UsesManager {
    /// Increments an entry of a dict with two calls.
    Increments(Dict, Option<manager::Lock>),
    /// Reads an entry twice.
    Reads(Dict),
    /// Changes a place, which can be in another object.
    Sets(Dict, Vec<String>),
    /// Puts two goods, one after the other.
    Puts(manager::Condition, List),
    /// Gets one of the goods. Without another look after the wait, it may be gone.
    Gets(manager::Condition, List, bool),
    /// Meets another worker, unless the barrier breaks.
    Meets(manager::Barrier),
    /// Gets a task if there is one, and ends without having done it: a failure that names the number of deliveries.
    Leaves(manager::JoinableQueue),
    /// Waits for what does not happen, until the timeout.
    TimesOut(manager::Lock, manager::Condition, manager::Barrier),
}

impl Role for UsesManager {
    const NAME: &'static str = "test.uses-manager";
    fn run(self) -> RoleResult {
        let second = Duration::from_secs(1);
        match self {
            UsesManager::Increments(dict, lock) => {
                let _held = lock.as_ref().map(manager::Lock::acquire).transpose()?;
                let sum: u64 = dict.get("sum")?.and_then(|sum| sum.as_int()).unwrap_or(0);
                dict.insert("sum", sum + 1)?;
            }
            UsesManager::Reads(dict) => drop((dict.get("sum")?, dict.get("sum")?)),
            UsesManager::Sets(dict, path) => dict.at(path).set("mine")?,
            UsesManager::Puts(condition, goods) => {
                for number in [1, 2] {
                    let held = condition.acquire()?;
                    goods.push(number)?;
                    held.notify(1)?;
                }
            }
            UsesManager::Gets(condition, goods, looks_again) => {
                let mut held = condition.acquire()?;
                if looks_again {
                    held.wait_for(|| Ok(!goods.is_empty()?))?;
                } else if goods.is_empty()? {
                    held.wait()?;
                }
                goods.pop()?.ok_or("it is gone")?;
            }
            UsesManager::Meets(barrier) => match barrier.wait() {
                Err(error) if !manager::Barrier::is_broken_error(&error) => return Err(error.into()),
                _ => {}
            },
            UsesManager::Leaves(tasks) => {
                if let Some(task) = tasks.try_get()? {
                    return Err(task.deliveries().to_string().into());
                }
            }
            UsesManager::TimesOut(lock, condition, barrier) => {
                assert!(lock.acquire_timeout(second)?.is_none() && lock.try_acquire()?.is_none());
                assert!(!condition.acquire()?.wait_timeout(second)?);
                assert!(!condition.acquire()?.wait_timeout(Duration::ZERO)?);
                let broken = barrier.wait_timeout(second).expect_err("nobody comes");
                assert!(manager::Barrier::is_broken_error(&broken), "{broken}");
            }
        }
        Ok(())
    }
}

/// Never comes to an operation.
#[derive(Serialize, Deserialize)]
pub(crate) struct Idles;

impl Role for Idles {
    const NAME: &'static str = "test.never-comes-to-an-operation";
    fn run(self) -> RoleResult {
        loop {
            std::thread::park();
        }
    }
}

/// Sends or receives one message, and notes whether there was one.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendsDatagram(DatagramSender<u32>);

impl Role for SendsDatagram {
    const NAME: &'static str = "test.sends-a-datagram";
    fn run(self) -> RoleResult {
        Ok(self.0.send(&7)?)
    }
}

/// Starts workers, and returns them once all have ended.
fn join_all(started: impl IntoIterator<Item = ipc_demo::Result<Process>>) -> ipc_demo::Result<Vec<Process>> {
    let mut workers = started.into_iter().collect::<ipc_demo::Result<Vec<_>>>()?;
    for worker in &mut workers {
        worker.join()?;
    }
    Ok(workers)
}

/// Lets workers increment a value. Returns the sum.
fn sum_of(workers: u64, times: u32, lock: bool) -> ipc_demo::Result<u64> {
    let value = Value::new(0)?;
    let lock = lock.then(Lock::new).transpose()?;
    let role = |_| Increments { value: value.clone(), lock: lock.clone(), times };
    let started = (0..workers).map(|worker| try_worker(&format!("worker-{worker}"), role(worker)));
    for worker in join_all(started.collect::<Vec<_>>())? {
        assert!(worker.ended().expect("joined").is_success());
    }
    Ok(value.get())
}

fn increments(explorer: &Explorer, workers: u64, times: u32, lock: bool) -> Result<Report, Failure> {
    explorer.check(|| match sum_of(workers, times, lock)? {
        sum if sum == workers * u64::from(times) => Ok(()),
        sum => Err(format!("the sum is {sum}").into()),
    })
}

/// Runs all schedules, or one of each class, and returns their number and all sums.
fn sums(explorer: &Explorer, workers: u64, times: u32, lock: bool) -> (u64, BTreeSet<u64>) {
    let sums = RefCell::new(BTreeSet::new());
    let report = explorer.check(|| {
        sums.borrow_mut().insert(sum_of(workers, times, lock)?);
        Ok(())
    });
    let report = report.expect("nothing is checked");
    assert!(report.exhausted);
    (report.schedules, sums.into_inner())
}

#[test]
fn every_schedule_is_run_once_and_classes_have_the_same_outcomes() {
    let _watchdog = watchdog("every_schedule_is_run_once_and_classes_have_the_same_outcomes");
    for (workers, times, lock, all, reduced) in
        [(2, 1, false, 6, 4), (2, 2, false, 70, 34), (3, 1, false, 90, 36), (2, 2, true, 6, 6)]
    {
        let (schedules, outcomes) = sums(&Explorer::new().all(true), workers, times, lock);
        assert_eq!(schedules, all, "{workers} {times} {lock}");
        assert_eq!(sums(&Explorer::new(), workers, times, lock), (reduced, outcomes));
    }
}

/// What a process has, as far as a leak in each schedule would show: descriptors, threads, mappings, and memory in KiB.
#[derive(Debug)]
struct Has {
    descriptors: usize,
    threads: usize,
    mappings: usize,
    resident_kib: u64,
}

impl Has {
    fn of(pid: u32) -> Self {
        let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).expect("it is running");
        let entries = |name: &str| std::fs::read_dir(format!("/proc/{pid}/{name}")).expect("it is running").count();
        let status = file("status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
        Has {
            descriptors: entries("fd"),
            threads: entries("task"),
            mappings: file("maps").lines().count(),
            resident_kib: resident.and_then(|kib| kib.parse().ok()).expect("a number"),
        }
    }

    /// Checks that it has no more than `before`. The allocator may keep a few pages, and a mapping for them.
    fn check(&self, before: &Has) {
        let counts = |has: &Has| (has.descriptors, has.threads);
        assert_eq!(counts(self), counts(before), "{self:?} {before:?}");
        assert!(self.mappings <= before.mappings + 4, "{self:?} {before:?}");
        assert!(self.resident_kib <= before.resident_kib + 2_048, "{self:?} {before:?}");
    }
}

/// The number of schedules for the test below.
const SCHEDULES_VARIABLE: &str = "IPC_DEMO_TEST_SCHEDULES";

#[test]
#[ignore = "takes minutes, and counts what the process has: cargo test --release --test it many_schedules -- --ignored"]
fn many_schedules_leave_nothing_behind() {
    let schedules = std::env::var(SCHEDULES_VARIABLE).map_or(100_000, |number| number.parse().expect("a number"));
    let (runs, warm) = (Cell::new(0), schedules / 10);
    let workers_had = RefCell::new(Vec::new());
    let ever = RefCell::new(BTreeSet::new());
    let explore = |number| {
        runs.set(0);
        let report = Explorer::new().limit(1).random(number - 1, 1).check(|| {
            runs.set(runs.get() + 1);
            let queue = Queue::bounded(2)?;
            let (value, lock) = (Value::new(0)?, Some(Lock::new()?));
            let mut workers = vec![
                try_worker("ann", Counts::Puts(queue.clone(), 3))?,
                try_worker("bob", Counts::Gets(queue, 3))?,
                try_worker("cyd", Increments { value, lock, times: 1 })?,
            ];
            ever.borrow_mut().extend(workers.iter().map(Process::pid));
            if runs.get() == warm {
                workers_had.replace(workers.iter().map(|worker| Has::of(worker.pid())).collect::<Vec<_>>());
            }
            if runs.get() == schedules {
                for (worker, had) in workers.iter().zip(&*workers_had.borrow()) {
                    Has::of(worker.pid()).check(had);
                }
            }
            join_all(workers.drain(..).map(Ok))?;
            Ok(())
        });
        assert_eq!(report.expect("nothing is checked").schedules, number);
    };
    explore(warm);
    let before = Has::of(std::process::id());
    explore(schedules);
    Has::of(std::process::id()).check(&before);
    assert_eq!(ever.borrow().len(), 6, "3 processes for each exploration");
    assert!(ever.borrow().iter().all(|pid| !is_running(*pid)));
}

#[test]
fn some_schedules_leave_nothing_behind() {
    let _watchdog = watchdog("some_schedules_leave_nothing_behind");
    let program = std::env::current_exe().expect("this program");
    let mut alone = Command::new(program);
    alone.args(["explore::many_schedules_leave_nothing_behind", "--exact", "--ignored"]);
    let output = alone.env(SCHEDULES_VARIABLE, "2000").output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn lost_update_is_found_with_the_fewest_switches() {
    let _watchdog = watchdog("lost_update_is_found_with_the_fewest_switches");
    let failure = increments(&Explorer::new(), 2, 1, false).expect_err("an update is lost");
    assert_eq!((failure.schedule.as_str(), failure.reason.as_str()), ("ab2a@", "the sum is 1"));
}

#[test]
fn increments_with_a_lock_hold_in_every_schedule() {
    let _watchdog = watchdog("increments_with_a_lock_hold_in_every_schedule");
    let report = increments(&Explorer::new().all(true), 2, 2, true).expect("none is lost");
    assert_eq!((report.schedules, report.exhausted), (6, true));
}

#[test]
fn schedule_in_the_environment_is_the_only_one() {
    let _watchdog = watchdog("schedule_in_the_environment_is_the_only_one");
    let passes = |schedule: &str| {
        let test = "explore::lost_update_is_found_with_the_fewest_switches";
        let program = std::env::current_exe().expect("this program");
        let mut command = Command::new(program);
        let output = command.args([test, "--exact"]).env("IPC_DEMO_SCHEDULE", schedule).output().expect("it runs");
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    assert!(passes("ab2a@").0);
    let (passed, said) = passes("a2b2@");
    assert!(!passed && said.contains("an update is lost: Report { schedules: 1"), "{said}");
    let (passed, said) = passes("a2c");
    assert!(!passed && said.contains("step 3: c has not started"), "{said}");
    let (passed, said) = passes("a2?");
    assert!(!passed && said.contains("expected a worker's letter at \\\"?\\\""), "{said}");
}

#[test]
fn locks_in_the_opposite_order_deadlock() {
    let _watchdog = watchdog("locks_in_the_opposite_order_deadlock");
    let check = |ordered: bool| {
        Explorer::new().all(true).check(|| {
            let (one, other) = (Lock::new()?, Lock::new()?);
            let (first, second) = if ordered { (&one, &other) } else { (&other, &one) };
            join_all([
                try_worker("ann", TakesBoth { first: one.clone(), second: other.clone() }),
                try_worker("bob", TakesBoth { first: first.clone(), second: second.clone() }),
            ])?;
            Ok(())
        })
    };
    assert_eq!(check(true).expect("no deadlock").schedules, 2);
    let failure = check(false).expect_err("a deadlock");
    assert!(failure.reason.starts_with("deadlock: ann waits in lock.acquire, bob waits in lock.acquire"), "{failure}");
    assert_eq!(failure.schedule, "ab");
}

/// Lets two workers acquire two locks in the opposite order, each with a timeout. Returns who was refused, for each
/// schedule.
fn locks_in_time(explorer: &Explorer, timeouts_s: [u64; 2]) -> (Report, Vec<[bool; 2]>) {
    let refused = RefCell::new(Vec::new());
    let report = explorer.check(|| {
        let (one, other) = (Lock::new()?, Lock::new()?);
        let role = |first: &Lock, second: &Lock, seconds| TakesBothInTime {
            first: first.clone(),
            second: second.clone(),
            timeout: Duration::from_secs(seconds),
        };
        let workers = join_all([
            try_worker("ann", role(&one, &other, timeouts_s[0])),
            try_worker("bob", role(&other, &one, timeouts_s[1])),
        ])?;
        let is_refused = |index: usize| !workers[index].ended().expect("joined").is_success();
        refused.borrow_mut().push([is_refused(0), is_refused(1)]);
        Ok(())
    });
    let mut refused = refused.into_inner();
    refused.remove(0); // the first schedule runs twice
    (report.expect("nothing is checked"), refused)
}

#[test]
fn time_passes_when_all_are_blocked_until_the_earliest_deadline() {
    let _watchdog = watchdog("time_passes_when_all_are_blocked_until_the_earliest_deadline");
    let all = Explorer::new().all(true);
    let check = |explorer: &Explorer, timeouts_s, schedules, deadlocks, counts: [usize; 4]| {
        let (report, refused) = locks_in_time(explorer, timeouts_s);
        assert_eq!((report.schedules, report.deadlocks, report.exhausted), (schedules, deadlocks, true));
        let count = |who: [bool; 2]| refused.iter().filter(|refused| **refused == who).count();
        assert_eq!([[false, false], [true, false], [false, true], [true, true]].map(count), counts);
    };
    // 4 schedules without a conflict, and 2 with one, in which either can time out: a tie is a choice.
    check(&all, [1, 1], 8, 4, [4, 2, 2, 0]);
    // The earlier deadline comes first.
    check(&all, [1, 2], 6, 2, [4, 2, 0, 0]);
    // Where one has released its second lock and not its first, the other may give up: both then release in 2 orders.
    check(&all.timeouts(1), [1, 1], 12, 4, [4, 4, 4, 0]);
}

#[test]
fn spawner_waits_for_a_worker_in_virtual_time() {
    let _watchdog = watchdog("spawner_waits_for_a_worker_in_virtual_time");
    let report = Explorer::new().check(|| {
        let lock = Lock::new()?;
        let role = TakesBothInTime { first: Lock::new()?, second: lock.clone(), timeout: Duration::from_secs(7_200) };
        let (held, theirs) = (lock.acquire()?, role.first.clone());
        let mut worker = try_worker("ann", role)?;
        assert!(worker.join_timeout(Duration::from_secs(3_600))?.is_none());
        assert!(theirs.acquire_timeout(Duration::from_secs(1))?.is_none());
        assert!(worker.join_timeout(Duration::from_secs(3_000))?.is_none());
        assert!(worker.join_timeout(Duration::from_secs(600))?.is_some());
        drop(held);
        Ok(())
    });
    let report = report.expect("the times add up");
    assert_eq!((report.schedules, report.deadlocks), (1, 1));
}

#[test]
fn join_that_times_out_is_a_turn_of_all_that_are_blocked() {
    let _watchdog = watchdog("join_that_times_out_is_a_turn_of_all_that_are_blocked");
    let seen = |explorer: Explorer, timeout_s: u64| {
        let seen = RefCell::new(BTreeSet::new());
        let report = explorer.check(|| {
            let (lock, timeout) = (Lock::new()?, Duration::from_secs(2));
            let _held = lock.acquire()?;
            let mut worker = try_worker("ann", TakesBothInTime { first: Lock::new()?, second: lock.clone(), timeout })?;
            let ended = worker.join_timeout(Duration::from_secs(timeout_s))?;
            seen.borrow_mut().insert(ended.map_or("running", |ended| match ended.status {
                ExitStatus::Signal(9) => "killed",
                _ => "refused",
            }));
            Ok(())
        });
        assert!(report.expect("nothing is checked").exhausted);
        seen.into_inner()
    };
    for explorer in [Explorer::new(), Explorer::new().all(true)] {
        assert_eq!(seen(explorer.clone(), 1), BTreeSet::from(["running"]));
        assert_eq!(seen(explorer.clone(), 2), BTreeSet::from(["running", "refused"]), "either is the first");
        assert_eq!(seen(explorer.clone(), 3), BTreeSet::from(["refused"]));
        // An operation may time out early. A join does not.
        assert_eq!(seen(explorer.clone().timeouts(1), 1), BTreeSet::from(["running"]));
        assert_eq!(seen(explorer.kills(1), 1), BTreeSet::from(["running", "killed"]));
    }
}

#[test]
fn closure_that_waits_for_ever_is_a_deadlock() {
    let _watchdog = watchdog("closure_that_waits_for_ever_is_a_deadlock");
    let check = |closure: fn() -> ipc_demo::Result<()>| {
        let failure = Explorer::new().check(|| Ok(closure()?)).expect_err("a deadlock");
        (failure.schedule, failure.reason)
    };
    let (schedule, reason) = check(|| {
        let queue = Queue::bounded(1)?;
        let mut worker = try_worker("ann", Counts::Puts(queue.clone(), 1))?;
        queue.get()?;
        queue.get()?;
        worker.join().map(drop)
    });
    assert_eq!((schedule.as_str(), reason.as_str()), ("a@", "deadlock: the closure waits in queue.get"));
    let (schedule, reason) = check(|| {
        let (first, second) = (Lock::new()?, Lock::new()?);
        let held = second.acquire()?;
        let mut worker = try_worker("ann", TakesBoth { first: first.clone(), second: second.clone() })?;
        drop((first.acquire()?, held));
        worker.join().map(drop)
    });
    let both = "deadlock: ann waits in lock.acquire, the closure waits in lock.acquire";
    assert_eq!((schedule.as_str(), reason.as_str()), ("@a", both));
    let (schedule, reason) = check(|| {
        Event::new()?.wait();
        Ok(())
    });
    assert_eq!((schedule.as_str(), reason.as_str()), ("", "deadlock: the closure waits in event.wait"));
}

#[test]
fn closure_that_tries_for_ever_is_cut_off() {
    let _watchdog = watchdog("closure_that_tries_for_ever_is_cut_off");
    for closure in [|event: &Event| event.is_set(), |event: &Event| event.wait_timeout(Duration::from_secs(1))] {
        let report = Explorer::new().limit(1).check(|| {
            let event = Event::new()?;
            while !closure(&event) {}
            Ok(())
        });
        let report = report.expect("that is no failure");
        assert_eq!((report.schedules, report.cut, report.exhausted), (1, 1, false));
    }
}

#[test]
fn worker_that_never_comes_to_an_operation_is_named() {
    let _watchdog = watchdog("worker_that_never_comes_to_an_operation_is_named");
    let failure = Explorer::new().check(|| Ok(join_all([try_worker("ann", Idles)]).map(drop)?));
    let reason = failure.expect_err("it never comes").reason;
    assert_eq!(reason, "ann reached no operation on a shared object within 5 s");
}

#[test]
fn datagram_arrives_before_or_after_the_look() {
    let _watchdog = watchdog("datagram_arrives_before_or_after_the_look");
    let seen = RefCell::new(BTreeSet::new());
    let report = Explorer::new().check(|| {
        let (sender, mut receiver) = datagrams()?;
        let mut worker = try_worker("ann", SendsDatagram(sender))?;
        let end = |received: ipc_demo::Result<Option<u32>>| received.unwrap_or(Some(0));
        seen.borrow_mut().insert([end(receiver.try_receive()), end(receiver.try_receive())]);
        worker.join()?;
        let error = wait(&[&receiver], None).expect_err("it is not scheduled").to_string();
        assert!(error.ends_with("it waits for several objects at once"), "{error}");
        Ok(())
    });
    assert!(report.expect("nothing is checked").exhausted);
    let wanted = [[None, None], [None, Some(7)], [Some(7), None], [Some(7), Some(0)]];
    assert_eq!(seen.into_inner(), BTreeSet::from(wanted), "the sender's end is closed after the message");
}

#[test]
fn condition_that_times_out_waits_for_its_lock() {
    let _watchdog = watchdog("condition_that_times_out_waits_for_its_lock");
    let report = Explorer::new().timeouts(1).check(|| {
        let (lock, condition) = (Lock::new()?, Condition::new()?);
        let waits = Notices::Waits(lock.clone(), condition.clone(), Duration::from_secs(1));
        let workers = join_all([
            try_worker("ann", waits),
            try_worker("bob", Notices::Notifies(lock.clone(), condition.clone())),
        ])?;
        assert!(workers.iter().all(|worker| worker.ended().expect("joined").is_success()));
        Ok(())
    });
    assert!(report.expect("nobody is stuck").exhausted);
}

#[test]
fn schedule_without_end_is_cut_off() {
    let _watchdog = watchdog("schedule_without_end_is_cut_off");
    let report = Explorer::new()
        .limit(1)
        .check(|| join_all([try_worker("ann", Retries(Event::new()?))]).map(drop).map_err(Into::into));
    let report = report.expect("that is no failure");
    assert_eq!((report.schedules, report.cut, report.deadlocks, report.exhausted), (1, 1, 1, false));
}

#[test]
fn items_arrive_in_order_in_every_schedule_of_a_queue() {
    let _watchdog = watchdog("items_arrive_in_order_in_every_schedule_of_a_queue");
    // Puts and gets depend on each other: each order is a class.
    for (capacity, schedules, all) in [(5, 42, true), (2, 16, true), (5, 42, false), (2, 16, false)] {
        let report = Explorer::new().all(all).check(|| {
            let queue = Queue::bounded(capacity)?;
            let workers = join_all([
                try_worker("producer", Counts::Puts(queue.clone(), 5)),
                try_worker("consumer", Counts::Gets(queue.clone(), 5)),
            ])?;
            assert!(workers.iter().all(|worker| worker.ended().expect("joined").is_success()));
            Ok(())
        });
        assert_eq!(report.expect("all in order").schedules, schedules);
    }
}

#[test]
fn last_drop_of_an_end_is_a_step() {
    let _watchdog = watchdog("last_drop_of_an_end_is_a_step");
    let all = Explorer::new().all(true);
    let run = |ends: fn() -> ipc_demo::Result<[End; 2]>| {
        let seen = RefCell::new(BTreeSet::new());
        let report = all.check(|| {
            let [puts, gets] = ends()?;
            let found = Value::new(0)?;
            join_all([
                try_worker("ann", UsesEnd { end: puts, found: found.clone() }),
                try_worker("bob", UsesEnd { end: gets, found: found.clone() }),
            ])?;
            seen.borrow_mut().insert(found.get());
            Ok(())
        });
        (report.expect("nothing is checked").schedules, seen.into_inner())
    };
    // ann puts and drops; bob gets, tries, notes and drops. After the put, ann's drop comes at one of 5 places.
    let both = (5, BTreeSet::from([EMPTY, DISCONNECTED]));
    let queue = || Queue::<u32>::bounded(2).map(|queue| [End::Puts(queue.producer()), End::Gets(queue.consumer())]);
    assert_eq!(run(queue), both);
    let pipe = || pipe().map(|(receiver, sender)| [End::Sends(sender), End::Receives(receiver)]);
    assert_eq!(run(pipe), both);
}

#[test]
fn drop_of_an_end_is_noticed_in_every_order() {
    let _watchdog = watchdog("drop_of_an_end_is_noticed_in_every_order");
    let seen = |all, looks_at: usize| {
        let seen = RefCell::new(BTreeSet::new());
        let report = Explorer::new().all(all).check(|| {
            let queue = Queue::<u32>::bounded(1)?;
            let (producers, consumer) = ([queue.producer(), queue.producer()], queue.consumer());
            drop(queue);
            let (found, afters) = (Value::new(0)?, [Value::new(0)?, Value::new(0)?]);
            let mut workers = Vec::new();
            for (end, after) in producers.into_iter().zip(&afters) {
                let role = Leaves::Drops { end, before: Value::new(0)?, after: after.clone() };
                workers.push(try_worker("producer", role)?);
            }
            let (after, found_by) = (afters[looks_at].clone(), found.clone());
            workers.push(try_worker("consumer", Leaves::Looks { end: consumer, after, found: found_by })?);
            join_all(workers.into_iter().map(Ok))?;
            seen.borrow_mut().insert(found.get());
            Ok(())
        });
        assert!(report.expect("nothing is checked").exhausted);
        seen.into_inner()
    };
    let every = BTreeSet::from([EMPTY, DISCONNECTED, 10 + EMPTY, 10 + DISCONNECTED]);
    for looks_at in [0, 1] {
        assert_eq!([true, false].map(|all| seen(all, looks_at)), [every.clone(), every.clone()], "{looks_at}");
    }
}

#[test]
fn put_of_more_than_there_is_room_for_takes_several_steps() {
    let _watchdog = watchdog("put_of_more_than_there_is_room_for_takes_several_steps");
    let both_in_order = |explorer: Explorer| {
        let report = explorer.check(|| {
            let queue = Queue::bounded(2)?;
            let puts = || Counts::PutsMany(queue.producer(), 3);
            let (ann, bob, gets) = (puts(), puts(), Counts::GetsBoth(queue.consumer(), 3));
            drop(queue);
            let workers = join_all([try_worker("ann", ann), try_worker("bob", bob), try_worker("cyd", gets)])?;
            assert_eq!(ends(&workers), ["success"; 3]);
            Ok(())
        });
        report.expect("nobody is stuck")
    };
    let report = both_in_order(Explorer::new());
    assert!(report.exhausted, "{report:?}");
    assert_eq!(report, both_in_order(Explorer::new().all(true)), "all steps concern the queue");
    let (_, seen) = with_kills(|| {
        let queue = Queue::bounded(2)?;
        let (puts, gets) = (Counts::PutsMany(queue.producer(), 3), Counts::GetsBoth(queue.consumer(), 2));
        drop(queue);
        join_all([try_worker("ann", puts), try_worker("bob", gets)])
    });
    // One gets 2 of 3 and expects no third; or the other end is gone, early or late.
    let wanted = [["killed", "failed"], ["failed", "killed"], ["success", "killed"], ["success", "failed"]];
    assert_eq!(seen, wanted.map(Vec::from).into());
}

/// Returns how each worker ended: killed, failed or with success.
fn ends(workers: &[Process]) -> Vec<&'static str> {
    let end = |worker: &Process| match worker.ended().expect("joined") {
        ended if ended.status == ExitStatus::Signal(9) => "killed",
        ended if ended.is_success() => "success",
        _ => "failed",
    };
    workers.iter().map(end).collect()
}

#[test]
fn worker_is_killed_at_every_point() {
    let _watchdog = watchdog("worker_is_killed_at_every_point");
    let killed = AtomicU64::new(0);
    let put_three_each = || {
        let queue = Queue::bounded(6)?;
        let workers = join_all([
            try_worker("ann", Counts::Puts(queue.clone(), 3)),
            try_worker("bob", Counts::Puts(queue.clone(), 3)),
        ])?;
        killed.fetch_add(ends(&workers).iter().filter(|end| **end == "killed").count() as u64, Relaxed);
        Ok(())
    };
    let check = |report: Result<Report, Failure>| {
        assert_eq!(report.expect("nothing is checked").schedules, 88);
        assert_eq!(killed.swap(0, Relaxed), 68);
    };
    // Each order of the puts and of a death is a class.
    for explorer in [true, false].map(|all| Explorer::new().all(all).kills(1)) {
        check(explorer.check(put_three_each));
        check(explorer.check_parallel(put_three_each));
    }
}

/// Runs all schedules with at most one kill, and one of each class. Returns their number, and how the workers ended.
fn with_kills(play: impl Fn() -> ipc_demo::Result<Vec<Process>>) -> ([u64; 2], BTreeSet<Vec<&'static str>>) {
    let run = |all| {
        let seen = RefCell::new(BTreeSet::new());
        let report = Explorer::new().all(all).kills(1).check(|| {
            seen.borrow_mut().insert(ends(&play()?));
            Ok(())
        });
        let report = report.expect("no survivor is blocked forever");
        assert!(report.exhausted);
        (report.schedules, seen.into_inner())
    };
    let ((all, seen), (reduced, seen_by_classes)) = (run(true), run(false));
    assert_eq!(seen, seen_by_classes);
    ([all, reduced], seen)
}

#[test]
fn no_survivor_of_a_kill_is_blocked_for_ever() {
    let _watchdog = watchdog("no_survivor_of_a_kill_is_blocked_for_ever");
    // One worker acquires, loads, stores and releases, and is not killed, or at one of 4 points; then the other one
    // does. Or both: while one is at one of its last 3 points, the other one is blocked, and is killed there or at its
    // first point, before the first acquires.
    let value_and_lock = || {
        let (value, lock) = (Value::new(0)?, Lock::new()?);
        let role = || Increments { value: value.clone(), lock: Some(lock.clone()), times: 1 };
        join_all([try_worker("ann", role()), try_worker("bob", role())])
    };
    let either = |ends: [&'static str; 2]| [vec![ends[0], ends[1]], vec![ends[1], ends[0]]];
    let (schedules, seen) = with_kills(value_and_lock);
    let none_or_one: BTreeSet<_> =
        either(["killed", "success"]).into_iter().chain([vec!["success", "success"]]).collect();
    assert_eq!((schedules[0], &seen), (all_with_a_kill(4), &none_or_one));
    // The queue's other end learns it: the consumer fails, and the producer too if it finds no room.
    let queue = || {
        let queue = Queue::bounded(1)?;
        let (puts, gets) = (End::Puts(queue.producer()), End::Gets(queue.consumer()));
        drop(queue);
        let found = Value::new(0)?;
        let role = |end| UsesEnd { end, found: found.clone() };
        join_all([try_worker("ann", role(puts)), try_worker("bob", role(gets))])
    };
    let (_, seen) = with_kills(queue);
    assert!(seen.contains(&vec!["killed", "failed"]) && seen.contains(&vec!["failed", "killed"]), "{seen:?}");
    let barrier = || {
        let barrier = Barrier::new(2)?;
        join_all([try_worker("ann", MeetsOrBreaks(barrier.clone())), try_worker("bob", MeetsOrBreaks(barrier))])
    };
    assert_eq!(with_kills(barrier).1, none_or_one);
}

/// Returns the number of schedules of two workers that perform `steps` operations each under one lock, of which the
/// first acquires it and the last releases it, with at most one kill.
fn all_with_a_kill(steps: usize) -> u64 {
    /// How many operations each has performed; `None` is dead.
    fn count(at: [Option<usize>; 2], steps: usize, may_kill: bool) -> u64 {
        let is_inside = |who: usize| at[who].is_some_and(|at| (1..steps).contains(&at));
        let mut schedules = 0;
        for who in 0..2 {
            let Some(own) = at[who].filter(|own| *own < steps) else { continue };
            if own > 0 || !is_inside(1 - who) {
                schedules += count(with(at, who, Some(own + 1)), steps, may_kill);
            }
            if may_kill {
                schedules += count(with(at, who, None), steps, false);
            }
        }
        schedules.max(1)
    }
    fn with(mut at: [Option<usize>; 2], who: usize, now: Option<usize>) -> [Option<usize>; 2] {
        at[who] = now;
        at
    }
    count([Some(0); 2], steps, true)
}

#[test]
fn survivor_that_waits_for_the_dead_is_found() {
    let _watchdog = watchdog("survivor_that_waits_for_the_dead_is_found");
    let play = || {
        let (ready, waiting, wake) = (Value::new(0)?, Value::new(0)?, Semaphore::new(0)?);
        let role = |does| Wakes { ready: ready.clone(), waiting: waiting.clone(), wake: wake.clone(), does };
        join_all([try_worker("ann", role(WakeRole::Waits)), try_worker("bob", role(WakeRole::Wakes))])?;
        Ok(())
    };
    assert!(Explorer::new().check(play).expect("it is woken").exhausted);
    let failure = Explorer::new().kills(1).check(play).expect_err("nobody wakes it");
    assert_eq!(failure.reason, "deadlock: ann waits in semaphore.acquire");
    assert!(failure.schedule.contains("b!"), "{failure}");
}

#[test]
fn lost_wake_up_is_found() {
    let _watchdog = watchdog("lost_wake_up_is_found");
    let explore = |explorer: Explorer, does| {
        explorer.check(|| {
            let (ready, waiting, wake) = (Value::new(0)?, Value::new(0)?, Semaphore::new(0)?);
            let role = |does| Wakes { ready: ready.clone(), waiting: waiting.clone(), wake: wake.clone(), does };
            join_all([try_worker("ann", role(does)), try_worker("bob", role(WakeRole::Wakes))])?;
            Ok(())
        })
    };
    for explorer in [Explorer::new(), Explorer::new().all(true), Explorer::new().limit(1).random(100, 1)] {
        let failure = explore(explorer, WakeRole::WaitsLate).expect_err("a wake-up is lost");
        assert_eq!(failure.reason, "deadlock: ann waits in semaphore.acquire");
        assert_eq!(failure.schedule, "ab2a");
    }
    let report = explore(Explorer::new().all(true), WakeRole::Waits).expect("none is lost");
    // ann says and looks, bob says and looks: 6 orders. In 2 of them bob's wake-up can come before or after ann's look.
    assert_eq!((report.schedules, report.exhausted), (8, true));
}

#[test]
fn who_waits_is_let_go_in_every_schedule() {
    let _watchdog = watchdog("who_waits_is_let_go_in_every_schedule");
    let report = Explorer::new().check(|| {
        let (permits, barrier, event) = (Semaphore::new(1)?, Barrier::new(2)?, Event::new()?);
        let role = || Meets { permits: permits.clone(), barrier: barrier.clone(), event: event.clone() };
        let workers = join_all([try_worker("ann", role()), try_worker("bob", role())])?;
        for worker in &workers {
            assert!(worker.ended().expect("joined").is_success(), "{:?}", worker.ended());
        }
        Ok(())
    });
    assert!(report.expect("all hold").exhausted);
}

#[test]
fn closure_that_does_not_repeat_itself_is_refused() {
    let _watchdog = watchdog("closure_that_does_not_repeat_itself_is_refused");
    let runs = Cell::new(0);
    let failure = Explorer::new().check(|| {
        runs.set(runs.get() + 1);
        sum_of(1, runs.get(), false)?;
        Ok(())
    });
    let failure = failure.expect_err("the second run has more steps");
    let how = "step 3 differs from the same step of an earlier schedule \
               (then @ at value.get of object 0, now a at value.get of object 0): the program is not deterministic";
    assert_eq!(failure.reason, how);
}

#[test]
fn worker_of_an_earlier_schedule_is_refused() {
    let _watchdog = watchdog("worker_of_an_earlier_schedule_is_refused");
    let kept = RefCell::new(None::<Process>);
    let failure = Explorer::new().check(|| {
        let value = Value::new(0)?;
        let role = || Increments { value: value.clone(), lock: None, times: 1 };
        let mut worker = try_worker("ann", role())?;
        if let Some(kept) = &mut *kept.borrow_mut() {
            assert!(!kept.is_alive() && worker.is_alive());
            assert!(kept.kill().is_err() && worker.is_alive());
            kept.join()?;
        }
        worker.join()?;
        kept.replace(Some(try_worker("bob", role())?));
        Ok(())
    });
    let failure = failure.expect_err("the first schedule has ended");
    assert_eq!(failure.reason, "the schedule cannot continue: an earlier schedule started this worker");
    let error = kept.take().expect("the worker").join().expect_err("the exploration has ended").to_string();
    assert!(error.ends_with("the exploration that started this worker has ended"), "{error}");
}

#[test]
fn random_schedules_come_when_the_limit_is_not_enough() {
    let _watchdog = watchdog("random_schedules_come_when_the_limit_is_not_enough");
    let explorer = Explorer::new().limit(1).random(200, 1);
    let failure = increments(&explorer, 2, 2, false).expect_err("one of 200 loses an update");
    assert!(failure.held >= 1);
    let report = increments(&explorer, 2, 1, true).expect("none with a lock");
    assert_eq!((report.schedules, report.exhausted), (201, false));
}

#[test]
fn lanes_run_the_same_schedules() {
    let _watchdog = watchdog("lanes_run_the_same_schedules");
    for explorer in [Explorer::new(), Explorer::new().all(true)] {
        let one = RefCell::new(BTreeSet::new());
        let report = explorer.check(|| {
            one.borrow_mut().insert(sum_of(3, 1, false)?);
            Ok(())
        });
        let all = Mutex::new(BTreeSet::new());
        let threads = Mutex::new(BTreeSet::new());
        let parallel = explorer.check_parallel(|| {
            all.lock().expect("no panic").insert(sum_of(3, 1, false)?);
            threads.lock().expect("no panic").insert(format!("{:?}", std::thread::current().id()));
            Ok(())
        });
        assert_eq!(parallel.expect("nothing is checked"), report.expect("nothing is checked"));
        assert_eq!(all.into_inner().expect("no panic"), one.into_inner());
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        assert!(threads.into_inner().expect("no panic").len() <= processors);
    }
    // With reduction and kills, and with early timeouts; the limit holds for all lanes together.
    let put = || {
        let queue = Queue::bounded(2)?;
        let role = || Counts::Puts(queue.clone(), 2);
        join_all([try_worker("ann", role()), try_worker("bob", Counts::Gets(queue.clone(), 2))]).map(drop)
    };
    let in_time = || {
        let (one, other, timeout) = (Lock::new()?, Lock::new()?, Duration::from_secs(1));
        let role =
            |first: &Lock, second: &Lock| TakesBothInTime { first: first.clone(), second: second.clone(), timeout };
        join_all([try_worker("ann", role(&one, &other)), try_worker("bob", role(&other, &one))]).map(drop)
    };
    let (kills, early) = (Explorer::new().kills(1), Explorer::new().timeouts(2));
    assert_eq!(kills.check(|| Ok(put()?)), kills.check_parallel(|| Ok(put()?)));
    assert_eq!(early.check(|| Ok(in_time()?)), early.check_parallel(|| Ok(in_time()?)));
    let limited = Explorer::new().all(true).limit(50).check_parallel(|| Ok(sum_of(3, 1, false).map(drop)?));
    let limited = limited.expect("nothing is checked");
    assert_eq!((limited.schedules, limited.exhausted), (50, false));
    let lost = |explorer: &Explorer| {
        let check = || match sum_of(2, 2, false)? {
            4 => Ok(()),
            sum => Err(format!("the sum is {sum}").into()),
        };
        [explorer.check(check), explorer.check_parallel(check)].map(|outcome| outcome.expect_err("an update is lost"))
    };
    for _ in 0..5 {
        let [one, parallel] = lost(&Explorer::new());
        assert_eq!(one, parallel);
    }
}

#[test]
fn number_of_schedules_is_estimated_when_the_limit_is_not_enough() {
    let _watchdog = watchdog("number_of_schedules_is_estimated_when_the_limit_is_not_enough");
    let estimate = |explorer: Explorer| {
        let report = explorer.check(|| sum_of(3, 2, false).map(drop).map_err(Into::into)).expect("nothing is checked");
        assert_eq!((report.schedules, report.exhausted), (10, false));
        report.estimate.expect("it was cut short")
    };
    // There are 34,650. The same seed gives the same estimate.
    let estimates = [Explorer::new().limit(10), Explorer::new().all(true).limit(10)].map(estimate);
    assert!(estimates[0] == estimates[1] && (17_000..70_000).contains(&estimates[0]), "{estimates:?}");
    let report = Explorer::new().all(true).limit(70).check(|| sum_of(2, 2, false).map(drop).map_err(Into::into));
    let report = report.expect("nothing is checked");
    assert_eq!((report.schedules, report.exhausted, report.estimate), (70, true, None));
}

/// Starts workers with objects of a new manager. Returns all when the workers have ended.
fn with_manager<T, const N: usize>(
    make: impl Fn(&manager::Manager) -> ipc_demo::Result<([UsesManager; N], T)>,
) -> ipc_demo::Result<(manager::Manager, Vec<Process>, T)> {
    let manager = start_manager(|options| options);
    let (roles, made) = make(&manager)?;
    let started: Vec<_> = ["ann", "bob", "cyd"].iter().zip(roles).map(|(name, role)| try_worker(name, role)).collect();
    Ok((manager, join_all(started)?, made))
}

/// Explores all schedules, and one of each class, with the same outcomes. Returns their numbers, and the outcomes.
fn outcomes<T: Ord>(play: impl Fn() -> ipc_demo::Result<T>) -> ([u64; 2], BTreeSet<T>) {
    let run = |all| {
        let seen = RefCell::new(BTreeSet::new());
        let report = Explorer::new().all(all).check(|| {
            seen.borrow_mut().insert(play()?);
            Ok(())
        });
        let report = report.expect("nothing is checked");
        assert!(report.exhausted);
        (report.schedules, seen.into_inner())
    };
    let ((all, seen), (reduced, seen_by_classes)) = (run(true), run(false));
    assert!(seen == seen_by_classes, "the classes have the same outcomes");
    ([all, reduced], seen)
}

#[test]
fn update_that_is_lost_in_a_manager_is_found() {
    let _watchdog = watchdog("update_that_is_lost_in_a_manager_is_found");
    let sum = |is_locked: bool| {
        let (_manager, workers, dict) = with_manager(|manager| {
            let dict = manager.dict()?;
            let lock = is_locked.then(|| manager.lock()).transpose()?;
            let role = || UsesManager::Increments(dict.clone(), lock.clone());
            Ok(([role(), role()], dict))
        })?;
        assert!(workers.iter().all(|worker| worker.ended().expect("joined").is_success()));
        dict.get("sum").map(|sum| sum.and_then(|sum| sum.as_int::<u64>()).unwrap_or(0))
    };
    let explore = |is_locked| {
        Explorer::new().check(|| match sum(is_locked)? {
            2 => Ok(()),
            sum => Err(format!("the sum is {sum}").into()),
        })
    };
    let failure = explore(false).expect_err("an update is lost");
    // The spawner creates the dict, and reads the sum.
    assert_eq!((failure.schedule.as_str(), failure.reason.as_str()), ("@ab2a@", "the sum is 1"));
    let report = explore(true).expect("the lock prevents it");
    assert_eq!((report.schedules, report.exhausted), (2, true));
    // One after the other, or both read first.
    assert_eq!(outcomes(|| sum(false)), ([6, 4], BTreeSet::from([1, 2])));
    assert_eq!(outcomes(|| sum(true)), ([2, 2], BTreeSet::from([2])));
}

#[test]
fn calls_of_a_manager_are_independent_if_their_objects_are() {
    let _watchdog = watchdog("calls_of_a_manager_are_independent_if_their_objects_are");
    let own = |manager: &manager::Manager| {
        Ok(([manager.dict()?, manager.dict()?].map(|dict| UsesManager::Increments(dict, None)), ()))
    };
    assert_eq!(outcomes(|| with_manager(own).map(drop)).0, [6, 1]);
    let reads = |manager: &manager::Manager| {
        let dict = manager.dict()?;
        Ok(([UsesManager::Reads(dict.clone()), UsesManager::Reads(dict)], ()))
    };
    assert_eq!(outcomes(|| with_manager(reads).map(drop)).0, [6, 1]);
    // One of them follows a reference to the object of the other.
    let across = || {
        let (_manager, _, inner) = with_manager(|manager| {
            let (outer, inner) = (manager.dict()?, manager.dict()?);
            outer.insert("inner", &inner)?;
            let across = UsesManager::Sets(outer, ["inner", "sum"].map(str::to_owned).into());
            Ok(([across, UsesManager::Increments(inner.clone(), None)], inner))
        })?;
        inner.get("sum").map(|sum| sum.and_then(|sum| sum.as_str().map(str::to_owned)))
    };
    assert_eq!(outcomes(across), ([3, 3], BTreeSet::from([None, Some("mine".to_owned())])));
}

#[test]
fn waiter_of_a_managers_condition_may_come_too_late() {
    let _watchdog = watchdog("waiter_of_a_managers_condition_may_come_too_late");
    let explore = |looks_again| {
        Explorer::new().check(|| {
            let (_manager, workers, ()) = with_manager(|manager| {
                let (condition, goods) = (manager.condition()?, manager.list()?);
                let gets = || UsesManager::Gets(condition.clone(), goods.clone(), looks_again);
                Ok(([gets(), gets(), UsesManager::Puts(condition.clone(), goods.clone())], ()))
            })?;
            match workers.iter().find_map(|worker| worker.ended().expect("joined").failure.as_ref()) {
                None => Ok(()),
                Some(failure) => Err(failure.message.clone().into()),
            }
        })
    };
    let failure = explore(false).expect_err("another gets what it was notified of");
    assert_eq!(failure.reason, "it is gone");
    assert!(explore(true).expect("it waits again").exhausted);
}

#[test]
fn no_survivor_of_a_kill_is_blocked_for_ever_at_a_manager() {
    let _watchdog = watchdog("no_survivor_of_a_kill_is_blocked_for_ever_at_a_manager");
    let locked = |manager: &manager::Manager| {
        let (dict, lock) = (manager.dict()?, manager.lock()?);
        let role = || UsesManager::Increments(dict.clone(), Some(lock.clone()));
        Ok(([role(), role()], ()))
    };
    let ([all, _], seen) = with_kills(|| with_manager(locked).map(|(_, workers, ())| workers));
    let none_or_one: BTreeSet<_> =
        [["success", "success"], ["killed", "success"], ["success", "killed"]].map(Vec::from).into();
    assert_eq!((all, &seen), (all_with_a_kill(4), &none_or_one));
    let meets = |manager: &manager::Manager| {
        let barrier = manager.barrier(2)?;
        Ok(([UsesManager::Meets(barrier.clone()), UsesManager::Meets(barrier)], ()))
    };
    assert_eq!(with_kills(|| with_manager(meets).map(|(_, workers, ())| workers)).1, none_or_one);
}

#[test]
fn calls_of_a_manager_time_out_in_virtual_time() {
    let _watchdog = watchdog("calls_of_a_manager_time_out_in_virtual_time");
    let report = Explorer::new().check(|| {
        let manager = start_manager(|options| options);
        let lock = manager.lock()?;
        let _held = lock.acquire()?;
        let role = UsesManager::TimesOut(lock.clone(), manager.condition()?, manager.barrier(2)?);
        let workers = join_all([try_worker("ann", role)])?;
        assert!(workers[0].ended().expect("joined").is_success(), "{:?}", workers[0].ended());
        Ok(())
    });
    assert_eq!(report.expect("it ends").schedules, 1);
}

#[test]
fn end_of_a_managers_client_that_holds_something_is_a_step() {
    let _watchdog = watchdog("end_of_a_managers_client_that_holds_something_is_a_step");
    let deliveries = || {
        let (_manager, workers, ()) = with_manager(|manager| {
            let tasks = manager.joinable_queue(0)?;
            tasks.put("task")?;
            Ok(([(); 2].map(|()| UsesManager::Leaves(tasks.clone())), ()))
        })?;
        let failure = |worker: &Process| Some(worker.ended()?.failure.as_ref()?.message.clone());
        Ok(workers.iter().map(|worker| failure(worker).unwrap_or_default()).collect::<Vec<_>>())
    };
    // Each gets it and ends, unless the other has it then.
    let ([all, _], seen) = outcomes(deliveries);
    let expected = [["1", "2"], ["2", "1"], ["1", ""], ["", "1"]].map(|both| both.map(str::to_owned).into());
    assert_eq!((all, seen), (4, expected.into()));
}
