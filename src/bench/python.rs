//! Python's own `multiprocessing` doing the same work: one python3 that is given one task at a time.
//!
//! # Death
//! python3 has a process group of its own. However the measurement ends, the group is killed, and each of its processes
//! is waited for, including orphans, which this process adopts. If this process is killed, the kernel kills them.

use std::cell::RefCell;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use super::workload::{Kind, Point, RoundTrips, Sample, Workload};
use crate::process::StopSignals;
use crate::sys::clock::monotonic_ns;
use crate::sys::{fd, group};

const PROGRAM: &str = include_str!("../../data/bench_python.py");
/// A task that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A python3 that waits for tasks.
pub(super) struct Python<'a> {
    child: Child,
    talk: RefCell<Talk>,
    signals: &'a StopSignals,
    pub(super) version: String,
}

struct Talk {
    tasks: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// Its first message.
#[derive(Deserialize)]
struct Hello {
    version: String,
}

/// Its answer to a task.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    Failed { error: String },
    Done { operations: u64, elapsed_ns: u64, p50_ns: Option<f64>, p99_ns: Option<f64> },
}

impl<'a> Python<'a> {
    /// Starts it, and waits until it is ready.
    ///
    /// # Errors
    /// If no suitable python3 exists.
    pub(super) fn start(signals: &'a StopSignals) -> Result<Self> {
        // Its orphans become children of this process, to be waited for.
        group::adopt_orphans().context("cannot take care of orphaned processes")?;
        let started = Command::new("python3")
            .args(["-I", "-c", PROGRAM, &std::process::id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = match started {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                bail!("there is no python3 in the PATH to compare with; install it, or leave --against out")
            }
            started => started.context("cannot start python3")?,
        };
        let talk = Talk {
            tasks: child.stdin.take().expect("piped"),
            answers: BufReader::new(child.stdout.take().expect("piped")),
        };
        let mut python = Python { child, talk: RefCell::new(talk), signals, version: String::new() };
        let hello: Hello = python.hear().context("python3 cannot do it")?;
        python.version = hello.version;
        Ok(python)
    }

    fn ask(&self, task: &Value, operations: u64) -> Result<Sample> {
        let mut task = task.clone();
        task["times"] = operations.into();
        // One write, so that the line arrives completely or not at all.
        let line = format!("{task}\n");
        self.talk.borrow_mut().tasks.write_all(line.as_bytes()).context("python3 is gone")?;
        match self.hear()? {
            Answer::Failed { error } => Err(anyhow!(error)),
            Answer::Done { operations, elapsed_ns, p50_ns, p99_ns } => Ok(Sample {
                operations,
                elapsed: Duration::from_nanos(elapsed_ns),
                round_trips: p50_ns.zip(p99_ns).map(|(p50_ns, p99_ns)| RoundTrips { p50_ns, p99_ns }),
            }),
        }
    }

    /// Waits for a line, at most for [`PATIENCE`] and until this process is asked to stop.
    fn hear<T: for<'de> Deserialize<'de>>(&self) -> Result<T> {
        let answers = &mut self.talk.borrow_mut().answers;
        let until_ns = monotonic_ns() + PATIENCE.as_nanos() as u64;
        let either = [answers.get_ref().as_fd(), self.signals.as_fd()];
        if !fd::wait_any_readable(&either, Some(until_ns))?.contains(&true) {
            bail!("python3 did not answer within {} s", PATIENCE.as_secs());
        }
        if self.signals.asked().is_some() {
            bail!("asked to stop");
        }
        let mut line = String::new();
        // A line is written at once: its end follows its beginning closely.
        match answers.read_line(&mut line).context("cannot hear python3")? {
            0 => bail!("python3 ended"),
            _ => serde_json::from_str(&line).with_context(|| format!("python3 said {line:?}")),
        }
    }

    /// Adds a side to every point that Python has a counterpart for.
    pub(super) fn join_in(&'a self, workload: &mut Workload<'a>) {
        let name = if workload.axis.is_some() { "python3".to_owned() } else { format!("python3 {}", self.version) };
        for point in &mut workload.points {
            if let Some(task) = point.for_python.take() {
                let sides = std::mem::take(&mut point.sides);
                let with = Point { sides, ..Point::at(point.at) };
                *point = with.side(&name, Kind::Python, move |operations| self.ask(&task, operations));
            }
        }
    }
}

impl Drop for Python<'_> {
    fn drop(&mut self) {
        // It waits for a task or hangs in one; nothing in it needs an orderly shutdown.
        group::kill_group(self.child.id());
    }
}
