//! The event: racers wait for a starting gun.
//!
//! The runner fires it. The event that all wait for must not depend on a worker that may be killed; killing the runner
//! ends all workers anyway.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::prelude::*;
use crate::report;

/// How long a racer takes to reach the line, at speed 1: some are too late.
const COMING_MS: RangeInclusive<u64> = 0..=2_000;
/// When the gun is fired, at speed 1.
const GUN_AFTER: Duration = Duration::from_millis(1_500);
/// How long a racer runs, at speed 1.
const RUNNING_MS: RangeInclusive<u64> = 1_000..=2_000;

/// The options of a race.
#[derive(Debug, clap::Args)]
pub(crate) struct EventArgs {
    /// How many racers take part
    #[arg(long, visible_alias = "workers", value_name = "N", default_value_t = 5, value_parser = whole::<u32>(1..=1000))]
    racers: u32,
}

/// The state of a race.
pub(crate) struct Event {
    racers: u32,
    gun: crate::Event,
}

impl Scenario for Event {
    const NAME: &'static str = "event";
    const ABOUT: &'static str = "\
A race: all racers wait for the starting gun

An event is a flag that processes wait for. The racers come to the line and wait; one shot starts all of them. A \
racer that comes after the shot finds the flag set and starts at once. If a racer is killed at the line (kill -9), the \
others are not held up.

Examples:
  ipc-demo event                            five racers
  ipc-demo event --racers 10 --speed 0.5    ten of them, to watch closely
  ipc-demo event --racers 1000 --speed max  a shot that wakes a thousand";
    type Args = EventArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Racer>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<RaceFact>];
    const CLAIM: [&'static str; 2] =
        ["nobody starts before the gun; everybody starts after it", "枪响之前无人起跑，枪响之后全部起跑"];
    const NAMES: Names = &[("racer", "选手")];
    type Observer = Race;

    fn prepare(args: EventArgs) -> anyhow::Result<Self> {
        Ok(Event { racers: args.racers, gun: crate::Event::new()? })
    }

    fn workers(&self) -> Vec<String> {
        numbered("racer", self.racers)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["waiting", "gun_awaited", "gun_heard", "line_crossed"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![Thing::new(GUN, "", Shape::Lamp { is_on: false })]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        runner.spawn_each(self.workers(), |ctx| Racer { ctx, gun: self.gun.clone() })?;
        runner.watch_for(GUN_AFTER)?;
        if runner.is_cut() {
            return Ok(());
        }
        // With the time before: no racer can be shown starting before it.
        let at_us = runner.now_us();
        self.gun.set();
        runner.emit_at(at_us, RaceFact::GunFired)?;
        runner.watch()
    }

    fn check(self, race: &Race, completion: &Completion) -> anyhow::Result<CheckResult> {
        let Race { started, finished, false_starts, .. } = *race;
        let racers = u64::from(self.racers);
        Ok(CheckResult {
            broken: false_starts > 0,
            finished: completion.accounts_for(finished, racers),
            guaranteed: true,
            allowance: (started < racers).then_some(Allowance::Unfinished),
            seen: {
                let after = started.saturating_sub(false_starts);
                let [early, early_zh] = match false_starts {
                    0 => ["nobody".to_owned(), "无人".to_owned()],
                    _ => [false_starts.to_string(), format!("{false_starts} 名")],
                };
                let after_zh = of_all_zh(after, racers, "起跑", "名");
                [
                    format!("After the gun {} started, and {early} before it.", of_all(after, racers, "racer")),
                    format!("枪响之后，{racers} 名选手{after_zh}，{early_zh}抢跑。"),
                ]
            },
            facts: vec![
                counter("racers", "选手", racers),
                counter("started", "起跑", started),
                counter("finished", "完成", finished),
                counter("false_starts", "抢跑", false_starts),
            ],
            advice: Some([
                "kill a racer at the start line: ipc-demo event --kill racer-1@waiting",
                "在起跑线上杀死一个选手：ipc-demo event --kill racer-1@waiting",
            ]),
        })
    }
}

const GUN: Noun = Noun::new("gun", "发令枪");

/// What racers and the runner report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum RaceFact {
    /// A racer is at the starting line and waits for the gun.
    GunAwaited,
    /// The starting gun was fired: the event is set.
    GunFired,
    /// A racer was woken by the gun, or found it already fired, and started.
    GunHeard { waited_us: u64 },
    /// A racer crossed the finish line.
    LineCrossed { ran_us: u64 },
}

impl Fact for RaceFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::GunAwaited => Class::waits(GUN, ""),
            Self::GunFired => Class::dot(Severity::Good, "发令枪响"),
            Self::GunHeard { .. } => Class::goes_on(GUN, ""),
            Self::LineCrossed { .. } => Class::dot(Severity::Good, "到达终点"),
        }
    }

    fn change(&self, _worker: &str, things: &mut Things) {
        if let (Self::GunFired, Some(Shape::Lamp { is_on, .. })) = (self, things.shape(GUN, "")) {
            *is_on = true;
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::GunAwaited => say!(wording, "waits at the start line", "各就各位"),
            Self::GunFired => say!(wording, "fires the gun", "发令枪响"),
            Self::GunHeard { waited_us } => {
                say!(wording, "starts ({waited})", "起跑（{waited}）", waited = wording.waited(*waited_us))
            }
            Self::LineCrossed { ran_us } => {
                let ran = wording.duration(*ran_us);
                say!(wording, "crosses the finish line (ran {ran})", "到达终点（跑了 {ran}）")
            }
        }
    }
}

/// What was reported of the race.
#[derive(Debug, Default)]
pub(crate) struct Race {
    fired: bool,
    started: u64,
    finished: u64,
    false_starts: u64,
}

impl Observer for Race {
    fn count(&mut self, event: &report::Event) {
        match event.get() {
            Some(RaceFact::GunFired) => self.fired = true,
            Some(RaceFact::GunHeard { .. }) => {
                self.started += 1;
                self.false_starts += u64::from(!self.fired);
            }
            Some(RaceFact::LineCrossed { .. }) => self.finished += 1,
            _ => {}
        }
    }
}

/// A racer.
#[derive(Serialize, Deserialize)]
struct Racer {
    ctx: WorkerContext,
    gun: crate::Event,
}

impl Role for Racer {
    const NAME: &'static str = "event.racer";

    fn run(self) -> RoleResult {
        let ctx = &self.ctx;
        let mut rng = ctx.rng();
        ctx.pause_random(&mut rng, COMING_MS);
        ctx.emit(RaceFact::GunAwaited)?;
        let ((), waited_us) = ctx.timed(|| self.gun.wait());
        ctx.emit(RaceFact::GunHeard { waited_us })?;
        let ((), ran_us) = ctx.timed(|| ctx.pause_random(&mut rng, RUNNING_MS));
        Ok(ctx.emit(RaceFact::LineCrossed { ran_us })?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    const HEARD: RaceFact = RaceFact::GunHeard { waited_us: 0 };
    const CROSSED: RaceFact = RaceFact::LineCrossed { ran_us: 1 };

    fn verdict(facts: &[RaceFact], completion: &Completion) -> Verdict {
        let mut race = Race::default();
        for fact in facts {
            race.count(&report::Event { at_us: 0, worker: "racer-1".to_owned(), pid: 1, fact: fact.clone().into() });
        }
        let event = Event::prepare(EventArgs { racers: 2 }).expect("a race");
        event.check(&race, completion).expect("a finding").verdict(completion)
    }

    #[test]
    fn a_false_start_breaks_the_claim() {
        assert_eq!(
            verdict(&[RaceFact::GunFired, HEARD, HEARD, CROSSED, CROSSED], &Completion::default()),
            Verdict::Held
        );
        let early = [HEARD, RaceFact::GunFired, HEARD, CROSSED, CROSSED];
        assert_eq!(verdict(&early, &Completion::default()), Verdict::Violated);
        assert_eq!(verdict(&early, &Completion::cut()), Verdict::Violated, "that is never excused");
    }

    #[test]
    fn who_is_left_at_the_line_breaks_the_claim() {
        let one_left = [RaceFact::GunFired, HEARD, CROSSED];
        assert_eq!(verdict(&one_left, &Completion::default()), Verdict::Violated);
        assert_eq!(verdict(&one_left, &Completion::deaths(&["racer-2"])), Verdict::Held);
        assert_eq!(verdict(&[], &Completion::cut()), Verdict::NotShown);
    }
}
