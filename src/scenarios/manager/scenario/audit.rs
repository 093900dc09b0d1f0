//! Compares what the workers reported of every turn with the final content of the manager.

use super::driver::Shown;
use super::fixtures::TURNS;
use crate::manager::Kind;
use crate::scenarios::barrier::Rounds;
use crate::scenarios::delivery_audit::DeliveryAudit;
use crate::scenarios::manager::facts::{ADVICE, ManagerFact};
use crate::scenarios::prelude::*;

/// The audit, one page per type.
#[derive(Debug, Default)]
pub(crate) struct Audit(Vec<Page>);

/// The reports of one type's turn.
#[derive(Debug, Default)]
struct Page {
    /// Changes of containers, and of counters inside locks.
    changes: u64,
    items: DeliveryAudit,
    rounds: Rounds,
    is_set: bool,
    seen: u64,
    seen_too_early: u64,
}

impl Observer for Audit {
    fn count(&mut self, event: &Event) {
        let fact = event.get();
        if matches!(fact, Some(ManagerFact::ObjectMade { .. })) {
            self.0.push(Page::default());
        }
        let Some(page) = self.0.last_mut() else { return };
        page.items.count(event);
        page.rounds.count(event);
        match fact {
            Some(ManagerFact::ObjectCalled { object, method, .. }) => {
                page.changes += u64::from(is_step(object, method));
            }
            Some(ManagerFact::EventSet) => page.is_set = true,
            Some(ManagerFact::EventSeen { .. }) => {
                page.seen += 1;
                page.seen_too_early += u64::from(!page.is_set);
            }
            _ => {}
        }
    }
}

/// Returns whether a call is one of the counted steps.
fn is_step(object: &str, method: &str) -> bool {
    matches!((object, method), ("dict", "set_item") | (_, "append" | "add" | "set"))
}

/// The sum of a turn.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    steps: u64,
    /// How many of them the manager, or another worker, knows of.
    arrived: u64,
    lost: u64,
    out_of_turn: u64,
    broken: bool,
    /// Whether the remaining workers made all their steps.
    finished: bool,
    /// Whether a worker that was ended did not report a step.
    unreported: bool,
}

impl Page {
    /// `marks` is the number of steps visible in the manager since the turn began; for queues, the number of items
    /// left.
    fn sum(&self, kind: Kind, marks: u64, workers: u32, is_shared: bool, completion: &Completion) -> Sum {
        let workers_steps = match kind {
            Kind::Dict | Kind::Event => u64::from(workers),
            Kind::Barrier => u64::from(TURNS),
            _ => u64::from(workers * TURNS),
        };
        let sum = match kind {
            Kind::Condition | Kind::Queue | Kind::JoinableQueue => {
                let is_tasks = kind == Kind::JoinableQueue;
                let arrived = self.items.consumed();
                let done = if is_tasks { self.items.tasks_done() } else { arrived };
                // For a queue with leases, the marks are the unfinished tasks: leased ones are no longer queued.
                let queued = if is_tasks { marks.min(self.items.produced(0) - arrived) } else { marks };
                // A dead worker's task goes to another: every task that was got is done, or can still be.
                let untold = arrived.saturating_sub(done + marks);
                Sum {
                    steps: self.items.produced(queued),
                    arrived,
                    lost: self.items.lost(queued),
                    broken: self.items.is_broken(queued, completion) || untold > completion.interrupted() as u64,
                    finished: arrived == workers_steps && marks == 0,
                    unreported: untold > 0,
                    ..Sum::default()
                }
            }
            Kind::Event | Kind::Barrier => {
                let (steps, out_of_turn) = match kind {
                    Kind::Event => (self.seen, self.seen_too_early),
                    _ => (self.rounds.completed(workers), self.rounds.too_early(workers)),
                };
                let (broken, finished) = (out_of_turn > 0, steps == workers_steps);
                Sum { steps, arrived: steps, out_of_turn, broken, finished, ..Sum::default() }
            }
            _ => {
                let steps = self.changes;
                let lost = steps.saturating_sub(marks);
                // A worker that was ended before its report made one step more than reported; in a shared
                // manager, other clients may make steps too.
                let untold = if is_shared { 0 } else { marks.saturating_sub(steps) };
                Sum {
                    steps,
                    arrived: marks.min(steps),
                    lost,
                    broken: lost > 0 || untold > completion.interrupted() as u64,
                    finished: steps == workers_steps,
                    unreported: untold > 0,
                    ..Sum::default()
                }
            }
        };
        let is_shown = sum.finished || (completion.has_survivors() && completion.shows(sum.steps));
        Sum { finished: is_shown, ..sum }
    }
}

impl Audit {
    /// Sums up the turns that were shown, out of `of` types to show.
    pub(super) fn check(
        &self,
        shown: &[Shown],
        of: usize,
        workers: u32,
        is_shared: bool,
        completion: &Completion,
    ) -> CheckResult {
        let sum = |(page, Shown { fixtures, before }): (&Page, &Shown)| {
            let kind = fixtures.kind();
            // What was in the dict before is written again; all other marks are counted.
            let before = if kind == Kind::Dict { 0 } else { *before };
            let marks = fixtures.marks(workers)?.saturating_sub(before);
            Ok(page.sum(kind, marks, workers, is_shared, completion))
        };
        let sums: Vec<crate::Result<Sum>> = self.0.iter().zip(shown).map(sum).collect();
        // A manager that was killed loses its content, and no worker can finish.
        let is_gone = sums.iter().any(Result::is_err);
        let sums: Vec<Sum> = sums.into_iter().flatten().collect();
        let total = |of: fn(&Sum) -> u64| sums.iter().map(of).sum::<u64>();
        let lost = total(|sum| sum.lost);
        let (steps, arrived) = (total(|sum| sum.steps), total(|sum| sum.arrived));
        let mut seen = [
            format!("The workers made {}, and {arrived} took effect.", counted(steps, "step")),
            format!("工作进程执行了 {steps} 个步骤，生效 {arrived} 个。"),
        ];
        if is_gone {
            seen = ["The manager was killed, and its objects with it.", "服务进程已终止，其中的对象随之消失。"]
                .map(str::to_owned);
        }
        let mut facts = vec![
            counter("types", "类型", shown.len()),
            counter("workers", "进程", workers),
            counter("steps", "步骤", steps),
            counter("arrived", "到达", arrived),
            counter("lost", "丢失", lost),
            counter("out_of_turn", "提前继续", total(|sum| sum.out_of_turn)),
        ];
        if is_gone {
            facts.push(counter("manager_gone", "服务进程已终止", true));
        }
        CheckResult {
            broken: sums.iter().any(|sum| sum.broken),
            finished: !is_gone && shown.len() == of && sums.iter().all(|sum| sum.finished),
            guaranteed: !is_gone,
            allowance: if lost > 0 {
                Some(Allowance::Lost)
            } else if sums.iter().any(|sum| sum.unreported) {
                Some(Allowance::Unreported)
            } else {
                (completion.died() > 0).then_some(Allowance::Unfinished)
            },
            seen,
            facts,
            advice: Some(ADVICE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::AnyFact;
    use crate::scenarios::facts::ItemFact;

    fn page(facts: impl IntoIterator<Item: Into<AnyFact>>) -> Page {
        let mut audit = Audit::default();
        let made = ManagerFact::ObjectMade { object: String::new(), name: None };
        for fact in std::iter::once(made.into()).chain(facts.into_iter().map(Into::into)) {
            audit.count(&Event { at_us: 0, worker: "worker-1".to_owned(), pid: 1, fact });
        }
        audit.0.remove(0)
    }

    fn called(object: &str, method: &str) -> ManagerFact {
        ManagerFact::ObjectCalled { object: object.into(), method: method.into(), args: Vec::new(), answer: None }
    }

    fn holds(page: &Page, kind: Kind, marks: u64, completion: &Completion) -> bool {
        let sum = page.sum(kind, marks, 2, false, completion);
        !sum.broken && sum.finished
    }

    fn endings() -> (Completion, Completion) {
        (Completion::default(), Completion::deaths(&["worker-1"]))
    }

    #[test]
    fn step_that_left_no_mark_is_lost() {
        let (whole, one_died) = &endings();
        let all = page((0..6).map(|_| called("list", "append")));
        assert!(holds(&all, Kind::List, 6, whole));
        assert!(!holds(&all, Kind::List, 5, one_died), "a death excuses no loss");
        assert_eq!(all.sum(Kind::List, 5, 2, false, whole).lost, 1);
        assert!(!holds(&all, Kind::List, 7, whole), "one that nobody did");
        assert!(holds(&all, Kind::List, 7, one_died), "the dead did not tell it");
        assert!(!all.sum(Kind::List, 7, 2, true, whole).broken, "others are there too");
        let some = page((0..4).map(|_| called("count", "set")));
        assert!(!holds(&some, Kind::Lock, 4, whole) && holds(&some, Kind::Lock, 4, one_died));
        let besides = page([called("namespace", "set_item"), called("queue", "qsize")]);
        assert_eq!(besides.changes, 0);
    }

    #[test]
    fn who_goes_on_before_the_event_breaks_the_claim() {
        let (whole, one_died) = &endings();
        let seen = || ManagerFact::EventSeen { waited_us: 0 };
        let orderly =
            page([ManagerFact::EventAwaited, ManagerFact::EventAwaited, ManagerFact::EventSet, seen(), seen()]);
        assert!(holds(&orderly, Kind::Event, 0, whole));
        let early = page([ManagerFact::EventAwaited, seen(), ManagerFact::EventSet, seen()]);
        assert!(!holds(&early, Kind::Event, 0, one_died));
        let missing = page([ManagerFact::EventSet, seen()]);
        assert!(!holds(&missing, Kind::Event, 0, whole) && holds(&missing, Kind::Event, 0, one_died));
    }

    #[test]
    fn item_may_be_lost_with_its_taker_but_no_task() {
        let (whole, one_died) = &endings();
        let put = |number: u64| ItemFact::ItemPut { value: number.into(), from: "worker-1".into(), number, size: None };
        let got = |number: u64| {
            let from = "worker-1".into();
            ItemFact::ItemGot { value: number.into(), from, number, size: None, redelivered: false }
        };
        let done = |number| ItemFact::TaskDone { value: 0.into(), from: "worker-1".into(), number };
        let all_but_one = page((1..=6).map(put).chain((1..=5).map(got)));
        assert!(holds(&all_but_one, Kind::Queue, 0, one_died) && !holds(&all_but_one, Kind::Queue, 0, whole));
        assert!(!holds(&all_but_one, Kind::Queue, 1, whole), "nobody took it");
        let taken = || (1..=6).map(put).chain((1..=6).map(got));
        let one_untold = page(taken().chain((1..=5).map(done)));
        assert!(!holds(&one_untold, Kind::JoinableQueue, 0, whole), "a task is lost");
        let untold = one_untold.sum(Kind::JoinableQueue, 0, 2, false, one_died);
        assert!(!untold.broken && untold.unreported, "the dead did it and did not tell");
        assert!(holds(&page(taken().chain((1..=5).map(done))), Kind::JoinableQueue, 1, one_died), "it is still there");
        assert!(holds(&page(taken().chain((1..=6).map(done))), Kind::JoinableQueue, 0, whole));
    }
}
