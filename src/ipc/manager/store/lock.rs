//! Locks, plain and recursive.
//!
//! # State
//! The holder with its depth, and the line of those who wait, served in the order of their coming. Every acquisition has a
//! number, its permit: a release that names another's permit is refused, so a late one cannot release a stranger's lock.
//!
//! # Death
//! A holder whose session ends gives the lock back, and the next one is told that it was abandoned.
//!
//! # Standard
//! Python `threading.Lock` and `RLock` in a manager: a plain lock may be released by anybody, a recursive one by its owner,
//! which is a thread of a client. Differs: Python's stays locked for ever when its holder is killed.

use std::collections::VecDeque;

use super::args::Args;
use super::call::{Patience, Reply};
use super::desk::{Caller, Context, Desk, SessionId, Step, WaiterId};
use super::failure::Failure;
use super::method::Method;
use crate::ipc::manager::data::{Kind, ObjectId};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Holder {
    session: SessionId,
    thread: u64,
    permit: u64,
    depth: u64,
}

/// Why somebody stands in the line.
#[derive(Debug)]
enum Want {
    Acquire,
    /// The end of a condition's wait: so deep was the lock held before, and this is what the wait came to.
    Resume {
        held: Held,
        notified: bool,
    },
}

/// How deep and by which permit a lock was held that a condition's waiter gave up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    depth: u64,
    permit: u64,
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
    pub(crate) fn create(recursive: bool, args: Args) -> Result<Self, Failure> {
        args.end()?;
        Ok(Mutex { recursive, holder: None, abandoned: false, line: VecDeque::new() })
    }

    pub(crate) fn kind(&self) -> Kind {
        if self.recursive { Kind::RLock } else { Kind::Lock }
    }

    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, mut args: Args) -> Result<Step, Failure> {
        match method {
            Method::Acquire => {
                args.end()?;
                self.acquire(cx)
            }
            Method::Release => {
                let permit = args.int_or("a permit", 0)?;
                args.end()?;
                self.release(cx.caller, permit, cx.desk)?;
                Ok(Reply::DONE.into())
            }
            Method::Locked | Method::Snapshot => {
                args.end()?;
                Ok(self.holder.is_some().into())
            }
            _ => Err(Failure::NoSuchMethod { kind: self.kind(), method }),
        }
    }

    fn acquire(&mut self, cx: &mut Context<'_>) -> Result<Step, Failure> {
        let Caller { session, thread, .. } = cx.caller;
        match &mut self.holder {
            None => {
                let permit = cx.desk.number();
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

    fn release(&mut self, caller: Caller, permit: u64, desk: &mut Desk) -> Result<(), Failure> {
        let unheld = if self.recursive { Failure::ReleaseUnacquired } else { Failure::ReleaseUnlocked };
        let holder = self.holder.as_mut().ok_or(unheld)?;
        let is_owner = holder.session == caller.session && holder.thread == caller.thread;
        if (self.recursive && !is_owner) || (permit != 0 && permit != holder.permit) {
            return Err(Failure::ReleaseUnacquired);
        }
        holder.depth -= 1;
        if holder.depth == 0 {
            self.holder = None;
            self.hand_on(desk);
        }
        Ok(())
    }

    /// Whether the calling thread holds the lock; of a plain lock nobody asks which thread.
    pub(crate) fn is_held_by(&self, caller: Caller) -> bool {
        let is_owner =
            |holder: &Holder| holder.session == caller.session && (!self.recursive || holder.thread == caller.thread);
        self.holder.as_ref().is_some_and(is_owner)
    }

    /// Releases every level, for a condition's wait.
    pub(crate) fn give_up(&mut self, desk: &mut Desk) -> Option<Held> {
        let Holder { depth, permit, .. } = self.holder.take()?;
        self.hand_on(desk);
        Some(Held { depth, permit })
    }

    /// Puts the waiter of a condition into the line for the lock that it gave up.
    pub(crate) fn resume(&mut self, waiter: WaiterId, held: Held, notified: bool, desk: &mut Desk) {
        self.line.push_back((waiter, Want::Resume { held, notified }));
        self.hand_on(desk);
    }

    /// Gives a free lock to the first in the line.
    fn hand_on(&mut self, desk: &mut Desk) {
        while self.holder.is_none()
            && let Some((waiter, want)) = self.line.pop_front()
        {
            let Some((Caller { session, thread, .. }, _)) = desk.who(waiter) else { continue };
            let abandoned = std::mem::take(&mut self.abandoned);
            let (held, reply) = match want {
                Want::Acquire => {
                    let permit = desk.number();
                    (Held { depth: 1, permit }, Reply::Acquired { permit, abandoned })
                }
                Want::Resume { held, notified } => (held, Reply::Woken { notified, abandoned }),
            };
            self.holder = Some(Holder { session, thread, permit: held.permit, depth: held.depth });
            desk.complete(waiter, Ok(reply));
        }
    }

    pub(crate) fn timed_out(&mut self, waiter: WaiterId, desk: &mut Desk) {
        self.line.retain(|(waiting, _)| *waiting != waiter);
        desk.complete(waiter, Ok(Reply::NotInTime));
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId) {
        self.line.retain(|(waiting, _)| *waiting != waiter);
    }

    pub(crate) fn session_ended(&mut self, session: SessionId, desk: &mut Desk) {
        if self.holder.is_some_and(|holder| holder.session == session) {
            self.holder = None;
            self.abandoned = true;
            self.hand_on(desk);
        }
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.line.iter().map(|(waiter, _)| *waiter).collect()
    }
}

/// A condition object: a line of waiters beside a lock.
///
/// Every method needs the lock's object too, which may be shared with others.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    line: VecDeque<(WaiterId, Held)>,
}

impl Condition {
    pub(crate) fn call(
        &mut self,
        (lock, lock_id): (&mut Mutex, ObjectId),
        cx: &mut Context<'_>,
        method: Method,
        mut args: Args,
    ) -> Result<Step, Failure> {
        let mut notify = |count: usize, cx: &mut Context<'_>| {
            if !lock.is_held_by(cx.caller) {
                return Err(Failure::NotifyUnacquired);
            }
            for (waiter, held) in self.line.drain(..count.min(self.line.len())) {
                cx.desk.move_on(waiter, lock_id);
                lock.resume(waiter, held, true, cx.desk);
            }
            Ok(Reply::DONE.into())
        };
        match method {
            Method::Wait => {
                args.end()?;
                if !lock.is_held_by(cx.caller) {
                    return Err(Failure::WaitUnacquired);
                }
                // Parked in any case, so that the lock is given up and taken again also by a wait without patience.
                let waiter = cx.desk.park(cx.caller, cx.object, cx.patience)?;
                let held = lock.give_up(cx.desk).ok_or(Failure::WaitUnacquired)?;
                if cx.patience == Patience::NONE {
                    cx.desk.move_on(waiter, lock_id);
                    lock.resume(waiter, held, false, cx.desk);
                } else {
                    self.line.push_back((waiter, held));
                }
                Ok(Step::Parked)
            }
            Method::Notify => {
                let count = args.int_or("a number", 1)?;
                args.end()?;
                notify(count, cx)
            }
            Method::NotifyAll => {
                args.end()?;
                notify(usize::MAX, cx)
            }
            Method::Acquire | Method::Release | Method::Locked | Method::Snapshot => {
                let mut cx = Context { object: lock_id, caller: cx.caller, patience: cx.patience, desk: cx.desk };
                lock.call(&mut cx, method, args)
            }
            _ => Err(Failure::NoSuchMethod { kind: Kind::Condition, method }),
        }
    }

    /// The wait is over, but it ends only with the lock held again.
    pub(crate) fn timed_out(&mut self, (lock, lock_id): (&mut Mutex, ObjectId), waiter: WaiterId, desk: &mut Desk) {
        if let Some(at) = self.line.iter().position(|(waiting, _)| *waiting == waiter)
            && let Some((_, held)) = self.line.remove(at)
        {
            desk.move_on(waiter, lock_id);
            lock.resume(waiter, held, false, desk);
        }
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId) {
        self.line.retain(|(waiting, _)| *waiting != waiter);
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.line.iter().map(|(waiter, _)| *waiter).collect()
    }
}
