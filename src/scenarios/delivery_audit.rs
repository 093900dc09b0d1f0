//! The fate of every item: which worker made it, which got it, and whether it came once and in order.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Completion, Observer};
use crate::report::{Allowance, Event, Fact};

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
    pub(super) fn put(&self) -> Fact {
        Fact::ItemPut { value: self.value.into(), from: self.from.clone(), number: self.number, size: None }
    }

    /// Returns the fact that it was got.
    pub(super) fn got(&self, redelivered: bool) -> Fact {
        let (from, number) = (self.from.clone(), self.number);
        Fact::ItemGot { value: self.value.into(), from, number, size: None, redelivered }
    }

    /// Returns the fact that it was processed.
    pub(super) fn done(&self) -> Fact {
        Fact::TaskDone { value: self.value.into(), from: self.from.clone(), number: self.number }
    }
}

/// The audit of a queue, from the reports of its workers.
#[derive(Debug, Default)]
pub(crate) struct DeliveryAudit {
    accounts: BTreeMap<String, Account>,
    duplicated: u64,
    out_of_order: bool,
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
        match &event.fact {
            Fact::ItemPut { from, .. } => self.accounts.entry(from.clone()).or_default().put += 1,
            Fact::ItemGot { from, number, redelivered, .. } => self.got(&event.worker, from, *number, *redelivered),
            Fact::TaskDone { from, number, .. } => {
                self.accounts.entry(from.clone()).or_default().done.add(*number);
            }
            _ => {}
        }
    }
}

impl DeliveryAudit {
    fn got(&mut self, consumer: &str, from: &str, number: u64, redelivered: bool) {
        let is_new = self.accounts.entry(from.to_owned()).or_default().got.add(number);
        // A consumer that gets a dead consumer's item gets it again and late, and is told so.
        if redelivered {
            return;
        }
        self.duplicated += u64::from(!is_new);
        let last = self.last.entry((from.to_owned(), consumer.to_owned())).or_default();
        self.out_of_order |= number <= *last;
        *last = number;
    }

    /// Returns how many items were put, given that `still_queued` were in the queue at the end. An item that arrived or
    /// is still there was put, whether or not its producer survived to report it.
    pub(crate) fn produced(&self, still_queued: u64) -> u64 {
        let told: u64 = self.accounts.values().map(|account| account.put.max(account.got.highest())).sum();
        told.max(self.consumed() + still_queued)
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

    /// What is missing of those put is put down to workers that held it when they died, and what is missing of those
    /// `planned` to producers that died before they put it. `None` is no end.
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

    /// Returns the facts of every queue scenario.
    pub(crate) fn facts(&self, still_queued: u64) -> Vec<(&'static str, Value)> {
        vec![
            ("produced", self.produced(still_queued).into()),
            ("consumed", self.consumed().into()),
            ("lost", self.lost(still_queued).into()),
            ("duplicated", self.duplicated.into()),
            ("still_queued", still_queued.into()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A producer `p` put `put` items; then the consumers got the items in the list.
    fn audit_of(put: u64, got: &[(&str, u64)]) -> DeliveryAudit {
        let mut audit = DeliveryAudit::default();
        let mut tell = |worker: &str, fact| audit.count(&Event { at_us: 0, worker: worker.to_owned(), pid: 1, fact });
        for number in 1..=put {
            tell("p", Fact::ItemPut { value: 0.into(), from: "p".to_owned(), number, size: None });
        }
        for (consumer, number) in got {
            let (from, number) = ("p".to_owned(), *number);
            tell(consumer, Fact::ItemGot { value: 0.into(), from, number, size: None, redelivered: false });
        }
        audit
    }

    fn is_sound(audit: &DeliveryAudit, still_queued: u64) -> bool {
        !audit.is_broken(still_queued, &Completion::default())
    }

    #[test]
    fn each_item_once_and_in_order_is_sound() {
        assert!(is_sound(&audit_of(3, &[("a", 1), ("a", 2), ("a", 3)]), 0));
        // Two consumers tell in any order; each sees its own in order.
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
    fn item_whose_producer_did_not_live_to_tell_was_put() {
        assert_eq!(audit_of(1, &[("a", 1), ("a", 2)]).produced(0), 2);
        let one_in_the_queue = audit_of(1, &[("a", 1)]);
        assert_eq!((one_in_the_queue.produced(1), one_in_the_queue.lost(1)), (2, 0));
    }
}
