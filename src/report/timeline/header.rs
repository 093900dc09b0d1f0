//! The heading above the lanes: what was run, its result, and the legend.

use std::collections::{BTreeSet, HashSet};

use svg::node::element::{Group, Line, Path};

use super::arrows::look;
use super::bars::Shade;
use super::frame::{Frame, MARGIN, WIDTH};
use super::lane::{bar, cross, dot, stop};
use crate::report::class::{Ending, Noun, Severity, SpanKind, Subject};
use crate::report::drawing::{cut, px, text, width_of};
use crate::report::frame::Verdict;
use crate::report::language::Language;
use crate::report::model::{Edge, EdgeKind, Lane, LaneKind, RunModel};

const ROOM: f64 = WIDTH - 2.0 * MARGIN;

/// The top of the picture.
pub(super) struct Heading {
    pub(super) group: Group,
    pub(super) height: f64,
    /// The same as a sentence, for screen readers.
    pub(super) summary: String,
}

impl Heading {
    pub(super) fn of(model: &RunModel<'_>, plan: &Frame, language: Language) -> Self {
        let title = model.scenario().to_owned();
        let mut group = Group::new().add(text("title", MARGIN, 46.0, &title));
        let mut y = 68.0;
        for line in wrapped(&about(model, language), " · ", 13.0) {
            group = group.add(text("soft", MARGIN, y, &line).set("style", "font-size: 13px"));
            y += 18.0;
        }
        let mut summary = title;
        if let Some(ended) = model.summary {
            let (said, verdict) = (ended.said(language), ended.verdict);
            let class = match verdict {
                Verdict::Held => "verdict good",
                Verdict::Violated => "verdict bad",
                Verdict::NotShown => "verdict",
            };
            y += 10.0;
            for line in wrapped(&words(&format!("{} {said}", verdict.sign())), " ", 14.5) {
                group = group.add(text(class, MARGIN, y, &line));
                y += 19.0;
            }
            let facts: Vec<String> = ended.facts.iter().map(|counter| counter.said(language)).collect();
            for line in wrapped(&facts, " · ", 12.0) {
                group = group.add(text("soft", MARGIN, y, &line));
                y += 17.0;
            }
            summary = format!("{summary}: {said}");
        }
        let (legend, y) = legend(model, plan, language, y + 12.0);
        Heading { group: group.add(legend), height: y, summary }
    }
}

/// Describes how it was run.
fn about(model: &RunModel<'_>, language: Language) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(started) = model.started {
        parts.push(format!("{} {}", language.pick("seed", "随机种子"), started.seed));
        parts.push(format!("{} {}", language.pick("speed", "速度"), started.speed()));
    }
    let workers = model.lanes.iter().filter(|lane| lane.lane_kind == LaneKind::Worker).count();
    parts.push(match language {
        Language::En if workers == 1 => "1 worker".to_owned(),
        Language::En => format!("{workers} workers"),
        Language::Zh => format!("{workers} 个工作进程"),
    });
    if let Some(ended) = model.summary {
        parts.push(format!("{} {}", language.pick("took", "用时"), language.duration(ended.elapsed_us)));
    }
    parts
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Lays parts out side by side, as many per line as fit.
fn wrapped(parts: &[String], between: &str, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for lane_kind in parts {
        match lines.last_mut() {
            Some(line) if width_of(&format!("{line}{between}{lane_kind}"), size) <= ROOM => {
                line.push_str(between);
                line.push_str(lane_kind);
            }
            _ => lines.push(lane_kind.clone()),
        }
    }
    lines
}

/// A sign and its meaning.
struct Sign {
    name: String,
    width: f64,
    draw: Box<dyn Fn(f64, f64) -> Group>,
}

/// Returns the signs that occur in the picture, in rows. Also returns where it ends.
fn legend(model: &RunModel<'_>, plan: &Frame, language: Language, top: f64) -> (Group, f64) {
    let (mut group, mut x, mut y) = (Group::new(), MARGIN, top);
    for Sign { name, width, draw } in signs(model, plan, language) {
        let name = cut(&name, ROOM - width - 7.0, 11.5);
        let whole = width + 7.0 + width_of(&name, 11.5);
        if x > MARGIN && x + whole > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 19.0);
        }
        group = group.add(draw(x, y - 4.0)).add(text("soft", x + width + 7.0, y, &name));
        x += whole + 20.0;
    }
    (group, y + 12.0)
}

fn signs(model: &RunModel<'_>, plan: &Frame, language: Language) -> Vec<Sign> {
    let mut signs = vec![line_sign("life", language.pick("running", "运行"))];
    let drawn = || model.lanes.iter().enumerate().filter(|(index, _)| plan.is_drawn(*index)).map(|(_, lane)| lane);
    let spans = || drawn().flat_map(|lane| &lane.spans).filter(|span| plan.shows.contains(&span.kind));
    for (kind, en, zh) in [
        (SpanKind::Waiting, ("waiting", "waiting for the"), "等待"),
        (SpanKind::Holding, ("holding", "holding the"), "持有"),
        (SpanKind::Working, ("working on an item", ""), "处理数据"),
    ] {
        let subjects = spans().filter(|span| span.kind == kind).map(|span| match span.subject {
            Subject::Named(noun, _) => Some(noun),
            Subject::Item(_) => None,
        });
        let nouns: BTreeSet<Option<Noun>> = subjects.collect();
        let name = match (nouns.len(), nouns.first()) {
            (0, _) => continue,
            (1, Some(Some(noun))) => {
                language.pick(&format!("{} {}", en.1, noun.en), &format!("{zh}{}", noun.zh)).to_owned()
            }
            _ => language.pick(en.0, zh).to_owned(),
        };
        signs.push(bar_sign(kind, &name));
    }
    let is_drawn = |edge: &&Edge<'_>| plan.is_drawn(edge.from.lane) && plan.is_drawn(edge.to.lane);
    let ways: BTreeSet<EdgeKind> = model.edges.iter().filter(is_drawn).map(|edge| edge.edge_kind).collect();
    let mut arrows: Vec<([&str; 2], Vec<&str>)> = Vec::new();
    for (look, [en, zh]) in ways.into_iter().map(arrow_kind) {
        let name = language.pick(en, zh);
        match arrows.iter_mut().find(|(known, _)| *known == look) {
            Some((_, names)) => names.push(name),
            None => arrows.push((look, vec![name])),
        }
    }
    signs.extend(arrows.into_iter().map(|(look, names)| arrow_sign(look, names.join(language.pick(", ", "、")))));
    for severity in [Severity::Good, Severity::Plain, Severity::Trouble] {
        let names = names_of(drawn(), severity, language);
        if !names.is_empty() {
            signs.push(Sign { name: names, width: 8.0, draw: Box::new(move |x, y| dot(severity, x + 4.0, y, 3.4)) });
        }
    }
    let endings = || drawn().filter_map(|lane| lane.ending);
    if endings().any(|ending| ending == Ending::Stopped) {
        let draw = |x: f64, y| Group::new().add(stop(x + 3.0, y, 4.5));
        signs.push(Sign { name: language.pick("stopped", "被停止").to_owned(), width: 6.0, draw: Box::new(draw) });
    }
    if endings().any(Ending::is_death) {
        let draw = |x: f64, y| Group::new().add(cross(x + 4.5, y, 4.5));
        signs.push(Sign { name: language.pick("died", "死亡").to_owned(), width: 9.0, draw: Box::new(draw) });
    }
    signs
}

/// Returns what dots of a severity stand for, by the names of the events.
fn names_of<'a>(lanes: impl Iterator<Item = &'a Lane<'a>>, severity: Severity, language: Language) -> String {
    let dots =
        lanes.flat_map(|lane| &lane.moments).filter_map(|moment| Some((moment.event.fact.name(), moment.class.dot?)));
    let mut kinds = HashSet::new();
    let firsts = dots.filter(|(name, dot)| dot.0 == severity && kinds.insert(*name));
    let names: Vec<String> = firsts.map(|(en, (_, zh))| language.pick(&en.replace('_', " "), zh).to_owned()).collect();
    names.join(language.pick(", ", "、"))
}

fn line_sign(class: &'static str, name: &str) -> Sign {
    let draw = move |x: f64, y: f64| {
        let line = Line::new().set("class", class).set("stroke-width", 2.4);
        Group::new().add(line.set("x1", px(x)).set("x2", px(x + 22.0)).set("y1", px(y)).set("y2", px(y)))
    };
    Sign { name: name.to_owned(), width: 22.0, draw: Box::new(draw) }
}

fn bar_sign(kind: SpanKind, name: &str) -> Sign {
    let height = if kind == SpanKind::Waiting { 5.4 } else { 12.0 };
    let draw = move |x, y| Group::new().add(bar(kind, Shade { x, width: 22.0, opacity: 1.0 }, y, height));
    Sign { name: name.to_owned(), width: 22.0, draw: Box::new(draw) }
}

/// Returns the look of an arrow, as its class and its head, and its name in both languages.
fn arrow_kind(edge_kind: EdgeKind) -> ([&'static str; 2], [&'static str; 2]) {
    let name = match edge_kind {
        EdgeKind::Message => ["message", "消息"],
        EdgeKind::Reply => ["answer", "回复"],
        EdgeKind::Item => ["item", "数据"],
        EdgeKind::Call => ["call", "调用"],
        EdgeKind::Redelivered => ["left by a worker that died", "已死进程留下的数据"],
        EdgeKind::Inherited => ["taken over from a worker that died", "从已死进程接过"],
    };
    (look(edge_kind), name)
}

fn arrow_sign([class, head]: [&'static str; 2], name: String) -> Sign {
    let draw = move |x: f64, y: f64| {
        let d = format!("M{} {} L{} {}", px(x), px(y), px(x + 24.0), px(y));
        Group::new().add(Path::new().set("class", class).set("d", d).set("marker-end", head))
    };
    Sign { name, width: 24.0, draw: Box::new(draw) }
}
