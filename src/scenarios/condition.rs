//! The condition: producers and consumers with a handmade bounded buffer.
//!
//! When all producers have ended, or all consumers, the runner closes the buffer: the remaining workers stop waiting.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::buffer::{Buffer, Wanted};
use super::delivery_audit::{self, DeliveryAudit, ItemFact};
use super::prelude::*;
use crate::Result;
use crate::sync::LockGuard;

/// The time that a producer needs for an item, at speed 1.
const PRODUCING_MS: RangeInclusive<u64> = 0..=800;
/// The time that a consumer needs, at speed 1: slightly longer, so that the buffer is sometimes empty and sometimes
/// full.
const CONSUMING_MS: RangeInclusive<u64> = 200..=1_000;
/// How long the runner waits for the lock before it shows events again.
const LOCK_TIMEOUT: Duration = Duration::from_millis(50);
/// An item is `producer << ITEM_BITS | number`.
const ITEM_BITS: u32 = 40;

/// The options of a buffer.
#[derive(Debug, clap::Args)]
pub(crate) struct ConditionArgs {
    /// How many items the buffer holds at most
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = whole::<u32>(1..=1_000_000))]
    capacity: u32,
    /// How many items each producer makes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(1..=1_000_000_000))]
    items: u64,
    /// How many workers put items into the buffer
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u32>(1..=1000))]
    producers: u32,
    /// How many workers take them out
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = whole::<u32>(1..=1000))]
    consumers: u32,
}

/// The state of a condition run.
pub(crate) struct Condition {
    args: ConditionArgs,
    buffer: Buffer,
}

impl Scenario for Condition {
    const NAME: &'static str = "condition";
    const ABOUT: &'static str = "\
A bounded buffer by hand: wait until it is not full, or not empty

A worker that waits for a condition releases its lock until another one notifies it of a change. Producers wait until \
there is room and put an item; consumers wait until there is an item and take it; each notifies the other side. Queues \
work like this inside. If a worker is killed (kill -9), even while it holds the lock, the others continue.

Examples:
  ipc-demo condition                                two of each, space for three
  ipc-demo condition --producers 4 --consumers 1    a buffer that is mostly full
  ipc-demo condition --capacity 1 --speed 10        one at a time";
    type Args = ConditionArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Producer>(), RoleEntry::of::<Consumer>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<ConditionFact>, AnyFact::parse::<ItemFact>];
    const CLAIM: [&'static str; 2] = [
        "every item comes out exactly once; each producer's items stay in order",
        "每个数据恰好取出一次，且同一生产者的数据保持顺序",
    ];
    const NAMES: Names = &[("not full", "未满"), ("not empty", "非空"), ("buffer", "缓冲区")];
    type Observer = Passage;

    fn prepare(args: ConditionArgs) -> anyhow::Result<Self> {
        let buffer = Buffer::new(args.capacity as usize)?;
        Ok(Condition { args, buffer })
    }

    fn workers(&self) -> Vec<String> {
        let ConditionArgs { producers, consumers, .. } = self.args;
        [numbered("producer", producers), numbered("consumer", consumers)].concat()
    }

    fn moments(&self) -> Vec<&'static str> {
        let items = ["item_put", "item_got", "queue_full", "end_of_file"];
        [&["waiting", "working", "condition_waiting", "condition_met"], &items[..]].concat()
    }

    fn things(&self) -> Vec<Thing> {
        let buffer = delivery_audit::queue(Some(self.args.capacity.into())).titled("buffer", "缓冲区");
        let conditions = [Wanted::NotFull, Wanted::NotEmpty].map(|wanted| condition(wanted.name()));
        std::iter::once(buffer).chain(conditions).collect()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let ConditionArgs { items, producers, consumers, .. } = self.args;
        let buffer = &self.buffer;
        runner.spawn_each(numbered("producer", producers), |ctx| Producer { ctx, buffer: buffer.clone(), items })?;
        runner.spawn_each(numbered("consumer", consumers), |ctx| Consumer { ctx, buffer: buffer.clone() })?;
        runner.watch_until(|runner, _| Ok(!runner.has_running("producer") || !runner.has_running("consumer")))?;
        // The remaining workers would wait for the others forever.
        runner.watch_until(|_, _| Ok(self.buffer.close(LOCK_TIMEOUT)?))?;
        runner.watch()
    }

    fn check(self, passage: &Passage, completion: &Completion) -> anyhow::Result<CheckResult> {
        let ConditionArgs { capacity, items, producers, consumers } = self.args;
        let Passage { audit, unreported, most } = passage;
        let (still_queued, planned) = (self.buffer.len(), items * u64::from(producers));
        let mut result = audit.result(still_queued, Some(planned), completion);
        // An interrupted worker may have reported an item that it did not put, or removed one that it did not report.
        let unknown = completion.interrupted() as u64;
        let most_queued = (*most).min(u64::from(capacity).max(most.saturating_sub(unknown)));
        let is_bounded = most_queued <= u64::from(capacity);
        let all_made = audit.produced(still_queued) == planned;
        let consumer_is_left = completion.died_as("consumer") < consumers as usize;
        result.facts.insert(0, counter("capacity", "容量", capacity));
        result.facts.push(counter("most_queued", "最多同时排队", most_queued));
        result.facts.push(counter("in_order", "按顺序", !audit.out_of_order));
        Ok(CheckResult {
            broken: result.broken || !is_bounded || audit.lost(still_queued) + unreported > unknown,
            finished: completion.stopped.is_none()
                && still_queued == 0
                && (all_made || (consumer_is_left && completion.died() > 0))
                && completion.shows(audit.consumed()),
            seen: if result.broken || audit.consumed() < audit.produced(still_queued) {
                result.seen
            } else {
                let (got, all) = (audit.consumed(), audit.produced(still_queued));
                [
                    format!(
                        "The buffer delivered {}, and never held more than {most_queued}.",
                        of_all(got, all, "item")
                    ),
                    format!("{all} 个数据全部从缓冲区取出，缓冲区中最多同时有 {most_queued} 个。"),
                ]
            },
            advice: Some([
                "mostly full: ipc-demo condition --producers 4 --consumers 1",
                "缓冲区常满：ipc-demo condition --producers 4 --consumers 1",
            ]),
            ..result
        })
    }
}

fn producer(number: u64) -> String {
    format!("producer-{number}")
}

const CONDITION: Noun = Noun::new("condition", "条件");

/// Returns a condition that nobody waits for.
pub(super) fn condition(name: &str) -> Thing {
    Thing::new(CONDITION, name, Shape::Condition)
}

/// What workers report of a condition.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ConditionFact {
    /// A worker released its lock until a condition is met: `not full` or `not empty`.
    ConditionWaiting { condition: String },
    /// The condition is met, and the worker has reacquired its lock.
    ConditionMet { condition: String, waited_us: u64 },
    /// The buffer is empty, and no producer is left.
    EndOfFile,
}

impl Fact for ConditionFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::ConditionWaiting { condition } => Class::waits(CONDITION, condition),
            Self::ConditionMet { condition, .. } => Class::goes_on(CONDITION, condition),
            Self::EndOfFile => Class { follows_death: true, ..Class::dot(Severity::Plain, "读到结尾") },
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::ConditionWaiting { condition } => {
                let state = condition.strip_prefix("not ").unwrap_or(condition);
                let zh = if state == "full" { "已满" } else { "为空" };
                say!(wording, "waits: the buffer is {state}", "缓冲区{zh}，等待")
            }
            Self::ConditionMet { condition, waited_us } => {
                let (now, waited) = (wording.name(condition), wording.waited(*waited_us));
                say!(wording, "continues: the buffer is {now} ({waited})", "缓冲区{now}，继续（{waited}）")
            }
            Self::EndOfFile => {
                say!(wording, "sees the end: no producer is left", "读到结尾：已没有生产者")
            }
        }
    }
}

/// What passed through the buffer, as reported.
#[derive(Debug, Default)]
pub(crate) struct Passage {
    audit: DeliveryAudit,
    /// Items that were removed although their put was not reported: their producers died before they reported it.
    unreported: u64,
    /// The maximum number of items in the buffer at once.
    most: u64,
}

impl Observer for Passage {
    fn count(&mut self, event: &Event) {
        // Both are reported with the lock held, so the order of the reports is the order of the operations.
        if let Some(ItemFact::ItemGot { from, number, .. }) = event.get() {
            let put = self.audit.put_by(from);
            self.unreported += u64::from(*number > put);
            // All consumers share one order. An item beyond the next was never put.
            self.audit.got("", from, *number, false);
            self.audit.out_of_order |= *number > put + 1;
        } else {
            self.audit.count(event);
        }
        self.most = self.most.max(self.audit.produced(0) - self.audit.consumed());
    }
}

/// Acquires the buffer's lock, reports, and waits until the buffer is as wanted or closed. Also returns how long.
fn wait<'a>(buffer: &'a Buffer, wanted: Wanted, ctx: &WorkerContext) -> Result<(LockGuard<'a>, u64)> {
    let condition = || wanted.name().to_owned();
    let guard = buffer.acquire()?;
    let must_wait = !buffer.is(wanted) && !buffer.is_closed();
    if must_wait {
        ctx.emit(ConditionFact::ConditionWaiting { condition: condition() })?;
    }
    let (guard, waited_us) = ctx.timed(|| buffer.wait_until(guard, wanted));
    let guard = guard?;
    if must_wait && buffer.is(wanted) {
        ctx.emit(ConditionFact::ConditionMet { condition: condition(), waited_us })?;
    }
    Ok((guard, waited_us))
}

/// Puts items into the buffer.
#[derive(Serialize, Deserialize)]
struct Producer {
    ctx: WorkerContext,
    buffer: Buffer,
    items: u64,
}

impl Role for Producer {
    const NAME: &'static str = "condition.producer";

    fn run(self) -> RoleResult {
        let Producer { ctx, buffer, items } = &self;
        let mut rng = ctx.rng();
        for number in 1..=*items {
            ctx.pause_random(&mut rng, PRODUCING_MS);
            let (guard, waited_us) = wait(buffer, Wanted::NotFull, ctx)?;
            if !buffer.is(Wanted::NotFull) {
                // All consumers are gone: there will never be space again.
                return Ok(ctx.emit(ItemFact::QueueFull { timeout_us: waited_us })?);
            }
            // The producers are the first workers.
            buffer.put(&guard, u64::from(ctx.number()) << ITEM_BITS | number)?;
            // Reported while the lock is still held, so that no other worker reports an acquire first.
            ctx.emit(ItemFact::put(number, ctx.name(), number, Some(buffer.len())))?;
        }
        Ok(())
    }
}

/// Removes items from the buffer.
#[derive(Serialize, Deserialize)]
struct Consumer {
    ctx: WorkerContext,
    buffer: Buffer,
}

impl Role for Consumer {
    const NAME: &'static str = "condition.consumer";

    fn run(self) -> RoleResult {
        let Consumer { ctx, buffer } = &self;
        let mut rng = ctx.rng();
        loop {
            let (guard, _) = wait(buffer, Wanted::NotEmpty, ctx)?;
            if !buffer.is(Wanted::NotEmpty) {
                // Closed, and everything has been removed.
                return Ok(ctx.emit(ConditionFact::EndOfFile)?);
            }
            let item = buffer.get(&guard)?;
            let (from, number) = (producer(item >> ITEM_BITS), item & ((1 << ITEM_BITS) - 1));
            // Reported with the lock still held: no put into a full buffer can be reported before it.
            ctx.emit(ItemFact::got(number, &from, number, Some(buffer.len())))?;
            drop(guard);
            ctx.pause_random(&mut rng, CONSUMING_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    #[derive(Clone, Copy)]
    enum Did {
        Put(u64, u64),
        Got(u64, u64),
    }
    use Did::{Got, Put};

    /// Two producers of two items each and a buffer for two, in which `still_queued` items are left.
    fn verdict(reports: &[Did], still_queued: u64, completion: &Completion) -> Verdict {
        let mut passage = Passage::default();
        for did in reports {
            let fact = match *did {
                Put(from, number) => ItemFact::put(number, &producer(from), number, None),
                Got(from, number) => ItemFact::got(number, &producer(from), number, None),
            };
            passage.count(&Event { at_us: 0, worker: "worker".to_owned(), pid: 1, fact: fact.into() });
        }
        let args = ConditionArgs { capacity: 2, items: 2, producers: 2, consumers: 1 };
        let condition = Condition::prepare(args).expect("a buffer");
        let guard = condition.buffer.acquire().expect("free");
        (0..still_queued).for_each(|item| condition.buffer.put(&guard, item).expect("room"));
        drop(guard);
        condition.check(&passage, completion).expect("a finding").verdict(completion)
    }

    fn holds(reports: &[Did]) -> bool {
        verdict(reports, 0, &Completion::default()) == Verdict::Held
    }

    #[test]
    fn the_claim_is_about_number_order_and_room() {
        assert!(holds(&[Put(1, 1), Put(2, 1), Got(1, 1), Got(2, 1), Put(2, 2), Put(1, 2), Got(2, 2), Got(1, 2)]));
        let lost = [Put(1, 1), Put(2, 1), Got(1, 1), Put(2, 2), Got(2, 2), Put(1, 2), Got(1, 2)];
        assert!(!holds(&lost));
        let twice = [Put(1, 1), Got(1, 1), Got(1, 1), Put(1, 2), Got(1, 2), Put(2, 1), Got(2, 1), Put(2, 2), Got(2, 2)];
        assert!(!holds(&twice));
        let from_nowhere = [Put(1, 1), Got(1, 2), Put(1, 2), Got(2, 1), Put(2, 1), Put(2, 2), Got(2, 2)];
        assert!(!holds(&from_nowhere));
        let too_many = [Put(1, 1), Put(1, 2), Put(2, 1), Got(1, 1), Got(1, 2), Got(2, 1), Put(2, 2), Got(2, 2)];
        assert!(!holds(&too_many));
        assert!(!holds(&[Put(1, 1), Got(1, 1)]), "not all were made");
    }

    #[test]
    fn one_item_is_excused_for_each_death() {
        let one_lost = [Put(1, 1), Put(1, 2), Got(1, 2), Put(2, 1), Got(2, 1), Put(2, 2), Got(2, 2)];
        let one_died = &Completion::deaths(&["producer-1"]);
        assert_eq!(verdict(&one_lost, 0, one_died), Verdict::Held);
        assert_eq!(verdict(&one_lost[..5], 0, &Completion::default()), Verdict::Violated);
        let two_lost = [Put(1, 1), Put(1, 2), Put(2, 1), Got(2, 1)];
        assert_eq!(verdict(&two_lost, 0, one_died), Verdict::Violated);
        assert_eq!(verdict(&two_lost, 2, one_died), Verdict::NotShown, "they are in the buffer");
        assert_eq!(verdict(&[Put(1, 1)], 1, &Completion::cut()), Verdict::NotShown);
        assert_eq!(verdict(&[], 0, one_died), Verdict::NotShown, "nothing came out");
        let twice = [Put(1, 1), Got(1, 1), Got(1, 1)];
        assert_eq!(verdict(&twice, 0, &Completion::cut()), Verdict::Violated, "never twice");
    }
}
