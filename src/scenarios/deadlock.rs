//! The deadlock: workers acquire two locks each, in a cycle, and the runner detects the cycle.
//!
//! A timeout breaks the cycle: a worker that waited too long releases what it holds and tries again later. With one
//! order for all locks no cycle can form.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::Context;
use rand::RngExt;

use super::held::{self, Held, LockFact};
use super::prelude::*;
use crate::sync::{Wait, find_deadlock};
use crate::{Lock, Result};

/// How long a worker waits for its second lock by default, unless the order makes a timeout unnecessary.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long a worker uses its first lock before it wants the second, at speed 1.
const HALFWAY_MS: RangeInclusive<u64> = 500..=1_000;
/// How long it works with both, at speed 1.
const WORKING_MS: RangeInclusive<u64> = 200..=500;
/// How long it stays away after it gave up, at speed 1.
const AWAY_MS: RangeInclusive<u64> = 0..=2_000;
/// The minimum time away at any speed: if all returned at once, they could form the same cycle again and again.
const AWAY_AT_LEAST_US: RangeInclusive<u64> = 0..=20_000;

/// The options of a deadlock.
#[derive(Debug, clap::Args)]
pub(crate) struct DeadlockArgs {
    /// Make all workers take the locks in the same order, the lower number first
    #[arg(long)]
    ordered: bool,
    /// How long a worker waits for its second lock before it gives up (500ms, 2s, 1m) [default: 2s; no limit with --ordered, explore, --schedule]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, allow_hyphen_values = true)]
    timeout: Option<Duration>,
    /// How many workers, and as many locks, are in the cycle
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u32>(2..=1000))]
    workers: u32,
}

/// The state of a deadlock run.
pub(crate) struct Deadlock {
    ordered: bool,
    timeout: Option<Duration>,
    locks: Vec<NamedLock>,
}

impl Scenario for Deadlock {
    const NAME: &'static str = "deadlock";
    const ABOUT: &'static str = "\
Two workers, two locks, opposite orders: found, named, and cured

Every worker takes a lock, works a little, and then needs the next worker's lock as well. Soon each holds what another \
waits for, and none can continue. The runner detects it and shows who holds and waits for what; a timeout breaks it. \
With --ordered all take the lock with the lower number first, and no cycle can form.

Examples:
  ipc-demo deadlock                      two workers
  ipc-demo deadlock --workers 5          a cycle of five
  ipc-demo deadlock --ordered            the same order for all: no deadlock
  ipc-demo deadlock --timeout 100years   until Ctrl-C, or kill -9 of a worker";
    type Args = DeadlockArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Worker>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<LockFact>];
    const CLAIM: [&'static str; 2] = ["there is no deadlock", "不会出现循环等待（死锁）"];
    const NEEDS: [&'static str; 2] = ["one order for all locks", "未统一加锁顺序，本来就无保证"];
    type Observer = LockGraph;

    fn prepare(args: DeadlockArgs) -> anyhow::Result<Self> {
        let DeadlockArgs { ordered, timeout, workers } = args;
        let timeout = timeout.or((!ordered && !is_exploring()).then_some(TIMEOUT));
        let named = |number| Ok(NamedLock { name: format!("lock-{number}"), lock: Lock::new()? });
        let locks = (1..=workers).map(named).collect::<Result<_>>()?;
        Ok(Deadlock { ordered, timeout, locks })
    }

    fn workers(&self) -> Vec<String> {
        numbered("worker", self.locks.len() as u32)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["waiting", "holding", "lock_waiting", "lock_acquired", "lock_released", "lock_timed_out"]
    }

    fn things(&self) -> Vec<Thing> {
        self.locks.iter().map(|lock| held::lock(&lock.name)).collect()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let (locks, timeout) = (&self.locks, self.timeout);
        for (own, name) in self.workers().into_iter().enumerate() {
            let next = (own + 1) % locks.len();
            let [first, second] = if self.ordered { [own.min(next), own.max(next)] } else { [own, next] };
            let (first, second) = (locks[first].clone(), locks[second].clone());
            runner.spawn(&name, false, |ctx| Worker { ctx, first, second, timeout })?;
        }
        let mut known = None;
        runner.watch_until(|runner, _| {
            let found = find_deadlock()?.map(|mut cycle| {
                // Where a cycle begins is irrelevant: it is normalised to begin at its lowest lock.
                let lowest = (0..cycle.len()).min_by_key(|&at| cycle[at].holds).unwrap_or(0);
                cycle.rotate_left(lowest);
                cycle
            });
            if found != known
                && let Some(cycle) = &found
            {
                let cycle = cycle.iter().map(|wait| link(wait, runner, locks)).collect::<anyhow::Result<_>>()?;
                runner.emit(DeadlockFound { cycle })?;
            }
            known = found;
            Ok(!runner.has_expected_workers())
        })
    }

    fn check(self, graph: &LockGraph, completion: &Completion) -> anyhow::Result<CheckResult> {
        let LockGraph { deadlocks, found, timeouts, finished, .. } = *graph;
        let workers = self.locks.len() as u64;
        let broken = deadlocks > 0 || found > 0;
        Ok(CheckResult {
            broken,
            finished: completion.accounts_for(finished, workers),
            guaranteed: self.ordered,
            allowance: (finished < workers).then_some(Allowance::Unfinished),
            seen: {
                let (finished_en, cycles) = (of_all(finished, workers, "worker"), deadlocks.max(found));
                let finished_zh = of_all_zh(finished, workers, "完成", "个");
                match cycles {
                    0 => [
                        format!("There was no deadlock, and {finished_en} finished."),
                        format!("没有出现死锁，{workers} 个进程{finished_zh}。"),
                    ],
                    _ => [
                        format!(
                            "After {} and {}, {finished_en} finished.",
                            counted(cycles, "deadlock"),
                            counted(timeouts, "timeout")
                        ),
                        format!("死锁 {cycles} 次，超时 {timeouts} 次，{workers} 个进程{finished_zh}。"),
                    ],
                }
            },
            facts: vec![
                counter("workers", "进程", workers),
                counter("deadlocks", "死锁", deadlocks),
                counter("found", "发现", found),
                counter("timeouts", "超时", timeouts),
                counter("finished", "完成", finished),
            ],
            advice: Some(if broken {
                [
                    "one order for all locks prevents it: ipc-demo deadlock --ordered",
                    "所有进程按同一顺序获取锁即可避免：ipc-demo deadlock --ordered",
                ]
            } else {
                [
                    "a cycle of any length is found: ipc-demo deadlock --workers 5",
                    "任意长度的循环等待都能发现：ipc-demo deadlock --workers 5",
                ]
            }),
        })
    }
}

/// A deadlock of more workers than this is truncated.
const MOST_LINKS: usize = 10;

/// Workers were found waiting for each other in a cycle: each waits for a lock that the next one holds, and the last
/// for one that the first holds.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "deadlock_found")]
pub(crate) struct DeadlockFound {
    pub(crate) cycle: Vec<Link>,
}

/// One link of a deadlock.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    /// The worker that waits.
    pub(crate) worker: String,
    /// The lock that it holds.
    pub(crate) holds: String,
    /// The lock that it waits for.
    pub(crate) waits_for: String,
    /// The holder of that lock.
    pub(crate) held_by: String,
}

impl Fact for DeadlockFound {
    fn class(&self) -> Class<'_> {
        Class::dot(Severity::Trouble, "发现死锁")
    }

    fn change(&self, _worker: &str, things: &mut Things) {
        held::mark_cycle(things, self.cycle.iter().map(|link| link.waits_for.as_str()));
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let count = self.cycle.len();
        say!(wording, "finds a deadlock of {count} workers", "发现死锁：{count} 个进程互相等待")
    }

    fn details(&self, wording: &Wording<'_>) -> Vec<String> {
        let link = |Link { worker, holds, waits_for, held_by }: &Link| {
            let [worker, holds, waits_for, held_by] =
                [worker, holds, waits_for, held_by].map(|name| wording.name(name));
            say!(
                wording,
                "{worker} holds {holds} and waits for {waits_for}, held by {held_by}",
                "{worker}持有{holds}，等待{held_by}持有的{waits_for}"
            )
        };
        let rest = self.cycle.len().saturating_sub(MOST_LINKS);
        let more = (rest > 0).then(|| say!(wording, "and {rest} more", "另有 {rest} 个"));
        self.cycle.iter().take(MOST_LINKS).map(link).chain(more).collect()
    }
}

fn link(wait: &Wait, runner: &Runner<'_>, locks: &[NamedLock]) -> anyhow::Result<Link> {
    let worker = |pid| runner.name_of(pid).map(str::to_owned).context("an unknown process is in a deadlock");
    let lock =
        |id| locks.iter().find(|NamedLock { lock, .. }| lock.id() == id).context("an unknown lock is in a deadlock");
    let lock = |id| lock(id).map(|NamedLock { name, .. }| name.clone());
    Ok(Link {
        worker: worker(wait.waiter.pid)?,
        holds: lock(wait.holds)?,
        waits_for: lock(wait.waits_for)?,
        held_by: worker(wait.held_by.pid)?,
    })
}

/// The holder and the waiters of each lock, as reported.
#[derive(Debug, Default)]
pub(crate) struct LockGraph {
    holder_of: HashMap<String, String>,
    wanted_by: HashMap<String, String>,
    /// Cycles that occurred.
    deadlocks: u64,
    /// Cycles that the runner found in shared memory.
    found: u64,
    timeouts: u64,
    /// Workers that had both their locks.
    finished: u64,
}

impl Observer for LockGraph {
    fn count(&mut self, event: &Event) {
        let worker = &event.worker;
        match event.get() {
            Some(LockFact::LockWaiting { lock }) => {
                self.wanted_by.insert(worker.clone(), lock.clone());
                self.deadlocks += u64::from(self.waits_for_itself(worker));
            }
            Some(LockFact::LockAcquired { lock, .. }) => {
                self.wanted_by.remove(worker);
                self.holder_of.insert(lock.clone(), worker.clone());
                self.finished += u64::from(self.holder_of.values().filter(|holder| *holder == worker).count() == 2);
            }
            Some(LockFact::LockTimedOut { .. }) => {
                self.wanted_by.remove(worker);
                self.timeouts += 1;
            }
            Some(LockFact::LockReleased { lock, .. }) => {
                self.holder_of.remove(lock);
            }
            None if event.is::<WorkerExited>() => {
                self.wanted_by.remove(worker);
                self.holder_of.retain(|_, holder| holder != worker);
            }
            None => self.found += u64::from(event.is::<DeadlockFound>()),
        }
    }
}

impl LockGraph {
    /// Returns whether `worker`, the last that began to wait, waits for a worker that waits ... for it.
    ///
    /// A worker reports an acquire with a time after it and a release with a time before it, so all reports of a cycle
    /// are true at the same time. A holder that was killed is removed when its end is reported.
    fn waits_for_itself(&self, worker: &str) -> bool {
        let next = |waiter: &&String| self.holder_of.get(self.wanted_by.get(*waiter)?);
        let behind = std::iter::successors(self.wanted_by.get(worker).and_then(|lock| self.holder_of.get(lock)), next);
        // A cycle further on, which was closed before, has no end.
        behind.take(self.holder_of.len()).any(|holder| holder == worker)
    }
}

/// A lock, and its name in the events.
#[derive(Clone, Serialize, Deserialize)]
struct NamedLock {
    name: String,
    lock: Lock,
}

/// A worker that needs two locks at once.
#[derive(Serialize, Deserialize)]
struct Worker {
    ctx: WorkerContext,
    first: NamedLock,
    second: NamedLock,
    timeout: Option<Duration>,
}

impl Role for Worker {
    const NAME: &'static str = "deadlock.worker";

    fn run(self) -> RoleResult {
        let Worker { ctx, first, second, timeout } = &self;
        let mut rng = ctx.rng();
        loop {
            // It waits while holding nothing, so it is part of no cycle and needs no timeout.
            let held = Held::lock(&first.lock, &first.name, ctx)?;
            ctx.pause_random(&mut rng, HALFWAY_MS);
            if let Some(both) = Held::lock_within(*timeout, &second.lock, &second.name, ctx)? {
                ctx.pause_random(&mut rng, WORKING_MS);
                both.release()?;
                held.release()?;
                return Ok(());
            }
            held.release()?;
            // Let the others run first.
            ctx.pause_random(&mut rng, AWAY_MS);
            ctx.pause_anyway(Duration::from_micros(rng.random_range(AWAY_AT_LEAST_US)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    enum Did {
        Wants,
        Has,
        Drops,
        GivesUp,
        Dies,
    }
    use Did::{Dies, Drops, GivesUp, Has, Wants};

    fn graph(reports: &[(u32, Did, u32)]) -> LockGraph {
        let mut graph = LockGraph::default();
        for (worker, did, lock) in reports {
            let lock = format!("lock-{lock}");
            let fact = match did {
                Wants => LockFact::LockWaiting { lock }.into(),
                Has => LockFact::LockAcquired { lock, waited_us: 0, abandoned: false }.into(),
                Drops => LockFact::LockReleased { lock, held_us: 0 }.into(),
                GivesUp => LockFact::LockTimedOut { lock, waited_us: 0 }.into(),
                Dies => WorkerExited { exit_code: None, signal: Some(9), failure: None }.into(),
            };
            graph.count(&Event { at_us: 0, worker: format!("worker-{worker}"), pid: *worker, fact });
        }
        graph
    }

    fn result(ordered: bool, graph: &LockGraph, completion: &Completion) -> CheckResult {
        let args = DeadlockArgs { ordered, timeout: None, workers: 2 };
        Deadlock::prepare(args).expect("locks").check(graph, completion).expect("a finding")
    }

    #[test]
    fn cycle_is_found_in_the_reports() {
        let reports = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (2, Wants, 1)];
        assert_eq!(graph(&reports).deadlocks, 1);
        let three = [(1, Has, 1), (2, Has, 2), (3, Has, 3), (1, Wants, 2), (3, Wants, 1), (2, Wants, 3)];
        assert_eq!(graph(&three).deadlocks, 1);
        let chain = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (3, Wants, 1)];
        assert_eq!(graph(&chain).deadlocks, 0);
    }

    #[test]
    fn waiting_for_a_cycle_is_no_cycle() {
        let reports = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (2, Wants, 1), (3, Has, 3), (3, Wants, 1)];
        assert_eq!(graph(&reports).deadlocks, 1);
    }

    #[test]
    fn released_and_abandoned_waits_make_no_cycle() {
        let released = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (2, Drops, 2), (2, Wants, 1)];
        assert_eq!(graph(&released).deadlocks, 0);
        let given_up = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (1, GivesUp, 2), (2, Wants, 1)];
        assert_eq!((graph(&given_up).deadlocks, graph(&given_up).timeouts), (0, 1));
        let died = [(1, Has, 1), (2, Has, 2), (1, Wants, 2), (1, Dies, 0), (2, Wants, 1)];
        assert_eq!(graph(&died).deadlocks, 0);
    }

    #[test]
    fn a_cycle_or_an_unfinished_worker_breaks_the_claim() {
        let both_done = || [(1, Has, 1), (1, Has, 2), (1, Drops, 2), (1, Drops, 1), (2, Has, 1), (2, Has, 2)];
        let whole = &Completion::default();
        let held = result(true, &graph(&both_done()), whole);
        assert!(held.verdict(whole) == Verdict::Held && held.guaranteed, "{held:?}");
        assert!(result(true, &LockGraph { found: 1, ..graph(&both_done()) }, whole).broken);
        assert!(result(true, &LockGraph { deadlocks: 1, ..graph(&both_done()) }, whole).broken);
        let one_done = LockGraph { finished: 1, ..LockGraph::default() };
        let verdict = |completion: &Completion| result(true, &one_done, completion).verdict(completion);
        assert_eq!(verdict(whole), Verdict::Violated);
        assert_eq!(verdict(&Completion::deaths(&["worker-1"])), Verdict::Held);
        assert_eq!(verdict(&Completion::cut()), Verdict::NotShown);
        assert!(!result(false, &LockGraph::default(), whole).guaranteed, "nothing is promised without an order");
    }
}
