//! The word of a slot, which says what the slot holds and who is at work on it.
//!
//! # State
//! `word = generation << 16 | worker << 3 | state`. The generation grows with each task in the slot and with each
//! attempt, so that a word that was read earlier is never mistaken for a later one. `worker` is the number of its place
//! in the pool.
//!
//! ```text
//! FREE -> READY -> RUNNING -> DONE -> FREE
//!           |  ^     |  |
//!           |  +-----+  +-> CONDEMNED -> FREE
//!           v
//!          FREE
//! ```
//!
//! The parent makes a slot READY, a worker RUNNING and DONE. A slot that is RUNNING goes back to READY when its worker
//! has died, or is CONDEMNED before its worker is killed: the one of worker and parent that changes the word first decides
//! whether the task has ended.
//!
//! # Ordering
//! The other words of a slot are written before its word (`Release`), and read after it (`Acquire`).

use crate::sys::atomic::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::Release, Ordering::SeqCst};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    Ready,
    Running,
    Done,
    Condemned,
}

/// The word of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

const STATE_BITS: u32 = 3;
const WORKER_BITS: u32 = 13;
const GENERATION_SHIFT: u32 = STATE_BITS + WORKER_BITS;
/// The largest number of workers that a word can distinguish.
pub(super) const MOST_WORKERS: u32 = 1 << WORKER_BITS;

impl Word {
    #[inline]
    pub(super) fn new(state: State, worker: u32, generation: u64) -> Self {
        debug_assert!(worker < MOST_WORKERS, "{worker} is no worker");
        Word(generation << GENERATION_SHIFT | u64::from(worker) << STATE_BITS | state as u64)
    }

    /// The word of a slot whose task no worker has.
    #[inline]
    pub(super) fn ready(generation: u64) -> Self {
        Word::new(State::Ready, 0, generation)
    }

    /// Loads a word after the change of the ring's head, of which the parent has seen one or the other.
    #[inline]
    pub(super) fn load(place: &AtomicU64) -> Self {
        Word(place.load(SeqCst))
    }

    #[inline]
    pub(super) fn store(self, place: &AtomicU64) {
        place.store(self.0, Release);
    }

    /// Replaces this word by `then`. Returns `false` if it has changed meanwhile.
    #[inline]
    pub(super) fn replace(self, place: &AtomicU64, then: Word) -> bool {
        place.compare_exchange(self.0, then.0, Release, Relaxed).is_ok()
    }

    /// Returns whether a place still has this word.
    #[inline]
    pub(super) fn is_at(self, place: &AtomicU64) -> bool {
        place.load(Acquire) == self.0
    }

    /// Returns the word of the same generation in another state, with this worker.
    #[inline]
    pub(super) fn to(self, state: State, worker: u32) -> Self {
        Word::new(state, worker, self.generation())
    }

    /// Returns the state; `None` if this library did not write it.
    #[inline]
    pub(super) fn state(self) -> Option<State> {
        Some(match self.0 & ((1 << STATE_BITS) - 1) {
            0 => State::Free,
            1 => State::Ready,
            2 => State::Running,
            3 => State::Done,
            4 => State::Condemned,
            _ => return None,
        })
    }

    /// Returns the worker that has the task, or had it.
    #[inline]
    pub(super) fn worker(self) -> u32 {
        (self.0 >> STATE_BITS) as u32 % MOST_WORKERS
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_keeps_state_worker_and_generation() {
        let ready = Word::ready(1 << 40);
        let running = ready.to(State::Running, MOST_WORKERS - 1);
        assert_eq!((ready.state(), ready.worker(), ready.generation()), (Some(State::Ready), 0, 1 << 40));
        assert_eq!(
            (running.state(), running.worker(), running.generation()),
            (Some(State::Running), MOST_WORKERS - 1, 1 << 40)
        );
        for state in [State::Free, State::Done, State::Condemned] {
            assert_eq!(running.to(state, 7).state(), Some(state));
        }
        assert_eq!(Word(7).state(), None);
    }

    #[test]
    fn word_is_replaced_once() {
        let place = AtomicU64::new(0);
        let ready = Word::ready(1);
        ready.store(&place);
        let running = Word::load(&place).to(State::Running, 3);
        assert!(ready.replace(&place, running) && running.is_at(&place));
        assert!(!ready.replace(&place, ready.to(State::Running, 4)), "another worker was faster");
    }
}
