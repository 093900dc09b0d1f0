//! The ticket sale.

use std::collections::BTreeMap;

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, verdict};
use crate::harness::{Demo, await_end, fact, facts, send, watchdog};

/// Returns the periods in which a worker held the lock.
fn holding_periods(events: &[Event]) -> Vec<(u64, u64)> {
    let mut since = BTreeMap::new();
    let mut periods = Vec::new();
    for event in events {
        match event.fact {
            Fact::LockAcquired { .. } => assert_eq!(since.insert(&event.worker, event.at_us), None),
            Fact::LockReleased { .. } => {
                periods.push((since.remove(&event.worker).expect("it held the lock"), event.at_us));
            }
            _ => {}
        }
    }
    assert!(since.is_empty(), "still held: {since:?}");
    periods
}

#[test]
fn with_the_lock_nothing_is_oversold_and_nobody_overlaps() {
    let _watchdog = watchdog("scenarios::tickets::with_the_lock");
    for seed in 0..20 {
        let seed = seed.to_string();
        let sale = Demo::run("tickets").args(["--lock", "--speed", "1000", "--format", "json", "--seed", &seed]);
        let events = sale.expect_exit(0).events();
        assert!(matches!(events[0].fact, Fact::RunStarted { .. }));
        let mut periods = holding_periods(&events);
        periods.sort_unstable();
        assert_eq!(periods.len(), 10);
        assert!(periods.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{periods:?}");
        assert_eq!(verdict(&events), (Verdict::Held, true));
        // The summary counts what the workers reported.
        assert_eq!(fact(&events, "bought"), count(&events, |fact| matches!(fact, Fact::TicketBought { .. })));
        assert_eq!(fact(&events, "refused"), count(&events, |fact| matches!(fact, Fact::TicketRefused { .. })));
        let named = ["stock", "buyers", "bought", "refused", "left", "oversold"].map(|name| fact(&events, name));
        assert_eq!(named, [3, 10, 3, 7, 0, 0]);
        assert!(facts(&events).values().all(|value| value.is_u64() || value.is_boolean()));
    }
}

#[test]
fn without_the_lock_the_shop_oversells() {
    let _watchdog = watchdog("scenarios::tickets::without_the_lock");
    let oversold = (0..10).filter(|seed| {
        let sale = Demo::run("tickets").args(["--speed", "100", "--format", "json", "--seed", &seed.to_string()]);
        let events = sale.expect_exit(0).events();
        assert!(!verdict(&events).1, "nothing is promised");
        let bought = count(&events, |fact| matches!(fact, Fact::TicketBought { .. }));
        assert_eq!(fact(&events, "oversold"), bought.saturating_sub(3));
        fact(&events, "oversold") > 0
    });
    assert!(oversold.count() >= 8, "it oversells in nearly every run");
}

#[test]
fn strict_makes_a_broken_claim_an_exit_code() {
    let _watchdog = watchdog("scenarios::tickets::strict");
    let sale = Demo::run("tickets").args(["--speed", "100", "--strict", "--buyers", "20"]);
    let finished = sale.expect_exit(1);
    assert!(finished.stdout.contains("✘ did not hold, as can happen without a lock"), "{}", finished.stdout);
}

#[test]
fn killed_holder_is_succeeded_and_the_sale_ends_correctly() {
    let _watchdog = watchdog("scenarios::tickets::killed_holder");
    let mut sale = Demo::run("tickets").args(["--lock", "--speed", "20", "--buyers", "4"]).start();
    let held = sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
    let (victim, pid) = (held.worker.clone(), held.pid);
    // All others wait for the lock by now, or will soon.
    send(pid, Signal::SIGKILL);
    let taken_over = sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).clone();
    assert!(matches!(taken_over.fact, Fact::LockAcquired { abandoned: true, .. }), "{taken_over:?}");
    let (code, events, stderr) = sale.finish();
    assert_eq!(code, Some(3), "a worker died unexpectedly");
    assert!(stderr.contains(&format!("worker {victim} ")) && stderr.contains("SIGKILL"), "{stderr}");
    let died = events.iter().find(|event| event.worker == victim && matches!(event.fact, Fact::WorkerExited { .. }));
    let died = died.expect("the victim's end is told");
    assert!(matches!(died.fact, Fact::WorkerExited { signal: Some(9), exit_code: None, .. }));
    assert_eq!(verdict(&events), (Verdict::Held, true));
    assert_eq!(["bought", "left", "oversold", "refused"].map(|name| fact(&events, name)), [3, 0, 0, 0]);
}

#[test]
fn runner_killed_in_the_middle_leaves_nobody() {
    let _watchdog = watchdog("scenarios::tickets::runner_killed");
    let scratch = tempfile::tempdir().expect("a directory");
    let directory = scratch.path().to_str().expect("a plain name").to_owned();
    let mut sale = Demo::run("tickets").args(["--lock"]).env("TMPDIR", &directory).start();
    sale.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
    let workers: Vec<u32> = sale.seen.iter().map(|event| event.pid).filter(|pid| *pid != sale.pid()).collect();
    assert!(!workers.is_empty());
    let runner = sale.pid();
    send(runner, Signal::SIGKILL);
    // Returns when the last process that has the run's stdout has ended, or the watchdog ends the test.
    let (code, _, _) = sale.finish();
    assert_eq!(code, None, "killed by a signal");
    workers.iter().for_each(|pid| await_end(*pid));
    assert_eq!(std::fs::read_dir(scratch.path()).expect("a directory").count(), 0, "nothing in the temp directory");
}

#[test]
fn own_file_is_sold_from_in_place_and_keeps_its_other_keys() {
    let _watchdog = watchdog("scenarios::tickets::own_file");
    let scratch = tempfile::tempdir().expect("a directory");
    let path = scratch.path().join("shop.json");
    std::fs::write(&path, "{\n  \"shop\": \"north\", \"ticket_num\": 12,\n  \"price\": 1.10\n}\n").expect("written");
    let sale = || Demo::run("tickets").args(["--lock", "--speed", "max", "--data"]).arg(&path);
    sale().expect_exit(0);
    assert_eq!(
        std::fs::read_to_string(&path).expect("readable"),
        "{\n  \"shop\": \"north\", \"ticket_num\":  2,\n  \"price\": 1.10\n}\n"
    );
    sale().args(["--stock", "100", "--buyers", "1"]).expect_exit(0);
    assert_eq!(
        std::fs::read_to_string(&path).expect("readable"),
        "{\n  \"shop\": \"north\", \"ticket_num\":   99,\n  \"price\": 1.10\n}\n"
    );
}

#[test]
fn chinese_lines_are_those_of_the_reference_program() {
    let _watchdog = watchdog("scenarios::tickets::chinese");
    let sale = Demo::run("tickets").args(["--lock", "--speed", "max", "--buyers", "4"]).env("LANG", "zh_CN.UTF-8");
    let said = sale.expect_exit(0).stdout;
    assert!(said.contains("1查询到余票"), "{said}");
    assert_eq!(said.matches("购票成功").count(), 3, "{said}");
    assert_eq!(said.matches("购票失败").count(), 1, "{said}");
}
