//! The server: a thread that lets clients in and minds the time, and a thread for each client.
//!
//! # State
//! A connection greets until it has proved the key; all that greet are the poller's, and none can keep it. Then it is a
//! session of the store, with a thread that takes its requests one after the other. A call that has to wait keeps nothing
//! but its place in the store: whoever ends the wait sends the answer. What a client does not take is sent by the poller
//! when there is room, and its thread takes no more requests while that is much.
//!
//! | file | what it is |
//! |---|---|
//! | `poller`, `accepted`, `listener` | who comes in, and whose time is over |
//! | `handler` | the thread of one client |
//! | `state` | what they share: the objects behind one lock, and who is connected |
//! | `connection` | what waits to be sent to a client |
//!
//! # Death
//! The end of a client's connection ends its session: what it held goes back. A server that dies closes every connection,
//! which every client sees at once. It ends with its parent, and leaves no file: its own workers come in through a door
//! that has no name.
//!
//! # Standard
//! `epoll(7)`, level-triggered. A thread for each connection as Python has it, which unlike this accepts between handshakes.

mod accept;
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
use crate::sys::socket;
use listener::Listener;
pub(crate) use poller::Watcher;
use poller::{Poller, has_panicked};
use state::ServerState;

/// A server, before it serves.
#[derive(Debug)]
pub(crate) struct Server {
    state: ServerState,
    key: AuthKey,
    own_user: u32,
    listeners: Vec<Listener>,
}

impl Server {
    pub(crate) fn new(key: AuthKey, limits: Limits) -> io::Result<Self> {
        Ok(Server { state: ServerState::new(limits)?, key, own_user: socket::own_user(), listeners: Vec::new() })
    }

    /// Lets clients in through a door: the server's end of a packet socket pair.
    pub(crate) fn add_door(&mut self, socket: OwnedFd) {
        self.listeners.push(Listener::of_parent(socket));
    }

    /// Lets clients in through a listening socket.
    pub(crate) fn add_listener(&mut self, socket: OwnedFd, transport: Transport) {
        self.listeners.push(Listener::bound(socket, transport));
    }

    /// Serves until `stop` is readable or closed at its other end. Returns what there was at the end.
    pub(crate) fn run(self, stop: impl AsFd, watcher: Watcher<'_>) -> io::Result<Status> {
        let Server { state, key, own_user, listeners } = self;
        thread::scope(|scope| {
            let poll = || Poller::new(&state, scope, key, own_user, listeners)?.run(stop.as_fd(), watcher);
            // It panics if another thread has with the lock held. However it ends, the scope waits for the clients' threads.
            let ended = panic::catch_unwind(AssertUnwindSafe(poll));
            state.hang_up();
            ended.unwrap_or_else(|_| Err(has_panicked()))
        })
    }
}
