//! What a person who watches a run asks of it, and what the run answers.
//!
//! # State
//! Requests go from the thread that reads the keyboard to the one that runs the scenario, which waits for a descriptor.
//! The status goes the other way.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::Wakeup;
use crate::sys::fd;

/// A request of a person to a run in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Hold all workers at their next event or pause, or let them go on.
    Hold,
    Faster,
    Slower,
    /// Kill the process with this ID, with SIGKILL.
    Kill(u32),
    /// Stop the process with this ID, or continue it.
    Stop(u32),
    /// Take one step of a schedule: of the worker with this index, if one is selected.
    Step(Option<usize>),
    /// End the run.
    End,
}

/// What a person is told of a run, besides its events.
#[derive(Debug, Clone, Default)]
pub(crate) struct Status {
    /// Counts the changes.
    pub(crate) version: u64,
    /// Whether all workers are held.
    pub(crate) is_held: bool,
    /// The speed of pauses.
    pub(crate) speed: String,
    /// Process IDs of stopped workers.
    pub(crate) stopped: BTreeSet<u32>,
    /// How many steps were taken, if the run takes those of a schedule.
    pub(crate) steps: Option<usize>,
    /// What each worker does in its next step, in the order of start.
    pub(crate) next: Vec<Next>,
    /// An answer to a request.
    pub(crate) notice: Option<[String; 2]>,
}

/// What a worker does in its next step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Next {
    /// In English and in Chinese; empty if it takes no more.
    pub(crate) text: [String; 2],
    pub(crate) is_blocked: bool,
}

/// The connection of a run and the person who watches it.
#[derive(Clone)]
pub(crate) struct Control(Arc<Inner>);

struct Inner {
    wakeup: Wakeup,
    requests: Mutex<VecDeque<Request>>,
    is_end_asked: AtomicBool,
    status: Mutex<Status>,
    /// Becomes readable when the process is asked to stop.
    stop: OnceLock<OwnedFd>,
    /// Returns whether the worker with this number, in the order of start from 0, pauses.
    pausing: OnceLock<Box<dyn Fn(u32) -> bool + Send + Sync>>,
}

/// A panic of the other thread leaves whole requests, and a whole status.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Control {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Control(Arc::new(Inner {
            wakeup: Wakeup::new()?,
            requests: Mutex::default(),
            is_end_asked: AtomicBool::new(false),
            status: Mutex::default(),
            stop: OnceLock::new(),
            pausing: OnceLock::new(),
        })))
    }

    /// Sets the descriptor that becomes readable when the process is asked to stop.
    pub(crate) fn set_stop(&self, stop: BorrowedFd<'_>) -> io::Result<()> {
        if self.0.stop.get().is_none() {
            let _ = self.0.stop.set(fd::above_standard(stop.try_clone_to_owned()?)?);
        }
        Ok(())
    }

    /// Sets how to tell whether the worker with this number, in the order of start from 0, pauses.
    pub(crate) fn set_pausing(&self, is_pausing: impl Fn(u32) -> bool + Send + Sync + 'static) {
        let _ = self.0.pausing.set(Box::new(is_pausing));
    }

    /// Returns whether a worker pauses, of its own accord.
    pub(crate) fn is_pausing(&self, worker: u32) -> bool {
        self.0.pausing.get().is_some_and(|is_pausing| is_pausing(worker))
    }

    /// Returns whether the process was asked to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.0.stop.get().is_some_and(|stop| fd::wait_readable(stop, Some(monotonic_ns())).unwrap_or(true))
    }

    pub(crate) fn ask(&self, request: Request) {
        if request == Request::End {
            self.0.is_end_asked.store(true, Ordering::Relaxed);
        }
        locked(&self.0.requests).push_back(request);
        self.0.wakeup.wake();
    }

    /// Returns whether the run was asked to end.
    pub(crate) fn is_end_asked(&self) -> bool {
        self.0.is_end_asked.load(Ordering::Relaxed)
    }

    /// Returns the next request, if there is one. Does not block: to wait, wait for [`AsFd`] to become readable.
    pub(crate) fn next(&self) -> Option<Request> {
        let mut requests = locked(&self.0.requests);
        let next = requests.pop_front();
        if requests.is_empty() {
            self.0.wakeup.clear();
        }
        next
    }

    /// Blocks until there is a request, the process is asked to stop, or `until_ns` has passed. Returns the request.
    pub(crate) fn wait(&self, until_ns: Option<u64>) -> io::Result<Option<Request>> {
        let stop = self.0.stop.get().map(AsFd::as_fd);
        let sources: Vec<_> = std::iter::once(self.as_fd()).chain(stop).collect();
        fd::wait_any_readable(&sources, until_ns)?;
        Ok(self.next())
    }

    /// Changes the status.
    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        let mut status = locked(&self.0.status);
        change(&mut status);
        status.version += 1;
    }

    /// Tells the person something, in English and in Chinese.
    pub(crate) fn notify(&self, en: impl Into<String>, zh: impl Into<String>) {
        let notice = [en.into(), zh.into()];
        self.update(|status| status.notice = Some(notice));
    }

    /// Returns the status if it is not of this version. A notice is returned once.
    pub(crate) fn status_after(&self, version: u64) -> Option<Status> {
        let mut status = locked(&self.0.status);
        (status.version != version).then(|| {
            let notice = status.notice.take();
            Status { notice, ..status.clone() }
        })
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wakeup.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_in_order_and_the_descriptor_is_readable_as_long_as_there_are_some() {
        let control = Control::new().expect("a descriptor");
        let is_readable = || fd::wait_readable(&control, Some(monotonic_ns())).expect("a wait");
        assert!(!is_readable() && control.next().is_none());
        control.ask(Request::Hold);
        control.ask(Request::Kill(7));
        assert_eq!((control.next(), is_readable()), (Some(Request::Hold), true));
        assert_eq!((control.next(), is_readable()), (Some(Request::Kill(7)), false));
    }

    #[test]
    fn notice_is_told_once() {
        let control = Control::new().expect("a descriptor");
        assert!(control.status_after(0).is_none());
        control.notify("stopped", "已停止");
        let told = control.status_after(0).expect("it has changed");
        assert_eq!(told.notice, Some(["stopped".to_owned(), "已停止".to_owned()]));
        assert!(control.status_after(told.version).is_none());
        control.update(|status| status.is_held = true);
        let told = control.status_after(told.version).expect("it has changed");
        assert!(told.is_held && told.notice.is_none());
    }

    #[test]
    fn stop_ends_a_wait() {
        let (stop, wakeup) = (Wakeup::new().expect("a descriptor"), Control::new().expect("a descriptor"));
        wakeup.set_stop(stop.as_fd()).expect("a copy");
        assert!(!wakeup.is_stopped());
        stop.wake();
        assert!(wakeup.is_stopped());
        assert_eq!(wakeup.wait(None).expect("a wait"), None);
    }
}
