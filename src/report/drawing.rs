//! The common parts of all pictures: the style, the shapes, and text that fits its place and is valid XML.

use svg::Document;
use svg::node::element::{Circle, Group, Line, Rectangle, Style, Text, Title};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Fonts, colours and their dark variants: the style sheet of every picture.
const STYLE: &str = include_str!("drawing.css");

/// Returns an empty picture of this size, with a title for screen readers, and with `style` after the common style
/// sheet.
pub(crate) fn document(width: f64, height: f64, title: &str, style: &str) -> Document {
    let (width, height) = (width as u32, height as u32);
    Document::new()
        .set("viewBox", (0, 0, width, height))
        .set("width", width)
        .set("height", height)
        .set("role", "img")
        .add(Title::new(clean(title)))
        .add(Style::new(format!("{STYLE}{style}")))
}

/// Returns the background of a picture.
pub(crate) fn background() -> Rectangle {
    Rectangle::new().set("class", "paper").set("width", "100%").set("height", "100%")
}

/// Returns a straight line.
pub(crate) fn line(class: &str, from: (f64, f64), to: (f64, f64)) -> Line {
    let line = Line::new().set("class", class).set("x1", px(from.0)).set("y1", px(from.1));
    line.set("x2", px(to.0)).set("y2", px(to.1))
}

/// Returns a rectangle, given its upper left corner.
pub(crate) fn rectangle(class: &str, x: f64, y: f64, width: f64, height: f64) -> Rectangle {
    let rectangle = Rectangle::new().set("class", class).set("x", px(x)).set("y", px(y));
    rectangle.set("width", px(width)).set("height", px(height))
}

/// Returns a circle.
pub(crate) fn circle(class: &str, x: f64, y: f64, radius: f64) -> Circle {
    Circle::new().set("class", class).set("cx", px(x)).set("cy", px(y)).set("r", px(radius))
}

/// Rounds to a tenth of a pixel, which is precise enough, and short.
pub(crate) fn px(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

/// Returns the approximate width of a text: the viewer's fonts are unknown.
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    text.width() as f64 * size * 0.58
}

/// Returns as much of a text as fits.
pub(crate) fn cut(text: &str, width: f64, size: f64) -> String {
    if width_of(text, size) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    for letter in text.chars() {
        kept.push(letter);
        if width_of(&kept, size) + size > width {
            break;
        }
    }
    kept + "…"
}

/// Returns a line of text.
pub(crate) fn text(class: &str, x: f64, y: f64, content: &str) -> Text {
    let text = Text::new(clean(content)).set("x", px(x)).set("y", px(y));
    if class.is_empty() { text } else { text.set("class", class) }
}

/// Returns a group with a tooltip.
pub(crate) fn labelled(tooltip: &str) -> Group {
    Group::new().add(Title::new(clean(tooltip)))
}

/// Returns the text without control characters, which XML cannot contain.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

/// Shortens a sentence about data of any length to at most this many columns.
pub(crate) fn fitted(mut sentence: String, most_columns: usize) -> String {
    let mut columns = 0;
    let over = sentence.char_indices().find(|(_, letter)| {
        columns += letter.width().unwrap_or(0);
        columns > most_columns
    });
    if let Some((over, _)) = over {
        sentence.truncate(over);
        sentence.pop();
        // Between words, unless that loses much of the text.
        if let Some(space) = sentence.rfind(' ').filter(|space| *space > sentence.len() / 2) {
            sentence.truncate(space + 1);
        }
        sentence.push('…');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_sentences_are_cut_at_their_last_column() {
        assert_eq!(fitted("x".repeat(43), 43), "x".repeat(43));
        assert_eq!(fitted("x".repeat(100), 43), "x".repeat(42) + "…");
        assert_eq!(fitted("票".repeat(100), 43), "票".repeat(20) + "…");
        assert_eq!(fitted("shows list: [\"ann\", \"ben\"]".to_owned(), 22), "shows list: [\"ann\", …");
    }
}
