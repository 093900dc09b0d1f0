//! Words in shared memory that the kernel marks when this process ends, however it ends.
//!
//! # State
//! `0` unowned · `FUTEX_WAITERS | tid` its owner is alive · `FUTEX_OWNER_DIED` set: its owner has ended, even if it is
//! still a zombie.
//!
//! A process owns one word at a time, through the robust list of one of its threads. The kernel finds the word at one
//! offset from any entry of the list, so there is an entry for each word that the process may come to own, laid out as
//! the words are. Most of them are never touched.
//!
//! # Death
//! The kernel walks a dying thread's robust list and marks every word in it before the process can be waited for. There
//! is no window, no reuse of process ids and no file to read.
//!
//! # Standard
//! `set_robust_list(2)` and the kernel's "Robust futex ABI": `FUTEX_OWNER_DIED`, `FUTEX_TID_MASK`.

use std::io;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::AtomicUsize;

use nix::errno::Errno;
use nix::libc;

use super::atomic::AtomicU32;
use super::atomic::Ordering::{Acquire, Release};
use super::memory::map_private;
use super::robust::own_tid;

/// The kernel's `robust_list_head`. An entry is the address of the next one; the last leads back to the head.
#[derive(Debug)]
#[repr(C)]
struct ListHead {
    first: AtomicUsize,
    futex_offset: libc::c_long,
    list_op_pending: usize,
}

/// The life of the thread that created it, which must live as long as its process and never lock a robust mutex: its
/// robust list is replaced.
#[derive(Debug)]
pub(crate) struct Life {
    head: &'static ListHead,
    entries: &'static [AtomicUsize],
    words: Range<usize>,
    thread: u32,
}

impl Life {
    /// Lets this thread own words of `all`, one at a time.
    pub(crate) fn of_this_thread<T>(all: &'static [T]) -> io::Result<Self> {
        let words = all.as_ptr().addr()..all.as_ptr().addr() + size_of_val(all);
        let len = words.len().div_ceil(size_of::<usize>());
        let first = map_private(len * size_of::<usize>())?.cast::<AtomicUsize>();
        // SAFETY: mapped for this reference alone and never unmapped; a page is aligned for an atomic, which may be zero.
        let entries = unsafe { std::slice::from_raw_parts(first.as_ptr(), len) };
        let futex_offset = (words.start as libc::c_long).wrapping_sub(entries.as_ptr().addr() as libc::c_long);
        let head = ListHead { first: AtomicUsize::new(0), futex_offset, list_op_pending: 0 };
        let head: &'static ListHead = Box::leak(Box::new(head));
        head.first.store(ptr::from_ref(head).addr(), Release);
        // SAFETY: head and entries are never freed, so the kernel may read them until the thread ends; the size is the ABI's.
        Errno::result(unsafe { libc::syscall(libc::SYS_set_robust_list, ptr::from_ref(head), size_of::<ListHead>()) })?;
        Ok(Life { head, entries, words, thread: own_tid() })
    }

    /// Owns `word` from now on, and no longer the one before.
    ///
    /// # Panics
    /// If it is none of the words given at the beginning.
    pub(crate) fn own(&self, word: &AtomicU32) {
        let address = word.as_ptr().addr();
        assert!(self.words.contains(&address), "it is one of the words that were given");
        let entry = &self.entries[(address - self.words.start) / size_of::<usize>()];
        entry.store(ptr::from_ref(self.head).addr(), Release);
        self.head.first.store(ptr::from_ref(entry).addr(), Release);
        // Listed first: a kill from here on marks the word. FUTEX_WAITERS is always set, so that the kernel always
        // wakes a waiter.
        word.store(libc::FUTEX_WAITERS | self.thread, Release);
    }
}

/// Marks `word` as the kernel would if its owner ended now.
pub(crate) fn end(word: &AtomicU32) {
    word.store(libc::FUTEX_OWNER_DIED, Release);
}

/// Returns whether the owner of a life word is alive; `None` while it is unowned.
#[inline]
pub(crate) fn is_alive(word: &AtomicU32) -> Option<bool> {
    let value = word.load(Acquire);
    (value != 0).then_some(value & libc::FUTEX_OWNER_DIED == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn thread_owns_one_word_after_another_and_the_last_is_marked_when_it_ends() {
        #[derive(Default)]
        #[repr(C)]
        struct Slot {
            other: [u32; 2],
            life: AtomicU32,
            pid: u32,
        }
        let slots: &'static [Slot] = Vec::from_iter((0..3).map(|_| Slot::default())).leak();
        let alive = || slots.iter().map(|slot| is_alive(&slot.life)).collect::<Vec<_>>();
        let owner = thread::spawn(move || {
            let life = Life::of_this_thread(slots).expect("a list");
            life.own(&slots[0].life);
            assert_eq!(alive(), [Some(true), None, None]);
            end(&slots[0].life);
            slots[0].life.store(0, Release);
            life.own(&slots[2].life);
            assert_eq!(alive(), [None, None, Some(true)]);
        });
        owner.join().expect("no panic");
        // `join` returns when the kernel clears the thread's id, after it has walked the list.
        assert_eq!(alive(), [None, None, Some(false)], "what it owned before is another's by then");
    }
}
