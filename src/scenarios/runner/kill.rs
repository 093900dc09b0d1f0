//! `--kill`: a worker kills itself at a given moment, so that users do not have to race with a process ID.
//!
//! A moment is an event that the worker reports, or an activity that begins with one: waiting, holding, working. The
//! worker sends the event and is killed by its own SIGKILL before it does anything else.

use std::collections::HashSet;
use std::str::FromStr;

use anyhow::{Context, anyhow};

use crate::report::{AnyFact, Language, Names};

/// A worker and a moment, as typed: `buyer-1@holding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) worker: String,
    pub(crate) moment: String,
}

impl FromStr for Kill {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('@') {
            Some((worker, moment)) if !worker.is_empty() && !moment.is_empty() => {
                Ok(Kill { worker: worker.to_owned(), moment: moment.to_owned() })
            }
            _ => Err("expected WORKER@MOMENT, such as buyer-1@holding".to_owned()),
        }
    }
}

impl Kill {
    /// Returns the kill of the worker that has this name, or is shown by this name in Chinese.
    ///
    /// Rejects a worker or a moment that a scenario does not have; the error lists the valid ones.
    pub(crate) fn checked(&self, workers: &[String], moments: &[&str], names: Names) -> anyhow::Result<Kill> {
        let Kill { worker, moment } = self;
        let known = workers.iter().find(|name| *name == worker || Language::Zh.name(names, name) == *worker);
        let known = known.with_context(|| {
            let workers = if workers.is_empty() { "none".to_owned() } else { listed(workers) };
            format!("cannot kill {worker}@{moment}: there is no worker {worker} (there are: {workers})")
        })?;
        anyhow::ensure!(
            moments.contains(&moment.as_str()),
            "cannot kill {worker}@{moment}: there is no moment {moment} (there are: {})",
            moments.join(", ")
        );
        Ok(Kill { worker: known.clone(), moment: moment.clone() })
    }
}

/// The kills that a run was asked for, and how far each of them is.
pub(super) struct RequestedKills {
    kills: Vec<(Kill, State)>,
    /// The indices of workers that a person has killed.
    by_hand: HashSet<u32>,
}

/// The progress of a requested kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The worker has not reported its moment.
    Pending,
    /// It has, and kills itself: the worker with this index.
    Reached(u32),
    Done,
}

impl RequestedKills {
    pub(super) fn new(kills: &[Kill]) -> Self {
        let kills = kills.iter().map(|kill| (kill.clone(), State::Pending)).collect();
        RequestedKills { kills, by_hand: HashSet::new() }
    }

    /// Returns whether any was requested so far.
    pub(super) fn is_any(&self) -> bool {
        !self.kills.is_empty() || !self.by_hand.is_empty()
    }

    /// Records that a person kills the worker with this index.
    pub(super) fn note_by_hand(&mut self, worker: u32) {
        self.by_hand.insert(worker);
    }

    /// Returns the first pending kill of the worker with this name.
    fn pending(&mut self, name: &str) -> Option<&mut (Kill, State)> {
        self.kills.iter_mut().find(|(kill, state)| kill.worker == name && *state == State::Pending)
    }

    /// Returns the moments at which workers kill themselves, by name.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.kills.iter().map(|(kill, _)| (kill.worker.clone(), kill.moment.clone())).collect()
    }

    /// Returns the moment at which a worker that is started now kills itself.
    pub(super) fn next_of(&mut self, name: &str) -> Option<String> {
        self.pending(name).map(|(kill, _)| kill.moment.clone())
    }

    /// Records what a worker reported.
    pub(super) fn note(&mut self, worker: u32, name: &str, fact: &AnyFact) {
        if let Some((_, state)) = self.pending(name).filter(|(kill, _)| fact.is_at(&kill.moment)) {
            *state = State::Reached(worker);
        }
    }

    /// Records the death of the worker with this index by SIGKILL. Returns whether it was requested.
    pub(super) fn note_death(&mut self, worker: u32) -> bool {
        let reached = self.kills.iter_mut().find(|(_, state)| *state == State::Reached(worker));
        reached.map(|(_, state)| *state = State::Done).is_some() || self.by_hand.contains(&worker)
    }

    /// Returns an error for each kill that did not happen.
    pub(super) fn missed(&self) -> impl Iterator<Item = anyhow::Error> {
        let missed = self.kills.iter().filter(|(_, state)| *state != State::Done);
        missed.map(|(Kill { worker, moment }, _)| anyhow!("could not kill {worker}@{moment}: the moment never came"))
    }
}

/// Lists names, joining those that differ only in their number into a range: `buyer-1 to buyer-10`.
fn listed(names: &[String]) -> String {
    let kind = |name: &str| name.rsplit_once('-').map_or(name, |(kind, _)| kind).to_owned();
    let groups = names.chunk_by(|one, other| kind(one) == kind(other)).map(|group| match group {
        [first, .., last] => format!("{first} to {last}"),
        _ => group.join(", "),
    });
    groups.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kill(text: &str) -> Kill {
        text.parse().expect("a worker and a moment")
    }

    #[test]
    fn kill_is_a_worker_and_a_moment() {
        assert_eq!(kill("buyer-1@holding"), Kill { worker: "buyer-1".to_owned(), moment: "holding".to_owned() });
        for bad in ["", "@", "buyer-1", "buyer-1@", "@holding"] {
            assert!(bad.parse::<Kill>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_worker_or_moment_is_told_what_there_is() {
        let workers: Vec<String> = ["producer", "consumer-1", "consumer-2", "consumer-3"].map(str::to_owned).to_vec();
        let moments = ["waiting", "holding", "lock_waiting", "lock_acquired", "ticket_bought"];
        let refused = |text: &str| kill(text).checked(&workers, &moments, &[]).expect_err("refused").to_string();
        assert_eq!(
            refused("buyer@holding"),
            "cannot kill buyer@holding: there is no worker buyer (there are: producer, consumer-1 to consumer-3)"
        );
        assert_eq!(
            refused("producer@working"),
            "cannot kill producer@working: there is no moment working (there are: waiting, holding, lock_waiting, \
             lock_acquired, ticket_bought)"
        );
        for (text, worker) in [
            ("producer@holding", "producer"),
            ("consumer-2@ticket_bought", "consumer-2"),
            ("消费者2@waiting", "consumer-2"),
            ("卖家@waiting", "producer"),
        ] {
            let checked = kill(text).checked(&workers, &moments, &[("producer", "卖家")]).expect("known");
            assert_eq!(checked.worker, worker, "{text}");
        }
    }
}
