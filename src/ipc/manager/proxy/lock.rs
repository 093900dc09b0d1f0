//! Proxies of locks and semaphores.
//!
//! # Death
//! What a process holds is given back when it ends in any way, or loses its connection. Who gets a lock then is told that it
//! was abandoned.

use std::marker::PhantomData;
use std::time::Duration;

use super::{AT_ONCE, proxy};
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::client::Object;
use crate::ipc::manager::store::{Method, Reply};
use crate::sys::robust::own_tid;

/// A lock or a permit of a manager, held. Dropping it gives it back; what that came to nobody hears then, see
/// [`release`](Self::release).
///
/// Stays in the thread that acquired it.
#[derive(Debug)]
#[must_use = "it is given back when the guard is dropped"]
pub struct Guard<'a> {
    object: &'a Object,
    permit: u64,
    abandoned: bool,
    is_held: bool,
    not_send: PhantomData<*const ()>,
}

/// Which of this process's threads calls, for what belongs to a thread.
pub(super) fn this_thread() -> u64 {
    own_tid().into()
}

impl<'a> Guard<'a> {
    pub(super) fn acquire(object: &'a Object, timeout: Option<Duration>) -> Result<Option<Self>> {
        match object.call_patiently(Method::Acquire, vec![], timeout, this_thread())? {
            Reply::Acquired { permit, abandoned } => {
                Ok(Some(Guard { object, permit, abandoned, is_held: true, not_send: PhantomData }))
            }
            Reply::NotInTime => Ok(None),
            _ => Err(Error::manager_gone()),
        }
    }

    /// As [`acquire`](Self::acquire), for as long as it takes.
    pub(super) fn acquire_in_the_end(object: &'a Object) -> Result<Self> {
        Guard::acquire(object, None)?.ok_or_else(Error::manager_gone)
    }

    /// Whether the holder before this one died with the lock. What it was changing may be half done: look at it first.
    pub fn abandoned(&self) -> bool {
        self.abandoned
    }

    /// Gives it back, and says what that came to.
    ///
    /// # Errors
    /// [`Error::Managed`] if it is not held any more.
    pub fn release(mut self) -> Result<()> {
        self.give_back()
    }

    pub(super) fn object(&self) -> &'a Object {
        self.object
    }

    pub(super) fn note_abandoned(&mut self, abandoned: bool) {
        self.abandoned = abandoned;
    }

    fn give_back(&mut self) -> Result<()> {
        self.is_held = false;
        // Of semaphores any permit is as good as any other.
        let args = if self.permit == 0 { vec![] } else { vec![self.permit.into()] };
        self.object.call_patiently(Method::Release, args, AT_ONCE, this_thread()).map(drop)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.is_held {
            // There is nobody to tell an error to; a manager that is gone has no locks.
            let _ = self.give_back();
        }
    }
}

/// What locks and semaphores have in common.
macro_rules! acquirable {
    ($name:ident) => {
        impl $name {
            /// Acquires it, waiting as long as it takes. Who came first is served first.
            pub fn acquire(&self) -> Result<Guard<'_>> {
                Guard::acquire_in_the_end(&self.object)
            }

            /// Acquires it if that needs no waiting.
            pub fn try_acquire(&self) -> Result<Option<Guard<'_>>> {
                Guard::acquire(&self.object, AT_ONCE)
            }

            /// Acquires it, waiting at most `timeout`. `None` if it passed.
            pub fn acquire_timeout(&self, timeout: Duration) -> Result<Option<Guard<'_>>> {
                Guard::acquire(&self.object, Some(timeout))
            }

            /// Whether acquiring it would have to wait, for diagnosis: it may be otherwise by the time this returns.
            pub fn locked(&self) -> Result<bool> {
                self.object.get_bool(Method::Locked, vec![])
            }
        }
    };
}

proxy! {
    /// A lock in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.Lock()`. Differs: it comes back when its holder dies. A thread that acquires it twice waits for
    /// itself.
    Lock
}
acquirable!(Lock);

proxy! {
    /// A recursive lock in a manager: its thread may acquire it again.
    ///
    /// # Standard
    /// Python's `SyncManager.RLock()`. Differs: it comes back when its holder's process dies.
    RLock
}
acquirable!(RLock);

proxy! {
    /// A semaphore in a manager.
    ///
    /// # Standard
    /// Python's `SyncManager.Semaphore(value)`. Differs: permits come back when their holder dies, unless it was made to
    /// count only.
    Semaphore
}
acquirable!(Semaphore);

proxy! {
    /// A semaphore in a manager that is never released more often than it was acquired.
    ///
    /// # Standard
    /// Python's `SyncManager.BoundedSemaphore(value)`. Differs: permits come back when their holder dies.
    BoundedSemaphore
}
acquirable!(BoundedSemaphore);

/// What both kinds of semaphores have.
macro_rules! semaphore {
    ($name:ident) => {
        impl $name {
            /// Adds `permits`, whoever acquired them.
            ///
            /// # Errors
            /// [`Error::Managed`] if that is more than there may be.
            pub fn release(&self, permits: u32) -> Result<()> {
                self.object.tell(Method::Release, vec![permits.into()])
            }

            /// How many permits are free, for diagnosis: it may be otherwise by the time this returns.
            pub fn get_value(&self) -> Result<usize> {
                self.object.get_number(Method::GetValue)
            }
        }
    };
}
semaphore!(Semaphore);
semaphore!(BoundedSemaphore);
