//! The thread that waits for all events at once and never for a single peer: new connections, room for the clients'
//! answers, the next deadline.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::Scope;
use std::time::Duration;

use super::connection::{CloseReason, Connection};
use super::listener::Listener;
use super::state::{CLIENT, ServerState};
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::manager::status::Status;
use crate::ipc::manager::store::SessionId;
use crate::ipc::manager::wire::{AuthKey, Inbox, Responder};
use crate::sys::clock::monotonic_ns;
use crate::sys::epoll::Interest;

/// The poller's tokens: the server's end, a wake-up, then the listeners.
const STOP: u64 = 0;
const WAKEUP: u64 = 1;
pub(super) const FIRST_LISTENER: u64 = 2;
/// Connections in their handshake have the tokens from here.
const FIRST_HANDSHAKE: u64 = 1 << 16;
/// How much of a handshake is read at once.
const SCRATCH: usize = 4 * 1024;
/// Interval at which the watcher is told the status, if it has changed.
const TELL_EVERY_NS: u64 = 500_000_000;

/// A connection that has not authenticated yet.
pub(super) struct Handshake {
    pub(super) socket: OwnedFd,
    /// The index of the listener that accepted it.
    pub(super) listener: usize,
    pub(super) responder: Responder,
    pub(super) inbox: Inbox,
    pub(super) begun_ns: u64,
}

pub(super) struct Poller<'scope, 'env> {
    pub(super) state: &'scope ServerState,
    /// The scope of the clients' threads.
    pub(super) scope: &'scope Scope<'scope, 'env>,
    pub(super) key: AuthKey,
    pub(super) own_user: u32,
    pub(super) listeners: Vec<Listener>,
    pub(super) handshakes: HashMap<u64, Handshake>,
    pub(super) last_token: u64,
    pub(super) scratch: Vec<u8>,
    looked_ns: u64,
}

/// Is told a server's status, whenever it has changed.
pub(crate) type Watcher<'a> = Option<&'a mut dyn FnMut(&Status)>;

impl<'scope, 'env> Poller<'scope, 'env> {
    pub(super) fn new(
        state: &'scope ServerState,
        scope: &'scope Scope<'scope, 'env>,
        key: AuthKey,
        own_user: u32,
        listeners: Vec<Listener>,
    ) -> io::Result<Self> {
        let mut poller = Poller {
            state,
            scope,
            key,
            own_user,
            listeners,
            handshakes: HashMap::new(),
            last_token: FIRST_HANDSHAKE,
            scratch: vec![0; SCRATCH],
            looked_ns: 0,
        };
        state.epoll.add(&state.wakeup, WAKEUP, Interest::Readable)?;
        (0..poller.listeners.len()).for_each(|number| poller.poll_listener(number));
        Ok(poller)
    }

    /// Runs until `stop` is ready. Returns the final status.
    pub(super) fn run(mut self, stop: BorrowedFd<'_>, mut watcher: Watcher<'_>) -> io::Result<Status> {
        self.state.epoll.add(stop, STOP, Interest::Readable)?;
        let (mut told, mut tell_ns) = (None, watcher.is_some().then_some(0));
        loop {
            let look_ns = self.has_to_look().then_some(self.looked_ns + LIVENESS_CHECK_NS);
            let until_ns = self.state.lock().poller_sleeps(look_ns.into_iter().chain(tell_ns).min());
            let ready = self.state.epoll.wait(until_ns)?;
            let now_ns = monotonic_ns();
            for token in ready {
                match token {
                    STOP => return Ok(self.state.lock().store.status()),
                    WAKEUP => self.state.wakeup.clear(),
                    token if token & CLIENT != 0 => {
                        let client = self.state.lock().clients.get(&SessionId(token & !CLIENT)).cloned();
                        client.into_iter().for_each(|client| self.state.send(&client));
                    }
                    token if token >= FIRST_HANDSHAKE => self.handshake_is_ready(token, now_ns),
                    token => self.accept_all((token - FIRST_LISTENER) as usize, now_ns),
                }
            }
            if self.state.has_failed.load(Relaxed) {
                return Err(has_panicked());
            }
            let mut inner = self.state.lock();
            inner.store.expire(now_ns);
            self.state.deliver(inner);
            self.look_through(now_ns);
            if let Some(watcher) = watcher.as_mut().filter(|_| tell_ns.is_some_and(|tell_ns| tell_ns <= now_ns)) {
                tell_ns = Some(now_ns + TELL_EVERY_NS);
                let status = self.state.lock().store.status();
                if told != Some(status) {
                    watcher(&status);
                    told = Some(status);
                }
            }
        }
    }

    fn has_to_look(&self) -> bool {
        self.state.limits.idle_time.is_some()
            || self.state.has_unread.load(Relaxed)
            || self
                .listeners
                .iter()
                .any(|listener| listener.handshakes > 0 || !(listener.is_polled || listener.is_over))
    }

    /// Ends the connections whose time limit has passed.
    fn look_through(&mut self, now_ns: u64) {
        if now_ns < self.looked_ns + LIVENESS_CHECK_NS || !self.has_to_look() {
            return;
        }
        self.looked_ns = now_ns;
        let is_over = |since_ns: u64, limit: Duration| u128::from(now_ns.saturating_sub(since_ns)) > limit.as_nanos();
        let limits = &self.state.limits;
        for (client, since_ns) in self.state.unread() {
            if is_over(since_ns, limits.unread_time) {
                client.end(CloseReason::NotReading);
            }
        }
        if let Some(limit) = limits.idle_time {
            let is_idle = |client: &Arc<Connection>| is_over(client.busy_ns.load(Relaxed), limit);
            for client in self.state.waiting_for_nothing(is_idle) {
                client.end(CloseReason::Idle);
            }
        }
        let late: Vec<u64> = (self.handshakes.iter())
            .filter(|(_, handshake)| is_over(handshake.begun_ns, limits.handshake_time))
            .map(|(token, _)| *token)
            .collect();
        self.state.lock().store.refused.too_slow += late.len() as u64;
        late.into_iter().for_each(|token| drop(self.handshake_ended(token)));
        (0..self.listeners.len()).for_each(|number| self.poll_listener(number));
    }
}

/// The reason for an end that was not requested.
pub(super) fn has_panicked() -> io::Error {
    io::Error::other("a thread of the manager has panicked")
}
