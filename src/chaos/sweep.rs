//! All kills of a run: planned, divided among the processors, and judged row by row.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::thread;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::case::{Row, Span};
use super::effect::Fault;
use super::findings::{Findings, disorder, sort, turns};
use super::kill::{Course, Point, Seen};
use crate::sys::{affinity, trace};

/// Kills in a row with only one place to kill.
const REPEATS: usize = 3;
/// Kills within an operation, except at its ends, unless every instruction is requested.
const SAMPLES: usize = 8;
/// Lanes per processor for rows that wait a lot.
const PATIENT_LANES: usize = 4;
/// Instructions on each side of a deciding instruction after which a victim is always killed.
const CLOSE: usize = 4;
/// How often a victim that left its course is tried again.
const ATTEMPTS: usize = 5;
/// How often a kill is repeated after which a survivor was late.
const RECURRENCES: usize = 3;
/// How often an operation with several possible courses is surveyed.
const SURVEYS: usize = 3;

/// What a sweep reports while it runs.
pub(super) enum News {
    /// The number of kills after the survey.
    Planned(usize),
    /// One more kill.
    Killed,
    /// The row at this index is finished.
    Finished(usize, Findings),
}

/// A row in progress.
#[derive(Debug, Default)]
struct Work {
    course: OnceLock<Course>,
    /// The observations, and the number of outstanding kills.
    seen: Mutex<(Vec<(Point, Seen)>, usize)>,
}

/// A sweep over `rows`. Lanes take jobs from it until none is left.
pub(super) struct Sweep<'a> {
    rows: &'a [&'static Row],
    /// Kill at every instruction.
    exhaustive: bool,
    work: Vec<Work>,
    stop: &'a AtomicBool,
}

impl<'a> Sweep<'a> {
    /// Creates a sweep that ends early, in order, once `stop` is set.
    pub(super) fn new(rows: &'a [&'static Row], exhaustive: bool, stop: &'a AtomicBool) -> Self {
        Sweep { rows, exhaustive, work: rows.iter().map(|_| Work::default()).collect(), stop }
    }

    /// Traces one victim through each operation, one at a time on each of `processors`, and plans the kills. `seed`
    /// selects some of the places.
    pub(super) fn survey(&self, processors: &[usize], seed: u64) -> anyhow::Result<Vec<(usize, Point)>> {
        let has_course = |row: &usize| self.rows[*row].span == Span::Within;
        let jobs = (0..self.rows.len()).filter(has_course).map(|row| (row, ())).collect();
        self.divide(processors, jobs, |row, ()| {
            let survey = || attempt(|| self.rows[row].survey()).with_context(|| self.rows[row].title());
            let mut course = survey()?;
            // Where others are woken too, one of them may be faster, and the victim takes the long course.
            for _ in 1..if course.slept_after.is_some() { SURVEYS } else { 1 } {
                course = std::cmp::min_by_key(course, survey()?, Course::len);
            }
            self.work[row].course.set(course).expect("a row is surveyed once");
            Ok(())
        })?;
        let mut rng = StdRng::seed_from_u64(seed);
        let mut jobs = Vec::new();
        for (row, work) in self.work.iter().enumerate() {
            // A row with only one place needs no survey.
            let course = work.course.get_or_init(Course::default);
            let points = points(self.rows[row].span, course, self.exhaustive, &mut rng);
            locked(&work.seen).1 = points.len();
            jobs.extend(points.into_iter().map(|point| (row, point)));
        }
        Ok(jobs)
    }

    /// Performs all of `jobs`, one lane on each of `processors`, and reports. `news` ends with the last kill.
    pub(super) fn kill(
        &self,
        processors: &[usize],
        jobs: Vec<(usize, Point)>,
        news: Sender<News>,
    ) -> anyhow::Result<()> {
        let news = Mutex::new(news);
        self.divide(processors, jobs, |row, point| {
            let seen = self.kill_at(row, self.course(row), point)?;
            // The receiver decides when to stop.
            let _ = locked(&news).send(News::Killed);
            let finished = {
                let mut work = locked(&self.work[row].seen);
                work.0.push((point, seen));
                work.1 -= 1;
                (work.1 == 0).then(|| std::mem::take(&mut work.0))
            };
            if let Some(seen) = finished
                && let Some(findings) = self.conclude(row, seen)?
            {
                let _ = locked(&news).send(News::Finished(row, findings));
            }
            Ok(())
        })
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Relaxed)
    }

    fn course(&self, row: usize) -> &Course {
        self.work[row].course.get().expect("it was surveyed")
    }

    fn kill_at(&self, row: usize, course: &Course, point: Point) -> anyhow::Result<Seen> {
        let line = self.rows[row];
        let kill = || attempt(|| line.kill(course, point)).with_context(|| format!("{}, {point:?}", line.title()));
        let mut seen = kill()?;
        if matches!(seen.verdict, Err(Fault::Hangs | Fault::WakeLost)) {
            // A survivor that was late once may not have had a processor. A wake lost at an instruction is lost every
            // time.
            for _ in 0..RECURRENCES {
                seen = Seen { repeated: true, ..kill()? };
                if seen.verdict.is_err() {
                    break;
                }
            }
        }
        Ok(seen)
    }

    /// Lets all lanes take jobs until none is left.
    ///
    /// One lane per processor does the jobs that keep it busy; for rows where a process may sleep until its own check,
    /// many lanes wait in parallel.
    fn divide<J: Send>(
        &self,
        processors: &[usize],
        jobs: Vec<(usize, J)>,
        job: impl Fn(usize, J) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let is_slow = |(row, _): &(usize, J)| self.rows[*row].by_liveness_check;
        let (slow, quick): (VecDeque<_>, VecDeque<_>) = jobs.into_iter().partition(is_slow);
        let (jobs, failure) = (Mutex::new((quick, slow)), Mutex::new(None));
        let next = |is_patient: bool| {
            let (quick, slow) = &mut *locked(&jobs);
            if is_patient { slow.pop_front() } else { quick.pop_front().or_else(|| slow.pop_front()) }
        };
        let lane = |processor, is_patient| {
            // A step is a plain switch between the two on one processor. If this fails, kills are only slower.
            let _pinned = affinity::pin(processor);
            let _ = trace::repeat_addresses();
            while !self.is_stopped() {
                let Some((row, what)) = next(is_patient) else { break };
                if let Err(error) = job(row, what) {
                    self.stop.store(true, Relaxed);
                    locked(&failure).get_or_insert(error);
                }
            }
        };
        thread::scope(|scope| {
            for &processor in processors {
                for number in 0..=PATIENT_LANES {
                    let lane = &lane;
                    scope.spawn(move || lane(processor, number > 0));
                }
            }
        });
        failure.into_inner().expect("nothing panics while it holds the lock").map_or(Ok(()), Err)
    }

    /// Checks the observations of a row against its promise. Returns `None` if the sweep is stopped meanwhile.
    fn conclude(&self, row: usize, mut seen: Vec<(Point, Seen)>) -> anyhow::Result<Option<Findings>> {
        let (effects, course) = (self.rows[row].effects, self.course(row));
        if !self.exhaustive {
            self.look_closer(row, course, &mut seen)?;
        }
        sort(&mut seen, course);
        // A victim may go another way than the surveyed one, and come past a landmark later. A real fault occurs every
        // time.
        let stepped = course.without_addresses();
        for _ in 1..ATTEMPTS {
            for place in disorder(&seen, effects) {
                if self.is_stopped() {
                    return Ok(None);
                }
                seen[place].1 = self.kill_at(row, &stepped, seen[place].0)?;
            }
        }
        Ok((!self.is_stopped()).then(|| Findings::of(&seen, course, effects)))
    }

    /// Finds the deciding instructions and kills around them.
    fn look_closer(&self, row: usize, course: &Course, seen: &mut Vec<(Point, Seen)>) -> anyhow::Result<()> {
        while !self.is_stopped() {
            sort(seen, course);
            let Some((before, after)) = turns(seen).find(|(before, after)| after - before > 1) else { break };
            let middle = Point::After(before + (after - before) / 2);
            seen.push((middle, self.kill_at(row, course, middle)?));
        }
        let close = |(before, after): (usize, usize)| before.saturating_sub(CLOSE)..=(after + CLOSE).min(course.len());
        let near: BTreeSet<usize> = turns(seen).flat_map(close).collect();
        for place in near {
            let point = Point::After(place);
            if !self.is_stopped() && !seen.iter().any(|(known, _)| *known == point) {
                seen.push((point, self.kill_at(row, course, point)?));
            }
        }
        Ok(())
    }
}

/// Returns the places to kill in a row.
fn points(span: Span, course: &Course, exhaustive: bool, rng: &mut StdRng) -> Vec<Point> {
    match span {
        Span::Before => vec![Point::After(0); REPEATS],
        Span::Asleep => vec![Point::Asleep; REPEATS],
        Span::Within => {
            let places: BTreeSet<usize> = if exhaustive || course.len() <= SAMPLES {
                (0..=course.len()).collect()
            } else {
                (0..SAMPLES).map(|_| rng.random_range(1..course.len())).chain([0, course.len()]).collect()
            };
            let asleep = course.slept_after.into_iter().flat_map(|_| [Point::Asleep, Point::Woken]);
            places.into_iter().map(Point::After).chain(asleep).collect()
        }
    }
}

fn attempt<T>(action: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    (1..ATTEMPTS).fold(action(), |outcome, _| outcome.or_else(|_| action()))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("nothing panics while it holds the lock")
}
