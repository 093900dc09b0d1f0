//! An object of any type.

use super::args::Args;
use super::array::{Array, Value};
use super::barrier::Barrier;
use super::condition::Condition;
use super::dict::{Dict, Namespace};
use super::event::Event;
use super::failure::Failure;
use super::list::List;
use super::lock::{Mutex, Notice};
use super::method::Method;
use super::queue::Queue;
use super::semaphore::Semaphore;
use super::waits::{Context, SessionId, Step, WaitTable, WaiterId};
use crate::ipc::manager::data::{Kind, Map, ObjectRef, Variant};

/// An object.
#[derive(Debug)]
pub(crate) enum Object {
    List(List),
    Dict(Dict),
    Namespace(Namespace),
    Mutex(Mutex),
    Semaphore(Semaphore),
    /// The lock is a separate object, and may be shared.
    Condition {
        lock: ObjectRef,
        condition: Condition,
    },
    Event(Event),
    Barrier(Barrier),
    Queue(Queue),
    Value(Value),
    Array(Array),
}

impl Object {
    /// Creates an object. A condition's lock is its only argument, and was created or checked before.
    pub(crate) fn create(kind: Kind, args: Vec<Variant>) -> Result<Self, Failure> {
        let mut args = Args::of_type(kind, args)?;
        Ok(match kind {
            Kind::List => Object::List(List::create(args)?),
            Kind::Dict => Object::Dict(Dict::create(args)?),
            Kind::Namespace => Object::Namespace(Namespace::create(args)?),
            Kind::Lock => Object::Mutex(Mutex::new(false)),
            Kind::RLock => Object::Mutex(Mutex::new(true)),
            Kind::Semaphore => Object::Semaphore(Semaphore::create(false, args)?),
            Kind::BoundedSemaphore => Object::Semaphore(Semaphore::create(true, args)?),
            Kind::Condition => match args.variant()? {
                Variant::Object(lock) if matches!(lock.kind(), Kind::Lock | Kind::RLock) => {
                    Object::Condition { lock: *lock, condition: Condition::default() }
                }
                other => return Err(args.bad("a lock", other.shape())),
            },
            Kind::Event => Object::Event(Event::default()),
            Kind::Barrier => Object::Barrier(Barrier::create(args)?),
            Kind::Queue => Object::Queue(Queue::create(false, args)?),
            Kind::JoinableQueue => Object::Queue(Queue::create(true, args)?),
            Kind::Value => Object::Value(Value::create(args)?),
            Kind::Array => Object::Array(Array::create(args)?),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Object::List(_) => Kind::List,
            Object::Dict(_) => Kind::Dict,
            Object::Namespace(_) => Kind::Namespace,
            Object::Mutex(mutex) => mutex.kind(),
            Object::Semaphore(semaphore) => semaphore.kind(),
            Object::Condition { .. } => Kind::Condition,
            Object::Event(_) => Kind::Event,
            Object::Barrier(_) => Kind::Barrier,
            Object::Queue(queue) => queue.kind(),
            Object::Value(_) => Kind::Value,
            Object::Array(_) => Kind::Array,
        }
    }

    /// Calls a method that needs no other object.
    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, args: Args) -> Result<Step, Failure> {
        match self {
            Object::List(list) => list.call(method, args).map(Into::into),
            Object::Dict(dict) => dict.call(method, args).map(Into::into),
            Object::Namespace(namespace) => namespace.call(method, args).map(Into::into),
            Object::Value(value) => value.call(method, args).map(Into::into),
            Object::Array(array) => array.call(method, args).map(Into::into),
            Object::Mutex(mutex) => mutex.call(cx, method, args),
            Object::Semaphore(semaphore) => semaphore.call(cx, method, args),
            Object::Event(event) => event.call(cx, method),
            Object::Barrier(barrier) => barrier.call(cx, method, args),
            Object::Queue(queue) => queue.call(cx, method, args),
            Object::Condition { .. } => Err(Failure::NoSuchMethod { kind: Kind::Condition, method }),
        }
    }

    /// Ends a wait whose deadline has passed. Not for conditions, which need their lock for that.
    pub(crate) fn timed_out(&mut self, waiter: WaiterId, waits: &mut WaitTable) {
        match self {
            Object::Mutex(mutex) => mutex.timed_out(waiter, waits),
            Object::Semaphore(semaphore) => semaphore.timed_out(waiter, waits),
            Object::Event(event) => event.timed_out(waiter, waits),
            Object::Barrier(barrier) => barrier.timed_out(waiter, waits),
            Object::Queue(queue) => queue.timed_out(waiter, waits),
            _ => {}
        }
    }

    /// Removes a wait that ended with its session. Returns its condition notice, if it had one, for another waiter.
    pub(crate) fn forget(&mut self, waiter: WaiterId, waits: &mut WaitTable) -> Option<Notice> {
        match self {
            Object::Mutex(mutex) => return mutex.forget(waiter),
            Object::Semaphore(semaphore) => semaphore.forget(waiter),
            Object::Condition { condition, .. } => condition.forget(waiter),
            Object::Event(event) => event.forget(waiter),
            Object::Barrier(barrier) => barrier.forget(waiter, waits),
            Object::Queue(queue) => queue.forget(waiter),
            _ => {}
        }
        None
    }

    /// Releases everything held by a session that has ended. Returns whether a lock was released.
    pub(crate) fn session_ended(&mut self, session: SessionId, waits: &mut WaitTable) -> bool {
        match self {
            Object::Mutex(mutex) => return mutex.session_ended(session, waits),
            Object::Semaphore(semaphore) => semaphore.session_ended(session, waits),
            Object::Barrier(barrier) => barrier.session_ended(session, waits),
            Object::Queue(queue) => queue.session_ended(session, waits),
            _ => {}
        }
        false
    }

    /// Whether a session can hold part of it.
    pub(crate) fn can_be_held(&self) -> bool {
        matches!(self, Object::Mutex(_) | Object::Semaphore(_) | Object::Barrier(_) | Object::Queue(_))
    }

    /// Returns its waiters.
    pub(crate) fn waiters(&self) -> Vec<WaiterId> {
        match self {
            Object::Mutex(mutex) => mutex.waiters(),
            Object::Semaphore(semaphore) => semaphore.waiters(),
            Object::Condition { condition, .. } => condition.waiters(),
            Object::Event(event) => event.waiters(),
            Object::Barrier(barrier) => barrier.waiters(),
            Object::Queue(queue) => queue.waiters(),
            _ => Vec::new(),
        }
    }

    /// Visits every reference that it contains.
    pub(crate) fn each_reference(&mut self, visit: &mut impl FnMut(&ObjectRef)) {
        let mut see = |variant: &mut Variant| {
            let seen = variant.each_reference::<std::convert::Infallible>(&mut |reference| {
                visit(reference);
                Ok(())
            });
            seen.expect("looking cannot fail");
        };
        let of_map =
            |map: &mut Map, see: &mut dyn FnMut(&mut Variant)| map.iter_mut().for_each(|(_, variant)| see(variant));
        match self {
            Object::List(list) => list.items.iter_mut().for_each(see),
            Object::Dict(dict) => of_map(&mut dict.entries, &mut see),
            Object::Namespace(namespace) => of_map(&mut namespace.attributes, &mut see),
            Object::Value(value) => see(&mut value.variant),
            Object::Queue(queue) => queue.each_datum(&mut see),
            Object::Condition { lock, .. } => visit(lock),
            _ => {}
        }
    }
}
