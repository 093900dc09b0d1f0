//! Bars, one group per workload, in as many columns as fit.

use svg::Node;
use svg::node::element::Group;

use super::scale::Scale;
use super::{Page, TOP, class_of, heading, part, tooltip};
use crate::bench::measure::{Measured, Results};
use crate::bench::report::time;
use crate::bench::workload::Kind;
use crate::report::drawing::{cut, labelled, line, rectangle, text};

/// Distance from one bar to the next.
const PITCH: f64 = 18.0;
const BAR: f64 = 12.0;
/// Height of the line with a workload's name.
const HEAD: f64 = 22.0;
/// Gap between two groups.
const GAP: f64 = 12.0;
/// Height below the groups: the names of the ticks.
const AXIS: f64 = 34.0;
/// Width of the names of the sides.
const NAMES: f64 = 196.0;
/// Width of the text next to a bar.
const WORDS: f64 = 172.0;
/// Minimum distance between the names of two ticks.
const NAMES_APART: f64 = 48.0;
/// Relative difference that counts as equal.
const SAME: f64 = 0.05;

/// Groups at their positions.
pub(super) struct Bars<'a> {
    page: Page,
    pub(super) bottom: f64,
    columns: Vec<Vec<&'a Results>>,
}

fn height(results: &Results) -> f64 {
    HEAD + PITCH * results.sides().count() as f64 + GAP
}

impl<'a> Bars<'a> {
    /// Fills column after column, all about equally high.
    pub(super) fn lay_out(groups: &[&'a Results], page: Page) -> Self {
        let whole: f64 = groups.iter().copied().map(height).sum();
        let mut columns = vec![Vec::new(); page.columns];
        let (mut above, mut heights) = (0.0, vec![0.0; page.columns]);
        for group in groups {
            // Where its middle would be if all groups were in one column.
            let middle = above + height(group) / 2.0;
            let column = ((middle / whole * page.columns as f64) as usize).min(page.columns - 1);
            columns[column].push(*group);
            heights[column] += height(group);
            above += height(group);
        }
        let highest = heights.into_iter().fold(0.0, f64::max);
        let bottom = if groups.is_empty() { TOP } else { TOP + highest + AXIS };
        Bars { page, bottom, columns }
    }

    pub(super) fn draw(self) -> Group {
        let sides = self.columns.iter().flatten().flat_map(|results| results.sides());
        let times = sides.map(|measured| measured.median_ns);
        let from = NAMES + 10.0;
        let scale = Scale::of(times, from, self.page.column - WORDS);
        let mut all = Group::new();
        for (number, groups) in self.columns.iter().enumerate().filter(|(_, groups)| !groups.is_empty()) {
            let left = self.page.left(number);
            all = all.add(self.axis(scale, left));
            let mut y = TOP;
            for results in groups {
                let mut group = Group::new().add(heading(results, left, y + 14.0, self.page.column));
                for (number, measured) in results.sides().enumerate() {
                    group.append(bar(results, measured, scale, left, y + HEAD + PITCH * number as f64));
                }
                all.append(group);
                y += height(results);
            }
        }
        all
    }

    /// Draws a pale line at every power of ten, through the whole column.
    fn axis(&self, scale: Scale, left: f64) -> Group {
        let bottom = self.bottom - AXIS;
        let mut axis = Group::new();
        let mut named_until = 0.0;
        for (x, name) in scale.ticks() {
            axis = axis.add(line("grid", (left + x, TOP), (left + x, bottom)));
            if x >= named_until {
                axis = axis.add(text("soft tiny middle", left + x, bottom + 15.0, &name));
                named_until = x + NAMES_APART;
            }
        }
        axis
    }
}

fn bar(results: &Results, measured: &Measured, scale: Scale, left: f64, y: f64) -> Group {
    let Measured { kind, median_ns, .. } = measured;
    let (from, to) = (left + NAMES + 10.0, left + scale.place(*median_ns));
    let shape = rectangle(&class_of(measured), from, y, to - from, BAR).set("rx", 3);
    let base = y + BAR - 1.8;
    let value = format!("{}{}", if measured.is_noisy() { "~" } else { "" }, time(*median_ns));
    let soft = if *kind == Kind::Ours { "" } else { "soft" };
    let mut words = text("halo", to + 7.0, base, "").add(part(&format!("value {soft}"), 0.0, &value));
    if *kind != Kind::Ours {
        let (class, comparison) = comparison(measured.ours_to_this);
        words = words.add(part(class, 9.0, &comparison));
    }
    labelled(&tooltip(results.name, measured))
        .add(text("end soft", left + NAMES, base, &cut(&measured.side, NAMES, 12.0)))
        .add(shape)
        .add(words)
}

/// Returns how ours compares, with its style.
fn comparison(ours_to_this: f64) -> (&'static str, String) {
    match ours_to_this {
        same if (same - 1.0).abs() <= SAME => ("soft", "ours the same".to_owned()),
        faster if faster < 1.0 => ("good", format!("ours {}× faster", times(1.0 / faster))),
        slower => ("bad", format!("ours {}× slower", times(slower))),
    }
}

/// Formats a factor to about two digits, as on a slide.
fn times(times: f64) -> String {
    if times < 9.95 { format!("{times:.1}") } else { format!("{times:.0}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparison_says_who_is_faster() {
        assert_eq!(comparison(1.04), ("soft", "ours the same".to_owned()));
        assert_eq!(comparison(0.5), ("good", "ours 2.0× faster".to_owned()));
        assert_eq!(comparison(0.004), ("good", "ours 250× faster".to_owned()));
        assert_eq!(comparison(4.73), ("bad", "ours 4.7× slower".to_owned()));
        assert_eq!(comparison(12.3), ("bad", "ours 12× slower".to_owned()));
    }
}
