//! The processes that have a shared object, from before they start until they drop it: one table for all objects that
//! count their users.
//!
//! # State
//! One word for each process: `slot << 32 | handles`, 0 if free. The handles are two counts of 16 bits, which an object
//! uses as it likes. A word changes as a whole, and each handle is counted exactly once: where it is created, where it
//! is sent (for the recipient's slot, before the child runs), and where it is dropped.
//!
//! # Ordering
//! All accesses are `SeqCst`: a leaving process changes its word, then checks for sleepers; a waiter announces itself,
//! then checks the words. At least one of the two sees the other.
//!
//! # Death
//! A process that dies never drops its handles, so its word stays. Whether it may be reused is up to the object: to a
//! queue a dead process is gone, and to a barrier it is missing.

use super::table::{ProcessSlot, SLOTS};
use crate::ipc::error::{Error, Result};
use crate::sys::atomic::{AtomicU64, Ordering::SeqCst};
use crate::sys::shm::shared_layout;

const SLOT_SHIFT: u32 = 32;
const COUNT: u32 = 0xFFFF;

shared_layout! {
    pub(crate) struct Members {
        /// No word at or above this index was ever used.
        used: AtomicU64,
        words: [AtomicU64; SLOTS],
    }
}

/// A word of the table: a process, and its handles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) slot: ProcessSlot,
    pub(crate) handles: u32,
}

impl Member {
    pub(crate) fn from_word(word: u64) -> Option<Self> {
        Some(Member { slot: ProcessSlot::from_word((word >> SLOT_SHIFT) as u32)?, handles: word as u32 })
    }

    fn to_word(self) -> u64 {
        u64::from(self.slot.to_word()) << SLOT_SHIFT | u64::from(self.handles)
    }
}

impl Members {
    /// Adds `handles` to the count of the process in `slot`. The first handle may reuse the word of a member that
    /// `is_gone`. Returns the index of the process's word.
    ///
    /// # Errors
    /// [`Error::TooManyMembers`] if there is no word left.
    pub(crate) fn add(&self, slot: ProcessSlot, handles: u32, is_gone: impl Fn(ProcessSlot) -> bool) -> Result<usize> {
        let fits =
            |counted: u32| counted.checked_add(handles).filter(|_| (counted & COUNT) + (handles & COUNT) <= COUNT);
        if let Some(index) = self.change(slot, fits) {
            return Ok(index);
        }
        for (index, word) in self.words.iter().enumerate() {
            let now = word.load(SeqCst);
            if Member::from_word(now).is_some_and(|member| !is_gone(member.slot)) {
                continue;
            }
            // Raised first: a word beyond it would not be seen.
            self.used.fetch_max(index as u64 + 1, SeqCst);
            if word.compare_exchange(now, Member { slot, handles }.to_word(), SeqCst, SeqCst).is_ok() {
                return Ok(index);
            }
        }
        Err(Error::TooManyMembers { limit: SLOTS })
    }

    /// Uncounts `handles` of the process in `slot`. Returns whether they were counted.
    pub(crate) fn remove(&self, slot: ProcessSlot, handles: u32) -> bool {
        let left = |counted: u32| counted.checked_sub(handles).filter(|_| counted & COUNT >= handles & COUNT);
        self.change(slot, left).is_some()
    }

    /// Applies `change` to the counts of the first word of `slot` for which it returns a new value. Returns the index
    /// of the word.
    fn change(&self, slot: ProcessSlot, change: impl Fn(u32) -> Option<u32>) -> Option<usize> {
        let changed = |word| {
            let member = Member::from_word(word).filter(|member| member.slot == slot)?;
            let handles = change(member.handles)?;
            Some(if handles == 0 { 0 } else { Member { slot, handles }.to_word() })
        };
        self.words().position(|word| word.fetch_update(SeqCst, SeqCst, changed).is_ok())
    }

    /// Removes the members for which `is_gone` is true.
    pub(crate) fn strike_off(&self, is_gone: impl Fn(ProcessSlot) -> bool) {
        for word in self.words() {
            let now = word.load(SeqCst);
            if Member::from_word(now).is_some_and(|member| is_gone(member.slot)) {
                // Fails if it changed meanwhile: then a living process uses it.
                let _ = word.compare_exchange(now, 0, SeqCst, SeqCst);
            }
        }
    }

    /// Returns all members, dead or alive, each with the index of its word.
    pub(crate) fn all(&self) -> impl Iterator<Item = (usize, Member)> {
        self.words().enumerate().filter_map(|(index, word)| Some((index, Member::from_word(word.load(SeqCst))?)))
    }

    /// Returns the word at `index`, to look again at a member found before.
    #[inline]
    pub(crate) fn word(&self, index: usize) -> Option<&AtomicU64> {
        self.words.get(index)
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.words.iter().take(self.used.load(SeqCst) as usize)
    }
}
