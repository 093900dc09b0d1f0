//! Worker processes: starting, observing, waiting for and ending them.
//!
//! # Death
//! A worker never outlives the process that started it: it is killed when its parent ends in any way. A parent detects
//! a worker's end through a pidfd, immediately and without races on process ids.
//!
//! # Standard
//! Python `multiprocessing.Process` with the "spawn" start method. Differs: a process is started by [`Process::spawn`],
//! so an unstarted one cannot exist; a failed worker reports why, as data.

use std::ffi::CString;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use super::boot::{BOOT_VARIABLE, Boot, BootRecord, is_lost};
use super::failure::WorkerFailure;
use super::role::Role;
use super::scheduler::{self, ScheduledWorker, Scheduler, Started};
use super::table::{ProcessSlot, ProcessTable};
use super::transfer;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, check_not_forked, os};
use crate::ipc::operation;
use crate::sys::exec::{self, Launch};
use crate::sys::fd;
use crate::sys::{Pid, Signal};

/// Where Linux shows every process its own executable.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its status was taken elsewhere: this process ignores SIGCHLD, or another part of it reaps its children.
    Unknown,
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {number} ({signal})"),
                Err(_) => write!(f, "signal {number}"),
            },
            ExitStatus::Unknown => write!(f, "unknown exit status"),
        }
    }
}

/// Options for starting a worker, beyond the plain [`Process::spawn`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder<'a> {
    pub(crate) program: Option<PathBuf>,
    arguments: Vec<String>,
    stdout: Option<BorrowedFd<'a>>,
    inherits_ignored: bool,
    is_unscheduled: bool,
}

impl<'a> Builder<'a> {
    /// Starts another program instead of this one; it must call [`enter`](crate::enter) when it gets these
    /// arguments.
    pub fn program(mut self, program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        self.program = Some(program.as_ref().to_owned());
        self.arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        self
    }

    /// Gives the worker this standard output instead of the parent's.
    pub fn stdout(mut self, stdout: BorrowedFd<'a>) -> Self {
        self.stdout = Some(stdout);
        self
    }

    /// Makes the worker ignore the signals that this process ignores now. Then a SIGTERM to the whole process group ends
    /// neither of them if this process was started with SIGTERM ignored, and [`Process::terminate`] has no effect.
    pub fn inherit_ignored_signals(mut self) -> Self {
        self.inherits_ignored = true;
        self
    }

    /// Keeps the worker out of an exploration: it runs whenever it can.
    pub(crate) fn unscheduled(mut self) -> Self {
        self.is_unscheduled = true;
        self
    }

    /// Starts the worker; see [`Process::spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn<R: Role>(self, name: &str, role: R) -> Result<Process> {
        let start_error = |source| Error::Start { worker: name.to_owned(), source };
        if is_lost() {
            return Err(start_error(io::Error::other(
                "this process is itself a worker, and its main has not called ipc_demo::enter first",
            )));
        }
        let process_table = ProcessTable::ours()?;
        let scheduler = scheduler::current().filter(|_| !self.is_unscheduled);
        let scheduled = scheduler.as_ref().map(|scheduler| scheduler.next_worker()).transpose()?;
        let exploration = scheduler.as_ref().zip(scheduled);
        let slot = process_table.reserve()?;
        let unless_started = FreesSlot(process_table, slot);
        let mut encoded = transfer::encode(&role, slot)?;
        let record = BootRecord {
            worker: name.to_owned(),
            role: R::NAME.to_owned(),
            role_bytes: std::mem::take(&mut encoded.bytes),
            descriptors: encoded.descriptors.len(),
            slot: slot.to_word(),
            parent_pid: Pid::this().as_raw(),
            explored: scheduled.map(|worker| worker.index),
        };
        let handles: Vec<_> = encoded.descriptors.iter().map(|fd| fd.as_fd()).collect();
        let mut launch = |others: &[BorrowedFd<'_>]| self.launch::<R>(&record, &[others, &handles].concat());
        let started = match exploration {
            Some((scheduler, worker)) => {
                let program = (self.program.clone(), self.arguments.clone());
                let started = scheduler.start(&program, &record, &handles, &mut launch);
                started.map(|(pid, pidfd)| (pid, pidfd, Running::Explored(worker)))
            }
            None => launch(&[]).map(|Started { pid, pidfd, boot, parent_end }| {
                (pid, pidfd, Running::Alone { boot, _parent_end: parent_end })
            }),
        };
        let (pid, pidfd, running) = started.map_err(start_error)?;
        process_table.started(slot, pid);
        std::mem::forget(unless_started);
        // The worker's handles are counted already, so nobody can notice that this process's in the role are dropped.
        encoded.has_gone();
        operation::unobserved(|| drop(role));
        if let Some(scheduler) = scheduler {
            scheduler.begin();
        }
        let program = self.program.unwrap_or_else(|| OWN_PROGRAM.into());
        Ok(Process { name: name.to_owned(), program, pid, pidfd, slot, running: Some(running), ended: None })
    }

    /// Starts a process for `record`, with the descriptors that follow that of the boot record.
    fn launch<R: Role>(&self, record: &BootRecord, descriptors: &[BorrowedFd<'_>]) -> io::Result<Started> {
        let table = ProcessTable::ours().map_err(io::Error::other)?.memfd();
        let mut boot = Boot::new()?;
        let (pipe, parent_end) = fd::pipe()?;
        boot.write(record)?;
        let arguments = self.argv(R::NAME, &record.worker)?;
        let program = self.program.as_deref().unwrap_or(Path::new(OWN_PROGRAM));
        let path = CString::new(program.as_os_str().as_bytes())?;
        let variable = boot.variable()?;
        let launch = Launch {
            program: &path,
            arguments: &arguments,
            variable: (BOOT_VARIABLE, &variable),
            descriptors: &[&[boot.as_fd(), pipe.as_fd(), table.as_fd()], descriptors].concat(),
            stdout: self.stdout,
            inherits_ignored: self.inherits_ignored,
        };
        let launched = launch.start().map_err(|error| unstarted(program, error))?;
        Ok(Started { pid: launched.pid, pidfd: launched.pidfd, boot, parent_end })
    }

    /// Returns what `ps` shows: the program, the role and the worker's name. The role's fields stay hidden.
    fn argv(&self, role: &str, name: &str) -> io::Result<Vec<CString>> {
        let own_path = std::env::args_os().next().unwrap_or_else(|| "ipc-demo".into());
        let own_name = Path::new(&own_path).file_name().unwrap_or(&own_path).as_bytes();
        let shown = [role, name].into_iter().filter(|_| self.program.is_none());
        let arguments = shown.chain(self.arguments.iter().map(String::as_str)).map(str::as_bytes);
        Ok(std::iter::once(own_name).chain(arguments).map(CString::new).collect::<std::result::Result<_, _>>()?)
    }
}

/// Names the program that cannot be executed, if that is the reason.
fn unstarted(program: &Path, error: io::Error) -> io::Error {
    let remedy = match error.kind() {
        io::ErrorKind::NotFound if program == Path::new(OWN_PROGRAM) => {
            ", is /proc mounted? (Process::builder().program starts a program by its path)"
        }
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => "",
        // Limits and the like: the kernel's error says it all.
        _ => return error,
    };
    io::Error::new(error.kind(), format!("cannot execute {}: {error}{remedy}", program.display()))
}

/// Returns why a worker that ended by itself never ran its role.
fn never_entered(program: &Path, code: i32) -> WorkerFailure {
    let own = std::env::current_exe().ok().filter(|_| program == Path::new(OWN_PROGRAM));
    let program = own.as_deref().unwrap_or(program);
    let is_loader = program.file_name().is_some_and(|name| name.as_bytes().starts_with(b"ld"));
    let remedy = if own.is_some() && is_loader {
        "this program was started through the dynamic loader, and its workers would have to be, too; \
         start it by its own path"
    } else {
        "main has to call ipc_demo::enter first thing, before it parses arguments; in a test, where main is the harness's, \
         a #[test] has to, and Process::builder().program names it"
    };
    WorkerFailure::startup(format!(
        "{} ended with exit code {code} and never entered the role: {remedy}",
        program.display()
    ))
}

/// Frees the slot of a worker that could not be created.
struct FreesSlot(&'static ProcessTable, ProcessSlot);

impl Drop for FreesSlot {
    fn drop(&mut self) {
        self.0.release_slot(self.1);
    }
}

/// How a worker ended, and why if it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// The failure that it reported; or that its program ended without entering the role.
    pub failure: Option<WorkerFailure>,
    has_returned: bool,
}

impl Ended {
    pub(crate) fn of(status: ExitStatus, failure: Option<WorkerFailure>) -> Self {
        Ended { status, failure, has_returned: false }
    }

    /// Returns whether the role returned `Ok`, or ended the process with exit code 0 itself.
    ///
    /// If the exit status is [unknown](ExitStatus::Unknown), only the former can be known.
    pub fn is_success(&self) -> bool {
        let ended_well = match self.status {
            ExitStatus::Code(code) => code == 0,
            ExitStatus::Signal(_) => false,
            ExitStatus::Unknown => self.has_returned,
        };
        ended_well && self.failure.is_none()
    }
}

/// A worker process of this one.
///
/// Dropping it kills the worker, unless it was [joined](Self::join), and reaps it. So a drop does not block on anything
/// the worker waits for, which the same scope may still hold, and a process leaves no child behind. Whatever a worker
/// shares survives its death.
///
/// # Standard
/// As tokio's `Command::kill_on_drop`. A dropped `std::process::Child` keeps running; Python joins remaining children
/// when the interpreter exits, and hangs if one of them waits for the parent.
#[derive(Debug)]
#[must_use = "dropping a Process kills the worker; join it to let it finish"]
pub struct Process {
    name: String,
    program: PathBuf,
    pid: Pid,
    pidfd: OwnedFd,
    slot: ProcessSlot,
    running: Option<Running>,
    ended: Option<Ended>,
}

/// What the parent keeps of a worker until it has waited for it.
#[derive(Debug)]
enum Running {
    Alone {
        boot: Boot,
        /// The end of the pipe whose closing kills the worker.
        _parent_end: OwnedFd,
    },
    /// The scheduler of this thread keeps the rest.
    Explored(ScheduledWorker),
}

/// Returns the scheduler of this thread, for a worker that one has started.
fn scheduler_of_worker() -> Result<Rc<dyn Scheduler>> {
    let over = || Error::Schedule { reason: "the exploration that started this worker has ended".to_owned() };
    scheduler::current().ok_or_else(over)
}

impl Process {
    /// Starts a worker with this program in `role`. The handles in it belong to the worker from now on: a clone is
    /// shared with this process, and a handle that is moved into the role is handed over.
    ///
    /// Returns once the worker's process exists; it finds its role on its own. Later failures are reported by
    /// [`join`](Self::join). The worker has an empty standard input, this process's other standard streams, the
    /// descriptors of the handles in its role, and no other descriptor. No signal is blocked, and all have their
    /// default action, whatever this process does, with these exceptions: it ignores SIGINT and SIGHUP, as the parent
    /// handles the terminal, and SIGXFSZ, so that exceeding the file size limit is an error of the write.
    ///
    /// # Errors
    /// [`Error::Start`] if the process cannot be started, or if this one was started as a worker and has not
    /// [entered](crate::enter); [`Error::ProcessTableFull`]; [`Error::Role`] if the role cannot be serialised, or the
    /// error that kept a handle from being sent. Nothing runs then, and the role is dropped.
    ///
    /// # Death
    /// The worker is killed when this process ends in any way or becomes another program (`execve`), even if the worker
    /// is stopped, was started by a thread that has ended, or has changed its user since.
    ///
    /// # Standard
    /// Python `Process(target, args).start()`.
    ///
    /// # System calls
    /// `memfd_create`, `pipe2`, `posix_spawn` of `/proc/self/exe`, `pidfd_open`.
    pub fn spawn<R: Role>(name: &str, role: R) -> Result<Process> {
        Process::builder().spawn(name, role)
    }

    /// Returns a builder for a worker with options.
    pub fn builder<'a>() -> Builder<'a> {
        Builder::default()
    }

    /// Returns the worker's name. Names are for people and need not be unique.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the worker's process id. It is not reused before the worker was [joined](Self::join).
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Returns whether the worker is still running. Does not block.
    pub fn is_alive(&self) -> bool {
        match self.running {
            None => false,
            Some(Running::Explored(worker)) => scheduler::current().is_some_and(|now| now.is_running(worker)),
            Some(Running::Alone { .. }) => {
                !fd::wait_readable(&self.pidfd, Deadline::after(Duration::ZERO).at_ns()).unwrap_or(false)
            }
        }
    }

    /// Returns a descriptor that becomes readable when the worker ends, for waiting on several descriptors.
    pub fn sentinel(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Returns how the worker ended, if that is known: after [`join`](Self::join) returned it.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Blocks until the worker has ended and returns how it ended. May be repeated.
    ///
    /// Also works with SIGCHLD ignored, and if another part of this process reaps its children; only the exit status is
    /// then [unknown](ExitStatus::Unknown).
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses the wait, and [`Error::Forked`] in a process forked from this one.
    /// [`Error::Schedule`] in an [exploration](crate::explore), if the schedule cannot continue or was not the one that
    /// started the worker. A failed worker is not an error of the wait: see [`Ended`].
    pub fn join(&mut self) -> Result<&Ended> {
        Ok(self.wait(Deadline::NEVER)?.expect("a wait without end ends with the worker"))
    }

    /// Blocks until the worker has ended, for at most `timeout`. Returns `None` on timeout; `Duration::ZERO` only
    /// checks.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<Option<&Ended>> {
        self.wait(Deadline::after(timeout))
    }

    fn wait(&mut self, deadline: Deadline) -> Result<Option<&Ended>> {
        if self.ended.is_none() {
            let process_table = ProcessTable::ours()?;
            let (outcome, status) = match self.running.as_ref().expect("kept until its end is known") {
                Running::Explored(worker) => {
                    let joined = scheduler_of_worker()?.join(*worker, deadline)?;
                    let Some((outcome, is_dead)) = joined else { return Ok(None) };
                    // The role may have ended, and its process not.
                    let status =
                        if is_dead { self.reap()? } else { ExitStatus::Code(outcome.failure.is_some().into()) };
                    (outcome, status)
                }
                Running::Alone { boot, .. } => {
                    if !fd::wait_readable(&self.pidfd, deadline.at_ns()).map_err(os("wait for a worker"))? {
                        return Ok(None);
                    }
                    let status = self.reap()?;
                    (boot.outcome(), status)
                }
            };
            process_table.release_slot(self.slot);
            self.running = None;
            let failure = outcome.failure.or_else(|| match status {
                ExitStatus::Code(code) if !outcome.has_entered => Some(never_entered(&self.program, code)),
                _ => None,
            });
            self.ended = Some(Ended {
                status,
                failure: failure.map(|failure| WorkerFailure { worker: self.name.clone(), ..failure }),
                has_returned: outcome.has_returned,
            });
        }
        Ok(self.ended.as_ref())
    }

    /// Takes the exit status of a process that has ended.
    fn reap(&self) -> Result<ExitStatus> {
        let status = exec::reap(self.pidfd.as_fd()).map_err(os("take a worker's exit status"))?;
        Ok(status.map_or(ExitStatus::Unknown, |end| end.map_or_else(ExitStatus::Signal, ExitStatus::Code)))
    }

    /// Asks the worker to end, with SIGTERM. Succeeds if it has already ended. Its own workers end with it.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses the signal, [`Error::Forked`] in a process forked from this one, and
    /// [`Error::Schedule`] in an [exploration](crate::explore) of which another schedule started the worker.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Kills the worker with SIGKILL. Succeeds if it has already ended.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        check_not_forked()?;
        if self.ended.is_some() {
            return Ok(());
        }
        if let Some(Running::Explored(worker)) = self.running {
            return scheduler_of_worker()?.kill(worker);
        }
        exec::send_signal(self.pidfd.as_fd(), self.pid, signal).map_err(os("send a signal to a worker"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // In a forked child both do nothing: the worker belongs to the parent. Errors cannot be reported here. A worker
        // that cannot be killed from here is not waited for: closing its pipe kills it.
        let deadline = if self.kill().is_ok() { Deadline::NEVER } else { Deadline::after(Duration::ZERO) };
        if self.wait(deadline).is_err()
            && let Some(Running::Explored(_)) = self.running
            && let Ok(process_table) = ProcessTable::ours()
        {
            // Its schedule has ended, and the worker with it.
            process_table.release_slot(self.slot);
        }
    }
}
