//! Starting a worker and waiting for its end.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::{Side, Workload};
use crate::ipc::{Inherited, Process, Role, RoleEntry, RoleResult};

const STARTS: u32 = 40;

pub(super) static START_AND_JOIN: Workload = Workload {
    name: "spawn",
    about: "start a worker and wait for its end",
    sides: &[
        Side { name: "Process::spawn + join", ns_per_operation: ours },
        Side { name: "std::process::Command of itself", ns_per_operation: std_command },
    ],
};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Nothing>();

/// A worker that does nothing.
#[derive(Serialize, Deserialize)]
struct Nothing;

impl Role for Nothing {
    const NAME: &'static str = "bench.nothing";

    fn run(self, _: &mut Inherited) -> RoleResult {
        Ok(())
    }
}

fn ours() -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..STARTS {
        let mut worker = Process::spawn("nothing", |_| Nothing)?;
        ensure!(worker.join()?.is_success(), "{:?}", worker.ended());
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(STARTS))
}

/// The same program, asked for the least it can do.
fn std_command() -> anyhow::Result<f64> {
    let begun = Instant::now();
    for _ in 0..STARTS {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
        ensure!(command.status().context("cannot start this program again")?.success(), "it failed");
    }
    Ok(begun.elapsed().as_nanos() as f64 / f64::from(STARTS))
}
