//! Text that follows the width of the terminal: rows of cells, and lines of words.

use unicode_width::UnicodeWidthStr;

use super::text::{folded, pieces};

/// Lays padded cells out next to each other, each with its width. Those for which the line has no room continue below,
/// after `indent` spaces, where those of every other row with the same widths do.
pub(crate) fn row(cells: impl IntoIterator<Item = (String, usize)>, indent: usize, columns: usize) -> String {
    let (mut text, mut used) = (String::new(), 0);
    for (cell, width) in cells {
        if used > 0 && used + width > columns {
            text = format!("{}\n{}", text.trim_end(), " ".repeat(indent));
            used = indent;
        }
        text += &cell;
        used += width;
    }
    text.truncate(text.trim_end().len());
    text + "\n"
}

/// Breaks a line between words. `indent` begins all lines but the first.
pub(crate) fn fold(line: &str, indent: &str, columns: usize) -> String {
    folded(pieces(line), columns, indent).join("\n")
}

/// Returns the text with spaces after it.
pub(crate) fn padded(text: &str, width: usize) -> (String, usize) {
    (format!("{text}{}", " ".repeat(width.saturating_sub(text.width()))), width)
}

/// Returns the text with spaces before it.
pub(crate) fn behind(text: &str, width: usize) -> (String, usize) {
    (format!("{}{text}", " ".repeat(width.saturating_sub(text.width()))), width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_without_room_continue_below() {
        let row = |columns| row([padded("one", 5), behind("2", 5), padded("three", 6)], 2, columns);
        assert_eq!(row(80), "one      2three\n");
        assert_eq!(row(15), "one      2\n  three\n");
        assert_eq!(row(8), "one\n      2\n  three\n");
    }
}
