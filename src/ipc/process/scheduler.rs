//! The interface between [`Process`](super::Process) and an exploration, which starts, joins and kills the workers of a
//! thread.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use super::boot::{Boot, BootRecord, Outcome};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::ipc::explore::by_hand::Describe;
use crate::ipc::operation::ObjectId;
use crate::sys::Pid;

/// A worker's process, and what its parent needs to manage it.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) pid: Pid,
    pub(crate) pidfd: OwnedFd,
    pub(crate) boot: Boot,
    /// The end of the pipe whose closing kills the worker.
    pub(crate) parent_end: OwnedFd,
}

impl AsFd for Started {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// The program of a worker, and its arguments. `None` is the current executable.
pub(crate) type Program = (Option<PathBuf>, Vec<String>);

/// Starts a process. The argument contains descriptors that it inherits in addition to those of its role.
pub(crate) type Launch<'a> = &'a mut dyn FnMut(&[BorrowedFd<'_>]) -> io::Result<Started>;

/// Told of a step before it is taken: its number, from 1, and the virtual time in nanoseconds.
pub(crate) type StepClock = Box<dyn Fn(u64, u64)>;

/// A worker of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScheduledWorker {
    /// The schedule, the only one of this process with this number.
    pub(crate) schedule: u64,
    /// Its index in the order of start.
    pub(crate) index: usize,
}

/// Schedules the workers of the thread for which it is installed. Asking for a worker of another schedule is an error.
pub(crate) trait Scheduler {
    /// Returns the worker that is started next.
    fn next_worker(&self) -> Result<ScheduledWorker>;

    /// Starts the next worker, in a kept process or a new one. Returns its process id and pidfd.
    fn start(
        &self,
        program: &Program,
        record: &BootRecord,
        handles: &[BorrowedFd<'_>],
        launch: Launch<'_>,
    ) -> io::Result<(Pid, OwnedFd)>;

    /// Runs the worker that was started last to its first point.
    fn begin(&self);

    /// Runs the workers until this one has ended. Returns its outcome, and whether its process is dead; `None` if the
    /// deadline passed first.
    fn join(&self, worker: ScheduledWorker, deadline: Deadline) -> Result<Option<(Outcome, bool)>>;

    /// Returns whether a worker has not ended yet.
    fn is_running(&self, worker: ScheduledWorker) -> bool;

    /// Kills a worker, unless it has ended.
    fn kill(&self, worker: ScheduledWorker) -> Result<()>;

    /// Runs one worker to its next point. Fails if the schedule cannot go on.
    fn step(&self) -> Result<()>;

    /// Returns whether the schedule cannot go on.
    fn is_stuck(&self) -> bool;

    /// Returns whether the schedule cannot go on because all workers are blocked.
    fn is_deadlock(&self) -> bool;

    /// Has the state of an object told by `describe`, to who chooses the turns of this schedule.
    fn describe(&self, object: ObjectId, describe: Describe);

    /// Has `settle` called when a worker may have ended, before the next step of this schedule: it waits until a server
    /// has noticed that.
    fn settle_by(&self, settle: Box<dyn Fn()>);

    /// Has `clock` told of each step of this schedule.
    fn set_clock(&self, clock: StepClock);
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn Scheduler>>> = const { RefCell::new(None) };
}

/// Returns the scheduler of this thread's workers, if they have one.
pub(crate) fn current() -> Option<Rc<dyn Scheduler>> {
    CURRENT.with_borrow(Option::clone)
}

/// The installation of a scheduler for this thread, which ends when this is dropped.
#[must_use]
pub(crate) struct Scheduling(());

/// Installs a scheduler for the workers that this thread starts.
pub(crate) fn schedule_with(scheduler: Rc<dyn Scheduler>) -> Scheduling {
    CURRENT.set(Some(scheduler));
    Scheduling(())
}

impl Drop for Scheduling {
    fn drop(&mut self) {
        CURRENT.set(None);
    }
}
