//! Accepting connections: from the listener to the end of the handshake.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::connection::Connection;
use super::handler::{ConnectionHandler, STACK};
use super::listener::Accepted;
use super::poller::{FIRST_LISTENER, Handshake, Poller};
use crate::ipc::manager::wire::{Broken, HANDSHAKE_LIMIT, Inbox, Refused, Responder, Welcome, frame};
use crate::sys::epoll::Interest;
use crate::sys::socket;

/// How many connections are accepted in a row before other events are handled.
const ACCEPTED_IN_A_ROW: usize = 16;

impl Poller<'_, '_> {
    pub(super) fn accept_all(&mut self, number: usize, now_ns: u64) {
        for _ in 0..ACCEPTED_IN_A_ROW {
            let listener = &mut self.listeners[number];
            if listener.handshakes >= self.state.limits.handshakes {
                return self.pause(number);
            }
            match listener.accept(self.own_user) {
                Ok(Accepted::Connection(socket)) => {
                    self.last_token += 1;
                    // Without the poller it cannot be served, and is closed here.
                    if self.state.epoll.add(&socket, self.last_token, Interest::ReadableOrEnding).is_ok() {
                        listener.handshakes += 1;
                        let (responder, inbox) = (Responder::new(listener.transport), Inbox::default());
                        let handshake = Handshake { socket, listener: number, responder, inbox, begun_ns: now_ns };
                        self.handshakes.insert(self.last_token, handshake);
                    }
                }
                Ok(Accepted::None) => return,
                Ok(Accepted::Refused) => self.state.lock().store.refused.other_user += 1,
                Ok(Accepted::Closed) => {
                    listener.is_over = true;
                    return self.pause(number);
                }
                // Out of descriptors or memory: present connections go on; new ones wait until the next check.
                Err(_) => return self.pause(number),
            }
        }
    }

    /// Polls a listener if it has room for more handshakes, and is not polled yet.
    pub(super) fn poll_listener(&mut self, number: usize) {
        let listener = &mut self.listeners[number];
        if listener.is_to_poll(self.state.limits.handshakes) {
            let token = FIRST_LISTENER + number as u64;
            // If there is no memory for it, it is not polled until the next check.
            listener.is_polled = self.state.epoll.add(&*listener, token, Interest::Readable).is_ok();
        }
    }

    /// Stops polling a listener entirely: with an empty interest the poller would still be told of a hang-up.
    fn pause(&mut self, number: usize) {
        let listener = &mut self.listeners[number];
        let forgotten = self.state.epoll.remove(&*listener);
        debug_assert!(forgotten.is_ok(), "it was polled");
        listener.is_polled = false;
    }

    /// Handles data from a connection in its handshake, or its end.
    pub(super) fn handshake_is_ready(&mut self, token: u64, now_ns: u64) {
        let Some(handshake) = self.handshakes.get_mut(&token) else { return };
        let count = match socket::receive(handshake.socket.as_fd(), &mut self.scratch) {
            Ok(count) if count > 0 => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Ok(_) | Err(_) => {
                self.state.lock().store.refused.bad_handshake += 1;
                self.handshake_ended(token);
                return;
            }
        };
        let (key, frame_limit) = (&self.key, self.state.limits.frame);
        let mut step = Ok((Vec::new(), None));
        let fed = handshake.inbox.feed(&self.scratch[..count], HANDSHAKE_LIMIT, &mut None, |frame| {
            step = handshake.responder.take(key, frame, frame_limit);
            // The peer's next frame must answer this one, so a frame that came before is invalid.
            Ok::<_, Broken>(ControlFlow::Break(()))
        });
        if fed.is_err() {
            step = Err(Refused::OtherProtocol);
        }
        match step {
            Ok((frame, None)) if frame.is_empty() => {}
            Ok((frame, None)) => send_frame(&handshake.socket, &frame),
            Ok((frame, Some(welcome))) => {
                if let Some(handshake) = self.handshake_ended(token) {
                    self.add_client(handshake, &frame, welcome, now_ns);
                }
            }
            Err(refused) => {
                let counts = &mut self.state.lock().store.refused;
                match refused {
                    Refused::WrongKey => counts.wrong_key += 1,
                    Refused::OtherProtocol => counts.bad_handshake += 1,
                }
                send_frame(&handshake.socket, &refused.frame());
                self.handshake_ended(token);
            }
        }
    }

    /// Makes an authenticated connection a client.
    fn add_client(&mut self, handshake: Handshake, last_frame: &[u8], welcome: Welcome, now_ns: u64) {
        let Welcome { sealing, opening, .. } = welcome;
        let Handshake { socket, inbox, .. } = handshake;
        let client = self.state.open(|session| Connection::new(session, socket, sealing, now_ns));
        let Some(client) = client else { return };
        // Sent before its thread can answer: nothing else is sent to it yet.
        send_frame(&*client, last_frame);
        let handler = ConnectionHandler { state: self.state, client, inbox, key: opening };
        let thread = thread::Builder::new().name(format!("client-{}", handler.client.session.0)).stack_size(STACK);
        // Without a thread it cannot be served: the closure is dropped, and with it the client's session.
        // The poller reports a panic; the scope would hide it behind one of its own.
        let run = move || drop(panic::catch_unwind(AssertUnwindSafe(|| handler.run())));
        drop(thread.spawn_scoped(self.scope, run));
    }

    /// Removes a connection from those in their handshake.
    pub(super) fn handshake_ended(&mut self, token: u64) -> Option<Handshake> {
        let handshake = self.handshakes.remove(&token)?;
        let forgotten = self.state.epoll.remove(&handshake.socket);
        debug_assert!(forgotten.is_ok(), "it was added to the poller");
        self.listeners[handshake.listener].handshakes -= 1;
        self.poll_listener(handshake.listener);
        Some(handshake)
    }
}

fn send_frame(socket: impl AsFd, content: &[u8]) {
    // There is room for all that a handshake sends; a disconnect is noticed at the next read.
    let _ = socket::send_some(socket.as_fd(), &frame(content));
}
