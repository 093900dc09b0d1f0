//! Proxies of conditions.

use std::time::{Duration, Instant};

use super::lock::this_thread;
use super::{AT_ONCE, Guard, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::store::{Method, Reply};

proxy! {
    /// A condition in a manager: a lock, and waiting until somebody says that something has changed.
    ///
    /// # Death
    /// A waiter that dies takes no notification along: the next who waited gets it. If somebody dies with the lock in hand,
    /// one waiter is woken as if it had been notified, and its guard says [`abandoned`](ConditionGuard::abandoned).
    ///
    /// # Standard
    /// Python's `SyncManager.Condition(lock)`. Differs: waiting and notifying are methods of the held lock, so they cannot be
    /// called without it.
    Condition
}

impl Condition {
    /// Acquires the lock, waiting as long as it takes.
    pub fn acquire(&self) -> Result<ConditionGuard<'_>> {
        Ok(ConditionGuard { lock: Guard::acquire_in_the_end(&self.object)? })
    }

    /// Acquires the lock, waiting at most `timeout`. `None` if it passed.
    pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<ConditionGuard<'_>>> {
        Ok(Guard::acquire(&self.object, Some(timeout))?.map(|lock| ConditionGuard { lock }))
    }
}

/// A condition's lock, held. Dropping it releases the lock.
#[derive(Debug)]
#[must_use = "the lock is released when the guard is dropped"]
pub struct ConditionGuard<'a> {
    lock: Guard<'a>,
}

impl ConditionGuard<'_> {
    /// Releases the lock, waits for a notification, and acquires the lock again.
    pub fn wait(&mut self) -> Result<()> {
        self.wait_at_most(None).map(drop)
    }

    /// As [`wait`](Self::wait), at most `timeout`. `false` if it passed first; the lock is held again in any case, however
    /// long that takes.
    pub fn wait_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.wait_at_most(Some(timeout))
    }

    /// Waits until `is_so` holds, which is asked with the lock held: at first, and after every notification.
    ///
    /// # Errors
    /// As [`wait`](Self::wait), and what `is_so` returns.
    pub fn wait_for(&mut self, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
        while !is_so()? {
            self.wait()?;
        }
        Ok(())
    }

    /// As [`wait_for`](Self::wait_for), at most `timeout`. The last answer of `is_so`.
    pub fn wait_for_timeout(&mut self, timeout: Duration, mut is_so: impl FnMut() -> Result<bool>) -> Result<bool> {
        let begin = Instant::now();
        loop {
            if is_so()? {
                return Ok(true);
            }
            let left = timeout.saturating_sub(begin.elapsed());
            if left.is_zero() {
                return Ok(false);
            }
            self.wait_timeout(left)?;
        }
    }

    /// Wakes at most `count` of those who wait now. They go on when they have the lock.
    pub fn notify(&self, count: u32) -> Result<()> {
        let object = self.lock.object();
        object.call_patiently(Method::Notify, vec![count.into()], AT_ONCE, this_thread()).map(drop)
    }

    /// Wakes all who wait now.
    pub fn notify_all(&self) -> Result<()> {
        self.lock.object().call_patiently(Method::NotifyAll, vec![], AT_ONCE, this_thread()).map(drop)
    }

    /// Whether the holder before this one died with the lock, as of the last time that it was acquired.
    pub fn abandoned(&self) -> bool {
        self.lock.abandoned()
    }

    fn wait_at_most(&mut self, timeout: Option<Duration>) -> Result<bool> {
        // Acquiring the lock again may take long after the time has passed: the answer has no time limit here.
        let object = self.lock.object();
        let pending = object.start_without_limit(Method::Wait, vec![], timeout, this_thread())?;
        match object.answer(Method::Wait, pending)? {
            Reply::Woken { notified, abandoned } => {
                self.lock.note_abandoned(abandoned);
                Ok(notified)
            }
            _ => Err(Error::manager_gone()),
        }
    }
}
