//! The pipe.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;
use serde_json::Value;

use super::{count, verdict};
use crate::harness::{Demo, fact, send, watchdog};

fn values(events: &[Event], of: impl Fn(&Fact) -> Option<&Value>) -> Vec<u64> {
    events.iter().filter_map(|event| of(&event.fact)).map(|value| value.as_u64().expect("a number")).collect()
}

fn sent(fact: &Fact) -> Option<&Value> {
    if let Fact::MessageSent { value } = fact { Some(value) } else { None }
}

fn received(fact: &Fact) -> Option<&Value> {
    if let Fact::MessageReceived { value } = fact { Some(value) } else { None }
}

#[test]
fn one_way_messages_arrive_in_order_and_the_end_is_seen() {
    let _watchdog = watchdog("scenarios::pipe::one_way");
    let events = Demo::run("pipe").args(["--speed", "max", "--format", "json"]).expect_exit(0).events();
    let numbers: Vec<u64> = (1..=10).collect();
    assert_eq!((values(&events, sent), values(&events, received)), (numbers.clone(), numbers));
    assert_eq!(count(&events, |fact| matches!(fact, Fact::SendRefused { .. })), 1);
    let last_message = events.iter().rposition(|event| received(&event.fact).is_some());
    let end = events.iter().position(|event| matches!(event.fact, Fact::EndOfFile));
    assert!(last_message < end, "the end comes after the last message");
    assert_eq!(verdict(&events), (Verdict::Held, true));
}

#[test]
fn duplex_answers_every_message() {
    let _watchdog = watchdog("scenarios::pipe::duplex");
    let pipe = Demo::run("pipe").args(["--duplex", "--messages", "500", "--speed", "max", "--format", "json"]);
    let events = pipe.expect_exit(0).events();
    assert_eq!(["sent", "received", "replies"].map(|name| fact(&events, name)), [500; 3]);
    assert_eq!(count(&events, |fact| matches!(fact, Fact::SendRefused { .. })), 0);
}

#[test]
fn no_message_at_all_is_a_run() {
    let events = Demo::run("pipe").args(["--messages", "0", "--format", "json"]).expect_exit(0).events();
    assert_eq!((fact(&events, "received"), verdict(&events)), (0, (Verdict::Held, true)));
}

#[test]
fn killed_producer_is_an_end_and_no_hang() {
    let _watchdog = watchdog("scenarios::pipe::killed_producer");
    let mut pipe = Demo::run("pipe").args(["--messages", "1000"]).start();
    let sender = pipe.until(|event| matches!(event.fact, Fact::MessageSent { .. })).pid;
    send(sender, Signal::SIGKILL);
    let (code, events, stderr) = pipe.finish();
    assert_eq!(code, Some(3), "{stderr}");
    assert_eq!(count(&events, |fact| matches!(fact, Fact::EndOfFile)), 1, "the consumer ended in order");
    assert_eq!(verdict(&events), (Verdict::Held, true));
}

#[test]
fn killed_consumer_is_a_broken_pipe_and_no_hang() {
    let _watchdog = watchdog("scenarios::pipe::killed_consumer");
    let mut pipe = Demo::run("pipe").args(["--messages", "1000", "--speed", "100"]).start();
    let receiver = pipe.until(|event| matches!(event.fact, Fact::MessageReceived { .. })).pid;
    send(receiver, Signal::SIGKILL);
    let (code, events, stderr) = pipe.finish();
    assert_eq!(code, Some(3));
    assert!(stderr.contains("worker consumer"), "{stderr}");
    let ended = |event: &Event| {
        event.worker == "producer" && matches!(event.fact, Fact::WorkerExited { exit_code: Some(0), .. })
    };
    assert!(events.iter().any(ended), "the producer is told, and ends");
}

#[test]
fn chinese_lines_are_those_of_the_reference_program() {
    let said = Demo::run("pipe").args(["--speed", "max", "--messages", "2", "--lang", "zh"]).expect_exit(0).stdout;
    for line in ["发送数据1", "收到数据1", "发送数据2", "收到数据2"] {
        assert_eq!(said.matches(line).count(), 1, "{said}");
    }
}
