//! An exploration, as [`Process`](super::Process) knows it: what starts, joins and kills the workers of a thread in place
//! of the kernel.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::rc::Rc;

use super::boot::{Boot, BootRecord, Outcome};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::Result;
use crate::sys::Pid;

/// A worker's process, and what its parent keeps of it.
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

/// The program of a worker and its arguments; without one, this program.
pub(crate) type Program = (Option<PathBuf>, Vec<String>);

/// Starts a process; its argument are descriptors that it gets besides those of its role.
pub(crate) type Launch<'a> = &'a mut dyn FnMut(&[BorrowedFd<'_>]) -> io::Result<Started>;

/// Schedules the workers of the thread that it is installed for.
pub(crate) trait Scheduler {
    /// Returns the index of the next worker.
    fn next_index(&self) -> Result<usize>;

    /// Starts the next worker in a process that is kept, or in a new one. Returns its process, and its pidfd.
    fn start(
        &self,
        program: &Program,
        record: &BootRecord,
        handles: &[BorrowedFd<'_>],
        launch: Launch<'_>,
    ) -> io::Result<(Pid, OwnedFd)>;

    /// Lets the worker that was started last run to its first point.
    fn begin(&self);

    /// Lets the workers go on until this one has ended. Returns what it left behind, and whether its process is dead;
    /// `None` if the deadline passed first.
    fn join(&self, index: usize, deadline: Deadline) -> Result<Option<(Outcome, bool)>>;

    /// Kills a worker, unless it has ended.
    fn kill(&self, index: usize);
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<dyn Scheduler>>> = const { RefCell::new(None) };
}

/// Returns the scheduler of this thread's workers, if they have one.
pub(crate) fn current() -> Option<Rc<dyn Scheduler>> {
    CURRENT.with_borrow(Option::clone)
}

/// A scheduler is installed for this thread, until this is dropped.
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
