//! Shared knowledge of the participants of a pipe queue: which processes they are, and whether the pipe is intact.
//!
//! # State
//! `members` holds the slot of each participant, 0 if free; a dead participant's entry counts as free. `shared` is set
//! once the queue was sent to another process. `reading` and `writing` are set by the holder of that lock while the
//! pipe is not at an item boundary; `torn` is set for good when such a holder died.
//!
//! # Ordering
//! `reading` and `writing` belong to the holder of their lock, which orders them. The other words are hints that are
//! rechecked within 100 ms.
//!
//! # Death
//! A flag that the next holder of its lock finds set means a death in the middle of an item.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::ipc::error::{Error, Result, os};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::ipc::process::transfer::{self, sent_in_roles};
use crate::sys::atomic::AtomicU32;
use crate::sys::shm::{Mapping, shared_layout};

const MEMBERS: usize = 4096;

shared_layout! {
    struct ParticipantTableState = b"board   " {
        capacity: AtomicU32,
        shared: AtomicU32,
        reading: AtomicU32,
        writing: AtomicU32,
        torn: AtomicU32,
        padding: AtomicU32,
        members: [AtomicU32; MEMBERS],
    }
}

/// The participant table, and this participant's entry in it.
pub(crate) struct ParticipantTable {
    state: Mapping<ParticipantTableState>,
    process_table: &'static ProcessTable,
    place: usize,
}

/// Which of the two locks a flag belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Reading,
    Writing,
}

impl ParticipantTable {
    pub(crate) fn new(capacity: u32) -> Result<Self> {
        let process_table = ProcessTable::ours()?;
        let init = |state: &ParticipantTableState| {
            state.capacity.store(capacity, Relaxed);
            state.members[0].store(process_table.me().to_word(), Relaxed);
            Ok(())
        };
        let state = Mapping::create(0, init).map_err(os("make a queue"))?;
        Ok(ParticipantTable { state, process_table, place: 0 })
    }

    pub(crate) fn capacity(&self) -> u32 {
        self.state.capacity.load(Relaxed)
    }

    /// Returns whether there is or may be another participant: as long as the queue is its creator's alone, it may
    /// still be shared.
    pub(crate) fn is_connected(&self) -> bool {
        self.state.shared.load(Acquire) == 0 || self.has_others()
    }

    /// Returns whether another participant is alive.
    pub(crate) fn has_others(&self) -> bool {
        let lives = |member: &AtomicU32| self.process_table.is_living(member.load(Acquire));
        self.state.members.iter().enumerate().any(|(place, member)| place != self.place && lives(member))
    }

    /// Removes this participant from the table. It gets and puts no more.
    pub(crate) fn leave(&self) {
        self.state.free_place(self.place, self.process_table.me());
    }

    /// Records whether the holder of a lock is in the middle of an item.
    pub(crate) fn set_inside(&self, side: Side, inside: bool) {
        self.flag(side).store(u32::from(inside), Relaxed);
    }

    /// Called with a lock held. Returns an error if the pipe is torn, by the previous holder or earlier.
    pub(crate) fn check(&self, side: Side) -> Result<()> {
        if self.flag(side).load(Relaxed) != 0 {
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

    fn flag(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Reading => &self.state.reading,
            Side::Writing => &self.state.writing,
        }
    }

    /// Creates another participant in this process.
    ///
    /// # Errors
    /// [`Error::TooManyMembers`] if there is no free entry.
    pub(crate) fn another(&self) -> Result<Self> {
        ParticipantTable::join(self.state.clone(), self.process_table)
    }

    fn join(state: Mapping<ParticipantTableState>, process_table: &'static ProcessTable) -> Result<Self> {
        let place = state.take_place(process_table, process_table.me())?;
        Ok(ParticipantTable { state, process_table, place })
    }

    /// Reserves an entry for the process in `recipient`, which counts from now on. Returns what is sent.
    fn counted_for(&self, recipient: ProcessSlot) -> Result<(&Mapping<ParticipantTableState>, u32, u32)> {
        let place = self.state.take_place(self.process_table, recipient)?;
        let state = self.state.clone();
        let counted = transfer::counted(move || state.free_place(place, recipient));
        Ok((&self.state, place as u32, counted))
    }

    /// Creates a participant from what this process received; `counted` is its count's number.
    fn received((state, place, counted): (Mapping<ParticipantTableState>, u32, u32)) -> Result<Self> {
        let participants = ParticipantTable::join(state, ProcessTable::ours()?)?;
        let (state, me) = (participants.state.clone(), participants.process_table.me());
        transfer::received(counted, move || state.free_place(place as usize % MEMBERS, me));
        Ok(participants)
    }
}

impl ParticipantTableState {
    /// Takes over a free entry, or one of a dead participant, for the process in `slot`.
    fn take_place(&self, process_table: &ProcessTable, slot: ProcessSlot) -> Result<usize> {
        let take = |member: &AtomicU32| {
            let holder = member.load(Acquire);
            !process_table.is_living(holder) && member.compare_exchange(holder, slot.to_word(), AcqRel, Relaxed).is_ok()
        };
        let place = self.members.iter().position(take).ok_or(Error::TooManyMembers { limit: MEMBERS })?;
        self.shared.store(1, Release);
        Ok(place)
    }

    /// Frees an entry of the process in `slot`.
    fn free_place(&self, place: usize, slot: ProcessSlot) {
        // Fails if another process took over the entry of a dead participant meanwhile: then it is theirs.
        let _ = self.members[place].compare_exchange(slot.to_word(), 0, AcqRel, Relaxed);
    }
}

sent_in_roles!(
    [] ParticipantTable, "a board", |participants, recipient| participants.counted_for(recipient),
    |parts: (Mapping<ParticipantTableState>, u32, u32)| ParticipantTable::received(parts)
);
