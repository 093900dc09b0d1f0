//! Which processes a picture shows: all if there is space, otherwise those that differ.

use std::collections::{HashMap, HashSet};

use crate::report::class::{Ending, Severity};
use crate::report::event::Event;
use crate::report::frame::{RunStarted, Summary};
use crate::report::model::{Lane, LaneKind, RunModel};

/// The maximum number of rows: up to this, each has space for its name.
pub(super) const MOST: usize = 60;

/// Returns whether each lane of the model has a row.
pub(super) fn chosen(model: &RunModel<'_>) -> Vec<bool> {
    let mut chosen: Vec<bool> = model.lanes.iter().map(takes_part).collect();
    if chosen.iter().filter(|is_chosen| **is_chosen).count() <= MOST {
        return chosen;
    }
    let decisive = model.edges.iter().filter(|edge| edge.is_decisive);
    let decisive: HashSet<usize> = decisive.flat_map(|edge| [edge.from.lane, edge.to.lane]).collect();
    let (mut remarkable, mut kinds): (Vec<usize>, HashMap<_, Vec<usize>>) = Default::default();
    for (index, lane) in model.lanes.iter().enumerate().filter(|(index, _)| chosen[*index]) {
        if is_remarkable(lane) || decisive.contains(&index) {
            remarkable.push(index);
        } else {
            kinds.entry(kind_of(lane)).or_default().push(index);
        }
    }
    let mut kinds: Vec<Vec<usize>> = kinds.into_values().collect();
    // A rare kind takes less than its share, and the others have more.
    kinds.sort_by_key(|lanes| (lanes.len(), lanes[0]));
    chosen.fill(false);
    let mut room = MOST;
    let mut take = |lanes: &[usize], share_of: usize| {
        // Evenly from the first to the last, if not all fit.
        let taken = room.div_ceil(share_of).min(lanes.len());
        (0..taken).for_each(|place| chosen[lanes[place * lanes.len() / taken]] = true);
        room -= taken;
    };
    take(&remarkable, 1);
    (0..kinds.len()).for_each(|index| take(&kinds[index], kinds.len() - index));
    chosen
}

/// Returns whether a lane is eligible: the runner's is only if it took part.
fn takes_part(lane: &Lane<'_>) -> bool {
    let is_frame = |event: &Event| event.is::<RunStarted>() || event.is::<Summary>();
    lane.lane_kind != LaneKind::Runner || lane.moments.iter().any(|moment| !is_frame(moment.event))
}

/// Returns whether something happened that does not happen to every worker.
fn is_remarkable(lane: &Lane<'_>) -> bool {
    lane.lane_kind != LaneKind::Worker
        || lane.ending.is_some_and(Ending::is_death)
        || lane.moments.iter().any(|moment| moment.class.severity() == Some(Severity::Trouble))
}

/// Returns what equivalent workers have in common: what they were started for, and their events in order.
fn kind_of(lane: &Lane<'_>) -> impl Eq + std::hash::Hash {
    let mut seen = HashSet::new();
    let facts = lane.moments.iter().map(|moment| moment.event.fact.name().to_owned());
    let firsts: Vec<_> = facts.filter(|fact| seen.insert(fact.clone())).collect();
    (lane.role().map(|(role, _)| role.to_owned()), lane.object.map(str::to_owned), firsts)
}
