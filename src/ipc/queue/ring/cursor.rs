//! The position of one side of a ring, published by one atomic store, or by one system call that also wakes waiters.
//!
//! # State
//! `word = seq << 1 | W`, and two positions of which the one at `seq & 1` is live; the holder of the side's lock owns
//! the other. Publishing writes the spare position and then increments `seq`: before that nothing has happened, after
//! that it is complete. `W` means that a process may sleep on the word: then the increment is a `FUTEX_WAKE_OP` that
//! adds 1 (which also clears `W`) and wakes in the same call. Without `W` it is a compare-and-swap, so no process
//! sleeps on the value that it replaces. Any process may set `W`; a stale `W` costs one system call.
//!
//! # Ordering
//! `word` is incremented with `Release` and read with `Acquire`, so everything before a publication is visible with it.
//! The positions are accessed likewise, so a reader that sees a newer position also sees that the word has moved, and
//! reads again.
//!
//! # Death
//! If a process is killed before the increment, the position is still the old one; after it, all waiters are awake. A
//! killed waiter leaves `W` set. Nothing needs repair.
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
    /// The cursor in shared memory. Its live part is one cache line, and so is the distance to the next.
    pub(crate) struct Cursor {
        word: AtomicU32,
        padding: AtomicU32,
        positions: [SharedPosition; 2],
        distance: [AtomicU64; 9],
    }
}
const _: () = assert!(size_of::<Cursor>() == 128);

/// A position in the stream of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Bytes of all records so far.
    pub(crate) bytes: u64,
    /// Number of these records.
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

/// A value of a cursor word, to detect whether it has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen(u32);

/// The bit that marks a possible sleeper.
const SLEEPER: u32 = 1;
const ONE_STEP: u32 = 2;

impl Seen {
    fn of(word: u32) -> Self {
        Seen(word | SLEEPER)
    }

    /// Its representation in shared memory: odd.
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

    /// Returns this side's position. Only for the holder of the side's lock, which alone can change it.
    #[inline]
    pub(crate) fn own(&self) -> Position {
        self.position(self.word.load(Relaxed))
    }

    /// Returns a consistent copy of the other side's position.
    #[inline]
    pub(crate) fn read(&self) -> (Seen, Position) {
        loop {
            // pairs with: the increment in `publish`
            let before = self.word.load(Acquire);
            let position = self.position(before);
            // Positions are loaded with Acquire: one newer than `before` makes this load see the newer word.
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

    /// Publishes `position` and wakes its waiters. Only for the holder of the side's lock.
    #[inline]
    pub(crate) fn publish(&self, position: Position) {
        let word = self.word.load(Relaxed);
        let spare = &self.positions[(((word >> 1) + 1) & 1) as usize];
        // Release: a process that sees one of these also sees the increment before it, which made this position the
        // spare one.
        spare.bytes.store(position.bytes, Release);
        spare.items.store(position.items, Release);
        spare.place.store(position.place.to_word(), Release);
        // Strong: after a spurious failure the other branch would set W instead of incrementing the sequence.
        if word & SLEEPER == 0 && self.word.compare_exchange(word, word.wrapping_add(ONE_STEP), AcqRel, Relaxed).is_ok()
        {
            return;
        }
        // W is set, and only a publication clears it.
        futex::add_one_and_wake_all(&self.word);
    }

    /// Returns the current value of the word.
    #[inline]
    pub(crate) fn seen(&self) -> Seen {
        Seen::of(self.word.load(Acquire))
    }

    /// Returns whether anything was published since `seen`.
    #[inline]
    pub(crate) fn has_moved(&self, seen: Seen) -> bool {
        self.seen() != seen
    }

    /// Announces a sleeper that waits for a publication after `seen`. Returns `false` if there was one already.
    pub(crate) fn announce_sleeper(&self, seen: Seen) -> bool {
        let word = self.word.load(Relaxed);
        if Seen::of(word) != seen {
            return false;
        }
        word & SLEEPER != 0 || self.word.compare_exchange(word, word | SLEEPER, SeqCst, Relaxed).is_ok()
    }

    /// Returns the word and the value to sleep on, after [`announce_sleeper`](Self::announce_sleeper).
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
