//! The manager: one process holds the objects, and workers here or elsewhere change them through proxies.
//!
//! | file | content |
//! |---|---|
//! | `driver` | the runner's side of each type's demonstration |
//! | `worker` | the workers' side |
//! | `fixtures` | the objects of each type's demonstration |
//! | `audit` | the reports, compared with the final content of the manager |
//! | `host` | `--serve`: this process as a manager for others |
//! | `entry` | the key file, and the connection to a manager elsewhere, with advice if it fails |
//! | `call` | `--call`: one call from a script, one JSON value back |

mod audit;
mod call;
mod driver;
mod entry;
mod fixtures;
mod host;
mod worker;

use std::collections::HashSet;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgMatches, FromArgMatches, ValueHint};

use super::runner::{RunOptions, Runner};
use super::{CheckResult, Completion, Entry, Scenario, Tool};
use crate::RoleEntry;
use crate::manager::{self, Address, Kind, ManagerServer};
use crate::number::whole;
use crate::outcome::{Failure, Outcome};
use crate::report::{Fact, Pictures, Reporter};
use audit::Audit;
use call::Call;
use driver::{Driver, Shown};
use entry::Key;
use fixtures::Source;

/// The types by their command-line names, in the order of the demonstration.
const TYPES: [&str; 15] = [
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
    ALL,
];
const ALL: &str = "all";

/// Where the manager is, and what is done with it.
#[derive(Debug, Default, clap::Args)]
#[command(group = clap::ArgGroup::new("elsewhere").args(["serve", "connect"]))]
pub(crate) struct ManagerArgs {
    /// How many workers there are [default: 1, or 2 with --type]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=500))]
    workers: Option<u32>,
    /// Which type of object is shown [default: dict]
    #[arg(long = "type", value_name = "T", value_parser = PossibleValuesParser::new(TYPES).map(kinds))]
    kinds: Option<Kinds>,
    /// Serve as a manager until Ctrl-C: unix:PATH or tcp:HOST:PORT
    #[arg(long, value_name = "ADDR", requires = "authkey_file", conflicts_with_all = ["workers", "kinds", "call", "timeout"])]
    serve: Option<Address>,
    /// Use the manager at this address
    #[arg(long, value_name = "ADDR", requires = "authkey_file")]
    connect: Option<Address>,
    /// The file with the key that a manager and its clients share
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "elsewhere")]
    authkey_file: Option<PathBuf>,
    /// Call a method of an object of that manager, and print the result as JSON
    #[arg(long, value_name = "CALL", conflicts_with_all = ["workers", "kinds"])]
    call: Vec<Call>,
    /// How long a call may take, connecting included, such as 2s or 500ms [default: no limit]
    #[arg(long, value_name = "TIME", requires = "call", conflicts_with_all = ["workers", "kinds"], value_parser = humantime::parse_duration)]
    timeout: Option<std::time::Duration>,
}

/// The types to show.
#[derive(Debug, Clone)]
struct Kinds(Vec<Kind>);

/// Returns the types of a name on the command line.
#[expect(clippy::needless_pass_by_value, reason = "clap passes what it parsed")]
fn kinds(name: String) -> Kinds {
    let kind = |name: &str| Kind::by_name(&name.replace('-', ""));
    Kinds(if name == ALL {
        TYPES.iter().copied().filter_map(kind).collect()
    } else {
        kind(&name).into_iter().collect()
    })
}

/// The state of a manager run.
pub(crate) struct Manager {
    kinds: Vec<Kind>,
    workers: u32,
    key: Option<Key>,
    /// The address of the manager, if it is not to be started.
    elsewhere: Option<Address>,
    manager: Option<manager::Manager>,
    shown: Vec<Shown>,
}

impl Scenario for Manager {
    const NAME: &'static str = "manager";
    const ABOUT: &'static str = "\
One process holds objects that workers change through proxies

The runner makes a dict in a manager process and shows it, a worker writes into it, and the runner shows it again: it \
sees what the worker wrote. --type shows another type, or all of them.

With --serve a manager runs until Ctrl-C, for clients that have the key; with --connect the workers use that manager, \
from another shell or another machine. What is in its containers and locks stays, and other clients see it. A host that is \
left out (tcp::5000) is this machine alone; over TCP all data is encrypted and authenticated.

--call is for scripts: it prints one JSON value, or an error and exits with 2 (nothing was done) or 3. A call is
  list                     all names and the types of their objects
  status                   what the manager says about itself
  create TYPE NAME [ARG…]  makes an object with a name, or finds it
  delete NAME              takes the name away
  NAME.METHOD [ARG…]       calls a method, as in Python without underscores
An unknown method lists those of the type. A name with spaces is quoted: '\"my shop\".items'. An argument is a JSON value, a bare word (text), or @NAME (that \
object). A call releases at its end what it has acquired.

Examples:
  ipc-demo manager                               the reference program
  ipc-demo manager --workers 5                   five workers write
  ipc-demo manager --type all --speed 5          each type with two workers
  (umask 077; head -c 32 /dev/urandom | base64 > key)
  ipc-demo manager --serve unix:/tmp/shop --authkey-file key
  ipc-demo manager --connect unix:/tmp/shop --authkey-file key
  ipc-demo manager --connect unix:/tmp/shop --authkey-file key \\
    --call 'create dict shop' --call 'shop.set tickets 3' --call shop.items";
    type Args = ManagerArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<worker::Worker>(), RoleEntry::of::<ManagerServer>()];
    type Observer = Audit;

    fn prepare(args: ManagerArgs) -> anyhow::Result<Self> {
        let key = args.authkey_file.as_deref().map(Key::read).transpose()?;
        let workers = args.workers.unwrap_or(if args.kinds.is_some() { 2 } else { 1 });
        let kinds = args.kinds.map_or_else(|| vec![Kind::Dict], |kinds| kinds.0);
        let manager = match (&args.connect, &key) {
            (Some(address), Some(key)) => Some(key.connect(address, None)?),
            _ => None,
        };
        Ok(Manager { kinds, workers, key, elsewhere: args.connect, manager, shown: Vec::new() })
    }

    fn workers(&self) -> Vec<String> {
        (1..=self.workers).map(|number| format!("worker-{number}")).collect()
    }

    fn events(&self) -> Vec<&'static str> {
        let mut events = vec!["object_called"];
        for kind in &self.kinds {
            events.extend(match kind {
                Kind::Lock | Kind::RLock => &["lock_waiting", "lock_acquired", "lock_released"][..],
                Kind::Semaphore | Kind::BoundedSemaphore => &["permit_waiting", "permit_acquired", "permit_released"],
                Kind::Condition => &["condition_waiting", "condition_met", "item_got"],
                Kind::Event => &["event_awaited", "event_seen"],
                Kind::Barrier => &["barrier_waiting", "barrier_passed", "barrier_broken"],
                Kind::Queue => &["item_put", "item_got"],
                Kind::JoinableQueue => &["item_put", "item_got", "task_done"],
                _ => &[],
            });
        }
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(*event));
        events
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        if let Some(warning) = self.key.as_ref().and_then(Key::warning) {
            runner.emit(warning)?;
        }
        let manager = match (self.manager.take(), &self.elsewhere) {
            (Some(manager), Some(address)) => {
                runner.emit(Fact::ManagerConnected { address: address.to_string() })?;
                manager
            }
            _ => {
                let manager = manager::Manager::start()?;
                let manager_pid = manager.process().map_or(0, |process| process.pid());
                runner.emit(Fact::ManagerStarted { manager_pid, addresses: Vec::new() })?;
                manager
            }
        };
        let manager = self.manager.insert(manager);
        let source = Source { manager, is_shared: self.elsewhere.is_some() };
        let mut driver = Driver::new(source, runner, self.workers);
        for &kind in &self.kinds {
            if driver.is_cut() {
                break;
            }
            let shown = driver.begin(kind)?;
            let performed = driver.perform(&shown);
            self.shown.push(shown);
            performed?;
        }
        Ok(())
    }

    fn check(self, audit: &Audit, completion: &Completion) -> anyhow::Result<CheckResult> {
        let result = audit.check(&self.shown, self.kinds.len(), self.workers, self.elsewhere.is_some(), completion);
        // Released here, when the workers have ended: earlier, they would see it as a death.
        drop(self.shown);
        self.manager.map_or(Ok(()), manager::Manager::shutdown)?;
        Ok(result)
    }
}

/// Runs the demonstration, serves, or calls.
pub(super) fn run(
    matches: &ArgMatches,
    options: &RunOptions,
    reporter: &dyn Fn() -> Box<dyn Reporter>,
    pictures: Pictures,
) -> Result<Outcome, Failure> {
    let args = ManagerArgs::from_arg_matches(matches).map_err(|error| Failure::Unusable(error.into()))?;
    if !args.call.is_empty() {
        return call::run(&args);
    }
    let run = if args.serve.is_some() { super::run::<host::Host> } else { super::run::<Manager> };
    run(matches, options, reporter, pictures)
}

/// The row of the scenario table.
pub(super) const ENTRY: Entry = Entry { run, as_tool, ..Entry::of::<Manager>() };

/// A call from a script starts no run, and who serves starts no worker.
fn as_tool(matches: &ArgMatches) -> Option<Tool> {
    if matches.contains_id("call") {
        return Some(("manager --call", &[]));
    }
    let shown: &[&str] = &["format", "lang", "color", "quiet", "timeline", "trace"];
    matches.contains_id("serve").then_some(("manager --serve", shown))
}
