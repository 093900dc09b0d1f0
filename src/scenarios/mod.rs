//! The scenarios: one file each, and one row each in [`SCENARIOS`].
//!
//! A scenario is checked before anything starts ([`Scenario::prepare`]), run by real worker processes
//! ([`Scenario::run`]), and judged by what they did ([`Scenario::check`]). Its help, its dispatch and the roles of its
//! workers all come from its row in the table.

mod barrier;
mod buffer;
mod clock;
mod condition;
mod deadlock;
mod delivery_audit;
mod event;
mod held;
mod joinable;
mod manager;
mod pipe;
mod prodcons;
mod queue;
mod runner;
mod semaphore;
mod speed;
mod ticket_file;
mod tickets;
mod transport;
mod values;
mod worker;

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};

pub(crate) use runner::{Kill, RunOptions};
pub(crate) use speed::Speed;

use crate::RoleEntry;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::{Allowance, Counter, Event, Names, Parse, Pictures, Reason, Reporter, RunStarted, Verdict};
use runner::Runner;

/// All scenarios, in the order of the help.
pub(crate) static SCENARIOS: &[Entry] = &[
    Entry::of::<tickets::Tickets>(),
    manager::ENTRY,
    Entry::of::<pipe::Pipe>(),
    Entry::of::<queue::Queue>(),
    Entry::of::<prodcons::Prodcons>(),
    Entry::of::<joinable::Joinable>(),
    Entry::of::<values::Values>(),
    Entry::of::<semaphore::Semaphore>(),
    Entry::of::<event::Event>(),
    Entry::of::<barrier::Barrier>(),
    Entry::of::<condition::Condition>(),
    Entry::of::<deadlock::Deadlock>(),
];

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
    /// The counters.
    pub(crate) facts: Vec<Counter>,
    /// What a reader may try next, in English and in Chinese: a command, and its reason before a colon.
    pub(crate) advice: Option<[&'static str; 2]>,
}

impl CheckResult {
    /// Returns the verdict: a contradiction always counts, and missing results only if nothing explains them.
    fn verdict(&self, completion: &Completion) -> Verdict {
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

/// What kept workers from finishing their part, if anything did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    /// How many workers were started.
    pub(crate) started: usize,
    /// The names of those that died or failed before they were asked to end.
    pub(crate) died: Vec<String>,
    /// Why the run was cut short; unfinished work then counts against no worker.
    pub(crate) stopped: Option<Reason>,
}

impl Completion {
    /// Returns how many workers died or failed.
    pub(crate) fn died(&self) -> usize {
        self.died.len()
    }

    /// Returns how many of these have a name that begins with `kind`.
    pub(crate) fn died_as(&self, kind: &str) -> usize {
        self.died.iter().filter(|name| name.starts_with(kind)).count()
    }

    /// Returns whether every worker ended in order.
    pub(crate) fn is_regular(&self) -> bool {
        self.died.is_empty() && self.stopped.is_none()
    }

    /// Whether some workers died, and others were left to finish what these began.
    pub(crate) fn has_survivors(&self) -> bool {
        self.died() > 0 && self.died() < self.started && self.stopped.is_none()
    }

    /// Whether every worker died, or failed.
    pub(crate) fn all_died(&self) -> bool {
        self.died() > 0 && self.died() >= self.started
    }

    /// How many workers may have been ended in the middle of something.
    pub(crate) fn interrupted(&self) -> usize {
        if self.stopped.is_some() { self.started } else { self.died() }
    }

    /// Ten workers of which some died.
    #[cfg(test)]
    pub(crate) fn deaths(names: &[&str]) -> Self {
        Completion { started: 10, died: names.iter().map(|&name| name.to_owned()).collect(), stopped: None }
    }

    /// Ten workers that were stopped early.
    #[cfg(test)]
    pub(crate) fn cut() -> Self {
        Completion { started: 10, died: Vec::new(), stopped: Some(Reason::Cut) }
    }
}

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
    type Args: Args;
    /// The roles of its workers.
    const ROLES: &'static [RoleEntry];
    /// What its workers report.
    const FACTS: &'static [Parse];
    /// What it claims about itself, in English and in Chinese.
    const CLAIM: [&'static str; 2];
    /// What it would need to promise that, if it does not.
    const NEEDS: &'static str = "a guarantee";
    /// The names of its own workers and things, in English and in Chinese.
    const NAMES: Names = &[];
    /// Its observer.
    type Observer: Observer;

    /// Checks everything that can be checked before a process starts, and creates the shared objects of the workers.
    fn prepare(args: Self::Args) -> anyhow::Result<Self>;

    /// Returns the names of the workers that it starts.
    fn workers(&self) -> Vec<String>;

    /// Returns the moments at which its workers can be killed: the activities that their events begin, and the events.
    fn moments(&self) -> Vec<&'static str>;

    /// Starts the workers and watches them.
    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()>;

    /// Compares the counters with the claim, allowing for workers that did not finish their part.
    fn check(self, observer: &Self::Observer, completion: &Completion) -> anyhow::Result<CheckResult>;
}

/// Returns the names of `count` workers of a kind: with their numbers, unless there is only one.
fn names(kind: &str, count: u32) -> impl Iterator<Item = String> {
    (1..=count).map(move |number| if count == 1 { kind.to_owned() } else { format!("{kind}-{number}") })
}

/// A row of the table.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    about: &'static str,
    augment: fn(Command) -> Command,
    pub(crate) roles: &'static [RoleEntry],
    pub(crate) run: Run,
    /// How it is called if it starts no workers, and which of the options of scenarios it uses then.
    pub(crate) as_tool: fn(&ArgMatches) -> Option<Tool>,
}

/// A name, and the options of scenarios that are used under it.
pub(crate) type Tool = (&'static str, &'static [&'static str]);

/// Plays a scenario from its parsed arguments to its exit code.
pub(crate) type Run =
    fn(&ArgMatches, &RunOptions, &dyn Fn() -> Box<dyn Reporter>, Pictures) -> Result<Outcome, Failure>;

impl Entry {
    const fn of<S: Scenario>() -> Self {
        Entry {
            name: S::NAME,
            about: S::ABOUT,
            augment: S::Args::augment_args,
            roles: S::ROLES,
            run: run::<S>,
            as_tool: |_| None,
        }
    }

    /// Returns the subcommand.
    pub(crate) fn command(&self) -> Command {
        let (first, _) = self.about.split_once('\n').unwrap_or((self.about, ""));
        (self.augment)(Command::new(self.name).allow_negative_numbers(true)).about(first).long_about(self.about)
    }
}

fn run<S: Scenario>(
    matches: &ArgMatches,
    options: &RunOptions,
    reporter: &dyn Fn() -> Box<dyn Reporter>,
    mut pictures: Pictures,
) -> Result<Outcome, Failure> {
    let args = S::Args::from_arg_matches(matches).map_err(|error| Failure::Unusable(error.into()))?;
    let mut scenario = S::prepare(args).map_err(Failure::of_preparing)?;
    let (workers, moments) = (scenario.workers(), scenario.moments());
    let kills = options.kills.iter().map(|kill| kill.checked(&workers, &moments, S::NAMES));
    let kills = kills.collect::<anyhow::Result<_>>().map_err(Failure::Unusable)?;
    let options = &RunOptions { kills, ..options.clone() };
    let signals = StopSignals::catch().map_err(|error| Failure::machinery(error.into()))?;
    let mut observer = S::Observer::default();
    let mut count = |event: &Event| {
        observer.count(event);
        pictures.collect(event);
    };
    let mut runner = Runner::new(reporter(), &signals, options, &mut count, S::FACTS).map_err(Failure::machinery)?;
    let played = begin::<S>(&scenario, &mut runner, options).and_then(|()| scenario.run(&mut runner));
    let stopped = runner.stop_workers();
    let run_end = runner.finish(played.is_err() || stopped.is_err());
    let mut reasons: Vec<anyhow::Error> = [played, stopped].into_iter().filter_map(Result::err).collect();
    reasons
        .extend(run_end.unexpected_exits.iter().chain(&run_end.missed_kills).map(|reason| anyhow::anyhow!("{reason}")));
    let result = scenario.check(&observer, &run_end.completion);
    let summed_up = result.and_then(|result| run_end.sum_up::<S>(result, options.strict, &mut pictures));
    if matches!(summed_up, Ok(Outcome::ReaderGone)) {
        // The reader is gone, so no reason is reported.
        reasons.clear();
    }
    reasons.extend(pictures.draw().into_iter().map(anyhow::Error::from));
    match summed_up {
        Ok(outcome) if reasons.is_empty() => Ok(outcome),
        // A broken promise is more important, and a user who asked the run to stop is told that it did.
        Ok(outcome @ (Outcome::Broken | Outcome::Stopped(_))) => Err(Failure::Machinery(outcome, reasons)),
        Ok(_) => Err(Failure::Machinery(Outcome::MachineryFailed, reasons)),
        Err(error) => {
            reasons.push(error);
            Err(Failure::Machinery(Outcome::MachineryFailed, reasons))
        }
    }
}

fn begin<S: Scenario>(scenario: &S, runner: &mut Runner<'_>, options: &RunOptions) -> anyhow::Result<()> {
    let RunOptions { seed, speed, args, .. } = options.clone();
    let moments = scenario.moments();
    let started = RunStarted {
        scenario: S::NAME,
        seed,
        speed: speed.to_json(),
        version: env!("CARGO_PKG_VERSION"),
        args,
        workers: scenario.workers().len() as u32,
        has_tasks: moments.contains(&"task_done"),
        moments,
        names: S::NAMES,
    };
    runner.emit(started).context("the run cannot begin")
}

/// What workers report, and what scenarios say, for the tests of reports.
#[cfg(test)]
pub(crate) mod facts {
    use super::{Names, Scenario};

    /// Returns the claim of a scenario, and what it needs to promise it.
    pub(crate) fn claim(scenario: &str) -> ([&'static str; 2], &'static str) {
        fn of<S: Scenario>() -> (&'static str, ([&'static str; 2], &'static str)) {
            (S::NAME, (S::CLAIM, S::NEEDS))
        }
        let all = [
            of::<super::tickets::Tickets>(),
            of::<super::joinable::Joinable>(),
            of::<super::pipe::Pipe>(),
            of::<super::queue::Queue>(),
            of::<super::deadlock::Deadlock>(),
            of::<super::manager::Manager>(),
        ];
        all.into_iter().find(|(name, _)| *name == scenario).map_or((["", ""], ""), |(_, said)| said)
    }

    /// Returns the names of all scenarios.
    pub(crate) fn names() -> Names {
        fn of<S: Scenario>() -> Names {
            S::NAMES
        }
        let all = [
            of::<super::tickets::Tickets>(),
            of::<super::queue::Queue>(),
            of::<super::semaphore::Semaphore>(),
            of::<super::event::Event>(),
            of::<super::condition::Condition>(),
            of::<super::manager::Manager>(),
        ];
        Box::leak(all.concat().into_boxed_slice())
    }

    pub(crate) use super::barrier::BarrierFact;
    pub(crate) use super::condition::ConditionFact;
    pub(crate) use super::deadlock::{DeadlockFound, Link};
    pub(crate) use super::delivery_audit::ItemFact;
    pub(crate) use super::event::RaceFact;
    pub(crate) use super::held::LockFact;
    pub(crate) use super::manager::ManagerFact;
    pub(crate) use super::pipe::PipeFact;
    pub(crate) use super::semaphore::PermitFact;
    pub(crate) use super::tickets::SaleFact;
    pub(crate) use super::values::ValuesFact;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_of_scenarios_and_roles_are_unique() {
        let names: BTreeSet<_> = SCENARIOS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), SCENARIOS.len());
        let roles: Vec<_> = SCENARIOS.iter().flat_map(|entry| entry.roles).map(RoleEntry::name).collect();
        assert_eq!(roles.iter().collect::<BTreeSet<_>>().len(), roles.len(), "{roles:?}");
    }

    #[test]
    fn verdict_is_about_what_the_survivors_could_show() {
        let result = |broken, finished| CheckResult {
            broken,
            finished,
            guaranteed: true,
            allowance: None,
            facts: Vec::new(),
            advice: None,
        };
        let (whole, cut, one_died) = (Completion::default(), Completion::cut(), Completion::deaths(&["a"]));
        let failed = Completion { stopped: Some(Reason::Machinery), ..Completion::cut() };
        let all_died = Completion { started: 1, ..Completion::deaths(&["a"]) };
        for completion in [&whole, &cut, &one_died, &failed, &all_died] {
            assert_eq!(
                result(true, true).verdict(completion),
                Verdict::Violated,
                "what was seen counts: {completion:?}"
            );
        }
        for (completion, finished, unfinished) in [
            (&whole, Verdict::Held, Verdict::Violated),
            (&cut, Verdict::Held, Verdict::NotShown),
            (&failed, Verdict::Held, Verdict::NotShown),
            (&one_died, Verdict::Held, Verdict::NotShown),
            (&all_died, Verdict::Held, Verdict::NotShown),
        ] {
            assert_eq!(result(false, true).verdict(completion), finished, "{completion:?}");
            assert_eq!(result(false, false).verdict(completion), unfinished, "{completion:?}");
        }
    }

    #[test]
    fn a_role_is_named_after_its_scenario() {
        for entry in SCENARIOS {
            for role in entry.roles {
                assert!(role.name().starts_with(&format!("{}.", entry.name)), "{}", role.name());
            }
        }
    }

    #[test]
    fn reports_know_no_scenario() {
        let report = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report");
        let mut folders = vec![report];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
                match entry.file_name().and_then(|name| name.to_str()).expect("a name") {
                    "tests" | "tests.rs" => {}
                    _ if entry.is_dir() => folders.push(entry),
                    _ => {
                        files += 1;
                        let text = std::fs::read_to_string(&entry).expect("a source file");
                        let code = text.split("#[cfg(test)]\nmod tests").next().expect("the first part");
                        assert!(!code.contains("crate::scenarios"), "{}", entry.display());
                        for name in SCENARIOS.iter().map(|scenario| scenario.name) {
                            let named = [format!("\"{name}\" =>"), format!("== \"{name}\""), format!("(\"{name}\",")];
                            assert!(!named.iter().any(|named| code.contains(named)), "{name} in {}", entry.display());
                        }
                    }
                }
            }
        }
        assert!(files > 15, "{files}");
    }

    #[test]
    fn every_command_is_well_formed() {
        SCENARIOS.iter().for_each(|entry| entry.command().debug_assert());
    }

    #[test]
    fn first_sentence_of_the_help_is_a_paragraph() {
        for entry in SCENARIOS {
            let lines: Vec<&str> = entry.about.lines().collect();
            assert!(lines.len() > 2 && lines[1].is_empty() && !lines[2].is_empty(), "{}", entry.name);
        }
    }
}
