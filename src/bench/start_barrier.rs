//! The start of a measurement across processes: all workers are ready before the clock runs.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::Process;
use crate::process::Fd;

/// A barrier that the workers wait at, and the starter opens: the starter's side.
pub(super) struct StartBarrier {
    ready: PipeReader,
    arrives: Fd,
    waits: Fd,
    go: PipeWriter,
}

impl StartBarrier {
    pub(super) fn new() -> Result<Self> {
        let (ready, arrives) = std::io::pipe()?;
        let (waits, go) = std::io::pipe()?;
        Ok(StartBarrier { ready, arrives: Fd::new(arrives), waits: Fd::new(waits), go })
    }

    /// Returns what a worker needs to take part.
    pub(super) fn participant(&self) -> Participant {
        Participant { ready: self.arrives.clone(), go: self.waits.clone() }
    }

    /// Waits until `workers` workers are ready, and lets them start. They report through the returned reader.
    pub(super) fn open(self, workers: usize) -> Result<(Instant, PipeReader)> {
        let StartBarrier { mut ready, arrives, waits, go } = self;
        drop((arrives, waits));
        ready.read_exact(&mut vec![0; workers]).context("the workers come to the start")?;
        let begun = Instant::now();
        drop(go);
        Ok((begun, ready))
    }
}

/// Where a worker waits for the start, and reports that it is ready and what it did.
#[derive(Serialize, Deserialize)]
pub(super) struct Participant {
    ready: Fd,
    go: Fd,
}

impl Participant {
    /// Waits for the start. Returns the writer for the report.
    pub(super) fn wait(self) -> Result<PipeWriter> {
        let mut ready = PipeWriter::from(self.ready.into_owned()?);
        ready.write_all(&[1])?;
        let mut go = PipeReader::from(self.go.into_owned()?);
        go.read_to_end(&mut Vec::new())?;
        Ok(ready)
    }
}

/// Joins workers. Returns an error unless all of them succeed.
pub(super) fn join_all(workers: impl IntoIterator<Item = Process>) -> Result<()> {
    workers.into_iter().try_for_each(|mut worker| {
        ensure!(worker.join()?.is_success(), "{:?}", worker.ended());
        Ok(())
    })
}
