//! JSON Lines, for programs: one object per line, and nothing else on stdout.

use std::io::{self, Write};

use super::Reporter;
use super::event::Event;
use super::frame::Summary;

/// Writes events as JSON Lines.
pub(super) struct JsonLines<W> {
    out: W,
    quiet: bool,
}

impl<W: Write> JsonLines<W> {
    /// A quiet one shows only the summary.
    pub(super) fn new(out: W, quiet: bool) -> Self {
        JsonLines { out, quiet }
    }
}

impl<W: Write> Reporter for JsonLines<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        let Event { at_us, worker, pid, fact } = event;
        if self.quiet && !event.is::<Summary>() {
            return Ok(());
        }
        let worker = serde_json::to_string(worker)?;
        // The fact is an object, too: its fields follow those of the event.
        let fields = &fact.json()[1..];
        self.out.write_all(format!("{{\"at_us\":{at_us},\"worker\":{worker},\"pid\":{pid},{fields}\n").as_bytes())?;
        self.out.flush()
    }
}
