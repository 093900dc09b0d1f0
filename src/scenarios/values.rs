//! The shared counter and the shared array: read, think, and write one more, with and without a lock.
//!
//! The race is a real lost update in shared memory, without undefined behaviour: a separate load and store of an
//! atomic. With the lock, the two are one step.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use rand::RngExt;

use super::prelude::*;
use crate::ipc::operation::{ObjectId, Operation, as_one};
use crate::{Array, RLock, Value};

/// The time between reading a number and writing it, at speed 1.
const THINKING_US: RangeInclusive<u64> = 500..=1_500;
/// The number of elements in the array; the workers increment them in turn.
const PLACES: usize = 4;
/// How often a worker reports its progress.
const REPORTS: u64 = 10;

/// What a worker does with the counter and the array, for an exploration: both are read or written in one step.
const READ: Operation = Operation::read("values.read");
const WRITE: Operation = Operation::change("values.write");

/// The options of the counting.
#[derive(Debug, clap::Args)]
pub(crate) struct ValuesArgs {
    /// How many workers count
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u32>(1..=1000))]
    workers: u32,
    /// How many times each of them adds one
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = whole::<u64>(1..=1_000_000_000))]
    increments: u64,
    /// Make reading and writing one step
    #[arg(long)]
    lock: bool,
}

/// The state of a values run.
pub(crate) struct Values {
    args: ValuesArgs,
    counter: Value<u64>,
    array: Array<u64>,
}

impl Scenario for Values {
    const NAME: &'static str = "values";
    const ABOUT: &'static str = "\
A shared counter and array: lost updates, with and without a lock

Every worker reads the counter, thinks for a moment, and writes one more; it does the same with the numbers of the \
array in turn. Without a lock, two workers can read the same number, and one update is lost. With --lock, reading and \
writing are one step, and no update is lost.

Examples:
  ipc-demo values                                     updates get lost
  ipc-demo values --lock                              none is lost
  ipc-demo values --increments 1000000 --speed max    as fast as possible
  ipc-demo values --workers 1                         one worker loses none";
    type Args = ValuesArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Worker>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<ValuesFact>];
    const CLAIM: [&'static str; 2] = ["no update is lost", "没有更新丢失"];
    const NEEDS: [&'static str; 2] = ["a lock", "未加锁，本来就无保证"];
    type Observer = Counted;

    fn prepare(args: ValuesArgs) -> anyhow::Result<Self> {
        let zeros = [0; PLACES];
        let (counter, array) = if args.lock {
            // One reentrant lock for both: the array acquires it for each of its changes.
            let lock = RLock::new()?;
            (Value::with_lock(0, &lock)?, Array::with_lock(&zeros, &lock)?)
        } else {
            (Value::unlocked(0)?, Array::unlocked(&zeros)?)
        };
        Ok(Values { args, counter, array })
    }

    fn workers(&self) -> Vec<String> {
        numbered("worker", self.args.workers)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["increments_made"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![
            Thing::new(COUNTER, "", Shape::number(0, ["", ""])),
            Thing::new(ADDED, "", Shape::number(0, ["added", "加了"])),
        ]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let ValuesArgs { increments, lock, .. } = self.args;
        let (counter, array, numbers) = (&self.counter, &self.array, ObjectId::new());
        let (shown, all) = (counter.clone(), array.clone());
        runner.describe(numbers, move || {
            let all: Vec<_> = (0..PLACES).filter_map(|place| all.get(place).ok()).collect();
            format!("{} {all:?}", shown.get())
        });
        runner.spawn_each(self.workers(), |ctx| Worker {
            ctx,
            counter: counter.clone(),
            array: array.clone(),
            numbers,
            increments,
            lock,
        })?;
        runner.watch()
    }

    fn check(self, counted: &Counted, completion: &Completion) -> anyhow::Result<CheckResult> {
        let ValuesArgs { increments, lock, .. } = self.args;
        let expected: u64 = counted.0.values().sum();
        let actual = self.counter.get();
        let in_array: u64 = (0..PLACES).map(|index| self.array.get(index)).sum::<crate::Result<u64>>()?;
        let lost = expected.saturating_sub(actual);
        let lost_in_array = expected.saturating_sub(in_array);
        // An interrupted worker has added more than it reported, by less than one report interval.
        let unreported = completion.interrupted() as u64 * chunk(increments);
        let is_explained = |sum: u64| sum.saturating_sub(expected) <= unreported;
        let broken = lost > 0 || lost_in_array > 0 || !is_explained(actual) || !is_explained(in_array);
        let (what_en, what_zh, sum) = match lost == 0 && lost_in_array > 0 {
            true => ("the array adds up to", "数组之和", in_array),
            false => ("the counter is", "计数器", actual),
        };
        let (but_en, but_zh) = if lost + lost_in_array > 0 { ("but", "却") } else { ("and", "") };
        Ok(CheckResult {
            broken,
            finished: completion.stopped.is_none() && !completion.all_died(),
            guaranteed: lock,
            allowance: (actual > expected || in_array > expected).then_some(Allowance::Unreported),
            seen: [
                format!("The workers added one {expected} times, {but_en} {what_en} {sum}."),
                format!("共加了 {expected} 次，{what_zh}{but_zh}是 {sum}。"),
            ],
            facts: vec![
                counter("expected", "预期", expected),
                counter("actual", "实际", actual),
                counter("lost", "丢失", lost),
                counter("in_array", "数组中", in_array),
                counter("lost_in_array", "数组丢失", lost_in_array),
            ],
            advice: broken.then_some([
                "two workers read the same number; a lock prevents it: ipc-demo values --lock",
                "两个进程读到了同一个数；加锁即可避免：ipc-demo values --lock",
            ]),
        })
    }
}

/// Returns the number of increments between two reports of a worker.
fn chunk(increments: u64) -> u64 {
    increments.div_ceil(REPORTS)
}

const COUNTER: Noun = Noun::new("counter", "计数器");
/// What all have added: without a lock, more than the counter shows.
const ADDED: Noun = Noun::new("added by all", "累计加数");

/// What workers report.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ValuesFact {
    /// A worker has made `made` increments so far, and saw `seen` as the counter's value.
    IncrementsMade { made: u64, seen: u64 },
}

impl Fact for ValuesFact {
    fn class(&self) -> Class<'_> {
        Class::dot(Severity::Plain, "加数")
    }

    fn change(&self, worker: &str, things: &mut Things) {
        let Self::IncrementsMade { made, seen } = self;
        if let Some((counter, _)) = things.number(COUNTER) {
            // Reports of several workers may overtake each other; unlike them, the counter only grows.
            *counter = *seen.max(counter);
        }
        if let Some((all, of)) = things.number(ADDED) {
            of.insert(worker.to_owned(), *made);
            *all = of.values().sum();
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let Self::IncrementsMade { made, seen } = self;
        say!(wording, "has added {made}; the counter is {seen}", "已加{made}次，计数器为{seen}")
    }
}

/// The number of increments that each worker reported.
#[derive(Debug, Default)]
pub(crate) struct Counted(HashMap<String, u64>);

impl Observer for Counted {
    fn count(&mut self, event: &Event) {
        if let Some(ValuesFact::IncrementsMade { made, .. }) = event.get() {
            self.0.insert(event.worker.clone(), *made);
        }
    }
}

/// A worker that counts.
#[derive(Serialize, Deserialize)]
struct Worker {
    ctx: WorkerContext,
    counter: Value<u64>,
    array: Array<u64>,
    /// Both, for an exploration.
    numbers: ObjectId,
    increments: u64,
    lock: bool,
}

impl Role for Worker {
    const NAME: &'static str = "values.worker";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let (counter, array, numbers) = (self.counter, self.array, &self.numbers);
        let mut rng = ctx.rng();
        for made in 1..=self.increments {
            let place = (made % PLACES as u64) as usize;
            let guard = self.lock.then(|| counter.lock()).transpose()?;
            let (in_counter, in_array) = as_one(READ, numbers, || (counter.get(), array.get(place)));
            let in_array = in_array?;
            ctx.pause(Duration::from_micros(rng.random_range(THINKING_US)));
            as_one(WRITE, numbers, || {
                counter.set(in_counter + 1);
                array.set(place, in_array + 1)
            })?;
            drop(guard);
            if made % chunk(self.increments) == 0 || made == self.increments {
                ctx.emit(ValuesFact::IncrementsMade { made, seen: unobserved(|| counter.get()) })?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(reported: &[u64], actual: u64, in_array: u64, completion: &Completion) -> CheckResult {
        let mut counted = Counted::default();
        for (worker, &made) in reported.iter().enumerate() {
            for made in [made / 2, made] {
                let fact = ValuesFact::IncrementsMade { made, seen: 0 }.into();
                counted.count(&Event { at_us: 0, worker: format!("worker-{worker}"), pid: 1, fact });
            }
        }
        let args = ValuesArgs { workers: reported.len() as u32, increments: 100, lock: true };
        let values = Values::prepare(args).expect("values");
        values.counter.set(actual);
        values.array.set(1, in_array).expect("within");
        values.check(&counted, completion).expect("a finding")
    }

    #[test]
    fn update_lost_from_either_breaks_the_claim() {
        let whole = &Completion::default();
        let all = result(&[100, 100], 200, 200, whole);
        assert!(!all.broken && all.finished && all.guaranteed, "{all:?}");
        let lost = result(&[100, 100], 150, 200, whole);
        assert!(lost.broken && lost.fact("lost") == Some(&50.into()), "{lost:?}");
        assert!(result(&[100, 100], 200, 199, whole).broken);
        assert!(result(&[100, 100], 201, 200, whole).broken, "an increment that no worker made");
    }

    #[test]
    fn what_a_killed_worker_did_not_report_is_allowed_for() {
        let one_died = &Completion::deaths(&["worker-1"]);
        let allowed = result(&[100, 50], 159, 160, one_died);
        assert!(!allowed.broken && allowed.finished && allowed.allowance == Some(Allowance::Unreported), "{allowed:?}");
        assert!(result(&[100, 50], 161, 160, one_died).broken);
        assert!(result(&[100, 50], 149, 150, one_died).broken, "what was reported is never lost");
        let cut = result(&[60, 50], 130, 130, &Completion::cut());
        assert!(!cut.broken && !cut.finished, "{cut:?}");
    }
}
