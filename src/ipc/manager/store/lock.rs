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

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::waits::{Caller, Context, Held, Line, Notice, SessionId, Step, WaitTable, Waiter, Want};
use crate::ipc::manager::data::{Kind, ObjectId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    session: SessionId,
    thread: u64,
    permit: u64,
    depth: u64,
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

    pub(crate) fn kind(&self) -> Kind {
        if self.recursive { Kind::RLock } else { Kind::Lock }
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Acquire => self.acquire(cx),
            Method::Release => {
                let permit = args.or(0, Args::int)?;
                self.release(cx, permit).map(|()| Reply::DONE.into())
            }
            Method::Locked | Method::Snapshot => Ok(self.holder.is_some().into()),
            _ => Err(Failure::NoSuchMethod { kind: self.kind(), method }),
        }
    }

    fn acquire(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        let Caller { session, thread, .. } = cx.caller;
        match &mut self.holder {
            None => {
                let permit = cx.waits.number();
                self.holder = Some(Holder { session, thread, permit, depth: 1 });
                Ok(Reply::Acquired { permit, abandoned: std::mem::take(&mut self.abandoned) }.into())
            }
            Some(holder) if self.recursive && holder.session == session && holder.thread == thread => {
                holder.depth += 1;
                Ok(Reply::Acquired { permit: holder.permit, abandoned: false }.into())
            }
            Some(_) => cx.wait(Want::Acquire),
        }
    }

    fn release(&mut self, cx: &mut Context<'_>, permit: u64) -> Result<(), Failure> {
        let unheld = if self.recursive { Failure::ReleaseUnacquired } else { Failure::ReleaseUnlocked };
        let holder = self.holder.as_mut().ok_or(unheld)?;
        let is_owner = holder.session == cx.caller.session && holder.thread == cx.caller.thread;
        if (self.recursive && !is_owner) || (permit != 0 && permit != holder.permit) {
            return Err(Failure::ReleaseUnacquired);
        }
        holder.depth -= 1;
        if holder.depth == 0 {
            self.give_up(cx.object, cx.waits);
        }
        Ok(())
    }

    /// How the calling thread holds the lock, if it does; for a plain lock any thread of the client counts.
    pub(crate) fn held_by(&self, caller: Caller) -> Option<Held> {
        let is_owner =
            |holder: &Holder| holder.session == caller.session && (!self.recursive || holder.thread == caller.thread);
        self.holder.filter(is_owner).map(|Holder { depth, permit, .. }| Held { depth, permit })
    }

    /// Releases all levels, for a condition's wait.
    pub(crate) fn give_up(&mut self, own: ObjectId, waits: &mut WaitTable) {
        self.holder = None;
        self.hand_on(own, waits);
    }

    /// Queues a condition's waiter, taken from the condition's queue, for the lock that it released.
    pub(crate) fn resume(&mut self, own: ObjectId, waiter: Waiter, notice: Option<Notice>, waits: &mut WaitTable) {
        if let Want::Notice(held) = waiter.want {
            waits.requeue(waiter, own, Want::Resume { held, notice });
            self.hand_on(own, waits);
        }
    }

    /// Grants a free lock to the first waiter.
    fn hand_on(&mut self, own: ObjectId, waits: &mut WaitTable) {
        if self.holder.is_some() {
            return;
        }
        let Some(waiter) = waits.pop(own, Line::Main) else { return };
        let abandoned = std::mem::take(&mut self.abandoned);
        let (Held { depth, permit }, reply) = match waiter.want {
            Want::Resume { held, notice } => {
                let abandoned = abandoned || notice.is_some_and(|notice| notice.abandoned);
                (held, Reply::Woken { notified: notice.is_some(), abandoned })
            }
            _ => {
                let permit = waits.number();
                (Held { depth: 1, permit }, Reply::Acquired { permit, abandoned })
            }
        };
        let Caller { session, thread, .. } = waiter.caller;
        self.holder = Some(Holder { session, thread, permit, depth });
        waits.complete(waiter, Ok(reply));
    }

    /// Returns whether the lock was abandoned.
    pub(crate) fn session_ended(&mut self, session: SessionId, own: ObjectId, waits: &mut WaitTable) -> bool {
        let held_it = self.holder.is_some_and(|holder| holder.session == session);
        if held_it {
            self.abandoned = true;
            self.give_up(own, waits);
        }
        held_it
    }
}
