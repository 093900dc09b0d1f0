//! The sides of a workload take turns, round by round, so that a temporarily busy machine affects all; the result is
//! the median of the rounds' ratios.

use std::time::{Duration, Instant};

use anyhow::Context;

use super::workload::{Kind, Point, RoundTrips, Side, Workload};

/// Approximate duration of a side's work in a round.
const BUDGET: Duration = Duration::from_millis(70);
/// The first number of operations in the calibration.
const FIRST: u64 = 4;
/// The largest growth factor per calibration step.
const FURTHER: u64 = 64;
/// Spread between the rounds above which the machine is too busy for a result.
const NOISY_PERCENT: f64 = 25.0;

/// The results of a workload.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) axis: Option<&'static str>,
    pub(super) points: Vec<Row>,
}

impl Results {
    pub(super) fn sides(&self) -> impl Iterator<Item = &Measured> {
        self.points.iter().flat_map(|row| &row.sides)
    }
}

/// The results at a point.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) at: u64,
    /// The first is ours.
    pub(super) sides: Vec<Measured>,
}

/// The results of one side.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) side: String,
    pub(super) kind: Kind,
    /// Operations per round.
    pub(super) operations: u64,
    /// Time per operation, round by round.
    pub(super) rounds_ns: Vec<f64>,
    pub(super) median_ns: f64,
    /// Half the distance between the quartiles of the rounds, in percent of the median.
    pub(super) spread_percent: f64,
    /// Our time divided by this side's.
    pub(super) ours_to_this: f64,
    /// The medians of the rounds, where single round trips were timed.
    pub(super) round_trips: Option<RoundTrips>,
}

impl Measured {
    pub(super) fn is_noisy(&self) -> bool {
        self.spread_percent > NOISY_PERCENT
    }
}

/// Measures a workload, point by point. `go_on` is called after every turn of a side.
pub(super) fn measure(
    workload: &Workload<'_>,
    rounds: u32,
    go_on: &dyn Fn() -> anyhow::Result<()>,
) -> anyhow::Result<Results> {
    let row = |point: &Point<'_>| {
        let sides = contest(&point.sides, rounds, go_on).with_context(|| match workload.axis {
            Some(axis) => format!("cannot measure {} with {} {axis}", workload.name, point.at),
            None => format!("cannot measure {}", workload.name),
        })?;
        Ok(Row { at: point.at, sides })
    };
    let points = workload.points.iter().map(row).collect::<anyhow::Result<_>>()?;
    Ok(Results { name: workload.name, about: workload.about, axis: workload.axis, points })
}

fn contest(sides: &[Side<'_>], rounds: u32, go_on: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<Vec<Measured>> {
    let of_side = |side: &Side<'_>| side.name.clone();
    let counts = sides.iter().map(|side| enough(side, go_on).with_context(|| of_side(side)));
    let counts = counts.collect::<anyhow::Result<Vec<u64>>>()?;
    let mut samples = vec![Vec::new(); sides.len()];
    for _ in 0..rounds {
        for ((side, count), samples) in sides.iter().zip(&counts).zip(&mut samples) {
            samples.push((side.run)(*count).with_context(|| of_side(side))?);
            go_on()?;
        }
    }
    let rounds_of = |samples: &Vec<_>| samples.iter().map(super::workload::Sample::ns_per_operation).collect();
    let ours: Vec<f64> = rounds_of(&samples[0]);
    let measured = sides.iter().zip(samples).map(|(side, samples)| {
        let rounds_ns: Vec<f64> = rounds_of(&samples);
        let ratios = ours.iter().zip(&rounds_ns).map(|(ours, this)| ours / this).collect();
        let [low, median_ns, high] = quartiles(rounds_ns.clone());
        let round_trips: Vec<RoundTrips> = samples.iter().filter_map(|sample| sample.round_trips).collect();
        let median = |of: fn(&RoundTrips) -> f64| quartiles(round_trips.iter().map(of).collect())[1];
        Measured {
            side: of_side(side),
            kind: side.kind,
            operations: samples.iter().map(|sample| sample.operations).max().unwrap_or(0),
            spread_percent: (high - low) / 2.0 / median_ns * 100.0,
            rounds_ns,
            median_ns,
            ours_to_this: quartiles(ratios)[1],
            round_trips: (!round_trips.is_empty())
                .then(|| RoundTrips { p50_ns: median(|trips| trips.p50_ns), p99_ns: median(|trips| trips.p99_ns) }),
        }
    });
    Ok(measured.collect())
}

/// Returns how many operations a side does in about [`BUDGET`]. This also warms it up.
fn enough(side: &Side<'_>, go_on: &dyn Fn() -> anyhow::Result<()>) -> anyhow::Result<u64> {
    let mut count = FIRST;
    loop {
        let begun = Instant::now();
        let sample = (side.run)(count)?;
        go_on()?;
        let took = sample.elapsed.max(Duration::from_nanos(1));
        let fitting = (sample.operations as f64 * BUDGET.as_secs_f64() / took.as_secs_f64()) as u64;
        // A side that is slow to start is not restarted again and again.
        if took >= BUDGET / 8 || begun.elapsed() >= 8 * BUDGET {
            return Ok(fitting.clamp(FIRST, count.saturating_mul(FURTHER)));
        }
        count = fitting.clamp(count * 2, count * FURTHER);
    }
}

/// Lower quartile, median, upper quartile.
fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    let at = |quarter: usize| values[(values.len() - 1) * quarter / 4];
    [at(1), at(2), at(3)]
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::workload::Sample;
    use super::*;

    /// Returns a side whose operations take this long.
    fn taking(operation: Duration) -> impl Fn(u64) -> anyhow::Result<Sample> {
        move |operations| Ok(Sample { operations, elapsed: operation * operations as u32, round_trips: None })
    }

    fn never() -> anyhow::Result<()> {
        Ok(())
    }

    #[test]
    fn quartiles_of_few_values() {
        assert_eq!(quartiles(vec![5.0]), [5.0, 5.0, 5.0]);
        assert_eq!(quartiles(vec![5.0, 1.0, 4.0, 2.0, 3.0]), [2.0, 3.0, 4.0]);
    }

    #[test]
    fn ratio_is_that_of_the_rounds() {
        // The machine gets slower from round to round, for all sides.
        let (one, other) = (Cell::new(0), Cell::new(0));
        let slower = |turn: &Cell<u32>, ns: u64| {
            turn.set(turn.get() + 1);
            Duration::from_nanos(ns) * turn.get()
        };
        let point = Point::only()
            .ours("ours", |operations| taking(slower(&one, 20_000_000))(operations))
            .baseline("it", |operations| taking(slower(&other, 10_000_000))(operations));
        let results = measure(&Workload::new("twice", "twice", point), 5, &never).expect("measured");
        let [ours, baseline] = results.points[0].sides.as_slice() else { panic!("{results:?}") };
        assert_eq!((ours.ours_to_this, baseline.ours_to_this), (1.0, 2.0));
        assert_eq!((ours.rounds_ns.len(), ours.spread_percent), (5, 25.0));
        assert_eq!(ours.median_ns, 80e6, "the third round, after one to find out");
        assert!(!ours.is_noisy() && Measured { spread_percent: 25.1, ..ours.clone() }.is_noisy());
    }

    #[test]
    fn work_fits_the_budget() {
        for operation in [Duration::from_nanos(20), Duration::from_micros(3), Duration::from_millis(1)] {
            let side = Side { name: "it".to_owned(), kind: Kind::Ours, run: Box::new(taking(operation)) };
            let took = operation * enough(&side, &never).expect("measured") as u32;
            assert!(BUDGET / 2 <= took && took <= BUDGET, "{operation:?}: {took:?}");
        }
        let slow = Side { name: "it".to_owned(), kind: Kind::Ours, run: Box::new(taking(Duration::from_secs(2))) };
        assert_eq!(enough(&slow, &never).expect("measured"), FIRST);
    }

    #[test]
    fn asked_to_stop_it_stops_after_the_turn() {
        let turns = Cell::new(0);
        let point = Point::only().ours("ours", |operations| {
            turns.set(turns.get() + 1);
            taking(Duration::from_secs(1))(operations)
        });
        let stopped = measure(&Workload::new("it", "it", point), 5, &|| anyhow::bail!("stop"));
        assert_eq!(
            (stopped.map(drop).expect_err("stopped").to_string().as_str(), turns.get()),
            ("cannot measure it", 1)
        );
    }
}
