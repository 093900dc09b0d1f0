//! Times on a logarithmic scale: all powers of ten are equally far apart.

use crate::bench::report;

/// Maps times to positions between two ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Powers of ten at the ends.
    least: i32,
    most: i32,
    from: f64,
    to: f64,
}

impl Scale {
    /// Creates a scale between two pixels that covers all of `times_ns`, the shortest slightly away from the end.
    pub(super) fn of(times_ns: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (shortest, longest) =
            times_ns.fold((f64::INFINITY, 1.0), |(least, most), ns| (f64::min(least, ns), f64::max(most, ns)));
        let least = (shortest.min(longest) / 1.5).log10().floor() as i32;
        let most = longest.log10().ceil().max(f64::from(least) + 1.0) as i32;
        Scale { least, most, from, to }
    }

    pub(super) fn place(&self, ns: f64) -> f64 {
        let share = (ns.log10() - f64::from(self.least)) / f64::from(self.most - self.least);
        self.from + (self.to - self.from) * share.clamp(0.0, 1.0)
    }

    /// Returns the powers of ten, each with its position and name.
    pub(super) fn ticks(&self) -> impl Iterator<Item = (f64, String)> {
        (self.least..=self.most).map(|power| {
            let ns = 10_f64.powi(power);
            let name = report::time(ns);
            (self.place(ns), name.replace(".00 ", " ").replace(".0 ", " "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_powers_of_ten_around_all_times() {
        let scale = Scale::of([22.0, 1_960_000.0].into_iter(), 100.0, 700.0);
        let ticks: Vec<_> = scale.ticks().collect();
        let names: Vec<&str> = ticks.iter().map(|(_, name)| name.as_str()).collect();
        assert_eq!(names, ["10 ns", "100 ns", "1 µs", "10 µs", "100 µs", "1 ms", "10 ms"]);
        assert_eq!((ticks[0].0, ticks[3].0, ticks[6].0), (100.0, 400.0, 700.0));
        assert!(scale.place(22.0) > 100.0 && scale.place(0.001) == 100.0);
    }

    #[test]
    fn any_times_have_a_scale() {
        for times in [vec![], vec![1.0], vec![10.0, 10.0], vec![14.0], vec![0.3]] {
            let scale = Scale::of(times.iter().copied(), 0.0, 100.0);
            assert!(scale.ticks().count() >= 2, "{scale:?}");
            assert!(times.iter().all(|ns| (0.0..=100.0).contains(&scale.place(*ns))), "{scale:?}");
        }
    }
}
