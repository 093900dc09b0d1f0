//! Finds the schedule with the fewest switches in a class.
//!
//! # State
//! A search over the prefixes of the class: how many steps each participant has taken, and which one took the last.
//! Nothing is run. Every order that preserves the order of dependent steps is a schedule of the class.

use std::collections::{BTreeMap, HashMap};

use super::schedule::{Participant, Schedule, Turn};
use super::search::Taken;

/// The maximum number of prefixes to examine before the schedule is left unchanged.
const PREFIXES: usize = 200_000;
/// The maximum number of steps of a schedule; a longer one is left unchanged.
const STEPS: usize = 1_000;

/// The number of steps that each participant has taken, and which one took the last.
type Prefix = (Vec<usize>, Option<Participant>);

struct Class<'a> {
    taken: &'a [Taken],
    participants: Vec<Participant>,
    /// For each participant, the indices of its steps.
    own: Vec<Vec<usize>>,
    /// For each step, the number of steps of each participant that must come before it.
    before: Vec<Vec<usize>>,
    /// The minimum number of switches from a prefix to the end.
    least: HashMap<Prefix, usize>,
}

/// Returns the equivalent schedule with the fewest switches; among several, the first in the order of start.
pub(crate) fn fewest_switches(taken: &[Taken]) -> Schedule {
    let mut own = BTreeMap::<Participant, Vec<usize>>::new();
    for (at, step) in taken.iter().enumerate() {
        own.entry(step.turn.participant()).or_default().push(at);
    }
    let (participants, own): (Vec<_>, Vec<_>) = own.into_iter().unzip();
    if taken.len() > STEPS {
        return Schedule(taken.iter().map(|taken| taken.turn).collect());
    }
    let before_step = |at: usize| {
        let needed = |own: &Vec<usize>| {
            let is_before = |earlier: &&usize| **earlier < at && taken[**earlier].is_ordered_before(&taken[at]);
            own.iter().rposition(|earlier| is_before(&earlier)).map_or(0, |last| last + 1)
        };
        own.iter().map(needed).collect()
    };
    let before = (0..taken.len()).map(before_step).collect();
    let mut class = Class { taken, participants, own, before, least: HashMap::new() };
    let start = (vec![0; class.participants.len()], None);
    match class.least(&start) {
        Some(_) => class.follow(start),
        None => Schedule(taken.iter().map(|taken| taken.turn).collect()),
    }
}

impl Class<'_> {
    /// Returns the prefixes one step longer, with the turn that leads to each.
    fn next(&self, (counts, last): &Prefix) -> Vec<(Turn, Prefix, usize)> {
        let mut next = Vec::new();
        for (index, &participant) in self.participants.iter().enumerate() {
            let Some(&step) = self.own[index].get(counts[index]) else { continue };
            if self.before[step].iter().zip(counts).all(|(needed, count)| count >= needed) {
                let mut counts = counts.clone();
                counts[index] += 1;
                let switches = usize::from(last.is_some_and(|last| last != participant));
                next.push((self.taken[step].turn, (counts, Some(participant)), switches));
            }
        }
        next
    }

    /// Returns the minimum number of switches from `prefix` to the end; `None` if there are too many prefixes.
    fn least(&mut self, prefix: &Prefix) -> Option<usize> {
        if let Some(&known) = self.least.get(prefix) {
            return Some(known);
        }
        if self.least.len() >= PREFIXES {
            return None;
        }
        let mut least = None;
        for (_, next, switches) in self.next(prefix) {
            let total = self.least(&next)? + switches;
            least = Some(least.map_or(total, |least: usize| least.min(total)));
        }
        let least = least.unwrap_or(0);
        self.least.insert(prefix.clone(), least);
        Some(least)
    }

    fn follow(&self, mut prefix: Prefix) -> Schedule {
        let mut turns = Vec::new();
        while let Some((turn, next, _)) =
            self.next(&prefix).into_iter().min_by_key(|(_, next, switches)| self.least[next] + switches)
        {
            turns.push(turn);
            prefix = next;
        }
        Schedule(turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::explore::search::Step;
    use crate::ipc::operation::ObjectId;
    use proptest::prelude::*;

    fn taken(participant: Participant, object: u64, reads_only: bool) -> Taken {
        let object = ObjectId::from_word(object);
        let step = Step { operation: String::new(), object, lock: None, reads_only };
        Taken { turn: Turn::Goes(participant), step, is_forced: false }
    }

    #[test]
    fn independent_steps_are_put_together() {
        let steps = [(0, 1), (1, 2), (0, 1), (1, 2)].map(|(participant, object)| taken(participant, object, false));
        assert_eq!(fewest_switches(&steps).to_string(), "a2b2");
    }

    #[test]
    fn dependent_steps_stay_in_their_order() {
        let steps = [(0, 1), (1, 1), (0, 1), (1, 2)].map(|(participant, object)| taken(participant, object, false));
        assert_eq!(fewest_switches(&steps).to_string(), "ab2a");
    }

    /// Returns the minimum number of switches, by enumerating all orders.
    fn by_brute_force(steps: &[Taken], done: &mut Vec<usize>) -> usize {
        if done.len() == steps.len() {
            return Schedule(done.iter().map(|&at| steps[at].turn).collect()).switches();
        }
        let mut least = usize::MAX;
        for at in 0..steps.len() {
            let is_free = |earlier: usize| done.contains(&earlier) || !steps[earlier].is_ordered_before(&steps[at]);
            if !done.contains(&at) && (0..at).all(is_free) {
                done.push(at);
                least = least.min(by_brute_force(steps, done));
                done.pop();
            }
        }
        least
    }

    proptest! {
        #[test]
        fn no_order_of_the_class_has_fewer(steps in prop::collection::vec((0..3_usize, 1..4_u64, any::<bool>()), 0..8)) {
            let steps: Vec<_> =
                steps.into_iter().map(|(participant, object, reads)| taken(participant, object, reads)).collect();
            prop_assert_eq!(fewest_switches(&steps).switches(), by_brute_force(&steps, &mut Vec::new()));
        }
    }
}
