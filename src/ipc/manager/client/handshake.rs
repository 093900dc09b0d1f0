//! Connecting and the handshake, within a time limit.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use super::{Endpoint, Route};
use crate::ipc::deadline::{self, Deadline, LOOK_EVERY};
use crate::ipc::error::{Result, os};
use crate::ipc::manager::error::ManagerError;
use crate::ipc::manager::handshake::{receive_frame, send_frame};
use crate::ipc::manager::wire::{AuthKey, HandshakeError, Transport, Welcome, initiate};
use crate::sys::{fd, socket};

/// Default time limit for connecting, in all.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

/// Connects to a manager, including the handshake, within `time`.
pub(super) fn connect(route: &Route, time: Duration) -> Result<(OwnedFd, Welcome)> {
    // In an exploration the time of the clock is not that of the answer.
    let deadline = Deadline::within((!deadline::is_virtual()).then_some(time));
    let (socket, transport) = match &route.endpoint {
        Endpoint::Parent(endpoint) => (send_socket(endpoint.as_fd(), deadline)?, Transport::Unix),
        Endpoint::Address(address) => {
            let connected = address.connect(deadline);
            let connected = connected.map_err(|source| ManagerError::Unreachable { address: address.clone(), source });
            (connected?, address.transport())
        }
    };
    let key = AuthKey::new(route.key.as_slice()).expect("it is the key that the route was made with");
    let welcome = initiate(transport, &key, |frame| {
        send_frame(socket.as_fd(), frame).map_err(|_| ManagerError::from(HandshakeError::Closed))?;
        let answer = receive_frame(socket.as_fd(), deadline, || false).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => ManagerError::silent(),
            io::ErrorKind::InvalidData => HandshakeError::NoManager.into(),
            _ => HandshakeError::Closed.into(),
        });
        Ok(answer?)
    })?;
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
                    return Err(ManagerError::silent().into());
                }
            }
            Err(_) => return Err(ManagerError::gone().into()),
        }
    }
}
