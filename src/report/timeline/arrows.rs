//! Arrows between lanes, and the choice among too many.

use std::collections::{BTreeMap, HashMap};

use svg::node::element::{Group, Path};

use super::frame::{Frame, MARGIN, SMALL, WIDTH};
use crate::report::drawing::{cut, labelled, px, text, width_of};
use crate::report::model::{Edge, EdgeKind};

/// The maximum number of arrows: more merge into a grey surface.
const MOST: usize = 150;
/// Fewer arrows if they are long: the maximum total height that they cross, in pixels.
const MOST_CROSSED: f64 = 24_000.0;
/// The minimum distance between the starts of arrows of one kind between the same lanes.
const APART: f64 = 5.0;
/// The maximum number of simultaneous arrows from a lane to itself: each has its own height.
const MOST_ARCS: usize = 10;
/// How far these rise, in parts of the distance of two lanes.
const LOWEST_ARC: f64 = 0.1;
const HIGHEST_ARC: f64 = 0.46;
/// The maximum number of arrows with labels.
const MOST_NAMED: usize = 60;

/// Draws the arrows. Also returns how many were left out.
pub(super) fn draw(frame: &Frame<'_>) -> (Group, usize) {
    let all = frame.model.edges.iter().filter_map(|edge| Arrow::of(edge, frame)).collect();
    let (self_arrows, mut drawn): (Vec<_>, Vec<_>) = thinned(all).into_iter().partition(Arrow::is_arc);
    drawn.extend(arcs(self_arrows, frame));
    let mut lines = Group::new();
    let mut names = Group::new();
    let mut taken: Vec<(f64, f64, f64)> = Vec::new();
    for arrow in &drawn {
        lines = lines.add(arrow.line());
        let name = arrow.edge.value.map(|value| cut(&value.to_string(), 60.0, SMALL)).unwrap_or_default();
        let width = width_of(&name, SMALL);
        let (x, y) = arrow.label_position(width);
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
    (Group::new().add(lines).add(names), frame.model.edges.len() - drawn.len())
}

/// An arrow in pixels.
#[derive(Debug, Clone, Copy)]
struct Arrow<'a> {
    edge: &'a Edge<'a>,
    from: (f64, f64),
    to: (f64, f64),
    /// How far it rises above the lane, if it ends where it began.
    height: f64,
}

impl<'a> Arrow<'a> {
    fn of(edge: &'a Edge<'a>, frame: &Frame<'_>) -> Option<Self> {
        let from = (frame.x(edge.from.at_us), frame.y(frame.row(edge.from.lane)?));
        let to = (frame.x(edge.to.at_us), frame.y(frame.row(edge.to.lane)?));
        Some(Arrow { edge, from, to, height: frame.pitch * HIGHEST_ARC })
    }

    /// Returns whether it goes from a lane to itself.
    fn is_arc(&self) -> bool {
        self.edge.from.lane == self.edge.to.lane
    }

    fn line(&self) -> Group {
        let [class, head] = look(self.edge.edge_kind);
        let ((x1, y1), (x2, y2)) = (self.from, self.to);
        let d = if self.is_arc() {
            // A curve rises to three quarters of its control points.
            let up = px(y1 - self.height / 0.75);
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
    fn label_position(&self, width: f64) -> (f64, f64) {
        if self.is_arc() {
            return ((self.from.0 + self.to.0 - width) / 2.0, self.from.1 - self.height);
        }
        const ALONG: f64 = 0.35;
        let along = |from: f64, to: f64| from + (to - from) * ALONG;
        let bent = 4.0 * self.bow() * ALONG * (1.0 - ALONG);
        let (x, y) = (along(self.from.0, self.to.0) + bent, along(self.from.1, self.to.1));
        if self.to.1 > self.from.1 { (x + 4.0, y) } else { (x - 4.0 - width, y) }
    }
}

/// Returns the class and the head of an arrow.
pub(super) fn look(edge_kind: EdgeKind) -> [&'static str; 2] {
    match edge_kind {
        EdgeKind::Message | EdgeKind::Item | EdgeKind::Call => ["arrow", "url(#head)"],
        EdgeKind::Reply => ["arrow answer", "url(#head)"],
        EdgeKind::Redelivered | EdgeKind::Inherited => ["arrow rescue", "url(#rescue-head)"],
    }
}

/// Returns as many arrows as are distinguishable, evenly over time.
fn thinned(mut all: Vec<Arrow<'_>>) -> Vec<Arrow<'_>> {
    all.sort_by(|one, other| one.from.0.total_cmp(&other.from.0));
    let mut apart = APART;
    loop {
        let mut last = HashMap::new();
        let mut is_kept = |arrow: &&Arrow<'_>| {
            let between = (arrow.edge.edge_kind, arrow.edge.from.lane, arrow.edge.to.lane);
            let is_apart = last.get(&between).is_none_or(|last| arrow.from.0 - last >= apart);
            let is_kept = arrow.edge.is_decisive || is_apart;
            if is_kept {
                last.insert(between, arrow.from.0);
            }
            is_kept
        };
        let kept: Vec<Arrow<'_>> = all.iter().filter(|arrow| is_kept(arrow)).copied().collect();
        if kept.len() <= MOST || apart > 2_000.0 {
            let crossed: f64 = kept.iter().map(|arrow| (arrow.to.1 - arrow.from.1).abs()).sum();
            let every = kept.len().div_ceil(MOST).max((crossed / MOST_CROSSED).ceil() as usize);
            return every_nth(every, kept);
        }
        apart *= 1.25;
    }
}

/// Returns every `every`th arrow, and those that are always shown.
fn every_nth(every: usize, arrows: Vec<Arrow<'_>>) -> Vec<Arrow<'_>> {
    let is_kept = |place: usize, arrow: &Arrow<'_>| arrow.edge.is_decisive || place.is_multiple_of(every.max(1));
    arrows.into_iter().enumerate().filter(|(place, arrow)| is_kept(*place, arrow)).map(|(_, arrow)| arrow).collect()
}

/// Returns as many arrows of lanes to themselves as have a height of their own, evenly over time. Sorted by time.
fn arcs<'a>(arrows: Vec<Arrow<'a>>, frame: &Frame<'_>) -> Vec<Arrow<'a>> {
    let mut lanes: BTreeMap<usize, Vec<Arrow<'a>>> = BTreeMap::new();
    arrows.into_iter().for_each(|arrow| lanes.entry(arrow.edge.from.lane).or_default().push(arrow));
    let of_lane = |arrows: Vec<Arrow<'a>>| {
        let mut kept = every_nth(levels(&arrows).1.div_ceil(MOST_ARCS), arrows);
        let (own, count) = levels(&kept);
        for (arrow, level) in kept.iter_mut().zip(own) {
            let rise = (HIGHEST_ARC - LOWEST_ARC) * (level + 1) as f64 / count as f64;
            arrow.height = frame.pitch * (LOWEST_ARC + rise);
        }
        kept
    };
    lanes.into_values().flat_map(of_lane).collect()
}

/// Assigns simultaneous arrows to different levels. Also returns how many there are.
fn levels(arrows: &[Arrow<'_>]) -> (Vec<usize>, usize) {
    // Until where each level is occupied.
    let mut taken: Vec<f64> = Vec::new();
    let level_of = |arrow: &Arrow<'_>| {
        let level = taken.iter().position(|until| *until <= arrow.from.0).unwrap_or(taken.len());
        taken.resize(taken.len().max(level + 1), 0.0);
        taken[level] = arrow.to.0;
        level
    };
    let levels = arrows.iter().map(level_of).collect();
    (levels, taken.len())
}
