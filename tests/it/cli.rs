//! Bad input, exit codes, a closed stdout, and stop requests, through the real binary.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use crate::report::schema::{Event, Fact, Reason, Verdict};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::harness::{Demo, await_end, fact, is_running, send, skip, states, stop, until, watchdog};
use crate::scenarios::{reason, verdict};

/// Expects one error that contains `said`, exit code 2, and an empty stdout.
#[track_caller]
pub(crate) fn refused(demo: Demo, said: &[&str]) {
    let finished = demo.expect_exit(2);
    assert_eq!(finished.stdout, "", "nothing was started");
    for part in said {
        assert!(finished.stderr.contains(part), "{part:?} in {:?}", finished.stderr);
    }
    assert_eq!(finished.stderr.matches("error:").count(), 1, "{}", finished.stderr);
}

#[test]
fn unusable_options_start_nothing() {
    let _watchdog = watchdog("cli::unusable_options");
    for (args, said) in [
        (["--buyers", "0"], "--buyers"),
        (["--buyers", "100000"], "expected a whole number from 1 to 1000"),
        (["--speed", "0"], "--speed"),
        (["--speed", "-1"], "above 0"),
        (["--speed", "nan"], "above 0"),
        (["--stock", "-1"], "--stock"),
        (["--stock", "x"], "expected a whole number from 0 to 4294967295"),
        (["--seed", "x"], "expected a whole number from 0 to 18446744073709551615"),
        (["--stock", "4294967296"], "--stock"),
        (["--lokc", ""], "--lock"),
        (["--format", "xml"], "json"),
    ] {
        refused(Demo::run("tickets").args(args), &[said]);
    }
    refused(Demo::run("ticket"), &["tickets"]);
}

#[test]
fn numbers_are_asked_for_with_their_bounds() {
    let _watchdog = watchdog("cli::numbers");
    for (option, least, most) in [("--producers", 0, 500), ("--consumers", 0, 500), ("--capacity", 1, 1_000_000)] {
        for word in ["x", "1.5", "", "1000001"] {
            let said = format!("invalid value '{word}' for '{option} ");
            let expected = format!(": expected a whole number from {least} to {most}\n");
            refused(Demo::run("prodcons").args([option, word]), &[&said, &expected]);
        }
    }
    refused(Demo::run("prodcons").args(["--items", "ten"]), &["expected a whole number from 0 to 100000000\n"]);
    refused(Demo::run("bench").args(["--rounds", "no"]), &["expected a whole number from 1 to 1000\n"]);
}

#[test]
fn unusable_data_files_are_named_and_left_alone() {
    let _watchdog = watchdog("cli::unusable_data_files");
    let scratch = tempfile::tempdir().expect("a directory");
    let path = |name: &str| scratch.path().join(name);
    let sale = |name: &str| Demo::run("tickets").args(["--stock", "5", "--data"]).arg(path(name));
    refused(sale("missing.json"), &["missing.json", "No such file"]);
    std::fs::create_dir(path("directory")).expect("made");
    refused(sale("directory"), &["directory", "not a regular file"]);
    for (name, content, said) in [
        ("text.json", "three tickets", r#"a JSON object such as {"ticket_num": 3}"#),
        ("list.json", "[3]", "not a JSON object"),
        ("empty.json", "", "EOF"),
        ("without.json", r#"{"tickets": 3}"#, "ticket_num"),
        ("negative.json", r#"{"ticket_num": -3}"#, "-3"),
        ("string.json", r#"{"ticket_num": "3"}"#, "whole number"),
        ("large.json", r#"{"ticket_num": 4294967296}"#, "4294967295"),
    ] {
        std::fs::write(path(name), content).expect("written");
        refused(sale(name), &[name, said]);
        assert_eq!(std::fs::read_to_string(path(name)).expect("readable"), content, "unchanged");
    }
    if nix::unistd::geteuid().is_root() {
        return skip("unprivileged", "root may read and write files without permission");
    }
    std::fs::write(path("sealed.json"), r#"{"ticket_num": 3}"#).expect("written");
    std::fs::set_permissions(path("sealed.json"), std::fs::Permissions::from_mode(0o000)).expect("mine");
    refused(sale("sealed.json"), &["sealed.json", "Permission denied"]);
}

#[test]
fn file_in_use_by_another_sale_is_refused() {
    let _watchdog = watchdog("cli::file_in_use");
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("shop.json");
    std::fs::write(&path, r#"{"ticket_num": 3}"#).expect("written");
    let mut first = Demo::run("tickets").args(["--lock", "--data"]).arg(&path).start();
    first.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
    refused(Demo::run("tickets").args(["--data"]).arg(&path), &["another run", "shop.json"]);
    send(first.pid(), Signal::SIGINT);
    assert_eq!(first.finish().0, Some(130));
}

#[test]
fn running_out_of_descriptors_stops_those_that_were_started() {
    let _watchdog = watchdog("cli::out_of_descriptors");
    let sale = Demo::run("tickets").args(["--lock", "--format", "json", "--buyers", "50"]).limit("-n 40");
    let finished = sale.expect_exit(3);
    assert!(finished.stderr.contains("worker buyer-") || finished.stderr.contains("descriptor"), "{}", finished.stderr);
    assert!(finished.stderr.contains("Too many open files"), "{}", finished.stderr);
    let events = finished.events();
    let (mut started, mut exited) = (0, 0);
    for event in &events {
        match event.fact {
            Fact::WorkerStarted { .. } => started += 1,
            Fact::WorkerExited { .. } => exited += 1,
            _ => {}
        }
    }
    assert!((1..50).contains(&started), "{started}");
    assert_eq!(started, exited);
    assert!(matches!(events.last().expect("events").fact, Fact::Summary { .. }));
}

#[test]
fn stop_signals_stop_the_workers_and_sum_up() {
    let _watchdog = watchdog("cli::stop_signals");
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143), (Signal::SIGHUP, 129)] {
        let mut sale = Demo::run("tickets").args(["--lock"]).start();
        sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
        send(sale.pid(), signal);
        let (exit_code, events, stderr) = sale.finish();
        assert_eq!((exit_code, stderr.as_str()), (Some(code), ""));
        let started = events.iter().filter(|event| matches!(event.fact, Fact::WorkerStarted { .. })).count();
        let exited = events.iter().filter(|event| matches!(event.fact, Fact::WorkerExited { .. })).count();
        assert_eq!(started, exited);
        assert!(matches!(events.last().expect("events").fact, Fact::Summary { .. }));
    }
}

#[test]
fn signal_to_the_whole_group_is_a_stop_and_no_failure() {
    let _watchdog = watchdog("cli::group");
    for _ in 0..10 {
        let mut sale = Demo::run("tickets").args(["--lock"]).own_group().start();
        sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
        killpg(Pid::from_raw(sale.pid() as i32), Signal::SIGTERM).expect("a group");
        let (code, events, stderr) = sale.finish();
        assert_eq!((code, stderr.as_str()), (Some(143), ""));
        assert_eq!((verdict(&events).0, reason(&events)), (Verdict::NotShown, Some(Reason::Cut)));
    }
}

#[test]
fn signals_that_were_ignored_at_the_start_stay_ignored() {
    let _watchdog = watchdog("cli::ignored");
    let ignoring = ["sh", "-c", "trap '' INT TERM HUP; exec \"$0\" \"$@\""];
    for args in [["tickets", "--lock"], ["manager", "--workers=2"]] {
        let mut run = Demo::run(args[0]).args([args[1], "--speed", "50"]).within(ignoring).own_group().start();
        run.until(|event| matches!(event.fact, Fact::WorkerStarted { .. }));
        // To the workers as well, and to the manager.
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            killpg(Pid::from_raw(run.pid() as i32), signal).expect("a group");
        }
        let (code, events, stderr) = run.finish();
        assert_eq!((code, stderr.as_str(), verdict(&events).0), (Some(0), "", Verdict::Held), "{args:?}");
    }
}

/// The kernel ignores every signal to process 1 that it has no handler for.
#[test]
fn process_1_with_a_full_stdout_is_ended_by_signals() {
    let _watchdog = watchdog("cli::process_1");
    let namespace = ["unshare", "-Urpf", "--kill-child", "--mount-proc"];
    match Command::new(namespace[0]).args(&namespace[1..]).arg("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => return skip("pidns", String::from_utf8_lossy(&output.stderr)),
        Err(error) => return skip("pidns", error),
    }
    let (_reader, writer) = std::io::pipe().expect("a pipe");
    fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
    let mut command = Command::new(namespace[0]);
    command.args(&namespace[1..]).arg(env!("CARGO_BIN_EXE_ipc-demo"));
    command.args(["tickets", "--buyers", "100", "--speed", "max", "--format", "json"]).stdout(writer);
    let mut outside = command.spawn().expect("it starts");
    let children = format!("/proc/{0}/task/{0}/children", outside.id());
    let child = || std::fs::read_to_string(&children).unwrap_or_default().trim().parse::<u32>().ok();
    until(|| child().is_some());
    let process_1 = child().expect("it has started");
    // Blocked by the full pipe.
    until(|| {
        std::fs::read_to_string(format!("/proc/{process_1}/wchan")).is_ok_and(|place| place.contains("pipe_write"))
    });
    // The first is only noted; one that comes before it is handled is lost.
    while outside.try_wait().expect("a child").is_none() {
        let _ = kill(Pid::from_raw(process_1 as i32), Signal::SIGTERM);
    }
    assert_eq!(outside.wait().expect("it has ended").code(), Some(143));
}

#[test]
fn second_interrupt_kills_at_once() {
    let _watchdog = watchdog("cli::second_interrupt");
    let mut sale = Demo::run("tickets").args(["--lock"]).start();
    let held = sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).clone();
    // The stopped worker cannot end on request: the runner is in its grace period when the second signal comes.
    stop(held.pid);
    send(sale.pid(), Signal::SIGINT);
    sale.until(|event| matches!(event.fact, Fact::WorkerExited { .. }));
    send(sale.pid(), Signal::SIGINT);
    let (code, events, _) = sale.finish();
    assert_eq!(code, None, "ended by the signal itself");
    assert!(!matches!(events.last().expect("events").fact, Fact::Summary { .. }));
    // The stopped worker is gone too: `finish` waits for every process that has the run's stdout.
    await_end(held.pid);
}

#[test]
fn closed_stdout_ends_quietly() {
    let _watchdog = watchdog("cli::closed_stdout");
    for format in ["text", "json"] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
            .args(["tickets", "--lock", "--format", format])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // One line, then the reader goes away.
        child.stdout.take().expect("piped").read_exact(&mut [0; 1]).expect("a first byte");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

#[test]
fn non_blocking_stdout_is_waited_for() {
    let _watchdog = watchdog("cli::non_blocking_stdout");
    for args in [
        &["man"][..],
        &["completions", "bash"],
        &["help", "manager"],
        &["tickets", "--speed", "max", "--buyers", "100"],
        &["tickets", "--speed", "max", "--buyers", "100", "--format", "json"],
    ] {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        fcntl(&writer, FcntlArg::F_SETPIPE_SZ(4096)).expect("a small pipe");
        fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).expect("a mode");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
        let mut child = command.args(args).stdout(writer).stderr(Stdio::piped()).spawn().expect("it starts");
        // It holds the other end, too.
        drop(command);
        // It sleeps before anything is read: because the pipe is full, or to wait for a worker.
        until(|| states(child.id()).contains('S') || !is_running(child.id()));
        let mut said = String::new();
        reader.read_to_string(&mut said).expect("text");
        let mut errors = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut errors).expect("text");
        assert_eq!((child.wait().expect("it ends").code(), errors.as_str()), (Some(0), ""), "{args:?}");
        assert!(said.len() > 4096 && said.ends_with('\n'), "{args:?}: {} bytes", said.len());
    }
}

#[test]
fn locale_without_other_characters_gets_ascii() {
    let _watchdog = watchdog("cli::ascii");
    for args in [
        &["tickets", "--lock", "--speed", "max"][..],
        &["tickets", "--speed", "max"],
        &["joinable", "--speed", "max"],
        &["chaos", "lock", "--place", "idle"],
    ] {
        let run = || Demo::run(args[0]).args(args[1..].iter().copied());
        let plain = run().env("LC_ALL", "C").expect_exit(0).stdout;
        assert!(plain.is_ascii(), "{plain}");
        assert!(!run().env("LC_ALL", "C.UTF-8").expect_exit(0).stdout.is_ascii(), "{args:?}");
    }
    let lanes = Demo::run("tickets").args(["--lock", "--speed", "max"]).env("LC_ALL", "C").expect_exit(0).stdout;
    assert!(lanes.contains("# holds") && lanes.contains("[ok]"), "{lanes}");
    // Chinese stays Chinese if it was requested.
    let chinese = Demo::run("tickets").args(["--lang", "zh", "--speed", "max"]).env("LC_ALL", "C");
    assert!(chinese.expect_exit(0).stdout.contains("余票"));
}

#[test]
fn help_and_version_go_to_stdout() {
    let help = Demo::run("--help").expect_exit(0).stdout;
    assert!(help.contains("tickets") && help.contains("Try first"), "{help}");
    assert!(Demo::run("tickets").args(["--help"]).expect_exit(0).stdout.contains("Examples:"));
    assert_eq!(Demo::run("--version").expect_exit(0).stdout, format!("ipc-demo {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn nothing_asked_for_shows_the_scenarios_and_what_to_try() {
    let asked = Command::new(env!("CARGO_BIN_EXE_ipc-demo")).output().expect("it starts");
    let said = String::from_utf8(asked.stderr).expect("text");
    assert_eq!((asked.status.code(), asked.stdout.as_slice()), (Some(2), &b""[..]));
    for part in ["Scenarios:\n  tickets ", "\n  pipe ", "Try first:\n  ipc-demo tour ", "--help"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    assert!(said.lines().count() <= 33, "it fits a screen: {said}");
    for help in [said, Demo::run("--help").expect_exit(0).stdout, Demo::run("-h").expect_exit(0).stdout] {
        assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    }
}

#[test]
fn completions_know_every_scenario_and_option() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = Demo::run("completions").args([shell]).expect_exit(0).stdout;
        for word in ["tickets", "buyers", "pipe", "duplex", "timeline", "completions"] {
            assert!(script.contains(word), "{shell} knows no {word}");
        }
        // The other shells do not complete values.
        if ["bash", "zsh"].contains(&shell) {
            assert!(script.contains("JoinableQueue") && script.contains("queue-2to2"), "{shell}");
        }
    }
    refused(Demo::run("completions").args(["tcsh"]), &["bash", "zsh"]);
    refused(Demo::run("completions"), &["<SHELL>"]);
}

#[test]
fn bash_takes_its_completions() {
    let script = Demo::run("completions").args(["bash"]).expect_exit(0).stdout;
    let complete = "COMP_WORDS=(ipc-demo pipe --du); COMP_CWORD=2; _ipc__demo ipc-demo --du pipe; echo ${COMPREPLY[@]}";
    let bash = Command::new("bash").args(["-c", &format!("{script}\n{complete}")]).output().expect("there is a bash");
    assert_eq!(String::from_utf8_lossy(&bash.stdout), "--duplex\n", "{}", String::from_utf8_lossy(&bash.stderr));
}

#[test]
fn options_that_a_command_does_not_use_are_refused() {
    let _watchdog = watchdog("cli::unused_options");
    let of_scenarios = ["--speed=2", "--strict", "--timeline=/dev/null", "--trace=/dev/null", "--html=/dev/null"];
    for command in [&["bench", "lock"][..], &["chaos", "Lock"], &["man"], &["completions", "bash"]] {
        for option in of_scenarios {
            let name = option.split('=').next().expect("a name");
            let said = format!("{name} works only with scenarios, not with {}", command[0]);
            // Before and after the command.
            refused(Demo::run(command[0]).args(command[1..].iter().copied()).args([option]), &[&said]);
            refused(Demo::run(option).args(command.iter().copied()), &[&said]);
        }
    }
    for (command, options) in [
        ("bench", &["--seed=1", "--lang=zh", "--color=never"][..]),
        ("man", &["--seed=1", "--lang=zh", "--color=never", "--format=json"]),
    ] {
        for option in options {
            let said = format!("{command} does not use {}", option.split('=').next().expect("a name"));
            refused(Demo::run(command).args([*option]), &[&said]);
        }
        let help = Demo::run(command).args(["--help"]).expect_exit(0).stdout;
        assert!(!help.contains("--speed") && !help.contains("--lang"), "{help}");
    }
    let chaos = Demo::run("chaos").args(["--help"]).expect_exit(0).stdout;
    assert!(chaos.contains("--lang") && !chaos.contains("--strict"), "{chaos}");
    let bash = Demo::run("completions").args(["bash"]).expect_exit(0).stdout;
    let of_bench = bash.lines().find(|line| line.contains("queue-2to2")).expect("names of workloads");
    assert!(of_bench.contains("--format") && !of_bench.contains("--speed"), "{of_bench}");
}

#[test]
fn help_is_a_command_and_lists_scenarios_apart_from_other_commands() {
    let help = Demo::run("help").expect_exit(0).stdout;
    assert_eq!(help, Demo::run("--help").expect_exit(0).stdout);
    let (scenarios, commands) = help.split_once("\n\nCommands:\n").expect("two lists");
    for command in ["bench", "chaos", "completions", "man", "help"] {
        let line = format!("\n  {command} ");
        assert!(!scenarios.contains(&line) && format!("\n{commands}").contains(&line), "{help}");
    }
    assert_eq!(
        Demo::run("help").args(["tickets"]).expect_exit(0).stdout,
        Demo::run("tickets").args(["--help"]).expect_exit(0).stdout
    );
}

#[test]
fn workers_is_another_name_for_those_who_take_part() {
    let _watchdog = watchdog("cli::workers");
    for (scenario, fact_name) in [("tickets", "buyers"), ("event", "racers"), ("barrier", "parties")] {
        let run = Demo::run(scenario).args(["--workers", "2", "--speed", "max", "--format", "json"]);
        assert_eq!(fact(&run.expect_exit(0).events(), fact_name), 2);
    }
    for scenario in ["queue", "prodcons", "joinable", "condition", "pipe"] {
        refused(Demo::run(scenario).args(["--workers", "2"]), &["unexpected argument '--workers", scenario]);
    }
}

#[test]
fn objects_are_found_however_they_are_spelled() {
    for name in ["owned semaphore", "owned-semaphore", "OwnedSemaphore"] {
        refused(Demo::run("chaos").args([name, "--place", "no such place"]), &["no row has such a place"]);
    }
    refused(Demo::run("chaos").args(["sema"]), &["OwnedSemaphore"]);
}

#[test]
fn manual_page_has_every_subcommand_with_its_options() {
    let page = Demo::run("man").expect_exit(0).stdout;
    let title = format!(".TH IPC-DEMO 1 \" \" \"ipc-demo {}\"", env!("CARGO_PKG_VERSION"));
    let tickets = [".SH IPC\\-DEMO TICKETS\n", "\\-\\-buyers", "ipc\\-demo tickets \\-\\-lock "];
    let others =
        [".SH IPC\\-DEMO PIPE\n", "\\-\\-duplex", ".SH IPC\\-DEMO BENCH\n", "\\-\\-timeline", ".SH ENVIRONMENT\n"];
    for part in [title.as_str(), ".SH NAME\n"].iter().chain(&tickets).chain(&others) {
        assert!(page.contains(part), "{part:?} in {page}");
    }
    // The options of all scenarios appear once, and all requests are known to man(7).
    assert_eq!(page.matches("\\fB\\-\\-trace\\fR").count(), 1);
    let known = ["TH", "SH", "SS", "TP", "PP", "IP", "RS", "RE", "B", "BR", "nf", "fi", "br", "ie", "el"];
    for line in page.lines().filter(|line| line.starts_with('.')) {
        let request = line[1..].split_whitespace().next().expect("a request");
        assert!(known.contains(&request), "{line}");
    }
    let (begun, ended) = (page.matches("\n.nf\n").count(), page.matches("\n.fi\n").count());
    assert!(begun > 0 && begun == ended, "{begun} and {ended}");
}

#[test]
fn help_manual_and_completions_are_ascii_where_the_locale_is() {
    for args in [&["man"][..], &["completions", "zsh"], &["completions", "fish"], &["manager", "--help"], &["help"]] {
        let said = Demo::run(args[0]).args(args[1..].iter().copied()).env("LC_ALL", "C").expect_exit(0).stdout;
        assert!(said.is_ascii() && !said.contains("??"), "{args:?}: {said}");
    }
}

#[test]
fn same_seed_gives_the_same_pauses() {
    let _watchdog = watchdog("cli::same_seed");
    let order = || {
        let sale = Demo::run("tickets").args(["--speed", "5", "--buyers", "3", "--seed", "11", "--format", "json"]);
        let events = sale.expect_exit(0).events();
        let bought = events.iter().filter(|event| matches!(event.fact, Fact::TicketBought { .. }));
        bought.map(|event| event.worker.clone()).collect::<Vec<_>>()
    };
    // Three pauses of 200 to 400 ms: the seed determines their order.
    assert_eq!(order(), order());
}

/// Exhausting a resource is the machine's fault and not the input's, even before the first worker.
#[test]
fn descriptors_that_run_out_while_preparing_are_no_usage_error() {
    let finished = Demo::run("values").limit("-n 4").expect_exit(3);
    assert!(finished.stderr.contains("Too many open files"), "{}", finished.stderr);
}

#[test]
fn boot_variable_that_names_nothing_is_an_error() {
    for value in ["", "3", "garbage", "3:0:0", "99:1:1", "-1:1:1", "3:1:1:1"] {
        let finished = Demo::run("tickets").env("IPC_DEMO_BOOT", value).expect_exit(3);
        assert!(finished.stdout.is_empty() && finished.stderr.contains("unset the variable"), "{}", finished.stderr);
    }
}

#[test]
fn program_that_is_started_by_the_loader_says_that_it_cannot_have_workers() {
    let is_loader = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.starts_with("ld-linux"));
    let loader = std::fs::read_dir("/lib64").into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let Some(loader) = loader.into_iter().find(|path| path.file_name().is_some_and(is_loader)) else {
        skip("loader", "there is no /lib64/ld-linux*");
        return;
    };
    let loader = loader.to_str().expect("a path").to_owned();
    let finished = Demo::run("tickets").args(["--speed", "max"]).within([loader.as_str()]).expect_exit(3);
    assert!(finished.stderr.contains("started through the dynamic loader"), "{}", finished.stderr);
}

#[test]
fn program_waits_for_its_workers_though_sigchld_was_ignored() {
    let starter = ["env", "--ignore-signal=CHLD"];
    let events =
        Demo::run("tickets").args(["--speed", "max", "--format", "json"]).within(starter).expect_exit(0).events();
    let is_unknown = |event: &Event| matches!(event.fact, Fact::WorkerExited { exit_code: None, .. });
    assert!(!events.iter().any(is_unknown));
}

/// Forbids system calls, as old containers' filters do, and executes the program.
const FILTERED: &str = r#"
import ctypes, os, platform, struct, sys
kill = {"x86_64": 62}.get(platform.machine(), 129)
denied = [424] + ([kill] if sys.argv[1] == "kill" else [])
steps = [(0x20, 0, 0, 0)]
for number in denied:
    steps += [(0x15, 0, 1, number), (0x06, 0, 0, 0x50001)]
steps += [(0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit("no filter can be set")
os.execv(sys.argv[2], sys.argv[2:])
"#;

#[test]
fn run_ends_where_workers_cannot_be_killed_by_their_descriptors() {
    let _watchdog = watchdog("cli::filtered");
    let python = std::process::Command::new("python3").args(["-c", "import ctypes"]).status();
    if !python.is_ok_and(|status| status.success()) {
        skip("python3", "there is none with ctypes");
        return;
    }
    for (also, said) in [("nothing", ""), ("kill", "cannot stop ")] {
        let mut run = Demo::run("prodcons").args(["--forever"]).within(["python3", "-c", FILTERED, also]).start();
        run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
        send(run.pid(), Signal::SIGTERM);
        // Returns when the last worker has closed the report's pipe.
        let (exit_code, _, stderr) = run.finish();
        assert_eq!(exit_code, Some(143), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
}

#[test]
fn file_size_limit_is_an_error_with_its_cause() {
    for (scenario, limit) in [("queue", "-f 1000"), ("tickets", "-f 0")] {
        let refused = Demo::run(scenario).args(["--speed", "max"]).limit(limit).expect_exit(3);
        assert!(refused.stderr.contains("at most (ulimit -f)"), "{}", refused.stderr);
    }
    // Enough to run, and not enough for the trace of it.
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace.json");
    let long = ["--speed", "max", "--messages", "5000", "--trace"];
    let run = Demo::run("pipe").args(long).arg(&trace).limit("-f 800").expect_exit(3);
    assert!(run.stderr.contains("File too large"), "{}", run.stderr);
}

#[test]
fn run_that_was_started_with_its_stop_signal_blocked_stops() {
    let mut run = Demo::run("queue").arg("--forever").within(["env", "--block-signal=TERM"]).start();
    run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
    send(run.pid(), Signal::SIGTERM);
    let (exit_code, _, stderr) = run.finish();
    assert_eq!(exit_code, Some(143), "{stderr}");
}

#[test]
fn manager_options_that_a_run_does_not_use_are_refused() {
    for args in [["--timeout", "1s", "--type", "list"], ["--timeout", "1s", "--workers", "2"]] {
        Demo::run("manager").args(args).expect_exit(2);
    }
    let long = format!("unix:/{}", "x".repeat(200));
    Demo::run("manager").args(["--connect", &long, "--authkey-file", "key"]).expect_exit(2);
}

#[test]
fn commands_of_the_readme_write_nothing_into_the_checkout() {
    let readme = include_str!("../../README.md");
    let commands = readme.lines().filter(|line| line.starts_with("cargo ") || line.starts_with("ipc-demo "));
    let words: Vec<&str> = commands.flat_map(str::split_whitespace).collect();
    let written =
        words.windows(2).filter(|pair| ["--timeline", "--trace", "--html", "--chart", ">"].contains(&pair[0]));
    let written: Vec<&str> = written.map(|pair| pair[1]).collect();
    assert!(!written.is_empty() && written.iter().all(|file| file.starts_with("/tmp/")), "{written:?}");
}

#[test]
fn licences_of_the_package_have_their_texts() {
    let package = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (licence, words) in [("MIT", "Permission is hereby granted"), ("Apache-2.0", "Apache License")] {
        let manifest = std::fs::read_to_string(package.join("Cargo.toml")).expect("a manifest");
        assert!(manifest.lines().any(|line| line.starts_with("license = ") && line.contains(licence)), "{licence}");
        let short = licence.split('-').next().expect("a word").to_uppercase();
        let text = std::fs::read_to_string(package.join(format!("LICENSE-{short}"))).expect("its text");
        assert!(text.contains(words), "{licence}");
    }
}
