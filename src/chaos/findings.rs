//! The findings of the kills of one row: the order of their effects, and what is wrong with it; and those of all rows.

use serde::Serialize;

use super::effect::{Effect, Fault};
use super::kill::{Course, Point, Seen};
use super::python::Python;

/// The observations of one row.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// The number of the operation's instructions; 0 if the row has only one place to kill.
    pub(super) instructions: usize,
    pub(super) kills: usize,
    /// How often each effect was observed, in the order of [`Effect`].
    pub(super) effects: [usize; 3],
    pub(super) slowest_ns: u64,
    /// Kills after which a survivor was late once, and not again.
    pub(super) repeated: usize,
    pub(super) faults: Vec<(Point, Fault)>,
}

impl Findings {
    /// Sums up kills in order. `effects` are the first and the last possible effect.
    pub(super) fn of(seen: &[(Point, Seen)], course: &Course, effects: (Effect, Effect)) -> Self {
        let mut findings = Findings { instructions: course.len(), kills: seen.len(), ..Findings::default() };
        let out_of_order = disorder(seen, effects);
        for (place, (point, seen)) in seen.iter().enumerate() {
            findings.slowest_ns = findings.slowest_ns.max(seen.slowest_ns);
            findings.repeated += usize::from(seen.repeated && seen.verdict.is_ok());
            match seen.verdict {
                Err(fault) => findings.faults.push((*point, fault)),
                Ok(_) if out_of_order.contains(&place) => findings.faults.push((*point, Fault::Undecided)),
                Ok(effect) => findings.effects[effect as usize] += 1,
            }
        }
        findings
    }
}

/// The result of a whole run, as in the JSON output.
#[derive(Debug, Default, Serialize)]
#[serde(tag = "summary", rename = "chaos")]
pub(super) struct Total {
    pub(super) rows: usize,
    pub(super) kills: usize,
    pub(super) broken_rows: usize,
    /// Descriptors and processes that did not exist before.
    pub(super) left_behind: usize,
    pub(super) slowest_us: u64,
    pub(super) elapsed_us: u64,
    pub(super) processors: usize,
    pub(super) seed: u64,
    pub(super) exhaustive: bool,
    /// The number of kills that were repeated.
    #[serde(skip)]
    pub(super) repeated: usize,
    /// Python's side, if requested.
    #[serde(skip)]
    pub(super) python: Option<Python>,
}

impl Total {
    pub(super) fn count(&mut self, findings: &Findings) {
        self.rows += 1;
        self.kills += findings.kills;
        self.broken_rows += usize::from(!findings.faults.is_empty());
        self.slowest_us = self.slowest_us.max(findings.slowest_ns / 1_000);
        self.repeated += findings.repeated;
    }

    pub(super) fn holds(&self) -> bool {
        self.broken_rows == 0 && self.left_behind == 0
    }
}

/// Sorts kills by their position in the course.
pub(super) fn sort(seen: &mut [(Point, Seen)], course: &Course) {
    seen.sort_by_key(|(point, _)| point.order(course.slept_after));
}

/// Returns the places where the verdict changes: the last instruction of one, the first of the next.
pub(super) fn turns(seen: &[(Point, Seen)]) -> impl Iterator<Item = (usize, usize)> {
    let stepped = seen.iter().filter_map(|(point, seen)| match point {
        Point::After(place) => Some((*place, seen.verdict)),
        _ => None,
    });
    let stepped: Vec<_> = stepped.collect();
    (1..stepped.len()).filter_map(move |at| {
        let ((before, was), (after, is)) = (stepped[at - 1], stepped[at]);
        (was != is).then_some((before, after))
    })
}

/// Returns the places with a misplaced effect: before the first, after the last, or out of order with the others. The
/// effects are in order without these places; where others would do as well, all of them are returned.
pub(super) fn disorder(seen: &[(Point, Seen)], (first, last): (Effect, Effect)) -> Vec<usize> {
    let effects: Vec<(usize, Effect)> =
        seen.iter().enumerate().filter_map(|(place, (_, seen))| Some((place, seen.verdict.ok()?))).collect();
    // Of each longest sequence in order, which contains the place, the places up to it and from it on.
    let until = longest(effects.iter().map(|&(_, effect)| effect as usize));
    let mut from = longest(effects.iter().rev().map(|&(_, effect)| Effect::Done as usize - effect as usize));
    from.reverse();
    let all = until.iter().copied().max().unwrap_or(0);
    let is_in_one = |at: &usize| until[*at] + from[*at] == all + 1;
    // Places that fit the same position exclude each other: each longest sequence contains exactly one of them.
    let mut choices = vec![0; all + 1];
    (0..effects.len()).filter(is_in_one).for_each(|at| choices[until[at]] += 1);
    let is_wrong = |&at: &usize| {
        let (place, effect) = effects[at];
        let at_an_end = (place == 0 && effect != first) || (place + 1 == seen.len() && effect != last);
        at_an_end || !is_in_one(&at) || choices[until[at]] > 1
    };
    (0..effects.len()).filter(is_wrong).map(|at| effects[at].0).collect()
}

/// Returns the length of the longest sequence in order that ends with each of the `ranks`.
fn longest(ranks: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut lengths = [0; Effect::Done as usize + 1];
    let extend = |rank: usize| {
        lengths[rank] = lengths[..=rank].iter().max().expect("a rank is one of them") + 1;
        lengths[rank]
    };
    ranks.map(extend).collect()
}

#[cfg(test)]
mod tests {
    use super::Effect::{Done, HandedOn, Undone};
    use super::*;

    fn seen(effects: &[Effect]) -> Vec<(Point, Seen)> {
        let one = |(place, &effect): (usize, &Effect)| {
            (Point::After(place), Seen { verdict: Ok(effect), slowest_ns: 0, repeated: false })
        };
        effects.iter().enumerate().map(one).collect()
    }

    #[test]
    fn one_turn_is_in_order() {
        let seen = seen(&[Undone, Undone, HandedOn, Done, Done]);
        assert_eq!(disorder(&seen, (Undone, Done)), [0_usize; 0]);
        assert_eq!(turns(&seen).collect::<Vec<_>>(), [(1, 2), (2, 3)]);
    }

    #[test]
    fn done_and_then_undone_is_found() {
        let seen = seen(&[Undone, Done, Undone, Done]);
        assert_eq!(disorder(&seen, (Undone, Done)), [1, 2]);
    }

    #[test]
    fn one_early_effect_does_not_make_others_wrong() {
        let early = seen(&[Undone, Done, Undone, Undone, HandedOn, Done]);
        assert_eq!(disorder(&early, (Undone, Done)), [1]);
        let late = seen(&[Undone, HandedOn, Done, Done, Undone, Done]);
        assert_eq!(disorder(&late, (Undone, Done)), [4]);
    }

    #[test]
    fn ends_have_to_be_as_promised() {
        assert_eq!(disorder(&seen(&[Undone, Undone]), (Undone, Done)), [1], "never done");
        assert_eq!(disorder(&seen(&[Done, Done]), (Undone, Done)), [0], "done before it began");
    }

    #[test]
    fn faults_are_counted_beside_the_effects() {
        let mut seen = seen(&[Undone, Undone, Done]);
        seen[1].1.verdict = Err(Fault::Hangs);
        let findings = Findings::of(&seen, &Course::default(), (Undone, Done));
        assert_eq!((findings.kills, findings.effects), (3, [1, 0, 1]));
        assert_eq!(findings.faults, [(Point::After(1), Fault::Hangs)]);
    }
}
