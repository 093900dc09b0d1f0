//! A run as an SVG picture: one lane per process, bars for waiting and holding, arrows for transfers, crosses for
//! deaths.
//!
//! No script, two colour schemes, and no meaning conveyed by colour alone: waiting is thin, holding is thick. The width
//! is fixed, so that it fits a page or a slide; more lanes are thinner.

mod arrows;
mod axis;
mod bars;
mod frame;
mod header;
mod lane;
mod rows;

use svg::node::element::{Definitions, Marker, Path};

use self::frame::{Frame, MARGIN, SMALL, WIDTH};
use self::header::Heading;
pub(super) use self::header::about;
use super::drawing::{background, cut, document, text, width_of};
use super::event::Event;
use super::language::Language;
use super::model::RunModel;
use super::text::command_without_pictures;
use super::wording::Known;

/// What every picture begins with.
pub(super) const BEGINNING: &str = "<svg";

/// Draws the picture of a run.
#[cfg(test)]
pub(super) fn draw(events: &[Event], language: Language) -> String {
    draw_rest(events, 0, language)
}

/// Draws the rest of a run of which events were dropped.
pub(super) fn draw_rest(events: &[Event], forgotten: u64, language: Language) -> String {
    let model = RunModel::of(events);
    let mut known = Known::default();
    events.iter().for_each(|event| known.follow(event));
    let plan = Frame::of(&model, language);
    let heading = Heading::of(&plan);
    let frame = plan.below(heading.height);
    let (arrows, hidden_arrows) = arrows::draw(&frame);
    let lanes = lane::draw_all(&frame, &known);
    let mut picture = document(WIDTH, frame.height, &heading.summary, "")
        .add(heads())
        .add(background())
        .add(heading.group)
        .add(axis::draw(&frame))
        .add(lanes.below)
        .add(arrows)
        .add(lanes.above);
    let (room, y) = (WIDTH - 2.0 * MARGIN, frame.height - 18.0);
    let hidden = [frame.hidden as u64, hidden_arrows as u64, lanes.hidden_dots as u64, forgotten];
    let command = model.started.map(command_without_pictures);
    if let Some(note) = left_out(hidden, language) {
        // A truncated command cannot be repeated: the note makes space for it.
        let needed = command.as_ref().map_or(0.0, |command| width_of(command, SMALL) + 20.0) + width_of(&note, SMALL);
        let y = if needed > room { y - 16.0 } else { y };
        picture = picture.add(text("soft tiny end", WIDTH - MARGIN, y, &note));
    }
    if let Some(command) = command {
        picture = picture.add(text("soft tiny", MARGIN, y, &cut(&command, room, SMALL)));
    }
    format!("{picture}\n")
}

/// Returns the two arrow heads: for transfers, and for recoveries from dead processes.
fn heads() -> Definitions {
    let head = |id, class| {
        let shape = Path::new().set("class", class).set("d", "M0 1 L8 4 L0 7 Z");
        Marker::new()
            .set("id", id)
            .set("viewBox", (0, 0, 8, 8))
            .set("refX", 7.5)
            .set("refY", 4)
            .set("markerWidth", 7)
            .set("markerHeight", 7)
            .set("markerUnits", "userSpaceOnUse")
            .set("orient", "auto")
            .add(shape)
    };
    Definitions::new().add(head("head", "head")).add(head("rescue-head", "rescue-head"))
}

/// What the picture does not show, for lack of space: workers, arrows, dots, events.
fn left_out(counts: [u64; 4], language: Language) -> Option<String> {
    let names = [
        ("similar worker", "similar workers", "个类似的进程"),
        ("arrow", "arrows", "个箭头"),
        ("dot", "dots", "个点"),
        ("earlier event", "earlier events", "个更早的事件"),
    ];
    let parts: Vec<String> = counts
        .into_iter()
        .zip(names)
        .filter(|(count, _)| *count > 0)
        .map(|(count, (one, many, zh))| format!("{count} {}", language.pick(if count == 1 { one } else { many }, zh)))
        .collect();
    let intro = language.pick("not shown for lack of space: ", "因空间不足未画出：");
    (!parts.is_empty()).then(|| format!("{intro}{}", parts.join(language.pick(", ", "，"))))
}
