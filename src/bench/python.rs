//! Python's own `multiprocessing` doing the same work: one python3 that is given one task at a time.

use std::cell::RefCell;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::workload::{Kind, RoundTrips, Sample, Workload};
use crate::process::StopSignals;
use crate::python;

const PROGRAM: &str = include_str!("../../data/bench_python.py");
/// A task that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A python3 that waits for tasks.
pub(super) struct Python<'a> {
    /// Always one.
    process: RefCell<[python::Python; 1]>,
    signals: &'a StopSignals,
    pub(super) version: String,
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
        let process = RefCell::new([python::Python::start(PROGRAM, [])?]);
        let mut python = Python { process, signals, version: String::new() };
        let hello: Hello = python.hear().context("python3 cannot do it")?;
        python.version = hello.version;
        Ok(python)
    }

    fn ask(&self, task: &Value, operations: u64) -> Result<Sample> {
        let mut task = task.clone();
        task["times"] = operations.into();
        self.process.borrow_mut()[0].tell(&task)?;
        match self.hear()? {
            Answer::Failed { error } => Err(anyhow!(error)),
            Answer::Done { operations, elapsed_ns, p50_ns, p99_ns } => Ok(Sample {
                operations,
                elapsed: Duration::from_nanos(elapsed_ns),
                round_trips: p50_ns.zip(p99_ns).map(|(p50_ns, p99_ns)| RoundTrips { p50_ns, p99_ns }),
            }),
        }
    }

    fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        let mut process = self.process.borrow_mut();
        match python::Python::next(&*process, self.signals, TIMEOUT)? {
            None => bail!("asked to stop"),
            Some(_) => process[0].hear()?.context("python3 ended"),
        }
    }

    /// Adds a side to every point for each counterpart in Python.
    pub(super) fn join_in(&'a self, workload: &mut Workload<'a>) {
        let python = if workload.axis.is_some() { "python3".to_owned() } else { format!("python3 {}", self.version) };
        for point in &mut workload.points {
            for (name, task) in std::mem::take(&mut point.for_python) {
                point.add(name.unwrap_or(&python), Kind::Python, move |operations| self.ask(&task, operations));
            }
        }
    }
}
