//! The one who is killed: a worker that does one case's operation between two marks.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};

use super::case::Row;
use super::cases::ROWS;
use crate::ipc::{Give, Inherited, Process, Role, RoleEntry, RoleResult};
#[cfg(debug_assertions)]
use crate::sys::sabotage::Sabotage;
use crate::sys::trace::{self, Stop, Tracee};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Victim>();

/// How a victim begins its last words that may not be followed.
const REFUSED: &str = "a worker may not be followed";

/// What a victim knows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Victim {
    /// Place of its row among all.
    row: usize,
    /// What the row's case gives it.
    part_json: String,
    #[cfg(debug_assertions)]
    sabotage: Option<Sabotage>,
}

impl Victim {
    /// The victim of the `row`th row, with what its case gives it.
    pub(super) fn new(row: usize, part_json: String) -> Self {
        Victim {
            row,
            part_json,
            #[cfg(debug_assertions)]
            sabotage: Sabotage::chosen(),
        }
    }
}

impl Role for Victim {
    const NAME: &'static str = "chaos.victim";

    fn run(self, inherited: &mut Inherited) -> RoleResult {
        #[cfg(debug_assertions)]
        self.sabotage.into_iter().for_each(Sabotage::begin);
        let row = ROWS.iter().copied().flatten().nth(self.row).ok_or("there is no such case")?;
        // The thread that stands for this process goes to sleep. Later it could run into a breakpoint, with nobody to follow it.
        thread::sleep(Duration::from_micros(50));
        trace::offer().map_err(|error| format!("{REFUSED}: {error}"))?;
        (row.suffer)(&self.part_json, inherited)
    }
}

/// Has a victim of `row` do its whole operation, and kills it: the death that a case begins with.
pub(super) fn forerun<P: Serialize>(row: &'static Row, part: impl FnOnce(&mut Give) -> P) -> anyhow::Result<()> {
    let index = ROWS.iter().copied().flatten().position(|known| std::ptr::eq(known, row));
    let index = index.context("the row is not in the table")?;
    let role = |give: &mut Give| {
        Victim::new(index, serde_json::to_string(&part(give)).expect("slots and numbers have a JSON form"))
    };
    let mut process = Process::spawn("forerunner", role)?;
    let mut tracee = Tracee::meet(process.pid())?.context("the forerunner ended too early")?;
    ensure!(tracee.go_on()? == Stop::Marked, "the forerunner did not come to its end");
    process.kill()?;
    process.join()?;
    Ok(())
}

/// Whether victims can be led step by step here; an error that says how to allow it if not.
pub(super) fn probe() -> anyhow::Result<()> {
    match ROWS[0][0].survey(0) {
        Err(error) if error.to_string().contains(REFUSED) => Err(error.context(remedy())),
        Err(error) => Err(error),
        Ok(_) => Ok(()),
    }
}

fn remedy() -> &'static str {
    let scope = std::fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    match scope.trim() {
        "2" => "ptrace is not allowed here; allow it with: sudo sysctl kernel.yama.ptrace_scope=1",
        "3" => "ptrace is switched off until the next boot (kernel.yama.ptrace_scope is 3)",
        _ => {
            "ptrace is not allowed here; in a container allow it with --cap-add=SYS_PTRACE, \
             or --security-opt seccomp=unconfined"
        }
    }
}
