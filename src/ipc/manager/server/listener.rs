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

#[derive(Debug)]
enum Way {
    Parent,
    Unix,
    Tcp,
}

/// A source of connections.
#[derive(Debug)]
pub(super) struct Listener {
    way: Way,
    socket: OwnedFd,
    /// How many of its connections have not finished their handshake.
    pub(super) handshake: usize,
    pub(super) is_open: bool,
    /// No more connections can arrive.
    pub(super) is_over: bool,
}

/// Outcome of accepting.
#[derive(Debug)]
pub(super) enum Arrival {
    Connection(OwnedFd),
    /// No connection is waiting (any more).
    Nobody,
    /// A connection that was not permitted, and is closed already.
    Stranger,
    /// No more connections can arrive.
    Closed,
}

impl Listener {
    pub(super) fn of_parent(socket: OwnedFd) -> Self {
        Listener { way: Way::Parent, socket, handshake: 0, is_open: false, is_over: false }
    }

    pub(super) fn bound(socket: OwnedFd, transport: Transport) -> Self {
        let way = match transport {
            Transport::Unix => Way::Unix,
            Transport::Tcp => Way::Tcp,
        };
        Listener { way, socket, handshake: 0, is_open: false, is_over: false }
    }

    /// Whether it was closed temporarily, and there is room again.
    pub(super) fn is_to_open(&self, most_greeting: usize) -> bool {
        !self.is_open && !self.is_over && self.handshake < most_greeting
    }

    pub(super) fn transport(&self) -> Transport {
        match self.way {
            Way::Parent | Way::Unix => Transport::Unix,
            Way::Tcp => Transport::Tcp,
        }
    }

    /// Accepts the next connection.
    pub(super) fn accept(&self, own_user: u32) -> io::Result<Arrival> {
        let connection = match self.way {
            Way::Parent => match socket::take_descriptor(self.socket.as_fd()) {
                Ok(Passed::Descriptor(connection)) if socket::is_unix_stream(connection.as_fd()) => connection,
                Ok(Passed::Descriptor(_) | Passed::Nothing) => return Ok(Arrival::Stranger),
                Ok(Passed::End) => return Ok(Arrival::Closed),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Arrival::Nobody),
                Err(error) => return Err(error),
            },
            Way::Unix | Way::Tcp => match socket::accept(self.socket.as_fd()) {
                Ok(connection) => connection,
                // Closed by the peer before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => return Ok(Arrival::Stranger),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Arrival::Nobody),
                Err(error) => return Err(error),
            },
        };
        match self.way {
            Way::Tcp => socket::tune_tcp(connection.as_fd())?,
            Way::Parent | Way::Unix if socket::peer_user(connection.as_fd())? != own_user => {
                return Ok(Arrival::Stranger);
            }
            Way::Parent | Way::Unix => {}
        }
        Ok(Arrival::Connection(connection))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
