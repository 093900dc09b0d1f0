//! The end of a run: why it ended, what kept its workers from finishing, and its outcome.

use std::io;

use anyhow::{Context, anyhow};

use crate::outcome::Outcome;
use crate::process::{Ended, StopSignal};
use crate::report::{AnyFact, Event, Loss, RUNNER, Reason, Reporter};

/// Why the run was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Asked(StopSignal),
    ReaderGone,
    /// By the person who watched it.
    Ended,
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
    /// What happened to these, or to one that could not be started.
    pub(crate) loss: Option<Loss>,
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

    /// Whether a count of what was done shows anything: there is something, or no death prevented it.
    pub(crate) fn shows(&self, done: u64) -> bool {
        done > 0 || self.died.is_empty()
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
        let died = names.iter().map(|&name| name.to_owned()).collect();
        Completion { started: 10, died, loss: Some(Loss::Killed), stopped: None }
    }

    /// Ten workers that were stopped early.
    #[cfg(test)]
    pub(crate) fn cut() -> Self {
        Completion { started: 10, stopped: Some(Reason::Cut), ..Completion::default() }
    }
}

/// How many different ends of workers are described; more are counted.
const MOST_DESCRIBED: usize = 5;

/// The workers that died unexpectedly: those that ended in the same way are described once.
#[derive(Debug, Default)]
pub(super) struct UnexpectedExits(Vec<UnexpectedExit>);

#[derive(Debug)]
struct UnexpectedExit {
    /// How it ended, without the worker's name.
    ended: Ended,
    /// The description of the first of them.
    described: String,
    /// How many others ended like that.
    others: usize,
}

impl UnexpectedExits {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn note(&mut self, worker: &str, pid: u32, ended: &Ended) {
        let described = match &ended.failure {
            Some(failure) => failure.to_string(),
            None => format!("worker {worker} (process {pid}) died unexpectedly: {}", ended.status),
        };
        let mut ended = ended.clone();
        if let Some(failure) = &mut ended.failure {
            failure.worker.clear();
        }
        match self.0.iter_mut().find(|known| known.ended == ended) {
            Some(known) => known.others += 1,
            None => self.0.push(UnexpectedExit { ended, described, others: 0 }),
        }
    }

    /// Returns an error for each of the first ways in which workers ended, and one for all the rest.
    pub(super) fn into_errors(self) -> Vec<anyhow::Error> {
        let more = |count: usize| if count == 1 { "1 more worker".to_owned() } else { format!("{count} more workers") };
        let rest: usize = self.0.iter().skip(MOST_DESCRIBED).map(|exit| 1 + exit.others).sum();
        let described = self.0.into_iter().take(MOST_DESCRIBED).map(|exit| match exit.others {
            0 => anyhow!(exit.described),
            others => anyhow!("{} (and {})", exit.described, more(others)),
        });
        described.chain((rest > 0).then(|| anyhow!("{} died unexpectedly", more(rest)))).collect()
    }
}

/// The end of a run without workers: only its summary is missing.
pub(crate) struct RunEnd {
    pub(super) reporter: Box<dyn Reporter + Send>,
    pub(super) cut: Option<Cut>,
    /// Whether all workers were blocked, in an exploration.
    pub(crate) is_deadlock: bool,
    /// The process ID that is shown of the runner.
    pub(super) pid: u32,
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
        Event { at_us: self.at_us, worker: RUNNER.to_owned(), pid: self.pid, fact: fact.into() }
    }

    /// Shows the last event and returns the outcome. `is_broken` is whether a guaranteed claim was false.
    pub(crate) fn conclude(&mut self, last: &Event, is_broken: bool) -> anyhow::Result<Outcome> {
        if !self.cut.is_some_and(Cut::is_silent) {
            match self.reporter.event(last) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.cut = Some(Cut::ReaderGone),
                shown => shown.context("cannot show the summary on stdout")?,
            }
        }
        Ok(match self.cut {
            Some(Cut::ReaderGone) => Outcome::ReaderGone,
            Some(Cut::ReportLost) => Outcome::MachineryFailed,
            _ if is_broken => Outcome::Broken,
            Some(Cut::Asked(signal)) => Outcome::Stopped(signal),
            _ if self.has_unexpected_exits => Outcome::MachineryFailed,
            _ if self.completion.stopped == Some(Reason::Machinery) => Outcome::MachineryFailed,
            None | Some(Cut::Ended) => Outcome::Fine,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{ExitStatus, FailureKind, WorkerFailure};

    fn errors(exits: &[(&str, ExitStatus, Option<&str>)]) -> Vec<String> {
        let mut unexpected = UnexpectedExits::default();
        for (pid, (worker, status, message)) in exits.iter().enumerate() {
            let failure = message.map(|message| WorkerFailure {
                worker: (*worker).to_owned(),
                ..WorkerFailure::new(FailureKind::Error, message.to_owned())
            });
            unexpected.note(worker, pid as u32, &Ended::of(*status, failure));
        }
        unexpected.into_errors().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn workers_that_ended_alike_are_told_of_once() {
        let (failed, killed) = (ExitStatus::Code(1), ExitStatus::Signal(9));
        assert_eq!(errors(&[]), Vec::<String>::new());
        assert_eq!(
            errors(&[
                ("a", failed, Some("it is full")),
                ("b", killed, None),
                ("c", failed, Some("it is full")),
                ("d", failed, Some("it is empty")),
                ("e", failed, Some("it is full")),
                ("f", killed, None),
            ]),
            [
                "worker a failed: it is full (and 2 more workers)",
                "worker b (process 1) died unexpectedly: signal 9 (SIGKILL) (and 1 more worker)",
                "worker d failed: it is empty",
            ]
        );
        let codes: Vec<_> = (1..=60).map(|code| ("a", ExitStatus::Code(code), None)).collect();
        let said = errors(&codes);
        assert_eq!(
            (said.len(), said[MOST_DESCRIBED].as_str()),
            (MOST_DESCRIBED + 1, "55 more workers died unexpectedly")
        );
    }
}
