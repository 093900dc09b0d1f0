//! The race.

use crate::report::schema::{Event, Fact, RUNNER, Verdict};
use nix::sys::signal::Signal;

use super::{count, ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, send, watchdog};

fn is_at_the_line(event: &Event) -> bool {
    matches!(event.fact, Fact::GunAwaited)
}

fn starts(fact: &Fact) -> bool {
    matches!(fact, Fact::GunHeard { .. })
}

#[test]
fn nobody_starts_before_the_gun_and_all_after() {
    let _watchdog = watchdog("scenarios::event::gun");
    for seed in 0..5 {
        let race = Demo::run("event").args(["--speed", "20", "--racers", "8", "--format", "json"]);
        let events = race.args(["--seed", &seed.to_string()]).expect_exit(0).events();
        let shot = events.iter().position(|event| event.fact == Fact::GunFired).expect("it is fired");
        assert_eq!(events[shot].worker, RUNNER);
        assert_eq!(count(&events[..shot], starts), 0);
        assert_eq!(count(&events[shot..], starts), 8);
        assert!(events.iter().filter(|event| starts(&event.fact)).all(|start| start.at_us >= events[shot].at_us));
        assert_eq!(verdict(&events), (Verdict::Held, true));
        let named = ["racers", "started", "finished", "false_starts"].map(|name| fact(&events, name));
        assert_eq!(named, [8, 8, 8, 0]);
    }
}

#[test]
fn who_comes_after_the_shot_runs_at_once() {
    let _watchdog = watchdog("scenarios::event::latecomers");
    // The gun is fired when all have been started, wherever they are by then.
    let race = Demo::run("event").args(["--speed", "max", "--racers", "50", "--format", "json"]);
    assert_eq!(fact(&race.expect_exit(0).events(), "finished"), 50);
}

#[test]
fn racer_killed_at_the_line_holds_up_nobody() {
    let _watchdog = watchdog("scenarios::event::killed_at_the_line");
    let mut race = Demo::run("event").args(["--racers", "4", "--seed", "1"]).start();
    let victim = race.until(is_at_the_line).pid;
    send(victim, Signal::SIGKILL);
    race.until(|event| event.pid == victim && matches!(event.fact, Fact::WorkerExited { signal: Some(9), .. }));
    assert!(!race.seen.iter().any(|event| event.fact == Fact::GunFired), "it was killed before the shot");
    let (code, events, stderr) = race.finish();
    assert_eq!(code, Some(3), "{stderr}");
    assert_eq!((verdict(&events), ended(&events)), ((Verdict::Held, true), 3));
    assert_eq!((fact(&events, "started"), fact(&events, "finished")), (3, 3));
}

#[test]
fn race_ends_when_nobody_is_left_to_wait_for_the_gun() {
    let _watchdog = watchdog("scenarios::event::nobody_left");
    // The shot would come in four hours.
    let mut race = Demo::run("event").args(["--racers", "1", "--speed", "0.0001"]).start();
    let pid = race.until(|event| matches!(event.fact, Fact::WorkerStarted { .. })).pid;
    send(pid, Signal::SIGKILL);
    assert_eq!(race.finish().0, Some(3));
}

#[test]
fn interrupted_race_is_summed_up() {
    let _watchdog = watchdog("scenarios::event::interrupted");
    let events = interrupt(Demo::run("event").args(["--seed", "1"]), is_at_the_line);
    assert_eq!((fact(&events, "racers"), fact(&events, "false_starts")), (5, 0));
}

#[test]
fn unusable_numbers_are_refused() {
    for value in ["0", "-1", "1001", "4294967296", "five", ""] {
        refused(Demo::run("event").args(["--racers", value]), &["--racers"]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::event::lines");
    let [en, zh] = said_in_eighty_columns(|| Demo::run("event").args(["--speed", "50", "--racers", "10"]));
    assert_eq!(en.matches("waits at the start line").count(), 10, "{en}");
    assert_eq!((en.matches("fires the gun").count(), en.matches("crosses the finish line").count()), (1, 10), "{en}");
    assert_eq!((zh.matches("发令枪响").count(), zh.matches("到达终点").count()), (1, 10), "{zh}");
}
