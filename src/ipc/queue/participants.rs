//! Counts the processes that can still put into a queue, and those that can still get from it.
//!
//! # State
//! One word for each process that has handles: `slot << 32 | handles that put << 16 | handles that get`, 0 if free. A
//! word changes as a whole, and each handle is counted exactly once: where it is created, where it is sent (for the
//! recipient's slot, before the child runs), and where it is dropped.
//!
//! # Ordering
//! A leaving process changes its word, then checks for sleepers; a waiter announces itself, then checks the words. Both
//! are `SeqCst`, so at least one of the two sees the other.
//!
//! # Death
//! A dead process's word stays but no longer counts, because its slot is dead. A process that needs a free word reuses
//! it.
//!
//! # Standard
//! The semantics of a pipe's descriptors: end-of-file when the last writer is gone, EPIPE when the last reader is gone.

use serde::{Deserialize, Serialize};

use crate::ipc::error::{Error, Result};
use crate::ipc::process::table::{ProcessSlot, ProcessTable, SLOTS};
use crate::sys::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use crate::sys::shm::shared_layout;

shared_layout! {
    /// The table in shared memory.
    pub(crate) struct Participants {
        /// No word at or above this index was ever used.
        high: AtomicU32,
        padding: AtomicU32,
        words: [AtomicU64; SLOTS],
    }
}

/// What a handle may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Right {
    Put,
    Get,
}

/// The rights of one handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Rights {
    pub(crate) put: bool,
    pub(crate) get: bool,
}

impl Rights {
    fn one_handle(self) -> u64 {
        u64::from(self.put) << PUT_SHIFT | u64::from(self.get)
    }

    pub(crate) fn has(self, right: Right) -> bool {
        match right {
            Right::Put => self.put,
            Right::Get => self.get,
        }
    }
}

const SEAT_SHIFT: u32 = 32;
const PUT_SHIFT: u32 = 16;
const MOST_HANDLES: u64 = 0xFFFF;

fn slot_of(word: u64) -> Option<ProcessSlot> {
    ProcessSlot::from_word((word >> SEAT_SHIFT) as u32)
}

fn handles(word: u64, right: Right) -> u64 {
    match right {
        Right::Put => word >> PUT_SHIFT & MOST_HANDLES,
        Right::Get => word & MOST_HANDLES,
    }
}

impl Participants {
    /// Counts one more handle of the process in `slot`.
    pub(crate) fn join(&self, process_table: &ProcessTable, slot: ProcessSlot, rights: Rights) -> Result<()> {
        if rights == Rights::default() {
            return Ok(());
        }
        if self.change(slot, |word| {
            let fits = |right| !rights.has(right) || handles(word, right) < MOST_HANDLES;
            (fits(Right::Put) && fits(Right::Get)).then(|| word + rights.one_handle())
        }) {
            return Ok(());
        }
        let fresh = u64::from(slot.to_word()) << SEAT_SHIFT | rights.one_handle();
        for (index, place) in self.words.iter().enumerate() {
            let now = place.load(SeqCst);
            if slot_of(now).is_some_and(|owner| process_table.is_alive(owner)) {
                continue;
            }
            // Raised first: a word beyond it would not be seen.
            self.high.fetch_max(index as u32 + 1, SeqCst);
            if place.compare_exchange(now, fresh, SeqCst, SeqCst).is_ok() {
                return Ok(());
            }
        }
        Err(Error::ProcessTableFull { limit: SLOTS })
    }

    /// Uncounts one handle of the process in `slot`.
    pub(crate) fn leave(&self, slot: ProcessSlot, rights: Rights) {
        if rights == Rights::default() {
            return;
        }
        let left = self.change(slot, |word| {
            let counted = |right| !rights.has(right) || handles(word, right) > 0;
            (counted(Right::Put) && counted(Right::Get)).then(|| match word - rights.one_handle() {
                rest if rest << SEAT_SHIFT == 0 => 0,
                rest => rest,
            })
        });
        debug_assert!(left, "every handle was counted when it was made");
    }

    /// Applies `change` to the first word of `slot` that it accepts.
    fn change(&self, slot: ProcessSlot, change: impl Fn(u64) -> Option<u64>) -> bool {
        self.used().any(|place| {
            let of_seat = |word| if slot_of(word) == Some(slot) { change(word) } else { None };
            place.fetch_update(SeqCst, SeqCst, of_seat).is_ok()
        })
    }

    fn used(&self) -> impl Iterator<Item = &AtomicU64> {
        self.words.iter().take(self.high.load(SeqCst) as usize)
    }

    /// Returns the index of a word by which a living process has `right`, not counting `own` handles of `me`.
    pub(crate) fn find(&self, process_table: &ProcessTable, right: Right, me: ProcessSlot, own: u64) -> Option<usize> {
        self.used().position(|place| self.counts(process_table, place.load(SeqCst), right, me, own))
    }

    /// Returns whether the word at `index`, found by [`find`](Self::find), still shows it: a few loads.
    #[inline]
    pub(crate) fn still(
        &self,
        process_table: &ProcessTable,
        index: usize,
        right: Right,
        me: ProcessSlot,
        own: u64,
    ) -> bool {
        let word = self.words.get(index).map_or(0, |place| place.load(Relaxed));
        self.counts(process_table, word, right, me, own)
    }

    #[inline]
    fn counts(&self, process_table: &ProcessTable, word: u64, right: Right, me: ProcessSlot, own: u64) -> bool {
        slot_of(word).is_some_and(|slot| {
            let ours = if slot == me { own } else { 0 };
            handles(word, right) > ours && process_table.is_alive(slot)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::shm::Mapping;

    shared_layout! {
        struct Table = b"testpart" { participants: Participants }
    }

    const PUTS: Rights = Rights { put: true, get: false };
    const GETS: Rights = Rights { put: false, get: true };
    const BOTH: Rights = Rights { put: true, get: true };

    #[test]
    fn handles_are_counted_and_forgotten() {
        let table = Mapping::<Table>::create(0, |_| Ok(())).expect("memory");
        let table = &table.participants;
        let process_table = ProcessTable::ours().expect("a family");
        let (me, child) = (process_table.me(), process_table.reserve().expect("a seat"));
        table.join(process_table, me, BOTH).expect("room");
        assert_eq!(table.find(process_table, Right::Put, me, 0), Some(0));
        assert_eq!(table.find(process_table, Right::Put, me, 1), None, "its own handle does not count");
        table.join(process_table, child, PUTS).expect("room");
        let found = table.find(process_table, Right::Put, me, 1).expect("the child");
        assert!(table.still(process_table, found, Right::Put, me, 1));
        assert_eq!(table.find(process_table, Right::Get, me, 1), None);
        process_table.release_slot(child);
        assert!(!table.still(process_table, found, Right::Put, me, 1), "a dead process does not count");
        table.join(process_table, me, GETS).expect("room");
        table.leave(me, BOTH);
        assert_eq!(table.find(process_table, Right::Put, me, 0), None);
        assert_eq!(table.find(process_table, Right::Get, me, 0), Some(0));
        table.leave(me, GETS);
        assert_eq!(table.words[0].load(Relaxed), 0);
    }

    #[test]
    fn place_of_a_dead_process_is_taken_over() {
        let table = Mapping::<Table>::create(0, |_| Ok(())).expect("memory");
        let process_table = ProcessTable::ours().expect("a family");
        for _ in 0..3 {
            let child = process_table.reserve().expect("a seat");
            table.participants.join(process_table, child, PUTS).expect("room");
            process_table.release_slot(child);
        }
        assert_eq!(table.participants.high.load(Relaxed), 1);
    }
}
