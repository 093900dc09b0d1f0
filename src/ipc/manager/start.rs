//! Starting a manager: in a worker process, or in the current process.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::access::{Manager, OwnServer, SHUTDOWN_TIME};
use super::address::{Address, SocketFile};
use super::client::{CONNECT_TIME, Client, Endpoint, Route};
use super::server::{Limits, Server};
use super::status::Status;
use super::wire::{AuthKey, Transport};
use crate::ipc::error::{Result, os};
use crate::ipc::process::child;
use crate::ipc::process::role::{Role, RoleResult};
use crate::ipc::process::scheduler;
use crate::ipc::process::transfer::Fd;
use crate::sys::fd::pipe;
use crate::sys::socket::packet_pair;

/// Sockets, their actual addresses (with the ports that the kernel chose), and the files of Unix sockets.
type Listening = (Vec<OwnedFd>, Vec<Address>, Vec<Option<SocketFile>>);

/// Listens at addresses.
fn listen_at(addresses: &[Address]) -> Result<Listening> {
    let listen = |address: &Address| address.listen().map_err(os("listen for a manager's clients"));
    addresses.iter().map(listen).collect()
}

impl Manager {
    /// Starts a manager: a worker of this process in the role [`ManagerServer`](super::ManagerServer), which must be in
    /// the program's table.
    ///
    /// Only workers to which this process sends the manager or one of its objects can connect. The manager ends with
    /// this process, on [`shutdown`](Self::shutdown), or when this value is dropped. In an
    /// [exploration](crate::explore) it runs outside the schedule.
    ///
    /// # Errors
    /// Whatever kept the process from starting, or from finding its role.
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
}

/// Options for starting a manager, where the plain [`Manager::start`] is not enough.
#[derive(Debug, Default)]
#[must_use]
pub struct ManagerBuilder<'a> {
    process: child::Builder<'a>,
    name: Option<String>,
    key: Option<AuthKey>,
    addresses: Vec<Address>,
    is_private: bool,
    limits: Limits,
    answer_time: Option<Duration>,
}

impl<'a> ManagerBuilder<'a> {
    /// Sets how its process is started.
    pub fn process(mut self, process: child::Builder<'a>) -> Self {
        self.process = process;
        self
    }

    /// Sets the name of its process.
    pub fn name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Sets the key for clients from elsewhere; random by default.
    pub fn key(mut self, key: AuthKey) -> Self {
        self.key = Some(key);
        self
    }

    /// Also listens at `address`, for clients that are not workers of this process.
    pub fn listen(mut self, address: Address) -> Self {
        self.addresses.push(address);
        self
    }

    /// Also listens at an abstract socket with a random name; see [`Manager::addresses`]. Processes of other users are
    /// refused.
    pub fn listen_privately(mut self) -> Self {
        self.is_private = true;
        self
    }

    /// Sets the limits on its clients.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets the time limit for requests that never wait, after which this process and its workers give up (30 seconds).
    pub fn answer_time(mut self, limit: Duration) -> Self {
        self.answer_time = Some(limit);
        self
    }

    /// Starts the manager; see [`Manager::start`].
    ///
    /// # Errors
    /// As [`Manager::start`], and [`Error::Os`](crate::Error::Os) if it cannot listen at an address.
    pub fn start(self) -> Result<Manager> {
        let key = self.key.map_or_else(AuthKey::generate, Ok).map_err(os("make a random key"))?;
        let mut addresses = self.addresses;
        if self.is_private {
            addresses.push(Address::abstract_socket().map_err(os("choose a socket's name"))?);
        }
        let (sockets, addresses, files) = listen_at(&addresses)?;
        let (inside, outside) = packet_pair().map_err(os("make a manager's endpoint"))?;
        let (ends, life) = pipe().map_err(os("make a manager's life line"))?;
        let name = self.name.as_deref().unwrap_or("manager");
        let role = ManagerServer {
            key: key.bytes().to_vec(),
            endpoint: inside.into(),
            life: Fd::new(ends),
            listeners: sockets.into_iter().map(Fd::new).zip(addresses.iter().map(Address::transport)).collect(),
            limits: self.limits,
        };
        let mut process = self.process.unscheduled().spawn(name, role)?;
        let route = Route::new(Endpoint::Parent(outside.into()), &key, self.answer_time);
        let client = match Client::connect(route, CONNECT_TIME) {
            Ok(client) => client,
            // A reason from the server itself is more useful.
            Err(error) => match process.join_timeout(SHUTDOWN_TIME)?.and_then(|ended| ended.failure.clone()) {
                Some(failure) => return Err(failure.into()),
                None => return Err(error),
            },
        };
        if let Some(scheduler) = scheduler::current() {
            let client = Arc::downgrade(&client);
            scheduler.settle_by(Box::new(move || client.upgrade().iter().for_each(Client::settle)));
        }
        let server = OwnServer { process, life: Some(life), addresses, _files: files };
        Ok(Manager { client, server: Some(server) })
    }
}

/// The role of a manager's process. A program that starts managers needs it in its table of roles.
#[derive(Serialize, Deserialize)]
pub struct ManagerServer {
    key: Vec<u8>,
    endpoint: Fd,
    life: Fd,
    listeners: Vec<(Fd, Transport)>,
    limits: Limits,
}

impl Role for ManagerServer {
    const NAME: &'static str = "manager.server";

    fn run(self) -> RoleResult {
        let mut server = Server::new(AuthKey::new(self.key)?, self.limits)?;
        server.add_parent(self.endpoint.into_owned()?);
        for (listener, transport) in self.listeners {
            server.add_listener(listener.into_owned()?, transport);
        }
        server.run(self.life, None)?;
        Ok(())
    }
}

impl std::fmt::Debug for ManagerServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ManagerServer").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A manager that runs in the current process: listens at addresses until told to stop.
#[derive(Debug)]
pub struct Serving {
    addresses: Vec<Address>,
    server: Server,
    _files: Vec<Option<SocketFile>>,
}

impl Serving {
    /// Listens at `addresses`, without serving yet.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if it cannot listen there.
    pub fn listen(addresses: &[Address], key: AuthKey, limits: Limits) -> Result<Serving> {
        let mut server = Server::new(key, limits).map_err(os("make a manager"))?;
        let (sockets, addresses, files) = listen_at(addresses)?;
        for (socket, address) in sockets.into_iter().zip(&addresses) {
            server.add_listener(socket, address.transport());
        }
        Ok(Serving { addresses, server, _files: files })
    }

    /// The addresses at which it listens, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Serves until `stop` becomes readable or its other end is closed. Reports the status to `watcher`: at the start, and
    /// at most twice a second when it changes. Removes its socket files and returns the final status.
    ///
    /// # Errors
    /// [`Error::Os`](crate::Error::Os) if the kernel refuses the wait.
    pub fn run(self, stop: impl AsFd, mut watcher: impl FnMut(&Status)) -> Result<Status> {
        self.server.run(stop, Some(&mut watcher)).map_err(os("wait for a manager's clients"))
    }
}
