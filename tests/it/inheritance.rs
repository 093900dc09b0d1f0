//! What a worker has of its parent: exactly the descriptors that its role names.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;

use ipc_demo::Fd;

use crate::harness::{watchdog, worker};
use crate::roles::ListsDescriptors;

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
    // Beside it: the boot record, the pipe to the parent, the family's table, and the pidfd that watches the parent, opened
    // by the worker.
    assert_eq!(open.len(), 5, "stray {stray} must not be there: {listed}");
    assert!(open.keys().all(|number| *number != stray), "{listed}");
    assert_eq!(kinds.iter().filter(|kind| **kind == "/memfd").count(), 2, "{listed}");
    nix::unistd::close(stray).expect("it was open");
    assert!(named.as_fd().as_raw_fd() > 2, "the parent keeps its own");
}
