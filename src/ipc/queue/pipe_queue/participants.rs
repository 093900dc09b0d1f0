//! Shared knowledge of the participants of a pipe queue: which processes they are, and whether the pipe is intact.
//!
//! # State
//! Every handle is counted among the queue's [`Members`], with both rights; once it is closed, with the right to put until
//! its items are in the pipe. `shared` is set once there has been a
//! second handle. `reading` and `writing` are set by the holder of that lock while the pipe is not at an item boundary;
//! `torn` is set permanently when such a holder dies.
//!
//! # Ordering
//! `reading` and `writing` belong to the holder of their lock, which orders them. The other words are hints that are
//! rechecked within 100 ms.
//!
//! # Death
//! A flag that the next holder of its lock finds set means a death in the middle of an item.

use std::ops::Deref;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::members::Members;
use crate::ipc::process::table::ProcessSlot;
use crate::ipc::process::transfer::sent_in_roles;
use crate::ipc::queue::participants::{Counted, Handle, Rights, Sent};
use crate::sys::atomic::AtomicU32;
use crate::sys::shm::{Mapping, shared_layout};

shared_layout! {
    pub(crate) struct PipeQueueState = b"pipequeu" {
        pub(crate) capacity: AtomicU32,
        shared: AtomicU32,
        pub(crate) reading: AtomicU32,
        pub(crate) writing: AtomicU32,
        torn: AtomicU32,
        padding: AtomicU32,
        members: Members,
    }
}

impl Counted for PipeQueueState {
    fn members(&self) -> &Members {
        &self.members
    }
}

/// A counted handle of a queue, and the shared state of all handles.
pub(crate) struct Participant(Handle<PipeQueueState>);

impl Deref for Participant {
    type Target = PipeQueueState;

    fn deref(&self) -> &PipeQueueState {
        &self.0.shared
    }
}

impl Participant {
    pub(crate) fn new(capacity: u32) -> Result<Self> {
        let init = |state: &PipeQueueState| {
            state.capacity.store(capacity, Relaxed);
            Ok(())
        };
        Handle::new(Mapping::create(0, init).map_err(os("make a queue"))?, Rights::BOTH).map(Participant)
    }

    /// Creates another participant in this process.
    pub(crate) fn another(&self) -> Self {
        self.shared.store(1, Release);
        Participant(self.0.another(Rights::BOTH))
    }

    fn counted_for(&self, recipient: ProcessSlot) -> Result<Sent<&Mapping<PipeQueueState>>> {
        let sent = self.0.counted_for(recipient)?;
        self.shared.store(1, Release);
        Ok(sent)
    }

    /// Returns whether there is or may be another participant with `right`: as long as the queue is its creator's alone,
    /// it may still be shared.
    pub(crate) fn is_connected(&self, right: Rights) -> bool {
        self.shared.load(Acquire) == 0 || self.has_others(right)
    }

    /// Returns whether another participant with `right` is alive.
    pub(crate) fn has_others(&self, right: Rights) -> bool {
        self.0.has_other_handle(right)
    }

    /// Gives up `rights` permanently.
    pub(crate) fn give_up(&self, rights: Rights) {
        self.0.give_up(rights);
    }

    /// Called by the holder of a lock, with the lock's flag. Returns an error if the previous holder or an earlier one
    /// left the pipe torn.
    pub(crate) fn check(&self, inside: &AtomicU32) -> Result<()> {
        if inside.load(Relaxed) != 0 {
            self.tear();
        }
        self.check_torn()
    }

    pub(crate) fn check_torn(&self) -> Result<()> {
        if self.torn.load(Acquire) == 0 { Ok(()) } else { Err(Error::Torn) }
    }

    /// Marks the pipe torn: item boundaries are lost.
    pub(crate) fn tear(&self) {
        self.torn.store(1, Release);
    }
}

sent_in_roles!(
    [] Participant, "a PipeQueue", |participant, recipient| participant.counted_for(recipient),
    |sent: Sent<Mapping<PipeQueueState>>| Handle::received(sent).map(Participant)
);
