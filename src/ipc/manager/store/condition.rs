//! Conditions.
//!
//! # State
//! The queue of waiters, each with its depth in the lock. A waiter that is notified, or times out, moves to the lock's
//! queue: a wait ends only with the lock held again.
//!
//! # Death
//! A waiter whose session ends leaves the queue and consumes no notification: one that it was given, but had not yet
//! got the lock for, goes to the next waiter of that time. If a holder dies with the lock, one waiter of each of its
//! conditions is woken and told so, since the notification that it waits for may never come.
//!
//! # Standard
//! Python `threading.Condition` in a manager. There, waiters stay asleep when their notifier is killed.

use std::collections::VecDeque;

use super::args::Args;
use super::call::{Reply, Timeout};
use super::failure::Failure;
use super::lock::{Held, Mutex, Notice};
use super::method::Method;
use super::waits::{Context, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::{Kind, ObjectId};

/// A condition object: a queue of waiters.
///
/// Every method also needs the lock's object, which may be shared with others.
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
                // Always parked, so that even a wait with timeout 0 releases the lock and acquires it again.
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

    /// Handles a timeout: the wait ends only with the lock held again.
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

    /// Gives a notice to the first waiter that has waited since before it.
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
