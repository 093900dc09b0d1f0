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

use std::time::Duration;

use super::waits::{Line, Notice};
use super::{Args, Context, Failure, Method, Mutex, Object, ObjectId, Reply, Store, Want};

impl Store {
    /// Calls a method of a condition, whose lock other conditions may share. Returns `None` if the call waits.
    pub(super) fn call_condition(
        &mut self,
        lock: ObjectId,
        cx: Context,
        mut args: Args,
    ) -> Result<Option<Reply>, Failure> {
        let Context { caller, object: condition, timeout, .. } = cx;
        let count = match cx.method {
            Method::Wait => {
                let mutex = self.mutex(lock).ok_or(Failure::NoSuchObject)?;
                let held = mutex.held_by(caller).ok_or(Failure::WaitUnacquired)?;
                let waiter = if timeout == Some(Duration::ZERO) {
                    // Releases the lock even so, and acquires it again.
                    self.waits.waiter(caller, lock, Want::Resume { held, notice: None }, None)
                } else {
                    self.waits.waiter(caller, condition, Want::Notice(held), timeout)
                };
                self.waits.park(waiter)?;
                self.mutex(lock).into_iter().for_each(Mutex::give_up);
                self.serve(lock);
                return Ok(None);
            }
            Method::Notify => args.or(1, Args::int)?,
            Method::NotifyAll => usize::MAX,
            _ => return self.call_object(Context { object: lock, ..cx }, args),
        };
        let mutex = self.mutex(lock).ok_or(Failure::NoSuchObject)?;
        mutex.held_by(caller).ok_or(Failure::NotifyUnacquired)?;
        let notice = Notice { condition, number: self.waits.number(), abandoned: false };
        (0..count).all(|_| self.pass_on(notice));
        Ok(Some(Reply::DONE))
    }

    /// Notifies the first waiter that began to wait before `notice`. Returns whether there was one.
    pub(super) fn pass_on(&mut self, notice: Notice) -> bool {
        let Some(Object::Condition(lock)) = self.objects.get(&notice.condition) else { return false };
        let lock = lock.id();
        let first = self.waits.queue(notice.condition, Line::Main).next();
        if first.is_none_or(|waiter| waiter.number > notice.number) {
            return false;
        }
        if let Some(waiter) = self.waits.take(notice.condition, Line::Main, 0) {
            self.waits.resume(waiter, lock, Some(notice));
        }
        self.serve(lock);
        true
    }

    /// Returns a condition's lock.
    fn mutex(&mut self, id: ObjectId) -> Option<&mut Mutex> {
        match self.objects.get_mut(&id) {
            Some(Object::Mutex(mutex)) => Some(mutex),
            _ => None,
        }
    }

    /// Ends the waits on an object that can end now.
    pub(super) fn serve(&mut self, id: ObjectId) {
        if let Some(object) = self.objects.get_mut(&id) {
            object.serve(id, &mut self.waits);
        }
    }
}
