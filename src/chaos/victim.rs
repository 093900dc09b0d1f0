//! The victim: a worker that performs one case's operation between two marks.

use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize, Serializer, ser};

use super::case::{Act, Handles, Row};
use super::cases::ROWS;
use crate::ipc::codec;
use crate::process::CodecError;
#[cfg(debug_assertions)]
use crate::sys::failpoint::Failpoint;
use crate::sys::trace::{self, Stop, Tracee};
use crate::{Process, Role, RoleEntry, RoleResult};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Victim>();

/// The beginning of the error text of a victim that may not be traced.
const REFUSED: &str = "a worker may not be followed";

/// The role of a victim.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Told")]
pub(super) struct Victim {
    /// The index of its row among all rows.
    row: usize,
    /// The handles from the row's case.
    #[serde(serialize_with = "encode")]
    handles: Given,
    #[cfg(debug_assertions)]
    failpoint: Option<Failpoint>,
}

enum Given {
    ToWorker(Handles),
    InWorker(Act),
}

fn encode<S: Serializer>(given: &Given, serializer: S) -> Result<S::Ok, S::Error> {
    match given {
        Given::ToWorker(handles) => handles().map_err(ser::Error::custom)?.serialize(serializer),
        Given::InWorker(_) => Err(ser::Error::custom("a victim starts no other")),
    }
}

/// What is received from a victim.
#[derive(Deserialize)]
struct Told {
    row: usize,
    handles: Vec<u8>,
    #[cfg(debug_assertions)]
    failpoint: Option<Failpoint>,
}

impl TryFrom<Told> for Victim {
    type Error = CodecError;

    fn try_from(told: Told) -> Result<Self, CodecError> {
        let row = ROWS.iter().copied().flatten().nth(told.row);
        let decode = row.ok_or_else(|| CodecError::Refused("there is no such case".to_owned()))?.decode;
        Ok(Victim {
            row: told.row,
            handles: Given::InWorker(decode(&told.handles)?),
            #[cfg(debug_assertions)]
            failpoint: told.failpoint,
        })
    }
}

impl Victim {
    /// Creates the victim of the `row`th row, with handles from its case.
    pub(super) fn new(row: usize, handles: Handles) -> Self {
        Victim {
            row,
            handles: Given::ToWorker(handles),
            #[cfg(debug_assertions)]
            failpoint: Failpoint::chosen(),
        }
    }
}

impl Role for Victim {
    const NAME: &'static str = "chaos.victim";

    fn run(self) -> RoleResult {
        #[cfg(debug_assertions)]
        self.failpoint.into_iter().for_each(Failpoint::begin);
        let Given::InWorker(act) = self.handles else { return Err("not in a worker".into()) };
        // The main thread of this process goes to sleep. Later it could hit a breakpoint without a tracer.
        thread::sleep(Duration::from_micros(50));
        trace::offer().map_err(|error| format!("{REFUSED}: {error}"))?;
        act()
    }
}

/// Lets a victim of `row` perform its whole operation, then kills it: the death that a case begins with.
pub(super) fn kill_predecessor<P: Serialize + 'static>(row: &'static Row, handles: P) -> anyhow::Result<()> {
    let index = ROWS.iter().copied().flatten().position(|known| std::ptr::eq(known, row));
    let index = index.context("the row is not in the table")?;
    let role = Victim::new(index, Box::new(move || codec::to_vec(&handles)));
    let mut process = Process::spawn("forerunner", role)?;
    let mut tracee = Tracee::meet(process.pid())?.context("the forerunner ended too early")?;
    ensure!(tracee.go_on()? == Stop::Marked, "the forerunner did not come to its end");
    process.kill()?;
    process.join()?;
    Ok(())
}

/// Checks whether victims can be single-stepped here; the error says how to allow it.
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
