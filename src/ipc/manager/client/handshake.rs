//! Connecting and the handshake, within a time limit.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::{Client, Endpoint, Incoming, Outgoing, Reader, SCRATCH};
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::manager::wire::{
    AuthKey, Broken, GREETING_LIMIT, HandshakeError, Inbox, Initiator, Keys, Next, Transport, Welcome, finish_frame,
    start_frame,
};
use crate::sys::{fd, socket};

/// Default time limit for connecting, in all.
pub(crate) const CONNECT_TIME: Duration = Duration::from_secs(10);

impl Client {
    /// Connects to the manager at `gate`, within [`CONNECT_TIME`].
    pub(crate) fn connect(
        gate: Endpoint,
        key: AuthKey,
        manager: u128,
        answer_time: Option<Duration>,
    ) -> Result<Arc<Client>> {
        Client::connect_within(CONNECT_TIME, gate, key, manager, answer_time)
    }

    /// Connects to the manager at `gate`, including the handshake, within `time`.
    pub(crate) fn connect_within(
        time: Duration,
        gate: Endpoint,
        key: AuthKey,
        manager: u128,
        answer_time: Option<Duration>,
    ) -> Result<Arc<Client>> {
        let deadline = Deadline::after(time);
        let (socket, transport) = match &gate {
            Endpoint::Door(endpoint) => (through_door(endpoint.as_fd(), deadline)?, Transport::Unix),
            Endpoint::Address(address) => {
                let connected = address.connect(deadline);
                let connected = connected.map_err(|source| Error::Unreachable { address: address.clone(), source });
                (connected?, address.transport())
            }
        };
        let welcome = greet(socket.as_fd(), transport, &key, deadline)?;
        socket::set_patience(socket.as_fd(), LOOK_EVERY).map_err(os("prepare a connection"))?;
        let (opening, sealing) = welcome.keys.map(|Keys { opening, sealing }| (opening, sealing)).unzip();
        let reader = Reader { inbox: Inbox::default(), key: opening, scratch: vec![0; SCRATCH] };
        let incoming = Incoming {
            reader: Some(reader),
            arrived: HashMap::new(),
            waiting: HashMap::new(),
            given_up: Default::default(),
            is_gone: false,
        };
        Ok(Arc::new(Client {
            socket,
            gate,
            key,
            manager,
            frame_limit: welcome.frame_limit,
            answer_time,
            deadline_ns: AtomicU64::new(u64::MAX),
            last_id: AtomicU64::new(0),
            outgoing: Mutex::new(Outgoing { key: sealing, buffer: Vec::new() }),
            incoming: Mutex::new(incoming),
            handles: Mutex::default(),
            transfers: Mutex::default(),
        }))
    }
}

/// Creates a connection and sends one end of it through the endpoint.
fn through_door(endpoint: BorrowedFd<'_>, deadline: Deadline) -> Result<OwnedFd> {
    let (ours, theirs) = socket::stream_pair().map_err(os("make a connection"))?;
    loop {
        match socket::pass_descriptor(endpoint, theirs.as_fd()) {
            Ok(()) => return Ok(ours),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if !fd::wait_writable(endpoint, deadline.at_ns()).map_err(os("wait for a manager's door"))? {
                    return Err(Error::manager_silent());
                }
            }
            Err(_) => return Err(Error::manager_gone()),
        }
    }
}

/// Authenticates each side to the other.
fn greet(socket: BorrowedFd<'_>, transport: Transport, key: &AuthKey, deadline: Deadline) -> Result<Welcome> {
    let (mut initiator, hello) = Initiator::new(transport, key).map_err(os("get random bytes"))?;
    send(socket, &hello)?;
    let (mut inbox, mut room) = (Inbox::default(), [0; GREETING_LIMIT + 4]);
    loop {
        if !fd::wait_readable(socket, deadline.at_ns()).map_err(os("wait for a manager"))? {
            return Err(Error::manager_silent());
        }
        let count = match socket::receive(socket, &mut room) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Ok(_) | Err(_) => return Err(Error::manager_gone()),
        };
        let mut next = None;
        let fed = inbox.feed(&room[..count], GREETING_LIMIT, &mut None, |frame| {
            next = Some(initiator.take(frame));
            Ok::<_, Broken>(ControlFlow::Break(()))
        });
        match (fed, next) {
            (Err(_), _) => return Err(HandshakeError::NoManager.into()),
            (Ok(()), None) => {}
            (Ok(()), Some(next)) => match next? {
                Next::Send(frame) => send(socket, &frame)?,
                Next::Done(welcome) => return Ok(*welcome),
            },
        }
    }
}

fn send(socket: BorrowedFd<'_>, content: &[u8]) -> Result<()> {
    let mut frame = Vec::new();
    let start = start_frame(&mut frame);
    frame.extend_from_slice(content);
    finish_frame(&mut frame, start, GREETING_LIMIT, &mut None).expect("frames of a greeting are short");
    // A fresh connection has room for a handshake frame.
    match socket::send_some(socket, &frame) {
        Ok(count) if count == frame.len() => Ok(()),
        Ok(_) | Err(_) => Err(Error::manager_gone()),
    }
}
