//! Deliberate faults that the tests of crash safety must detect: a test that cannot fail proves nothing.
//!
//! Compiled only with debug assertions, both this file and the line at each failpoint: a release has neither a switch
//! nor a branch for them.
//!
//! # State
//! One failpoint per process, chosen once at its start: it applies to the whole program.

use nix::libc;
use serde::{Deserialize, Serialize};

use super::atomic::{
    AtomicU8, AtomicU32,
    Ordering::{Relaxed, SeqCst},
};

/// The fault to inject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub(crate) enum Failpoint {
    /// Changes a word and wakes its waiters in two steps instead of one.
    TwoStepWake = 1,
    /// Publishes a slot of a queue before the item is in it.
    EarlyPublish = 2,
}

static CHOSEN: AtomicU8 = AtomicU8::new(0);

impl Failpoint {
    /// Activates the failpoint in this process.
    pub(crate) fn begin(self) {
        CHOSEN.store(self as u8, Relaxed);
    }

    /// Returns this process's active failpoint, to activate it in its workers too.
    pub(crate) fn chosen() -> Option<Self> {
        [Failpoint::TwoStepWake, Failpoint::EarlyPublish].into_iter().find(|failpoint| failpoint.is_on())
    }

    fn is_on(self) -> bool {
        CHOSEN.load(Relaxed) == self as u8
    }
}

/// The variable that names a fault in the client of a Redis server or in the live view, in this process and its workers.
/// The workers of a test have no command line to name one.
#[cfg(any(feature = "redis", feature = "live"))]
const NAMED: &str = "IPC_DEMO_FAILPOINT";

#[cfg(any(feature = "redis", feature = "live"))]
fn is_in_environment(name: &str) -> bool {
    static NAME: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    NAME.get_or_init(|| std::env::var(NAMED).unwrap_or_default()) == name
}

/// Called while the screen of a live view is open: panics with the fault of this name.
#[cfg(feature = "live")]
pub(crate) fn panic_if(name: &str) {
    assert!(!is_in_environment(name), "this is the fault {name}");
}

/// With the fault of this name, waits until `is_time`.
#[cfg(feature = "live")]
pub(crate) fn wait_if(name: &str, is_time: impl Fn() -> bool) {
    while is_in_environment(name) && !is_time() {
        std::thread::yield_now();
    }
}

/// Called for each attempt at a request: with the fault `no-sessions` every attempt is in a new session, so the server does
/// not recognise one that was made before.
#[cfg(feature = "redis")]
pub(crate) fn forget_session(name: &str) -> String {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    match is_in_environment("no-sessions") {
        true => format!("{name}.{}", ATTEMPTS.fetch_add(1, Relaxed)),
        false => name.to_owned(),
    }
}

/// Called before a script is sent to a server: with the fault `no-absence-rule` processes are declared dead although
/// nobody could reach the server.
#[cfg(feature = "redis")]
pub(crate) fn forget_absence(script: String) -> String {
    if !is_in_environment("no-absence-rule") {
        return script;
    }
    let rule = ["if time - last > 1000 then", " or time - call('HGET', meta, 'beat') > 1000"];
    script.replace(rule[0], "if false then").replace(rule[1], "")
}

/// Called before a system call that changes a futex word and wakes its sleepers: with the fault the word is changed
/// here, and an operand that changes nothing is returned. A process killed between the two steps leaves sleepers
/// behind.
pub(crate) fn change_first(word: &AtomicU32, operation: i32, operand: u16) -> u16 {
    if !Failpoint::TwoStepWake.is_on() {
        return operand;
    }
    match operation {
        libc::FUTEX_OP_ADD => word.fetch_add(operand.into(), SeqCst),
        _ => word.fetch_or(operand.into(), SeqCst),
    };
    0
}

/// Called before an item is written into a slot that was claimed: with the fault the slot is published here.
pub(crate) fn before_write(publish: impl FnOnce()) {
    if Failpoint::EarlyPublish.is_on() {
        publish();
    }
}
