//! The fate of every item: which worker made it, which got it, and whether it came once and in order.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::time::Duration;

use rand::RngExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::scenario::{CheckResult, Completion, Observer};
use super::worker::WorkerContext;
use crate::queue::PutEnd;
use crate::report::{
    Allowance, Class, Counter, Event, Fact, Key, Language, Notes, Noun, Severity, Shape, Thing, Wording, counted,
    counter, of_all, of_all_zh, say,
};
use crate::{Error, Result, RoleResult};

const QUEUE: Noun = Noun::new("queue", "队列");

/// Returns an empty queue.
pub(super) fn queue(capacity: Option<u64>) -> Thing {
    Thing::new(QUEUE, "", Shape::queue(capacity))
}

/// The longest note of the items in a queue, in bytes.
const LONGEST_NOTE: usize = 4_000;

/// What workers report of a queue and its items: `number` is the 1-based index among the items of the worker that made
/// it, `size` the number of items in the queue afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum ItemFact {
    /// An item was put into the queue.
    ItemPut {
        value: Value,
        from: String,
        number: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
    },
    /// An item was removed from it.
    ItemGot {
        value: Value,
        from: String,
        number: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// Whether another worker had it before and died with it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        redelivered: bool,
    },
    /// An item was processed.
    TaskDone { value: Value, from: String, number: u64 },
    /// A put found no space in time.
    QueueFull { timeout_us: u64 },
    /// A get found no item in time.
    QueueEmpty,
    /// Every item that was put has been processed.
    QueueJoined { tasks: u64 },
}

impl ItemFact {
    pub(super) fn put(value: impl Into<Value>, from: &str, number: u64, size: Option<u64>) -> Self {
        ItemFact::ItemPut { value: value.into(), from: from.to_owned(), number, size }
    }

    pub(super) fn got(value: impl Into<Value>, from: &str, number: u64, size: Option<u64>) -> Self {
        ItemFact::ItemGot { value: value.into(), from: from.to_owned(), number, size, redelivered: false }
    }
}

impl Fact for ItemFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::ItemPut { value, from, number, .. } => Class::sends(Key::Item { from, number: *number }, value),
            Self::ItemGot { value, from, number, redelivered, .. } => {
                Class::takes(Key::Item { from, number: *number }, value, *redelivered)
            }
            Self::TaskDone { from, number, .. } => Class::finishes(Key::Item { from, number: *number }),
            Self::QueueFull { timeout_us } => {
                let dot = Class::dot(Severity::Plain, "队列已满");
                Class { waited: Some((QUEUE, *timeout_us)), follows_death: true, ..dot }
            }
            Self::QueueEmpty => Class { follows_death: true, ..Class::dot(Severity::Plain, "队列为空") },
            Self::QueueJoined { .. } => Class::dot(Severity::Good, "队列阻塞解除"),
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        // A scenario with a buffer has its items there; all others have them in a queue.
        let store = wording.own_name("buffer").unwrap_or(wording.pick("queue", "队列"));
        let queued = |size: &Option<u64>| match size {
            Some(size) => say!(wording, "  ({size} in the {store})", "（{store}中 {size} 个）"),
            None => String::new(),
        };
        // The two reference programs of the queue call the same thing by different names.
        let or_own = |event, usual| wording.own_name(event).unwrap_or(usual);
        match self {
            Self::ItemPut { value, size, .. } => {
                let (value, put) = (wording.value(value), or_own("item_put", "生产者产生数据"));
                let queued = queued(size);
                say!(wording, "puts {value}{queued}", "{put}: {value}{queued}")
            }
            Self::ItemGot { value, from, size, redelivered, .. } => {
                let (value, got) = (wording.value(value), or_own("item_got", "消费者获取数据: "));
                let queued = queued(size);
                let again = wording.pick(", left by a worker that died", "，由已终止的消费者留下");
                let again = if *redelivered { again } else { "" };
                say!(wording, "gets {value} from {from}{queued}{again}", "{got}{value}{queued}{again}")
            }
            Self::TaskDone { value, .. } => {
                say!(wording, "marks {value} as done", "处理完数据: {value}", value = wording.value(value))
            }
            Self::QueueFull { timeout_us: 0 } => say!(wording, "finds the {store} full", "{store}已满"),
            Self::QueueFull { timeout_us } => {
                let timeout = wording.duration(*timeout_us);
                say!(wording, "finds the {store} full for {timeout}", "{store}一直是满的，等待了 {timeout}")
            }
            Self::QueueEmpty => say!(wording, "finds the queue empty", "队列为空"),
            Self::QueueJoined { tasks } => {
                say!(wording, "join returns: all {tasks} tasks are done", "队列阻塞解除：{tasks} 个任务全部处理完")
            }
        }
    }

    /// Returns what the reference program of the filled queue prints, word for word.
    fn details(&self, wording: &Wording<'_>) -> Vec<String> {
        let note = match self {
            Self::QueueFull { timeout_us: 0 } => "sizes",
            Self::QueueEmpty => "values",
            _ => return Vec::new(),
        };
        let is_shown = wording.language == Language::Zh && wording.own_name("buffer").is_none();
        wording.note(note).filter(|_| is_shown).into_iter().map(str::to_owned).collect()
    }

    /// Notes the sizes while a queue is filled, and the values while it is emptied.
    fn note(&self, notes: &mut Notes) {
        let (name, text) = match self {
            Self::ItemPut { size: Some(size), .. } => ("sizes", format!("{size} ")),
            Self::ItemGot { value, size: Some(_), .. } => ("values", format!("{value}->")),
            _ => return,
        };
        let note = notes.entry(name).or_default();
        if note.len() < LONGEST_NOTE {
            note.push_str(&text);
        }
    }
}

/// The time between two items of a producer, and of a consumer, at speed 1.
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// What goes through a queue: a random number, and its maker.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    pub(super) from: String,
    /// 1-based index among its maker's items.
    pub(super) number: u64,
    pub(super) value: f64,
}

impl Item {
    /// Returns the fact that it was put.
    pub(super) fn put(&self) -> ItemFact {
        ItemFact::put(self.value, &self.from, self.number, None)
    }

    /// Returns the fact that it was got.
    pub(super) fn got(&self, redelivered: bool) -> ItemFact {
        let (from, number) = (self.from.clone(), self.number);
        ItemFact::ItemGot { value: self.value.into(), from, number, size: None, redelivered }
    }

    /// Returns the fact that it was processed.
    pub(super) fn done(&self) -> ItemFact {
        ItemFact::TaskDone { value: self.value.into(), from: self.from.clone(), number: self.number }
    }
}

/// A worker that puts random numbers.
#[derive(Serialize, Deserialize)]
pub(super) struct Maker<Q> {
    pub(super) ctx: WorkerContext,
    pub(super) queue: Q,
    pub(super) items: u64,
    /// What distinguishes its run from others on the same queue.
    pub(super) origin: Option<String>,
}

impl<Q: Deref<Target: PutEnd<Item>>> Maker<Q> {
    pub(super) fn run(self) -> RoleResult {
        let mut rng = self.ctx.rng();
        let from = origin_of(self.ctx.name(), self.origin.as_deref());
        put_all(&self.ctx, self.items, |number| {
            let item = Item { from: from.clone(), number, value: rng.random() };
            let put = item.put();
            self.queue.put(item)?;
            Ok(put)
        })
    }
}

/// Returns the name under which a worker's items go.
pub(super) fn origin_of(name: &str, origin: Option<&str>) -> String {
    origin.map_or_else(|| name.to_owned(), |origin| format!("{name}@{origin}"))
}

/// Puts the items with these numbers. Stops when all are put or no consumer is left.
pub(super) fn put_all(ctx: &WorkerContext, items: u64, mut put: impl FnMut(u64) -> Result<ItemFact>) -> RoleResult {
    for number in 1..=items {
        // Without a consumer, the summary says what that leaves unshown.
        let Some(fact) = unless_disconnected(put(number))? else { return Ok(()) };
        ctx.emit(fact)?;
        if number < items {
            ctx.pause(PAUSE);
        }
    }
    Ok(())
}

/// Returns `None` if no process is left at the other end of a queue.
pub(super) fn unless_disconnected<T>(outcome: Result<T>) -> Result<Option<T>> {
    match outcome {
        Err(Error::Disconnected) => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// The audit of a queue, from the reports of its workers.
#[derive(Debug, Default)]
pub(crate) struct DeliveryAudit {
    accounts: BTreeMap<String, Account>,
    duplicated: u64,
    /// How often a put found the queue full, and a get found it empty.
    pub(super) full: u64,
    pub(super) empty: u64,
    pub(super) out_of_order: bool,
    /// How often a consumer got an item that another had and died with.
    pub(super) redelivered: u64,
    /// The last number that a consumer got from a producer.
    last: BTreeMap<(String, String), u64>,
}

/// The items of one producer, by number from 1.
#[derive(Debug, Default)]
struct Account {
    put: u64,
    got: Numbers,
    done: Numbers,
}

/// A set of numbers from 1, as ranges: items come in order or nearly so, and a run may be endless.
#[derive(Debug, Default)]
struct Numbers {
    /// The last number of each range by its first.
    ranges: BTreeMap<u64, u64>,
    count: u64,
}

impl Numbers {
    /// Adds a number. Returns `false` if it was present.
    fn add(&mut self, number: u64) -> bool {
        let before = self.ranges.range(..=number).next_back().map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let first = before.filter(|(_, last)| last + 1 == number).map_or(number, |(first, _)| first);
        let last = self.ranges.remove(&(number + 1)).unwrap_or(number);
        self.ranges.insert(first, last);
        self.count += 1;
        true
    }

    fn highest(&self) -> u64 {
        self.ranges.last_key_value().map_or(0, |(_, last)| *last)
    }
}

impl Observer for DeliveryAudit {
    fn count(&mut self, event: &Event) {
        match event.get() {
            Some(ItemFact::ItemPut { from, .. }) => self.accounts.entry(from.clone()).or_default().put += 1,
            Some(ItemFact::ItemGot { from, number, redelivered, .. }) => {
                self.got(&event.worker, from, *number, *redelivered);
            }
            Some(ItemFact::TaskDone { from, number, .. }) => {
                self.accounts.entry(from.clone()).or_default().done.add(*number);
            }
            Some(ItemFact::QueueFull { .. }) => self.full += 1,
            Some(ItemFact::QueueEmpty) => self.empty += 1,
            _ => {}
        }
    }
}

impl DeliveryAudit {
    pub(super) fn got(&mut self, consumer: &str, from: &str, number: u64, redelivered: bool) {
        let is_new = self.accounts.entry(from.to_owned()).or_default().got.add(number);
        // The item of a dead consumer is redelivered late, and its new consumer reports that.
        if redelivered {
            self.redelivered += 1;
            return;
        }
        self.duplicated += u64::from(!is_new);
        let last = self.last.entry((from.to_owned(), consumer.to_owned())).or_default();
        self.out_of_order |= number <= *last;
        *last = number;
    }

    /// Returns how many items a worker reported as put.
    pub(super) fn put_by(&self, from: &str) -> u64 {
        self.accounts.get(from).map_or(0, |account| account.put)
    }

    /// Returns how many items were put, given that `still_queued` were in the queue at the end. An item that arrived or
    /// is still there was put, whether or not its producer survived to report it.
    pub(crate) fn produced(&self, still_queued: u64) -> u64 {
        let reported: u64 = self.accounts.values().map(|account| account.put.max(account.got.highest())).sum();
        reported.max(self.consumed() + still_queued)
    }

    /// Returns how many different items were got.
    pub(crate) fn consumed(&self) -> u64 {
        self.accounts.values().map(|account| account.got.count).sum()
    }

    /// Returns how many different items were done. If a consumer reported an item and then was killed, it is done
    /// again.
    pub(crate) fn tasks_done(&self) -> u64 {
        self.accounts.values().map(|account| account.done.count).sum()
    }

    /// Returns how many items are missing, given that `still_queued` were in the queue at the end.
    pub(crate) fn lost(&self, still_queued: u64) -> u64 {
        self.produced(still_queued) - (self.consumed() + still_queued)
    }

    /// Returns whether an item came twice, a consumer saw a producer's items out of order, or more are missing than
    /// stopped or dead workers can have held: a plain `get` removes an item permanently.
    pub(crate) fn is_broken(&self, still_queued: u64, completion: &Completion) -> bool {
        self.duplicated > 0 || self.out_of_order || self.lost(still_queued) > completion.interrupted() as u64
    }

    /// Explains missing items. An item that was put was held by a worker when it died. An item that was `planned`
    /// (`None` if there is no end) was not put because its producer died.
    pub(crate) fn allowance(
        &self,
        still_queued: u64,
        planned: Option<u64>,
        completion: &Completion,
    ) -> Option<Allowance> {
        let is_short = planned.is_none_or(|planned| self.produced(still_queued) < planned);
        if self.lost(still_queued) > 0 {
            Some(Allowance::Lost)
        } else {
            (is_short && completion.died() > 0).then_some(Allowance::Unfinished)
        }
    }

    /// Returns the result of a run on a queue that other runs use too. It is about what this run's workers did, of which
    /// `planned` puts, and about the items that are `lost` by the server's count.
    pub(crate) fn shared_result(
        &self,
        queued: u64,
        lost: u64,
        planned: Option<u64>,
        completion: &Completion,
    ) -> CheckResult {
        let produced = self.accounts.values().map(|account| account.put).sum::<u64>();
        let is_short = planned.is_none_or(|planned| produced < planned);
        CheckResult {
            broken: self.duplicated > 0 || self.out_of_order,
            finished: completion.stopped.is_none() && lost == 0 && (!is_short || planned.is_none()),
            guaranteed: true,
            allowance: (is_short && completion.died() > 0).then_some(Allowance::Unfinished),
            seen: [
                format!(
                    "This run put {} and got {}; there are {queued} in the queue now.",
                    counted(produced, "item"),
                    self.consumed()
                ),
                format!("本次运行放入 {produced} 个数据，取出 {} 个；队列中现有 {queued} 个。", self.consumed()),
            ],
            facts: self.counters(produced, lost, queued),
            advice: None,
        }
    }

    fn counters(&self, produced: u64, lost: u64, still_queued: u64) -> Vec<Counter> {
        vec![
            counter("produced", "生产", produced),
            counter("consumed", "消费", self.consumed()),
            counter("lost", "丢失", lost),
            counter("duplicated", "重复", self.duplicated),
            counter("still_queued", "仍在队列中", still_queued),
        ]
    }

    /// Returns how the items fared, in one sentence.
    fn seen(&self, still_queued: u64) -> [String; 2] {
        let (produced, consumed) = (self.produced(still_queued), self.consumed());
        let (lost, duplicated) = (self.lost(still_queued), self.duplicated);
        let exceptions = [
            (still_queued > 0, format!("{still_queued} still in the queue"), format!("队列中还有 {still_queued} 个")),
            (lost > 0, format!("{lost} lost"), format!("丢失 {lost} 个")),
            (duplicated > 0, format!("{duplicated} more than once"), format!("重复 {duplicated} 个")),
            (self.out_of_order, "some out of order".to_owned(), "顺序被打乱".to_owned()),
        ];
        let (en, zh): (Vec<_>, Vec<_>) =
            exceptions.into_iter().filter(|(is_seen, ..)| *is_seen).map(|(_, en, zh)| (en, zh)).unzip();
        let (en, zh) = match en.is_empty() {
            true if produced < 2 => Default::default(),
            true => (", each exactly once".to_owned(), "，每个恰好一次".to_owned()),
            false => (format!(": {}", en.join(", ")), format!("：{}", zh.join("，"))),
        };
        let got_zh = of_all_zh(consumed, produced, "送达", "个");
        [
            format!("The queue delivered {}{en}.", of_all(consumed, produced, "item")),
            format!("{produced} 个数据{got_zh}{zh}。"),
        ]
    }

    /// Returns the result of a run in which `planned` items were to be put. The caller decides whether it is finished.
    pub(crate) fn result(&self, still_queued: u64, planned: Option<u64>, completion: &Completion) -> CheckResult {
        CheckResult {
            broken: self.is_broken(still_queued, completion),
            finished: false,
            guaranteed: true,
            allowance: self.allowance(still_queued, planned, completion),
            seen: self.seen(still_queued),
            facts: self.counters(self.produced(still_queued), self.lost(still_queued), still_queued),
            advice: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A producer `p` put `put` items; then the consumers got the items in the list.
    fn audit_of(put: u64, got: &[(&str, u64)]) -> DeliveryAudit {
        let mut audit = DeliveryAudit::default();
        let mut report = |worker: &str, fact: ItemFact| {
            audit.count(&Event { at_us: 0, worker: worker.to_owned(), pid: 1, fact: fact.into() });
        };
        for number in 1..=put {
            report("p", ItemFact::put(0, "p", number, None));
        }
        for (consumer, number) in got {
            report(consumer, ItemFact::got(0, "p", *number, None));
        }
        audit
    }

    fn is_sound(audit: &DeliveryAudit, still_queued: u64) -> bool {
        !audit.is_broken(still_queued, &Completion::default())
    }

    #[test]
    fn each_item_once_and_in_order_is_sound() {
        assert!(is_sound(&audit_of(3, &[("a", 1), ("a", 2), ("a", 3)]), 0));
        // Two consumers report in any order; each gets its items in order.
        assert!(is_sound(&audit_of(3, &[("a", 2), ("b", 1), ("a", 3)]), 0));
        assert!(is_sound(&audit_of(3, &[("a", 1)]), 2));
        assert!(is_sound(&audit_of(0, &[]), 0));
    }

    #[test]
    fn numbers_take_room_for_gaps_and_not_for_items() {
        let mut numbers = Numbers::default();
        for number in (1..=100_000).filter(|number| number % 50_000 != 0) {
            assert!(numbers.add(number) && !numbers.add(number));
        }
        assert_eq!((numbers.ranges.len(), numbers.count, numbers.highest()), (2, 99_998, 99_999));
        assert!(numbers.add(50_000) && !numbers.add(50_001) && numbers.add(100_000));
        assert_eq!((numbers.ranges.len(), numbers.count, numbers.highest()), (1, 100_000, 100_000));
        assert!(numbers.add(200_000) && numbers.add(199_999) && !numbers.add(200_000));
        assert_eq!((numbers.ranges.len(), numbers.highest()), (2, 200_000));
    }

    #[test]
    fn lost_duplicated_and_disordered_items_are_not() {
        assert!(!is_sound(&audit_of(3, &[("a", 1), ("a", 2)]), 0));
        assert!(!is_sound(&audit_of(2, &[("a", 1), ("b", 1), ("a", 2)]), 0));
        assert!(!is_sound(&audit_of(2, &[("a", 2), ("a", 1)]), 0));
    }

    #[test]
    fn sentence_says_how_the_items_fared() {
        for (audit, still_queued, en, zh) in [
            (
                audit_of(3, &[("a", 1), ("b", 2), ("a", 3)]),
                0,
                "The queue delivered all 3 items, each exactly once.",
                "3 个数据全部送达，每个恰好一次。",
            ),
            (
                audit_of(4, &[("a", 1), ("b", 1), ("a", 3)]),
                1,
                "The queue delivered 2 of 4 items: 1 still in the queue, 1 lost, 1 more than once.",
                "4 个数据送达 2 个：队列中还有 1 个，丢失 1 个，重复 1 个。",
            ),
            (audit_of(1, &[("a", 1)]), 0, "The queue delivered the only item.", "1 个数据全部送达。"),
        ] {
            assert_eq!(audit.seen(still_queued), [en, zh]);
        }
    }

    #[test]
    fn one_item_a_dead_worker_is_excused() {
        let audit = audit_of(3, &[("a", 1), ("a", 3)]);
        assert_eq!(audit.lost(0), 1);
        assert!(!audit.is_broken(0, &Completion::deaths(&["a"])) && !audit.is_broken(0, &Completion::cut()));
        assert_eq!(audit.allowance(0, Some(3), &Completion::deaths(&["a"])), Some(Allowance::Lost));
        assert!(audit_of(3, &[]).is_broken(0, &Completion::deaths(&["a"])), "one death loses one item");
    }

    #[test]
    fn items_that_a_dead_producer_did_not_put_are_excused() {
        let (audit, dead) = (audit_of(1, &[("a", 1)]), Completion::deaths(&["p"]));
        let excused = [Some(1), Some(10), None].map(|planned| audit.allowance(0, planned, &dead));
        assert_eq!(excused, [None, Some(Allowance::Unfinished), Some(Allowance::Unfinished)]);
        assert_eq!(audit.allowance(0, None, &Completion::default()), None);
    }

    #[test]
    fn item_whose_producer_died_before_its_report_was_put() {
        assert_eq!(audit_of(1, &[("a", 1), ("a", 2)]).produced(0), 2);
        let one_in_the_queue = audit_of(1, &[("a", 1)]);
        assert_eq!((one_in_the_queue.produced(1), one_in_the_queue.lost(1)), (2, 0));
    }
}
