//! The receiving half of a connection: reads until a message is complete, and keeps an incomplete one.
//!
//! # State
//! A [`Decoder`] with the bytes that were read. If it is the only reader of its stream, it reads ahead, so that many
//! small messages cost one system call; otherwise it reads header and body separately and never a byte beyond the
//! message. A reader that reads ahead is faster than the sender, and each of its sleeps would cost the sender a wake.
//! So once a read brought several messages, the next read is delayed for a moment, so that it brings several again.
//!
//! # Death
//! End-of-file inside a message is a separate error and remains one: half a message is never returned.

use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::frame::{BadLength, Decoder};
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, os};
use crate::sys::fd::wait_readable;
use crate::sys::stream::Stream;

/// Messages per read from which on they count as a stream, with more expected immediately. In a dialogue each read
/// brings one.
const STREAM: u32 = 2;
const LONG_ENOUGH: Duration = Duration::from_micros(10);

#[derive(Debug)]
pub(crate) struct Incoming {
    decoder: Decoder,
    /// Whether this is the only reader of this end. Cleared permanently when the end is cloned.
    alone: AtomicBool,
    failed: Option<BadLength>,
    /// Messages found since the last read.
    found: u32,
}

impl Incoming {
    /// For the only reader of a stream.
    pub(crate) fn alone() -> Self {
        Incoming { alone: AtomicBool::new(true), ..Incoming::exact() }
    }

    /// For one of several readers, or if that is unknown.
    pub(crate) fn exact() -> Self {
        Incoming { decoder: Decoder::default(), alone: AtomicBool::new(false), failed: None, found: 0 }
    }

    /// Reads until a complete message is available; returns `false` on timeout. Then the next call continues.
    #[inline]
    pub(crate) fn receive(&mut self, stream: &Stream, limit: usize, deadline: Deadline) -> Result<bool> {
        if let Some(failed) = self.failed {
            return Err(failed.into());
        }
        loop {
            match self.decoder.has_message(limit) {
                Ok(true) => {
                    self.found = self.found.saturating_add(1);
                    return Ok(true);
                }
                Ok(false) => {}
                Err(bad) => {
                    self.failed = Some(bad);
                    return Err(bad.into());
                }
            }
            let exact = !self.alone.load(Relaxed);
            if std::mem::take(&mut self.found) >= STREAM && self.decoder.inside() == 0 {
                let_messages_gather();
            }
            match stream.read(self.decoder.room(exact), deadline.at_ns()) {
                Ok(None) => return Ok(false),
                Ok(Some(0)) => return Err(self.end()),
                Ok(Some(count)) => self.decoder.filled(count),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Err(Error::ConnectionReset),
                Err(error) => return Err(os("receive a message")(error)),
            }
        }
    }

    /// Returns the message that [`receive`](Self::receive) found.
    #[inline]
    pub(crate) fn message(&mut self) -> &[u8] {
        self.decoder.message()
    }

    /// Returns it as a vector.
    pub(crate) fn message_vec(&mut self) -> Vec<u8> {
        self.decoder.message_vec()
    }

    /// Returns whether there is something to receive, without a read.
    pub(crate) fn is_ready(&self, limit: usize) -> bool {
        self.failed.is_some() || self.decoder.is_ready(limit)
    }

    /// Blocks until there is something to receive: a message or a part of one, or the end of the stream.
    pub(crate) fn poll(&self, stream: &Stream, limit: usize, deadline: Deadline) -> Result<bool> {
        if self.is_ready(limit) {
            return Ok(true);
        }
        wait_readable(stream.as_fd(), deadline.at_ns()).map_err(os("wait for a message"))
    }

    fn end(&self) -> Error {
        match self.decoder.inside() {
            0 => Error::EndOfFile,
            received => Error::EndOfFileInsideMessage { received },
        }
    }

    /// Creates the half of another reader of this stream, unless this one has read ahead.
    pub(crate) fn try_clone(&self) -> Result<Self> {
        match self.decoder.leftover().len() {
            0 => {
                self.alone.store(false, Relaxed);
                Ok(Incoming::exact())
            }
            bytes => Err(Error::ReadAhead { bytes }),
        }
    }
}

/// Data read ahead is sent along.
impl Serialize for Incoming {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        (self.alone.load(Relaxed), self.decoder.leftover()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Incoming {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let (alone, ahead) = Deserialize::deserialize(deserializer)?;
        Ok(Incoming { decoder: Decoder::resume(ahead), alone: AtomicBool::new(alone), failed: None, found: 0 })
    }
}

/// Lets the sender run for a moment: a microsecond if no other thread wants the processor.
#[cold]
fn let_messages_gather() {
    let start = Instant::now();
    // Measured with 14-byte messages, two cores: 1.4 M/s without, 1.5 with one, 2.3 with two, 3.7 with four, 3.6 with eight.
    for _ in 0..4 {
        thread::yield_now();
        // Another thread had the processor, so the sender had time to run.
        if start.elapsed() > LONG_ENOUGH {
            break;
        }
    }
}

impl From<BadLength> for Error {
    fn from(BadLength { announced, limit }: BadLength) -> Self {
        Error::BadMessageLength { announced, limit }
    }
}
