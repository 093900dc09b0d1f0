//! How the tests start workers, meet them, and never hang.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use ipc_demo::{Give, Process, Result, Role};
use nix::unistd::Pid;

/// How long any test may take before it is ended as hung: far beyond what it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the whole test program if it is not dropped in time: a test that hangs must not hang the others.
#[must_use]
pub(crate) struct Watchdog {
    _called_off: Sender<()>,
}

/// Starts a watchdog for the rest of a test.
pub(crate) fn watchdog(test: &'static str) -> Watchdog {
    let (called_off, bark) = mpsc::channel();
    thread::spawn(move || {
        if bark.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(std::io::stderr(), "{test} hung for {PATIENCE:?}");
            std::process::abort();
        }
    });
    Watchdog { _called_off: called_off }
}

/// Starts a worker that runs one of [`crate::roles`] in this test program.
pub(crate) fn worker<R: Role>(name: &str, role: impl FnOnce(&mut Give) -> R) -> Process {
    try_worker(name, role).expect("the worker starts")
}

pub(crate) fn try_worker<R: Role>(name: &str, role: impl FnOnce(&mut Give) -> R) -> Result<Process> {
    // The test harness in the worker talks on stdout.
    let null = File::options().write(true).open("/dev/null").expect("there is a null device");
    let builder = Process::builder().program("/proc/self/exe", &["worker_entry", "--exact", "--test-threads=1"]);
    builder.stdout(null.as_fd()).spawn(name, role)
}

/// A pipe to meet a worker at: a byte in it is "I am here", its end is "I am gone".
pub(crate) fn meeting_point() -> (MeetingReader, OwnedFd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (MeetingReader(reader), writer.into())
}

pub(crate) struct MeetingReader(std::io::PipeReader);

impl MeetingReader {
    /// Waits for the next byte; `None` when every writer is gone.
    pub(crate) fn meet(&mut self) -> Option<u8> {
        let mut byte = [0];
        (self.0.read(&mut byte).expect("a readable pipe") == 1).then_some(byte[0])
    }
}

impl From<MeetingReader> for OwnedFd {
    fn from(reader: MeetingReader) -> Self {
        reader.0.into()
    }
}

/// The worker's side of a meeting point.
pub(crate) fn arrive(at: &OwnedFd, byte: u8) {
    let at = at.try_clone().expect("a descriptor to spare");
    File::from(at).write_all(&[byte]).expect("the test is there");
}

/// Waits until the other side of a meeting point says something, or is gone.
pub(crate) fn await_word(at: &OwnedFd) -> Option<u8> {
    let mut byte = [0];
    let mut at = File::from(at.try_clone().expect("a descriptor to spare"));
    (at.read(&mut byte).expect("a readable pipe") == 1).then_some(byte[0])
}

/// Waits until a thread of this process sleeps in the kernel.
pub(crate) fn await_sleep_of(thread: Pid) {
    let stat = format!("/proc/self/task/{thread}/stat");
    let is_asleep = |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S'));
    while !is_asleep(std::fs::read_to_string(&stat).expect("the thread lives")) {
        thread::yield_now();
    }
}

/// Whether the process still runs: neither gone nor a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}
