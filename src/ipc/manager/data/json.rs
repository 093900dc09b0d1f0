//! Data as JSON, for scripts and for display.
//!
//! Shapes that JSON lacks are objects with one key that begins with `$`: `{"$bytes": "00ff"}` (hexadecimal),
//! `{"$float": "nan"}`, `{"$dict": [[key, value], …]}` for keys that are not strings, `{"$tagged": [tag, items]}`, and
//! `{"$object": 7, "kind": "dict"}` for a reference, which cannot be read back: a number alone gives no access to an
//! object.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::{Int, Key, Map, Tagged, Variant};

/// Why a string is not valid data.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// It is not JSON.
    #[error("not well-formed JSON")]
    Malformed(#[from] serde_json::Error),
    /// It contains an integer that does not fit.
    #[error("the whole number {0} does not fit 64 bits")]
    Beyond64Bits(String),
    /// One of this module's forms is malformed.
    #[error("malformed {0} form")]
    BadForm(&'static str),
}

/// Only these keys of an object are forms, and only alone.
const FORMS: [&str; 5] = ["$bytes", "$float", "$dict", "$tagged", "$object"];

impl Variant {
    /// Converts the data to JSON.
    pub fn to_json(&self) -> Value {
        let list = |items: &[Variant]| items.iter().map(Variant::to_json).collect::<Vec<_>>();
        match self {
            Variant::Null => Value::Null,
            Variant::Bool(yes) => json!(yes),
            Variant::Int(number) => match u64::try_from(number.get()) {
                Ok(number) => json!(number),
                // A number that is not a u64 is a negative i64.
                Err(_) => json!(number.get() as i64),
            },
            Variant::Float(number) if number.is_finite() => json!(number),
            Variant::Float(number) => json!({"$float": number.to_string().to_lowercase()}),
            Variant::Str(text) => json!(text),
            Variant::Bytes(bytes) => json!({"$bytes": to_hex(bytes)}),
            Variant::List(items) => list(items).into(),
            Variant::Dict(map) if map.iter().all(|(key, _)| key.as_str().is_some_and(|key| !key.starts_with('$'))) => {
                let entry =
                    |(key, variant): (&Key, &Variant)| (key.as_str().unwrap_or_default().to_owned(), variant.to_json());
                Value::Object(map.iter().map(entry).collect())
            }
            Variant::Dict(map) => {
                let pair = |(key, variant): (&Key, &Variant)| json!([key.as_datum().to_json(), variant.to_json()]);
                json!({"$dict": map.iter().map(pair).collect::<Value>()})
            }
            Variant::Object(reference) => json!({"$object": reference.id().0, "kind": reference.kind().name()}),
            Variant::Tagged(tagged) => json!({"$tagged": [tagged.tag, list(&tagged.items)]}),
        }
    }

    /// Parses data from JSON text.
    ///
    /// # Errors
    /// [`JsonError`], in particular for an integer beyond 64 bits, which is not rounded.
    pub fn from_json(text: &str) -> Result<Variant, JsonError> {
        let value: Value = serde_json::from_str(text)?;
        if let Some(number) = too_large_number(text) {
            return Err(JsonError::Beyond64Bits(number.to_owned()));
        }
        from_value(value)
    }
}

fn from_value(value: Value) -> Result<Variant, JsonError> {
    Ok(match value {
        Value::Null => Variant::Null,
        Value::Bool(yes) => Variant::Bool(yes),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Variant::from(number),
            (_, Some(number)) => Variant::from(number),
            _ => Variant::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Variant::Str(text),
        Value::Array(items) => from_values(items)?.into(),
        Value::Object(mut object) => match FORMS.into_iter().find(|form| object.contains_key(*form)) {
            Some(form) if object.len() == 1 => from_form(form, object.remove(form).unwrap_or_default())?,
            Some(form) => return Err(JsonError::BadForm(form)),
            None => {
                let entry = |(key, value)| Ok((Key::from(key), from_value(value)?));
                object.into_iter().map(entry).collect::<Result<Map, JsonError>>()?.into()
            }
        },
    })
}

fn from_values(values: Vec<Value>) -> Result<Vec<Variant>, JsonError> {
    values.into_iter().map(from_value).collect()
}

fn from_form(form: &'static str, content: Value) -> Result<Variant, JsonError> {
    let bad = || JsonError::BadForm(form);
    Ok(match form {
        "$bytes" => content.as_str().and_then(from_hex).map(Variant::Bytes).ok_or_else(bad)?,
        "$float" => Variant::Float(content.as_str().and_then(|number| number.parse().ok()).ok_or_else(bad)?),
        "$dict" => {
            let pairs: Vec<(Value, Value)> = serde_json::from_value(content).map_err(|_| bad())?;
            let entry = |(key, value)| Ok((Key::try_from(from_value(key)?).map_err(|_| bad())?, from_value(value)?));
            pairs.into_iter().map(entry).collect::<Result<Map, JsonError>>()?.into()
        }
        "$tagged" => {
            let (tag, items) = serde_json::from_value(content).map_err(|_| bad())?;
            Variant::Tagged(Box::new(Tagged { tag, items: from_values(items)? }))
        }
        _ => return Err(bad()),
    })
}

/// Returns the first integer in JSON text that fits neither 64 signed nor 64 unsigned bits: the parser would round it.
fn too_large_number(mut text: &str) -> Option<&str> {
    let is_too_large = |number: &str| {
        !number.contains(['"', '.', 'e', 'E'])
            && !number.parse().is_ok_and(|number: i128| Int::try_from(number).is_ok())
    };
    // At every string and number: what is inside a string is none.
    while let Some(begin) = text.find(|char| matches!(char, '"' | '-' | '0'..='9')) {
        let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<&RawValue>();
        let value = values.next()?.ok()?.get();
        if is_too_large(value) {
            return Some(value);
        }
        text = &text[begin + value.len()..];
    }
    None
}

fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, []) = text.as_bytes().as_chunks() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_does_not_have_comes_back_the_same() {
        let text = r#"{"a":[1,-2,18446744073709551615,0.5,null,true],"b":{"$bytes":"00ff"},"c":{"$float":"inf"},"d":{"$dict":[[1,"one"],["$x",2]]},"e":{"$tagged":["tuple",[1]]}}"#;
        assert_eq!(Variant::from_json(text).expect("well-formed").to_json().to_string(), text);
    }

    #[test]
    fn whole_numbers_beyond_64_bits_are_named() {
        for number in ["18446744073709551616", "-9223372036854775809", "99999999999999999999999999999999999999999999"] {
            let refused = Variant::from_json(&format!(r#"{{"a \" {number}": [{number}]}}"#));
            assert!(matches!(refused, Err(JsonError::Beyond64Bits(named)) if named == number));
        }
        assert!(Variant::from_json(r#"["99999999999999999999", 1e30, -9223372036854775808]"#).is_ok());
    }
}
