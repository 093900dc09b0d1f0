//! The runner: starts workers, reports what they do, and handles every way in which a run ends.
//!
//! Workers report over one datagram channel; only the runner prints. A dead worker's messages are all in the channel,
//! so they are shown before its end. Events are shown in the order in which they happened: see [`Reorder`].

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use anyhow::Context;

use super::kill::{Kill, is_at};
use super::pace::Speed;
use super::worker::{Message, WorkerContext};
use crate::ipc::{
    DatagramReceiver, DatagramSender, Ended, Error, ExitStatus, Process, Role, StopSignal, StopSignals, datagrams,
    monotonic_ns,
};
use crate::outcome::Outcome;
use crate::report::{Event, Fact, LONGEST_WAIT_US, Pictures, RUNNER, Reason, Reorder, Reporter, Verdict};
use crate::sys::{Errno, Signal, fd};

use super::{CheckResult, Completion};

/// How long a worker that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);
/// How long after a worker's SIGTERM the runner's own may arrive: then it was sent to the whole process group.
const SIGNAL_GAP: Duration = Duration::from_millis(100);

/// The options of a run.
#[derive(Debug, Clone)]
pub(crate) struct RunOptions {
    pub(crate) seed: u64,
    pub(crate) speed: Speed,
    pub(crate) strict: bool,
    pub(crate) kills: Vec<Kill>,
    pub(crate) args: Vec<String>,
}

/// Why the run was cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Asked(StopSignal),
    ReaderGone,
    /// The report could not be written; the error was already returned.
    ReportLost,
}

impl Cut {
    /// Returns whether there is nothing left to report to.
    fn is_silent(self) -> bool {
        matches!(self, Cut::ReaderGone | Cut::ReportLost)
    }
}

/// A worker and its name.
struct Child {
    process: Process,
    name: String,
    /// Whether the run ends without waiting for it.
    daemon: bool,
}

/// A requested kill.
struct Asked {
    kill: Kill,
    state: Fate,
}

/// The progress of a requested kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The worker has not reported its moment.
    Awaited,
    /// It has, and kills itself: the worker with this index.
    Struck(u32),
    Dead,
}

/// A run in progress.
pub(crate) struct Runner<'a> {
    reporter: Box<dyn Reporter>,
    signals: &'a StopSignals,
    options: &'a RunOptions,
    began_ns: u64,
    outbox: DatagramSender<Message>,
    inbox: DatagramReceiver<Message>,
    /// Events that were reported and are not shown yet.
    order: Reorder,
    children: Vec<Child>,
    cut: Option<Cut>,
    /// Shutting down: worker exits are expected.
    stopping: bool,
    unexpected_exits: Vec<String>,
    /// The state of each requested kill.
    kills: Vec<Asked>,
    /// Workers that died before they were asked to end, by request or not.
    died: Vec<String>,
    /// Events shown since the scenario last asked.
    news: Vec<Event>,
    observer: &'a mut dyn FnMut(&Event),
}

impl<'a> Runner<'a> {
    /// Creates the runner for one run. Every event goes to `observer` and to `reporter`.
    pub(crate) fn new(
        reporter: Box<dyn Reporter>,
        signals: &'a StopSignals,
        options: &'a RunOptions,
        observer: &'a mut dyn FnMut(&Event),
    ) -> anyhow::Result<Self> {
        let (outbox, inbox) = datagrams()?;
        let (children, unexpected_exits, died, began_ns) = (Vec::new(), Vec::new(), Vec::new(), monotonic_ns());
        let (cut, stopping) = (None, false);
        let asked = |kill: &Kill| Asked { kill: kill.clone(), state: Fate::Awaited };
        Ok(Runner {
            kills: options.kills.iter().map(asked).collect(),
            reporter,
            signals,
            options,
            began_ns,
            outbox,
            inbox,
            order: Reorder::default(),
            children,
            cut,
            stopping,
            unexpected_exits,
            died,
            news: Vec::new(),
            observer,
        })
    }

    /// Returns the microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        (monotonic_ns() - self.began_ns) / 1_000
    }

    /// Reports an event of the runner, now.
    pub(crate) fn emit(&mut self, fact: Fact) -> anyhow::Result<()> {
        self.emit_at(self.now_us(), fact)
    }

    /// Reports an action of the runner, with the time before it began, so that its consequences are later.
    pub(crate) fn emit_at(&mut self, at_us: u64, fact: Fact) -> anyhow::Result<()> {
        let event = Event { at_us, worker: RUNNER.to_owned(), pid: std::process::id(), fact };
        self.order.push(event, self.now_us());
        self.listen()
    }

    fn show(&mut self, event: Event) -> anyhow::Result<()> {
        (self.observer)(&event);
        if self.cut.is_some_and(Cut::is_silent) {
            return Ok(());
        }
        let shown = self.reporter.event(&event);
        self.news.push(event);
        let Err(error) = shown else { return Ok(()) };
        let reader_gone = error.kind() == io::ErrorKind::BrokenPipe;
        self.cut = Some(if reader_gone { Cut::ReaderGone } else { Cut::ReportLost });
        if reader_gone { Ok(()) } else { Err(error).context("cannot write the report to stdout") }
    }

    /// Returns whether the run was cut short: then a scenario starts nothing more.
    pub(crate) fn is_cut(&mut self) -> bool {
        if self.cut.is_none() {
            self.cut = self.signals.asked().map(Cut::Asked);
        }
        self.cut.is_some()
    }

    /// Shows the status of the run, in English or in Chinese, if there is a status line.
    pub(crate) fn show_status(&mut self, en: &str, zh: &str) {
        self.reporter.show_status(en, zh);
    }

    /// Becomes readable on a stop request: for a scenario that waits for something else.
    pub(crate) fn stop_bell(&self) -> BorrowedFd<'a> {
        self.signals.as_fd()
    }

    /// Returns whether workers are to be killed in this run.
    pub(crate) fn kills_are_asked_for(&self) -> bool {
        !self.kills.is_empty()
    }

    /// Starts a worker of the scenario.
    pub(crate) fn spawn<R: Role>(
        &mut self,
        name: &str,
        daemon: bool,
        role: impl FnOnce(WorkerContext) -> R,
    ) -> anyhow::Result<()> {
        if self.is_cut() {
            return Ok(());
        }
        let at_us = self.now_us();
        let worker = self.children.len() as u32;
        let RunOptions { seed, speed, .. } = *self.options;
        let mut asked = self.kills.iter().filter(|asked| asked.kill.worker == name && asked.state == Fate::Awaited);
        let ctx = WorkerContext {
            events: self.outbox.clone(),
            name: name.to_owned(),
            worker,
            began_ns: self.began_ns,
            seed,
            speed,
            kill_at: asked.next().map(|asked| asked.kill.moment.clone()),
        };
        let process = Process::spawn(name, role(ctx));
        let process = process.map_err(with_remedy)?;
        let fact = Fact::WorkerStarted { role: R::NAME.to_owned(), daemon };
        let event = Event { at_us, worker: name.to_owned(), pid: process.pid(), fact };
        self.children.push(Child { process, name: name.to_owned(), daemon });
        self.order.push(event, self.now_us());
        self.listen()
    }

    /// Shows events until every non-daemon worker has ended, or the run is cut short.
    pub(crate) fn watch(&mut self) -> anyhow::Result<()> {
        self.watch_with(&mut |_| {})
    }

    /// As [`watch`](Self::watch), and also passes the news to the scenario.
    pub(crate) fn watch_with(&mut self, hear: &mut dyn FnMut(&[Event])) -> anyhow::Result<()> {
        while self.is_anybody_expected() && !self.is_cut() {
            self.wait(None)?;
            self.catch_up()?;
            hear(&std::mem::take(&mut self.news));
        }
        Ok(())
    }

    /// Shows events as long as the scenario wants, which is asked after all news; or until the run is cut short.
    pub(crate) fn watch_while(
        &mut self,
        mut go_on: impl FnMut(&[Event]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        while !self.is_cut() && go_on(&std::mem::take(&mut self.news))? {
            self.wait(after(Duration::from_millis(100)))?;
            self.catch_up()?;
        }
        Ok(())
    }

    /// As [`watch`](Self::watch), but at most for `at_speed_one`, scaled to the run's speed.
    pub(crate) fn watch_for(&mut self, at_speed_one: Duration) -> anyhow::Result<()> {
        let until = Instant::now().checked_add(self.options.speed.scaled(at_speed_one));
        let left = || until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        while self.is_anybody_expected() && !self.is_cut() && !left().is_zero() {
            self.wait(after(left()))?;
            self.catch_up()?;
        }
        Ok(())
    }

    /// As [`watch`](Self::watch), and calls `look` after all news, at least every `period`.
    pub(crate) fn watch_and(
        &mut self,
        period: Duration,
        mut look: impl FnMut(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        while self.is_anybody_expected() && !self.is_cut() {
            self.wait(after(period))?;
            self.catch_up()?;
            look(self)?;
            self.news.clear();
        }
        Ok(())
    }

    /// Shows everything reported so far, and returns it to the scenario.
    pub(crate) fn latest(&mut self) -> anyhow::Result<Vec<Event>> {
        self.listen()?;
        Ok(std::mem::take(&mut self.news))
    }

    fn is_anybody_expected(&self) -> bool {
        self.children.iter().any(|child| child.process.ended().is_none() && !child.daemon)
    }

    /// Returns the name of the worker with this process ID.
    pub(crate) fn name_of(&self, pid: u32) -> Option<&str> {
        self.children.iter().find(|child| child.process.pid() == pid).map(|child| child.name.as_str())
    }

    /// Shows everything reported so far, and what workers may still have to report of their latest actions: as long as
    /// the scenario wants, and at most as long as [`Reorder`] waits for it.
    pub(crate) fn settle(&mut self, mut go_on: impl FnMut(&[Event]) -> bool) -> anyhow::Result<()> {
        let began_us = self.now_us();
        while !self.is_cut() {
            let is_wanted = go_on(&std::mem::take(&mut self.news));
            let is_pending = self.order.oldest_us().is_some_and(|arrived_us| arrived_us <= began_us);
            if !(is_wanted || is_pending) || self.now_us() > began_us + LONGEST_WAIT_US {
                break;
            }
            self.wait(after(Duration::from_millis(10)))?;
            self.catch_up()?;
        }
        Ok(())
    }

    /// Sleeps until there is news, an event is due to be shown, or the time has passed.
    fn wait(&mut self, until_ns: Option<u64>) -> anyhow::Result<()> {
        let due = self.order.due_us().map(|due_us| Duration::from_micros(due_us.saturating_sub(self.now_us())));
        // An event that waits for its cause is checked again soon.
        let due_ns = due.and_then(|due| after(due.max(Duration::from_millis(1))));
        let until_ns = until_ns.into_iter().chain(due_ns).min();
        let running = self.children.iter().filter(|child| child.process.ended().is_none());
        let mut news: Vec<BorrowedFd<'_>> = running.map(|child| child.process.sentinel()).collect();
        news.push(self.inbox.as_fd());
        // A recorded signal keeps its descriptor readable: it is news only until it is handled.
        if self.cut.is_none() {
            news.push(self.signals.as_fd());
        }
        fd::wait_any_readable(&news, until_ns).context("cannot wait for the workers")?;
        Ok(())
    }

    /// Shows everything that was reported, and which workers have ended.
    fn catch_up(&mut self) -> anyhow::Result<()> {
        // A worker that has ended by now reported everything before: collected first, shown last.
        let ended: Vec<usize> = (0..self.children.len())
            .filter(|&index| self.children[index].process.ended().is_none() && !self.children[index].process.is_alive())
            .collect();
        if !ended.is_empty() {
            // The signal that ended them all may have been sent to the runner, too.
            self.is_cut();
        }
        self.listen()?;
        ended.into_iter().try_for_each(|index| self.exited(index))?;
        self.listen()
    }

    /// Receives all reports of the workers, and shows the events that are due.
    fn listen(&mut self) -> anyhow::Result<()> {
        while let Some(message) = self.inbox.try_receive()? {
            let fact = serde_json::from_str(&message.fact_json).context("a worker told something that is no event")?;
            let child = self.children.get(message.worker as usize).context("an unknown worker told something")?;
            let (worker, pid) = (child.name.clone(), child.process.pid());
            let mut asked = self.kills.iter_mut();
            let is_struck = |asked: &&mut Asked| asked.state == Fate::Awaited && asked.kill.worker == worker;
            if let Some(asked) = asked.find(is_struck).filter(|asked| is_at(&asked.kill.moment, &fact)) {
                asked.state = Fate::Struck(message.worker);
            }
            let now_us = self.now_us();
            self.order.push(Event { at_us: message.at_us, worker, pid, fact }, now_us);
        }
        let now_us = self.now_us();
        // When no worker is left to report, there is nothing to wait for.
        let is_over = !self.is_anybody_left();
        while let Some(event) = if is_over { self.order.pop_at_once() } else { self.order.pop(now_us) } {
            self.show(event)?;
        }
        Ok(())
    }

    fn exited(&mut self, index: usize) -> anyhow::Result<()> {
        let child = &mut self.children[index];
        let ended = child.process.join()?.clone();
        let is_success = ended.is_success();
        let Ended { status, failure, .. } = ended;
        let (worker, pid) = (child.name.clone(), child.process.pid());
        if status == ExitStatus::Signal(Signal::SIGTERM as i32) && !self.stopping && !self.is_cut() {
            // The only possible error is a bad descriptor: then it is as if nothing had arrived.
            let _ = fd::wait_readable(self.signals, after(SIGNAL_GAP));
        }
        let asked = self.kills.iter_mut().find(|asked| asked.state == Fate::Struck(index as u32));
        if let Some(asked) = asked.filter(|_| status == ExitStatus::Signal(Signal::SIGKILL as i32)) {
            asked.state = Fate::Dead;
            self.died.push(worker.clone());
        } else if !is_success && !self.stopping && !self.is_cut() {
            self.died.push(worker.clone());
            self.unexpected_exits.push(match &failure {
                Some(failure) => failure.to_string(),
                None => format!("worker {worker} (process {pid}) died unexpectedly: {status}"),
            });
        }
        let (exit_code, signal) = match status {
            ExitStatus::Code(code) => (Some(code), None),
            ExitStatus::Signal(signal) => (None, Some(signal)),
            ExitStatus::Unknown => (None, None),
        };
        let failure = failure.map(|failure| failure.to_string());
        let fact = Fact::WorkerExited { exit_code, signal, failure };
        let at_us = self.now_us();
        self.order.push(Event { at_us, worker, pid, fact }, at_us);
        Ok(())
    }

    /// Ends the remaining workers, waits for all, and shows their last reports: asks first, kills after a grace period.
    pub(crate) fn clear(&mut self) -> anyhow::Result<()> {
        self.stopping = true;
        let asked = self.end_with(Process::terminate);
        let until_ns = monotonic_ns() + GRACE.as_nanos() as u64;
        while self.is_anybody_left() && monotonic_ns() < until_ns {
            self.wait(after(Duration::from_millis(50)))?;
            self.catch_up()?;
        }
        let killed = self.end_with(Process::kill);
        // A worker that could not be killed is not waited for: it may never end.
        while killed.is_ok() && self.is_anybody_left() {
            self.wait(None)?;
            self.catch_up()?;
        }
        self.catch_up()?;
        asked.and(killed)
    }

    /// Ends the run: reports the rest, and returns how it went. All workers must have been cleared.
    ///
    /// `failed` is whether the scenario could not go on.
    pub(crate) fn close(mut self, failed: bool) -> RunEnd {
        self.is_cut();
        let Runner { reporter, began_ns, cut, unexpected_exits, kills, died, children, .. } = self;
        let stopped = match cut {
            Some(Cut::Asked(_) | Cut::ReaderGone) => Some(Reason::Cut),
            Some(Cut::ReportLost) => Some(Reason::Machinery),
            None => failed.then_some(Reason::Machinery),
        };
        let missed = kills.into_iter().filter(|asked| asked.state != Fate::Dead && cut.is_none());
        let missed = missed.map(|Asked { kill: Kill { worker, moment }, .. }| {
            format!("could not kill {worker}@{moment}: the moment never came")
        });
        let completion = Completion { started: children.len(), died, stopped };
        RunEnd { reporter, began_ns, cut, unexpected_exits, missed: missed.collect(), completion }
    }

    /// Applies `end` to all running workers, and returns the first error.
    fn end_with(&self, end: fn(&Process) -> crate::ipc::Result<()>) -> anyhow::Result<()> {
        let running = self.children.iter().filter(|child| child.process.ended().is_none());
        let ended = running.map(|child| end(&child.process).with_context(|| format!("cannot stop {}", child.name)));
        ended.fold(Ok(()), anyhow::Result::and)
    }

    fn is_anybody_left(&self) -> bool {
        self.children.iter().any(|child| child.process.ended().is_none())
    }
}

/// Returns the time `duration` from now on the monotonic clock; `None` is never.
fn after(duration: Duration) -> Option<u64> {
    u64::try_from(duration.as_nanos()).ok().and_then(|nanos| monotonic_ns().checked_add(nanos))
}

/// Adds what to do about the limits that starting many workers can exceed.
fn with_remedy(error: Error) -> anyhow::Error {
    let errno = match &error {
        Error::Start { source, .. } | Error::Os { source, .. } => source.raw_os_error().map(Errno::from_raw),
        _ => None,
    };
    let remedy = match errno {
        Some(Errno::EAGAIN) => "the limit on processes is reached (ulimit -u): start fewer, or raise the limit",
        Some(Errno::EMFILE | Errno::ENFILE) => {
            "the limit on open files is reached (ulimit -n): start fewer, or raise the limit"
        }
        Some(Errno::ENOMEM) => "the machine is out of memory: start fewer",
        _ => return error.into(),
    };
    anyhow::Error::new(error).context(remedy)
}

/// The end of a run without workers: only its summary is missing.
pub(crate) struct RunEnd {
    reporter: Box<dyn Reporter>,
    began_ns: u64,
    cut: Option<Cut>,
    /// Workers that died unexpectedly, and how.
    pub(crate) unexpected_exits: Vec<String>,
    /// The requested kills that did not happen, and why.
    pub(crate) missed: Vec<String>,
    /// What kept workers from finishing.
    pub(crate) completion: Completion,
}

impl RunEnd {
    /// Shows the summary and returns the outcome.
    pub(crate) fn sum_up(
        mut self,
        scenario: &str,
        result: CheckResult,
        strict: bool,
        pictures: &mut Pictures,
    ) -> anyhow::Result<Outcome> {
        let elapsed_us = (monotonic_ns() - self.began_ns) / 1_000;
        let verdict = result.verdict(&self.completion);
        let reason = match verdict {
            Verdict::NotShown if self.unexpected_exits.is_empty() => {
                Some(self.completion.stopped.unwrap_or(Reason::Killed))
            }
            Verdict::NotShown => Some(self.completion.stopped.unwrap_or(Reason::Machinery)),
            _ => self.completion.stopped,
        };
        let CheckResult { claim, guaranteed, allowance, facts, .. } = result;
        let summary = Fact::Summary {
            scenario: scenario.to_owned(),
            claim: claim.to_owned(),
            verdict,
            guaranteed,
            allowance: allowance.filter(|_| verdict == Verdict::Held),
            reason,
            elapsed_us,
            facts: facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
        };
        let event = Event { at_us: elapsed_us, worker: RUNNER.to_owned(), pid: std::process::id(), fact: summary };
        pictures.collect(&event);
        if !self.cut.is_some_and(Cut::is_silent) {
            match self.reporter.event(&event) {
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.cut = Some(Cut::ReaderGone),
                shown => shown.context("cannot write the summary to stdout")?,
            }
        }
        Ok(match self.cut {
            Some(Cut::ReaderGone) => Outcome::ReaderGone,
            Some(Cut::ReportLost) => Outcome::MachineryFailed,
            _ if verdict == Verdict::Violated && (guaranteed || strict) => Outcome::Broken,
            Some(Cut::Asked(signal)) => Outcome::Stopped(signal),
            None if !self.unexpected_exits.is_empty() || self.completion.stopped.is_some() => Outcome::MachineryFailed,
            None => Outcome::Fine,
        })
    }
}
