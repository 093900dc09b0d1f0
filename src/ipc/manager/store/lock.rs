//! Locks, plain and recursive.
//!
//! # State
//! The holder with its depth. Waiters are served in FIFO order. Every acquisition has a number, its permit: a release that
//! names a permit other than the current one is refused, so a late release cannot unlock a later acquisition.
//!
//! # Death
//! When the holder's session ends, the lock is released, and the next holder is told that it was abandoned.
//!
//! # Standard
//! Python `threading.Lock` and `RLock` in a manager: any client may release a plain lock, only the owner a recursive
//! one; the owner is a thread of a client. Differs: Python's stays locked forever when its holder is killed.

use super::waits::Held;
use super::{Args, Caller, Failure, Method, Reply, SessionId, Step, Waiter, Want};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    session: SessionId,
    thread: u64,
    held: Held,
}

impl Holder {
    fn is(&self, caller: Caller) -> bool {
        self.session == caller.session && self.thread == caller.thread
    }
}

/// A lock object.
#[derive(Debug)]
pub(crate) struct Mutex {
    recursive: bool,
    holder: Option<Holder>,
    abandoned: bool,
}

impl Mutex {
    pub(crate) fn new(recursive: bool) -> Self {
        Mutex { recursive, holder: None, abandoned: false }
    }

    pub(crate) fn call(&mut self, caller: Caller, method: Method, mut args: Args) -> Result<Step, Failure> {
        Ok(match method {
            Method::Acquire => Step::Wait(Want::Acquire),
            Method::Release => {
                let permit = args.or(0, Args::int)?;
                self.release(caller, permit)?;
                Reply::DONE.into()
            }
            Method::Locked | Method::Snapshot => self.holder.is_some().into(),
            _ => return Err(args.no_such_method()),
        })
    }

    fn release(&mut self, caller: Caller, permit: u64) -> Result<(), Failure> {
        let unheld = if self.recursive { Failure::ReleaseUnacquired } else { Failure::ReleaseUnlocked };
        let holder = self.holder.as_mut().ok_or(unheld)?;
        if (self.recursive && !holder.is(caller)) || (permit != 0 && permit != holder.held.permit) {
            return Err(Failure::ReleaseUnacquired);
        }
        holder.held.depth -= 1;
        if holder.held.depth == 0 {
            self.holder = None;
        }
        Ok(())
    }

    /// Acquires the lock for a waiter if the lock is free, or once more for its holder.
    pub(crate) fn attempt(&mut self, waiter: &Waiter) -> Option<Reply> {
        if !self.can_be_acquired_by(waiter.caller) {
            return None;
        }
        if let Some(holder) = &mut self.holder {
            holder.held.depth += 1;
            return Some(Reply::Acquired { permit: holder.held.permit, abandoned: false });
        }
        let abandoned = std::mem::take(&mut self.abandoned);
        let (held, reply) = match waiter.want {
            Want::Resume { held, notice } => {
                let abandoned = abandoned || notice.is_some_and(|notice| notice.abandoned);
                (held, Reply::Woken { notified: notice.is_some(), abandoned })
            }
            _ => {
                let permit = waiter.number;
                (Held { depth: 1, permit }, Reply::Acquired { permit, abandoned })
            }
        };
        let Caller { session, thread, .. } = waiter.caller;
        self.holder = Some(Holder { session, thread, held });
        Some(reply)
    }

    pub(crate) fn can_be_acquired_by(&self, caller: Caller) -> bool {
        self.holder.is_none_or(|holder| self.recursive && holder.is(caller))
    }

    pub(crate) fn is_held_by(&self, session: SessionId) -> bool {
        self.holder.is_some_and(|holder| holder.session == session)
    }

    /// How the calling thread holds the lock, if it does; for a plain lock any thread of the client counts.
    pub(crate) fn held_by(&self, caller: Caller) -> Option<Held> {
        let is_own =
            |holder: &Holder| if self.recursive { holder.is(caller) } else { holder.session == caller.session };
        self.holder.filter(is_own).map(|holder| holder.held)
    }

    /// Releases all levels, for a condition's wait.
    pub(crate) fn give_up(&mut self) {
        self.holder = None;
    }

    /// Returns whether the lock was abandoned.
    pub(crate) fn session_ended(&mut self, session: SessionId) -> bool {
        let held_it = self.holder.take_if(|holder| holder.session == session).is_some();
        self.abandoned |= held_it;
        held_it
    }
}
