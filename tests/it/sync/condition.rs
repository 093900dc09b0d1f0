//! The condition between processes.

use ipc_demo::process::Fd;
use ipc_demo::{Condition, Lock, Process, RLock, Role, RoleResult, Value};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, join_all, meeting_point, watchdog, worker};

/// Acquires the lock twice, reports, waits for a notification, reports.
#[derive(Serialize, Deserialize)]
pub(crate) struct AwaitsNotice {
    lock: RLock,
    condition: Condition,
    here: Fd,
}

impl Role for AwaitsNotice {
    const NAME: &'static str = "test.awaits-notice";
    fn run(self) -> RoleResult {
        let (lock, condition) = (self.lock, self.condition);
        let here = self.here;
        let _outer = lock.acquire()?;
        let inner = lock.acquire()?;
        arrive(&here, b'b');
        let inner = condition.wait(inner)?;
        arrive(&here, if inner.abandoned().is_some() { b'a' } else { b'n' });
        Ok(())
    }
}

/// Returns waiting workers. They reported with the lock held: the next holder finds them waiting.
fn waiters(n: usize, lock: &RLock, condition: &Condition) -> (Vec<Process>, MeetingReader) {
    let (mut here, arrives) = meeting_point();
    let start = |number| {
        let waiter = worker(
            &format!("waiter-{number}"),
            AwaitsNotice { lock: lock.clone(), condition: condition.clone(), here: arrives.clone() },
        );
        assert_eq!(here.meet(), Some(b'b'));
        waiter
    };
    ((0..n).map(start).collect(), here)
}

fn pair() -> (RLock, Condition) {
    (RLock::new().expect("a lock"), Condition::new().expect("a condition"))
}

#[test]
fn notify_wakes_exactly_n_processes() {
    let _watchdog = watchdog("condition::notify_wakes");
    let (lock, condition) = pair();
    let (mut workers, mut here) = waiters(4, &lock, &condition);
    let notify = |n| condition.notify(&lock.acquire().expect("given up"), n).expect("the same lock");
    assert_eq!(notify(1), 1);
    assert_eq!(here.meet(), Some(b'n'));
    assert!(workers[0].join().expect("it ends").is_success(), "the one who waited longest");
    assert_eq!(notify(usize::MAX), 3, "all but the one");
    join_all(&mut workers);
    assert_eq!(notify(1), 0);
}

#[test]
fn killed_waiter_eats_no_notification_and_holds_up_nobody() {
    let _watchdog = watchdog("condition::killed_waiter");
    let (lock, condition) = pair();
    let (mut workers, mut here) = waiters(3, &lock, &condition);
    for victim in [0, 1] {
        workers[victim].kill().expect("a signal");
        workers[victim].join().expect("it ends");
    }
    let guard = lock.acquire().expect("given up");
    assert_eq!(condition.notify(&guard, 1).expect("the same lock"), 1);
    drop(guard);
    assert_eq!(here.meet(), Some(b'n'), "the living one got it");
    join_all(&mut workers[2..]);
}

#[test]
fn notification_of_a_killed_waiter_goes_to_the_next() {
    let _watchdog = watchdog("condition::notification_of_a_killed");
    let (lock, condition) = pair();
    let (mut workers, mut here) = waiters(2, &lock, &condition);
    let guard = lock.acquire().expect("given up");
    assert_eq!(condition.notify(&guard, 1).expect("the same lock"), 1);
    // Notified, but it cannot acquire the lock yet.
    workers[0].kill().expect("a signal");
    workers[0].join().expect("it ends");
    drop(guard);
    assert_eq!(here.meet(), Some(b'n'));
    join_all(&mut workers[1..]);
}

/// Acquires the lock, reports, and holds it until it is killed: a notifier that never notifies.
#[derive(Serialize, Deserialize)]
pub(crate) struct DiesNotifying {
    lock: RLock,
    here: Fd,
    until: Fd,
}

impl Role for DiesNotifying {
    const NAME: &'static str = "test.dies-notifying";
    fn run(self) -> RoleResult {
        let lock = self.lock;
        let _guard = lock.acquire()?;
        arrive(&self.here, b'h');
        await_word(&self.until);
        Ok(())
    }
}

#[test]
fn killed_notifier_is_told_to_a_waiter() {
    let _watchdog = watchdog("condition::killed_notifier");
    let (lock, condition) = pair();
    let (mut workers, mut here) = waiters(1, &lock, &condition);
    let ((mut holds, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let notifier = worker("notifier", DiesNotifying { lock: lock.clone(), here: arrives, until: until.into() });
    assert_eq!(holds.meet(), Some(b'h'));
    notifier.kill().expect("a signal");
    assert_eq!(here.meet(), Some(b'a'), "its guard says abandoned");
    join_all(&mut workers);
}

/// A handmade bounded buffer: puts into it or removes from it, many times.
#[derive(Serialize, Deserialize)]
pub(crate) struct Trades {
    lock: Lock,
    not_full: Condition,
    not_empty: Condition,
    stock: Value<u32>,
    puts: bool,
    times: u32,
}

const CAPACITY: u32 = 3;

impl Role for Trades {
    const NAME: &'static str = "test.trades";
    fn run(self) -> RoleResult {
        let (lock, stock) = (self.lock, self.stock);
        let (not_full, not_empty) = (self.not_full, self.not_empty);
        for _ in 0..self.times {
            let guard = lock.acquire()?;
            if self.puts {
                let guard = not_full.wait_for(guard, |_| stock.get() < CAPACITY)?;
                stock.set(stock.get() + 1);
                not_empty.notify(&guard, 1)?;
            } else {
                let guard = not_empty.wait_for(guard, |_| stock.get() > 0)?;
                stock.set(stock.get() - 1);
                not_full.notify(&guard, 1)?;
            }
        }
        Ok(())
    }
}

fn stress(pairs: usize, times: u32) {
    let lock = Lock::new().expect("a lock");
    let (not_full, not_empty) = (Condition::new().expect("a condition"), Condition::new().expect("a condition"));
    let stock = Value::unlocked(0).expect("a value");
    let start = |number| {
        worker(
            &format!("trader-{number}"),
            Trades {
                lock: lock.clone(),
                not_full: not_full.clone(),
                not_empty: not_empty.clone(),
                stock: stock.clone(),
                puts: number % 2 == 0,
                times,
            },
        )
    };
    let mut workers: Vec<Process> = (0..2 * pairs).map(start).collect();
    // A single lost notification would make all workers wait forever.
    join_all(&mut workers);
    assert_eq!(stock.get(), 0);
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("condition::stress_2");
    stress(1, 3_000);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("condition::stress_8");
    stress(4, 500);
}
