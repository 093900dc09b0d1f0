//! An end through which messages are sent and received: values, or plain bytes.
//!
//! # State
//! A stream, and the incomplete message of each direction: one of which a part has arrived ([`Incoming`]), and one of
//! which a part could not be sent in time ([`Outgoing`]). So a wait that times out loses nothing.
//!
//! # Death
//! The peer's death is the end of the stream: [`Error::EndOfFile`] between messages, as soon as the last process that
//! holds the other end is gone, and [`Error::EndOfFileInsideMessage`] if it was killed while sending. Sending without a
//! receiver is [`Error::BrokenPipe`]. An end that several processes hold keeps the stream open until the last of them
//! is gone, so move an end into the role that uses it. Several senders on one end should keep to messages of 4,092
//! bytes, which are atomic: if the sender of a longer one is killed, the receiver cannot tell its rest from what the
//! others send.
//!
//! # Standard
//! Python `multiprocessing.connection.Connection`, which can be the peer of the calls on bytes: the framing is the
//! same. Values are serialised in a form that Python does not know (a [`pipe`](super::pipe) has a type). Differs: no use
//! after `close` (it consumes the end); no two threads on one end at once (`&mut`); waits have timeouts; lengths are
//! limited.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use super::wait::Waitable;
use crate::ipc::codec;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{self, Error, Result, os};
use crate::ipc::operation::{Object, ObjectId, Operation, Waits, always, is_observed, point};
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::fd::wait_writable;
use crate::sys::stream::{Access, Stream};

/// The longest message that a connection receives and sends, unless [`Connection::set_message_limit`] changes it: 1
/// GiB.
pub const MESSAGE_LIMIT: usize = 1 << 30;

const SEND: Waits = Waits::change(["pipe.send", "pipe.send_timeout", "pipe.try_send"]);
const RECV: Waits = Waits::change(["pipe.recv", "pipe.recv_timeout", "pipe.try_recv"]);
const CLOSE: Operation = Operation::change("pipe.close");
const POLL: Waits = Waits::read(["pipe.poll", "pipe.poll_timeout", "pipe.try_poll"]);

/// An end of a [`duplex`](crate::pipe::duplex) connection, or of any other stream with a descriptor.
///
/// ```
/// let (mut here, mut there) = ipc_demo::pipe::duplex()?;
/// here.send(&("answer", 42_u32))?;
/// assert_eq!(there.recv::<(String, u32)>()?, ("answer".to_owned(), 42));
/// there.send_bytes(b"thanks")?;
/// assert_eq!(here.recv_bytes()?, b"thanks");
/// drop(there);
/// assert!(matches!(here.recv_bytes(), Err(ipc_demo::Error::EndOfFile)));
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub struct Connection {
    /// Dropped before the stream.
    object: EndObject,
    stream: Stream,
    access: Access,
    incoming: Incoming,
    outgoing: Outgoing,
    limit: usize,
}

/// A pipe or a datagram channel as the object of operations. All handles of this process on an end share one, and the
/// last drop passes a point.
#[derive(Debug, Clone)]
pub(super) struct EndObject {
    pub(super) id: Arc<ObjectId>,
    close: Operation,
}

impl EndObject {
    /// `close` is the drop of the last handle.
    pub(super) fn new(id: ObjectId, close: Operation) -> Self {
        EndObject { id: Arc::new(id), close }
    }
}

impl Object for EndObject {
    fn objects(&self) -> (ObjectId, Option<ObjectId>) {
        self.id.objects()
    }
}

impl Drop for EndObject {
    #[inline]
    fn drop(&mut self) {
        if is_observed() && Arc::strong_count(&self.id) == 1 {
            point(self.close, self, always);
        }
    }
}

impl Connection {
    pub(crate) fn of(stream: Stream, access: Access, incoming: Incoming, object: ObjectId) -> Self {
        let object = EndObject::new(object, CLOSE);
        Connection { object, stream, access, incoming, outgoing: Outgoing::default(), limit: MESSAGE_LIMIT }
    }

    /// Creates a connection from an existing descriptor: a pipe, a socket, or one that another program handed to this
    /// one.
    ///
    /// The descriptor's access mode determines whether it can send and receive; a call the mode does not allow is an
    /// error.
    ///
    /// # Errors
    /// [`Error::Os`] if the descriptor cannot be queried.
    pub fn from_fd(descriptor: OwnedFd) -> Result<Self> {
        let stream = Stream::of(descriptor).map_err(os("use a descriptor as a connection"))?;
        let access = stream.access().map_err(os("use a descriptor as a connection"))?;
        Ok(Connection::of(stream, access, Incoming::exact(), ObjectId::new()))
    }

    /// Returns the descriptor. It must not be read or written while the connection is used.
    ///
    /// To wait for a message use [`poll`](Self::poll) or [`wait`](crate::pipe::wait()): messages already read ahead do not
    /// make the descriptor readable, which is why a connection is not [`AsFd`].
    ///
    /// # Standard
    /// Python `Connection.fileno`.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Closes this end. Dropping it does the same.
    ///
    /// The rest of a message that was [half sent](Error::HalfSent) is lost; [`flush_timeout`](Self::flush_timeout)
    /// sends it.
    pub fn close(self) {}

    /// Returns whether this end can receive.
    pub fn is_readable(&self) -> bool {
        self.access != Access::WriteOnly
    }

    /// Returns whether this end can send.
    pub fn is_writable(&self) -> bool {
        self.access != Access::ReadOnly
    }

    /// Sets the maximum length in bytes of messages received and sent through this end; initially [`MESSAGE_LIMIT`].
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.limit = bytes;
    }

    /// Sends a value. Blocks while the kernel's buffer is full (64 KiB for a pipe).
    ///
    /// # Errors
    /// [`Error::Codec`] or [`Error::TooLong`], and then nothing was sent; [`Error::BrokenPipe`] if no receiver is left,
    /// [`Error::ConnectionReset`] if the peer closed with unread data; [`Error::ReadOnly`].
    ///
    /// # System calls
    /// One `write` (or `sendmsg`), unless the message is longer than the free space.
    #[inline]
    pub fn send<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.send_within(value, None).map(drop)
    }

    /// Sends a value within `timeout`; returns `false` if there was no room in time, and then nothing of it was sent.
    ///
    /// # Errors
    /// As [`send`](Self::send), and [`Error::HalfSent`] if the timeout passed midway (possible above 4,092 bytes): the
    /// rest is kept and sent by the next call that sends.
    pub fn send_timeout<T: Serialize + ?Sized>(&mut self, value: &T, timeout: Duration) -> Result<bool> {
        self.send_within(value, Some(timeout))
    }

    /// Sends a message of plain bytes; an empty one is a message too.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_bytes(&mut self, message: &[u8]) -> Result<()> {
        self.send_bytes_within(message, None).map(drop)
    }

    /// Sends `size` bytes of `buffer` from `offset` on as a message, or all remaining bytes if no size is given.
    ///
    /// # Errors
    /// [`Error::BadRange`] if they do not lie in the buffer; otherwise as [`send`](Self::send).
    ///
    /// # Standard
    /// Python `Connection.send_bytes(buf, offset, size)`.
    pub fn send_bytes_part(&mut self, buffer: &[u8], offset: usize, size: Option<usize>) -> Result<()> {
        let len = buffer.len();
        let bad_range = Error::BadRange { offset, size: size.unwrap_or(0), len };
        let size = size.or(len.checked_sub(offset));
        let end = size.and_then(|size| offset.checked_add(size));
        let part = end.and_then(|end| buffer.get(offset..end)).ok_or(bad_range)?;
        self.send_bytes(part)
    }

    /// Sends plain bytes within `timeout`; returns `false` if there was no room in time, and then nothing of them was
    /// sent.
    ///
    /// # Errors
    /// As [`send_timeout`](Self::send_timeout).
    pub fn send_bytes_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<bool> {
        self.send_bytes_within(message, Some(timeout))
    }

    /// Sends the rest of a message that was [half sent](Error::HalfSent), if there is one; returns `false` on timeout.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn flush_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.send_point(Some(timeout));
        self.outgoing.flush(&self.stream, Deadline::after(timeout))
    }

    /// Receives the next message, a value of the type that was sent. Blocks until it arrives.
    ///
    /// # Errors
    /// [`Error::EndOfFile`] once the peer is gone and everything is received, [`Error::EndOfFileInsideMessage`] if it
    /// disconnected in the middle of a message, [`Error::ConnectionReset`] if it left unread data;
    /// [`Error::BadMessageLength`]; [`Error::Codec`] if the message is not a valid `T`, and then the next one can be
    /// received; [`Error::WriteOnly`].
    ///
    /// # System calls
    /// `read`, once for many small messages if this end was given to no other process.
    #[inline]
    pub fn recv<T: DeserializeOwned>(&mut self) -> Result<T> {
        self.receive(self.limit, None)?;
        decode(self.incoming.message())
    }

    /// Receives the next value within `timeout`; `None` if it did not arrive in time. A part that arrived is kept.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout<T: DeserializeOwned>(&mut self, timeout: Duration) -> Result<Option<T>> {
        match self.receive(self.limit, Some(timeout))? {
            true => decode(self.incoming.message()).map(Some),
            false => Ok(None),
        }
    }

    /// Receives the next value if it has arrived. Does not block.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.recv_timeout(Duration::ZERO)
    }

    /// Receives the next message as plain bytes.
    ///
    /// # Errors
    /// As [`recv`](Self::recv), without [`Error::Codec`].
    pub fn recv_bytes(&mut self) -> Result<Vec<u8>> {
        self.recv_bytes_max(self.limit)
    }

    /// Receives the next message as plain bytes, if its length is at most `max`.
    ///
    /// # Errors
    /// As [`recv_bytes`](Self::recv_bytes). After [`Error::BadMessageLength`] nothing more can be received from this
    /// end.
    ///
    /// # Standard
    /// Python `Connection.recv_bytes(maxlength)`.
    pub fn recv_bytes_max(&mut self, max: usize) -> Result<Vec<u8>> {
        self.receive(max.min(self.limit), None)?;
        Ok(self.incoming.message_vec())
    }

    /// Receives plain bytes within `timeout`; `None` if they did not arrive in time. A part that arrived is kept.
    ///
    /// # Errors
    /// As [`recv_bytes`](Self::recv_bytes).
    pub fn recv_bytes_timeout(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>> {
        let received = self.receive(self.limit, Some(timeout))?;
        Ok(received.then(|| self.incoming.message_vec()))
    }

    /// Receives plain bytes into `buffer` from `offset` on, and returns their number.
    ///
    /// # Errors
    /// [`Error::BadRange`] if the offset lies outside the buffer, and then nothing was received; [`Error::BufferTooShort`],
    /// with the message, if it does not fit; otherwise as [`recv_bytes`](Self::recv_bytes).
    ///
    /// # Standard
    /// Python `Connection.recv_bytes_into(buf, offset)`.
    pub fn recv_bytes_into(&mut self, buffer: &mut [u8], offset: usize) -> Result<usize> {
        let len = buffer.len();
        let room = buffer.get_mut(offset..).ok_or(Error::BadRange { offset, size: 0, len })?;
        self.receive(self.limit, None)?;
        let message = self.incoming.message();
        match room.get_mut(..message.len()) {
            Some(room) => {
                room.copy_from_slice(message);
                Ok(message.len())
            }
            None => Err(Error::BufferTooShort { message: message.to_vec(), room: room.len() }),
        }
    }

    /// Blocks until there is something to receive, for at most `timeout`, or without limit if there is none.
    /// `Duration::ZERO` only checks.
    ///
    /// Also returns `true` at the end of the stream, which the next receive then reports, and for the beginning of a
    /// message whose rest has not arrived.
    ///
    /// # Errors
    /// [`Error::WriteOnly`], [`Error::Os`].
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool> {
        let deadline = self.begin_recv(&POLL, timeout)?;
        self.incoming.poll(&self.stream, self.limit, deadline)
    }

    #[inline]
    fn send_within<T: Serialize + ?Sized>(&mut self, value: &T, timeout: Option<Duration>) -> Result<bool> {
        let deadline = self.begin_send(timeout)?;
        self.outgoing.send(&self.stream, value, self.limit, deadline)
    }

    fn send_bytes_within(&mut self, message: &[u8], timeout: Option<Duration>) -> Result<bool> {
        let deadline = self.begin_send(timeout)?;
        self.outgoing.send_bytes(&self.stream, message, self.limit, deadline)
    }

    #[inline]
    fn receive(&mut self, limit: usize, timeout: Option<Duration>) -> Result<bool> {
        let deadline = self.begin_recv(&RECV, timeout)?;
        self.incoming.receive(&self.stream, limit, deadline)
    }

    /// Passes the point of a send: it could go on if the kernel has room for a short message, or would refuse it.
    #[inline]
    fn send_point(&self, timeout: Option<Duration>) {
        SEND.pass(timeout, &self.object, || {
            !self.is_writable() || wait_writable(self.stream.as_fd(), Some(0)).unwrap_or(true)
        });
    }

    #[inline]
    fn begin_send(&self, timeout: Option<Duration>) -> Result<Deadline> {
        self.send_point(timeout);
        if self.is_writable() { Ok(Deadline::within(timeout)) } else { Err(Error::ReadOnly) }
    }

    /// Passes the point of a receive: it could go on if something has arrived, or the other end is closed.
    #[inline]
    fn begin_recv(&self, operations: &Waits, timeout: Option<Duration>) -> Result<Deadline> {
        operations.pass(timeout, &self.object, || {
            !self.is_readable()
                || self.incoming.poll(&self.stream, self.limit, Deadline::after(Duration::ZERO)).unwrap_or(true)
        });
        if self.is_readable() { Ok(Deadline::within(timeout)) } else { Err(Error::WriteOnly) }
    }
}

/// Decodes a value that consists of the whole message.
#[inline]
pub(crate) fn decode<T: DeserializeOwned>(message: &[u8]) -> Result<T> {
    codec::from_slice(message).map_err(error::codec("read a message"))
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { stream, access, .. } = self;
        f.debug_struct("Connection").field("stream", stream).field("access", access).finish_non_exhaustive()
    }
}

impl Waitable for Connection {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn is_ready(&self) -> bool {
        self.incoming.is_ready(self.limit)
    }
}

impl Connection {
    /// Returns another handle on this end, to be used in turn with this one, under a lock.
    ///
    /// From now on both read no more than they return, in any process: two system calls per message.
    ///
    /// # Errors
    /// [`Error::ReadAhead`] if this end has read more than it has returned; an end moved into a role takes that data
    /// along. [`Error::HalfSent`] if a message is half sent: [`flush_timeout`](Self::flush_timeout) sends the rest.
    pub fn try_clone(&self) -> Result<Self> {
        self.outgoing.whole()?;
        let incoming = self.incoming.try_clone()?;
        let (object, stream, outgoing) = (self.object.clone(), self.stream.clone(), Outgoing::default());
        Ok(Connection { object, stream, access: self.access, incoming, outgoing, limit: self.limit })
    }

    /// Returns the parts to send: not while a message is half sent, which the new holder could not finish.
    fn whole(&self) -> Result<(&Stream, &Incoming, u64, ObjectId)> {
        self.outgoing.whole()?;
        Ok((&self.stream, &self.incoming, self.limit as u64, *self.object.id))
    }

    fn received((stream, incoming, limit, object): (Stream, Incoming, u64, ObjectId)) -> Result<Self> {
        let access = stream.access().map_err(os("use a descriptor as a connection"))?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(Connection { limit, ..Connection::of(stream, access, incoming, object) })
    }
}

sent_in_roles!(
    [] Connection, "a Connection", |connection, _| connection.whole(),
    |parts: (Stream, Incoming, u64, ObjectId)| Connection::received(parts)
);

#[cfg(test)]
mod tests;
