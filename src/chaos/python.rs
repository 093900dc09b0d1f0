//! The same kills, performed on Python's multiprocessing on this machine.
//!
//! A Python program performs them; several instances run in parallel, because after a hang an instance mostly waits.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use super::effect::Texts;
use crate::process::StopSignals;
use crate::python;
use crate::sys::clock::monotonic_ns;
use crate::sys::group;

/// The program; it performs the kills whose names it is given.
pub(super) const PROGRAM: &str = include_str!("../../data/chaos_python.py");
/// Parallel instances per processor.
const LANES: usize = 2;
/// Longer than any kill takes with all its repetitions: the program bounds its own waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// The fate of the survivors, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    GoesOn,
    /// An item was put, and no process will ever get it.
    Loses,
    /// A partial effect is visible, or an error that does not report the death.
    Wrong,
    Hangs,
}

impl Outcome {
    pub(super) fn name(self) -> Texts {
        match self {
            Outcome::GoesOn => ["goes on", "继续"],
            Outcome::Loses => ["loses", "丢失数据"],
            Outcome::Wrong => ["wrong", "出错"],
            Outcome::Hangs => ["hangs", "卡死"],
        }
    }
}

/// The number of kills per outcome.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Counts {
    goes_on: usize,
    loses: usize,
    wrong: usize,
    hangs: usize,
}

impl Counts {
    pub(super) fn kills(self) -> usize {
        self.goes_on + self.loses + self.wrong + self.hangs
    }

    pub(super) fn worst(self) -> Outcome {
        match self {
            Counts { hangs: 1.., .. } => Outcome::Hangs,
            Counts { wrong: 1.., .. } => Outcome::Wrong,
            Counts { loses: 1.., .. } => Outcome::Loses,
            _ => Outcome::GoesOn,
        }
    }
}

/// Python's side of the table.
#[derive(Debug, Default)]
pub(super) struct Python {
    pub(super) version: String,
    /// How often a victim is killed in the middle of an operation, unless a survivor hangs before.
    pub(super) most_kills: usize,
    /// How long a survivor has to sleep to count as hanging.
    pub(super) patience_ms: u64,
    pub(super) elapsed_ns: u64,
    counts: BTreeMap<String, Counts>,
}

/// A line of the program's output.
#[derive(Deserialize)]
#[serde(untagged)]
enum Said {
    RunOptions {
        version: String,
        most_kills: usize,
        patience_ms: u64,
    },
    Done {
        kill: String,
        #[serde(flatten)]
        counts: Counts,
    },
    Failed {
        error: String,
    },
}

/// Started instances of the program that perform the kills with `names`.
pub(super) struct Lanes {
    names: Vec<&'static str>,
    processes: Vec<python::Python>,
    /// What they have said so far.
    said: Python,
    begun_ns: u64,
}

impl Lanes {
    /// Starts the instances, and waits until one of them can perform kills.
    ///
    /// # Errors
    /// If there is no suitable python3.
    pub(super) fn start(names: Vec<&'static str>, signals: &StopSignals) -> anyhow::Result<Self> {
        let begun_ns = monotonic_ns();
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let count = (processors * LANES).min(names.len()).max(1);
        let start = |lane| python::Python::start(PROGRAM, names.iter().skip(lane).step_by(count).copied());
        let processes = (0..count).map(start).collect::<anyhow::Result<_>>()?;
        let mut lanes = Lanes { names, processes, said: Python::default(), begun_ns };
        lanes.hear(signals).context("python3 cannot do the kills")?;
        Ok(lanes)
    }

    /// Blocks until a line arrives. Returns `false` at the end of the output, or on a stop request.
    fn hear(&mut self, signals: &StopSignals) -> anyhow::Result<bool> {
        while !self.processes.is_empty() {
            let Some(index) = python::Python::next(&self.processes, signals, PATIENCE)? else { return Ok(false) };
            match self.processes[index].hear()? {
                Some(said) => return self.said.note(said).map(|()| true),
                None => drop(self.processes.swap_remove(index)),
            }
        }
        let missing = self.names.iter().find(|name| !self.said.counts.contains_key(**name));
        ensure!(missing.is_none(), "python3 ended before it had done all kills; {missing:?} is missing");
        Ok(false)
    }

    pub(super) fn kills(&self) -> usize {
        self.names.len()
    }

    /// Blocks until all kills are done, and reports the progress. Returns early on a stop request.
    pub(super) fn finish(mut self, signals: &StopSignals, tell: impl Fn(usize)) -> anyhow::Result<Python> {
        while self.hear(signals)? {
            tell(self.said.counts.len());
        }
        drop(self.processes);
        // The orphans of victims are no matter of this process.
        group::disown_orphans().context("cannot leave orphans to the system")?;
        Ok(Python { elapsed_ns: monotonic_ns() - self.begun_ns, ..self.said })
    }
}

impl Python {
    /// Processes one line of the program's output.
    fn note(&mut self, said: Said) -> anyhow::Result<()> {
        match said {
            Said::RunOptions { version, most_kills, patience_ms } => {
                (self.version, self.most_kills, self.patience_ms) = (version, most_kills, patience_ms);
            }
            Said::Done { kill, counts } => drop(self.counts.insert(kill, counts)),
            Said::Failed { error } => bail!("python3 cannot perform a kill: {error}"),
        }
        Ok(())
    }

    /// Returns the result of the kill with this name. `None` if Python has no such kill.
    pub(super) fn of(&self, name: Option<&str>) -> Option<Counts> {
        self.counts.get(name?).copied()
    }

    pub(super) fn kills(&self) -> usize {
        self.counts.values().map(|counts| counts.kills()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(line: &str) -> Python {
        let mut python = Python::default();
        python.note(serde_json::from_str(line).expect("JSON")).expect("a kill");
        assert_eq!(python.counts.len(), 1);
        python
    }

    #[test]
    fn worst_that_was_seen_counts() {
        let worst = |line| heard(line).counts["Lock.idle"].worst();
        assert_eq!(worst(r#"{"kill":"Lock.idle","goes_on":3,"loses":0,"wrong":0,"hangs":0}"#), Outcome::GoesOn);
        assert_eq!(worst(r#"{"kill":"Lock.idle","goes_on":3,"loses":2,"wrong":0,"hangs":0}"#), Outcome::Loses);
        assert_eq!(worst(r#"{"kill":"Lock.idle","goes_on":0,"loses":2,"wrong":1,"hangs":0}"#), Outcome::Wrong);
        assert_eq!(worst(r#"{"kill":"Lock.idle","goes_on":9,"loses":2,"wrong":1,"hangs":1}"#), Outcome::Hangs);
    }

    #[test]
    fn terms_are_no_kill_and_complaints_are_errors() {
        let mut python = Python::default();
        let terms = serde_json::from_str(r#"{"version":"3.0","most_kills":4,"patience_ms":5}"#).expect("JSON");
        python.note(terms).expect("terms");
        assert!(python.counts.is_empty());
        assert_eq!((python.version.as_str(), python.most_kills, python.patience_ms), ("3.0", 4, 5));
        assert!(python.note(Said::Failed { error: "no memory".to_owned() }).is_err());
        for broken in [r#"{"kill":"Lock.idle","goes_on":3}"#, "Traceback"] {
            assert!(serde_json::from_str::<Said>(broken).is_err(), "{broken}");
        }
    }
}
