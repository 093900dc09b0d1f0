//! What each mechanism costs on this machine, beside a yardstick measured in the same run.
//!
//! A workload has sides: the first is ours, the others are what it is held against. The sides take turns, round by round,
//! so that a machine that is busy for a while is busy for all; what counts is the median of the rounds' ratios.

mod pipe;
mod process;
mod queue;
mod sync;

use std::io::{self, Write};

use anyhow::{Context, anyhow, bail};

use crate::ipc::RoleEntry;
use crate::outcome::{Failure, Outcome};
use crate::report::Format;

/// All workloads, in the order of the output.
fn workloads() -> impl Iterator<Item = &'static Workload> {
    let sync = [
        &sync::LOCK,
        &sync::RLOCK,
        &sync::SEMAPHORE,
        &sync::OWNED_SEMAPHORE,
        &sync::VALUE,
        &sync::EVENT,
        &sync::CONDITION,
        &sync::BARRIER,
    ];
    sync.into_iter().chain([&pipe::ONE_WAY]).chain(&queue::WORKLOADS).chain([&process::START_AND_JOIN])
}

/// Roles of the workers that the workloads start.
pub(crate) fn roles() -> impl Iterator<Item = RoleEntry> {
    [pipe::ROLE, process::ROLE].into_iter().chain(queue::ROLES.iter().copied())
}

/// More spread than this between the rounds, and the machine is too busy to tell.
const NOISY_PERCENT: f64 = 25.0;

/// Something to measure.
struct Workload {
    name: &'static str,
    about: &'static str,
    sides: &'static [Side],
}

/// One way to do the work.
struct Side {
    name: &'static str,
    /// Does the work for a while and returns what one operation took.
    ns_per_operation: fn() -> anyhow::Result<f64>,
}

/// What was measured of one side.
struct Measured {
    side: &'static str,
    median_ns: f64,
    /// Half the distance between the quartiles of the rounds, in percent of the median.
    spread_percent: f64,
    /// How many times as long ours took as this one.
    ours_to_this: f64,
}

/// What to measure, and how to show it.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchArgs {
    /// Workloads to measure [default: all]
    #[arg(value_name = "WORKLOAD")]
    workloads: Vec<String>,
    /// How many times each side is measured
    #[arg(long, value_name = "N", default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
}

/// Workloads that a user named, all if none was.
pub(crate) fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static str>> {
    let all = || workloads().map(|workload| workload.name);
    if let Some(unknown) = names.iter().find(|name| !all().any(|known| known == name.as_str())) {
        bail!("there is no workload {unknown}; there is {}", all().collect::<Vec<_>>().join(", "));
    }
    Ok(all().filter(|known| names.is_empty() || names.iter().any(|name| name == known)).collect())
}

/// Measures and prints, workload by workload.
pub(crate) fn run(args: &BenchArgs, format: Format) -> Result<Outcome, Failure> {
    let chosen = chosen(&args.workloads).map_err(Failure::Unusable)?;
    let failed = |error| Failure::Machinery(Outcome::MachineryFailed, vec![error]);
    let mut out = io::stdout();
    for workload in workloads().filter(|workload| chosen.contains(&workload.name)) {
        let measured = measure(workload, args.rounds).map_err(failed)?;
        let text = match format {
            Format::Text => as_text(workload, &measured),
            Format::Json => as_json(workload, &measured),
        };
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::ReaderGone),
            Err(error) => return Err(failed(anyhow!(error).context("cannot write the results to stdout"))),
        }
    }
    Ok(Outcome::Fine)
}

fn measure(workload: &Workload, rounds: u32) -> anyhow::Result<Vec<Measured>> {
    let mut times: Vec<Vec<f64>> = vec![Vec::new(); workload.sides.len()];
    for _ in 0..rounds {
        for (side, times) in workload.sides.iter().zip(&mut times) {
            let ns = (side.ns_per_operation)();
            times.push(ns.with_context(|| format!("cannot measure {} of {}", side.name, workload.name))?);
        }
    }
    let ours = times[0].clone();
    let measured = workload.sides.iter().zip(times).map(|(side, times)| {
        let ratios = ours.iter().zip(&times).map(|(ours, this)| ours / this).collect();
        let [low, median_ns, high] = quartiles(times);
        let spread_percent = (high - low) / 2.0 / median_ns * 100.0;
        Measured { side: side.name, median_ns, spread_percent, ours_to_this: quartiles(ratios)[1] }
    });
    Ok(measured.collect())
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    [at(1), at(2), at(3)]
}

fn as_text(workload: &Workload, measured: &[Measured]) -> String {
    let mut text = format!("{}: {}\n", workload.name, workload.about);
    for Measured { side, median_ns, spread_percent, ours_to_this } in measured {
        let ratio = if *side == measured[0].side { String::new() } else { format!("  ratio {ours_to_this:.2}") };
        let noise = if *spread_percent > NOISY_PERCENT { "  too noisy to tell" } else { "" };
        let time = nanoseconds(*median_ns);
        text.push_str(&format!("  {side:<34} {time:>10} ±{spread_percent:>3.0} %{ratio}{noise}\n"));
    }
    text
}

fn as_json(workload: &Workload, measured: &[Measured]) -> String {
    let line = |measured: &Measured| {
        let Measured { side, median_ns, spread_percent, ours_to_this } = measured;
        let object = serde_json::json!({
            "workload": workload.name, "side": side, "median_ns": median_ns, "spread_percent": spread_percent,
            "ours_to_this": ours_to_this,
        });
        format!("{object}\n")
    };
    measured.iter().map(line).collect()
}

fn nanoseconds(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.1} ns"),
        ns if ns < 1e6 => format!("{:.2} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_few_values() {
        assert_eq!(quartiles(vec![5.0]), [5.0, 5.0, 5.0]);
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn unknown_workload_is_refused_with_the_known_ones() {
        let refused = chosen(&["lokc".to_owned()]).expect_err("there is none");
        assert!(refused.to_string().contains("lock"), "{refused}");
        assert_eq!(chosen(&[]).expect("all").len(), workloads().count());
    }

    #[test]
    fn ratio_is_that_of_the_rounds() {
        static TWICE: Workload = Workload {
            name: "twice",
            about: "twice",
            sides: &[
                Side { name: "ours", ns_per_operation: || Ok(20.0) },
                Side { name: "it", ns_per_operation: || Ok(10.0) },
            ],
        };
        let measured = measure(&TWICE, 3).expect("measured");
        assert_eq!(measured[1].ours_to_this, 2.0);
        assert!(as_text(&TWICE, &measured).contains("ratio 2.00"));
    }
}
