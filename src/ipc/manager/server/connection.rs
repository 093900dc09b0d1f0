//! A client's connection, as all threads of the server see it: the data to send, and whether the server has ended it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::ipc::manager::data::ObjectId;
use crate::ipc::manager::status::Refusal;
use crate::ipc::manager::store::{Failure, Outcome, Reply, SessionId};
use crate::ipc::manager::wire::{FrameKey, ToClient, encode};
use crate::sys::socket;

/// Limit of unread answers, in bytes, above which no more requests are read from a client.
const ENOUGH_UNREAD: usize = 1 << 20;
/// The capacity that an empty outbox keeps.
const ROOM_KEPT: usize = 4096;

/// An item on its way to a client: the queue it is from, and the answer that contains it.
pub(super) type Item = (ObjectId, Reply);

/// Outcome of sending.
#[derive(Debug, PartialEq)]
pub(super) enum Sent {
    All,
    Some,
    /// The client is gone. The items that it did not receive must be requeued, in reverse order.
    Gone(Vec<Item>),
}

#[derive(Debug)]
pub(super) struct Connection {
    pub(super) session: SessionId,
    socket: OwnedFd,
    outgoing: Mutex<Outgoing>,
    /// When it last sent a request, was answered, or read pending answers.
    pub(super) busy_ns: AtomicU64,
    /// Why the server closed it.
    pub(super) reason: OnceLock<Refusal>,
    /// The connection is no longer served, even if requests are pending.
    pub(super) is_over: AtomicBool,
}

/// Data to be sent.
#[derive(Debug, Default)]
struct Outgoing {
    key: Option<FrameKey>,
    bytes: Vec<u8>,
    sent: usize,
    /// The items in it, each with the end position of its answer.
    items: Vec<(usize, Item)>,
    /// Since when there have been answers that the client does not read.
    unread_since_ns: Option<u64>,
}

impl Connection {
    pub(super) fn new(session: SessionId, socket: OwnedFd, key: Option<FrameKey>, now_ns: u64) -> Self {
        Connection {
            session,
            socket,
            outgoing: Mutex::new(Outgoing { key, ..Outgoing::default() }),
            busy_ns: AtomicU64::new(now_ns),
            reason: OnceLock::new(),
            is_over: AtomicBool::new(false),
        }
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock().expect("nobody panics with it")
    }

    /// Appends the answer to request `id` to the data to be sent. `object` is the object that answers.
    pub(super) fn answer(&self, id: u64, result: Outcome, object: Option<ObjectId>, limit: usize) {
        let message = ToClient { id, result };
        let mut outgoing = self.outgoing();
        let Outgoing { key, bytes, items, .. } = &mut *outgoing;
        if let Err(length) = encode(&message, bytes, limit, key) {
            let result = Err(Failure::AnswerTooLong { bytes: length, limit });
            let short = encode(&ToClient { id, result }, bytes, limit, key);
            debug_assert!(short.is_ok(), "a failure is short");
        }
        if let (Ok(item @ Reply::Item(_)), Some(queue)) = (message.result, object) {
            items.push((bytes.len(), (queue, item)));
        }
    }

    /// Sends as much as there is room for.
    pub(super) fn flush(&self, now_ns: u64) -> Sent {
        let mut outgoing = self.outgoing();
        let Outgoing { bytes, sent, items, unread_since_ns, .. } = &mut *outgoing;
        let outcome = loop {
            if *sent == bytes.len() {
                break Sent::All;
            }
            match socket::send_some(self.socket.as_fd(), &bytes[*sent..]) {
                Ok(count) => {
                    *sent += count;
                    if unread_since_ns.take().is_some() {
                        self.busy_ns.store(now_ns, Relaxed);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    unread_since_ns.get_or_insert(now_ns);
                    items.retain(|(end, _)| *end > *sent);
                    // A client that always reads only a little would otherwise keep everything it ever read in memory.
                    if *sent > ENOUGH_UNREAD {
                        bytes.drain(..*sent);
                        items.iter_mut().for_each(|(end, _)| *end -= *sent);
                        *sent = 0;
                    }
                    return Sent::Some;
                }
                Err(_) => {
                    let lost = items.drain(..).filter(|(end, _)| *end > *sent).map(|(_, item)| item);
                    *unread_since_ns = None;
                    // Perhaps in the middle of an answer: nothing can follow it. Earlier requests are still processed,
                    // such as releases that the client sent before it disconnected.
                    let _ = socket::hang_up(self.socket.as_fd());
                    break Sent::Gone(lost.collect());
                }
            }
        };
        *sent = 0;
        items.clear();
        bytes.clear();
        bytes.shrink_to(ROOM_KEPT);
        outcome
    }

    /// Whether so much data waits to be sent that no more requests are read.
    pub(super) fn is_full(&self) -> bool {
        let outgoing = self.outgoing();
        outgoing.bytes.len() - outgoing.sent > ENOUGH_UNREAD
    }

    pub(super) fn unread_since_ns(&self) -> Option<u64> {
        self.outgoing().unread_since_ns
    }

    /// Makes its thread end, and with it the session. The client sees the end once that is done.
    pub(super) fn end(&self, reason: Refusal) {
        // The first reason counts.
        let _ = self.reason.set(reason);
        self.is_over.store(true, Relaxed);
        // Fails if the connection has ended already.
        let _ = socket::hear_no_more(self.socket.as_fd());
    }

    /// Ends the connection for both sides at once.
    pub(super) fn hang_up(&self) {
        self.is_over.store(true, Relaxed);
        // Fails if the connection has ended already.
        let _ = socket::hang_up(self.socket.as_fd());
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::manager::data::Variant;

    #[test]
    fn client_that_always_reads_a_little_does_not_fill_the_memory() {
        let (ours, theirs) = socket::stream_pair().expect("a pair");
        let client = Connection::new(SessionId(1), ours, None, 0);
        let (mut read, mut room) = (0, vec![0; 64 << 10]);
        while read < 20 << 20 {
            while !client.is_full() {
                client.answer(1, Ok(Variant::from("x".repeat(50_000)).into()), None, usize::MAX);
            }
            assert_eq!(client.flush(0), Sent::Some);
            read += socket::receive(theirs.as_fd(), &mut room).expect("some");
            assert!(client.outgoing().bytes.len() < 3 * ENOUGH_UNREAD);
        }
    }
}
