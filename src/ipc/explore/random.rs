//! Random schedules, for programs with too many to run them all.
//!
//! # Standard
//! One half is uniform over the turns that are possible at each point. The other is PCT (Burckhardt et al., ASPLOS
//! 2010): the participants have random priorities, which change at a few random steps; a fault that needs the order of
//! `d` steps is found with a probability of at least 1 / (n k^(d - 1)) in a program of n participants and k steps.

use std::collections::BTreeMap;

use super::schedule::{Participant, Turn};

/// The generator: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
#[derive(Debug, Clone)]
struct Generator(u64);

impl Generator {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `end`. Its bias is below `end` / 2^64.
    fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.next()) * end as u128) >> 64) as usize
    }
}

/// The choices of one schedule after another.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    generator: Generator,
    /// How many schedules have begun.
    schedules: u64,
    /// Steps of the longest schedule so far.
    longest: usize,
    step: usize,
    priorities: BTreeMap<Participant, u64>,
    /// The steps at which the participant with the highest priority gets the lowest.
    changes: Vec<usize>,
}

/// The most steps whose order a fault found by PCT depends on: 2 to 4.
const DEPTHS: [usize; 3] = [2, 3, 4];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let generator = Generator(seed);
        let mut random =
            Random { generator, schedules: 0, longest: 1, step: 0, priorities: BTreeMap::new(), changes: Vec::new() };
        random.begin();
        random
    }

    /// Begins the next schedule.
    pub(crate) fn begin(&mut self) {
        (self.longest, self.step) = (self.longest.max(self.step), 0);
        self.schedules += 1;
        self.priorities.clear();
        let depth = DEPTHS[(self.schedules / 2) as usize % DEPTHS.len()];
        self.changes = (1..depth).map(|_| self.generator.below(self.longest)).collect();
    }

    fn is_uniform(&self) -> bool {
        self.schedules.is_multiple_of(2)
    }

    /// Chooses one of the turns that are possible. There is at least one.
    pub(crate) fn choose(&mut self, possible: &[Turn]) -> Turn {
        let step = self.step;
        self.step += 1;
        if self.is_uniform() {
            return possible[self.generator.below(possible.len())];
        }
        for turn in possible {
            let generator = &mut self.generator;
            // Above those to which a change leads.
            self.priorities.entry(turn.participant()).or_insert_with(|| generator.next() | 1 << 63);
        }
        let highest = |priorities: &BTreeMap<Participant, u64>| {
            *possible.iter().max_by_key(|turn| priorities[&turn.participant()]).expect("at least one")
        };
        if let Some(change) = self.changes.iter().position(|change| *change == step) {
            self.priorities.insert(highest(&self.priorities).participant(), change as u64);
        }
        let participant = highest(&self.priorities).participant();
        // Of one participant's turns each is as likely.
        let own: Vec<_> = possible.iter().filter(|turn| turn.participant() == participant).collect();
        *own[self.generator.below(own.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn same_seed_makes_the_same_choices_and_every_order_comes() {
        let orders = |seed| {
            let mut random = Random::new(seed);
            let schedules = (0..200).map(|_| {
                let mut left = vec![Turn::Goes(0), Turn::Goes(1), Turn::Goes(2)];
                let mut order = Vec::new();
                while !left.is_empty() {
                    let turn = random.choose(&left);
                    left.retain(|other| *other != turn);
                    order.push(turn);
                }
                random.begin();
                order
            });
            schedules.collect::<Vec<_>>()
        };
        assert_eq!(orders(7), orders(7));
        assert_ne!(orders(7), orders(8));
        assert_eq!(orders(7).into_iter().collect::<BTreeSet<_>>().len(), 6);
    }
}
