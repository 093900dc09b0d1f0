//! Arrows between lanes, and the choice among too many.

use std::collections::HashMap;

use svg::node::element::{Group, Path};

use super::frame::{Frame, MARGIN, SMALL, WIDTH};
use crate::report::drawing::{cut, labelled, px, text, width_of};
use crate::report::model::{Edge, EdgeKind, RunModel};

/// The maximum number of arrows: more merge into a grey surface.
const MOST: usize = 150;
/// Fewer arrows if they are long: the maximum total height that they cross, in pixels.
const MOST_CROSSED: f64 = 24_000.0;
/// The minimum distance between the starts of arrows of one kind between the same lanes.
const APART: f64 = 5.0;
/// The maximum number of arrows with labels.
const MOST_NAMED: usize = 60;

/// Draws the arrows. Also returns how many were left out.
pub(super) fn draw(model: &RunModel<'_>, frame: &Frame) -> (Group, usize) {
    let all: Vec<Arrow<'_>> = model.edges.iter().filter_map(|edge| Arrow::of(edge, frame)).collect();
    let drawn = thinned(&all);
    let mut lines = Group::new();
    let mut names = Group::new();
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for arrow in &drawn {
        lines = lines.add(arrow.line(frame));
        let name = arrow.edge.value.map(|value| cut(&value.to_string(), 60.0, SMALL)).unwrap_or_default();
        let width = width_of(&name, SMALL);
        let (x, y) = arrow.beside(width, frame);
        // The label of the last arrow must stay within the picture as well.
        let x = x.min(WIDTH - MARGIN / 2.0 - width);
        let is_free = taken
            .iter()
            .all(|(left, right, middle)| x > right + 3.0 || x + width < left - 3.0 || (y - middle).abs() > SMALL);
        if drawn.len() <= MOST_NAMED && frame.is_roomy() && !name.is_empty() && is_free {
            taken.push((x, x + width, y));
            names = names.add(text("soft tiny halo", x, y + SMALL * 0.35, &name));
        }
    }
    (Group::new().add(lines).add(names), model.edges.len() - drawn.len())
}

/// An arrow in pixels.
#[derive(Debug)]
struct Arrow<'a> {
    edge: &'a Edge<'a>,
    from: (f64, f64),
    to: (f64, f64),
}

impl<'a> Arrow<'a> {
    fn of(edge: &'a Edge<'a>, frame: &Frame) -> Option<Self> {
        let from = (frame.x(edge.from.at_us), frame.y(edge.from.lane)?);
        let to = (frame.x(edge.to.at_us), frame.y(edge.to.lane)?);
        Some(Arrow { edge, from, to })
    }

    fn line(&self, frame: &Frame) -> Group {
        let (class, head) = match self.edge.edge_kind {
            EdgeKind::Message | EdgeKind::Item | EdgeKind::Call => ("arrow", "url(#head)"),
            EdgeKind::Reply => ("arrow answer", "url(#head)"),
            EdgeKind::Redelivered | EdgeKind::Inherited => ("arrow rescue", "url(#rescue-head)"),
        };
        let ((x1, y1), (x2, y2)) = (self.from, self.to);
        let d = if y1 == y2 {
            // To itself: above the lane.
            let up = px(y1 - frame.pitch * 0.45);
            format!("M{} {} C{} {up} {} {up} {} {}", px(x1), px(y1), px(x1), px(x2), px(x2), px(y2))
        } else {
            let (x, y) = ((x1 + x2) / 2.0 + 2.0 * self.bow(), (y1 + y2) / 2.0);
            format!("M{} {} Q{} {} {} {}", px(x1), px(y1), px(x), px(y), px(x2), px(y2))
        };
        let path = Path::new().set("class", class).set("d", d).set("marker-end", head);
        match self.edge.value {
            Some(value) => labelled(&value.to_string()).add(path),
            None => Group::new().add(path),
        }
    }

    /// Returns how far the middle of the arrow is bent to the right. Immediate arrivals are vertical: the two
    /// directions are bent to different sides, so that a message and its answer are distinguishable.
    fn bow(&self) -> f64 {
        let steepness = 1.0 - ((self.to.0 - self.from.0).abs() / 40.0).min(1.0);
        let bow = ((self.to.1 - self.from.1).abs() * 0.08).min(7.0) * steepness;
        if self.to.1 > self.from.1 { bow } else { -bow }
    }

    /// Returns the position of its label: nearer to its start, on the side to which it is bent.
    fn beside(&self, width: f64, frame: &Frame) -> (f64, f64) {
        if self.from.1 == self.to.1 {
            // To itself: on top of the arc.
            return ((self.from.0 + self.to.0 - width) / 2.0, self.from.1 - frame.pitch * 0.34);
        }
        const ALONG: f64 = 0.35;
        let along = |from: f64, to: f64| from + (to - from) * ALONG;
        let bent = 4.0 * self.bow() * ALONG * (1.0 - ALONG);
        let (x, y) = (along(self.from.0, self.to.0) + bent, along(self.from.1, self.to.1));
        if self.to.1 > self.from.1 { (x + 4.0, y) } else { (x - 4.0 - width, y) }
    }

    /// Returns whether it shows a recovery from a dead process, which is always shown.
    fn is_rescue(&self) -> bool {
        matches!(self.edge.edge_kind, EdgeKind::Redelivered | EdgeKind::Inherited)
    }
}

/// Returns as many arrows as are distinguishable, evenly over time.
fn thinned<'a, 'b>(all: &'b [Arrow<'a>]) -> Vec<&'b Arrow<'a>> {
    let mut by_time: Vec<&Arrow<'_>> = all.iter().collect();
    by_time.sort_by(|one, other| one.from.0.total_cmp(&other.from.0));
    let mut apart = APART;
    loop {
        let mut last = HashMap::new();
        let kept: Vec<&Arrow<'_>> = by_time
            .iter()
            .copied()
            .filter(|arrow| {
                let between = (arrow.edge.edge_kind, arrow.edge.from.lane, arrow.edge.to.lane);
                let x = arrow.from.0;
                let is_kept = arrow.is_rescue() || last.get(&between).is_none_or(|last| x - last >= apart);
                if is_kept {
                    last.insert(between, x);
                }
                is_kept
            })
            .collect();
        if kept.len() <= MOST || apart > 2_000.0 {
            return fewer(kept);
        }
        apart *= 1.25;
    }
}

/// Returns a part of the arrows, evenly over time, if there are too many.
fn fewer<'a, 'b>(arrows: Vec<&'b Arrow<'a>>) -> Vec<&'b Arrow<'a>> {
    let crossed: f64 = arrows.iter().map(|arrow| (arrow.to.1 - arrow.from.1).abs()).sum();
    let every = arrows.len().div_ceil(MOST).max((crossed / MOST_CROSSED).ceil() as usize).max(1);
    let is_kept = |(place, arrow): &(usize, &Arrow<'_>)| arrow.is_rescue() || place.is_multiple_of(every);
    arrows.into_iter().enumerate().filter(is_kept).map(|(_, arrow)| arrow).collect()
}
