//! The output of the benchmark: rows and tables for people, one object per side for programs.

use serde_json::{Value, json};

use super::machine::Machine;
use super::measure::{Measured, Results, Row};
use super::workload::Kind;
use crate::report::cells::{behind, fold, padded, row};

/// What is known before anything is measured.
#[derive(Debug)]
pub(super) struct Preface {
    pub(super) machine: Machine,
    pub(super) rounds: u32,
    /// Python's version, if it takes part.
    pub(super) python: Option<String>,
}

impl Preface {
    /// Returns machine, rounds, Python.
    pub(super) fn line(&self) -> String {
        format!("{} · {}", self.machine.line(), self.run())
    }

    fn run(&self) -> String {
        let rounds = if self.rounds == 1 { "1 round".to_owned() } else { format!("{} rounds", self.rounds) };
        let python = self.python.as_ref().map_or(String::new(), |version| format!(" · Python {version}"));
        rounds + &python
    }

    pub(super) fn text(&self, columns: usize) -> String {
        let lines = [&self.machine.line(), &self.run(), "ratio: our time divided by theirs; below 1, ours is faster"];
        lines.map(|line| fold(line, "  ", columns) + "\n").concat()
    }

    pub(super) fn json(&self) -> String {
        let Preface { machine, rounds, python } = self;
        let version = env!("CARGO_PKG_VERSION");
        let event = "bench_started";
        line(&json!({ "event": event, "version": version, "machine": machine, "rounds": rounds, "python": python }))
    }
}

/// Returns the results for people.
pub(super) fn text(results: &Results, columns: usize) -> String {
    let title = fold(&format!("{}: {}", results.name, results.about), "  ", columns);
    let body = match results.axis {
        Some(axis) => table(axis, &results.points, columns),
        None => results.sides().map(|measured| side(measured, columns)).collect(),
    };
    format!("\n{title}\n{body}")
}

fn noise(lead: &str, columns: usize) -> String {
    fold(&format!("{lead}too noisy to tell: the rounds differ too much, the machine was busy"), "    ", columns) + "\n"
}

/// Returns the line of a side in a workload without an axis.
fn side(measured: &Measured, columns: usize) -> String {
    let Measured { side, kind, median_ns, spread_percent, ours_to_this, round_trips, .. } = measured;
    let ratio = if *kind == Kind::Ours { String::new() } else { format!("  ratio {}", ratio(*ours_to_this)) };
    let cells = [
        padded(&format!("  {side}"), 33),
        behind(&time(*median_ns), 9),
        behind(&format!("±{spread_percent:>3.0} %"), 7),
        behind(&rate(1e9 / median_ns), 10),
        padded(&ratio, ratio.len()),
    ];
    let mut text = row(cells, 4, columns);
    if let Some(round_trips) = round_trips {
        let (p50, p99) = (self::time(round_trips.p50_ns), self::time(round_trips.p99_ns));
        text += &format!("    p50 {p50}, p99 {p99}\n");
    }
    if measured.is_noisy() {
        text += &noise("    ", columns);
    }
    text
}

/// Returns a table with one row per point and one column per side.
fn table(axis: &str, rows: &[Row], columns: usize) -> String {
    let cell = |measured: &Measured, time: &str, ratio: &str| match measured.kind {
        Kind::Ours => behind(time, 10),
        _ => behind(&format!("{time}{ratio:>7}"), 17),
    };
    let line = |name: &str, cells: Vec<(String, usize)>| row([behind(name, 11)].into_iter().chain(cells), 11, columns);
    let head = |measured: &Measured| cell(measured, &measured.side, "ratio");
    let mut text = line(axis, rows[0].sides.iter().map(head).collect());
    let filled = |measured: &Measured| {
        let noise = if measured.is_noisy() { "~" } else { "" };
        cell(measured, &format!("{noise}{}", time(measured.median_ns)), &ratio(measured.ours_to_this))
    };
    for row in rows {
        text += &line(&amount(axis, row.at), row.sides.iter().map(filled).collect());
    }
    if rows.iter().flat_map(|row| &row.sides).any(Measured::is_noisy) {
        text += &noise("  ~ ", columns);
    }
    text
}

/// Returns one line per side.
pub(super) fn json(results: &Results) -> String {
    let mut lines = String::new();
    for row in &results.points {
        for measured in &row.sides {
            let mut object = json!({
                "event": "side_measured",
                "workload": results.name,
                "side": measured.side,
                "kind": measured.kind,
                "median_ns": measured.median_ns,
                "spread_percent": measured.spread_percent,
                "too_noisy": measured.is_noisy(),
                "ours_to_this": measured.ours_to_this,
                "operations": measured.operations,
                "rounds_ns": measured.rounds_ns,
            });
            if let Some(axis) = results.axis {
                object["axis"] = axis.into();
                object["at"] = row.at.into();
            }
            if let Some(round_trips) = measured.round_trips {
                object["p50_ns"] = round_trips.p50_ns.into();
                object["p99_ns"] = round_trips.p99_ns.into();
            }
            lines += &line(&object);
        }
    }
    lines
}

fn line(object: &Value) -> String {
    format!("{object}\n")
}

/// Formats a time to three or four digits.
pub(super) fn time(ns: f64) -> String {
    let digits = |value: f64| if value < 100.0 { 1 } else { 0 } + usize::from(value < 10.0);
    match ns {
        ns if ns < 999.5 => format!("{ns:.*} ns", digits(ns).min(1)),
        ns if ns < 999.5e3 => format!("{:.*} µs", digits(ns / 1e3), ns / 1e3),
        ns if ns < 999.5e6 => format!("{:.*} ms", digits(ns / 1e6), ns / 1e6),
        ns => format!("{:.*} s", digits(ns / 1e9), ns / 1e9),
    }
}

/// Formats a rate per second.
fn rate(a_second: f64) -> String {
    match a_second {
        rate if rate >= 999.5e3 => format!("{:.1} M/s", rate / 1e6),
        rate if rate >= 999.5 => format!("{:.0} k/s", rate / 1e3),
        rate => format!("{rate:.0} /s"),
    }
}

/// Formats a ratio; far below 1 as a fraction, which is easier to read.
pub(super) fn ratio(ratio: f64) -> String {
    match ratio {
        ratio if ratio < 0.000_1 => format!("1/{:.0}k", 1e-3 / ratio),
        ratio if ratio < 0.1 => format!("1/{:.0}", 1.0 / ratio),
        ratio if ratio < 99.5 => format!("{ratio:.2}"),
        ratio => format!("{ratio:.0}"),
    }
}

/// Formats a point of an axis, with sizes in the usual units.
pub(super) fn amount(axis: &str, at: u64) -> String {
    match at {
        at if axis != "bytes" => at.to_string(),
        at if at < 1 << 10 => format!("{at} B"),
        at if at < 1 << 20 => format!("{} KiB", at >> 10),
        at => format!("{} MiB", at >> 20),
    }
}

#[cfg(test)]
pub(super) mod tests;
