//! The manager's types in use, in a manager of the run's own.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;
use unicode_width::UnicodeWidthStr;

use super::{count, ended, interrupt, verdict};
use crate::cli::refused;
use crate::harness::{Demo, await_end, fact, facts, is_running, send, watchdog};

const TYPES: [&str; 14] = [
    "list",
    "dict",
    "namespace",
    "lock",
    "rlock",
    "semaphore",
    "bounded-semaphore",
    "condition",
    "event",
    "barrier",
    "queue",
    "value",
    "array",
    "joinable-queue",
];

fn manager(args: &[&str]) -> Demo {
    Demo::run("manager").args(args.iter().copied())
}

/// Returns what is shown of an object, first and last.
fn shown(events: &[Event]) -> Vec<String> {
    let value = |event: &Event| match &event.fact {
        Fact::ObjectShown { value, .. } => Some(value.to_string()),
        _ => None,
    };
    events.iter().filter_map(value).collect()
}

fn manager_pid(events: &[Event]) -> u32 {
    let pid = |event: &Event| match event.fact {
        Fact::ManagerStarted { manager_pid, .. } => Some(manager_pid),
        _ => None,
    };
    events.iter().find_map(pid).expect("a manager was started")
}

#[test]
fn reference_program_is_shown_word_for_word() {
    let _watchdog = watchdog("scenarios::manager::reference");
    let zh = manager(&["--lang", "zh"]).expect_exit(0).stdout;
    let printed: Vec<&str> =
        zh.lines().filter(|line| line.contains("主进程")).filter_map(|line| line.split_whitespace().nth(3)).collect();
    assert_eq!(printed[2..], ["{}", "{'a':"], "{zh}");
    assert!(zh.contains("  {'a': 'a'}\n"), "{zh}");
    let en = manager(&[]).expect_exit(0).stdout;
    let (before, after) = (en.find("shows dict: {}\n"), en.find("shows dict: {\"a\": \"a\"}\n"));
    assert!(before.is_some() && before < after, "{en}");
}

#[test]
fn every_worker_writes_what_the_runner_sees() {
    let _watchdog = watchdog("scenarios::manager::every_worker");
    let events = manager(&["--workers", "30", "--format", "json"]).expect_exit(0).events();
    assert_eq!(verdict(&events), (Verdict::Held, true));
    let named = ["types", "workers", "steps", "arrived", "lost", "out_of_turn"].map(|name| fact(&events, name));
    assert_eq!(named, [1, 30, 30, 30, 0, 0]);
    let [before, after] = shown(&events).try_into().expect("before and after");
    assert_eq!(before, "{}");
    let after: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&after).expect("a dict");
    assert_eq!((after.len(), &after["a"], &after["ad"]), (30, &"a".into(), &"ad".into()));
    assert!(!is_running(manager_pid(&events)), "it ends with the run");
}

#[test]
fn every_type_does_its_work() {
    let _watchdog = watchdog("scenarios::manager::every_type");
    for workers in ["1", "2", "5"] {
        for kind in TYPES {
            let run = manager(&["--type", kind, "--workers", workers, "--speed", "max", "--format", "json"]);
            let events = run.expect_exit(0).events();
            assert_eq!(verdict(&events), (Verdict::Held, true), "{kind} {workers}: {events:?}");
            let workers: u64 = workers.parse().expect("a number");
            let steps = match kind {
                "dict" | "event" => workers,
                "barrier" => 3,
                _ => 3 * workers,
            };
            assert_eq!(["types", "steps", "arrived"].map(|name| fact(&events, name)), [1, steps, steps], "{kind}");
        }
    }
}

#[test]
fn all_types_are_shown_in_one_run() {
    let _watchdog = watchdog("scenarios::manager::all_types");
    let events = manager(&["--type", "all", "--speed", "max", "--format", "json"]).expect_exit(0).events();
    assert_eq!((verdict(&events), fact(&events, "types")), ((Verdict::Held, true), 14));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::ObjectMade { .. })), 14);
    assert_eq!(ended(&events), 28, "two workers each");
}

#[test]
fn lock_of_a_killed_worker_comes_back() {
    let _watchdog = watchdog("scenarios::manager::lock");
    for kind in ["lock", "rlock"] {
        let mut run = manager(&["--type", kind, "--workers", "3", "--speed", "0.2"]).start();
        let victim = run.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).clone();
        send(victim.pid, Signal::SIGKILL);
        let heir = run.until(|event| matches!(event.fact, Fact::LockAcquired { .. })).clone();
        assert!(matches!(heir.fact, Fact::LockAcquired { abandoned: true, .. }), "{heir:?}");
        let (code, events, stderr) = run.finish();
        assert_eq!(code, Some(3), "{stderr}");
        assert!(stderr.contains(&format!("worker {} ", victim.worker)) && stderr.contains("SIGKILL"), "{stderr}");
        assert_eq!((verdict(&events), ended(&events)), ((Verdict::Held, true), 2), "{kind}");
        assert!(facts(&events)["steps"] == 6 && facts(&events)["lost"] == 0, "the others do all of theirs: {kind}");
    }
}

/// Kills the first worker that reports its work at each of the types: the others finish theirs.
#[track_caller]
fn others_go_on_at(types: &[&str]) {
    for kind in types {
        let mut run = manager(&["--type", kind, "--workers", "3", "--speed", "0.5"]).start();
        let started = |fact: &Fact| matches!(fact, Fact::WorkerStarted { .. });
        let victim = run.until(|event| event.worker.starts_with("worker-") && !started(&event.fact)).pid;
        send(victim, Signal::SIGKILL);
        let (code, events, stderr) = run.finish();
        assert_eq!(code, Some(3), "{kind}: {stderr}");
        // Without one of its parties a barrier lets nobody through, unless all had arrived before the kill.
        let passed = count(&events, |fact| matches!(fact, Fact::BarrierPassed { .. }));
        let wanted = if *kind == "barrier" && passed == 0 { Verdict::NotShown } else { Verdict::Held };
        assert_eq!((verdict(&events), ended(&events)), ((wanted, true), 2), "{kind}: {events:?}");
        for event in &events {
            if let Fact::BarrierBroken { dead_pid, .. } = event.fact {
                assert_eq!(dead_pid, Some(victim), "{event:?}");
            }
        }
        await_end(manager_pid(&events));
    }
}

#[test]
fn killed_writer_keeps_nobody() {
    let _watchdog = watchdog("scenarios::manager::killed_writer");
    others_go_on_at(&["list", "namespace", "value", "array", "semaphore", "bounded-semaphore"]);
}

#[test]
fn killed_waiter_keeps_nobody() {
    let _watchdog = watchdog("scenarios::manager::killed_waiter");
    others_go_on_at(&["condition", "event", "barrier", "queue", "joinable-queue"]);
}

#[test]
fn task_of_a_killed_worker_goes_to_another() {
    let _watchdog = watchdog("scenarios::manager::task");
    let mut run = manager(&["--type", "joinable-queue", "--speed", "0.5"]).start();
    let taken = run.until(|event| matches!(event.fact, Fact::ItemGot { .. })).clone();
    send(taken.pid, Signal::SIGKILL);
    let again = run.until(|event| matches!(event.fact, Fact::ItemGot { redelivered: true, .. })).clone();
    let item = |event: &Event| match &event.fact {
        Fact::ItemGot { from, number, .. } => (from.clone(), *number),
        other => panic!("{other:?}"),
    };
    assert_eq!(item(&taken), item(&again));
    let (code, events, _) = run.finish();
    assert_eq!((code, verdict(&events), fact(&events, "lost")), (Some(3), (Verdict::Held, true), 0));
}

#[test]
fn killed_manager_is_told_and_ends_the_run() {
    let _watchdog = watchdog("scenarios::manager::killed_manager");
    for kind in ["lock", "condition", "joinable-queue"] {
        let mut run = manager(&["--type", kind, "--speed", "0.5"]).start();
        let manager = run.until(|event| matches!(event.fact, Fact::ManagerStarted { .. })).clone();
        let started = |fact: &Fact| matches!(fact, Fact::WorkerStarted { .. });
        run.until(|event| event.worker.starts_with("worker-") && !started(&event.fact));
        send(manager_pid(&[manager]), Signal::SIGKILL);
        let (code, events, stderr) = run.finish();
        assert_eq!(code, Some(3), "{kind}: {stderr}");
        assert!(stderr.contains("the manager exited before it answered"), "{kind}: {stderr}");
        assert_eq!(verdict(&events), (Verdict::NotShown, false), "{kind}");
        assert_eq!(facts(&events)["manager_gone"], true);
        let exited = count(&events, |fact| matches!(fact, Fact::WorkerExited { .. }));
        assert_eq!(exited, count(&events, started), "{kind}");
    }
}

#[test]
fn cause_that_many_workers_failed_for_is_told_once() {
    let _watchdog = watchdog("scenarios::manager::one_cause");
    let mut run = manager(&["--type", "event", "--workers", "12", "--speed", "0.5"]).start();
    let manager = run.until(|event| matches!(event.fact, Fact::ManagerStarted { .. })).clone();
    // The runner sets it.
    for _ in 1..=12 {
        run.until(|event| matches!(event.fact, Fact::EventAwaited));
    }
    send(manager_pid(&[manager]), Signal::SIGKILL);
    let (code, _, stderr) = run.finish();
    assert_eq!(code, Some(3), "{stderr}");
    let failed: Vec<&str> = stderr.lines().filter(|line| line.starts_with("error: worker ")).collect();
    assert!(failed.len() == 1 && failed[0].ends_with(" (and 11 more workers)"), "{stderr}");
}

#[test]
fn interrupted_play_is_summed_up() {
    let _watchdog = watchdog("scenarios::manager::interrupted");
    for kind in ["list", "lock", "condition", "event", "barrier", "queue", "joinable-queue"] {
        let works =
            |event: &Event| event.worker.starts_with("worker-") && !matches!(event.fact, Fact::WorkerStarted { .. });
        let events = interrupt(manager(&["--type", kind, "--speed", "0.2"]), works);
        await_end(manager_pid(&events));
    }
}

#[test]
fn lines_fit_and_are_in_both_languages() {
    let _watchdog = watchdog("scenarios::manager::lines");
    for (language, said) in [("en", "sets the event"), ("zh", "触发事件")] {
        let run = manager(&["--type", "all", "--workers", "10", "--speed", "max", "--lang", language]);
        let text = run.expect_exit(0).stdout;
        for line in text.lines().filter(|line| !line.contains("ipc-demo")) {
            assert!(line.width() <= 80, "{} columns: {line}", line.width());
        }
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn unusable_options_are_refused() {
    for (args, said) in [
        (["--workers", "0"], "--workers"),
        (["--workers", "501"], "from 1 to 500"),
        (["--type", "set"], "joinable-queue"),
        (["--call", "list"], "--connect"),
        (["--serve", "tcp:127.0.0.1:0"], "--authkey-file"),
        (["--serve", "/tmp/shop"], "unix:PATH"),
        (["--authkey-file", "key"], "--connect"),
    ] {
        refused(manager(&args), &[said]);
    }
}
