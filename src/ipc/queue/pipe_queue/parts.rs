//! What the participants of a pipe queue share: the pipe and its locks. One item at a time passes each end.
//!
//! # Death
//! The holder of an end's lock sets a flag on the [`Participant`] while it is inside an item; the next holder
//! finds it. A reader that waits inside an item learns that its writer is dead when it acquires the write lock, which a
//! writer keeps until the item is complete.

use std::io::IoSlice;
use std::sync::Mutex;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::participants::Participant;
use crate::ipc::deadline::{Deadline, LOOK_EVERY};
use crate::ipc::error::{Error, Result, os};
use crate::ipc::pipe::connection::MESSAGE_LIMIT;
use crate::ipc::pipe::incoming::Incoming;
use crate::ipc::pipe::outgoing::refused;
use crate::ipc::queue::participants::Rights;
use crate::ipc::sync::lock::Lock;
use crate::ipc::sync::lock_state::RawGuard;
use crate::ipc::sync::semaphore::BoundedSemaphore;
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::fd::wait_readable;
use crate::sys::stream::{ATOMIC_WRITE, Stream};

/// What the participants of a queue share.
#[derive(Serialize, Deserialize)]
pub(crate) struct Parts {
    reading: Stream,
    writing: Stream,
    read_lock: Lock,
    write_lock: Lock,
    pub(crate) slots: BoundedSemaphore,
    pub(crate) participant: Participant,
    /// Used by the holder of the read lock; empty between two items.
    #[serde(skip, default = "Parts::no_message")]
    incoming: Mutex<Incoming>,
}

impl Parts {
    pub(crate) fn new(capacity: u32) -> Result<Self> {
        let (reading, writing) = Stream::pipe().map_err(os("make the pipe of a queue"))?;
        Ok(Parts {
            reading,
            writing,
            read_lock: Lock::new()?,
            write_lock: Lock::new()?,
            slots: BoundedSemaphore::new(capacity)?,
            participant: Participant::new(capacity)?,
            incoming: Parts::no_message(),
        })
    }

    /// Reads one item under the read lock. `expects_own`: whether items may still come from this handle, or why waiting
    /// is pointless.
    pub(crate) fn read(&self, deadline: Deadline, expects_own: impl Fn() -> Result<bool>) -> Result<Option<Vec<u8>>> {
        let _turn = loop {
            match lock(&self.read_lock, deadline.or_after(LOOK_EVERY))? {
                Some(turn) => break turn,
                None if deadline.has_passed() => return Ok(None),
                None => expects_own()?,
            };
        };
        let reading = &self.participant.reading;
        self.participant.check(reading)?;
        while !self.has_arrived(deadline.or_after(LOOK_EVERY))? {
            self.participant.check_torn()?;
            let expects_own = expects_own()?;
            // A producer that has left may have put its last item after the look into the pipe.
            if !self.participant.is_connected(Rights::PUT)
                && !expects_own
                && !self.has_arrived(Deadline::after(Duration::ZERO))?
            {
                return Err(Error::Disconnected);
            }
            if deadline.has_passed() {
                return Ok(None);
            }
        }
        reading.store(1, Relaxed);
        let message = self.read_begun()?;
        reading.store(0, Relaxed);
        // It cannot be one too many: every item acquired a permit.
        let _ = self.slots.release();
        Ok(Some(message))
    }

    /// Reads an item that has begun to arrive. Its writer holds the write lock until it is complete.
    fn read_begun(&self) -> Result<Vec<u8>> {
        let mut incoming = self.incoming.lock().expect("nothing panics while it holds the lock");
        while !incoming.receive(&self.reading, MESSAGE_LIMIT, Deadline::after(LOOK_EVERY))? {
            self.participant.check_torn()?;
            if let Some(_writer_is_gone) = self.write_lock.try_acquire()?
                && !self.has_arrived(Deadline::after(Duration::ZERO))?
            {
                self.participant.tear();
                return Err(Error::Torn);
            }
        }
        Ok(incoming.message_vec())
    }

    /// Writes one frame under the write lock, unless it is abandoned.
    pub(crate) fn write(&self, frame: &[u8], gives_up: impl Fn() -> bool) -> Result<()> {
        let _turn = loop {
            match lock(&self.write_lock, Deadline::after(LOOK_EVERY))? {
                Some(turn) => break turn,
                None if gives_up() => return Err(Error::Disconnected),
                None => {}
            }
        };
        let writing = &self.participant.writing;
        self.participant.check(writing)?;
        // A short one is written to the pipe atomically.
        let can_tear = frame.len() > ATOMIC_WRITE;
        writing.store(can_tear.into(), Relaxed);
        let mut rest = frame;
        while !rest.is_empty() {
            let written = self.writing.write(&[IoSlice::new(rest)], Deadline::after(LOOK_EVERY).at_ns());
            match written.map_err(refused)? {
                Some(count) => rest = &rest[count..],
                None => {
                    self.participant.check_torn()?;
                    if gives_up() {
                        if rest.len() < frame.len() {
                            self.participant.tear();
                        }
                        writing.store(0, Relaxed);
                        return Err(Error::Disconnected);
                    }
                }
            }
        }
        writing.store(0, Relaxed);
        Ok(())
    }

    pub(crate) fn has_arrived(&self, deadline: Deadline) -> Result<bool> {
        wait_readable(&self.reading, deadline.at_ns()).map_err(os("wait for an item"))
    }

    /// Returns the parts for another participant in this process.
    pub(crate) fn another(&self) -> Self {
        Parts {
            reading: self.reading.clone(),
            writing: self.writing.clone(),
            read_lock: self.read_lock.clone(),
            write_lock: self.write_lock.clone(),
            slots: self.slots.clone(),
            participant: self.participant.another(),
            incoming: Parts::no_message(),
        }
    }

    fn no_message() -> Mutex<Incoming> {
        Mutex::new(Incoming::exact())
    }
}

fn lock(lock: &Lock, deadline: Deadline) -> Result<Option<RawGuard<'_>>> {
    lock.state().acquire_within(deadline.left(), false)
}
