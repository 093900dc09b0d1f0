//! Connecting and the handshake, within a time limit.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{Endpoint, Route};
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::manager::wire::{
    AuthKey, Broken, HANDSHAKE_LIMIT, HandshakeError, Inbox, Initiator, Transport, Welcome, frame,
};
use crate::sys::{fd, socket};

/// Default time limit for connecting, in all.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Connects to a manager, including the handshake, within `time`.
pub(super) fn connect(route: &Route, time: Duration) -> Result<(OwnedFd, Welcome)> {
    let deadline = Deadline::after(time);
    let (socket, transport) = match &route.endpoint {
        Endpoint::Parent(endpoint) => (send_socket(endpoint.as_fd(), deadline)?, Transport::Unix),
        Endpoint::Address(address) => {
            let connected = address.connect(deadline);
            let connected = connected.map_err(|source| Error::Unreachable { address: address.clone(), source });
            (connected?, address.transport())
        }
    };
    let welcome = authenticate(socket.as_fd(), transport, &AuthKey::new(route.key.as_slice())?, deadline)?;
    socket::set_receive_timeout(socket.as_fd(), LOOK_EVERY).map_err(os("prepare a connection"))?;
    Ok((socket, welcome))
}

/// Creates a connection and sends one end of it through the endpoint.
fn send_socket(endpoint: BorrowedFd<'_>, deadline: Deadline) -> Result<OwnedFd> {
    let (ours, theirs) = socket::stream_pair().map_err(os("make a connection"))?;
    loop {
        match socket::pass_descriptors(endpoint, &[theirs.as_fd()]) {
            Ok(()) => return Ok(ours),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !fd::wait_writable(endpoint, deadline.at_ns()).map_err(os("wait for a manager's endpoint"))? {
                    return Err(Error::manager_silent());
                }
            }
            Err(_) => return Err(Error::manager_gone()),
        }
    }
}

/// Authenticates each side to the other.
fn authenticate(socket: BorrowedFd<'_>, transport: Transport, key: &AuthKey, deadline: Deadline) -> Result<Welcome> {
    let (initiator, hello) = Initiator::new(transport, key).map_err(os("get random bytes"))?;
    send(socket, &hello)?;
    let mut inbox = Inbox::default();
    let (confirmed, confirmation) = initiator.confirm(&receive(socket, &mut inbox, deadline)?)?;
    send(socket, &confirmation)?;
    Ok(confirmed.finish(&receive(socket, &mut inbox, deadline)?)?)
}

fn receive(socket: BorrowedFd<'_>, inbox: &mut Inbox, deadline: Deadline) -> Result<Vec<u8>> {
    let mut room = [0; HANDSHAKE_LIMIT + 4];
    let mut received = None;
    while received.is_none() {
        if !fd::wait_readable(socket, deadline.at_ns()).map_err(os("wait for a manager"))? {
            return Err(Error::manager_silent());
        }
        let count = match socket::receive(socket, &mut room) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Ok(_) | Err(_) => return Err(Error::manager_gone()),
        };
        let fed = inbox.feed(&room[..count], HANDSHAKE_LIMIT, &mut None, |frame| {
            received = Some(frame.to_vec());
            Ok::<_, Broken>(ControlFlow::Break(()))
        });
        fed.map_err(|_| HandshakeError::NoManager)?;
    }
    received.ok_or_else(Error::manager_gone)
}

fn send(socket: BorrowedFd<'_>, content: &[u8]) -> Result<()> {
    let frame = frame(content);
    // A fresh connection has room for a handshake frame.
    match socket::send_some(socket, &frame) {
        Ok(count) if count == frame.len() => Ok(()),
        Ok(_) | Err(_) => Err(Error::manager_gone()),
    }
}
