//! The barrier: workers proceed in rounds, and start the next one only when all have finished the previous one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::prelude::*;
use crate::Error;
use crate::sync::BreakCause;

/// How long a worker is busy in a round, at speed 1.
const WORKING_MS: RangeInclusive<u64> = 300..=1_500;

/// The options of a barrier.
#[derive(Debug, clap::Args)]
pub(crate) struct BarrierArgs {
    /// How many workers wait for each other
    #[arg(long, visible_alias = "workers", value_name = "N", default_value_t = 4, value_parser = whole::<u32>(1..=1000))]
    parties: u32,
    /// How many rounds there are
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u64>(1..=100_000))]
    rounds: u64,
}

/// The state of a barrier run.
pub(crate) struct Barrier {
    args: BarrierArgs,
    barrier: crate::Barrier,
}

impl Scenario for Barrier {
    const NAME: &'static str = "barrier";
    const ABOUT: &'static str = "\
Rounds: no worker begins one before all have finished the last

At a barrier, a fixed number of workers wait for each other. Each works for a while and waits; when the last one \
arrives, all continue with the next round. If one of them is killed (kill -9), the barrier breaks at once: the others \
get an error instead of waiting forever.

Examples:
  ipc-demo barrier                           four workers, three rounds
  ipc-demo barrier --parties 10 --rounds 5   more of both
  ipc-demo barrier --speed max --rounds 100  without pauses";
    type Args = BarrierArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Worker>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<BarrierFact>];
    const CLAIM: [&'static str; 2] =
        ["no round starts before the previous one is finished", "上一轮全部完成之前，下一轮不会开始"];
    type Observer = Rounds;

    fn prepare(args: BarrierArgs) -> anyhow::Result<Self> {
        let barrier = crate::Barrier::new(args.parties)?;
        Ok(Barrier { args, barrier })
    }

    fn workers(&self) -> Vec<String> {
        numbered("worker", self.args.parties)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["waiting", "barrier_waiting", "barrier_passed", "barrier_broken"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![barrier(Some(self.args.parties))]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let rounds = self.args.rounds;
        runner.spawn_each(self.workers(), |ctx| Worker { ctx, barrier: self.barrier.clone(), rounds })?;
        runner.watch()
    }

    fn check(self, seen: &Rounds, completion: &Completion) -> anyhow::Result<CheckResult> {
        let BarrierArgs { parties, rounds } = self.args;
        let (completed, too_early) = (seen.completed(parties), seen.too_early(parties));
        Ok(CheckResult {
            // Nothing breaks the barrier but a death.
            broken: too_early > 0 || (seen.broken && completion.interrupted() == 0),
            // After a death the others get an error and end, and the rounds before have shown it; without one, every
            // round ends.
            finished: completed == rounds || (completion.has_survivors() && completion.shows(completed)),
            guaranteed: true,
            allowance: (completed < rounds).then_some(Allowance::Unfinished),
            seen: {
                let [en, zh] = match (too_early, seen.broken) {
                    (0, false) => [", and nobody went on too early".to_owned(), "，无人提前继续".to_owned()],
                    (0, true) => [", and then the barrier broke".to_owned(), "，然后屏障损坏".to_owned()],
                    _ => [
                        format!(", and somebody went on too early in {too_early}"),
                        format!("，其中 {too_early} 轮有进程提前继续"),
                    ],
                };
                let done_zh = of_all_zh(completed, rounds, "完成", "轮");
                [
                    format!("The workers completed {}{en}.", of_all(completed, rounds, "round")),
                    format!("{rounds} 轮{done_zh}{zh}。"),
                ]
            },
            facts: vec![
                counter("parties", "参与者", parties),
                counter("rounds", "轮数", rounds),
                counter("completed", "完成轮数", completed),
                counter("too_early", "提前继续", too_early),
                counter("broken", "损坏", seen.broken),
            ],
            advice: Some([
                "kill a worker, and the others are told: ipc-demo barrier --kill worker-1@waiting",
                "杀死一个进程，其他进程会得知：ipc-demo barrier --kill worker-1@waiting",
            ]),
        })
    }
}

const BARRIER: Noun = Noun::new("others at the barrier", "屏障");

/// Returns a barrier at which nobody waits. Without a number of parties, all workers of the run wait at it.
pub(super) fn barrier(parties: Option<u32>) -> Thing {
    let shape = Shape::Barrier { parties, round: 1, is_broken: false };
    Thing::new(BARRIER, "", shape).titled("barrier", "屏障")
}

/// What workers report of a barrier, by round from 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the events")]
pub(crate) enum BarrierFact {
    /// A worker finished a round and waits for the others.
    BarrierWaiting { round: u64 },
    /// All workers finished the round, and this one goes on.
    BarrierPassed { round: u64, waited_us: u64 },
    /// The barrier broke: the worker no longer waits. `dead_pid` died, if that is the cause and it is known.
    BarrierBroken { round: u64, cause: String, dead_pid: Option<u32> },
}

impl BarrierFact {
    pub(crate) fn broken(ctx: &WorkerContext, round: u64, cause: BreakCause) -> Self {
        // In an exploration a process ID is not the same every time.
        let cause = match cause {
            BreakCause::Died(_) if ctx.is_explored() => BreakCause::Died(None),
            cause => cause,
        };
        let dead_pid = if let BreakCause::Died(pid) = cause { pid } else { None };
        Self::BarrierBroken { round, cause: cause.to_string(), dead_pid }
    }
}

impl Fact for BarrierFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::BarrierWaiting { .. } => Class::waits(BARRIER, ""),
            Self::BarrierPassed { .. } => Class::goes_on(BARRIER, ""),
            Self::BarrierBroken { .. } => {
                let dot = Some((Severity::Trouble, "屏障损坏"));
                Class { dot, follows_death: true, ..Class::goes_on(BARRIER, "") }
            }
        }
    }

    fn change(&self, _worker: &str, things: &mut Things) {
        let Some(barrier) = things.thing(BARRIER, "") else { return };
        let Shape::Barrier { round: current, is_broken, .. } = &mut barrier.shape else { return };
        match self {
            Self::BarrierWaiting { round } if round > current => {
                // Some have not reported yet that they passed.
                barrier.waiters.clear();
                *current = *round;
            }
            Self::BarrierBroken { .. } => *is_broken = true,
            _ => {}
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::BarrierWaiting { round } => {
                say!(wording, "finishes round {round} and waits", "完成第{round}轮，等待其他进程")
            }
            Self::BarrierPassed { round, waited_us } => {
                let waited = wording.waited(*waited_us);
                say!(wording, "passes the barrier of round {round} ({waited})", "通过第{round}轮屏障（{waited}）")
            }
            Self::BarrierBroken { cause, dead_pid, .. } => {
                let dead = dead_pid.and_then(|pid| wording.worker(pid)).map(|dead| wording.name(dead));
                if let Some(dead) = dead {
                    return say!(wording, "finds the barrier broken: {dead} died", "发现屏障已损坏：{dead}已终止");
                }
                let zh = match (cause.as_str(), dead_pid) {
                    (_, Some(pid)) => format!("进程 {pid} 已终止"),
                    ("a party died", _) => "有参与者已终止".to_owned(),
                    ("a party timed out", _) => "有参与者等待超时".to_owned(),
                    ("it was aborted", _) => "被中止".to_owned(),
                    ("its action failed", _) => "动作出错".to_owned(),
                    ("it was reset", _) => "被重置".to_owned(),
                    (other, _) => other.to_owned(),
                };
                say!(wording, "finds the barrier broken: {cause}", "发现屏障已损坏：{zh}")
            }
        }
    }
}

/// The reports of one round.
#[derive(Debug, Default)]
struct Round {
    arrived: u32,
    passed: u32,
    /// How many workers had arrived when the first went on.
    arrived_before: Option<u32>,
}

/// The reports of the rounds.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    rounds: BTreeMap<u64, Round>,
    broken: bool,
}

impl Observer for Rounds {
    fn count(&mut self, event: &Event) {
        match event.get() {
            Some(BarrierFact::BarrierWaiting { round }) => self.rounds.entry(*round).or_default().arrived += 1,
            // Passing is reported after the wait, and each wait before it begins: in between, all have arrived.
            Some(BarrierFact::BarrierPassed { round, .. }) => {
                let round = self.rounds.entry(*round).or_default();
                round.passed += 1;
                round.arrived_before.get_or_insert(round.arrived);
            }
            Some(BarrierFact::BarrierBroken { .. }) => self.broken = true,
            None => {}
        }
    }
}

impl Rounds {
    pub(super) fn completed(&self, parties: u32) -> u64 {
        self.rounds.values().filter(|round| round.passed == parties).count() as u64
    }

    /// Returns how many rounds a worker left before all had arrived.
    pub(super) fn too_early(&self, parties: u32) -> u64 {
        let is_early = |round: &&Round| round.arrived_before.is_some_and(|arrived| arrived < parties);
        self.rounds.values().filter(is_early).count() as u64
    }
}

/// A worker that works in rounds.
#[derive(Serialize, Deserialize)]
struct Worker {
    ctx: WorkerContext,
    barrier: crate::Barrier,
    rounds: u64,
}

impl Role for Worker {
    const NAME: &'static str = "barrier.worker";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let mut rng = ctx.rng();
        for round in 1..=self.rounds {
            ctx.pause_random(&mut rng, WORKING_MS);
            ctx.emit(BarrierFact::BarrierWaiting { round })?;
            match ctx.timed(|| self.barrier.wait()) {
                (Ok(_), waited_us) => ctx.emit(BarrierFact::BarrierPassed { round, waited_us })?,
                (Err(Error::BrokenBarrier(cause)), _) => return Ok(ctx.emit(BarrierFact::broken(ctx, round, cause))?),
                (Err(error), _) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn waits(round: u64) -> BarrierFact {
        BarrierFact::BarrierWaiting { round }
    }

    fn passes(round: u64) -> BarrierFact {
        BarrierFact::BarrierPassed { round, waited_us: 0 }
    }

    fn verdict(facts: &[BarrierFact], completion: &Completion) -> Verdict {
        let mut rounds = Rounds::default();
        for fact in facts {
            rounds.count(&Event { at_us: 0, worker: "worker-1".to_owned(), pid: 1, fact: fact.clone().into() });
        }
        let barrier = Barrier::prepare(BarrierArgs { parties: 2, rounds: 2 }).expect("a barrier");
        barrier.check(&rounds, completion).expect("a finding").verdict(completion)
    }

    #[test]
    fn passing_before_all_have_arrived_breaks_the_claim() {
        let orderly = [waits(1), waits(1), passes(1), waits(2), passes(1), waits(2), passes(2), passes(2)];
        assert_eq!(verdict(&orderly, &Completion::default()), Verdict::Held);
        let early = [waits(1), passes(1), waits(1), passes(1), waits(2), waits(2), passes(2), passes(2)];
        assert_eq!(verdict(&early, &Completion::default()), Verdict::Violated);
        assert_eq!(verdict(&early, &Completion::cut()), Verdict::Violated, "that is never excused");
    }

    #[test]
    fn round_that_does_not_end_breaks_the_claim_without_a_death() {
        let one_round = [waits(1), waits(1), passes(1), passes(1), waits(2)];
        assert_eq!(verdict(&one_round, &Completion::default()), Verdict::Violated);
        assert_eq!(verdict(&one_round, &Completion::deaths(&["worker-1"])), Verdict::Held);
        assert_eq!(
            verdict(&[waits(1)], &Completion::deaths(&["worker-1"])),
            Verdict::NotShown,
            "no round was finished"
        );
        assert_eq!(verdict(&one_round, &Completion::cut()), Verdict::NotShown);
        let broken = BarrierFact::BarrierBroken { round: 2, cause: "it was aborted".to_owned(), dead_pid: None };
        let all = [waits(1), waits(1), passes(1), passes(1), waits(2), waits(2), passes(2), passes(2), broken];
        assert_eq!(verdict(&all, &Completion::default()), Verdict::Violated, "nothing breaks the barrier but a death");
    }
}
