//! Conditions.
//!
//! # State
//! A condition is its lock, and the queue of its waiters, each with its depth in the lock. A waiter that is notified, or
//! times out, moves to the lock's queue: a wait ends only with the lock held again.
//!
//! # Death
//! A waiter whose session ends leaves the queue and consumes no notification: one that it was given, but had not yet
//! got the lock for, goes to the next waiter of that time. If a holder dies with the lock, one waiter of each of its
//! conditions is woken and told so, since the notification that it waits for may never come.
//!
//! # Standard
//! Python `threading.Condition` in a manager. There, waiters stay asleep when their notifier is killed.

use super::args::Args;
use super::call::{Reply, Timeout};
use super::failure::Failure;
use super::lock::Mutex;
use super::method::Method;
use super::waits::{Context, Line, Notice, Step, WaitTable, Want};
use crate::ipc::manager::data::{Kind, ObjectId};

/// Calls a method of the condition `cx.object`, whose lock may be shared with others.
pub(crate) fn call(
    (lock, lock_id): (&mut Mutex, ObjectId),
    cx: &mut Context<'_>,
    method: Method,
    mut args: Args,
) -> Result<Step, Failure> {
    let count = match method {
        Method::Wait => {
            let held = lock.held_by(cx.caller).ok_or(Failure::WaitUnacquired)?;
            if cx.timeout == Timeout::NONE {
                // Releases the lock even so, and acquires it again.
                at_lock(cx, lock_id, Timeout::Forever).park(Want::Resume { held, notice: None })?;
            } else {
                cx.park(Want::Notice(held))?;
            }
            lock.give_up(lock_id, cx.waits);
            return Ok(Step::Parked);
        }
        Method::Notify => args.or(1, Args::int)?,
        Method::NotifyAll => usize::MAX,
        Method::Acquire | Method::Release | Method::Locked | Method::Snapshot => {
            let timeout = cx.timeout;
            return lock.call(&mut at_lock(cx, lock_id, timeout), method, args);
        }
        _ => return Err(Failure::NoSuchMethod { kind: Kind::Condition, method }),
    };
    lock.held_by(cx.caller).ok_or(Failure::NotifyUnacquired)?;
    let notice = Notice { condition: cx.object, number: cx.waits.number(), abandoned: false };
    for _ in 0..count.min(cx.waits.count(cx.object)) {
        pass_on((lock, lock_id), notice, cx.waits);
    }
    Ok(Reply::DONE.into())
}

/// The context of the same call at the condition's lock.
fn at_lock<'a>(cx: &'a mut Context<'_>, lock: ObjectId, timeout: Timeout) -> Context<'a> {
    Context { object: lock, caller: cx.caller, timeout, waits: cx.waits }
}

/// Gives a notice to the first waiter that has waited since before it.
pub(crate) fn pass_on((lock, lock_id): (&mut Mutex, ObjectId), notice: Notice, waits: &mut WaitTable) {
    if waits.first(notice.condition).is_some_and(|waiter| waiter.began_before(notice.number))
        && let Some(waiter) = waits.pop(notice.condition, Line::Main)
    {
        lock.resume(lock_id, waiter, Some(notice), waits);
    }
}
