//! Reports to people and to programs: pure functions of the events of a run.
//!
//! Independent of processes and of the library: a report can be made of any list of [`Event`]s.

pub(crate) mod cells;
mod class;
pub(crate) mod control;
pub(crate) mod drawing;
mod event;
mod frame;
mod html;
mod jsonl;
mod lanes;
mod language;
#[cfg(feature = "live")]
pub(crate) mod live;
mod matching;
mod model;
mod order;
mod picture_file;
mod pictures;
mod scene;
mod schedule;
mod screen;
#[cfg(test)]
mod tests;
mod text;
mod things;
mod timeline;
mod trace;
mod wording;

use std::io::{self, IsTerminal};

pub(crate) use class::{Class, Key, Noun, Severity, Turn};
pub(crate) use event::{AnyFact, Event, Fact, Parse, RUNNER};
pub(crate) use frame::{
    Allowance, Counter, Explored, Loss, Reason, RunStarted, Summary, Verdict, WorkerExited, WorkerStarted, counter,
};
pub(crate) use language::{Language, counted, duration, of_all, of_all_zh};
pub(crate) use order::{LONGEST_WAIT_US, Reorder};
pub(crate) use picture_file::{Kind as PictureKind, PictureFile};
pub(crate) use pictures::Pictures;
pub(crate) use schedule::{ScheduleStep, ShownSchedule};
pub(crate) use screen::{Screen, columns};
#[cfg(test)]
pub(crate) use tests::well_formed;
pub(crate) use text::{quoted, write_above};
pub(crate) use things::{Shape, Tasks, Thing, Things};
pub(crate) use wording::{Names, Notes, Wording, say};

/// Turns events into output, one at a time, as they happen.
pub(crate) trait Reporter {
    /// Shows one event immediately.
    ///
    /// # Errors
    /// The error of the write; a reader that went away is [`io::ErrorKind::BrokenPipe`].
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Shows a schedule of an exploration: its events to programs, its steps to people.
    ///
    /// # Errors
    /// As [`event`](Self::event).
    fn schedule(&mut self, schedule: &ShownSchedule) -> io::Result<()> {
        schedule.events.iter().try_for_each(|event| self.event(event))
    }

    /// Sets whether events are not shown until the summary.
    fn mute(&mut self, _is_muted: bool) {}

    /// Shows the status of the run, in English or in Chinese, if there is a status line.
    fn show_status(&mut self, _en: &str, _zh: &str) {}
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
    /// Returns whether to use colours on the output, given whether it is a terminal.
    pub(crate) fn is_wanted(self, is_terminal: bool) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        self == Color::Always || (self == Color::Auto && is_terminal && !plain)
    }
}

/// Returns the reporter for stdout. A quiet one shows only the summary. A person who `is_asked` has no status line.
pub(crate) fn to_stdout(
    format: Format,
    language: Language,
    color: Color,
    quiet: bool,
    is_asked: bool,
) -> Box<dyn Reporter + Send> {
    if format == Format::Json {
        return Box::new(jsonl::JsonLines::new(Screen::stdout(), quiet));
    }
    let is_terminal = io::stdout().is_terminal();
    let screen = Screen::for_people(language);
    let is_ascii = screen.is_ascii();
    let has_status = !quiet && !is_asked && is_terminal && io::stderr().is_terminal();
    let status_line = has_status.then(|| text::status_line(is_ascii));
    let mut text = text::Text::new(screen, language, color.is_wanted(is_terminal), status_line);
    (text.quiet, text.is_ascii, text.columns) = (quiet, is_ascii, None);
    Box::new(text)
}
