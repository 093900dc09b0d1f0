//! How far one side of a ring has come: published by one atomic store, or by one system call that also wakes.
//!
//! # State
//! `word = seq << 1 | W`, and two marks of which the one at `seq & 1` is live; the other belongs to whoever holds the
//! side's lock. Publishing writes the spare mark and then raises `seq`: before that it never happened, after it is done.
//! `W` says that somebody may sleep on the word: then the raise is a `FUTEX_WAKE_OP` that adds 1 (which also clears `W`)
//! and wakes in the same call. Without `W` it is a compare-and-swap, so nobody sleeps on the value that it replaces.
//! Anybody may set `W`; a stale one costs one system call.
//!
//! # Ordering
//! `word` is raised with `Release` and read with `Acquire`, so everything before a publication is seen with it. The marks
//! too, so that a reader who sees a newer mark also sees that the word has moved, and reads again.
//!
//! # Death
//! Killed before the raise: the mark is still the old one. Killed after it: everybody is awake. A sleeper that is killed
//! leaves `W`. There is nothing to repair.
//!
//! # Standard
//! `futex(2)` `FUTEX_WAKE_OP`; a sequence lock with two copies.

use crate::sys::atomic::Ordering::SeqCst;
use crate::sys::atomic::{
    AtomicU32, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};
use crate::sys::futex;
use crate::sys::shm::shared_layout;

shared_layout! {
    struct SharedPosition {
        bytes: AtomicU64,
        items: AtomicU64,
        /// `chunk << 32 | offset`.
        place: AtomicU64,
    }
}

shared_layout! {
    /// The progress in shared memory: the live part is one cache line, and so is the distance to the next.
    pub(crate) struct Cursor {
        word: AtomicU32,
        padding: AtomicU32,
        positions: [SharedPosition; 2],
        distance: [AtomicU64; 9],
    }
}
const _: () = assert!(size_of::<Cursor>() == 128);

/// Where a side stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Bytes of all records so far.
    pub(crate) bytes: u64,
    /// Their number.
    pub(crate) items: u64,
    /// Where the next one begins.
    pub(crate) place: Place,
}

/// A place in a ring's chunks. An offset at the end of a chunk means the start of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Place {
    pub(crate) chunk: u32,
    pub(crate) offset: u32,
}

impl Place {
    #[inline]
    fn to_word(self) -> u64 {
        u64::from(self.chunk) << 32 | u64::from(self.offset)
    }

    #[inline]
    fn from_word(word: u64) -> Self {
        Place { chunk: (word >> 32) as u32, offset: word as u32 }
    }
}

/// A value of a progress word, to tell whether it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u32);

/// The bit that says that somebody may sleep.
const SLEEPER: u32 = 1;
const ONE_STEP: u32 = 2;

impl Seen {
    fn of(word: u32) -> Self {
        Seen(word | SLEEPER)
    }

    /// The form in which it stands in shared memory: odd.
    pub(crate) fn to_word(self) -> u32 {
        self.0
    }
}

impl Cursor {
    /// Sets the first sequence number, to test how it wraps.
    #[cfg(test)]
    pub(crate) fn start_at(&self, seq: u32) {
        let own = self.own();
        self.word.store((seq << 1).wrapping_sub(ONE_STEP), Relaxed);
        self.publish(own);
    }

    /// The mark, for who holds the side's lock and so is the only one to change it.
    #[inline]
    pub(crate) fn own(&self) -> Position {
        self.position(self.word.load(Relaxed))
    }

    /// The mark of the other side, in one piece.
    #[inline]
    pub(crate) fn read(&self) -> (Seen, Position) {
        loop {
            // pairs with: the raise in `publish`
            let before = self.word.load(Acquire);
            let position = self.position(before);
            // Marks are loaded with Acquire: one that was newer than `before` makes this load see the newer word.
            if !self.has_moved(Seen::of(before)) {
                return (Seen::of(before), position);
            }
        }
    }

    #[inline]
    fn position(&self, word: u32) -> Position {
        let position = &self.positions[(word >> 1 & 1) as usize];
        Position {
            bytes: position.bytes.load(Acquire),
            items: position.items.load(Acquire),
            place: Place::from_word(position.place.load(Acquire)),
        }
    }

    /// Makes `position` the side's progress and wakes who waits for it. Only for who holds the side's lock.
    #[inline]
    pub(crate) fn publish(&self, position: Position) {
        let word = self.word.load(Relaxed);
        let spare = &self.positions[(((word >> 1) + 1) & 1) as usize];
        // Release: who sees one of these also sees the raise before it, which made this mark the spare one.
        spare.bytes.store(position.bytes, Release);
        spare.items.store(position.items, Release);
        spare.place.store(position.place.to_word(), Release);
        // Strong: after a failure for no reason the other branch would set W instead of raising the sequence.
        if word & SLEEPER == 0 && self.word.compare_exchange(word, word.wrapping_add(ONE_STEP), AcqRel, Relaxed).is_ok()
        {
            return;
        }
        // W is set, and only a publication clears it.
        futex::add_one_and_wake_all(&self.word);
    }

    /// What is to be seen now.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        Seen::of(self.word.load(Acquire))
    }

    /// Whether anything was published since `seen`.
    #[inline]
    pub(crate) fn has_moved(&self, seen: Seen) -> bool {
        self.seen() != seen
    }

    /// Says that somebody is about to sleep until something is published after `seen`. `false` if it was already.
    pub(crate) fn announce_sleeper(&self, seen: Seen) -> bool {
        let word = self.word.load(Relaxed);
        if Seen::of(word) != seen {
            return false;
        }
        word & SLEEPER != 0 || self.word.compare_exchange(word, word | SLEEPER, SeqCst, Relaxed).is_ok()
    }

    /// The word and the value to sleep on, after [`announce_sleeper`](Self::announce_sleeper).
    pub(crate) fn sleep_on(&self, seen: Seen) -> (&AtomicU32, u32) {
        (&self.word, seen.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};
    use crate::sys::shm::Mapping;

    shared_layout! {
        struct One = b"testprog" { cursor: Cursor }
    }

    fn position(items: u64) -> Position {
        Position { bytes: items * 8, items, place: Place { chunk: items as u32, offset: 4 } }
    }

    #[test]
    fn publications_are_seen_whole_while_the_sequence_wraps() {
        let _watchdog = watchdog();
        let one = Mapping::<One>::create(0, |_| Ok(())).expect("memory");
        let cursor = &one.cursor;
        cursor.start_at((u32::MAX >> 1) - 500);
        std::thread::scope(|scope| {
            scope.spawn(|| (1..=1000).for_each(|items| cursor.publish(position(items))));
            let mut last = 0;
            while last < 1000 {
                let (_, read) = cursor.read();
                assert!(read.items >= last, "{read:?} after {last}");
                assert!(read.items == 0 || read == position(read.items), "{read:?} is torn");
                last = read.items;
            }
        });
        assert_eq!(cursor.word.load(Relaxed) >> 1, 499);
    }

    #[test]
    fn announced_sleeper_is_woken_and_the_announcement_cleared() {
        let _watchdog = watchdog();
        let one = Mapping::<One>::create(0, |_| Ok(())).expect("memory");
        let cursor = &one.cursor;
        let (seen, _) = cursor.read();
        assert!(cursor.announce_sleeper(seen) && cursor.announce_sleeper(seen));
        assert!(!cursor.has_moved(seen), "an announcement is no progress");
        let (word, value) = cursor.sleep_on(seen);
        let sleep = || {
            while !cursor.has_moved(seen) {
                futex::wait(word, value, None);
            }
        };
        with_sleepers(1, sleep, || cursor.publish(position(1)));
        assert_eq!(cursor.word.load(Relaxed), ONE_STEP);
        assert!(!cursor.announce_sleeper(seen), "it is too late to sleep on what was seen");
    }
}
