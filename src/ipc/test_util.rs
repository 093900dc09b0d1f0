//! How the unit tests of the primitives never hang, and how they notice a wake-up that never came. Only for tests.

use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, Instant};

use crate::sys::robust::own_tid;

/// How long any unit test may take before it is ended as hung.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the whole test program if it is not dropped in time.
#[must_use]
pub(crate) struct Watchdog {
    _called_off: Sender<()>,
}

/// Starts a watchdog for the rest of a test.
pub(crate) fn watchdog() -> Watchdog {
    let (called_off, bark) = mpsc::channel();
    let test = thread::current().name().unwrap_or("a test").to_owned();
    thread::spawn(move || {
        if bark.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{test} hung for {PATIENCE:?}\n"));
            std::process::abort();
        }
    });
    Watchdog { _called_off: called_off }
}

/// Runs `round` until it took less time than a sleeper takes between two looks. A round in which a wake-up got lost ends
/// only by somebody's look: if every one does, the wake-up never comes.
pub(crate) fn without_a_look(round: impl Fn()) {
    let took = |_| {
        let begun = Instant::now();
        round();
        begun.elapsed()
    };
    let shortest = (0..20).map(took).find(|took| *took < Duration::from_millis(50));
    assert!(shortest.is_some(), "each of 20 rounds was ended by a look and not by a wake-up");
}

/// Starts `n` threads that `sleep`, calls `wake` once all of them are asleep, and waits for their end.
pub(crate) fn with_sleepers(n: usize, sleep: impl Fn() + Sync, wake: impl FnOnce()) {
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..n {
            let (tell, sleep) = (tell.clone(), &sleep);
            scope.spawn(move || {
                tell.send(own_tid()).expect("the test listens");
                sleep();
            });
        }
        for tid in told.iter().take(n) {
            while !is_asleep(tid) {
                thread::yield_now();
            }
        }
        wake();
    });
}

fn is_asleep(tid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/self/task/{tid}/stat")).expect("the thread runs");
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'))
}
