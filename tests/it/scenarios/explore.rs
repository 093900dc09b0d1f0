//! Exploration of the scenarios, and replays.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Seek, Write};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::{ended, verdict};
use crate::harness::{
    Demo, Finished, await_end, children_of, fact, facts, patient_watchdog, send, stop, until, watchdog,
};
use crate::report::schema::{Event, Fact, Reason, Verdict};

fn explore(scenario: &str, args: &str) -> Finished {
    let words = args.split_whitespace().chain(["--format", "json"]);
    Demo::run("explore").args([scenario]).args(words).finished()
}

/// Explores a scenario. Returns its events, and the numbers of schedules and of those that violate the claim.
#[track_caller]
fn explored(scenario: &str, args: &str) -> (Vec<Event>, [u64; 2]) {
    let finished = explore(scenario, args);
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    let events = finished.events();
    let numbers = ["schedules", "violated"].map(|name| fact(&events, name));
    assert_eq!(facts(&events)["exhausted"], Value::Bool(true));
    assert_eq!(fact(&events, "held") + numbers[1], numbers[0], "{scenario} {args}");
    (events, numbers)
}

/// Returns the schedule in the summary.
fn schedule(events: &[Event]) -> Option<&str> {
    match &events.last().expect("a summary").fact {
        Fact::Summary { schedule, .. } => schedule.as_deref(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_schedules_are_as_many_as_by_hand() {
    let _watchdog = watchdog("all_schedules_are_as_many_as_by_hand");
    for (scenario, args, wanted) in [
        // 6! / 3!^2, each with a look, a read and a write. Both read before anyone writes in 6 of them, times 2.
        ("tickets", "--buyers 2", [20, 12]),
        // The second finds no ticket left.
        ("tickets", "--buyers 2 --stock 1", [20, 12]),
        ("tickets", "--buyers 2 --lock", [12, 0]),
        ("tickets", "--buyers 3 --stock 1 --lock", [360, 0]),
        // 8! / 4!^2; nothing is lost only if no increment begins during another.
        ("values", "--workers 2 --increments 2", [70, 64]),
        ("values", "--workers 2 --increments 2 --lock", [6, 0]),
        ("deadlock", "", [6, 2]),
        ("deadlock", "--ordered", [2, 0]),
        ("deadlock", "--workers 3", [168, 6]),
        // Catalan numbers: a get comes after its put, and the end of the queue after its last item.
        ("queue", "--items 5 --capacity 5", [132, 0]),
        ("queue", "--items 2 --capacity 2", [5, 0]),
    ] {
        let (events, numbers) = explored(scenario, &format!("--all {args}"));
        assert_eq!(numbers, wanted, "{scenario} {args}");
        let deadlocks = if scenario == "deadlock" { wanted[1] } else { 0 };
        assert_eq!(fact(&events, "deadlocks"), deadlocks, "{scenario} {args}");
    }
}

#[test]
fn one_schedule_of_each_class_is_run() {
    let _watchdog = watchdog("one_schedule_of_each_class_is_run");
    for (scenario, args, classes) in [
        ("tickets", "--buyers 2", 6),
        ("tickets", "--buyers 3 --stock 1", 48),
        // The order of the purchases, and whether the second and the third looked before the only write.
        ("tickets", "--buyers 3 --stock 1 --lock", 6 * 2 * 2),
        ("values", "--workers 2 --increments 2", 34),
        ("deadlock", "", 3),
        ("deadlock", "--workers 3", 7),
    ] {
        assert_eq!(explored(scenario, args).1[0], classes, "{scenario} {args}");
    }
}

/// What a worker does with a shared number, one operation a step.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    Look,
    Acquire,
    Load,
    /// Stores one less than it loaded, unless that was 0.
    Store,
    Release,
}
use Does::{Acquire, Load, Look, Release, Store};

/// Workers with the same program, between two steps.
#[derive(Clone)]
struct Model<'a> {
    program: &'a [Does],
    /// The step of each worker, and what it has loaded.
    workers: Vec<(usize, u32)>,
    number: u32,
    stores: u32,
    holder: Option<usize>,
}

/// For the number and for the lock, the order of its steps, with the reads between two writes as a set.
type Class = [Vec<(bool, BTreeSet<(usize, usize)>)>; 2];

impl Model<'_> {
    /// Returns the next step of a worker, unless it is blocked or has ended, and the state after it.
    fn step(&self, who: usize) -> Option<(Does, Self)> {
        let (mut next, (at, loaded)) = (self.clone(), self.workers[who]);
        let does = *self.program.get(at)?;
        match does {
            Acquire if self.holder.is_some() => return None,
            Acquire => next.holder = Some(who),
            Release => next.holder = None,
            Store => (next.number, next.stores) = (loaded - 1, self.stores + 1),
            Look | Load => {}
        }
        let loaded = if does == Load { self.number } else { loaded };
        let stores_nothing = loaded == 0 && self.program.get(at + 1) == Some(&Store);
        next.workers[who] = (at + 1 + usize::from(stores_nothing), loaded);
        Some((does, next))
    }

    /// Runs all schedules. Counts them, and those in which an update is lost; and notes their classes with the same.
    fn enumerate(&self, start: u32, class: &Class, all: &mut [u64; 2], classes: &mut BTreeMap<Class, bool>) {
        let mut has_ended = true;
        for who in 0..self.workers.len() {
            let Some((does, next)) = self.step(who) else { continue };
            has_ended = false;
            let mut class = class.clone();
            let (own, reads) = ((who, self.workers[who].0), matches!(does, Look | Load));
            let order = &mut class[usize::from(matches!(does, Acquire | Release))];
            match order.last_mut() {
                Some((true, earlier)) if reads => _ = earlier.insert(own),
                _ => order.push((reads, BTreeSet::from([own]))),
            }
            next.enumerate(start, &class, all, classes);
        }
        if has_ended {
            let is_lost = start - self.number != self.stores;
            *all = [all[0] + 1, all[1] + u64::from(is_lost)];
            classes.insert(class.clone(), is_lost);
        }
    }
}

/// Compares the schedules, and one of each class, with the enumeration. Returns the numbers of both.
fn compare(args: &str, program: &[Does], number: u32) -> [u64; 2] {
    let (scenario, args) = args.split_once(' ').expect("arguments");
    let workers = args.split(' ').nth(1).and_then(|workers| workers.parse().ok()).expect("a number");
    let model = Model { program, workers: vec![(0, u32::MAX); workers], number, stores: 0, holder: None };
    let (mut all, mut classes) = ([0; 2], BTreeMap::new());
    model.enumerate(number, &Class::default(), &mut all, &mut classes);
    let reduced = [classes.len() as u64, classes.values().filter(|is_lost| **is_lost).count() as u64];
    assert_eq!(explored(scenario, &format!("--all {args}")).1, all, "{scenario} {args}");
    assert_eq!(explored(scenario, args).1, reduced, "{scenario} {args}");
    [all[0], reduced[0]]
}

#[test]
fn schedules_and_classes_are_those_of_an_enumeration() {
    let _watchdog = watchdog("schedules_and_classes_are_those_of_an_enumeration");
    let (buys, locks) = ([Look, Load, Store], [Look, Acquire, Load, Store, Release]);
    let increments = [Acquire, Load, Store, Release, Acquire, Load, Store, Release];
    for (args, program, number, schedules) in [
        ("tickets --buyers 2 --stock 1", &buys[..], 1, [20, 6]),
        ("tickets --buyers 3 --stock 1", &buys, 1, [1_152, 48]),
        ("tickets --buyers 3 --stock 3", &buys, 3, [1_680, 108]),
        ("tickets --buyers 3 --stock 1 --lock", &locks, 1, [360, 24]),
        ("tickets --buyers 3 --stock 3 --lock", &locks, 3, [396, 36]),
        // Counting down from a thousand loses as many updates as counting up from 0.
        ("values --workers 2 --increments 2", &[Load, Store, Load, Store], 1_000, [70, 34]),
        ("values --workers 3 --increments 2 --lock", &increments, 1_000, [90, 90]),
    ] {
        assert_eq!(compare(args, program, number), schedules, "{args}");
    }
}

#[test]
fn many_schedules_and_classes_are_those_of_an_enumeration() {
    let _watchdog = patient_watchdog("many_schedules_and_classes_are_those_of_an_enumeration");
    let schedules = compare("values --workers 3 --increments 2", &[Load, Store, Load, Store], 1_000);
    assert_eq!(schedules, [34_650, 7_134]);
}

#[test]
fn what_is_promised_holds_in_every_schedule() {
    let _watchdog = watchdog("what_is_promised_holds_in_every_schedule");
    for (scenario, args) in [
        ("tickets", "--buyers 3 --lock"),
        ("values", "--workers 2 --increments 2 --lock"),
        ("deadlock", "--workers 3 --ordered"),
        ("pipe", "--messages 2"),
        ("pipe", "--messages 2 --duplex"),
        ("queue", "--items 2 --capacity 1"),
        ("queue", "--fill --capacity 2"),
        ("prodcons", "--items 1 --producers 2 --consumers 2"),
        ("joinable", "--items 1 --producers 2 --consumers 2"),
        ("semaphore", "--workers 3 --permits 2"),
        ("event", "--racers 2"),
        ("barrier", "--parties 2 --rounds 2"),
        ("condition", "--items 1 --producers 1 --consumers 1"),
    ] {
        let (events, [_, violated]) = explored(scenario, args);
        assert_eq!((verdict(&events), violated), ((Verdict::Held, true), 0), "{scenario} {args}");
        assert_eq!((events.len(), schedule(&events)), (2, None), "a first event and a summary");
    }
}

#[test]
fn every_type_of_a_manager_holds_in_every_schedule() {
    let _watchdog = watchdog("every_type_of_a_manager_holds_in_every_schedule");
    for (args, [all, reduced]) in [
        ("", [1, 1]),
        ("--type dict", [2, 2]),
        // 6! / 3!^2, each with three calls of one object.
        ("--type list", [20, 20]),
        ("--type value", [20, 20]),
        ("--type array", [20, 20]),
        // 8! / 4!^2.
        ("--type namespace", [70, 70]),
        // Three turns each, which exclude one another.
        ("--type lock", [20, 20]),
        ("--type rlock", [20, 20]),
        ("--type semaphore", [20, 20]),
        ("--type bounded-semaphore", [20, 20]),
        // Both go on once it is set: they only read it.
        ("--type event", [2, 1]),
        // In each round either is the first; who passes first begins the next, unless the other does.
        ("--type barrier", [18, 18]),
        // The shutdown comes after the puts, before or after each of the three gets.
        ("--type queue --workers 1", [4, 4]),
        ("--type joinable-queue --workers 1", [1, 1]),
        ("--type condition --workers 1", [35, 35]),
    ] {
        for (all_of, wanted) in [(" --all", all), ("", reduced)] {
            let (events, numbers) = explored("manager", &format!("{args}{all_of}"));
            assert_eq!((verdict(&events), numbers), ((Verdict::Held, true), [wanted, 0]), "{args}{all_of}");
        }
    }
}

#[test]
fn schedule_of_a_manager_is_replayed_to_the_byte() {
    let _watchdog = watchdog("schedule_of_a_manager_is_replayed_to_the_byte");
    for (kind, chosen) in [("lock", "b4a4b"), ("barrier", "aba!"), ("condition", "b")] {
        let replay = || {
            let args = ["--type", kind, "--schedule", chosen, "--format", "json"];
            Demo::run("manager").args(args).expect_exit(0)
        };
        let replayed = replay();
        assert!((0..9).all(|_| replay().stdout == replayed.stdout), "{kind} {chosen}");
        assert_ne!(verdict(&replayed.events()).0, Verdict::Violated, "{kind} {chosen}");
        assert!(schedule(&replayed.events()).is_some_and(|schedule| schedule.starts_with(chosen)));
    }
}

#[test]
fn person_sees_who_holds_a_lock_of_a_manager() {
    let _watchdog = watchdog("person_sees_who_holds_a_lock_of_a_manager");
    let said = step(0, "manager --type lock --quiet", "a\nb\nq\n");
    for part in ["  lock: held by a\n", "  b worker-2  waits: acquire lock, which a holds\n", "not possible now: b\n"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn killed_worker_breaks_no_promise() {
    let _watchdog = watchdog("killed_worker_breaks_no_promise");
    let numbers = |args: &str| {
        let finished = explore("tickets", args);
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        ["schedules", "violated"].map(|name| fact(&finished.events(), name))
    };
    // The 20 without a death, and 68 with one.
    assert_eq!(numbers("--buyers 2 --kills 1 --all"), [88, 12]);
    for (scenario, args) in [
        ("tickets", "--buyers 2 --lock"),
        ("values", "--workers 2 --increments 1 --lock"),
        ("deadlock", "--ordered"),
        ("joinable", "--items 1 --producers 1 --consumers 2"),
        ("semaphore", "--workers 2 --permits 1"),
        ("manager", "--type dict"),
        ("manager", "--type barrier"),
        ("manager", "--type event"),
        ("manager", "--type joinable-queue --workers 1"),
    ] {
        let finished = explore(scenario, &format!("{args} --kills 1"));
        assert_eq!(finished.code, Some(0), "{scenario} {args}: {}{}", finished.stdout, finished.stderr);
        let events = finished.events();
        assert_eq!((verdict(&events).0, fact(&events, "violated")), (Verdict::Held, 0), "{scenario} {args}");
    }
}

#[test]
fn shortest_violating_schedule_is_replayed_to_the_byte() {
    let _watchdog = watchdog("shortest_violating_schedule_is_replayed_to_the_byte");
    for (scenario, args, turns) in [
        // The first reads, the second reads and writes, the first writes.
        ("tickets", "--buyers 2", "a2b#"),
        ("tickets", "--buyers 2 --stock 1", "a2b#"),
        ("values", "--workers 2 --increments 1", "ab#"),
        ("deadlock", "", "ab#"),
    ] {
        for all in ["", "--all"] {
            let (events, [_, violated]) = explored(scenario, &format!("{args} {all}"));
            assert!(violated > 0);
            let found = schedule(&events).expect("it is violated");
            assert!(found.starts_with(turns), "{scenario} {args} {all}: {found}");
            let replay = || {
                let words = args.split_whitespace().chain(["--schedule", found, "--format", "json"]);
                Demo::run(scenario).args(words).expect_exit(0)
            };
            let replayed = replay();
            let replays = if (scenario, args, all) == ("tickets", "--buyers 2", "") { 100 } else { 3 };
            assert!((1..replays).all(|_| replay().stdout == replayed.stdout));
            let replayed = replayed.events();
            assert_eq!((verdict(&replayed).0, schedule(&replayed)), (Verdict::Violated, Some(found)));
            // What an exploration shows of it are the same events.
            let json = |events: &[Event]| {
                let between = &events[1..events.len() - 1];
                between.iter().map(|event| serde_json::to_string(event).expect("JSON")).collect::<Vec<_>>()
            };
            assert_eq!(json(&events), json(&replayed));
            // Who is deadlocked has not ended.
            let both_ended = if scenario == "deadlock" { 0 } else { 2 };
            let exits = replayed.iter().filter(|event| matches!(event.fact, Fact::WorkerExited { .. })).count();
            assert_eq!([ended(&replayed), exits as u64], [both_ended; 2]);
        }
    }
}

#[test]
fn replay_has_virtual_times_and_pids_in_the_order_of_start() {
    let _watchdog = watchdog("replay_has_virtual_times_and_pids_in_the_order_of_start");
    let args = ["--buyers", "2", "--lock", "--schedule", "b5", "--format", "json"];
    let events = Demo::run("tickets").args(args).expect_exit(0).events();
    let bought = events.iter().filter(|event| matches!(event.fact, Fact::TicketBought { .. }));
    let bought: Vec<_> = bought.map(|event| (event.at_us, event.worker.as_str(), event.pid)).collect();
    // A look, an acquisition, a read, the write, and the release.
    assert_eq!(bought, [(4_000, "buyer-2", 2), (9_000, "buyer-1", 1)]);
    assert_eq!(verdict(&events), (Verdict::Held, true));
}

#[test]
fn replay_is_drawn() {
    let _watchdog = watchdog("replay_is_drawn");
    let folder = tempfile::tempdir().expect("a folder");
    let draw = || {
        let files = ["timeline.svg", "trace.json"].map(|name| folder.path().join(name));
        let run = Demo::run("tickets").args(["--buyers", "2", "--schedule", "a2b", "--timeline"]).arg(&files[0]);
        run.args(["--trace"]).arg(&files[1]).expect_exit(0);
        files.map(|file| std::fs::read_to_string(file).expect("it was drawn"))
    };
    let drawn = draw();
    assert!(drawn[0].contains("buyer-2") && drawn[1].contains("buyer-2"));
    assert_eq!(drawn, draw());
}

#[test]
fn what_cannot_be_explored_or_replayed_is_refused_and_nothing_is_started() {
    let _watchdog = watchdog("what_cannot_be_explored_or_replayed_is_refused_and_nothing_is_started");
    for (args, reason) in [
        ("explore tickets --speed 2", "explore does not use --speed: its pauses take no time"),
        ("explore --timeline x tickets", "explore does not use --timeline: it runs many schedules"),
        ("explore tickets --trace x", "explore does not use --trace: it runs many schedules"),
        ("explore tickets --schedule a", "explore does not use --schedule: it runs many schedules"),
        ("explore pool", "cannot explore pool: a pool has a thread that replaces workers"),
        ("pool --schedule a", "cannot replay a schedule of pool: a pool has a thread"),
        ("pool --step", "cannot choose the schedule of pool: a pool has a thread"),
        ("explore queue --transport pipe", "cannot explore queue: a queue over a pipe has feeder threads"),
        (
            "explore manager --connect unix:a --authkey-file a",
            "cannot explore manager: only a manager that it starts itself has no other clients",
        ),
        ("explore manager --serve unix:a --authkey-file a", "cannot explore manager: only a manager that"),
        ("explore manager --connect unix:a --authkey-file a --call list", "cannot explore manager: only a manager"),
        ("explore tickets --kill nobody@working", "there is no worker nobody"),
        ("tickets --schedule a --speed 2", "--schedule does not use --speed"),
        ("queue --transport pipe --schedule a", "cannot replay a schedule of queue: a queue over a pipe"),
        ("manager --connect unix:a --authkey-file a --schedule a", "cannot replay a schedule of manager: only a"),
        ("manager --serve unix:a --authkey-file a --schedule a", "not with manager --serve"),
        ("tickets --buyers 2 --schedule a?", "\"a?\" is not a schedule: expected a worker's letter at \"?\""),
        ("tickets --buyers 2 --schedule a2c", "there is no worker c (there are 2: a is buyer-1, b is buyer-2)"),
        ("tickets --buyers 2 --schedule values:a", "it is a schedule of values, not of tickets"),
        ("tickets --buyers 2 --schedule a#0000", "it belongs to other options, another seed or another version"),
        ("tickets --buyers 2 --schedule a4", "step 4: a (buyer-1) has ended"),
        ("tickets --buyers 2 --schedule a3b3a", "step 7: all workers have ended"),
        ("tickets --buyers 2 --lock --schedule a2b2", "step 4: b (buyer-2) is blocked in lock.acquire"),
        ("tickets --buyers 2 --schedule a~", "step 1: a (buyer-1) has no timeout in file.look"),
        ("man --schedule a", "--schedule works only with scenarios"),
    ] {
        let (command, rest) = args.split_once(' ').expect("arguments");
        let finished = Demo::run(command).args(rest.split(' ')).expect_exit(2);
        assert_eq!(finished.stdout, "", "{args}");
        assert!(finished.stderr.contains(reason), "{args}: {}", finished.stderr);
    }
}

#[test]
fn mark_depends_on_the_options_and_the_seed_and_not_on_their_spelling() {
    let _watchdog = watchdog("mark_depends_on_the_options_and_the_seed_and_not_on_their_spelling");
    let mark = |args: &str| {
        let words = args.split_whitespace().chain(["--schedule", "a", "--format", "json", "--quiet"]);
        let events = Demo::run("tickets").args(words).expect_exit(0).events();
        schedule(&events).and_then(|schedule| schedule.split_once('#')).expect("a mark").1.to_owned()
    };
    let usual = mark("--buyers 2");
    assert_eq!(usual.len(), 4);
    for same in ["--buyers=2", "--workers 2 --seed 1", "--lang zh --buyers 2 --strict"] {
        assert_eq!(mark(same), usual, "{same}");
    }
    for other in
        ["--buyers 3", "--buyers 2 --seed 2", "--buyers 2 --stock 2", "--buyers 2 --kill buyer-1@stock_checked"]
    {
        assert_ne!(mark(other), usual, "{other}");
    }
}

#[test]
fn limit_ends_an_exploration_and_random_schedules_continue_it() {
    let _watchdog = watchdog("limit_ends_an_exploration_and_random_schedules_continue_it");
    let run = |args: &str| {
        let finished = explore("tickets", &format!("--buyers 4 --lock {args}"));
        assert_eq!(finished.code, Some(0), "{}", finished.stderr);
        let events = finished.events();
        assert_eq!((verdict(&events), &facts(&events)["exhausted"]), ((Verdict::Held, true), &Value::Bool(false)));
        fact(&events, "schedules")
    };
    assert_eq!(run("--limit 5"), 5);
    // Far more than 10^18, of which one holds and is no estimate.
    let many = ["values", "--workers", "9", "--increments", "9", "--lock", "--limit", "1"];
    let said = Demo::run("explore").args(many).expect_exit(0).stdout;
    assert!(said.contains("estimate more than 10^18"), "{said}");
    assert_eq!(run("--limit 5 --random 7"), 12);
    assert!(run("--limit 1000000 --for 50ms") > 0);
    let said = Demo::run("explore").args(["tickets", "--for", "0s"]).expect_exit(0).stdout;
    assert!(said.contains("inconclusive in the 0 schedules that were run (the run was stopped early)"), "{said}");
}

#[test]
fn schedules_that_do_not_end_are_counted() {
    let _watchdog = patient_watchdog("schedules_that_do_not_end_are_counted");
    // Both may retry forever.
    let events = explore("deadlock", "--timeout 1s --limit 3 --random 1").events();
    let (cut, not_shown) = (fact(&events, "cut_off"), fact(&events, "not_shown"));
    assert!((1..=3).contains(&cut) && not_shown >= cut, "{:?}", facts(&events));
    assert_eq!(facts(&events)["exhausted"], Value::Bool(false));
}

#[test]
fn users_own_file_is_read_and_not_changed() {
    let _watchdog = watchdog("users_own_file_is_read_and_not_changed");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("tickets.json");
    let content = r#"{"ticket_num": 2, "show": "x"}"#;
    std::fs::write(&data, content).expect("it was written");
    let explored =
        Demo::run("explore").args(["tickets", "--buyers", "2", "--stock", "1", "--all", "--data"]).arg(&data);
    let explored = explored.args(["--format", "json"]).expect_exit(0).events();
    assert_eq!(["schedules", "violated"].map(|name| fact(&explored, name)), [20, 12]);
    let replay = ["--buyers", "2", "--schedule", "a2b", "--data"];
    Demo::run("tickets").args(replay).arg(&data).expect_exit(0);
    assert_eq!(std::fs::read_to_string(&data).expect("a file"), content);
}

#[test]
fn interrupted_exploration_sums_up_what_it_has_seen() {
    let _watchdog = watchdog("interrupted_exploration_sums_up_what_it_has_seen");
    let mut run = Demo::run("explore").args(["tickets", "--buyers", "9", "--lock"]).start();
    run.until(|event| matches!(event.fact, Fact::RunStarted { .. }));
    send(run.pid(), Signal::SIGINT);
    let (code, events, stderr) = run.finish();
    assert_eq!((code, stderr.as_str()), (Some(130), ""));
    assert_eq!(facts(&events)["exhausted"], Value::Bool(false));
    assert!(matches!(events[1].fact, Fact::Summary { reason: Some(Reason::Cut), .. }) && events.len() == 2);
}

#[test]
fn stop_signal_that_ends_the_workers_first_interrupts_an_exploration() {
    let _watchdog = watchdog("stop_signal_that_ends_the_workers_first_interrupts_an_exploration");
    // Here the runner is inside of one operation for most of a schedule.
    let args = ["joinable", "--items", "50", "--producers", "1", "--consumers", "2"];
    let mut run = Demo::run("explore").args(args).own_group().start();
    run.until(|event| matches!(event.fact, Fact::RunStarted { .. }));
    until(|| children_of(run.pid()).len() >= 3);
    stop(run.pid());
    let workers = children_of(run.pid());
    kill(Pid::from_raw(-(run.pid() as i32)), Signal::SIGTERM).expect("its group");
    workers.into_iter().for_each(await_end);
    send(run.pid(), Signal::SIGCONT);
    let (code, events, stderr) = run.finish();
    assert_eq!((code, stderr.as_str()), (Some(143), ""));
    assert!(matches!(events[1].fact, Fact::Summary { reason: Some(Reason::Cut), .. }) && events.len() == 2);
}

#[test]
fn promise_that_is_broken_decides_the_exit_code() {
    let _watchdog = watchdog("promise_that_is_broken_decides_the_exit_code");
    assert_eq!(explore("tickets", "--buyers 2").code, Some(0), "nothing is promised");
    assert_eq!(explore("tickets", "--buyers 2 --strict").code, Some(1));
    let replay = ["--buyers", "2", "--schedule", "a2b", "--strict"];
    Demo::run("tickets").args(replay).expect_exit(1);
}

#[test]
fn report_for_people_has_the_steps_and_the_command_that_replays_them() {
    let _watchdog = watchdog("report_for_people_has_the_steps_and_the_command_that_replays_them");
    let said = |language| {
        let args = ["tickets", "--buyers", "2", "--all", "--limit=50", "--lang", language];
        let said = Demo::run("explore").args(args).expect_exit(0).stdout;
        // The rate is below.
        let lines = said.lines().take_while(|line| !line.starts_with("  schedules") && !line.starts_with("  调度"));
        lines.map(|line| line.to_owned() + "\n").collect::<String>()
    };
    insta::assert_snapshot!(said("en"), @"
    tickets  ·  every schedule  ·  seed 1

    the shortest schedule that violates it (6 steps, 2 switches):
         buyer-1      buyer-2
      1  look file
      2  read file
      3               look file
      4               read file
      5               write file
      6  write file
    replay it: ipc-demo tickets --buyers 2 --lang en --schedule a2b#7c53

    ✘ did not hold in 12 of 20 schedules, as can happen without a lock: no ticket
      is sold twice, and no more are sold than there are
    ");
    insta::assert_snapshot!(said("zh"), @"
    tickets  ·  所有调度  ·  随机种子 1

    最短的反例调度（6 步，切换 2 次）：
         购票者1      购票者2
      1  look file
      2  read file
      3               look file
      4               read file
      5               write file
      6  write file
    重放：ipc-demo tickets --buyers 2 --lang zh --schedule a2b#7c53

    ✘ 20 个调度中有 12 个不成立（未加锁，本来就无保证）：每张票只卖一次，且不超卖
    ");
}

/// Runs a scenario with `--step`, and answers with these lines. Returns what it said, without the times.
#[track_caller]
fn step(code: i32, args: &str, answers: &str) -> String {
    let mut typed = tempfile::tempfile().expect("a file");
    typed.write_all(answers.as_bytes()).and_then(|()| typed.rewind()).expect("it was written");
    let (command, rest) = args.split_once(' ').expect("arguments");
    Demo::run(command).args(rest.split(' ')).args(["--step"]).stdin(typed).expect_exit(code).stdout
}

#[test]
fn person_chooses_who_goes_next() {
    let _watchdog = watchdog("person_chooses_who_goes_next");
    let said = step(0, "tickets --buyers 2 --quiet", "a2\nx\nb\n?\nb\nu\nb2\n\n");
    insta::assert_snapshot!(said.split_once("\n✘").expect("a verdict").0, @r#"

      file: {"ticket_num": 3}
      a buyer-1  next: look file
      b buyer-2  next: look file
    go a b · kill a! b! · u undo · ? · q  []> a2

      file: {"ticket_num": 3}
      a buyer-1  next: write file
      b buyer-2  next: look file
    go a b · kill a! b! · u undo · ? · q  [a2]> x
    not possible now: x
    go a b · kill a! b! · u undo · ? · q  [a2]> b

      file: {"ticket_num": 3}
      a buyer-1  next: write file
      b buyer-2  next: read file
    go b a · kill a! b! · u undo · ? · q  [a2b]> ?
    a: worker a takes its next step; a3: three; a2b: two, then b one
    a!: kill -9 of worker a; a~: its operation times out
    Enter: the worker that ran last continues, or else the first that can
    u: undo the last step; q: end the run
    go b a · kill a! b! · u undo · ? · q  [a2b]> b

      file: {"ticket_num": 3}
      a buyer-1  next: write file
      b buyer-2  next: write file
    go b a · kill a! b! · u undo · ? · q  [a2b2]> u

      file: {"ticket_num": 3}
      a buyer-1  next: write file
      b buyer-2  next: read file
    go b a · kill a! b! · u undo · ? · q  [a2b]> b2

      file: {"ticket_num": 2}
      a buyer-1  next: write file
      b buyer-2  has ended
    go a · kill a! · u undo · ? · q  [a2b3]> 
    "#);
    let chosen = said.rsplit_once("--schedule ").expect("the schedule").1.trim();
    assert!(chosen.starts_with("a2b#"), "{chosen}");
    let args = ["--buyers", "2", "--schedule", chosen, "--format", "json"];
    let replayed = Demo::run("tickets").args(args).expect_exit(0).events();
    assert_eq!(verdict(&replayed).0, Verdict::Violated);
}

#[test]
fn what_was_shown_before_a_step_is_undone_is_not_shown_again() {
    let _watchdog = watchdog("what_was_shown_before_a_step_is_undone_is_not_shown_again");
    let said = step(0, "tickets --buyers 2", "a\nb\nu\nq\n");
    let times = |what: &str| said.matches(what).count();
    assert_eq!((times("starts as process 1"), times("sees 3 tickets left")), (1, 2), "{said}");
    assert_eq!(times("is killed"), 0, "the run was ended, not they: {said}");
}

#[test]
fn deadlock_is_shown_and_can_be_broken_by_a_kill() {
    let _watchdog = watchdog("deadlock_is_shown_and_can_be_broken_by_a_kill");
    let said = step(0, "deadlock --quiet", "ab\n");
    for part in [
        "  lock-1: held by a    lock-2: held by b\n",
        "  a worker-1  waits: acquire lock-2, which b holds\n",
        "  all are blocked: this is a deadlock\nkill a! b! · u undo",
        "✘ did not hold, as can happen",
        "--schedule ab#",
    ] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
    let said = step(0, "deadlock --quiet", "aba!b3\n");
    assert!(said.contains("deadlocks 1") && said.contains("--schedule 'aba!#"), "{said}");
}

#[test]
fn end_of_the_input_ends_the_run_with_its_summary() {
    let _watchdog = watchdog("end_of_the_input_ends_the_run_with_its_summary");
    for (answers, chosen) in [("", "--schedule '#"), ("a\n", "--schedule a#"), ("a\nq\nb\n", "--schedule a#")] {
        let said = step(0, "tickets --buyers 2 --quiet", answers);
        assert!(said.contains("inconclusive (the run was stopped early)") && said.contains(chosen), "{said}");
    }
    // Here the runner itself waits, for an object of the manager.
    let said = step(0, "manager --type condition --quiet", "b4a3\n");
    assert!(said.contains("waits: acquire condition") && said.contains("--schedule b#"), "{said}");
}

#[test]
fn step_is_for_people() {
    let _watchdog = watchdog("step_is_for_people");
    for (args, reason) in [
        ("tickets --step --format json", "--step does not use --format json"),
        ("tickets --step --speed 2", "--step does not use --speed"),
        (
            "queue --step --transport pipe",
            "cannot choose the schedule of queue: a queue over a pipe has feeder threads",
        ),
        ("manager --connect unix:a --authkey-file a --step", "cannot choose the schedule of manager: only a manager"),
        ("tickets --buyers 2 --step --schedule a4", "cannot begin with a4: step 4: a (buyer-1) has ended"),
    ] {
        let (command, rest) = args.split_once(' ').expect("arguments");
        let finished = Demo::run(command).args(rest.split(' ')).expect_exit(2);
        assert_eq!(finished.stdout, "", "{args}");
        assert!(finished.stderr.contains(reason), "{args}: {}", finished.stderr);
    }
}
