//! Processes: start, join, exit status, failures, and which processes end together.

use std::os::fd::AsFd;
use std::time::Duration;

use ipc_demo::process::{ExitStatus, FailureKind, Fd};
use ipc_demo::{Error, Process, Role, RoleResult};
use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};

use crate::harness::{
    arrive, await_word, is_in_state, is_running, meeting_point, skip, try_worker, until as until_true, watchdog, worker,
};
use crate::roles::{Fails, Panics, Returns, StartsAndDies, StartsAndWaits, Waits};

#[test]
fn smoke() {
    let _watchdog = watchdog("process::smoke");
    let mut process = worker("smoke", Returns);
    assert_eq!(process.name(), "smoke");
    assert!(process.pid() > 1);
    assert!(process.join().expect("it ends").is_success());
    assert!(!process.is_alive());
    assert!(process.join().expect("again").is_success(), "join may be repeated");
}

#[test]
fn join_times_out_while_the_worker_runs() {
    let _watchdog = watchdog("process::join_times_out");
    let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let mut process = worker("waits", Waits { here: arrives, until: until.into() });
    assert_eq!(here.meet(), Some(b'w'));
    assert!(process.is_alive());
    assert!(process.join_timeout(Duration::ZERO).expect("a look").is_none());
    assert!(process.join_timeout(Duration::from_millis(1)).expect("a wait").is_none());
    drop(release);
    assert!(process.join_timeout(Duration::MAX).expect("a wait").expect("the end").is_success());
}

#[test]
fn error_of_a_role_comes_home() {
    let _watchdog = watchdog("process::error_of_a_role");
    let mut process = worker("fails", Fails);
    let ended = process.join().expect("it ends");
    assert_eq!(ended.status, ExitStatus::Code(1));
    let failure = ended.failure.as_ref().expect("it said why");
    assert_eq!((failure.worker.as_str(), failure.kind), ("fails", FailureKind::Error));
    assert!(failure.message.contains("No such file"), "{failure}");
}

#[test]
fn panic_comes_home_as_data() {
    let _watchdog = watchdog("process::panic_comes_home");
    let mut process = worker("panics", Panics);
    let failure = process.join().expect("it ends").failure.clone().expect("it said why");
    assert_eq!(failure.kind, FailureKind::Panic);
    assert_eq!(failure.message, "a thing that is not there");
    assert!(failure.location.expect("a place").contains("roles.rs:"));
}

#[derive(Serialize, Deserialize)]
struct NotInTheTable;

impl Role for NotInTheTable {
    const NAME: &'static str = "test.not-in-the-table";
    fn run(self) -> RoleResult {
        Ok(())
    }
}

#[test]
fn unknown_role_is_a_startup_failure_with_its_name() {
    let _watchdog = watchdog("process::unknown_role");
    let mut process = worker("stranger", NotInTheTable);
    let failure = process.join().expect("it ends").failure.clone().expect("it said why");
    assert_eq!((failure.worker.as_str(), failure.kind), ("stranger", FailureKind::Startup));
    assert!(failure.message.contains("test.not-in-the-table") && failure.message.contains("test.returns"), "{failure}");
}

#[test]
fn exec_failure_names_the_worker_and_the_cause() {
    let failed = Process::builder().program("/nonexistent/program", &[]).spawn("nobody", Returns);
    let Err(Error::Start { worker, source }) = failed else { panic!("it cannot start") };
    assert_eq!((worker.as_str(), source.kind()), ("nobody", std::io::ErrorKind::NotFound));
}

#[test]
fn terminate_and_kill_show_in_the_exit_status() {
    let _watchdog = watchdog("process::terminate_and_kill");
    for (end, signal) in [(Process::terminate as fn(&Process) -> ipc_demo::Result<()>, 15), (Process::kill, 9)] {
        let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
        let mut process = worker("victim", Waits { here: arrives, until: until.into() });
        assert_eq!(here.meet(), Some(b'w'));
        end(&process).expect("a signal");
        let ended = process.join().expect("it ends");
        assert_eq!((ended.status, &ended.failure), (ExitStatus::Signal(signal), &None));
        end(&process).expect("ending who has ended is no error");
    }
}

#[test]
fn dropping_a_process_kills_it() {
    let _watchdog = watchdog("process::dropping_a_process");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let process = worker("dropped", Waits { here: arrives, until: until.into() });
    let pid = process.pid();
    assert_eq!(here.meet(), Some(b'w'));
    drop(process);
    assert!(!is_running(pid));
}

#[test]
fn killed_parent_takes_its_workers_along() {
    let _watchdog = watchdog("process::killed_parent");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let mut parent = worker("parent", StartsAndWaits { here: arrives, until: until.into() });
    let mut arrived = [here.meet(), here.meet()];
    arrived.sort_unstable();
    assert_eq!(arrived, [Some(b's'), Some(b'w')]);
    parent.kill().expect("a signal");
    parent.join().expect("it ends");
    // Parent and grandchild held the only writing ends: this returns when both are gone, or the watchdog ends the test.
    assert_eq!(here.meet(), None);
}

#[test]
fn parent_killed_while_it_starts_a_worker_leaves_nobody() {
    let _watchdog = watchdog("process::parent_killed_while_it_starts");
    for _ in 0..30 {
        let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
        let mut parent = worker("parent", StartsAndDies { here: arrives, until: until.into() });
        assert_eq!(parent.join().expect("it ends").status, ExitStatus::Signal(9));
        // The grandchild has the last writing end: between fork and exec, before its role, or in it. It may have
        // reported.
        while here.meet().is_some() {}
    }
}

#[test]
fn parent_that_starts_workers_from_a_short_lived_thread_keeps_them() {
    let _watchdog = watchdog("process::short_lived_thread");
    let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let mut process = std::thread::spawn(move || worker("kept", Waits { here: arrives, until: until.into() }))
        .join()
        .expect("it starts");
    assert_eq!(here.meet(), Some(b'w'));
    drop(release);
    assert!(process.join().expect("it ends").is_success());
}

#[test]
fn many_workers_leave_no_descriptors_and_no_zombies() {
    let _watchdog = watchdog("process::many_workers");
    // In a process of its own: other tests open descriptors in this one.
    let mut process = worker("counting parent", StartsMany { rounds: 5, workers: 100 });
    let ended = process.join().expect("it ends").clone();
    assert!(ended.is_success(), "{ended:?}");
}

/// Starts and joins many workers, then compares its descriptors and children with those before.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsMany {
    rounds: u32,
    /// The number of concurrent workers in each round.
    workers: u32,
}

impl Role for StartsMany {
    const NAME: &'static str = "test.starts-many";
    fn run(self) -> RoleResult {
        let descriptors = || std::fs::read_dir("/proc/self/fd").expect("a list").count();
        try_worker("first", Returns)?.join()?;
        let before = descriptors();
        for _ in 0..self.rounds {
            let start = |_| try_worker("one of many", Returns);
            let mut together = (0..self.workers).map(start).collect::<Result<Vec<_>, _>>()?;
            for process in &mut together {
                if !process.join()?.is_success() {
                    return Err(format!("{:?}", process.ended()).into());
                }
            }
        }
        let children = std::fs::read_to_string("/proc/thread-self/children")?;
        if (descriptors(), children.trim()) != (before, "") {
            return Err(format!("{before} descriptors before, {} after; children: {children}", descriptors()).into());
        }
        Ok(())
    }
}

/// A program whose `main` forgets to enter would start itself again and again, and its exit code 0 would count as
/// success.
#[test]
fn worker_that_has_not_entered_starts_nobody_and_has_failed() {
    let _watchdog = watchdog("process::not_entered");
    let is_worker = std::env::var_os("IPC_DEMO_BOOT").is_some();
    let this_test =
        ["process::child::worker_that_has_not_entered_starts_nobody_and_has_failed", "--exact", "--test-threads=1"];
    let null = std::fs::File::options().write(true).open("/dev/null").expect("there is a null device");
    let itself = Process::builder().program("/proc/self/exe", &this_test).stdout(null.as_fd());
    let started = itself.spawn("again", Returns);
    if is_worker {
        let refused = std::error::Error::source(&started.expect_err("refused")).expect("a reason").to_string();
        assert!(refused.contains("has not called ipc_demo::enter"), "{refused}");
    } else {
        expect_not_entered(&mut started.expect("it starts"), 0, "main has to call ipc_demo::enter first thing");
    }
}

fn expect_not_entered(process: &mut Process, code: i32, hint: &str) {
    let ended = process.join().expect("it ends").clone();
    assert!(!ended.is_success(), "{ended:?}");
    assert_eq!(ended.status, ExitStatus::Code(code));
    let failure = ended.failure.expect("a reason");
    assert_eq!(failure.kind, FailureKind::Startup);
    assert!(failure.message.contains("never entered the role") && failure.message.contains(hint), "{failure}");
}

#[test]
fn program_that_is_none_of_this_library_has_failed_whatever_its_exit_code() {
    let _watchdog = watchdog("process::none_of_this_library");
    for code in [0, 127] {
        let builder = Process::builder().program("/bin/sh", &["-c", &format!("exit {code}")]);
        expect_not_entered(&mut builder.spawn("stranger", Returns).expect("it starts"), code, "/bin/sh ended");
    }
}

/// Ends its process itself.
#[derive(Serialize, Deserialize)]
pub(crate) struct Exits {
    code: i32,
}

impl Role for Exits {
    const NAME: &'static str = "test.exits";
    fn run(self) -> RoleResult {
        std::process::exit(self.code)
    }
}

#[test]
fn role_that_ends_its_process_has_entered() {
    let _watchdog = watchdog("process::exits");
    for code in [0, 3] {
        let ended = worker("exits", Exits { code }).join().expect("it ends").clone();
        assert_eq!((ended.status, &ended.failure), (ExitStatus::Code(code), &None));
        assert_eq!(ended.is_success(), code == 0);
    }
}

/// Starts the worker of these tests through a shell script, which gets the worker's command line as `"$@"`.
fn scripted<R: Role>(script: &str, name: &str, role: R) -> Process {
    let null = std::fs::File::options().write(true).open("/dev/null").expect("there is a null device");
    let own = std::env::current_exe().expect("a path").display().to_string();
    let words = ["-c", script, "sh", &own, "worker_entry", "--exact", "--test-threads=1"];
    Process::builder().program("/bin/sh", &words).stdout(null.as_fd()).spawn(name, role).expect("it starts")
}

#[test]
fn worker_without_its_boot_record_never_goes_on_as_if_it_were_none() {
    let _watchdog = watchdog("process::without_boot_record");
    for script in ["exec 3>&-; exec \"$@\"", "exec 3</dev/null; exec \"$@\""] {
        expect_not_entered(&mut scripted(script, "cut off", Returns), 1, "/bin/sh ended");
    }
}

/// Where there is no /proc: starts a worker by the path of this program, and one without.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsWithoutProc {
    program: String,
}

impl Role for StartsWithoutProc {
    const NAME: &'static str = "test.starts-without-proc";
    fn run(self) -> RoleResult {
        if std::path::Path::new("/proc/self").exists() {
            return Err("there is a /proc".into());
        }
        let null = std::fs::File::options().write(true).open("/dev/null")?;
        let words = ["worker_entry", "--exact", "--test-threads=1"];
        let mut process =
            Process::builder().program(&self.program, &words).stdout(null.as_fd()).spawn("by path", Returns)?;
        let ended = process.join()?;
        if !ended.is_success() {
            return Err(format!("{ended:?}").into());
        }
        match Process::spawn("by itself", Returns) {
            Err(Error::Start { source, .. }) => Err(source.into()),
            other => Err(format!("{other:?}").into()),
        }
    }
}

#[test]
fn without_proc_a_worker_knows_that_it_is_one_and_a_start_says_what_is_missing() {
    let _watchdog = watchdog("process::without_proc");
    let namespaces = std::process::Command::new("unshare").args(["-m", "true"]).status();
    if !namespaces.is_ok_and(|status| status.success()) {
        skip("mount namespaces", "unshare -m is not allowed here");
        return;
    }
    let program = std::env::current_exe().expect("a path").display().to_string();
    let script = "exec unshare -m sh -c 'mount -t tmpfs none /proc && exec \"$@\"' sh \"$@\"";
    let mut process = scripted(script, "without proc", StartsWithoutProc { program });
    let failure = process.join().expect("it ends").failure.clone().expect("why the second start failed");
    assert!(failure.message.contains("/proc/self/exe") && failure.message.contains("is /proc mounted?"), "{failure}");
}

/// Starts workers that end in all possible ways, and sends the parent how they ended.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReportsEnds;

impl Role for ReportsEnds {
    const NAME: &'static str = "test.reports-ends";
    fn run(self) -> RoleResult {
        let told = |mut process: Process| {
            let ended = process.join().expect("it ends");
            let failure = ended.failure.as_ref().map(|failure| failure.kind);
            format!("{:?} {} {failure:?}", ended.status, ended.is_success())
        };
        let ends = [told(worker("returns", Returns)), told(worker("panics", Panics))];
        Err(ends.join("; ").into())
    }
}

#[test]
fn words_of_workers_arrive_though_their_exit_status_does_not() {
    let _watchdog = watchdog("process::sigchld_ignored");
    let mut process = scripted("exec env --ignore-signal=CHLD \"$@\"", "ignores SIGCHLD", ReportsEnds);
    let ends = process.join().expect("it ends").failure.clone().expect("the ends come as an error").message;
    assert_eq!(ends, "Unknown true None; Unknown false Some(Panic)");
}

/// Sends the parent what `proc_pid_status(5)` reports about its signals.
#[derive(Serialize, Deserialize)]
pub(crate) struct ListsSignals;

impl Role for ListsSignals {
    const NAME: &'static str = "test.lists-signals";
    fn run(self) -> RoleResult {
        let status = std::fs::read_to_string("/proc/thread-self/status")?;
        let is_signals = |line: &&str| line.starts_with("SigBlk:") || line.starts_with("SigIgn:");
        Err(status.lines().filter(is_signals).collect::<Vec<_>>().join(" ").into())
    }
}

/// Starts a worker with many signals ignored and one blocked here, and sends the parent its report.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsWithSignals;

impl Role for StartsWithSignals {
    const NAME: &'static str = "test.starts-with-signals";
    fn run(self) -> RoleResult {
        SigSet::from_iter([Signal::SIGTERM, Signal::SIGUSR1]).thread_block()?;
        Err(worker("lists", ListsSignals).join()?.failure.clone().ok_or("it said nothing")?.message.into())
    }
}

#[test]
fn worker_starts_with_the_signals_of_a_fresh_process() {
    let _watchdog = watchdog("process::fresh_signals");
    let mut process = scripted("trap '' TERM USR2 TSTP QUIT; exec \"$@\"", "ignores much", StartsWithSignals);
    let listed = process.join().expect("it ends").failure.clone().expect("the list comes as an error").message;
    let of = |name: &str| {
        let field = listed.split_whitespace().skip_while(|word| *word != name).nth(1).expect("a field");
        u64::from_str_radix(field, 16).expect("a set")
    };
    let bit = |signal: Signal| 1_u64 << (signal as i32 - 1);
    assert_eq!(of("SigBlk:"), 0, "{listed}");
    // The standard library's own, what the terminal sends, and above 31 glibc's, which are reserved.
    let documented = [Signal::SIGPIPE, Signal::SIGINT, Signal::SIGHUP, Signal::SIGXFSZ].map(bit);
    assert_eq!(of("SigIgn:") & u64::from(u32::MAX >> 1), documented.into_iter().sum::<u64>(), "{listed}");
}

/// Reports that it is ready, and stops, perhaps as another user.
#[derive(Serialize, Deserialize)]
pub(crate) struct Stops {
    here: Fd,
    changes_user: bool,
}

impl Role for Stops {
    const NAME: &'static str = "test.stops";
    fn run(self) -> RoleResult {
        let here = self.here;
        if self.changes_user {
            nix::unistd::setuid(nix::unistd::Uid::from_raw(65534))?;
        }
        arrive(&here, b'w');
        nix::sys::signal::raise(Signal::SIGSTOP)?;
        Ok(())
    }
}

/// Starts a worker that stops, from a thread that ends, and waits until it has stopped.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsOneThatStops {
    here: Fd,
    until: Fd,
    changes_user: bool,
}

impl Role for StartsOneThatStops {
    const NAME: &'static str = "test.starts-one-that-stops";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let changes_user = self.changes_user;
        let stops = std::thread::scope(|scope| {
            let start = || worker("stops", Stops { here: here.clone(), changes_user });
            scope.spawn(start).join().expect("it starts")
        });
        until_true(|| is_in_state('T', stops.pid()));
        arrive(&here, b's');
        await_word(&until);
        Ok(())
    }
}

#[test]
fn stopped_worker_dies_with_its_parent() {
    let _watchdog = watchdog("process::stopped_worker");
    for changes_user in [false, true] {
        if changes_user && !nix::unistd::getuid().is_root() {
            skip("root", "only root may become another user");
            continue;
        }
        let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
        let mut parent = worker("parent", StartsOneThatStops { here: arrives, until: until.into(), changes_user });
        assert_eq!([here.meet(), here.meet()], [Some(b'w'), Some(b's')]);
        parent.kill().expect("a signal");
        parent.join().expect("it ends");
        // The stopped worker has the last writing end: the watchdog ends the test if it lives on.
        assert_eq!(here.meet(), None);
    }
}

/// Values in one scope with a worker that waits for them are dropped after it.
#[test]
fn scope_that_is_left_early_ends_though_its_worker_waits_for_it() {
    fn left_early(pid: &mut u32) -> Result<(), Box<dyn std::error::Error>> {
        let (mut here, arrives) = meeting_point();
        let (until, _release) = meeting_point();
        let worker = worker("waits", Waits { here: arrives, until: until.into() });
        *pid = worker.pid();
        here.meet();
        std::fs::read("/nonexistent/file")?;
        Ok(())
    }
    let _watchdog = watchdog("process::left_early");
    let mut pid = 0;
    let error = left_early(&mut pid).expect_err("there is no such file");
    assert!(error.to_string().contains("No such file"), "{error}");
    assert!(!is_running(pid));
}
