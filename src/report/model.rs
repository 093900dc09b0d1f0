//! The model that every picture of a run is drawn from: what each process did and when, and the transfers between them.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::class::{Class, Ending, SpanKind, Subject};
use super::event::{Event, RUNNER};
use super::frame::{RunStarted, Summary, WorkerStarted};
use super::matching::Matcher;
use super::wording::Names;

/// A run, ready to be drawn.
#[derive(Debug)]
pub(super) struct RunModel<'a> {
    /// In the order of their first events; a server is first when it was started.
    pub(super) lanes: Vec<Lane<'a>>,
    pub(super) edges: Vec<Edge<'a>>,
    /// The time of the last event.
    pub(super) ended_us: f64,
    pub(super) started: Option<&'a RunStarted>,
    pub(super) summary: Option<&'a Summary>,
}

/// A process from its start to its end.
#[derive(Debug, Default)]
pub(super) struct Lane<'a> {
    pub(super) name: &'a str,
    pub(super) pid: u32,
    pub(super) lane_kind: LaneKind,
    /// The object that the process was started for, if there are several.
    pub(super) object: Option<&'a str>,
    pub(super) began_us: f64,
    pub(super) ended_us: f64,
    /// `None` if its end was not reported.
    pub(super) ending: Option<Ending>,
    pub(super) moments: Vec<Moment<'a>>,
    pub(super) spans: Vec<Span<'a>>,
    /// Its unfinished activities, as indices into `spans`.
    open: Vec<usize>,
}

/// The kind of a process in a run.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneKind {
    Runner,
    /// Reports nothing itself: it shows only in the calls to it.
    Server,
    #[default]
    Worker,
}

/// An event of a process.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) at_us: f64,
    pub(super) event: &'a Event,
    pub(super) class: Class<'a>,
}

/// An activity of a process.
#[derive(Debug)]
pub(super) struct Span<'a> {
    pub(super) kind: SpanKind,
    pub(super) subject: Subject<'a>,
    pub(super) from_us: f64,
    pub(super) to_us: f64,
    /// The events that began and ended it, if any.
    pub(super) told_by: [Option<&'a Event>; 2],
}

/// Why something went from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum EdgeKind {
    Message,
    Reply,
    Item,
    /// A call to a server.
    Call,
    /// An item whose receiver died goes to another one.
    Redelivered,
    /// A lock whose holder died goes to another one.
    Inherited,
}

impl EdgeKind {
    /// Returns the displayed name, in English and Chinese, and the name in a trace.
    pub(super) fn names(self) -> [&'static str; 3] {
        match self {
            EdgeKind::Message => ["message", "消息", "message"],
            EdgeKind::Reply => ["answer", "回复", "reply"],
            EdgeKind::Item => ["item", "数据", "item"],
            EdgeKind::Call => ["call", "调用", "call"],
            EdgeKind::Redelivered => ["left by a worker that died", "已终止的进程留下的数据", "left by a dead worker"],
            EdgeKind::Inherited => {
                ["taken over from a worker that died", "从已终止的进程接管", "taken from a dead holder"]
            }
        }
    }
}

/// A transfer from one process to another.
#[derive(Debug)]
pub(super) struct Edge<'a> {
    pub(super) edge_kind: EdgeKind,
    /// Its value, if it has one.
    pub(super) value: Option<&'a Value>,
    /// Whether a picture shows it before others: what a dead process left, or received last.
    pub(super) is_decisive: bool,
    pub(super) from: Point,
    pub(super) to: Point,
}

impl<'a> Edge<'a> {
    pub(super) fn new(edge_kind: EdgeKind, value: Option<&'a Value>, from: Point, to: Point) -> Self {
        let is_decisive = matches!(edge_kind, EdgeKind::Redelivered | EdgeKind::Inherited);
        Edge { edge_kind, value, is_decisive, from, to }
    }
}

/// A position in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) lane: usize,
    pub(super) at_us: f64,
}

impl<'a> RunModel<'a> {
    /// Builds the model from events in any order.
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut in_order: Vec<&Event> = events.iter().collect();
        // Stable: events of one worker in the same microsecond stay in order.
        in_order.sort_by_key(|event| event.at_us);
        let mut model = RunModel {
            lanes: Vec::new(),
            edges: Vec::new(),
            ended_us: in_order.last().map_or(0.0, |event| event.at_us as f64),
            started: events.iter().find_map(Event::get),
            summary: events.iter().rev().find_map(Event::get),
        };
        let places = model.gather(&in_order);
        model.lanes.iter_mut().for_each(Lane::spread_ties);
        model.follow(&places);
        for lane in &mut model.lanes {
            if lane.ending.is_none() {
                lane.ended_us = model.ended_us.max(lane.began_us);
            }
            lane.close_all(lane.ended_us);
        }
        model.leave_with_the_dead();
        model.decide();
        model
    }

    /// Returns the name of the scenario.
    pub(super) fn scenario(&self) -> &'a str {
        self.started.map_or("a run", |started| started.scenario)
    }

    /// Returns the names that only this scenario has.
    pub(super) fn names(&self) -> Names {
        self.started.map_or(&[], |started| started.names)
    }

    /// Returns whether the lanes concern different objects, so that each has to name its own.
    pub(super) fn has_objects(&self) -> bool {
        differ(self.lanes.iter().filter_map(|lane| lane.object))
    }

    /// Returns whether the activities concern different named objects, so that each must show the name.
    pub(super) fn has_subjects(&self) -> bool {
        differ(self.lanes.iter().flat_map(|lane| &lane.spans).filter_map(|span| match span.subject {
            Subject::Named(_, name) => Some(name),
            Subject::Item(_) => None,
        }))
    }

    /// Assigns every event to the lane of its process. Returns the lane and the index in it for each.
    fn gather(&mut self, in_order: &[&'a Event]) -> Vec<(usize, usize)> {
        let mut lane_of = HashMap::new();
        let mut object = None;
        let place_of = |event: &&'a Event| {
            let (class, at_us) = (event.fact.class(), event.at_us as f64);
            object = class.turn.map(|turn| turn.object).or(object);
            let mut add = |name, pid, lane_kind, object| {
                let (began_us, ended_us) = (at_us, at_us);
                self.lanes.push(Lane { name, pid, lane_kind, object, began_us, ended_us, ..Lane::default() });
                self.lanes.len() - 1
            };
            let name = event.worker.as_str();
            let index = *lane_of.entry((name, event.pid)).or_insert_with(|| match name {
                RUNNER => add(name, event.pid, LaneKind::Runner, None),
                _ => add(name, event.pid, LaneKind::Worker, object),
            });
            // A process that itself is the server already has a lane.
            if let Some((name, pid)) = class.server.filter(|(_, pid)| *pid != event.pid) {
                add(name, pid, LaneKind::Server, None);
            }
            let lane = &mut self.lanes[index];
            lane.moments.push(Moment { at_us, event, class });
            (index, lane.moments.len() - 1)
        };
        in_order.iter().map(place_of).collect()
    }

    fn follow(&mut self, places: &[(usize, usize)]) {
        let mut matcher = Matcher::default();
        // The first item that is processed shows that items are processed; otherwise an item belongs to its receiver
        // for good. Turns are independent.
        let finishes = |moment: &Moment<'_>| matches!(moment.class.ends, Some((SpanKind::Working, _)));
        let processed = self.lanes.iter().filter(|lane| lane.moments.iter().any(finishes));
        let done_with: HashSet<Option<&str>> = processed.map(|lane| lane.object).collect();
        let server = self.lanes.iter().position(|lane| lane.lane_kind == LaneKind::Server);
        let mut holders: HashMap<Subject<'a>, (usize, usize)> = HashMap::new();
        for &(index, place) in places {
            let lane = &mut self.lanes[index];
            let Moment { at_us, event, class } = lane.moments[place];
            let here = Point { lane: index, at_us };
            if let Some((noun, waited_us)) = class.waited {
                let subject = Subject::Named(noun, "");
                let before_us = place.checked_sub(1).map_or(lane.began_us, |before| lane.moments[before].at_us);
                let from_us = (at_us - waited_us as f64).max(before_us);
                lane.spans.push(Span { kind: SpanKind::Waiting, subject, from_us, to_us: at_us, told_by: [None; 2] });
            }
            if let Some((kind, subject)) = class.ends {
                lane.close(kind, subject, at_us, event);
            }
            let is_done = |(kind, _): &(SpanKind, _)| *kind != SpanKind::Working || done_with.contains(&lane.object);
            if let Some((kind, subject)) = class.begins.filter(is_done) {
                let span = lane.open(kind, subject, at_us, event);
                let before = (kind == SpanKind::Holding).then(|| holders.insert(subject, (index, span))).flatten();
                if let Some((holder, held)) = before.filter(|(holder, _)| class.inherits && *holder != index) {
                    self.inherit(holder, held, here);
                }
            }
            if let Some(mut edge) = class.transfer.and_then(|transfer| matcher.handle(transfer, here)) {
                self.put_in_time(&mut edge);
                self.edges.push(edge);
            }
            if let Some(lane) = server.filter(|_| class.calls) {
                let to = Point { lane, at_us };
                self.edges.push(Edge::new(EdgeKind::Call, None, here, to));
            }
            if let Some(ending) = class.ending {
                let lane = &mut self.lanes[index];
                lane.ending = Some(ending);
                lane.close_all(at_us);
            }
        }
    }

    /// Moves a lock from a dead holder to the next. The runner may notice the death only later.
    fn inherit(&mut self, holder: usize, held: usize, to: Point) {
        let lane = &mut self.lanes[holder];
        lane.open.retain(|open| *open != held);
        let span = &mut lane.spans[held];
        let over_us = if span.to_us.is_nan() { to.at_us } else { span.to_us.min(to.at_us) };
        span.to_us = over_us.max(span.from_us);
        let from = Point { lane: holder, at_us: span.to_us };
        self.edges.push(Edge::new(EdgeKind::Inherited, None, from, to));
    }

    /// Keeps what a dead worker had received with it until its death. The runner may notice the death only later.
    fn leave_with_the_dead(&mut self) {
        for edge in self.edges.iter_mut().filter(|edge| edge.edge_kind == EdgeKind::Redelivered) {
            let taker = &self.lanes[edge.from.lane];
            if taker.ending.is_some() && taker.ended_us > edge.from.at_us {
                edge.from.at_us = taker.ended_us.min(edge.to.at_us);
            }
        }
    }

    /// Finds what each dead process received last.
    fn decide(&mut self) {
        let mut last: HashMap<usize, &mut Edge<'_>> = HashMap::new();
        let lanes = &self.lanes;
        for edge in self.edges.iter_mut().filter(|edge| lanes[edge.to.lane].ending.is_some_and(Ending::is_death)) {
            if last.get(&edge.to.lane).is_none_or(|latest| latest.to.at_us <= edge.to.at_us) {
                last.insert(edge.to.lane, edge);
            }
        }
        last.into_values().for_each(|edge| edge.is_decisive = true);
    }

    /// Ensures that nothing arrives before it left. If its sender reported it later, it left at its arrival at the
    /// latest.
    fn put_in_time(&mut self, edge: &mut Edge<'_>) {
        let moments = &mut self.lanes[edge.from.lane].moments;
        let sent = moments.partition_point(|moment| moment.at_us < edge.from.at_us);
        if edge.edge_kind != EdgeKind::Redelivered
            && edge.from.at_us > edge.to.at_us
            && moments[..sent].last().is_none_or(|before| before.at_us < edge.to.at_us)
        {
            moments[sent].at_us = edge.to.at_us;
            edge.from.at_us = edge.to.at_us;
        }
    }
}

fn differ<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    values.next().is_some_and(|first| values.any(|value| value != first))
}

impl<'a> Lane<'a> {
    /// Returns the role it was started with, and whether it is a daemon.
    pub(super) fn role(&self) -> Option<(&'a str, bool)> {
        let started = self.moments.iter().find_map(|moment| moment.event.get());
        started.map(|WorkerStarted { role, daemon }| (*role, *daemon))
    }

    /// Returns whether a picture marks what happened at a time: an event with a dot, or a death.
    pub(super) fn is_marked(&self, at_us: f64) -> bool {
        let found = self.moments.binary_search_by(|moment| moment.at_us.total_cmp(&at_us));
        found.is_ok_and(|place| self.moments[place].class.severity().is_some())
            || self.ending.is_some_and(Ending::is_death) && self.ended_us == at_us
    }

    /// Spreads events of the same microsecond over it, in order.
    fn spread_ties(&mut self) {
        for together in self.moments.chunk_by_mut(|one, other| one.at_us == other.at_us) {
            let count = together.len() as f64;
            for (place, moment) in together.iter_mut().enumerate().skip(1) {
                moment.at_us += place as f64 / count;
            }
        }
        self.ended_us = self.moments.last().map_or(self.ended_us, |last| last.at_us);
    }

    fn open(&mut self, kind: SpanKind, subject: Subject<'a>, from_us: f64, event: &'a Event) -> usize {
        self.spans.push(Span { kind, subject, from_us, to_us: f64::NAN, told_by: [Some(event), None] });
        self.open.push(self.spans.len() - 1);
        self.spans.len() - 1
    }

    fn close(&mut self, kind: SpanKind, subject: Subject<'a>, to_us: f64, event: &'a Event) {
        let is_it = |span: &Span<'_>| span.kind == kind && span.subject == subject;
        if let Some(place) = self.open.iter().rposition(|open| is_it(&self.spans[*open])) {
            let closed = self.open.remove(place);
            self.spans[closed].to_us = to_us;
            self.spans[closed].told_by[1] = Some(event);
        }
    }

    fn close_all(&mut self, to_us: f64) {
        for open in self.open.drain(..) {
            let span = &mut self.spans[open];
            span.to_us = to_us.max(span.from_us);
        }
    }
}
