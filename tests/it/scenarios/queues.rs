//! The queues: `queue`, `prodcons` and `joinable`.

use std::collections::BTreeMap;

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::{count, verdict};
use crate::harness::{Demo, fact, send, watchdog};

fn is_put(fact: &Fact) -> bool {
    matches!(fact, Fact::ItemPut { .. })
}

fn is_got(fact: &Fact) -> bool {
    matches!(fact, Fact::ItemGot { .. })
}

/// Returns which consumer got what from which producer, in the order of the gets.
fn deliveries(events: &[Event]) -> BTreeMap<(&str, &str), Vec<u64>> {
    let mut deliveries: BTreeMap<_, Vec<u64>> = BTreeMap::new();
    for event in events {
        if let Fact::ItemGot { from, number, .. } = &event.fact {
            deliveries.entry((from.as_str(), event.worker.as_str())).or_default().push(*number);
        }
    }
    deliveries
}

#[test]
fn both_transports_carry_every_item_in_order() {
    let _watchdog = watchdog("scenarios::queue::both_transports");
    for transport in ["shm", "pipe"] {
        for capacity in ["1", "2", "10", "64"] {
            let args = ["--transport", transport, "--capacity", capacity, "--items", "100", "--speed", "max"];
            let events = Demo::run("queue").args(args).args(["--format", "json"]).expect_exit(0).events();
            let expected: Vec<u64> = (1..=100).collect();
            assert_eq!(deliveries(&events)[&("producer", "consumer")], expected, "{transport} {capacity}");
            assert_eq!(verdict(&events), (Verdict::Held, true));
        }
    }
}

#[test]
fn filled_queue_refuses_one_more_and_emptied_gives_none() {
    let _watchdog = watchdog("scenarios::queue::fill");
    for transport in ["shm", "pipe"] {
        let args = ["--fill", "--capacity", "7", "--transport", transport, "--format", "json"];
        let events = Demo::run("queue").args(args).expect_exit(0).events();
        let sizes = |wanted: fn(&Fact) -> Option<u64>| {
            events.iter().filter_map(|event| wanted(&event.fact)).collect::<Vec<_>>()
        };
        let put = sizes(|fact| if let Fact::ItemPut { size, .. } = fact { *size } else { None });
        let got = sizes(|fact| if let Fact::ItemGot { size, .. } = fact { *size } else { None });
        assert_eq!((put, got), ((1..=7).collect(), (0..7).rev().collect()), "{transport}");
        let at = |wanted: fn(&Fact) -> bool| events.iter().rposition(|event| wanted(&event.fact));
        let full = at(|fact| matches!(fact, Fact::QueueFull { .. }));
        let empty = at(|fact| matches!(fact, Fact::QueueEmpty));
        assert!(at(is_put) < full && full < at(is_got) && at(is_got) < empty);
    }
}

#[test]
fn task_takes_its_time_before_it_is_done() {
    let _watchdog = watchdog("scenarios::queue::task_time");
    let args = ["--items", "2", "--speed", "20", "--format", "json"];
    let events = Demo::run("joinable").args(args).expect_exit(0).events();
    let times = |wanted: fn(&Fact) -> bool| {
        events.iter().filter(move |event| wanted(&event.fact)).map(|event| event.at_us).collect::<Vec<_>>()
    };
    let (got, done) = (times(is_got), times(|fact| matches!(fact, Fact::TaskDone { .. })));
    assert_eq!((got.len(), done.len()), (4, 4));
    assert!(got.iter().zip(&done).all(|(got, done)| done - got >= 50_000), "{got:?} {done:?}");
}

#[test]
fn any_number_of_producers_and_consumers_ends_by_itself_and_loses_nothing() {
    let _watchdog = watchdog("scenarios::queue::any_number");
    for (producers, consumers, capacity) in
        [(1, 1, Some(1)), (3, 1, Some(2)), (1, 4, Some(64)), (4, 4, None), (2, 5, Some(1))]
    {
        let mut args =
            vec![format!("--producers={producers}"), format!("--consumers={consumers}"), "--items=50".to_owned()];
        args.extend(capacity.map(|capacity| format!("--capacity={capacity}")));
        let demo = Demo::run("prodcons").args(args.iter().map(String::as_str)).args(["--speed=max", "--format=json"]);
        let events = demo.expect_exit(0).events();
        let facts = ["produced", "consumed", "lost", "duplicated", "still_queued"].map(|name| fact(&events, name));
        assert_eq!(facts, [producers * 50, producers * 50, 0, 0, 0], "{args:?}");
        assert_eq!((count(&events, is_put), count(&events, is_got)), (producers * 50, producers * 50));
        for ((from, to), numbers) in deliveries(&events) {
            assert!(numbers.is_sorted(), "{to} got {numbers:?} of {from}");
        }
    }
}

#[test]
fn empty_run_is_a_run() {
    for scenario in ["queue", "prodcons", "joinable"] {
        let events = Demo::run(scenario).args(["--items", "0", "--format", "json"]).expect_exit(0).events();
        assert_eq!((fact(&events, "consumed"), verdict(&events)), (0, (Verdict::Held, true)), "{scenario}");
    }
}

#[test]
fn unusable_numbers_start_nothing() {
    for args in [
        ["queue", "--capacity", "0"],
        ["queue", "--capacity", "99999999999999999999"],
        ["prodcons", "--producers", "0"],
        ["prodcons", "--consumers", "100000"],
        ["prodcons", "--capacity", "0"],
        ["prodcons", "--items", "-1"],
        ["joinable", "--consumers", "0"],
        ["queue", "--transport", "tin"],
    ] {
        let finished = Demo::run(args[0]).args(args[1..].iter().copied()).expect_exit(2);
        assert!(finished.stdout.is_empty() && finished.stderr.contains(args[1]), "{args:?}: {}", finished.stderr);
    }
}

#[test]
fn forever_sums_up_when_it_is_interrupted() {
    let _watchdog = watchdog("scenarios::queue::forever");
    for scenario in ["queue", "prodcons"] {
        let mut run = Demo::run(scenario).args(["--forever", "--speed", "100"]).start();
        for _ in 0..5 {
            run.until(|event| is_got(&event.fact));
        }
        send(run.pid(), Signal::SIGINT);
        let (code, events, stderr) = run.finish();
        assert_eq!((code, stderr.as_str()), (Some(130), ""), "{scenario}");
        assert!(fact(&events, "consumed") >= 5);
        assert_eq!(verdict(&events), (Verdict::Held, true), "{scenario}");
    }
}

#[test]
fn killed_consumer_costs_at_most_the_item_in_its_hands() {
    let _watchdog = watchdog("scenarios::queue::killed_consumer");
    let args = ["--producers", "2", "--consumers", "2", "--items", "40", "--speed", "200", "--capacity", "4"];
    let mut run = Demo::run("prodcons").args(args).start();
    let victim = run.until(|event| is_got(&event.fact)).pid;
    send(victim, Signal::SIGKILL);
    let (code, events, _) = run.finish();
    assert_eq!(code, Some(3), "a worker died");
    assert!(fact(&events, "lost") <= 1);
    assert_eq!([fact(&events, "duplicated"), fact(&events, "still_queued")], [0, 0]);
    assert_eq!(verdict(&events), (Verdict::Held, true));
}

#[test]
fn killed_producer_is_no_reason_to_hang() {
    let _watchdog = watchdog("scenarios::queue::killed_producer");
    for transport in ["shm", "pipe"] {
        let mut run = Demo::run("queue").args(["--items", "1000", "--speed", "100", "--transport", transport]).start();
        let victim = run.until(|event| is_put(&event.fact)).pid;
        run.until(|event| is_got(&event.fact));
        send(victim, Signal::SIGKILL);
        let (code, events, stderr) = run.finish();
        assert_eq!(code, Some(3), "{transport}: {stderr}");
        // With the textbook queue, an item that its feeder thread had not written counts as queued permanently.
        let is_missing = transport == "pipe" && fact(&events, "still_queued") > 0;
        let wanted = if is_missing { Verdict::NotShown } else { Verdict::Held };
        assert_eq!(verdict(&events).0, wanted, "{transport}");
    }
}

#[test]
fn last_consumer_killed_is_told_to_the_producers() {
    let _watchdog = watchdog("scenarios::queue::last_consumer_killed");
    let args = ["--items", "1000", "--speed", "100", "--capacity", "2"];
    let mut run = Demo::run("prodcons").args(args).start();
    let victim = run.until(|event| is_got(&event.fact)).pid;
    send(victim, Signal::SIGKILL);
    let (code, events, stderr) = run.finish();
    assert_eq!(code, Some(3));
    assert!(stderr.contains("worker consumer"), "{stderr}");
    let ended = |event: &Event| {
        event.worker == "producer" && matches!(event.fact, Fact::WorkerExited { exit_code: Some(0), .. })
    };
    assert!(events.iter().any(ended), "the producer is told, and ends");
}

#[test]
fn joinable_queue_is_joined_after_the_producers_and_before_the_daemon_ends() {
    let _watchdog = watchdog("scenarios::queue::joinable_order");
    let events = Demo::run("joinable").args(["--speed", "max", "--format", "json"]).expect_exit(0).events();
    let last = |wanted: &dyn Fn(&Event) -> bool| events.iter().rposition(wanted).expect("it happened");
    let exited = |who: &'static str| {
        move |event: &Event| event.worker.starts_with(who) && matches!(event.fact, Fact::WorkerExited { .. })
    };
    let joined = last(&|event| event.fact == Fact::QueueJoined { tasks: 20 });
    assert!(last(&exited("producer")) < joined && joined < last(&exited("consumer")));
    assert!(last(&|event| matches!(event.fact, Fact::TaskDone { .. })) < joined);
    let named = ["produced", "consumed", "lost", "duplicated", "tasks_done"].map(|name| fact(&events, name));
    assert_eq!(named, [20, 20, 0, 0, 20]);
}

#[test]
fn task_of_a_killed_consumer_goes_to_another() {
    let _watchdog = watchdog("scenarios::queue::task_of_a_killed_consumer");
    let args = ["--consumers", "3", "--items", "20", "--speed", "100"];
    let mut run = Demo::run("joinable").args(args).start();
    let victim = run.until(|event| is_got(&event.fact)).pid;
    send(victim, Signal::SIGKILL);
    let (code, events, stderr) = run.finish();
    assert_eq!(code, Some(3), "a worker died: {stderr}");
    assert_eq!([fact(&events, "lost"), fact(&events, "tasks_done")], [0, 40]);
    assert_eq!(verdict(&events), (Verdict::Held, true));
    assert_eq!(
        count(&events, |fact| *fact == Fact::QueueJoined { tasks: 40 } || matches!(fact, Fact::QueueJoined { .. })),
        1
    );
}

#[test]
fn no_consumer_left_is_said_and_no_hang() {
    let _watchdog = watchdog("scenarios::queue::no_consumer_left");
    let mut run = Demo::run("joinable").args(["--items", "5", "--speed", "50"]).start();
    let victim = run.until(|event| is_got(&event.fact)).pid;
    send(victim, Signal::SIGKILL);
    let (code, _, stderr) = run.finish();
    assert_ne!(code, Some(0));
    assert!(stderr.contains("no consumer is left") || stderr.contains("no process is left"), "{stderr}");
}

#[test]
fn chinese_lines_are_those_of_the_reference_programs() {
    let said = |scenario: &str| {
        Demo::run(scenario).args(["--speed", "max", "--items", "1", "--lang", "zh"]).expect_exit(0).stdout
    };
    let queue = said("queue");
    assert!(queue.contains("入队数据: 1") && queue.contains("出队数据1"), "{queue}");
    let prodcons = said("prodcons");
    assert!(prodcons.contains("生产者产生数据: 0.") && prodcons.contains("消费者获取数据: 0."), "{prodcons}");
}

/// At this speed a pause outlasts the test: what comes after it never comes.
const STANDSTILL: [&str; 2] = ["--speed", "0.001"];

#[test]
fn work_on_a_task_takes_its_time() {
    let _watchdog = watchdog("scenarios::joinable::work");
    let mut run = Demo::run("joinable").args(["--producers", "1", "--consumers", "2"]).args(STANDSTILL).start();
    send(run.until(|event| is_got(&event.fact)).pid, Signal::SIGKILL);
    // Its task was not done, so it goes to the other consumer, which does not finish it either.
    run.until(|event| matches!(event.fact, Fact::ItemGot { redelivered: true, .. }));
    send(run.pid(), Signal::SIGINT);
    let (code, events, _) = run.finish();
    assert_eq!(code, Some(130));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::TaskDone { .. })), 0);
}

#[test]
fn filling_takes_its_time() {
    let _watchdog = watchdog("scenarios::queue::fill_pause");
    let mut run = Demo::run("queue").args(["--fill", "--capacity", "2"]).args(STANDSTILL).start();
    send(run.until(|event| is_put(&event.fact)).pid, Signal::SIGKILL);
    let (code, events, _) = run.finish();
    assert_eq!(code, Some(3));
    assert_eq!((count(&events, is_put), count(&events, is_got)), (1, 0));
}
