//! One kill: a victim is started, led to a place in its operation, and killed; then the survivors are checked.
//!
//! The first victim is single-stepped through the whole operation, and its course is recorded. Later victims have their
//! code at the same addresses, so they run to a landmark close to their place and single-step only the last
//! instructions.

use std::collections::HashSet;
use std::io;

use anyhow::{Context, anyhow, bail};

use super::case::{Effect, Fault, Observation, Prepared, Row};
use super::victim::Victim;
use crate::Process;
use crate::sys::clock::monotonic_ns;
use crate::sys::trace::{Stop, Tracee};

/// More instructions than any operation has: an endless operation is given up.
const TOO_MANY: usize = 100_000;

const LEAD: &str = "cannot lead the victim on";

/// Where in the operation the victim is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Point {
    /// After this many instructions, or at the operation's end if it has fewer.
    After(usize),
    /// While it sleeps, before it is woken.
    Asleep,
    /// Just after it was woken, before its next instruction.
    Woken,
}

impl Point {
    /// Returns its position in the operation's course.
    pub(super) fn order(self, slept_after: Option<usize>) -> (usize, u8) {
        let slept = slept_after.unwrap_or(0);
        match self {
            Point::After(place) => (place, 0),
            Point::Asleep => (slept, 1),
            Point::Woken => (slept, 2),
        }
    }
}

/// The observations of one kill.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) verdict: Result<Effect, Fault>,
    /// The longest time until a survivor went on.
    pub(super) slowest_ns: u64,
    /// Whether the kill had to be repeated: a survivor was late the first time.
    pub(super) repeated: bool,
}

/// The course of an operation that is not interrupted by a kill.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// The address before each instruction, and the one after the last.
    addresses: Vec<u64>,
    /// The indices of instructions that the course reaches for the first time.
    landmarks: Vec<usize>,
    /// After how many instructions it slept for the first time.
    pub(super) slept_after: Option<usize>,
    sleeps: usize,
}

impl Course {
    /// Returns the number of instructions in the operation.
    pub(super) fn len(&self) -> usize {
        self.addresses.len().saturating_sub(1)
    }

    /// Returns the index of the last landmark on the way to `place`.
    fn landmark_before(&self, place: usize) -> Option<usize> {
        let behind = self.landmarks.partition_point(|&landmark| landmark <= place);
        Some(self.landmarks[..behind].last().copied()?).filter(|&landmark| landmark > 0)
    }
}

impl Row {
    /// Leads a victim through the whole operation and records its course.
    pub(super) fn survey(&self, index: usize) -> anyhow::Result<Course> {
        let mut run = KillRun::begin(self, index)?;
        let mut course = Course::default();
        let mut known = HashSet::new();
        loop {
            let address = run.tracee.at()?;
            if known.insert(address) {
                course.landmarks.push(course.addresses.len());
            }
            course.addresses.push(address);
            if course.addresses.len() > TOO_MANY {
                bail!("the operation does not end after {TOO_MANY} instructions");
            }
            let stop = run.tracee.step().context(LEAD)?;
            if stop == Stop::Asleep {
                course.slept_after.get_or_insert(course.len());
                course.sleeps += 1;
            }
            if run.through_sleep(stop)? == Stop::Marked {
                break;
            }
        }
        run.kill(self)?;
        Ok(course)
    }

    /// Kills one victim of this row, the `index`th of all rows, at `point`.
    pub(super) fn kill(&self, index: usize, course: &Course, point: Point) -> anyhow::Result<Seen> {
        let mut run = KillRun::begin(self, index)?;
        run.sleeps_left = Some(course.sleeps);
        match point {
            Point::After(place) => run.lead_to(course, place)?,
            // It is not woken, so it can run to its sleep at full speed.
            Point::Asleep => run.lead_asleep(Tracee::go_on)?,
            Point::Woken => {
                // The next instruction is the last: the victim does not get to what follows its sleep.
                run.lead_to(course, course.slept_after.unwrap_or(0))?;
                run.lead_asleep(Tracee::step)?;
                run.wake()?;
            }
        }
        run.kill(self)
    }
}

/// A running victim and its surroundings.
struct KillRun {
    case: Box<dyn Prepared>,
    process: Process,
    tracee: Tracee,
    woken: bool,
    /// How often it may still sleep on the course that it is to follow.
    sleeps_left: Option<usize>,
}

impl KillRun {
    /// Starts a victim and leads it to the beginning of its operation.
    fn begin(row: &Row, index: usize) -> anyhow::Result<Self> {
        let mut case = (row.prepare)().context("cannot prepare the case")?;
        let role = Victim::new(index, case.handles());
        let mut process = Process::spawn("victim", role)?;
        let Some(tracee) = Tracee::meet(process.pid()).context("cannot follow the victim")? else {
            let said = process.join()?.failure.clone();
            return Err(said.map_or_else(|| anyhow!("the victim ended before its operation"), Into::into));
        };
        case.before_kill().context("cannot surround the victim")?;
        Ok(KillRun { case, process, tracee, woken: false, sleeps_left: None })
    }

    /// Leads the victim over the first `place` instructions of the operation, or to its end.
    fn lead_to(&mut self, course: &Course, place: usize) -> anyhow::Result<()> {
        let mut done = 0;
        if let Some(landmark) = course.landmark_before(place) {
            let stop = self.tracee.run_to(course.addresses[landmark]).context(LEAD)?;
            if self.through_sleep(stop)? == Stop::Marked {
                return Ok(());
            }
            done = landmark;
        }
        while done < place {
            let stop = self.tracee.step().context(LEAD)?;
            if self.through_sleep(stop)? == Stop::Marked {
                return Ok(());
            }
            done += 1;
        }
        Ok(())
    }

    /// Leads the victim into its sleep. If it has nothing to wait for this time, it is killed where it stops instead.
    fn lead_asleep(&mut self, lead: impl FnOnce(&mut Tracee) -> io::Result<Stop>) -> anyhow::Result<()> {
        let stop = lead(&mut self.tracee).context(LEAD)?;
        if stop == Stop::Ended { Err(self.ended()) } else { Ok(()) }
    }

    /// If the victim sleeps, wakes it and waits until it reaches its destination.
    fn through_sleep(&mut self, stop: Stop) -> anyhow::Result<Stop> {
        let stop = if stop == Stop::Asleep {
            if let Some(left) = &mut self.sleeps_left {
                *left = left.checked_sub(1).context("the victim went another way than the first")?;
            }
            self.wake()?;
            self.tracee.wake().context("the victim does not wake")?
        } else {
            stop
        };
        if stop == Stop::Ended { Err(self.ended()) } else { Ok(stop) }
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        if !self.woken {
            self.woken = true;
            self.case.wake().context("cannot wake the victim")?;
        }
        Ok(())
    }

    fn ended(&mut self) -> anyhow::Error {
        let said = self.process.join().ok().and_then(|ended| ended.failure.clone());
        said.map_or_else(|| anyhow!("the victim ended before it was killed"), Into::into)
    }

    /// Kills the victim and checks the survivors.
    fn kill(mut self, row: &Row) -> anyhow::Result<Seen> {
        let killed_ns = monotonic_ns();
        self.process.kill()?;
        self.process.join()?;
        let mut observation = Observation::new(self.process.pid(), self.woken, killed_ns);
        let mut verdict = self.case.check(&mut observation);
        if verdict.is_ok() && observation.wake_lost && !row.looks_around {
            verdict = Err(Fault::WakeLost);
        }
        Ok(Seen { verdict, slowest_ns: observation.slowest_ns, repeated: false })
    }
}
