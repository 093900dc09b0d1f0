//! The car park.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, send, watchdog};

fn drives_in(event: &Event) -> bool {
    matches!(event.fact, Fact::PermitAcquired { .. })
}

/// Returns the maximum number of cars inside at once, by the reported times.
fn most_inside(events: &[Event]) -> i32 {
    let mut doors: Vec<(u64, i32)> = events
        .iter()
        .filter_map(|event| match event.fact {
            Fact::PermitAcquired { .. } => Some((event.at_us, 1)),
            Fact::PermitReleased { .. } => Some((event.at_us, -1)),
            _ => None,
        })
        .collect();
    doors.sort_unstable();
    let inside = doors.iter().scan(0, |inside, (_, change)| {
        *inside += change;
        Some(*inside)
    });
    inside.max().expect("somebody came")
}

#[test]
fn never_more_cars_inside_than_spaces() {
    let _watchdog = watchdog("scenarios::semaphore::never_more");
    for permits in ["1", "3"] {
        for seed in 0..10 {
            let seed = seed.to_string();
            let park = Demo::run("semaphore").args(["--permits", permits, "--speed", "100", "--seed", &seed]);
            let events = park.args(["--format", "json"]).expect_exit(0).events();
            assert_eq!(verdict(&events), (Verdict::Held, true));
            assert_eq!(most_inside(&events).to_string(), permits, "the spaces are used, and no more of them");
            let named = ["permits", "workers", "entered", "most_inside"].map(|name| fact(&events, name));
            let spaces = permits.parse().expect("a number");
            assert_eq!(named, [spaces, 10, 10, spaces]);
        }
    }
}

#[test]
fn space_of_a_killed_car_is_taken() {
    let _watchdog = watchdog("scenarios::semaphore::killed_inside");
    let mut park = Demo::run("semaphore").args(["--permits", "1", "--workers", "3"]).start();
    park.until(|event| matches!(event.fact, Fact::PermitWaiting { .. }));
    let (victim, pid) = {
        let inside = park.until(drives_in);
        (inside.worker.clone(), inside.pid)
    };
    park.until(|event| matches!(event.fact, Fact::PermitWaiting { .. }));
    send(pid, Signal::SIGKILL);
    park.until(drives_in);
    let (code, events, stderr) = park.finish();
    assert_eq!(code, Some(3), "a worker died unexpectedly");
    assert!(stderr.contains(&format!("worker {victim} ")) && stderr.contains("SIGKILL"), "{stderr}");
    assert_eq!(verdict(&events), (Verdict::Held, true));
    assert_eq!((fact(&events, "entered"), ended(&events)), (3, 2));
}

#[test]
fn killed_waiter_takes_no_space() {
    let _watchdog = watchdog("scenarios::semaphore::killed_waiter");
    let mut park = Demo::run("semaphore").args(["--permits", "1", "--workers", "4", "--speed", "2"]).start();
    let inside = park.until(drives_in).worker.clone();
    let waiter = park.until(|event| matches!(event.fact, Fact::PermitWaiting { .. }) && event.worker != inside).pid;
    send(waiter, Signal::SIGKILL);
    let (code, events, _) = park.finish();
    assert_eq!(code, Some(3));
    assert_eq!((verdict(&events), ended(&events)), ((Verdict::Held, true), 3));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::PermitReleased { .. })), 3, "all others parked");
}

#[test]
fn interrupted_car_park_is_summed_up() {
    let _watchdog = watchdog("scenarios::semaphore::interrupted");
    let events = interrupt(Demo::run("semaphore").args(["--permits", "1"]), drives_in);
    assert_eq!(fact(&events, "permits"), 1);
    assert!(fact(&events, "most_inside") <= 1);
}

#[test]
fn more_spaces_than_cars_is_no_problem() {
    let _watchdog = watchdog("scenarios::semaphore::roomy");
    let park = Demo::run("semaphore").args(["--permits", "65536", "--workers", "2", "--speed", "max"]);
    assert_eq!(fact(&park.args(["--format", "json"]).expect_exit(0).events(), "entered"), 2);
}

#[test]
fn unusable_numbers_are_refused() {
    for (option, value) in [
        ("--permits", "0"),
        ("--permits", "-1"),
        ("--permits", "65537"),
        ("--permits", "99999999999999999999"),
        ("--permits", "two"),
        ("--workers", "0"),
        ("--workers", "1001"),
    ] {
        refused(Demo::run("semaphore").args([option, value]), &[option, value]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::semaphore::lines");
    let [en, zh] = said_in_eighty_columns(|| Demo::run("semaphore").args(["--speed", "100"]));
    assert_eq!((en.matches("waits for a space").count(), en.matches("drives in").count()), (10, 10), "{en}");
    assert_eq!((zh.matches("等待车位").count(), zh.matches("离开车位").count()), (10, 10), "{zh}");
}
