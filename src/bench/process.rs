//! Starting a worker and waiting for its end.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::start_barrier::join_all;
use super::workload::{Point, Sample, Workload};
use crate::{Process, Role, RoleEntry, RoleResult};

pub(super) fn workload<'a>() -> Workload<'a> {
    let point = Point::only()
        .ours("Process::spawn + join", ours)
        .baseline("std::process::Command", std_command)
        .python(json!({ "task": "spawn" }));
    Workload::new("spawn", "start a worker and join it", point)
}

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Nothing>();

/// A worker that does nothing.
#[derive(Serialize, Deserialize)]
struct Nothing;

impl Role for Nothing {
    const NAME: &'static str = "bench.nothing";

    fn run(self) -> RoleResult {
        Ok(())
    }
}

fn ours(starts: u64) -> Result<Sample> {
    Sample::of(starts, || join_all([Process::spawn("nothing", Nothing)?]))
}

/// Starts this program with the cheapest possible request.
fn std_command(starts: u64) -> Result<Sample> {
    Sample::of(starts, || {
        let mut command = Command::new("/proc/self/exe");
        command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null());
        ensure!(command.status().context("cannot start this program again")?.success(), "it failed");
        Ok(())
    })
}
