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

mod method;
mod parse;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::connect::Key;
use super::facts::ManagerFact;
use crate::Error;
use crate::ipc::deadline::Deadline;
use crate::manager::{Address, Failure as Refusal, Kind, Manager, ManagerError, Method, Object, Variant};
use crate::outcome::{Failure, MachineryError, Outcome, UNPRINTED};
use crate::report::{Screen, quoted};
use method::method_of;
use parse::Arg;
pub(super) use parse::{Call, TYPES, kind_named};

/// The maximum number of names listed in a message.
const MOST_NAMES: usize = 10;
/// How long an answer may be on its way once the time of a call has passed: the manager says then that it timed out.
const ANSWER_TIME: Duration = Duration::from_millis(50);

/// Performs the calls one after the other, over one connection, and prints each result.
pub(super) fn run(
    calls: &[Call],
    manager: Option<(&Address, &Path)>,
    timeout: Option<Duration>,
) -> Result<Outcome, Failure> {
    // The time to connect counts towards the first call.
    let mut deadline = Deadline::within(timeout);
    let manager = connect(manager, timeout).map_err(Failure::of_preparing)?;
    let mut out = Screen::stdout();
    for call in calls {
        let caller = Caller { manager: &manager, timeout, deadline };
        let answer = caller.answer(call).map_err(|error| failure(call, error))?;
        let printed = Outcome::of_write(out.write_all(format!("{answer}\n").as_bytes()), UNPRINTED)?;
        if printed != Outcome::Fine {
            return Ok(printed);
        }
        deadline = Deadline::within(timeout);
    }
    Ok(Outcome::Fine)
}

/// Classifies an error: a call that the manager rejected is the caller's to correct; anything else is the machinery's.
fn failure(call: &Call, error: anyhow::Error) -> Failure {
    match error.downcast() {
        Ok(Error::Manager(ManagerError::Managed { source, .. })) => Failure::Unusable(anyhow!("{call}: {source}")),
        Ok(error @ (Error::Manager(ManagerError::ForeignReference) | Error::TooLong { .. })) => {
            Failure::Unusable(anyhow!("{call}: {error}"))
        }
        Ok(Error::Manager(error)) => Failure::from(Error::from(error.during(|| call.to_string()))),
        Ok(error) => Failure::from(error),
        Err(error) => Failure::of_preparing(error),
    }
}

/// Returns an error about the arguments of a method, or of a type that is created, with the name that was typed in place
/// of its `own`.
fn as_typed(mut error: Error, own: &str, typed: &str) -> Error {
    if let Error::Manager(ManagerError::Managed { source, .. }) = &mut error {
        match source.as_mut() {
            Refusal::ArgumentCount { called, .. } => *called = typed.to_owned(),
            Refusal::BadArgument { what, .. } => {
                if let Some(argument) = what.strip_prefix(own).filter(|rest| rest.starts_with(' ')) {
                    *what = format!("{typed}{argument}");
                }
            }
            _ => {}
        }
    }
    error
}

fn connect(manager: Option<(&Address, &Path)>, timeout: Option<Duration>) -> anyhow::Result<Manager> {
    let Some((address, file)) = manager else {
        return Err(anyhow!(
            "--call needs the manager to call: --connect ADDR --authkey-file FILE (start one in another shell: \
             ipc-demo manager --serve ADDR --authkey-file FILE)"
        ));
    };
    let key = Key::read(file)?;
    if let Some(ManagerFact::KeyExposed { file }) = key.warning() {
        // If stderr is closed, the warning is lost.
        let warning = format!("warning: other users can read {file} (chmod 600 {})\n", quoted(&file));
        let _ = Screen::stderr().write_all(warning.as_bytes());
    }
    key.connect(address, timeout)
}

/// A client that calls objects by name: for one call.
struct Caller<'a> {
    manager: &'a Manager,
    timeout: Option<Duration>,
    deadline: Deadline,
}

impl Caller<'_> {
    fn answer(&self, call: &Call) -> anyhow::Result<Value> {
        self.manager.set_deadline(self.deadline.left().map(|left| left + ANSWER_TIME));
        Ok(match call {
            Call::List => {
                let names = self.manager.names()?.into_iter();
                Value::Object(names.map(|(name, kind)| (name, json!(kind.name()))).collect())
            }
            Call::Status => json!(self.manager.status()?),
            Call::Create { kind, typed, name, args } => {
                let made = self.manager.make_any(*kind, self.data(args)?, Some(name));
                let made = made.map_err(|error| as_typed(error, &kind.to_string(), typed))?;
                Variant::from(made.reference()).to_json()
            }
            Call::Delete { name } => {
                self.lookup(name)?;
                self.manager.remove_name(name)?;
                Value::Null
            }
            Call::Method { name, method: typed, args } => {
                let object = self.lookup(name)?;
                let (method, may_wait) = method_of(object.kind(), typed)?;
                let args = self.data(args)?;
                let timeout = if may_wait { self.deadline.left() } else { Some(Duration::ZERO) };
                let answer = object.call_by_name(method, args, timeout);
                match answer.map_err(|error| as_typed(error, &method.to_string(), typed))? {
                    Some(answer) => answer.to_json(),
                    None if method == Method::Acquire => Value::from(false),
                    None => {
                        let timeout = self.timeout.map(humantime::format_duration);
                        let after = timeout.map_or_else(String::new, |timeout| format!(" after {timeout}"));
                        return Err(MachineryError(anyhow!("{call}: timed out{after}")).into());
                    }
                }
            }
        })
    }

    fn data(&self, args: &[Arg]) -> anyhow::Result<Vec<Variant>> {
        let data = |arg: &Arg| match arg {
            Arg::Data(variant) => Ok(variant.clone()),
            Arg::Object(name) => Ok(self.lookup(name)?.reference().into()),
        };
        args.iter().map(data).collect()
    }

    fn lookup(&self, name: &str) -> anyhow::Result<Object> {
        match self.manager.lookup_any(name) {
            Err(Error::Manager(ManagerError::Managed { .. })) => {
                Err(anyhow!("no object named {name:?} ({})", known(&self.manager.names()?)))
            }
            found => Ok(found?),
        }
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
