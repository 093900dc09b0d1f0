//! The event between processes.

use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::{Event, Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_asleep, join_all, meeting_point, watchdog, worker};

/// Reports that it is ready, waits for the event, reports.
#[derive(Serialize, Deserialize)]
pub(crate) struct AwaitsEvent {
    event: Event,
    here: Fd,
}

impl Role for AwaitsEvent {
    const NAME: &'static str = "test.awaits-event";
    fn run(self) -> RoleResult {
        let (event, here) = (self.event, self.here);
        arrive(&here, b'b');
        event.wait();
        arrive(&here, b's');
        Ok(())
    }
}

/// Returns workers that sleep until the event is set.
fn sleepers(n: usize, event: &Event) -> (Vec<Process>, MeetingReader) {
    let (mut here, arrives) = meeting_point();
    let start =
        |number| worker(&format!("runner-{number}"), AwaitsEvent { event: event.clone(), here: arrives.clone() });
    let workers: Vec<Process> = (0..n).map(start).collect();
    drop(arrives);
    workers.iter().for_each(|_| assert_eq!(here.meet(), Some(b'b')));
    workers.iter().for_each(|worker| await_asleep(worker.pid()));
    (workers, here)
}

#[test]
fn set_wakes_all() {
    let _watchdog = watchdog("event::set_wakes_all");
    let event = Event::new().expect("an event");
    let (mut workers, _here) = sleepers(4, &event);
    event.set();
    join_all(&mut workers);
    assert!(event.is_set());
}

#[test]
fn set_directly_followed_by_clear_lets_all_go() {
    let _watchdog = watchdog("event::set_then_clear");
    let event = Event::new().expect("an event");
    let (mut workers, _here) = sleepers(4, &event);
    event.set();
    event.clear();
    join_all(&mut workers);
    assert!(!event.is_set());
    assert!(!event.wait_timeout(Duration::from_millis(1)), "who comes now waits");
}

#[test]
fn killed_waiter_holds_up_nobody() {
    let _watchdog = watchdog("event::killed_waiter");
    let event = Event::new().expect("an event");
    let (mut workers, mut here) = sleepers(3, &event);
    workers[1].kill().expect("a signal");
    workers[1].join().expect("it ends");
    event.set();
    assert_eq!([here.meet(), here.meet(), here.meet()], [Some(b's'), Some(b's'), None]);
    drop(workers.remove(1));
    join_all(&mut workers);
}

/// Answers each set of one event by setting the other.
#[derive(Serialize, Deserialize)]
pub(crate) struct PlaysPingPong {
    ping: Event,
    pong: Event,
    rounds: u32,
}

impl Role for PlaysPingPong {
    const NAME: &'static str = "test.plays-ping-pong";
    fn run(self) -> RoleResult {
        let (ping, pong) = (self.ping, self.pong);
        for _ in 0..self.rounds {
            ping.wait();
            ping.clear();
            pong.set();
        }
        Ok(())
    }
}

fn stress(pairs: usize, rounds: u32) {
    let tables: Vec<_> =
        (0..pairs).map(|_| [Event::new().expect("an event"), Event::new().expect("an event")]).collect();
    let mut workers = Vec::new();
    for (number, [one, other]) in tables.iter().enumerate() {
        for (side, ping, pong) in [("left", one, other), ("right", other, one)] {
            let name = format!("{side}-{number}");
            workers.push(worker(&name, PlaysPingPong { ping: ping.clone(), pong: pong.clone(), rounds }));
        }
    }
    tables.iter().for_each(|[one, _]| one.set());
    join_all(&mut workers);
    assert!(tables.iter().all(|[one, other]| one.is_set() && !other.is_set()), "the last word is the right side's");
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("event::stress_2");
    stress(1, 5_000);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("event::stress_8");
    stress(4, 1_000);
}
