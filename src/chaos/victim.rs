//! The victim: a worker that performs one row's operation between two marks, and is killed during it.

use std::marker::PhantomData;
use std::thread;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::case::{Act, Row};
use super::cases::ROWS;
use super::effect::Fault;
use super::kill::{Aim, Course, Encode, Kill, Point, Seen};
use super::peer::Observation;
#[cfg(debug_assertions)]
use crate::sys::failpoint;
use crate::sys::trace;
use crate::{Process, Role, RoleEntry, RoleResult};

pub(super) const ROLE: RoleEntry = RoleEntry::of::<Victim>();

/// The beginning of the error text of a victim that may not be traced.
const REFUSED: &str = "a worker may not be followed";

/// The role of a victim.
struct Victim {
    /// The index of the victim's row.
    row: usize,
    work: Work,
    failpoint: Failpoint,
}

/// The failpoint of this run; a release has none.
#[cfg(debug_assertions)]
pub(super) type Failpoint = Option<failpoint::Failpoint>;
#[cfg(not(debug_assertions))]
pub(super) type Failpoint = ();

/// Returns the failpoint of this run.
pub(super) fn chosen_failpoint() -> Failpoint {
    #[cfg(debug_assertions)]
    return failpoint::Failpoint::chosen();
}

/// Lets the thread that started this process follow it, from its next mark on.
pub(super) fn be_followed(failpoint: Failpoint) -> RoleResult {
    #[cfg(debug_assertions)]
    failpoint.into_iter().for_each(failpoint::Failpoint::begin);
    #[cfg(not(debug_assertions))]
    let () = failpoint;
    fill_free_lists();
    // The main thread of this process goes to sleep. Later it could hit a breakpoint without a tracer.
    thread::sleep(Duration::from_micros(50));
    Ok(trace::offer().map_err(|error| format!("{REFUSED}: {error}"))?)
}

/// Fills this thread's lists of free memory. What they have in them differs from victim to victim, and so would the number
/// of instructions of an allocation.
///
/// glibc keeps up to 7 blocks of each of 64 sizes for a thread.
fn fill_free_lists() {
    let blocks: Vec<Vec<u8>> = (0..7 * 64).map(|block| Vec::with_capacity(16 * (block % 64 + 1))).collect();
    drop(std::hint::black_box(blocks));
}

/// A victim's handles: encoded while its role is encoded, and decoded with what its row does with them.
enum Work {
    Handles(Encode),
    Act(Act),
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
        let known = ROWS.get(row).ok_or_else(|| de::Error::custom("there is no such row"))?;
        let act = (known.decode)(&handles).map_err(de::Error::custom)?;
        Ok(Victim { row, work: Work::Act(act), failpoint })
    }
}

impl Role for Victim {
    const NAME: &'static str = "chaos.victim";

    fn run(self) -> RoleResult {
        let Work::Act(act) = self.work else { return Err("not in a worker".into()) };
        be_followed(self.failpoint)?;
        act()
    }
}

impl Row {
    /// Traces a victim of this row through the whole operation, and records its course.
    pub(super) fn survey(&self) -> anyhow::Result<Course> {
        let mut course = Course::default();
        self.perform(Aim::Survey(&mut course))?;
        Ok(course)
    }

    /// Kills one victim of this row at `point`.
    pub(super) fn kill(&self, course: &Course, point: Point) -> anyhow::Result<Seen> {
        self.perform(Aim::Kill(course, point))
    }

    fn perform(&self, aim: Aim<'_>) -> anyhow::Result<Seen> {
        let failpoint = chosen_failpoint();
        let spawn =
            |handles| Process::spawn("victim", Victim { row: self.index, work: Work::Handles(handles), failpoint });
        let mut observation = Observation::default();
        let kill = Kill { spawn: &spawn, aim, observation: &mut observation, handles: PhantomData };
        let mut verdict = match (self.survive)(kill) {
            Ok(effect) => Ok(effect),
            Err(error) if observation.killed_ns == 0 => return Err(error),
            // Whatever else is refused now is what the death did to the object.
            Err(error) => Err(error.downcast().unwrap_or(Fault::Unusable)),
        };
        if verdict.is_ok() && observation.wake_lost && !self.by_liveness_check {
            verdict = Err(Fault::WakeLost);
        }
        Ok(Seen { verdict, slowest_ns: observation.slowest_ns, repeated: false })
    }
}

/// Checks whether victims can be single-stepped here; the error says how to allow it.
pub(super) fn probe() -> anyhow::Result<()> {
    match ROWS[0].survey() {
        Err(error) if error.to_string().contains(REFUSED) => Err(error.context(remedy())),
        surveyed => surveyed.map(drop),
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
