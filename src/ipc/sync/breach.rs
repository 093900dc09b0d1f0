//! Why a barrier is broken, in words and as a word of shared memory.

use std::fmt;

/// Why a barrier is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Breach {
    /// A party died, in this process; `None` if its id is no longer known.
    Died(Option<u32>),
    /// A party waited longer than it wanted to.
    TimedOut,
    /// Somebody called [`Barrier::abort`](crate::ipc::Barrier::abort).
    Aborted,
    /// The action panicked.
    ActionFailed,
    /// Somebody called [`Barrier::reset`](crate::ipc::Barrier::reset) while parties waited.
    Reset,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Breach::Died(Some(pid)) => write!(f, "process {pid} died"),
            Breach::Died(None) => write!(f, "a party died"),
            Breach::TimedOut => write!(f, "a party timed out"),
            Breach::Aborted => write!(f, "it was aborted"),
            Breach::ActionFailed => write!(f, "its action panicked"),
            Breach::Reset => write!(f, "it was reset"),
        }
    }
}

impl Breach {
    pub(crate) fn to_word(self) -> u64 {
        match self {
            Breach::Died(pid) => 1 << 32 | u64::from(pid.unwrap_or(0)),
            Breach::TimedOut => 2 << 32,
            Breach::Aborted => 3 << 32,
            Breach::ActionFailed => 4 << 32,
            Breach::Reset => 5 << 32,
        }
    }

    pub(crate) fn from_word(word: u64) -> Self {
        match word >> 32 {
            1 => Breach::Died(Some(word as u32).filter(|pid| *pid != 0)),
            2 => Breach::TimedOut,
            4 => Breach::ActionFailed,
            5 => Breach::Reset,
            _ => Breach::Aborted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_breach_survives_its_word() {
        use Breach::*;
        for breach in [Died(Some(7)), Died(None), TimedOut, Aborted, ActionFailed, Reset] {
            assert_eq!(Breach::from_word(breach.to_word()), breach);
        }
    }
}
