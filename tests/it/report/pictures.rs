//! The pictures of real runs: well-formed for every scenario, complete however a run ends, and rejected in time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::report::schema::{Event, Fact};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Demo, send, watchdog};
use crate::report::well_formed;

/// A directory for the pictures of a run.
struct Album {
    directory: TempDir,
}

impl Album {
    fn new() -> Self {
        Album { directory: tempfile::tempdir().expect("a directory") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn of(&self, demo: Demo) -> Demo {
        let demo = demo.args(["--timeline"]).arg(self.path("run.svg")).args(["--trace"]).arg(self.path("run.json"));
        demo.args(["--html"]).arg(self.path("run.html"))
    }

    /// Returns the text of the timeline and the events of the trace, both checked.
    fn open(&self) -> (String, Vec<Value>) {
        let read = |name| fs::read_to_string(self.path(name)).expect("it was drawn");
        assert!(read("run.html").ends_with("</html>\n"), "the page is complete");
        (well_formed::timeline(&read("run.svg")), well_formed::trace(&read("run.json")))
    }
}

fn count(trace: &[Value], kind: &str, name: &str) -> usize {
    let is_it = |event: &&Value| event["ph"] == kind && event["name"].as_str().is_some_and(|own| own.starts_with(name));
    trace.iter().filter(is_it).count()
}

/// Returns every scenario that the help lists.
pub(crate) fn scenarios() -> Vec<String> {
    let help = Demo::run("--help").expect_exit(0).stdout;
    let listed = help.split_once("Scenarios:\n").expect("a list of scenarios").1.lines();
    let names = listed.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn every_scenario_has_all_pictures() {
    let _watchdog = watchdog("pictures::every_scenario");
    let scenarios = scenarios();
    assert!(scenarios.len() >= 2, "{scenarios:?}");
    for scenario in scenarios {
        let album = Album::new();
        let events =
            album.of(Demo::run(&scenario).args(["--speed", "max", "--format", "json"])).expect_exit(0).events();
        let (words, trace) = album.open();
        let workers: Vec<&Event> =
            events.iter().filter(|event| matches!(event.fact, Fact::WorkerStarted { .. })).collect();
        for worker in &workers {
            assert!(words.lines().any(|word| word == worker.worker), "{scenario}: no lane of {}", worker.worker);
        }
        assert!(words.starts_with(&scenario), "{words}");
        // The workers, the runner, and the manager.
        let managers = events.iter().filter(|event| matches!(event.fact, Fact::ManagerStarted { .. })).count();
        let processes = workers.len() + 1 + managers;
        assert_eq!(count(&trace, "M", "process_name"), processes, "{scenario}");
        assert_eq!(count(&trace, "X", "running"), processes, "{scenario}");
        assert_eq!(count(&trace, "i", "worker_exited"), workers.len(), "{scenario}");
        assert_eq!(count(&trace, "i", "summary"), 1, "{scenario}");
    }
}

#[test]
fn sale_shows_who_waited_and_who_held() {
    let _watchdog = watchdog("pictures::sale");
    let album = Album::new();
    album.of(Demo::run("tickets").args(["--lock", "--speed", "50", "--buyers", "7", "--seed", "57"])).expect_exit(0);
    let (words, trace) = album.open();
    assert_eq!(count(&trace, "X", "waiting for lock tickets"), 7);
    assert_eq!(count(&trace, "X", "holding lock tickets"), 7);
    let mut holds: Vec<(f64, f64)> = trace
        .iter()
        .filter(|event| event["name"] == "holding lock tickets")
        .map(|event| (event["ts"].as_f64().expect("a time"), event["dur"].as_f64().expect("a time")))
        .collect();
    holds.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert!(holds.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "one at a time: {holds:?}");
    assert!(words.contains("ipc-demo tickets --lock --speed 50 --buyers 7 --seed 57\n"), "{words}");
}

#[test]
fn messages_and_answers_are_arrows() {
    let _watchdog = watchdog("pictures::messages");
    let album = Album::new();
    album.of(Demo::run("pipe").args(["--duplex", "--messages", "30", "--speed", "max"])).expect_exit(0);
    let (_, trace) = album.open();
    for name in ["message", "reply"] {
        assert_eq!((count(&trace, "s", name), count(&trace, "f", name)), (30, 30), "{name}");
    }
}

#[test]
fn killed_holder_and_its_successor_are_shown() {
    let _watchdog = watchdog("pictures::killed_holder");
    let album = Album::new();
    let mut sale = album.of(Demo::run("tickets").args(["--lock", "--speed", "10", "--buyers", "4"])).start();
    let holder = sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).pid;
    send(holder, Signal::SIGKILL);
    assert_eq!(sale.finish().0, Some(3));
    let (words, trace) = album.open();
    assert!(words.lines().any(|word| word == "killed"), "{words}");
    let deaths: Vec<_> = trace.iter().filter(|event| event["cat"] == "death").collect();
    assert_eq!(
        (deaths.len(), &deaths[0]["args"]["signal"], deaths[0]["pid"].as_u64()),
        (1, &9.into(), Some(holder.into()))
    );
    assert_eq!(count(&trace, "s", "taken from a dead holder"), 1);
}

#[test]
fn pictures_of_a_run_that_was_cut_short_are_complete() {
    let _watchdog = watchdog("pictures::cut_short");
    let album = Album::new();
    let mut sale = album.of(Demo::run("tickets").args(["--lock"])).start();
    sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
    send(sale.pid(), Signal::SIGINT);
    assert_eq!(sale.finish().0, Some(130));
    let (words, trace) = album.open();
    assert!(words.contains("stopped"), "{words}");
    assert_eq!(count(&trace, "i", "summary"), 1);
}

#[test]
fn pictures_are_drawn_when_nobody_reads_the_report() {
    let _watchdog = watchdog("pictures::nobody_reads");
    let album = Album::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
        .args(["tickets", "--lock", "--speed", "100", "--timeline"])
        .arg(album.path("run.svg"))
        .arg("--trace")
        .arg(album.path("run.json"))
        .arg("--html")
        .arg(album.path("run.html"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
    assert_eq!(count(&album.open().1, "i", "summary"), 1);
}

/// Expects one error that names the file, exit code 2, and that nothing was started.
#[track_caller]
fn refused(demo: Demo, path: &Path) {
    let finished = demo.expect_exit(2);
    assert_eq!(finished.stdout, "", "nothing was started");
    assert!(finished.stderr.contains(path.to_str().expect("a plain name")), "{}", finished.stderr);
}

#[test]
fn files_that_cannot_be_written_are_refused_before_anything_starts() {
    let _watchdog = watchdog("pictures::refused");
    let album = Album::new();
    let sale = || Demo::run("tickets").args(["--speed", "max"]);
    for option in ["--timeline", "--trace", "--html"] {
        let nowhere = album.path("no/such/directory.svg");
        refused(sale().args([option]).arg(&nowhere), &nowhere);
        refused(sale().args([option]).arg(album.directory.path()), album.directory.path());
    }
    let one = album.path("one");
    refused(sale().args(["--timeline"]).arg(&one).args(["--trace"]).arg(&one), &one);
    refused(sale().args(["--html"]).arg(&one).args(["--trace"]).arg(&one), &one);
    assert!(!one.exists(), "what was made for nothing is gone");
    Demo::run("bench").args(["lock", "--trace"]).arg(&one).expect_exit(2);
    assert!(!one.exists(), "a benchmark draws no run");
}

#[test]
fn unusable_input_leaves_files_as_they_were() {
    let _watchdog = watchdog("pictures::unusable_input");
    let album = Album::new();
    let earlier = r#"{"displayTimeUnit":"ms","traceEvents":["#.to_owned() + &"mine ".repeat(100_000);
    fs::write(album.path("run.json"), &earlier).expect("written");
    album.of(Demo::run("tickets").args(["--data", "/nonexistent"])).expect_exit(2);
    assert_eq!(fs::read_to_string(album.path("run.json")).expect("readable"), earlier);
    assert!(!album.path("run.svg").exists());
    // A run replaces all of it, even with something shorter.
    album.of(Demo::run("tickets").args(["--speed", "max"])).expect_exit(0);
    album.open();
}

#[test]
fn what_is_no_picture_is_not_written_over() {
    let _watchdog = watchdog("pictures::written_over");
    let album = Album::new();
    let mine = album.path("tickets.json");
    for option in ["--timeline", "--trace", "--html"] {
        fs::write(&mine, r#"{"count": 3}"#).expect("written");
        refused(Demo::run("tickets").arg("--data").arg(&mine).args([option]).arg(&mine), &mine);
        assert_eq!(fs::read_to_string(&mine).expect("readable"), r#"{"count": 3}"#);
    }
    // An empty file contains nothing that could be lost.
    fs::write(album.path("run.svg"), "").expect("written");
    album.of(Demo::run("tickets").args(["--speed", "max"])).expect_exit(0);
    album.open();
}

#[test]
fn disk_that_fills_up_is_told_of_and_the_other_picture_is_drawn() {
    let _watchdog = watchdog("pictures::full_disk");
    let album = Album::new();
    let sale = Demo::run("tickets").args(["--speed", "max", "--timeline", "/dev/full", "--trace"]);
    let finished = sale.arg(album.path("run.json")).expect_exit(3);
    assert!(finished.stderr.contains("cannot write the timeline to /dev/full: No space left"), "{}", finished.stderr);
    assert!(finished.stdout.contains("run it again"), "the report is whole");
    well_formed::trace(&fs::read_to_string(album.path("run.json")).expect("it was drawn"));
}
