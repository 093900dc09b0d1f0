//! The heading above the lanes: what was run, its result, and the legend.

use std::collections::{BTreeSet, HashSet};

use svg::Node;
use svg::node::element::{Group, Path};

use super::arrows::look;
use super::bars::Shade;
use super::frame::{Frame, MARGIN, WIDTH};
use super::lane::{bar, cross, dot, stop};
use crate::report::class::{Ending, Noun, Severity, SpanKind};
use crate::report::drawing::{cut, line, px, text, width_of};
use crate::report::frame::{RunStarted, Summary, Verdict};
use crate::report::language::Language;
use crate::report::model::{Edge, EdgeKind, Lane, LaneKind};

const ROOM: f64 = WIDTH - 2.0 * MARGIN;

/// The top of the picture.
pub(super) struct Heading {
    pub(super) group: Group,
    pub(super) height: f64,
    /// The same as a sentence, for screen readers.
    pub(super) summary: String,
}

impl Heading {
    pub(super) fn of(plan: &Frame<'_>) -> Self {
        let Frame { model, language, .. } = *plan;
        let title = model.scenario();
        let mut group = Group::new().add(text("title", MARGIN, 46.0, title));
        let mut y = 68.0;
        let workers = model.lanes.iter().filter(|lane| lane.lane_kind == LaneKind::Worker).count();
        for line in wrapped(&about(model.started, model.summary, workers, language), " · ", 13.0) {
            group.append(text("soft", MARGIN, y, &line).set("style", "font-size: 13px"));
            y += 18.0;
        }
        let mut summary = title.to_owned();
        if let Some(ended) = model.summary {
            let (said, verdict) = (ended.said(language), ended.verdict);
            let class = match verdict {
                Verdict::Held => "verdict good",
                Verdict::Violated => "verdict bad",
                Verdict::NotShown => "verdict",
            };
            let words: Vec<String> = format!("{} {said}", verdict.sign()).split(' ').map(str::to_owned).collect();
            y += 10.0;
            for line in wrapped(&words, " ", 14.5) {
                group.append(text(class, MARGIN, y, &line));
                y += 19.0;
            }
            let facts: Vec<String> = ended.facts.iter().map(|counter| counter.said(language)).collect();
            for line in wrapped(&facts, " · ", 12.0) {
                group.append(text("soft", MARGIN, y, &line));
                y += 17.0;
            }
            summary = format!("{summary}: {said}");
        }
        let legend = Legend::of(plan, y + 12.0);
        group.append(legend.group);
        Heading { group, height: legend.y + 12.0, summary }
    }
}

/// Describes how it was run.
pub(in crate::report) fn about(
    started: Option<&RunStarted>,
    summary: Option<&Summary>,
    workers: usize,
    language: Language,
) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(started) = started {
        parts.push(format!("{} {}", language.pick("seed", "随机种子"), started.seed));
        parts.push(format!("{} {}", language.pick("speed", "速度"), started.speed()));
    }
    parts.push(match language {
        Language::En if workers == 1 => "1 worker".to_owned(),
        Language::En => format!("{workers} workers"),
        Language::Zh => format!("{workers} 个工作进程"),
    });
    if let Some(ended) = summary {
        parts.push(format!("{} {}", language.pick("took", "用时"), language.duration(ended.elapsed_us)));
    }
    parts
}

/// Lays parts out side by side, as many per line as fit.
fn wrapped(parts: &[String], between: &str, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        match lines.last_mut() {
            Some(line) if width_of(&format!("{line}{between}{part}"), size) <= ROOM => {
                line.push_str(between);
                line.push_str(part);
            }
            _ => lines.push(part.clone()),
        }
    }
    lines
}

/// The legend: the symbols that occur in the picture, and their meanings, in rows.
struct Legend {
    group: Group,
    /// Where the next symbol begins.
    x: f64,
    y: f64,
}

impl Legend {
    /// Adds a symbol of this width, drawn from its left end and its middle, and its meaning.
    fn add(&mut self, name: &str, width: f64, draw: impl FnOnce(f64, f64) -> Group) {
        let name = cut(name, ROOM - width - 7.0, 11.5);
        let whole = width + 7.0 + width_of(&name, 11.5);
        if self.x > MARGIN && self.x + whole > WIDTH - MARGIN {
            (self.x, self.y) = (MARGIN, self.y + 19.0);
        }
        self.group.append(draw(self.x, self.y - 4.0));
        self.group.append(text("soft", self.x + width + 7.0, self.y, &name));
        self.x += whole + 20.0;
    }

    fn of(plan: &Frame<'_>, top: f64) -> Self {
        let Frame { model, language, .. } = *plan;
        let mut legend = Legend { group: Group::new(), x: MARGIN, y: top };
        let life = |x, y| line("life", (x, y), (x + 22.0, y)).set("stroke-width", 2.4);
        legend.add(language.pick("running", "运行"), 22.0, |x, y| Group::new().add(life(x, y)));
        for (kind, en, zh) in [
            (SpanKind::Waiting, ("waiting", "waiting for the"), "等待"),
            (SpanKind::Holding, ("holding", "holding the"), "持有"),
            (SpanKind::Working, ("working on an item", ""), "处理数据"),
        ] {
            if !plan.shows.contains(&kind) {
                continue;
            }
            let spans = plan.drawn().flat_map(|lane| &lane.spans).filter(|span| span.kind == kind);
            let nouns: BTreeSet<Option<Noun>> = spans.map(|span| span.subject.noun()).collect();
            let name = match (nouns.len(), nouns.first(), language) {
                (1, Some(Some(noun)), Language::En) => format!("{} {}", en.1, noun.en),
                (1, Some(Some(noun)), Language::Zh) => format!("{zh}{}", noun.zh),
                _ => language.pick(en.0, zh).to_owned(),
            };
            let height = if kind == SpanKind::Waiting { 5.4 } else { 12.0 };
            let bar = |x, y| bar(kind, Shade { x, width: 22.0, opacity: 1.0 }, y, height);
            legend.add(&name, 22.0, |x, y| Group::new().add(bar(x, y)));
        }
        let is_drawn = |edge: &&Edge<'_>| plan.row(edge.from.lane).and(plan.row(edge.to.lane)).is_some();
        let kinds: BTreeSet<EdgeKind> = model.edges.iter().filter(is_drawn).map(|edge| edge.edge_kind).collect();
        let mut arrows: Vec<([&str; 2], Vec<&str>)> = Vec::new();
        for kind in kinds {
            let (look, [en, zh, _]) = (look(kind), kind.names());
            let name = language.pick(en, zh);
            match arrows.iter_mut().find(|(known, _)| *known == look) {
                Some((_, names)) => names.push(name),
                None => arrows.push((look, vec![name])),
            }
        }
        let comma = language.pick(", ", "、");
        for ([class, head], names) in arrows {
            legend.add(&names.join(comma), 24.0, |x, y| {
                let d = format!("M{} {} L{} {}", px(x), px(y), px(x + 24.0), px(y));
                Group::new().add(Path::new().set("class", class).set("d", d).set("marker-end", head))
            });
        }
        for severity in [Severity::Good, Severity::Plain, Severity::Trouble] {
            let names = names_of(plan.drawn(), severity, language);
            if !names.is_empty() {
                legend.add(&names.join(comma), 8.0, |x, y| dot(severity, x + 4.0, y, 3.4));
            }
        }
        let endings = || plan.drawn().filter_map(|lane| lane.ending);
        if endings().any(|ending| ending == Ending::Stopped) {
            legend.add(language.pick("stopped", "被停止"), 6.0, |x, y| Group::new().add(stop(x + 3.0, y, 4.5)));
        }
        if endings().any(Ending::is_death) {
            legend.add(language.pick("died", "死亡"), 9.0, |x, y| Group::new().add(cross(x + 4.5, y, 4.5)));
        }
        legend
    }
}

/// Returns what dots of a severity stand for, by the names of the events.
fn names_of<'a>(lanes: impl Iterator<Item = &'a Lane<'a>>, severity: Severity, language: Language) -> Vec<String> {
    let dots =
        lanes.flat_map(|lane| &lane.moments).filter_map(|moment| Some((moment.event.fact.name(), moment.class.dot?)));
    let mut kinds = HashSet::new();
    let firsts = dots.filter(|(name, dot)| dot.0 == severity && kinds.insert(*name));
    firsts.map(|(en, (_, zh))| language.pick(&en.replace('_', " "), zh).to_owned()).collect()
}
