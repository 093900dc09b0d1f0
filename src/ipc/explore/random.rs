//! Random schedules, for programs with too many schedules to run them all.
//!
//! # Standard
//! Half of the schedules choose uniformly among the possible turns at each point. The other half is PCT (Burckhardt et
//! al., ASPLOS 2010): participants have random priorities, which change at a few random steps. In a program of n
//! participants and k steps, one schedule finds a bug of depth d with a probability of at least 1 / (n k^(d - 1)).

use std::collections::BTreeMap;

use super::schedule::{Participant, Turn};

/// A SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014).
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

/// Makes the choices of one schedule after another.
#[derive(Debug, Clone)]
pub(crate) struct Random {
    generator: Generator,
    /// The number of schedules begun.
    schedules: u64,
    /// The number of steps of the longest schedule so far.
    longest: usize,
    step: usize,
    priorities: BTreeMap<Participant, u64>,
    /// The steps at which the participant with the highest priority gets the lowest.
    changes: Vec<usize>,
    /// The product of the numbers of possible turns at the steps of the current schedule.
    product: f64,
    /// The sum of these products of all uniform schedules that were ended, and their number.
    products: (f64, u32),
}

/// The highest estimate.
pub(crate) const MANY: u64 = 1_000_000_000_000_000_000;

/// The maximum depth of the bugs that PCT looks for: 2 to 4.
const DEPTHS: [usize; 3] = [2, 3, 4];

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let generator = Generator(seed);
        let mut random = Random {
            generator,
            schedules: 0,
            longest: 1,
            step: 0,
            priorities: BTreeMap::new(),
            changes: Vec::new(),
            product: 1.0,
            products: (0.0, 0),
        };
        random.begin();
        random
    }

    /// Begins the next schedule.
    pub(crate) fn begin(&mut self) {
        if self.is_uniform() && self.step > 0 {
            let (sum, number) = self.products;
            self.products = (sum + self.product, number + 1);
        }
        self.product = 1.0;
        (self.longest, self.step) = (self.longest.max(self.step), 0);
        self.schedules += 1;
        self.priorities.clear();
        let depth = DEPTHS[(self.schedules / 2) as usize % DEPTHS.len()];
        self.changes = (1..depth).map(|_| self.generator.below(self.longest)).collect();
    }

    /// Returns the estimated number of schedules, at most [`MANY`]: the mean product of the uniform ones.
    pub(crate) fn estimate(&self) -> Option<u64> {
        let (sum, number) = self.products;
        (number > 0).then(|| MANY.min((sum / f64::from(number)).round() as u64))
    }

    fn is_uniform(&self) -> bool {
        self.schedules.is_multiple_of(2)
    }

    /// Chooses one of the possible turns. There must be at least one.
    pub(crate) fn choose(&mut self, possible: &[Turn]) -> Turn {
        let step = self.step;
        self.step += 1;
        self.product *= possible.len() as f64;
        if self.is_uniform() {
            return possible[self.generator.below(possible.len())];
        }
        for turn in possible {
            let generator = &mut self.generator;
            // Above those that a change point assigns.
            self.priorities.entry(turn.participant()).or_insert_with(|| generator.next() | 1 << 63);
        }
        let highest = |priorities: &BTreeMap<Participant, u64>| {
            *possible.iter().max_by_key(|turn| priorities[&turn.participant()]).expect("at least one")
        };
        if let Some(change) = self.changes.iter().position(|change| *change == step) {
            self.priorities.insert(highest(&self.priorities).participant(), change as u64);
        }
        let participant = highest(&self.priorities).participant();
        // All turns of one participant are equally likely.
        let own: Vec<_> = possible.iter().filter(|turn| turn.participant() == participant).collect();
        *own[self.generator.below(own.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn estimate_is_limited() {
        let mut random = Random::new(1);
        assert_eq!(random.estimate(), None);
        for _ in 0..2 {
            (0..100).for_each(|_| _ = random.choose(&[Turn::Goes(0), Turn::Goes(1)]));
            random.begin();
        }
        assert_eq!(random.estimate(), Some(MANY));
    }

    #[test]
    fn same_seed_makes_the_same_choices_and_every_order_occurs() {
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
