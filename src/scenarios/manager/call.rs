//! `--call`: calls of a manager from scripts. One call, one JSON value on stdout.
//!
//! | call | what it does |
//! |---|---|
//! | `list` | all names and the types of their objects |
//! | `status` | the status of the manager |
//! | `create TYPE NAME [ARG…]` | creates an object with a name, or finds it |
//! | `delete NAME` | removes the name |
//! | `NAME.METHOD [ARG…]` | calls a method |
//!
//! A name is a word, or a JSON string: `"my shop".items`. An argument is a JSON value, `@NAME` for a reference to that
//! object, or otherwise a bare word: text. A word that looks like a number but is not one in JSON is rejected.

use std::io::{self, Write};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use serde_json::{Value, json};

use super::ManagerArgs;
use super::entry::Key;
use crate::Error;
use crate::manager::{JsonError, Kind, Manager, Method, Object, Signature, Variant};
use crate::outcome::{Failure, Outcome};
use crate::report::{Fact, Screen, quoted};

/// The maximum number of names listed in a message.
const MOST_NAMES: usize = 10;
/// How long an answer may be on its way once the time of a call has passed: the manager says then that it timed out.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// A parsed call.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Call {
    List,
    Status,
    Create { kind: Kind, name: String, args: Vec<Arg> },
    Delete { name: String },
    Method { name: String, method: String, args: Vec<Arg> },
}

/// A parsed argument.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Arg {
    Data(Variant),
    /// The object of this name.
    Object(String),
}

/// Why a text is not a call.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadCall {
    #[error("a call is list, status, create TYPE NAME [ARG…], delete NAME, or NAME.METHOD [ARG…]")]
    Unknown,
    #[error("{0} takes {1}")]
    Arguments(&'static str, &'static str),
    #[error("there is no type {0:?} (there are: {1})")]
    UnknownType(String, String),
    #[error("{0}{reason}", reason = reason(.0))]
    NotJson(JsonError),
    #[error("expected a space after a JSON value, found {0:?}")]
    Crowded(String),
    #[error("{0} is not a number in JSON: write {1} if it is text")]
    NotANumber(String, String),
    #[error("{0} is beyond the range of a 64-bit float")]
    BeyondFloats(String),
    #[error("expected a name, found {0}")]
    NoName(String),
}

/// Returns what is wrong with it, for the end of a message.
fn reason(error: &JsonError) -> String {
    std::error::Error::source(error).map_or_else(String::new, |source| format!(": {source}"))
}

impl FromStr for Call {
    type Err = BadCall;

    fn from_str(text: &str) -> Result<Self, BadCall> {
        let text = text.trim();
        if text.starts_with('"') {
            let (name, rest) = json_string(text)?;
            let (method, rest) = first_word(rest.strip_prefix('.').ok_or(BadCall::Unknown)?);
            return method_call(name, method, rest);
        }
        let (first, rest) = first_word(text);
        match first {
            "list" if !rest.is_empty() => Err(BadCall::Arguments("list", "no arguments")),
            "status" if !rest.is_empty() => Err(BadCall::Arguments("status", "no arguments")),
            "list" => Ok(Call::List),
            "status" => Ok(Call::Status),
            "create" => {
                let (kind, rest) = first_word(rest);
                if rest.is_empty() {
                    return Err(BadCall::Arguments("create", "a type and a name"));
                }
                let found = Kind::by_name(&kind.replace('-', ""));
                let types = || super::TYPES[..super::TYPES.len() - 1].join(", ");
                let kind = found.ok_or_else(|| BadCall::UnknownType(kind.to_owned(), types()))?;
                let (name, rest) = name(rest)?;
                Ok(Call::Create { kind, name, args: args(rest)? })
            }
            "delete" if rest.is_empty() => Err(BadCall::Arguments("delete", "a name")),
            "delete" => match name(rest)? {
                (name, "") => Ok(Call::Delete { name }),
                _ => Err(BadCall::Arguments("delete", "one name (with spaces in it: \"my shop\")")),
            },
            first => {
                // A name may have dots, a method has none.
                let (name, method) = first.rsplit_once('.').ok_or(BadCall::Unknown)?;
                method_call(name.to_owned(), method, rest)
            }
        }
    }
}

fn method_call(name: String, method: &str, rest: &str) -> Result<Call, BadCall> {
    if name.is_empty() || method.is_empty() {
        return Err(BadCall::Unknown);
    }
    Ok(Call::Method { name, method: method.to_owned(), args: args(rest)? })
}

/// Splits a text at the first space.
fn first_word(text: &str) -> (&str, &str) {
    let text = text.trim();
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

/// Splits off the JSON value at the beginning of a text.
fn json_value(text: &str) -> Result<(&str, &str), BadCall> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>();
    let value = values.next().transpose();
    value.map_err(|error| BadCall::NotJson(JsonError::from(error)))?;
    Ok(text.split_at(values.byte_offset()))
}

fn json_string(text: &str) -> Result<(String, &str), BadCall> {
    let (value, rest) = json_value(text)?;
    let value = serde_json::from_str(value).map_err(|error| BadCall::NotJson(JsonError::from(error)))?;
    Ok((value, rest))
}

/// Returns what follows a JSON value, without the space between.
fn after_value(rest: &str) -> Result<&str, BadCall> {
    if rest.is_empty() || rest.starts_with(char::is_whitespace) {
        return Ok(rest.trim_start());
    }
    Err(BadCall::Crowded(first_word(rest).0.to_owned()))
}

/// Splits off a name: a word or a JSON string.
fn name(text: &str) -> Result<(String, &str), BadCall> {
    let (name, rest) = if text.starts_with('"') {
        let (name, rest) = json_string(text)?;
        (name, after_value(rest)?)
    } else {
        let (name, rest) = first_word(text);
        (name.to_owned(), rest)
    };
    if name.is_empty() { Err(BadCall::NoName(format!("{text:?}"))) } else { Ok((name, rest)) }
}

fn args(mut rest: &str) -> Result<Vec<Arg>, BadCall> {
    let mut args = Vec::new();
    while !rest.is_empty() {
        if let Some(object) = rest.strip_prefix('@') {
            let (object, after) = if object.is_empty() || object.starts_with(char::is_whitespace) {
                return Err(BadCall::NoName("@".to_owned()));
            } else {
                name(object)?
            };
            rest = after;
            args.push(Arg::Object(object));
        } else if rest.starts_with(['{', '[', '"']) {
            // A value with spaces in it: its end is where JSON says.
            let (value, after) = json_value(rest)?;
            rest = after_value(after)?;
            args.push(Arg::Data(Variant::from_json(value).map_err(BadCall::NotJson)?));
        } else {
            let (word, after) = first_word(rest);
            rest = after;
            args.push(Arg::Data(of_word(word)?));
        }
    }
    Ok(args)
}

/// Parses a bare word: a number, `true`, `false` or `null` as in JSON, otherwise text.
fn of_word(word: &str) -> Result<Variant, BadCall> {
    match Variant::from_json(word) {
        Ok(variant) => Ok(variant),
        // Python reads these as numbers, and the user may have meant them as such.
        Err(JsonError::Malformed(_)) => match word.parse::<f64>() {
            Ok(number) if number.is_infinite() && word.contains(|char: char| char.is_ascii_digit()) => {
                Err(BadCall::BeyondFloats(word.to_owned()))
            }
            Ok(_) => Err(BadCall::NotANumber(word.to_owned(), format!("'{word:?}'"))),
            Err(_) => Ok(Variant::from(word)),
        },
        Err(error) => Err(BadCall::NotJson(error)),
    }
}

/// The deadline of one call.
#[derive(Clone, Copy)]
struct Limit {
    timeout: Duration,
    end: Instant,
}

impl Limit {
    fn of(timeout: Duration) -> Self {
        // A deadline beyond the clock's range never comes.
        let end = Instant::now().checked_add(timeout).unwrap_or_else(|| Instant::now() + Duration::from_secs(1 << 32));
        Limit { timeout, end }
    }

    fn left(self) -> Duration {
        self.end.saturating_duration_since(Instant::now())
    }
}

/// Performs the calls one after the other, over one connection, and prints each result.
pub(super) fn run(args: &ManagerArgs) -> Result<Outcome, Failure> {
    let limit = || args.timeout.map(Limit::of);
    // The time to connect counts towards the first call.
    let mut first = limit();
    let (manager, mut out) = (connect(args, first).map_err(Failure::of_preparing)?, Screen::stdout());
    for call in &args.call {
        let answer = manager.answer(call, first.take().or_else(limit))?;
        match out.write_all(format!("{answer}\n").as_bytes()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Outcome::ReaderGone),
            written => written.context("cannot write to stdout").map_err(failed)?,
        }
    }
    Ok(Outcome::Fine)
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::Machinery(Outcome::MachineryFailed, vec![error])
}

fn connect(args: &ManagerArgs, limit: Option<Limit>) -> anyhow::Result<Caller> {
    let (Some(address), Some(file)) = (&args.connect, &args.authkey_file) else {
        return Err(anyhow!(
            "--call needs the manager to call: --connect ADDR --authkey-file FILE (start one in another shell: \
             ipc-demo manager --serve ADDR --authkey-file FILE)"
        ));
    };
    let key = Key::read(file)?;
    if let Some(Fact::KeyExposed { file }) = key.warning() {
        // With stderr closed nobody wanted to be warned.
        let warning = format!("warning: other users can read {file} (chmod 600 {})\n", quoted(&file));
        let _ = Screen::stderr().write_all(warning.as_bytes());
    }
    Ok(Caller(key.connect(address, limit.map(Limit::left))?))
}

/// A client that calls objects by name.
struct Caller(Manager);

impl Caller {
    fn answer(&self, call: &Call, limit: Option<Limit>) -> Result<Value, Failure> {
        self.0.set_deadline(limit.map(|limit| limit.left() + ANSWER_TIME));
        Ok(match call {
            Call::List => {
                let names = self.0.names().map_err(|error| unanswered("list", error))?;
                Value::Object(names.into_iter().map(|(name, kind)| (name, json!(kind.name()))).collect())
            }
            Call::Status => json!(self.0.status().map_err(|error| unanswered("status", error))?),
            Call::Create { kind, name, args } => {
                let doing = format!("create {name}");
                let args = self.data(&doing, args)?;
                let made = self.0.make_any(*kind, args, Some(name)).map_err(|error| unanswered(&doing, error))?;
                Variant::from(made.reference()).to_json()
            }
            Call::Delete { name } => {
                let doing = format!("delete {name}");
                self.lookup(&doing, name)?;
                self.0.remove_name(name).map_err(|error| unanswered(&doing, error))?;
                Value::Null
            }
            Call::Method { name, method, args } => {
                let doing = format!("{name}.{method}");
                let object = self.lookup(&doing, name)?;
                let (method, may_wait) = method_of(object.kind(), method).map_err(Failure::Unusable)?;
                let args = self.data(&doing, args)?;
                let patience = if may_wait { limit.map(Limit::left) } else { Some(Duration::ZERO) };
                let answer = object.call_by_name(method, args, patience);
                match answer.map_err(|error| unanswered(&doing, error))? {
                    Some(answer) => answer.to_json(),
                    None if method == Method::Acquire => Value::from(false),
                    None => {
                        let after = limit.map(|limit| format!(" after {}", humantime::format_duration(limit.timeout)));
                        return Err(failed(anyhow!("{doing}: timed out{}", after.unwrap_or_default())));
                    }
                }
            }
        })
    }

    fn data(&self, doing: &str, args: &[Arg]) -> Result<Vec<Variant>, Failure> {
        let data = |arg: &Arg| match arg {
            Arg::Data(variant) => Ok(variant.clone()),
            Arg::Object(name) => Ok(self.lookup(doing, name)?.reference().into()),
        };
        args.iter().map(data).collect()
    }

    fn lookup(&self, doing: &str, name: &str) -> Result<Object, Failure> {
        self.0.lookup_any(name).map_err(|error| match error {
            Error::Managed { .. } => match self.0.names() {
                Ok(names) => Failure::Unusable(anyhow!("no object named {name:?} ({})", known(&names))),
                Err(error) => unanswered(doing, error),
            },
            error => unanswered(doing, error),
        })
    }
}

fn known(names: &[(String, Kind)]) -> String {
    let first: Vec<String> = names.iter().take(MOST_NAMES).map(|(name, _)| shown(name)).collect();
    match names.len() {
        0 => "nothing has a name yet: create TYPE NAME".to_owned(),
        count if count > MOST_NAMES => format!("there are: {}, and {} more", first.join(", "), count - MOST_NAMES),
        _ => format!("there are: {}", first.join(", ")),
    }
}

/// Returns a name as it is typed.
fn shown(name: &str) -> String {
    if name.contains(|char: char| char.is_whitespace() || char == '"') { format!("{name:?}") } else { name.to_owned() }
}

/// Methods with shorter names than in Python.
const SHORT: &[(&str, Method)] =
    &[("get", Method::GetItem), ("set", Method::SetItem), ("del", Method::DelItem), ("push", Method::Append)];

/// Returns the method of a name in any of its spellings, including Python's: `get_item`, `getitem`, `__getitem__`; and
/// whether it may block.
fn method_of(kind: Kind, name: &str) -> anyhow::Result<(Method, bool)> {
    let plain = |name: &str| name.replace('_', "");
    let methods = kind.methods();
    let by_name = || methods.iter().copied().find(|method| plain(&method.to_string()) == plain(name));
    let by_short =
        || SHORT.iter().find(|(short, method)| *short == name && methods.contains(method)).map(|known| known.1);
    let method = by_name().or_else(by_short).ok_or_else(|| {
        let usages: Vec<String> = methods.iter().map(|method| usage(kind, *method)).collect();
        anyhow!("{kind} has no method {name:?} (it has: {})", usages.join(", "))
    })?;
    Ok((method, method.signature(kind).is_some_and(Signature::may_wait)))
}

/// Returns how a method is called: its short name if that is unambiguous, and its arguments.
fn usage(kind: Kind, method: Method) -> String {
    let means_another = |short: &str| short.parse().is_ok_and(|other: Method| other.signature(kind).is_some());
    let short = SHORT.iter().find(|(short, of)| *of == method && !means_another(short));
    let name = short.map_or_else(|| method.to_string(), |(short, _)| (*short).to_owned());
    let arguments = method.signature(kind).map_or_else(String::new, |signature| signature.to_string());
    format!("{name} {arguments}").trim_end().to_owned()
}

/// Classifies an error: a call that the manager rejected is the caller's to correct; anything else is the machinery's.
fn unanswered(call: &str, error: Error) -> Failure {
    match error {
        Error::Managed { source, .. } => Failure::Unusable(anyhow!("{call}: {source}")),
        Error::ForeignReference | Error::TooLong { .. } => Failure::Unusable(anyhow!("{call}: {error}")),
        error => failed(error.during(|| call.to_owned()).into()),
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
        let jobs = Call::Create { kind: Kind::JoinableQueue, name: "jobs".into(), args: data("[5]") };
        assert_eq!(parsed("create joinable-queue jobs 5"), jobs);
        assert_eq!(parsed(r#"delete "my shop""#), Call::Delete { name: "my shop".into() });
        let shop = Call::Create { kind: Kind::Dict, name: "my shop".into(), args: data(r#"[{"a": 1}]"#) };
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
            assert_eq!(method_of(kind, name).expect(name).0, method);
        }
        let refused = method_of(Kind::Event, "put").expect_err("no method").to_string();
        assert_eq!(refused, "Event has no method \"put\" (it has: set, clear, wait, is_set, snapshot)");
        let refused = method_of(Kind::Dict, "put").expect_err("no method").to_string();
        let usages = ["get_item KEY, set KEY VALUE, del KEY, get KEY [DEFAULT], keys,", "add KEY AMOUNT [DEFAULT]"];
        assert!(usages.iter().all(|usage| refused.contains(usage)), "{refused}");
    }
}
