//! What a worker has of its parent: exactly the descriptors that its role names.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use ipc_demo::Lock;

use crate::harness::{watchdog, worker};
use crate::roles::{ListsDescriptors, TakesWrongly};

#[test]
fn worker_has_exactly_the_named_descriptors() {
    let _watchdog = watchdog("inheritance::worker_has_exactly");
    // One that is not close-on-exec, as a careless library or a shell leaves behind.
    let stray = File::open("/dev/zero").expect("a device");
    let stray = nix::fcntl::fcntl(&stray, nix::fcntl::FcntlArg::F_DUPFD(100)).expect("a number to spare");
    let named = tempfile::tempfile().expect("a file");
    let inode = named.metadata().expect("a file").ino();
    let named = OwnedFd::from(named);
    let mut process = worker("lister", |give| ListsDescriptors { given: give.share(&named) });
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
    // Beside it: the boot record, the pipe to the parent, the family's table, and the pidfd that watches the parent, opened
    // by the worker.
    assert_eq!(open.len(), 5, "stray {stray} must not be there: {listed}");
    assert!(open.keys().all(|number| *number != stray), "{listed}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "/memfd").count(), 2, "{listed}");
    nix::unistd::close(stray).expect("it was open");
    assert!(named.as_raw_fd() > 2, "the parent keeps its own");
}

#[test]
fn slots_are_checked() {
    let _watchdog = watchdog("inheritance::slots_are_checked");
    let lock = Lock::new().expect("a lock");
    let file = OwnedFd::from(tempfile::tempfile().expect("a file"));
    let mut process = worker("confused", |give| {
        let slot = give.share(&lock);
        // A slot of another kind at the same index, as a role that was changed on one side only would have it.
        let as_json = serde_json::to_string(&slot).expect("a number");
        TakesWrongly { lock_as_descriptor: serde_json::from_str(&as_json).expect("a slot"), twice: give.share(&file) }
    });
    let said = process.join().expect("it ends").failure.clone().expect("it says what was wrong").message;
    assert_eq!(said, "slot 0 holds a lock, not a descriptor; slot 1 was taken before");
}
