//! What the kills of one row show together: the order of their effects, and what is wrong with it.

use super::case::{Effect, Fault};
use super::kill::{Course, Point, Seen};

/// What was seen in a row.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// How many the operation has; 0 if it is killed at one place only.
    pub(super) instructions: usize,
    pub(super) kills: usize,
    /// How often each effect was seen, in the order of [`Effect`].
    pub(super) effects: [usize; 3],
    pub(super) slowest_ns: u64,
    /// Kills after which somebody was late once, and not again.
    pub(super) repeated: usize,
    pub(super) faults: Vec<(Point, Fault)>,
}

impl Findings {
    /// Sums up kills in their order. `effects` are the first and the last that there may be.
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

/// Puts kills into the order of their places in the course.
pub(super) fn sort(seen: &mut [(Point, Seen)], course: &Course) {
    seen.sort_by_key(|(point, _)| point.order(course.slept_after));
}

/// The places between which one verdict becomes another: the last instruction of the one, the first of the other.
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

/// The places at which an effect stands that cannot stand there: before the first, behind the last, or after a later one.
pub(super) fn disorder(seen: &[(Point, Seen)], (first, last): (Effect, Effect)) -> Vec<usize> {
    let effects: Vec<(usize, Effect)> =
        seen.iter().enumerate().filter_map(|(place, (_, seen))| Some((place, seen.verdict.ok()?))).collect();
    let is_wrong = |&(place, effect): &(usize, Effect)| {
        let at_an_end = (place == 0 && effect != first) || (place + 1 == seen.len() && effect != last);
        let beside =
            effects.iter().any(|&(other, its)| (other < place && its > effect) || (other > place && its < effect));
        at_an_end || beside
    };
    effects.iter().filter(|seen| is_wrong(seen)).map(|&(place, _)| place).collect()
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
