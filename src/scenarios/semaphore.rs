//! The semaphore: a car park with fewer spaces than there are cars.
//!
//! Its permits know their holders, so the space of a car that is killed inside becomes free again.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::held::{self, CAR_PARK, Held, Holdable, PermitFact};
use super::prelude::*;
use crate::sync::OwnedSemaphore;

/// How long a car takes to come, at speed 1.
const COMING_MS: RangeInclusive<u64> = 0..=1_000;
/// How long it parks, at speed 1.
const PARKING_MS: RangeInclusive<u64> = 1_000..=2_000;

/// The options of a car park.
#[derive(Debug, clap::Args)]
pub(crate) struct SemaphoreArgs {
    /// How many cars may be inside at once
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u32>(1..=65_536))]
    permits: u32,
    /// How many cars come
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=1000))]
    workers: u32,
}

/// The state of a car park run.
pub(crate) struct Semaphore {
    args: SemaphoreArgs,
    spaces: OwnedSemaphore,
}

impl Scenario for Semaphore {
    const NAME: &'static str = "semaphore";
    const ABOUT: &'static str = "\
A car park: never more cars inside than there are spaces

A semaphore counts permits. Every car takes one to drive in, parks for a second or two, and releases it; when none \
is left, the next car waits. If a car is killed (kill -9), a waiting car gets its space.

Examples:
  ipc-demo semaphore                             ten cars, three spaces
  ipc-demo semaphore --permits 1                 one space alone is a lock
  ipc-demo semaphore --workers 100 --speed 10    a crowd, ten times faster";
    type Args = SemaphoreArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Car>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<PermitFact>];
    const CLAIM: [&'static str; 2] =
        ["every car gets in; never more inside than there are spaces", "每辆车都能停入，且同时停放的车辆不超过车位数"];
    const NAMES: Names = &[("car", "汽车"), (CAR_PARK, "车位")];
    type Observer = Traffic;

    fn prepare(args: SemaphoreArgs) -> anyhow::Result<Self> {
        let spaces = OwnedSemaphore::new(args.permits)?;
        Ok(Semaphore { args, spaces })
    }

    fn workers(&self) -> Vec<String> {
        numbered("car", self.args.workers)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["waiting", "holding", "permit_waiting", "permit_acquired", "permit_released"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![held::permits(CAR_PARK, self.args.permits)]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        runner.spawn_each(self.workers(), |ctx| Car { ctx, spaces: self.spaces.clone() })?;
        runner.watch()
    }

    fn check(self, traffic: &Traffic, completion: &Completion) -> anyhow::Result<CheckResult> {
        let SemaphoreArgs { permits, workers } = self.args;
        let (entered, most_inside) = (traffic.entered() as u64, traffic.most_inside(permits as usize));
        let cars = u64::from(workers);
        Ok(CheckResult {
            broken: most_inside > permits as usize,
            finished: completion.accounts_for(entered, cars),
            guaranteed: true,
            allowance: (entered < cars).then_some(Allowance::Unfinished),
            seen: [
                format!("The car park let in {}, at most {most_inside} at once.", of_all(entered, cars, "car")),
                format!("{cars} 辆车{}，最多同时停放 {most_inside} 辆。", of_all_zh(entered, cars, "停入", "辆")),
            ],
            facts: vec![
                counter("permits", "车位", permits),
                counter("workers", "进程", workers),
                counter("entered", "已停车", entered),
                counter("most_inside", "最多同时停放", most_inside),
            ],
            advice: Some([
                "with one permit a semaphore is a lock: ipc-demo semaphore --permits 1",
                "只有一个许可的信号量就是一把锁：ipc-demo semaphore --permits 1",
            ]),
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    In,
    Out,
    /// The car's process ended, wherever it was.
    Gone,
}

/// The cars that drove in and out, in the order of the reports.
#[derive(Debug, Default)]
pub(crate) struct Traffic(Vec<(String, Step)>);

impl Observer for Traffic {
    fn count(&mut self, event: &Event) {
        let step = match event.get() {
            Some(PermitFact::PermitAcquired { .. }) => Step::In,
            Some(PermitFact::PermitReleased { .. }) => Step::Out,
            None if event.is::<WorkerExited>() => Step::Gone,
            _ => return,
        };
        self.0.push((event.worker.clone(), step));
    }
}

impl Traffic {
    fn cars(&self, wanted: Step) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, step)| *step == wanted).map(|(car, _)| car.as_str())
    }

    fn entered(&self) -> usize {
        self.cars(Step::In).count()
    }

    /// Returns the maximum number of cars inside at once.
    ///
    /// A car is reported in after it acquired its space, and out before it releases it. One that never drives out was
    /// killed inside, and its space is reused before its end is reported: it counts only as long as there is space.
    fn most_inside(&self, permits: usize) -> usize {
        let drive_out: HashSet<&str> = self.cars(Step::Out).collect();
        let mut inside = HashSet::new();
        let crowds = self.0.iter().map(|(car, step)| {
            match step {
                Step::In => inside.insert(car.as_str()),
                Step::Out | Step::Gone => inside.remove(car.as_str()),
            };
            let alive = inside.intersection(&drive_out).count();
            inside.len().min(alive.max(permits))
        });
        crowds.max().unwrap_or(0)
    }
}

/// A car that wants to park.
#[derive(Serialize, Deserialize)]
struct Car {
    ctx: WorkerContext,
    spaces: OwnedSemaphore,
}

impl Role for Car {
    const NAME: &'static str = "semaphore.car";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let mut rng = ctx.rng();
        ctx.pause_random(&mut rng, COMING_MS);
        let space = Held::acquire(Holdable::Permit(CAR_PARK), ctx, || Ok((self.spaces.acquire(), false)))?;
        ctx.pause_random(&mut rng, PARKING_MS);
        Ok(space.release()?)
    }
}

#[cfg(test)]
mod tests {
    use super::Step::{Gone, In, Out};
    use super::*;
    use crate::report::Verdict;

    fn result(steps: &[(&str, Step)], completion: &Completion) -> CheckResult {
        let traffic = Traffic(steps.iter().map(|&(car, step)| (car.to_owned(), step)).collect());
        let car_park = Semaphore::prepare(SemaphoreArgs { permits: 2, workers: 3 }).expect("a car park");
        car_park.check(&traffic, completion).expect("a finding")
    }

    #[test]
    fn a_car_too_many_breaks_the_claim() {
        let orderly = [("a", In), ("b", In), ("a", Out), ("a", Gone), ("c", In), ("b", Out), ("c", Out)];
        let whole = &Completion::default();
        assert_eq!(result(&orderly, whole).verdict(whole), Verdict::Held);
        let crowded = [("a", In), ("b", In), ("c", In), ("a", Out), ("b", Out), ("c", Out)];
        let result = result(&crowded, whole);
        assert!(result.broken && result.guaranteed);
        assert_eq!(result.fact("most_inside"), Some(&3.into()));
    }

    #[test]
    fn a_car_that_never_gets_in_breaks_the_claim() {
        let two = [("a", In), ("b", In), ("a", Out), ("b", Out)];
        let verdict = |completion: &Completion| result(&two, completion).verdict(completion);
        assert_eq!(verdict(&Completion::default()), Verdict::Violated);
        assert_eq!(verdict(&Completion::deaths(&["c"])), Verdict::Held);
        assert_eq!(verdict(&Completion::cut()), Verdict::NotShown);
    }

    #[test]
    fn space_of_a_killed_car_is_reused_before_its_end_is_reported() {
        let taken_over = [("a", In), ("b", In), ("c", In), ("a", Gone), ("b", Out), ("c", Out)];
        let one_died = &Completion::deaths(&["a"]);
        assert!(!result(&taken_over, one_died).broken);
        let twice = [("a", In), ("b", In), ("c", In), ("d", In), ("a", Gone), ("b", Out), ("c", Out), ("d", Out)];
        assert!(result(&twice, one_died).broken, "one death frees one space");
    }
}
