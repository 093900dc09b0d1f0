//! Proxies of events and barriers.

use std::time::Duration;

use super::{Error, Failure, ManagerError, Method, Reply, Result, methods, proxy};
use crate::ipc::sync::BreakCause;

proxy! {
    /// An event in a manager: a flag to wait for.
    ///
    /// # Death
    /// A waiter that dies leaves no trace. The manager cannot know which process was to set the event: if that one
    /// died, the others wait until another sets it, or until their timeout.
    ///
    /// # Standard
    /// Python's `SyncManager.Event()`. Differs: setting it wakes all present waiters, even if it is cleared
    /// immediately.
    Event
}

methods! { [Event] {
    /// Returns whether it is set.
    is_set() -> bool = IsSet;
    /// Sets it, and wakes all waiters.
    set() -> () = Set;
    /// Clears it.
    clear() -> () = Clear;
    /// Blocks until it is set.
    wait() -> () = Wait blocking;
    /// Blocks until it is set, at most `timeout`. Returns `false` on timeout.
    wait_timeout(; timeout) -> bool = Wait;
} }

proxy! {
    /// A barrier in a manager: blocks each party until all of them wait.
    ///
    /// # Death
    /// A process that dies while it has a proxy of the barrier breaks it at once, even before it has ever waited, or
    /// before it could import the proxy that was sent to it (within 100 ms): the others do not wait for it, until
    /// [`reset`](Self::reset). So does a process that panics, or ends its connection without dropping its proxies.
    /// Dropping them is an orderly departure and breaks nothing, but does not lower the number of parties.
    ///
    /// # Standard
    /// Python's `SyncManager.Barrier(parties)`. Differs: the action runs in the last party to arrive, see
    /// [`wait_with`](Self::wait_with).
    Barrier
}

methods! { [Barrier] {
    /// Breaks the barrier until it is [`reset`](Self::reset).
    abort() -> () = Abort;
    /// Repairs the barrier. Parties waiting now get an error.
    reset() -> () = Reset;
    /// Returns the number of parties.
    parties() -> usize = Parties;
    /// Returns how many parties wait now.
    n_waiting() -> usize = NWaiting;
    /// Returns whether it is broken.
    is_broken() -> bool = Broken;
} }

impl Barrier {
    /// Blocks until all parties wait. Returns a different number below the number of parties to each.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] with [`Failure::BrokenBarrier`] if the barrier is or becomes broken.
    pub fn wait(&self) -> Result<u32> {
        self.wait_at_most(None, || Ok(()))
    }

    /// As [`wait`](Self::wait), at most `timeout`: a timeout breaks the barrier for all.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32> {
        self.wait_at_most(Some(timeout), || Ok(()))
    }

    /// As [`wait`](Self::wait), and the last party to arrive runs `action` before any party is released. For a barrier
    /// created with an action; all parties should pass the same one.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). An error of the action goes to the party that ran it, and breaks the barrier for the
    /// others.
    pub fn wait_with(&self, action: impl FnOnce() -> Result<()>) -> Result<u32> {
        self.wait_at_most(None, action)
    }

    fn wait_at_most(&self, timeout: Option<Duration>, action: impl FnOnce() -> Result<()>) -> Result<u32> {
        match self.object.call(Method::Wait, vec![], timeout)? {
            Reply::Arrived { index, leads: false } => Ok(index),
            Reply::Arrived { index, leads: true } => {
                let done = action();
                self.object.ask::<()>(Method::Finish, vec![done.is_ok().into()])?;
                done.map(|()| index)
            }
            // The timeout has broken the barrier for all.
            Reply::NotInTime => {
                let doing = self.object.doing(Method::Wait).to_string();
                Err(ManagerError::managed(doing, Failure::BrokenBarrier(BreakCause::TimedOut)).into())
            }
            _ => Err(ManagerError::gone().into()),
        }
    }

    /// Returns whether an error of [`wait`](Self::wait) means that the barrier is broken.
    pub fn is_broken_error(error: &Error) -> bool {
        Barrier::break_cause(error).is_some()
    }

    /// Returns the cause if an error of [`wait`](Self::wait) means that the barrier is broken.
    ///
    /// The id of a process that died is known if it was connected through a Unix socket.
    pub fn break_cause(error: &Error) -> Option<BreakCause> {
        let Error::Manager(ManagerError::Managed { source, .. }) = error else { return None };
        if let Failure::BrokenBarrier(cause) = **source { Some(cause) } else { None }
    }
}
