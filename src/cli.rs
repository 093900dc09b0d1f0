//! The command line: options for every scenario, and one subcommand from each line of the scenarios' table.

mod man;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::{ArgMatches, Args, Command, FromArgMatches, ValueHint};
use clap_complete::Shell;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::bench::{self, BenchArgs};
use crate::chaos::{self, ChaosArgs};
use crate::ipc::enter;
use crate::number::whole;
use crate::outcome::{Failure, Outcome};
use crate::report::{Color, Format, Language, Pictures, Reporter, to_stdout};
use crate::scenarios::{SCENARIOS, Speed, Terms};

/// Subcommands that are no scenarios.
const BENCH: &str = "bench";
/// The one that kills.
const CHAOS: &str = "chaos";
const COMPLETIONS: &str = "completions";
const MAN: &str = "man";

const TRY_FIRST: &str = "\
Try first:
  ipc-demo tickets           ten buyers and three tickets: the shop oversells
  ipc-demo tickets --lock    the same with a lock
";

const EXIT_CODES: &str = "\
Exit codes: 0 the promises held, 1 one was broken, 2 unusable input,
3 the machinery failed, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP";

/// What is shown to somebody who does not know yet what to ask for.
const FIRST_SCREEN: &str = "\
{about}

{usage-heading} {usage}

Scenarios:
{subcommands}{after-help}";

/// Options that stand before or after the scenario.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every scenario")]
struct Globals {
    /// Pace of every simulated pause: 1 is the reference programs', 10 ten times faster, max no pause at all
    #[arg(long, global = true, value_name = "X", default_value = "1", allow_negative_numbers = true)]
    speed: Speed,
    /// Seed of every random choice [default: a random one; every run shows its own]
    #[arg(long, global = true, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
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
    /// Draw the run into this file: an SVG picture with a lane a process
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    timeline: Option<PathBuf>,
    /// Write the run into this file as Chrome trace-event JSON, to open in Perfetto (ui.perfetto.dev)
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trace: Option<PathBuf>,
}

/// For whom completions are printed.
#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

fn command() -> Command {
    let bench = BenchArgs::augment_args(Command::new(BENCH)).about("What each mechanism costs on this machine");
    let (what, _) = chaos::ABOUT.split_once('\n').unwrap_or((chaos::ABOUT, ""));
    let chaos = ChaosArgs::augment_args(Command::new(CHAOS)).about(what).long_about(chaos::ABOUT);
    let completions = CompletionsArgs::augment_args(Command::new(COMPLETIONS)).about("Prints completions for a shell");
    let man = Command::new(MAN).about("Prints the manual page: ipc-demo man | man -l -");
    Globals::augment_args(Command::new("ipc-demo"))
        .version(env!("CARGO_PKG_VERSION"))
        .about("Starts real Linux processes and shows how they share, send, wait and die")
        .after_help(format!("{TRY_FIRST}\n{EXIT_CODES}"))
        .max_term_width(80)
        .subcommand_value_name("SCENARIO")
        .subcommand_help_heading("Scenarios")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .disable_help_subcommand(true)
        .subcommands(SCENARIOS.iter().map(|entry| entry.command()))
        .subcommands([bench, chaos, completions, man])
}

/// The whole program: a worker's part if this process was started as one, else what the command line asks for.
pub fn run() -> ExitCode {
    let scenarios = SCENARIOS.iter().flat_map(|entry| entry.roles.iter().copied());
    let roles: Vec<_> = scenarios.chain(bench::roles()).chain(chaos::ROLES.iter().copied()).collect();
    if let Some(code) = enter(&roles) {
        return code;
    }
    raise_descriptor_limit();
    let args: Vec<OsString> = std::env::args_os().collect();
    let mut command = command();
    if args.len() <= 1 {
        let more = "ipc-demo --help shows all options, ipc-demo SCENARIO --help those of a scenario";
        command = command.help_template(FIRST_SCREEN).after_help(format!("{TRY_FIRST}\n{more}"));
    }
    match command.try_get_matches_from(&args) {
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
    let Some(entry) = SCENARIOS.iter().find(|entry| entry.name == name) else {
        if let Some(path) = globals.timeline.or(globals.trace) {
            let refusal = anyhow!("{name} is no scenario: it has nothing to draw into {}", path.display());
            return Err(Failure::Unusable(refusal));
        }
        return match name {
            BENCH => {
                let args = BenchArgs::from_arg_matches(scenario_matches);
                bench::run(&args.map_err(|error| Failure::Unusable(error.into()))?, globals.format)
            }
            CHAOS => {
                let args = ChaosArgs::from_arg_matches(scenario_matches);
                let terms = chaos::Terms { seed, format: globals.format, language, color: globals.color };
                chaos::run(&args.map_err(|error| Failure::Unusable(error.into()))?, terms)
            }
            COMPLETIONS => {
                let args = CompletionsArgs::from_arg_matches(scenario_matches);
                let CompletionsArgs { shell } = args.map_err(|error| Failure::Unusable(error.into()))?;
                print(&completions(shell))
            }
            MAN => man::page(&command()).map_or_else(|error| Err(unprinted(error)), |page| print(page.as_bytes())),
            _ => unreachable!("clap knows only the names that it was given"),
        };
    };
    let terms = Terms {
        seed,
        speed: globals.speed,
        strict: globals.strict,
        args: args.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect(),
    };
    let pictures = Pictures::open(globals.timeline.as_deref(), globals.trace.as_deref(), language)
        .map_err(|error| Failure::Unusable(error.into()))?;
    let reporter = || -> Box<dyn Reporter> { to_stdout(globals.format, language, globals.color) };
    (entry.run)(scenario_matches, &terms, &reporter, pictures)
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "ipc-demo", &mut script);
    // In bash the subcommands of a program with a hyphen in its name are looked up by another name than they are filed
    // under (clap-rs/clap#6421); without the bug there is nothing to replace.
    match String::from_utf8(script) {
        Ok(script) => script.replace("ipc__subcmd__demo", "ipc__demo").into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// Puts something on stdout that somebody asked to see.
fn print(bytes: &[u8]) -> Result<Outcome, Failure> {
    let mut stdout = io::stdout();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Outcome::ReaderGone),
        Err(error) => Err(unprinted(error)),
        Ok(()) => Ok(Outcome::Fine),
    }
}

fn unprinted(error: io::Error) -> Failure {
    let error = anyhow::Error::new(error).context("cannot write to stdout");
    Failure::Machinery(Outcome::MachineryFailed, vec![error])
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
