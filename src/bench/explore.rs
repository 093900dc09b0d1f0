//! Exploring schedules of two workers, next to the same workers without a scheduler.

use std::time::Instant;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};

use super::workload::{Point, Sample, Workload};
use crate::explore::{Explorer, Failure, Report};
use crate::{Lock, Process, Role, RoleEntry, RoleResult};

/// Returns the workloads, in the order of the output.
pub(super) fn workloads<'a>() -> [Workload<'a>; 2] {
    let workload = |name, about, ours, run: fn(&Explorer) -> Explored| {
        let explore = move |schedules| {
            // There are only two: they are run again and again, at random.
            let (begun, explorer) = (Instant::now(), Explorer::new().limit(1).random(schedules - 1, 1));
            run(&explorer).map_err(|failure| anyhow!("{failure}"))?;
            Ok(Sample::since(begun, schedules))
        };
        let alone = |times| Sample::of(times, || Ok(two_workers()?));
        Workload::new(name, about, Point::only().ours(ours, explore).baseline("spawn + join", alone))
    };
    [
        workload("explore", "run a schedule of two workers with three steps", "Explorer::check", |explorer| {
            explorer.check(|| Ok(two_workers()?))
        }),
        workload("explore-parallel", "the same on all processors", "Explorer::check_parallel", |explorer| {
            explorer.check_parallel(|| Ok(two_workers()?))
        }),
    ]
}

type Explored = std::result::Result<Report, Failure>;

pub(super) const ROLE: RoleEntry = RoleEntry::of::<TakesThreeSteps>();

/// A worker with three steps.
#[derive(Serialize, Deserialize)]
struct TakesThreeSteps(Lock);

impl Role for TakesThreeSteps {
    const NAME: &'static str = "bench.takes-three-steps";

    fn run(self) -> RoleResult {
        let _held = self.0.acquire()?;
        self.0.holder_pid();
        Ok(())
    }
}

fn two_workers() -> crate::Result<()> {
    let lock = Lock::new()?;
    let role = || TakesThreeSteps(lock.clone());
    let workers = [Process::spawn("ann", role())?, Process::spawn("bob", role())?];
    for mut worker in workers {
        worker.join()?;
    }
    Ok(())
}
