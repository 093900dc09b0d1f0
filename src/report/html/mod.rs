//! A run as a page that plays it in a browser: the same lanes and things as the live view.
//!
//! One file, without a network: the style, the script and the run are in it. The run is the state before the first
//! event, and what each event changes; the script only shows it. Without scripts, the page is the timeline.

mod patch;
mod recording;

use std::io::{self, Write};

#[cfg(test)]
pub(super) use self::patch::patched;
use super::event::Event;
use super::frame::RunStarted;
use super::language::Language;
use super::timeline;

/// What every page begins with.
pub(super) const BEGINNING: &str = "<!doctype html>\n<!-- A run of ipc-demo";

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Writes the page of the rest of a run of which events were dropped.
pub(super) fn write_rest(events: &[Event], forgotten: u64, language: Language, out: &mut dyn Write) -> io::Result<()> {
    let timeline = timeline::draw_rest(events, forgotten, language);
    // In HTML, the namespace is known.
    let timeline = timeline.replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
    let run = recording::of(events, forgotten, language);
    let title = events.iter().find_map(Event::get::<RunStarted>).map_or("", |started| started.scenario);
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    let mut pieces = PAGE.split("{{");
    out.write_all(pieces.next().unwrap_or_default().as_bytes())?;
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").expect("the page is a constant");
        out.write_all(
            match name {
                "lang" => language.pick("en", "zh-Hans"),
                "title" => &title,
                "style" => STYLE,
                "script" => SCRIPT,
                "timeline" => &timeline,
                "run" => &run,
                other => unreachable!("{other} is not in the page"),
            }
            .as_bytes(),
        )?;
        out.write_all(rest.as_bytes())?;
    }
    Ok(())
}
