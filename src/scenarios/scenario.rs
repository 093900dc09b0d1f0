//! What a scenario consists of.

use std::fmt::Debug;

use clap::Args;

pub(crate) use super::runner::{Completion, Runner};
pub(crate) use super::worker::WorkerContext;
use crate::RoleEntry;
use crate::ipc::process::scheduler;
use crate::report::{Allowance, Counter, Event, Names, Parse, Thing, Verdict};

/// Counts what the workers report.
pub(crate) trait Observer: Default {
    fn count(&mut self, event: &Event);
}

/// A scenario.
pub(crate) trait Scenario: Sized {
    /// The subcommand.
    const NAME: &'static str;
    /// Its help text, the short form first.
    const ABOUT: &'static str;
    /// Its options, documented by their doc comments.
    type Args: Args + Debug;
    /// The roles of its workers.
    const ROLES: &'static [RoleEntry];
    /// What its workers report.
    const FACTS: &'static [Parse];
    /// What it claims about itself, in English and in Chinese.
    const CLAIM: [&'static str; 2];
    /// What it would need to promise that, if it does not; in Chinese, why it does not.
    const NEEDS: [&'static str; 2] = ["a guarantee", "本来就没有保证"];
    /// The names of its own workers and things, in English and in Chinese; also its own Chinese words for the shared
    /// events `item_put` and `item_got`, if it has any.
    const NAMES: Names = &[];
    /// Its observer.
    type Observer: Observer;

    /// Returns why a run with these options cannot be explored, if it cannot.
    fn not_explored(_args: &Self::Args) -> Option<&'static str> {
        None
    }

    /// Checks everything that can be checked before a process starts, and creates the shared objects of the workers.
    fn prepare(args: Self::Args) -> anyhow::Result<Self>;

    /// Returns the names of the workers that it starts.
    fn workers(&self) -> Vec<String>;

    /// Returns the moments at which its workers can be killed: the activities that their events begin, and the events.
    fn moments(&self) -> Vec<&'static str>;

    /// Returns what the workers share, as it is at the start.
    fn things(&self) -> Vec<Thing>;

    /// Starts the workers and watches them.
    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()>;

    /// Compares the counters with the claim, allowing for workers that did not finish their part.
    fn check(self, observer: &Self::Observer, completion: &Completion) -> anyhow::Result<CheckResult>;
}

/// Returns whether this thread is exploring schedules.
pub(crate) fn is_exploring() -> bool {
    scheduler::current().is_some()
}

/// Returns the names of `count` workers of a kind: `car-1`, `car-2`, ...
pub(crate) fn numbered(kind: &str, count: u32) -> Vec<String> {
    (1..=count).map(|number| format!("{kind}-{number}")).collect()
}

/// Like [`numbered`], but a single worker has no number.
pub(crate) fn named(kind: &str, count: u32) -> Vec<String> {
    if count == 1 { vec![kind.to_owned()] } else { numbered(kind, count) }
}

/// The result of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct CheckResult {
    /// Whether the claim was contradicted, no matter what was still to come.
    pub(crate) broken: bool,
    /// Whether the remaining workers finished the run.
    pub(crate) finished: bool,
    /// Whether the scenario promises that the claim is true.
    pub(crate) guaranteed: bool,
    /// What in the facts is attributed to workers that were killed or stopped.
    pub(crate) allowance: Option<Allowance>,
    /// What was seen, as one sentence in English and in Chinese.
    pub(crate) seen: [String; 2],
    /// The counters.
    pub(crate) facts: Vec<Counter>,
    /// What a reader may try next, in English and in Chinese: a command, and its reason before a colon.
    pub(crate) advice: Option<[&'static str; 2]>,
}

impl CheckResult {
    /// Returns the result of a run whose end cannot be looked at: its queue is out of reach.
    pub(crate) fn unseen() -> Self {
        CheckResult {
            broken: false,
            finished: false,
            guaranteed: false,
            allowance: None,
            seen: ["What is left in the queue cannot be seen.".to_owned(), "无法得知队列中还剩下什么。".to_owned()],
            facts: Vec::new(),
            advice: None,
        }
    }

    /// Returns the verdict: a contradiction always counts, and missing results only if nothing explains them.
    pub(crate) fn verdict(&self, completion: &Completion) -> Verdict {
        if self.broken {
            Verdict::Violated
        } else if self.finished {
            Verdict::Held
        } else if completion.is_regular() {
            Verdict::Violated
        } else {
            Verdict::NotShown
        }
    }
}

#[cfg(test)]
impl CheckResult {
    /// Returns the value of a counter.
    pub(crate) fn fact(&self, name: &str) -> Option<&serde_json::Value> {
        self.facts.iter().find(|counter| counter.name == name).map(|counter| &counter.value)
    }
}
