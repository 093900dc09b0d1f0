//! The first and the last thing a worker does: reads what it is, and writes down why it failed.
//!
//! # State
//! A memfd holds the boot record, written by the parent before the start; a worker that fails appends its last words. A
//! pipe could fill up and a command line is public; a memfd is neither.
//!
//! # Death
//! Last words are one `pwrite`. A worker killed in the middle leaves none, or words that do not parse, which is the same;
//! the signal in its exit status then says what happened.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{Pid, getppid};
use serde::{Deserialize, Serialize};

use super::family::Family;
use super::process::{FailureKind, WorkerFailure};
use super::role::{RoleEntry, RoleResult};
use super::share::{Inherited, SlotRecord};
use crate::ipc::error::{Error, Result, os};
use crate::sys::exec::FIRST_DESCRIPTOR;
use crate::sys::{fd, signal};

/// Set for a worker only: the number of the boot record's descriptor.
pub(crate) const BOOT_VARIABLE: &str = "IPC_DEMO_BOOT";
const MEMFD_NAME: &str = "ipc_demo-boot";
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Exit code of a worker that failed: Python's for an uncaught exception.
const FAILED: u8 = 1;

/// Whether this process has learnt that it is a worker.
static HAS_ENTERED: AtomicBool = AtomicBool::new(false);

/// Everything a worker is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BootRecord {
    pub(crate) worker: String,
    pub(crate) role: String,
    pub(crate) role_json: String,
    pub(crate) slots: Vec<SlotRecord>,
    pub(crate) seat: u32,
    pub(crate) parent_pid: i32,
    /// Whether the thread that starts the worker lives as long as the parent.
    pub(crate) parent_thread_stays: bool,
}

/// What stands before the record: enough to tell another version apart before its record is read.
#[derive(Debug, Serialize, Deserialize)]
struct Preamble {
    version: String,
    record_len: u64,
}

/// A boot record in its memfd, on the parent's side.
#[derive(Debug)]
pub(crate) struct Boot {
    file: File,
    last_words_at: u64,
}

impl Boot {
    /// An empty one. Its descriptor is the first that the worker gets, its content is known last.
    pub(crate) fn new() -> io::Result<Self> {
        let memfd = memfd_create(MEMFD_NAME, MFdFlags::MFD_CLOEXEC)?;
        Ok(Boot { file: File::from(memfd), last_words_at: 0 })
    }

    pub(crate) fn write(&mut self, record: &BootRecord) -> io::Result<()> {
        let record = serde_json::to_vec(record)?;
        let preamble = Preamble { version: VERSION.to_owned(), record_len: record.len() as u64 };
        let mut bytes = serde_json::to_vec(&preamble)?;
        bytes.push(b'\n');
        bytes.extend_from_slice(&record);
        self.last_words_at = bytes.len() as u64;
        self.file.write_all_at(&bytes, 0)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// What the worker wrote before it ended, if it had something to say.
    pub(crate) fn last_words(&self) -> Option<WorkerFailure> {
        let end = self.file.metadata().ok()?.len();
        let mut bytes = vec![0; usize::try_from(end.checked_sub(self.last_words_at)?).ok()?];
        self.file.read_exact_at(&mut bytes, self.last_words_at).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

/// Runs the role that this process was started for, if it was started as a worker. The first call of every `main`.
///
/// Returns `None` in a process that is no worker: `main` goes on. Otherwise the role has run and `main` returns the code.
/// `roles` are all that workers of this program can be.
///
/// # Death
/// The worker is killed when its parent ends for any reason, between fork and exec too.
///
/// # Standard
/// Python `multiprocessing.freeze_support` / `spawn_main`.
pub fn enter(roles: &[RoleEntry]) -> Option<ExitCode> {
    let boot_fd = boot_descriptor()?;
    HAS_ENTERED.store(true, Relaxed);
    let boot = Arc::new(File::from(fd::inherited(boot_fd)?));
    let failure = match read(&boot) {
        Ok((record, end)) => {
            let worker = record.worker.clone();
            work(record, roles).err().map(|failure| (WorkerFailure { worker, ..failure }, end))
        }
        Err((failure, end)) => Some((failure, end)),
    };
    let Some((failure, end)) = failure else { return Some(ExitCode::SUCCESS) };
    if let Ok(words) = serde_json::to_vec(&failure) {
        // A parent that is gone does not read them, and nobody else can be told.
        let _ = boot.write_all_at(&words, end);
    }
    Some(ExitCode::from(FAILED))
}

/// The descriptor of the boot record, in a process that was started as a worker.
fn boot_descriptor() -> Option<RawFd> {
    let number = std::env::var(BOOT_VARIABLE).ok()?.parse().ok()?;
    // The variable alone proves nothing: a worker's own children inherit it, but not the descriptor.
    fd::is_memfd(number, MEMFD_NAME).then_some(number)
}

/// Whether this process was started as a worker and goes on as if it were none: what it starts would do the same, without
/// end.
pub(crate) fn is_lost() -> bool {
    !HAS_ENTERED.load(Relaxed) && boot_descriptor().is_some()
}

/// The record and the place behind it.
fn read(boot: &File) -> std::result::Result<(BootRecord, u64), (WorkerFailure, u64)> {
    let end = boot.metadata().map_or(0, |metadata| metadata.len());
    let failed = |message: String| (WorkerFailure::startup(message), end);
    let mut text = vec![0; end as usize];
    boot.read_exact_at(&mut text, 0).map_err(|error| failed(format!("cannot read the boot record: {error}")))?;
    let (preamble, record) = text.split_at(text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len()));
    let unreadable = |error: serde_json::Error| failed(format!("cannot understand the boot record: {error}"));
    let preamble: Preamble = serde_json::from_slice(preamble).map_err(unreadable)?;
    if preamble.version != VERSION {
        let theirs = preamble.version;
        return Err(failed(format!("the parent is ipc_demo {theirs}, this program is {VERSION}")));
    }
    Ok((serde_json::from_slice(record).map_err(unreadable)?, end))
}

fn work(record: BootRecord, roles: &[RoleEntry]) -> std::result::Result<(), WorkerFailure> {
    let startup = |error: &dyn std::fmt::Display| WorkerFailure::startup(format!("{error:#}"));
    let descriptors = descriptors_of(&record).map_err(|error| startup(&error))?;
    signal::name_thread(&record.worker);
    signal::leave_the_terminal_to_the_parent().map_err(|error| startup(&error))?;
    let descriptors = settle(&record, descriptors).map_err(|error| startup(&error))?;
    let Some(entry) = roles.iter().find(|entry| entry.name() == record.role) else {
        let known = roles.iter().map(RoleEntry::name).collect::<Vec<_>>().join(", ");
        return Err(WorkerFailure::startup(format!("this program has no role {} (it has: {known})", record.role)));
    };
    let mut inherited = Inherited::new(record.worker, record.slots, descriptors);
    guarded(|| entry.run(&record.role_json, &mut inherited))
}

/// Takes hold of every descriptor that the record names, at once, so that nothing this worker starts inherits them.
fn descriptors_of(record: &BootRecord) -> Result<Vec<OwnedFd>> {
    // The boot record's own and the family's come first.
    let count = 1 + record.slots.iter().map(SlotRecord::descriptors).sum::<usize>();
    let take = |number| {
        let missing = || Error::NoSuchSlot { slot: number as u32, given: count };
        fd::inherited(number).ok_or_else(missing)
    };
    (FIRST_DESCRIPTOR + 1..).take(count).map(take).collect()
}

/// Ties this process's life to its parent's and takes its seat in the family. Returns what is left for the slots.
fn settle(record: &BootRecord, mut descriptors: Vec<OwnedFd>) -> Result<Vec<OwnedFd>> {
    let parent = Pid::from_raw(record.parent_pid);
    let orphaned = || Error::Disconnected;
    if record.parent_thread_stays
        && !signal::die_with_parent(parent).map_err(os("tie the worker's life to its parent's"))?
    {
        return Err(orphaned());
    }
    let parent_pidfd = fd::pidfd_open(parent).map_err(os("watch the parent"))?;
    // Opened first and compared then: as long as it is our parent its number is not given to anybody else.
    if getppid() != parent {
        return Err(orphaned());
    }
    let family = descriptors.remove(0);
    Family::join(family, record.seat, parent_pidfd)?;
    Ok(descriptors)
}

/// Runs the role; a panic becomes data, with its place, and prints nothing.
fn guarded(role: impl FnOnce() -> RoleResult) -> std::result::Result<(), WorkerFailure> {
    let place: Arc<Mutex<Option<String>>> = Arc::default();
    let role_thread = thread::current().id();
    let previous = panic::take_hook();
    let noted = Arc::clone(&place);
    panic::set_hook(Box::new(move |info| {
        if thread::current().id() != role_thread {
            return previous(info);
        }
        if let Ok(mut place) = noted.lock() {
            *place = info.location().map(ToString::to_string);
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(role)) {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(WorkerFailure::new(FailureKind::Error, chain(&*error))),
        Err(payload) => {
            let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
                (Some(text), _) => (*text).to_owned(),
                (_, Some(text)) => text.clone(),
                _ => "a panic with a payload that is no text".to_owned(),
            };
            let location = place.lock().ok().and_then(|mut place| place.take());
            Err(WorkerFailure { location, ..WorkerFailure::new(FailureKind::Panic, message) })
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot_with(text: &str) -> File {
        let file = tempfile::tempfile().expect("a file");
        file.write_all_at(text.as_bytes(), 0).expect("room");
        file
    }

    #[test]
    fn another_version_is_told_apart_before_its_record_is_read() {
        let boot = boot_with("{\"version\":\"9.9.9\",\"record_len\":3}\n{\"fields\":\"of another time\"}");
        let (failure, _) = read(&boot).expect_err("it is of another version");
        assert_eq!(failure.kind, FailureKind::Startup);
        assert!(failure.message.contains("9.9.9") && failure.message.contains(VERSION), "{failure}");
    }

    #[test]
    fn record_that_makes_no_sense_is_a_startup_failure() {
        for text in ["", "no JSON", &format!("{{\"version\":\"{VERSION}\",\"record_len\":0}}\n")] {
            let (failure, _) = read(&boot_with(text)).expect_err("it makes no sense");
            assert!(failure.message.contains("cannot understand the boot record"), "{failure}");
        }
    }

    #[test]
    fn errors_are_told_with_their_causes() {
        let error = Error::Os { action: "do it", source: io::Error::other("of this") };
        assert_eq!(chain(&error), "cannot do it: of this");
    }
}
