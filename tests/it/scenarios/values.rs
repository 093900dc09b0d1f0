//! The shared counter and the shared array.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, send, watchdog};

fn counts(event: &Event) -> bool {
    matches!(event.fact, Fact::IncrementsMade { .. })
}

#[test]
fn without_the_lock_updates_are_lost_and_counted() {
    let _watchdog = watchdog("scenarios::values::without");
    let count = Demo::run("values").args(["--increments", "300", "--speed", "5", "--format", "json"]);
    let events = count.expect_exit(0).events();
    assert_eq!(verdict(&events), (Verdict::Violated, false));
    let [expected, actual, lost, in_array, lost_in_array] =
        ["expected", "actual", "lost", "in_array", "lost_in_array"].map(|name| fact(&events, name));
    assert_eq!((expected, actual + lost, in_array + lost_in_array), (1_200, 1_200, 1_200));
    assert!(lost > 0 && lost_in_array > 0, "{lost} {lost_in_array}");
}

#[test]
fn with_the_lock_none_is_lost() {
    let _watchdog = watchdog("scenarios::values::with");
    for (workers, increments, speed) in [("4", 50, "20"), ("2", 20_000, "max"), ("8", 5_000, "max")] {
        let count = Demo::run("values").args(["--lock", "--workers", workers, "--speed", speed, "--format", "json"]);
        let events = count.args(["--increments", &increments.to_string()]).expect_exit(0).events();
        assert_eq!(verdict(&events), (Verdict::Held, true));
        let all = increments * workers.parse::<u64>().expect("a number");
        assert_eq!(["expected", "actual", "lost"].map(|name| fact(&events, name)), [all, all, 0]);
        assert_eq!(["in_array", "lost_in_array"].map(|name| fact(&events, name)), [all, 0]);
    }
}

#[test]
fn strict_makes_a_lost_update_an_exit_code() {
    let _watchdog = watchdog("scenarios::values::strict");
    let count = Demo::run("values").args(["--increments", "300", "--speed", "5", "--strict"]);
    assert!(count.expect_exit(1).stdout.contains("✘ did not hold, as can happen without a lock: no update is lost"));
}

#[test]
fn alone_there_is_nobody_to_lose_updates_to() {
    let _watchdog = watchdog("scenarios::values::alone");
    let count = Demo::run("values").args(["--workers", "1", "--speed", "max", "--format", "json"]);
    let events = count.expect_exit(0).events();
    assert_eq!((verdict(&events), fact(&events, "actual")), ((Verdict::Held, false), 1_000));
}

#[test]
fn killed_worker_keeps_neither_the_lock_nor_what_it_told() {
    let _watchdog = watchdog("scenarios::values::killed");
    for at in ["worker-1", "worker-2", "worker-3"] {
        let mut count = Demo::run("values").args(["--lock", "--increments", "200", "--speed", "5"]).start();
        let victim = count.until(|event| counts(event) && event.worker == at).pid;
        // One of four is in the critical section at any time.
        send(victim, Signal::SIGKILL);
        let (code, events, stderr) = count.finish();
        assert_eq!(code, Some(3), "{stderr}");
        assert_eq!((verdict(&events), ended(&events)), ((Verdict::Held, true), 3));
        let (expected, actual) = (fact(&events, "expected"), fact(&events, "actual"));
        // What the victim added and did not report is in the counter nevertheless.
        assert!((600..=800).contains(&expected) && (expected..=800).contains(&actual), "{expected} {actual}");
    }
}

#[test]
fn interrupted_count_is_summed_up() {
    let _watchdog = watchdog("scenarios::values::interrupted");
    let events = interrupt(Demo::run("values").args(["--lock"]), counts);
    assert!((1..4_000).contains(&fact(&events, "expected")));
}

#[test]
fn unusable_numbers_are_refused() {
    for (option, value) in [
        ("--workers", "0"),
        ("--workers", "1001"),
        ("--increments", "0"),
        ("--increments", "-1"),
        ("--increments", "1000000001"),
        ("--increments", "99999999999999999999"),
    ] {
        refused(Demo::run("values").args([option, value]), &[option, value]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::values::lines");
    let [en, zh] = said_in_eighty_columns(|| {
        Demo::run("values").args(["--workers", "10", "--speed", "max", "--increments", "10000"])
    });
    assert_eq!(en.matches("has added 10000;").count(), 10, "{en}");
    assert_eq!(zh.matches("已加10000次").count(), 10, "{zh}");
}
