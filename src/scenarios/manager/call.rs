//! `--call`: what scripts ask a manager for. One call, one JSON value on stdout.
//!
//! | call | what it does |
//! |---|---|
//! | `list` | all names and the types of their objects |
//! | `status` | what the manager says about itself |
//! | `create TYPE NAME [ARG…]` | makes an object with a name, or finds it |
//! | `delete NAME` | takes the name away |
//! | `NAME.METHOD [ARG…]` | calls a method |
//!
//! An argument is a JSON value, `@NAME` for a reference to that object, or else a bare word: text.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::ManagerArgs;
use super::entry::Key;
use crate::ipc::Error;
use crate::ipc::manager::{Datum, JsonError, Kind, Manager, Method, Object};
use crate::outcome::{Failure, Outcome};
use crate::report::{Fact, Pictures};

/// More names than this are not listed in a message.
const MOST_NAMES: usize = 10;

/// A call as it was typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    List,
    Status,
    Create { kind: Kind, name: String, args: Vec<Arg> },
    Delete { name: String },
    Method { name: String, method: String, args: Vec<Arg> },
}

/// An argument as it was typed.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arg {
    Data(Datum),
    /// The object of this name.
    Object(String),
}

/// Why a text is no call.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCall {
    #[error("a call is list, status, create TYPE NAME [ARG…], delete NAME, or NAME.METHOD [ARG…]")]
    Unknown,
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
    #[error("there is no type {0}: {1}")]
    UnknownType(String, String),
    #[error("{0}")]
    NoJson(JsonError),
    #[error("after a JSON value comes a space or the end, and not {0}")]
    Crowded(String),
}

impl FromStr for Call {
    type Err = BadCall;

    fn from_str(text: &str) -> Result<Self, BadCall> {
        let (first, rest) = first_word(text);
        match first {
            "list" | "status" if !rest.is_empty() => Err(BadCall::Arguments("list or status", "no arguments")),
            "list" => Ok(Call::List),
            "status" => Ok(Call::Status),
            "create" => {
                let ((kind, rest), wanted) = (first_word(rest), BadCall::Arguments("create", "a type and a name"));
                let (name, rest) = first_word(rest);
                if name.is_empty() {
                    return Err(wanted);
                }
                let found = Kind::by_name(&kind.replace('-', ""));
                let types = || super::TYPES[..super::TYPES.len() - 1].join(", ");
                let kind = found.ok_or_else(|| BadCall::UnknownType(kind.to_owned(), types()))?;
                Ok(Call::Create { kind, name: name.to_owned(), args: args(rest)? })
            }
            "delete" => match first_word(rest) {
                ("", _) => Err(BadCall::Arguments("delete", "a name")),
                (name, "") => Ok(Call::Delete { name: name.to_owned() }),
                _ => Err(BadCall::Arguments("delete", "one name")),
            },
            first => {
                // A name may have dots, a method has none.
                let (name, method) = first.rsplit_once('.').ok_or(BadCall::Unknown)?;
                if name.is_empty() || method.is_empty() {
                    return Err(BadCall::Unknown);
                }
                Ok(Call::Method { name: name.to_owned(), method: method.to_owned(), args: args(rest)? })
            }
        }
    }
}

/// The text up to the first space, and what comes after it.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn args(mut rest: &str) -> Result<Vec<Arg>, BadCall> {
    let mut args = Vec::new();
    while !rest.is_empty() {
        let piece;
        if rest.starts_with(['{', '[', '"']) {
            // A value with spaces in it: its end is where JSON says.
            let mut values = serde_json::Deserializer::from_str(rest).into_iter::<serde::de::IgnoredAny>();
            let value = values.next().transpose();
            value.map_err(|error| BadCall::NoJson(JsonError::from(error)))?;
            let end = values.byte_offset();
            piece = &rest[..end];
            rest = &rest[end..];
            if !rest.is_empty() && !rest.starts_with(char::is_whitespace) {
                return Err(BadCall::Crowded(first_word(rest).0.to_owned()));
            }
            rest = rest.trim_start();
            args.push(Arg::Data(Datum::from_json(piece).map_err(BadCall::NoJson)?));
            continue;
        }
        (piece, rest) = first_word(rest);
        args.push(match (piece.strip_prefix('@'), Datum::from_json(piece)) {
            (Some(name), _) => Arg::Object(name.to_owned()),
            (None, Ok(datum)) => Arg::Data(datum),
            (None, Err(JsonError::Malformed(_))) => Arg::Data(Datum::from(piece)),
            (None, Err(error)) => return Err(BadCall::NoJson(error)),
        });
    }
    Ok(args)
}

/// Does the calls one after the other, over one connection, and prints what each comes to.
pub(super) fn run(args: &ManagerArgs, pictures: &Pictures) -> Result<Outcome, Failure> {
    if pictures.are_wanted() {
        return Err(Failure::Unusable(anyhow!("a call is no run of a scenario: it has nothing to draw")));
    }
    let (manager, mut out) = (connect(args).map_err(Failure::Unusable)?, io::stdout());
    for call in &args.call {
        let answer = manager.answer(call, args.timeout)?;
        match writeln!(out, "{answer}").and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::ReaderGone),
            written => written.context("cannot write to stdout").map_err(failed)?,
        }
    }
    Ok(Outcome::Fine)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::Machinery(Outcome::MachineryFailed, vec![error])
}

fn connect(args: &ManagerArgs) -> anyhow::Result<Caller> {
    let key = Key::read(args.authkey_file.as_deref().context("a call needs a key")?)?;
    if let Some(Fact::KeyExposed { file }) = key.warning() {
        // With stderr closed nobody wanted to be warned.
        let _ = writeln!(io::stderr(), "warning: other users can read {file} (chmod 600 {file})");
    }
    Ok(Caller(key.connect(args.connect.as_ref().context("a call needs an address")?)?))
}

/// Somebody who calls by name.
struct Caller(Manager);

impl Caller {
    fn answer(&self, call: &Call, timeout: Option<Duration>) -> Result<Value, Failure> {
        Ok(match call {
            Call::List => {
                let names = self.0.names().map_err(unanswered)?;
                Value::Object(names.into_iter().map(|(name, kind)| (name, json!(kind.name()))).collect())
            }
            Call::Status => json!(self.0.status().map_err(unanswered)?),
            Call::Create { kind, name, args } => {
                let made = self.0.make_any(*kind, self.data(args)?, Some(name)).map_err(unanswered)?;
                Datum::from(made.reference()).to_json()
            }
            Call::Delete { name } => {
                self.lookup(name)?;
                self.0.unname(name).map_err(unanswered)?;
                Value::Null
            }
            Call::Method { name, method, args } => {
                let object = self.lookup(name)?;
                let method = method_of(object.kind(), method).map_err(Failure::Unusable)?;
                let args = self.data(args)?;
                let patience = if object.kind().may_wait(method) { timeout } else { Some(Duration::ZERO) };
                match object.call_by_name(method, args, patience).map_err(|error| unanswered_by(name, error))? {
                    Some(answer) => answer.to_json(),
                    None if method == Method::Acquire => Value::from(false),
                    None => return Err(failed(anyhow!("{name}.{method}: the time passed first"))),
                }
            }
        })
    }

    fn data(&self, args: &[Arg]) -> Result<Vec<Datum>, Failure> {
        let data = |arg: &Arg| match arg {
            Arg::Data(datum) => Ok(datum.clone()),
            Arg::Object(name) => Ok(self.lookup(name)?.reference().into()),
        };
        args.iter().map(data).collect()
    }

    fn lookup(&self, name: &str) -> Result<Object, Failure> {
        self.0.lookup_any(name).map_err(|error| match error {
            Error::Managed { .. } => match self.0.names() {
                Ok(names) => Failure::Unusable(anyhow!("there is no object of the name {name} ({})", known(&names))),
                Err(error) => unanswered(error),
            },
            error => unanswered(error),
        })
    }
}

fn known(names: &[(String, Kind)]) -> String {
    let first: Vec<&str> = names.iter().take(MOST_NAMES).map(|(name, _)| name.as_str()).collect();
    match names.len() {
        0 => "nothing has a name yet: create TYPE NAME".to_owned(),
        count if count > MOST_NAMES => format!("there are {}, and {} more", first.join(", "), count - MOST_NAMES),
        _ => format!("there are {}", first.join(", ")),
    }
}

/// The method of a name in any of its spellings, Python's among them: `get_item`, `getitem`, `__getitem__`.
fn method_of(kind: Kind, name: &str) -> anyhow::Result<Method> {
    let plain = |name: &str| name.replace('_', "");
    let by_name = |name: &str| kind.methods().into_iter().find(|method| plain(&method.to_string()) == plain(name));
    let short = match name {
        "get" => "get_item",
        "set" => "set_item",
        "del" => "del_item",
        "push" => "append",
        _ => name,
    };
    by_name(name).or_else(|| by_name(short)).ok_or_else(|| {
        let methods: Vec<String> = kind.methods().iter().map(Method::to_string).collect();
        anyhow!("a {kind} has no method {name} (it has {})", methods.join(", "))
    })
}

/// What the manager refused was not done, and is the caller's to correct; anything else is the machinery's.
fn unanswered(error: Error) -> Failure {
    match error {
        Error::Managed { .. } | Error::ForeignReference | Error::TooLong { .. } => Failure::Unusable(error.into()),
        error => failed(error.into()),
    }
}

fn unanswered_by(name: &str, error: Error) -> Failure {
    match error {
        Error::Managed { source, .. } => Failure::Unusable(anyhow!("{name}: {source}")),
        error => unanswered(error),
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
        match Datum::from_json(json).expect("JSON") {
            Datum::List(items) => items.into_iter().map(Arg::Data).collect(),
            _ => panic!("a list"),
        }
    }

    #[test]
    fn calls_are_read_as_they_are_documented() {
        assert_eq!(parsed(" list "), Call::List);
        assert_eq!(parsed("status"), Call::Status);
        assert_eq!(parsed("delete shop"), Call::Delete { name: "shop".into() });
        let jobs = Call::Create { kind: Kind::JoinableQueue, name: "jobs".into(), args: data("[5]") };
        assert_eq!(parsed("create joinable-queue jobs 5"), jobs);
        let Call::Method { name, method, args } = parsed("eu.shop.items") else { panic!("a method") };
        assert_eq!((name.as_str(), method.as_str(), args.len()), ("eu.shop", "items", 0));
    }

    #[test]
    fn arguments_are_json_or_words_or_objects() {
        assert_eq!(args_of("tickets 3"), data(r#"["tickets", 3]"#));
        assert_eq!(args_of("-3 0.5 true null -x 3x"), data(r#"[-3, 0.5, true, null, "-x", "3x"]"#));
        assert_eq!(args_of(r#"{"a b": [1, 2]}  "c d" [ ]"#), data(r#"[{"a b": [1, 2]}, "c d", []]"#));
        assert_eq!(args_of(r#"@other "@text""#), [Arg::Object("other".into()), data(r#"["@text"]"#).remove(0)]);
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
            ("delete", "a name"),
            ("delete a b", "one name"),
            ("shop.set {\"a\": 1", "well-formed"),
            ("shop.set \"a\"b", "and not b"),
            ("shop.set 18446744073709551616", "64 bits"),
            ("shop.set {\"$object\":1}", "$object"),
        ] {
            let refused = text.parse::<Call>().expect_err(text).to_string();
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn methods_have_python_s_names_too() {
        for (kind, name, method) in [
            (Kind::Dict, "set", Method::SetItem),
            (Kind::Dict, "get", Method::Get),
            (Kind::Dict, "__setitem__", Method::SetItem),
            (Kind::Dict, "setdefault", Method::SetDefault),
            (Kind::List, "get", Method::GetItem),
            (Kind::Value, "set", Method::Set),
            (Kind::Event, "set", Method::Set),
            (Kind::Queue, "get", Method::Get),
            (Kind::List, "push", Method::Append),
        ] {
            assert_eq!(method_of(kind, name).expect(name), method);
        }
        let refused = method_of(Kind::Event, "put").expect_err("no method").to_string();
        assert!(refused.contains("a Event has no method put (it has is_set, set, clear, wait"), "{refused}");
    }
}
