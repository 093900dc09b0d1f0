//! Following a child instruction by instruction, between two marks in its own code.
//!
//! The child asks to be followed ([`offer`]) and stops at its first [`mark`]; the thread that started it then lets it run
//! step by step. A stop is only looked at and never waited away, so the child's exit status is still there for whoever
//! joins it.
//!
//! # Death
//! A child is killed by the kernel when the thread that follows it ends.
//!
//! # Standard
//! `ptrace(2)`: `PTRACE_TRACEME`, `PTRACE_SINGLESTEP`, `PTRACE_O_EXITKILL`; `waitid(2)` `WNOWAIT`; `proc(5)`
//! `/proc/pid/syscall`. x86-64 and aarch64; elsewhere the answer is [`io::ErrorKind::Unsupported`].

use std::io;
use std::ops::Range;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::clock::monotonic_ns;
use super::retry::retry;

mod machine;

/// How long a step into a system call may take before somebody looks whether the child sleeps in it.
const LOOK_AFTER_NS: u64 = 50_000;
/// How long a child is waited for that should stop at once.
const PATIENCE_NS: u64 = 10_000_000_000;

/// Lets the thread that started this process follow it.
pub(crate) fn offer() -> io::Result<()> {
    if machine::SUPPORTED { Ok(ptrace::traceme()?) } else { Err(machine::unsupported()) }
}

/// Stops here for whoever follows this process. Only after [`offer`]: it ends a process that nobody follows.
#[inline(always)]
pub(crate) fn mark() {
    machine::mark();
}

/// Why a child has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It has come to where it was led: one instruction further, or to an address.
    There,
    /// It has come to a mark.
    Marked,
    /// It has not: it sleeps in a system call. Somebody has to wake it.
    Asleep,
    /// It has ended.
    Ended,
}

/// A child that is followed. For the thread that started it.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
    /// The kernel's code in every process that reads the clock. It changes nothing, and begins again when a tick comes
    /// while it is stepped through: it counts as one instruction.
    clock: Range<u64>,
    /// The breakpoint that the child runs to, and what stands there when it is taken away.
    ahead: Option<(u64, libc::c_long)>,
}

impl Tracee {
    /// Waits for the child's first mark. `None` if it ended instead: what it said tells why.
    pub(crate) fn meet(pid: u32) -> io::Result<Option<Tracee>> {
        let mut tracee = Tracee { pid: Pid::from_raw(pid as i32), clock: 0..0, ahead: None };
        if tracee.wait(Sleep::IsFine)? != Stop::Marked {
            return Ok(None);
        }
        ptrace::setoptions(tracee.pid, ptrace::Options::PTRACE_O_EXITKILL)?;
        machine::pass_mark(tracee.pid)?;
        tracee.clock = clock_code(tracee.pid).unwrap_or(0..0);
        Ok(Some(tracee))
    }

    /// The address of the child's next instruction.
    pub(crate) fn at(&self) -> io::Result<u64> {
        machine::at(self.pid)
    }

    /// Lets the child do one instruction. One that repeats itself, and a call of the kernel's clock code, is done whole.
    pub(crate) fn step(&mut self) -> io::Result<Stop> {
        let at = self.at()?;
        let may_sleep = machine::is_system_call(ptrace::read(self.pid, at as ptrace::AddressType)?);
        let now = loop {
            ptrace::step(self.pid, None)?;
            let stop = self.wait(if may_sleep { Sleep::IsNews } else { Sleep::IsFine })?;
            if stop != Stop::There {
                return Ok(stop);
            }
            let now = self.at()?;
            if now != at {
                break now;
            }
        };
        if self.clock.contains(&now) && !self.clock.contains(&at) {
            return self.run_to(machine::return_address(self.pid)?);
        }
        Ok(Stop::There)
    }

    /// Lets the child run until it comes to `address`, or to a mark, or sleeps.
    pub(crate) fn run_to(&mut self, address: u64) -> io::Result<Stop> {
        if self.at()? == address {
            return Ok(Stop::There);
        }
        let there = ptrace::read(self.pid, address as ptrace::AddressType)?;
        ptrace::write(self.pid, address as ptrace::AddressType, machine::with_breakpoint(there))?;
        self.ahead = Some((address, there));
        self.go_on()
    }

    /// Lets the child run until it sleeps, or comes to a mark.
    pub(crate) fn go_on(&mut self) -> io::Result<Stop> {
        ptrace::cont(self.pid, None)?;
        self.wait(Sleep::IsNews)
    }

    /// Waits until a child that slept has come to where it was led.
    pub(crate) fn wake(&mut self) -> io::Result<Stop> {
        let until_ns = monotonic_ns() + PATIENCE_NS;
        loop {
            match self.wait(Sleep::IsNews)? {
                // It was woken for nothing, or not yet.
                Stop::Asleep if monotonic_ns() < until_ns => std::thread::sleep(Duration::from_micros(50)),
                Stop::Asleep => return Err(io::Error::from(io::ErrorKind::TimedOut)),
                stop => return Ok(stop),
            }
        }
    }

    fn wait(&mut self, sleep: Sleep) -> io::Result<Stop> {
        // Not taken away: the next step makes it a thing of the past, and an exit status is for the child's parent.
        let mut flags = WaitPidFlag::WSTOPPED | WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
        flags.set(WaitPidFlag::WNOHANG, sleep == Sleep::IsNews);
        let mut look_at_ns = monotonic_ns() + LOOK_AFTER_NS;
        loop {
            match retry(|| waitid(Id::Pid(self.pid), flags))? {
                WaitStatus::StillAlive => {}
                WaitStatus::Exited(..) | WaitStatus::Signaled(..) => return Ok(Stop::Ended),
                _ => return self.what_stopped(),
            }
            if sleep == Sleep::IsNews && monotonic_ns() >= look_at_ns {
                if is_asleep(Sleeper::Process(self.pid)) {
                    return Ok(Stop::Asleep);
                }
                look_at_ns = monotonic_ns() + LOOK_AFTER_NS;
            }
            // Both may be on one processor.
            std::thread::yield_now();
        }
    }

    fn what_stopped(&mut self) -> io::Result<Stop> {
        let why = match ptrace::getsiginfo(self.pid) {
            Ok(why) => why,
            // Killed by somebody else.
            Err(Errno::ESRCH) => return Ok(Stop::Ended),
            Err(errno) => return Err(errno.into()),
        };
        if why.si_signo != libc::SIGTRAP {
            return Err(io::Error::other(format!("the worker was stopped by signal {}", why.si_signo)));
        }
        if why.si_code != machine::MARK_CODE {
            return Ok(Stop::There);
        }
        let Some((address, there)) = self.ahead.take() else { return Ok(Stop::Marked) };
        if !machine::step_back_to(self.pid, address)? {
            return Ok(Stop::Marked);
        }
        ptrace::write(self.pid, address as ptrace::AddressType, there)?;
        Ok(Stop::There)
    }
}

/// What to do about a child that sleeps instead of coming to a stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It cannot, or it is waited for.
    IsFine,
    /// Whoever follows it wants to know.
    IsNews,
}

/// Where the kernel's clock code lies in a process.
fn clock_code(pid: Pid) -> Option<Range<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some(u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?)
}

/// Who may be asleep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sleeper {
    /// The first thread of another process. (Looking at any of its threads by name would make its end expensive: what the
    /// kernel keeps of names is cleared by two at once then, one of which spins for the other.)
    Process(Pid),
    /// A thread of this process.
    Thread(u32),
}

/// System calls in which a thread waits for others. In any other it is at work.
const WAITS: &[libc::c_long] = &[
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
];

/// Whether somebody sleeps in a system call that waits for others, at two looks.
pub(crate) fn is_asleep(sleeper: Sleeper) -> bool {
    let path = match sleeper {
        Sleeper::Process(pid) => format!("/proc/{pid}/syscall"),
        Sleeper::Thread(thread) => format!("/proc/self/task/{thread}/syscall"),
    };
    // "running", or "-1 …" outside of a call, or the call's number with its arguments and where it came from.
    let look = || {
        let call = std::fs::read_to_string(&path).ok()?;
        let number = call.split(' ').next()?.parse().ok()?;
        WAITS.contains(&number).then_some(call)
    };
    let first = look();
    first.is_some() && first == look()
}

/// The processors that this process may run on.
pub(crate) fn processors() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count()).filter(|&index| set.is_set(index).unwrap_or(false)).collect())
}

/// Keeps the calling thread, and whatever it starts from now on, on one processor: a step is then a plain switch from one
/// to the other.
pub(crate) fn stay_on(processor: usize) -> io::Result<()> {
    let mut only = CpuSet::new();
    only.set(processor)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &only)?)
}

/// Lets every process that the calling thread starts from now on have its code and its memory at the same addresses.
/// `false` if that is not allowed.
pub(crate) fn repeat_addresses() -> bool {
    let same = personality::get().map(|now| now | Persona::ADDR_NO_RANDOMIZE);
    same.and_then(personality::set).is_ok()
}
