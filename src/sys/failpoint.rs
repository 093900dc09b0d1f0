//! Faults built in on purpose, to see that the proof of crash safety finds them: a proof that cannot fail proves nothing.
//!
//! All of it is compiled with debug assertions only, this file and the line at each place of a fault: a release has neither
//! a switch nor a branch for it.
//!
//! # State
//! One for a process, chosen once at its start: a fault is a fault of the whole program.

use nix::libc;
use serde::{Deserialize, Serialize};

use super::atomic::{
    AtomicU8, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

/// What is done wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Failpoint {
    /// A change and the wake of those who wait for it are two steps.
    TwoStepWake = 1,
    /// Leases that a killed reader wrote and did not publish are left in the table.
    NoScrub = 2,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Failpoint {
    /// From now on this process does it wrong.
    pub(crate) fn begin(self) {
        CHOSEN.store(self as u8, Relaxed);
    }

    /// What this process does wrong, to have its workers do it too.
    pub(crate) fn chosen() -> Option<Self> {
        [Failpoint::TwoStepWake, Failpoint::NoScrub].into_iter().find(|failpoint| failpoint.is_on())
    }

    fn is_on(self) -> bool {
        CHOSEN.load(Relaxed) == self as u8
    }
}

/// For who changes a futex word and wakes its sleepers in one system call: with the fault the word is changed here, and the
/// system call is left with an operand that changes nothing. Who is killed between the two leaves sleepers behind.
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

/// For who looks for leases on items that are still in the ring: with the fault it is told that every item was taken.
pub(crate) fn all_taken(head_items: u64) -> u64 {
    if Failpoint::NoScrub.is_on() { u64::MAX } else { head_items }
}
