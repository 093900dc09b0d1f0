//! One connection, as the server sees it: what has arrived and what is to be sent.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::epoll::EpollFlags;

use crate::ipc::manager::store::{Failure, Reply, SessionId};
use crate::ipc::manager::wire::{Answering, Inbox, Seal, ToClient, Welcome, encode, finish_frame, start_frame};
use crate::sys::socket;

/// Above this many bytes of unread answers no more requests are taken from a client.
const ENOUGH_UNREAD: usize = 1 << 20;
/// The room that an empty outbox keeps.
const ROOM_KEPT: usize = 4096;

/// How far somebody has come.
#[derive(Debug)]
pub(super) enum Stage {
    Greeting(Answering),
    Open(SessionId),
}

/// What became of sending.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    All,
    Some,
    /// Nobody is there any more.
    Gone,
}

#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    /// Which entrance it came through.
    pub(super) entrance: usize,
    pub(super) stage: Stage,
    pub(super) inbox: Inbox,
    pub(super) seal_in: Option<Seal>,
    seal_out: Option<Seal>,
    outbox: Vec<u8>,
    sent: usize,
    /// What the poller watches for.
    pub(super) watched: EpollFlags,
    /// When the greeting began; later, when the last request came.
    pub(super) heard_ns: u64,
    /// Since when answers wait that the client does not take.
    pub(super) unread_since_ns: Option<u64>,
}

impl Connection {
    pub(super) fn new(socket: OwnedFd, entrance: usize, answering: Answering, now_ns: u64) -> Self {
        Connection {
            socket,
            entrance,
            stage: Stage::Greeting(answering),
            inbox: Inbox::default(),
            seal_in: None,
            seal_out: None,
            outbox: Vec::new(),
            sent: 0,
            watched: EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP,
            heard_ns: now_ns,
            unread_since_ns: None,
        }
    }

    /// The peer has proved itself: from now on it is a client.
    pub(super) fn open(&mut self, session: SessionId, welcome: Welcome) {
        self.stage = Stage::Open(session);
        if let Some(seals) = welcome.seals {
            self.seal_in = Some(seals.to_server);
            self.seal_out = Some(seals.to_client);
        }
    }

    pub(super) fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        socket::receive(self.socket.as_fd(), room)
    }

    /// The answer to request `id` goes to the end of what is to be sent.
    pub(super) fn answer(&mut self, id: u64, result: Result<Reply, Failure>, limit: usize) {
        self.push(&ToClient::Answer { id, result }, limit, id);
    }

    pub(super) fn push(&mut self, message: &ToClient, limit: usize, id: u64) {
        if let Err(bytes) = encode(message, &mut self.outbox, limit, &mut self.seal_out) {
            let result = Err(Failure::AnswerTooLong { bytes, limit });
            let short = encode(&ToClient::Answer { id, result }, &mut self.outbox, limit, &mut self.seal_out);
            debug_assert!(short.is_ok(), "a failure is short");
        }
    }

    /// A frame of the greeting goes to the end of what is to be sent.
    pub(super) fn push_frame(&mut self, content: &[u8]) {
        let start = start_frame(&mut self.outbox);
        self.outbox.extend_from_slice(content);
        let finished = finish_frame(&mut self.outbox, start, content.len(), &mut None);
        debug_assert!(finished.is_ok(), "as long as its content");
    }

    /// Sends what there is room for.
    pub(super) fn flush(&mut self, now_ns: u64) -> Sent {
        while self.sent < self.outbox.len() {
            match socket::send_some(self.socket.as_fd(), &self.outbox[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.unread_since_ns = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.unread_since_ns.get_or_insert(now_ns);
                    return Sent::Some;
                }
                Err(_) => return Sent::Gone,
            }
        }
        self.sent = 0;
        self.outbox.clear();
        self.outbox.shrink_to(ROOM_KEPT);
        Sent::All
    }

    /// Forgets what nobody takes any more.
    pub(super) fn discard(&mut self) {
        self.sent = 0;
        self.outbox = Vec::new();
        self.unread_since_ns = None;
    }

    /// Whether so much waits to be sent that no more requests are taken.
    pub(super) fn is_full(&self) -> bool {
        self.outbox.len() - self.sent > ENOUGH_UNREAD
    }

    /// What the poller should watch for.
    pub(super) fn wants(&self) -> EpollFlags {
        let mut wants = EpollFlags::empty();
        // Who is not read from cannot be seen hanging up half-way; a full hang-up is always reported.
        wants.set(EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP, !self.is_full());
        wants.set(EpollFlags::EPOLLOUT, self.sent < self.outbox.len());
        wants
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
