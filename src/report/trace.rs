//! A run as Chrome trace-event JSON for Perfetto: one track per process, slices for activities, arrows for transfers.
//!
//! Slices are complete events (`X`) and always nest: where two activities of a worker overlap without one containing
//! the other, the inner one is split. Arrows are flow events (`s`, `f`), which belong to the slice that is open on
//! their track; so each end of a transfer has a slice of its own, of at most a microsecond. One event per line.
//!
//! Standard: Trace Event Format (Chromium), as Perfetto reads it.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::class::{Ending, Key, SpanKind, Subject};
use super::event::Event;
use super::frame::{RunStarted, Summary};
use super::model::{Edge, Lane, Moment, RunModel, Span};

/// What every trace begins with.
pub(super) const BEGINNING: &str = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[";
/// The duration of a send or receive slice, in microseconds. An arrow begins or ends at the slice.
const HANDLING_US: f64 = 1.0;

/// Writes the trace of a run.
#[cfg(test)]
pub(super) fn write(events: &[Event], out: &mut impl Write) -> io::Result<()> {
    write_rest(events, 0, out)
}

/// Writes the rest of a run of which events were dropped.
pub(super) fn write_rest(events: &[Event], forgotten: u64, out: &mut impl Write) -> io::Result<()> {
    let model = RunModel::of(events);
    let names = model.lanes.iter().enumerate().flat_map(|(index, lane)| names(lane, index));
    let activities = model.lanes.iter().flat_map(|lane| {
        let slices = nested(slices(lane)).into_iter().map(|slice| slice.record(lane));
        slices.chain(lane.moments.iter().filter(is_instant).map(|moment| instant(lane, moment)))
    });
    // Last: readers keep the order of events with the same time, and an arrow needs its slice.
    let arrows = model.edges.iter().enumerate().filter_map(|(index, edge)| arrow(&model, edge, index + 1));
    out.write_all(BEGINNING.as_bytes())?;
    let mut separator = "\n";
    for record in names.chain(activities).chain(arrows.flatten()) {
        write!(out, "{separator}{record}")?;
        separator = ",\n";
    }
    let fields = |event: Option<&Event>| event.map(|event| event.fact.fields());
    let started = events.iter().find(|event| event.is::<RunStarted>());
    let summary = events.iter().rfind(|event| event.is::<Summary>());
    let mut other = json!({ "run": fields(started), "summary": fields(summary) });
    if forgotten > 0 {
        other["forgotten_events"] = forgotten.into();
    }
    writeln!(out, "\n],\"otherData\":{other}}}")?;
    out.flush()
}

/// Returns a time in microseconds: an integer if possible, and with at most the nanoseconds of the format.
fn time(us: f64) -> Value {
    let rounded = (us * 1e3).round() / 1e3;
    if rounded.fract() == 0.0 { json!(rounded as u64) } else { json!(rounded) }
}

/// Adds the arguments of a trace event, if there are any.
fn with_args(mut record: Value, args: Map<String, Value>) -> Value {
    if !args.is_empty() {
        record["args"] = args.into();
    }
    record
}

/// Returns the name and the position of a track.
fn names(lane: &Lane<'_>, index: usize) -> Vec<Value> {
    let about = |name: &str, key: &str, value: Value| json!({ "ph": "M", "name": name, "pid": lane.pid, "tid": lane.pid, "args": { key: value } });
    let mut names = vec![
        about("process_name", "name", lane.name.into()),
        about("thread_name", "name", lane.name.into()),
        about("process_sort_index", "sort_index", index.into()),
    ];
    names.extend(lane.role().map(|(role, daemon)| {
        let label = if daemon { format!("{role} (daemon)") } else { role.to_owned() };
        about("process_labels", "labels", label.into())
    }));
    names
}

/// Something with a duration.
#[derive(Debug, Clone)]
struct Slice {
    name: String,
    cat: &'static str,
    from_us: f64,
    to_us: f64,
    args: Map<String, Value>,
}

impl Slice {
    fn record(self, lane: &Lane<'_>) -> Value {
        let Slice { name, cat, from_us, to_us, args } = self;
        let (ts, dur, pid) = (time(from_us), time(to_us - from_us), lane.pid);
        with_args(json!({ "ph": "X", "name": name, "cat": cat, "ts": ts, "dur": dur, "pid": pid, "tid": pid }), args)
    }
}

/// Returns everything with a duration in a process: its life, its activities, and its transfers.
fn slices(lane: &Lane<'_>) -> Vec<Slice> {
    let args = lane.role().map(|(role, daemon)| json!({ "role": role, "daemon": daemon }));
    let args = args.and_then(|args| args.as_object().cloned()).unwrap_or_default();
    let life = Slice { name: "running".to_owned(), cat: "process", from_us: lane.began_us, to_us: lane.ended_us, args };
    let mut slices = vec![life];
    slices.extend(lane.spans.iter().map(|span| {
        let (name, cat) = (name_of(span), span.kind.name());
        let args = span.told_by.into_iter().flatten().flat_map(|event| event.fact.fields()).collect();
        Slice { name, cat, from_us: span.from_us, to_us: span.to_us, args }
    }));
    for (place, moment) in lane.moments.iter().enumerate().filter(|(_, moment)| moment.class.transfer.is_some()) {
        let next_us = lane.moments.get(place + 1).map_or(lane.ended_us, |next| next.at_us);
        let to_us = next_us.min(moment.at_us + HANDLING_US).max(moment.at_us);
        let (name, args) = (moment.event.fact.name().to_owned(), moment.event.fact.fields());
        slices.push(Slice { name, cat: "message", from_us: moment.at_us, to_us, args });
    }
    slices
}

fn name_of(span: &Span<'_>) -> String {
    let what = match span.subject {
        Subject::Named(noun, name) => format!("{} {name}", noun.en).trim_end().to_owned(),
        Subject::Item(Key::Item { from, number }) => format!("{from} #{number}"),
        Subject::Item(_) => "a message".to_owned(),
    };
    match span.kind {
        SpanKind::Waiting => format!("waiting for {what}"),
        SpanKind::Holding => format!("holding {what}"),
        SpanKind::Working => format!("working on {what}"),
    }
}

/// Splits slices that overlap without nesting, so that all slices nest; outer ones come first.
fn nested(slices: Vec<Slice>) -> Vec<Slice> {
    let (mut pieces, slices): (Vec<_>, Vec<_>) = slices.into_iter().partition(|slice| slice.to_us <= slice.from_us);
    let mut borders: Vec<(f64, bool, f64, usize)> = Vec::with_capacity(2 * slices.len());
    for (index, slice) in slices.iter().enumerate() {
        // At the same time, ends come first, then beginnings, the longest first.
        borders.push((slice.to_us, false, 0.0, index));
        borders.push((slice.from_us, true, -slice.to_us, index));
    }
    borders.sort_by(|one, other| {
        let beginnings = one.1.cmp(&other.1).then(one.2.total_cmp(&other.2));
        one.0.total_cmp(&other.0).then(beginnings).then(one.3.cmp(&other.3))
    });
    let mut open: Vec<(usize, f64)> = Vec::new();
    for (at_us, is_beginning, _, index) in borders {
        if is_beginning {
            open.push((index, at_us));
            continue;
        }
        let place = open.iter().rposition(|(open, _)| *open == index).expect("what ends has begun");
        for (cut, from_us) in &mut open[place..] {
            // A slice that has only just begun needs no split.
            if at_us > *from_us {
                pieces.push(Slice { from_us: *from_us, to_us: at_us, ..slices[*cut].clone() });
                *from_us = at_us;
            }
        }
        open.remove(place);
    }
    pieces.sort_by(|one, other| one.from_us.total_cmp(&other.from_us).then(other.to_us.total_cmp(&one.to_us)));
    pieces
}

/// Returns whether an event is not shown by a slice.
fn is_instant(moment: &&Moment<'_>) -> bool {
    let class = &moment.class;
    let is_slice = class.starts || class.begins.is_some() || class.ends.is_some() || class.transfer.is_some();
    class.ending.is_some() || class.dot.is_some() || !is_slice
}

fn instant(lane: &Lane<'_>, moment: &Moment<'_>) -> Value {
    // The death of a process is marked on all of its tracks.
    let [cat, scope] = if moment.class.ending.is_some_and(Ending::is_death) { ["death", "p"] } else { ["event", "t"] };
    let (fact, ts, pid) = (&moment.event.fact, time(moment.at_us), lane.pid);
    let name = fact.name();
    let record = json!({ "ph": "i", "name": name, "cat": cat, "ts": ts, "pid": pid, "tid": pid, "s": scope });
    with_args(record, fact.fields())
}

/// Returns both ends of an arrow. Readers reject arrows that end before they begin or begin before their process does.
fn arrow(model: &RunModel<'_>, edge: &Edge<'_>, id: usize) -> Option<[Value; 2]> {
    let from_us = edge.from.at_us.min(edge.to.at_us);
    if from_us < model.lanes[edge.from.lane].began_us {
        return None;
    }
    let [.., name] = edge.edge_kind.names();
    let end = |ph: &str, lane: usize, at_us| {
        let (ts, pid) = (time(at_us), model.lanes[lane].pid);
        let mut record = json!({ "ph": ph, "name": name, "cat": "flow", "ts": ts, "pid": pid, "tid": pid, "id": id });
        if ph == "f" {
            // Binds the arrow to the enclosing slice instead of the next one.
            record["bp"] = "e".into();
        }
        with_args(record, edge.value.map(|value| ("value".to_owned(), value.clone())).into_iter().collect())
    };
    Some([end("s", edge.from.lane, from_us), end("f", edge.to.lane, edge.to.at_us)])
}
