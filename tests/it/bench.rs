//! The benchmark through the real binary: every kind of workload works, Python leaves no process, charts are complete
//! or absent.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::cli::refused;
use crate::harness::{Demo, await_end, children_of, is_running, send, skip, watchdog};
use crate::report::well_formed;

/// Measures once, and returns the output: of the run first, then of every side.
#[track_caller]
fn measured(demo: Demo) -> (Value, Vec<Value>) {
    let finished = demo.args(["--rounds", "1", "--format", "json"]).expect_exit(0);
    assert_eq!(finished.stderr, "");
    let mut objects = finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let begun: Value = objects.next().expect("a first line");
    assert_eq!(begun["event"], "bench_started");
    (begun, objects.collect())
}

fn of<'a>(sides: &'a [Value], workload: &str, kind: &str) -> Vec<&'a Value> {
    sides.iter().filter(|side| side["workload"] == workload && side["kind"] == kind).collect()
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    found.is_ok_and(|status| status.success())
}

/// Returns a directory, for `PATH`, with a python3 that is a shell script.
fn with_python(script: &str) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("python3");
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mine");
    scratch
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn every_kind_of_workload_is_measured() {
    let _watchdog = watchdog("bench::every_kind");
    let workloads = [
        "lock",
        "event",
        "pipe",
        "queue-2to2",
        "queue-1k-batch",
        "queue-64k",
        "queue-64k-bytes",
        "queue-64k-in-place",
        "queue-ping-pong",
        "queue-alone",
        "joinable",
        "pool",
        "pool-64k",
        "manager-set",
        "manager-tcp-get",
        "spawn",
        "explore",
        "explore-parallel",
    ];
    let (begun, sides) = measured(Demo::run("bench").args(workloads));
    assert_eq!((&begun["rounds"], &begun["python"]), (&json!(1), &Value::Null));
    assert!(begun["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{begun}");
    for side in &sides {
        assert_eq!(side["event"], "side_measured");
        assert!(side["median_ns"].as_f64().is_some_and(|ns| ns > 0.0), "{side}");
        assert!(side["operations"].as_u64().is_some_and(|operations| operations >= 4), "{side}");
        assert_eq!(side["rounds_ns"].as_array().map(Vec::len), Some(1), "{side}");
    }
    for workload in workloads {
        assert!(
            !of(&sides, workload, "ours").is_empty() && !of(&sides, workload, "yardstick").is_empty(),
            "{workload}"
        );
    }
    for side in of(&sides, "queue-ping-pong", "ours") {
        assert!(side["p50_ns"].as_f64() <= side["p99_ns"].as_f64(), "{side}");
    }
    let clients: Vec<&Value> = of(&sides, "manager-set", "ours").iter().map(|side| &side["at"]).collect();
    assert_eq!(clients, [1, 2, 16]);
}

#[test]
#[ignore = "takes half a minute: cargo test --release --test it every_workload -- --ignored"]
fn every_workload_is_measured() {
    let _watchdog = watchdog("bench::every_workload");
    let (_, sides) = measured(Demo::run("bench"));
    let growing = measured(Demo::run("bench").args(["growth"])).1;
    assert!(growing.iter().all(|side| side["axis"].is_string() && side["at"].is_u64()));
    let sizes: Vec<&Value> = of(&growing, "queue-sizes", "ours").iter().map(|side| &side["at"]).collect();
    assert_eq!((sizes[0], sizes[sizes.len() - 1]), (&json!(8), &json!(16 << 20)));
    assert!(growing.iter().all(|side| sides.iter().any(|other| other["workload"] == side["workload"])));
}

#[test]
fn unusable_options_measure_nothing() {
    let _watchdog = watchdog("bench::unusable_options");
    refused(Demo::run("bench").args(["lokc"]), &["lokc", "lock"]);
    refused(Demo::run("bench").args(["lock", "--rounds", "0"]), &["--rounds"]);
    refused(Demo::run("bench").args(["lock", "--against", "perl"]), &["perl", "python"]);
    let nowhere = tempfile::tempdir().expect("a directory");
    for chart in [nowhere.path().join("no/such/chart.svg"), nowhere.path().to_owned()] {
        let said = format!("cannot write the chart to {}", chart.display());
        refused(Demo::run("bench").args(["lock", "--chart", text(&chart)]), &[&said]);
    }
    assert_eq!(fs::read_dir(nowhere.path()).expect("readable").count(), 0);
}

#[test]
fn chart_is_drawn() {
    let _watchdog = watchdog("bench::chart");
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("chart.svg");
    let demo = Demo::run("bench").args(["lock", "semaphore", "manager-get", "--rounds", "1", "--chart", text(&path)]);
    let said = demo.expect_exit(0).stdout;
    assert!(said.lines().all(|line| line.chars().count() <= 80), "{said}");
    let words = well_formed::timeline(&fs::read_to_string(&path).expect("it was drawn"));
    for word in ["What each mechanism costs", "lower is better", "robust pthread mutex", "manager-get"] {
        assert!(words.contains(word), "{word:?} in {words}");
    }
    let full = Demo::run("bench").args(["lock", "--rounds", "1", "--chart", "/dev/full"]).expect_exit(3);
    assert!(full.stderr.contains("cannot write the chart to /dev/full: No space left"), "{}", full.stderr);
}

#[test]
fn python_does_the_same_work() {
    let _watchdog = watchdog("bench::python");
    if !is_there("python3") {
        return skip("python3", "there is none in the PATH");
    }
    let workloads = ["rlock", "value", "event", "condition", "barrier", "pipe", "queue-1k-2to2", "queue-ping-pong"];
    let more = ["joinable", "manager-set", "manager-tcp-get", "spawn"];
    let demo = Demo::run("bench").args(["--against", "python"]).args(workloads).args(more);
    let (begun, sides) = measured(demo);
    assert!(begun["python"].as_str().is_some_and(|version| version.starts_with("3.")), "{begun}");
    for workload in workloads.iter().chain(&more) {
        let python = of(&sides, workload, "python");
        assert_eq!(python.len(), of(&sides, workload, "ours").len().min(if workload.starts_with("m") { 3 } else { 1 }));
    }
    assert!(of(&sides, "queue-ping-pong", "python")[0]["p99_ns"].is_f64());
}

#[test]
fn python_has_several_pools() {
    let _watchdog = watchdog("bench::python_pools");
    if !is_there("python3") {
        return skip("python3", "there is none in the PATH");
    }
    let pools = ["pool-64k", "pool-start"];
    let (_, sides) = measured(Demo::run("bench").args(["--against", "python"]).args(pools));
    for workload in pools {
        // Pool and ProcessPoolExecutor, with 1 and 2 or 4 workers; Pool.map also without chunks.
        let ways = if workload == "pool-start" { 2 } else { 3 };
        assert_eq!(of(&sides, workload, "python").len(), 2 * ways, "{workload}");
    }
}

#[test]
fn no_python_or_a_broken_one_measures_nothing() {
    let _watchdog = watchdog("bench::no_python");
    let compared = || Demo::run("bench").args(["lock", "--against", "python"]);
    refused(compared().env("PATH", "/nonexistent"), &["there is no python3", "--against"]);
    let broken = with_python("exit 1");
    refused(compared().env("PATH", text(broken.path())), &["python3 cannot do it", "ended"]);
}

#[test]
fn python_that_fails_is_ended_with_all_its_processes() {
    let _watchdog = watchdog("bench::python_fails");
    for (answer, said) in [
        (r#"echo '{"error": "OSError: no more"}'"#, "python3 0: OSError: no more"),
        ("echo nonsense", "nonsense"),
        ("exit", "python3 ended"),
    ] {
        let mute = "/dev/null 2>&1";
        let scratch = with_python(&format!(
            "/bin/sleep 1000 > {mute} &\necho $! > \"$PIDS\"\necho '{{\"version\": \"0\"}}'\nread task\n{answer}\nread end"
        ));
        let pids = scratch.path().join("pids");
        let demo = Demo::run("bench").args(["lock", "--against", "python"]).env("PATH", text(scratch.path()));
        let finished = demo.env("PIDS", text(&pids)).expect_exit(3);
        assert!(
            finished.stderr.contains("cannot measure lock") && finished.stderr.contains(said),
            "{}",
            finished.stderr
        );
        let pid = fs::read_to_string(&pids).expect("it began").trim().parse().expect("a number");
        assert!(!is_running(pid), "the worker of {answer:?} was left behind");
    }
}

/// Returns a long run that has begun to measure.
fn long_run(chart: &Path) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
    command.args(["bench", "lock", "event", "--rounds", "1000", "--chart"]).arg(chart);
    if is_there("python3") {
        command.args(["--against", "python"]);
    }
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    lines.read_line(&mut String::new()).expect("a first line");
    (child, lines)
}

#[test]
fn stop_signal_ends_all_and_draws_nothing() {
    let _watchdog = watchdog("bench::stop_signal");
    for (signal, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
        let scratch = tempfile::tempdir().expect("a directory");
        let (mut run, mut lines) = long_run(&scratch.path().join("chart.svg"));
        let children = children_of(run.id());
        send(run.id(), signal);
        let mut said = String::new();
        run.stderr.take().expect("piped").read_to_string(&mut said).expect("text");
        lines.read_to_end(&mut Vec::new()).expect("its end");
        assert_eq!((run.wait().expect("it ends").code(), said.as_str()), (Some(code), ""));
        assert!(!children.into_iter().any(is_running));
        assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0, "no chart");
    }
}

#[test]
fn killed_run_leaves_no_process_and_no_file() {
    let _watchdog = watchdog("bench::killed_run");
    let scratch = tempfile::tempdir().expect("a directory");
    let (mut run, _lines) = long_run(&scratch.path().join("chart.svg"));
    let children = children_of(run.id());
    assert_eq!(children.len(), usize::from(is_there("python3")));
    send(run.id(), Signal::SIGKILL);
    run.wait().expect("it ends");
    children.into_iter().for_each(await_end);
    assert_eq!(fs::read_dir(scratch.path()).expect("readable").count(), 0);
}

#[test]
fn closed_stdout_ends_quietly() {
    let _watchdog = watchdog("bench::closed_stdout");
    let scratch = tempfile::tempdir().expect("a directory");
    let mut run = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
        .args(["bench", "lock", "semaphore", "--rounds", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .current_dir(scratch.path())
        .spawn()
        .expect("it starts");
    run.stdout.take().expect("piped").read_exact(&mut [0; 1]).expect("a first byte");
    let output = run.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn help_shows_examples_and_every_workload() {
    let help = Demo::run("bench").args(["--help"]).expect_exit(0).stdout;
    for part in ["Examples:", "queue-producers", "manager:", "growth:", "--against", "--chart"] {
        assert!(help.contains(part), "{part:?} in {help}");
    }
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
}

#[test]
#[ignore = "measures: cargo test --release --test it crossbeam -- --ignored --nocapture"]
fn queue_beside_a_crossbeam_channel() {
    let _watchdog = watchdog("bench::crossbeam");
    let (_, sides) = measured(Demo::run("bench").args(["queue", "queue-1k", "queue-64k", "queue-64k-bytes"]));
    for (workload, bytes) in
        [("queue", 8), ("queue-1k", 1 << 10), ("queue-64k", 64 << 10), ("queue-64k-bytes", 64 << 10)]
    {
        let ours = of(&sides, workload, "ours")[0]["median_ns"].as_f64().expect("a time");
        let channel = through_crossbeam(bytes);
        let line = format!("{workload}: {ours:.1} ns, crossbeam-channel between threads: {channel:.1} ns\n");
        std::io::stderr().write_all(line.as_bytes()).expect("somewhere to write");
    }
}

/// Returns the nanoseconds an item through a channel between two threads: a number, or a fresh vector of which all is read.
fn through_crossbeam(bytes: usize) -> f64 {
    let items = (1 << 30) / (bytes.max(256)) as u64;
    let begun = Instant::now();
    if bytes == size_of::<u64>() {
        pass(items, |number| number, |number| number);
    } else {
        let sum = |block: Vec<u8>| block.as_chunks().0.iter().fold(0, |sum, eight| u64::from_ne_bytes(*eight) ^ sum);
        pass(items, |number| vec![number as u8; bytes], sum);
    }
    begun.elapsed().as_nanos() as f64 / items as f64
}

fn pass<T: Send>(items: u64, make: impl Fn(u64) -> T + Send, read: impl Fn(T) -> u64) {
    let (sender, receiver) = crossbeam_channel::bounded(1024);
    thread::scope(|scope| {
        scope.spawn(move || (0..items).for_each(|number| sender.send(make(number)).expect("somebody receives")));
        let sum = receiver.iter().fold(0_u64, |sum, item| sum.wrapping_add(read(item)));
        std::hint::black_box(sum);
    });
}
