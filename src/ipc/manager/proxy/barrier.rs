//! Proxies of events and barriers.

use std::time::Duration;

use super::proxy;
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::store::{Failure, Method, Reply};

proxy! {
    /// An event in a manager: a flag to wait for.
    ///
    /// # Death
    /// A waiter that dies leaves no trace. Nobody knows who was to set the event: if that one died, the others wait until
    /// another does, or their time has passed.
    ///
    /// # Standard
    /// Python's `SyncManager.Event()`. Differs: who waits when it is set is woken, also if it is cleared at once.
    Event
}

impl Event {
    /// Whether it is set.
    pub fn is_set(&self) -> Result<bool> {
        self.object.get_bool(Method::IsSet, vec![])
    }

    /// Sets it, and wakes all who wait.
    pub fn set(&self) -> Result<()> {
        self.object.tell(Method::Set, vec![])
    }

    /// Clears it.
    pub fn clear(&self) -> Result<()> {
        self.object.tell(Method::Clear, vec![])
    }

    /// Waits until it is set.
    pub fn wait(&self) -> Result<()> {
        self.object.call_patiently(Method::Wait, vec![], None, 0).map(drop)
    }

    /// Waits until it is set, at most `timeout`. `false` if that passed first.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<bool> {
        let reply = self.object.call_patiently(Method::Wait, vec![], Some(timeout), 0)?;
        Ok(super::into_datum(reply)?.as_bool().unwrap_or_default())
    }
}

proxy! {
    /// A barrier in a manager: each waits until all parties do.
    ///
    /// # Death
    /// A process that dies while it has a proxy of the barrier breaks it at once, also before it has ever waited, or before
    /// it could take over the proxy that it was given (within 100 ms): the others do not wait for it, until
    /// [`reset`](Self::reset). So does one that panics, or ends its connection without dropping its proxies. Who drops them
    /// leaves in order, and breaks nothing; but nobody counts on it any less.
    ///
    /// # Standard
    /// Python's `SyncManager.Barrier(parties)`. Differs: the action runs in the party that comes last, see
    /// [`wait_with`](Self::wait_with).
    Barrier
}

impl Barrier {
    /// Waits until all parties wait. Each gets another number, below the number of parties.
    ///
    /// # Errors
    /// [`Error::Managed`] with [`Failure::BrokenBarrier`] if the barrier is or gets broken.
    pub fn wait(&self) -> Result<u32> {
        self.wait_at_most(None, || Ok(()))
    }

    /// As [`wait`](Self::wait), at most `timeout`: after that the barrier is broken for all.
    pub fn wait_timeout(&self, timeout: Duration) -> Result<u32> {
        self.wait_at_most(Some(timeout), || Ok(()))
    }

    /// As [`wait`](Self::wait), and the party that comes last runs `action` before anybody is released. For a barrier that
    /// was made with an action; all parties should bring the same.
    ///
    /// # Errors
    /// As [`wait`](Self::wait). The action's own error goes to the party that ran it, and breaks the barrier for the others.
    pub fn wait_with(&self, action: impl FnOnce() -> Result<()>) -> Result<u32> {
        self.wait_at_most(None, action)
    }

    fn wait_at_most(&self, timeout: Option<Duration>, action: impl FnOnce() -> Result<()>) -> Result<u32> {
        match self.object.call_patiently(Method::Wait, vec![], timeout, 0)? {
            Reply::Arrived { index, leads: false } => Ok(index),
            Reply::Arrived { index, leads: true } => {
                let done = action();
                self.object.tell(Method::Finish, vec![done.is_ok().into()])?;
                done.map(|()| index)
            }
            // Its time has passed, and the barrier is broken for all.
            Reply::NotInTime => Err(self.object.refused(Method::Wait, Failure::BrokenBarrier)),
            _ => Err(Error::manager_gone()),
        }
    }

    /// Breaks the barrier, until it is [`reset`](Self::reset).
    pub fn abort(&self) -> Result<()> {
        self.object.tell(Method::Abort, vec![])
    }

    /// Makes the barrier whole again. Who waits now gets an error.
    pub fn reset(&self) -> Result<()> {
        self.object.tell(Method::Reset, vec![])
    }

    /// How many have to come.
    pub fn parties(&self) -> Result<usize> {
        self.object.get_number(Method::Parties)
    }

    /// How many wait now.
    pub fn n_waiting(&self) -> Result<usize> {
        self.object.get_number(Method::NWaiting)
    }

    /// Whether it is broken.
    pub fn is_broken(&self) -> Result<bool> {
        self.object.get_bool(Method::Broken, vec![])
    }

    /// Whether an error of [`wait`](Self::wait) says that the barrier is broken.
    pub fn is_broken_error(error: &Error) -> bool {
        matches!(error, Error::Managed { source, .. } if **source == Failure::BrokenBarrier)
    }
}
