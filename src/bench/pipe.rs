//! Numbers one way through a pipe between two processes, next to the bare system calls with frames of the same length.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::start_barrier::join_all;
use super::workload::{Point, Sample, Workload};
use crate::pipe::{Receiver, Sender, pipe};
use crate::{Process, Role, RoleEntry, RoleResult};

/// A large number has the longest encoding: ten bytes, plus four of header.
const NUMBER: u64 = u64::MAX;
const FRAME: usize = 14;

pub(super) fn workload<'a>() -> Workload<'a> {
    let point = Point::only()
        .ours("Sender::send, Receiver::recv", |messages| run(Way::Ours, messages))
        .ours("through a shared end", |messages| run(Way::Shared, messages))
        .baseline("write(2), read(2) a message", |messages| run(Way::Raw, messages))
        .python(json!({ "task": "pipe", "value": NUMBER }));
    Workload::new("pipe", "send a u64 one way from process to process", point)
}

pub(super) const ROLE: RoleEntry = RoleEntry::of::<BenchReceiver>();

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Raw,
    Ours,
    Shared,
}

fn run(way: Way, messages: u64) -> Result<Sample> {
    let (receiver, mut sender) = pipe()?;
    let (mut done, tell) = pipe::<()>()?;
    let from = if way == Way::Shared { receiver.try_clone()? } else { receiver };
    let process = Process::spawn("receiver", BenchReceiver { from, tell, way, messages })?;
    done.recv()?;
    let begun = Instant::now();
    if way == Way::Raw {
        let mut raw = File::from(sender.as_fd().try_clone_to_owned()?);
        for _ in 0..messages {
            raw.write_all(&[7; FRAME])?;
        }
    } else {
        for _ in 0..messages {
            sender.send(&NUMBER)?;
        }
    }
    done.recv()?;
    let sample = Sample::since(begun, messages);
    join_all([process])?;
    Ok(sample)
}

/// The receiving side: reports when it is ready, and when it has received everything.
#[derive(Serialize, Deserialize)]
struct BenchReceiver {
    from: Receiver<u64>,
    tell: Sender<()>,
    way: Way,
    messages: u64,
}

impl Role for BenchReceiver {
    const NAME: &'static str = "bench.pipe-receiver";

    fn run(self) -> RoleResult {
        let BenchReceiver { mut from, mut tell, .. } = self;
        tell.send(&())?;
        if self.way == Way::Raw {
            let mut raw = File::from(from.as_fd().try_clone_to_owned()?);
            let mut frame = [0; FRAME];
            for _ in 0..self.messages {
                raw.read_exact(&mut frame)?;
            }
        } else {
            for _ in 0..self.messages {
                from.recv()?;
            }
        }
        Ok(tell.send(&())?)
    }
}
