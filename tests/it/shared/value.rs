//! Shared numbers between processes: no update is lost or partial.

use ipc_demo::process::Fd;
use ipc_demo::{Array, Lock, Process, Role, RoleResult, Value};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, join_all, meeting_point, watchdog, worker};

/// Adds to numbers many times: by updates, and by separate steps under the lock.
#[derive(Serialize, Deserialize)]
pub(crate) struct Adds {
    value: Value<f64>,
    array: Array<i16>,
    index: usize,
    times: u32,
}

impl Role for Adds {
    const NAME: &'static str = "test.adds";
    fn run(self) -> RoleResult {
        let (value, array) = (self.value, self.array);
        for _ in 0..self.times {
            value.update(|n| n + 0.5)?;
            array.update_all(|numbers| numbers[self.index] += 1)?;
            array.update(0, |n| n + 1)?;
            let _guard = value.lock()?;
            value.set(value.get() + 0.5);
        }
        Ok(())
    }
}

fn stress(processes: usize, times: u32) {
    let value = Value::new(0.0).expect("a value");
    let lock = Lock::new().expect("a lock");
    let array = Array::with_lock(&vec![0_i16; processes + 1], &lock).expect("an array");
    let start = |which| {
        worker(&format!("adder-{which}"), Adds { value: value.clone(), array: array.clone(), index: which + 1, times })
    };
    let mut workers: Vec<Process> = (0..processes).map(start).collect();
    join_all(&mut workers);
    assert_eq!(value.get(), processes as f64 * f64::from(times));
    let mut expected = vec![times as i16; processes + 1];
    expected[0] = (processes * times as usize) as i16;
    assert_eq!(array.read(..).expect("free"), expected);
}

#[test]
fn stress_with_2_processes() {
    let _watchdog = watchdog("value::stress_2");
    stress(2, 5_000);
}

#[test]
fn stress_with_8_processes() {
    let _watchdog = watchdog("value::stress_8");
    stress(8, 1_000);
}

/// Stops in the middle of a change: reports, and goes on when told to.
#[derive(Serialize, Deserialize)]
pub(crate) struct StopsInside {
    value: Option<Value<u32>>,
    unlocked: Option<Value<u32>>,
    array: Option<Array<u8>>,
    here: Fd,
    until: Fd,
}

impl Role for StopsInside {
    const NAME: &'static str = "test.stops-inside";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let pause = || {
            arrive(&here, b'i');
            await_word(&until);
        };
        if let Some(slot) = self.value {
            slot.update(|n| {
                pause();
                n + 1
            })?;
        }
        if let Some(slot) = self.unlocked {
            let value = slot;
            let before = value.get();
            pause();
            value.set(before + 1);
        }
        if let Some(slot) = self.array {
            slot.update_all(|numbers| {
                numbers.fill(9);
                pause();
            })?;
        }
        Ok(())
    }
}

#[test]
fn separate_get_and_set_without_a_lock_lose_an_update() {
    let _watchdog = watchdog("value::lose_an_update");
    let value = Value::unlocked(0).expect("a value");
    let ((mut here, arrives), (until, go)) = (meeting_point(), meeting_point());
    let mut slow = worker(
        "slow",
        StopsInside { value: None, unlocked: Some(value.clone()), array: None, here: arrives, until: until.into() },
    );
    assert_eq!(here.meet(), Some(b'i'));
    for _ in 0..10 {
        value.set(value.get() + 1);
    }
    drop(go);
    assert!(slow.join().expect("it ends").is_success());
    assert_eq!(value.get(), 1, "ten of eleven are lost");
}

#[test]
fn killed_in_an_update_has_changed_nothing() {
    let _watchdog = watchdog("value::killed_in_an_update");
    let value = Value::new(7).expect("a value");
    let array = Array::new(&[1, 2, 3]).expect("an array");
    for in_array in [false, true] {
        let ((mut here, arrives), (until, _go)) = (meeting_point(), meeting_point());
        let mut victim = worker(
            "victim",
            StopsInside {
                value: (!in_array).then(|| value.clone()),
                unlocked: None,
                array: in_array.then(|| array.clone()),
                here: arrives,
                until: until.into(),
            },
        );
        assert_eq!(here.meet(), Some(b'i'));
        victim.kill().expect("a signal");
        // Whether the lock was handed on already or will be: no waiter waits forever.
        let guard = if in_array { array.lock() } else { value.lock() }.expect("handed on");
        assert_eq!(guard.abandoned().and_then(|dead| dead.pid), Some(victim.pid()));
        drop(guard);
        assert_eq!((value.get(), array.read(..).expect("free")), (7, vec![1, 2, 3]));
        victim.join().expect("it ends");
    }
    assert_eq!(value.update(|n| n + 1).expect("free"), 8);
    array.write(.., &[4, 5, 6]).expect("as long");
    assert_eq!(array.read(..).expect("free"), [4, 5, 6]);
}

/// Writes slices of equal numbers until it is killed.
#[derive(Serialize, Deserialize)]
pub(crate) struct WritesSlices {
    array: Array<u64>,
    here: Fd,
}

impl Role for WritesSlices {
    const NAME: &'static str = "test.writes-slices";
    fn run(self) -> RoleResult {
        let array = self.array;
        let here = self.here;
        for round in 0_u64.. {
            array.write(.., &vec![round; array.len()])?;
            if round == 100 {
                arrive(&here, b'w');
            }
        }
        Ok(())
    }
}

#[test]
fn stress_killed_writers_leave_whole_slices() {
    let _watchdog = watchdog("value::killed_writers");
    let array = Array::zeroed(1_000).expect("an array");
    for _ in 0..20 {
        let (mut here, arrives) = meeting_point();
        let mut writers =
            [(); 2].map(|()| worker("writer", WritesSlices { array: array.clone(), here: arrives.clone() }));
        assert_eq!([here.meet(), here.meet()], [Some(b'w'); 2]);
        writers[0].kill().expect("a signal");
        writers[1].kill().expect("a signal");
        let seen = array.read(..).expect("handed on");
        assert!(seen.iter().all(|number| *number == seen[0]), "half written: {} and {}", seen[0], seen[999]);
        writers.iter_mut().for_each(|writer| assert!(!writer.join().expect("it ends").is_success()));
    }
}
