//! The vocabulary of a run: what can happen, in the form in which it stands in JSON Lines.
//!
//! Names are facts in the past tense. Fields may be added; none is renamed or taken away, because scripts read them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::jsonl::fields_of;

/// The worker name under which the runner itself appears.
pub const RUNNER: &str = "runner";

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Microseconds since the run began, on the monotonic clock.
    pub at_us: u64,
    /// Who it happened to: a worker's name, or [`RUNNER`].
    pub worker: String,
    /// That worker's process id.
    pub pid: u32,
    /// What happened.
    #[serde(flatten)]
    pub fact: Fact,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Fact {
    /// The first event of every run.
    RunStarted {
        /// Name of the scenario.
        scenario: String,
        /// What seeds every random choice.
        seed: u64,
        /// A number, or `"max"`.
        speed: Value,
        /// Version of the program.
        version: String,
        /// The command line, without the program.
        args: Vec<String>,
        /// How many workers the run starts with.
        workers: u32,
        /// What the workers can report, and what begins with it: the moments that `--kill` knows.
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
        /// What it said if it failed by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
    },
    /// A buyer looked how many tickets are left.
    StockChecked {
        /// What it saw.
        left: u32,
    },
    /// A buyer bought a ticket.
    TicketBought {
        /// What it wrote to the file.
        left: u32,
    },
    /// A buyer found no ticket left.
    TicketRefused {
        /// What it saw: none.
        left: u32,
    },
    /// The data file was read while another worker was writing it.
    DataTorn {
        /// Why it could not be understood.
        error: String,
    },
    /// A worker asked for a lock.
    LockWaiting {
        /// Name of the lock.
        lock: String,
    },
    /// A worker got a lock.
    LockAcquired {
        /// Name of the lock.
        lock: String,
        /// How long it waited.
        waited_us: u64,
        /// Whether the holder before it died with the lock.
        abandoned: bool,
    },
    /// A worker gave a lock back.
    LockReleased {
        /// Name of the lock.
        lock: String,
        /// How long it held it.
        held_us: u64,
    },
    /// A message was sent through a pipe.
    MessageSent {
        /// What it says.
        value: Value,
    },
    /// A message was received from a pipe.
    MessageReceived {
        /// What it says.
        value: Value,
    },
    /// An answer was sent back through the same pipe.
    ReplySent {
        /// What it says.
        value: Value,
    },
    /// An answer came back through the same pipe.
    ReplyReceived {
        /// What it says.
        value: Value,
    },
    /// A send on an end that can only receive was refused.
    SendRefused {
        /// Why.
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
        /// The how manieth of that worker's items it is, from 1.
        number: u64,
        /// How many items were in the queue afterwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// An item was taken from a queue.
    ItemGot {
        /// The item.
        value: Value,
        /// The worker that made it.
        from: String,
        /// The how manieth of that worker's items it is, from 1.
        number: u64,
        /// How many items were in the queue afterwards.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// Whether another worker had it before and died with it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redelivered: bool,
    },
    /// An item was worked off.
    TaskDone {
        /// The item.
        value: Value,
        /// The worker that made it.
        from: String,
        /// The how manieth of that worker's items it is, from 1.
        number: u64,
    },
    /// A put found no room in time.
    QueueFull {
        /// How long it waited for room.
        timeout_us: u64,
    },
    /// A get found nothing in time.
    QueueEmpty,
    /// Every item that was put has been worked off.
    QueueJoined {
        /// How many there were.
        tasks: u64,
    },
    /// A worker gave up waiting for a lock.
    LockTimedOut {
        /// Name of the lock.
        lock: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// Workers were found that wait for each other in a ring.
    DeadlockFound {
        /// The ring: each waits for what the next one holds, and the last for what the first holds.
        cycle: Vec<Link>,
    },
    /// A worker asked for a permit of a semaphore.
    PermitWaiting {
        /// Name of the semaphore.
        semaphore: String,
    },
    /// A worker got a permit.
    PermitAcquired {
        /// Name of the semaphore.
        semaphore: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// A worker gave its permit back.
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
    /// A racer heard the gun, or found it fired, and started.
    GunHeard {
        /// How long it waited.
        waited_us: u64,
    },
    /// A racer crossed the finishing line.
    LineCrossed {
        /// How long it ran.
        ran_us: u64,
    },
    /// A worker is done with a round and waits for the others.
    BarrierWaiting {
        /// The round, from 1.
        round: u64,
    },
    /// All were done with the round, and the worker goes on.
    BarrierPassed {
        /// The round, from 1.
        round: u64,
        /// How long it waited.
        waited_us: u64,
    },
    /// The barrier broke: the worker waits for nobody any more.
    BarrierBroken {
        /// The round, from 1.
        round: u64,
        /// Why.
        cause: String,
        /// The process that died, if that is why and it is known.
        dead_pid: Option<u32>,
    },
    /// A worker gave its lock up until a condition is met.
    ConditionWaiting {
        /// What it waits for: `not full` or `not empty`.
        condition: String,
    },
    /// The condition is met, and the worker has its lock again.
    ConditionMet {
        /// What it waited for.
        condition: String,
        /// How long it waited.
        waited_us: u64,
    },
    /// A worker added one to the shared numbers a number of times.
    IncrementsMade {
        /// How often since it began.
        made: u64,
        /// What it found in the counter then.
        seen: u64,
    },
    /// A manager was started, or this very process serves as one.
    ManagerStarted {
        /// Its process id.
        manager_pid: u32,
        /// Where it listens for others than the workers of this run.
        addresses: Vec<String>,
    },
    /// The runner is a client of a manager elsewhere.
    ManagerConnected {
        /// Where that is.
        address: String,
    },
    /// Other users of this machine can read the key.
    KeyExposed {
        /// The file that it is in.
        file: String,
    },
    /// An object of a manager was made, or looked up by its name.
    ObjectMade {
        /// Its type.
        object: String,
        /// Its name, if it has one: then it is there for other clients too, and stays.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// Somebody looked at an object of a manager.
    ObjectShown {
        /// What it is called in this run.
        object: String,
        /// A copy of all that is in it.
        value: Value,
    },
    /// A worker called a method of an object of a manager.
    ObjectCalled {
        /// What the object is called in this run.
        object: String,
        /// The method.
        method: String,
        /// Its arguments.
        args: Vec<Value>,
        /// What it returned, if that is more than nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        answer: Option<Value>,
    },
    /// A worker waits for an event to be set.
    EventAwaited,
    /// An event was set.
    EventSet,
    /// A worker saw that the event is set, and went on.
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
        /// Whether the scenario promises that it is.
        guaranteed: bool,
        /// What the verdict makes an allowance for, if a worker was killed or stopped and that shows in the facts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        allowance: Option<Allowance>,
        /// Why the run did not come to its end, if it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Reason>,
        /// How long the run took.
        elapsed_us: u64,
        /// What was counted: integers and booleans by name.
        facts: Map<String, Value>,
    },
}

impl Fact {
    /// Its name, as it stands in JSON Lines.
    pub(crate) fn name(&self) -> String {
        fields_of(self).0
    }
}

/// One link of a deadlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Who waits.
    pub worker: String,
    /// The lock that it holds.
    pub holds: String,
    /// The lock that it waits for.
    pub waits_for: String,
    /// Who holds that.
    pub held_by: String,
}

/// Whether a claim was true of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was.
    Held,
    /// It was not.
    Violated,
    /// The run ended before the claim could be judged.
    NotShown,
}

impl Verdict {
    /// The sign that stands before it.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Verdict::Held => "✔",
            Verdict::Violated => "✘",
            Verdict::NotShown => "–",
        }
    }
}

/// What a verdict makes an allowance for: the part of a worker that was killed, or stopped in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// What only it held is lost.
    Lost,
    /// Its last step was done and not reported.
    Unreported,
    /// It did not finish.
    Unfinished,
}

/// Why a run did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It was asked to stop, or its output was closed.
    Cut,
    /// A worker could not be started, or died unexpectedly.
    Machinery,
    /// The workers that were to finish it were killed, as was asked for.
    Killed,
}
