//! What the users of a textbook queue know of each other: who they are, and whether the pipe can still be trusted.
//!
//! # State
//! `members` holds the seat of each user, 0 where there is none; a dead user's place is free. `shared` is set once the queue
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
use crate::ipc::processes::family::{Family, Seat};
use crate::ipc::processes::transfer::{self, sent_in_roles};
use crate::sys::atomic::AtomicU32;
use crate::sys::shm::{Mapping, shared_layout};

const MEMBERS: usize = 4096;

shared_layout! {
    struct BoardState = b"board   " {
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
pub(crate) struct Board {
    state: Mapping<BoardState>,
    family: &'static Family,
    place: usize,
}

/// Which of the two locks a flag belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Side {
    Reading,
    Writing,
}

impl Board {
    pub(crate) fn new(capacity: u32) -> Result<Self> {
        let family = Family::ours()?;
        let init = |state: &BoardState| {
            state.capacity.store(capacity, Relaxed);
            state.members[0].store(family.me().to_word(), Relaxed);
            Ok(())
        };
        let state = Mapping::create(0, init).map_err(os("make a queue"))?;
        Ok(Board { state, family, place: 0 })
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
        Seat::from_word(member).is_some_and(|seat| self.family.is_alive(seat))
    }

    /// Takes this user off the board. It gets and puts no more.
    pub(crate) fn leave(&self) {
        self.state.free_place(self.place, self.family.me());
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
    /// [`Error::FamilyFull`] if there is no place for it.
    pub(crate) fn another(&self) -> Result<Self> {
        Board::join(self.state.clone(), self.family)
    }

    fn join(state: Mapping<BoardState>, family: &'static Family) -> Result<Self> {
        let place = state.take_place(family, family.me())?;
        Ok(Board { state, family, place })
    }

    /// Takes a place for the process in `recipient`: it counts from now on. Returns what is sent.
    fn counted_for(&self, recipient: Seat) -> Result<(&Mapping<BoardState>, u32, u32)> {
        let place = self.state.take_place(self.family, recipient)?;
        let state = self.state.clone();
        let counted = transfer::counted(move || state.free_place(place, recipient));
        Ok((&self.state, place as u32, counted))
    }

    /// What arrived, as a user of its own, whose count has this number.
    fn received((state, place, counted): (Mapping<BoardState>, u32, u32)) -> Result<Self> {
        let board = Board::join(state, Family::ours()?)?;
        let (state, me) = (board.state.clone(), board.family.me());
        transfer::received(counted, move || state.free_place(place as usize % MEMBERS, me));
        Ok(board)
    }
}

impl BoardState {
    /// Takes a free place, or one of a dead user, for the process in `seat`.
    fn take_place(&self, family: &Family, seat: Seat) -> Result<usize> {
        let is_alive = |member| Seat::from_word(member).is_some_and(|seat| family.is_alive(seat));
        let take = |member: &AtomicU32| {
            let holder = member.load(Acquire);
            !is_alive(holder) && member.compare_exchange(holder, seat.to_word(), AcqRel, Relaxed).is_ok()
        };
        let place = self.members.iter().position(take).ok_or(Error::FamilyFull { limit: MEMBERS })?;
        self.shared.store(1, Release);
        Ok(place)
    }

    /// Frees a place of the process in `seat`.
    fn free_place(&self, place: usize, seat: Seat) {
        // Fails if somebody took over the place of a dead user meanwhile: then it is theirs.
        let _ = self.members[place].compare_exchange(seat.to_word(), 0, AcqRel, Relaxed);
    }
}

sent_in_roles!(
    [] Board, "a board", |board, recipient| board.counted_for(recipient),
    |parts: (Mapping<BoardState>, u32, u32)| Board::received(parts)
);
