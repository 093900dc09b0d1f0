//! Lanes explore one tree together: each runs schedules on its own processor, and hands branches to those that have
//! none.
//!
//! # State
//! A lane searches depth first below the branch that it was handed. What was begun and what is left to begin in a state
//! is shared by all lanes that went through it, so the turns that one lane finds for a state can be taken by another.
//! The exploration is exhausted when all lanes are idle.

use std::sync::{Condvar, Mutex, MutexGuard};

use super::search::Branch;

/// Why the lanes stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// No schedule is left.
    Exhausted,
    /// The limit was reached.
    Limit,
    /// The caller has seen enough.
    Enough,
}

#[derive(Debug)]
struct State {
    idle: usize,
    /// The number of lanes that run a schedule.
    running: usize,
    handed_over: Vec<Branch>,
    /// The number of schedules left before the limit.
    left: u64,
    over: Option<Over>,
}

/// What the lanes of an exploration share.
#[derive(Debug)]
pub(crate) struct Lanes {
    number: usize,
    state: Mutex<State>,
    changed: Condvar,
}

/// Ends the exploration when it is dropped: a lane that fails or panics must not leave others waiting.
#[must_use]
pub(crate) struct EndsWhenDropped<'a>(pub(crate) &'a Lanes);

impl Drop for EndsWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.end(Over::Enough);
    }
}

impl Lanes {
    /// Creates this many lanes, which run at most `limit` schedules. The first begins; the others [wait](Self::wait).
    pub(crate) fn new(number: usize, limit: u64) -> Self {
        let state = State { idle: 0, running: 0, handed_over: Vec::new(), left: limit, over: None };
        Lanes { number, state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(crate) fn number(&self) -> usize {
        self.number
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the lock")
    }

    /// Counts a schedule that is about to be run. Returns `false` if the limit is reached. Blocks while that depends on
    /// another lane.
    pub(crate) fn reserve(&self) -> bool {
        let mut state = self.state();
        while state.left == 0 && state.running > 0 && state.over.is_none() {
            state = self.changed.wait(state).expect("nothing panics while it holds the lock");
        }
        let is_below = state.left > 0;
        if is_below {
            state.left -= 1;
            state.running += 1;
        }
        is_below
    }

    /// Records the end of a schedule. A redundant one does not count.
    pub(crate) fn finished(&self, is_redundant: bool) {
        let mut state = self.state();
        let is_awaited = state.left == 0;
        state.running -= 1;
        state.left += u64::from(is_redundant);
        if is_awaited {
            self.changed.notify_all();
        }
    }

    /// Ends the exploration, unless it has ended. Lanes that wait return.
    pub(crate) fn end(&self, over: Over) {
        self.state().over.get_or_insert(over);
        self.changed.notify_all();
    }

    pub(crate) fn over(&self) -> Option<Over> {
        self.state().over
    }

    /// Returns whether a lane waits for a branch.
    pub(crate) fn is_one_idle(&self) -> bool {
        let state = self.state();
        state.idle > state.handed_over.len()
    }

    /// Hands a branch to a lane that waits.
    pub(crate) fn hand_over(&self, branch: Branch) {
        self.state().handed_over.push(branch);
        self.changed.notify_one();
    }

    /// Blocks until another lane hands over a branch. Returns `None` if none will: when all lanes wait, the exploration
    /// is exhausted.
    pub(crate) fn wait(&self) -> Option<Branch> {
        let mut state = self.state();
        state.idle += 1;
        loop {
            if state.over.is_none() && state.idle == self.number && state.handed_over.is_empty() {
                state.over = Some(Over::Exhausted);
                self.changed.notify_all();
            }
            if state.over.is_some() {
                return None;
            }
            if let Some(branch) = state.handed_over.pop() {
                state.idle -= 1;
                return Some(branch);
            }
            state = self.changed.wait(state).expect("nothing panics while it holds the lock");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};

    #[test]
    fn limit_is_reached_once_no_lane_can_run_a_redundant_schedule() {
        let _watchdog = watchdog();
        for is_redundant in [true, false] {
            let lanes = Lanes::new(2, 1);
            assert!(lanes.reserve());
            with_sleepers(1, || assert_eq!(lanes.reserve(), is_redundant), || lanes.finished(is_redundant));
        }
    }
}
