//! What an event means, whatever its scenario: the one place that lanes, colours, pictures and the order of events are
//! derived from.

use serde::Serialize;
use serde_json::Value;

/// A worker's activity during a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum SpanKind {
    /// It waits for something that another worker holds.
    Waiting,
    /// It holds something that others may want.
    Holding,
    /// It has got an item and has not finished it.
    Working,
}

impl SpanKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            SpanKind::Waiting => "waiting",
            SpanKind::Holding => "holding",
            SpanKind::Working => "working",
        }
    }
}

/// What a worker waits for, holds or works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject<'a> {
    /// A thing with a name of its own, and its kind.
    Named(Noun, &'a str),
    /// An item of a queue.
    Item(Key<'a>),
}

impl Subject<'_> {
    /// Returns the kind of a named object.
    pub(super) fn noun(self) -> Option<Noun> {
        match self {
            Subject::Named(noun, _) => Some(noun),
            Subject::Item(_) => None,
        }
    }
}

/// A kind of thing, in each language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Noun {
    pub(crate) en: &'static str,
    pub(crate) zh: &'static str,
    /// Whether several workers can hold it at once.
    pub(crate) is_shared: bool,
}

impl Noun {
    /// Returns something that one worker at a time can hold.
    pub(crate) const fn new(en: &'static str, zh: &'static str) -> Self {
        Noun { en, zh, is_shared: false }
    }
}

/// The identity of something in transfer. Equal keys arrive in the order in which they left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key<'a> {
    /// Messages are identified only by their value.
    Message(&'a Value),
    /// So are their answers, on the way back.
    Reply(&'a Value),
    /// Items are numbered by the worker that made them.
    Item { from: &'a str, number: u64 },
}

/// A [`Key`] that outlives its event.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OwnedKey {
    /// As [`Key::Message`].
    Message(Value),
    /// As [`Key::Reply`].
    Reply(Value),
    /// As [`Key::Item`]: the worker that made it, and its number.
    Item(String, u64),
}

impl OwnedKey {
    /// Returns the number of an item; 0 if it has none.
    pub(super) fn number(&self) -> u64 {
        match self {
            OwnedKey::Item(_, number) => *number,
            _ => 0,
        }
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        match key {
            Key::Message(value) => OwnedKey::Message(value.clone()),
            Key::Reply(value) => OwnedKey::Reply(value.clone()),
            Key::Item { from, number } => OwnedKey::Item(from.to_owned(), number),
        }
    }
}

/// Which end of a transfer an event reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Out,
    In,
}

/// Something transferred from one worker to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Transfer<'a> {
    pub(crate) direction: Direction,
    pub(crate) key: Key<'a>,
    pub(crate) value: &'a Value,
    /// It was received before, by a worker that died with it.
    pub(crate) again: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
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
    pub(super) fn of(exit_code: Option<i32>, signal: Option<i32>) -> Self {
        const TERMINATED: i32 = 15;
        match (signal, exit_code) {
            (Some(TERMINATED), _) => Ending::Stopped,
            (Some(signal), _) => Ending::Killed(signal),
            (None, Some(0) | None) => Ending::Done,
            (None, Some(code)) => Ending::Failed(code),
        }
    }

    /// Returns whether the exit was unexpected.
    pub(crate) fn is_death(self) -> bool {
        matches!(self, Ending::Killed(_) | Ending::Failed(_))
    }
}

/// The severity of a dot on a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Severity {
    /// Something was achieved.
    Good,
    /// Something went wrong.
    Trouble,
    /// Something happened.
    Plain,
}

/// The classification of an event. All fields are empty unless set.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Class<'a> {
    /// The worker starts.
    pub(crate) starts: bool,
    /// The worker ended, and with it all its activities.
    pub(crate) ending: Option<Ending>,
    /// The activity that the event ends.
    pub(crate) ends: Option<(SpanKind, Subject<'a>)>,
    /// The activity that the event begins.
    pub(crate) begins: Option<(SpanKind, Subject<'a>)>,
    /// Whether what it begins to hold comes from a worker that died holding it.
    pub(crate) inherits: bool,
    /// What it waited for until now, and for how many microseconds: reported only after the wait.
    pub(crate) waited: Option<(Noun, u64)>,
    /// Whether a worker's death, if one was just reported, may be its cause.
    pub(crate) follows_death: bool,
    /// What was sent or received.
    pub(crate) transfer: Option<Transfer<'a>>,
    /// The name and the process ID of a process that was started and reports nothing itself.
    pub(crate) server: Option<(&'a str, u32)>,
    /// Whether it is a call to that process.
    pub(crate) calls: bool,
    /// What workers are started for from now on, if that changes.
    pub(crate) turn: Option<Turn<'a>>,
    /// The severity of its dot, if nothing else shows the event well enough, and what such dots are called in Chinese.
    pub(crate) dot: Option<(Severity, &'static str)>,
}

/// A part of a run with an object of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Turn<'a> {
    pub(crate) object: &'a str,
    /// Whether workers report when they have finished an item.
    pub(crate) has_tasks: bool,
}

impl<'a> Class<'a> {
    pub(crate) fn dot(severity: Severity, zh: &'static str) -> Self {
        Class { dot: Some((severity, zh)), ..Class::default() }
    }

    pub(crate) fn waits(noun: Noun, name: &'a str) -> Self {
        Class { begins: Some((SpanKind::Waiting, Subject::Named(noun, name))), ..Class::default() }
    }

    /// Ends waiting.
    pub(crate) fn goes_on(noun: Noun, name: &'a str) -> Self {
        Class { ends: Some((SpanKind::Waiting, Subject::Named(noun, name))), ..Class::default() }
    }

    /// Ends waiting and begins holding.
    pub(crate) fn acquires(noun: Noun, name: &'a str) -> Self {
        Class { begins: Some((SpanKind::Holding, Subject::Named(noun, name))), ..Class::goes_on(noun, name) }
    }

    pub(crate) fn releases(noun: Noun, name: &'a str) -> Self {
        Class { ends: Some((SpanKind::Holding, Subject::Named(noun, name))), ..Class::default() }
    }

    pub(crate) fn sends(key: Key<'a>, value: &'a Value) -> Self {
        let transfer = Transfer { direction: Direction::Out, key, value, again: false };
        Class { transfer: Some(transfer), ..Class::default() }
    }

    pub(crate) fn receives(key: Key<'a>, value: &'a Value, again: bool) -> Self {
        let transfer = Transfer { direction: Direction::In, key, value, again };
        Class { transfer: Some(transfer), ..Class::default() }
    }

    /// Begins to work on an item.
    pub(crate) fn works(key: Key<'a>) -> Self {
        Class { begins: Some((SpanKind::Working, Subject::Item(key))), ..Class::default() }
    }

    /// Receives an item and begins to work on it.
    pub(crate) fn takes(key: Key<'a>, value: &'a Value, again: bool) -> Self {
        Class { transfer: Class::receives(key, value, again).transfer, ..Class::works(key) }
    }

    /// Ends the work on an item.
    pub(crate) fn finishes(key: Key<'a>) -> Self {
        Class { ends: Some((SpanKind::Working, Subject::Item(key))), ..Class::default() }
    }

    pub(super) fn severity(&self) -> Option<Severity> {
        self.dot.map(|(severity, _)| severity)
    }
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
}
