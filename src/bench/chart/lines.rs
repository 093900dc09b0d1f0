//! Lines, one panel per workload with an axis: the size grows to the right, and higher takes longer.

use svg::node::element::{Group, Polyline};

use super::scale::Scale;
use super::{Page, class, class_of, heading, tooltip};
use crate::bench::measure::Results;
use crate::bench::report::{amount, time};
use crate::bench::workload::Kind;
use crate::report::drawing::{circle, labelled, line, px, text};

/// Height of a panel with everything in it.
const PANEL: f64 = 232.0;
/// Height above the lines: the workload's name.
const HEAD: f64 = 40.0;
/// Height below the lines: the axis.
const FOOT: f64 = 44.0;
/// Width left of the lines: times.
const TIMES: f64 = 62.0;
/// Width right of the lines: the names of the sides and their last times.
const NAMES: f64 = 140.0;
/// Minimum distance between two names.
const APART: f64 = 14.0;

/// Returns the height of `panels` panels.
pub(super) fn height(panels: usize, page: Page) -> f64 {
    PANEL * panels.div_ceil(page.columns) as f64
}

pub(super) fn draw(panels: &[&Results], page: Page, top: f64) -> Group {
    let place = |number: usize| (page.left(number % page.columns), top + PANEL * (number / page.columns) as f64);
    let drawn = panels.iter().enumerate().map(|(number, results)| panel(results, place(number), page.column));
    drawn.fold(Group::new(), Group::add)
}

fn panel(results: &Results, (left, top): (f64, f64), width: f64) -> Group {
    let Results { name, axis, points, .. } = results;
    let axis = axis.unwrap_or_default();
    let mut panel = Group::new().add(heading(results, left, top + 20.0, width));
    let (from, to) = (left + TIMES, left + width - NAMES);
    let (bottom, ceiling) = (top + PANEL - FOOT, top + HEAD);
    let scale = Scale::of(results.sides().map(|side| side.median_ns), bottom, ceiling);
    for (y, name) in scale.ticks() {
        panel = panel.add(line("grid", (from, y), (to, y))).add(text("soft tiny end", from - 8.0, y + 3.5, &name));
    }
    // The distance to the ends is half the distance between points.
    let x = |number: usize| from + (to - from) * (number as f64 + 0.5) / points.len() as f64;
    for (number, row) in points.iter().enumerate() {
        panel = panel.add(text("soft tiny middle", x(number), bottom + 16.0, &amount(axis, row.at)));
    }
    if axis != "bytes" {
        panel = panel.add(text("soft tiny middle", (from + to) / 2.0, bottom + 31.0, axis));
    }
    let mut ends = Vec::new();
    let count = points.first().map_or(0, |row| row.sides.len());
    // Ours is drawn last, above the others.
    for side in (0..count).rev() {
        let at = |number: usize| (x(number), scale.place(points[number].sides[side].median_ns));
        let kind = points[0].sides[side].kind;
        let is_second = side > 1 && kind == Kind::Baseline;
        let way: Vec<String> = (0..points.len()).map(at).map(|(x, y)| format!("{},{}", px(x), px(y))).collect();
        let style = format!("line {}{}", class(kind), if is_second { " second" } else { "" });
        panel = panel.add(Polyline::new().set("class", style).set("points", way.join(" ")));
        for (number, row) in points.iter().enumerate() {
            let (x, y) = at(number);
            let measured = &row.sides[side];
            let label = tooltip(&format!("{name}, {} {axis}", row.at), measured);
            panel = panel.add(labelled(&label).add(circle(&class_of(measured), x, y, 4.0)));
        }
        if let Some(last) = points.last().map(|row| &row.sides[side]) {
            ends.push((scale.place(last.median_ns), kind, last));
        }
    }
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let places = apart(&ends.iter().map(|end| end.0).collect::<Vec<_>>(), bottom);
    for (y, (_, kind, last)) in places.into_iter().zip(ends) {
        let style = if kind == Kind::Ours { "value" } else { "soft" };
        let words = format!("{} {}", last.side, time(last.median_ns));
        panel = panel.add(text(style, x(points.len() - 1) + 12.0, y + 4.0, &words));
    }
    panel
}

/// Moves positions apart that are too close, not beyond `bottom`. They are sorted.
fn apart(wanted: &[f64], bottom: f64) -> Vec<f64> {
    let mut places = Vec::with_capacity(wanted.len());
    for place in wanted {
        let least = places.last().map_or(f64::NEG_INFINITY, |above| above + APART);
        places.push(place.max(least));
    }
    let mut most = bottom;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - APART;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_apart() {
        assert_eq!(apart(&[10.0, 50.0, 90.0], 100.0), [10.0, 50.0, 90.0]);
        assert_eq!(apart(&[10.0, 11.0, 30.0], 100.0), [10.0, 24.0, 38.0]);
        assert_eq!(apart(&[95.0, 96.0, 99.0], 100.0), [72.0, 86.0, 100.0]);
    }
}
