//! Proxies of locks and semaphores.
//!
//! # Death
//! Everything a process holds is released when it ends in any way, or loses its connection. The next holder of a lock
//! is told that it was abandoned.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;

use super::{Answer, Method, Object, Reply, Result, methods, proxy};

/// A held lock or permit of a manager. Dropping it releases it and ignores errors; see [`release`](Self::release).
///
/// Stays in the thread that acquired it.
#[derive(Debug)]
#[must_use = "it is given back when the guard is dropped"]
pub struct Guard<'a> {
    pub(super) object: &'a Object,
    permit: u64,
    pub(super) abandoned: bool,
    not_send: PhantomData<*const ()>,
}

impl<'a> Answer<'a> for Guard<'a> {
    fn from_reply(object: &'a Object, reply: Reply) -> Option<Self> {
        let Reply::Acquired { permit, abandoned } = reply else { return None };
        Some(Guard { object, permit, abandoned, not_send: PhantomData })
    }
}

impl Guard<'_> {
    /// Returns whether the previous holder died with the lock. The data it protects may then be inconsistent: check it
    /// first.
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }

    /// Releases it, and reports any error.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if it is no longer held.
    pub fn release(self) -> Result<()> {
        // Dropping the guard would release the lock again.
        ManuallyDrop::new(self).give_back()
    }

    fn give_back(&self) -> Result<()> {
        // A semaphore's permits are interchangeable.
        let args = if self.permit == 0 { vec![] } else { vec![self.permit.into()] };
        self.object.ask(Method::Release, args)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // A drop cannot report the error; a manager that is gone has no locks.
        let _ = self.give_back();
    }
}

proxy! {
    /// A lock in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.Lock()`. Differs: it is released when its holder dies. A thread that acquires it twice
    /// deadlocks.
    Lock
}

proxy! {
    /// A recursive lock in a manager: the thread that holds it may acquire it again.
    ///
    /// # Standard
    /// Python's `SyncManager.RLock()`. Differs: it is released when its holder's process dies.
    RLock
}

proxy! {
    /// A semaphore in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.Semaphore(value)`. Differs: permits are released when their holder dies, unless it was
    /// created to count only.
    Semaphore
}

proxy! {
    /// A semaphore in a manager that is never released more often than it was acquired.
    ///
    /// # Standard
    /// Python's `SyncManager.BoundedSemaphore(value)`. Differs: permits are released when their holder dies.
    BoundedSemaphore
}

methods! { [Lock RLock Semaphore BoundedSemaphore] {
    /// Acquires it, blocking until it is available. Waiters are served in order of arrival.
    acquire() -> Guard<'_> = Acquire blocking;
    /// Acquires it if that does not block.
    try_acquire() -> Option<Guard<'_>> = Acquire;
    /// Acquires it, blocking at most `timeout`. Returns `None` on timeout.
    acquire_timeout(; timeout) -> Option<Guard<'_>> = Acquire;
    /// Returns whether acquiring it would block. For diagnosis: the answer may be outdated on return.
    locked() -> bool = Locked;
} }

methods! { [Semaphore BoundedSemaphore] {
    /// Adds `permits`, regardless of which process acquired them.
    ///
    /// # Errors
    /// [`ManagerError::Managed`](crate::manager::ManagerError::Managed) if that exceeds the maximum.
    release(permits: u32) -> () = Release;
    /// Returns the number of free permits. For diagnosis: it may be outdated on return.
    get_value() -> usize = GetValue;
} }
