//! JSON Lines, for programs: one object per line, and nothing else on stdout.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::Reporter;
use super::event::{Event, Fact};

/// Writes events as JSON Lines.
pub(super) struct JsonLines<W> {
    out: W,
    quiet: bool,
}

impl<W: Write> JsonLines<W> {
    pub(super) fn new(out: W) -> Self {
        JsonLines { out, quiet: false }
    }

    /// Shows only the summary from now on.
    pub(super) fn quiet(self) -> Self {
        JsonLines { quiet: true, ..self }
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        if self.quiet && !matches!(event.fact, Fact::Summary { .. }) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.out.write_all(&line)?;
        self.out.flush()
    }
}

/// Returns the name and the fields of a fact, as in a line.
pub(super) fn fields_of(fact: &Fact) -> (String, Map<String, Value>) {
    match serde_json::to_value(fact) {
        Ok(Value::Object(mut fields)) => {
            let name = fields.shift_remove("event");
            (name.and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default(), fields)
        }
        other => unreachable!("a fact is an object with a name: {other:?}"),
    }
}
