//! How the tests start workers, synchronise with them, and never hang.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Once};
use std::thread;
use std::time::Duration;

use crate::report::schema::{Event, Fact};
use ipc_demo::process::Fd;
use ipc_demo::{Process, Result, Role};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The time after which a test is ended as hung: far more than it needs on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ends the whole test program if it is not dropped in time: a hung test must not hang the others.
#[must_use]
pub(crate) struct Watchdog {
    _called_off: Sender<()>,
}

/// Starts a watchdog for the rest of a test.
pub(crate) fn watchdog(test: &'static str) -> Watchdog {
    watchdog_after(test, PATIENCE)
}

/// As [`watchdog`], for a test that may take ten times as long on a busy machine.
pub(crate) fn patient_watchdog(test: &'static str) -> Watchdog {
    watchdog_after(test, PATIENCE * 10)
}

fn watchdog_after(test: &'static str, patience: Duration) -> Watchdog {
    static FIRST: Once = Once::new();
    FIRST.call_once(handle_ignored_signals);
    let (called_off, bark) = mpsc::channel();
    thread::spawn(move || {
        if bark.recv_timeout(patience) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = writeln!(std::io::stderr(), "{test} hung for {patience:?}");
            std::process::abort();
        }
    });
    Watchdog { _called_off: called_off }
}

/// Handles the signals that this process ignores, as one does that was started in the background or by `nohup`. The
/// programs that it starts would ignore them as well; what is handled has its default action in them.
fn handle_ignored_signals() {
    let status = std::fs::read_to_string("/proc/self/status").expect("there is a /proc");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask of signals");
    let ignored = u64::from_str_radix(ignored.trim(), 16).expect("a hexadecimal number");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM] {
        if ignored & 1 << (signal as i32 - 1) != 0 {
            signal_hook::flag::register(signal as i32, Arc::default()).expect("it can be handled");
        }
    }
}

/// Starts a worker that runs one of [`crate::roles`] in this test program.
pub(crate) fn worker<R: Role>(name: &str, role: R) -> Process {
    try_worker(name, role).expect("the worker starts")
}

pub(crate) fn try_worker<R: Role>(name: &str, role: R) -> Result<Process> {
    started("/proc/self/exe", &AS_WORKER, name, role)
}

/// As [`worker`], through another program, given by the beginning of a command line.
pub(crate) fn worker_within<R: Role>(starter: &[String], name: &str, role: R) -> Process {
    let this = std::env::current_exe().expect("this program");
    let starter = starter.iter().map(String::as_str).chain([this.to_str().expect("a path in UTF-8")]);
    let words: Vec<&str> = starter.chain(AS_WORKER).collect();
    started("/usr/bin/env", &words, name, role).expect("the worker starts")
}

const AS_WORKER: [&str; 3] = ["worker_entry", "--exact", "--test-threads=1"];

fn started<R: Role>(program: &str, words: &[&str], name: &str, role: R) -> Result<Process> {
    // The worker's test harness writes to stdout.
    let null = File::options().write(true).open("/dev/null").expect("there is a null device");
    Process::builder().program(program, words).stdout(null.as_fd()).spawn(name, role)
}

/// Returns a pipe for synchronisation: a byte means "I am here", its end means "I am gone".
pub(crate) fn meeting_point() -> (MeetingReader, Fd) {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    (MeetingReader(reader), OwnedFd::from(writer).into())
}

pub(crate) struct MeetingReader(std::io::PipeReader);

impl MeetingReader {
    /// Waits for the next byte; `None` when every writer is gone.
    pub(crate) fn meet(&mut self) -> Option<u8> {
        let mut byte = [0];
        (self.0.read(&mut byte).expect("a readable pipe") == 1).then_some(byte[0])
    }
}

impl From<MeetingReader> for Fd {
    fn from(reader: MeetingReader) -> Self {
        OwnedFd::from(reader.0).into()
    }
}

/// The environment variable that lists, separated by commas, extras that a test must not do without, as on a CI.
const REQUIRED: &str = "IPC_DEMO_REQUIRE";

/// Prints why a test is skipped that needs an `extra` which this machine does not have: `ptrace`, `python3`, `netns`,
/// `pidns`, `unprivileged`, `redis`, `tmux`, `browser`.
///
/// # Panics
/// If `IPC_DEMO_REQUIRE` names it.
pub(crate) fn skip(extra: &str, reason: impl Display) {
    assert!(!names(&std::env::var(REQUIRED).unwrap_or_default(), extra), "{extra} is required: {reason}");
    // Not `println`, which the harness hides.
    let _ = writeln!(std::io::stderr(), "skipped, for want of {extra}: {reason}");
}

fn names(required: &str, extra: &str) -> bool {
    required.split(',').any(|name| name.trim() == extra)
}

#[test]
fn extras_are_required_by_name() {
    assert!(names("ptrace,python3", "python3") && names(" netns ", "netns"));
    assert!(!names("", "ptrace") && !names("python3", "python"));
}

/// The worker's side of a meeting point.
pub(crate) fn arrive(at: &Fd, byte: u8) {
    let at = at.as_fd().try_clone_to_owned().expect("a descriptor to spare");
    File::from(at).write_all(&[byte]).expect("the test is there");
}

/// Waits until the other side of a meeting point sends a byte, or is gone.
pub(crate) fn await_word(at: &Fd) -> Option<u8> {
    let mut byte = [0];
    let mut at = File::from(at.as_fd().try_clone_to_owned().expect("a descriptor to spare"));
    (at.read(&mut byte).expect("a readable pipe") == 1).then_some(byte[0])
}

/// Waits until an ending process has ended: its descriptors are closed slightly earlier.
pub(crate) fn await_end(pid: u32) {
    while is_running(pid) {
        thread::yield_now();
    }
}

/// Waits until a thread, of any process, sleeps in the kernel.
pub(crate) fn await_sleep_of(thread: Pid) {
    while state_in(format!("/proc/{thread}/stat")).expect("the thread lives") != 'S' {
        thread::yield_now();
    }
}

/// Returns whether the process still runs: neither gone nor a zombie.
pub(crate) fn is_running(pid: u32) -> bool {
    state_in(format!("/proc/{pid}/stat")).is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Returns the state of a process or thread as the letter in the column `S` of `ps`; `None` if it is gone.
fn state_in(stat: impl AsRef<Path>) -> Option<char> {
    // It follows the name in parentheses, which may contain parentheses.
    std::fs::read_to_string(stat).ok()?.rsplit(')').next()?.trim_start().chars().next()
}

/// Returns the states of all threads of a process; empty if it is gone.
pub(crate) fn states(pid: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    threads.filter_map(|thread| state_in(thread.ok()?.path().join("stat"))).collect()
}

/// The real binary, to be run with arguments.
///
/// ```ignore
/// Demo::run("tickets").args(["--lock"]).expect_exit(0)
/// ```
#[must_use]
pub(crate) struct Demo {
    command: Command,
}

impl Demo {
    pub(crate) fn run(scenario: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
        command.arg(scenario).stdin(Stdio::null());
        for inherited in ["LC_ALL", "LC_MESSAGES", "LANG", "NO_COLOR"] {
            command.env_remove(inherited);
        }
        Demo { command }
    }

    pub(crate) fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Has it read this file as its standard input.
    pub(crate) fn stdin(mut self, file: File) -> Self {
        self.command.stdin(file);
        self
    }

    /// Sets a limit with a shell's `ulimit`, as `-n 40`: soft and hard.
    pub(crate) fn limit(mut self, limit: &str) -> Self {
        let program = self.command.get_program().to_owned();
        let args: Vec<_> = self.command.get_args().map(OsStr::to_owned).collect();
        let mut limited = Command::new("sh");
        limited
            .arg("-c")
            .arg(format!("ulimit {limit}; exec \"$0\" \"$@\""))
            .arg(program)
            .args(args)
            .stdin(Stdio::null());
        self.command = limited;
        self
    }

    /// Starts it through another program, given by the beginning of a command line.
    pub(crate) fn within<'a>(mut self, starter: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words = starter.into_iter();
        let mut within = Command::new(words.next().expect("a program"));
        within.args(words).arg(self.command.get_program()).args(self.command.get_args()).stdin(Stdio::null());
        self.command = within;
        self
    }

    /// Puts it in a process group of its own, to be signalled as a whole.
    pub(crate) fn own_group(mut self) -> Self {
        self.command.process_group(0);
        self
    }

    #[track_caller]
    pub(crate) fn expect_exit(self, code: i32) -> Finished {
        let finished = self.finished();
        assert_eq!(finished.code, Some(code), "{}\n{}", finished.stdout, finished.stderr);
        finished
    }

    /// Runs it to its end, whatever the result.
    pub(crate) fn finished(mut self) -> Finished {
        let output = self.command.output().expect("the program starts");
        Finished {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("text"),
            stderr: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Starts it with `--format json` and reads its events as they come.
    pub(crate) fn start(mut self) -> Running {
        self.command.args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = self.command.spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        Running { child, lines, seen: Vec::new() }
    }
}

/// A finished run of the binary.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Returns its events, each parsed strictly.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.stdout.lines().map(event_of).collect()
    }
}

/// Parses a line of JSON Lines, which must be to the byte what the schema makes of the same event.
pub(crate) fn event_of(line: &str) -> Event {
    let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    let known = serde_json::to_string(&event).expect("an event has a JSON form");
    assert_eq!(known, line, "the schema knows other fields, or another order");
    event
}

/// A run of the binary in progress.
pub(crate) struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    pub(crate) seen: Vec<Event>,
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Reads events until one matches.
    pub(crate) fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> &Event {
        loop {
            let line = self.lines.next().expect("the run ended too early").expect("text");
            self.seen.push(event_of(&line));
            if self.seen.last().is_some_and(&wanted) {
                return self.seen.last().expect("just pushed");
            }
        }
    }

    /// Reads the rest and waits for the end. Returns the exit code, the events, and the text on stderr.
    ///
    /// Workers inherit stdout: its end is the end of the last worker, even if the runner was killed before.
    pub(crate) fn finish(mut self) -> (Option<i32>, Vec<Event>, String) {
        for line in self.lines.by_ref() {
            self.seen.push(event_of(&line.expect("text")));
        }
        let mut stderr = String::new();
        self.child.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        (self.child.wait().expect("it ends").code(), std::mem::take(&mut self.seen), stderr)
    }
}

/// A failed test leaves nothing running: a server would run forever.
impl Drop for Running {
    fn drop(&mut self) {
        // This has no effect on a process that has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a process that this test started, directly or through the binary.
pub(crate) fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid as i32), signal).expect("a process of this test");
}

/// Returns the children of a process, regardless of which of its threads started them.
pub(crate) fn children_of(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Returns the counters of the summary, which is the last event of every run.
pub(crate) fn facts(events: &[Event]) -> &serde_json::Map<String, serde_json::Value> {
    match &events.last().expect("a run has events").fact {
        Fact::Summary { facts, .. } => facts,
        other => panic!("the last event is {other:?}"),
    }
}

/// Returns one counter of the summary.
pub(crate) fn fact(events: &[Event], name: &str) -> u64 {
    facts(events)[name].as_u64().unwrap_or_else(|| panic!("{name} is a number"))
}

/// Spins until another process has done something. The watchdog ends an endless wait.
pub(crate) fn until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::yield_now();
    }
}

/// Returns whether every thread of a process is in the state that `ps` shows as this letter: `S` asleep, `T` stopped.
pub(crate) fn is_in_state(letter: char, pid: u32) -> bool {
    let states = states(pid);
    assert!(!states.is_empty(), "it lives");
    states.chars().all(|state| state == letter)
}

/// Waits until every thread of the process sleeps: after it reported that it is about to wait.
pub(crate) fn await_asleep(pid: u32) {
    until(|| is_in_state('S', pid));
}

/// Stops a process, and waits until all of its threads have stopped.
pub(crate) fn stop(pid: u32) {
    send(pid, Signal::SIGSTOP);
    until(|| is_in_state('T', pid));
}

/// Waits for all workers and expects each to have succeeded.
pub(crate) fn join_all(workers: &mut [Process]) {
    for process in workers {
        assert!(process.join().expect("it ends").is_success(), "{}: {:?}", process.name(), process.ended());
    }
}
