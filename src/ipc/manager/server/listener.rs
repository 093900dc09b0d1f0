//! Listeners, each with a thread that accepts connections. This thread does not communicate with peers. The
//! connection's own thread does, so an unresponsive peer blocks no other.
//!
//! # State
//! The parent's listener is one end of an unnamed socket pair: a process with the other end connects by sending one end
//! of a fresh socket pair through it. Nothing in the file system can be found, guessed or left behind. The others are
//! listening sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, Scope};

use super::handler;
use super::state::ServerState;
use crate::ipc::deadline::LOOK_EVERY;
use crate::ipc::manager::wire::Transport;
use crate::sys::fd::wait_readable;
use crate::sys::socket;

/// A source of connections.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    /// Whether its connections come through a socket pair.
    is_parents: bool,
    pub(super) transport: Transport,
    /// How many of its connections have not finished their handshake.
    handshakes: Mutex<usize>,
    handshake_ended: Condvar,
}

/// A handshake on one of a listener's connections. It ends when this is dropped.
pub(super) struct Handshake<'a>(&'a Listener);

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        *self.0.handshakes.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        self.0.handshake_ended.notify_one();
    }
}

impl Listener {
    pub(super) fn new(socket: OwnedFd, is_parents: bool, transport: Transport) -> Self {
        Listener { socket, is_parents, transport, handshakes: Mutex::new(0), handshake_ended: Condvar::new() }
    }

    /// Accepts connections, and starts a thread to serve each, until no more can arrive or the server ends.
    pub(super) fn run<'scope>(&'scope self, state: &'scope ServerState, scope: &'scope Scope<'scope, '_>) {
        while !state.is_over() {
            let handshake = self.begin_handshake(state.limits.handshakes);
            match self.accept(state) {
                Ok(Some(connection)) => {
                    let admit = move || handler::admit(state, scope, connection, self.transport, handshake);
                    // If the thread cannot be started, the connection is closed.
                    drop(handler::start_thread(state, scope, admit));
                }
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    drop(wait_readable(&self.socket, None));
                }
                // Out of descriptors or memory: existing connections continue; new ones wait.
                Err(_) => thread::sleep(LOOK_EVERY),
            }
        }
    }

    /// Makes [`run`](Self::run) return once the server has ended.
    pub(super) fn end(&self) {
        // Fails if no more connections can arrive.
        let _ = socket::hang_up(self.socket.as_fd());
    }

    /// Begins a handshake. Blocks until fewer than `most` are in progress.
    fn begin_handshake(&self, most: usize) -> Handshake<'_> {
        let handshakes = self.handshakes.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.handshake_ended.wait_while(handshakes, |handshakes| *handshakes >= most);
        *room.unwrap_or_else(PoisonError::into_inner) += 1;
        Handshake(self)
    }

    /// Accepts the next connection. Returns `None` if it was not permitted; it is closed already then. Fails with
    /// [`io::ErrorKind::WouldBlock`] if there is none, and [`io::ErrorKind::UnexpectedEof`] if no more can arrive.
    fn accept(&self, state: &ServerState) -> io::Result<Option<OwnedFd>> {
        let received = if self.is_parents {
            socket::take_descriptor(self.socket.as_fd())
        } else {
            socket::accept(self.socket.as_fd()).map(Some)
        };
        let refuse = |connection: Option<OwnedFd>| {
            // Counted before the peer sees the end.
            state.count(|refused| &mut refused.other_user);
            drop(connection);
            None
        };
        let connection = match received {
            Ok(Some(connection)) => connection,
            Ok(None) => return Ok(refuse(None)),
            // Closed by the peer before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(refuse(None)),
            Err(error) => return Err(error),
        };
        let is_permitted = match self.transport {
            Transport::Tcp => socket::tune_tcp(connection.as_fd()).map(|()| true)?,
            Transport::Unix if self.is_parents && !socket::is_unix_stream(connection.as_fd()) => false,
            Transport::Unix => socket::peer_user(connection.as_fd())? == state.own_user,
        };
        Ok(if is_permitted { Some(connection) } else { refuse(Some(connection)) })
    }
}
