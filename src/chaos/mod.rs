//! The proof of crash safety: workers are killed at every instruction, and the survivors are checked.
//!
//! A case creates an object and its survivors, a victim performs one operation on the object, the engine kills it after
//! some instruction of the operation, and then the case determines the effect. The rules are the same for all cases:
//! 1. A process that waits for something available, or for a dead process, goes on or is told within 250 ms, before the
//!    object is used again; and it is woken rather than finding out by its own check, unless the row says otherwise.
//! 2. The operation is either not begun or done, as seen by all, and it changes from one to the other at one
//!    instruction.
//! 3. The object contains what was put into it.
//! 4. The object can be used for two more rounds.
//! 5. At the end nothing is left: no process, no descriptor.

mod case;
mod cases;
mod effect;
mod findings;
mod json;
mod kill;
mod peer;
mod python;
mod report;
mod sweep;
mod table;
mod victim;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command};

use self::case::Row;
use self::effect::Texts;
use self::findings::Total;
use self::python::Lanes;
use self::sweep::{News, Sweep};
use self::table::Table;
use crate::RoleEntry;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::{Color, Format, Language};
use crate::sys::affinity;
use crate::sys::clock::monotonic_ns;

/// Roles of the workers that are killed.
pub(crate) static ROLES: &[RoleEntry] = &[victim::ROLE, cases::POOL_ROLE];

/// What the command is for; the first line alone is its short form.
pub(crate) const ABOUT: &str = "\
Kill workers, and check that the others continue

Workers are killed with kill -9 while they are idle, while they wait, while they hold something, and in the middle of \
every operation; the survivors must continue, with nothing lost or duplicated. ptrace stops each victim at the \
instruction after which it is killed. Without --exhaustive, a few places in each operation are tried, and every \
instruction around the one that takes effect.

Examples:
  ipc-demo chaos                          every object, in a few seconds
  ipc-demo chaos lock queue               these two
  ipc-demo chaos --place \"in put\"         every operation with this in its name
  ipc-demo chaos --exhaustive             after every single instruction
  ipc-demo chaos --exhaustive --full      with the rows that take longest
  ipc-demo chaos --against python         compared with Python's multiprocessing";

/// The progress of Python.
const PYTHON_BAR: Texts = ["{bar:32} {pos} of {len} rows of Python", "{bar:32} Python 已完成 {pos}/{len} 行"];

/// Interval between checks for a stop request.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to kill, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct ChaosArgs {
    /// Objects to try [default: all]
    #[arg(value_name = "PRIMITIVE", value_parser = Objects)]
    primitives: Vec<String>,
    /// Only rows whose place contains this text
    #[arg(long, value_name = "TEXT")]
    place: Option<String>,
    /// Kill after every single instruction of every operation
    #[arg(long)]
    exhaustive: bool,
    /// With --exhaustive: also the rows that take longest
    #[arg(long, requires = "exhaustive")]
    full: bool,
    /// Compare with the same kills in another implementation
    #[arg(long, value_name = "PEER")]
    against: Option<Peer>,
    /// Do something wrong, to see that it is found
    #[cfg(debug_assertions)]
    #[arg(long, hide = true)]
    failpoint: Option<crate::sys::failpoint::Failpoint>,
}

/// What the same kills can be done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Peer {
    /// multiprocessing of the python3 in the PATH
    Python,
}

/// The options of a run that are not its arguments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunOptions {
    pub(crate) seed: u64,
    pub(crate) format: Format,
    pub(crate) language: Language,
    pub(crate) color: Color,
}

/// Parses the name of an object in any spelling: `OwnedSemaphore`, `owned-semaphore`, `"owned semaphore"`.
#[derive(Debug, Clone)]
struct Objects;

impl Objects {
    fn names() -> impl Iterator<Item = &'static str> {
        let mut names: Vec<&str> = cases::ROWS.iter().map(|row| row.object).collect();
        names.dedup();
        names.into_iter()
    }
}

impl TypedValueParser for Objects {
    type Value = String;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        let plain = |name: &str| name.replace(['-', '_', ' '], "").to_lowercase();
        let typed = plain(&value.to_string_lossy());
        if typed == "redis" {
            let reason = "chaos has no rows for a queue on a server: its operations run there, and chaos kills at the \
                          instructions of a worker; kill a worker that uses such a queue with --kill: ipc-demo \
                          joinable --transport redis --consumers 2 --kill consumer-1@working\n";
            return Err(clap::Error::raw(clap::error::ErrorKind::InvalidValue, reason).with_cmd(command));
        }
        match Self::names().find(|name| plain(name) == typed) {
            Some(name) => Ok(name.to_owned()),
            None => PossibleValuesParser::new(Self::names()).parse_ref(command, arg, value),
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Self::names().map(PossibleValue::new)))
    }
}

/// Returns the rows that the user named, or all rows if none was named.
fn chosen(args: &ChaosArgs) -> anyhow::Result<Vec<&'static Row>> {
    let is_chosen = |row: &&Row| {
        let is_placed = args.place.as_deref().is_none_or(|text| row.place.iter().any(|place| place.contains(text)));
        let is_named = args.primitives.is_empty() || args.primitives.iter().any(|name| name == row.object);
        is_named && is_placed && (!row.is_extra || args.full || !args.exhaustive)
    };
    let rows: Vec<_> = cases::ROWS.iter().filter(is_chosen).collect();
    ensure!(!rows.is_empty(), "no row has such a place; ipc-demo chaos shows all of them");
    Ok(rows)
}

/// Kills, checks, and prints, row by row.
pub(crate) fn run(args: &ChaosArgs, options: RunOptions) -> Result<Outcome, Failure> {
    let rows = chosen(args).map_err(Failure::Unusable)?;
    let signals = StopSignals::catch()?;
    // Several rows may have the same kill in Python.
    let names: BTreeSet<_> = rows.iter().flat_map(|row| row.pythons()).collect();
    let start = |Peer::Python| Lanes::start(names.into_iter().collect(), &signals);
    let python = args.against.map(start).transpose().map_err(Failure::Unusable)?;
    #[cfg(debug_assertions)]
    args.failpoint.into_iter().for_each(crate::sys::failpoint::Failpoint::begin);
    Ok(perform(args, options, &rows, &signals, python)?)
}

fn perform(
    args: &ChaosArgs,
    options: RunOptions,
    rows: &[&'static Row],
    signals: &StopSignals,
    python: Option<Lanes>,
) -> anyhow::Result<Outcome> {
    let processors = affinity::processors().context("cannot determine which processors this machine has")?;
    victim::probe()?;
    let finish = |lanes: Lanes| {
        let bar = table::bar(options, PYTHON_BAR, lanes.kills());
        let python = lanes.finish(signals, |done| bar.iter().for_each(|bar| bar.set_position(done as u64)));
        bar.iter().for_each(|bar| bar.finish_and_clear());
        python
    };
    let python = python.map(finish).transpose()?;
    let before = belongings();
    let begun_ns = monotonic_ns();
    let stop = AtomicBool::new(signals.asked().is_some());
    let (seed, exhaustive) = (options.seed, args.exhaustive);
    let sweep = Sweep::new(rows, exhaustive, &stop);
    let total = Total { processors: processors.len(), seed, exhaustive, python, ..Total::default() };
    let mut table = Table::new(rows, options, total);
    let (news, heard) = mpsc::channel();
    let (killed, told) = thread::scope(|scope| {
        let killing = scope.spawn(|| {
            let jobs = sweep.survey(&processors, seed)?;
            // The receiver decides when to stop.
            let _ = news.send(News::Planned(jobs.len()));
            sweep.kill(&processors, jobs, news)
        });
        let told = follow(&heard, &mut table, signals, &stop);
        // Nothing can be shown any more, so the kills stop.
        stop.store(true, Relaxed);
        (killing.join().expect("a lane does not panic"), told)
    });
    killed?;
    let told = told.and_then(|()| table.conclude((monotonic_ns() - begun_ns) / 1_000, left_behind(before)));
    match told {
        Ok(holds) => Ok(match signals.asked() {
            Some(signal) => Outcome::Stopped(signal),
            None if holds => Outcome::Fine,
            None => Outcome::Broken,
        }),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
        Err(error) => Err(error).context("cannot write the results to stdout"),
    }
}

/// Shows news until there is none left. Stops the killing on a stop request.
fn follow(heard: &Receiver<News>, table: &mut Table<'_>, signals: &StopSignals, stop: &AtomicBool) -> io::Result<()> {
    loop {
        match heard.recv_timeout(LOOK_EVERY) {
            Ok(news) => table.hear(news)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        if signals.asked().is_some() {
            stop.store(true, Relaxed);
        }
    }
}

/// Returns the number of this process's descriptors plus its children.
fn belongings() -> usize {
    let entries = |path: &str| fs::read_dir(path).map_or(0, Iterator::count);
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    entries("/proc/self/fd") + children.map(|list| list.split_whitespace().count()).sum::<usize>()
}

/// Returns how many more there are than `before`, once the last threads are gone.
fn left_behind(before: usize) -> usize {
    let until_ns = monotonic_ns() + 1_000_000_000;
    while belongings() > before && monotonic_ns() < until_ns {
        thread::yield_now();
    }
    belongings().saturating_sub(before)
}
