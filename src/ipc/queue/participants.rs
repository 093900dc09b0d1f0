//! Counts the processes that can still put into a queue, and those that can still get from it.
//!
//! # State
//! The queue's [`Members`]: the count in the upper half is of the handles that put, that in the lower half of those that
//! get.
//!
//! # Death
//! A dead process's word stays but no longer counts, because its slot is dead. A process that needs a free word reuses
//! it.
//!
//! # Standard
//! The semantics of a pipe's descriptors: end-of-file when the last writer is gone, EPIPE when the last reader is gone.

use serde::{Deserialize, Serialize};

use crate::ipc::error::Result;
use crate::ipc::process::members::{Member, Members};
use crate::ipc::process::table::{ProcessSlot, ProcessTable};
use crate::sys::atomic::Ordering::Relaxed;
use crate::sys::shm::shared_layout;

shared_layout! {
    /// The table in shared memory.
    pub(crate) struct Participants {
        members: Members,
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
    fn one_handle(self) -> u32 {
        u32::from(self.put) << PUT_SHIFT | u32::from(self.get)
    }

    pub(crate) fn has(self, right: Right) -> bool {
        match right {
            Right::Put => self.put,
            Right::Get => self.get,
        }
    }
}

const PUT_SHIFT: u32 = 16;
const MOST_HANDLES: u32 = 0xFFFF;

fn handles(member: Member, right: Right) -> u32 {
    match right {
        Right::Put => member.handles >> PUT_SHIFT,
        Right::Get => member.handles & MOST_HANDLES,
    }
}

impl Participants {
    /// Counts one more handle of the process in `slot`.
    pub(crate) fn join(&self, process_table: &ProcessTable, slot: ProcessSlot, rights: Rights) -> Result<()> {
        if rights == Rights::default() {
            return Ok(());
        }
        self.members.add(slot, rights.one_handle(), |other| !process_table.is_alive(other)).map(drop)
    }

    /// Uncounts one handle of the process in `slot`.
    pub(crate) fn leave(&self, slot: ProcessSlot, rights: Rights) {
        let left = rights == Rights::default() || self.members.remove(slot, rights.one_handle());
        debug_assert!(left, "every handle was counted when it was made");
    }

    /// Returns the index of a word by which a living process has `right`, not counting `own` handles of `me`.
    pub(crate) fn find(&self, process_table: &ProcessTable, right: Right, me: ProcessSlot, own: u64) -> Option<usize> {
        let mut members = self.members.all();
        members.find(|(_, member)| counts(process_table, *member, right, me, own)).map(|(index, _)| index)
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
        let word = self.members.word(index).map_or(0, |word| word.load(Relaxed));
        Member::from_word(word).is_some_and(|member| counts(process_table, member, right, me, own))
    }
}

#[inline]
fn counts(process_table: &ProcessTable, member: Member, right: Right, me: ProcessSlot, own: u64) -> bool {
    let ours = if member.slot == me { own } else { 0 };
    u64::from(handles(member, right)) > ours && process_table.is_alive(member.slot)
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
        let process_table = ProcessTable::ours().expect("a table");
        let (me, child) = (process_table.me(), process_table.reserve().expect("a slot"));
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
        assert!(table.members.all().all(|(_, member)| member.slot == child), "the dead process's word stays");
    }

    #[test]
    fn place_of_a_dead_process_is_taken_over() {
        let table = Mapping::<Table>::create(0, |_| Ok(())).expect("memory");
        let process_table = ProcessTable::ours().expect("a table");
        for _ in 0..3 {
            let child = process_table.reserve().expect("a slot");
            table.participants.join(process_table, child, PUTS).expect("room");
            process_table.release_slot(child);
        }
        assert_eq!(table.participants.members.all().map(|(index, _)| index).collect::<Vec<_>>(), [0]);
    }
}
