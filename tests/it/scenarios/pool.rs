//! The pool: one result for each task, whatever happens to the workers.

use std::collections::BTreeMap;

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, interrupt, said_in_eighty_columns, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, send, skip, watchdog};

fn facts(events: &[Event]) -> [u64; 4] {
    ["tasks", "results", "failed", "retried"].map(|name| fact(events, name))
}

/// Returns how often each task was begun.
fn begun(events: &[Event]) -> BTreeMap<u64, u64> {
    let mut begun = BTreeMap::new();
    for event in events {
        if let Fact::TaskStarted { task } = event.fact {
            *begun.entry(task).or_default() += 1;
        }
    }
    begun
}

fn begins(event: &Event) -> bool {
    matches!(event.fact, Fact::TaskStarted { .. })
}

#[test]
fn every_task_has_its_value() {
    let _watchdog = watchdog("scenarios::pool::every_task");
    for workers in ["1", "4", "9"] {
        let demo = Demo::run("pool").args(["--workers", workers, "--speed", "100", "--format", "json"]);
        let events = demo.expect_exit(0).events();
        assert_eq!((verdict(&events), facts(&events)), ((Verdict::Held, true), [20, 20, 0, 0]));
        assert!(begun(&events).into_iter().eq((1..=20).map(|task| (task, 1))));
        let squares = |fact: &Fact| matches!(fact, Fact::TaskFinished { task, value } if *value == task * task);
        assert_eq!(count(&events, squares), 20);
        let started = count(&events, |fact| matches!(fact, Fact::WorkerStarted { .. }));
        let exited = count(&events, |fact| matches!(fact, Fact::WorkerExited { exit_code: Some(0), .. }));
        assert_eq!((started.to_string().as_str(), exited), (workers, started));
    }
}

#[test]
fn poisoned_task_kills_two_workers_and_is_the_only_one_without_a_value() {
    let _watchdog = watchdog("scenarios::pool::poisoned");
    for poison in [1, 7, 20] {
        let text = poison.to_string();
        let demo = Demo::run("pool").args(["--poison", &text, "--speed", "100", "--format", "json"]);
        let events = demo.expect_exit(0).events();
        assert_eq!((verdict(&events), facts(&events)), ((Verdict::Held, true), [20, 20, 1, 1]));
        assert_eq!(begun(&events).get(&poison), Some(&2));
        assert_eq!(count(&events, |fact| matches!(fact, Fact::WorkerExited { signal: Some(9), .. })), 2);
        let has_failed = |fact: &Fact| matches!(fact, Fact::TaskFailed { task, attempts: Some(2), signal: Some(9), .. } if *task == poison);
        assert_eq!(count(&events, has_failed), 1);
        assert_eq!(count(&events, |fact| matches!(fact, Fact::TaskFinished { .. })), 19);
    }
}

#[test]
fn task_of_a_killed_worker_is_done_by_another() {
    let _watchdog = watchdog("scenarios::pool::killed");
    let mut demo = Demo::run("pool").args(["--speed", "2", "--tasks", "8", "--workers", "2"]).start();
    let (pid, victim) = {
        let event = demo.until(begins);
        (event.pid, event.worker.clone())
    };
    send(pid, Signal::SIGKILL);
    let (code, events, stderr) = demo.finish();
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "the pool made it good");
    assert_eq!((verdict(&events), facts(&events)), ((Verdict::Held, true), [8, 8, 0, 1]));
    let died = |event: &&Event| matches!(event.fact, Fact::WorkerExited { signal: Some(9), .. });
    assert!(events.iter().filter(died).map(|event| &event.worker).eq([&victim]));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::WorkerStarted { .. })), 3, "it was replaced");
}

#[test]
fn kill_that_was_asked_for_happens() {
    let _watchdog = watchdog("scenarios::pool::asked_for");
    for (moment, retried) in [("working", 1), ("task_finished", 1)] {
        let kill = format!("worker-1@{moment}");
        let demo = Demo::run("pool").args(["--kill", &kill, "--speed", "100", "--format", "json"]);
        let events = demo.expect_exit(0).events();
        assert_eq!((verdict(&events), facts(&events)), ((Verdict::Held, true), [20, 20, 0, retried]), "{moment}");
        let died = |event: &&Event| matches!(event.fact, Fact::WorkerExited { signal: Some(9), .. });
        assert!(events.iter().filter(died).map(|event| event.worker.as_str()).eq(["worker-1"]));
    }
}

#[test]
fn task_that_takes_too_long_fails() {
    let _watchdog = watchdog("scenarios::pool::too_long");
    let demo = Demo::run("pool").args(["--task-timeout", "50ms", "--tasks", "3", "--workers", "2", "--format", "json"]);
    let events = demo.expect_exit(0).events();
    assert_eq!((verdict(&events), facts(&events)), ((Verdict::Held, true), [3, 3, 3, 0]));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::TaskFailed { attempts: None, signal: None, .. })), 3);
}

#[test]
fn interrupted_pool_is_summed_up() {
    let _watchdog = watchdog("scenarios::pool::interrupted");
    let events = interrupt(Demo::run("pool"), begins);
    assert_eq!(fact(&events, "tasks"), 20);
}

#[test]
fn workers_end_with_their_runner() {
    let _watchdog = watchdog("scenarios::pool::runner_killed");
    let mut demo = Demo::run("pool").start();
    demo.until(begins);
    send(demo.pid(), Signal::SIGKILL);
    // The end of stdout is the end of the last worker.
    let (code, ..) = demo.finish();
    assert_eq!(code, None);
}

/// Returns a pool with more workers than it may have processes.
fn crowd() -> Option<Demo> {
    let crowd = Demo::run("pool").args(["--workers", "300", "--format", "json"]);
    // All processes of a user count. No limit is root's.
    let starter: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &["setpriv", "--reuid=61234", "--clear-groups", "prlimit", "--nproc=20"],
        false => &["prlimit", "--nproc=1"],
    };
    let mut probe = std::process::Command::new(starter[0]);
    let probed = probe.args(&starter[1..]).args([env!("CARGO_BIN_EXE_ipc-demo"), "--version"]).output();
    if probed.is_ok_and(|probed| probed.status.success()) {
        return Some(crowd.within(starter.iter().copied()));
    }
    skip("prlimit", "the number of processes cannot be limited");
    None
}

#[test]
fn more_workers_than_may_be_are_an_error_and_leave_none() {
    let _watchdog = watchdog("scenarios::pool::crowd");
    let few_descriptors = Demo::run("pool").args(["--workers", "300", "--format", "json"]).limit("-n 60");
    for (demo, said) in [(Some(few_descriptors), "Too many open files"), (crowd(), "Resource temporarily unavailable")]
    {
        let Some(demo) = demo else { continue };
        // All workers have its stdout, so its end is theirs.
        let finished = demo.expect_exit(3);
        assert!(finished.stderr.contains("worker-") && finished.stderr.contains(said), "{}", finished.stderr);
        let events = finished.events();
        assert_eq!(verdict(&events), (Verdict::NotShown, true));
        let started = count(&events, |fact| matches!(fact, Fact::WorkerStarted { .. }));
        let exited = count(&events, |fact| matches!(fact, Fact::WorkerExited { .. }));
        assert!(started == exited && started < 300, "{started} started, {exited} exited");
    }
}

#[test]
fn unusable_options_are_refused() {
    for (option, value, said) in [
        ("--workers", "0", "--workers"),
        ("--workers", "501", "from 1 to 500"),
        ("--tasks", "0", "--tasks"),
        ("--poison", "0", "--poison"),
        ("--poison", "21", "there are only 20 tasks"),
        ("--task-timeout", "0s", "leaves no time"),
        ("--task-timeout", "soon", "--task-timeout"),
    ] {
        refused(Demo::run("pool").args([option, value]), &[said]);
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::pool::lines");
    let [en, zh] = said_in_eighty_columns(|| Demo::run("pool").args(["--speed", "100", "--poison", "3"]));
    assert_eq!((en.matches("begins task").count(), en.matches("finishes task").count()), (21, 19), "{en}");
    assert!(en.contains("task 3 failed after 2 attempts") && zh.contains("任务 3 失败，共尝试 2 次"), "{en}{zh}");
    assert_eq!((zh.matches("开始执行任务").count(), zh.matches("完成任务").count()), (21, 19), "{zh}");
}
