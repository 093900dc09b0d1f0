//! Conditions.
//!
//! # State
//! The line of those who wait to be notified, each with how deep it held the lock. Who is notified, or whose time has
//! passed, goes over into the line for the lock: a wait ends only with the lock held again.
//!
//! # Death
//! A waiter whose session ends leaves the line and takes no notification along: one that it was given, and had not yet
//! got the lock for, goes to the next who waited at that time. If somebody dies with the lock in hand, one waiter of each
//! of its conditions is woken and told so, since the word that it waits for may never come.
//!
//! # Standard
//! Python `threading.Condition` in a manager. There, waiters stay asleep when the one who was to notify them is killed.

use std::collections::VecDeque;

use super::args::Args;
use super::call::{Reply, Timeout};
use super::failure::Failure;
use super::lock::{Held, Mutex, Notice};
use super::method::Method;
use super::waits::{Context, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::{Kind, ObjectId};

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
            let notice = Notice { condition: cx.object, number: cx.waits.number(), abandoned: false };
            for (waiter, held) in self.line.drain(..count.min(self.line.len())) {
                cx.waits.move_on(waiter, lock_id);
                lock.resume(waiter, held, Some(notice), cx.waits);
            }
            Ok(Reply::DONE.into())
        };
        match method {
            Method::Wait => {
                if !lock.is_held_by(cx.caller) {
                    return Err(Failure::WaitUnacquired);
                }
                // Parked in any case, so that the lock is given up and taken again also by a wait without patience.
                let waiter = cx.waits.park(cx.caller, cx.object, cx.timeout)?;
                let held = lock.give_up(cx.waits).ok_or(Failure::WaitUnacquired)?;
                if cx.timeout == Timeout::NONE {
                    cx.waits.move_on(waiter, lock_id);
                    lock.resume(waiter, held, None, cx.waits);
                } else {
                    self.line.push_back((waiter, held));
                }
                Ok(Step::Parked)
            }
            Method::Notify => {
                let count = args.int_or(1)?;
                notify(count, cx)
            }
            Method::NotifyAll => notify(usize::MAX, cx),
            Method::Acquire | Method::Release | Method::Locked | Method::Snapshot => {
                let mut cx = Context { object: lock_id, caller: cx.caller, timeout: cx.timeout, waits: cx.waits };
                lock.call(&mut cx, method, args)
            }
            _ => Err(Failure::NoSuchMethod { kind: Kind::Condition, method }),
        }
    }

    /// The wait is over, but it ends only with the lock held again.
    pub(crate) fn timed_out(
        &mut self,
        (lock, lock_id): (&mut Mutex, ObjectId),
        waiter: WaiterId,
        waits: &mut WaitTable,
    ) {
        if let Some(at) = self.line.iter().position(|(waiting, _)| *waiting == waiter)
            && let Some((_, held)) = self.line.remove(at)
        {
            waits.move_on(waiter, lock_id);
            lock.resume(waiter, held, None, waits);
        }
    }

    /// Gives a notice to the first of those who have waited since before it.
    pub(crate) fn pass_on(&mut self, (lock, lock_id): (&mut Mutex, ObjectId), notice: Notice, waits: &mut WaitTable) {
        if self.line.front().is_some_and(|(waiter, _)| waiter.began_before(notice.number))
            && let Some((waiter, held)) = self.line.pop_front()
        {
            waits.move_on(waiter, lock_id);
            lock.resume(waiter, held, Some(notice), waits);
        }
    }

    pub(crate) fn forget(&mut self, waiter: WaiterId) {
        self.line.retain(|(waiting, _)| *waiting != waiter);
    }

    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        self.line.iter().map(|(waiter, _)| *waiter).collect()
    }
}
