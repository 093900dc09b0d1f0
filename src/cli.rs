//! The command line: options for every scenario, and one subcommand for each row of the scenario table.

mod man;
mod redis;
mod tour;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, ValueHint};
use clap_complete::Shell;

use crate::bench::{self, BenchArgs};
use crate::chaos::{self, ChaosArgs};
use crate::enter;
use crate::number::whole;
use crate::outcome::{Failure, Outcome, UNPRINTED};
use crate::redis::masked;
use crate::report::control::Control;
#[cfg(feature = "live")]
use crate::report::live::Live;
use crate::report::{Color, Format, Language, PictureKind, Pictures, Reporter, Screen, to_stdout};
use crate::scenarios::{Entry, ExploreArgs, Invocation, Kill, RunOptions, SCENARIOS, Speed, with_about};
use crate::sys::{fd, signal};

const TRY_FIRST: &str = "\
Try first:
  ipc-demo tour    five short runs, each with what to watch
";

const EXIT_CODES: &str = "\
Exit codes: 0 the guarantees held, 1 one was broken, 2 unusable input,
3 a worker or the system failed, 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP";

const TOUR: &str = "tour";
const EXPLORE: &str = "explore";

const ABOUT_EXPLORE: &str = "\
Run a scenario in every order of its operations, and judge each

The same worker processes run, but at every operation on something shared, this program decides which of them continues. \
So a race that otherwise occurs by chance is found, counted, and shown in its shortest form, and --schedule replays it. \
Pauses take no time.

Examples:
  ipc-demo explore tickets --buyers 2 --all           how many of 20 oversell?
  ipc-demo explore tickets --buyers 2 --all --lock    none of 12
  ipc-demo explore deadlock                           the order that deadlocks
  ipc-demo explore joinable --items 1 --kills 1       with a kill at each step";

/// Heading of the options that every scenario has.
const HEADING: &str = "Options of every scenario";

/// Options that stand before or after the subcommand.
#[derive(Debug, Args)]
#[command(next_help_heading = HEADING)]
struct Globals {
    /// Pace of the simulated pauses: 1 as in the reference programs, 10 ten times as fast, max without any
    #[arg(long, value_name = "X", default_value = "1", allow_negative_numbers = true)]
    speed: Speed,
    /// Seed for the workers' random choices and pauses; scheduling by the kernel still varies [default: random, but 1 for explore and --schedule; every run shows its own]
    #[arg(long, value_name = "N", value_parser = whole::<u64>(0..=u64::MAX))]
    seed: Option<u64>,
    /// text for people, json for programs (JSON Lines)
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Language of the text [default: from LC_ALL, LC_MESSAGES, LANG]
    #[arg(long, value_name = "LANG", value_enum)]
    lang: Option<Language>,
    /// When to use colours; auto honours NO_COLOR and a stdout that is not a terminal
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Color::Auto)]
    color: Color,
    /// Print only the summary
    #[arg(long)]
    quiet: bool,
    /// Kill a worker (kill -9) at a moment: holding, waiting, working, or the name of an event of --format json
    #[arg(long, value_name = "WORKER@MOMENT")]
    kill: Vec<Kill>,
    /// Exit with 1 if the claim is false, even if the scenario does not guarantee it
    #[arg(long)]
    strict: bool,
    /// Replay one schedule of an exploration, such as a2b: two steps of the first worker, one of the second
    #[arg(long, value_name = "SCHEDULE")]
    schedule: Option<String>,
    /// Choose at each step which worker runs next; --schedule says how to begin
    #[arg(long)]
    step: bool,
    /// Watch the run on the screen of the terminal: its workers and what they share; the key h lists the others
    #[arg(long)]
    live: bool,
    /// Draw the run into this file: an SVG picture with one lane per process
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    timeline: Option<PathBuf>,
    /// Write the run into this file as Chrome trace-event JSON, to open in Perfetto (ui.perfetto.dev)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    trace: Option<PathBuf>,
    /// Write the run into this file as a page that plays in a browser, without a network: lanes and shared things
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    html: Option<PathBuf>,
}

impl Globals {
    fn args() -> Vec<Arg> {
        Self::augment_args(Command::new("globals")).get_arguments().cloned().collect()
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))
    }

    /// Returns the options of a run; of one whose schedule is chosen, if `is_scheduled`: it is the same every time.
    fn run_options(&self, is_scheduled: bool, args: &[OsString]) -> RunOptions {
        RunOptions {
            seed: if is_scheduled { self.seed.unwrap_or(1) } else { self.seed() },
            speed: if is_scheduled { Speed::MAX } else { self.speed },
            strict: self.strict,
            kills: self.kill.clone(),
            schedule: self.schedule.clone(),
            step: self.step.then(|| self.language()),
            control: None,
            args: args.iter().skip(1).map(|arg| masked(&arg.to_string_lossy())).collect(),
        }
    }

    fn reporter(&self) -> Box<dyn Reporter + Send> {
        to_stdout(self.format, self.language(), self.color, self.quiet, self.step)
    }

    /// Returns the reporter of a run that a person may watch.
    fn live_reporter(&self, options: &RunOptions) -> Box<dyn Reporter + Send> {
        #[cfg(feature = "live")]
        if let Some(control) = &options.control {
            return Box::new(Live::new(control.clone(), self.language(), self.color));
        }
        let _ = options;
        self.reporter()
    }

    fn wanted_pictures(&self) -> [(PictureKind, Option<&Path>); 3] {
        [
            (PictureKind::Timeline, self.timeline.as_deref()),
            (PictureKind::Trace, self.trace.as_deref()),
            (PictureKind::Page, self.html.as_deref()),
        ]
    }

    fn language(&self) -> Language {
        self.lang.unwrap_or_else(Language::from_environment)
    }
}

/// A subcommand that is not a scenario.
struct Tool {
    name: &'static str,
    /// Which of [`Globals`] it uses.
    uses: &'static [&'static str],
    command: fn(Command) -> Command,
    run: fn(&ArgMatches, &Globals, &[OsString]) -> Result<Outcome, Failure>,
}

impl Tool {
    fn described(&self) -> Command {
        (self.command)(Command::new(self.name))
    }
}

/// In the order of the help.
static TOOLS: [Tool; 7] = [
    Tool {
        name: TOUR,
        uses: &["speed", "seed", "lang", "color"],
        command: |tour| with_about(tour, tour::ABOUT),
        run: |_, globals, args| tour::run(globals, args),
    },
    Tool {
        name: EXPLORE,
        uses: &["seed", "format", "lang", "color", "quiet", "kill", "strict"],
        command: |explore| {
            with_about(ExploreArgs::augment_args(explore), ABOUT_EXPLORE)
                .mut_args(|arg| arg.global(true))
                .subcommand_value_name("SCENARIO")
                .subcommand_help_heading("Scenarios")
                .subcommand_required(true)
                .disable_help_subcommand(true)
        },
        run: |matches, globals, args| {
            let (name, own) = matches.subcommand().expect("clap requires a scenario");
            let entry = scenario(name);
            let options = globals.run_options(true, args);
            let reporter = &|| globals.reporter();
            (entry.explore)(&Invocation { matches: own, options: &options, reporter }, &args_of(own)?)
        },
    },
    Tool {
        name: "bench",
        uses: &["format"],
        command: |bench| BenchArgs::augment_args(bench).about("Measure what each mechanism costs on this machine"),
        run: |matches, globals, _| bench::run(&args_of(matches)?, globals.format),
    },
    Tool {
        name: "chaos",
        uses: &["seed", "format", "lang", "color"],
        command: |chaos| with_about(ChaosArgs::augment_args(chaos), chaos::ABOUT),
        run: |matches, globals, _| {
            let (seed, language) = (globals.seed(), globals.language());
            let options = chaos::RunOptions { seed, format: globals.format, language, color: globals.color };
            chaos::run(&args_of(matches)?, options)
        },
    },
    Tool {
        name: "redis",
        uses: &["format"],
        command: redis::augmented,
        run: |matches, globals, _| print(Language::En, redis::run(&args_of(matches)?, globals.format)?.as_bytes()),
    },
    Tool {
        name: "completions",
        uses: &[],
        command: |completions| CompletionsArgs::augment_args(completions).about("Print completions for a shell"),
        run: |matches, _, _| print(Language::En, &completions(args_of::<CompletionsArgs>(matches)?.shell)),
    },
    Tool {
        name: "man",
        uses: &[],
        command: |man| man.about("Print the manual page: ipc-demo man | man -l -"),
        run: |_, _, _| print(Language::En, man::page(&command(For::Reading)).context(UNPRINTED)?.as_bytes()),
    },
];

/// The shell to print completions for.
#[derive(Debug, Args)]
struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// What a command line is described for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// For parsing: every subcommand accepts all of [`Globals`], so that errors can name those that it does not use.
    Parsing,
    /// For completions or the manual page: a subcommand has only the options that it uses.
    Reading,
}

fn command(purpose: For) -> Command {
    let globals = Globals::args();
    let with_globals = |command: Command, uses: Option<&[&str]>| {
        let own = globals.iter().filter_map(|arg| {
            let is_used = uses.is_none_or(|uses| uses.contains(&arg.get_id().as_str()));
            let arg = if uses.is_none() { arg.clone() } else { arg.clone().help_heading(None) };
            (is_used || purpose == For::Parsing).then(|| arg.hide(!is_used).global(purpose == For::Parsing))
        });
        command.args(own.collect::<Vec<_>>())
    };
    let for_purpose = |name, command| if purpose == For::Reading { without_hidden(name, command) } else { command };
    let tools = TOOLS.iter().map(|tool| {
        let command = with_globals(for_purpose(tool.name, tool.described()), Some(tool.uses));
        let explored = SCENARIOS.iter().filter(|_| tool.name == EXPLORE);
        command.subcommands(explored.map(|entry| for_purpose(entry.name, entry.command())))
    });
    let scenarios = SCENARIOS.iter().map(|entry| with_globals(for_purpose(entry.name, entry.command()), None));
    with_globals(Command::new("ipc-demo"), None)
        .version(env!("CARGO_PKG_VERSION"))
        .about("Starts real Linux processes and shows how they share, send, wait and die")
        .help_template(format!("{}\n\n{HEADING}:\n{{options}}{{after-help}}", first_screen()))
        .after_help(format!("{TRY_FIRST}\n{EXIT_CODES}"))
        .max_term_width(80)
        .subcommand_value_name("SCENARIO")
        .subcommand_required(true)
        .subcommands(scenarios)
        .subcommands(tools)
}

/// A command without its hidden options, which completions would list.
fn without_hidden(name: &'static str, command: Command) -> Command {
    if !command.get_arguments().any(Arg::is_hide_set) {
        return command;
    }
    let shown: Vec<Arg> = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned().collect();
    let about = command.get_about().cloned().unwrap_or_default();
    let long_about = command.get_long_about().cloned().unwrap_or_default();
    Command::new(name).about(about).long_about(long_about).args(shown)
}

/// The template of the help up to the options: what there is, and what it is for.
fn first_screen() -> String {
    let help = Command::new("help").about("Print this help, or the help of a command: ipc-demo help tickets");
    let scenarios = list(SCENARIOS.iter().map(|entry| entry.command()));
    let tools = list(TOOLS.iter().map(Tool::described).chain([help]));
    let tools = tools.trim_end();
    format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\nScenarios:\n{scenarios}\nCommands:\n{tools}")
}

/// Lists subcommands and their purposes, one per line.
fn list(commands: impl Iterator<Item = Command>) -> String {
    let list = Command::new("list").disable_help_subcommand(true).max_term_width(80);
    list.help_template("{subcommands}").subcommands(commands).render_help().ansi().to_string()
}

fn args_of<A: FromArgMatches>(matches: &ArgMatches) -> Result<A, Failure> {
    A::from_arg_matches(matches).map_err(|error| Failure::Unusable(error.into()))
}

/// Runs the program: as a worker if this process was started as one, otherwise as the command line says.
pub fn run() -> ExitCode {
    let scenarios = SCENARIOS.iter().flat_map(|entry| entry.roles.iter().copied());
    let roles: Vec<_> = scenarios.chain(bench::roles()).chain(chaos::ROLES.iter().copied()).collect();
    if let Some(code) = enter(&roles) {
        return code;
    }
    signal::report_file_limit();
    signal::unblock_stopping();
    // A worker costs its parent three descriptors, and the usual soft limit of 1024 would end at 340 workers.
    fd::raise_limit();
    // If this fails, the exit statuses of workers are unknown; everything else still works.
    let _ = signal::wait_for_children();
    let args: Vec<OsString> = std::env::args_os().collect();
    let mut command = command(For::Parsing);
    if args.len() <= 1 {
        // Without arguments: a short help.
        let more = "ipc-demo --help shows all options, ipc-demo SCENARIO --help those of a scenario";
        command = command.arg_required_else_help(true).after_help(format!("{TRY_FIRST}\n{more}"));
        command = command.help_template(first_screen() + "{after-help}");
    }
    match command.try_get_matches_from(&args) {
        Ok(matches) => conclude(perform(&matches, &args)),
        Err(error) => {
            // Help and version are answers and go to stdout; a reader that went away has its answer.
            let (mut out, is_terminal, code) = if error.use_stderr() {
                (Screen::stderr(), io::stderr().is_terminal(), Outcome::Unusable.exit_code())
            } else {
                (Screen::for_people(Language::En), io::stdout().is_terminal(), ExitCode::SUCCESS)
            };
            let text = error.render();
            let said = if Color::Auto.is_wanted(is_terminal) { text.ansi().to_string() } else { text.to_string() };
            let said = without_passwords(said, &args);
            let _ = out.write_all(said.as_bytes());
            code
        }
    }
}

fn perform(matches: &ArgMatches, args: &[OsString]) -> Result<Outcome, Failure> {
    let (name, own) = matches.subcommand().expect("clap requires a subcommand");
    let globals: Globals = args_of(own)?;
    if let Some(tool) = TOOLS.iter().find(|tool| tool.name == name) {
        refuse_unused(own, name, tool.uses)?;
        return (tool.run)(own, &globals, args);
    }
    let entry = scenario(name);
    if let Some((name, uses)) = (entry.as_tool)(own) {
        refuse_unused(own, name, uses)?;
    }
    let is_scheduled = globals.schedule.is_some() || globals.step;
    if is_scheduled && is_typed(own, "speed") {
        let option = if globals.step { "step" } else { "schedule" };
        return Err(Failure::Unusable(anyhow!("--{option} does not use --speed: its pauses take no time")));
    }
    if globals.step && globals.format == Format::Json {
        return Err(Failure::Unusable(anyhow!(
            "--step does not use --format json: it is for people; replay the schedule"
        )));
    }
    let mut options = globals.run_options(is_scheduled, args);
    if globals.live {
        check_live(globals.format)?;
        options.control = Some(Control::new()?);
    }
    let pictures = Pictures::open(&globals.wanted_pictures(), globals.language())
        .map_err(|error| Failure::Unusable(error.into()))?;
    let reporter = &|| globals.live_reporter(&options);
    (entry.run)(&Invocation { matches: own, options: &options, reporter }, pictures)
}

/// Rejects `--live` where a person cannot watch.
fn check_live(format: Format) -> Result<(), Failure> {
    let refused = if !cfg!(feature = "live") {
        "--live is not in this program: it was built without the feature live"
    } else if format == Format::Json {
        "--live does not use --format json: it is for people"
    } else if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        "--live needs a terminal: stdin and stdout have to be one"
    } else if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
        "--live needs a terminal that can move its cursor: TERM is dumb"
    } else {
        return Ok(());
    };
    Err(Failure::Unusable(anyhow!(refused)))
}

fn scenario(name: &str) -> &'static Entry {
    SCENARIOS.iter().find(|entry| entry.name == name).expect("clap knows only what stands in the tables")
}

fn is_typed(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::CommandLine)
}

/// Rejects the first of [`Globals`] that was given and that the subcommand does not use.
fn refuse_unused(matches: &ArgMatches, name: &str, uses: &[&str]) -> Result<(), Failure> {
    let args = Globals::args();
    let mut ids = args.iter().map(|arg| arg.get_id().as_str());
    let Some(unused) = ids.find(|id| is_typed(matches, id) && !uses.contains(id)) else { return Ok(()) };
    if name == EXPLORE {
        let reason = match unused {
            "speed" => "its pauses take no time",
            _ => "it runs many schedules, and --schedule replays one of them",
        };
        return Err(Failure::Unusable(anyhow!("{name} does not use --{unused}: {reason}")));
    }
    if name == TOUR {
        let instead = format!("give it to one of its commands, as in ipc-demo tickets --{unused}");
        return Err(Failure::Unusable(anyhow!("{name} does not use --{unused}: {instead}")));
    }
    let runs_scenarios = |tool: &Tool| [TOUR, EXPLORE].contains(&tool.name);
    let is_of_scenarios = TOOLS.iter().all(|tool| runs_scenarios(tool) || !tool.uses.contains(&unused));
    Err(Failure::Unusable(if is_of_scenarios {
        anyhow!("--{unused} works only with scenarios, not with {name}")
    } else {
        anyhow!("{name} does not use --{unused}")
    }))
}

fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(For::Reading), "ipc-demo", &mut script);
    // In bash, the subcommands of a program with a hyphen in its name are looked up under a different name than they
    // are stored under (clap-rs/clap#6421); once that is fixed there is nothing to replace.
    match String::from_utf8(script) {
        Ok(script) => script.replace("ipc__subcmd__demo", "ipc__demo").into_bytes(),
        Err(error) => error.into_bytes(),
    }
}

/// Masks the passwords in a message that may quote arguments: URLs that stand in the wrong place.
fn without_passwords(said: String, args: &[OsString]) -> String {
    let args: Vec<_> = args.iter().map(|arg| arg.to_string_lossy()).collect();
    let values = args.iter().filter_map(|arg| Some(arg.split_once('=')?.1));
    let mut secret: Vec<&str> = args.iter().map(|arg| &**arg).chain(values).filter(|arg| masked(arg) != *arg).collect();
    // One may be the beginning of another.
    secret.sort_by_key(|arg| std::cmp::Reverse(arg.len()));
    secret.into_iter().fold(said, |said, arg| said.replace(arg, &masked(arg)))
}

/// Prints requested output to stdout, in a language.
fn print(language: Language, bytes: &[u8]) -> Result<Outcome, Failure> {
    Ok(Outcome::of_write(Screen::for_people(language).write_all(bytes), UNPRINTED)?)
}

/// The only place that prints errors and picks the exit code.
fn conclude(performed: Result<Outcome, Failure>) -> ExitCode {
    let (outcome, reasons) = match performed {
        Ok(outcome) => (outcome, Vec::new()),
        Err(Failure::Unusable(error)) => (Outcome::Unusable, vec![error]),
        Err(Failure::Machinery(outcome, reasons)) => (outcome, reasons),
    };
    for reason in reasons {
        // If stderr is closed, the exit code has to suffice.
        let _ = Screen::stderr().write_all(format!("error: {reason:#}\n").as_bytes());
    }
    outcome.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completions_have_no_hidden_option() {
        let script = String::from_utf8(completions(Shell::Bash)).expect("text");
        assert!(script.contains("--exhaustive") && script.contains("--producers"));
        assert!(!script.contains("--failpoint"));
    }

    #[test]
    fn completions_have_only_options_that_are_used() {
        let script = String::from_utf8(completions(Shell::Bash)).expect("text");
        for (name, used, unused) in
            [("chaos", "--seed", "--timeline"), ("bench", "--format", "--speed"), ("man", "--help", "--seed")]
        {
            let (_, options) = script.split_once(&format!("\n        ipc__demo__subcmd__{name})\n")).expect(name);
            let (options, _) = options.split_once(";;").expect("its end");
            assert!(options.contains(used) && !options.contains(unused), "{name}: {options}");
        }
    }

    #[test]
    fn workers_of_prodcons_are_producers_and_consumers() {
        let refused = command(For::Parsing).try_get_matches_from(["ipc-demo", "prodcons", "--workers", "3"]);
        let said = refused.expect_err("there is no such option").to_string();
        assert!(said.contains("--workers") && said.contains("use --producers and --consumers"), "{said}");
    }

    /// Before it looks for a terminal.
    #[cfg(not(feature = "live"))]
    #[test]
    fn live_view_is_refused_where_it_was_not_built() {
        let Err(Failure::Unusable(refused)) = check_live(Format::Text) else { panic!("it is accepted") };
        assert!(refused.to_string().contains("without the feature live"), "{refused}");
    }

    #[test]
    fn server_refuses_what_only_workers_use() {
        let serve = ["ipc-demo", "manager", "--serve", "unix:a", "--authkey-file", "a"];
        for unused in [&["--speed", "2"][..], &["--seed", "1"], &["--strict"], &["--kill", "a@b"]] {
            let matches = command(For::Parsing).try_get_matches_from(serve.iter().chain(unused)).expect("parsed");
            let Err(Failure::Unusable(error)) = perform(&matches, &[]) else { panic!("{unused:?} is accepted") };
            let said = error.to_string();
            assert!(said.contains(unused[0]) && said.contains("manager --serve"), "{said}");
        }
        let timed = command(For::Parsing).try_get_matches_from(serve.iter().chain(&["--timeout", "2s"]));
        assert!(timed.expect_err("refused").to_string().contains("--timeout"));
    }
}
