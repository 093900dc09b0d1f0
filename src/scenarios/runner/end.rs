//! The end of a run: why it ended, its summary, and its outcome.

use std::io;

use anyhow::Context;

use crate::outcome::Outcome;
use crate::process::StopSignal;
use crate::report::{Event, Pictures, RUNNER, Reason, Reporter, Summary, Verdict};
use crate::scenarios::clock::Clock;
use crate::scenarios::{CheckResult, Completion, Scenario};

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

/// The end of a run without workers: only its summary is missing.
pub(crate) struct RunEnd {
    pub(super) reporter: Box<dyn Reporter>,
    pub(super) clock: Clock,
    pub(super) cut: Option<Cut>,
    /// Workers that died unexpectedly, and how.
    pub(crate) unexpected_exits: Vec<String>,
    /// The requested kills that did not happen, and why.
    pub(crate) missed_kills: Vec<String>,
    /// What kept workers from finishing.
    pub(crate) completion: Completion,
}

impl RunEnd {
    /// Shows the summary and returns the outcome.
    pub(crate) fn sum_up<S: Scenario>(
        mut self,
        result: CheckResult,
        strict: bool,
        pictures: &mut Pictures,
    ) -> anyhow::Result<Outcome> {
        let elapsed_us = self.clock.now_us();
        let verdict = result.verdict(&self.completion);
        let stopped = self.completion.stopped;
        let unfinished = if self.unexpected_exits.is_empty() { Reason::Killed } else { Reason::Machinery };
        let CheckResult { guaranteed, allowance, facts, advice, .. } = result;
        let fact = Summary {
            scenario: S::NAME,
            claim: S::CLAIM,
            verdict,
            guaranteed,
            needs: S::NEEDS,
            allowance: allowance.filter(|_| verdict == Verdict::Held),
            reason: stopped.or((verdict == Verdict::NotShown).then_some(unfinished)),
            elapsed_us,
            facts,
            advice: advice.filter(|_| verdict != Verdict::NotShown),
        };
        let summary =
            Event { at_us: elapsed_us, worker: RUNNER.to_owned(), pid: std::process::id(), fact: fact.into() };
        pictures.collect(&summary);
        if !self.cut.is_some_and(Cut::is_silent) {
            match self.reporter.event(&summary) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.cut = Some(Cut::ReaderGone),
                shown => shown.context("cannot write the summary to stdout")?,
            }
        }
        Ok(match self.cut {
            Some(Cut::ReaderGone) => Outcome::ReaderGone,
            Some(Cut::ReportLost) => Outcome::MachineryFailed,
            _ if verdict == Verdict::Violated && (guaranteed || strict) => Outcome::Broken,
            Some(Cut::Asked(signal)) => Outcome::Stopped(signal),
            None if !self.unexpected_exits.is_empty() || stopped.is_some() => Outcome::MachineryFailed,
            None => Outcome::Fine,
        })
    }
}
