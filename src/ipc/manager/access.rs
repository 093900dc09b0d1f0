//! What a program does with a manager: connects to it, makes objects in it, finds those that have a name.

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::client::{CONNECT_TIME, Client, ConnectInfo, Endpoint, Object};
use super::data::{Key, Kind, Map, Variant};
use super::proxy::{
    Array, Barrier, BoundedSemaphore, Condition, Dict, Event, JoinableQueue, List, Lock, Namespace, Proxy, Queue,
    RLock, Semaphore, Value,
};
use super::start::{ManagerBuilder, OwnServer};
use super::status::Status;
use super::store::{Reply, Request};
use super::wire::{AuthKey, random};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::child::Process;
use crate::ipc::process::transfer::sent_in_roles;

/// How long a manager may take for what needs no waiting, before it counts as silent.
pub(super) const ANSWER_TIME: Duration = Duration::from_secs(30);

/// A connection to a manager: makes objects in it, and finds those that have a name.
///
/// Every call is [`Error::ManagerGone`] if the manager has ended, and [`Error::ManagerSilent`] if it does not answer in time.
///
/// A clone of it goes into workers as a field of their roles, like the objects' proxies.
#[derive(Debug)]
pub struct Manager {
    pub(super) client: Arc<Client>,
    pub(super) server: Option<OwnServer>,
}

impl Manager {
    /// Starts a manager: a worker of this process in the role [`ManagerServer`](super::ManagerServer), which must be in the program's table.
    ///
    /// Only workers to which this process gives the manager or one of its objects can connect. It ends with this process,
    /// with [`shutdown`](Self::shutdown), or when this value is dropped.
    ///
    /// # Errors
    /// What kept the process from starting, or from finding its role.
    ///
    /// # Standard
    /// Python's `multiprocessing.Manager()`.
    pub fn start() -> Result<Manager> {
        Manager::builder().start()
    }

    /// Starts a manager with options.
    pub fn builder<'a>() -> ManagerBuilder<'a> {
        ManagerBuilder::default()
    }

    /// Connects to a manager elsewhere, within 10 seconds.
    ///
    /// # Errors
    /// [`Error::Unreachable`], or [`Error::HandshakeError`] if the keys differ.
    ///
    /// # Standard
    /// Python's `BaseManager(address, authkey).connect()`.
    pub fn connect(address: &Address, key: &AuthKey) -> Result<Manager> {
        Manager::connect_timeout(address, key, CONNECT_TIME)
    }

    /// As [`connect`](Self::connect), within `timeout` in place of 10 seconds: reaching it, and proving the key to each
    /// other.
    ///
    /// # Errors
    /// As [`connect`](Self::connect); [`Error::ManagerSilent`] if it could be reached and did not answer in time.
    pub fn connect_timeout(address: &Address, key: &AuthKey, timeout: Duration) -> Result<Manager> {
        let manager = u128::from_le_bytes(random().map_err(os("get random bytes"))?);
        let gate = Endpoint::Address(address.clone());
        let client = Client::connect_within(timeout, gate, key.clone(), manager, Some(ANSWER_TIME))?;
        Ok(Manager { client, server: None })
    }

    /// Limits every request over this connection, of all objects and threads: what has no answer `timeout` from now fails
    /// with [`Error::ManagerSilent`], and ends the connection. `None` lifts the limit.
    pub fn set_deadline(&self, timeout: Option<Duration>) {
        self.client.set_deadline(timeout);
    }

    /// Where it listens for others than this process's workers, if this process started it.
    pub fn addresses(&self) -> &[Address] {
        self.server.as_ref().map_or(&[], |server| &server.addresses)
    }

    /// The server's process, if this process started it.
    pub fn process(&self) -> Option<&Process> {
        self.server.as_ref().map(|server| &server.process)
    }

    /// What it says about itself.
    pub fn status(&self) -> Result<Status> {
        self.client.status()
    }

    /// Ends the manager, if this process started it, and all its objects with it; otherwise only leaves it. Whoever calls
    /// one of its objects gets [`Error::ManagerGone`], also who waits at one now.
    ///
    /// Asked first, then told, then killed.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses the wait.
    pub fn shutdown(mut self) -> Result<()> {
        self.server.take().map_or(Ok(()), OwnServer::end)
    }

    /// Makes an object of a type, with Python's arguments of that type as data.
    ///
    /// # Errors
    /// [`Error::Managed`] if the arguments are not those of the type.
    pub fn make<P: Proxy>(&self, args: Vec<Variant>) -> Result<P> {
        P::of(self.make_any(P::KIND, args, None)?)
    }

    /// The object of a name: the one that has it, if it is of this type, or else a new one, which lives until its name is
    /// [taken away](Self::unname).
    ///
    /// # Errors
    /// [`Error::Managed`](crate::Error::Managed) if the name belongs to another type.
    pub fn make_named<P: Proxy>(&self, name: &str, args: Vec<Variant>) -> Result<P> {
        P::of(self.make_any(P::KIND, args, Some(name))?)
    }

    /// As [`make`](Self::make) and [`make_named`](Self::make_named), of a type that is known only at run time.
    pub fn make_any(&self, kind: Kind, args: Vec<Variant>, name: Option<&str>) -> Result<Object> {
        let name = name.map(str::to_owned);
        self.client.fetch(Request::Create { kind, args, name }, || format!("making a {kind}"))
    }

    /// The object of a name.
    ///
    /// # Errors
    /// [`Error::Managed`] if there is none, or it is of another type.
    pub fn lookup<P: Proxy>(&self, name: &str) -> Result<P> {
        P::of(self.lookup_any(name)?)
    }

    /// The object of a name, of whatever type.
    pub fn lookup_any(&self, name: &str) -> Result<Object> {
        self.client.fetch(Request::Lookup { name: name.to_owned() }, || format!("looking up {name}"))
    }

    /// All names and the types of their objects.
    pub fn names(&self) -> Result<Vec<(String, Kind)>> {
        let Reply::Variant(Variant::Dict(names)) =
            self.client.request(Request::Names, || "listing the names".to_owned())?
        else {
            return Err(Error::manager_gone());
        };
        let entry = |(name, kind): (Key, Variant)| Some((name.as_str()?.to_owned(), Kind::by_name(kind.as_str()?)?));
        Ok(Map::into_iter(*names).filter_map(entry).collect())
    }

    /// Takes a name away. Its object lives on as long as somebody refers to it.
    ///
    /// # Errors
    /// [`Error::Managed`] if nothing has the name.
    pub fn remove_name(&self, name: &str) -> Result<()> {
        let request = Request::Unname { name: name.to_owned() };
        self.client.request(request, || format!("taking away the name {name}")).map(drop)
    }
}

/// Makes a method for each type that needs no arguments.
macro_rules! make_plain {
    ($($(#[$doc:meta])* $method:ident -> $proxy:ident;)*) => {
        impl Manager {$(
            $(#[$doc])*
            pub fn $method(&self) -> Result<$proxy> {
                self.make(vec![])
            }
        )*}
    };
}
make_plain! {
    /// Makes an empty dict.
    dict -> Dict;
    /// Makes an empty list.
    list -> List;
    /// Makes an empty namespace.
    namespace -> Namespace;
    /// Makes a free lock.
    lock -> Lock;
    /// Makes a free recursive lock.
    rlock -> RLock;
    /// Makes a condition with a recursive lock of its own.
    condition -> Condition;
    /// Makes an event that is not set.
    event -> Event;
}

impl Manager {
    /// Makes a condition on a lock that others may use too.
    pub fn condition_on(&self, lock: &Lock) -> Result<Condition> {
        self.make(vec![lock.into()])
    }

    /// Makes a semaphore; its permits come back when their holder dies.
    pub fn semaphore(&self, permits: u32) -> Result<Semaphore> {
        self.make(vec![permits.into()])
    }

    /// Makes a semaphore that only counts: one process releases what another acquires, and nothing comes back.
    pub fn counting_semaphore(&self, permits: u32) -> Result<Semaphore> {
        self.make(vec![permits.into(), false.into()])
    }

    /// Makes a bounded semaphore.
    pub fn bounded_semaphore(&self, permits: u32) -> Result<BoundedSemaphore> {
        self.make(vec![permits.into()])
    }

    /// Makes a barrier.
    ///
    /// # Errors
    /// [`Error::Managed`] if there are no parties.
    pub fn barrier(&self, parties: u32) -> Result<Barrier> {
        self.make(vec![parties.into()])
    }

    /// Makes a barrier with an action, see [`Barrier::wait_with`].
    pub fn barrier_with_action(&self, parties: u32) -> Result<Barrier> {
        self.make(vec![parties.into(), true.into()])
    }

    /// Makes a queue for at most `maxsize` items; 0 is no limit.
    pub fn queue(&self, maxsize: usize) -> Result<Queue> {
        self.make(vec![maxsize.into()])
    }

    /// Makes a joinable queue for at most `maxsize` items; 0 is no limit.
    pub fn joinable_queue(&self, maxsize: usize) -> Result<JoinableQueue> {
        self.make(vec![maxsize.into()])
    }

    /// Makes a joinable queue that delivers no item more often than `deliveries` times.
    pub fn joinable_queue_with_limit(&self, maxsize: usize, deliveries: u32) -> Result<JoinableQueue> {
        self.make(vec![maxsize.into(), deliveries.into()])
    }

    /// Makes a value, with a note of its type.
    pub fn value(&self, typecode: &str, variant: impl Into<Variant>) -> Result<Value> {
        self.make(vec![typecode.into(), variant.into()])
    }

    /// Makes an array of the type that Python's `array` module knows by this letter.
    ///
    /// # Errors
    /// [`Error::Managed`] if there is no such type, or an element does not fit it.
    pub fn array<D: Into<Variant>>(&self, typecode: &str, elements: impl IntoIterator<Item = D>) -> Result<Array> {
        self.make(vec![typecode.into(), elements.into_iter().map(Into::into).collect()])
    }
}

/// Another user of the same connection. The manager still ends with the value that [`start`](Self::start) returned.
impl Clone for Manager {
    fn clone(&self) -> Self {
        Manager { client: Arc::clone(&self.client), server: None }
    }
}

sent_in_roles!(
    [] Manager, "a Manager", |manager, recipient| manager.client.invite(recipient, None),
    |invitation: ConnectInfo| Ok(Manager { client: invitation.connect()?, server: None })
);
