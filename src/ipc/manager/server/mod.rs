//! The server: one thread that waits for everything at once and never for somebody in particular.
//!
//! # State
//! A connection greets until it has proved the key, and is then a session of the store. What a request comes to is sent at
//! once if there is room, and otherwise when there is; a call that has to wait keeps nothing but its place in the store.
//! Nothing here sleeps but the poller, at most until the next call's or greeting's time is over.
//!
//! # Death
//! The end of a client's connection ends its session: what it held goes back. A server that dies closes every connection,
//! which every client sees at once. It ends with its parent, and leaves no file: its own workers come in through a door
//! that has no name.
//!
//! # Standard
//! `epoll(7)`, level-triggered. Python has a thread for each connection and accepts between handshakes.

mod arrival;
mod connection;
mod entrance;
mod limits;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::unistd::geteuid;

pub use limits::Limits;

use super::data::ObjectId;
use super::status::{Refusals, Status};
use super::store::{Reply, SessionId, Store, Ticket};
use super::wire::{AuthKey, Broken, ToClient, ToServer, Transport, decode, longest_answer};
use crate::sys::clock::monotonic_ns;
use connection::{Connection, Sent, Stage};
use entrance::Entrance;

/// The poller's number for the end of the server; entrances have the numbers after it, connections those from [`FIRST`].
const STOP: u64 = 0;
const FIRST: u64 = 1 << 16;
/// How much is read at once.
const SCRATCH: usize = 64 * 1024;
/// How often connections are looked through for those whose time is over.
const LOOK_EVERY_NS: u64 = 100_000_000;

/// A server, with its objects and its clients.
pub(crate) struct Server {
    epoll: Epoll,
    key: AuthKey,
    limits: Limits,
    own_user: u32,
    entrances: Vec<Entrance>,
    connections: HashMap<u64, Connection>,
    by_session: HashMap<SessionId, u64>,
    last_token: u64,
    store: Store,
    scratch: Vec<u8>,
    looked_ns: u64,
    /// Whether answers may wait that a client does not take.
    has_unread: bool,
    clients_ever: u64,
    requests: u64,
    refused: Refusals,
}

/// Items on their way to a client: back to their queues if it is gone.
type Items = Vec<(ObjectId, Reply)>;

impl Server {
    pub(crate) fn new(key: AuthKey, limits: Limits) -> io::Result<Self> {
        Ok(Server {
            epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?,
            key,
            limits,
            own_user: geteuid().as_raw(),
            entrances: Vec::new(),
            connections: HashMap::new(),
            by_session: HashMap::new(),
            last_token: FIRST,
            store: Store::new(),
            scratch: vec![0; SCRATCH],
            looked_ns: 0,
            has_unread: false,
            clients_ever: 0,
            requests: 0,
            refused: Refusals::default(),
        })
    }

    /// Lets clients in through a door: the server's end of a packet socket pair.
    pub(crate) fn add_door(&mut self, socket: OwnedFd) -> io::Result<()> {
        self.add_entrance(Entrance::door(socket))
    }

    /// Lets clients in through a listening socket.
    pub(crate) fn add_listener(&mut self, socket: OwnedFd, transport: Transport) -> io::Result<()> {
        self.add_entrance(Entrance::listener(socket, transport))
    }

    fn add_entrance(&mut self, entrance: Entrance) -> io::Result<()> {
        self.epoll.add(&entrance, EpollEvent::new(EpollFlags::empty(), self.entrances.len() as u64 + STOP + 1))?;
        self.entrances.push(entrance);
        self.watch_entrance(self.entrances.len() - 1, EpollFlags::EPOLLIN);
        Ok(())
    }

    /// Serves until `stop` is readable or closed at its other end. Returns what there was at the end.
    pub(crate) fn run(mut self, stop: impl AsFd) -> io::Result<Status> {
        self.epoll.add(&stop, EpollEvent::new(EpollFlags::EPOLLIN, STOP))?;
        let mut events = [EpollEvent::empty(); 64];
        loop {
            let ready = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            let now_ns = monotonic_ns();
            for event in &events[..ready] {
                match event.data() {
                    STOP => return Ok(self.status()),
                    token if token < FIRST => self.arrivals((token - STOP - 1) as usize, now_ns),
                    token => self.ready(token, event.events(), now_ns),
                }
                self.deliver(now_ns);
            }
            self.store.expire(now_ns);
            self.deliver(now_ns);
            self.look_through(now_ns);
        }
    }

    /// How long the poller may sleep.
    fn timeout(&self) -> EpollTimeout {
        let look_ns = self.has_to_look().then_some(self.looked_ns + LOOK_EVERY_NS);
        match self.store.next_deadline().into_iter().chain(look_ns).min() {
            None => EpollTimeout::NONE,
            Some(at_ns) => {
                // Rounded up, so that it never ends early; what is longer than it counts is waited for in pieces.
                let left_ms = at_ns.saturating_sub(monotonic_ns()).div_ceil(1_000_000);
                EpollTimeout::from(u16::try_from(left_ms).unwrap_or(u16::MAX))
            }
        }
    }

    fn status(&self) -> Status {
        let census = self.store.census();
        Status {
            clients: census.sessions as u64,
            clients_ever: self.clients_ever,
            objects: census.objects as u64,
            names: census.names as u64,
            waiting: census.waiting as u64,
            requests: self.requests,
            refused: self.refused,
        }
    }

    /// Something happened at a connection.
    fn ready(&mut self, token: u64, what: EpollFlags, now_ns: u64) {
        if what.contains(EpollFlags::EPOLLOUT) {
            self.send(token, Items::new(), now_ns);
            // There is room again: what was left unread goes on.
            self.work(token, 0, now_ns);
        }
        let Some(connection) = self.connections.get(&token) else { return };
        if connection.is_full() {
            // Nobody reads the answers any more that its requests would have.
            if what.intersects(EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR) {
                self.close(token, now_ns);
            }
        } else if what.intersects(!EpollFlags::EPOLLOUT) {
            match connection.receive(&mut self.scratch) {
                Ok(0) => self.hung_up(token, now_ns),
                Ok(count) if matches!(connection.stage, Stage::Greeting(_)) => self.greet(token, count, now_ns),
                Ok(count) => self.work(token, count, now_ns),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.hung_up(token, now_ns),
            }
        }
    }

    fn hung_up(&mut self, token: u64, now_ns: u64) {
        if let Some(Connection { stage: Stage::Greeting(_), .. }) = self.connections.get(&token) {
            self.refused.no_greeting += 1;
        }
        self.close(token, now_ns);
    }

    /// Does what a client asks for in the first `count` bytes of the scratch buffer, and in what was left over before.
    fn work(&mut self, token: u64, mut count: usize, now_ns: u64) {
        while let Some((items, stopped)) = self.requests(token, count, now_ns) {
            self.send(token, items, now_ns);
            // Stopped for lack of room; where there is room again already, nothing else will say so.
            if !stopped {
                return;
            }
            count = 0;
        }
    }

    /// Does requests until there are no more, or no room for their answers: then the second is true. `None` if there is
    /// nothing to be done.
    fn requests(&mut self, token: u64, count: usize, now_ns: u64) -> Option<(Items, bool)> {
        let connection = self.connections.get_mut(&token)?;
        let Stage::Open(session) = connection.stage else { return None };
        if count == 0 && (connection.inbox.is_empty() || connection.is_full()) {
            return None;
        }
        connection.heard_ns = now_ns;
        let (mut inbox, mut seal) = (std::mem::take(&mut connection.inbox), connection.seal_in.take());
        let (store, requests, limits) = (&mut self.store, &mut self.requests, &self.limits);
        let (mut items, mut wants_status, mut stopped) = (Items::new(), Vec::new(), false);
        let fed = inbox.feed(&self.scratch[..count], limits.frame, &mut seal, |content| {
            *requests += 1;
            match decode(content)? {
                ToServer::Ask { id, request } => {
                    let object = request.object();
                    if let Some(result) = store.request(session, Ticket(id), request, now_ns) {
                        if let (Ok(Reply::Item(_)), Some(object)) = (&result, object) {
                            items.extend(result.clone().ok().map(|reply| (object, reply)));
                        }
                        connection.answer(id, result, longest_answer(limits.frame));
                    }
                }
                // Nobody waits for what it came to.
                ToServer::Tell(request) => drop(store.request(session, Ticket(u64::MAX), request, now_ns)),
                ToServer::Status { id } => wants_status.push(id),
            }
            stopped = connection.is_full();
            Ok::<_, Broken>(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        (connection.inbox, connection.seal_in) = (inbox, seal);
        if fed.is_err() {
            self.refused.broken += 1;
            self.close(token, now_ns);
            return None;
        }
        if !wants_status.is_empty() {
            let status = self.status();
            let connection = self.connections.get_mut(&token)?;
            for id in wants_status {
                connection.push(&ToClient::Status { id, status }, longest_answer(self.limits.frame), id);
            }
        }
        Some((items, stopped))
    }

    /// Hands the answers of calls that waited to their clients.
    fn deliver(&mut self, now_ns: u64) {
        loop {
            let completed = self.store.take_completions();
            if completed.is_empty() {
                return;
            }
            let mut to_send: Vec<(u64, Items)> = Vec::new();
            for completion in completed {
                let token = self.by_session.get(&completion.session).copied();
                let connection = token.and_then(|token| Some((token, self.connections.get_mut(&token)?)));
                let item = match completion.result {
                    Ok(Reply::Item(ref item)) => Some((completion.object, Reply::Item(item.clone()))),
                    _ => None,
                };
                match connection {
                    Some((token, connection)) => {
                        connection.answer(completion.ticket.0, completion.result, longest_answer(self.limits.frame));
                        match to_send.iter_mut().find(|(known, _)| *known == token) {
                            Some((_, items)) => items.extend(item),
                            None => to_send.push((token, item.into_iter().collect())),
                        }
                    }
                    None => item.into_iter().for_each(|(object, item)| self.store.take_back(object, item)),
                }
            }
            for (token, items) in to_send {
                self.send(token, items, now_ns);
            }
        }
    }

    /// Sends what waits for a client. If it is gone, `items` that it did not get go back; its session ends when everything
    /// that it has said before is read, such as what it gives back.
    fn send(&mut self, token: u64, items: Items, now_ns: u64) {
        let Some(connection) = self.connections.get_mut(&token) else { return };
        let sent = connection.flush(now_ns);
        self.has_unread |= sent == Sent::Some;
        if sent == Sent::Gone {
            connection.discard();
            // The first last, so that it is the first again.
            for (object, item) in items.into_iter().rev() {
                self.store.take_back(object, item);
            }
            return;
        }
        let wants = connection.wants();
        if wants != connection.watched {
            connection.watched = wants;
            let changed = self.epoll.modify(&connection, &mut EpollEvent::new(wants, token));
            debug_assert!(changed.is_ok(), "it was added to the poller");
        }
    }

    fn close(&mut self, token: u64, now_ns: u64) {
        // Closing the socket takes it out of the poller.
        let Some(connection) = self.connections.remove(&token) else { return };
        match connection.stage {
            Stage::Greeting(_) => self.greeting_ended(connection.entrance),
            Stage::Open(session) => {
                self.by_session.remove(&session);
                self.store.close_session(session, now_ns);
            }
        }
    }

    fn has_to_look(&self) -> bool {
        self.limits.idle_time.is_some()
            || self.has_unread
            || self.entrances.iter().any(|entrance| entrance.greeting > 0 || !(entrance.is_open || entrance.is_over))
    }

    /// Ends the connections whose time is over.
    fn look_through(&mut self, now_ns: u64) {
        if now_ns < self.looked_ns + LOOK_EVERY_NS || !self.has_to_look() {
            return;
        }
        self.looked_ns = now_ns;
        self.has_unread = self.connections.values().any(|connection| connection.unread_since_ns.is_some());
        let over = |since_ns: u64, limit: Duration| u128::from(now_ns.saturating_sub(since_ns)) > limit.as_nanos();
        let mut late = Vec::new();
        for (token, connection) in &self.connections {
            let idle = |limit| over(connection.heard_ns, limit);
            match connection.stage {
                Stage::Greeting(_) if over(connection.heard_ns, self.limits.greeting_time) => {
                    self.refused.too_slow += 1;
                    late.push(*token);
                }
                Stage::Open(_)
                    if connection.unread_since_ns.is_some_and(|since| over(since, self.limits.unread_time)) =>
                {
                    self.refused.not_reading += 1;
                    late.push(*token);
                }
                Stage::Open(session) if self.limits.idle_time.is_some_and(idle) && !self.store.waits(session) => {
                    self.refused.idle += 1;
                    late.push(*token);
                }
                _ => {}
            }
        }
        late.into_iter().for_each(|token| self.close(token, now_ns));
        self.deliver(now_ns);
        for number in 0..self.entrances.len() {
            if self.entrances[number].is_to_open(self.limits.greeting) {
                self.watch_entrance(number, EpollFlags::EPOLLIN);
            }
        }
    }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("status", &self.status()).finish_non_exhaustive()
    }
}
