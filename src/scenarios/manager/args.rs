//! The arguments of the three programs: the scenario, `--serve` and `--call`.

use std::path::PathBuf;

use clap::ValueHint;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::call::{Call, TYPES, kind_named};
use crate::manager::{Address, Kind};
use crate::number::whole;

/// All types.
const ALL: &str = "all";

/// Where the manager is, and what is done with it.
#[derive(Debug, Default, clap::Args)]
#[command(group = clap::ArgGroup::new("elsewhere").args(["serve", "connect"]))]
pub(crate) struct ManagerArgs {
    /// How many workers there are [default: 1, or 2 with --type]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=500))]
    pub(super) workers: Option<u32>,
    /// Which type of object is shown [default: dict]
    #[arg(long = "type", value_name = "T", value_parser = PossibleValuesParser::new(TYPES.into_iter().chain([ALL])).map(kinds))]
    pub(super) kinds: Option<Kinds>,
    /// Serve as a manager until Ctrl-C: unix:PATH or tcp:HOST:PORT
    #[arg(long, value_name = "ADDR", requires = "authkey_file", conflicts_with_all = ["workers", "kinds", "call", "timeout"])]
    pub(super) serve: Option<Address>,
    /// Use the manager at this address
    #[arg(long, value_name = "ADDR", requires = "authkey_file")]
    pub(super) connect: Option<Address>,
    /// The file with the key that a manager and its clients share
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "elsewhere")]
    pub(super) authkey_file: Option<PathBuf>,
    /// Call a method of an object of that manager, and print the result as JSON
    #[arg(long, value_name = "CALL", conflicts_with_all = ["workers", "kinds"])]
    pub(super) call: Vec<Call>,
    /// How long a call may take, connecting included, such as 2s or 500ms [default: no limit]
    #[arg(long, value_name = "TIME", requires = "call", conflicts_with_all = ["workers", "kinds"], value_parser = humantime::parse_duration)]
    pub(super) timeout: Option<std::time::Duration>,
}

/// The types to show.
pub(super) type Kinds = Vec<Kind>;

/// Returns the types of a name on the command line.
#[expect(clippy::needless_pass_by_value, reason = "clap passes what it parsed")]
fn kinds(name: String) -> Kinds {
    TYPES.into_iter().filter(|known| name == ALL || name == *known).filter_map(kind_named).collect()
}
