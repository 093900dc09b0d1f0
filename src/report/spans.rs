//! Who did what from when to when, and what went from whom to whom: what every picture of a run is drawn from.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::event::{Event, Fact, RUNNER};
use super::meaning::{Doing, Ending, Meaning, Subject, meaning};
use super::post::Post;

/// What the process of a manager is called: it tells nothing itself.
const MANAGER: &str = "manager";

/// A run, ready to be drawn.
#[derive(Debug)]
pub(super) struct Story<'a> {
    /// The runner first, then its manager if it has one, then the workers in the order of starting.
    pub(super) lanes: Vec<Lane<'a>>,
    pub(super) flows: Vec<Flow<'a>>,
    /// When the last thing happened.
    pub(super) ended_us: f64,
    pub(super) started: Option<&'a Event>,
    pub(super) summary: Option<&'a Event>,
}

/// A process from its start to its end.
#[derive(Debug)]
pub(super) struct Lane<'a> {
    pub(super) name: &'a str,
    pub(super) pid: u32,
    pub(super) part: Part,
    /// The object of a manager that was made last before it started: what it was started for.
    pub(super) object: Option<&'a str>,
    pub(super) began_us: f64,
    pub(super) ended_us: f64,
    /// Nothing if its end was not told.
    pub(super) ending: Option<Ending>,
    pub(super) moments: Vec<Moment<'a>>,
    pub(super) spans: Vec<Span<'a>>,
    /// What it is still doing, as places in `spans`.
    open: Vec<usize>,
}

/// What a process is in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Runner,
    /// Tells nothing itself: it is seen by what others ask it for.
    Manager,
    Worker,
}

/// Something that happened to a process.
#[derive(Debug)]
pub(super) struct Moment<'a> {
    pub(super) at_us: f64,
    pub(super) event: &'a Event,
    pub(super) meaning: Meaning<'a>,
}

/// Something that a process did for some time.
#[derive(Debug)]
pub(super) struct Span<'a> {
    pub(super) doing: Doing,
    pub(super) subject: Subject<'a>,
    pub(super) from_us: f64,
    pub(super) to_us: f64,
}

/// Why something went from one process to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Way {
    Message,
    Reply,
    Item,
    /// A manager is asked to do something.
    Call,
    /// An item whose taker died goes to another one.
    Redelivered,
    /// A lock whose holder died goes to another one.
    Inherited,
}

/// Something that went from one process to another.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    pub(super) way: Way,
    /// What it was, if it was a thing with a value.
    pub(super) value: Option<&'a Value>,
    pub(super) from: Point,
    pub(super) to: Point,
}

/// A place in a picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) lane: usize,
    pub(super) at_us: f64,
}

impl<'a> Story<'a> {
    /// Tells the story of a list of events, in whatever order they were shown.
    pub(super) fn of(events: &'a [Event]) -> Self {
        let mut in_order: Vec<&Event> = events.iter().collect();
        // Stable: what one worker told in the same microsecond stays in its order.
        in_order.sort_by_key(|event| event.at_us);
        let mut story = Story {
            lanes: Vec::new(),
            flows: Vec::new(),
            ended_us: in_order.last().map_or(0.0, |event| event.at_us as f64),
            started: events.iter().find(|event| matches!(event.fact, Fact::RunStarted { .. })),
            summary: events.iter().rfind(|event| matches!(event.fact, Fact::Summary { .. })),
        };
        let places = story.gather(&in_order);
        story.lanes.iter_mut().for_each(Lane::spread_ties);
        story.follow(&places);
        for lane in &mut story.lanes {
            if lane.ending.is_none() {
                lane.ended_us = story.ended_us.max(lane.began_us);
            }
            lane.close_all(lane.ended_us);
        }
        story.leave_with_the_dead();
        story
    }

    /// What was run.
    pub(super) fn scenario(&self) -> &'a str {
        match self.started.map(|event| &event.fact) {
            Some(Fact::RunStarted { scenario, .. }) => scenario,
            _ => "a run",
        }
    }

    /// Whether the lanes are about different objects, so that each has to say about which.
    pub(super) fn has_objects(&self) -> bool {
        let mut objects = self.lanes.iter().filter_map(|lane| lane.object);
        let first = objects.next();
        objects.any(|object| Some(object) != first)
    }

    /// Gives every event to the lane of its process. Returns where each of them is: the lane, and its place there.
    fn gather(&mut self, in_order: &[&'a Event]) -> Vec<(usize, usize)> {
        let mut lane_of = HashMap::new();
        let mut object = None;
        let place_of = |event: &&'a Event| {
            let meaning = meaning(&event.fact);
            if let Fact::ObjectMade { object: made, .. } = &event.fact {
                object = Some(made.as_str());
            }
            let index = *lane_of.entry((event.worker.as_str(), event.pid)).or_insert_with(|| {
                let part = if event.worker == RUNNER { Part::Runner } else { Part::Worker };
                let lane = Lane::of(&event.worker, event.pid, part, event.at_us);
                self.lanes.push(Lane { object: object.filter(|_| part == Part::Worker), ..lane });
                self.lanes.len() - 1
            });
            // Who serves as a manager itself has its lane already.
            if let Some(pid) = meaning.manager.filter(|pid| *pid != event.pid) {
                self.lanes.push(Lane::of(MANAGER, pid, Part::Manager, event.at_us));
            }
            let lane = &mut self.lanes[index];
            lane.moments.push(Moment { at_us: event.at_us as f64, event, meaning });
            (index, lane.moments.len() - 1)
        };
        in_order.iter().map(place_of).collect()
    }

    fn follow(&mut self, places: &[(usize, usize)]) {
        let mut post = Post::default();
        // Whether items are worked off is told by the first one that is; else a taken item is the taker's for good. What a
        // manager shows one after the other has nothing to do with each other.
        let is_done =
            |lane: &&Lane<'a>| lane.moments.iter().any(|it| matches!(it.meaning.ends, Some((Doing::Working, _))));
        let done_with: HashSet<Option<&str>> = self.lanes.iter().filter(is_done).map(|lane| lane.object).collect();
        let manager = self.lanes.iter().position(|lane| lane.part == Part::Manager);
        let mut holders: HashMap<Subject<'a>, (usize, usize)> = HashMap::new();
        for &(index, place) in places {
            let lane = &mut self.lanes[index];
            let Moment { at_us, meaning, .. } = lane.moments[place];
            let here = Point { lane: index, at_us };
            if let Some((subject, waited_us)) = meaning.waited {
                let before_us = place.checked_sub(1).map_or(lane.began_us, |before| lane.moments[before].at_us);
                let from_us = (at_us - waited_us as f64).max(before_us);
                lane.spans.push(Span { doing: Doing::Waiting, subject, from_us, to_us: at_us });
            }
            if let Some((doing, subject)) = meaning.ends {
                lane.close(doing, subject, at_us);
            }
            if let Some((doing, subject)) =
                meaning.begins.filter(|(doing, _)| *doing != Doing::Working || done_with.contains(&lane.object))
            {
                let span = lane.open(doing, subject, at_us);
                let before = (doing == Doing::Holding).then(|| holders.insert(subject, (index, span))).flatten();
                if let Some((holder, held)) = before.filter(|(holder, _)| meaning.inherits && *holder != index) {
                    self.inherit(holder, held, here);
                }
            }
            if let Some((flow, sent_at)) = meaning.parcel.and_then(|parcel| post.handle(parcel, here, place)) {
                let flow = self.in_time(flow, sent_at);
                self.flows.push(flow);
            }
            if let Some(manager) = manager.filter(|_| meaning.calls) {
                let to = Point { lane: manager, at_us };
                self.flows.push(Flow { way: Way::Call, value: None, from: here, to });
            }
            if let Some(ending) = meaning.ending {
                let lane = &mut self.lanes[index];
                lane.ending = Some(ending);
                lane.close_all(at_us);
            }
        }
    }

    /// A lock went from a dead holder to the next. The runner may hear of the death only later.
    fn inherit(&mut self, holder: usize, held: usize, to: Point) {
        let lane = &mut self.lanes[holder];
        lane.open.retain(|open| *open != held);
        let span = &mut lane.spans[held];
        let over_us = if span.to_us.is_nan() { to.at_us } else { span.to_us.min(to.at_us) };
        span.to_us = over_us.max(span.from_us);
        let from = Point { lane: holder, at_us: span.to_us };
        self.flows.push(Flow { way: Way::Inherited, value: None, from, to });
    }

    /// What a dead worker had taken stayed with it until it died. The runner may hear of the death only later.
    fn leave_with_the_dead(&mut self) {
        for flow in self.flows.iter_mut().filter(|flow| flow.way == Way::Redelivered) {
            let taker = &self.lanes[flow.from.lane];
            if taker.ending.is_some() && taker.ended_us > flow.from.at_us {
                flow.from.at_us = taker.ended_us.min(flow.to.at_us);
            }
        }
    }

    /// Nothing arrives before it left. A sender that tells of it only afterwards did it at the latest when it arrived.
    fn in_time(&mut self, mut flow: Flow<'a>, sent_at: usize) -> Flow<'a> {
        if flow.from.at_us > flow.to.at_us && matches!(flow.way, Way::Message | Way::Reply | Way::Item) {
            let moments = &mut self.lanes[flow.from.lane].moments;
            let is_free = sent_at.checked_sub(1).is_none_or(|before| moments[before].at_us < flow.to.at_us);
            if is_free {
                moments[sent_at].at_us = flow.to.at_us;
                flow.from.at_us = flow.to.at_us;
            }
        }
        flow
    }
}

impl<'a> Lane<'a> {
    fn of(name: &'a str, pid: u32, part: Part, at_us: u64) -> Self {
        let at_us = at_us as f64;
        Lane {
            name,
            pid,
            part,
            object: None,
            began_us: at_us,
            ended_us: at_us,
            ending: None,
            moments: Vec::new(),
            spans: Vec::new(),
            open: Vec::new(),
        }
    }

    /// What it was started as, and whether as a daemon.
    pub(super) fn role(&self) -> Option<(&'a str, bool)> {
        self.moments.iter().find_map(|moment| match &moment.event.fact {
            Fact::WorkerStarted { role, daemon } => Some((role.as_str(), *daemon)),
            _ => None,
        })
    }

    /// Gives what happened in the same microsecond times of its own within it, in order.
    fn spread_ties(&mut self) {
        for together in self.moments.chunk_by_mut(|one, other| one.at_us == other.at_us) {
            let count = together.len() as f64;
            for (place, moment) in together.iter_mut().enumerate().skip(1) {
                moment.at_us += place as f64 / count;
            }
        }
        self.ended_us = self.moments.last().map_or(self.ended_us, |last| last.at_us);
    }

    fn open(&mut self, doing: Doing, subject: Subject<'a>, from_us: f64) -> usize {
        self.spans.push(Span { doing, subject, from_us, to_us: f64::NAN });
        self.open.push(self.spans.len() - 1);
        self.spans.len() - 1
    }

    fn close(&mut self, doing: Doing, subject: Subject<'a>, to_us: f64) {
        let is_it = |span: &Span<'_>| span.doing == doing && span.subject == subject;
        if let Some(place) = self.open.iter().rposition(|open| is_it(&self.spans[*open])) {
            let closed = self.open.remove(place);
            self.spans[closed].to_us = to_us;
        }
    }

    fn close_all(&mut self, to_us: f64) {
        for open in self.open.drain(..) {
            let span = &mut self.spans[open];
            span.to_us = to_us.max(span.from_us);
        }
    }
}
