//! The schedule that is being run. The explorer's thread is the spawner, and decides at every point which process runs.
//!
//! # State
//! The workers of the schedule in the order of start, each at a point, ended or dead. Their processes are reused by
//! later schedules. The spawner is a participant too, the last one: its own operations are points as well.
//!
//! # Death
//! If the explorer dies, so do its workers. A worker that is stuck at the end of a schedule is killed and replaced.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::ipc::deadline::{self, Deadline};
use crate::ipc::error::{Error, Result};
use crate::ipc::operation::{ObjectId, Point, unobserved};
use crate::ipc::process::boot::{BootRecord, Outcome};
use crate::ipc::process::scheduler::{Launch, Program, ScheduledWorker, Scheduler, Started, StepClock};
use crate::sys::shm::Mapping;
use crate::sys::{Pid, Signal, exec, fd, socket};

use super::by_hand::{Chooser, Describe, standing};
use super::control::{self, At, CanGo, Control, WorkerTurn};
use super::schedule::{Participant, SPAWNER, Schedule, Turn, WORKERS};
use super::search::{Choice, Pending, Search, Step, Taken};
use super::survey::Names;

/// A worker's process, which is reused when its role has ended.
struct Kept {
    program: Program,
    process: Started,
    /// The descriptors of its roles are sent through this socket.
    socket: OwnedFd,
}

struct Worker {
    name: String,
    /// The worker as an object, of a join.
    object: ObjectId,
    kept: Kept,
    turn: WorkerTurn,
    at: At,
}

/// Why a schedule cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stuck {
    /// Every process is blocked.
    #[error("deadlock: {0}")]
    Deadlock(String),
    /// A worker reached no point in time.
    #[error("{0} reached no operation on a shared object within 5 s")]
    Silent(String),
    /// The same choices led to a different state.
    #[error("step {step} differs from the same step of an earlier schedule ({how}): the program is not deterministic")]
    Differs {
        /// Counted from 1.
        step: usize,
        /// What each process did then, and now.
        how: String,
    },
    /// It does not end.
    #[error("it has not ended after {STEPS} steps")]
    TooLong,
    /// Who chose its turns has ended it.
    #[error("it was ended")]
    Stopped,
    /// The schedule that is replayed does not fit.
    #[error("step {step}: {why}")]
    Misfits {
        /// Counted from 1.
        step: usize,
        /// Why its turn is not possible.
        why: String,
    },
}

/// The number of schedules that were begun in this process.
static SCHEDULES: AtomicU64 = AtomicU64::new(0);

/// The maximum number of steps in a schedule: participants can retry forever what times out.
pub(crate) const STEPS: usize = 10_000;

/// The schedule that is being run.
pub(crate) struct Run {
    /// Its number.
    number: u64,
    control: Mapping<Control>,
    /// Chooses the schedules.
    pub(crate) search: Search,
    workers: Vec<Worker>,
    /// Processes whose role has ended, and which can run another.
    idle: Vec<Kept>,
    /// In the order of first use: the objects' ids differ from schedule to schedule.
    objects: Vec<ObjectId>,
    /// The virtual time. It passes only when all are blocked.
    now_ns: u64,
    stuck: Option<Stuck>,
    /// The operations of a deadlock.
    blocked: Vec<(Participant, Step)>,
    /// Whether the spawner may have done something that the workers at a point have not seen.
    spawner_acted: bool,
    /// The number of operations of the spawner after the schedule could not go on.
    spawner_left: usize,
    /// Told of each step, before it is taken: its number, from 1, and the virtual time.
    clock: Option<StepClock>,
    /// Asked for each turn after the schedule that is replayed.
    pub(super) chooser: Option<Chooser>,
    /// Objects of this schedule whose state can be told.
    described: Vec<(ObjectId, Describe)>,
    /// Called when a worker may have ended.
    settle: Vec<Box<dyn Fn()>>,
}

impl Run {
    pub(crate) fn new(search: Search) -> Result<Self> {
        Ok(Run {
            number: SCHEDULES.fetch_add(1, Relaxed),
            control: control::create()?,
            search,
            workers: Vec::new(),
            idle: Vec::new(),
            objects: Vec::new(),
            now_ns: 0,
            stuck: None,
            blocked: Vec::new(),
            spawner_acted: true,
            spawner_left: 0,
            clock: None,
            chooser: None,
            described: Vec::new(),
            settle: Vec::new(),
        })
    }

    /// Blocks until the worker has given its turn back.
    fn await_turn(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        worker.at = match worker.turn.wait(&worker.kept.process) {
            Some(At::Point { step, can_go, deadline_ns }) => {
                let step = in_order_of_appearance(&mut self.objects, step);
                At::Point { step, can_go, deadline_ns }
            }
            Some(at) => at,
            None => {
                self.stuck = Some(Stuck::Silent(worker.name.clone()));
                let _ = kill(&worker.kept.process);
                At::Dead
            }
        };
    }

    /// Passes a point of the spawner. Blocks until it is the spawner's turn.
    pub(crate) fn pass(&mut self, point: &Point<'_>) {
        self.spawner_acted = true;
        while self.stuck.is_none() {
            let own = Pending {
                participant: SPAWNER,
                step: in_order_of_appearance(&mut self.objects, Step::of(point)),
                can_go: point.can_go(),
                deadline_ns: point.deadline.on_own_clock(),
                can_be_killed: false,
            };
            if let Some(times_out) = self.step(Some(own)) {
                return deadline::advance_virtual(self.now_ns, times_out);
            }
        }
        // The schedule cannot go on. Its closure may: it is told by what it joins, or what has a deadline gives up. But it
        // must end: it may be blocked, or wait for something that never happens.
        self.spawner_left += 1;
        let can_go = point.can_go();
        let stuck =
            self.stuck.as_ref().filter(|_| self.spawner_left > STEPS || !can_go && point.deadline == Deadline::NEVER);
        if let Some(stuck) = stuck {
            resume_unwind(Box::new(stuck.to_string()));
        }
        deadline::advance_virtual(self.now_ns, !can_go);
    }

    /// Lets the workers check again whether they are blocked, if the spawner has done something since they did.
    fn see_spawner(&mut self) {
        if std::mem::take(&mut self.spawner_acted) {
            self.look_again(None);
        }
    }

    /// Lets one participant take its turn. If that is the spawner, returns whether its operation times out.
    fn step(&mut self, spawner: Option<Pending>) -> Option<bool> {
        self.see_spawner();
        if self.stuck.is_some() {
            return None;
        }
        let number = self.search.depth();
        if number == STEPS {
            self.stuck = Some(Stuck::TooLong);
            return None;
        }
        let points = self.workers.iter().enumerate().filter_map(|(participant, worker)| match &worker.at {
            At::Point { step, can_go, deadline_ns } => Some(Pending {
                participant,
                step: step.clone(),
                can_go: can_go.now(),
                deadline_ns: *deadline_ns,
                can_be_killed: true,
            }),
            _ => None,
        });
        let pending: Vec<_> = points.chain(spawner).collect();
        if !self.ask(&pending) {
            self.stuck = Some(Stuck::Stopped);
            return None;
        }
        let all_wait = pending.iter().all(|one| !one.can_go);
        let deadline_of = |turn: Turn| {
            let of =
                pending.iter().find(|one| matches!(turn, Turn::TimesOut(_)) && one.participant == turn.participant());
            of.and_then(|one| one.deadline_ns)
        };
        let choice = self.search.choose(&pending);
        if let (Choice::Take(turn), true) = (&choice, all_wait) {
            self.now_ns = self.now_ns.max(deadline_of(*turn).unwrap_or(0));
        }
        if let (Choice::Take(_), Some(clock)) = (&choice, &self.clock) {
            clock(number as u64 + 1, self.now_ns);
        }
        match choice {
            Choice::Take(Turn::Dies(index)) => self.kill(index),
            Choice::Take(turn) => {
                // Only its own time has passed if others could go on: they were slow.
                let late_ns = deadline_of(turn);
                if turn.participant() == SPAWNER {
                    self.spawner_acted = true;
                    return Some(late_ns.is_some());
                }
                self.take_turn(turn.participant(), late_ns);
            }
            Choice::Differs(how) => self.stuck = Some(Stuck::Differs { step: number + 1, how }),
            Choice::Misfits(turn) => {
                self.stuck = Some(Stuck::Misfits { step: number + 1, why: self.why_not(turn) });
            }
            Choice::Nobody => {
                self.stuck = Some(Stuck::Deadlock(self.who_waits(&pending)));
                self.blocked = pending.into_iter().map(|own| (own.participant, own.step)).collect();
            }
        }
        None
    }

    /// Asks for the next turn, if somebody chooses it. Returns whether the schedule goes on.
    fn ask(&mut self, pending: &[Pending]) -> bool {
        if self.chooser.is_none() {
            return true;
        }
        let Some(possible) = self.search.asks(pending).filter(|turns| !turns.is_empty()) else { return true };
        let Some(mut chooser) = self.chooser.take() else { return true };
        let is_deadlock = possible.iter().all(|turn| matches!(turn, Turn::Dies(_)));
        let taken: Vec<Taken> = self.search.taken().collect();
        let steps = taken.iter().map(|taken| &taken.step).chain(pending.iter().map(|own| &own.step));
        let names = Names::new(&self.objects, steps);
        let described = |(object, describe): &(ObjectId, Describe)| {
            let at = self.objects.iter().position(|known| known == object)?;
            Some((at as u64, unobserved(describe)))
        };
        let described: Vec<_> = self.described.iter().filter_map(described).collect();
        let workers = self.workers.iter().map(|worker| &worker.at);
        let chosen = chooser(&standing(&taken, workers, pending, &names, &described, possible));
        self.chooser = Some(chooser);
        chosen.inspect(|turn| self.search.give(*turn)).is_some() || is_deadlock
    }

    /// Returns why a turn is not possible.
    fn why_not(&self, turn: Turn) -> String {
        let who = Schedule::of(turn.participant());
        let Some(worker) = self.workers.get(turn.participant()) else {
            let is_spawner = turn.participant() == SPAWNER;
            return if is_spawner { format!("{who} is at no operation") } else { format!("{who} has not started") };
        };
        let name = format!("{who} ({})", worker.name);
        match (&worker.at, turn) {
            (At::Point { step, deadline_ns: None, .. }, Turn::TimesOut(_)) => {
                format!("{name} has no timeout in {}", step.operation)
            }
            (At::Point { step, .. }, Turn::TimesOut(_)) => format!("{name} is not blocked in {}", step.operation),
            (At::Point { step, .. }, _) => format!("{name} is blocked in {}", step.operation),
            (At::Running, _) => format!("{name} has reached no operation"),
            (At::Ended, _) => format!("{name} has ended"),
            (At::Dead, _) => format!("{name} is dead"),
        }
    }

    /// Lets a worker perform its operation, or lets that time out at `late_ns`.
    fn take_turn(&mut self, index: usize, late_ns: Option<u64>) {
        let At::Point { step, .. } = self.workers[index].at.clone() else { return };
        self.workers[index].turn.give(self.now_ns.max(late_ns.unwrap_or(0)), late_ns.is_some());
        self.await_turn(index);
        let has_ended = !matches!(self.workers[index].at, At::Point { .. });
        self.look_again((!has_ended).then_some((index, &step)));
    }

    /// Lets the workers that a step of another may have blocked or unblocked check again whether they are; all workers if
    /// `None`.
    fn look_again(&mut self, after: Option<(usize, &Step)>) {
        if after.is_none() {
            self.settle.iter().for_each(|settle| settle());
        }
        for index in 0..self.workers.len() {
            let worker = &self.workers[index];
            let At::Point { step: own, can_go, .. } = &worker.at else { continue };
            let concerns =
                |(who, step): (usize, &Step)| who != index && !step.reads_only && step.shares_an_object_with(own);
            if *can_go != CanGo::Always && after.is_none_or(concerns) {
                worker.turn.ask_to_look();
                self.await_turn(index);
            }
        }
    }

    /// Returns the operation of a spawner that joins a worker until `deadline`, if that can only time out: no worker can go
    /// on.
    fn joins_until(&mut self, worker: usize, deadline: Deadline) -> Option<Pending> {
        let can_go = |worker: &Worker| matches!(worker.at, At::Point { can_go, .. } if can_go.now());
        let deadline_ns = deadline.on_own_clock().filter(|_| !self.workers.iter().any(can_go))?;
        let operation = "process.join".to_owned();
        let step = Step { operation, object: self.workers[worker].object, lock: None, reads_only: true };
        let step = in_order_of_appearance(&mut self.objects, step);
        let deadline_ns = Some(deadline_ns);
        Some(Pending { participant: SPAWNER, step, can_go: false, deadline_ns, can_be_killed: false })
    }

    /// Returns the index of a worker of this schedule.
    fn index_of(&self, worker: ScheduledWorker) -> Result<usize> {
        let another = || Error::Schedule { reason: "an earlier schedule started this worker".to_owned() };
        Some(worker.index).filter(|_| worker.schedule == self.number).ok_or_else(another)
    }

    fn who_waits(&self, blocked: &[Pending]) -> String {
        let waits = blocked.iter().map(|own| {
            let name = self.workers.get(own.participant).map_or("the closure", |worker| &worker.name);
            format!("{name} waits in {}", own.step.operation)
        });
        waits.collect::<Vec<_>>().join(", ")
    }

    /// Kills a worker, and blocks until its process has ended.
    pub(crate) fn kill(&mut self, index: usize) {
        let worker = &mut self.workers[index];
        if matches!(worker.at, At::Point { .. }) {
            let _ = kill(&worker.kept.process);
            worker.at = At::Dead;
            self.look_again(None);
        }
    }

    /// Ends the schedule. Processes whose role has ended are kept; all others are killed.
    pub(crate) fn finish(&mut self) -> Finished {
        let mut workers = Vec::new();
        for worker in self.workers.drain(..) {
            workers.push(worker.name);
            match worker.at {
                At::Ended => self.idle.push(worker.kept),
                At::Running | At::Dead | At::Point { .. } => end(&worker.kept.process),
            }
        }
        (self.spawner_acted, self.spawner_left, self.clock) = (true, 0, None);
        self.described.clear();
        self.settle.clear();
        self.number = SCHEDULES.fetch_add(1, Relaxed);
        self.now_ns = 0;
        Finished {
            taken: self.search.taken().collect(),
            needed: self.search.needed(),
            stuck: self.stuck.take(),
            blocked: std::mem::take(&mut self.blocked),
            is_redundant: self.search.is_redundant(),
            workers,
            objects: std::mem::take(&mut self.objects),
        }
    }
}

/// A schedule that was run.
pub(crate) struct Finished {
    pub(crate) taken: Vec<Taken>,
    /// How many of these a replay has to be given.
    pub(crate) needed: usize,
    /// Why it could not be completed.
    pub(crate) stuck: Option<Stuck>,
    /// The operations of a deadlock.
    pub(crate) blocked: Vec<(Participant, Step)>,
    /// Whether another schedule of its class was run already.
    pub(crate) is_redundant: bool,
    /// The names of the workers, in the order of start.
    pub(crate) workers: Vec<String>,
    /// The objects, in the order of first use: their numbers in the steps are indices.
    pub(crate) objects: Vec<ObjectId>,
}

/// Replaces the objects of a step with their numbers in the order of first use.
fn in_order_of_appearance(objects: &mut Vec<ObjectId>, step: Step) -> Step {
    let mut place = |object: ObjectId| {
        let known = objects.iter().position(|known| *known == object);
        let at = known.unwrap_or_else(|| {
            objects.push(object);
            objects.len() - 1
        });
        at as u64
    };
    let mut number = |object: ObjectId| match object.whole() {
        None => ObjectId::from_word(place(object)),
        Some(whole) => {
            let part = if object == whole { 0 } else { place(object) + 1 };
            ObjectId::from_word(place(whole)).part(part)
        }
    };
    Step { object: number(step.object), lock: step.lock.map(number), ..step }
}

/// Returns the place in the order of first use of an object with such a number.
pub(super) fn place_of(object: ObjectId) -> usize {
    let place = match object.parts() {
        None => object.to_word(),
        Some((whole, 0)) => whole,
        Some((_, part)) => part - 1,
    };
    place as usize
}

/// Kills a worker's process, and blocks until it has ended.
fn kill(process: &Started) -> io::Result<bool> {
    exec::send_signal(process.as_fd(), process.pid, Signal::SIGKILL)?;
    fd::wait_readable(process, None)
}

/// Kills and reaps it, unless it was reaped already.
fn end(process: &Started) {
    // If it cannot be killed, it is not waited for.
    if kill(process).is_ok() {
        let _ = exec::reap(process.as_fd());
    }
}

impl Scheduler for RefCell<Run> {
    fn next_worker(&self) -> Result<ScheduledWorker> {
        let Run { number: schedule, workers, .. } = &*self.borrow();
        let worker = ScheduledWorker { schedule: *schedule, index: workers.len() };
        if worker.index < WORKERS { Ok(worker) } else { Err(Error::TooManyMembers { limit: WORKERS }) }
    }

    fn start(
        &self,
        program: &Program,
        record: &BootRecord,
        handles: &[BorrowedFd<'_>],
        launch: Launch<'_>,
    ) -> io::Result<(Pid, OwnedFd)> {
        let run = &mut *self.borrow_mut();
        let turn = WorkerTurn::new(&run.control, run.workers.len());
        turn.reset(run.now_ns);
        let kept = match run.idle.iter().position(|kept| kept.program == *program) {
            Some(at) => {
                let mut kept = run.idle.swap_remove(at);
                kept.process.boot.write(record)?;
                socket::pass_descriptors(kept.socket.as_fd(), handles)?;
                kept
            }
            None => {
                let (socket, theirs) = socket::packet_pair()?;
                let process = launch(&[run.control.memfd().as_fd(), theirs.as_fd()])?;
                Kept { program: program.clone(), process, socket }
            }
        };
        let (pid, pidfd) = (kept.process.pid, kept.process.pidfd.try_clone()?);
        let (name, object) = (record.worker.clone(), ObjectId::new());
        run.workers.push(Worker { name, object, kept, turn, at: At::Running });
        Ok((pid, pidfd))
    }

    fn begin(&self) {
        let mut run = self.borrow_mut();
        run.spawner_acted = true;
        let last = run.workers.len() - 1;
        run.await_turn(last);
    }

    fn join(&self, worker: ScheduledWorker, deadline: Deadline) -> Result<Option<(Outcome, bool)>> {
        let run = &mut *self.borrow_mut();
        let index = run.index_of(worker)?;
        run.spawner_acted = true;
        run.see_spawner();
        deadline::advance_virtual(run.now_ns, false);
        let only_checks = deadline.has_passed();
        loop {
            let worker = &run.workers[index];
            match worker.at {
                At::Ended | At::Dead => {
                    deadline::advance_virtual(run.now_ns, false);
                    return Ok(Some((worker.kept.process.boot.outcome(), worker.at == At::Dead)));
                }
                _ if only_checks => return Ok(None),
                _ => {}
            }
            if let Some(stuck) = &run.stuck {
                return Err(Error::Schedule { reason: stuck.to_string() });
            }
            let own = run.joins_until(index, deadline);
            if run.step(own).is_some() {
                deadline::advance_virtual(run.now_ns, false);
                return Ok(None);
            }
        }
    }

    fn is_running(&self, worker: ScheduledWorker) -> bool {
        let run = self.borrow();
        run.index_of(worker).is_ok_and(|index| !matches!(run.workers[index].at, At::Ended | At::Dead))
    }

    fn kill(&self, worker: ScheduledWorker) -> Result<()> {
        let mut run = self.borrow_mut();
        let index = run.index_of(worker)?;
        run.kill(index);
        Ok(())
    }

    fn step(&self) -> Result<()> {
        let run = &mut *self.borrow_mut();
        run.step(None);
        run.stuck.as_ref().map_or(Ok(()), |stuck| Err(Error::Schedule { reason: stuck.to_string() }))
    }

    fn is_stuck(&self) -> bool {
        self.borrow().stuck.is_some()
    }

    fn is_deadlock(&self) -> bool {
        matches!(self.borrow().stuck, Some(Stuck::Deadlock(_)))
    }

    fn describe(&self, object: ObjectId, describe: Describe) {
        self.borrow_mut().described.push((object, describe));
    }

    fn settle_by(&self, settle: Box<dyn Fn()>) {
        self.borrow_mut().settle.push(settle);
    }

    fn set_clock(&self, clock: StepClock) {
        self.borrow_mut().clock = Some(clock);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ = self.finish();
        self.idle.iter().for_each(|kept| end(&kept.process));
    }
}
