//! Whole messages from many senders to one receiver. Each arrives completely or not at all.
//!
//! # State
//! One Unix `SOCK_SEQPACKET` socket pair. All senders share one end, so messages arrive in the order in which they were
//! sent, across senders: a message sent before a lock was released arrives before one sent after the next acquire.
//!
//! # Death
//! A message is one `send`: a sender killed at any instruction has sent all of it or nothing, and blocks no other.
//! Messages that it sent before stay readable. A sender whose receiver is gone gets [`Error::Disconnected`].
//!
//! # Standard
//! `unix(7)`, `SOCK_SEQPACKET`. The kernel limits the data in transit (about 200 KiB); then senders block.

use std::io::ErrorKind;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::connection::EndObject;
use crate::ipc::codec;
use crate::ipc::error::{self, Error, Result, check_len, os};
use crate::ipc::operation::{ObjectId, Operation, always, point};
use crate::ipc::process::transfer::{Fd, sent_in_roles};
use crate::sys::fd::wait_writable;
use crate::sys::socket;

/// The longest message in bytes, in its serialised form.
pub const DATAGRAM_LIMIT: usize = 64 * 1024;

const CLOSE: Operation = Operation::change("datagrams.close");

/// The sending end, which many processes can share.
#[derive(Debug)]
pub struct DatagramSender<T> {
    /// Dropped before the socket. `None` if no operation passes a point.
    object: Option<EndObject>,
    socket: Fd,
    message: PhantomData<fn(T)>,
}

/// The receiving end.
#[derive(Debug)]
pub struct DatagramReceiver<T> {
    /// As the sender's.
    object: Option<EndObject>,
    socket: OwnedFd,
    buffer: Vec<u8>,
    message: PhantomData<fn() -> T>,
}

/// Creates a channel for messages of type `T`.
///
/// # Errors
/// [`Error::Os`] if this process cannot have two more descriptors.
pub fn datagrams<T: Serialize + DeserializeOwned>() -> Result<(DatagramSender<T>, DatagramReceiver<T>)> {
    channel(Some(ObjectId::new()))
}

/// As [`datagrams`], for what is no operation of an exploration.
#[cfg(feature = "cli")]
pub(crate) fn unscheduled_datagrams<T>() -> Result<(DatagramSender<T>, DatagramReceiver<T>)> {
    channel(None)
}

fn channel<T>(id: Option<ObjectId>) -> Result<(DatagramSender<T>, DatagramReceiver<T>)> {
    let (sending, receiving) = socket::packet_pair().map_err(os("make a datagram channel"))?;
    let end = || id.map(|id| EndObject::new(id, CLOSE));
    let buffer = vec![0; DATAGRAM_LIMIT];
    let receiver = DatagramReceiver { object: end(), socket: receiving, buffer, message: PhantomData };
    Ok((DatagramSender { object: end(), socket: sending.into(), message: PhantomData }, receiver))
}

impl<T: Serialize> DatagramSender<T> {
    /// Sends `message`. Blocks while the kernel's buffer is full.
    ///
    /// # Errors
    /// [`Error::Codec`] if it cannot be serialised, [`Error::TooLong`] above [`DATAGRAM_LIMIT`], and
    /// [`Error::Disconnected`] if the receiver is gone. Nothing was sent then.
    pub fn send(&self, message: &T) -> Result<()> {
        if let Some(object) = &self.object {
            // There may be less room than for a long message.
            let can_send = || wait_writable(self.socket.as_fd(), Some(0)).unwrap_or(true);
            point(Operation::change("datagrams.send"), object, can_send);
        }
        // Never empty, which would read as end-of-file.
        let bytes = codec::to_vec(message).map_err(error::codec("serialise a message"))?;
        check_len(bytes.len(), DATAGRAM_LIMIT)?;
        socket::send_message(self.socket.as_fd(), &bytes).map_err(|error| match error.kind() {
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset => Error::Disconnected,
            _ => os("send a message")(error),
        })
    }
}

impl<T: DeserializeOwned> DatagramReceiver<T> {
    /// Returns the next message if one has arrived. Does not block: to wait, wait for [`AsFd`] to become readable.
    ///
    /// # Errors
    /// [`Error::Codec`] if the bytes are not a valid `T`, and [`Error::Disconnected`] once no sender is left and
    /// everything is read.
    pub fn try_receive(&mut self) -> Result<Option<T>> {
        if let Some(object) = &self.object {
            point(Operation::change("datagrams.try_receive"), object, always);
        }
        match socket::receive(self.socket.as_fd(), &mut self.buffer) {
            Ok(0) => Err(Error::Disconnected),
            Ok(len) => {
                let message = codec::from_slice(&self.buffer[..len]);
                message.map(Some).map_err(error::codec("read a message"))
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => Ok(None),
                ErrorKind::ConnectionReset => Err(Error::Disconnected),
                _ => Err(os("receive a message")(error)),
            },
        }
    }
}

impl<T> AsFd for DatagramReceiver<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<T> Clone for DatagramSender<T> {
    fn clone(&self) -> Self {
        DatagramSender { object: self.object.clone(), socket: self.socket.clone(), message: PhantomData }
    }
}

sent_in_roles!(
    [T] DatagramSender<T>, "a DatagramSender",
    |sender, _| Ok((&sender.socket, sender.object.as_ref().map(|object| *object.id))),
    |(socket, id): (Fd, Option<ObjectId>)| {
        let object = id.map(|id| EndObject::new(id, CLOSE));
        Ok(DatagramSender { object, socket, message: PhantomData })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::operation::tests::{Passed, goes, passed, would_block};

    #[test]
    fn every_operation_passes_one_point() {
        let (sender, mut receiver) = datagrams::<Vec<u8>>().expect("a channel");
        let object = *sender.object.as_ref().expect("it has one").id;
        goes("datagrams.send", &object, || sender.send(&vec![7])).expect("room");
        let received = goes("datagrams.try_receive", &object, || receiver.try_receive());
        assert_eq!(received.expect("sent"), Some(vec![7]));
        while wait_writable(sender.socket.as_fd(), Some(0)).expect("a socket") {
            sender.send(&vec![0; 30_000]).expect("room");
        }
        would_block("datagrams.send", &object, || sender.send(&vec![7]));
        let other = sender.clone();
        assert_eq!(passed(|| drop(other)).1, [], "it is not the last");
        goes("datagrams.close", &object, || drop(sender));
        goes("datagrams.close", &object, || drop(receiver));
        let (sender, mut receiver) = channel::<u8>(None).expect("a channel");
        let quiet = passed(|| sender.send(&7).and_then(|()| receiver.try_receive()));
        assert!(matches!(quiet, (Ok(Some(7)), points) if points == [] as [Passed; 0]));
    }

    #[test]
    fn messages_arrive_whole_and_in_order() {
        let (sender, mut receiver) = datagrams::<(u32, String)>().expect("a channel");
        for number in 0..3 {
            sender.send(&(number, "x".repeat(number as usize * 1000))).expect("room");
        }
        for number in 0..3 {
            let (received, text) = receiver.try_receive().expect("well-formed").expect("sent above");
            assert_eq!((received, text.len()), (number, number as usize * 1000));
        }
        assert_eq!(receiver.try_receive().expect("no error"), None);
    }

    #[test]
    fn bytes_left_over_are_an_error() {
        let (sender, receiver) = datagrams::<(u8, u8)>().expect("a channel");
        let mut receiver = DatagramReceiver::<u8> {
            object: None,
            socket: receiver.socket,
            buffer: receiver.buffer,
            message: PhantomData,
        };
        sender.send(&(1, 2)).expect("room");
        assert!(matches!(receiver.try_receive(), Err(Error::Codec { .. })));
        let sender = DatagramSender::<u8> { object: None, socket: sender.socket, message: PhantomData };
        sender.send(&3).expect("room");
        assert_eq!(receiver.try_receive().expect("well-formed"), Some(3));
    }

    #[test]
    fn send_of_a_long_message_is_refused() {
        let (sender, mut receiver) = datagrams::<String>().expect("a channel");
        assert!(matches!(sender.send(&"x".repeat(DATAGRAM_LIMIT)), Err(Error::TooLong { .. })));
        assert_eq!(receiver.try_receive().expect("no error"), None);
    }

    #[test]
    fn each_side_notices_that_the_other_is_gone() {
        let (sender, mut receiver) = datagrams::<u8>().expect("a channel");
        sender.send(&1).expect("room");
        drop(sender);
        assert_eq!(receiver.try_receive().expect("sent before"), Some(1));
        assert!(matches!(receiver.try_receive(), Err(Error::Disconnected)));
        let (sender, receiver) = datagrams::<u8>().expect("a channel");
        drop(receiver);
        assert!(matches!(sender.send(&1), Err(Error::Disconnected)));
    }
}
