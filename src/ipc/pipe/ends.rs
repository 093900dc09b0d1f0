//! Pipes for messages, one-way and duplex.
//!
//! # State
//! One-way: a `pipe(2)` whose ends are two types, so wrong use of an end does not compile. Duplex: a pair of Unix
//! sockets whose ends are [`Connection`]s.
//!
//! # Death
//! As for a [`Connection`]: the receiver gets end-of-file when the last sender is gone, the sender a broken pipe when
//! the last receiver is gone.
//!
//! # Standard
//! Python `multiprocessing.Pipe(duplex)`: [`pipe`] is `Pipe(False)`, with the ends in the same order, and [`duplex`] is
//! `Pipe(True)`. Differs: a one-way end carries the type of its messages.

use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::Connection;
use super::incoming::Incoming;
use super::wait::Waitable;
use crate::ipc::error::{Result, os};
use crate::ipc::operation::ObjectId;
use crate::ipc::process::transfer::sent_in_roles;
use crate::sys::stream::{Access, Stream};

/// The receiving end of a [`pipe`].
///
/// It can also receive bytes, as a [`Connection`] does, and can be [converted into](Self::into_connection) one.
#[derive(Debug)]
pub struct Receiver<T> {
    connection: Connection,
    message: PhantomData<fn() -> T>,
}

/// The sending end of a [`pipe`].
///
/// It can also send bytes, as a [`Connection`] does, and can be [converted into](Self::into_connection) one.
#[derive(Debug)]
pub struct Sender<T> {
    connection: Connection,
    message: PhantomData<fn(T)>,
}

/// Creates a one-way pipe for messages of type `T`. Returns the receiving end and the sending end.
///
/// ```
/// let (mut receiver, mut sender) = ipc_demo::pipe::pipe()?;
/// for number in 1..=3 {
///     sender.send(&number)?;
/// }
/// drop(sender);
/// assert_eq!(receiver.iter().collect::<ipc_demo::Result<Vec<u32>>>()?, [1, 2, 3]);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
///
/// # Errors
/// [`Error::Os`](crate::Error::Os) if this process cannot have two more descriptors.
pub fn pipe<T: Serialize + DeserializeOwned>() -> Result<(Receiver<T>, Sender<T>)> {
    let (reading, writing) = Stream::pipe().map_err(os("make a pipe"))?;
    let object = ObjectId::new();
    let receiver = Connection::of(reading, Access::ReadOnly, Incoming::alone(), object);
    let sender = Connection::of(writing, Access::WriteOnly, Incoming::exact(), object);
    Ok((Receiver { connection: receiver, message: PhantomData }, Sender { connection: sender, message: PhantomData }))
}

/// Creates a connection whose two ends both send and receive.
///
/// # Errors
/// [`Error::Os`](crate::Error::Os) if this process cannot have two more descriptors.
pub fn duplex() -> Result<(Connection, Connection)> {
    let (one, other) = Stream::socket_pair().map_err(os("make a connection"))?;
    let object = ObjectId::new();
    let end = |stream| Connection::of(stream, Access::Both, Incoming::alone(), object);
    Ok((end(one), end(other)))
}

impl<T: DeserializeOwned> Receiver<T> {
    /// Receives the next message. Blocks until it arrives. As [`Connection::recv`].
    ///
    /// # Errors
    /// As [`Connection::recv`].
    #[inline]
    pub fn recv(&mut self) -> Result<T> {
        self.connection.recv()
    }

    /// Receives the next message within `timeout`; `None` if it did not arrive in time. A part that arrived is kept.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<T>> {
        self.connection.recv_timeout(timeout)
    }

    /// Receives the next message if it has arrived. Does not block.
    ///
    /// # Errors
    /// As [`recv`](Self::recv).
    pub fn try_recv(&mut self) -> Result<Option<T>> {
        self.connection.try_recv()
    }

    /// Iterates over the messages until the last sender is gone. Yields an error as its last element.
    pub fn iter(&mut self) -> impl Iterator<Item = Result<T>> {
        let mut ended = false;
        std::iter::from_fn(move || {
            let received = (!ended).then(|| self.recv())?;
            ended = received.is_err();
            if matches!(received, Err(crate::Error::EndOfFile)) { None } else { Some(received) }
        })
    }
}

impl<T> Receiver<T> {
    /// Receives the next message as plain bytes. As [`Connection::recv_bytes`].
    ///
    /// # Errors
    /// As [`Connection::recv_bytes`].
    pub fn recv_bytes(&mut self) -> Result<Vec<u8>> {
        self.connection.recv_bytes()
    }

    /// Receives the next message as plain bytes, if its length is at most `max`. As [`Connection::recv_bytes_max`].
    ///
    /// # Errors
    /// As [`Connection::recv_bytes_max`].
    pub fn recv_bytes_max(&mut self, max: usize) -> Result<Vec<u8>> {
        self.connection.recv_bytes_max(max)
    }

    /// Receives plain bytes within `timeout`; `None` if they did not arrive in time. A part that arrived is kept.
    ///
    /// # Errors
    /// As [`Connection::recv_bytes`].
    pub fn recv_bytes_timeout(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>> {
        self.connection.recv_bytes_timeout(timeout)
    }

    /// Receives plain bytes into `buffer` from `offset` on, and returns their number. As
    /// [`Connection::recv_bytes_into`].
    ///
    /// # Errors
    /// As [`Connection::recv_bytes_into`].
    pub fn recv_bytes_into(&mut self, buffer: &mut [u8], offset: usize) -> Result<usize> {
        self.connection.recv_bytes_into(buffer, offset)
    }

    /// Blocks until there is something to receive, or the end of the stream. As [`Connection::poll`].
    ///
    /// # Errors
    /// As [`Connection::poll`].
    pub fn poll(&self, timeout: Option<Duration>) -> Result<bool> {
        self.connection.poll(timeout)
    }

    /// Returns another handle on this end, to be used in turn with this one. As [`Connection::try_clone`].
    ///
    /// # Errors
    /// As [`Connection::try_clone`].
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Receiver { connection: self.connection.try_clone()?, message: PhantomData })
    }

    /// Returns the descriptor. See [`Connection::as_fd`] for its limits.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }

    /// Sets the maximum length in bytes of received messages.
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.connection.set_message_limit(bytes);
    }

    /// Closes this end. Dropping it does the same.
    pub fn close(self) {}

    /// Converts this end to an untyped one: wrong use of it compiles, and is an error.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

impl<T: Serialize> Sender<T> {
    /// Sends a message. Blocks while the pipe is full. As [`Connection::send`].
    ///
    /// # Errors
    /// As [`Connection::send`].
    #[inline]
    pub fn send(&mut self, message: &T) -> Result<()> {
        self.connection.send(message)
    }

    /// Sends a message within `timeout`; returns `false` if there was no room in time. As [`Connection::send_timeout`].
    ///
    /// # Errors
    /// As [`Connection::send_timeout`].
    pub fn send_timeout(&mut self, message: &T, timeout: Duration) -> Result<bool> {
        self.connection.send_timeout(message, timeout)
    }
}

impl<T> Sender<T> {
    /// Sends a message of plain bytes. As [`Connection::send_bytes`].
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn send_bytes(&mut self, message: &[u8]) -> Result<()> {
        self.connection.send_bytes(message)
    }

    /// Sends `size` bytes of `buffer` from `offset` on as a message. As [`Connection::send_bytes_part`].
    ///
    /// # Errors
    /// As [`Connection::send_bytes_part`].
    pub fn send_bytes_part(&mut self, buffer: &[u8], offset: usize, size: Option<usize>) -> Result<()> {
        self.connection.send_bytes_part(buffer, offset, size)
    }

    /// Sends plain bytes within `timeout`; returns `false` if there was no room in time.
    ///
    /// # Errors
    /// As [`Connection::send_timeout`].
    pub fn send_bytes_timeout(&mut self, message: &[u8], timeout: Duration) -> Result<bool> {
        self.connection.send_bytes_timeout(message, timeout)
    }

    /// Returns another handle on this end: several may send messages of up to 4,092 bytes at once. As
    /// [`Connection::try_clone`].
    ///
    /// # Errors
    /// As [`Connection::try_clone`].
    pub fn try_clone(&self) -> Result<Self> {
        Ok(Sender { connection: self.connection.try_clone()?, message: PhantomData })
    }

    /// Sends the rest of a message that was half sent, if there is one; returns `false` on timeout.
    ///
    /// # Errors
    /// As [`Connection::send`].
    pub fn flush_timeout(&mut self, timeout: Duration) -> Result<bool> {
        self.connection.flush_timeout(timeout)
    }

    /// Sets the maximum length in bytes of sent messages.
    pub fn set_message_limit(&mut self, bytes: usize) {
        self.connection.set_message_limit(bytes);
    }

    /// Closes this end. Dropping it does the same.
    pub fn close(self) {}

    /// Converts this end to an untyped one: wrong use of it compiles, and is an error.
    pub fn into_connection(self) -> Connection {
        self.connection
    }
}

/// In a wait, it is ready when the last receiver is gone.
impl<T> AsFd for Sender<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.connection.as_fd()
    }
}

impl<T> Waitable for Receiver<T> {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.connection.descriptor()
    }

    fn is_ready(&self) -> bool {
        self.connection.is_ready()
    }
}

sent_in_roles!([T] Receiver<T>, "a Receiver", |receiver, _| Ok(&receiver.connection), |connection: Connection| {
    Ok(Receiver { connection, message: PhantomData })
});

sent_in_roles!([T] Sender<T>, "a Sender", |sender, _| Ok(&sender.connection), |connection: Connection| {
    Ok(Sender { connection, message: PhantomData })
});
