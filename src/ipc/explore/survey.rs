//! A survey counts the schedules in which a claim holds. A replay runs one schedule, and returns its steps.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::thread;

use crate::ipc::error::{Error, Result};
use crate::ipc::operation::ObjectId;
use crate::ipc::process::boot::panic_message;

use super::by_hand::Chooser;
use super::lanes::Over;
use super::run::{Finished, Stuck, place_of};
use super::schedule::{Schedule, Turn};
use super::search::{Search, Step};
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
    /// The schedules that showed neither, including those that were cut off.
    pub(crate) not_shown: u64,
    /// The schedules in which all workers were blocked, forever or until an operation timed out.
    pub(crate) deadlocks: u64,
    /// The schedules that were cut off, as they were too long.
    pub(crate) cut: u64,
    /// Whether these are all schedules, and none was cut off.
    pub(crate) exhausted: bool,
    /// About how many there are, if these are not all.
    pub(crate) estimate: Option<u64>,
    /// The shortest violating schedule; among several, the one with the fewest switches.
    pub(crate) shortest: Option<Schedule>,
}

/// The number of steps and of switches, and the schedule; and the same class as it was run.
type Candidate = (usize, usize, Schedule, Schedule);

/// A survey in progress.
#[derive(Default)]
struct Counting {
    survey: Survey,
    shortest: Option<Candidate>,
    failed: Option<Error>,
}

impl Explorer {
    /// Runs `play` in the schedules of this explorer, on all processors, and counts what they showed. `play` returns
    /// `None` to end the survey. So does `progress`, which is called after each schedule, by returning `false`.
    ///
    /// # Errors
    /// [`Error::Schedule`] if `play` panicked, a worker reached no operation in time, or a schedule behaved differently
    /// when it was run again.
    pub(crate) fn survey(
        &self,
        play: &(dyn Fn() -> Option<Seen> + Sync),
        progress: &(dyn Fn(&Survey) -> bool + Sync),
    ) -> Result<Survey> {
        let counting = Mutex::new(Counting::default());
        let (run, over) = self.each_parallel(play, &|finished, seen| {
            let mut counting = counting.lock().expect("nothing panics while it holds the lock");
            counting.count(&finished, seen, self.all) && progress(&counting.survey)
        })?;
        let Counting { mut survey, shortest, failed } = counting.into_inner().expect("no lane panicked");
        if let Some(failed) = failed {
            return Err(failed);
        }
        survey.exhausted = over == Over::Exhausted && survey.cut == 0;
        survey.estimate = run.borrow().search.estimate(survey.schedules);
        survey.shortest = shortest.map(|(_, _, fewest, as_run)| {
            run.borrow_mut().search = Search::replay(fewest.clone());
            let (replayed, seen) = run_once(&run, &|| play());
            let is_same = replayed.schedule() == fewest && matches!(seen, Ok(Some(Seen::Violated)));
            if is_same { Schedule(fewest.0[..replayed.needed].to_vec()) } else { as_run }
        });
        Ok(survey)
    }
}

impl Counting {
    /// Counts a schedule. Returns whether the survey goes on. `all` is whether every schedule is run.
    fn count(&mut self, finished: &Finished, seen: thread::Result<Option<Seen>>, all: bool) -> bool {
        let fail = |reason| Some(Error::Schedule { reason });
        let seen = match (&finished.stuck, seen) {
            // The signal that ends a survey may have ended its workers first.
            (_, Ok(None)) => return false,
            (Some(stuck @ (Stuck::Silent(_) | Stuck::Differs { .. })), _) => {
                self.failed = fail(stuck.to_string());
                return false;
            }
            (_, Err(payload)) => {
                self.failed = fail(panic_message(&*payload));
                return false;
            }
            // What had happened until then is not the end of the schedule.
            (Some(Stuck::TooLong), _) => Seen::NotShown,
            (_, Ok(Some(seen))) => seen,
        };
        if !finished.is_redundant {
            self.survey.schedules += 1;
            self.survey.violated += u64::from(seen == Seen::Violated);
            self.survey.not_shown += u64::from(seen == Seen::NotShown);
            self.survey.deadlocks += u64::from(finished.is_deadlock());
            self.survey.cut += u64::from(finished.stuck == Some(Stuck::TooLong));
        }
        if seen == Seen::Violated {
            self.compare(finished, all);
        }
        true
    }

    /// Keeps the shorter one of two violating schedules.
    fn compare(&mut self, finished: &Finished, all: bool) {
        let steps = finished.taken.len();
        if self.shortest.as_ref().is_some_and(|(least, ..)| steps > *least) {
            return;
        }
        // If all are run, so is the one with the fewest switches.
        let fewest = if all { finished.schedule() } else { fewest_switches(&finished.taken) };
        let candidate = (steps, fewest.switches(), fewest, finished.schedule());
        if self.shortest.as_ref().is_none_or(|shortest| candidate < *shortest) {
            self.shortest = Some(candidate);
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
    pub(crate) turn: Turn,
    /// The operation and its object, as in `acquire lock-1`.
    pub(crate) operation: String,
}

/// Runs `play` in one schedule. After its end `chooser` is asked for each turn; without one, the worker that ran last
/// continues, or else the first that can.
///
/// # Errors
/// [`Error::Schedule`] if `play` panicked, or a worker reached no operation in time.
pub(crate) fn replay(schedule: &Schedule, chooser: Option<Chooser>, play: &dyn Fn()) -> Result<Replayed> {
    let run = new_run(Search::replay(schedule.clone()))?;
    run.borrow_mut().chooser = chooser;
    let (finished, played) = run_once(&run, &|| play());
    let is_used_up = run.borrow().search.is_used_up();
    let misfit = match (&finished.stuck, played) {
        (Some(stuck @ Stuck::Misfits { .. }), _) => Some(stuck.to_string()),
        (Some(stuck @ Stuck::Silent(_)), _) => return Err(Error::Schedule { reason: stuck.to_string() }),
        (_, Err(payload)) => return Err(Error::Schedule { reason: panic_message(&*payload) }),
        _ if !is_used_up => Some(format!("step {}: all workers have ended", finished.taken.len() + 1)),
        _ => None,
    };
    let blocked = finished.blocked.iter().map(|(_, step)| step);
    let names = Names::new(&finished.objects, finished.taken.iter().map(|taken| &taken.step).chain(blocked));
    let step = |turn: Turn, step: &Step| ReplayedStep { turn, operation: names.operation(step) };
    let whole = finished.schedule();
    Ok(Replayed {
        switches: whole.switches(),
        schedule: Schedule(whole.0[..finished.needed].to_vec()),
        workers: finished.workers.clone(),
        steps: finished.taken.iter().map(|taken| step(taken.turn, &taken.step)).collect(),
        blocked: finished.blocked.iter().map(|(who, blocked)| step(Turn::Goes(*who), blocked)).collect(),
        misfit,
    })
}

/// The objects of a schedule, by kind.
pub(super) struct Names<'a> {
    /// Those in the steps, which are numbered in the order of first use, in the order of creation.
    created: &'a [ObjectId],
    by_kind: BTreeMap<&'a str, BTreeMap<ObjectId, u64>>,
}

impl<'a> Names<'a> {
    /// Names the objects of these steps.
    pub(super) fn new(created: &'a [ObjectId], steps: impl Iterator<Item = &'a Step>) -> Self {
        let mut by_kind = BTreeMap::<_, BTreeMap<_, _>>::new();
        for step in steps {
            let created = created[place_of(step.object)];
            by_kind.entry(kind_and_verb(step).0).or_default().insert(created, step.object.to_word());
        }
        Names { created, by_kind }
    }

    /// Returns the name of each object, its kind, and its number in the steps.
    pub(super) fn all(&self) -> impl Iterator<Item = (String, &str, u64)> {
        self.by_kind.iter().flat_map(move |(kind, objects)| {
            objects.iter().map(move |(created, object)| (self.name(kind, *created), *kind, *object))
        })
    }

    /// Returns an operation with its object, as in `acquire lock-1`.
    pub(super) fn operation(&self, step: &Step) -> String {
        let (kind, verb) = kind_and_verb(step);
        let verb = verb.strip_suffix("_timeout").unwrap_or(verb).replace('_', " ");
        format!("{verb} {}", self.name(kind, self.created[place_of(step.object)]))
    }

    /// Returns the kind of an object, and its number in the order of creation if there are several of its kind.
    fn name(&self, kind: &str, created: ObjectId) -> String {
        let all = &self.by_kind[kind];
        let number = all.range(..=created).count();
        let kind = kind.replace('_', " ");
        if all.len() > 1 { format!("{kind}-{number}") } else { kind }
    }
}

/// Returns the parts of the name of an operation.
pub(super) fn kind_and_verb(step: &Step) -> (&str, &str) {
    step.operation.split_once('.').unwrap_or(("", &step.operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stop_request_did_to_a_schedule_is_no_failure() {
        let stuck = Some(Stuck::Differs { step: 1, how: String::new() });
        let (taken, blocked, workers, objects) = Default::default();
        let finished = Finished { taken, needed: 0, stuck, blocked, is_redundant: false, workers, objects };
        let mut counting = Counting::default();
        assert!(!counting.count(&finished, Ok(None), false));
        assert!(counting.failed.is_none(), "{:?}", counting.failed);
        assert!(!counting.count(&finished, Ok(Some(Seen::Held)), false));
        assert!(counting.failed.is_some());
    }
}
