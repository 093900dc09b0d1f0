//! The proof of crash safety through the real binary: it finds no fault, except those that are injected.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::harness::{Demo, await_end, children_of, is_running, send, skip, watchdog};

/// Returns whether workers may be single-stepped here. Prints a message if not.
fn is_possible() -> bool {
    let mut tried = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
    let tried = tried.args(["chaos", "lock", "--place", "idle"]).output().expect("the program starts");
    let said = String::from_utf8_lossy(&tried.stderr);
    let refused = tried.status.code() == Some(3) && said.contains("ptrace is not allowed");
    if refused {
        skip("ptrace", said);
    }
    !refused
}

/// Returns the rows of a run as JSON, and its last line.
fn rows(stdout: &str) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let total = lines.pop().expect("a last line");
    assert_eq!(total["summary"], "chaos");
    assert_eq!(total["rows"], lines.len());
    (lines, total)
}

fn chaos(args: &[&str]) -> Demo {
    Demo::run("chaos").args(["--format", "json", "--seed", "1"]).args(args.iter().copied())
}

/// Returns the faults of a row, without repetitions.
fn faults(row: &Value) -> Vec<&str> {
    let faults = row["faults"].as_array().expect("a list");
    let mut names: Vec<&str> = faults.iter().map(|fault| fault["fault"].as_str().expect("a name")).collect();
    names.dedup();
    names
}

#[test]
fn kills_around_what_decides_are_survived() {
    let _watchdog = watchdog("chaos::kills_around_what_decides");
    if !is_possible() {
        return;
    }
    let rows = all_hold(&["lock", "rlock", "Value", "array", "pipe", "queue", "joinable-queue", "pool"]);
    // One instruction decides whether these happened.
    for (object, place) in [
        ("Queue", "in put"),
        ("Queue", "in put_many, a peer waits"),
        ("Queue", "in get, a peer waits"),
        ("Queue", "in get_many"),
        ("JoinableQueue", "in get"),
        ("JoinableQueue", "in get, of the dead"),
        ("JoinableQueue", "in task_done, one joins"),
        ("Pool", "taking a task"),
    ] {
        let row = rows.iter().find(|row| row["object"] == object && row["killed"] == place);
        let row = row.unwrap_or_else(|| panic!("{object}, {place}"));
        let [before, after] = ["undone", "done"].map(|effect| row[effect].as_u64().expect("a number"));
        assert!(before > 4 && after > 4 && row["handed_on"] == 0, "{row}");
    }
}

#[test]
#[ignore = "takes minutes: cargo test --release --test it every_instruction_of_every -- --ignored"]
fn every_instruction_of_every_operation_is_survived() {
    if is_possible() {
        all_hold(&["--exhaustive", "--full"]);
    }
}

/// Performs kills after which everything has to hold, and returns the rows.
fn all_hold(args: &[&str]) -> Vec<Value> {
    let (rows, total) = rows(&chaos(args).expect_exit(0).stdout);
    for row in &rows {
        assert_eq!((faults(row), &row["verdict"]), (vec![], &Value::from("held")), "{row}");
        let seen = ["undone", "handed_on", "done"].map(|effect| row[effect].as_u64().expect("a number"));
        assert_eq!(Some(seen.iter().sum()), row["kills"].as_u64(), "{row}");
    }
    assert_eq!((&total["left_behind"], &total["broken_rows"]), (&Value::from(0), &Value::from(0)), "{total}");
    rows
}

#[test]
fn every_instruction_of_a_release_is_tried() {
    let _watchdog = watchdog("chaos::every_instruction");
    if !is_possible() {
        return;
    }
    let (rows, _) = rows(&chaos(&["lock", "--place", "in release", "--exhaustive"]).expect_exit(0).stdout);
    assert_eq!(rows.len(), 2);
    for row in rows {
        let instructions = row["instructions"].as_u64().expect("a number");
        assert!(instructions > 10, "{row}");
        assert_eq!(row["kills"], instructions + 1, "one behind each, and one before the first");
        let [before, after] = ["handed_on", "done"].map(|effect| row[effect].as_u64().expect("a number"));
        assert!(before > 0 && after > 0 && before + after == instructions + 1, "{row}");
    }
}

#[test]
fn wake_in_two_steps_is_found() {
    let _watchdog = watchdog("chaos::wake_in_two_steps");
    if !cfg!(debug_assertions) || !is_possible() {
        return;
    }
    let args = ["event", "semaphore", "--place", "wait", "--failpoint", "two-step-wake"];
    let (rows, total) = rows(&chaos(&args).expect_exit(1).stdout);
    for place in ["in set, two peers wait", "in release, a peer waits"] {
        let row = rows.iter().find(|row| row["killed"] == place).expect("it was tried");
        assert_eq!(faults(row), ["wake_lost"], "{row}");
    }
    assert_eq!((&total["broken_rows"], &total["verdict"]), (&Value::from(2), &Value::from("violated")), "{total}");
}

#[test]
fn item_that_is_published_before_it_is_written_is_found() {
    let _watchdog = watchdog("chaos::item_published_early");
    if !cfg!(debug_assertions) || !is_possible() {
        return;
    }
    let args = ["queue", "--place", "in put", "--failpoint", "early-publish"];
    let (rows, _) = rows(&chaos(&args).expect_exit(1).stdout);
    let row = rows.iter().find(|row| row["killed"] == "in put").expect("it was tried");
    assert_eq!(faults(row), ["unusable"], "{row}");
}

#[test]
fn release_knows_no_failpoint() {
    let failpoint = Demo::run("chaos").args(["--failpoint", "early-publish", "--place", "nowhere"]);
    let said = failpoint.expect_exit(2).stderr;
    assert_eq!(said.contains("unexpected argument"), !cfg!(debug_assertions), "{said}");
    let program = std::fs::read(env!("CARGO_BIN_EXE_ipc-demo")).expect("it was built");
    for trace in ["two-step-wake", "early-publish"] {
        let is_there = program.windows(trace.len()).any(|bytes| bytes == trace.as_bytes());
        assert_eq!(is_there, cfg!(debug_assertions), "{trace}");
    }
}

#[test]
fn unknown_names_are_refused_with_the_known_ones() {
    let _watchdog = watchdog("chaos::unknown_names");
    let said = Demo::run("chaos").args(["lokc"]).expect_exit(2).stderr;
    assert!(said.contains("lokc") && said.contains("JoinableQueue"), "{said}");
    let said = Demo::run("chaos").args(["--place", "nowhere"]).expect_exit(2).stderr;
    assert!(said.contains("no row"), "{said}");
    Demo::run("chaos").args(["--full"]).expect_exit(2);
}

#[test]
fn table_fits_in_both_languages() {
    let _watchdog = watchdog("chaos::table_fits");
    if !is_possible() {
        return;
    }
    for (language, columns, held) in [("en", 80, "✔ held:"), ("zh", 80, "✔ 成立："), ("en", 40, "✔ held:")] {
        let demo = Demo::run("chaos").args(["lock", "pipe", "barrier", "--lang", language]);
        let table = demo.env("COLUMNS", &columns.to_string()).expect_exit(0).stdout;
        assert!(table.contains(held), "{table}");
        for line in table.lines() {
            assert!(line.width() <= columns, "{line}");
        }
    }
}

/// Returns whether the same can be done to Python here. Prints a message if not.
fn is_python_possible() -> bool {
    let tried = Command::new("python3").args(["-c", "import ctypes, multiprocessing"]).output();
    let found = tried.is_ok_and(|tried| tried.status.success());
    if !found {
        skip("python3", "there is none with multiprocessing");
    }
    found && is_possible()
}

#[test]
fn python_hangs_where_we_go_on() {
    let _watchdog = watchdog("chaos::python");
    if !is_python_possible() {
        return;
    }
    let args = ["lock", "pipe", "datagrams", "JoinableQueue", "--against", "python"];
    let (rows, total) = rows(&chaos(&args).args(["--place", "ing"]).expect_exit(0).stdout);
    let python = |object: &str, place: &str| {
        let row = rows.iter().find(|row| row["object"] == object && row["killed"] == place);
        row.unwrap_or_else(|| panic!("{object}, {place}"))["python"].clone()
    };
    for (object, place, outcome) in [
        ("Lock", "waiting", "goes_on"),
        ("Lock", "holding", "hangs"),
        ("Pipe", "waiting", "goes_on"),
        ("JoinableQueue", "waiting", "hangs"),
        ("JoinableQueue", "holding", "hangs"),
    ] {
        let seen = python(object, place);
        assert_eq!(seen["outcome"], outcome, "{object}, {place}: {seen}");
        let counts = ["goes_on", "loses", "wrong", "hangs"].map(|each| seen[each].as_u64().expect("a number"));
        assert_eq!(seen["kills"], counts.iter().sum::<u64>(), "{seen}");
    }
    assert_eq!(total["verdict"], "held", "Python's side does not count against ours: {total}");
    assert!(total["python"]["version"].as_str().expect("a version").starts_with('3'), "{total}");
}

#[test]
fn table_with_python_fits_in_both_languages() {
    let _watchdog = watchdog("chaos::table_with_python");
    if !is_python_possible() {
        return;
    }
    for (language, word, reservation) in [("en", "hangs", "between runs"), ("zh", "卡死", "每次运行可能不同")]
    {
        let args = ["lock", "datagrams", "--against", "python", "--lang", language, "--color", "never"];
        let table = Demo::run("chaos").args(args).expect_exit(0).stdout;
        let row = |place: &str| table.lines().find(|line| line.contains(place)).unwrap_or_else(|| panic!("{table}"));
        assert!(row(if language == "en" { "holding" } else { "持有" }).ends_with(word), "{table}");
        let sending = if language == "en" { "in send" } else { "send 中" };
        assert!(row(sending).ends_with('–'), "Python has nothing like it: {table}");
        assert!(table.contains("Python 3") && table.contains(reservation), "{table}");
        for line in table.lines() {
            assert!(line.width() <= 80, "{line}");
        }
    }
}

#[test]
fn kill_that_two_classes_of_python_have_is_shown_for_both() {
    let _watchdog = watchdog("chaos::two_classes");
    if !is_python_possible() {
        return;
    }
    let args = ["pool", "--place", "idle", "--against", "python", "--lang", "en", "--color", "never"];
    let table = Demo::run("chaos").args(args).expect_exit(0).stdout;
    let executor = table.lines().find(|line| line.contains("ProcessPoolExecutor")).unwrap_or_else(|| panic!("{table}"));
    assert!(executor.ends_with("loses"), "{table}");
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
}

#[test]
fn without_python_nothing_is_started() {
    let refused = chaos(&["lock", "--against", "python"]).env("PATH", "/nonexistent").expect_exit(2);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("no python3 in the PATH"), "{refused:?}");
}

#[test]
fn python_ends_with_us() {
    let _watchdog = watchdog("chaos::python_ends_with_us");
    if !is_python_possible() {
        return;
    }
    for (signal, code) in [(Signal::SIGINT, Some(130)), (Signal::SIGTERM, Some(143)), (Signal::SIGKILL, None)] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
            .args(["chaos", "lock", "event", "--against", "python"])
            .stdout(Stdio::null())
            .spawn()
            .expect("it starts");
        let is_python = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.starts_with("python"))
        };
        let workers = loop {
            let pythons: Vec<u32> = children_of(child.id()).into_iter().filter(is_python).collect();
            let workers: Vec<u32> = pythons.iter().flat_map(|&python| children_of(python)).collect();
            if !workers.is_empty() {
                break [pythons, workers].concat();
            }
            std::thread::yield_now();
        };
        send(child.id(), signal);
        assert_eq!(child.wait().expect("it ends").code(), code, "{signal}");
        for pid in workers {
            if code.is_some() {
                assert!(!is_running(pid), "{signal} left {pid}");
            }
            await_end(pid);
        }
    }
}

#[test]
fn interrupt_before_the_first_row_shows_nothing() {
    let _watchdog = watchdog("chaos::interrupt_early");
    if !is_possible() {
        return;
    }
    let child = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
        // Minutes.
        .args(["chaos", "queue", "--exhaustive", "--full", "--place", "64 KiB", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    while children_of(child.id()).is_empty() {
        std::thread::yield_now();
    }
    send(child.id(), Signal::SIGINT);
    let output = child.wait_with_output().expect("it ends");
    let said: Value = serde_json::from_slice(&output.stdout).expect("one object");
    assert_eq!((&said["rows"], &said["verdict"]), (&Value::from(0), &Value::from("not_shown")), "{said}");
    assert_eq!(output.status.code(), Some(130));
}

#[test]
fn interrupt_ends_it_in_order() {
    let _watchdog = watchdog("chaos::interrupt");
    if !is_possible() {
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_ipc-demo"))
        .args(["chaos", "--exhaustive", "--format", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("text");
    assert!(first.contains("idle"), "{first}");
    send(child.id(), Signal::SIGINT);
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("text");
    assert!(rest.lines().last().expect("a summary").contains(r#""summary":"chaos""#), "{rest}");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
}
