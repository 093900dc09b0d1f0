//! Classifies events for the pictures of a run: the one table to extend for a new event.
//!
//! A fact that [`classify`] does not list is still shown: as a dot on the lane of its worker.

use serde_json::Value;

use super::event::Fact;

/// A worker's activity during a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum SpanKind {
    /// It waits for something that another worker holds.
    Waiting,
    /// It holds something that others may want.
    Holding,
    /// It has got an item and has not finished it.
    Working,
}

/// What a worker waits for, holds or works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Subject<'a> {
    /// A thing with a name of its own, and its kind.
    Named(Noun, &'a str),
    /// An item of a queue.
    Item(Key<'a>),
}

/// A kind of thing, in each language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Noun {
    pub(super) en: &'static str,
    pub(super) zh: &'static str,
}

const LOCK: Noun = Noun { en: "lock", zh: "锁" };
const PERMIT: Noun = Noun { en: "permit", zh: "许可" };
const GUN: Noun = Noun { en: "gun", zh: "发令枪" };
const BARRIER: Noun = Noun { en: "others at the barrier", zh: "屏障" };
const CONDITION: Noun = Noun { en: "condition", zh: "条件" };
const EVENT: Noun = Noun { en: "event", zh: "事件" };
const QUEUE: Noun = Noun { en: "queue", zh: "队列" };

/// The identity of something in transfer. Equal keys arrive in the order in which they left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    /// Messages are identified only by their value.
    Message(&'a Value),
    /// So are their answers, on the way back.
    Reply(&'a Value),
    /// Items are numbered by the worker that made them.
    Item { from: &'a str, number: u64 },
}

/// Which end of a transfer an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
}

/// Something transferred from one worker to another.
#[derive(Debug, Clone, Copy)]
pub(super) struct Transfer<'a> {
    pub(super) direction: Direction,
    pub(super) key: Key<'a>,
    pub(super) value: &'a Value,
    /// It was received before, by a worker that died with it.
    pub(super) again: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// On its own, in order.
    Done,
    /// On request.
    Stopped,
    /// Killed by this signal.
    Killed(i32),
    /// With this exit code.
    Failed(i32),
}

impl Ending {
    fn of(exit_code: Option<i32>, signal: Option<i32>) -> Self {
        const TERMINATED: i32 = 15;
        match (signal, exit_code) {
            (Some(TERMINATED), _) => Ending::Stopped,
            (Some(signal), _) => Ending::Killed(signal),
            (None, Some(0) | None) => Ending::Done,
            (None, Some(code)) => Ending::Failed(code),
        }
    }

    /// Returns whether the exit was unexpected.
    pub(super) fn is_death(self) -> bool {
        matches!(self, Ending::Killed(_) | Ending::Failed(_))
    }
}

/// The severity of a dot on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Severity {
    /// Something was achieved.
    Good,
    /// Something went wrong.
    Trouble,
    /// Something happened.
    Plain,
}

/// The classification of an event. All fields are empty unless set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Class<'a> {
    /// The worker starts.
    pub(super) starts: bool,
    /// The worker ended, and with it all its activities.
    pub(super) ending: Option<Ending>,
    /// The activity that the event ends.
    pub(super) ends: Option<(SpanKind, Subject<'a>)>,
    /// The activity that the event begins.
    pub(super) begins: Option<(SpanKind, Subject<'a>)>,
    /// Whether what it begins to hold comes from a worker that died holding it.
    pub(super) inherits: bool,
    /// What it waited for until now, and for how many microseconds: reported only after the wait.
    pub(super) waited: Option<(Subject<'a>, u64)>,
    /// What was sent or received.
    pub(super) transfer: Option<Transfer<'a>>,
    /// The process of a manager that starts.
    pub(super) manager: Option<u32>,
    /// Whether it is a call to the manager.
    pub(super) calls: bool,
    /// The severity of its dot, if nothing else shows the event well enough.
    pub(super) severity: Option<Severity>,
}

/// Classifies a fact.
pub(super) fn classify(fact: &Fact) -> Class<'_> {
    let nothing = Class::default();
    match fact {
        Fact::RunStarted { .. } | Fact::Summary { .. } => nothing,
        Fact::WorkerStarted { .. } => Class { starts: true, ..nothing },
        Fact::WorkerExited { exit_code, signal, .. } => {
            Class { ending: Some(Ending::of(*exit_code, *signal)), ..nothing }
        }
        Fact::LockWaiting { lock } => begins(SpanKind::Waiting, Subject::Named(LOCK, lock)),
        Fact::LockAcquired { lock, abandoned, .. } => {
            Class { inherits: *abandoned, ..gets(Subject::Named(LOCK, lock)) }
        }
        Fact::LockReleased { lock, .. } => ends(SpanKind::Holding, Subject::Named(LOCK, lock)),
        Fact::LockTimedOut { lock, .. } => {
            Class { severity: Some(Severity::Trouble), ..ends(SpanKind::Waiting, Subject::Named(LOCK, lock)) }
        }
        Fact::PermitWaiting { semaphore } => begins(SpanKind::Waiting, Subject::Named(PERMIT, semaphore)),
        Fact::PermitAcquired { semaphore, .. } => gets(Subject::Named(PERMIT, semaphore)),
        Fact::PermitReleased { semaphore, .. } => ends(SpanKind::Holding, Subject::Named(PERMIT, semaphore)),
        Fact::GunAwaited => begins(SpanKind::Waiting, Subject::Named(GUN, "")),
        Fact::GunHeard { .. } => ends(SpanKind::Waiting, Subject::Named(GUN, "")),
        Fact::GunFired | Fact::LineCrossed { .. } => dot(Severity::Good),
        Fact::EventAwaited => begins(SpanKind::Waiting, Subject::Named(EVENT, "")),
        Fact::EventSeen { .. } => ends(SpanKind::Waiting, Subject::Named(EVENT, "")),
        Fact::EventSet => dot(Severity::Good),
        Fact::BarrierWaiting { .. } => begins(SpanKind::Waiting, Subject::Named(BARRIER, "")),
        Fact::BarrierPassed { .. } => ends(SpanKind::Waiting, Subject::Named(BARRIER, "")),
        Fact::BarrierBroken { .. } => {
            Class { severity: Some(Severity::Trouble), ..ends(SpanKind::Waiting, Subject::Named(BARRIER, "")) }
        }
        Fact::ConditionWaiting { condition } => begins(SpanKind::Waiting, Subject::Named(CONDITION, condition)),
        Fact::ConditionMet { condition, .. } => ends(SpanKind::Waiting, Subject::Named(CONDITION, condition)),
        Fact::DeadlockFound { .. } => dot(Severity::Trouble),
        Fact::MessageSent { value } => transfer(Direction::Out, Key::Message(value), value),
        Fact::MessageReceived { value } => transfer(Direction::In, Key::Message(value), value),
        Fact::ReplySent { value } => transfer(Direction::Out, Key::Reply(value), value),
        Fact::ReplyReceived { value } => transfer(Direction::In, Key::Reply(value), value),
        Fact::ItemPut { value, from, number, .. } => {
            transfer(Direction::Out, Key::Item { from, number: *number }, value)
        }
        Fact::ItemGot { value, from, number, redelivered, .. } => {
            let key = Key::Item { from, number: *number };
            let transfer = Transfer { direction: Direction::In, key, value, again: *redelivered };
            Class { transfer: Some(transfer), begins: Some((SpanKind::Working, Subject::Item(key))), ..nothing }
        }
        Fact::TaskDone { from, number, .. } => {
            Class { ends: Some((SpanKind::Working, Subject::Item(Key::Item { from, number: *number }))), ..nothing }
        }
        Fact::ManagerStarted { manager_pid, .. } => Class { manager: Some(*manager_pid), ..dot(Severity::Plain) },
        Fact::ObjectMade { .. } | Fact::ObjectShown { .. } | Fact::ObjectCalled { .. } => {
            Class { calls: true, ..dot(Severity::Plain) }
        }
        Fact::QueueFull { timeout_us } => {
            Class { waited: Some((Subject::Named(QUEUE, ""), *timeout_us)), ..dot(Severity::Plain) }
        }
        Fact::TicketBought { .. } | Fact::QueueJoined { .. } => dot(Severity::Good),
        Fact::DataTorn { .. } | Fact::SendRefused { .. } | Fact::KeyExposed { .. } => dot(Severity::Trouble),
        _ => dot(Severity::Plain),
    }
}

/// Returns what a worker begins with an event of this name, as `--kill` calls it. A test compares it with [`classify`].
pub(crate) fn doing_of(event: &str) -> Option<&'static str> {
    match event {
        "lock_waiting" | "permit_waiting" | "gun_awaited" | "event_awaited" | "barrier_waiting"
        | "condition_waiting" => Some("waiting"),
        "lock_acquired" | "permit_acquired" => Some("holding"),
        "item_got" => Some("working"),
        _ => None,
    }
}

fn begins(kind: SpanKind, subject: Subject<'_>) -> Class<'_> {
    Class { begins: Some((kind, subject)), ..Class::default() }
}

fn ends(kind: SpanKind, subject: Subject<'_>) -> Class<'_> {
    Class { ends: Some((kind, subject)), ..Class::default() }
}

/// Ends waiting and begins holding.
fn gets(subject: Subject<'_>) -> Class<'_> {
    Class { begins: Some((SpanKind::Holding, subject)), ..ends(SpanKind::Waiting, subject) }
}

fn transfer<'a>(direction: Direction, key: Key<'a>, value: &'a Value) -> Class<'a> {
    Class { transfer: Some(Transfer { direction, key, value, again: false }), ..Class::default() }
}

fn dot<'a>(severity: Severity) -> Class<'a> {
    Class { severity: Some(severity), ..Class::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_apart() {
        let of = [(Some(0), None), (None, Some(15)), (None, Some(9)), (Some(3), None)];
        let endings = of.map(|(exit_code, signal)| Ending::of(exit_code, signal));
        assert_eq!(endings, [Ending::Done, Ending::Stopped, Ending::Killed(9), Ending::Failed(3)]);
        assert_eq!(endings.map(Ending::is_death), [false, false, true, true]);
    }

    #[test]
    fn names_of_events_begin_what_their_facts_begin() {
        let (lock, semaphore, condition) = (String::new, String::new, String::new);
        let (value, from, number) = (Value::Null, "p".to_owned(), 1);
        let facts = [
            Fact::LockWaiting { lock: lock() },
            Fact::LockAcquired { lock: lock(), waited_us: 0, abandoned: false },
            Fact::LockReleased { lock: lock(), held_us: 0 },
            Fact::LockTimedOut { lock: lock(), waited_us: 0 },
            Fact::PermitWaiting { semaphore: semaphore() },
            Fact::PermitAcquired { semaphore: semaphore(), waited_us: 0 },
            Fact::PermitReleased { semaphore: semaphore(), held_us: 0 },
            Fact::GunAwaited,
            Fact::GunHeard { waited_us: 0 },
            Fact::EventAwaited,
            Fact::EventSeen { waited_us: 0 },
            Fact::BarrierWaiting { round: 1 },
            Fact::BarrierPassed { round: 1, waited_us: 0 },
            Fact::ConditionWaiting { condition: condition() },
            Fact::ConditionMet { condition: condition(), waited_us: 0 },
            Fact::ItemGot { value, from, number, size: None, redelivered: false },
            Fact::EndOfFile,
        ];
        for fact in facts {
            let begun = classify(&fact).begins.map(|(kind, _)| match kind {
                SpanKind::Waiting => "waiting",
                SpanKind::Holding => "holding",
                SpanKind::Working => "working",
            });
            assert_eq!(doing_of(&fact.name()), begun, "{fact:?}");
        }
    }

    #[test]
    fn whatever_stands_in_no_line_is_a_dot() {
        assert_eq!(classify(&Fact::EndOfFile).severity, Some(Severity::Plain));
        assert_eq!(classify(&Fact::LockWaiting { lock: "a".to_owned() }).severity, None);
    }
}
