//! The thread of one connection: authenticates the client, reads its requests, and answers them.
//!
//! It sleeps in its socket, and the kernel wakes it on the processor of the client that it answers: a call costs a bare
//! exchange over the socket plus the work itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, Scope};

use super::connection::Connection;
use super::listener::Handshake;
use super::state::ServerState;
use crate::ipc::deadline::{Deadline, LIVENESS_CHECK_NS};
use crate::ipc::manager::handshake::{receive_frame, send_frame};
use crate::ipc::manager::wire::{Broken, FrameKey, Inbox, Refused, ToServer, Transport, Welcome, answer, decode};
use crate::sys::clock::monotonic_ns;
use crate::sys::fd::{wait_readable, wait_writable};
use crate::sys::socket;

/// Initial size of a read.
const FEW: usize = 2 * 1024;
/// Size of a read for a client that has sent more than that at once.
const MANY: usize = 64 * 1024;
/// Its stack: several times what the deepest data need, even without optimisation. Only used pages take memory.
const STACK: usize = 1 << 20;

/// Authenticates the client of a new connection, and starts the thread that serves it: another one, since the stack that
/// the cryptography used is freed with this one.
pub(super) fn admit<'scope>(
    state: &'scope ServerState,
    scope: &'scope Scope<'scope, '_>,
    socket: OwnedFd,
    transport: Transport,
    handshake: Handshake<'_>,
) {
    let Some((last_frame, welcome)) = authenticate(state, socket.as_fd(), transport) else { return };
    let Welcome { sealing, opening, .. } = welcome;
    let pid = socket::peer_process(socket.as_fd());
    let open = |session| Connection::new(session, socket, sealing, monotonic_ns());
    let Some(client) = state.open(pid, open) else { return };
    drop(handshake);
    // If this fails, the first read fails too.
    drop(send_frame(client.as_fd(), &last_frame));
    let served = Arc::clone(&client);
    if start_thread(state, scope, move || serve(state, &served, opening)).is_err() {
        state.close(&client);
    }
}

/// Starts a thread for a client.
pub(super) fn start_thread<'scope>(
    state: &'scope ServerState,
    scope: &'scope Scope<'scope, '_>,
    run: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    let thread = thread::Builder::new().name("client".to_owned()).stack_size(STACK);
    thread.spawn_scoped(scope, || state.guard(run)).map(drop)
}

/// Serves a client until it disconnects or must be disconnected.
fn serve(state: &ServerState, client: &Connection, key: Option<FrameKey>) {
    let (mut scratch, mut inbox) = (vec![0; FEW], Inbox::new(state.limits.frame, key));
    while let Ok(count @ 1..) = receive(client, &mut scratch) {
        inbox.feed(&scratch[..count]);
        if process(state, client, &mut inbox).is_err() {
            client.end(|refused| &mut refused.broken);
        }
        if client.is_over.load(Relaxed) {
            break;
        }
        if count == FEW {
            scratch.resize(MANY, 0);
        }
    }
    state.close(client);
}

/// Returns the last frame of the handshake, which the caller must send, and the welcome; `None` if the client was
/// refused.
fn authenticate(state: &ServerState, socket: BorrowedFd<'_>, transport: Transport) -> Option<(Vec<u8>, Welcome)> {
    let deadline = Deadline::after(state.limits.handshake_time);
    let receive = || {
        receive_frame(socket, deadline, || state.is_over()).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => Refused::OtherProtocol,
            io::ErrorKind::TimedOut => Refused::TooSlow,
            _ => Refused::Closed,
        })
    };
    let authenticated = receive().and_then(|hello| {
        let (answer, answered) = answer(transport, &state.key, state.limits.frame, &hello)?;
        // If a send fails, the next read fails too.
        drop(send_frame(socket, &answer));
        answered.finish(&receive()?)
    });
    let refuse = |refused: &Refused| {
        // Counted before the peer sees the refusal.
        state.count(match refused {
            Refused::WrongKey => |refused| &mut refused.wrong_key,
            Refused::OtherProtocol | Refused::Closed => |refused| &mut refused.bad_handshake,
            Refused::TooSlow => |refused| &mut refused.too_slow,
        });
        if let Some(frame) = refused.frame() {
            drop(send_frame(socket, &frame));
        }
    };
    authenticated.inspect_err(refuse).ok()
}

/// Processes the requests that have just arrived.
fn process(state: &ServerState, client: &Connection, inbox: &mut Inbox) -> Result<(), Broken> {
    let mut now_ns = monotonic_ns();
    client.busy_ns.store(now_ns, Relaxed);
    while let Some(content) = inbox.next()? {
        let ToServer { id, request } = decode(content)?;
        state.request(client, id, request, now_ns);
        while client.is_full() && !client.is_over.load(Relaxed) {
            now_ns = monotonic_ns();
            state.send(client, now_ns);
            if client.is_full() {
                // With a timeout: the poller may have ended the connection, or made room, before this wait began.
                let _ = wait_writable(client, Some(now_ns + LIVENESS_CHECK_NS));
            }
        }
        if client.is_over.load(Relaxed) {
            return Ok(());
        }
    }
    state.send(client, now_ns);
    Ok(())
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
