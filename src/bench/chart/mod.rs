//! Results as an SVG picture for a slide: bars grouped by workload, and lines for workloads with an axis.
//!
//! A pure function of the results: equal results give equal pictures. As wide as a slide, as long as necessary; no
//! script, two colour schemes, and no meaning conveyed by colour alone.

mod bars;
mod lines;
mod scale;

use svg::node::element::{Group, TSpan, Text};

use self::bars::Bars;
use super::measure::{Measured, Results};
use super::report::Preface;
use super::workload::Kind;
use crate::report::drawing::{background, clean, cut, document, rectangle, text, width_of};

/// Margin around everything, and between columns.
const MARGIN: f64 = 44.0;
/// Width of a column, if there is more than one.
const COLUMN: f64 = 600.0;
/// Width of a single column.
const WIDE: f64 = 880.0;
/// Position of the first group.
const TOP: f64 = 128.0;
/// Maximum ratio of width to height that fits a slide.
const SLIDE: f64 = 1.4;
const MOST_COLUMNS: usize = 3;

/// The available space.
#[derive(Debug, Clone, Copy)]
struct Page {
    columns: usize,
    column: f64,
}

impl Page {
    fn of(columns: usize) -> Self {
        Page { columns, column: if columns == 1 { WIDE } else { COLUMN } }
    }

    fn left(self, column: usize) -> f64 {
        MARGIN + (self.column + MARGIN) * column as f64
    }

    fn width(self) -> f64 {
        self.left(self.columns)
    }
}

/// Draws all results.
pub(super) fn draw(results: &[Results], preface: &Preface) -> String {
    let (grown, single): (Vec<_>, Vec<_>) = results.iter().partition(|results| results.axis.is_some());
    let lay_out = |columns| {
        let page = Page::of(columns);
        let bars = Bars::lay_out(&single, page);
        let height = (bars.bottom + lines::height(grown.len(), page) + 30.0).round();
        (page, bars, height)
    };
    let fitting = (1..MOST_COLUMNS).map(lay_out).find(|(page, _, height)| page.width() >= SLIDE * height);
    let (page, bars, height) = fitting.unwrap_or_else(|| lay_out(MOST_COLUMNS));
    let all: Vec<&Measured> = results.iter().flat_map(Results::sides).collect();
    let better = match (single.is_empty(), grown.is_empty()) {
        (_, true) => "← shorter",
        (true, false) => "↓ lower",
        (false, false) => "← shorter, ↓ lower",
    };
    let (title, width, below) = ("What each mechanism costs", page.width(), bars.bottom);
    let picture = document(width, height, &format!("{title}: {}", preface.line()), include_str!("chart.css"))
        .add(background())
        .add(text("title", MARGIN, 48.0, title))
        .add(text("soft", MARGIN, 72.0, &preface.line()).set("style", "font-size: 13px"))
        .add(legend(&all, better, width))
        .add(bars.draw())
        .add(lines::draw(&grown, page, below));
    format!("{picture}\n")
}

/// Draws what the colours mean, and which direction is better.
fn legend(all: &[&Measured], better: &str, width: f64) -> Group {
    let (mut group, mut x) = (Group::new(), MARGIN);
    let y = 100.0;
    for (kind, name) in [(Kind::Ours, "ipc-demo"), (Kind::Baseline, "baseline"), (Kind::Python, "Python")] {
        if all.iter().any(|measured| measured.kind == kind) {
            let sample = rectangle(class(kind), x, y - 10.0, 22.0, 11.0).set("rx", 3);
            group = group.add(sample).add(text("soft", x + 29.0, y, name));
            x += 29.0 + width_of(name, 12.0) + 22.0;
        }
    }
    if all.iter().any(|measured| measured.is_noisy()) {
        group = group.add(text("soft", x, y, "pale, ~: too noisy to tell"));
    }
    let note = format!("{better} is better · time of one operation, every step is ten times as long");
    group.add(text("soft end", width - MARGIN, y, &note))
}

/// Returns the style of a kind.
fn class(kind: Kind) -> &'static str {
    match kind {
        Kind::Ours => "ours",
        Kind::Baseline => "baseline",
        Kind::Python => "python",
    }
}

/// Returns the style of a side.
fn class_of(measured: &Measured) -> String {
    format!("{}{}", class(measured.kind), if measured.is_noisy() { " unsure" } else { "" })
}

/// Draws a workload's name, and its description as far as it fits.
fn heading(results: &Results, left: f64, y: f64, width: f64) -> Text {
    let room = width - width_of(results.name, 16.0) - 12.0;
    let about = part("soft", 10.0, &cut(results.about, room, 12.0));
    text("halo", left, y, "").add(part("group", 0.0, results.name)).add(about)
}

/// Returns a part of a line at a distance from the previous one, whose width only the renderer knows.
fn part(class: &str, apart: f64, words: &str) -> TSpan {
    let part = TSpan::new(clean(words)).set("class", class);
    if apart > 0.0 { part.set("dx", apart) } else { part }
}

/// Returns the tooltip of a bar or a dot.
fn tooltip(workload: &str, measured: &Measured) -> String {
    let Measured { side, median_ns, spread_percent, .. } = measured;
    format!("{workload}, {side}: {} ± {spread_percent:.0} %", super::report::time(*median_ns))
}

#[cfg(test)]
mod tests;
