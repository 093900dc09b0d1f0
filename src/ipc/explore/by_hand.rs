//! A schedule that is chosen turn by turn: what the caller is told before each, to choose the next.

use std::collections::BTreeMap;

use super::control::At;
use super::schedule::{Participant, SPAWNER, Schedule, Turn};
use super::search::{Pending, Step, Taken};
use super::survey::{Names, kind_and_verb};

/// The state before a turn.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The turns taken so far.
    pub(crate) schedule: Schedule,
    /// The participants, each with its text in a schedule: the workers in the order of start, and the spawner if it is
    /// at an operation.
    pub(crate) participants: Vec<(Schedule, Stands)>,
    /// Objects whose state is known: the holder of a lock, or the text that was given for it.
    pub(crate) objects: Vec<(String, ObjectState)>,
    /// The possible turns, the one that is taken by default first.
    pub(crate) possible: Vec<Turn>,
}

/// What a participant is about to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// Its operation can go on.
    Next(String),
    /// Its operation is blocked, by the holder of its lock if that is known.
    Waits(String, Option<Schedule>),
    Ended,
    Dead,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ObjectState {
    /// The holder of a lock.
    Held(Option<Schedule>),
    /// The number of items in a queue.
    Items(u64),
    Text(String),
}

/// Chooses the next turn, one of those that are possible; `None` ends the schedule.
pub(crate) type Chooser = Box<dyn FnMut(&Standing) -> Option<Turn>>;

/// Returns the state of an object as a text.
pub(crate) type Describe = Box<dyn Fn() -> String>;

/// What is known of objects from the turns taken.
#[derive(Default)]
struct Known {
    holders: BTreeMap<u64, Participant>,
    items: BTreeMap<u64, u64>,
}

impl Known {
    fn of(taken: &[Taken]) -> Self {
        let mut known = Known::default();
        for Taken { turn, step, .. } in taken {
            match turn {
                Turn::Goes(who) => known.follow(*who, step),
                Turn::Dies(who) => known.holders.retain(|_, holder| holder != who),
                Turn::TimesOut(_) => {}
            }
        }
        known
    }

    fn follow(&mut self, who: Participant, step: &Step) {
        let object = step.object.to_word();
        let (kind, verb) = kind_and_verb(step);
        match (kind, verb) {
            ("lock", "release") => _ = self.holders.remove(&object),
            ("lock", verb) if verb.starts_with("acquire") => _ = self.holders.insert(object, who),
            ("condition", _) => match (step.lock, verb) {
                (Some(lock), "wait" | "release") => _ = self.holders.remove(&lock.to_word()),
                (Some(lock), _) => _ = self.holders.insert(lock.to_word(), who),
                _ => {}
            },
            ("queue", "put" | "put_timeout" | "try_put") => *self.items.entry(object).or_default() += 1,
            ("queue", "get" | "get_timeout" | "try_get") => {
                let items = self.items.entry(object).or_default();
                *items = items.saturating_sub(1);
            }
            _ => {}
        }
    }
}

/// Returns the state before a turn. `at` are the workers.
pub(super) fn standing<'a>(
    taken: &[Taken],
    at: impl Iterator<Item = &'a At>,
    pending: &[Pending],
    names: &Names<'_>,
    described: &[(u64, String)],
    possible: Vec<Turn>,
) -> Standing {
    let known = Known::of(taken);
    let holder_of = |step: &Step| known.holders.get(&step.object.to_word()).map(|who| Schedule::of(*who));
    let stands = |own: &Pending| {
        let operation = names.operation(&own.step);
        if own.can_go { Stands::Next(operation) } else { Stands::Waits(operation, holder_of(&own.step)) }
    };
    let of = |who: Participant| pending.iter().find(|own| own.participant == who);
    let workers = at.enumerate().map(|(who, at)| {
        let own = match (of(who), at) {
            (Some(own), _) => stands(own),
            (None, At::Dead) => Stands::Dead,
            (None, _) => Stands::Ended,
        };
        (Schedule::of(who), own)
    });
    let spawner = of(SPAWNER).map(|own| (Schedule::of(SPAWNER), stands(own)));
    let state = |kind: &str, object: u64| {
        let text = described.iter().find(|(of, _)| *of == object).map(|(_, text)| ObjectState::Text(text.clone()));
        text.or_else(|| match kind {
            "lock" => Some(ObjectState::Held(known.holders.get(&object).map(|who| Schedule::of(*who)))),
            "queue" => Some(ObjectState::Items(known.items.get(&object).copied().unwrap_or(0))),
            _ => None,
        })
    };
    let objects = names.all().filter_map(|(name, kind, object)| Some((name, state(kind, object)?)));
    Standing {
        schedule: Schedule(taken.iter().map(|taken| taken.turn).collect()),
        participants: workers.chain(spawner).collect(),
        objects: objects.collect(),
        possible,
    }
}
