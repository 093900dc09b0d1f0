//! What every picture is made of: the look of all, text that fits and that XML can hold.

use svg::node::element::{Group, Text, Title};
use unicode_width::UnicodeWidthStr;

/// Fonts, colours and their dark variants: the style sheet of every picture.
pub(crate) const LOOK: &str = include_str!("drawing.css");

/// A tenth of a pixel is fine enough, and short.
pub(crate) fn px(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

/// About how wide a text is: the fonts of those who look are not known.
pub(crate) fn width_of(text: &str, size: f64) -> f64 {
    text.width() as f64 * size * 0.58
}

/// As much of a text as fits.
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

/// A line of text.
pub(crate) fn text(class: &str, x: f64, y: f64, content: &str) -> Text {
    let text = Text::new(clean(content)).set("x", px(x)).set("y", px(y));
    if class.is_empty() { text } else { text.set("class", class) }
}

/// A group that says what it is when the pointer rests on it.
pub(crate) fn labelled(said: &str) -> Group {
    Group::new().add(Title::new(clean(said)))
}

/// Text as XML can hold it: without control characters.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
