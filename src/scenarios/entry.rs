//! A row of the table of scenarios, and a run from its arguments to its exit code.

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::runner::{RunEnd, RunOptions, Runner};
use super::scenario::{CheckResult, Observer, Scenario};
use crate::RoleEntry;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::{Event, Pictures, Reason, Reporter, RunStarted, Summary, Verdict};

/// A row of the table.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) augment: fn(Command) -> Command,
    pub(crate) roles: &'static [RoleEntry],
    pub(crate) run: Run,
    /// How it is called if it starts no workers, and which of the options of scenarios it uses then.
    pub(crate) as_tool: fn(&ArgMatches) -> Option<Tool>,
}

/// A name, and the options of scenarios that are used under it.
pub(crate) type Tool = (&'static str, &'static [&'static str]);

/// Runs a scenario from its parsed arguments to its exit code.
pub(crate) type Run =
    fn(&ArgMatches, &RunOptions, &dyn Fn() -> Box<dyn Reporter>, Pictures) -> Result<Outcome, Failure>;

impl Entry {
    pub(crate) const fn of<S: Scenario>() -> Self {
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

pub(crate) fn run<S: Scenario>(
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
    let started = RunStarted {
        scenario: S::NAME,
        seed: options.seed,
        speed: options.speed.to_json(),
        version: env!("CARGO_PKG_VERSION"),
        args: options.args.clone(),
        workers: workers.len() as u32,
        has_tasks: moments.contains(&"task_done"),
        moments,
        names: S::NAMES,
    };
    let ran = runner.emit(started).context("the run cannot begin").and_then(|()| scenario.run(&mut runner));
    let mut end = runner.finish(ran);
    let result = scenario.check(&observer, &end.completion);
    let summed_up = result.and_then(|result| sum_up::<S>(&mut end, result, options.strict, &mut pictures));
    // If the reader of the output is gone, no reason is reported.
    let mut reasons = if matches!(summed_up, Ok(Outcome::ReaderGone)) { Vec::new() } else { end.failures };
    reasons.extend(pictures.draw().into_iter().map(anyhow::Error::from));
    let outcome = summed_up.unwrap_or_else(|error| {
        reasons.push(error);
        Outcome::MachineryFailed
    });
    if reasons.is_empty() {
        return Ok(outcome);
    }
    // A broken promise is more important, and a user who asked the run to stop is told that it did.
    let is_kept = matches!(outcome, Outcome::Broken | Outcome::Stopped(_));
    Err(Failure::Machinery(if is_kept { outcome } else { Outcome::MachineryFailed }, reasons))
}

/// Shows the summary and returns the outcome.
fn sum_up<S: Scenario>(
    end: &mut RunEnd,
    result: CheckResult,
    strict: bool,
    pictures: &mut Pictures,
) -> anyhow::Result<Outcome> {
    let verdict = result.verdict(&end.completion);
    let unfinished = if end.has_unexpected_exits { Reason::Machinery } else { Reason::Killed };
    let CheckResult { guaranteed, allowance, facts, advice, .. } = result;
    let summary = end.event(Summary {
        scenario: S::NAME,
        claim: S::CLAIM,
        verdict,
        guaranteed,
        needs: S::NEEDS,
        allowance: allowance.filter(|_| verdict == Verdict::Held),
        reason: end.completion.stopped.or((verdict == Verdict::NotShown).then_some(unfinished)),
        loss: end.completion.loss,
        elapsed_us: end.at_us,
        facts,
        advice: advice.filter(|_| verdict != Verdict::NotShown),
    });
    pictures.collect(&summary);
    end.conclude(&summary, verdict == Verdict::Violated && (guaranteed || strict))
}
