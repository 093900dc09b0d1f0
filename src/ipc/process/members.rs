//! The members of a shared object: processes that it was given to, from before they start until they drop it.
//!
//! # State
//! One word per process: `handles << 32 | slot`, or 0, and its process id once it has begun to use the object. Words
//! are changed with the object's mutex held.
//!
//! # Death
//! A process that dies never drops its handles, so its slot stays: a dead member has not left normally.

use super::table::ProcessSlot;
use crate::ipc::error::{Error, Result};
use crate::sys::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::sys::atomic::{AtomicU32, AtomicU64};
use crate::sys::shm::shared_layout;

/// Maximum number of members of one object, including dead ones: the size of a process table.
const LIMIT: usize = 4096;
const HANDLE: u64 = 1 << 32;

shared_layout! {
    pub(crate) struct Members {
        /// Words from this index on were never used.
        used: AtomicU64,
        words: [AtomicU64; LIMIT],
        pids: [AtomicU32; LIMIT],
    }
}

impl Members {
    /// Counts one more handle of the process in `slot`.
    pub(crate) fn add(&self, slot: ProcessSlot) -> Result<()> {
        let used = self.words();
        if let Some(word) = used.iter().find(|word| slot_in(word) == Some(slot)) {
            word.store(word.load(Relaxed) + HANDLE, Release);
            return Ok(());
        }
        let index = used.iter().position(|word| word.load(Relaxed) == 0).unwrap_or(used.len());
        let word = self.words.get(index).ok_or(Error::TooManyMembers { limit: LIMIT })?;
        self.pids[index].store(0, Relaxed);
        word.store(HANDLE | u64::from(slot.to_word()), Release);
        if index == used.len() {
            self.used.store(index as u64 + 1, Release);
        }
        Ok(())
    }

    /// Uncounts one handle of the process in `slot`.
    pub(crate) fn remove(&self, slot: ProcessSlot) {
        if let Some(word) = self.words().iter().find(|word| slot_in(word) == Some(slot)) {
            let now = word.load(Relaxed);
            word.store(if now < 2 * HANDLE { 0 } else { now - HANDLE }, Release);
        }
    }

    /// Records the process id of the member with `slot`: its slot may be reused soon after it died.
    pub(crate) fn name(&self, slot: ProcessSlot, pid: u32) {
        if let Some(index) = self.words().iter().position(|word| slot_in(word) == Some(slot)) {
            self.pids[index].store(pid, Release);
        }
    }

    /// Returns the process id of the member with `slot`, if it ever used the object.
    pub(crate) fn pid_of(&self, slot: ProcessSlot) -> Option<u32> {
        let index = self.words().iter().position(|word| slot_in(word) == Some(slot))?;
        Some(self.pids[index].load(Acquire)).filter(|pid| *pid != 0)
    }

    /// Removes the members for which `is_gone` is true.
    pub(crate) fn strike_off(&self, is_gone: impl Fn(ProcessSlot) -> bool) {
        for word in self.words() {
            if slot_in(word).is_some_and(&is_gone) {
                word.store(0, Release);
            }
        }
    }

    /// Returns all members, dead or alive.
    pub(crate) fn slots(&self) -> impl Iterator<Item = ProcessSlot> {
        self.words().iter().filter_map(slot_in)
    }

    fn words(&self) -> &[AtomicU64] {
        let used = usize::try_from(self.used.load(Acquire)).unwrap_or(LIMIT);
        &self.words[..used.min(LIMIT)]
    }
}

fn slot_in(word: &AtomicU64) -> Option<ProcessSlot> {
    ProcessSlot::from_word(word.load(Acquire) as u32)
}
