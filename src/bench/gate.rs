//! The start of a race between processes: all are there before the clock runs.

use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::ipc::{Give, Inherited, Slot};

/// The starter's side.
pub(super) struct Start {
    ready: PipeReader,
    arrives: OwnedFd,
    waits: OwnedFd,
    go: PipeWriter,
}

impl Start {
    pub(super) fn new() -> Result<Self> {
        let (ready, arrives) = std::io::pipe()?;
        let (waits, go) = std::io::pipe()?;
        Ok(Start { ready, arrives: arrives.into(), waits: waits.into(), go })
    }

    /// What a worker needs to take part.
    pub(super) fn gate(&self, give: &mut Give) -> Gate {
        Gate { ready: give.share(&self.arrives), go: give.share(&self.waits) }
    }

    /// Waits until so many workers are there, and lets them go. They report through what is returned.
    pub(super) fn fire(self, workers: usize) -> Result<(Instant, PipeReader)> {
        let Start { mut ready, arrives, waits, go } = self;
        drop((arrives, waits));
        ready.read_exact(&mut vec![0; workers]).context("the workers come to the start")?;
        let begun = Instant::now();
        drop(go);
        Ok((begun, ready))
    }
}

/// Where a worker waits for the start, and says that it is there and what it has done.
#[derive(Serialize, Deserialize)]
pub(super) struct Gate {
    ready: Slot<OwnedFd>,
    go: Slot<OwnedFd>,
}

impl Gate {
    /// Waits for the start. The result is for the report.
    pub(super) fn pass(self, inherited: &mut Inherited) -> Result<PipeWriter> {
        let mut ready = PipeWriter::from(inherited.take(self.ready)?);
        ready.write_all(&[1])?;
        let mut go = PipeReader::from(inherited.take(self.go)?);
        go.read_to_end(&mut Vec::new())?;
        Ok(ready)
    }
}
