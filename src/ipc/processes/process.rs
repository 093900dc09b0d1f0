//! A worker process: started, watched, waited for, ended.
//!
//! # Death
//! A worker never outlives the process that started it: it is killed when its parent ends in any way. A parent sees a
//! worker's end through a pidfd, at once and without races of process ids.
//!
//! # Standard
//! Python `multiprocessing.Process` with the "spawn" start method. Differs: starting is [`Process::spawn`], so an object
//! that was never started cannot exist; a failed worker says why, as data.

use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::boot::{BOOT_VARIABLE, Boot, BootRecord, is_lost};
use super::family::{Family, Seat};
use super::role::Role;
use super::share::Give;
use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, os};
use crate::sys::exec::{self, FIRST_DESCRIPTOR, Launch};
use crate::sys::fd::{self, duplicate};
use crate::sys::signal;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ExitStatus::Code(code) => write!(f, "exit code {code}"),
            ExitStatus::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "signal {number} ({signal})"),
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// In which part of its life a worker failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Before its role began: another version, an unknown role, a handle that could not be made.
    Startup,
    /// Its role returned an error.
    Error,
    /// Its role panicked.
    Panic,
}

/// Why a worker failed, in its own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("worker {worker} {}: {message}{}", self.verb(), self.place())]
pub struct WorkerFailure {
    /// The worker's name.
    pub worker: String,
    /// When it failed.
    pub kind: FailureKind,
    /// The error with its causes, or the panic's message.
    pub message: String,
    /// File, line and column of a panic.
    pub location: Option<String>,
}

impl WorkerFailure {
    pub(crate) fn new(kind: FailureKind, message: String) -> Self {
        WorkerFailure { worker: String::new(), kind, message, location: None }
    }

    pub(crate) fn startup(message: String) -> Self {
        WorkerFailure::new(FailureKind::Startup, message)
    }

    fn verb(&self) -> &'static str {
        match self.kind {
            FailureKind::Startup => "could not start its role",
            FailureKind::Error => "failed",
            FailureKind::Panic => "panicked",
        }
    }

    fn place(&self) -> String {
        self.location.as_ref().map(|location| format!(" (at {location})")).unwrap_or_default()
    }
}

/// How to start a worker, where the plain [`Process::spawn`] does not do.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Builder<'a> {
    daemon: bool,
    program: Option<PathBuf>,
    arguments: Vec<String>,
    stdout: Option<BorrowedFd<'a>>,
}

impl<'a> Builder<'a> {
    /// Makes the worker a daemon: dropping its [`Process`] ends it instead of waiting for it.
    pub fn daemon(mut self, daemon: bool) -> Self {
        self.daemon = daemon;
        self
    }

    /// Starts another program than this one; it must call [`enter`](crate::ipc::enter) when it gets these arguments.
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

    /// Starts the worker; see [`Process::spawn`].
    ///
    /// # Errors
    /// As [`Process::spawn`].
    pub fn spawn<R: Role>(self, name: &str, role: impl FnOnce(&mut Give) -> R) -> Result<Process> {
        let start_error = |source| Error::Start { worker: name.to_owned(), source };
        if is_lost() {
            return Err(start_error(std::io::Error::other(
                "this process is itself a worker, and its main has not called ipc_demo::enter first",
            )));
        }
        let family = Family::ours()?;
        let mut boot = Boot::new().map_err(start_error)?;
        let copy = |fd| duplicate(fd, FIRST_DESCRIPTOR).map_err(start_error);
        let first = vec![copy(boot.as_fd())?, copy(family.memfd())?];
        let mut seat = ReservedSeat { family, seat: Some(family.reserve()?) };
        let mut give = Give::to(seat.number(), first);
        let role = role(&mut give);
        let (descriptors, slots) = give.packed()?;
        let record = BootRecord {
            worker: name.to_owned(),
            role: R::NAME.to_owned(),
            role_json: serde_json::to_string(&role).map_err(|error| start_error(error.into()))?,
            slots,
            seat: seat.number().to_word(),
            parent_pid: Pid::this().as_raw(),
            parent_thread_stays: signal::is_main_thread(),
        };
        boot.write(&record).map_err(start_error)?;
        let arguments = self.argv(R::NAME, name).map_err(|error| start_error(error.into()))?;
        let program = self.program.as_deref().map_or(OsStr::new("/proc/self/exe"), Path::as_os_str);
        let program = CString::new(program.as_bytes()).map_err(|error| start_error(error.into()))?;
        let number = FIRST_DESCRIPTOR.to_string();
        let launch = Launch {
            program: &program,
            arguments: &arguments,
            variable: (BOOT_VARIABLE, &number),
            descriptors: &descriptors,
            stdout: self.stdout,
        };
        let launched = launch.start().map_err(start_error)?;
        family.started(seat.number(), launched.pid);
        Ok(Process {
            name: name.to_owned(),
            daemon: self.daemon,
            pid: launched.pid,
            pidfd: launched.pidfd,
            seat: seat.keep(),
            boot: Some(boot),
            ended: None,
        })
    }

    /// What `ps` shows: the program, the role and the worker's name. What the role holds stays out of sight.
    fn argv(&self, role: &str, name: &str) -> std::result::Result<Vec<CString>, std::ffi::NulError> {
        let own_name = std::env::args_os().next().unwrap_or_else(|| "ipc-demo".into());
        let own_name = Path::new(&own_name).file_name().unwrap_or(&own_name).as_bytes().to_vec();
        let mut argv = vec![CString::new(own_name)?];
        if self.program.is_none() {
            argv.extend([CString::new(role)?, CString::new(name)?]);
        }
        for argument in &self.arguments {
            argv.push(CString::new(argument.as_bytes())?);
        }
        Ok(argv)
    }
}

/// Frees a seat whose worker did not come into being.
struct ReservedSeat {
    family: &'static Family,
    seat: Option<Seat>,
}

impl ReservedSeat {
    fn number(&self) -> Seat {
        self.seat.expect("kept only at the end")
    }

    fn keep(&mut self) -> Seat {
        self.seat.take().expect("kept only once")
    }
}

impl Drop for ReservedSeat {
    fn drop(&mut self) {
        if let Some(seat) = self.seat {
            self.family.vacate(seat);
        }
    }
}

/// How a worker ended, and why if it failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Exit code or signal.
    pub status: ExitStatus,
    /// What it said if it failed by itself.
    pub failure: Option<WorkerFailure>,
}

impl Ended {
    /// Whether the role returned well.
    pub fn is_success(&self) -> bool {
        self.status == ExitStatus::Code(0)
    }
}

/// A worker process of this one.
///
/// Dropping it waits for the worker (ends it first if it is a daemon, or if this thread is panicking): a process that
/// ends in order leaves no child behind, as in Python.
#[derive(Debug)]
pub struct Process {
    name: String,
    daemon: bool,
    pid: Pid,
    pidfd: OwnedFd,
    seat: Seat,
    boot: Option<Boot>,
    ended: Option<Ended>,
}

impl Process {
    /// Starts a worker with this program in the role that `role` makes, which names what the worker is given.
    ///
    /// Returns once the worker's process exists; it finds its role on its own. What then goes wrong in it is told by
    /// [`join`](Self::join). The worker has an empty standard input, this process's other standard streams, the shares its
    /// role names, and no other descriptor. It ignores SIGINT and SIGHUP: the terminal is its parent's business.
    ///
    /// # Errors
    /// [`Error::Start`] if the process cannot be started, or if this one was started as a worker and has not
    /// [entered](crate::enter); [`Error::FamilyFull`], or what kept a handle from being shared. Nothing runs then.
    ///
    /// # Death
    /// The worker is killed when this process ends in any way.
    ///
    /// # Standard
    /// Python `Process(target, args).start()`.
    ///
    /// # System calls
    /// `memfd_create`, `posix_spawn` of `/proc/self/exe`, `pidfd_open`.
    pub fn spawn<R: Role>(name: &str, role: impl FnOnce(&mut Give) -> R) -> Result<Process> {
        Process::builder().spawn(name, role)
    }

    /// Starts a worker with options.
    pub fn builder<'a>() -> Builder<'a> {
        Builder::default()
    }

    /// The worker's name. Names are for people: nothing keeps two workers from having the same.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The worker's process id. Not reused before the worker was [joined](Self::join).
    pub fn pid(&self) -> u32 {
        self.pid.as_raw() as u32
    }

    /// Whether dropping this value ends the worker instead of waiting for it.
    pub fn is_daemon(&self) -> bool {
        self.daemon
    }

    /// Whether the worker still runs. Does not block.
    pub fn is_alive(&self) -> bool {
        self.ended.is_none()
            && !fd::wait_readable(&self.pidfd, Deadline::after(Duration::ZERO).at_ns()).unwrap_or(false)
    }

    /// A descriptor that becomes readable when the worker ends, to be waited for together with others.
    pub fn sentinel(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How the worker ended, if that is known: after [`join`](Self::join) said so.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// Waits for the worker's end and says how it ended. May be repeated.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses the wait. A worker that failed is no error of the wait: see [`Ended`].
    pub fn join(&mut self) -> Result<&Ended> {
        Ok(self.wait(Deadline::NEVER)?.expect("a wait without end ends with the worker"))
    }

    /// Waits for the worker's end at most `timeout`. `None` if it still runs then; `Duration::ZERO` only looks.
    ///
    /// # Errors
    /// As [`join`](Self::join).
    pub fn join_timeout(&mut self, timeout: Duration) -> Result<Option<&Ended>> {
        self.wait(Deadline::after(timeout))
    }

    fn wait(&mut self, deadline: Deadline) -> Result<Option<&Ended>> {
        if self.ended.is_none() {
            if !fd::wait_readable(&self.pidfd, deadline.at_ns()).map_err(os("wait for a worker"))? {
                return Ok(None);
            }
            let status = exec::reap(self.pidfd.as_fd()).map_err(os("take a worker's exit status"))?;
            Family::ours()?.vacate(self.seat);
            let failure = self.boot.take().and_then(|boot| boot.last_words());
            self.ended = Some(Ended {
                status: status.map_or_else(ExitStatus::Signal, ExitStatus::Code),
                failure: failure.map(|failure| WorkerFailure { worker: self.name.clone(), ..failure }),
            });
        }
        Ok(self.ended.as_ref())
    }

    /// Asks the worker to end, with SIGTERM. One that has ended already is no error. Its own workers end with it.
    ///
    /// # Errors
    /// [`Error::Os`] if the kernel refuses the signal.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::SIGTERM)
    }

    /// Ends the worker at once, with SIGKILL. One that has ended already is no error.
    ///
    /// # Errors
    /// As [`terminate`](Self::terminate).
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        exec::send_signal(self.pidfd.as_fd(), signal).map_err(os("send a signal to a worker"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() && (self.daemon || thread::panicking()) {
            // Killed and not asked: whoever drops a daemon does not wait for its manners, and everything a worker shares
            // survives its death.
            let _ = self.kill();
        }
        // There is nobody to tell an error to; the kernel kills the worker with this process at the latest.
        let _ = self.join();
    }
}
