//! Exploration of a scenario: every schedule is a run of its own, with new objects.
//!
//! # State
//! A run of an exploration shows nothing: its claim is judged. Only the shortest schedule that violates it is run once
//! more and shown. A schedule is written with a mark, a hash of all that it depends on: the scenario and its options,
//! the seed and the version.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use clap::Args;

use super::entry::{self, Invocation, play, started, verdict};
use super::live::Watcher;
use super::scenario::Scenario;
use crate::explore::Explorer;
use crate::explore::random::MANY;
use crate::explore::schedule::{SPAWNER, Schedule, Turn};
use crate::explore::survey::{self, Replayed, ReplayedStep, Seen, Survey};
use crate::number::whole;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::{
    AnyFact, Counter, Event, Explored, Pictures, RUNNER, Reason, Reporter, RunStarted, ScheduleStep, ShownSchedule,
    Summary, Verdict, counter,
};

/// The options of an exploration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of an exploration")]
pub(crate) struct ExploreArgs {
    /// Run every schedule, instead of one of those that differ only in the order of independent operations
    #[arg(long)]
    all: bool,
    /// Run at most this many schedules
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = whole::<u64>(1..=u64::MAX))]
    limit: u64,
    /// Stop after this time (500ms, 2s, 1m)
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// Run this many random schedules as well if the limit or the time did not suffice for all
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u64>(0..=u64::MAX))]
    random: u64,
    /// Also run the schedules in which this many workers are killed (kill -9), at each of their operations
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u32>(0..=1))]
    kills: u32,
    /// Also run the schedules in which this many operations time out although a worker could run
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = whole::<u32>(0..=1000))]
    timeouts: u32,
}

impl ExploreArgs {
    fn explorer(&self, seed: u64) -> Explorer {
        let explorer = Explorer::new().all(self.all).limit(self.limit).random(self.random, seed);
        let explorer = explorer.kills(self.kills).timeouts(self.timeouts);
        match self.time {
            Some(time) => explorer.time(time),
            None => explorer,
        }
    }
}

const UNREPORTED: &str = "cannot write the report to stdout";
/// The interval between two changes of the status line.
const STATUS_EVERY: Duration = Duration::from_millis(100);

/// Explores a scenario, from its parsed arguments to the exit code.
pub(super) fn explore<S: Scenario>(invocation: &Invocation<'_>, explored: &ExploreArgs) -> Result<Outcome, Failure> {
    let options = invocation.options;
    let mark = mark::<S>(invocation, "explore")?;
    let signals = StopSignals::catch()?;
    let began = Instant::now();
    let (_, first) = tried::<S>(invocation, &Schedule::default(), &signals)?;
    let mut reporter = (invocation.reporter)();
    reporter.event(&event(0, RunStarted { is_explored: true, ..first.started })).context(UNREPORTED)?;
    let failed = Mutex::new(None);
    let judge = || {
        let scenario = invocation.prepare::<S>()?;
        let options = invocation.options_for(&scenario)?;
        let (end, result) = play(scenario, &options, &signals, Box::new(Nowhere), None, &mut |_| {})?;
        let seen = match verdict(&end, &result?) {
            Verdict::Held => Seen::Held,
            Verdict::Violated => Seen::Violated,
            Verdict::NotShown => Seen::NotShown,
        };
        Ok(signals.asked().is_none().then_some(seen))
    };
    let judged = || {
        judge().unwrap_or_else(|failure| {
            failed.lock().expect("nothing panics while it holds the lock").get_or_insert(failure);
            None
        })
    };
    let shown = Mutex::new((Duration::ZERO, &mut reporter));
    let surveyed = explored.explorer(options.seed).survey(&judged, &|survey| {
        let (shown, reporter) = &mut *shown.lock().expect("nothing panics while it holds the lock");
        let elapsed = began.elapsed();
        if elapsed >= *shown + STATUS_EVERY {
            *shown = elapsed;
            let [en, zh] = status(survey, elapsed);
            reporter.show_status(&en, &zh);
        }
        signals.asked().is_none()
    });
    let failed = failed.into_inner().expect("nothing panics while it holds the lock");
    // The signal that ends it may have ended its workers first.
    if let Some(failure) = failed.filter(|_| signals.asked().is_none()) {
        return Err(failure);
    }
    let survey = surveyed?;
    let elapsed = began.elapsed();
    let cut = signals.asked();
    // A run that was asked to stop does not run it once more.
    let shortest = survey.shortest.as_ref().filter(|_| cut.is_none());
    let shortest = shortest.map(|schedule| shown_schedule::<S>(invocation, schedule, &mark, &signals));
    let shortest = shortest.transpose()?;
    let (held, is_broken) = (survey.schedules - survey.violated - survey.not_shown, survey.violated > 0);
    let verdict = match (is_broken, held) {
        (true, _) => Verdict::Violated,
        (false, 0) => Verdict::NotShown,
        (false, _) => Verdict::Held,
    };
    let mut facts = vec![
        counter("schedules", "调度", survey.schedules),
        counter("held", "成立", held),
        counter("violated", "不成立", survey.violated),
        counter("not_shown", "无法判断", survey.not_shown),
        counter("deadlocks", "死锁", survey.deadlocks),
        counter("cut_off", "步数超限", survey.cut),
        counter("exhausted", "已穷尽", survey.exhausted),
        counter("rate", "每秒", rate(&survey, elapsed)),
    ];
    facts.retain(|counter| match counter.name {
        "not_shown" => survey.not_shown > 0,
        "cut_off" => survey.cut > 0,
        _ => true,
    });
    // Of those that showed nothing, some were cut off, or none was run.
    let not_shown = if survey.not_shown > survey.cut { Reason::Killed } else { Reason::Cut };
    facts.extend(survey.estimate.map(|estimate| {
        let words = (estimate == MANY).then_some(["more than 10^18", "超过 10^18"]);
        Counter { words, ..counter("estimate", "估计", estimate) }
    }));
    let elapsed_us = elapsed.as_micros() as u64;
    let summary = Summary {
        scenario: S::NAME,
        claim: S::CLAIM,
        verdict,
        guaranteed: first.guaranteed,
        needs: S::NEEDS,
        allowance: None,
        reason: cut.map(|_| Reason::Cut).or((verdict == Verdict::NotShown).then_some(not_shown)),
        loss: None,
        elapsed_us,
        seen: None,
        facts,
        schedule: survey.shortest.as_ref().map(|schedule| format!("{schedule}#{mark}")),
        explored: Some(Explored {
            schedules: survey.schedules,
            held,
            violated: survey.violated,
            exhausted: survey.exhausted,
        }),
        advice: None,
    };
    let shown = shortest.map_or(Ok(()), |shortest| reporter.schedule(&shortest));
    let shown = shown.and_then(|()| reporter.event(&event(elapsed_us, summary)));
    let shown = Outcome::of_write(shown, UNREPORTED)?;
    Ok(match cut {
        _ if shown != Outcome::Fine => shown,
        _ if is_broken && (first.guaranteed || options.strict) => Outcome::Broken,
        Some(signal) => Outcome::Stopped(signal),
        None => Outcome::Fine,
    })
}

/// Returns an event of the runner.
fn event(at_us: u64, fact: impl Into<AnyFact>) -> Event {
    Event { at_us, worker: RUNNER.to_owned(), pid: 0, fact: fact.into() }
}

fn rate(survey: &Survey, elapsed: Duration) -> u64 {
    (survey.schedules as f64 / elapsed.as_secs_f64()) as u64
}

fn status(survey: &Survey, elapsed: Duration) -> [String; 2] {
    let Survey { schedules, violated, .. } = survey;
    let rate = rate(survey, elapsed);
    [
        format!("{schedules} schedules, {violated} violated, {rate}/s"),
        format!("{schedules} 个调度，{violated} 个不成立，每秒 {rate} 个"),
    ]
}

/// The reporter of a run that is judged and not shown.
struct Nowhere;

impl Reporter for Nowhere {
    fn event(&mut self, _event: &Event) -> io::Result<()> {
        Ok(())
    }
}

/// What is known of a scenario once one schedule was run.
pub(super) struct First {
    started: RunStarted,
    guaranteed: bool,
}

/// Runs a schedule without a report. Rejects options and a schedule that the scenario cannot be run with; nothing is
/// started then.
pub(super) fn tried<S: Scenario>(
    invocation: &Invocation<'_>,
    schedule: &Schedule,
    signals: &StopSignals,
) -> Result<(Replayed, First), Failure> {
    let first = Cell::new(None);
    let run = || -> Result<First, Failure> {
        let scenario = invocation.prepare::<S>()?;
        check_workers(schedule, &scenario.workers())?;
        let options = invocation.options_for(&scenario)?;
        let started = started(&scenario, &options);
        let (_, result) = play(scenario, &options, signals, Box::new(Nowhere), None, &mut |_| {})?;
        let guaranteed = result?.guaranteed;
        Ok(First { started, guaranteed })
    };
    let replayed = survey::replay(schedule, None, &|| first.set(Some(run())));
    let first = first.take().transpose()?;
    Ok((replayed?, first.context("the schedule was not run")?))
}

/// Runs a schedule once more, and returns it in a form to be shown.
fn shown_schedule<S: Scenario>(
    invocation: &Invocation<'_>,
    schedule: &Schedule,
    mark: &str,
    signals: &StopSignals,
) -> Result<ShownSchedule, Failure> {
    let (events, failed) = (RefCell::new(Vec::new()), Cell::new(None));
    let run = || {
        let scenario = invocation.prepare::<S>()?;
        let options = invocation.options_for(&scenario)?;
        let mut see = |event: &Event| events.borrow_mut().push(event.clone());
        play(scenario, &options, signals, Box::new(Nowhere), None, &mut see).map(drop)
    };
    let replayed = survey::replay(schedule, None, &|| failed.set(run().err()));
    if let Some(failure) = failed.take() {
        return Err(failure);
    }
    let replayed = replayed?;
    let step = |ReplayedStep { turn, operation }: ReplayedStep| ScheduleStep {
        // The spawner comes after all workers.
        column: turn.participant().min(replayed.workers.len()),
        operation,
        is_timeout: matches!(turn, Turn::TimesOut(_)),
        is_death: matches!(turn, Turn::Dies(_)),
    };
    Ok(ShownSchedule {
        schedule: format!("{}#{mark}", replayed.schedule),
        switches: replayed.switches,
        args: replay_args(&invocation.options.args),
        steps: replayed.steps.into_iter().map(step).collect(),
        blocked: replayed.blocked.into_iter().map(step).collect(),
        workers: replayed.workers,
        events: events.into_inner(),
    })
}

/// Returns the arguments of an exploration without those that concern only the exploration.
fn replay_args(args: &[String]) -> Vec<String> {
    let explore = ExploreArgs::augment_args(clap::Command::new("explore"));
    let mut kept = without_options(args, |name| match name {
        "--format" => Some(true),
        "--quiet" => Some(false),
        _ => {
            let name = name.strip_prefix("--")?;
            let option = explore.get_arguments().find(|option| option.get_long() == Some(name))?;
            Some(option.get_action().takes_values())
        }
    });
    if let Some(command) = kept.iter().position(|word| word == "explore") {
        kept.remove(command);
    }
    kept
}

/// Returns the arguments without some options. `is_valued` returns whether such an option takes a value, and `None` for
/// arguments that stay.
pub(super) fn without_options(args: &[String], is_valued: impl Fn(&str) -> Option<bool>) -> Vec<String> {
    let mut kept = Vec::new();
    let mut left = args.iter();
    while let Some(word) = left.next() {
        match is_valued(word.split_once('=').map_or(word, |(name, _)| name)) {
            Some(true) if !word.contains('=') => _ = left.next(),
            Some(_) => {}
            None => kept.push(word.clone()),
        }
    }
    kept
}

/// Returns the mark of the schedules of a run: four hexadecimal digits, of a 32-bit FNV-1a hash. Rejects a run that
/// cannot be explored; `what` is the command or the option that asks for it.
pub(super) fn mark<S: Scenario>(invocation: &Invocation<'_>, what: &str) -> Result<String, Failure> {
    let (args, options) = (invocation.args::<S>()?, invocation.options);
    if let Some(reason) = S::not_explored(&args) {
        return Err(Failure::Unusable(anyhow!("cannot {what} {}: {reason}", S::NAME)));
    }
    let run = format!("{} {args:?} {:?} {} {}", S::NAME, options.kills, options.seed, env!("CARGO_PKG_VERSION"));
    let hash = run.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    Ok(format!("{:04x}", hash >> 16 ^ hash & 0xffff))
}

/// Reads a schedule with its mark, which may be left out: `[SCENARIO:]TURNS[#MARK]`.
pub(super) fn parsed<S: Scenario>(text: &str, mark: &str) -> anyhow::Result<Schedule> {
    let (scenario, rest) = text.split_once(':').map_or((S::NAME, text), |(scenario, rest)| (scenario.trim(), rest));
    anyhow::ensure!(scenario == S::NAME, "cannot replay {text}: it is a schedule of {scenario}, not of {}", S::NAME);
    let (turns, given) = rest.split_once('#').map_or((rest, mark), |(turns, given)| (turns, given.trim()));
    let schedule = turns.parse().with_context(|| format!("cannot replay {text}"))?;
    anyhow::ensure!(
        given == mark,
        "cannot replay {text}: it belongs to other options, another seed or another version of {} (the mark of this \
         run is #{mark}; without a mark it is tried as it is)",
        S::NAME
    );
    Ok(schedule)
}

/// Rejects a schedule with a worker that the scenario does not have.
fn check_workers(schedule: &Schedule, workers: &[String]) -> Result<(), Failure> {
    let is_unknown = |participant: &usize| *participant != SPAWNER && *participant >= workers.len();
    let Some(unknown) = schedule.participants().find(is_unknown) else { return Ok(()) };
    let known = workers.iter().enumerate().map(|(at, name)| format!("{} is {name}", Schedule::of(at)));
    Err(Failure::Unusable(anyhow!(
        "cannot replay {schedule}: there is no worker {} (there are {}: {})",
        Schedule::of(unknown),
        workers.len(),
        known.collect::<Vec<_>>().join(", ")
    )))
}

/// Replays one schedule of a scenario: the same run, every time.
pub(super) fn replay<S: Scenario>(
    text: &str,
    invocation: &Invocation<'_>,
    pictures: Pictures,
) -> Result<Outcome, Failure> {
    let mark = mark::<S>(invocation, "replay a schedule of")?;
    let schedule = parsed::<S>(text, &mark).map_err(Failure::Unusable)?;
    // Run once without a report, to see whether it fits.
    let signals = StopSignals::catch()?;
    let (tried, _) = tried::<S>(invocation, &schedule, &signals)?;
    if let Some(misfit) = tried.misfit {
        return Err(Failure::Unusable(anyhow!("cannot replay {text}: {misfit}")));
    }
    let outcome = Cell::new(None);
    let pictures = Cell::new(Some(pictures));
    let schedule = format!("{}#{mark}", tried.schedule);
    let run = || {
        let pictures = pictures.take().context("a schedule is replayed once")?;
        entry::run_once::<S>(invocation, Some(&schedule), &signals, pictures)
    };
    let chosen = |control| Watcher::new(control, S::NAMES, tried.workers, Some(tried.schedule.turns().collect()));
    let chooser = invocation.options.control.as_ref().map(|control| chosen(control).chooser());
    let given = if chooser.is_some() { Schedule::default() } else { tried.schedule.clone() };
    survey::replay(&given, chooser, &|| outcome.set(Some(run())))?;
    outcome.take().context("the schedule was not replayed")?
}
