//! One object, as this process knows it: shared by all its proxies and all references to it in data.
//!
//! # State
//! The manager counts the references that it has given to this client; the handle counts those that it stands for, and
//! releases them all on drop. A reference in an answer that arrives meanwhile makes a new handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use super::{Client, ConnectInfo, Doing, Pending, unpoisoned};
use crate::ipc::error::Result;
use crate::ipc::manager::data::{DEPTH_LIMIT, Key, Kind, Map, ObjectId, ObjectRef, Variant};
use crate::ipc::manager::error::ManagerError;
use crate::ipc::manager::store::{Call, Failure, Method, Reply, Request, Swap};
use crate::ipc::operation;
use crate::ipc::process::transfer::sent_in_roles;

thread_local! {
    /// A number of the calling thread, for objects that belong to a thread.
    static THREAD: u64 = {
        static THREADS: AtomicU64 = AtomicU64::new(0);
        THREADS.fetch_add(1, Relaxed)
    };
}

#[derive(Debug)]
pub(super) struct Handle {
    client: Arc<Client>,
    id: ObjectId,
    kind: Kind,
    owed: AtomicU64,
}

impl Drop for Handle {
    fn drop(&mut self) {
        let mut handles = unpoisoned(&self.client.handles);
        if handles.get(&self.id).is_some_and(|known| known.strong_count() == 0) {
            handles.remove(&self.id);
        }
        drop(handles);
        // A party that panics has not left in order: its end breaks the barrier, as its death would.
        if self.kind == Kind::Barrier && thread::panicking() {
            return;
        }
        // A manager that is gone has released everything.
        let _ = self.client.tell(Request::Release { object: self.id, count: *self.owed.get_mut() });
    }
}

/// An object of a manager, of any type: the basis of every proxy.
///
/// For callers that know type and method only as text; others use the proxies. Cloning it is cheap; dropping the last
/// clone releases the object.
#[derive(Debug, Clone)]
pub struct Object(Arc<Handle>);

impl Client {
    /// Returns the object for a reference that the manager has just given.
    fn object(self: &Arc<Self>, id: ObjectId, kind: Kind) -> Object {
        let mut handles = unpoisoned(&self.handles);
        if let Some(handle) = handles.get(&id).and_then(std::sync::Weak::upgrade) {
            handle.owed.fetch_add(1, Relaxed);
            return Object(handle);
        }
        let handle = Arc::new(Handle { client: Arc::clone(self), id, kind, owed: AtomicU64::new(1) });
        handles.insert(id, Arc::downgrade(&handle));
        Object(handle)
    }

    /// Takes ownership of the references in an answer, which then keep their objects alive.
    pub(super) fn own_references(self: &Arc<Self>, mut reply: Reply) -> Reply {
        reply.each_reference(&mut |reference| *reference = self.object(reference.id(), reference.kind()).reference());
        reply
    }

    /// Checks the data to be sent to the manager, as far as possible on this side.
    fn check(self: &Arc<Self>, args: &mut [Variant]) -> Result<()> {
        for arg in args {
            if !arg.is_within_depth(DEPTH_LIMIT) {
                return Err(ManagerError::managed("sending data", Failure::TooDeep).into());
            }
            let mut all_own = true;
            arg.each_reference(&mut |reference| {
                all_own &= Object::of(reference).is_some_and(|object| Arc::ptr_eq(&object.0.client, self));
            });
            if !all_own {
                return Err(ManagerError::ForeignReference.into());
            }
        }
        Ok(())
    }

    /// Requests an object: a new or a named one.
    pub(crate) fn fetch(self: &Arc<Self>, request: Request, doing: String) -> Result<Object> {
        match self.request(request, doing)? {
            Reply::Object(reference) => Ok(Object::of(&reference).ok_or_else(ManagerError::gone)?),
            _ => Err(ManagerError::gone().into()),
        }
    }

    /// Sends a request that never waits, and returns its answer.
    pub(crate) fn request(self: &Arc<Self>, mut request: Request, doing: impl Into<String>) -> Result<Reply> {
        if let Request::Create { args, .. } = &mut request {
            self.check(args)?;
        }
        self.start(request, Some(Duration::ZERO), Doing::Other(doing.into()))?.wait()
    }
}

impl Object {
    /// Returns the object of a reference that this process owns.
    pub(crate) fn of(reference: &ObjectRef) -> Option<Object> {
        let handle = Arc::clone(reference.keeper()?).downcast().ok()?;
        Some(Object(handle))
    }

    /// Returns a reference to it, for use in data.
    pub(crate) fn reference(&self) -> ObjectRef {
        ObjectRef::new(self.0.id, self.0.kind, Some(self.0.clone()))
    }

    /// Returns the object's id.
    pub fn id(&self) -> ObjectId {
        self.0.id
    }

    /// Returns the object's type.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// Calls a method by name, waiting at most `timeout` for its result (`None`: without limit). Returns `None` on
    /// timeout.
    ///
    /// Results that are not plain data are converted: an acquired lock to `true`, a leased item to a dict with `lease`,
    /// `deliveries` and `item`, a swap to one with `swapped` and `found`. What it acquires stays acquired until it is
    /// released, or this process disconnects.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] with the object's reason, or [`ManagerError::Gone`].
    pub fn call_by_name(
        &self,
        method: Method,
        args: Vec<Variant>,
        timeout: Option<Duration>,
    ) -> Result<Option<Variant>> {
        let dict = |entries: Vec<(&str, Variant)>| {
            entries.into_iter().map(|(key, variant)| (Key::from(key), variant)).collect::<Map>().into()
        };
        Ok(Some(match self.call(method, args, timeout)? {
            Reply::NotInTime => return Ok(None),
            Reply::Variant(variant) | Reply::Item(variant) => variant,
            Reply::Acquired { .. } => true.into(),
            Reply::Woken { notified, .. } => notified.into(),
            Reply::Arrived { index, .. } => index.into(),
            Reply::Leased { lease, deliveries, item } => {
                dict(vec![("lease", lease.into()), ("deliveries", deliveries.into()), ("item", item)])
            }
            Reply::Swapped(Swap { swapped, found }) => {
                dict(vec![("swapped", swapped.into()), ("found", found.unwrap_or_default())])
            }
            Reply::Object(reference) => reference.into(),
            Reply::Status(_) | Reply::Look { .. } | Reply::Waits => return Err(ManagerError::gone().into()),
        }))
    }

    pub(crate) fn client(&self) -> &Arc<Client> {
        &self.0.client
    }

    /// Calls a method that waits at most `timeout`; `None` waits without limit.
    pub(crate) fn call(&self, method: Method, args: Vec<Variant>, timeout: Option<Duration>) -> Result<Reply> {
        self.start(method, args, timeout)?.wait()
    }

    /// Sends a call without waiting for its answer.
    pub(crate) fn start(&self, method: Method, mut args: Vec<Variant>, timeout: Option<Duration>) -> Result<Pending> {
        let Handle { client, id, kind, .. } = &*self.0;
        client.check(&mut args)?;
        let call = Call { object: *id, method, args, timeout, thread: THREAD.with(|thread| *thread) };
        if operation::is_observed_here() {
            return client.start_scheduled(call, *kind, self.doing(method));
        }
        // After a condition's timeout, acquiring the lock again may take any time.
        let limit = timeout.filter(|_| (*kind, method) != (Kind::Condition, Method::Wait));
        client.start(Request::Call(call), limit, self.doing(method))
    }

    /// Returns the name of a call of `method` for errors.
    pub(crate) fn doing(&self, method: Method) -> Doing {
        Doing::Call(method, self.0.kind, self.0.id)
    }
}

sent_in_roles!(
    [] Object, "an object of a manager", |object, recipient| object.client().invite(recipient, Some(object)),
    |sent: ConnectInfo| sent.import()
);
