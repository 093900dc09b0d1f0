//! What a pool cannot be built of is refused, and workers are reported.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ipc_demo::pool::{Builder, Pool, Task, TaskError, WorkerEvent};
use ipc_demo::{Error, RoleEntry};
use serde::{Deserialize, Serialize};

use super::task::*;
use crate::harness::watchdog;

#[test]
fn workers_are_told_of() {
    let _watchdog = watchdog("pool::told_of");
    let events = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&events);
    let pool = builder().workers(1).retries(0).on_worker(move |event| told.lock().expect("no panic").push(event));
    let pool = pool.build(Does::new()).expect("a pool");
    assert!(matches!(pool.map([Act::Exit(3)]).pop(), Some(Err(TaskError::WorkerDied { .. }))));
    assert_eq!(number(pool.map([Act::Double(1)]).remove(0)), 2);
    pool.join();
    let events = events.lock().expect("no panic");
    let told: Vec<String> = events
        .iter()
        .map(|event| match event {
            WorkerEvent::Started { name, .. } => format!("{name} starts"),
            WorkerEvent::Ended { name, ended, .. } => format!("{name} ends: {}", ended.status),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        ["worker-1 starts", "worker-1 ends: exit code 3", "worker-2 starts", "worker-2 ends: exit code 0"]
    );
}

#[test]
fn bad_numbers_are_refused() {
    let refused = |builder: Builder| match builder.build(Does::new()) {
        Err(Error::OutOfRange { what, given, .. }) => format!("{what}: {given}"),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(builder().workers(0)), "the number of workers: 0");
    assert_eq!(refused(builder().workers(4096)), "the number of workers: 4096");
    assert_eq!(refused(builder().in_flight(0)), "the number of tasks in flight: 0");
    assert_eq!(refused(builder().in_flight_bytes(0)), "the number of bytes in flight: 0");
    assert_eq!(refused(builder().in_flight_bytes(1 << 40)), format!("the number of bytes in flight: {}", 1_u64 << 40));
    assert_eq!(refused(builder().time_limit(Duration::ZERO)), "a time limit in nanoseconds: 0");
    assert_eq!(refused(builder().tasks_per_worker(0)), "the number of tasks of a worker: 0");
}

/// In no table.
#[derive(Clone, Serialize, Deserialize)]
struct Unregistered;

impl Task for Unregistered {
    const NAME: &'static str = "test.pool.unregistered";
    type Input = ();
    type Output = ();

    fn run(&mut self, (): ()) -> Outcome<()> {
        Ok(())
    }
}

#[test]
fn task_in_no_table_is_refused() {
    let _watchdog = watchdog("pool::in_no_table");
    // The first thing that main does.
    assert!(ipc_demo::enter(crate::roles::ROLES).is_none());
    let Err(refused) = Pool::builder().workers(1).build(Unregistered) else { panic!("it is in no table") };
    assert!(matches!(refused, Error::NoSuchRole { .. }), "{refused}");
    assert!(
        refused.to_string().contains("test.pool.unregistered") && refused.to_string().contains("test.pool.does"),
        "{refused}"
    );
    // The table of another program is known to its workers alone.
    let results = builder().workers(1).build(Unregistered).expect("the processes exist").map([()]);
    assert!(matches!(&results[..], [Err(TaskError::NoWorkers { reason })] if reason.contains("has no role")));
}

#[test]
fn task_and_role_of_one_name_are_refused() {
    let twice = [RoleEntry::of_task::<Does>(), RoleEntry::of_task::<Does>()];
    assert!(std::panic::catch_unwind(|| ipc_demo::enter(&twice)).is_err());
    assert!(ipc_demo::enter(crate::roles::ROLES).is_none(), "the table of this program");
}
