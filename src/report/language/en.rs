//! English.

use super::literal::{Notation, called, fitted, literal};
use super::{duration, without_place};
use crate::report::event::{Event, Fact, Link, Verdict};

pub(super) fn sentence(event: &Event) -> String {
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
        Fact::WorkerExited { signal: Some(signal), .. } => format!("is ended by signal {signal}"),
        Fact::WorkerExited { exit_code: Some(0) | None, .. } => "ends".to_owned(),
        Fact::WorkerExited { exit_code: Some(code), .. } => format!("ends with code {code}"),
        Fact::StockChecked { left } => format!("sees {}", tickets(*left)),
        Fact::TicketBought { left } => format!("buys a ticket and writes: {}", tickets(*left)),
        Fact::TicketRefused { .. } => "goes without a ticket: sold out".to_owned(),
        Fact::DataTorn { error } => format!("reads a torn file: {}", without_place(error)),
        Fact::LockWaiting { lock } => format!("wants {}", the(lock)),
        Fact::LockAcquired { lock, abandoned: true, waited_us } => match the(lock) {
            "the lock" => format!("takes a dead holder's lock ({})", waited(*waited_us)),
            lock => format!("takes {lock} of the dead ({})", waited(*waited_us)),
        },
        Fact::LockAcquired { lock, waited_us, .. } => format!("has {} ({})", the(lock), waited(*waited_us)),
        Fact::LockReleased { lock, held_us } => format!("gives {} back (held {})", the(lock), duration(*held_us)),
        Fact::MessageSent { value } => format!("sends {value}"),
        Fact::MessageReceived { value } => format!("receives {value}"),
        Fact::ReplySent { value } => format!("answers {value}"),
        Fact::ReplyReceived { value } => format!("gets the answer {value}"),
        Fact::SendRefused { error } => format!("may not send: {error}"),
        Fact::EndOfFile => "sees the end: nobody is left to send".to_owned(),
        Fact::ItemPut { value, size, .. } => format!("puts {value}{}", in_queue(*size)),
        Fact::ItemGot { value, from, size, redelivered, .. } => {
            let again = if *redelivered { ", left by a dead worker" } else { "" };
            format!("gets {value} of {from}{}{again}", in_queue(*size))
        }
        Fact::TaskDone { value, .. } => format!("is done with {value}"),
        Fact::QueueFull { timeout_us: 0 } => "finds the queue full".to_owned(),
        Fact::QueueFull { timeout_us } => format!("finds the queue full for {}", duration(*timeout_us)),
        Fact::QueueEmpty => "finds the queue empty".to_owned(),
        Fact::QueueJoined { tasks } => format!("has joined the queue: all {tasks} tasks are done"),
        Fact::LockTimedOut { lock, waited_us } => format!("gives up on {} ({})", the(lock), waited(*waited_us)),
        Fact::DeadlockFound { cycle } => format!("sees a deadlock: {} workers wait in a ring", cycle.len()),
        Fact::PermitWaiting { semaphore } if semaphore == "car park" => "wants to park".to_owned(),
        Fact::PermitWaiting { .. } => "wants a permit".to_owned(),
        Fact::PermitAcquired { semaphore, waited_us } => {
            let has = if semaphore == "car park" { "drives in" } else { "has a permit" };
            format!("{has} ({})", waited(*waited_us))
        }
        Fact::PermitReleased { semaphore, held_us } if semaphore == "car park" => {
            format!("drives out (parked {})", duration(*held_us))
        }
        Fact::PermitReleased { held_us, .. } => format!("gives the permit back (held {})", duration(*held_us)),
        Fact::GunAwaited => "is at the line".to_owned(),
        Fact::GunFired => "fires the gun".to_owned(),
        Fact::GunHeard { waited_us } => format!("starts ({})", waited(*waited_us)),
        Fact::LineCrossed { ran_us } => format!("is at the finish (ran {})", duration(*ran_us)),
        Fact::BarrierWaiting { round } => format!("is done with round {round} and waits"),
        Fact::BarrierPassed { round, waited_us } => format!("leaves round {round} ({})", waited(*waited_us)),
        Fact::BarrierBroken { cause, .. } => format!("the barrier breaks: {cause}"),
        Fact::ConditionWaiting { condition } => {
            format!("waits: the buffer is {}", condition.strip_prefix("not ").unwrap_or(condition))
        }
        Fact::ConditionMet { condition, waited_us } => format!("goes on: it is {condition} ({})", waited(*waited_us)),
        Fact::IncrementsMade { made, seen } => format!("has added {made}, sees {seen}"),
        Fact::ManagerStarted { manager_pid, addresses } => match addresses.as_slice() {
            [] => format!("starts a manager as process {manager_pid}"),
            addresses => format!("is a manager at {}", addresses.join(", ")),
        },
        Fact::ManagerConnected { address } => format!("is connected to the manager at {address}"),
        Fact::AddressExposed { address } => format!("WARNING: others can read what goes to {address}"),
        Fact::KeyExposed { file } => format!("WARNING: other users can read {file}"),
        Fact::ObjectMade { object, name: None } => {
            let article = if object.starts_with(['A', 'E']) || object == "RLock" { "an" } else { "a" };
            format!("makes {article} {object} in the manager")
        }
        Fact::ObjectMade { object, name: Some(name) } => format!("has the {object} of the name {name}"),
        Fact::ObjectShown { object, value } => fitted(format!("shows {object}: {}", literal(value, Notation::Json))),
        Fact::ObjectCalled { object, method, args, answer } => {
            let answer = answer.as_ref().map(|answer| format!(" and gets {}", literal(answer, Notation::Json)));
            fitted(format!("calls {}{}", called(object, method, args, Notation::Json), answer.unwrap_or_default()))
        }
        Fact::EventAwaited => "waits for the event".to_owned(),
        Fact::EventSet => "sets the event".to_owned(),
        Fact::EventSeen { waited_us } => format!("sees the event set ({})", waited(*waited_us)),
        Fact::Summary { .. } => String::new(),
    }
}

/// A lock by its name if there are several, which have numbers.
fn the(lock: &str) -> &str {
    if lock.starts_with("lock-") { lock } else { "the lock" }
}

pub(super) fn link(link: &Link) -> String {
    let Link { worker, holds, waits_for, held_by } = link;
    format!("{worker} holds {holds} and waits for {waits_for}, held by {held_by}")
}

pub(super) fn more_links(count: usize) -> String {
    format!("and so on: {count} more")
}

fn in_queue(size: Option<u64>) -> String {
    size.map(|size| format!("  ({size} in the queue)")).unwrap_or_default()
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

pub(super) fn verdict(claim: &str, verdict: Verdict, guaranteed: bool) -> String {
    match (verdict, guaranteed) {
        (Verdict::Held, true) => format!("held, as promised: {claim}"),
        (Verdict::Held, false) => format!("held, by luck: {claim}"),
        (Verdict::Violated, true) => format!("BROKEN, although promised: {claim}"),
        (Verdict::Violated, false) => format!("broken, and nothing had promised it: {claim}"),
    }
}

pub(super) fn fact(name: &str) -> String {
    name.replace('_', " ")
}

pub(super) fn event(name: &str) -> String {
    name.replace('_', " ")
}
