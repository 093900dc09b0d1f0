//! A workload: its name, and the sides that do it.

use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

/// A workload, measured at one point or along an axis.
pub(super) struct Workload<'a> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// What grows from point to point; `None` if there is only one point.
    pub(super) axis: Option<&'static str>,
    pub(super) points: Vec<Point<'a>>,
}

/// A point on the axis of its workload.
pub(super) struct Point<'a> {
    pub(super) at: u64,
    pub(super) sides: Vec<Side<'a>>,
    /// The tasks for Python's counterparts, with their names if there are several.
    pub(super) for_python: Vec<(Option<&'static str>, Value)>,
}

/// One way to do the work.
pub(super) struct Side<'a> {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Performs at least the given number of operations.
    pub(super) run: Box<dyn Fn(u64) -> anyhow::Result<Sample> + 'a>,
}

/// The origin of a side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Ours,
    /// The name in JSON is older than this one.
    #[serde(rename = "yardstick")]
    Baseline,
    Python,
}

/// The measurement of one side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    pub(super) operations: u64,
    pub(super) elapsed: Duration,
    /// Present where single operations were timed.
    pub(super) round_trips: Option<RoundTrips>,
}

/// The durations of single round trips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RoundTrips {
    pub(super) p50_ns: f64,
    pub(super) p99_ns: f64,
}

impl Sample {
    /// Returns the time per operation: the median of single round trips, otherwise the average.
    pub(super) fn ns_per_operation(&self) -> f64 {
        let average = self.elapsed.as_nanos() as f64 / self.operations as f64;
        self.round_trips.map_or(average, |round_trips| round_trips.p50_ns)
    }

    /// Returns a sample of `operations` operations that began at `begun` and end now.
    pub(super) fn since(begun: Instant, operations: u64) -> Self {
        Sample { operations, elapsed: begun.elapsed(), round_trips: None }
    }

    /// Times `operations` calls of `operation`.
    pub(super) fn of<T>(operations: u64, mut operation: impl FnMut() -> anyhow::Result<T>) -> anyhow::Result<Self> {
        let begun = Instant::now();
        for _ in 0..operations {
            operation()?;
        }
        Ok(Sample::since(begun, operations))
    }

    /// Times each of `operations` calls of `operation`, for the percentiles.
    pub(super) fn of_each(operations: u64, mut operation: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<Self> {
        let mut took = Vec::with_capacity(operations as usize);
        let sample = Sample::of(operations, || {
            let begun = Instant::now();
            operation()?;
            took.push(begun.elapsed());
            Ok(())
        })?;
        Ok(Sample { round_trips: RoundTrips::of(took), ..sample })
    }
}

impl RoundTrips {
    /// Returns `None` if there were none.
    pub(super) fn of(mut took: Vec<Duration>) -> Option<Self> {
        took.sort_unstable();
        let at = |percent: usize| Some(took.get(took.len() * percent / 100)?.as_nanos() as f64);
        Some(RoundTrips { p50_ns: at(50)?, p99_ns: at(99)? })
    }
}

impl<'a> Workload<'a> {
    pub(super) fn new(name: &'static str, about: &'static str, point: Point<'a>) -> Self {
        Workload { name, about, axis: None, points: vec![point] }
    }

    pub(super) fn growing(name: &'static str, about: &'static str, axis: &'static str, points: Vec<Point<'a>>) -> Self {
        Workload { name, about, axis: Some(axis), points }
    }
}

impl<'a> Point<'a> {
    /// Creates the only point of a workload without an axis.
    pub(super) fn only() -> Self {
        Point::at(1)
    }

    pub(super) fn at(at: u64) -> Self {
        Point { at, sides: Vec::new(), for_python: Vec::new() }
    }

    pub(super) fn ours(mut self, name: &str, run: impl Fn(u64) -> anyhow::Result<Sample> + 'a) -> Self {
        self.add(name, Kind::Ours, run);
        self
    }

    pub(super) fn baseline(mut self, name: &str, run: impl Fn(u64) -> anyhow::Result<Sample> + 'a) -> Self {
        self.add(name, Kind::Baseline, run);
        self
    }

    pub(super) fn add(&mut self, name: &str, kind: Kind, run: impl Fn(u64) -> anyhow::Result<Sample> + 'a) {
        self.sides.push(Side { name: name.to_owned(), kind, run: Box::new(run) });
    }

    /// Sets the task for Python, in the terms of `data/bench_python.py`.
    pub(super) fn python(mut self, task: Value) -> Self {
        self.for_python.push((None, task));
        self
    }

    /// Adds the task for one of several counterparts in Python.
    pub(super) fn python_named(mut self, name: &'static str, task: Value) -> Self {
        self.for_python.push((Some(name), task));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_round_trips() {
        let took = (1..=200).rev().map(Duration::from_nanos).collect();
        assert_eq!(RoundTrips::of(took), Some(RoundTrips { p50_ns: 101.0, p99_ns: 199.0 }));
        assert_eq!(RoundTrips::of(Vec::new()), None);
        let only = RoundTrips::of(vec![Duration::from_nanos(7)]);
        assert_eq!(only, Some(RoundTrips { p50_ns: 7.0, p99_ns: 7.0 }));
    }

    #[test]
    fn operation_takes_its_share_of_the_time() {
        let sample = Sample { operations: 4, elapsed: Duration::from_nanos(10), round_trips: None };
        assert_eq!(sample.ns_per_operation(), 2.5);
        let round_trips = Some(RoundTrips { p50_ns: 2.0, p99_ns: 4.0 });
        assert_eq!(Sample { round_trips, ..sample }.ns_per_operation(), 2.0);
    }
}
