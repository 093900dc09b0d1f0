//! The same kills, performed on Python's multiprocessing on this machine.
//!
//! A Python program performs them; several instances run in parallel, because after a hang an instance mostly waits.

mod lane;

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context, anyhow, bail, ensure};
use serde::{Deserialize, Serialize};

use self::lane::Lane;
use super::LOOK_EVERY;
use super::case::Row;
use super::i18n::{Localized, localized};
use crate::sys::clock::monotonic_ns;

/// The program; it performs the kills whose names it is given.
pub(super) const PROGRAM: &str = include_str!("../../data/chaos_python.py");
/// The modules that the program needs.
const NEEDED: &str = "import ctypes, multiprocessing";
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
    pub(super) fn localized(self) -> Localized {
        match self {
            Outcome::GoesOn => localized("goes on", "继续"),
            Outcome::Loses => localized("loses", "丢失数据"),
            Outcome::Wrong => localized("wrong", "出错"),
            Outcome::Hangs => localized("hangs", "卡死"),
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

/// Checks that there is a Python that can do the kills; the error names what is missing.
pub(super) fn find() -> anyhow::Result<()> {
    let tried = match Command::new("python3").args(["-c", NEEDED]).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            bail!("there is no python3 in the PATH to put beside it; install it, or leave --against out")
        }
        tried => tried.context("cannot start python3")?,
    };
    let complaint = String::from_utf8_lossy(&tried.stderr);
    let reason = complaint.trim().lines().last().unwrap_or("it said nothing");
    ensure!(tried.status.success(), "python3 cannot do the kills ({reason}); try: python3 -c '{NEEDED}'");
    Ok(())
}

/// Performs the kills with these names. Reports each finished kill; ends early once it `is_stopped`.
pub(super) fn kill(
    names: &[&'static str],
    processors: usize,
    tell: impl Fn(),
    is_stopped: impl Fn() -> bool,
) -> anyhow::Result<Python> {
    let begun_ns = monotonic_ns();
    let (mouth, heard) = mpsc::channel();
    let count = (processors * LANES).min(names.len()).max(1);
    let start = |lane| Lane::start(PROGRAM, names.iter().skip(lane).step_by(count), mouth.clone());
    // They end when this is dropped, whatever the result.
    let _lanes = (0..count).map(start).collect::<anyhow::Result<Vec<_>>>()?;
    drop(mouth);
    let mut python = Python::default();
    let mut spoken_ns = begun_ns;
    while !is_stopped() {
        match heard.recv_timeout(LOOK_EVERY) {
            Ok(line) => {
                spoken_ns = monotonic_ns();
                if python.hear(&line)? {
                    tell();
                }
            }
            Err(RecvTimeoutError::Timeout) => {
                let silence = Duration::from_nanos(monotonic_ns() - spoken_ns);
                ensure!(silence < PATIENCE, "python3 has said nothing for {} seconds", PATIENCE.as_secs());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let missing = names.iter().find(|name| !python.counts.contains_key(**name));
                ensure!(missing.is_none(), "python3 ended before it had done all kills; {missing:?} is missing");
                break;
            }
        }
    }
    python.elapsed_ns = monotonic_ns() - begun_ns;
    Ok(python)
}

impl Python {
    /// Processes a line of the program. Returns whether it was a finished kill.
    fn hear(&mut self, line: &str) -> anyhow::Result<bool> {
        match serde_json::from_str(line).with_context(|| format!("python3 said what cannot be read: {line}"))? {
            Said::RunOptions { version, most_kills, patience_ms } => {
                (self.version, self.most_kills, self.patience_ms) = (version, most_kills, patience_ms);
                Ok(false)
            }
            Said::Done { kill, counts } => Ok(self.counts.insert(kill, counts).is_none()),
            Said::Failed { error } => Err(anyhow!("python3 cannot do a kill: {error}")),
        }
    }

    /// Returns the result of a row's kill. `None` if Python has no such kill.
    pub(super) fn of(&self, row: &Row) -> Option<Counts> {
        self.counts.get(row.python?).copied()
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
        assert!(python.hear(line).expect("a kill"));
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
        assert!(!python.hear(r#"{"version":"3.0","most_kills":4,"patience_ms":5}"#).expect("terms"));
        assert_eq!((python.version.as_str(), python.most_kills, python.patience_ms), ("3.0", 4, 5));
        for broken in [r#"{"error":"no memory"}"#, r#"{"kill":"Lock.idle","goes_on":3}"#, "Traceback"] {
            assert!(python.hear(broken).is_err(), "{broken}");
        }
    }
}
