//! The end of a run: why it ended, what kept its workers from finishing, and its outcome.

use std::io;

use anyhow::Context;

use crate::outcome::Outcome;
use crate::process::StopSignal;
use crate::report::{AnyFact, Event, RUNNER, Reason, Reporter};

/// Why the run was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Asked(StopSignal),
    ReaderGone,
    /// The report could not be written; the error was already returned.
    ReportLost,
}

impl Cut {
    /// Returns whether there is nothing left to report to.
    pub(super) fn is_silent(self) -> bool {
        matches!(self, Cut::ReaderGone | Cut::ReportLost)
    }

    pub(super) fn reason(self) -> Reason {
        if self == Cut::ReportLost { Reason::Machinery } else { Reason::Cut }
    }
}

/// What kept workers from finishing their part, if anything did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Completion {
    /// How many workers were started.
    pub(crate) started: usize,
    /// The names of those that died or failed before they were asked to end.
    pub(crate) died: Vec<String>,
    /// Why the run was cut short; unfinished work then counts against no worker.
    pub(crate) stopped: Option<Reason>,
}

impl Completion {
    /// Returns how many workers died or failed.
    pub(crate) fn died(&self) -> usize {
        self.died.len()
    }

    /// Returns how many of these have a name that begins with `kind`.
    pub(crate) fn died_as(&self, kind: &str) -> usize {
        self.died.iter().filter(|name| name.starts_with(kind)).count()
    }

    /// Returns whether every worker ended in order.
    pub(crate) fn is_regular(&self) -> bool {
        self.died.is_empty() && self.stopped.is_none()
    }

    /// Whether some workers died, and others were left to finish what these began.
    pub(crate) fn has_survivors(&self) -> bool {
        self.died() > 0 && self.died() < self.started && self.stopped.is_none()
    }

    /// Whether every worker died, or failed.
    pub(crate) fn all_died(&self) -> bool {
        self.died() > 0 && self.died() >= self.started
    }

    /// Returns whether `count` workers finished, or died while others continued.
    pub(crate) fn accounts_for(&self, finished: u64, count: u64) -> bool {
        finished == count || (finished + self.died() as u64 >= count && !self.all_died())
    }

    /// How many workers may have been ended in the middle of something.
    pub(crate) fn interrupted(&self) -> usize {
        if self.stopped.is_some() { self.started } else { self.died() }
    }

    /// Ten workers of which some died.
    #[cfg(test)]
    pub(crate) fn deaths(names: &[&str]) -> Self {
        Completion { started: 10, died: names.iter().map(|&name| name.to_owned()).collect(), stopped: None }
    }

    /// Ten workers that were stopped early.
    #[cfg(test)]
    pub(crate) fn cut() -> Self {
        Completion { started: 10, died: Vec::new(), stopped: Some(Reason::Cut) }
    }
}

/// The end of a run without workers: only its summary is missing.
pub(crate) struct RunEnd {
    pub(super) reporter: Box<dyn Reporter>,
    pub(super) cut: Option<Cut>,
    /// The time of the end, in microseconds since the start.
    pub(crate) at_us: u64,
    /// What kept workers from finishing.
    pub(crate) completion: Completion,
    /// Whether workers died unexpectedly.
    pub(crate) has_unexpected_exits: bool,
    /// Everything that failed: the scenario itself, workers that died unexpectedly, and kills that did not happen.
    pub(crate) failures: Vec<anyhow::Error>,
}

impl RunEnd {
    /// Returns an event of the runner, at the end of the run.
    pub(crate) fn event(&self, fact: impl Into<AnyFact>) -> Event {
        Event { at_us: self.at_us, worker: RUNNER.to_owned(), pid: std::process::id(), fact: fact.into() }
    }

    /// Shows the last event and returns the outcome. `is_broken` is whether a guaranteed claim was false.
    pub(crate) fn conclude(&mut self, last: &Event, is_broken: bool) -> anyhow::Result<Outcome> {
        if !self.cut.is_some_and(Cut::is_silent) {
            match self.reporter.event(last) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.cut = Some(Cut::ReaderGone),
                shown => shown.context("cannot write the summary to stdout")?,
            }
        }
        Ok(match self.cut {
            Some(Cut::ReaderGone) => Outcome::ReaderGone,
            Some(Cut::ReportLost) => Outcome::MachineryFailed,
            _ if is_broken => Outcome::Broken,
            Some(Cut::Asked(signal)) => Outcome::Stopped(signal),
            None if self.has_unexpected_exits || self.completion.stopped.is_some() => Outcome::MachineryFailed,
            None => Outcome::Fine,
        })
    }
}
