//! `--kill` and `--quiet`: a worker that dies at a given moment, and a run that shows only its summary.

use crate::report::schema::{Allowance, Event, Fact, Reason, Verdict};

use super::{count, reason, verdict};
use crate::cli::refused;
use crate::harness::{Demo, fact, watchdog};

/// Runs it at full speed and kills a worker. It succeeds: the claim does not depend on the victim.
#[track_caller]
fn killed(scenario: &str, args: &[&str], kill: &str) -> Vec<Event> {
    let speed = if args.contains(&"--speed") { &[][..] } else { &["--speed", "max"] };
    let run = Demo::run(scenario).args(args.iter().chain(speed).copied()).args(["--format", "json"]);
    let finished = run.args(["--kill", kill]).expect_exit(0);
    assert_eq!(finished.stderr, "", "a death that was asked for is not unexpected");
    let events = finished.events();
    let victim = kill.split('@').next().expect("a worker");
    let dead = events.iter().filter(|event| matches!(event.fact, Fact::WorkerExited { signal: Some(9), .. }));
    assert_eq!(dead.map(|event| event.worker.as_str()).collect::<Vec<_>>(), [victim]);
    assert_eq!(verdict(&events).0, Verdict::Held);
    events
}

/// Returns the last event that a worker reported.
fn last_words<'a>(events: &'a [Event], worker: &str) -> &'a Fact {
    let mut own = events.iter().filter(|event| event.worker == worker);
    &own.rfind(|event| !matches!(event.fact, Fact::WorkerExited { .. })).expect("events of it").fact
}

#[test]
fn holder_dies_and_another_takes_over() {
    let _watchdog = watchdog("kill::holder");
    let events = killed("tickets", &["--lock"], "buyer-1@holding");
    assert!(matches!(last_words(&events, "buyer-1"), Fact::LockAcquired { .. }));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::LockAcquired { abandoned: true, .. })), 1);
    assert_eq!(["bought", "left", "oversold"].map(|name| fact(&events, name)), [3, 0, 0]);
}

#[test]
fn each_scenario_has_moments_of_its_own() {
    let _watchdog = watchdog("kill::moments");
    let events = killed("semaphore", &["--permits", "1", "--workers", "4"], "car-2@permit_acquired");
    assert!(matches!(last_words(&events, "car-2"), Fact::PermitAcquired { .. }));
    assert_eq!(fact(&events, "entered"), 4);

    let events = killed("event", &["--racers", "3"], "racer-3@waiting");
    assert!(matches!(last_words(&events, "racer-3"), Fact::GunAwaited));
    assert_eq!(fact(&events, "finished"), 2);

    let events = killed("barrier", &["--parties", "3"], "worker-2@barrier_passed");
    assert_eq!(count(&events, |fact| matches!(fact, Fact::BarrierBroken { .. })), 2);

    let events = killed("values", &["--lock"], "worker-4@increments_made");
    assert!(matches!(last_words(&events, "worker-4"), Fact::IncrementsMade { .. }));

    let events = killed("pipe", &["--messages", "5"], "producer@message_sent");
    assert_eq!(count(&events, |fact| matches!(fact, Fact::EndOfFile)), 1);
}

/// The first and the last worker share a lock, and both die with it: whichever is second takes it over.
#[test]
fn lock_of_a_killed_worker_is_taken_over_in_order() {
    let _watchdog = watchdog("kill::ordered");
    let run = Demo::run("deadlock").args(["--ordered", "--workers", "3", "--speed", "max", "--format", "json"]);
    let run = run.args(["--kill", "worker-1@holding", "--kill", "worker-3@holding"]);
    let events = run.expect_exit(0).events();
    assert_eq!(verdict(&events).0, Verdict::Held);
    assert_eq!(count(&events, |fact| matches!(fact, Fact::LockAcquired { abandoned: true, .. })), 1);
    assert_eq!(fact(&events, "finished"), 1);
}

#[test]
fn task_of_a_killed_consumer_goes_to_another() {
    let _watchdog = watchdog("kill::task");
    // With pauses between two tasks, both consumers get some.
    let events = killed("joinable", &["--consumers", "2", "--items", "5", "--speed", "20"], "consumer-1@working");
    let redelivered = |fact: &Fact| matches!(fact, Fact::ItemGot { redelivered: true, .. });
    assert_eq!(count(&events, redelivered), 1);
    assert_eq!(["tasks_done", "lost", "returned"].map(|name| fact(&events, name)), [10, 0, 1]);
}

#[test]
fn task_that_no_consumer_takes_again_is_counted_as_returned() {
    let _watchdog = watchdog("kill::returned");
    let run = Demo::run("joinable").args(["--speed", "max", "--format", "json", "--kill", "consumer@working"]);
    let events = run.expect_exit(0).events();
    let names = ["produced", "consumed", "still_queued", "tasks_done", "returned"];
    let [produced, consumed, queued, done, returned] = names.map(|name| fact(&events, name));
    assert_eq!((produced, consumed, done, returned), (1 + queued, 1, 0, 1));
}

#[test]
fn killed_worker_of_a_manager_releases_its_lock() {
    let _watchdog = watchdog("kill::manager");
    let events = killed("manager", &["--type", "lock", "--workers", "2"], "worker-2@holding");
    assert!(matches!(last_words(&events, "worker-2"), Fact::LockAcquired { .. }));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::WorkerExited { exit_code: Some(0), .. })), 1);
}

/// What was counted decides; what nobody was left to finish is not shown; neither is a failure.
#[test]
fn death_that_was_asked_for_is_no_failure() {
    let _watchdog = watchdog("kill::asked_for");
    for (run, kill, wanted) in [
        (&["pipe"][..], "consumer@end_of_file", Verdict::Held),
        (&["pipe"], "consumer@message_received", Verdict::NotShown),
        (&["pipe", "--duplex"], "consumer@message_received", Verdict::NotShown),
        (&["manager"], "worker-1@object_called", Verdict::Held),
        (&["manager", "--type", "list", "--workers", "1"], "worker-1@object_called", Verdict::NotShown),
        (&["manager", "--type", "joinable-queue"], "worker-1@item_put", Verdict::Held),
        (&["queue"], "consumer@item_got", Verdict::NotShown),
        (&["queue", "--transport", "pipe"], "consumer@item_got", Verdict::NotShown),
        (&["queue", "--items", "1"], "consumer@item_got", Verdict::Held),
        (&["queue", "--fill"], "filler@item_put", Verdict::NotShown),
        (&["queue", "--fill"], "filler@queue_empty", Verdict::Held),
        (&["prodcons"], "consumer@item_got", Verdict::NotShown),
        (&["joinable"], "consumer@item_got", Verdict::NotShown),
        (&["tickets", "--lock", "--buyers", "1"], "buyer-1@holding", Verdict::NotShown),
        (&["barrier"], "worker-1@waiting", Verdict::NotShown),
        (&["barrier"], "worker-1@barrier_passed", Verdict::Held),
        (&["manager", "--type", "barrier", "--workers", "3"], "worker-1@waiting", Verdict::NotShown),
        (&["manager", "--type", "event", "--workers", "3"], "worker-1@waiting", Verdict::Held),
        (&["event", "--racers", "1"], "racer-1@waiting", Verdict::NotShown),
        (&["event", "--racers", "2"], "racer-1@waiting", Verdict::Held),
        (&["semaphore", "--workers", "1"], "car-1@waiting", Verdict::NotShown),
        (&["semaphore", "--workers", "2"], "car-1@waiting", Verdict::Held),
        (&["condition", "--producers", "1", "--consumers", "1"], "consumer-1@item_got", Verdict::NotShown),
        (&["condition", "--producers", "1", "--consumers", "2"], "consumer-1@end_of_file", Verdict::Held),
    ] {
        let demo = Demo::run(run[0]).args(run[1..].iter().copied()).args(["--speed", "max", "--format", "json"]);
        let finished = demo.args(["--kill", kill]).finished();
        assert_eq!((finished.code, finished.stderr.as_str()), (Some(0), ""), "{run:?} {kill}");
        let events = finished.events();
        let why = (wanted == Verdict::NotShown).then_some(Reason::Killed);
        assert_eq!((verdict(&events).0, reason(&events)), (wanted, why), "{run:?} {kill}");
    }
}

#[test]
fn producer_that_died_early_is_allowed_for_everywhere() {
    let _watchdog = watchdog("kill::allowance");
    for (scenario, kill) in [
        ("pipe", "producer@message_sent"),
        ("queue", "producer@item_put"),
        ("prodcons", "producer@item_put"),
        ("joinable", "producer-1@item_put"),
    ] {
        let events = killed(scenario, &[], kill);
        let Some(Fact::Summary { allowance, .. }) = events.last().map(|event| &event.fact) else {
            panic!("no summary")
        };
        assert_eq!(*allowance, Some(Allowance::Unfinished), "{scenario}");
    }
}

#[test]
fn several_can_be_killed() {
    let _watchdog = watchdog("kill::several");
    let sale = Demo::run("tickets").args(["--lock", "--speed", "max", "--format", "json"]);
    let sale = sale.args(["--kill", "buyer-1@holding", "--kill", "buyer-2@stock_checked"]);
    let events = sale.expect_exit(0).events();
    assert_eq!(count(&events, |fact| matches!(fact, Fact::WorkerExited { signal: Some(9), .. })), 2);
    assert_eq!(fact(&events, "bought"), 3);
}

#[test]
fn moment_that_never_comes_is_told() {
    let _watchdog = watchdog("kill::never");
    let sale = Demo::run("tickets").args(["--lock", "--speed", "max", "--buyers", "1", "--stock", "0"]);
    let finished = sale.args(["--kill", "buyer-1@ticket_bought"]).expect_exit(3);
    assert_eq!(finished.stderr, "error: could not kill buyer-1@ticket_bought: the moment never came\n");
    assert!(finished.stdout.contains("held"), "{}", finished.stdout);
}

#[test]
fn unknown_worker_or_moment_is_refused_with_what_there_is() {
    let _watchdog = watchdog("kill::unknown");
    let kill = |scenario: &str, kill: &str| Demo::run(scenario).args(["--kill", kill]);
    refused(kill("tickets", "buyer-11@holding"), &["no worker buyer-11", "buyer-1 to buyer-10"]);
    refused(kill("tickets", "buyer-1@holding"), &["no moment holding", "stock_checked, ticket_bought"]);
    refused(kill("queue", "producer@waiting"), &["no moment waiting", "working, item_put, item_got"]);
    refused(kill("tickets", "buyer-1"), &["--kill", "expected WORKER@MOMENT, such as buyer-1@holding"]);
    refused(kill("bench", "buyer-1@holding"), &["--kill works only with scenarios, not with bench"]);
}

/// `run_started` lists what the workers report, in every scenario and with its options.
#[test]
fn every_event_of_a_worker_is_a_moment() {
    let _watchdog = watchdog("kill::every_event");
    for run in [
        &["tickets"][..],
        &["tickets", "--lock"],
        &["pipe"],
        &["pipe", "--duplex"],
        &["queue"],
        &["queue", "--fill"],
        &["prodcons", "--capacity", "2"],
        &["joinable"],
        &["values"],
        &["pool"],
        &["semaphore"],
        &["event"],
        &["barrier"],
        &["condition"],
        &["deadlock", "--timeout", "10ms"],
        &["manager", "--type", "all"],
        &["manager"],
    ] {
        let events = Demo::run(run[0]).args(run[1..].iter().copied()).args(["--speed", "max", "--format", "json"]);
        let events = events.expect_exit(0).events();
        let Fact::RunStarted { moments, .. } = &events[0].fact else { panic!("{:?}", events[0]) };
        for event in events.iter().filter(|event| event.worker != "runner") {
            let written = serde_json::to_value(&event.fact).expect("a fact has a JSON form");
            let name = written["event"].as_str().expect("a name");
            let of_the_runner = ["worker_started", "worker_exited"].contains(&name);
            assert!(of_the_runner || moments.iter().any(|moment| moment == name), "{run:?}: {name} in {moments:?}");
        }
    }
}

#[test]
fn quiet_run_shows_its_summary_alone() {
    let _watchdog = watchdog("kill::quiet");
    let sale = || Demo::run("tickets").args(["--lock", "--speed", "max", "--quiet", "--seed", "1"]);
    let text = sale().expect_exit(0).stdout;
    assert!(text.starts_with('✔') && text.contains("bought 3") && !text.contains("buyer-1"), "{text}");
    let events = sale().args(["--format", "json"]).expect_exit(0).events();
    assert!(matches!(events.as_slice(), [Event { fact: Fact::Summary { .. }, .. }]), "{events:?}");
}
