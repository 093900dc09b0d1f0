//! Notations for data: JSON, or as Python shows it.

use std::fmt::Write;

use serde_json::Value;
use unicode_width::UnicodeWidthChar;

/// A notation for data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `{"a": null}`
    Json,
    /// `{'a': None}`
    Python,
}

/// Returns a call as a programmer writes it.
pub(super) fn called(object: &str, method: &str, args: &[Value], notation: Notation) -> String {
    let args: Vec<String> = args.iter().map(|arg| literal(arg, notation)).collect();
    format!("{object}.{method}({})", args.join(", "))
}

/// Returns the data.
pub(super) fn literal(value: &Value, notation: Notation) -> String {
    let mut text = String::new();
    write(value, notation, &mut text);
    text
}

/// Shortens a sentence about data of any length to at most this many columns.
pub(in crate::report) fn fitted(mut sentence: String, most_columns: usize) -> String {
    let mut columns = 0;
    let over = sentence.char_indices().find(|(_, letter)| {
        columns += letter.width().unwrap_or(0);
        columns > most_columns
    });
    if let Some((over, _)) = over {
        sentence.truncate(over);
        sentence.pop();
        sentence.push('…');
    }
    sentence
}

fn write(value: &Value, notation: Notation, out: &mut String) {
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(item, notation, out);
            }
            out.push(']');
        }
        Value::Object(entries) => {
            out.push('{');
            for (index, (key, item)) in entries.iter().enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write(&Value::from(key.as_str()), notation, out);
                out.push_str(": ");
                write(item, notation, out);
            }
            out.push('}');
        }
        Value::Null if notation == Notation::Python => out.push_str("None"),
        Value::Bool(true) if notation == Notation::Python => out.push_str("True"),
        Value::Bool(false) if notation == Notation::Python => out.push_str("False"),
        // Python prefers single quotes where there are none inside.
        Value::String(text) if notation == Notation::Python && !text.contains(['\'', '\\']) => {
            // Writing to a string does not fail.
            let _ = write!(out, "'{text}'");
        }
        other => {
            let _ = write!(out, "{other}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_notation_is_the_one_of_its_language() {
        let value = json!({"a": [1, true, null], "it's": 0.5});
        assert_eq!(literal(&value, Notation::Json), r#"{"a": [1, true, null], "it's": 0.5}"#);
        assert_eq!(literal(&value, Notation::Python), r#"{'a': [1, True, None], "it's": 0.5}"#);
        assert_eq!(literal(&json!({}), Notation::Python), "{}");
    }

    #[test]
    fn long_sentences_are_cut_at_their_last_column() {
        assert_eq!(fitted("x".repeat(43), 43), "x".repeat(43));
        assert_eq!(fitted("x".repeat(100), 43), "x".repeat(42) + "…");
        assert_eq!(fitted("票".repeat(100), 43), "票".repeat(20) + "…");
    }

    #[test]
    fn calls_read_like_code() {
        let args = [json!("a"), json!("a")];
        assert_eq!(called("dict", "set_item", &args, Notation::Python), "dict.set_item('a', 'a')");
    }
}
