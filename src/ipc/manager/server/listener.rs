//! Listeners. Accepting a connection does no I/O with the peer: a silent peer blocks no other.
//!
//! # State
//! The parent's listener is one end of an unnamed socket pair: a process with the other end connects by sending one end
//! of a fresh socket pair through it. Nothing in the file system can be found, guessed or left behind. The others are
//! listening sockets.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::ipc::manager::wire::Transport;
use crate::sys::socket::{self, Passed};

/// A source of connections.
#[derive(Debug)]
pub(super) struct Listener {
    socket: OwnedFd,
    /// Whether its connections come through a socket pair.
    is_parents: bool,
    pub(super) transport: Transport,
    /// How many of its connections have not finished their handshake.
    pub(super) handshakes: usize,
    /// Whether the poller watches it.
    pub(super) is_polled: bool,
    /// No more connections can arrive.
    pub(super) is_over: bool,
}

/// Outcome of accepting.
#[derive(Debug)]
pub(super) enum Accepted {
    Connection(OwnedFd),
    /// No connection is waiting (any more).
    None,
    /// A connection that was not permitted, and is closed already.
    Refused,
    /// No more connections can arrive.
    Closed,
}

impl Listener {
    pub(super) fn new(socket: OwnedFd, is_parents: bool, transport: Transport) -> Self {
        Listener { socket, is_parents, transport, handshakes: 0, is_polled: false, is_over: false }
    }

    /// Whether it is to be polled again: it is not now, and there is room.
    pub(super) fn is_to_poll(&self, most_handshakes: usize) -> bool {
        !self.is_polled && !self.is_over && self.handshakes < most_handshakes
    }

    /// Accepts the next connection.
    pub(super) fn accept(&self, own_user: u32) -> io::Result<Accepted> {
        let received = if self.is_parents {
            socket::take_descriptor(self.socket.as_fd())
        } else {
            socket::accept(self.socket.as_fd()).map(Passed::Descriptor)
        };
        let connection = match received {
            Ok(Passed::Descriptor(connection)) => connection,
            Ok(Passed::Nothing) => return Ok(Accepted::Refused),
            Ok(Passed::End) => return Ok(Accepted::Closed),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Accepted::None),
            // Closed by the peer before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(Accepted::Refused),
            Err(error) => return Err(error),
        };
        if self.is_parents && !socket::is_unix_stream(connection.as_fd()) {
            return Ok(Accepted::Refused);
        }
        match self.transport {
            Transport::Tcp => socket::tune_tcp(connection.as_fd())?,
            Transport::Unix if socket::peer_user(connection.as_fd())? != own_user => return Ok(Accepted::Refused),
            Transport::Unix => {}
        }
        Ok(Accepted::Connection(connection))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
