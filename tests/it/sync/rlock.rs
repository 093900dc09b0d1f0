//! The reentrant lock between processes.

use ipc_demo::process::Fd;
use ipc_demo::sync::Abandoned;
use ipc_demo::{Process, RLock, Role, RoleResult, Value};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_asleep, await_word, join_all, meeting_point, watchdog, worker};

/// Reports, acquires the lock twice, reports, releases it once when told to, and ends when told again.
#[derive(Serialize, Deserialize)]
pub(crate) struct HoldsTwice {
    lock: RLock,
    here: Fd,
    until: Fd,
}

impl Role for HoldsTwice {
    const NAME: &'static str = "test.holds-twice";
    fn run(self) -> RoleResult {
        let lock = self.lock;
        let (here, until) = (self.here, self.until);
        arrive(&here, b'b');
        let outer = lock.acquire()?;
        let inner = lock.acquire()?;
        arrive(&here, b'h');
        await_word(&until);
        drop(inner);
        arrive(&here, b'1');
        await_word(&until);
        drop(outer);
        Ok(())
    }
}

#[test]
fn is_held_until_the_last_release() {
    let _watchdog = watchdog("rlock::is_held_until");
    let lock = RLock::new().expect("a lock");
    let ((mut here, arrives), (until, go)) = (meeting_point(), meeting_point());
    let mut holder = worker("holder", HoldsTwice { lock: lock.clone(), here: arrives, until: until.into() });
    assert_eq!([here.meet(), here.meet()], [Some(b'b'), Some(b'h')]);
    assert!(lock.try_acquire().expect("a try").is_none());
    assert_eq!(lock.holder_pid(), Some(holder.pid()));
    arrive(&go, b'g');
    assert_eq!(here.meet(), Some(b'1'));
    assert!(lock.try_acquire().expect("a try").is_none(), "one level is left");
    drop(go);
    assert!(holder.join().expect("it ends").is_success());
    assert!(lock.try_acquire().expect("a try").expect("free").abandoned().is_none());
}

#[test]
fn killed_holder_hands_over_however_deep_it_was() {
    let _watchdog = watchdog("rlock::killed_holder");
    let lock = RLock::new().expect("a lock");
    let ((mut here, arrives), (until, _go)) = (meeting_point(), meeting_point());
    let holder = worker("holder", HoldsTwice { lock: lock.clone(), here: arrives, until: until.into() });
    assert_eq!([here.meet(), here.meet()], [Some(b'b'), Some(b'h')]);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock.acquire().expect("handed over").abandoned());
        holder.kill().expect("a signal");
        assert_eq!(waiter.join().expect("no panic"), Some(Abandoned { pid: Some(holder.pid()) }));
    });
    assert_eq!(lock.acquire().expect("given back by one drop").abandoned(), None);
}

#[test]
fn killed_waiter_leaves_no_trace() {
    let _watchdog = watchdog("rlock::killed_waiter");
    let lock = RLock::new().expect("a lock");
    let guard = lock.acquire().expect("free");
    let ((mut here, arrives), (until, _go)) = (meeting_point(), meeting_point());
    let mut waiter = worker("waiter", HoldsTwice { lock: lock.clone(), here: arrives, until: until.into() });
    assert_eq!(here.meet(), Some(b'b'));
    await_asleep(waiter.pid());
    waiter.kill().expect("a signal");
    waiter.join().expect("it ends");
    assert_eq!(here.meet(), None, "it never got the lock");
    drop(guard);
    assert!(lock.try_acquire().expect("a try").expect("free").abandoned().is_none());
}

/// Adds to a number many times, reading and writing it under two levels of the lock.
#[derive(Serialize, Deserialize)]
pub(crate) struct CountsNested {
    lock: RLock,
    number: Value<u32>,
    times: u32,
}

impl Role for CountsNested {
    const NAME: &'static str = "test.counts-nested";
    fn run(self) -> RoleResult {
        let (lock, number) = (self.lock, self.number);
        for _ in 0..self.times {
            let _outer = lock.acquire()?;
            let before = number.get();
            drop(lock.acquire()?);
            number.set(before + 1);
        }
        Ok(())
    }
}

fn stress(processes: u32, times: u32) {
    let (lock, number) = (RLock::new().expect("a lock"), Value::unlocked(0).expect("a value"));
    let start =
        |which| worker(&format!("counter-{which}"), CountsNested { lock: lock.clone(), number: number.clone(), times });
    let mut workers: Vec<Process> = (0..processes).map(start).collect();
    join_all(&mut workers);
    assert_eq!(number.get(), processes * times);
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("rlock::stress_2");
    stress(2, 20_000);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("rlock::stress_8");
    stress(8, 5_000);
}
