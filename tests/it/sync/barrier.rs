//! The barrier between processes.

use ipc_demo::process::Fd;
use ipc_demo::sync::BreakCause;
use ipc_demo::{Barrier, Error, Process, Role, RoleResult, Value};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_asleep, await_word, join_all, meeting_point, watchdog, worker};

/// Passes many rounds and checks that no party is a round ahead or behind.
#[derive(Serialize, Deserialize)]
pub(crate) struct GoesRounds {
    barrier: Barrier,
    arrived: Value<u32>,
    indices: Value<u32>,
    rounds: u32,
}

impl Role for GoesRounds {
    const NAME: &'static str = "test.goes-rounds";
    fn run(self) -> RoleResult {
        let barrier = self.barrier;
        let (arrived, indices) = (self.arrived, self.indices);
        for round in 1..=self.rounds {
            arrived.update(|n| n + 1)?;
            let index = barrier.wait()?;
            indices.update(|sum| sum + index)?;
            let now = arrived.get();
            // No party counts up again before all have left the second wait, including this one.
            if now != round * barrier.parties() {
                return Err(format!("{now} arrivals in round {round}").into());
            }
            barrier.wait_with(|| ())?;
        }
        Ok(())
    }
}

fn stress(parties: u32, rounds: u32) {
    let barrier = Barrier::new(parties).expect("a barrier");
    let (arrived, indices) = (Value::unlocked(0).expect("a value"), Value::unlocked(0).expect("a value"));
    let start = |number| {
        worker(
            &format!("party-{number}"),
            GoesRounds { barrier: barrier.clone(), arrived: arrived.clone(), indices: indices.clone(), rounds },
        )
    };
    let mut workers: Vec<Process> = (0..parties).map(start).collect();
    join_all(&mut workers);
    assert_eq!(indices.get(), rounds * (0..parties).sum::<u32>(), "each round has each index once");
    assert!(!barrier.broken(), "leaving in order breaks nothing");
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("barrier::stress_2");
    stress(2, 2_000);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("barrier::stress_8");
    stress(8, 200);
}

/// Reports that it is ready and, when told to, waits at the barrier. A broken barrier ends it with an error.
#[derive(Serialize, Deserialize)]
pub(crate) struct Meets {
    barrier: Barrier,
    here: Fd,
    until: Fd,
    /// Also reports from the action, and stays in it.
    stays_in_action: bool,
}

impl Role for Meets {
    const NAME: &'static str = "test.meets";
    fn run(self) -> RoleResult {
        let barrier = self.barrier;
        let (here, until) = (self.here, self.until);
        arrive(&here, b'b');
        if self.stays_in_action {
            barrier.wait_with(|| {
                arrive(&here, b'i');
                await_word(&until);
            })?;
        } else {
            await_word(&until);
            barrier.wait()?;
        }
        Ok(())
    }
}

struct Party {
    process: Process,
    here: MeetingReader,
    go: Option<Fd>,
}

impl Party {
    fn new(barrier: &Barrier, stays_in_action: bool) -> Self {
        let ((mut here, arrives), (until, go)) = (meeting_point(), meeting_point());
        let process =
            worker("party", Meets { barrier: barrier.clone(), here: arrives, until: until.into(), stays_in_action });
        assert_eq!(here.meet(), Some(b'b'));
        Party { process, here, go: Some(go) }
    }

    fn kill(&mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }
}

fn await_waiting(barrier: &Barrier, n: u32) {
    while barrier.n_waiting() < n {
        std::thread::yield_now();
    }
}

fn cause(outcome: ipc_demo::Result<u32>) -> BreakCause {
    let Err(Error::BrokenBarrier(cause)) = outcome else { panic!("{outcome:?}") };
    cause
}

#[test]
fn killed_waiter_breaks_for_the_others_and_is_named() {
    let _watchdog = watchdog("barrier::killed_waiter");
    let barrier = Barrier::new(3).expect("a barrier");
    let (mut victim, mut other) = (Party::new(&barrier, false), Party::new(&barrier, false));
    for (party, waiting) in [(&mut victim, 1), (&mut other, 2)] {
        party.go = None;
        await_waiting(&barrier, waiting);
    }
    await_asleep(other.process.pid());
    victim.kill();
    let ended = other.process.join().expect("it ends").failure.clone().expect("an error");
    assert_eq!(ended.message, format!("the barrier is broken: process {} died", victim.process.pid()));
    assert_eq!(cause(barrier.wait()), BreakCause::Died(Some(victim.process.pid())));
}

#[test]
fn party_that_dies_before_it_ever_waits_breaks_for_the_others() {
    let _watchdog = watchdog("barrier::dies_before");
    let barrier = Barrier::new(2).expect("a barrier");
    let (mut victim, mut other) = (Party::new(&barrier, false), Party::new(&barrier, false));
    other.go = None;
    await_waiting(&barrier, 1);
    victim.kill();
    let ended = other.process.join().expect("it ends").failure.clone().expect("an error");
    assert!(ended.message.contains("died"), "{ended}");
    barrier.reset();
    let mut replacement = Party::new(&barrier, false);
    replacement.go = None;
    barrier.wait().expect("this process and the new one are two");
    assert!(replacement.process.join().expect("it ends").is_success());
}

#[test]
fn spare_party_that_dies_breaks_nothing() {
    let _watchdog = watchdog("barrier::spare");
    let barrier = Barrier::new(2).expect("a barrier");
    let mut parties = [Party::new(&barrier, false), Party::new(&barrier, false), Party::new(&barrier, false)];
    parties[0].kill();
    for party in &mut parties[1..] {
        party.go = None;
    }
    for party in &mut parties[1..] {
        assert!(party.process.join().expect("it ends").is_success(), "{:?}", party.process.ended());
    }
}

#[test]
fn parties_that_have_left_in_order_are_not_missed() {
    let _watchdog = watchdog("barrier::left_in_order");
    let barrier = Barrier::new(2).expect("a barrier");
    for _ in 0..2 {
        let mut early = Party::new(&barrier, false);
        early.go = None;
        // It waits before the other was even given the barrier; those of the previous round have ended.
        await_waiting(&barrier, 1);
        let mut late = Party::new(&barrier, false);
        late.go = None;
        for party in [&mut early, &mut late] {
            assert!(party.process.join().expect("it ends").is_success(), "{:?}", party.process.ended());
        }
    }
}

#[test]
fn party_killed_in_the_action_breaks_for_the_others() {
    let _watchdog = watchdog("barrier::killed_in_the_action");
    let barrier = Barrier::new(2).expect("a barrier");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| cause(barrier.wait()));
        await_waiting(&barrier, 1);
        let mut last = Party::new(&barrier, true);
        assert_eq!(last.here.meet(), Some(b'i'));
        last.kill();
        assert_eq!(waiter.join().expect("no panic"), BreakCause::Died(Some(last.process.pid())));
    });
}

#[test]
fn replacement_and_parent_are_two_living_parties() {
    let _watchdog = watchdog("barrier::replacement_and_parent");
    let barrier = Barrier::new(2).expect("a barrier");
    Party::new(&barrier, false).kill();
    let mut replacement = Party::new(&barrier, false);
    drop(replacement.go.take());
    await_waiting(&barrier, 1);
    // A liveness check could break it.
    await_asleep(replacement.process.pid());
    barrier.wait().expect("both live");
    assert!(replacement.process.join().expect("it ends").is_success());
}

#[test]
fn second_party_does_not_replace_one_whose_death_its_parent_has_not_seen() {
    let _watchdog = watchdog("barrier::second_party");
    let barrier = Barrier::new(2).expect("a barrier");
    let mut dead = Party::new(&barrier, false);
    dead.process.kill().expect("a signal");
    // The end of the pipe shows that it is gone; it has not been waited for.
    assert_eq!(dead.here.meet(), None);
    let mut second = Party::new(&barrier, false);
    drop(second.go.take());
    let ended = second.process.join().expect("it ends").failure.clone().expect("nobody else can come");
    assert!(ended.message.contains("died"), "{ended}");
}
