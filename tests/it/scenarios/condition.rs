//! The handmade bounded buffer.

use std::collections::BTreeMap;

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, Running, fact, facts, send, watchdog};

fn is_put(event: &Event) -> bool {
    matches!(event.fact, Fact::ItemPut { .. })
}

fn is_got(event: &Event) -> bool {
    matches!(event.fact, Fact::ItemGot { .. })
}

/// Returns what came out, by producer.
fn taken(events: &[Event]) -> BTreeMap<&str, Vec<u64>> {
    let mut taken: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for event in events {
        if let Fact::ItemGot { from, number, .. } = &event.fact {
            taken.entry(from).or_default().push(*number);
        }
    }
    taken
}

#[test]
fn every_item_comes_out_once_in_order_and_never_too_many_are_in() {
    let _watchdog = watchdog("scenarios::condition::all");
    for (producers, consumers, capacity, speed) in
        [("2", "2", "3", "50"), ("1", "1", "1", "max"), ("4", "3", "2", "max"), ("1", "4", "1000000", "max")]
    {
        let buffer = Demo::run("condition").args(["--producers", producers, "--consumers", consumers]);
        let buffer = buffer.args(["--capacity", capacity, "--speed", speed, "--items", "200", "--format", "json"]);
        let buffer = if speed == "max" { buffer } else { buffer.args(["--seed", "1"]) };
        let events = buffer.expect_exit(0).events();
        let numbers: Vec<u64> = (1..=200).collect();
        let taken = taken(&events);
        assert_eq!(taken.len().to_string(), producers);
        assert!(taken.values().all(|of_one| *of_one == numbers), "{taken:?}");
        let mut inside: i64 = 0;
        for event in &events {
            inside += i64::from(is_put(event)) - i64::from(is_got(event));
            assert!((0..=capacity.parse().expect("a number")).contains(&inside), "{inside} at {event:?}");
        }
        assert_eq!(verdict(&events), (Verdict::Held, true));
        assert_eq!(["lost", "duplicated", "still_queued"].map(|name| fact(&events, name)), [0; 3]);
        assert_eq!(facts(&events)["in_order"], true);
        assert_eq!(count(&events, |fact| *fact == Fact::EndOfFile).to_string(), consumers, "all see the end");
    }
}

#[test]
fn both_sides_wait_for_each_other() {
    let _watchdog = watchdog("scenarios::condition::both_wait");
    let waits = |producers: &str, consumers: &str, wanted: &str| {
        let buffer = Demo::run("condition").args(["--producers", producers, "--consumers", consumers, "--speed", "50"]);
        let events = buffer.args(["--capacity", "1", "--format", "json"]).expect_exit(0).events();
        count(&events, |fact| matches!(fact, Fact::ConditionMet { condition, .. } if condition == wanted))
    };
    assert!(waits("4", "1", "not full") > 0, "producers wait for room");
    assert!(waits("1", "4", "not empty") > 0, "consumers wait for items");
}

/// Checks the rest of a run after this number of kills: no worker hangs, and only what the victims held is lost.
#[track_caller]
fn ends_in_order(run: Running, killed: u64, workers: u64, expected: Verdict) -> Vec<Event> {
    let (code, events, stderr) = run.finish();
    assert_eq!(code, Some(3), "{stderr}");
    assert_eq!((verdict(&events), ended(&events)), ((expected, true), workers - killed));
    assert!(fact(&events, "lost") <= killed);
    assert_eq!(fact(&events, "duplicated"), 0);
    events
}

#[test]
fn killed_producer_is_survived_and_its_items_come_out() {
    let _watchdog = watchdog("scenarios::condition::killed_producer");
    let mut buffer = Demo::run("condition").args(["--speed", "5"]).start();
    let victim = buffer.until(is_put).pid;
    send(victim, Signal::SIGKILL);
    let events = ends_in_order(buffer, 1, 4, Verdict::Held);
    assert!((11..20).contains(&fact(&events, "produced")));
    assert_eq!(fact(&events, "still_queued"), 0);
}

#[test]
fn last_producer_killed_is_an_end_for_those_who_wait() {
    let _watchdog = watchdog("scenarios::condition::last_producer");
    let mut buffer = Demo::run("condition").args(["--producers", "1", "--consumers", "3"]).start();
    let victim = buffer.until(is_put).pid;
    send(victim, Signal::SIGKILL);
    let events = ends_in_order(buffer, 1, 4, Verdict::Held);
    assert_eq!(count(&events, |fact| *fact == Fact::EndOfFile), 3);
}

#[test]
fn last_consumer_killed_is_an_end_for_those_who_want_room() {
    let _watchdog = watchdog("scenarios::condition::last_consumer");
    let mut buffer = Demo::run("condition").args(["--consumers", "1", "--capacity", "1", "--speed", "5"]).start();
    let victim = buffer.until(is_got).pid;
    send(victim, Signal::SIGKILL);
    let events = ends_in_order(buffer, 1, 3, Verdict::NotShown);
    assert_eq!(count(&events, |fact| matches!(fact, Fact::QueueFull { .. })), 2, "no room, and nobody to make some");
    assert_eq!(fact(&events, "still_queued"), 1);
}

#[test]
fn killed_waiter_eats_no_item() {
    let _watchdog = watchdog("scenarios::condition::killed_waiter");
    let mut buffer = Demo::run("condition").args(["--producers", "1", "--consumers", "3", "--speed", "2"]).start();
    let victim = buffer.until(|event| matches!(event.fact, Fact::ConditionWaiting { .. })).pid;
    send(victim, Signal::SIGKILL);
    let events = ends_in_order(buffer, 1, 4, Verdict::Held);
    assert_eq!((fact(&events, "produced"), fact(&events, "consumed")), (10, 10));
}

#[test]
fn killed_in_pairs_at_twelve_moments_nobody_hangs() {
    let _watchdog = watchdog("scenarios::condition::killed_in_pairs");
    for after in 1..=12 {
        // Without pauses, most of their time is spent holding the lock or waiting for it.
        let args = ["--producers", "3", "--consumers", "3", "--capacity", "2", "--items", "2000", "--speed", "max"];
        let mut buffer = Demo::run("condition").args(args).start();
        let mut last = 0;
        for _ in 0..after * 50 {
            last = buffer.until(|event| is_put(event) || is_got(event)).pid;
        }
        send(last, Signal::SIGKILL);
        let other = buffer.until(|event| (is_put(event) || is_got(event)) && event.pid != last).pid;
        send(other, Signal::SIGKILL);
        ends_in_order(buffer, 2, 6, Verdict::Held);
    }
}

#[test]
fn interrupted_buffer_is_summed_up() {
    let _watchdog = watchdog("scenarios::condition::interrupted");
    let events = interrupt(Demo::run("condition"), is_got);
    assert_eq!((fact(&events, "capacity"), fact(&events, "duplicated")), (3, 0));
}

#[test]
fn unusable_numbers_are_refused() {
    for (option, value) in [
        ("--capacity", "0"),
        ("--capacity", "1000001"),
        ("--items", "0"),
        ("--items", "-3"),
        ("--items", "18446744073709551616"),
        ("--producers", "0"),
        ("--producers", "1001"),
        ("--consumers", "0"),
    ] {
        refused(Demo::run("condition").args([option, value]), &[option, value]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::condition::lines");
    let [en, zh] = said_in_eighty_columns(|| {
        Demo::run("condition").args(["--producers", "5", "--consumers", "5", "--capacity", "1", "--speed", "50"])
    });
    assert!(en.contains("waits: the buffer is full") && en.contains("puts 10  (1 in the buffer)"), "{en}");
    assert_eq!((zh.matches("生产者产生数据: ").count(), zh.matches("消费者获取数据: ").count()), (50, 50), "{zh}");
}
