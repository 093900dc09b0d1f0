//! Coming in: from the entrance to the end of the greeting.

use std::ops::ControlFlow;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::connection::{Connection, Stage};
use super::entrance::Arrival;
use super::{Items, STOP, Server};
use crate::ipc::manager::wire::{Answering, Broken, GREETING_LIMIT, Refused, random};

/// How many are taken in before others get their turn.
const ARRIVALS: usize = 16;

impl Server {
    pub(super) fn arrivals(&mut self, number: usize, now_ns: u64) {
        for _ in 0..ARRIVALS {
            let entrance = &mut self.entrances[number];
            if entrance.greeting >= self.limits.greeting {
                return self.watch_entrance(number, EpollFlags::empty());
            }
            match entrance.accept(self.own_user) {
                Ok(Arrival::Connection(socket)) => {
                    let answering = Answering::new(entrance.transport());
                    let connection = Connection::new(socket, number, answering, now_ns);
                    self.last_token += 1;
                    let event = EpollEvent::new(connection.watched, self.last_token);
                    // Without the poller it cannot be served, and is closed here.
                    if self.epoll.add(&connection, event).is_ok() {
                        entrance.greeting += 1;
                        self.connections.insert(self.last_token, connection);
                    }
                }
                Ok(Arrival::Nobody) => return,
                Ok(Arrival::Stranger) => self.refused.other_user += 1,
                Ok(Arrival::Closed) => {
                    entrance.is_over = true;
                    return self.watch_entrance(number, EpollFlags::empty());
                }
                // Out of descriptors or memory: those who are here go on, the others wait for the next look.
                Err(_) => return self.watch_entrance(number, EpollFlags::empty()),
            }
        }
    }

    pub(super) fn watch_entrance(&mut self, number: usize, flags: EpollFlags) {
        let entrance = &mut self.entrances[number];
        let mut event = EpollEvent::new(flags, number as u64 + STOP + 1);
        let changed = self.epoll.modify(&entrance, &mut event);
        debug_assert!(changed.is_ok(), "it was added to the poller");
        entrance.is_open = !flags.is_empty();
    }

    /// Goes on with the greeting.
    pub(super) fn greet(&mut self, token: u64, count: usize, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let Stage::Greeting(answering) = &mut connection.stage else { return };
        let (key, frame_limit) = (&self.key, self.limits.frame);
        let mut step = Ok((Vec::new(), None));
        let fed = connection.inbox.feed(&self.scratch[..count], GREETING_LIMIT, &mut None, |frame| {
            let nonce = random().map_err(|_| Broken::NoMessage)?;
            step = answering.take(key, frame, nonce, frame_limit);
            // The next frame of the greeting answers this one; what comes before that is none.
            Ok::<_, Broken>(ControlFlow::Break(()))
        });
        if fed.is_err() {
            step = Err(Refused::OtherProtocol);
        }
        match step {
            Ok((frame, _)) if frame.is_empty() => {}
            Ok((frame, welcome)) => {
                connection.push_frame(&frame);
                if let Some(welcome) = welcome {
                    let entrance = connection.entrance;
                    let session = self.store.open_session();
                    connection.heard_ns = now_ns;
                    connection.open(session, welcome);
                    self.by_session.insert(session, token);
                    self.clients_ever += 1;
                    self.greeting_ended(entrance);
                }
                self.send(token, Items::new(), now_ns);
                self.work(token, 0, now_ns);
            }
            Err(refused) => {
                match refused {
                    Refused::WrongKey => self.refused.wrong_key += 1,
                    Refused::OtherProtocol => self.refused.no_greeting += 1,
                }
                connection.push_frame(&refused.frame());
                connection.flush(now_ns);
                self.close(token, now_ns);
            }
        }
    }

    pub(super) fn greeting_ended(&mut self, number: usize) {
        self.entrances[number].greeting -= 1;
        if self.entrances[number].is_to_open(self.limits.greeting) {
            self.watch_entrance(number, EpollFlags::EPOLLIN);
        }
    }
}
