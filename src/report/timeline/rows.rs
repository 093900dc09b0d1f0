//! Which processes a picture shows: all if there is space, otherwise those that differ.

use std::collections::{HashMap, HashSet};

use crate::report::class::{Ending, Severity};
use crate::report::event::Event;
use crate::report::frame::{RunStarted, Summary};
use crate::report::model::{Lane, LaneKind, RunModel};

/// The maximum number of rows: up to this, each has space for its name.
pub(super) const MOST: usize = 60;

/// Returns the indices of the lanes of the model that have a row.
pub(super) fn chosen(model: &RunModel<'_>) -> Vec<usize> {
    let all: Vec<usize> = (0..model.lanes.len()).filter(|index| takes_part(&model.lanes[*index])).collect();
    if all.len() <= MOST {
        return all;
    }
    let decisive = model.edges.iter().filter(|edge| edge.is_decisive);
    let decisive: HashSet<usize> = decisive.flat_map(|edge| [edge.from.lane, edge.to.lane]).collect();
    let is_shown = |index: &usize| is_remarkable(&model.lanes[*index]) || decisive.contains(index);
    let (remarkable, others): (Vec<usize>, Vec<usize>) = all.into_iter().partition(is_shown);
    let mut kinds: HashMap<_, Vec<usize>> = HashMap::new();
    others.into_iter().for_each(|index| kinds.entry(kind_of(&model.lanes[index])).or_default().push(index));
    let mut kinds: Vec<Vec<usize>> = kinds.into_values().collect();
    // A rare kind takes less than its share, and the others have more.
    kinds.sort_by_key(|lanes| (lanes.len(), lanes[0]));
    let mut chosen = Vec::new();
    let mut take = |lanes: &[usize], share_of: usize| {
        // Evenly from the first to the last, if not all fit.
        let taken = (MOST - chosen.len()).div_ceil(share_of).min(lanes.len());
        chosen.extend((0..taken).map(|place| lanes[place * lanes.len() / taken]));
    };
    take(&remarkable, 1);
    (0..kinds.len()).for_each(|index| take(&kinds[index], kinds.len() - index));
    chosen.sort_unstable();
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
fn kind_of<'a>(lane: &'a Lane<'a>) -> impl Eq + std::hash::Hash + 'a {
    let mut seen = HashSet::new();
    let facts = lane.moments.iter().map(|moment| moment.event.fact.name());
    let firsts: Vec<&str> = facts.filter(|fact| seen.insert(*fact)).collect();
    (lane.role().map(|(role, _)| role), lane.object, firsts)
}
