//! Faults built in on purpose, to see that the proof of crash safety finds them. No release has any of this.
//!
//! # State
//! One for a process, chosen once at its start: a fault is a fault of the whole program.

use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Sabotage {
    /// A change and the wake of those who wait for it are two steps.
    TwoStepWake = 1,
    /// Leases that a killed reader wrote and did not publish are left in the table.
    NoScrub = 2,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Sabotage {
    /// From now on this process does it wrong.
    pub(crate) fn begin(self) {
        CHOSEN.store(self as u8, Relaxed);
    }

    /// What this process does wrong, to have its workers do it too.
    pub(crate) fn chosen() -> Option<Self> {
        [Sabotage::TwoStepWake, Sabotage::NoScrub].into_iter().find(|sabotage| sabotage.is_on())
    }

    /// Whether this process does it wrong.
    pub(crate) fn is_on(self) -> bool {
        CHOSEN.load(Relaxed) == self as u8
    }
}
