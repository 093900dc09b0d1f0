//! JSON output of a chaos run: one object per row, and one for the whole run.

use serde_json::{Value, json};

use super::case::Row;
use super::effect::{Effect, Fault};
use super::findings::{Findings, Total};
use super::kill::Point;
use super::python::Python;
use crate::report::Verdict;

/// Returns a row as a one-line object. `python` is present, though possibly null, if Python was requested.
pub(super) fn row(row: &Row, findings: &Findings, python: Option<&Python>) -> String {
    let fault = |(point, fault): &(Point, Fault)| {
        let point = match point {
            Point::After(count) => json!(count),
            Point::Asleep => json!("asleep"),
            Point::Woken => json!("woken"),
        };
        json!({ "after_instructions": point, "fault": fault })
    };
    let seen = |effect: Effect| findings.effects[effect as usize];
    let mut object = json!({
        "object": row.object,
        "killed": row.place[0],
        "kills": findings.kills,
        "instructions": findings.instructions,
        "undone": seen(Effect::Undone),
        "handed_on": seen(Effect::HandedOn),
        "done": seen(Effect::Done),
        "survivors": row.survivors[0],
        "slowest_us": findings.slowest_ns / 1_000,
        "repeated": findings.repeated,
        "verdict": verdict(findings.faults.is_empty()),
        "faults": findings.faults.iter().map(fault).collect::<Vec<_>>(),
    });
    if let Some(python) = python {
        object["python"] = python_result(row.python, python);
        if row.other_python.is_some() {
            object["other_python"] = python_result(row.other_python, python);
        }
    }
    format!("{object}\n")
}

/// Returns the results of a kill in Python: the worst outcome, and the count of each.
fn python_result(kill: Option<&str>, python: &Python) -> Value {
    let Some(counts) = python.of(kill) else { return Value::Null };
    let mut object = json!({ "kill": kill, "outcome": counts.worst(), "kills": counts.kills() });
    if let (Some(object), Value::Object(counts)) = (object.as_object_mut(), json!(counts)) {
        object.extend(counts);
    }
    object
}

/// Returns the last line.
pub(super) fn total(total: &Total) -> String {
    let mut object = json!(total);
    // A run that was stopped early may not have judged a single row.
    object["verdict"] = json!(match total.holds() {
        true if total.rows == 0 => Verdict::NotShown,
        holds => verdict(holds),
    });
    if let Some(python) = &total.python {
        object["python"] = json!({
            "version": python.version,
            "start_method": "fork",
            "kills": python.kills(),
            "most_kills": python.most_kills,
            "patience_us": python.patience_ms * 1_000,
            "elapsed_us": python.elapsed_ns / 1_000,
        });
    }
    format!("{object}\n")
}

fn verdict(holds: bool) -> Verdict {
    if holds { Verdict::Held } else { Verdict::Violated }
}
