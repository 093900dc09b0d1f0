//! A survey counts the schedules in which a claim holds. A replay runs one schedule, and returns its steps.

use std::collections::BTreeSet;

use crate::ipc::error::{Error, Result};
use crate::ipc::operation::ObjectId;
use crate::ipc::process::boot::panic_message;

use super::run::{Finished, Stuck};
use super::schedule::{Participant, SPAWNER, Schedule, Turn};
use super::search::{Search, Step, Taken};
use super::shortest::fewest_switches;
use super::{Explorer, new_run, run_once};

/// What a schedule showed of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    Held,
    Violated,
    NotShown,
}

/// What the schedules showed of a claim.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) schedules: u64,
    pub(crate) violated: u64,
    pub(crate) not_shown: u64,
    /// The schedules in which all workers were blocked, for ever or until an operation timed out.
    pub(crate) deadlocks: u64,
    /// The schedules that were cut off, as they were too long.
    pub(crate) cut: u64,
    /// Whether these are all schedules, and none was cut off.
    pub(crate) exhausted: bool,
    /// The shortest violating schedule; among several, the one with the fewest switches.
    pub(crate) shortest: Option<Schedule>,
}

/// The number of steps and of switches, and the schedule; and the same class as it was run.
type Candidate = (usize, usize, Schedule, Schedule);

impl Explorer {
    /// Runs `play` in the schedules of this explorer, and counts what they showed. `play` returns `None` to end the
    /// survey. So does `progress`, which is called after each schedule, by returning `false`.
    ///
    /// # Errors
    /// [`Error::Schedule`] if `play` panicked, a worker reached no operation in time, or a schedule behaved differently
    /// when it was run again.
    pub(crate) fn survey(
        &self,
        play: &dyn Fn() -> Option<Seen>,
        progress: &mut dyn FnMut(&Survey) -> bool,
    ) -> Result<Survey> {
        let run = new_run(Search::new(!self.all, self.bounds))?;
        let (mut survey, mut shortest, mut failed) = (Survey::default(), None, None);
        let exhausted = self.each(&run, &|| play(), &mut |finished, seen| {
            let seen = match (&finished.stuck, seen) {
                (Some(stuck @ (Stuck::Silent(_) | Stuck::Differs { .. })), _) => Err(stuck.to_string()),
                (_, Ok(seen)) => Ok(seen),
                (_, Err(payload)) => Err(panic_message(&*payload)),
            };
            let seen = match seen {
                Ok(Some(_)) if finished.stuck == Some(Stuck::TooLong) => Seen::NotShown,
                Ok(Some(seen)) => seen,
                Ok(None) => return false,
                Err(reason) => {
                    failed = Some(Error::Schedule { reason });
                    return false;
                }
            };
            if !finished.is_redundant {
                survey.schedules += 1;
                survey.violated += u64::from(seen == Seen::Violated);
                survey.not_shown += u64::from(seen == Seen::NotShown);
                survey.deadlocks += u64::from(finished.is_deadlock());
                survey.cut += u64::from(finished.stuck == Some(Stuck::TooLong));
            }
            if seen == Seen::Violated {
                self.compare(&mut shortest, &finished);
            }
            progress(&survey)
        });
        if let Some(failed) = failed {
            return Err(failed);
        }
        survey.exhausted = exhausted && survey.cut == 0;
        survey.shortest = shortest.map(|(_, _, fewest, as_run)| {
            run.borrow_mut().search = Search::replay(fewest.clone());
            let (replayed, seen) = run_once(&run, &|| play());
            let is_same = replayed.schedule() == fewest && matches!(seen, Ok(Some(Seen::Violated)));
            if is_same { Schedule(fewest.0[..replayed.needed].to_vec()) } else { as_run }
        });
        Ok(survey)
    }

    /// Keeps the shorter one of two violating schedules.
    fn compare(&self, shortest: &mut Option<Candidate>, finished: &Finished) {
        let steps = finished.taken.len();
        if shortest.as_ref().is_some_and(|(least, ..)| steps > *least) {
            return;
        }
        // If all are run, so is the one with the fewest switches.
        let fewest = if self.all { finished.schedule() } else { fewest_switches(&finished.taken) };
        let candidate = (steps, fewest.switches(), fewest, finished.schedule());
        let key = |(steps, switches, schedule, _): &Candidate| (*steps, *switches, schedule.clone());
        if shortest.as_ref().is_none_or(|shortest| key(&candidate) < key(shortest)) {
            *shortest = Some(candidate);
        }
    }
}

/// A schedule that was replayed.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// The schedule, without what follows from the beginning.
    pub(crate) schedule: Schedule,
    pub(crate) switches: usize,
    /// The names of the workers, in the order of start.
    pub(crate) workers: Vec<String>,
    pub(crate) steps: Vec<ReplayedStep>,
    /// The operations in which all workers were blocked at the end.
    pub(crate) blocked: Vec<ReplayedStep>,
    /// Where and why the schedule does not fit, if it does not.
    pub(crate) misfit: Option<String>,
}

/// A step of a replayed schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReplayedStep {
    /// The index of the worker in the order of start; `None` is the spawner.
    pub(crate) worker: Option<usize>,
    /// What happened to it.
    pub(crate) kind: StepKind,
    /// The operation and its object, as in `acquire lock-1`.
    pub(crate) operation: String,
}

/// What happens to a worker in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepKind {
    Goes,
    TimesOut,
    Dies,
}

/// Runs `play` in one schedule. After its end, the worker that ran last continues, or else the first that can.
///
/// # Errors
/// [`Error::Schedule`] if `play` panicked, or a worker reached no operation in time.
pub(crate) fn replay(schedule: &Schedule, play: &dyn Fn()) -> Result<Replayed> {
    let run = new_run(Search::replay(schedule.clone()))?;
    let (finished, played) = run_once(&run, &|| play());
    let is_used_up = run.borrow().search.is_used_up();
    let misfit = match (&finished.stuck, played) {
        (Some(stuck @ Stuck::Misfits { .. }), _) => Some(stuck.to_string()),
        (Some(stuck @ Stuck::Silent(_)), _) => return Err(Error::Schedule { reason: stuck.to_string() }),
        (_, Err(payload)) => return Err(Error::Schedule { reason: panic_message(&*payload) }),
        _ if !is_used_up => Some(format!("step {}: all workers have ended", finished.taken.len() + 1)),
        _ => None,
    };
    let names = Names(&finished);
    let step = |Taken { turn, step, .. }: &Taken| names.step(*turn, step);
    let whole = finished.schedule();
    Ok(Replayed {
        switches: whole.switches(),
        schedule: Schedule(whole.0[..finished.needed].to_vec()),
        workers: finished.workers.clone(),
        steps: finished.taken.iter().map(step).collect(),
        blocked: finished.blocked.iter().map(|(who, step)| names.step(Turn::Goes(*who), step)).collect(),
        misfit,
    })
}

/// Names the objects of a schedule.
struct Names<'a>(&'a Finished);

impl Names<'_> {
    fn step(&self, turn: Turn, step: &Step) -> ReplayedStep {
        let (kind, verb) = step.operation.split_once('.').unwrap_or(("", &step.operation));
        let verb = verb.strip_suffix("_timeout").unwrap_or(verb);
        let worker: Participant = turn.participant();
        ReplayedStep {
            worker: (worker != SPAWNER).then_some(worker),
            kind: match turn {
                Turn::Goes(_) => StepKind::Goes,
                Turn::TimesOut(_) => StepKind::TimesOut,
                Turn::Dies(_) => StepKind::Dies,
            },
            operation: format!("{} {}", verb.replace('_', " "), self.object(kind, step.object)),
        }
    }

    /// Returns the name of an object: its kind, and if there are several, its number in the order of creation.
    fn object(&self, kind: &str, object: ObjectId) -> String {
        let id = |object: ObjectId| self.0.objects[object.to_word() as usize];
        let steps = self.0.taken.iter().map(|taken| &taken.step).chain(self.0.blocked.iter().map(|(_, step)| step));
        let is_of_kind = |step: &&Step| step.operation.split_once('.').is_some_and(|(of, _)| of == kind);
        let all: BTreeSet<ObjectId> = steps.filter(is_of_kind).map(|step| id(step.object)).collect();
        let kind = kind.replace('_', " ");
        match all.iter().position(|known| *known == id(object)) {
            Some(at) if all.len() > 1 => format!("{kind}-{}", at + 1),
            _ => kind,
        }
    }
}
