//! Shared knowledge of the participants of a pipe queue: which processes they are, and whether the pipe is intact.
//!
//! # State
//! Every handle is counted among the queue's [`Participants`], with both rights. `shared` is set once there was a second
//! handle. `reading` and `writing` are set by the holder of that lock while the pipe is not at an item boundary; `torn`
//! is set for good when such a holder died.
//!
//! # Ordering
//! `reading` and `writing` belong to the holder of their lock, which orders them. The other words are hints that are
//! rechecked within 100 ms.
//!
//! # Death
//! A flag that the next holder of its lock finds set means a death in the middle of an item.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer::{self, sent_in_roles};
use crate::ipc::queue::participants::{Participants, Right, Rights};
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
        participants: Participants,
    }
}

/// A counted participant of a queue, and what all of them know.
pub(crate) struct Participant {
    pub(crate) state: Mapping<PipeQueueState>,
    process_table: &'static ProcessTable,
    /// 1 once it is no longer counted.
    has_left: AtomicU32,
}

impl Participant {
    pub(crate) fn new(capacity: u32) -> Result<Self> {
        let init = |state: &PipeQueueState| {
            state.capacity.store(capacity, Relaxed);
            Ok(())
        };
        let participant = Participant::joined(Mapping::create(0, init).map_err(os("make a queue"))?)?;
        participant.state.shared.store(0, Relaxed);
        Ok(participant)
    }

    /// Creates and counts a participant in this process.
    fn joined(state: Mapping<PipeQueueState>) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        state.count(process_table, process_table.me())?;
        Ok(Participant { state, process_table, has_left: AtomicU32::new(0) })
    }

    /// Creates another participant in this process.
    ///
    /// # Errors
    /// [`Error::TooManyMembers`] if no more can be counted.
    pub(crate) fn another(&self) -> Result<Self> {
        Participant::joined(self.state.clone())
    }

    /// Returns whether there is or may be another participant: as long as the queue is its creator's alone, it may
    /// still be shared.
    pub(crate) fn is_connected(&self) -> bool {
        self.state.shared.load(Acquire) == 0 || self.has_others()
    }

    /// Returns whether another participant is alive.
    pub(crate) fn has_others(&self) -> bool {
        let own = u64::from(self.has_left.load(Relaxed) == 0);
        self.state.participants.find(self.process_table, Right::Get, self.process_table.me(), own).is_some()
    }

    /// Uncounts this participant, once. It gets and puts no more.
    pub(crate) fn leave(&self) {
        // Stored first: while only one of the two is done, it may look as if there were another participant, which is
        // checked again, but never as if there were none.
        self.has_left.store(1, Relaxed);
        self.state.participants.leave(self.process_table.me(), Rights::BOTH);
    }

    /// Called by the holder of a lock, with its flag. Returns an error if the pipe is torn, by the previous holder or
    /// earlier.
    pub(crate) fn check(&self, inside: &AtomicU32) -> Result<()> {
        if inside.load(Relaxed) != 0 {
            self.tear();
        }
        self.check_torn()
    }

    pub(crate) fn check_torn(&self) -> Result<()> {
        if self.state.torn.load(Acquire) == 0 { Ok(()) } else { Err(Error::Torn) }
    }

    /// Marks the pipe torn: item boundaries are lost.
    pub(crate) fn tear(&self) {
        self.state.torn.store(1, Release);
    }

    /// Counts a participant of the process in `recipient`, before it is sent. Returns what is sent.
    fn counted_for(&self, recipient: ProcessSlot) -> Result<(&Mapping<PipeQueueState>, u32)> {
        self.state.count(self.process_table, recipient)?;
        let state = self.state.clone();
        Ok((&self.state, transfer::counted(move || state.participants.leave(recipient, Rights::BOTH))))
    }

    fn received((state, counted): (Mapping<PipeQueueState>, u32)) -> Result<Self> {
        let participant = Participant::joined(state)?;
        let (state, me) = (participant.state.clone(), participant.process_table.me());
        transfer::received(counted, move || state.participants.leave(me, Rights::BOTH));
        Ok(participant)
    }
}

impl PipeQueueState {
    fn count(&self, process_table: &ProcessTable, slot: ProcessSlot) -> Result<()> {
        self.participants.join(process_table, slot, Rights::BOTH)?;
        self.shared.store(1, Release);
        Ok(())
    }
}

sent_in_roles!(
    [] Participant, "a PipeQueue", |participant, recipient| participant.counted_for(recipient),
    |parts: (Mapping<PipeQueueState>, u32)| Participant::received(parts)
);
