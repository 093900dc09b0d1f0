//! Numbers one way through a pipe between two processes, beside the bare system calls with frames of the same length.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::{Side, Workload};
use crate::ipc::{Inherited, Process, Receiver, Role, RoleEntry, RoleResult, Sender, Slot, pipe};

/// A large number has the longest form: ten bytes, and four of header.
const NUMBER: u64 = u64::MAX;
const FRAME: usize = 14;
const MESSAGES: u64 = 200_000;

pub(super) static ONE_WAY: Workload = Workload {
    name: "pipe",
    about: "send a u64 one way from process to process",
    sides: &[
        Side { name: "Sender::send, Receiver::recv", ns_per_operation: || run(Way::Ours) },
        Side { name: "the same through a shared end", ns_per_operation: || run(Way::Shared) },
        Side { name: "write(2), read(2) a message", ns_per_operation: || run(Way::Raw) },
    ],
};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<BenchReceiver>();

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Way {
    Raw,
    Ours,
    Shared,
}

fn run(way: Way) -> anyhow::Result<f64> {
    let (receiver, mut sender) = pipe()?;
    let (mut done, tell) = pipe::<()>()?;
    let mut process = Process::spawn("receiver", |give| BenchReceiver {
        from: if way == Way::Shared { give.share(&receiver) } else { give.hand_over(receiver) },
        tell: give.hand_over(tell),
        way,
    })?;
    done.recv()?;
    let begun = Instant::now();
    if way == Way::Raw {
        let mut raw = File::from(sender.as_fd().try_clone_to_owned()?);
        for _ in 0..MESSAGES {
            raw.write_all(&[7; FRAME])?;
        }
    } else {
        for _ in 0..MESSAGES {
            sender.send(&NUMBER)?;
        }
    }
    done.recv()?;
    let elapsed = begun.elapsed();
    process.join()?;
    Ok(elapsed.as_nanos() as f64 / MESSAGES as f64)
}

/// The receiving side: says when it is ready, and when it has received all.
#[derive(Serialize, Deserialize)]
struct BenchReceiver {
    from: Slot<Receiver<u64>>,
    tell: Slot<Sender<()>>,
    way: Way,
}

impl Role for BenchReceiver {
    const NAME: &'static str = "bench.pipe-receiver";
    fn run(self, inherited: &mut Inherited) -> RoleResult {
        let mut from = inherited.take(self.from)?;
        let mut tell = inherited.take(self.tell)?;
        tell.send(&())?;
        if self.way == Way::Raw {
            let mut raw = File::from(from.as_fd().try_clone_to_owned()?);
            let mut frame = [0; FRAME];
            for _ in 0..MESSAGES {
                raw.read_exact(&mut frame)?;
            }
        } else {
            for _ in 0..MESSAGES {
                from.recv()?;
            }
        }
        Ok(tell.send(&())?)
    }
}
