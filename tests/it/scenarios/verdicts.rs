//! The verdict of a run that did not finish: never that a claim held or was broken if no worker was left to finish it.

use crate::report::schema::{Fact, Reason, Verdict};
use nix::sys::signal::Signal;

use super::{reason, verdict};
use crate::harness::{Demo, fact, send, watchdog};

/// Every scenario with workers, with the options that make its claim a guarantee.
const RUNS: [&[&str]; 12] = [
    &["tickets", "--lock"],
    &["pipe"],
    &["queue"],
    &["prodcons"],
    &["joinable"],
    &["values", "--lock"],
    &["pool"],
    &["semaphore"],
    &["event"],
    &["barrier"],
    &["condition"],
    &["deadlock", "--ordered"],
];

#[test]
fn workers_that_cannot_be_started_break_no_claim() {
    let _watchdog = watchdog("verdicts::descriptor_limit");
    for run in RUNS {
        for limit in [14, 18, 22, 26] {
            let demo = Demo::run(run[0]).args(run[1..].iter().copied()).args(["--speed", "max", "--format", "json"]);
            let finished = demo.limit(&format!("-n {limit}")).finished();
            match (finished.code, finished.stdout.is_empty()) {
                // Nothing was started, or everything was.
                (Some(2 | 3), true) => {}
                (Some(0), false) => assert_eq!(verdict(&finished.events()), (Verdict::Held, true), "{run:?} {limit}"),
                (Some(3), false) => {
                    let events = finished.events();
                    assert_eq!(verdict(&events).0, Verdict::NotShown, "{run:?} {limit}");
                    assert_eq!(reason(&events), Some(Reason::Machinery), "{run:?} {limit}");
                }
                (code, _) => panic!("{run:?} {limit}: exit code {code:?}: {}", finished.stderr),
            }
        }
    }
}

#[test]
fn worker_that_could_not_start_is_not_said_to_have_failed() {
    let _watchdog = watchdog("verdicts::unstarted");
    for (language, wanted) in
        [("en", "inconclusive (a worker could not start): "), ("zh", "无法判断（有进程无法启动）：")]
    {
        let demo = Demo::run("event").args(["--racers", "9", "--speed", "max", "--lang", language]);
        let finished = demo.limit("-n 22").expect_exit(3);
        assert!(finished.stdout.contains(wanted), "{}", finished.stdout);
    }
}

#[test]
fn every_summary_says_in_a_sentence_what_was_seen() {
    let _watchdog = watchdog("verdicts::sentence");
    let others: [&[&str]; 4] = [&["manager"], &["pipe", "--duplex"], &["queue", "--fill"], &["tickets"]];
    for run in RUNS.iter().chain(&others) {
        for (language, end) in [("en", '.'), ("zh", '。')] {
            let demo = Demo::run(run[0]).args(run[1..].iter().copied());
            let said = demo.args(["--speed", "max", "--quiet", "--lang", language]).expect_exit(0).stdout;
            let sentences = said.lines().filter(|line| line.starts_with("  ") && line.ends_with(end));
            assert_eq!(sentences.count(), 1, "{said}");
        }
    }
}

#[test]
fn run_that_was_cut_early_shows_nothing() {
    let _watchdog = watchdog("verdicts::cut");
    for run in RUNS {
        let mut demo = Demo::run(run[0]).args(run[1..].iter().copied()).args(["--speed", "0.5"]).start();
        demo.until(|event| matches!(event.fact, Fact::WorkerStarted { .. }));
        send(demo.pid(), Signal::SIGINT);
        let (code, events, stderr) = demo.finish();
        assert_eq!((code, stderr.as_str()), (Some(130), ""), "{run:?}");
        assert_eq!((verdict(&events).0, reason(&events)), (Verdict::NotShown, Some(Reason::Cut)), "{run:?}");
    }
}

#[test]
fn claim_that_no_consumer_is_left_for_is_not_shown() {
    let _watchdog = watchdog("verdicts::no_consumer");
    for scenario in ["pipe", "queue", "prodcons", "joinable"] {
        let mut demo = Demo::run(scenario).args(["--speed", "20"]).start();
        let got = |fact: &Fact| matches!(fact, Fact::ItemGot { .. } | Fact::MessageReceived { .. });
        let consumer = demo.until(|event| got(&event.fact)).pid;
        send(consumer, Signal::SIGKILL);
        let (code, events, stderr) = demo.finish();
        assert_eq!(code, Some(3), "{scenario}: {stderr}");
        assert_eq!((verdict(&events).0, reason(&events)), (Verdict::NotShown, Some(Reason::Machinery)), "{scenario}");
        if scenario != "pipe" {
            assert!(fact(&events, "lost") <= 1, "what is still queued is not lost: {scenario}");
        }
    }
}
