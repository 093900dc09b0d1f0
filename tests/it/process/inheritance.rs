//! What a worker inherits from its parent: exactly the descriptors that its role names.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use ipc_demo::manager::{Address, Manager};
use ipc_demo::pipe::{datagrams, duplex, pipe};
use ipc_demo::process::{Fd, StopSignals};
use ipc_demo::queue::PipeQueue;
use ipc_demo::{Barrier, Condition, Event, JoinableQueue, Lock, Process, Queue, RLock, Role, RoleResult, Semaphore};
use serde::{Deserialize, Serialize};

use crate::harness::{try_worker, watchdog, worker};
use crate::roles::{ListsDescriptors, Returns};

#[test]
fn worker_has_exactly_the_named_descriptors() {
    let _watchdog = watchdog("inheritance::worker_has_exactly");
    // One that is not close-on-exec, as a careless library or a shell leaves behind.
    let stray = File::open("/dev/zero").expect("a device");
    let stray = nix::fcntl::fcntl(&stray, nix::fcntl::FcntlArg::F_DUPFD(100)).expect("a number to spare");
    let named = tempfile::tempfile().expect("a file");
    let inode = named.metadata().expect("a file").ino();
    let named = Fd::new(named);
    let mut process = worker("lister", ListsDescriptors { given: named.clone() });
    let listed = process.join().expect("it ends").failure.clone().expect("the list comes as an error").message;
    let parse = |line: &str| {
        let (number, rest) = line.split_once(' ').expect("a number");
        let (inode, target) = rest.split_once(' ').expect("an inode");
        (number.parse::<i32>().expect("a number"), (inode.parse::<u64>().expect("an inode"), target.to_owned()))
    };
    let mut open: BTreeMap<i32, (u64, String)> = listed.lines().map(parse).collect();
    for standard in 0..=2 {
        open.remove(&standard).expect("standard streams are always there");
    }
    let kinds: Vec<&str> = open.values().map(|(_, target)| target.split(':').next().unwrap_or_default()).collect();
    assert!(open.values().any(|(found, _)| *found == inode), "the named one arrived: {listed}");
    // In addition: the boot record, the pipe to the parent, the process table, and the pidfd that watches the parent,
    // opened by the worker.
    assert_eq!(open.len(), 5, "stray {stray} must not be there: {listed}");
    assert!(open.keys().all(|number| *number != stray), "{listed}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "/memfd").count(), 2, "{listed}");
    nix::unistd::close(stray).expect("it was open");
    assert!(named.as_fd().as_raw_fd() > 2, "the parent keeps its own");
}

/// Creates one of everything with the standard streams closed, as may happen in a daemon or a plugin host.
#[derive(Serialize, Deserialize)]
pub(crate) struct MakesAllWithoutStandard {
    directory: std::path::PathBuf,
}

impl Role for MakesAllWithoutStandard {
    const NAME: &'static str = "test.makes-all-without-standard";
    fn run(self) -> RoleResult {
        (0..=2).try_for_each(nix::unistd::close)?;
        let address = Address::Unix(self.directory.join("socket"));
        let manager = Manager::builder().listen(address).process(
            Process::builder().program(std::env::current_exe()?, &["worker_entry", "--exact", "--test-threads=1"]),
        );
        let all = (
            (Lock::new()?, RLock::new()?, Semaphore::new(1)?, Condition::new()?, Event::new()?, Barrier::new(1)?),
            (Queue::<u8>::new()?, JoinableQueue::<u8>::new()?, PipeQueue::<u8>::bounded(4)?),
            (pipe::<u8>()?, duplex()?, datagrams::<u8>()?, StopSignals::catch()?),
            (manager.start()?, try_worker("one", Returns)?),
        );
        let is_taken = |number: &i32| std::fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok();
        let taken: Vec<i32> = (0..=2).filter(is_taken).collect();
        drop(all);
        if taken.is_empty() { Ok(()) } else { Err(format!("{taken:?} are taken").into()) }
    }
}

#[test]
fn numbers_of_the_standard_streams_stay_free() {
    let _watchdog = watchdog("inheritance::numbers_of_the_standard_streams");
    let directory = tempfile::tempdir().expect("a directory");
    let mut process = worker("without standard", MakesAllWithoutStandard { directory: directory.path().to_owned() });
    let ended = process.join().expect("it ends");
    assert!(ended.is_success(), "{ended:?}");
}
