//! How the tests start workers, meet them, and never hang.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use ipc_demo::{Give, Process, Result, Role};

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

/// Whether the process still runs: neither gone nor a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    !matches!(state, Some("Z" | "X"))
}

/// Waits until every thread of the process sleeps: after it said that it is about to wait for something.
pub(crate) fn await_asleep(pid: u32) {
    let sleeps = |task: std::io::Result<std::fs::DirEntry>| {
        let stat = std::fs::read_to_string(task?.path().join("stat"))?;
        Ok::<_, std::io::Error>(stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('S')))
    };
    let all_sleep = || std::fs::read_dir(format!("/proc/{pid}/task"))?.map(sleeps).collect::<std::io::Result<Vec<_>>>();
    while !all_sleep().expect("the process is there").into_iter().all(|sleeps| sleeps) {
        thread::yield_now();
    }
}

/// Waits for all workers and expects each to have returned well.
pub(crate) fn join_all(workers: &mut [Process]) {
    for process in workers {
        assert!(process.join().expect("it ends").is_success(), "{}: {:?}", process.name(), process.ended());
    }
}
