//! Locks, plain and recursive.
//!
//! # State
//! The holder with its depth, and a FIFO queue of waiters. Every acquisition has a number, its permit: a release that
//! names a permit other than the current one is refused, so a late release cannot unlock a later acquisition.
//!
//! # Death
//! When the holder's session ends, the lock is released, and the next holder is told that it was abandoned.
//!
//! # Standard
//! Python `threading.Lock` and `RLock` in a manager: any client may release a plain lock, only the owner a recursive
//! one; the owner is a thread of a client. Differs: Python's stays locked forever when its holder is killed.

use std::collections::VecDeque;

use super::args::Args;
use super::call::Reply;
use super::failure::Failure;
use super::method::Method;
use super::waits::{Caller, Context, SessionId, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::{Kind, ObjectId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    session: SessionId,
    thread: u64,
    permit: u64,
    depth: u64,
}

/// What a waiter waits for.
#[derive(Debug)]
enum Want {
    Acquire,
    /// The end of a condition's wait, with the depth before it. Without a notice it has timed out.
    Resume {
        held: Held,
        notice: Option<Notice>,
    },
}

/// Depth and permit of a lock that a condition's waiter released.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    depth: u64,
    permit: u64,
}

/// What ends a condition's wait, other than a timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(super) condition: ObjectId,
    /// When it was given, as a number of the wait table.
    pub(super) number: u64,
    /// Not from a notifier: a holder died with the lock.
    pub(super) abandoned: bool,
}

/// A lock object.
#[derive(Debug)]
pub(crate) struct Mutex {
    recursive: bool,
    holder: Option<Holder>,
    abandoned: bool,
    line: VecDeque<(WaiterId, Want)>,
}

impl Mutex {
    pub(crate) fn new(recursive: bool) -> Self {
        Mutex { recursive, holder: None, abandoned: false, line: VecDeque::new() }
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.recursive { Kind::RLock } else { Kind::Lock }
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Acquire => self.acquire(cx),
            Method::Release => {
                let permit = args.int_or(0)?;
                self.release(cx.caller, permit, cx.waits)?;
                Ok(Reply::DONE.into())
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
            Some(_) => match cx.park()? {
                Some(waiter) => {
                    self.line.push_back((waiter, Want::Acquire));
                    Ok(Step::Parked)
                }
                None => Ok(Reply::NotInTime.into()),
            },
        }
    }

    fn release(&mut self, caller: Caller, permit: u64, waits: &mut WaitTable) -> Result<(), Failure> {
        let unheld = if self.recursive { Failure::ReleaseUnacquired } else { Failure::ReleaseUnlocked };
        let holder = self.holder.as_mut().ok_or(unheld)?;
        let is_owner = holder.session == caller.session && holder.thread == caller.thread;
        if (self.recursive && !is_owner) || (permit != 0 && permit != holder.permit) {
            return Err(Failure::ReleaseUnacquired);
        }
        holder.depth -= 1;
        if holder.depth == 0 {
            self.holder = None;
            self.hand_on(waits);
        }
        Ok(())
    }

    /// Whether the calling thread holds the lock; for a plain lock any thread of the client counts.
    pub(crate) fn is_held_by(&self, caller: Caller) -> bool {
        let is_owner =
            |holder: &Holder| holder.session == caller.session && (!self.recursive || holder.thread == caller.thread);
        self.holder.as_ref().is_some_and(is_owner)
    }

    /// Releases all levels, for a condition's wait.
    pub(crate) fn give_up(&mut self, waits: &mut WaitTable) -> Option<Held> {
        let Holder { depth, permit, .. } = self.holder.take()?;
        self.hand_on(waits);
        Some(Held { depth, permit })
    }

    /// Queues a condition's waiter for the lock that it released.
    pub(crate) fn resume(&mut self, waiter: WaiterId, held: Held, notice: Option<Notice>, waits: &mut WaitTable) {
        self.line.push_back((waiter, Want::Resume { held, notice }));
        self.hand_on(waits);
    }

    /// Grants a free lock to the first waiter.
    fn hand_on(&mut self, waits: &mut WaitTable) {
        while self.holder.is_none()
            && let Some((waiter, want)) = self.line.pop_front()
        {
            let Some((Caller { session, thread, .. }, _)) = waits.who(waiter) else { continue };
            let abandoned = std::mem::take(&mut self.abandoned);
            let (held, reply) = match want {
                Want::Acquire => {
                    let permit = waits.number();
                    (Held { depth: 1, permit }, Reply::Acquired { permit, abandoned })
                }
                Want::Resume { held, notice } => {
                    let abandoned = abandoned || notice.is_some_and(|notice| notice.abandoned);
                    (held, Reply::Woken { notified: notice.is_some(), abandoned })
                }
            };
            self.holder = Some(Holder { session, thread, permit: held.permit, depth: held.depth });
            waits.complete(waiter, Ok(reply));
        }
    }

    pub(crate) fn timed_out(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        self.line.retain(|(waiting, _)| *waiting != waiter);
        waits.complete(waiter, Ok(Reply::NotInTime));
    }

    /// Removes a waiter. Returns its notice, if it had one, for another waiter.
    pub(crate) fn forget(&mut self, waiter: WaiterId) -> Option<Notice> {
        let at = self.line.iter().position(|(waiting, _)| *waiting == waiter)?;
        match self.line.remove(at) {
            Some((_, Want::Resume { notice, .. })) => notice,
            _ => None,
        }
    }

    /// Returns whether the lock was abandoned.
    pub(crate) fn session_ended(&mut self, session: SessionId, waits: &mut WaitTable) -> bool {
        let held_it = self.holder.is_some_and(|holder| holder.session == session);
        if held_it {
            self.holder = None;
            self.abandoned = true;
            self.hand_on(waits);
        }
        held_it
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.line.iter().map(|(waiter, _)| *waiter).collect()
    }
}
