//! The sending half of a connection: whole messages, and the rest of one that could not be sent in time.
//!
//! # State
//! `unsent` is the remaining part in `buffer` of a message whose beginning is already sent; it goes before anything
//! else.
//!
//! # Death
//! A message of up to 4,092 bytes is one atomic write: a process killed while sending has sent all of it or nothing. A
//! longer one can be cut off, which its receiver gets as end-of-file inside the message.

use std::io::{ErrorKind, IoSlice};
use std::ops::Range;

use serde::Serialize;

use super::frame;
use crate::ipc::codec;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{self, Error, Result, check_len, os};
use crate::sys::stream::{ATOMIC_WRITE, Stream};

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    buffer: Vec<u8>,
    unsent: Range<usize>,
    /// Length of the frame that `unsent` belongs to.
    half_sent: usize,
}

/// Encodes the frame of `value` into `buffer`. The frame is the returned range; its body begins at [`frame::LONG`].
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, limit: usize, buffer: &mut Vec<u8>) -> Result<Range<usize>> {
    buffer.clear();
    buffer.shrink_to(frame::KEPT);
    // The length is known only after the body: reserve room for the longest header, and put the header at its end.
    buffer.extend_from_slice(&[0; frame::LONG]);
    codec::write(value, buffer).map_err(error::codec("serialise a message"))?;
    let body = buffer.len() - frame::LONG;
    check_len(body, limit)?;
    let (header, len) = frame::header(body);
    let start = frame::LONG - len;
    buffer[start..frame::LONG].copy_from_slice(&header[..len]);
    Ok(start..buffer.len())
}

impl Outgoing {
    /// Sends `value`; returns `false` if the timeout passed before a byte of it was sent.
    #[inline]
    pub(crate) fn send<T: Serialize + ?Sized>(
        &mut self,
        stream: &Stream,
        value: &T,
        limit: usize,
        deadline: Deadline,
    ) -> Result<bool> {
        if !self.flush(stream, deadline)? {
            return Ok(false);
        }
        let frame = encode(value, limit, &mut self.buffer)?;
        let buffer = std::mem::take(&mut self.buffer);
        let sent = self.transmit(stream, &[], &buffer[frame], deadline);
        if self.unsent.is_empty() {
            self.buffer = buffer;
        }
        sent
    }

    /// Sends `body` unchanged; otherwise as [`send`](Self::send).
    pub(crate) fn send_bytes(
        &mut self,
        stream: &Stream,
        body: &[u8],
        limit: usize,
        deadline: Deadline,
    ) -> Result<bool> {
        check_len(body.len(), limit)?;
        if !self.flush(stream, deadline)? {
            return Ok(false);
        }
        let (header, len) = frame::header(body.len());
        let header = &header[..len];
        // Copied into one piece while that is cheaper than passing the kernel two.
        if header.len() + body.len() <= ATOMIC_WRITE {
            let mut whole = [0; ATOMIC_WRITE];
            let whole = &mut whole[..header.len() + body.len()];
            whole[..header.len()].copy_from_slice(header);
            whole[header.len()..].copy_from_slice(body);
            return self.transmit(stream, &[], whole, deadline);
        }
        self.transmit(stream, header, body, deadline)
    }

    /// Sends the rest of a half-sent message; returns `false` on timeout.
    #[inline]
    pub(crate) fn flush(&mut self, stream: &Stream, deadline: Deadline) -> Result<bool> {
        while !self.unsent.is_empty() {
            match stream.write(&[IoSlice::new(&self.buffer[self.unsent.clone()])], deadline.at_ns()) {
                Ok(Some(count)) => self.unsent.start += count,
                Ok(None) => return Ok(false),
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(true)
    }

    /// Checks that this end can be sent to a worker: not while a message is half sent, which the new holder could not
    /// finish.
    pub(crate) fn whole(&self) -> Result<()> {
        match self.unsent.len() {
            0 => Ok(()),
            left => Err(Error::HalfSent { sent: self.half_sent - left, bytes: self.half_sent }),
        }
    }

    /// Sends header and body, with no earlier message pending. What is not sent in time becomes `unsent`.
    #[inline]
    fn transmit(&mut self, stream: &Stream, header: &[u8], body: &[u8], deadline: Deadline) -> Result<bool> {
        let bytes = header.len() + body.len();
        let mut sent = 0;
        while sent < bytes {
            let (header, body) = (&header[sent.min(header.len())..], &body[sent.saturating_sub(header.len())..]);
            let both = [IoSlice::new(header), IoSlice::new(body)];
            let parts = if header.is_empty() { &both[1..] } else { &both[..] };
            match stream.write(parts, deadline.at_ns()) {
                Ok(Some(count)) => sent += count,
                Ok(None) if sent == 0 => return Ok(false),
                Ok(None) => {
                    self.buffer.clear();
                    self.buffer.extend_from_slice(header);
                    self.buffer.extend_from_slice(body);
                    self.unsent = 0..self.buffer.len();
                    self.half_sent = bytes;
                    return Err(Error::HalfSent { sent, bytes });
                }
                Err(error) => return Err(refused(error)),
            }
        }
        Ok(true)
    }
}

pub(crate) fn refused(error: std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::BrokenPipe => Error::BrokenPipe,
        ErrorKind::ConnectionReset => Error::ConnectionReset,
        _ => os("send a message")(error),
    }
}
