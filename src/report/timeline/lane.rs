//! One process: its name, its life, its activities, its events, and how it ended.

use std::collections::BTreeMap;

use svg::Node;
use svg::node::element::{Group, Line, Path, Rectangle};

use super::bars::{Shade, visible};
use super::frame::{Frame, MARGIN, SMALL};
use crate::report::class::{Ending, Severity, SpanKind, Subject};
use crate::report::drawing::{circle, cut, fitted, labelled, line, px, rectangle, text, width_of};
use crate::report::language::Language;
use crate::report::model::{Lane, Span};
use crate::report::wording::Known;

/// The maximum number of parallel tracks on one lane.
const MOST_TRACKS: usize = 3;
/// The maximum width of a dot's tooltip, in columns.
const LONGEST_SENTENCE: usize = 100;
/// The distance below which dots of one kind hide each other.
const DOTS_APART: f64 = 4.0;

/// The drawn lanes.
pub(super) struct Lanes {
    /// The layers below and above the arrows.
    pub(super) below: Group,
    pub(super) above: Group,
    /// The number of omitted dots.
    pub(super) hidden_dots: usize,
}

/// Draws all lanes.
pub(super) fn draw_all(frame: &Frame<'_>, known: &Known) -> Lanes {
    let mut names = Group::new().set("font-size", format!("{}px", px(frame.name_size())));
    let mut lanes = Lanes { below: Group::new(), above: Group::new(), hidden_dots: 0 };
    let has_subjects = frame.model.has_subjects();
    for (row, lane) in frame.drawn().enumerate() {
        let y = frame.y(row);
        if frame.is_named(row) {
            let width = frame.left - MARGIN - 12.0;
            let name = cut(&frame.name_of(lane), width, frame.name_size());
            names.append(text("end", frame.left - 14.0, y + frame.name_size() * 0.35, &name));
        }
        let sketch = Sketch { lane, frame, y, known, has_subjects };
        sketch.draw_activities(&mut lanes.below);
        lanes.hidden_dots += sketch.draw_dots(&mut lanes.above);
        sketch.draw_ending(&mut lanes.above);
    }
    lanes.below.append(names);
    lanes
}

struct Sketch<'a> {
    lane: &'a Lane<'a>,
    frame: &'a Frame<'a>,
    y: f64,
    known: &'a Known,
    has_subjects: bool,
}

impl Sketch<'_> {
    /// Draws the life line and its activities. Simultaneous activities are on separate tracks.
    fn draw_activities(&self, group: &mut Group) {
        let [from, to] = [self.lane.began_us, self.lane.ended_us].map(|at_us| (self.frame.x(at_us), self.y));
        let thickness = (self.frame.pitch * 0.08).clamp(1.0, 2.4);
        group.append(line("life", from, to).set("stroke-width", px(thickness)));
        let (tracks, count) = tracks(&self.lane.spans);
        let height = self.frame.bar(count) / count as f64;
        let drawn = [SpanKind::Waiting, SpanKind::Working, SpanKind::Holding];
        for kind in drawn.into_iter().filter(|kind| self.frame.shows.contains(kind)) {
            let share = if kind == SpanKind::Waiting { 0.45 } else { 1.0 };
            for track in 0..count {
                let middle = self.y + height * (track as f64 + 0.5 - count as f64 / 2.0);
                let spans = self.lane.spans.iter().zip(&tracks);
                let spans = spans.filter(|(span, own)| span.kind == kind && **own == track).map(|(span, _)| span);
                let (wide, shades) = visible(spans, self.frame);
                let height = (height - if count > 1 { 1.0 } else { 0.0 }) * share;
                shades.into_iter().for_each(|shade| group.append(bar(kind, shade, middle, height)));
                wide.into_iter().for_each(|span| group.append(self.wide_bar(span, middle, height)));
            }
        }
    }

    fn wide_bar(&self, span: &Span<'_>, middle: f64, height: f64) -> Group {
        let (x, to) = (self.frame.x(span.from_us), self.frame.x(span.to_us));
        let shade = Shade { x, width: to - x, opacity: 1.0 };
        let mut group = labelled(&self.tooltip(span)).add(bar(span.kind, shade, middle, height));
        if let Subject::Named(_, name) = span.subject
            && let name = self.frame.name(name)
            && self.has_subjects
            && self.frame.is_roomy()
            && width_of(&name, SMALL) + 10.0 < shade.width
        {
            let class = if span.kind == SpanKind::Waiting { "halo tiny middle" } else { "inside tiny middle" };
            group.append(text(class, x + shade.width / 2.0, middle + SMALL * 0.35, &name));
        }
        group
    }

    fn tooltip(&self, span: &Span<'_>) -> String {
        let language = self.frame.language;
        let what = match span.subject {
            Subject::Named(noun, name) => match language {
                Language::En => format!(" {} {name}", noun.en),
                Language::Zh if name.is_empty() => noun.zh.to_owned(),
                Language::Zh => self.frame.name(name),
            },
            Subject::Item(_) => String::new(),
        };
        let [en, zh] = match span.kind {
            SpanKind::Waiting => ["waits for", "等待"],
            SpanKind::Holding => ["holds", "持有"],
            SpanKind::Working => ["works on an item", "处理数据"],
        };
        let (name, what, kind) = (self.frame.name(self.lane.name), what.trim_end(), language.pick(en, zh));
        format!("{name} {kind}{what}: {}", language.duration((span.to_us - span.from_us).round() as u64))
    }

    /// Draws the events. Returns the number of omitted dots.
    fn draw_dots(&self, group: &mut Group) -> usize {
        let radius = (self.frame.pitch * 0.13).clamp(1.2, 3.6);
        let (mut last_of, mut left_out) = (BTreeMap::new(), 0);
        for moment in &self.lane.moments {
            let Some(severity) = moment.class.severity() else { continue };
            let x = self.frame.x(moment.at_us);
            if last_of.get(&severity).is_some_and(|last| x - last < DOTS_APART) {
                left_out += 1;
                continue;
            }
            last_of.insert(severity, x);
            let wording = self.known.wording(self.frame.language, moment.event);
            let said = fitted(moment.event.fact.sentence(&wording), LONGEST_SENTENCE);
            group.append(labelled(&said).add(dot(severity, x, self.y, radius)));
        }
        left_out
    }

    /// Draws a cross for a death, with its cause if there is space; a short line if it was asked to end.
    fn draw_ending(&self, group: &mut Group) {
        let size = (self.frame.pitch * 0.2).clamp(2.0, 5.0);
        let x = self.frame.x(self.lane.ended_us);
        if let Some(why) = cause_of_death(self.lane, self.frame.language) {
            group.append(labelled(&why).add(cross(x, self.y, size)));
            if self.frame.is_roomy() {
                group.append(text("bad tiny halo", x + size + 6.0, self.y + SMALL * 0.35, &why));
            }
        } else if self.lane.ending == Some(Ending::Stopped) {
            group.append(stop(x, self.y, size));
        }
    }
}

/// Returns why a process died, if it did.
pub(super) fn cause_of_death(lane: &Lane<'_>, language: Language) -> Option<String> {
    match lane.ending? {
        Ending::Done | Ending::Stopped => None,
        Ending::Killed(9) => Some(language.pick("killed", "被杀死").to_owned()),
        Ending::Killed(signal) => Some(format!("{} {signal}", language.pick("signal", "信号"))),
        Ending::Failed(code) => Some(format!("{} {code}", language.pick("exit code", "退出码"))),
    }
}

pub(super) fn bar(kind: SpanKind, shade: Shade, middle: f64, height: f64) -> Rectangle {
    let bar = rectangle(kind.name(), shade.x, middle - height / 2.0, shade.width, height);
    let radius = px((height / 2.0).min(shade.width / 2.0).min(4.0));
    let bar = if radius > 0.5 { bar.set("rx", radius) } else { bar };
    if shade.opacity < 1.0 { bar.set("opacity", shade.opacity) } else { bar }
}

/// Draws a circle, or a diamond for trouble.
pub(super) fn dot(severity: Severity, x: f64, y: f64, radius: f64) -> Group {
    let (class, radius) = match severity {
        Severity::Good => ("dot good", radius * 1.15),
        Severity::Trouble => ("dot bad", radius * 1.5),
        Severity::Plain => ("dot", radius * 0.8),
    };
    let rimmed = Group::new().set("stroke-width", px((radius * 0.35).max(0.3)));
    if severity != Severity::Trouble {
        return rimmed.add(circle(class, x, y, radius));
    }
    let (left, right, up, down) = (px(x - radius), px(x + radius), px(y - radius), px(y + radius));
    let corners = format!("M{left} {} L{} {up} L{right} {} L{} {down} Z", px(y), px(x), px(y), px(x));
    rimmed.add(Path::new().set("class", class).set("d", corners))
}

pub(super) fn cross(x: f64, y: f64, size: f64) -> Path {
    let (left, right, up, down) = (px(x - size), px(x + size), px(y - size), px(y + size));
    Path::new().set("class", "death").set("d", format!("M{left} {up} L{right} {down} M{left} {down} L{right} {up}"))
}

pub(super) fn stop(x: f64, y: f64, size: f64) -> Line {
    line("stop", (x, y - size), (x, y + size))
}

/// Assigns overlapping spans to different tracks. A wait and the activity that follows it share one.
fn tracks(spans: &[Span<'_>]) -> (Vec<usize>, usize) {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by(|one, other| spans[*one].from_us.total_cmp(&spans[*other].from_us));
    // Until when each track is occupied, and by what.
    let mut taken: Vec<(f64, Subject<'_>)> = Vec::new();
    let mut tracks = vec![0; spans.len()];
    for index in order {
        let Span { subject, from_us, to_us, .. } = spans[index];
        let is_free = |(until_us, _): &&(f64, Subject<'_>)| *until_us <= from_us;
        let same = taken.iter().position(|track| is_free(&track) && track.1 == subject && track.0 == from_us);
        let track = same.or_else(|| taken.iter().position(|track| is_free(&track))).unwrap_or(taken.len());
        match taken.get_mut(track) {
            Some(slot) => *slot = (to_us, subject),
            None if track < MOST_TRACKS => taken.push((to_us, subject)),
            None => {}
        }
        tracks[index] = track.min(MOST_TRACKS - 1);
    }
    (tracks, taken.len().max(1))
}
