//! English.

use super::literal::{Notation, called, literal};
use super::{duration, without_place};
use crate::report::event::{Allowance, Event, Fact, Link, Reason, Verdict};
use crate::report::known::Known;

pub(super) fn sentence(known: &Known, event: &Event) -> String {
    match &event.fact {
        Fact::RunStarted { scenario, seed, speed, .. } => {
            let speed = speed.as_str().map_or_else(|| speed.to_string(), str::to_owned);
            format!("{scenario}  ·  seed {seed}  ·  speed {speed}")
        }
        Fact::WorkerStarted { daemon: true, .. } => format!("starts as process {}, a daemon", event.pid),
        Fact::WorkerStarted { daemon: false, .. } => format!("starts as process {}", event.pid),
        Fact::WorkerExited { failure: Some(failure), .. } => failure.clone(),
        Fact::WorkerExited { signal: Some(9), .. } => "is killed (signal 9)".to_owned(),
        Fact::WorkerExited { signal: Some(15), .. } => "is stopped".to_owned(),
        Fact::WorkerExited { signal: Some(signal), .. } => format!("is killed by signal {signal}"),
        Fact::WorkerExited { exit_code: Some(0) | None, .. } => "exits".to_owned(),
        Fact::WorkerExited { exit_code: Some(code), .. } => format!("exits with code {code}"),
        Fact::StockChecked { left } => format!("sees {}", tickets(*left)),
        Fact::TicketBought { left } => format!("buys a ticket and writes: {}", tickets(*left)),
        Fact::TicketRefused { .. } => "gets no ticket: sold out".to_owned(),
        Fact::DataTorn { error } => format!("reads a half-written file: {}", without_place(error)),
        Fact::LockWaiting { lock } => format!("waits for {}", the(lock)),
        Fact::LockAcquired { lock, abandoned: true, .. } => {
            let former = known.former_holder(lock).unwrap_or("its holder");
            format!("takes over {} from {former}, which died", the(lock))
        }
        Fact::LockAcquired { lock, waited_us, .. } => format!("gets {} ({})", the(lock), waited(*waited_us)),
        Fact::LockReleased { lock, held_us } => format!("releases {} (held {})", the(lock), duration(*held_us)),
        Fact::MessageSent { value } => format!("sends {value}"),
        Fact::MessageReceived { value } => format!("receives {value}"),
        Fact::ReplySent { value } => format!("answers {value}"),
        Fact::ReplyReceived { value } => format!("gets the answer {value}"),
        Fact::SendRefused { error } => format!("cannot send: {error}"),
        Fact::EndOfFile if known.scenario == "condition" => "sees the end: no producer is left".to_owned(),
        Fact::EndOfFile => "sees the end: no sender is left".to_owned(),
        Fact::ItemPut { value, size, .. } => format!("puts {value}{}", queued(known, *size)),
        Fact::ItemGot { value, from, size, redelivered, .. } => {
            let again = if *redelivered { ", left by a worker that died" } else { "" };
            format!("gets {value} from {from}{}{again}", queued(known, *size))
        }
        Fact::TaskDone { value, .. } => format!("marks {value} done"),
        Fact::QueueFull { timeout_us: 0 } => format!("finds the {} full", store(known)),
        Fact::QueueFull { timeout_us } => format!("finds the {} full for {}", store(known), duration(*timeout_us)),
        Fact::QueueEmpty => "finds the queue empty".to_owned(),
        Fact::QueueJoined { tasks } => format!("joins the queue: all {tasks} tasks are done"),
        Fact::LockTimedOut { lock, waited_us } => format!("gives up on {} ({})", the(lock), waited(*waited_us)),
        Fact::DeadlockFound { cycle } => format!("finds a deadlock of {} workers", cycle.len()),
        Fact::PermitWaiting { semaphore } if semaphore == "car park" => "waits for a space".to_owned(),
        Fact::PermitWaiting { .. } => "waits for a permit".to_owned(),
        Fact::PermitAcquired { semaphore, waited_us } => {
            let has = if semaphore == "car park" { "drives in" } else { "gets a permit" };
            format!("{has} ({})", waited(*waited_us))
        }
        Fact::PermitReleased { semaphore, held_us } if semaphore == "car park" => {
            format!("drives out (parked {})", duration(*held_us))
        }
        Fact::PermitReleased { held_us, .. } => format!("releases the permit (held {})", duration(*held_us)),
        Fact::GunAwaited => "waits at the start line".to_owned(),
        Fact::GunFired => "fires the gun".to_owned(),
        Fact::GunHeard { waited_us } => format!("starts ({})", waited(*waited_us)),
        Fact::LineCrossed { ran_us } => format!("crosses the finish line (ran {})", duration(*ran_us)),
        Fact::BarrierWaiting { round } => format!("finishes round {round} and waits"),
        Fact::BarrierPassed { round, waited_us } => {
            format!("passes the barrier of round {round} ({})", waited(*waited_us))
        }
        Fact::BarrierBroken { cause, dead_pid, .. } => match dead_pid.and_then(|pid| known.name_of(pid)) {
            Some(dead) => format!("finds the barrier broken: {dead} died"),
            None => format!("finds the barrier broken: {cause}"),
        },
        Fact::ConditionWaiting { condition } => {
            format!("waits: the buffer is {}", condition.strip_prefix("not ").unwrap_or(condition))
        }
        Fact::ConditionMet { condition, waited_us } => {
            format!("continues: the buffer is {condition} ({})", waited(*waited_us))
        }
        Fact::IncrementsMade { made, seen } => format!("has added {made}; the counter is {seen}"),
        Fact::ManagerStarted { manager_pid, addresses } => match addresses.as_slice() {
            [] => format!("starts a manager as process {manager_pid}"),
            addresses => format!("serves as a manager at {}", addresses.join(", ")),
        },
        Fact::ManagerConnected { address } => format!("connects to the manager at {address}"),
        Fact::KeyExposed { file } => format!("WARNING: other users can read {file}"),
        Fact::ObjectMade { object, name: None } => {
            let article = if object.starts_with(['A', 'E']) || object == "RLock" { "an" } else { "a" };
            format!("creates {article} {object} in the manager")
        }
        Fact::ObjectMade { object, name: Some(name) } => format!("uses the {object} named \"{name}\""),
        Fact::ObjectShown { object, value } => format!("shows {object}: {}", literal(value, Notation::Json)),
        Fact::ObjectCalled { object, method, args, answer } => {
            let answer = answer.as_ref().map(|answer| format!(" and gets {}", literal(answer, Notation::Json)));
            format!("calls {}{}", called(object, method, args, Notation::Json), answer.unwrap_or_default())
        }
        Fact::EventAwaited => "waits for the event".to_owned(),
        Fact::EventSet => "sets the event".to_owned(),
        Fact::EventSeen { waited_us } => format!("sees the event set ({})", waited(*waited_us)),
        Fact::Summary { .. } => String::new(),
    }
}

/// Returns a lock's name if there are several locks; these have numbers.
fn the(lock: &str) -> &str {
    if lock.starts_with("lock-") { lock } else { "the lock" }
}

pub(super) fn link(link: &Link) -> String {
    let Link { worker, holds, waits_for, held_by } = link;
    format!("{worker} holds {holds} and waits for {waits_for}, held by {held_by}")
}

pub(super) fn more_links(count: usize) -> String {
    format!("and {count} more")
}

fn queued(known: &Known, size: Option<u64>) -> String {
    size.map(|size| format!("  ({size} in the {})", store(known))).unwrap_or_default()
}

/// What holds the items of this scenario.
fn store(known: &Known) -> &'static str {
    if known.scenario == "condition" { "buffer" } else { "queue" }
}

fn waited(us: u64) -> String {
    match us {
        0 => "at once".to_owned(),
        us => format!("waited {}", duration(us)),
    }
}

fn tickets(count: u32) -> String {
    match count {
        0 => "no ticket left".to_owned(),
        1 => "1 ticket left".to_owned(),
        count => format!("{count} tickets left"),
    }
}

pub(super) fn verdict(scenario: &str, verdict: Verdict, guaranteed: bool, reason: Option<Reason>) -> &'static str {
    match (verdict, guaranteed) {
        (Verdict::Held, true) => "guaranteed, and held",
        (Verdict::Held, false) => "held, but only by luck",
        (Verdict::Violated, true) => "BROKEN GUARANTEE",
        (Verdict::Violated, false) => match scenario {
            "tickets" | "values" => "failed, as can happen without a lock",
            "deadlock" => "failed, as can happen without one order for all locks",
            _ => "failed, as can happen without a guarantee",
        },
        (Verdict::NotShown, _) if reason == Some(Reason::Cut) => "inconclusive (the run was stopped early)",
        (Verdict::NotShown, _) if reason == Some(Reason::Killed) => "inconclusive (no worker was left to finish it)",
        (Verdict::NotShown, _) => "inconclusive (a worker failed)",
    }
}

pub(super) fn allowance(allowance: Allowance, is_stopped: bool) -> &'static str {
    match (allowance, is_stopped) {
        (Allowance::Lost, false) => "a worker was killed; what only it held is lost; the verdict covers the others",
        (Allowance::Unreported, false) => {
            "a worker was killed before it reported its last step; the verdict covers the others"
        }
        (Allowance::Unfinished, false) => "a worker was killed before it finished; the verdict covers the others",
        (Allowance::Lost, true) => "the workers were stopped; what only they held is lost",
        (Allowance::Unreported, true) => "the workers were stopped before they reported their last step",
        (Allowance::Unfinished, true) => "the workers were stopped before they finished",
    }
}

pub(super) fn fact(name: &str) -> String {
    name.replace('_', " ")
}

pub(super) fn event(name: &str) -> String {
    name.replace('_', " ")
}
