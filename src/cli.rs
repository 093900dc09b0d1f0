//! The command line: options for every scenario, and one subcommand from each line of the scenarios' table.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{ArgMatches, Args, Command, FromArgMatches};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::bench::{self, BenchArgs};
use crate::chaos::{self, ChaosArgs};
use crate::ipc::enter;
use crate::outcome::{Failure, Outcome};
use crate::report::{Color, Format, Language, Reporter, to_stdout};
use crate::scenarios::{SCENARIOS, Speed, Terms};

/// The subcommand that is no scenario: it measures.
const BENCH: &str = "bench";
/// The one that kills.
const CHAOS: &str = "chaos";

/// Options that stand before or after the scenario.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every scenario")]
struct Globals {
    /// Pace of every simulated pause: 1 is the reference programs', 10 ten times faster, max no pause at all
    #[arg(long, global = true, value_name = "X", default_value = "1", allow_negative_numbers = true)]
    speed: Speed,
    /// Seed of every random choice [default: a random one; every run shows its own]
    #[arg(long, global = true, value_name = "N")]
    seed: Option<u64>,
    /// text for people, json for programs (JSON Lines)
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Language of the text [default: from LC_ALL, LC_MESSAGES, LANG]
    #[arg(long, global = true, value_name = "LANG", value_enum)]
    lang: Option<Language>,
    /// When to use colours; auto honours NO_COLOR and a stdout that is no terminal
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Exit with 1 if the claim is false, even where the scenario does not promise it
    #[arg(long, global = true)]
    strict: bool,
}

fn command() -> Command {
    let bench = BenchArgs::augment_args(Command::new(BENCH)).about("What each mechanism costs on this machine");
    let chaos =
        ChaosArgs::augment_args(Command::new(CHAOS)).about("What becomes of the others when a worker is killed");
    Globals::augment_args(Command::new("ipc-demo"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Starts real Linux processes and shows how they share, send, wait and die")
        .after_help(
            "Try first:\n  ipc-demo tickets           ten buyers and three tickets: the shop oversells\n  \
             ipc-demo tickets --lock    the same with a lock\n\n\
             Exit codes: 0 the promises held, 1 one was broken, 2 unusable input,\n\
             3 the machinery failed, 130 Ctrl-C, 143 SIGTERM",
        )
        .max_term_width(80)
        .subcommand_value_name("SCENARIO")
        .subcommand_help_heading("Scenarios")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(SCENARIOS.iter().map(|entry| entry.command()))
        .subcommand(bench)
        .subcommand(chaos)
}

/// The whole program: a worker's part if this process was started as one, else what the command line asks for.
pub fn run() -> ExitCode {
    let roles: Vec<_> =
        SCENARIOS.iter().flat_map(|entry| entry.roles).chain(bench::ROLES).chain(chaos::ROLES).copied().collect();
    if let Some(code) = enter(&roles) {
        return code;
    }
    raise_descriptor_limit();
    let args: Vec<OsString> = std::env::args_os().collect();
    match command().try_get_matches_from(&args) {
        Ok(matches) => conclude(perform(&matches, &args)),
        Err(error) => {
            // Help and version are answers and go to stdout; a reader that went away has its answer.
            let _ = error.print();
            if error.use_stderr() { Outcome::Unusable.exit_code() } else { ExitCode::SUCCESS }
        }
    }
}

/// A worker costs its parent two descriptors, and the usual soft limit of 1024 would end at 500 workers.
fn raise_descriptor_limit() {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Without it only large runs fail, and they say why.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

fn perform(matches: &ArgMatches, args: &[OsString]) -> Result<Outcome, Failure> {
    let (name, scenario_matches) = matches.subcommand().expect("clap requires a scenario");
    // Global options are known at both levels; the inner one has seen them all.
    let globals = Globals::from_arg_matches(scenario_matches).map_err(|error| Failure::Unusable(error.into()))?;
    let seed = globals.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let language = globals.lang.unwrap_or_else(Language::from_environment);
    if name == BENCH {
        let args = BenchArgs::from_arg_matches(scenario_matches).map_err(|error| Failure::Unusable(error.into()))?;
        return bench::run(&args, globals.format);
    }
    if name == CHAOS {
        let args = ChaosArgs::from_arg_matches(scenario_matches).map_err(|error| Failure::Unusable(error.into()))?;
        return chaos::run(&args, chaos::Terms { seed, format: globals.format, language, color: globals.color });
    }
    let entry = SCENARIOS.iter().find(|entry| entry.name == name).expect("clap knows only the table's names");
    let terms = Terms {
        seed,
        speed: globals.speed,
        strict: globals.strict,
        args: args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect(),
    };
    let reporter = || -> Box<dyn Reporter> { to_stdout(globals.format, language, globals.color) };
    (entry.run)(scenario_matches, &terms, &reporter)
}

/// The one place that prints errors and picks the exit code.
fn conclude(performed: Result<Outcome, Failure>) -> ExitCode {
    let (outcome, reasons) = match performed {
        Ok(outcome) => (outcome, Vec::new()),
        Err(Failure::Unusable(error)) => (Outcome::Unusable, vec![error]),
        Err(Failure::Machinery(outcome, reasons)) => (outcome, reasons),
    };
    for reason in reasons {
        // With stderr closed the exit code has to do.
        let _ = writeln!(io::stderr(), "error: {reason:#}");
    }
    outcome.exit_code()
}
