//! [`Manager`]: connects to a manager, creates objects in it, and looks up named ones.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use super::address::{Address, SocketFile};
use super::client::{CONNECT_TIME, Client, ConnectInfo, Endpoint, Object, Route};
use super::data::{Key, Kind, Map, Variant};
use super::error::ManagerError;
use super::proxy::{
    Array, Barrier, BoundedSemaphore, Condition, Dict, Event, JoinableQueue, List, Lock, Namespace, Proxy, Queue,
    RLock, Semaphore, Value,
};
use super::status::Status;
use super::store::{Reply, Request};
use super::wire::AuthKey;
use crate::ipc::error::Result;
use crate::ipc::process::child::Process;
use crate::ipc::process::transfer::sent_in_roles;

/// How long the server may take to end after each request to end.
pub(super) const SHUTDOWN_TIME: Duration = Duration::from_secs(1);

/// The server process, as seen by the process that started it.
#[derive(Debug)]
pub(super) struct OwnServer {
    pub(super) process: Process,
    /// The lifeline: the server ends when this is closed in any way.
    pub(super) life: Option<OwnedFd>,
    pub(super) addresses: Vec<Address>,
    pub(super) _files: Vec<Option<SocketFile>>,
}

/// A connection to a manager: creates objects in it, and looks up named ones.
///
/// Every call returns [`ManagerError::Gone`] if the manager has ended, and [`ManagerError::Silent`] if it does not
/// answer in time.
///
/// A clone can be sent to workers as a field of their roles, like the objects' proxies.
#[derive(Debug)]
pub struct Manager {
    pub(super) client: Arc<Client>,
    pub(super) server: Option<OwnServer>,
}

impl Manager {
    /// Connects to a manager elsewhere, within 10 seconds.
    ///
    /// # Errors
    /// [`ManagerError::Unreachable`], or [`ManagerError::Handshake`] if the keys differ.
    ///
    /// # Standard
    /// Python's `BaseManager(address, authkey).connect()`.
    pub fn connect(address: &Address, key: &AuthKey) -> Result<Manager> {
        Manager::connect_timeout(address, key, CONNECT_TIME)
    }

    /// As [`connect`](Self::connect), within `timeout` instead of 10 seconds: connection and mutual authentication
    /// included.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`ManagerError::Silent`] if it was reached but did not answer in time.
    pub fn connect_timeout(address: &Address, key: &AuthKey, timeout: Duration) -> Result<Manager> {
        let route = Route::new(Endpoint::Address(address.clone()), key, None);
        Ok(Manager { client: Client::connect(route, timeout)?, server: None })
    }

    /// Sets a deadline for every request over this connection, of all objects and threads: a request without an answer
    /// `timeout` from now fails with [`ManagerError::Silent`] and ends the connection. `None` removes the deadline.
    pub fn set_deadline(&self, timeout: Option<Duration>) {
        self.client.set_deadline(timeout);
    }

    /// The addresses at which it listens for other processes, if this process started it.
    pub fn addresses(&self) -> &[Address] {
        self.server.as_ref().map_or(&[], |server| &server.addresses)
    }

    /// The server's process, if this process started it.
    pub fn process(&self) -> Option<&Process> {
        self.server.as_ref().map(|server| &server.process)
    }

    /// Returns the manager's own counters.
    pub fn status(&self) -> Result<Status> {
        match self.client.request(Request::Status, "asking for the status")? {
            Reply::Status(status) => Ok(status),
            _ => Err(ManagerError::gone().into()),
        }
    }

    /// Ends the manager and all its objects, if this process started it; otherwise only disconnects. Later calls to its
    /// objects, and those waiting now, fail with [`ManagerError::Gone`].
    ///
    /// Closes the server's lifeline first, then terminates the process, then kills it.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if the kernel refuses the wait.
    pub fn shutdown(mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), OwnServer::end)
    }

    /// Creates an object of type `P`, with Python's arguments for that type as data.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if the arguments do not suit the type.
    pub fn make<P: Proxy>(&self, args: Vec<Variant>) -> Result<P> {
        P::of(self.make_any(P::KIND, args, None)?)
    }

    /// Returns the named object if it is of this type, or else creates it. A new one lives until its name is
    /// [removed](Self::remove_name).
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if the name belongs to another type.
    pub fn make_named<P: Proxy>(&self, name: &str, args: Vec<Variant>) -> Result<P> {
        P::of(self.make_any(P::KIND, args, Some(name))?)
    }

    /// As [`make`](Self::make) and [`make_named`](Self::make_named), for a type known only at run time.
    pub fn make_any(&self, kind: Kind, args: Vec<Variant>, name: Option<&str>) -> Result<Object> {
        let name = name.map(str::to_owned);
        self.client.fetch(Request::Create { kind, args, name }, format!("making a {kind}"))
    }

    /// Returns the object with this name.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if there is none, or it is of another type.
    pub fn lookup<P: Proxy>(&self, name: &str) -> Result<P> {
        P::of(self.lookup_any(name)?)
    }

    /// Returns the object with this name, of whatever type.
    pub fn lookup_any(&self, name: &str) -> Result<Object> {
        self.client.fetch(Request::Lookup(name.to_owned()), format!("looking up {name}"))
    }

    /// Returns all names with the types of their objects.
    pub fn names(&self) -> Result<Vec<(String, Kind)>> {
        let Reply::Variant(Variant::Dict(names)) = self.client.request(Request::Names, "listing the names")? else {
            return Err(ManagerError::gone().into());
        };
        let entry = |(name, kind): (Key, Variant)| Some((name.as_str()?.to_owned(), Kind::by_name(kind.as_str()?)?));
        Ok(Map::into_iter(*names).filter_map(entry).collect())
    }

    /// Removes a name. Its object lives on while anything refers to it.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if no object has the name.
    pub fn remove_name(&self, name: &str) -> Result<()> {
        let request = Request::RemoveName(name.to_owned());
        self.client.request(request, format!("removing the name {name}")).map(drop)
    }
}

impl OwnServer {
    fn end(mut self) -> Result<()> {
        self.life = None;
        if self.process.join_timeout(SHUTDOWN_TIME)?.is_none() {
            self.process.terminate()?;
            if self.process.join_timeout(SHUTDOWN_TIME)?.is_none() {
                self.process.kill()?;
            }
        }
        self.process.join().map(drop)
    }
}

/// Defines constructors by a table: each with its arguments, its type, and a further argument for some.
macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $type:ty),*) -> $proxy:ident $(with $more:literal)?;)*) => {
        impl Manager {$(
            $(#[$doc])*
            pub fn $name(&self, $($arg: $type),*) -> Result<$proxy> {
                self.make(vec![$($arg.into(),)* $($more.into())?])
            }
        )*}
    };
}
constructors! {
    /// Creates an empty dict.
    dict() -> Dict;
    /// Creates an empty list.
    list() -> List;
    /// Creates an empty namespace.
    namespace() -> Namespace;
    /// Creates an unlocked lock.
    lock() -> Lock;
    /// Creates an unlocked recursive lock.
    rlock() -> RLock;
    /// Creates a condition with its own recursive lock.
    condition() -> Condition;
    /// Creates a condition on a lock that may also be used elsewhere.
    condition_on(lock: &Lock) -> Condition;
    /// Creates an event that is not set.
    event() -> Event;
    /// Creates a semaphore whose permits are released when their holder dies.
    semaphore(permits: u32) -> Semaphore;
    /// Creates a semaphore that only counts: one process may release what another acquired, and no death releases a
    /// permit.
    counting_semaphore(permits: u32) -> Semaphore with false;
    /// Creates a bounded semaphore.
    bounded_semaphore(permits: u32) -> BoundedSemaphore;
    /// Creates a barrier.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if `parties` is 0.
    barrier(parties: u32) -> Barrier;
    /// Creates a barrier with an action; see [`Barrier::wait_with`].
    barrier_with_action(parties: u32) -> Barrier with true;
    /// Creates a queue for at most `maxsize` items; 0 means no limit.
    queue(maxsize: usize) -> Queue;
    /// Creates a joinable queue for at most `maxsize` items; 0 means no limit.
    joinable_queue(maxsize: usize) -> JoinableQueue;
    /// Creates a joinable queue that delivers each item at most `deliveries` times.
    joinable_queue_with_limit(maxsize: usize, deliveries: u32) -> JoinableQueue;
    /// Creates a value, with a note of its type.
    value(typecode: &str, variant: impl Into<Variant>) -> Value;
}

impl Manager {
    /// Creates an array of the type with this letter in Python's `array` module.
    ///
    /// # Errors
    /// [`ManagerError::Managed`] if there is no such type, or an element does not fit it.
    pub fn array<D: Into<Variant>>(&self, typecode: &str, elements: impl IntoIterator<Item = D>) -> Result<Array> {
        self.make(vec![typecode.into(), elements.into_iter().map(Into::into).collect()])
    }
}

/// Shares the same connection. The manager still ends with the value that [`start`](Self::start) returned.
impl Clone for Manager {
    fn clone(&self) -> Self {
        Manager { client: Arc::clone(&self.client), server: None }
    }
}

sent_in_roles!(
    [] Manager, "a Manager", |manager, recipient| manager.client.invite(recipient, None),
    |invitation: ConnectInfo| Ok(Manager { client: invitation.connect()?, server: None })
);

#[cfg(test)]
mod tests {
    use std::thread;

    use super::super::{Limits, Method, Serving};
    use super::*;
    use crate::ipc::operation::tests::{goes, passed, up_to_the_point};
    use crate::sys::fork::in_fork;

    /// Runs `test` with a client of a manager in this process.
    fn with_manager(test: impl FnOnce(Manager)) {
        let directory = tempfile::tempdir().expect("a directory");
        let (address, key) = (Address::Unix(directory.path().join("manager")), AuthKey::new("k").expect("not empty"));
        let serving =
            Serving::listen(std::slice::from_ref(&address), key.clone(), Limits::default()).expect("it listens");
        let (stop, life) = std::io::pipe().expect("a pipe");
        let server = thread::spawn(move || serving.run(stop, |_| {}));
        test(Manager::connect(&address, &key).expect("it serves"));
        drop(life);
        server.join().expect("no panic").expect("it served");
    }

    #[test]
    fn every_operation_passes_one_point() {
        with_manager(|manager| {
            let [whole, names] = [0, u32::MAX.into()].map(|part| manager.client.operated(part));
            let dict: Dict = goes("manager.create", &names, || manager.make_named("a", vec![])).expect("a dict");
            let object = manager.client.operated(dict.object().id().0);
            goes("manager.lookup", &names, || manager.lookup::<Dict>("a")).expect("a dict");
            goes("dict.set_item", &object, || dict.insert("x", 1)).expect("inserted");
            // It may be a reference to another object.
            let (_, points) = passed(|| dict.add("x", 0));
            assert_eq!((points[0].operation, points[0].object, points[0].lock), ("dict.add", object, Some(whole)));
            let later = goes("dict.get_item", &object, || dict.get_later("x")).expect("sent");
            goes("manager.names", &names, || manager.names()).expect("names");
            goes("manager.remove_name", &names, || manager.remove_name("a")).expect("removed");
            goes("manager.status", &whole, || manager.status()).expect("a status");
            let point = up_to_the_point(|| dict.insert("x", 2));
            assert_eq!((point.operation, point.could_go), ("dict.set_item", true));
            let (found, points) = passed(|| {
                drop(dict);
                later.wait()
            });
            assert_eq!((found.expect("an answer"), points), (Some(1.into()), vec![]));
            let lock: Lock = manager.make_named("l", vec![]).expect("a lock");
            lock.object().call_by_name(Method::Acquire, vec![], None).expect("free");
            goes("manager.leave", &whole, || drop((lock, manager)));
        });
    }

    #[test]
    fn forked_child_is_refused_and_releases_nothing() {
        with_manager(|manager| {
            let dict: Dict = manager.make_named("a", vec![]).expect("a dict");
            dict.insert("x", 1).expect("inserted");
            manager.remove_name("a").expect("removed");
            let status = manager.status().expect("a status");
            let mut copies = Some((manager, dict));
            assert!(in_fork(|| {
                let (manager, dict) = copies.take().expect("its copies");
                let refused = [dict.insert("x", 2).map(drop), manager.names().map(drop), manager.status().map(drop)];
                refused.into_iter().all(|answer| answer.is_err_and(|error| error.to_string().contains("forked")))
            }));
            let (manager, dict) = copies.expect("the child had copies");
            assert_eq!(dict.get("x").expect("the child released nothing"), Some(1.into()));
            let requests = manager.status().expect("a status").requests;
            assert_eq!(requests, status.requests + 1, "the child sent nothing");
        });
    }
}
