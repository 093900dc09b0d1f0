//! The tasks of these tests, and pools whose workers are this test program.

use std::fs::File;
use std::sync::Mutex;
use std::thread;

use ipc_demo::pool::{Builder, Pool, Task, TaskError};
use ipc_demo::process::Fd;
use ipc_demo::{Lock, RoleResult, Value};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, send};

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// What one task does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Act {
    /// Returns twice the number.
    Double(u64),
    Fail,
    Panic,
    Abort,
    Exit(i32),
    KillItself,
    /// As often as the counter says, and then returns.
    DieTimes,
    Sleep,
    /// Returns this many bytes.
    Text(usize),
    /// Returns the length of the text.
    Measure(String),
    /// Cannot be serialised.
    #[serde(skip)]
    Formless,
    /// Cannot be read.
    Unreadable(Unreadable),
    /// Kills the worker that reads it.
    DeadlyToRead(Deadly),
    /// Returns something that cannot be serialised.
    ReturnFormless,
    /// Returns something that cannot be read.
    ReturnUnreadable,
    /// Returns something that kills the worker that writes it.
    ReturnDeadly,
    /// Returns this many bytes, and reading them panics.
    ReturnPanicking(usize),
    Pid,
    /// Arrives at the meeting point, and waits for its end.
    Meet(u8),
    /// Increments a counter under a lock.
    Count,
    /// Locks what a thread of the parent has locked.
    LockOfParent,
    Setups,
}

/// Locked by a test while it starts workers.
pub(crate) static LOCK_OF_PARENT: Mutex<()> = Mutex::new(());

/// Can be written, and not read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Unreadable;

impl<'de> Deserialize<'de> for Unreadable {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("nobody can read this"))
    }
}

/// Kills the worker that reads or writes it; the test writes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deadly {
    pub(crate) parent: u32,
}

impl Serialize for Deadly {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if std::process::id() != self.parent {
            kill_itself();
        }
        serializer.serialize_unit()
    }
}

impl<'de> Deserialize<'de> for Deadly {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        kill_itself()
    }
}

/// Reading it panics.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Panicking(String);

impl<'de> Deserialize<'de> for Panicking {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        panic!("an output whose reading panics")
    }
}

fn kill_itself() -> ! {
    send(std::process::id(), Signal::SIGKILL);
    unreachable!("it was killed")
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Output {
    Number(u64),
    Text(String),
    #[serde(skip)]
    Formless,
    Unreadable(Unreadable),
    Deadly(Deadly),
    Panicking(Panicking),
}

/// Does what its inputs say.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Does {
    pub(crate) deaths_left: Value<i32>,
    pub(crate) count: Value<u64>,
    /// The process that has begun a task last, so that it can be killed in the middle of one.
    pub(crate) last: Value<u32>,
    pub(crate) lock: Lock,
    pub(crate) here: Option<Fd>,
    pub(crate) until: Option<Fd>,
    pub(crate) set_ups: u64,
}

impl Does {
    pub(crate) fn new() -> Self {
        Does {
            deaths_left: Value::new(0).expect("a value"),
            count: Value::new(0).expect("a value"),
            last: Value::new(0).expect("a value"),
            lock: Lock::new().expect("a lock"),
            here: None,
            until: None,
            set_ups: 0,
        }
    }

    pub(crate) fn dying(times: i32) -> Self {
        Does { deaths_left: Value::new(times).expect("a value"), ..Does::new() }
    }
}

impl Task for Does {
    const NAME: &'static str = "test.pool.does";
    type Input = Act;
    type Output = Output;

    fn set_up(&mut self) -> RoleResult {
        self.set_ups += 1;
        Ok(())
    }

    fn run(&mut self, act: Act) -> Outcome<Output> {
        self.last.set(std::process::id());
        Ok(Output::Number(match act {
            Act::Double(number) => 2 * number,
            Act::Fail => Err(File::open("/nonexistent").expect_err("there is none"))?,
            Act::Panic => panic!("a task that went wrong"),
            Act::Abort => std::process::abort(),
            Act::Exit(code) => std::process::exit(code),
            Act::KillItself => kill_itself(),
            Act::DieTimes => {
                if self.deaths_left.update(|left| left - 1)? >= 0 {
                    std::process::abort();
                }
                7
            }
            Act::Sleep => loop {
                thread::park();
            },
            Act::Text(bytes) => return Ok(Output::Text("x".repeat(bytes))),
            Act::Measure(text) => text.len() as u64,
            Act::Formless | Act::Unreadable(_) | Act::DeadlyToRead(_) => unreachable!("it cannot arrive"),
            Act::ReturnFormless => return Ok(Output::Formless),
            Act::ReturnUnreadable => return Ok(Output::Unreadable(Unreadable)),
            Act::ReturnDeadly => return Ok(Output::Deadly(Deadly { parent: 0 })),
            Act::ReturnPanicking(bytes) => return Ok(Output::Panicking(Panicking("x".repeat(bytes)))),
            Act::Pid => u64::from(std::process::id()),
            Act::Meet(byte) => {
                arrive(self.here.as_ref().expect("a meeting point"), byte);
                let word = await_word(self.until.as_ref().expect("its other side"));
                word.map_or(u64::from(std::process::id()), u64::from)
            }
            Act::Count => {
                let _guard = self.lock.acquire()?;
                let now = self.count.get();
                self.count.set(now + 1);
                now
            }
            Act::LockOfParent => {
                let _guard = LOCK_OF_PARENT.lock().map_err(|_| "poisoned")?;
                3
            }
            Act::Setups => self.set_ups,
        }))
    }
}

/// Returns a builder whose workers are this test program.
pub(crate) fn builder() -> Builder {
    let null = File::options().write(true).open("/dev/null").expect("there is a null device");
    Pool::builder().program("/proc/self/exe", &["worker_entry", "--exact", "--test-threads=1"]).stdout(Fd::new(null))
}

pub(crate) fn pool(workers: usize, task: Does) -> Pool<Does> {
    builder().workers(workers).build(task).expect("a pool")
}

pub(crate) fn doubles(numbers: std::ops::Range<u64>) -> impl ExactSizeIterator<Item = Act> {
    numbers.collect::<Vec<_>>().into_iter().map(Act::Double)
}

pub(crate) fn number(result: Result<Output, TaskError>) -> u64 {
    match result {
        Ok(Output::Number(number)) => number,
        other => panic!("no number: {other:?}"),
    }
}

/// Kills the worker that has begun a task last, if it is one of the pool's. Returns its process id.
pub(crate) fn kill_one(pool: &Pool<Does>, last: &Value<u32>) -> Option<u32> {
    let last = last.get();
    // Until the pool has removed it, no other process has its process id.
    let is_there = pool.workers().iter().any(|(_, pid)| *pid == last);
    (is_there && kill(Pid::from_raw(last as i32), Signal::SIGKILL).is_ok()).then_some(last)
}
