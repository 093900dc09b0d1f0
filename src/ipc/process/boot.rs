//! Worker bootstrap and outcome: what a worker is given, and what it leaves behind for its parent.
//!
//! # State
//! A memfd holds the boot record, written by the parent before the start. Behind it the worker writes one byte, its
//! progress: nothing -> ENTERED (the role is about to run) -> RETURNED; and behind that byte the reason for a failure.
//! An exit code of 0 alone proves nothing: a program that never called [`enter`] also exits with it. A pipe could fill
//! up and a command line is public; neither applies to a memfd.
//!
//! # Death
//! The failure is one `pwrite`. A worker killed midway leaves none, or one that does not parse, which is equivalent;
//! the signal in its exit status then shows what happened.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;

use serde::{Deserialize, Serialize};

use super::failure::{FailureKind, WorkerFailure};
use super::role::{RoleEntry, check_names};
use super::table::ProcessTable;
use crate::ipc::codec;
use crate::ipc::error::{Error, Result, chain, os};
use crate::ipc::explore::worker::Explored;
use crate::sys::exec::FIRST_DESCRIPTOR;
use crate::sys::fork::forked_from;
use crate::sys::{Pid, exec, fd, membarrier, memfd, signal};

/// Set for a worker only: the boot record's descriptor, device and inode.
pub(crate) const BOOT_VARIABLE: &str = "IPC_DEMO_BOOT";
const MEMFD_NAME: &str = "ipc_demo-boot";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Exit code of a worker that failed: Python's for an uncaught exception.
const FAILED: u8 = 1;
/// Exit code of a process that cannot find its boot record and cannot tell its parent; no worker uses it.
const LOST: u8 = 3;

/// Progress of a worker whose role is about to run.
const ENTERED: u8 = b'e';
/// Progress of a worker whose role has returned `Ok`.
const RETURNED: u8 = b'r';

/// Everything that a worker is given.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BootRecord {
    pub(crate) worker: String,
    pub(crate) role: String,
    /// The encoded role. It follows the record and is not part of it.
    #[serde(skip)]
    pub(crate) role_bytes: Vec<u8>,
    /// Length of the list of descriptors that the role's handles refer to by index. In a new process the list follows
    /// the boot record's own descriptor and that of the process table.
    pub(crate) descriptors: usize,
    pub(crate) slot: u32,
    pub(crate) parent_pid: i32,
    /// The index of the worker in its exploration, if it has one.
    pub(crate) explored: Option<usize>,
}

/// A boot record in its memfd, on the parent's side.
#[derive(Debug)]
pub(crate) struct Boot {
    file: File,
    progress_at: u64,
}

/// What a worker has left behind.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Whether its role began to run.
    pub(crate) has_entered: bool,
    /// Whether its role returned `Ok`.
    pub(crate) has_returned: bool,
    pub(crate) failure: Option<WorkerFailure>,
}

impl Boot {
    /// Creates an empty boot record. Its descriptor is the worker's first, but its content is known last.
    pub(crate) fn new() -> io::Result<Self> {
        let memfd = memfd::create(MEMFD_NAME)?;
        Ok(Boot { file: File::from(memfd), progress_at: 0 })
    }

    /// Returns the value of [`BOOT_VARIABLE`] for a worker that gets the record as [`FIRST_DESCRIPTOR`].
    ///
    /// The number alone proves nothing: a program in between may have closed or replaced it.
    pub(crate) fn variable(&self) -> io::Result<String> {
        let metadata = self.file.metadata()?;
        Ok(format!("{FIRST_DESCRIPTOR}:{}:{}", metadata.dev(), metadata.ino()))
    }

    pub(crate) fn write(&mut self, record: &BootRecord) -> io::Result<()> {
        // The version is a line of its own, so that another version is detected before its record is read.
        let mut bytes = format!("{VERSION}\n").into_bytes();
        codec::write(record, &mut bytes).map_err(io::Error::other)?;
        bytes.extend_from_slice(&record.role_bytes);
        self.progress_at = bytes.len() as u64;
        memfd::check_file_limit(self.progress_at)?;
        // A reused worker process has written after the previous record.
        self.file.set_len(0)?;
        self.file.write_all_at(&bytes, 0)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Returns what the worker wrote before it ended.
    pub(crate) fn outcome(&self) -> Outcome {
        let read = || {
            let end = self.file.metadata().ok()?.len();
            let mut bytes = vec![0; usize::try_from(end.checked_sub(self.progress_at)?).ok()?];
            self.file.read_exact_at(&mut bytes, self.progress_at).ok()?;
            let (progress, failure) = bytes.split_first()?;
            Some(Outcome {
                has_entered: *progress != 0,
                has_returned: *progress == RETURNED,
                failure: codec::from_slice(failure).ok(),
            })
        };
        read().unwrap_or_default()
    }
}

/// Runs the role that this process was started for, if it was started as a worker. Call it first in `main`, before
/// arguments are parsed and threads are started.
///
/// Returns `None` in a process that is not a worker: `main` continues. Otherwise the role has run, and `main` returns
/// the code. `roles` lists all roles of this program's workers. A process that was started as a worker but cannot read
/// its boot record reports that on stderr and gets a code other than 0; it never continues as a non-worker.
///
/// A role may also end its process itself, with [`std::process::exit`]; nothing is unwound or dropped then. As the role
/// had begun, exit code 0 is a success ([`Ended::is_success`](crate::process::Ended::is_success)).
///
/// # From tests
/// In a test the running program is the test harness, whose `main` does not call this. A test in its place does, and
/// workers are started with the name of that test:
///
/// ```no_run
/// # use ipc_demo::{Process, RoleEntry, enter};
/// const ROLES: &[RoleEntry] = &[/* RoleEntry::of::<Greeter>() */];
///
/// #[test]
/// fn worker_entry() {
///     if let Some(code) = enter(ROLES) {
///         std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
///     }
/// }
///
/// # fn start() {
/// let builder = Process::builder().program("/proc/self/exe", &["worker_entry", "--exact"]);
/// # }
/// ```
///
/// # Panics
/// If two roles have the same name. In a worker that is a failure to start.
///
/// # Death
/// The worker is killed when its parent ends for any reason, even between fork and exec, and even while it is stopped.
///
/// # Signals
/// A worker ignores SIGXFSZ: a write above its file size limit is an error in its role, not the end of its process. It
/// also ignores SIGINT and SIGHUP: stopping workers is up to their parent.
///
/// # Standard
/// Python `multiprocessing.freeze_support` / `spawn_main`. The environment variable that names the boot record is
/// removed, as `sd_listen_fds(3)` does, so that programs started by the worker do not use it.
pub fn enter(roles: &[RoleEntry]) -> Option<ExitCode> {
    *KNOWN.lock().expect("nothing panics while it holds the lock") = Some(roles.iter().map(RoleEntry::name).collect());
    let Some(variable) = std::env::var_os(BOOT_VARIABLE) else {
        check_names(roles).unwrap_or_else(|message| panic!("{message}"));
        return None;
    };
    let variable = variable.to_string_lossy();
    let boot = match boot_file(&variable) {
        Ok(file) => file,
        Err(reason) => {
            // With stderr closed the exit code must suffice.
            let _ = writeln!(
                io::stderr(),
                "error: {BOOT_VARIABLE}={variable} says that this process is a worker, but {reason}. \
                 If it is none, unset the variable"
            );
            return Some(ExitCode::from(LOST));
        }
    };
    exec::forget_variable(BOOT_VARIABLE);
    signal::report_file_limit();
    // While this is the only thread: for a process with several, the kernel takes ten milliseconds.
    membarrier::register();
    note_panics();
    let mut explored = None;
    loop {
        let progress_at = boot.metadata().map_or(0, |metadata| metadata.len());
        let write = |bytes: &[u8], at| match forked_from() {
            None => boot.write_all_at(bytes, at),
            // A process that the role has forked is not the worker.
            Some(_) => Ok(()),
        };
        let note = |progress: u8| write(&[progress], progress_at);
        let worked = read(&boot, progress_at).and_then(|record| work(record, roles, note, &mut explored));
        if let Err(failure) = &worked
            && let Ok(bytes) = codec::to_vec(failure)
        {
            // If the parent is gone, no one reads them and there is no one to tell.
            let _ = write(&bytes, progress_at + 1);
        }
        if !explored.as_mut().is_some_and(Explored::wait_for_next) {
            return Some(if worked.is_ok() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) });
        }
    }
}

/// The name of this worker.
static NAME: Mutex<Option<String>> = Mutex::new(None);

/// Returns the name that this worker's parent gave it; `None` in a process that is not a worker.
///
/// # Standard
/// Python `multiprocessing.current_process().name`.
pub fn current_name() -> Option<String> {
    NAME.lock().expect("nothing panics while it holds the lock").clone()
}

/// The names of the roles that this program has; `None` before it has called [`enter`].
static KNOWN: Mutex<Option<Vec<&'static str>>> = Mutex::new(None);

/// Checks that the workers of this program have a role.
///
/// # Errors
/// [`Error::NotEntered`] and [`Error::NoSuchRole`].
pub(crate) fn check_known(role: &'static str) -> Result<()> {
    match &*KNOWN.lock().expect("nothing panics while it holds the lock") {
        None => Err(Error::NotEntered { role }),
        Some(known) if known.contains(&role) => Ok(()),
        Some(known) => Err(Error::NoSuchRole { role, known: known.join(", ") }),
    }
}

/// Returns the boot record that `variable` names, or why it is not one.
fn boot_file(variable: &str) -> std::result::Result<File, String> {
    let mut fields = variable.split(':');
    let mut field = || fields.next().and_then(|field| field.parse::<u64>().ok());
    let (Some(number), Some(device), Some(inode), None) = (field(), field(), field(), field()) else {
        return Err("it is not DESCRIPTOR:DEVICE:INODE, as a parent of this version writes it".to_owned());
    };
    let number = i32::try_from(number).unwrap_or(-1);
    let lost =
        |found: String| format!("descriptor {number} {found}; a program between parent and worker must leave it open");
    match fd::identity(number) {
        Err(error) => Err(lost(format!("cannot be used: {error}"))),
        Ok(found) if found != (device, inode) => Err(lost("is not its boot record".to_owned())),
        Ok(_) => fd::inherited(number).map(File::from).ok_or_else(|| lost("cannot be used".to_owned())),
    }
}

/// Returns whether this process was started as a worker but continues as a non-worker: the processes it starts would do
/// the same, endlessly.
pub(crate) fn is_lost() -> bool {
    std::env::var_os(BOOT_VARIABLE).is_some()
}

/// Reads the record that ends at `end`.
fn read(boot: &File, end: u64) -> std::result::Result<BootRecord, WorkerFailure> {
    let failed = |message: String| WorkerFailure::startup(message);
    let mut bytes = vec![0; end as usize];
    boot.read_exact_at(&mut bytes, 0).map_err(|error| failed(format!("cannot read the boot record: {error}")))?;
    let line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let version = String::from_utf8_lossy(&bytes[..line]);
    if version != VERSION {
        return Err(failed(format!("the parent is ipc_demo {version:?}, this program is {VERSION}")));
    }
    let record = bytes.get(line + 1..).unwrap_or_default();
    let (record, role_bytes) = codec::take_from_slice::<BootRecord>(record)
        .map_err(|error| failed(format!("cannot understand the boot record: {error}")))?;
    Ok(BootRecord { role_bytes: role_bytes.to_vec(), ..record })
}

/// Runs the worker's role, and records its progress.
fn work(
    record: BootRecord,
    roles: &[RoleEntry],
    note: impl Fn(u8) -> io::Result<()>,
    explored: &mut Option<Explored>,
) -> std::result::Result<(), WorkerFailure> {
    check_names(roles).map_err(WorkerFailure::startup)?;
    let startup = |error: Error| WorkerFailure::startup(chain(&error));
    signal::name_thread(&record.worker);
    *NAME.lock().expect("nothing panics while it holds the lock") = Some(record.worker.clone());
    let descriptors = match explored {
        Some(explored) => explored.take_next(record.slot).map_err(startup)?,
        None => {
            let descriptors = descriptors_of(&record).map_err(startup)?;
            signal::set_up_worker().map_err(os("set the worker's signals")).map_err(startup)?;
            settle(&record, descriptors, explored).map_err(startup)?
        }
    };
    let Some(entry) = roles.iter().find(|entry| entry.name() == record.role) else {
        let known = roles.iter().map(RoleEntry::name).collect::<Vec<_>>().join(", ");
        return Err(WorkerFailure::startup(format!("this program has no role {} (it has: {known})", record.role)));
    };
    note(ENTERED).map_err(os("tell the parent that the role begins")).map_err(startup)?;
    let observing = explored.as_mut().zip(record.explored).map(|(explored, index)| explored.begin(index));
    let worked = guarded(|| entry.run(&record.role_bytes, descriptors));
    drop(observing);
    worked?;
    // A lost note matters only where the exit status is unknown too.
    let _ = note(RETURNED);
    Ok(())
}

/// Takes ownership of every descriptor that the record lists at once, so that nothing this worker starts inherits them.
fn descriptors_of(record: &BootRecord) -> Result<Vec<OwnedFd>> {
    // After the boot record itself: the pipe to the parent, the process table, and the descriptors of an exploration.
    let count = 2 + record.explored.map_or(0, |_| 2) + record.descriptors;
    let take = |number| {
        let missing = || Error::NoSuchDescriptor { index: number as u32, given: count };
        fd::inherited(number).ok_or_else(missing)
    };
    (FIRST_DESCRIPTOR + 1..).take(count).map(take).collect()
}

/// Ties this process's life to its parent's and takes its slot in the process table. Returns the descriptors of the
/// role.
fn settle(record: &BootRecord, mut descriptors: Vec<OwnedFd>, explored: &mut Option<Explored>) -> Result<Vec<OwnedFd>> {
    let parent = Pid::from_raw(record.parent_pid);
    let orphaned = || Error::Disconnected;
    let pipe = descriptors.remove(0);
    if !signal::die_when_closed(pipe).map_err(os("tie the worker's life to its parent's"))? {
        return Err(orphaned());
    }
    // The pipe is also open in the parent's forked children; the parent's own end is detected here.
    let parent_pidfd = fd::pidfd_open(parent).map_err(os("watch the parent"))?;
    // Opened first and compared then: as long as it is our parent its id is not reused.
    if Pid::parent() != parent {
        return Err(orphaned());
    }
    let process_table = descriptors.remove(0);
    ProcessTable::join(process_table, record.slot, parent_pidfd)?;
    if record.explored.is_some() {
        *explored = Some(Explored::new(descriptors.remove(0), descriptors.remove(0))?);
    }
    Ok(descriptors)
}

/// Where the thread of the role panicked.
static PANICKED_AT: Mutex<Option<String>> = Mutex::new(None);

/// Notes where this thread panics from now on, instead of printing it.
fn note_panics() {
    let role_thread = thread::current().id();
    let previous = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() != role_thread {
            return previous(info);
        }
        if let Ok(mut place) = PANICKED_AT.lock() {
            *place = info.location().map(ToString::to_string);
        }
    }));
}

/// Runs `work` in the thread of the role; a panic becomes data, with its location, and prints nothing.
pub(crate) fn guarded<R>(
    work: impl FnOnce() -> std::result::Result<R, WorkerFailure>,
) -> std::result::Result<R, WorkerFailure> {
    match panic::catch_unwind(AssertUnwindSafe(work)) {
        Ok(outcome) => outcome,
        Err(payload) => {
            let location = PANICKED_AT.lock().ok().and_then(|mut place| place.take());
            Err(WorkerFailure { location, ..WorkerFailure::new(FailureKind::Panic, panic_message(&*payload)) })
        }
    }
}

/// Returns the message of a panic.
pub(crate) fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic with a payload that is no text".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure_to_read(text: &str) -> WorkerFailure {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(text.as_bytes(), 0).expect("room");
        read(&file, text.len() as u64).expect_err("it is no record of this version")
    }

    #[test]
    fn another_version_is_told_apart_before_its_record_is_read() {
        let failure = failure_to_read("9.9.9\na record of another time");
        assert_eq!(failure.kind, FailureKind::Startup);
        assert!(failure.message.contains("9.9.9") && failure.message.contains(VERSION), "{failure}");
    }

    #[test]
    fn record_that_makes_no_sense_is_a_startup_failure() {
        for text in [VERSION, &format!("{VERSION}\n"), &format!("{VERSION}\n\u{ff}\u{ff}")] {
            let failure = failure_to_read(text);
            assert!(failure.message.contains("cannot understand the boot record"), "{failure}");
        }
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let error = Error::Os { action: "do it", source: io::Error::other("of this") };
        assert_eq!(chain(&error), "cannot do it: of this");
    }
}
