//! Semaphores between processes: counting, bounded, and those whose permits are reclaimed from dead processes.

use ipc_demo::process::Fd;
use ipc_demo::sync::OwnedSemaphore;
use ipc_demo::{BoundedSemaphore, Process, Role, RoleResult, Semaphore, Value};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_asleep, await_word, join_all, meeting_point, watchdog, worker};

/// Reports, acquires a permit of one of the two, reports, and holds it until told to go on.
#[derive(Serialize, Deserialize)]
pub(crate) struct TakesPermit {
    counting: Option<Semaphore>,
    owned: Option<OwnedSemaphore>,
    here: Fd,
    until: Fd,
}

impl Role for TakesPermit {
    const NAME: &'static str = "test.takes-permit";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let owned = self.owned;
        let counting = self.counting;
        arrive(&here, b'b');
        let _permit = owned.as_ref().map(OwnedSemaphore::acquire);
        if let Some(semaphore) = counting {
            semaphore.acquire();
        }
        arrive(&here, b'p');
        await_word(&until);
        Ok(())
    }
}

/// Returns workers that acquire a permit each, where they report, and what keeps them holding it.
fn takers(n: usize, counting: Option<&Semaphore>, owned: Option<&OwnedSemaphore>) -> (Vec<Process>, MeetingReader, Fd) {
    let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let until = Fd::from(until);
    let start = |number| {
        worker(
            &format!("taker-{number}"),
            TakesPermit {
                counting: counting.cloned(),
                owned: owned.cloned(),
                here: arrives.clone(),
                until: until.clone(),
            },
        )
    };
    ((0..n).map(start).collect(), here, release)
}

fn meet(here: &mut MeetingReader, bytes: &[u8]) {
    let mut met: Vec<u8> = bytes.iter().map(|_| here.meet().expect("they live")).collect();
    met.sort_unstable();
    assert_eq!(met, bytes);
}

#[test]
fn killed_holder_gives_its_permit_back() {
    let _watchdog = watchdog("semaphore::killed_holder");
    let semaphore = OwnedSemaphore::new(2).expect("a semaphore");
    let (mut holders, mut here, _release) = takers(2, None, Some(&semaphore));
    meet(&mut here, b"bbpp");
    assert!(semaphore.try_acquire().is_none());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| drop(semaphore.acquire()));
        holders[0].kill().expect("a signal");
        waiter.join().expect("it got the dead one's");
    });
    assert_eq!(semaphore.get_value(), 1, "the other holder lives");
    holders[1].kill().expect("a signal");
    holders[1].join().expect("it ends");
    assert_eq!(semaphore.get_value(), 2);
}

#[test]
fn killed_holder_keeps_a_permit_that_is_only_counted() {
    let _watchdog = watchdog("semaphore::killed_holder_keeps");
    let semaphore = Semaphore::new(1).expect("a semaphore");
    let (mut holders, mut here, _release) = takers(1, Some(&semaphore), None);
    meet(&mut here, b"bp");
    holders[0].kill().expect("a signal");
    holders[0].join().expect("it ends");
    assert!(!semaphore.try_acquire(), "as in Python");
    semaphore.release().expect("anybody may");
    assert!(semaphore.try_acquire());
}

#[test]
fn killed_waiter_leaves_no_trace() {
    let _watchdog = watchdog("semaphore::killed_waiter");
    let (counting, owned) = (Semaphore::new(0).expect("a semaphore"), OwnedSemaphore::new(1).expect("a semaphore"));
    let permit = owned.acquire();
    for (counting, owned) in [(Some(&counting), None), (None, Some(&owned))] {
        let (mut waiters, mut here, _release) = takers(2, counting, owned);
        meet(&mut here, b"bb");
        waiters.iter().for_each(|waiter| await_asleep(waiter.pid()));
        waiters[0].kill().expect("a signal");
        waiters[0].join().expect("it ends");
        if let Some(semaphore) = counting {
            semaphore.release().expect("room");
            meet(&mut here, b"p");
            assert_eq!(semaphore.get_value(), 0, "the living one got it");
        }
        waiters[1].kill().expect("a signal");
    }
    drop(permit);
    assert_eq!(owned.get_value(), 1);
}

#[test]
fn each_release_lets_exactly_one_process_in() {
    let _watchdog = watchdog("semaphore::each_release");
    let semaphore = Semaphore::new(0).expect("a semaphore");
    let (mut waiters, mut here, release) = takers(3, Some(&semaphore), None);
    meet(&mut here, b"bbb");
    waiters.iter().for_each(|waiter| await_asleep(waiter.pid()));
    for _ in 0..3 {
        semaphore.release().expect("room");
        meet(&mut here, b"p");
        assert_eq!(semaphore.get_value(), 0);
    }
    drop(release);
    join_all(&mut waiters);
    assert_eq!(here.meet(), Some(b'p').filter(|_| false), "nobody else got in");
}

/// Acquires and releases permits many times and counts how many workers are inside with it.
#[derive(Serialize, Deserialize)]
pub(crate) struct ComesAndGoes {
    owned: OwnedSemaphore,
    bounded: BoundedSemaphore,
    inside: Value<u32>,
    times: u32,
    /// Disabled where some workers are killed inside and would stay counted.
    counts: bool,
}

impl Role for ComesAndGoes {
    const NAME: &'static str = "test.comes-and-goes";
    fn run(self) -> RoleResult {
        let (owned, bounded) = (self.owned, self.bounded);
        let inside = self.inside;
        for _ in 0..self.times {
            let permit = owned.acquire();
            bounded.acquire();
            if self.counts {
                let now = inside.update(|n| n + 1)?;
                if now > PERMITS {
                    return Err(format!("{now} are inside").into());
                }
            }
            std::thread::yield_now();
            if self.counts {
                inside.update(|n| n - 1)?;
            }
            bounded.release()?;
            drop(permit);
        }
        Ok(())
    }
}

const PERMITS: u32 = 3;

fn stress(processes: usize, times: u32, kill: usize) {
    let owned = OwnedSemaphore::new(PERMITS).expect("a semaphore");
    // With as many permits as there are workers: a killed worker keeps one of these.
    let bounded = BoundedSemaphore::new(processes as u32).expect("a semaphore");
    let inside = Value::new(0_u32).expect("a value");
    let start = |number| {
        worker(
            &format!("car-{number}"),
            ComesAndGoes {
                owned: owned.clone(),
                bounded: bounded.clone(),
                inside: inside.clone(),
                times: if number < kill { u32::MAX } else { times },
                counts: kill == 0,
            },
        )
    };
    let mut workers: Vec<Process> = (0..processes).map(start).collect();
    let (killed, survivors) = workers.split_at_mut(kill);
    for process in killed {
        while owned.get_value() == PERMITS {
            std::thread::yield_now();
        }
        process.kill().expect("a signal");
        process.join().expect("it ends");
    }
    join_all(survivors);
    assert_eq!(owned.get_value(), PERMITS);
    if kill == 0 {
        assert_eq!((inside.get(), bounded.get_value()), (0, processes as u32));
        assert!(bounded.release().is_err());
    }
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("semaphore::stress_2");
    stress(2, 5_000, 0);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("semaphore::stress_8");
    stress(8, 1_000, 0);
}

#[test]
fn stress_killed_holders_and_waiters_take_no_permit_along() {
    let _watchdog = watchdog("semaphore::stress_killed");
    for _ in 0..4 {
        stress(8, 500, 5);
    }
}
