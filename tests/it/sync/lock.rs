//! The lock between processes.

use std::os::unix::fs::FileExt;

use ipc_demo::Lock;
use ipc_demo::process::Fd;
use ipc_demo::sync::Abandoned;

use crate::harness::{watchdog, worker};
use crate::roles::{Counts, HoldsLock};

#[test]
fn excludes_between_processes() {
    let _watchdog = watchdog("lock::excludes");
    let lock = Lock::new().expect("a lock");
    let file = tempfile::tempfile().expect("a file");
    file.write_all_at(&0_u64.to_le_bytes(), 0).expect("room");
    let file = Fd::new(file);
    let mut workers: Vec<_> = (0..4)
        .map(|number| {
            worker(&format!("counter-{number}"), Counts { lock: lock.clone(), file: file.clone(), times: 500 })
        })
        .collect();
    for process in &mut workers {
        assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
    }
    let mut number = [0; 8];
    std::fs::File::from(file.into_owned().expect("a descriptor")).read_exact_at(&mut number, 0).expect("eight bytes");
    assert_eq!(u64::from_le_bytes(number), 4 * 500);
}

#[test]
fn killed_holder_hands_over_at_once() {
    let _watchdog = watchdog("lock::killed_holder");
    let lock = Lock::new().expect("a lock");
    let (mut holder, mut here, _release) = HoldsLock::start("holder", &lock, false);
    assert_eq!(here.meet(), Some(b'h'));
    assert!(lock.try_acquire().expect("a try").is_none());
    assert_eq!(lock.holder_pid(), Some(holder.pid()));
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| lock.acquire().expect("handed over").abandoned());
        holder.kill().expect("a signal");
        assert_eq!(waiter.join().expect("no panic"), Some(Abandoned { pid: Some(holder.pid()) }));
    });
    assert_eq!(lock.acquire().expect("free").abandoned(), None, "told once");
    holder.join().expect("it ends");
}

#[test]
fn holder_that_exits_without_releasing_abandons() {
    let _watchdog = watchdog("lock::holder_that_exits");
    let lock = Lock::new().expect("a lock");
    let (mut holder, mut here, release) = HoldsLock::start("holder", &lock, true);
    assert_eq!(here.meet(), Some(b'h'));
    drop(release);
    assert!(holder.join().expect("it ends").is_success());
    assert!(lock.acquire().expect("handed over").abandoned().is_some());
}

#[test]
fn killed_waiter_leaves_no_trace() {
    let _watchdog = watchdog("lock::killed_waiter");
    let lock = Lock::new().expect("a lock");
    let guard = lock.acquire().expect("free");
    let (mut waiter, mut here, _release) = HoldsLock::start("waiter", &lock, false);
    waiter.kill().expect("a signal");
    waiter.join().expect("it ends");
    assert_eq!(here.meet(), None, "it never got the lock");
    drop(guard);
    assert!(lock.try_acquire().expect("a try").expect("free").abandoned().is_none());
}
