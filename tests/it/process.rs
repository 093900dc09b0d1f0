//! Processes: start, join, exit status, failures, and who dies with whom.

use std::os::fd::AsFd;
use std::time::Duration;

use ipc_demo::{Error, ExitStatus, FailureKind, Inherited, Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{is_running, meeting_point, try_worker, watchdog, worker};
use crate::roles::{Fails, Panics, Returns, StartsAndDies, StartsAndWaits, Waits};

#[test]
fn smoke() {
    let _watchdog = watchdog("process::smoke");
    let mut process = worker("smoke", |_| Returns);
    assert_eq!(process.name(), "smoke");
    assert!(process.pid() > 1);
    assert!(!process.is_daemon());
    assert!(process.join().expect("it ends").is_success());
    assert!(!process.is_alive());
    assert!(process.join().expect("again").is_success(), "join may be repeated");
}

#[test]
fn join_times_out_while_the_worker_runs() {
    let _watchdog = watchdog("process::join_times_out");
    let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let mut process =
        worker("waits", |give| Waits { here: give.hand_over(arrives), until: give.hand_over(until.into()) });
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
    let mut process = worker("fails", |_| Fails);
    let ended = process.join().expect("it ends");
    assert_eq!(ended.status, ExitStatus::Code(1));
    let failure = ended.failure.as_ref().expect("it said why");
    assert_eq!((failure.worker.as_str(), failure.kind), ("fails", FailureKind::Error));
    assert!(failure.message.contains("No such file"), "{failure}");
}

#[test]
fn panic_comes_home_as_data() {
    let _watchdog = watchdog("process::panic_comes_home");
    let mut process = worker("panics", |_| Panics);
    let failure = process.join().expect("it ends").failure.clone().expect("it said why");
    assert_eq!(failure.kind, FailureKind::Panic);
    assert_eq!(failure.message, "a thing that is not there");
    assert!(failure.location.expect("a place").contains("roles.rs:"));
}

#[derive(Serialize, Deserialize)]
struct NotInTheTable;

impl Role for NotInTheTable {
    const NAME: &'static str = "test.not-in-the-table";
    fn run(self, _: &mut Inherited) -> RoleResult {
        Ok(())
    }
}

#[test]
fn unknown_role_is_a_startup_failure_with_its_name() {
    let _watchdog = watchdog("process::unknown_role");
    let mut process = worker("stranger", |_| NotInTheTable);
    let failure = process.join().expect("it ends").failure.clone().expect("it said why");
    assert_eq!((failure.worker.as_str(), failure.kind), ("stranger", FailureKind::Startup));
    assert!(failure.message.contains("test.not-in-the-table") && failure.message.contains("test.returns"), "{failure}");
}

#[test]
fn exec_failure_names_the_worker_and_the_cause() {
    let failed = Process::builder().program("/nonexistent/program", &[]).spawn("nobody", |_| Returns);
    let Err(Error::Start { worker, source }) = failed else { panic!("it cannot start") };
    assert_eq!((worker.as_str(), source.kind()), ("nobody", std::io::ErrorKind::NotFound));
}

#[test]
fn terminate_and_kill_show_in_the_exit_status() {
    let _watchdog = watchdog("process::terminate_and_kill");
    for (end, signal) in [(Process::terminate as fn(&Process) -> ipc_demo::Result<()>, 15), (Process::kill, 9)] {
        let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
        let mut process =
            worker("victim", |give| Waits { here: give.hand_over(arrives), until: give.hand_over(until.into()) });
        assert_eq!(here.meet(), Some(b'w'));
        end(&process).expect("a signal");
        let ended = process.join().expect("it ends");
        assert_eq!((ended.status, &ended.failure), (ExitStatus::Signal(signal), &None));
        end(&process).expect("ending who has ended is no error");
    }
}

#[test]
fn dropping_a_daemon_ends_it() {
    let _watchdog = watchdog("process::dropping_a_daemon");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let null = std::fs::File::options().write(true).open("/dev/null").expect("there is a null device");
    let daemon = Process::builder()
        .daemon(true)
        .stdout(std::os::fd::AsFd::as_fd(&null))
        .program("/proc/self/exe", &["worker_entry", "--exact"])
        .spawn("daemon", |give| Waits { here: give.hand_over(arrives), until: give.hand_over(until.into()) })
        .expect("it starts");
    let pid = daemon.pid();
    assert_eq!(here.meet(), Some(b'w'));
    drop(daemon);
    assert!(!is_running(pid));
}

#[test]
fn killed_parent_takes_its_workers_along() {
    let _watchdog = watchdog("process::killed_parent");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let mut parent =
        worker("parent", |give| StartsAndWaits { here: give.hand_over(arrives), until: give.hand_over(until.into()) });
    let mut arrived = [here.meet(), here.meet()];
    arrived.sort_unstable();
    assert_eq!(arrived, [Some(b's'), Some(b'w')]);
    parent.kill().expect("a signal");
    parent.join().expect("it ends");
    // Parent and grandchild held the only writing ends: this returns when both are gone, or the watchdog barks.
    assert_eq!(here.meet(), None);
}

#[test]
fn parent_killed_while_it_starts_a_worker_leaves_nobody() {
    let _watchdog = watchdog("process::parent_killed_while_it_starts");
    for _ in 0..30 {
        let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
        let mut parent = worker("parent", |give| StartsAndDies {
            here: give.hand_over(arrives),
            until: give.hand_over(until.into()),
        });
        assert_eq!(parent.join().expect("it ends").status, ExitStatus::Signal(9));
        // The grandchild has the last writing end: between fork and exec, before its role, or in it. It may have arrived.
        while here.meet().is_some() {}
    }
}

#[test]
fn parent_that_starts_workers_from_a_short_lived_thread_keeps_them() {
    let _watchdog = watchdog("process::short_lived_thread");
    let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
    let mut process = std::thread::spawn(move || {
        worker("kept", |give| Waits { here: give.hand_over(arrives), until: give.hand_over(until.into()) })
    })
    .join()
    .expect("it starts");
    assert_eq!(here.meet(), Some(b'w'));
    drop(release);
    assert!(process.join().expect("it ends").is_success());
}

#[test]
fn many_workers_leave_no_descriptors_and_no_zombies() {
    let _watchdog = watchdog("process::many_workers");
    // In a process of its own: other tests open descriptors beside this one.
    let mut process = worker("counting parent", |_| StartsMany { rounds: 5, workers: 100 });
    let ended = process.join().expect("it ends").clone();
    assert!(ended.is_success(), "{ended:?}");
}

/// Starts and joins many workers, then compares its descriptors and children with those before.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsMany {
    rounds: u32,
    /// At once, in each round.
    workers: u32,
}

impl Role for StartsMany {
    const NAME: &'static str = "test.starts-many";
    fn run(self, _: &mut Inherited) -> RoleResult {
        let descriptors = || std::fs::read_dir("/proc/self/fd").expect("a list").count();
        try_worker("first", |_| Returns)?.join()?;
        let before = descriptors();
        for _ in 0..self.rounds {
            let start = |_| try_worker("one of many", |_| Returns);
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

/// A program whose `main` forgets to enter would start itself again and again.
#[test]
fn worker_that_has_not_entered_starts_nobody() {
    let _watchdog = watchdog("process::not_entered");
    let is_worker = std::env::var_os("IPC_DEMO_BOOT").is_some();
    let this_test = ["process::worker_that_has_not_entered_starts_nobody", "--exact", "--test-threads=1"];
    let null = std::fs::File::options().write(true).open("/dev/null").expect("there is a null device");
    let itself = Process::builder().program("/proc/self/exe", &this_test).stdout(null.as_fd());
    let started = itself.spawn("again", |_| Returns);
    if is_worker {
        let refused = std::error::Error::source(&started.expect_err("refused")).expect("a reason").to_string();
        assert!(refused.contains("has not called ipc_demo::enter"), "{refused}");
    } else {
        assert!(started.expect("it starts").join().expect("it ends").is_success());
    }
}
