//! A row of the table of scenarios, and a run from its arguments to its exit code.

use anyhow::Context;
use clap::{ArgMatches, Args, Command, FromArgMatches};

use super::exploration::{self, ExploreArgs};
use super::runner::{RunEnd, RunOptions, Runner};
use super::scenario::{CheckResult, Observer, Scenario};
use super::stepping;
use crate::RoleEntry;
use crate::ipc::operation::unobserved;
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
    pub(crate) explore: Explore,
    /// How it is called if it starts no workers, and which of the options of scenarios it uses then.
    pub(crate) as_tool: fn(&ArgMatches) -> Option<Tool>,
}

/// A name, and the options of scenarios that are used under it.
pub(crate) type Tool = (&'static str, &'static [&'static str]);

/// What was typed for runs of a scenario, and where they are reported.
pub(crate) struct Invocation<'a> {
    /// The arguments of the scenario.
    pub(crate) matches: &'a ArgMatches,
    pub(crate) options: &'a RunOptions,
    pub(crate) reporter: &'a (dyn Fn() -> Box<dyn Reporter + Send> + Sync),
}

/// Runs a scenario from its parsed arguments to its exit code.
pub(crate) type Run = fn(&Invocation<'_>, Pictures) -> Result<Outcome, Failure>;

/// Explores a scenario from its parsed arguments to its exit code.
pub(crate) type Explore = fn(&Invocation<'_>, &ExploreArgs) -> Result<Outcome, Failure>;

impl Entry {
    pub(crate) const fn of<S: Scenario>() -> Self {
        Entry {
            name: S::NAME,
            about: S::ABOUT,
            augment: S::Args::augment_args,
            roles: S::ROLES,
            run: run::<S>,
            explore: exploration::explore::<S>,
            as_tool: |_| None,
        }
    }

    /// Returns the subcommand.
    pub(crate) fn command(&self) -> Command {
        with_about((self.augment)(Command::new(self.name).allow_negative_numbers(true)), self.about)
    }
}

/// Returns a command with its help text, of which the first line alone is the short form.
pub(crate) fn with_about(command: Command, about: &'static str) -> Command {
    let (first, _) = about.split_once('\n').unwrap_or((about, ""));
    command.about(first).long_about(about)
}

pub(crate) fn run<S: Scenario>(invocation: &Invocation<'_>, pictures: Pictures) -> Result<Outcome, Failure> {
    match (invocation.options.step, &invocation.options.schedule) {
        (Some(language), _) => stepping::step::<S>(language, invocation, pictures),
        (None, Some(schedule)) => exploration::replay::<S>(schedule, invocation, pictures),
        (None, None) => run_once::<S>(invocation, None, &StopSignals::catch()?, pictures),
    }
}

impl Invocation<'_> {
    pub(super) fn args<S: Scenario>(&self) -> Result<S::Args, Failure> {
        S::Args::from_arg_matches(self.matches).map_err(|error| Failure::Unusable(error.into()))
    }

    pub(super) fn prepare<S: Scenario>(&self) -> Result<S, Failure> {
        S::prepare(self.args::<S>()?).map_err(Failure::of_preparing)
    }

    /// Returns the options with the names of a scenario's workers; rejects those that it does not have.
    pub(super) fn options_for<S: Scenario>(&self, scenario: &S) -> Result<RunOptions, Failure> {
        let (workers, moments) = (scenario.workers(), scenario.moments());
        let kills = self.options.kills.iter().map(|kill| kill.checked(&workers, &moments, S::NAMES));
        let kills = kills.collect::<anyhow::Result<_>>().map_err(Failure::Unusable)?;
        Ok(RunOptions { kills, ..self.options.clone() })
    }
}

/// Returns the first event of a run.
pub(super) fn started<S: Scenario>(scenario: &S, options: &RunOptions) -> RunStarted {
    let moments = scenario.moments();
    RunStarted {
        scenario: S::NAME,
        seed: options.seed,
        speed: options.speed.to_json(),
        version: env!("CARGO_PKG_VERSION"),
        args: options.args.clone(),
        workers: scenario.workers().len() as u32,
        has_tasks: moments.contains(&"task_done") || moments.contains(&"task_finished"),
        moments,
        names: S::NAMES,
        claim: S::CLAIM,
        things: scenario.things(),
        is_explored: false,
    }
}

/// Plays a scenario to its end, and compares what was seen with the claim. `started` is shown first.
pub(super) fn play<S: Scenario>(
    mut scenario: S,
    options: &RunOptions,
    signals: &StopSignals,
    reporter: Box<dyn Reporter + Send>,
    started: Option<RunStarted>,
    see: &mut dyn FnMut(&Event),
) -> Result<(RunEnd, anyhow::Result<CheckResult>), Failure> {
    let mut observer = S::Observer::default();
    let mut count = |event: &Event| {
        observer.count(event);
        see(event);
    };
    let mut runner = Runner::new(reporter, signals, options, &mut count, S::FACTS, S::NAMES)?;
    let begun = started.map_or(Ok(()), |started| runner.emit(started).context("the run cannot begin"));
    let ran = begun.and_then(|()| scenario.run(&mut runner));
    let end = runner.finish(ran);
    let result = unobserved(|| scenario.check(&observer, &end.completion));
    Ok((end, result))
}

/// Returns what a run showed.
pub(super) fn verdict(end: &RunEnd, result: &CheckResult) -> Verdict {
    if end.is_deadlock { Verdict::Violated } else { result.verdict(&end.completion) }
}

/// Runs a scenario once, from its parsed arguments to its exit code.
pub(super) fn run_once<S: Scenario>(
    invocation: &Invocation<'_>,
    schedule: Option<&str>,
    signals: &StopSignals,
    mut pictures: Pictures,
) -> Result<Outcome, Failure> {
    let scenario = invocation.prepare::<S>()?;
    let options = &invocation.options_for(&scenario)?;
    let started = Some(started(&scenario, options));
    let mut collect = |event: &Event| pictures.collect(event);
    let (end, result) = play(scenario, options, signals, (invocation.reporter)(), started, &mut collect)?;
    conclude::<S>(end, result, options.strict, schedule, pictures)
}

/// Shows the summary of a run, draws its pictures, and returns its outcome.
pub(super) fn conclude<S: Scenario>(
    mut end: RunEnd,
    result: anyhow::Result<CheckResult>,
    strict: bool,
    schedule: Option<&str>,
    mut pictures: Pictures,
) -> Result<Outcome, Failure> {
    let (result, unseen) = match result {
        Ok(result) => (result, None),
        Err(error) => {
            end.completion.stopped.get_or_insert(Reason::Machinery);
            (CheckResult::unseen(), Some(error))
        }
    };
    let summed_up = sum_up::<S>(&mut end, result, strict, schedule, &mut pictures);
    let mut reasons = end.failures;
    // It may be why the run failed, too.
    let is_new = |error: &anyhow::Error| !reasons.iter().any(|reason| format!("{reason:#}") == format!("{error:#}"));
    reasons.extend(unseen.filter(is_new));
    // If the reader of the output is gone, no reason is reported.
    if matches!(summed_up, Ok(Outcome::ReaderGone)) {
        reasons.clear();
    }
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
    schedule: Option<&str>,
    pictures: &mut Pictures,
) -> anyhow::Result<Outcome> {
    let verdict = verdict(end, &result);
    let unfinished = if end.has_unexpected_exits { Reason::Machinery } else { Reason::Killed };
    let CheckResult { guaranteed, allowance, seen, facts, advice, .. } = result;
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
        seen: Some(seen),
        facts,
        schedule: schedule.map(str::to_owned),
        explored: None,
        advice: advice.filter(|_| verdict != Verdict::NotShown),
    });
    pictures.collect(&summary);
    end.conclude(&summary, verdict == Verdict::Violated && (guaranteed || strict))
}
