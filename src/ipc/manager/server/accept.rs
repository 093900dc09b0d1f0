//! Accepting connections: from the listener to the end of the handshake.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::{self, AssertUnwindSafe};
use std::thread;

use super::connection::Connection;
use super::handler::{ConnectionHandler, STACK};
use super::listener::Arrival;
use super::poller::{FIRST_ENTRANCE, Poller};
use crate::ipc::manager::wire::{
    Broken, GREETING_LIMIT, Inbox, Keys, Refused, Responder, Welcome, finish_frame, start_frame,
};
use crate::sys::epoll::Interest;
use crate::sys::socket;

/// How many connections are accepted in a row before other events are handled.
const ARRIVALS: usize = 16;

/// A connection that has not authenticated yet.
#[derive(Debug)]
pub(super) struct Handshake {
    socket: OwnedFd,
    /// The index of the listener that accepted it.
    listener: usize,
    responder: Responder,
    inbox: Inbox,
    pub(super) begun_ns: u64,
}

impl Poller<'_, '_> {
    pub(super) fn accept_all(&mut self, number: usize, now_ns: u64) {
        for _ in 0..ARRIVALS {
            let listener = &mut self.listeners[number];
            if listener.handshake >= self.state.limits.handshake {
                return self.shut_entrance(number);
            }
            match listener.accept(self.own_user) {
                Ok(Arrival::Connection(socket)) => {
                    self.last_token += 1;
                    // Without the poller it cannot be served, and is closed here.
                    if self.state.epoll.add(&socket, self.last_token, Interest::ReadableOrEnding).is_ok() {
                        listener.handshake += 1;
                        let responder = Responder::new(listener.transport());
                        let inbox = Inbox::default();
                        let handshake = Handshake { socket, listener: number, responder, inbox, begun_ns: now_ns };
                        self.greetings.insert(self.last_token, handshake);
                    }
                }
                Ok(Arrival::Nobody) => return,
                Ok(Arrival::Stranger) => self.state.lock().refused.other_user += 1,
                Ok(Arrival::Closed) => {
                    listener.is_over = true;
                    return self.shut_entrance(number);
                }
                // Out of descriptors or memory: present connections go on; new ones wait until the next check.
                Err(_) => return self.shut_entrance(number),
            }
        }
    }

    pub(super) fn open_entrance(&mut self, number: usize) {
        let listener = &mut self.listeners[number];
        // If there is no memory for it, it stays closed until the next check.
        listener.is_open = self.state.epoll.add(&*listener, FIRST_ENTRANCE + number as u64, Interest::Readable).is_ok();
    }

    /// Stops polling the listener entirely: with an empty interest the poller would still be told of a hang-up.
    fn shut_entrance(&mut self, number: usize) {
        let listener = &mut self.listeners[number];
        let forgotten = self.state.epoll.remove(&*listener);
        debug_assert!(forgotten.is_ok(), "it was open");
        listener.is_open = false;
    }

    /// Handles data from a connection in its handshake, or its end.
    pub(super) fn greeter_is_ready(&mut self, token: u64, now_ns: u64) {
        let Some(handshake) = self.greetings.get(&token) else { return };
        match socket::receive(handshake.socket.as_fd(), &mut self.scratch) {
            Ok(count) if count > 0 => self.greet(token, count, now_ns),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => {
                self.state.lock().refused.no_greeting += 1;
                self.greeting_ended(token);
            }
        }
    }

    /// Continues the handshake.
    fn greet(&mut self, token: u64, count: usize, now_ns: u64) {
        let Some(handshake) = self.greetings.get_mut(&token) else { return };
        let (key, frame_limit) = (&self.key, self.state.limits.frame);
        let mut step = Ok((Vec::new(), None));
        let fed = handshake.inbox.feed(&self.scratch[..count], GREETING_LIMIT, &mut None, |frame| {
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
                if let Some(handshake) = self.greeting_ended(token) {
                    self.let_in(handshake, &frame, welcome, now_ns);
                }
            }
            Err(refused) => {
                let counts = &mut self.state.lock().refused;
                match refused {
                    Refused::WrongKey => counts.wrong_key += 1,
                    Refused::OtherProtocol => counts.no_greeting += 1,
                }
                send_frame(&handshake.socket, &refused.frame());
                self.greeting_ended(token);
            }
        }
    }

    /// Makes an authenticated connection a client.
    fn let_in(&mut self, handshake: Handshake, last_frame: &[u8], welcome: Welcome, now_ns: u64) {
        let (opening, sealing) = welcome.keys.map(|Keys { opening, sealing }| (opening, sealing)).unzip();
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
    pub(super) fn greeting_ended(&mut self, token: u64) -> Option<Handshake> {
        let handshake = self.greetings.remove(&token)?;
        let forgotten = self.state.epoll.remove(&handshake.socket);
        debug_assert!(forgotten.is_ok(), "it was added to the poller");
        let number = handshake.listener;
        self.listeners[number].handshake -= 1;
        if self.listeners[number].is_to_open(self.state.limits.handshake) {
            self.open_entrance(number);
        }
        Some(handshake)
    }
}

fn send_frame(socket: impl AsFd, content: &[u8]) {
    let mut frame = Vec::new();
    let start = start_frame(&mut frame);
    frame.extend_from_slice(content);
    let finished = finish_frame(&mut frame, start, content.len(), &mut None);
    debug_assert!(finished.is_ok(), "as long as its content");
    // There is room for all that a handshake sends; a disconnect is noticed at the next read.
    let _ = socket::send_some(socket.as_fd(), &frame);
}
