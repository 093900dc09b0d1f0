//! Why a barrier is broken, as an enum and as a word of shared memory.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Why a barrier is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum BreakCause {
    /// The party in this process died; `None` if its id is no longer known.
    Died(Option<u32>),
    /// A party's wait timed out.
    TimedOut,
    /// [`Barrier::abort`](crate::Barrier::abort) was called.
    Aborted,
    /// The action panicked, or returned an error.
    ActionFailed,
    /// [`Barrier::reset`](crate::Barrier::reset) was called while parties waited.
    Reset,
}

impl fmt::Display for BreakCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BreakCause::Died(Some(pid)) => write!(f, "process {pid} died"),
            BreakCause::Died(None) => write!(f, "a party died"),
            BreakCause::TimedOut => write!(f, "a party timed out"),
            BreakCause::Aborted => write!(f, "it was aborted"),
            BreakCause::ActionFailed => write!(f, "its action failed"),
            BreakCause::Reset => write!(f, "it was reset"),
        }
    }
}

impl BreakCause {
    pub(crate) fn to_word(self) -> u64 {
        match self {
            BreakCause::Died(pid) => 1 << 32 | u64::from(pid.unwrap_or(0)),
            BreakCause::TimedOut => 2 << 32,
            BreakCause::Aborted => 3 << 32,
            BreakCause::ActionFailed => 4 << 32,
            BreakCause::Reset => 5 << 32,
        }
    }

    pub(crate) fn from_word(word: u64) -> Self {
        match word >> 32 {
            1 => BreakCause::Died(Some(word as u32).filter(|pid| *pid != 0)),
            2 => BreakCause::TimedOut,
            4 => BreakCause::ActionFailed,
            5 => BreakCause::Reset,
            _ => BreakCause::Aborted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_break_cause_survives_its_word() {
        use BreakCause::*;
        for cause in [Died(Some(7)), Died(None), TimedOut, Aborted, ActionFailed, Reset] {
            assert_eq!(BreakCause::from_word(cause.to_word()), cause);
        }
    }
}
