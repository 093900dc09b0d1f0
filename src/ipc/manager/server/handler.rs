//! The thread of one connection: authenticates the client, reads its requests, and answers them.
//!
//! It sleeps in its socket, and the kernel wakes it on the processor of the client that it answers: a call costs a bare
//! exchange over the socket plus the work itself.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::Relaxed;

use super::connection::Connection;
use super::listener::Handshake;
use super::state::ServerState;
use crate::ipc::deadline::{Deadline, LIVENESS_CHECK_NS};
use crate::ipc::manager::handshake::{receive_frame, send_frame};
use crate::ipc::manager::status::Refusal;
use crate::ipc::manager::wire::{FrameKey, Inbox, Refused, Responder, ToServer, Transport, Welcome, decode};
use crate::sys::clock::monotonic_ns;
use crate::sys::fd::{wait_readable, wait_writable};
use crate::sys::socket;

/// Initial size of a read.
const FEW: usize = 2 * 1024;
/// Size of a read for a client that has sent more than that at once.
const MANY: usize = 64 * 1024;
/// Its stack: several times what the deepest data need, even without optimisation. Only used pages take memory.
pub(super) const STACK: usize = 1 << 20;

/// Serves a connection until the client disconnects or must be disconnected.
pub(super) fn serve(state: &ServerState, socket: OwnedFd, transport: Transport, handshake: Handshake<'_>) {
    let mut inbox = Inbox::default();
    let Some((last_frame, welcome)) = authenticate(state, socket.as_fd(), transport, &mut inbox) else { return };
    let Welcome { sealing, opening: mut key, .. } = welcome;
    let pid = socket::peer_process(socket.as_fd());
    let open = |session| Connection::new(session, socket, sealing, monotonic_ns());
    let Some(client) = state.open(pid, open) else { return };
    drop(handshake);
    // If this fails, the first read fails too.
    drop(send_frame(client.as_fd(), &last_frame));
    let mut scratch = vec![0; FEW];
    let mut count = 0;
    while process(state, &client, &scratch[..count], &mut inbox, &mut key).is_continue() {
        if count == FEW {
            scratch.resize(MANY, 0);
        }
        count = match receive(&client, &mut scratch) {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        client.busy_ns.store(monotonic_ns(), Relaxed);
    }
    state.close(&client);
}

/// Returns the last frame of the handshake, which the caller must send, and the welcome; `None` if the client was
/// refused.
fn authenticate(
    state: &ServerState,
    socket: BorrowedFd<'_>,
    transport: Transport,
    inbox: &mut Inbox,
) -> Option<(Vec<u8>, Welcome)> {
    let mut responder = Responder::new(transport);
    let deadline = Deadline::after(state.limits.handshake_time);
    let refuse = |reason: Refusal| {
        state.count(reason);
        None
    };
    loop {
        let step = match receive_frame(socket, inbox, deadline, || state.is_over()) {
            Ok(frame) => responder.take(&state.key, &frame, state.limits.frame),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Refused::OtherProtocol),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => return refuse(|refused| &mut refused.too_slow),
            Err(_) => return refuse(|refused| &mut refused.bad_handshake),
        };
        // If a send fails, the next read fails too.
        match step {
            Ok((frame, None)) => drop(send_frame(socket, &frame)),
            Ok((frame, Some(welcome))) => return Some((frame, welcome)),
            Err(refused) => {
                // Counted before the peer sees the refusal.
                let counted = refuse(match refused {
                    Refused::WrongKey => |refused| &mut refused.wrong_key,
                    Refused::OtherProtocol => |refused| &mut refused.bad_handshake,
                });
                drop(send_frame(socket, &refused.frame()));
                return counted;
            }
        }
    }
}

/// Processes the requests in the received bytes.
fn process(
    state: &ServerState,
    client: &Connection,
    bytes: &[u8],
    inbox: &mut Inbox,
    key: &mut Option<FrameKey>,
) -> ControlFlow<()> {
    let fed = inbox.feed(bytes, state.limits.frame, key, |content| {
        let ToServer { id, request } = decode(content)?;
        state.request(client, id, request);
        while client.is_full() && !client.is_over.load(Relaxed) {
            state.send(client);
            if client.is_full() {
                // With a timeout: the poller may have ended the connection, or made room, before this wait began.
                let _ = wait_writable(client, Some(monotonic_ns() + LIVENESS_CHECK_NS));
            }
        }
        Ok(if client.is_over.load(Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    });
    if fed.is_err() {
        client.end(|refused| &mut refused.broken);
    }
    if client.is_over.load(Relaxed) {
        return ControlFlow::Break(());
    }
    state.send(client);
    ControlFlow::Continue(())
}

/// Blocks for the next bytes; 0 is the end.
fn receive(client: &Connection, scratch: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket::receive_blocking(client.as_fd(), scratch) {
            // A signal, or a socket that its sender had made non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_readable(client, None)?;
            }
            received => return received,
        }
    }
}
