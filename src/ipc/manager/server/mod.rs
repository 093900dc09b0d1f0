//! The server: a thread for each listener and each connection, and one that enforces timeouts.
//!
//! # State
//! A new connection is in its handshake until the client has authenticated; the number of handshakes per listener is
//! limited. Then it is a session of the store, and its thread processes its requests in order. A waiting call occupies
//! only its entry in the store: the thread that ends the wait sends the answer. If a client does not read its answers,
//! the poller sends them when there is room, and the client's thread reads no more requests while too much is pending.
//!
//! | file | what it is |
//! |---|---|
//! | `listener` | accepting connections |
//! | `handler` | the thread of one connection: its handshake, then its requests |
//! | `poller` | timeouts, and clients that do not read |
//! | `state` | what they share: the objects behind one lock, and the clients |
//! | `connection` | the data to send to a client |
//!
//! # Death
//! The end of a client's connection ends its session: everything it held is released. A server that dies closes every
//! connection, which every client sees at once. It ends with its parent, and leaves no file: its parent's workers
//! connect through an unnamed socket pair.
//!
//! # Standard
//! `epoll(7)`, level-triggered. A thread per connection as in Python, which however cannot accept during a handshake.

mod connection;
mod handler;
mod limits;
mod listener;
mod poller;
mod state;
#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::thread;

pub use limits::Limits;

use super::status::Status;
use super::wire::{AuthKey, Transport};
use listener::Listener;
pub(crate) use poller::Watcher;
use poller::has_panicked;
use state::ServerState;

/// A server that has not started to serve.
#[derive(Debug)]
pub(crate) struct Server {
    state: ServerState,
    listeners: Vec<Listener>,
}

impl Server {
    pub(crate) fn new(key: AuthKey, limits: Limits) -> io::Result<Self> {
        Ok(Server { state: ServerState::new(key, limits)?, listeners: Vec::new() })
    }

    /// Accepts clients through `socket`: the server's end of a packet socket pair.
    pub(crate) fn add_parent(&mut self, socket: OwnedFd) {
        self.listeners.push(Listener::new(socket, true, Transport::Unix));
    }

    /// Accepts clients through a listening socket.
    pub(crate) fn add_listener(&mut self, socket: OwnedFd, transport: Transport) {
        self.listeners.push(Listener::new(socket, false, transport));
    }

    /// Serves until `stop` is readable or closed at its other end. Returns the final status.
    pub(crate) fn run(self, stop: impl AsFd, watcher: Watcher<'_>) -> io::Result<Status> {
        let Server { state, listeners } = &self;
        thread::scope(|scope| {
            let serve = || {
                for listener in listeners {
                    let thread = thread::Builder::new().name("listener".to_owned());
                    thread.spawn_scoped(scope, || state.guard(|| listener.run(state, scope)))?;
                }
                state.poll(stop.as_fd(), watcher)
            };
            // Panics if another thread has panicked while it held the lock. Either way the scope waits for the other
            // threads.
            let ended = panic::catch_unwind(AssertUnwindSafe(serve));
            state.hang_up();
            listeners.iter().for_each(Listener::end);
            ended.unwrap_or_else(|_| Err(has_panicked()))
        })
    }
}
