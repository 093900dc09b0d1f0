//! Proxies of conditions.

use std::time::Duration;

use super::{Answer, Guard, ManagerError, Method, Object, Reply, Result, methods, proxy};
use crate::ipc::deadline::Deadline;

proxy! {
    /// A condition variable in a manager, with its lock.
    ///
    /// # Death
    /// A waiter that dies consumes no notification: the next waiter gets it. If a process dies holding the lock, one
    /// waiter is woken as if it had been notified, and its guard reports [`abandoned`](ConditionGuard::abandoned).
    ///
    /// # Standard
    /// Python's `SyncManager.Condition(lock)`. Differs: waiting and notifying are methods of the held lock, so they
    /// cannot be called without it.
    Condition
}

methods! { [Condition] {
    /// Acquires the lock, blocking until it is available.
    acquire() -> ConditionGuard<'_> = Acquire blocking;
    /// Acquires the lock, blocking at most `timeout`. Returns `None` on timeout.
    acquire_timeout(; timeout) -> Option<ConditionGuard<'_>> = Acquire;
} }

/// A condition's lock, held. Dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ConditionGuard<'a> {
    lock: Guard<'a>,
}

impl<'a> Answer<'a> for ConditionGuard<'a> {
    fn from_reply(object: &'a Object, reply: Reply) -> Option<Self> {
        Guard::from_reply(object, reply).map(|lock| ConditionGuard { lock })
    }
}

impl ConditionGuard<'_> {
    /// Releases the lock, blocks until notified, and acquires the lock again.
    pub fn wait(&mut self) -> Result<()> {
        self.wait_at_most(None).map(drop)
    }

    /// As [`wait`](Self::wait), at most `timeout`. Returns `false` on timeout. Either way the lock is held again on
    /// return, however long that takes.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_at_most(Some(timeout))
    }

    /// Blocks until `is_so` returns `true`. It runs with the lock held, at first and after every notification.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and any error of `is_so`.
    pub fn wait_for(&mut self, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        while !is_so()? {
            self.wait()?;
        }
        Ok(())
    }

    /// As [`wait_for`](Self::wait_for), at most `timeout`. Returns the last result of `is_so`.
    pub fn wait_for_timeout(&mut self, timeout: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
        let deadline = Deadline::after(timeout);
        while !is_so()? {
            if deadline.has_passed() {
                return Ok(false);
            }
            self.wait_at_most(deadline.left())?;
        }
        Ok(true)
    }

    /// Wakes at most `count` of the present waiters. Each returns once it has the lock.
    pub fn notify(&self, count: u32) -> Result<()> {
        self.lock.object.ask(Method::Notify, vec![count.into()])
    }

    /// Wakes all present waiters.
    pub fn notify_all(&self) -> Result<()> {
        self.lock.object.ask(Method::NotifyAll, vec![])
    }

    /// Returns whether the previous holder died with the lock, as of the last time it was acquired.
    pub fn abandoned(&self) -> bool {
        self.lock.abandoned()
    }

    fn wait_at_most(&mut self, timeout: Option<Duration>) -> Result<bool> {
        match self.lock.object.call(Method::Wait, vec![], timeout)? {
            Reply::Woken { notified, abandoned } => {
                self.lock.abandoned = abandoned;
                Ok(notified)
            }
            _ => Err(ManagerError::gone().into()),
        }
    }
}
