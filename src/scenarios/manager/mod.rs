//! The manager: one process holds the objects, and workers here or elsewhere change them through proxies.
//!
//! One subcommand, three programs:
//!
//! | file | content |
//! |---|---|
//! | `scenario` | workers change objects, of this run's manager or of one elsewhere |
//! | `serve` | `--serve`: this process as a manager for others |
//! | `call` | `--call`: one call from a script, one JSON value back |
//! | `facts` | what is reported of a manager and its objects |
//! | `args` | the arguments of all three |
//! | `connect` | the key file, and the connection to a manager elsewhere, with advice if it fails |

mod args;
mod call;
mod connect;
mod facts;
mod scenario;
mod serve;

use clap::{ArgMatches, FromArgMatches};

use super::entry::{self, Entry, Invocation, Tool};
use crate::outcome::{Failure, Outcome};
use crate::report::Pictures;
use args::ManagerArgs;
#[cfg(test)]
pub(crate) use facts::ManagerFact;
pub(crate) use scenario::Manager;
use serve::Serve;

/// Runs the demonstration, serves, or calls.
pub(super) fn run(invocation: &Invocation<'_>, pictures: Pictures) -> Result<Outcome, Failure> {
    let args = ManagerArgs::from_arg_matches(invocation.matches).map_err(|error| Failure::Unusable(error.into()))?;
    if !args.call.is_empty() {
        let manager = args.connect.as_ref().zip(args.authkey_file.as_deref());
        return call::run(&args.call, manager, args.timeout);
    }
    let run = if args.serve.is_some() { entry::run::<Serve> } else { entry::run::<Manager> };
    run(invocation, pictures)
}

/// The row of the scenario table.
pub(super) const ENTRY: Entry = Entry { run, as_tool, ..Entry::of::<Manager>() };

/// A call from a script starts no run, and a server starts no workers.
fn as_tool(matches: &ArgMatches) -> Option<Tool> {
    if matches.contains_id("call") {
        return Some(("manager --call", &[]));
    }
    let shown: &[&str] = &["format", "lang", "color", "quiet", "timeline", "trace", "html"];
    matches.contains_id("serve").then_some(("manager --serve", shown))
}
