//! Invariants of every trace and every picture.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

/// Times are written in nanoseconds.
const ROUNDING: f64 = 0.002;

/// Checks a trace as strictly as any viewer: every slice has two ends and nests, every arrow has two ends and goes
/// forward in time from one slice to another, every track has a name. Returns its events.
pub(crate) fn trace(text: &str) -> Vec<Value> {
    let trace: Value = serde_json::from_str(text).expect("a trace is JSON");
    let events = trace["traceEvents"].as_array().expect("a trace has events");
    let microseconds = |event: &Value, field: &str| -> f64 {
        let value = event[field].as_f64().unwrap_or_else(|| panic!("{field} is a number: {event}"));
        assert!(value.is_finite() && value >= 0.0, "{event}");
        value
    };
    let (mut slices, mut arrows, mut named, mut seen) =
        (HashMap::new(), HashMap::new(), HashSet::new(), HashSet::new());
    for event in events {
        let track = (event["pid"].as_u64().expect("a process"), event["tid"].as_u64().expect("a thread"));
        match event["ph"].as_str().expect("a kind") {
            "M" => {
                if event["name"] == "process_name" {
                    assert!(named.insert(track), "named twice: {event}");
                }
                continue;
            }
            "X" => {
                let from = microseconds(event, "ts");
                let slices: &mut Vec<(f64, f64)> = slices.entry(track).or_default();
                slices.push((from, from + microseconds(event, "dur")));
            }
            "s" => {
                let begun = arrows.insert(event["id"].to_string(), ((track, microseconds(event, "ts")), None));
                assert_eq!(begun, None, "it begins once");
            }
            "f" => {
                let arrow = arrows.get_mut(&event["id"].to_string()).expect("an arrow begins before it ends");
                assert_eq!(arrow.1.replace((track, microseconds(event, "ts"))), None, "it ends once");
            }
            "i" => _ = microseconds(event, "ts"),
            other => panic!("an event of kind {other}"),
        }
        seen.insert(track);
    }
    assert!(seen.is_subset(&named), "tracks without a name: {:?}", seen.difference(&named));
    for (from, to) in arrows.into_values() {
        let to = to.expect("an arrow has an end");
        assert!(to.1 >= from.1, "it arrives before it left");
        for (track, at) in [from, to] {
            let is_around = |(since, until): &(f64, f64)| *since <= at && at <= until + ROUNDING;
            assert!(slices[&track].iter().any(is_around), "no slice for an arrow at {at}");
        }
    }
    slices.values().for_each(|slices| nest(slices));
    events.clone()
}

/// Checks that slices of one track are nested or disjoint; outer ones come first.
fn nest(slices: &[(f64, f64)]) {
    let mut around: Vec<(f64, f64)> = Vec::new();
    let mut order: Vec<_> = slices.iter().copied().filter(|(from, to)| to > from).collect();
    order.sort_by(|one, other| one.0.total_cmp(&other.0));
    for (from, to) in order {
        while around.last().is_some_and(|(_, until)| *until <= from + ROUNDING) {
            around.pop();
        }
        if let Some((since, until)) = around.last() {
            assert!(to <= until + ROUNDING, "{from}..{to} overlaps {since}..{until}");
        }
        around.push((from, to));
    }
}

/// Checks that a picture is XML without a script and that everything in it is placed. Returns all its text.
pub(crate) fn timeline(text: &str) -> String {
    let picture = roxmltree::Document::parse(text).expect("a picture is XML");
    let root = picture.root_element();
    assert_eq!((root.tag_name().name(), root.tag_name().namespace()), ("svg", Some("http://www.w3.org/2000/svg")));
    assert!(!picture.descendants().any(|node| node.tag_name().name() == "script"));
    for node in picture.descendants() {
        for attribute in node.attributes() {
            let value = attribute.value();
            assert!(!value.contains("NaN") && !value.contains("inf"), "{}={value:?}", attribute.name());
        }
    }
    let words = picture.descendants().filter(|node| matches!(node.tag_name().name(), "text" | "tspan" | "title"));
    words.filter_map(|node| node.text()).map(|text| text.trim().to_owned() + "\n").collect()
}
