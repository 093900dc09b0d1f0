//! What all threads of the server share: the objects behind one lock, and the clients.
//!
//! # State
//! The lock is held for one request at a time, and never during I/O. Answers are ready when it is released; a
//! connection's own lock keeps their bytes apart.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use super::connection::{Connection, Item, Sent};
use super::limits::Limits;
use crate::ipc::manager::status::Refusal;
use crate::ipc::manager::store::{Completion, Request, SessionId, Store, Ticket};
use crate::ipc::manager::wire::AuthKey;
use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::{Epoll, Wakeup};
use crate::sys::memory::check_available;
use crate::sys::socket;

#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) key: AuthKey,
    pub(super) limits: Limits,
    /// The user whose processes may connect through Unix sockets.
    pub(super) own_user: u32,
    pub(super) epoll: Epoll,
    /// Wakes the poller.
    pub(super) wakeup: Wakeup,
    inner: Mutex<Inner>,
    /// Whether there may be answers that a client does not read.
    pub(super) has_unread: AtomicBool,
    /// Whether a thread has panicked.
    pub(super) has_failed: AtomicBool,
    is_over: AtomicBool,
}

/// The state behind the lock.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) clients: HashMap<SessionId, Arc<Connection>>,
    /// Until when the poller sleeps if nothing happens.
    poller_sleeps_until_ns: u64,
}

impl ServerState {
    pub(super) fn new(key: AuthKey, limits: Limits) -> io::Result<Self> {
        Ok(ServerState {
            key,
            limits,
            own_user: socket::own_user(),
            epoll: Epoll::new()?,
            wakeup: Wakeup::new()?,
            inner: Mutex::new(Inner {
                store: Store::new(|bytes| check_available(bytes).is_ok()),
                clients: HashMap::new(),
                poller_sleeps_until_ns: 0,
            }),
            has_unread: AtomicBool::new(false),
            has_failed: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        // After a panic in a request the objects may be inconsistent: they are not used again.
        self.inner.lock().expect("no request has panicked")
    }

    /// Processes a client's request. Its answer is then ready to be sent, or follows when the wait ends.
    ///
    /// Without an id no answer is expected, so the call does not wait.
    pub(super) fn request(&self, client: &Connection, id: Option<u64>, mut request: Request, now_ns: u64) {
        if let (None, Request::Call(call)) = (id, &mut request) {
            call.timeout = Some(Duration::ZERO);
        }
        if let Request::Settle = request {
            self.settle();
        }
        let object = request.call().map(|call| call.object);
        // Data that fits into a request also fits into an answer, with its overhead.
        let limit = if request.takes_away() { usize::MAX } else { self.limits.frame.saturating_add(1024) };
        let ticket = Ticket(id.unwrap_or(u64::MAX));
        let mut inner = self.lock();
        let answer = inner.store.request(client.session, ticket, request, now_ns);
        self.deliver(inner);
        if let (Some(id), Some(result)) = (id, answer) {
            client.answer(id, result, object, limit);
        }
    }

    /// Waits until the sessions of all clients that are gone have ended.
    fn settle(&self) {
        let is_gone = |client: &Arc<Connection>| socket::has_hung_up(client.as_fd()).unwrap_or(true);
        let gone: Vec<_> = self.clients().into_iter().map(|(client, _)| client).filter(is_gone).collect();
        while gone.iter().any(|client| self.lock().clients.contains_key(&client.session)) {
            thread::yield_now();
        }
    }

    /// Releases the lock, and sends the answers of calls that waited to their clients.
    pub(super) fn deliver<'a>(&'a self, mut inner: MutexGuard<'a, Inner>) {
        loop {
            let ready = inner.completed();
            let must_wake = inner.next_deadline_is_news();
            drop(inner);
            if must_wake {
                self.wakeup.wake();
            }
            if ready.is_empty() {
                return;
            }
            let (now_ns, mut clients) = (monotonic_ns(), Vec::with_capacity(ready.len()));
            for (client, Completion { ticket, result, object, .. }) in ready {
                // Items, for the most part: they would be lost if not sent.
                client.answer(ticket.0, result, Some(object), usize::MAX);
                // A client that waited is idle from now on, and not since its wait began.
                client.busy_ns.store(now_ns, Relaxed);
                clients.push(client);
            }
            let lost: Vec<Item> = clients.iter().flat_map(|client| self.flush(client, now_ns)).collect();
            if lost.is_empty() {
                return;
            }
            inner = self.lock();
            inner.take_back(lost);
        }
    }

    /// Sends a client's pending data.
    pub(super) fn send(&self, client: &Connection, now_ns: u64) {
        let lost = self.flush(client, now_ns);
        if !lost.is_empty() {
            let mut inner = self.lock();
            inner.take_back(lost);
            self.deliver(inner);
        }
    }

    /// Sends as much as there is room for; the poller sends the rest. Returns the items to be requeued.
    fn flush(&self, client: &Connection, now_ns: u64) -> Vec<Item> {
        match client.flush(now_ns) {
            Sent::All => Vec::new(),
            Sent::Gone(lost) => lost,
            Sent::Some => {
                // Out of memory or of watches: the data cannot be sent later, so the connection ends.
                if self.epoll.add_for_room_once(client, client.session.0).is_err() {
                    client.end(|refused| &mut refused.not_reading);
                }
                if !self.has_unread.swap(true, Relaxed) {
                    self.wakeup.wake();
                }
                Vec::new()
            }
        }
    }

    /// Runs a thread of the server. The poller reports a panic; the scope would replace it with a panic of its own.
    pub(super) fn guard(&self, run: impl FnOnce()) {
        if panic::catch_unwind(AssertUnwindSafe(run)).is_err() {
            self.fail();
        }
    }

    /// Ends the server because a thread has panicked.
    pub(super) fn fail(&self) {
        self.has_failed.store(true, Relaxed);
        self.wakeup.wake();
    }

    /// Returns all clients, and whether each has a waiting call.
    pub(super) fn clients(&self) -> Vec<(Arc<Connection>, bool)> {
        let inner = self.lock();
        let waits = |client: &Arc<Connection>| inner.store.waits(client.session);
        inner.clients.values().map(|client| (Arc::clone(client), waits(client))).collect()
    }

    /// Adds a client for an authenticated connection. `pid` is its process, if known. Returns `None` at the client
    /// limit, or if the server is ending.
    pub(super) fn open(
        &self,
        pid: Option<u32>,
        connection: impl FnOnce(SessionId) -> Connection,
    ) -> Option<Arc<Connection>> {
        let mut inner = self.lock();
        // `hang_up` has already run, and would not close this connection.
        if self.is_over() {
            return None;
        }
        if inner.clients.len() >= self.limits.clients {
            inner.store.refused.too_many += 1;
            return None;
        }
        let session = inner.store.open_session(pid);
        let client = Arc::new(connection(session));
        inner.clients.insert(session, Arc::clone(&client));
        Some(client)
    }

    /// Removes a client that is gone or is to be disconnected, and releases everything it held.
    pub(super) fn close(&self, client: &Connection) {
        let now_ns = monotonic_ns();
        let mut inner = self.lock();
        inner.clients.remove(&client.session);
        if let Some(reason) = client.reason.get() {
            *reason(&mut inner.store.refused) += 1;
        }
        inner.store.close_session(client.session, now_ns);
        self.deliver(inner);
        client.hang_up();
        // Requeues the items that it did not receive.
        self.send(client, now_ns);
    }

    /// Counts a connection that was refused.
    pub(super) fn count(&self, refusal: Refusal) {
        *refusal(&mut self.lock().store.refused) += 1;
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Ends every connection, so that their threads end.
    pub(super) fn hang_up(&self) {
        self.is_over.store(true, Relaxed);
        let inner = self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.clients.values().for_each(|client| client.hang_up());
    }
}

impl Inner {
    /// Returns the answers that have become ready, with their clients. Items for a client that is gone are requeued.
    fn completed(&mut self) -> Vec<(Arc<Connection>, Completion)> {
        let mut ready = Vec::new();
        loop {
            let completed = self.store.take_completions();
            if completed.is_empty() {
                return ready;
            }
            for completion in completed {
                match (self.clients.get(&completion.session), completion.result) {
                    (Some(client), result) => ready.push((Arc::clone(client), Completion { result, ..completion })),
                    (None, Ok(reply)) => self.store.take_back(completion.object, reply),
                    (None, Err(_)) => {}
                }
            }
        }
    }

    /// Requeues items in reverse order, so that the first is at the front again.
    fn take_back(&mut self, lost: Vec<Item>) {
        for (queue, item) in lost.into_iter().rev() {
            self.store.take_back(queue, item);
        }
    }

    /// Records how long the poller sleeps: until then, or until the first call's deadline.
    pub(super) fn poller_sleeps(&mut self, look_ns: Option<u64>) -> Option<u64> {
        let until_ns = self.store.next_deadline().into_iter().chain(look_ns).min();
        self.poller_sleeps_until_ns = until_ns.unwrap_or(u64::MAX);
        until_ns
    }

    /// Whether a call's deadline is before the poller's next wake-up.
    fn next_deadline_is_news(&mut self) -> bool {
        let next_ns = self.store.next_deadline().unwrap_or(u64::MAX);
        let is_news = next_ns < self.poller_sleeps_until_ns;
        if is_news {
            self.poller_sleeps_until_ns = next_ns;
        }
        is_news
    }
}
