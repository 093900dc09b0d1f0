//! An object of any type.

use std::time::Duration;

use super::array::Array;
use super::barrier::Barrier;
use super::container::Container;
use super::event::Event;
use super::lock::Mutex;
use super::queue::Queue;
use super::semaphore::Semaphore;
use super::waits::Line;
use super::{
    Args, Caller, Context, Failure, Kind, Method, ObjectId, ObjectRef, Outcome, Reply, SessionId, Step, Variant,
    WaitTable, Waiter, Want,
};
use crate::ipc::sync::BreakCause;

/// An object. The waiters of each are in the table of waits.
#[derive(Debug)]
pub(crate) enum Object {
    Container(Container),
    Array(Array),
    Mutex(Mutex),
    Semaphore(Semaphore),
    /// Its lock, which is a separate object, and may be shared.
    Condition(ObjectRef),
    Event(Event),
    Barrier(Barrier),
    Queue(Queue),
}

impl Object {
    /// Creates an object. A condition's lock is its only argument, and was created or checked before.
    pub(crate) fn create(kind: Kind, mut args: Args) -> Result<Self, Failure> {
        Ok(match kind {
            Kind::List | Kind::Dict | Kind::Namespace | Kind::Value => {
                Object::Container(Container::create(kind, args)?)
            }
            Kind::Lock | Kind::RLock => Object::Mutex(Mutex::new(kind == Kind::RLock)),
            Kind::Semaphore | Kind::BoundedSemaphore => {
                Object::Semaphore(Semaphore::create(kind == Kind::BoundedSemaphore, args)?)
            }
            Kind::Condition => match args.variant()? {
                Variant::Object(lock) if matches!(lock.kind(), Kind::Lock | Kind::RLock) => Object::Condition(*lock),
                other => return Err(args.bad("a lock", other.shape())),
            },
            Kind::Event => Object::Event(Event::default()),
            Kind::Barrier => Object::Barrier(Barrier::create(args)?),
            Kind::Queue | Kind::JoinableQueue => Object::Queue(Queue::create(kind == Kind::JoinableQueue, args)?),
            Kind::Array => Object::Array(Array::create(args)?),
        })
    }

    /// Calls a method that needs no other object. Returns `None` if the call waits.
    pub(crate) fn call(
        &mut self,
        mut cx: Context,
        args: Args,
        waits: &mut WaitTable,
    ) -> Result<Option<Reply>, Failure> {
        let Context { caller: Caller { session, .. }, method, .. } = cx;
        let step = match self {
            Object::Container(container) => return container.call(method, args).map(Some),
            Object::Array(array) => return array.call(method, args).map(Some),
            Object::Mutex(mutex) => mutex.call(cx.caller, method, args)?,
            Object::Semaphore(semaphore) => semaphore.call(session, method, args)?,
            Object::Event(event) => event.call(method, args)?,
            Object::Barrier(barrier) => barrier.call(&mut cx, args, waits)?,
            Object::Queue(queue) => queue.call(session, method, args)?,
            Object::Condition(_) => return Err(args.no_such_method()),
        };
        let reply = match step {
            Step::Reply(reply) => Some(reply),
            Step::Wait(want) => self.wait(cx, want, waits)?,
        };
        self.serve(cx.object, waits);
        Ok(reply)
    }

    /// Completes a call if what it wants is available; otherwise makes it wait.
    fn wait(&mut self, cx: Context, want: Want, waits: &mut WaitTable) -> Result<Option<Reply>, Failure> {
        let mut waiter = waits.waiter(cx.caller, cx.object, want, cx.timeout);
        match self.attempt(&mut waiter) {
            Some(result) => result.map(Some),
            // Arriving at a barrier counts even if the timeout is zero.
            None if (cx.timeout == Some(Duration::ZERO) || cx.caller.is_scheduled)
                && !matches!(waiter.want, Want::Parties) =>
            {
                Ok(Some(waiter.want.not_in_time()))
            }
            None => waits.park(waiter).map(|()| None),
        }
    }

    /// Whether a call of a method that may wait would wait now, except that of a wait that has to be begun.
    pub(crate) fn would_wait(&self, caller: Caller, method: Method) -> bool {
        match (self, method) {
            (Object::Mutex(mutex), Method::Acquire) => !mutex.can_be_acquired_by(caller),
            (Object::Semaphore(semaphore), Method::Acquire) => semaphore.is_exhausted(),
            (Object::Event(event), Method::Wait) => event.attempt().is_none(),
            (Object::Queue(queue), _) => queue.would_wait(method),
            _ => false,
        }
    }

    /// Completes a waiter's call if what it wants is available.
    pub(super) fn attempt(&mut self, waiter: &mut Waiter) -> Option<Outcome> {
        match self {
            Object::Mutex(mutex) => mutex.attempt(waiter).map(Ok),
            Object::Semaphore(semaphore) => semaphore.attempt(waiter.caller.session).map(Ok),
            Object::Event(event) => event.attempt().map(Ok),
            Object::Barrier(barrier) => barrier.attempt().map(Err),
            Object::Queue(queue) => queue.attempt(waiter),
            Object::Container(_) | Object::Array(_) | Object::Condition(_) => None,
        }
    }

    /// Ends the waits that can end now. Must be called after every change. Producers come first: a queue is filled
    /// before it is emptied.
    pub(crate) fn serve(&mut self, own: ObjectId, waits: &mut WaitTable) {
        if let Object::Barrier(barrier) = self {
            barrier.advance(own, waits);
        }
        while Line::SERVED.into_iter().any(|line| self.serve_first(own, line, waits)) {}
    }

    fn serve_first(&mut self, own: ObjectId, line: Line, waits: &mut WaitTable) -> bool {
        let first = waits.queue(own, line).next();
        let Some(result) = first.and_then(|waiter| self.attempt(waiter)) else { return false };
        if let Some(waiter) = waits.take(own, line, 0) {
            waits.complete(waiter, result);
        }
        true
    }

    /// Releases everything held by a session that has ended. Returns whether a lock was released.
    pub(crate) fn session_ended(
        &mut self,
        session: SessionId,
        cause: BreakCause,
        own: ObjectId,
        waits: &mut WaitTable,
    ) -> bool {
        let mut was_lock = false;
        match self {
            Object::Mutex(mutex) => was_lock = mutex.session_ended(session),
            Object::Semaphore(semaphore) => semaphore.session_ended(session),
            Object::Barrier(barrier) => barrier.session_ended(session, cause),
            Object::Queue(queue) => queue.session_ended(session),
            _ => {}
        }
        self.serve(own, waits);
        was_lock
    }

    /// Whether a session holds part of it.
    pub(super) fn is_held_by(&self, session: SessionId) -> bool {
        match self {
            Object::Mutex(mutex) => mutex.is_held_by(session),
            Object::Semaphore(semaphore) => semaphore.is_held_by(session),
            Object::Barrier(barrier) => barrier.is_led_by(session),
            Object::Queue(queue) => queue.is_lent_to(session),
            Object::Container(_) | Object::Array(_) | Object::Condition(_) | Object::Event(_) => false,
        }
    }

    /// Whether a session can hold part of it.
    pub(crate) fn can_be_held(&self) -> bool {
        matches!(self, Object::Mutex(_) | Object::Semaphore(_) | Object::Barrier(_) | Object::Queue(_))
    }

    /// Visits every reference that it contains.
    pub(crate) fn each_reference(&mut self, visit: &mut impl FnMut(&mut ObjectRef)) {
        match self {
            Object::Container(container) => container.content.each_reference(visit),
            Object::Queue(queue) => queue.each_datum(&mut |variant| variant.each_reference(visit)),
            Object::Condition(lock) => visit(lock),
            _ => {}
        }
    }
}
