//! One kill: a victim is started, led to a place in its operation, and killed; then the survivors are checked.
//!
//! The first victim is single-stepped through the whole operation, and its course is recorded. Later victims have their
//! code at the same addresses, so they run to a landmark close to their place and single-step only the last
//! instructions.

use std::collections::HashSet;
use std::io;
use std::marker::PhantomData;

use anyhow::{Context, anyhow, ensure};
use serde::Serialize;

use super::effect::{Effect, Fault};
use super::peer::{Observation, Peer};
use crate::Process;
use crate::ipc::codec;
use crate::process::CodecError;
use crate::sys::Signal;
use crate::sys::clock::monotonic_ns;
use crate::sys::signal;
use crate::sys::trace::{Stop, Tracee};

/// More instructions than any operation has: an endless operation is given up.
const TOO_MANY: usize = 400_000;

const LEAD: &str = "cannot lead the victim on";
const ENDED: &str = "the victim ended before it was killed";

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
}

impl Course {
    /// Returns the number of instructions in the operation.
    pub(super) fn len(&self) -> usize {
        self.addresses.len().saturating_sub(1)
    }

    /// Returns the index of the last landmark before `place`; 0 if there is none.
    fn landmark_before(&self, place: usize) -> usize {
        let behind = self.landmarks.partition_point(|&landmark| landmark <= place);
        self.landmarks[..behind].last().copied().unwrap_or(0)
    }

    /// Returns the course without its addresses: its victims single-step all the way.
    pub(super) fn without_addresses(&self) -> Course {
        Course { slept_after: self.slept_after, ..Course::default() }
    }
}

/// How far a victim is led.
pub(super) enum Aim<'a> {
    /// To its end, recording its course.
    Survey(&'a mut Course),
    Kill(&'a Course, Point),
}

/// Encodes a victim's handles as part of its role.
pub(super) type Encode = Box<dyn Fn() -> Result<Vec<u8>, CodecError>>;

/// The handles of a victim of a type-erased row.
pub(super) enum Untyped {}

/// A kill that a row performs. The victim's handles are of type `H`.
pub(super) struct Kill<'a, H> {
    /// Starts a victim.
    pub(super) spawn: &'a dyn Fn(Encode) -> crate::Result<Process>,
    pub(super) aim: Aim<'a>,
    pub(super) observation: &'a mut Observation,
    pub(super) handles: PhantomData<fn(H)>,
}

impl<'a> Kill<'a, Untyped> {
    pub(super) fn typed<H>(self) -> Kill<'a, H> {
        Kill { spawn: self.spawn, aim: self.aim, observation: self.observation, handles: PhantomData }
    }
}

impl<'a, H: Serialize + 'static> Kill<'a, H> {
    /// Starts the victim, and leads it to the beginning of its operation.
    pub(super) fn victim(self, handles: H) -> anyhow::Result<Led<'a>> {
        let (process, tracee) = self.start(handles)?;
        let victim = Victim { pid: process.pid(), process: Some(process) };
        Ok(Led { victim, tracee, aim: self.aim, observation: self.observation })
    }

    /// Leads a victim that the object has started, in this thread, to the beginning of its operation.
    pub(super) fn worker(self, pid: u32) -> anyhow::Result<Led<'a>> {
        let tracee = Tracee::meet(pid).context("cannot follow the victim")?;
        let tracee = tracee.context("the victim ended before its operation")?;
        let victim = Victim { pid, process: None };
        Ok(Led { victim, tracee, aim: self.aim, observation: self.observation })
    }

    /// Starts a victim that waits for nobody but peers, and kills it.
    pub(super) fn alone(self, handles: H) -> anyhow::Result<&'a mut Observation> {
        self.victim(handles)?.kill()
    }

    /// Kills another victim after its operation: the death with which a case begins.
    pub(super) fn predecessor(&self, handles: H) -> anyhow::Result<()> {
        let (mut process, mut tracee) = self.start(handles)?;
        ensure!(tracee.go_on()? == Stop::Marked, "the predecessor did not finish its operation");
        process.kill()?;
        process.join()?;
        Ok(())
    }

    fn start(&self, handles: H) -> anyhow::Result<(Process, Tracee)> {
        let mut process = (self.spawn)(Box::new(move || codec::to_vec(&handles)))?;
        match Tracee::meet(process.pid()).context("cannot follow the victim")? {
            Some(tracee) => Ok((process, tracee)),
            None => Err(failure(&mut process, "the victim ended before its operation")),
        }
    }
}

/// Returns the error of a victim that has ended.
fn failure(process: &mut Process, otherwise: &'static str) -> anyhow::Error {
    let said = process.join().ok().and_then(|ended| ended.failure.clone());
    said.map_or_else(|| anyhow!(otherwise), Into::into)
}

/// The process of a victim.
struct Victim {
    pid: u32,
    /// `None` if its object has started it, and joins it.
    process: Option<Process>,
}

impl Victim {
    fn kill(&mut self) -> anyhow::Result<()> {
        match &mut self.process {
            Some(process) => {
                process.kill()?;
                process.join()?;
            }
            None => signal::send(self.pid, Signal::SIGKILL)?,
        }
        Ok(())
    }

    /// Returns the error of a victim that has ended.
    fn failure(&mut self) -> anyhow::Error {
        self.process.as_mut().map_or_else(|| anyhow!(ENDED), |process| failure(process, ENDED))
    }
}

/// A victim at the beginning of its operation.
pub(super) struct Led<'a> {
    victim: Victim,
    tracee: Tracee,
    aim: Aim<'a>,
    observation: &'a mut Observation,
}

impl<'a> Led<'a> {
    /// Leads the victim to its place and kills it. Only peers wake it.
    pub(super) fn kill(self) -> anyhow::Result<&'a mut Observation> {
        Ok(self.kill_asleep(|| Ok(()))?.0)
    }

    /// Leads the victim to its place and kills it. `wake` is called when it sleeps, or after its death.
    pub(super) fn kill_waking<T>(
        self,
        mut wake: impl FnMut() -> anyhow::Result<T>,
    ) -> anyhow::Result<(&'a mut Observation, T)> {
        let (observation, woken) = self.kill_asleep(&mut wake)?;
        Ok((observation, woken.map_or_else(wake, Ok)?))
    }

    /// As [`kill_waking`](Self::kill_waking), with the peer that `follow` starts before the wake.
    pub(super) fn kill_ahead_of<T, W>(
        self,
        follow: impl Fn() -> anyhow::Result<Peer<T>>,
        mut wake: impl FnMut() -> anyhow::Result<W>,
    ) -> anyhow::Result<(&'a mut Observation, Peer<T>)> {
        self.kill_waking(|| {
            let peer = follow()?;
            wake().map(|_| peer)
        })
    }

    /// Leads the victim to its place and kills it. `wake` is called when it sleeps; `None` if it did not get that far.
    pub(super) fn kill_asleep<T>(
        mut self,
        wake: impl FnOnce() -> anyhow::Result<T>,
    ) -> anyhow::Result<(&'a mut Observation, Option<T>)> {
        let (mut wake, mut woken) = (Some(wake), None);
        let mut wake_once = || {
            if let Some(wake) = wake.take() {
                woken = Some(wake().context("cannot wake the victim")?);
            }
            Ok(())
        };
        Leading { victim: &mut self.victim, tracee: &mut self.tracee, wake: &mut wake_once }.lead(self.aim)?;
        let killed_ns = monotonic_ns();
        self.victim.kill()?;
        (self.observation.victim_pid, self.observation.killed_ns) = (self.victim.pid, killed_ns);
        Ok((self.observation, woken))
    }
}

/// A victim on its way to its place.
struct Leading<'a> {
    victim: &'a mut Victim,
    tracee: &'a mut Tracee,
    wake: &'a mut dyn FnMut() -> anyhow::Result<()>,
}

impl Leading<'_> {
    fn lead(&mut self, aim: Aim<'_>) -> anyhow::Result<()> {
        match aim {
            Aim::Survey(course) => self.survey(course),
            Aim::Kill(course, Point::After(place)) => self.lead_to(course, place),
            // It is not woken, so it can run to its sleep at full speed.
            Aim::Kill(_, Point::Asleep) => self.lead_asleep(Tracee::go_on),
            Aim::Kill(course, Point::Woken) => {
                // The next instruction is the last: the victim does not get to what follows its sleep.
                self.lead_to(course, course.slept_after.unwrap_or(0))?;
                self.lead_asleep(Tracee::step)?;
                (self.wake)()
            }
        }
    }

    fn survey(&mut self, course: &mut Course) -> anyhow::Result<()> {
        let mut known = HashSet::new();
        loop {
            let address = self.tracee.at()?;
            if known.insert(address) {
                course.landmarks.push(course.addresses.len());
            }
            course.addresses.push(address);
            ensure!(course.addresses.len() <= TOO_MANY, "the operation does not end after {TOO_MANY} instructions");
            let stop = self.tracee.step().context(LEAD)?;
            if stop == Stop::Asleep {
                course.slept_after.get_or_insert(course.len());
            }
            if self.through_sleep(stop)? == Stop::Marked {
                return Ok(());
            }
        }
    }

    /// Leads the victim over the first `place` instructions of the operation, or to its end.
    fn lead_to(&mut self, course: &Course, place: usize) -> anyhow::Result<()> {
        let mut done = course.landmark_before(place);
        let mut stop = if done > 0 { self.tracee.run_to(course.addresses[done]).context(LEAD)? } else { Stop::There };
        loop {
            if self.through_sleep(stop)? == Stop::Marked || done == place {
                return Ok(());
            }
            stop = self.tracee.step().context(LEAD)?;
            done += 1;
        }
    }

    /// Leads the victim into its sleep. If it has nothing to wait for this time, it is killed where it stops instead.
    fn lead_asleep(&mut self, lead: impl FnOnce(&mut Tracee) -> io::Result<Stop>) -> anyhow::Result<()> {
        let stop = lead(self.tracee).context(LEAD)?;
        if stop == Stop::Ended { Err(self.victim.failure()) } else { Ok(()) }
    }

    /// If the victim sleeps, wakes it and waits until it reaches its destination.
    fn through_sleep(&mut self, mut stop: Stop) -> anyhow::Result<Stop> {
        if stop == Stop::Asleep {
            (self.wake)()?;
            stop = self.tracee.wake().context("the victim does not wake")?;
        }
        if stop == Stop::Ended { Err(self.victim.failure()) } else { Ok(stop) }
    }
}
