//! The deadlock.

use crate::report::schema::{Event, Fact, Link, RUNNER, Verdict};
use nix::sys::signal::Signal;

use super::{count, ended, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, send, watchdog};

fn is_found(event: &Event) -> bool {
    matches!(event.fact, Fact::DeadlockFound { .. })
}

/// Returns the cycle in which each worker holds the lock of its number and wants the next one's.
fn ring_of(workers: usize) -> Vec<Link> {
    let link = |own| {
        let next = own % workers + 1;
        Link {
            worker: format!("worker-{own}"),
            holds: format!("lock-{own}"),
            waits_for: format!("lock-{next}"),
            held_by: format!("worker-{next}"),
        }
    };
    (1..=workers).map(link).collect()
}

#[test]
fn ring_is_named_and_broken_by_the_timeout() {
    let _watchdog = watchdog("scenarios::deadlock::ring");
    for workers in [2, 5] {
        // At this speed every worker has a lock long before the first wants another.
        let ring = Demo::run("deadlock").args(["--workers", &workers.to_string(), "--format", "json"]);
        let events = ring.expect_exit(0).events();
        let found = events.iter().find(|event| is_found(event)).expect("it is found");
        assert_eq!(found.fact, Fact::DeadlockFound { cycle: ring_of(workers) });
        assert_eq!(found.worker, RUNNER);
        let gave_up = events.iter().position(|event| matches!(event.fact, Fact::LockTimedOut { .. }));
        assert!(events.iter().position(is_found) < gave_up, "found while it lasted");
        assert_eq!(verdict(&events), (Verdict::Violated, false));
        assert_eq!((fact(&events, "finished"), ended(&events)), (workers as u64, workers as u64));
        let timeouts = count(&events, |fact| matches!(fact, Fact::LockTimedOut { .. }));
        assert!(timeouts > 0 && fact(&events, "timeouts") == timeouts);
        assert!(fact(&events, "deadlocks") >= fact(&events, "found"), "what is found is in the events");
    }
}

fn waits(event: &Event) -> bool {
    matches!(event.fact, Fact::LockWaiting { .. })
}

#[test]
fn one_order_for_all_locks_cures_it() {
    let _watchdog = watchdog("scenarios::deadlock::ordered");
    for workers in ["2", "3", "10"] {
        for seed in ["0", "1", "2"] {
            let ring = Demo::run("deadlock").args(["--ordered", "--workers", workers, "--speed", "50"]);
            let events = ring.args(["--seed", seed, "--format", "json"]).expect_exit(0).events();
            assert_eq!(verdict(&events), (Verdict::Held, true));
            assert_eq!(["deadlocks", "found", "timeouts"].map(|name| fact(&events, name)), [0; 3]);
            assert_eq!(fact(&events, "finished").to_string(), workers);
        }
    }
}

#[test]
fn strict_makes_a_ring_an_exit_code() {
    let _watchdog = watchdog("scenarios::deadlock::strict");
    let ring = Demo::run("deadlock").args(["--strict", "--timeout", "1s"]);
    assert!(ring.expect_exit(1).stdout.contains("✘ did not hold, as can happen without one order"));
}

#[test]
fn killed_link_frees_the_others() {
    let _watchdog = watchdog("scenarios::deadlock::killed_link");
    let mut ring = Demo::run("deadlock").args(["--workers", "3", "--timeout", "100years"]).start();
    ring.until(is_found);
    let victim = ring.seen.iter().find(|event| event.worker == "worker-2").expect("it was started").pid;
    send(victim, Signal::SIGKILL);
    let heir = ring.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).clone();
    assert!(matches!(&heir.fact, Fact::LockAcquired { lock, abandoned: true, .. } if lock == "lock-2"), "{heir:?}");
    let (code, events, stderr) = ring.finish();
    assert_eq!(code, Some(3));
    assert!(stderr.contains("worker worker-2 ") && stderr.contains("SIGKILL"), "{stderr}");
    assert_eq!((fact(&events, "finished"), fact(&events, "timeouts"), ended(&events)), (2, 0, 2));
}

#[test]
fn endless_timeout_leaves_the_deadlock_until_it_is_interrupted() {
    let _watchdog = watchdog("scenarios::deadlock::endless");
    let mut ring = Demo::run("deadlock").args(["--timeout", "100years"]).start();
    ring.until(is_found);
    send(ring.pid(), Signal::SIGINT);
    let (code, events, stderr) = ring.finish();
    assert_eq!((code, stderr.as_str()), (Some(130), ""));
    assert_eq!(verdict(&events), (Verdict::Violated, false));
    assert_eq!((fact(&events, "found"), fact(&events, "timeouts")), (1, 0));
}

#[test]
fn interrupted_order_is_summed_up() {
    let _watchdog = watchdog("scenarios::deadlock::interrupted");
    let events = interrupt(Demo::run("deadlock").args(["--ordered"]), waits);
    assert_eq!(fact(&events, "deadlocks"), 0);
}

#[test]
fn timeout_of_zero_tries_once_and_all_come_through() {
    let _watchdog = watchdog("scenarios::deadlock::zero");
    let ring = Demo::run("deadlock").args(["--timeout", "0s", "--speed", "50", "--workers", "4", "--format", "json"]);
    let events = ring.expect_exit(0).events();
    assert_eq!((fact(&events, "finished"), fact(&events, "found")), (4, 0), "nobody ever waits");
    let ordered = Demo::run("deadlock").args(["--timeout", "0s", "--ordered", "--speed", "50", "--format", "json"]);
    assert_eq!(verdict(&ordered.expect_exit(0).events()), (Verdict::Held, true));
}

#[test]
fn unusable_numbers_and_times_are_refused() {
    for (option, value) in [
        ("--workers", "0"),
        ("--workers", "1"),
        ("--workers", "-2"),
        ("--workers", "1001"),
        ("--workers", "4294967298"),
        ("--timeout", "2"),
        ("--timeout", "-2s"),
        ("--timeout", ""),
        ("--timeout", "soon"),
        ("--timeout", "99999999999999999999years"),
        ("--timeout", "9999999999999years"),
    ] {
        refused(Demo::run("deadlock").args([option, value]), &[option]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::deadlock::lines");
    let [en, zh] = said_in_eighty_columns(|| Demo::run("deadlock").args(["--workers", "3"]));
    assert!(en.contains("finds a deadlock of 3 workers"), "{en}");
    assert!(en.contains("worker-3 holds lock-3 and waits for lock-1, held by worker-1"), "{en}");
    assert!(zh.contains("发现死锁：3 个进程互相等待"), "{zh}");
    assert!(zh.contains("工作进程3持有锁3，等待工作进程1持有的锁1"), "{zh}");
}
