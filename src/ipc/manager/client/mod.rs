//! A process's single connection to a manager, used by all its threads and all its proxies.
//!
//! # State
//! Requests are sent under one lock, each in one piece. Of the threads that wait for answers one reads for all: it
//! passes on the others' answers, and leaves the reading to another thread when its own answer has arrived. So a single
//! thread sends and receives with one system call each and no hand-over, and a waiting call delays no other's answer.
//!
//! # Death
//! The end of the server's process closes the connection: every waiting thread gets [`ManagerError::Gone`] at once, and
//! so does every later call.

mod handle;
mod handshake;
mod scheduled;
mod transfer;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::address::Address;
use super::data::{Kind, ObjectId};
use super::error::ManagerError;
use super::store::{Method, Outcome, Reply, Request};
use super::wire::{AuthKey, FrameKey, Inbox, ToClient, ToServer, Welcome, decode, encode};
use crate::ipc::deadline::{self, Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, check_not_forked};
use crate::ipc::operation::{self, Operation, always, point};
use crate::ipc::process::transfer::Fd;
use crate::sys::socket;
pub use handle::Object;
pub(crate) use handshake::CONNECT_TIME;
pub(crate) use transfer::ConnectInfo;

/// How much is read at once.
const SCRATCH: usize = 64 * 1024;

/// Receives from a socket, blocking or non-blocking.
type Receive = fn(BorrowedFd<'_>, &mut [u8]) -> io::Result<usize>;

/// Time limit for requests that never wait, after which the manager counts as silent.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What every connection to a manager needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Route {
    endpoint: Endpoint,
    /// The bytes of the key; they are in memory files of this process and its workers only.
    key: Vec<u8>,
    /// The manager as the object of operations, of which its objects are parts. A process that is already connected
    /// recognises the manager by this id.
    manager: operation::ObjectId,
    answer_time: Duration,
}

impl Route {
    /// Creates the route for this process and its workers. `answer_time` is for requests that never wait.
    pub(crate) fn new(endpoint: Endpoint, key: &AuthKey, answer_time: Option<Duration>) -> Self {
        let answer_time = answer_time.unwrap_or(ANSWER_TIME);
        Route { endpoint, key: key.bytes().to_vec(), manager: operation::ObjectId::new(), answer_time }
    }
}

/// Where to connect.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Endpoint {
    /// The clients' end of the server's socket pair.
    Parent(Fd),
    Address(Address),
}

/// A connection to a manager.
pub(crate) struct Client {
    socket: OwnedFd,
    route: Route,
    frame_limit: usize,
    /// The deadline of all requests, on the monotonic clock; the maximum means none.
    deadline_ns: AtomicU64,
    last_id: AtomicU64,
    outgoing: Mutex<Outgoing>,
    incoming: Mutex<Incoming>,
    handles: Mutex<HashMap<ObjectId, Weak<handle::Handle>>>,
    exports: Mutex<transfer::Exports>,
}

#[derive(Debug, Default)]
struct Outgoing {
    key: Option<FrameKey>,
    buffer: Vec<u8>,
}

#[derive(Debug, Default)]
struct Incoming {
    /// `None` while a thread reads.
    reader: Option<Reader>,
    arrived: HashMap<u64, Outcome>,
    waiting: HashMap<u64, Thread>,
    /// Requests whose answers are not awaited any more.
    given_up: HashSet<u64>,
    is_gone: bool,
}

#[derive(Debug)]
struct Reader {
    inbox: Inbox,
    scratch: Vec<u8>,
}

/// A pending request.
#[must_use = "the answer is thrown away when this is dropped"]
pub(crate) struct Pending {
    client: Arc<Client>,
    id: u64,
    deadline: Deadline,
    pub(crate) doing: Doing,
    is_answered: bool,
    /// The call, if an exploration schedules it.
    scheduled: Option<Box<scheduled::Scheduled>>,
}

/// What a request does, for its errors.
#[derive(Debug)]
pub(crate) enum Doing {
    Call(Method, Kind, ObjectId),
    Other(String),
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Doing::Call(method, kind, id) => write!(f, "{method} of {kind} {id}"),
            Doing::Other(doing) => f.write_str(doing),
        }
    }
}

impl Doing {
    /// Adds the name of the request to an error of the connection.
    fn name(&self, error: Error) -> Error {
        match error {
            Error::Manager(error) => error.during(|| self.to_string()).into(),
            other => other,
        }
    }
}

impl Client {
    /// Connects to a manager, including the handshake, within `time`.
    pub(crate) fn connect(route: Route, time: Duration) -> Result<Arc<Client>> {
        check_not_forked()?;
        crate::sys::fork::note_origin().map_err(crate::ipc::error::os("connect to a manager"))?;
        let (socket, Welcome { frame_limit, sealing, opening }) = handshake::connect(&route, time)?;
        // The manager is authenticated: the length of an answer is its choice.
        let reader = Reader { inbox: Inbox::new(usize::MAX, opening), scratch: vec![0; SCRATCH] };
        Ok(Arc::new(Client {
            socket,
            route,
            frame_limit,
            deadline_ns: AtomicU64::new(u64::MAX),
            last_id: AtomicU64::new(0),
            outgoing: Mutex::new(Outgoing { key: sealing, buffer: Vec::new() }),
            incoming: Mutex::new(Incoming { reader: Some(reader), ..Incoming::default() }),
            handles: Mutex::default(),
            exports: Mutex::default(),
        }))
    }

    /// Sends a request. Its time limit is `timeout` plus the manager's normal answer time; `None` is no limit.
    fn start(self: &Arc<Self>, request: Request, timeout: Option<Duration>, doing: Doing) -> Result<Pending> {
        if let Some((operation, part)) = operation(&request) {
            point(operation, &self.route.manager.part(part), always);
        }
        let id = self.last_id.fetch_add(1, Relaxed);
        let deadline = self.deadline(timeout);
        self.send(&ToServer { id: Some(id), request }, deadline).map_err(|error| doing.name(error))?;
        Ok(Pending { client: Arc::clone(self), id, deadline, doing, is_answered: false, scheduled: None })
    }

    /// Sends a request and ignores its answer.
    fn tell(&self, request: Request) -> Result<()> {
        let deadline = self.deadline(Some(Duration::ZERO));
        if !deadline::is_virtual() {
            return self.send(&ToServer { id: None, request }, deadline);
        }
        // In an exploration it has its effect before the next step.
        self.ask(request).map(drop)
    }

    /// Sends a request that never waits, and returns its answer, which contains no references.
    fn ask(&self, request: Request) -> Result<Outcome> {
        let (id, deadline) = (self.last_id.fetch_add(1, Relaxed), self.deadline(Some(Duration::ZERO)));
        self.send(&ToServer { id: Some(id), request }, deadline)?;
        self.wait(id, deadline)
    }

    /// Returns the deadline for the answer to a request that may wait `timeout`.
    fn deadline(&self, timeout: Option<Duration>) -> Deadline {
        // In an exploration the manager answers at once, and the time of the clock is not that of the answer.
        if deadline::is_virtual() {
            return Deadline::NEVER;
        }
        let time = timeout.and_then(|timeout| timeout.checked_add(self.route.answer_time));
        let own = time.map_or(Deadline::NEVER, Deadline::after);
        match self.deadline_ns.load(Relaxed) {
            u64::MAX => own,
            at_ns => own.or_at(at_ns),
        }
    }

    /// Sets a deadline for all requests, `timeout` from now; `None` removes it.
    pub(crate) fn set_deadline(&self, timeout: Option<Duration>) {
        let at_ns = timeout.and_then(|timeout| Deadline::after(timeout).at_ns());
        self.deadline_ns.store(at_ns.unwrap_or(u64::MAX), Relaxed);
    }

    /// A part of the manager as the object of operations.
    #[cfg(test)]
    pub(crate) fn operated(&self, part: u64) -> operation::ObjectId {
        self.route.manager.part(part)
    }

    fn send(&self, message: &ToServer, deadline: Deadline) -> Result<()> {
        // Two processes on one connection would get each other's answers.
        check_not_forked()?;
        let mut outgoing = unpoisoned(&self.outgoing);
        let Outgoing { key, buffer } = &mut *outgoing;
        buffer.clear();
        let limit = self.frame_limit;
        encode(message, buffer, limit, key).map_err(|bytes| Error::TooLong { bytes, limit })?;
        let mut sent = 0;
        while sent < buffer.len() {
            match socket::send_some(self.socket.as_fd(), &buffer[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The manager reads no more until it can send some answers: read them, whichever thread they are
                    // for.
                    let reader = unpoisoned(&self.incoming).reader.take();
                    if let Some(reader) = reader {
                        self.read(reader, socket::receive, None);
                    }
                    let look = Some(deadline.next_check());
                    if unpoisoned(&self.incoming).is_gone || socket::wait_either(self.socket.as_fd(), look).is_err() {
                        return Err(ManagerError::gone().into());
                    }
                    if deadline.has_passed() {
                        return Err(self.silent());
                    }
                }
                Err(_) => return Err(self.gone()),
            }
        }
        buffer.shrink_to(SCRATCH);
        Ok(())
    }

    /// Blocks until the answer to request `id` has arrived.
    fn wait(&self, id: u64, deadline: Deadline) -> Result<Outcome> {
        let mut has_waited = false;
        loop {
            let mut incoming = unpoisoned(&self.incoming);
            incoming.waiting.remove(&id);
            if let Some(outcome) = incoming.arrived.remove(&id) {
                return Ok(outcome);
            }
            if incoming.is_gone {
                return Err(ManagerError::gone().into());
            }
            // Most answers come at once: those cost no look at the clock.
            if has_waited && deadline.has_passed() {
                drop(incoming);
                return Err(self.silent());
            }
            has_waited = true;
            let Some(reader) = incoming.reader.take() else {
                incoming.waiting.insert(id, thread::current());
                drop(incoming);
                thread::park_timeout(LOOK_EVERY);
                continue;
            };
            drop(incoming);
            if let Some(outcome) = self.read(reader, socket::receive_blocking, Some(id)) {
                return Ok(outcome);
            }
        }
    }

    /// Reads with `receive`, puts the reader back, and hands every answer to the thread that waits for it. Returns the
    /// answer to `own`.
    fn read(&self, mut reader: Reader, receive: Receive, own: Option<u64>) -> Option<Outcome> {
        let read = reader.read(self.socket.as_fd(), receive);
        let mut incoming = unpoisoned(&self.incoming);
        incoming.reader = Some(reader);
        let (mut mine, mut unwanted) = (None, Vec::new());
        if read.is_none() {
            incoming.end();
        }
        for ToClient { id, result } in read.into_iter().flatten() {
            if Some(id) == own {
                mine = Some(result);
            } else if incoming.given_up.remove(&id) {
                unwanted.push(result);
            } else {
                incoming.arrived.insert(id, result);
                if let Some(thread) = incoming.waiting.remove(&id) {
                    thread.unpark();
                }
            }
        }
        // A thread that has its answer leaves the reading to another.
        if mine.is_some()
            && let Some(thread) = incoming.waiting.values().next()
        {
            thread.unpark();
        }
        drop(incoming);
        unwanted.into_iter().for_each(|outcome| self.throw_away(outcome));
        mine
    }

    /// Discards an answer that is not awaited, and releases the objects in it, which were given to this client.
    fn throw_away(&self, outcome: Outcome) {
        let Ok(mut reply) = outcome else { return };
        // A manager that is gone has released everything.
        reply.each_reference(&mut |reference| drop(self.tell(Request::Release { object: reference.id(), count: 1 })));
    }

    fn gone(&self) -> Error {
        unpoisoned(&self.incoming).end();
        ManagerError::gone().into()
    }

    /// Handles a manager that does not answer. Anything it may still do would come too late: this ends the connection,
    /// and thereby releases everything that this client holds.
    fn silent(&self) -> Error {
        self.gone();
        // Fails if the connection has ended already.
        let _ = socket::hang_up(self.socket.as_fd());
        ManagerError::silent().into()
    }
}

/// Ends the connection. That is a step of an exploration if others can notice it.
impl Drop for Client {
    fn drop(&mut self) {
        if operation::is_observed_here() && matches!(self.ask(Request::Holds), Ok(Ok(reply)) if reply == true.into()) {
            point(Operation::change("manager.leave"), &self.route.manager.part(0), always);
        }
    }
}

impl Incoming {
    /// Handles the end of the connection.
    fn end(&mut self) {
        self.is_gone = true;
        self.waiting.drain().for_each(|(_, thread)| thread.unpark());
    }
}

impl Reader {
    /// Returns the answers that have arrived; `None` at the end of the connection.
    fn read(&mut self, socket: BorrowedFd<'_>, receive: Receive) -> Option<Vec<ToClient>> {
        let mut answers = Vec::new();
        let count = match receive(socket, &mut self.scratch) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(answers),
            Ok(_) | Err(_) => return None,
        };
        self.inbox.feed(&self.scratch[..count]);
        while let Some(content) = self.inbox.next().ok()? {
            answers.push(decode(content).ok()?);
        }
        Some(answers)
    }
}

impl Pending {
    /// Blocks until the answer arrives, and takes ownership of the references in it.
    pub(crate) fn wait(mut self) -> Result<Reply> {
        self.is_answered = true;
        let mut outcome = self.client.wait(self.id, self.deadline).map_err(|error| self.doing.name(error))?;
        if let (Ok(Reply::Waits), Some(scheduled)) = (&outcome, &self.scheduled) {
            self.client.end_wait(scheduled)?;
            outcome = self.client.wait(self.id, self.deadline)?;
        }
        match outcome {
            Ok(reply) => Ok(self.client.own_references(reply)),
            Err(failure) => Err(ManagerError::managed(self.doing.to_string(), failure).into()),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if self.is_answered {
            return;
        }
        let mut incoming = unpoisoned(&self.client.incoming);
        match incoming.arrived.remove(&self.id) {
            Some(outcome) => {
                drop(incoming);
                self.client.throw_away(outcome);
            }
            None => drop(incoming.given_up.insert(self.id)),
        }
    }
}

/// The names of a manager as a part of it.
const NAMES_PART: u64 = u32::MAX as u64;

/// The public operation for which a request is, and the part of the manager that it concerns, where 0 is the whole.
/// `None` for a call, which [`Scheduled`](scheduled::Scheduled) describes, and what is not public.
fn operation(request: &Request) -> Option<(Operation, u64)> {
    match request {
        Request::Create { .. } => Some((Operation::change("manager.create"), NAMES_PART)),
        Request::Lookup(_) => Some((Operation::read("manager.lookup"), NAMES_PART)),
        Request::Names => Some((Operation::read("manager.names"), NAMES_PART)),
        Request::RemoveName(_) => Some((Operation::change("manager.remove_name"), NAMES_PART)),
        Request::Status => Some((Operation::read("manager.status"), 0)),
        _ => None,
    }
}

/// Locks a mutex, poisoned or not: the data in this module is consistent at every moment.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("endpoint", &self.route.endpoint).finish_non_exhaustive()
    }
}
