//! The text of a call.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::de::IgnoredAny;

use crate::manager::{JsonError, Kind, Variant};

/// The types by their command-line names, in the order of the demonstration.
pub(in super::super) const TYPES: [&str; 14] = [
    "list",
    "dict",
    "namespace",
    "lock",
    "rlock",
    "semaphore",
    "bounded-semaphore",
    "condition",
    "event",
    "barrier",
    "queue",
    "value",
    "array",
    "joinable-queue",
];

/// Returns the type of a command-line name.
pub(in super::super) fn kind_named(name: &str) -> Option<Kind> {
    Kind::by_name(&name.replace('-', ""))
}

/// A parsed call.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Call {
    List,
    Status,
    /// `typed` is the name of the type as it was typed.
    Create {
        kind: Kind,
        typed: String,
        name: String,
        args: Vec<Arg>,
    },
    Delete {
        name: String,
    },
    Method {
        name: String,
        method: String,
        args: Vec<Arg>,
    },
}

/// The call in messages, without its arguments.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Call::List => f.write_str("list"),
            Call::Status => f.write_str("status"),
            Call::Create { name, .. } => write!(f, "create {name}"),
            Call::Delete { name } => write!(f, "delete {name}"),
            Call::Method { name, method, .. } => write!(f, "{name}.{method}"),
        }
    }
}

/// A parsed argument.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Arg {
    Data(Variant),
    /// The object of this name.
    Object(String),
}

/// The forms of a call.
const FORMS: &str = "a call is list, status, create TYPE NAME [ARG…], delete NAME, or NAME.METHOD [ARG…]";

/// Returns a message that describes what is wrong with the JSON.
fn not_json(error: impl Into<JsonError>) -> anyhow::Error {
    anyhow!("{:#}", anyhow::Error::new(error.into()))
}

impl FromStr for Call {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut rest = Rest(text.trim());
        if rest.0.starts_with('"') {
            let name = rest.quoted()?;
            rest.0 = rest.0.strip_prefix('.').context(FORMS)?;
            let method = rest.word();
            return rest.method_call(&name, method);
        }
        match rest.word() {
            "list" => rest.end(Call::List, "list takes no arguments"),
            "status" => rest.end(Call::Status, "status takes no arguments"),
            "create" => {
                let typed = rest.word().to_owned();
                ensure!(!rest.0.is_empty(), "create takes a type and a name");
                let unknown = || format!("there is no type {typed:?} (there are: {})", TYPES.join(", "));
                let kind = kind_named(&typed).with_context(unknown)?;
                Ok(Call::Create { kind, typed, name: rest.name()?, args: rest.args()? })
            }
            "delete" if rest.0.is_empty() => bail!("delete takes a name"),
            "delete" => {
                let name = rest.name()?;
                rest.end(Call::Delete { name }, "delete takes one name (with spaces in it: \"my shop\")")
            }
            first => {
                // A name may have dots, a method has none.
                let (name, method) = first.rsplit_once('.').context(FORMS)?;
                rest.method_call(name, method)
            }
        }
    }
}

/// What is left of the text; it does not begin with a space.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    /// Takes everything up to the next space.
    fn word(&mut self) -> &'a str {
        let (word, rest) = self.0.split_once(char::is_whitespace).unwrap_or((self.0, ""));
        self.0 = rest.trim_start();
        word
    }

    /// Takes a JSON value. It may contain spaces: its end is where JSON says.
    fn json(&mut self) -> Result<&'a str> {
        let mut values = serde_json::Deserializer::from_str(self.0).into_iter::<IgnoredAny>();
        values.next().transpose().map_err(not_json)?;
        let (value, rest) = self.0.split_at(values.byte_offset());
        self.0 = rest;
        Ok(value)
    }

    /// Takes a JSON string.
    fn quoted(&mut self) -> Result<String> {
        serde_json::from_str(self.json()?).map_err(not_json)
    }

    /// Takes the space after a JSON value.
    fn space(&mut self) -> Result<()> {
        let is_apart = self.0.is_empty() || self.0.starts_with(char::is_whitespace);
        ensure!(is_apart, "expected a space after a JSON value, found {:?}", self.word());
        self.0 = self.0.trim_start();
        Ok(())
    }

    /// Takes a name: a word or a JSON string.
    fn name(&mut self) -> Result<String> {
        let text = self.0;
        if !text.starts_with('"') {
            return Ok(self.word().to_owned());
        }
        let name = self.quoted()?;
        self.space()?;
        ensure!(!name.is_empty(), "expected a name, found {text:?}");
        Ok(name)
    }

    fn args(&mut self) -> Result<Vec<Arg>> {
        let mut args = Vec::new();
        while !self.0.is_empty() {
            args.push(self.arg()?);
        }
        Ok(args)
    }

    fn arg(&mut self) -> Result<Arg> {
        if let Some(name) = self.0.strip_prefix('@') {
            ensure!(!name.is_empty() && !name.starts_with(char::is_whitespace), "expected a name, found @");
            self.0 = name;
            return self.name().map(Arg::Object);
        }
        if self.0.starts_with(['{', '[', '"']) {
            let value = self.json()?;
            self.space()?;
            return Variant::from_json(value).map(Arg::Data).map_err(not_json);
        }
        of_word(self.word()).map(Arg::Data)
    }

    /// Takes the arguments of a method.
    fn method_call(mut self, name: &str, method: &str) -> Result<Call> {
        ensure!(!name.is_empty() && !method.is_empty(), FORMS);
        Ok(Call::Method { name: name.to_owned(), method: method.to_owned(), args: self.args()? })
    }

    /// Returns the call if no arguments are left; otherwise fails with what the call `takes`.
    fn end(self, call: Call, takes: &'static str) -> Result<Call> {
        ensure!(self.0.is_empty(), takes);
        Ok(call)
    }
}

/// Parses a bare word: a number, `true`, `false` or `null` as in JSON, otherwise text.
fn of_word(word: &str) -> Result<Variant> {
    match Variant::from_json(word) {
        Ok(variant) => Ok(variant),
        // Python reads these as numbers, and the user may have meant them as such.
        Err(JsonError::Malformed(_)) => match word.parse::<f64>() {
            Ok(number) if number.is_infinite() && word.contains(|char: char| char.is_ascii_digit()) => {
                bail!("{word} is beyond the range of a 64-bit float")
            }
            Ok(_) => bail!("{word} is not a number in JSON: write '{word:?}' if it is text"),
            Err(_) => Ok(Variant::from(word)),
        },
        Err(error) => Err(not_json(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Call {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn args_of(text: &str) -> Vec<Arg> {
        match parsed(&format!("shop.set {text}")) {
            Call::Method { name, method, args } if (name.as_str(), method.as_str()) == ("shop", "set") => args,
            other => panic!("{other:?}"),
        }
    }

    fn data(json: &str) -> Vec<Arg> {
        match Variant::from_json(json).expect("JSON") {
            Variant::List(items) => items.into_iter().map(Arg::Data).collect(),
            _ => panic!("a list"),
        }
    }

    #[test]
    fn calls_are_read_as_they_are_documented() {
        assert_eq!(parsed(" list "), Call::List);
        assert_eq!(parsed("status"), Call::Status);
        assert_eq!(parsed("delete shop"), Call::Delete { name: "shop".into() });
        let jobs = Call::Create {
            kind: Kind::JoinableQueue,
            typed: "joinable-queue".into(),
            name: "jobs".into(),
            args: data("[5]"),
        };
        assert_eq!(parsed("create joinable-queue jobs 5"), jobs);
        assert_eq!(parsed(r#"delete "my shop""#), Call::Delete { name: "my shop".into() });
        let shop = Call::Create {
            kind: Kind::Dict,
            typed: "dict".into(),
            name: "my shop".into(),
            args: data(r#"[{"a": 1}]"#),
        };
        assert_eq!(parsed(r#"create dict "my shop" {"a": 1}"#), shop);
        let get = Call::Method { name: "my.shop 1".into(), method: "get".into(), args: data(r#"["a"]"#) };
        assert_eq!(parsed(r#""my.shop 1".get a"#), get);
        let Call::Method { name, method, args } = parsed("eu.shop.items") else { panic!("a method") };
        assert_eq!((name.as_str(), method.as_str(), args.len()), ("eu.shop", "items", 0));
    }

    #[test]
    fn arguments_are_json_or_words_or_objects() {
        assert_eq!(args_of("tickets 3"), data(r#"["tickets", 3]"#));
        assert_eq!(args_of("-3 0.5 true null -x 3x"), data(r#"[-3, 0.5, true, null, "-x", "3x"]"#));
        assert_eq!(args_of(r#"{"a b": [1, 2]}  "c d" [ ]"#), data(r#"[{"a b": [1, 2]}, "c d", []]"#));
        assert_eq!(args_of(r#"@other "@text""#), [Arg::Object("other".into()), data(r#"["@text"]"#).remove(0)]);
        assert_eq!(args_of(r#"@"my shop" 1"#), [Arg::Object("my shop".into()), data("[1]").remove(0)]);
        assert_eq!(args_of("票 3"), data(r#"["票", 3]"#));
    }

    #[test]
    fn what_is_no_call_is_refused_with_what_would_be_one() {
        for (text, said) in [
            ("", "NAME.METHOD"),
            ("shop", "NAME.METHOD"),
            (".set", "NAME.METHOD"),
            ("shop.", "NAME.METHOD"),
            ("list all", "no arguments"),
            ("create dict", "a type and a name"),
            ("create set x", "joinable-queue"),
            ("create dict \"\"", "a name"),
            ("delete", "a name"),
            ("delete a b", "one name"),
            ("\"my shop\"", "NAME.METHOD"),
            ("\"my shop\".", "NAME.METHOD"),
            ("\"my shop.set a 1", "well-formed"),
            ("shop.set a @", "found @"),
            ("shop.set a @ b", "found @"),
            ("shop.set {\"a\": 1", "well-formed JSON: EOF"),
            ("shop.set \"\\x\"", "invalid escape"),
            ("shop.set \"\\ud800\"", "well-formed"),
            ("shop.set [1e999]", "out of range"),
            ("shop.set [NaN]", "well-formed"),
            ("shop.set \"a\"b", "found \"b\""),
            ("shop.set {\"$bytes\":\"00\",\"x\":1}", "$bytes"),
            ("shop.set 1 1e999", "1e999 is beyond the range"),
            ("shop.set 1 -1e999", "-1e999 is beyond the range"),
            ("shop.set 1 NaN", "write '\"NaN\"' if it is text"),
            ("shop.set 1 -inf", "-inf is not a number in JSON"),
            ("shop.set 1 .5", ".5 is not a number in JSON"),
            ("shop.set 1 007", "007 is not a number in JSON"),
            ("shop.set 1 +1", "+1 is not a number in JSON"),
            ("shop.set 18446744073709551616", "64 bits"),
            ("shop.set {\"$object\":1}", "$object"),
        ] {
            let refused = text.parse::<Call>().expect_err(text).to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }
}
