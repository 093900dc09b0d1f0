//! What the users of a textbook queue know of each other: who they are, and whether the pipe can still be trusted.
//!
//! # State
//! `members` holds the slot of each user, 0 where there is none; a dead user's place is free. `shared` is set once the queue
//! was given to anybody. `reading` and `writing` are set by the holder of that lock while the pipe is not at the border of
//! two items; `torn` is set for good when such a holder died.
//!
//! # Ordering
//! `reading` and `writing` belong to the holder of their lock, which orders them. The other words are hints that are looked
//! at again within 100 ms.
//!
//! # Death
//! A flag that is found set by the next holder of its lock is a death in the middle of an item.

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

/// The board, and the place of this user on it.
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

    /// Whether there is or may be a user beside this one: while the queue is its maker's alone, another may be given it.
    pub(crate) fn is_connected(&self) -> bool {
        self.state.shared.load(Acquire) == 0 || self.has_others()
    }

    /// Whether a user beside this one lives.
    pub(crate) fn has_others(&self) -> bool {
        let lives = |member: &AtomicU32| self.is_alive(member.load(Acquire));
        self.state.members.iter().enumerate().any(|(place, member)| place != self.place && lives(member))
    }

    fn is_alive(&self, member: u32) -> bool {
        ProcessSlot::from_word(member).is_some_and(|slot| self.process_table.is_alive(slot))
    }

    /// Takes this user off the board. It gets and puts no more.
    pub(crate) fn leave(&self) {
        self.state.free_place(self.place, self.process_table.me());
    }

    /// Notes that the holder of a lock is in the middle of an item, or no longer.
    pub(crate) fn set_inside(&self, side: Side, inside: bool) {
        self.flag(side).store(u32::from(inside), Relaxed);
    }

    /// What the holder of a lock finds: an error if the pipe is torn, by the holder before it or earlier.
    pub(crate) fn check(&self, side: Side) -> Result<()> {
        if self.flag(side).load(Relaxed) != 0 {
            self.tear();
        }
        self.check_torn()
    }

    pub(crate) fn check_torn(&self) -> Result<()> {
        if self.state.torn.load(Acquire) == 0 { Ok(()) } else { Err(Error::Torn) }
    }

    /// Nobody can tell any more where an item begins.
    pub(crate) fn tear(&self) {
        self.state.torn.store(1, Release);
    }

    fn flag(&self, side: Side) -> &AtomicU32 {
        match side {
            Side::Reading => &self.state.reading,
            Side::Writing => &self.state.writing,
        }
    }

    /// Another user of this process.
    ///
    /// # Errors
    /// [`Error::ProcessTableFull`] if there is no place for it.
    pub(crate) fn another(&self) -> Result<Self> {
        ParticipantTable::join(self.state.clone(), self.process_table)
    }

    fn join(state: Mapping<ParticipantTableState>, process_table: &'static ProcessTable) -> Result<Self> {
        let place = state.take_place(process_table, process_table.me())?;
        Ok(ParticipantTable { state, process_table, place })
    }

    /// Takes a place for the process in `recipient`: it counts from now on. Returns what is sent.
    fn counted_for(&self, recipient: ProcessSlot) -> Result<(&Mapping<ParticipantTableState>, u32, u32)> {
        let place = self.state.take_place(self.process_table, recipient)?;
        let state = self.state.clone();
        let counted = transfer::counted(move || state.free_place(place, recipient));
        Ok((&self.state, place as u32, counted))
    }

    /// What arrived, as a user of its own, whose count has this number.
    fn received((state, place, counted): (Mapping<ParticipantTableState>, u32, u32)) -> Result<Self> {
        let participants = ParticipantTable::join(state, ProcessTable::ours()?)?;
        let (state, me) = (participants.state.clone(), participants.process_table.me());
        transfer::received(counted, move || state.free_place(place as usize % MEMBERS, me));
        Ok(participants)
    }
}

impl ParticipantTableState {
    /// Takes a free place, or one of a dead user, for the process in `slot`.
    fn take_place(&self, process_table: &ProcessTable, slot: ProcessSlot) -> Result<usize> {
        let is_alive = |member| ProcessSlot::from_word(member).is_some_and(|slot| process_table.is_alive(slot));
        let take = |member: &AtomicU32| {
            let holder = member.load(Acquire);
            !is_alive(holder) && member.compare_exchange(holder, slot.to_word(), AcqRel, Relaxed).is_ok()
        };
        let place = self.members.iter().position(take).ok_or(Error::ProcessTableFull { limit: MEMBERS })?;
        self.shared.store(1, Release);
        Ok(place)
    }

    /// Frees a place of the process in `slot`.
    fn free_place(&self, place: usize, slot: ProcessSlot) {
        // Fails if somebody took over the place of a dead user meanwhile: then it is theirs.
        let _ = self.members[place].compare_exchange(slot.to_word(), 0, AcqRel, Relaxed);
    }
}

sent_in_roles!(
    [] ParticipantTable, "a board", |participants, recipient| participants.counted_for(recipient),
    |parts: (Mapping<ParticipantTableState>, u32, u32)| ParticipantTable::received(parts)
);
