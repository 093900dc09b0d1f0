//! The JSON Lines form of every event, as scripts read it: fields may be added, none is renamed or removed.
//!
//! Written apart from the program's own types, so that a change there that would break a script breaks a test here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The worker name of the runner itself.
pub(crate) const RUNNER: &str = "runner";

/// An event in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Microseconds since the run began, on the monotonic clock.
    pub(crate) at_us: u64,
    /// The worker that it happened to, by name, or [`RUNNER`].
    pub(crate) worker: String,
    /// That worker's process ID.
    pub(crate) pid: u32,
    /// What happened.
    #[serde(flatten)]
    pub(crate) fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Fact {
    /// The first event of every run.
    RunStarted {
        /// Name of the scenario.
        scenario: String,
        /// The seed of all random choices.
        seed: u64,
        /// A number, or `"max"`.
        speed: Value,
        /// Version of the program.
        version: String,
        /// The command line, without the program.
        args: Vec<String>,
        /// How many workers the run starts with.
        workers: u32,
        /// The events that the workers can report, and the activities that these begin: the moments that `--kill`
        /// accepts.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        moments: Vec<String>,
    },
    /// A worker was started.
    WorkerStarted {
        /// Its role.
        role: String,
        /// Whether it ends with its parent instead of being waited for.
        daemon: bool,
    },
    /// A worker ended.
    WorkerExited {
        /// Its exit code; none if a signal ended it.
        exit_code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
        /// Its error message, if it failed on its own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// A buyer checked how many tickets are left.
    StockChecked {
        /// The number that it read.
        left: u32,
    },
    /// A buyer bought a ticket.
    TicketBought {
        /// The number that it wrote to the file.
        left: u32,
    },
    /// A buyer found no ticket left.
    TicketRefused {
        /// The number that it read: 0.
        left: u32,
    },
    /// The data file was read while another worker was writing it.
    DataTorn {
        /// Why it could not be parsed.
        error: String,
    },
    /// A worker began to wait for a lock.
    LockWaiting {
        /// Name of the lock.
        lock: String,
    },
    /// A worker acquired a lock.
    LockAcquired {
        /// Name of the lock.
        lock: String,
        /// How long it waited.
        waited_us: u64,
        /// Whether the previous holder died with the lock.
        abandoned: bool,
    },
    /// A worker released a lock.
    LockReleased {
        /// Name of the lock.
        lock: String,
        /// How long it held it.
        held_us: u64,
    },
    /// A message was sent through a pipe.
    MessageSent {
        /// Its content.
        value: Value,
    },
    /// A message was received from a pipe.
    MessageReceived {
        /// Its content.
        value: Value,
    },
    /// An answer was sent back through the same pipe.
    ReplySent {
        /// Its content.
        value: Value,
    },
    /// An answer came back through the same pipe.
    ReplyReceived {
        /// Its content.
        value: Value,
    },
    /// A send on a receive-only end was refused.
    SendRefused {
        /// The error.
        error: String,
    },
    /// The last sender is gone: there will be no more messages.
    EndOfFile,
    /// An item was put into a queue.
    ItemPut {
        /// The item.
        value: Value,
        /// The worker that made it.
        from: String,
        /// 1-based index among that worker's items.
        number: u64,
        /// The number of items in the queue afterwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// An item was removed from a queue.
    ItemGot {
        /// The item.
        value: Value,
        /// The worker that made it.
        from: String,
        /// 1-based index among that worker's items.
        number: u64,
        /// The number of items in the queue afterwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// Whether another worker had it before and died with it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redelivered: bool,
    },
    /// An item was processed.
    TaskDone {
        /// The item.
        value: Value,
        /// The worker that made it.
        from: String,
        /// 1-based index among that worker's items.
        number: u64,
    },
    /// A worker of a pool has begun a task.
    TaskStarted {
        /// The task, from 1.
        task: u64,
    },
    /// It has finished it.
    TaskFinished {
        /// The task.
        task: u64,
        /// Its output.
        value: u64,
    },
    /// The result of a task is an error, because of its last worker.
    TaskFailed {
        /// The task.
        task: u64,
        /// The worker that died last, or was killed because the task took too long.
        last_worker: String,
        /// How many workers died of it; none if it took too long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
        /// The exit code of the last one; none if a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// The signal that ended the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
    /// A put found no space in time.
    QueueFull {
        /// How long it waited for space.
        timeout_us: u64,
    },
    /// A get found no item in time.
    QueueEmpty,
    /// Every item that was put has been processed.
    QueueJoined {
        /// The number of items.
        tasks: u64,
    },
    /// A worker gave up waiting for a lock.
    LockTimedOut {
        /// Name of the lock.
        lock: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// Workers were found waiting for each other in a cycle.
    DeadlockFound {
        /// The cycle: each worker waits for a lock that the next one holds, and the last for one that the first holds.
        cycle: Vec<Link>,
    },
    /// A worker began to wait for a permit of a semaphore.
    PermitWaiting {
        /// Name of the semaphore.
        semaphore: String,
    },
    /// A worker acquired a permit.
    PermitAcquired {
        /// Name of the semaphore.
        semaphore: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// A worker released its permit.
    PermitReleased {
        /// Name of the semaphore.
        semaphore: String,
        /// How long it held it.
        held_us: u64,
    },
    /// A racer is at the starting line and waits for the gun.
    GunAwaited,
    /// The starting gun was fired: the event is set.
    GunFired,
    /// A racer was woken by the gun, or found it already fired, and started.
    GunHeard {
        /// How long it waited.
        waited_us: u64,
    },
    /// A racer crossed the finish line.
    LineCrossed {
        /// How long it ran.
        ran_us: u64,
    },
    /// A worker finished a round and waits for the others.
    BarrierWaiting {
        /// The round, from 1.
        round: u64,
    },
    /// All workers finished the round, and this one goes on.
    BarrierPassed {
        /// The round, from 1.
        round: u64,
        /// How long it waited.
        waited_us: u64,
    },
    /// The barrier broke: the worker no longer waits.
    BarrierBroken {
        /// The round, from 1.
        round: u64,
        /// The cause.
        cause: String,
        /// The process that died, if that is the cause and it is known.
        dead_pid: Option<u32>,
    },
    /// A worker released its lock until a condition is met.
    ConditionWaiting {
        /// What it waits for: `not full` or `not empty`.
        condition: String,
    },
    /// The condition is met, and the worker has reacquired its lock.
    ConditionMet {
        /// What it waited for.
        condition: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// A worker incremented the shared numbers several times.
    IncrementsMade {
        /// Its total number of increments so far.
        made: u64,
        /// The value of the counter at that time.
        seen: u64,
    },
    /// A manager was started, or this process itself serves as one.
    ManagerStarted {
        /// Its process ID.
        manager_pid: u32,
        /// Where it listens for clients other than the workers of this run.
        addresses: Vec<String>,
    },
    /// The runner is a client of a manager elsewhere.
    ManagerConnected {
        /// The manager's address.
        address: String,
    },
    /// Other users of this machine can read the key.
    KeyExposed {
        /// The file that contains it.
        file: String,
    },
    /// An object of a manager was created, or looked up by name.
    ObjectMade {
        /// Its type.
        object: String,
        /// Its name, if it has one: then other clients can use it too, and it persists.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// An object of a manager was read.
    ObjectShown {
        /// Its name in this run.
        object: String,
        /// A copy of its content.
        value: Value,
    },
    /// A worker called a method of an object of a manager.
    ObjectCalled {
        /// The object's name in this run.
        object: String,
        /// The method.
        method: String,
        /// Its arguments.
        args: Vec<Value>,
        /// The return value, if it is not empty.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
    /// A worker waits for an event to be set.
    EventAwaited,
    /// An event was set.
    EventSet,
    /// A worker found the event set, and went on.
    EventSeen {
        /// How long it waited.
        waited_us: u64,
    },
    /// The last event of every run.
    Summary {
        /// Name of the scenario.
        scenario: String,
        /// What the scenario claims about itself.
        claim: String,
        /// Whether the claim was true of this run.
        verdict: Verdict,
        /// Whether the scenario promises the claim.
        guaranteed: bool,
        /// The allowance in the verdict, if a worker was killed or stopped and that shows in the facts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allowance: Option<Allowance>,
        /// Why the run did not finish, if it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// The duration of the run.
        elapsed_us: u64,
        /// The counters: integers and booleans by name.
        facts: Map<String, Value>,
        /// The schedule that was replayed, or the shortest one that violates the claim.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        schedule: Option<String>,
    },
}

/// One link of a deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The worker that waits.
    pub(crate) worker: String,
    /// The lock that it holds.
    pub(crate) holds: String,
    /// The lock that it waits for.
    pub(crate) waits_for: String,
    /// The holder of that lock.
    pub(crate) held_by: String,
}

/// Whether a claim was true of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The claim was true.
    Held,
    /// The claim was false.
    Violated,
    /// The run ended before the claim could be judged.
    NotShown,
}

/// What a verdict allows for: the part of a worker that was killed, or stopped in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Allowance {
    /// What only that worker held is lost.
    Lost,
    /// Its last step was done and not reported.
    Unreported,
    /// It did not finish.
    Unfinished,
}

/// Why a run did not finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// It was asked to stop, or its output was closed.
    Cut,
    /// A worker could not be started, or died unexpectedly.
    Machinery,
    /// The workers that were to finish it were killed, as was asked for.
    Killed,
}
