//! Telling a person or a program what happened: pure functions of the events of a run.
//!
//! Knows nothing of processes or of the library: a report can be made of any list of [`Event`]s.

pub(crate) mod drawing;
mod event;
mod jsonl;
mod lanes;
mod language;
mod meaning;
mod pictures;
mod post;
mod spans;
#[cfg(test)]
mod tests;
mod text;
mod timeline;
mod trace;

use std::io::{self, IsTerminal, Write};

pub use event::{Event, Fact, Link, RUNNER, Verdict};
pub use language::Language;
pub(crate) use language::duration;
pub(crate) use pictures::Pictures;
#[cfg(test)]
pub(crate) use tests::well_formed;

/// Turns events into output, one at a time, as they happen.
pub(crate) trait Reporter {
    /// Shows one event at once.
    ///
    /// # Errors
    /// What writing says; a reader that went away is [`io::ErrorKind::BrokenPipe`].
    fn event(&mut self, event: &Event) -> io::Result<()>;
}

/// The form of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs: JSON Lines
    Json,
}

/// When a report has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Color {
    /// Whether to use colours on an output that is a terminal, or is none.
    pub(crate) fn is_wanted(self, is_terminal: bool) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self == Color::Always || (self == Color::Auto && is_terminal && !plain)
    }
}

/// The reporter for stdout.
pub(crate) fn to_stdout(format: Format, language: Language, color: Color) -> Box<dyn Reporter> {
    let stdout = io::stdout();
    let is_terminal = stdout.is_terminal();
    match format {
        Format::Json => Box::new(jsonl::JsonLines::new(stdout)),
        Format::Text => {
            let colored = color.is_wanted(is_terminal);
            let progress = is_terminal && io::stderr().is_terminal();
            Box::new(text::Text::new(Box::new(stdout) as Box<dyn Write>, language, colored, progress))
        }
    }
}
