//! Deliberate faults that the tests of crash safety must detect: a test that cannot fail proves nothing.
//!
//! Compiled only with debug assertions, both this file and the line at each failpoint: a release has neither a switch
//! nor a branch for them.
//!
//! # State
//! One failpoint per process, chosen once at its start: it applies to the whole program.

use nix::libc;
use serde::{Deserialize, Serialize};

use super::atomic::{
    AtomicU8, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

/// The fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Failpoint {
    /// Changes a word and wakes its waiters in two steps instead of one.
    TwoStepWake = 1,
    /// Publishes a slot of a queue before the item is in it.
    EarlyPublish = 2,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Failpoint {
    /// Activates the failpoint in this process.
    pub(crate) fn begin(self) {
        CHOSEN.store(self as u8, Relaxed);
    }

    /// Returns this process's active failpoint, to activate it in its workers too.
    pub(crate) fn chosen() -> Option<Self> {
        [Failpoint::TwoStepWake, Failpoint::EarlyPublish].into_iter().find(|failpoint| failpoint.is_on())
    }

    fn is_on(self) -> bool {
        CHOSEN.load(Relaxed) == self as u8
    }
}

/// Called before a system call that changes a futex word and wakes its sleepers: with the fault the word is changed
/// here, and an operand that changes nothing is returned. A process killed between the two steps leaves sleepers
/// behind.
pub(crate) fn change_first(word: &AtomicU32, operation: i32, operand: u16) -> u16 {
    if !Failpoint::TwoStepWake.is_on() {
        return operand;
    }
    match operation {
        libc::FUTEX_OP_ADD => word.fetch_add(operand.into(), SeqCst),
        _ => word.fetch_or(operand.into(), SeqCst),
    };
    0
}

/// Called before an item is written into a slot that was claimed: with the fault the slot is published here.
pub(crate) fn before_write(publish: impl FnOnce()) {
    if Failpoint::EarlyPublish.is_on() {
        publish();
    }
}
