//! The rounds.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, Running, fact, facts, send, watchdog};

fn waits(event: &Event) -> bool {
    matches!(event.fact, Fact::BarrierWaiting { .. })
}

/// Returns when the workers finished a round, and when they went on.
fn times_of(events: &[Event], wanted: u64) -> (Vec<u64>, Vec<u64>) {
    let times = |is_wanted: fn(&Fact, u64) -> bool| -> Vec<u64> {
        events.iter().filter(|event| is_wanted(&event.fact, wanted)).map(|event| event.at_us).collect()
    };
    (
        times(|fact, wanted| matches!(fact, Fact::BarrierWaiting { round } if *round == wanted)),
        times(|fact, wanted| matches!(fact, Fact::BarrierPassed { round, .. } if *round == wanted)),
    )
}

#[test]
fn nobody_begins_a_round_before_all_are_done_with_the_last() {
    let _watchdog = watchdog("scenarios::barrier::rounds");
    for (speed, rounds) in [("50", 3), ("max", 100)] {
        let run = Demo::run("barrier").args(["--speed", speed, "--rounds", &rounds.to_string(), "--format", "json"]);
        let events = run.expect_exit(0).events();
        for round in 1..=rounds {
            let (done, gone_on) = times_of(&events, round);
            assert_eq!((done.len(), gone_on.len()), (4, 4), "round {round}");
            assert!(done.iter().max() <= gone_on.iter().min(), "round {round}: {done:?} {gone_on:?}");
        }
        assert_eq!(verdict(&events), (Verdict::Held, true));
        assert_eq!(
            ["parties", "rounds", "completed", "too_early"].map(|name| fact(&events, name)),
            [4, rounds, rounds, 0]
        );
        assert_eq!(facts(&events)["broken"], false);
    }
}

/// Kills a worker while another waits, which must be told, as must the others on arrival.
#[track_caller]
fn killed(run: Running, victim: u32) {
    send(victim, Signal::SIGKILL);
    let (code, events, stderr) = run.finish();
    assert_eq!(code, Some(3), "{stderr}");
    let broken: Vec<&Event> = events.iter().filter(|event| matches!(event.fact, Fact::BarrierBroken { .. })).collect();
    assert_eq!(broken.len(), 3, "everybody else is told");
    for event in broken {
        assert!(matches!(event.fact, Fact::BarrierBroken { dead_pid: Some(pid), .. } if pid == victim), "{event:?}");
    }
    assert_eq!(ended(&events), 3, "they end in order");
    assert_eq!(verdict(&events), (Verdict::NotShown, true), "no round was finished");
    assert_eq!(facts(&events)["broken"], true);
}

#[test]
fn killed_waiter_breaks_the_barrier_for_the_others() {
    let _watchdog = watchdog("scenarios::barrier::killed_waiter");
    let mut run = Demo::run("barrier").args(["--rounds", "1000"]).start();
    let victim = run.until(waits).pid;
    run.until(waits);
    killed(run, victim);
}

#[test]
fn worker_killed_before_it_waits_breaks_the_barrier_for_the_others() {
    let _watchdog = watchdog("scenarios::barrier::killed_worker");
    let mut run = Demo::run("barrier").args(["--rounds", "1000"]).start();
    let waiter = run.until(waits).pid;
    let other = run.seen.iter().find(|event| event.pid != waiter && event.pid != run.pid());
    let victim = other.expect("they were started before").pid;
    killed(run, victim);
}

#[test]
fn party_of_one_waits_for_nobody() {
    let _watchdog = watchdog("scenarios::barrier::one");
    let run = Demo::run("barrier").args(["--parties", "1", "--rounds", "5", "--speed", "max", "--format", "json"]);
    assert_eq!(fact(&run.expect_exit(0).events(), "completed"), 5);
}

#[test]
fn large_party_comes_through() {
    let _watchdog = watchdog("scenarios::barrier::large");
    let run = Demo::run("barrier").args(["--parties", "50", "--speed", "max", "--format", "json"]);
    let events = run.expect_exit(0).events();
    assert_eq!(count(&events, |fact| matches!(fact, Fact::BarrierPassed { .. })), 150);
}

#[test]
fn interrupted_rounds_are_summed_up() {
    let _watchdog = watchdog("scenarios::barrier::interrupted");
    let events = interrupt(Demo::run("barrier"), waits);
    assert_eq!((fact(&events, "completed"), fact(&events, "too_early")), (0, 0));
}

#[test]
fn unusable_numbers_are_refused() {
    for (option, value) in [
        ("--parties", "0"),
        ("--parties", "-1"),
        ("--parties", "1001"),
        ("--parties", "4294967297"),
        ("--rounds", "0"),
        ("--rounds", "100001"),
        ("--rounds", "18446744073709551616"),
    ] {
        refused(Demo::run("barrier").args([option, value]), &[option, value]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::barrier::lines");
    let [en, zh] = said_in_eighty_columns(|| Demo::run("barrier").args(["--parties", "10", "--speed", "50"]));
    assert_eq!(
        (en.matches("finishes round 3").count(), en.matches("passes the barrier of round 3").count()),
        (10, 10),
        "{en}"
    );
    assert_eq!((zh.matches("完成第3轮，").count(), zh.matches("通过第3轮屏障").count()), (10, 10), "{zh}");
}
