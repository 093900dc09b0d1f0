//! A worker stopped by SIGSTOP is not dead: what it holds is not reclaimed, no waiter with a timeout hangs, everyone
//! can see which process blocks the others, and when it goes on nothing is lost.

use std::thread;
use std::time::Duration;

use ipc_demo::{JoinableQueue, Lock, Process, Queue, RLock};
use nix::sys::signal::Signal;

use crate::harness::{MeetingReader, await_asleep, is_in_state, meeting_point, send, stop, until, watchdog, worker};
use crate::queue::joinable_queue::Leases;
use crate::queue::shm_queue::{Gets, Puts};
use crate::roles::HoldsLock;

const MOMENT: Duration = Duration::from_millis(30);

/// Lets a stopped worker go on, after checking that it was stopped all the time.
fn go_on(process: &Process) {
    assert!(is_in_state('T', process.pid()), "it was stopped until now");
    send(process.pid(), Signal::SIGCONT);
}

fn stopped(process: &Process) -> String {
    format!("process {} (stopped)", process.pid())
}

#[test]
fn stopped_holder_keeps_the_lock_and_is_named() {
    let _watchdog = watchdog("stopped::lock");
    let lock = Lock::new().expect("a lock");
    let (mut holder, mut here, release) = HoldsLock::start("holder", &lock, false);
    assert_eq!(here.meet(), Some(b'h'));
    assert_eq!(format!("{lock:?}"), format!("Lock {{ held_by: process {}, .. }}", holder.pid()));
    stop(holder.pid());
    assert!(lock.acquire_timeout(MOMENT).expect("no error").is_none());
    assert!(lock.try_acquire().expect("no error").is_none());
    let named = lock.holder().expect("it is held");
    assert_eq!((named.pid, named.is_stopped(), named.to_string()), (holder.pid(), true, stopped(&holder)));
    assert_eq!(format!("{lock:?}"), format!("Lock {{ held_by: {}, .. }}", stopped(&holder)));
    drop(release);
    thread::scope(|scope| {
        let waiter = scope.spawn(|| lock.acquire().expect("given back").abandoned());
        go_on(&holder);
        assert_eq!(waiter.join().expect("no panic"), None, "it gave the lock back itself");
    });
    assert!(holder.join().expect("it ends").is_success());
    assert_eq!(lock.holder(), None);
    assert_eq!(format!("{lock:?}"), "Lock { held_by: nobody, .. }");
}

#[test]
fn stopped_holder_that_is_killed_abandons_the_lock() {
    let _watchdog = watchdog("stopped::killed");
    let lock = Lock::new().expect("a lock");
    let (mut holder, mut here, _release) = HoldsLock::start("holder", &lock, false);
    assert_eq!(here.meet(), Some(b'h'));
    stop(holder.pid());
    holder.kill().expect("a signal");
    assert!(lock.acquire().expect("handed on").abandoned().is_some());
    holder.join().expect("it ends");
}

#[test]
fn rlock_names_its_holder_too() {
    let lock = RLock::new().expect("a lock");
    let _guard = lock.acquire().expect("free");
    let this = format!("process {}", std::process::id());
    assert_eq!(lock.holder().expect("this thread").to_string(), this);
    assert_eq!(format!("{lock:?}"), format!("RLock {{ held_by: {this}, .. }}"));
}

fn getter(queue: &Queue<u64>) -> (Process, MeetingReader) {
    let (mut said, says) = meeting_point();
    let getter = worker("getter", Gets { queue: queue.consumer(), said: says });
    assert_eq!(said.meet(), Some(b'g'));
    (getter, said)
}

/// Returns whether `{queue:?}` names this worker as `putting` or `getting`.
fn says(queue: &Queue<u64>, doing: &str, who: &str) -> bool {
    format!("{queue:?}").contains(&format!("{doing}: {who}"))
}

#[test]
fn stopped_getter_is_in_nobodys_way() {
    let _watchdog = watchdog("stopped::getter");
    let queue = Queue::<u64>::bounded(2).expect("a queue");
    let (mut first, mut said) = getter(&queue);
    // It sleeps in `get`, the first in line.
    until(|| says(&queue, "getting", &format!("process {}", first.pid())));
    await_asleep(first.pid());
    stop(first.pid());
    assert!(says(&queue, "getting", &stopped(&first)) && says(&queue, "putting", "nobody"), "{queue:?}");
    for number in 1..7 {
        queue.put(number).expect("room");
        assert_eq!(queue.get().expect("an item"), number);
    }
    assert_eq!(queue.get_timeout(MOMENT).expect("no error"), None);
    assert!(queue.get_many_timeout(2, MOMENT).expect("no error").is_empty());
    thread::scope(|scope| {
        let behind = scope.spawn(|| queue.get());
        // It may be asleep behind the stopped one.
        queue.put(7).expect("room");
        assert_eq!(behind.join().expect("no panic").expect("an item"), 7);
    });
    go_on(&first);
    (8..11).for_each(|number| queue.put(number).expect("room in the end"));
    assert_eq!([said.meet(), said.meet(), said.meet()], [Some(8), Some(9), Some(10)]);
    // Killed while it is stopped, it is dead like any other.
    await_asleep(first.pid());
    stop(first.pid());
    queue.put(11).expect("room");
    first.kill().expect("a signal");
    assert_eq!(queue.get().expect("an item"), 11);
    first.join().expect("it ends");
}

#[test]
fn stopped_putter_is_in_nobodys_way() {
    let _watchdog = watchdog("stopped::putter");
    let queue = Queue::<u64>::bounded(1).expect("a queue");
    let (mut said, its_word) = meeting_point();
    let mut putter = worker("putter", Puts { queue: queue.producer(), numbers: 0..4, said: its_word });
    assert_eq!(said.meet(), Some(b'p'));
    // Its second put sleeps, the first in line.
    until(|| says(&queue, "putting", &format!("process {}", putter.pid())));
    await_asleep(putter.pid());
    stop(putter.pid());
    assert!(says(&queue, "putting", &stopped(&putter)) && says(&queue, "getting", "nobody"), "{queue:?}");
    assert_eq!(queue.get().expect("an item"), 0);
    queue.try_put(9).expect("a short item needs no turn");
    assert_eq!(queue.get().expect("an item"), 9);
    go_on(&putter);
    assert_eq!([1, 2, 3].map(|_| queue.get().expect("an item")), [1, 2, 3]);
    assert!(putter.join().expect("it ends").is_success());
}

#[test]
fn stopped_taker_keeps_its_lease() {
    let _watchdog = watchdog("stopped::lease");
    let queue = JoinableQueue::new().expect("a queue");
    queue.put(7).expect("room");
    let ((mut said, says), (until, release)) = (meeting_point(), meeting_point());
    let mut taker = worker("taker", Leases { queue: queue.consumer(), count: 1, said: says, until: until.into() });
    assert_eq!(said.meet(), Some(b'l'));
    stop(taker.pid());
    assert!(queue.get_timeout(MOMENT).expect("it may come back").is_none(), "nobody else gets its item");
    assert!(!queue.join_timeout(MOMENT).expect("its taker lives"));
    drop(release);
    go_on(&taker);
    queue.join().expect("it is done");
    assert!(taker.join().expect("it ends").is_success());
}
