//! The runner: starts workers, shows what they report, and handles every way in which a run ends.
//!
//! | file | content |
//! |---|---|
//! | `child` | a worker process |
//! | `requests` | what a person who watches the run asks of it |
//! | `kill` | `--kill`: the requested deaths |
//! | `end` | why a run ends, what kept its workers from finishing, and its outcome |
//!
//! Workers report over one datagram channel; only the runner prints. A dead worker's messages are all in the channel,
//! so they are shown before its end. Events are shown in the order in which they happened: see [`Reorder`].

mod child;
mod end;
mod kill;
mod requests;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use anyhow::Context;

use super::clock::{Clock, Pause};
use super::speed::Speed;
use super::worker::{Message, PoolContext, WorkerContext};
use crate::ipc::deadline::Deadline;
use crate::ipc::operation::ObjectId;
use crate::ipc::process::scheduler::{self, Scheduler};
use crate::pipe::{DatagramReceiver, DatagramSender, unscheduled_datagrams};
use crate::pool::WorkerEvent;
use crate::process::{ExitStatus, StopSignals};
use crate::report::control::Control;
use crate::report::{
    AnyFact, Event, LONGEST_WAIT_US, Language, Loss, Names, Parse, RUNNER, Reason, Reorder, Reporter, WorkerStarted,
};
use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::Wakeup;
use crate::sys::{Signal, fd};
use crate::{Error, Process, Role};
use child::Child;
pub(super) use child::codes;
pub(crate) use end::{Completion, RunEnd};
use end::{Cut, UnexpectedExits};
pub(crate) use kill::Kill;
use kill::RequestedKills;

/// How long a worker that was asked to end may take before it is killed.
const GRACE: Duration = Duration::from_secs(1);
/// How long after a worker's SIGTERM the runner's own may arrive: then it was sent to the whole process group.
const SIGNAL_GAP: Duration = Duration::from_millis(100);
/// The interval at which a scenario that waits for something other than an event is polled.
const CHECK_EVERY: Duration = Duration::from_millis(50);

/// What a step of an exploration adds to the time that is shown.
const STEP: Duration = Duration::from_millis(1);
/// The process ID that is shown of the runner in an exploration, where those of the workers count from 1.
const RUNNER_EXPLORED: u32 = 0;

/// The options of a run.
#[derive(Clone)]
pub(crate) struct RunOptions {
    pub(crate) seed: u64,
    pub(crate) speed: Speed,
    pub(crate) strict: bool,
    pub(crate) kills: Vec<Kill>,
    /// The schedule to replay.
    pub(crate) schedule: Option<String>,
    /// The language in which a person is asked for each step of the schedule, if one is.
    pub(crate) step: Option<Language>,
    /// What a person who watches the run asks of it, if one does.
    pub(crate) control: Option<Control>,
    pub(crate) args: Vec<String>,
}

/// A run in progress.
pub(crate) struct Runner<'a> {
    reporter: Box<dyn Reporter + Send>,
    observer: &'a mut dyn FnMut(&Event),
    /// How to read what the workers of the scenario report.
    facts: &'static [Parse],
    names: Names,
    signals: &'a StopSignals,
    options: &'a RunOptions,
    /// Decides which worker runs, in an exploration.
    scheduler: Option<Rc<dyn Scheduler>>,
    clock: Clock,
    sender: DatagramSender<Message>,
    receiver: DatagramReceiver<Message>,
    /// Events that were reported and are not shown yet.
    order: Reorder,
    /// Events that were shown and that the scenario has not seen.
    shown: Vec<Event>,
    /// All workers, in the order of start.
    children: Vec<Child>,
    pool: Option<PoolReports>,
    kills: RequestedKills,
    cut: Option<Cut>,
    /// Shutting down: worker exits are expected.
    stopping: bool,
    /// Workers that died before they were asked to end, by request or not.
    died: Vec<String>,
    /// What happened to these, or to one that could not be started.
    loss: Option<Loss>,
    unexpected_exits: UnexpectedExits,
    /// The indices of the workers that a person has stopped.
    stopped: BTreeSet<usize>,
}

/// What a pool tells of its workers, with the time, and what wakes the runner for it.
struct PoolReports {
    told: mpsc::Receiver<(u64, WorkerEvent)>,
    wakeup: Arc<Wakeup>,
    /// The role of its workers.
    role: &'static str,
}

impl<'a> Runner<'a> {
    /// Creates the runner for one run, in which workers report `facts`, and workers and things have these names. Every event
    /// goes to `observer` and to `reporter`.
    pub(crate) fn new(
        reporter: Box<dyn Reporter + Send>,
        signals: &'a StopSignals,
        options: &'a RunOptions,
        observer: &'a mut dyn FnMut(&Event),
        facts: &'static [Parse],
        names: Names,
    ) -> anyhow::Result<Self> {
        let (sender, receiver) = unscheduled_datagrams()?;
        let (clock, scheduler) = (Clock::start(options.speed)?, scheduler::current());
        if let Some(scheduler) = &scheduler {
            clock.set_time(Duration::ZERO);
            let clock = clock.clone();
            scheduler.set_clock(Box::new(move |step, now_ns| {
                clock.advance(STEP * step as u32 + Duration::from_nanos(now_ns));
            }));
        }
        if let Some(control) = &options.control {
            control.set_stop(signals.as_fd())?;
            let clock = clock.clone();
            control.set_pausing(move |worker| clock.is_pausing(worker));
            let steps = scheduler.is_some().then_some(0);
            control.update(|status| (status.speed, status.steps) = (options.speed.to_string(), steps));
        }
        Ok(Runner {
            reporter,
            observer,
            facts,
            names,
            signals,
            options,
            scheduler,
            clock,
            sender,
            receiver,
            order: Reorder::default(),
            shown: Vec::new(),
            children: Vec::new(),
            pool: None,
            kills: RequestedKills::new(&options.kills),
            cut: None,
            stopping: false,
            died: Vec::new(),
            loss: None,
            unexpected_exits: UnexpectedExits::default(),
            stopped: BTreeSet::new(),
        })
    }

    /// Returns the microseconds since the run began.
    pub(crate) fn now_us(&self) -> u64 {
        self.clock.now_us()
    }

    /// Reports an event of the runner, now.
    pub(crate) fn emit(&mut self, fact: impl Into<AnyFact>) -> anyhow::Result<()> {
        self.emit_at(self.now_us(), fact)
    }

    /// Reports an action of the runner, with the time before it began, so that its consequences are later.
    pub(crate) fn emit_at(&mut self, at_us: u64, fact: impl Into<AnyFact>) -> anyhow::Result<()> {
        let pid = if self.is_explored() { RUNNER_EXPLORED } else { std::process::id() };
        self.push(self.clock.since(at_us), RUNNER.to_owned(), pid, fact.into());
        self.receive()
    }

    /// Returns whether this run is one of an exploration: then only an operation on a shared object takes time.
    pub(crate) fn is_explored(&self) -> bool {
        self.scheduler.is_some()
    }

    /// Has the state of an object told by `describe`, to the person who chooses the schedule.
    pub(crate) fn describe(&self, object: ObjectId, describe: impl Fn() -> String + 'static) {
        if let Some(scheduler) = &self.scheduler {
            scheduler.describe(object, Box::new(describe));
        }
    }

    /// Returns the process ID that is shown of a worker: in an exploration, its number in the order of start.
    fn pid_of(&self, worker: usize) -> u32 {
        if self.is_explored() { worker as u32 + 1 } else { self.children[worker].pid() }
    }

    /// Returns whether the run was cut short: then a scenario starts nothing more.
    pub(crate) fn is_cut(&mut self) -> bool {
        self.heed();
        if self.cut.is_none() {
            self.cut = self.signals.asked().map(Cut::Asked);
        }
        self.cut.is_some() || self.is_stuck()
    }

    /// Returns whether the schedule cannot go on.
    fn is_stuck(&self) -> bool {
        self.scheduler.as_ref().is_some_and(|scheduler| scheduler.is_stuck())
    }

    /// Shows the status of the run, in English or in Chinese, if there is a status line.
    pub(crate) fn show_status(&mut self, en: &str, zh: &str) {
        self.reporter.show_status(en, zh);
    }

    /// Returns a descriptor that becomes readable on a stop request: for a scenario that waits for something else.
    pub(crate) fn stop_request(&self) -> BorrowedFd<'a> {
        self.signals.as_fd()
    }

    /// Returns whether workers may be killed in this run because it was asked for.
    pub(crate) fn kills_are_requested(&self) -> bool {
        self.kills.is_any() || self.is_explored()
    }

    /// Returns whether a worker is left that the run waits for.
    pub(crate) fn has_expected_workers(&self) -> bool {
        self.children.iter().any(Child::is_expected)
    }

    /// Returns whether a worker is left whose name begins with `kind`.
    pub(crate) fn has_running(&self, kind: &str) -> bool {
        self.children.iter().any(|child| child.is_running() && child.name.starts_with(kind))
    }

    /// Returns the name of the worker with this process ID.
    pub(crate) fn name_of(&self, pid: u32) -> Option<&str> {
        self.children.iter().find(|child| child.pid() == pid).map(|child| child.name.as_str())
    }

    /// Returns the context of a worker that has no name yet.
    fn context(&self) -> WorkerContext {
        let (events, clock) = (self.sender.clone(), self.clock.clone());
        WorkerContext { events, name: String::new(), worker: 0, clock, seed: self.options.seed, kill_at: None }
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
        let (worker, kill_at) = (self.children.len() as u32, self.kills.next_of(name));
        let ctx = WorkerContext { name: name.to_owned(), worker, kill_at, ..self.context() };
        let child = self.started(Child::start(name, daemon, role(ctx)))?;
        self.children.push(child);
        let pid = self.pid_of(self.children.len() - 1);
        self.push(at_us, name.to_owned(), pid, WorkerStarted { role: R::NAME, daemon }.into());
        self.receive()
    }

    /// Starts a worker with each of these names.
    pub(crate) fn spawn_each<R: Role>(
        &mut self,
        names: impl IntoIterator<Item = String>,
        role: impl Fn(WorkerContext) -> R,
    ) -> anyhow::Result<()> {
        names.into_iter().try_for_each(|name| self.spawn(&name, false, &role))
    }

    /// Notes whether workers could be started.
    pub(crate) fn started<T>(&mut self, started: crate::Result<T>) -> crate::Result<T> {
        started.inspect_err(|_| self.loss = self.loss.max(Some(Loss::Unstarted)))
    }

    /// Returns the context of the workers of a pool, and what the pool has to tell the runner of them. They are the only
    /// workers of the scenario.
    pub(crate) fn pool_context(
        &mut self,
        role: &'static str,
    ) -> anyhow::Result<(PoolContext, impl Fn(WorkerEvent) + Send + use<>)> {
        let ((tell, told), wakeup) = (mpsc::channel(), Arc::new(Wakeup::new()?));
        self.pool = Some(PoolReports { told, wakeup: Arc::clone(&wakeup), role });
        let clock = self.clock.clone();
        let on_worker = move |event| {
            // The runner may have ended.
            let _ = tell.send((clock.now_us(), event));
            wakeup.wake();
        };
        Ok((PoolContext { worker: self.context(), kills: self.kills.all() }, on_worker))
    }

    /// Notes what the pool has told of its workers so far; and of worker `awaited`, which has reported something, at any
    /// rate.
    fn note_pool(&mut self, awaited: Option<u32>) {
        let Some(PoolReports { told, wakeup, role }) = &self.pool else { return };
        wakeup.clear();
        loop {
            let is_awaited = awaited.is_some_and(|awaited| self.children.len() <= awaited as usize);
            let event = if is_awaited { told.recv_timeout(GRACE).ok() } else { told.try_recv().ok() };
            match event {
                Some((at_us, WorkerEvent::Started { name, pid })) => {
                    let started = WorkerStarted { role, daemon: false }.into();
                    self.order.push(Event { at_us, worker: name.clone(), pid, fact: started }, self.clock.system_us());
                    self.children.push(Child::of_pool(name, pid));
                }
                Some((_, WorkerEvent::Ended { name, ended, .. })) => {
                    let child = self.children.iter_mut().rfind(|child| child.name == name);
                    child.expect("a worker was started before it ended").note_end(ended);
                }
                None => return,
            }
        }
    }

    /// Shows events until every non-daemon worker has ended, or the run is cut short.
    pub(crate) fn watch(&mut self) -> anyhow::Result<()> {
        self.show_while(|runner, _| Ok(runner.has_expected_workers().then_some(Deadline::NEVER)))
    }

    /// As [`watch`](Self::watch), but at most for `at_speed_one`, scaled to the run's speed. A change of the clock counts
    /// at the next event: only the runner changes it.
    pub(crate) fn watch_for(&mut self, at_speed_one: Duration) -> anyhow::Result<()> {
        let clock = self.clock.clone();
        let mut pause = Pause::begin(&clock, at_speed_one);
        self.show_while(|runner, _| Ok(pause.end().filter(|_| runner.has_expected_workers())))
    }

    /// Shows events until the scenario is done, or the run is cut short.
    ///
    /// The scenario is asked after all events that were just shown, and at least every 50 milliseconds.
    pub(crate) fn watch_until(
        &mut self,
        mut is_done: impl FnMut(&mut Self, &[Event]) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        self.show_while(|runner, events| Ok((!is_done(runner, events)?).then(|| Deadline::after(CHECK_EVERY))))
    }

    /// Shows everything reported so far, and what workers may still have to report of their latest actions: until the
    /// scenario has all it needs, and at most as long as [`Reorder`] waits for it.
    pub(crate) fn watch_reports(&mut self, mut is_done: impl FnMut(&[Event]) -> bool) -> anyhow::Result<()> {
        if self.is_explored() {
            // Everything has been reported.
            self.receive()?;
            let shown = std::mem::take(&mut self.shown);
            is_done(&shown);
            return Ok(());
        }
        let began_us = self.clock.system_us();
        self.watch_until(|runner, events| {
            let is_pending = runner.order.oldest_us().is_some_and(|arrived_us| arrived_us <= began_us);
            Ok(is_done(events) && !is_pending || runner.clock.system_us() > began_us + LONGEST_WAIT_US)
        })
    }

    /// Shows events until `go_on` returns `None`, or the run is cut short. It is asked again when something has
    /// happened, and at the time that it returns.
    fn show_while(
        &mut self,
        mut go_on: impl FnMut(&mut Self, &[Event]) -> anyhow::Result<Option<Deadline>>,
    ) -> anyhow::Result<()> {
        while !self.is_cut() {
            let shown = std::mem::take(&mut self.shown);
            let Some(until) = go_on(self, &shown)? else { break };
            self.wait(until)?;
        }
        Ok(())
    }

    /// Sleeps until something happens, an event is due to be shown, or `until`; in an exploration, lets a worker take a
    /// step instead. Then shows everything that was reported, and which workers have ended.
    fn wait(&mut self, until: Deadline) -> anyhow::Result<()> {
        match self.scheduler.clone() {
            Some(scheduler) => self.step(&*scheduler)?,
            None => self.sleep(until)?,
        }
        self.note_ended()
    }

    /// Shows everything that was reported, and which workers have ended.
    fn note_ended(&mut self) -> anyhow::Result<()> {
        self.note_pool(None);
        // A worker that has ended by now reported everything before: collected first, shown last.
        let ended = self.children.iter().enumerate().filter(|(_, child)| child.has_ended());
        let ended: Vec<usize> = ended.map(|(index, _)| index).collect();
        if ended.is_empty() {
            return self.receive();
        }
        // The signal that ended them all may have been sent to the runner, too.
        self.is_cut();
        self.collect()?;
        ended.into_iter().try_for_each(|index| self.join(index))?;
        self.receive()
    }

    /// Lets one worker take a step, unless the runner has to note the end of another first, or all are being stopped.
    fn step(&mut self, scheduler: &dyn Scheduler) -> anyhow::Result<()> {
        if self.stopping || self.children.iter().any(Child::has_ended) {
            return Ok(());
        }
        match scheduler.step() {
            Err(Error::Schedule { .. }) if self.is_stuck() => Ok(()),
            stepped => Ok(stepped?),
        }
    }

    /// Sleeps until something happens, an event is due to be shown, or `until`.
    fn sleep(&mut self, until: Deadline) -> anyhow::Result<()> {
        let due =
            self.order.due_us().map(|due_us| Duration::from_micros(due_us.saturating_sub(self.clock.system_us())));
        // An event that waits for its cause is checked again soon.
        let until = due.map_or(until, |due| until.or_after(due.max(Duration::from_millis(1))));
        let running = self.children.iter().filter(|child| child.is_running());
        let mut sources: Vec<_> = running.filter_map(Child::sentinel).collect();
        sources.extend(self.pool.as_ref().map(|pool| pool.wakeup.as_fd()));
        sources.push(self.receiver.as_fd());
        sources.extend(self.options.control.as_ref().map(AsFd::as_fd));
        // A recorded signal keeps its descriptor readable: it wakes only until it is handled.
        if self.cut.is_none() {
            sources.push(self.signals.as_fd());
        }
        fd::wait_any_readable(&sources, until.at_ns()).context("cannot wait for the workers")?;
        self.heed();
        Ok(())
    }

    /// Receives all reports of the workers, and shows the events that are due.
    fn receive(&mut self) -> anyhow::Result<()> {
        self.collect()?;
        // When no worker is left to report, there is nothing to wait for. In an exploration, none is still reporting.
        let is_waited_for = !self.is_explored() && self.children.iter().any(Child::is_running);
        let now_us = if is_waited_for { self.clock.system_us() } else { u64::MAX };
        while let Some(event) = self.order.pop(now_us) {
            self.show(event)?;
        }
        Ok(())
    }

    /// Receives all reports of the workers.
    fn collect(&mut self) -> anyhow::Result<()> {
        while let Some(Message { worker, at_us, json }) = self.receiver.try_receive()? {
            let fact = self.facts.iter().find_map(|parse| parse(&json).ok());
            let fact = fact.with_context(|| format!("a worker reported no event of the scenario: {json}"))?;
            self.note_pool(Some(worker));
            let child = self.children.get(worker as usize).context("an unknown worker reported something")?;
            let (name, pid) = (child.name.clone(), self.pid_of(worker as usize));
            self.kills.note(worker, &name, &fact);
            self.push(at_us, name, pid, fact);
        }
        Ok(())
    }

    fn push(&mut self, at_us: u64, worker: String, pid: u32, fact: AnyFact) {
        self.order.push(Event { at_us, worker, pid, fact }, self.clock.system_us());
    }

    fn show(&mut self, event: Event) -> anyhow::Result<()> {
        (self.observer)(&event);
        if self.cut.is_some_and(Cut::is_silent) {
            return Ok(());
        }
        let reported = self.reporter.event(&event);
        self.shown.push(event);
        let Err(error) = reported else { return Ok(()) };
        let reader_gone = error.kind() == io::ErrorKind::BrokenPipe;
        self.cut = Some(if reader_gone { Cut::ReaderGone } else { Cut::ReportLost });
        if reader_gone { Ok(()) } else { Err(error).context("cannot write the report to stdout") }
    }

    /// Joins a worker that has ended, and reports its end.
    fn join(&mut self, index: usize) -> anyhow::Result<()> {
        let pid = self.pid_of(index);
        let child = &mut self.children[index];
        let (worker, ended) = (child.name.clone(), child.join()?);
        let is_pooled = child.is_pooled();
        let is_ended_by = |signal: Signal| ended.status == ExitStatus::Signal(signal as i32);
        self.is_cut();
        if is_ended_by(Signal::SIGTERM) && !self.stopping && self.cut.is_none() {
            // The only possible error is a bad descriptor: then it is as if nothing had arrived.
            let _ = fd::wait_readable(self.signals, Some(monotonic_ns() + SIGNAL_GAP.as_nanos() as u64));
        }
        // In an exploration, the schedule has asked for it.
        let is_scheduled = self.is_explored() && !self.stopping;
        if is_ended_by(Signal::SIGKILL) && (self.kills.note_death(index as u32) || is_scheduled) {
            self.died.push(worker.clone());
            self.loss = Some(Loss::Killed);
        } else if !ended.is_success() && !is_pooled && !self.stopping && !self.is_cut() {
            self.died.push(worker.clone());
            self.loss = self.loss.max(Some(child::loss(ended.status, ended.failure.as_ref())));
            self.unexpected_exits.note(&worker, pid, &ended);
        }
        // A worker that is ended because its schedule cannot go on has not died in it.
        if !(self.is_stuck() && self.stopping) {
            self.push(self.now_us(), worker, pid, child::exited(&ended).into());
        }
        Ok(())
    }

    /// Ends the remaining workers, waits for all, and shows their last reports: asks first, kills after a grace period.
    fn stop_workers(&mut self) -> anyhow::Result<()> {
        let end_all =
            |children: &[Child], end| children.iter().map(|child| child.end(end)).fold(Ok(()), anyhow::Result::and);
        if self.is_explored() {
            // What the schedule killed was not killed here.
            self.note_ended()?;
        }
        self.stopping = true;
        self.continue_stopped();
        let asked = end_all(&self.children, Process::terminate);
        let grace = Deadline::after(GRACE);
        while self.children.iter().any(Child::is_running) && !grace.has_passed() {
            self.wait(grace)?;
        }
        let killed = end_all(&self.children, Process::kill);
        // A worker that could not be killed is not waited for: it may never end.
        while killed.is_ok() && self.children.iter().any(Child::is_running) {
            self.wait(Deadline::NEVER)?;
        }
        self.receive()?;
        asked.and(killed)
    }

    /// Stops the workers, and returns how the run went. `ran` is whether the scenario ran to its end.
    pub(crate) fn finish(mut self, ran: anyhow::Result<()>) -> RunEnd {
        let mut failures: Vec<_> = [ran, self.stop_workers()].into_iter().filter_map(Result::err).collect();
        self.is_cut();
        let is_deadlock = self.scheduler.as_ref().is_some_and(|scheduler| scheduler.is_deadlock());
        let is_too_long = (self.is_stuck() && !is_deadlock).then_some(Reason::Cut);
        let stopped = self.cut.map(Cut::reason).or(is_too_long).or((!failures.is_empty()).then_some(Reason::Machinery));
        let has_unexpected_exits = !self.unexpected_exits.is_empty();
        failures.append(&mut self.unexpected_exits.into_errors());
        if self.cut.is_none() {
            failures.extend(self.kills.missed());
        }
        RunEnd {
            reporter: self.reporter,
            cut: self.cut,
            is_deadlock,
            pid: if self.scheduler.is_some() { RUNNER_EXPLORED } else { std::process::id() },
            at_us: self.clock.now_us(),
            completion: Completion { started: self.children.len(), died: self.died, loss: self.loss, stopped },
            has_unexpected_exits,
            failures,
        }
    }
}
