//! An object of any type.

use super::args::Args;
use super::array::Array;
use super::barrier::Barrier;
use super::container::Container;
use super::event::Event;
use super::failure::Failure;
use super::lock::Mutex;
use super::method::Method;
use super::queue::Queue;
use super::semaphore::Semaphore;
use super::waits::{Context, SessionId, Step, WaitTable};
use crate::ipc::manager::data::{Kind, ObjectId, ObjectRef, Variant};

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
            Kind::Lock => Object::Mutex(Mutex::new(false)),
            Kind::RLock => Object::Mutex(Mutex::new(true)),
            Kind::Semaphore => Object::Semaphore(Semaphore::create(false, args)?),
            Kind::BoundedSemaphore => Object::Semaphore(Semaphore::create(true, args)?),
            Kind::Condition => match args.variant()? {
                Variant::Object(lock) if matches!(lock.kind(), Kind::Lock | Kind::RLock) => Object::Condition(*lock),
                other => return Err(args.bad("a lock", other.shape())),
            },
            Kind::Event => Object::Event(Event::default()),
            Kind::Barrier => Object::Barrier(Barrier::create(args)?),
            Kind::Queue => Object::Queue(Queue::create(false, args)?),
            Kind::JoinableQueue => Object::Queue(Queue::create(true, args)?),
            Kind::Array => Object::Array(Array::create(args)?),
        })
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Object::Container(container) => container.kind,
            Object::Array(_) => Kind::Array,
            Object::Mutex(mutex) => mutex.kind(),
            Object::Semaphore(semaphore) => semaphore.kind(),
            Object::Condition(_) => Kind::Condition,
            Object::Event(_) => Kind::Event,
            Object::Barrier(_) => Kind::Barrier,
            Object::Queue(queue) => queue.kind(),
        }
    }

    /// Calls a method that needs no other object.
    pub(crate) fn call(&mut self, cx: &mut Context<'_>, method: Method, args: Args) -> Result<Step, Failure> {
        match self {
            Object::Container(container) => container.call(method, args).map(Into::into),
            Object::Array(array) => array.call(method, args).map(Into::into),
            Object::Mutex(mutex) => mutex.call(cx, method, args),
            Object::Semaphore(semaphore) => semaphore.call(cx, method, args),
            Object::Event(event) => event.call(cx, method),
            Object::Barrier(barrier) => barrier.call(cx, method, args),
            Object::Queue(queue) => queue.call(cx, method, args),
            Object::Condition(_) => Err(Failure::NoSuchMethod { kind: Kind::Condition, method }),
        }
    }

    /// Releases everything held by a session that has ended. Returns whether a lock was released.
    pub(crate) fn session_ended(&mut self, session: SessionId, own: ObjectId, waits: &mut WaitTable) -> bool {
        match self {
            Object::Mutex(mutex) => return mutex.session_ended(session, own, waits),
            Object::Semaphore(semaphore) => semaphore.session_ended(session, own, waits),
            Object::Barrier(barrier) => barrier.session_ended(session, own, waits),
            Object::Queue(queue) => queue.session_ended(session, own, waits),
            _ => {}
        }
        false
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
