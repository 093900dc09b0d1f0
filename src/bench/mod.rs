//! The cost of each mechanism on this machine, next to a baseline measured in the same run.
//!
//! A workload has sides: the first is ours, the others are what it is compared with. `measure` lets them take turns,
//! and `report` and `chart` show the results.

mod chart;
mod explore;
mod joinable;
mod machine;
mod manager;
mod measure;
mod pipe;
mod pool;
mod process;
mod python;
mod queue;
mod redis;
mod report;
mod start_barrier;
mod sync;
mod workload;

use std::io::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::ValueHint;
use clap::builder::{PossibleValue, PossibleValuesParser};

use self::machine::Machine;
use self::measure::measure;
use self::python::Python;
use self::report::Preface;
use self::workload::Workload;
use crate::RoleEntry;
use crate::number::whole;
use crate::outcome::{Failure, Outcome};
use crate::process::StopSignals;
use crate::report::{Format, Language, PictureFile, PictureKind, Screen, columns};

/// Several workloads under one name.
struct Group {
    name: &'static str,
    about: &'static str,
    has: fn(&Workload<'_>) -> bool,
}

const GROUPS: [Group; 3] = [
    Group { name: "manager", about: "all workloads of the manager", has: |it| it.name.starts_with("manager-") },
    Group { name: REDIS, about: "all workloads over the Redis server of IPC_DEMO_REDIS", has: is_of_redis },
    Group { name: "growth", about: "all workloads with a growing parameter", has: |it| it.axis.is_some() },
];

const REDIS: &str = "redis";

fn is_of_redis(workload: &Workload<'_>) -> bool {
    workload.name.starts_with("redis-")
}

/// Returns all workloads, in the order of the output.
fn workloads<'a>() -> Vec<Workload<'a>> {
    let mut all = sync::workloads();
    all.push(pipe::workload());
    all.extend(queue::workloads());
    all.push(joinable::workload());
    all.extend(pool::workloads());
    all.extend(manager::workloads());
    all.push(process::workload());
    all.extend(explore::workloads());
    all.extend(queue::growing());
    all.extend(redis::workloads());
    all
}

/// Roles of the workers that the workloads start.
pub(crate) fn roles() -> impl Iterator<Item = RoleEntry> {
    let several = [queue::ROLES, joinable::ROLES, pool::ROLES];
    [pipe::ROLE, manager::ROLE, process::ROLE, explore::ROLE].into_iter().chain(several.into_iter().flatten().copied())
}

const EXAMPLES: &str = "\
Examples:
  ipc-demo bench lock queue              only these
  ipc-demo bench manager                 all workloads of the manager
  ipc-demo bench growth                  all workloads with a growing parameter
  ipc-demo bench redis                   over the server of IPC_DEMO_REDIS
  ipc-demo bench spawn --against python  compare with python3's multiprocessing
  ipc-demo bench --rounds 21             slower, more precise
  ipc-demo bench --chart bench.svg       a picture for a slide";

/// What to measure, and how to show it.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BenchArgs {
    /// Workloads to measure [default: all]
    #[arg(value_name = "WORKLOAD", value_parser = names())]
    workloads: Vec<String>,
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = whole::<u32>(1..=1000))]
    rounds: u32,
    /// Also measure another implementation
    #[arg(long, value_name = "WHOM", value_enum)]
    against: Option<Comparison>,
    /// Draw the results into this file: an SVG picture with bars
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    chart: Option<PathBuf>,
}

/// An implementation to compare against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Comparison {
    /// The multiprocessing of the python3 on the path
    Python,
}

/// Returns the names of everything that can be measured.
fn names() -> PossibleValuesParser {
    let single = workloads().into_iter().map(|it| (it.name, it.about));
    let all = single.chain(GROUPS.iter().map(|it| (it.name, it.about)));
    PossibleValuesParser::new(all.map(|(name, about)| PossibleValue::new(name).help(about)))
}

/// Returns whether the user chose this workload.
fn is_chosen(workload: &Workload<'_>, names: &[String]) -> bool {
    let is_in = |group: &str| GROUPS.iter().any(|it| it.name == group && (it.has)(workload));
    names.is_empty() || names.iter().any(|name| name == workload.name || is_in(name))
}

/// Measures and prints, workload by workload.
pub(crate) fn run(args: &BenchArgs, format: Format) -> Result<Outcome, Failure> {
    let is_redis_named = workloads().iter().any(|it| is_of_redis(it) && is_chosen(it, &args.workloads));
    if is_redis_named && !args.workloads.is_empty() {
        let server = redis::server().map_err(Failure::Unusable)?;
        server.check().map_err(|error| Failure::of_preparing(error.into()))?;
    }
    let signals = StopSignals::catch()?;
    let chart = args.chart.as_deref().map(|path| PictureFile::open(PictureKind::Chart, path));
    let chart = chart.transpose().map_err(|error| Failure::Unusable(error.into()))?;
    let python = args.against.map(|Comparison::Python| Python::start(&signals)).transpose();
    let measured = python.map_err(Failure::Unusable);
    let measured = measured.and_then(|python| Ok(perform(args, format, &signals, python.as_ref(), chart)?));
    match (measured, signals.asked()) {
        (Err(_), Some(signal)) => Ok(Outcome::Stopped(signal)),
        (measured, _) => measured,
    }
}

fn perform(
    args: &BenchArgs,
    format: Format,
    signals: &StopSignals,
    python: Option<&Python<'_>>,
    chart: Option<PictureFile>,
) -> anyhow::Result<Outcome> {
    let go_on = || match signals.asked() {
        Some(_) => bail!("asked to stop"),
        None => Ok(()),
    };
    go_on()?;
    let preface =
        Preface { machine: Machine::here(), rounds: args.rounds, python: python.map(|python| python.version.clone()) };
    let begun = say(match format {
        Format::Text => preface.text(columns()),
        Format::Json => preface.json(),
    })?;
    if begun != Outcome::Fine {
        return Ok(begun);
    }
    let mut all = Vec::new();
    // Without a server, all means all others.
    let can_run = |workload: &Workload<'_>| !is_of_redis(workload) || redis::server().is_ok();
    let chosen = |workload: &Workload<'_>| is_chosen(workload, &args.workloads) && can_run(workload);
    for mut workload in workloads().into_iter().filter(chosen) {
        if let Some(python) = python {
            python.join_in(&mut workload);
        }
        let results = measure(&workload, args.rounds, &go_on)?;
        let said = say(match format {
            Format::Text => report::text(&results, columns()),
            Format::Json => report::json(&results),
        })?;
        if said != Outcome::Fine {
            return Ok(said);
        }
        all.push(results);
    }
    if let Some(file) = chart {
        file.write(|out| out.write_all(chart::draw(&all, &preface).as_bytes()))?;
    }
    Ok(Outcome::Fine)
}

/// Prints to stdout.
fn say(text: String) -> anyhow::Result<Outcome> {
    let written = Screen::for_people(Language::En).write_all(text.as_bytes());
    Outcome::of_write(written, "cannot write the results to stdout")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Vec<&'static str> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        workloads().iter().filter(|workload| is_chosen(workload, &names)).map(|workload| workload.name).collect()
    }

    #[test]
    fn group_chooses_all_of_its_workloads() {
        let of_manager = ["manager-set", "manager-get", "manager-tcp-set", "manager-tcp-get"];
        assert_eq!(chosen(&["manager"]), of_manager);
        assert_eq!(chosen(&["manager", "manager-get", "lock"]), [&["lock"][..], &of_manager].concat());
        assert!(chosen(&["growth"]).contains(&"queue-sizes"));
        assert!(!chosen(&["growth"]).contains(&"lock"));
        assert_eq!(chosen(&[]).len(), workloads().len());
    }

    #[test]
    fn no_name_means_two_things() {
        let mut names: Vec<_> = workloads().iter().map(|it| it.name).chain(GROUPS.iter().map(|it| it.name)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
