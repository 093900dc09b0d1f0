//! One instance of the Python program.
//!
//! # Death
//! Python asks the kernel to kill it when its parent ends, and so does each of its workers: none is left behind,
//! however this process ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{self, Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;

use crate::sys::clock::monotonic_ns;
use crate::sys::group;

/// How long Python may take to end its workers and itself.
const GRACE_NS: u64 = 5_000_000_000;

/// A Python process that is told to end, and waited for, on drop.
pub(super) struct Lane {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Lane {
    /// Starts a Python that performs the kills with these names, and forwards its output line by line.
    pub(super) fn start<'a>(
        program: &str,
        names: impl Iterator<Item = &'a &'static str>,
        mouth: Sender<String>,
    ) -> anyhow::Result<Self> {
        let mut python = Command::new("python3");
        python.args(["-", &process::id().to_string()]).args(names);
        python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = python.spawn().context("cannot start python3")?;
        let mut lane = Lane { child, reader: None };
        let stdout = lane.child.stdout.take().context("stdout is a pipe")?;
        let stdin = lane.child.stdin.take();
        stdin.context("stdin is a pipe")?.write_all(program.as_bytes()).context("python3 does not read its program")?;
        let read = move || {
            // The receiver decides when to stop.
            let _ = BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| mouth.send(line));
        };
        lane.reader = Some(thread::Builder::new().name("python".into()).spawn(read)?);
        Ok(lane)
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if !self.has_ended() {
            // It has not been waited for yet, so the process ID is still its own.
            group::terminate(self.child.id());
            let until_ns = monotonic_ns() + GRACE_NS;
            while !self.has_ended() && monotonic_ns() < until_ns {
                thread::sleep(Duration::from_millis(2));
            }
            // Only a process that ignored the signal is still there.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        if let Some(reader) = self.reader.take() {
            // Its input ended with Python and its workers.
            let _ = reader.join();
        }
    }
}
