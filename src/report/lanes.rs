//! One character a worker: who waits, who holds, who is gone. The picture at the left of every line.

use super::event::{Event, Fact, RUNNER};

/// More workers than this have no picture: it would leave no room for words.
const MOST_LANES: usize = 10;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    NotStarted,
    Running,
    Waiting,
    Holding,
    Ended,
    Died,
}

impl Lane {
    pub(super) fn symbol(self) -> char {
        match self {
            Lane::NotStarted | Lane::Ended => ' ',
            Lane::Running => '·',
            Lane::Waiting => '┆',
            Lane::Holding => '█',
            Lane::Died => '×',
        }
    }
}

/// The state of all workers, in the order in which they were started.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    names: Vec<String>,
    lanes: Vec<Lane>,
    /// How many things each worker holds.
    held: Vec<u32>,
}

impl Lanes {
    /// Takes an event into account.
    pub(super) fn follow(&mut self, event: &Event) {
        match &event.fact {
            Fact::RunStarted { workers, .. } => {
                self.lanes = vec![Lane::NotStarted; *workers as usize];
                self.held = vec![0; *workers as usize];
            }
            // Who comes by the name of somebody who left has that one's place.
            Fact::WorkerStarted { .. } if self.is_free(&event.worker) => self.set(event, Lane::Running),
            Fact::WorkerStarted { .. } => {
                self.names.push(event.worker.clone());
                if self.lanes.len() < self.names.len() {
                    self.lanes.push(Lane::NotStarted);
                    self.held.push(0);
                }
                self.set(event, Lane::Running);
            }
            Fact::LockWaiting { .. }
            | Fact::PermitWaiting { .. }
            | Fact::GunAwaited
            | Fact::EventAwaited
            | Fact::BarrierWaiting { .. }
            | Fact::ConditionWaiting { .. } => self.set(event, Lane::Waiting),
            Fact::LockAcquired { .. } | Fact::PermitAcquired { .. } => self.hold(event, 1),
            Fact::LockReleased { .. } | Fact::PermitReleased { .. } => self.hold(event, -1),
            Fact::LockTimedOut { .. }
            | Fact::GunHeard { .. }
            | Fact::EventSeen { .. }
            | Fact::BarrierPassed { .. }
            | Fact::BarrierBroken { .. }
            | Fact::ConditionMet { .. }
            | Fact::QueueFull { .. }
            | Fact::EndOfFile => self.hold(event, 0),
            // Who is asked to end and does is no casualty.
            Fact::WorkerExited { exit_code: Some(0), .. } | Fact::WorkerExited { signal: Some(15), .. } => {
                self.leave(event, Lane::Ended);
            }
            Fact::WorkerExited { .. } => self.leave(event, Lane::Died),
            _ => {}
        }
    }

    fn is_free(&self, worker: &str) -> bool {
        self.index_of(worker).is_some_and(|index| matches!(self.lanes[index], Lane::Ended | Lane::Died))
    }

    fn leave(&mut self, event: &Event, lane: Lane) {
        self.set(event, lane);
        if let Some(index) = self.index_of(&event.worker) {
            self.held[index] = 0;
        }
    }

    fn set(&mut self, event: &Event, lane: Lane) {
        if let Some(index) = self.index_of(&event.worker) {
            self.lanes[index] = lane;
        }
    }

    /// A worker that waits no more holds so much more or less than before.
    fn hold(&mut self, event: &Event, change: i32) {
        if let Some(index) = self.index_of(&event.worker) {
            self.held[index] = self.held[index].saturating_add_signed(change);
            self.lanes[index] = if self.held[index] > 0 { Lane::Holding } else { Lane::Running };
        }
    }

    /// The place of a worker, for its colour. The runner has none.
    pub(super) fn index_of(&self, worker: &str) -> Option<usize> {
        // A name may come again after its first bearer ended: the last one counts.
        (worker != RUNNER).then(|| self.names.iter().rposition(|name| name == worker)).flatten()
    }

    /// How many workers are in a state.
    pub(super) fn count(&self, wanted: Lane) -> usize {
        self.lanes.iter().filter(|lane| **lane == wanted).count()
    }

    /// The picture; empty if there are too many workers for one.
    pub(super) fn picture(&self) -> &[Lane] {
        if self.lanes.len() <= MOST_LANES { &self.lanes } else { &[] }
    }
}
