//! The start of a measurement across processes: all workers are ready before the clock runs.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::process::Fd;

/// The starter's side.
pub(super) struct Start {
    ready: PipeReader,
    arrives: Fd,
    waits: Fd,
    go: PipeWriter,
}

impl Start {
    pub(super) fn new() -> Result<Self> {
        let (ready, arrives) = std::io::pipe()?;
        let (waits, go) = std::io::pipe()?;
        Ok(Start { ready, arrives: Fd::new(arrives), waits: Fd::new(waits), go })
    }

    /// Returns what a worker needs to take part.
    pub(super) fn gate(&self) -> Gate {
        Gate { ready: self.arrives.clone(), go: self.waits.clone() }
    }

    /// Waits until `workers` workers are ready, and lets them start. They report through the returned reader.
    pub(super) fn fire(self, workers: usize) -> Result<(Instant, PipeReader)> {
        let Start { mut ready, arrives, waits, go } = self;
        drop((arrives, waits));
        ready.read_exact(&mut vec![0; workers]).context("the workers come to the start")?;
        let begun = Instant::now();
        drop(go);
        Ok((begun, ready))
    }
}

/// Where a worker waits for the start, and reports that it is ready and what it did.
#[derive(Serialize, Deserialize)]
pub(super) struct Gate {
    ready: Fd,
    go: Fd,
}

impl Gate {
    /// Waits for the start. Returns the writer for the report.
    pub(super) fn pass(self) -> Result<PipeWriter> {
        let mut ready = PipeWriter::from(self.ready.into_owned()?);
        ready.write_all(&[1])?;
        let mut go = PipeReader::from(self.go.into_owned()?);
        go.read_to_end(&mut Vec::new())?;
        Ok(ready)
    }
}
