//! The victim: a worker that performs one case's operation between two marks.

use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::case::Act;
use super::cases::ROWS;
use crate::ipc::codec;
use crate::process::CodecError;
#[cfg(debug_assertions)]
use crate::sys::failpoint;
use crate::sys::trace::{self, mark};
use crate::{Role, RoleEntry, RoleResult};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Victim>();

/// The beginning of the error text of a victim that may not be traced.
const REFUSED: &str = "a worker may not be followed";

/// The role of a victim.
pub(super) struct Victim {
    /// The index of its row among all rows.
    row: usize,
    work: Work,
    failpoint: Failpoint,
}

/// The failpoint of this run; a release has none.
#[cfg(debug_assertions)]
type Failpoint = Option<failpoint::Failpoint>;
#[cfg(not(debug_assertions))]
type Failpoint = ();

/// A victim's handles: encoded while its role is encoded, and decoded with what its row does with them.
enum Work {
    Handles(Box<dyn Fn() -> Result<Vec<u8>, CodecError>>),
    Act(Act),
}

impl Victim {
    /// Creates the victim of the `row`th row, with handles from its case.
    pub(super) fn new<H: Serialize + 'static>(row: usize, handles: H) -> Self {
        Victim {
            row,
            work: Work::Handles(Box::new(move || codec::to_vec(&handles))),
            #[cfg(debug_assertions)]
            failpoint: failpoint::Failpoint::chosen(),
            #[cfg(not(debug_assertions))]
            failpoint: (),
        }
    }
}

impl Serialize for Victim {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Work::Handles(encode) = &self.work else { return Err(ser::Error::custom("a victim starts no other")) };
        let handles = encode().map_err(ser::Error::custom)?;
        (self.row, handles, self.failpoint).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Victim {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (row, handles, failpoint): (usize, Vec<u8>, Failpoint) = Deserialize::deserialize(deserializer)?;
        let known = ROWS.get(row).ok_or_else(|| de::Error::custom("there is no such case"))?;
        let act = (known.case.decode)(&handles).map_err(de::Error::custom)?;
        Ok(Victim { row, work: Work::Act(act), failpoint })
    }
}

impl Role for Victim {
    const NAME: &'static str = "chaos.victim";

    fn run(self) -> RoleResult {
        #[cfg(debug_assertions)]
        self.failpoint.into_iter().for_each(failpoint::Failpoint::begin);
        let Work::Act(act) = self.work else { return Err("not in a worker".into()) };
        // The main thread of this process goes to sleep. Later it could hit a breakpoint without a tracer.
        thread::sleep(Duration::from_micros(50));
        trace::offer().map_err(|error| format!("{REFUSED}: {error}"))?;
        act()
    }
}

/// Performs a victim's operation between its two marks.
#[inline(always)]
pub(super) fn marked<T>(operation: impl FnOnce() -> T) -> T {
    mark();
    let result = operation();
    mark();
    result
}

/// Checks whether victims can be single-stepped here; the error says how to allow it.
pub(super) fn probe() -> anyhow::Result<()> {
    match ROWS[0].survey(0) {
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
