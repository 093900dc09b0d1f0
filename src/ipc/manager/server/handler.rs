//! The thread of one client: reads its requests, and answers them.
//!
//! It sleeps in its socket, and the kernel wakes it on the processor of the client that it answers: a call costs a bare
//! exchange over the socket plus the work itself.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use super::connection::{CloseReason, Connection};
use super::state::ServerState;
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::manager::wire::{Broken, FrameKey, Inbox, ToServer, decode};
use crate::sys::clock::monotonic_ns;
use crate::sys::fd::{wait_readable, wait_writable};
use crate::sys::socket;

/// Initial size of a read.
const FEW: usize = 2 * 1024;
/// Size of a read for a client that has sent more than that at once.
const MANY: usize = 64 * 1024;
/// Its stack: several times what the deepest data need, even without optimisation. Only used pages take memory.
pub(super) const STACK: usize = 1 << 20;

pub(super) struct ConnectionHandler<'a> {
    pub(super) state: &'a ServerState,
    pub(super) client: Arc<Connection>,
    /// Bytes received with the end of the handshake.
    pub(super) inbox: Inbox,
    pub(super) key: Option<FrameKey>,
}

impl ConnectionHandler<'_> {
    /// Serves the client until it disconnects or is to be disconnected.
    pub(super) fn run(mut self) {
        let mut scratch = vec![0; FEW];
        let mut count = 0;
        while self.serve(&scratch[..count]).is_continue() {
            if count == FEW {
                scratch.resize(MANY, 0);
            }
            count = match receive(&self.client, &mut scratch) {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            self.client.busy_ns.store(monotonic_ns(), Relaxed);
        }
    }

    /// Processes the requests in the received bytes.
    fn serve(&mut self, bytes: &[u8]) -> ControlFlow<()> {
        let (state, client) = (self.state, &*self.client);
        let fed = self.inbox.feed(bytes, state.limits.frame, &mut self.key, |content| {
            let ToServer { id, request } = decode(content)?;
            state.request(client, id, request);
            while client.is_full() && !client.is_over.load(Relaxed) {
                state.send(client);
                if client.is_full() {
                    // With a timeout: the poller may have ended the connection, or made room, before this wait began.
                    let _ = wait_writable(client, Some(monotonic_ns() + LIVENESS_CHECK_NS));
                }
            }
            let is_over = client.is_over.load(Relaxed);
            Ok::<_, Broken>(if is_over { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        if fed.is_err() {
            client.end(CloseReason::Broken);
        }
        if client.is_over.load(Relaxed) {
            return ControlFlow::Break(());
        }
        state.send(client);
        ControlFlow::Continue(())
    }
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

impl Drop for ConnectionHandler<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.state.fail();
        } else {
            self.state.close(&self.client);
        }
    }
}
