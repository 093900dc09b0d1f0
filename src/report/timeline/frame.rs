//! The layout of the picture.

use super::lane::cause_of_death;
use super::rows;
use crate::report::class::SpanKind;
use crate::report::drawing::width_of;
use crate::report::frame::RunStarted;
use crate::report::language::Language;
use crate::report::model::{Lane, LaneKind, Moment, RunModel, Span};

/// Width of the picture, in pixels.
pub(super) const WIDTH: f64 = 960.0;
/// Margin around everything.
pub(super) const MARGIN: f64 = 28.0;
/// Approximate height of all lanes, unless each would be higher than [`HIGHEST`] or lower than [`LOWEST`].
const LANES_HEIGHT: f64 = 1_080.0;
const HIGHEST: f64 = 38.0;
const LOWEST: f64 = 5.0;
/// A few lanes with arrows between them are further apart, so that the arrows are visible.
const FEW_LANES_HEIGHT: f64 = 300.0;
const FURTHEST: f64 = 96.0;
/// The minimum distance between two names.
const NAMES_APART: f64 = 10.5;
/// Height below the lanes: the axis, and the footnotes.
const BELOW: f64 = 72.0;
const WIDEST_NAME: f64 = 210.0;
/// Font size of secondary text.
pub(super) const SMALL: f64 = 10.5;

/// The maximum share of the width before the first event: starting processes takes long.
const LONGEST_PRELUDE: f64 = 0.4;
/// The width below which something is not drawn at all, in pixels.
const VISIBLE: f64 = 0.3;
/// The width below which an activity is hidden by a dot or a cross at its end.
const MARKER: f64 = 4.0;

/// The layout of a picture: time goes to the right, lanes go down.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub(super) model: &'a RunModel<'a>,
    pub(super) language: Language,
    pub(super) height: f64,
    pub(super) top: f64,
    pub(super) left: f64,
    pub(super) right: f64,
    /// Distance between the middles of two lanes.
    pub(super) pitch: f64,
    /// The time at the left edge.
    pub(super) from_us: f64,
    pub(super) ended_us: f64,
    /// The number of processes not shown.
    pub(super) hidden: usize,
    /// The activities that are visible somewhere.
    pub(super) shows: Vec<SpanKind>,
    /// The lanes that are drawn, one per row, with their indices in the model.
    pub(super) lanes: Vec<(usize, &'a Lane<'a>)>,
}

impl<'a> Frame<'a> {
    /// Returns the layout of a model, without a heading.
    pub(super) fn of(model: &'a RunModel<'a>, language: Language) -> Self {
        let lanes: Vec<_> = rows::chosen(model).into_iter().map(|index| (index, &model.lanes[index])).collect();
        let count = lanes.len().max(1) as f64;
        let apart = (FEW_LANES_HEIGHT / count).clamp(HIGHEST, FURTHEST);
        let highest = if model.edges.is_empty() { HIGHEST } else { apart };
        let pitch = (LANES_HEIGHT / count).clamp(LOWEST, highest);
        let is_worker = |lane: &&Lane<'_>| lane.lane_kind != LaneKind::Runner;
        let mut frame = Frame {
            model,
            language,
            height: (pitch * lanes.len() as f64 + BELOW).round(),
            top: 0.0,
            left: MARGIN,
            right: WIDTH - MARGIN,
            pitch,
            from_us: 0.0,
            ended_us: model.ended_us.max(1.0),
            hidden: 0,
            shows: Vec::new(),
            lanes,
        };
        frame.hidden = model.lanes.iter().filter(is_worker).count() - frame.drawn().filter(is_worker).count();
        frame.from_us = from_us(frame.drawn(), frame.ended_us);
        let names = frame.drawn().map(|lane| width_of(&frame.name_of(lane), frame.name_size()));
        frame.left = MARGIN + names.fold(0.0, f64::max).min(WIDEST_NAME) + 18.0;
        // The cause of a death is written next to it, even at the very end.
        let causes = frame.drawn().filter(|_| frame.is_roomy()).filter_map(|lane| {
            let room = frame.right - frame.x(lane.ended_us);
            Some(width_of(&cause_of_death(lane, language)?, SMALL) + 12.0 - room)
        });
        frame.right -= causes.fold(0.0, f64::max);
        let kinds = [SpanKind::Waiting, SpanKind::Holding, SpanKind::Working];
        frame.shows = kinds.into_iter().filter(|kind| frame.is_visible(*kind)).collect();
        frame
    }

    /// Returns whether any activity of this kind is visible.
    fn is_visible(&self, kind: SpanKind) -> bool {
        let is_wide = |lane: &Lane<'_>, span: &Span<'_>| {
            let width = self.x(span.to_us) - self.x(span.from_us);
            width >= if lane.is_marked(span.from_us) || lane.is_marked(span.to_us) { MARKER } else { VISIBLE }
        };
        self.drawn().any(|lane| lane.spans.iter().any(|span| span.kind == kind && is_wide(lane, span)))
    }

    /// Moves the layout below a heading.
    pub(super) fn below(self, heading_height: f64) -> Self {
        let top = heading_height + 14.0;
        Frame { top, height: (self.height + top).round(), ..self }
    }

    pub(super) fn drawn(&self) -> impl Iterator<Item = &'a Lane<'a>> {
        self.lanes.iter().map(|(_, lane)| *lane)
    }

    pub(super) fn x(&self, at_us: f64) -> f64 {
        let share = (at_us - self.from_us) / (self.ended_us - self.from_us);
        self.left + (self.right - self.left) * share.clamp(0.0, 1.0)
    }

    /// Returns a lane's name.
    pub(super) fn name_of(&self, lane: &Lane<'_>) -> String {
        let name = self.name(lane.name);
        match lane.object.filter(|_| self.model.has_objects()) {
            Some(object) => format!("{object} {name}"),
            None => name,
        }
    }

    /// Returns the display name of a worker or a thing.
    pub(super) fn name(&self, name: &str) -> String {
        self.language.name(self.model.names(), name)
    }

    /// Returns the row of a lane of the model, if it is drawn.
    pub(super) fn row(&self, lane: usize) -> Option<usize> {
        self.lanes.binary_search_by_key(&lane, |(index, _)| *index).ok()
    }

    /// Returns the vertical middle of a row.
    pub(super) fn y(&self, row: usize) -> f64 {
        self.top + self.pitch * (row as f64 + 0.5)
    }

    pub(super) fn bottom(&self) -> f64 {
        self.top + self.pitch * self.lanes.len() as f64
    }

    /// Returns the height of a lane's bars when they are stacked on this many tracks.
    pub(super) fn bar(&self, tracks: usize) -> f64 {
        match tracks {
            1 => (self.pitch * 0.6).min(20.0),
            _ => (self.pitch * 0.75).min(15.0 * tracks as f64),
        }
    }

    /// Returns the size of a lane's name.
    pub(super) fn name_size(&self) -> f64 {
        self.pitch.clamp(9.0, 13.0)
    }

    /// Returns whether the name of a row is drawn. It is omitted if it would be too close to another.
    pub(super) fn is_named(&self, row: usize) -> bool {
        row.is_multiple_of((NAMES_APART / self.pitch).ceil() as usize)
    }

    /// Returns whether there is space for text next to what is drawn on a lane.
    pub(super) fn is_roomy(&self) -> bool {
        self.pitch >= 15.0
    }
}

/// Returns the start of the picture: the start of the run, or shortly before the first event if that is late.
fn from_us<'a>(lanes: impl Iterator<Item = &'a Lane<'a>>, ended_us: f64) -> f64 {
    let is_start = |moment: &&Moment<'_>| moment.class.starts || moment.event.is::<RunStarted>();
    let moments = lanes.flat_map(|lane| &lane.moments).filter(|moment| !is_start(moment));
    let first_us = moments.map(|moment| moment.at_us).fold(ended_us, f64::min);
    if first_us <= ended_us * LONGEST_PRELUDE || first_us >= ended_us {
        return 0.0;
    }
    (first_us - (ended_us - first_us) * 0.1).max(0.0)
}
