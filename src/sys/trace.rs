//! Tracing a child instruction by instruction, between two marks in its own code.
//!
//! The child asks to be traced ([`offer`]) and stops at its first [`mark`]; the thread that started it then
//! single-steps it. A stop is only observed and never consumed, so the child's exit status is still there when it is
//! joined.
//!
//! # Death
//! The kernel kills a child when the thread that traces it ends.
//!
//! # Standard
//! `ptrace(2)`: `PTRACE_TRACEME`, `PTRACE_SINGLESTEP`, `PTRACE_O_EXITKILL`; `waitid(2)` `WNOWAIT`; `proc(5)`
//! `/proc/pid/syscall`. x86-64 and aarch64; [`io::ErrorKind::Unsupported`] elsewhere.

use std::io;
use std::ops::Range;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::sys::personality::{self, Persona};
use nix::sys::ptrace;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use super::clock::monotonic_ns;
use super::retry::retry;

mod machine;

/// How long a step into a system call may take before checking whether the child sleeps in it.
const LOOK_AFTER_NS: u64 = 50_000;
/// How long to wait for a child that should stop at once.
const STOP_TIMEOUT_NS: u64 = 10_000_000_000;

/// Lets the thread that started this process trace it.
pub(crate) fn offer() -> io::Result<()> {
    if machine::SUPPORTED { Ok(ptrace::traceme()?) } else { Err(machine::unsupported()) }
}

/// Stops here for the tracer. Only after [`offer`]: it ends a process that is not traced.
#[inline(always)]
pub(crate) fn mark() {
    machine::mark();
}

/// Why a child has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It has reached its target: the next instruction, or an address.
    There,
    /// It has reached a mark.
    Marked,
    /// It has not reached its target: it sleeps in a system call and needs to be woken.
    Asleep,
    /// It has ended.
    Ended,
}

/// A traced child. For the thread that started it.
#[derive(Debug)]
pub(crate) struct Tracee {
    pid: Pid,
    /// The code that the kernel maps into every process for reading the clock. It changes nothing, and restarts when a
    /// tick comes while it is stepped through: it counts as one instruction.
    clock: Range<u64>,
    /// The breakpoint that the child runs to, and the original content at its address.
    ahead: Option<(u64, libc::c_long)>,
}

impl Tracee {
    /// Waits for the child's first mark. `None` if it ended instead: its output tells why.
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

    /// Returns the address of the child's next instruction.
    pub(crate) fn at(&self) -> io::Result<u64> {
        machine::at(self.pid)
    }

    /// Lets the child run one instruction. An instruction that repeats itself, and a call of the kernel's clock code,
    /// run whole.
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

    /// Lets the child run until it reaches `address` or a mark, or sleeps.
    pub(crate) fn run_to(&mut self, address: u64) -> io::Result<Stop> {
        if self.at()? == address {
            return Ok(Stop::There);
        }
        let there = ptrace::read(self.pid, address as ptrace::AddressType)?;
        ptrace::write(self.pid, address as ptrace::AddressType, machine::with_breakpoint(there))?;
        self.ahead = Some((address, there));
        self.go_on()
    }

    /// Lets the child run until it sleeps or reaches a mark.
    pub(crate) fn go_on(&mut self) -> io::Result<Stop> {
        ptrace::cont(self.pid, None)?;
        self.wait(Sleep::IsNews)
    }

    /// Waits until a child that slept has reached its target.
    pub(crate) fn wake(&mut self) -> io::Result<Stop> {
        let until_ns = monotonic_ns() + STOP_TIMEOUT_NS;
        loop {
            match self.wait(Sleep::IsNews)? {
                // The wake was spurious, or has not taken effect yet.
                Stop::Asleep if monotonic_ns() < until_ns => std::thread::sleep(Duration::from_micros(50)),
                Stop::Asleep => return Err(io::Error::from(io::ErrorKind::TimedOut)),
                stop => return Ok(stop),
            }
        }
    }

    fn wait(&mut self, sleep: Sleep) -> io::Result<Stop> {
        // WNOWAIT: the next step invalidates the stop, and an exit status is left to the child's parent.
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
            // Killed from elsewhere.
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

/// How to treat a child that sleeps instead of stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sleep {
    /// It cannot sleep, or the sleep is waited out.
    IsFine,
    /// The tracer is told.
    IsNews,
}

/// Returns the address range of the kernel's clock code in a process.
fn clock_code(pid: Pid) -> Option<Range<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let line = maps.lines().find(|line| line.ends_with("[vdso]"))?;
    let (from, to) = line.split_whitespace().next()?.split_once('-')?;
    Some(u64::from_str_radix(from, 16).ok()?..u64::from_str_radix(to, 16).ok()?)
}

/// A thread that may be asleep.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sleeper {
    /// The first thread of another process. (Looking up any of its threads by id would make its exit expensive: two
    /// tasks then clear the kernel's name cache at once, and one spins for the other.)
    Process(Pid),
    /// A thread of this process.
    Thread(u32),
}

/// System calls in which a thread waits for others. In any other it is at work.
const WAITS: &[libc::c_long] = &[
    libc::SYS_futex,
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

/// Whether the thread sleeps in a system call that waits for others, checked twice.
pub(crate) fn is_asleep(sleeper: Sleeper) -> bool {
    let path = match sleeper {
        Sleeper::Process(pid) => format!("/proc/{pid}/syscall"),
        Sleeper::Thread(thread) => format!("/proc/self/task/{thread}/syscall"),
    };
    // "running", or "-1 …" outside of a call, or the call's number with its arguments and its origin.
    let look = || {
        let call = std::fs::read_to_string(&path).ok()?;
        let mut words = call.split(' ');
        let number = words.next()?.parse().ok()?;
        let mut operation = || i32::from_str_radix(words.nth(1)?.trim_start_matches("0x"), 16).ok();
        let is_wait =
            WAITS.contains(&number) && (number != libc::SYS_futex || operation().is_some_and(|it| waits(it, sleeper)));
        is_wait.then_some(call)
    };
    let first = look();
    first.is_some() && first == look()
}

/// Whether a thread in this operation of a futex waits for others, in place of waking them.
fn waits(operation: i32, sleeper: Sleeper) -> bool {
    // A thread of this process may wait for the allocator, which another thread uses.
    let is_of_allocator = matches!(sleeper, Sleeper::Thread(_)) && operation & libc::FUTEX_PRIVATE_FLAG != 0;
    let command = operation & libc::FUTEX_CMD_MASK;
    !is_of_allocator && matches!(command, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET | libc::FUTEX_LOCK_PI)
}

/// Gives every process that the calling thread starts from now on the same addresses for its code and its memory.
/// Returns `false` if that is not allowed.
pub(crate) fn repeat_addresses() -> bool {
    let same = personality::get().map(|now| now | Persona::ADDR_NO_RANDOMIZE);
    same.and_then(personality::set).is_ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::ipc::test_util::{watchdog, with_sleepers};
    use crate::sys::atomic::AtomicU32;
    use crate::sys::atomic::Ordering::Relaxed;
    use crate::sys::futex;
    use crate::sys::robust::own_tid;

    /// Calls `look` with a thread that sleeps in `wait`, which `look` ends.
    fn while_asleep(wait: impl Fn() + Sync, look: impl FnOnce(Sleeper)) {
        let _watchdog = watchdog();
        let thread = AtomicU32::new(0);
        let sleep = || {
            thread.store(own_tid(), Relaxed);
            wait();
        };
        with_sleepers(1, sleep, || look(Sleeper::Thread(thread.load(Relaxed))));
    }

    #[test]
    fn wait_that_another_process_can_end_is_sleep() {
        let word = AtomicU32::new(0);
        let wait = || {
            while word.load(Relaxed) == 0 {
                futex::wait(&word, 0, None);
            }
        };
        while_asleep(wait, |thread| {
            while !is_asleep(thread) {}
            word.store(1, Relaxed);
            futex::wake(&word, 1);
        });
    }

    #[test]
    fn wait_for_another_thread_of_this_process_is_not_sleep() {
        let mutex = Mutex::new(());
        let held = mutex.lock().expect("nobody panics");
        while_asleep(
            || drop(mutex.lock()),
            |thread| {
                (0..100).for_each(|_| assert!(!is_asleep(thread)));
                drop(held);
            },
        );
    }
}
