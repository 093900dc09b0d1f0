//! Where things stand on the picture.

use super::lane::cause_of_death;
use crate::report::drawing::width_of;
use crate::report::event::Fact;
use crate::report::language::Language;
use crate::report::spans::{Lane, Part, Story};

/// Of the picture, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Around everything.
pub(super) const MARGIN: f64 = 28.0;
/// All lanes together are about so high, unless each would be higher than [`HIGHEST`] or lower than [`LOWEST`].
const LANES_HEIGHT: f64 = 1_080.0;
const HIGHEST: f64 = 38.0;
const LOWEST: f64 = 5.0;
/// A few lanes with arrows between them stand further apart, so that the arrows can be seen.
const FEW_LANES_HEIGHT: f64 = 300.0;
const FURTHEST: f64 = 96.0;
/// The least distance of two names.
const NAMES_APART: f64 = 10.5;
/// Below the lanes: the axis, and the footnotes.
const BELOW: f64 = 72.0;
const WIDEST_NAME: f64 = 150.0;
/// Size of the words that are not to be read first.
pub(super) const SMALL: f64 = 10.5;

/// The plan of a picture: time goes to the right, lanes go down.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) height: f64,
    pub(super) top: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    /// From the middle of a lane to the middle of the next.
    pub(super) pitch: f64,
    pub(super) ended_us: f64,
    /// The row of each lane of the story; none if it is not drawn.
    rows: Vec<Option<usize>>,
    row_count: usize,
}

impl Frame {
    pub(super) fn of(story: &Story<'_>, language: Language, header_height: f64) -> Self {
        let mut row_count = 0;
        let row = |lane: &Lane<'_>| {
            let row = is_drawn(lane).then_some(row_count);
            row_count += usize::from(row.is_some());
            row
        };
        let rows: Vec<Option<usize>> = story.lanes.iter().map(row).collect();
        let count = row_count.max(1) as f64;
        let apart = (FEW_LANES_HEIGHT / count).clamp(HIGHEST, FURTHEST);
        let highest = if story.flows.is_empty() { HIGHEST } else { apart };
        let pitch = (LANES_HEIGHT / count).clamp(LOWEST, highest);
        let names = story.lanes.iter().filter(|lane| is_drawn(lane));
        let widest = names.map(|lane| width_of(&language.name(lane.name), name_size(pitch))).fold(0.0, f64::max);
        let top = header_height + 14.0;
        let left = MARGIN + widest.min(WIDEST_NAME) + 18.0;
        let ended_us = story.ended_us.max(1.0);
        // Beside a death stands its cause, also beside one at the very end.
        let causes = story.lanes.iter().filter(|_| is_roomy(pitch)).filter_map(|lane| {
            let (after, cause) = (1.0 - lane.ended_us / ended_us, cause_of_death(lane, language)?);
            Some(width_of(&cause, SMALL) + 12.0 - after * (WIDTH - MARGIN - left))
        });
        let room_at_the_end = causes.fold(0.0, f64::max);
        Frame {
            height: (top + pitch * row_count as f64 + BELOW).round(),
            top,
            left,
            right: WIDTH - MARGIN - room_at_the_end,
            pitch,
            ended_us,
            rows,
            row_count,
        }
    }

    pub(super) fn x(&self, at_us: f64) -> f64 {
        self.left + (self.right - self.left) * (at_us / self.ended_us).clamp(0.0, 1.0)
    }

    /// The middle of a lane of the story, if it is drawn.
    pub(super) fn y(&self, lane: usize) -> Option<f64> {
        self.rows[lane].map(|row| self.top + self.pitch * (row as f64 + 0.5))
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.pitch * self.row_count as f64
    }

    /// How high the bars of a lane are that stand above each other on so many tracks.
    pub(super) fn bar(&self, tracks: usize) -> f64 {
        match tracks {
            1 => (self.pitch * 0.6).min(20.0),
            _ => (self.pitch * 0.75).min(15.0 * tracks as f64),
        }
    }

    /// The size of a lane's name.
    pub(super) fn name_size(&self) -> f64 {
        name_size(self.pitch)
    }

    /// Whether a lane has its name, or is too close to one that has.
    pub(super) fn is_named(&self, lane: usize) -> bool {
        let every = (NAMES_APART / self.pitch).ceil() as usize;
        self.rows[lane].is_some_and(|row| row.is_multiple_of(every))
    }

    /// Whether there is room for words beside what is drawn on a lane.
    pub(super) fn is_roomy(&self) -> bool {
        is_roomy(self.pitch)
    }
}

fn is_roomy(pitch: f64) -> bool {
    pitch >= 15.0
}

fn name_size(pitch: f64) -> f64 {
    pitch.clamp(9.0, 13.0)
}

/// The runner has a lane only if it took part.
fn is_drawn(lane: &Lane<'_>) -> bool {
    let is_frame = |fact: &Fact| matches!(fact, Fact::RunStarted { .. } | Fact::Summary { .. });
    lane.part != Part::Runner || lane.moments.iter().any(|moment| !is_frame(&moment.event.fact))
}
