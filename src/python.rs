//! A python3 to compare with: it runs a program that says one JSON object per line.
//!
//! # Death
//! python3 has a process group of its own. However the comparison ends, the group is killed, and each of its processes
//! is waited for, including orphans, which this process adopts. If this process is killed, the kernel kills them: every
//! program asks for that first.

use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::process::StopSignals;
use crate::sys::clock::monotonic_ns;
use crate::sys::{fd, group};

/// A running python3.
pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// Starts `program`. Its arguments are this process's ID and `args`.
    ///
    /// # Errors
    /// If there is no python3.
    pub(crate) fn start<'a>(program: &str, args: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        // Its orphans become children of this process, to be waited for.
        group::adopt_orphans().context("cannot take care of orphaned processes")?;
        let mut python = Command::new("python3");
        python.args(["-I", "-c", program, &std::process::id().to_string()]).args(args);
        let mut child = match python.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0).spawn() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("there is no python3 in the PATH to compare with; install it, or leave --against out")
            }
            started => started.context("cannot start python3")?,
        };
        let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Ok(Python { child, input, output: BufReader::new(output) })
    }

    /// Sends a line.
    pub(crate) fn tell(&mut self, line: &Value) -> Result<()> {
        // One write, so that the line arrives completely or not at all.
        self.input.write_all(format!("{line}\n").as_bytes()).context("python3 is gone")
    }

    /// Returns what the next line says; `None` if there is none left.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let mut line = String::new();
        // A line is written at once: its end follows its beginning closely.
        match self.output.read_line(&mut line).context("cannot hear python3")? {
            0 => Ok(None),
            _ => serde_json::from_str(&line).with_context(|| format!("python3 said {line:?}")).map(Some),
        }
    }

    /// Waits until one of `all` says something or ends, and returns its index; `None` on a stop request.
    ///
    /// # Errors
    /// If nothing comes within `patience`.
    pub(crate) fn next(all: &[Self], signals: &StopSignals, patience: Duration) -> Result<Option<usize>> {
        if let Some(index) = all.iter().position(|python| !python.output.buffer().is_empty()) {
            return Ok(Some(index));
        }
        let until_ns = monotonic_ns() + patience.as_nanos() as u64;
        let mut sources = vec![signals.as_fd()];
        sources.extend(all.iter().map(|python| python.output.get_ref().as_fd()));
        match fd::wait_any_readable(&sources, Some(until_ns))?.iter().position(|is_readable| *is_readable) {
            None => bail!("python3 did not answer within {} s", patience.as_secs()),
            Some(0) => Ok(None),
            Some(source) => Ok(Some(source - 1)),
        }
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It waits for a task or hangs in one; nothing in it needs an orderly shutdown.
        group::kill_group(self.child.id());
    }
}
