//! The same kills, done to Python's multiprocessing on this machine.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use nix::sys::memfd::{MFdFlags, memfd_create};

use super::words::{Words, words};
use crate::sys::clock::monotonic_ns;

/// The program that does one kill by its name.
const PROGRAM: &str = include_str!("../../data/chaos_python.py");
/// How long one may take: it bounds its own waits.
const PATIENCE: Duration = Duration::from_secs(30);

/// What became of those who lived on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    GoesOn,
    Hangs,
}

impl Outcome {
    pub(super) fn words(self) -> Words {
        match self {
            Outcome::GoesOn => words("goes on", "继续"),
            Outcome::Hangs => words("hangs", "卡死"),
        }
    }
}

/// Python's side of the table.
#[derive(Debug, Default)]
pub(super) struct Python {
    /// Its version; `None` if this machine has none.
    pub(super) version: Option<String>,
    pub(super) outcomes: BTreeMap<&'static str, Outcome>,
}

/// Kills under way.
pub(super) struct Started {
    /// The program, which Python's workers read again.
    _program: File,
    kills: Vec<(&'static str, Child)>,
}

/// Starts these kills, all at once. `None` if there is no python3.
pub(super) fn start(names: impl IntoIterator<Item = &'static str>) -> anyhow::Result<Option<Started>> {
    let mut program = File::from(memfd_create("chaos_python", MFdFlags::MFD_CLOEXEC)?);
    program.write_all(PROGRAM.as_bytes())?;
    // By the name under which others see it: Python's workers import what their parent was started with.
    let path = format!("/proc/{}/fd/{}", std::process::id(), program.as_raw_fd());
    let mut kills = Vec::new();
    for name in names {
        let mut python = Command::new("python3");
        python.args([&path, name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        match python.spawn() {
            Ok(child) => kills.push((name, child)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).context("cannot start python3"),
        }
    }
    Ok(Some(Started { _program: program, kills }))
}

impl Started {
    /// Waits for all of them.
    pub(super) fn finish(self) -> anyhow::Result<Python> {
        let mut python = Python::default();
        let until_ns = monotonic_ns() + PATIENCE.as_nanos() as u64;
        for (name, mut child) in self.kills {
            while child.try_wait()?.is_none() {
                if monotonic_ns() > until_ns {
                    child.kill()?;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let (mut said, mut complaint) = (String::new(), String::new());
            child.stdout.take().context("stdout is a pipe")?.read_to_string(&mut said)?;
            child.stderr.take().context("stderr is a pipe")?.read_to_string(&mut complaint)?;
            let reason = complaint.lines().last().unwrap_or("it said nothing");
            let failed = || anyhow!("python3 cannot do the kill {name}: {reason}");
            let (version, outcome) = said.trim().split_once(' ').ok_or_else(failed)?;
            python.version = Some(version.to_owned());
            python.outcomes.insert(name, if outcome == "hangs" { Outcome::Hangs } else { Outcome::GoesOn });
        }
        Ok(python)
    }
}
