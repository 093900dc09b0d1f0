//! The processor-specific parts of tracing: breakpoints, registers, system calls.

use std::io;

use nix::libc;
use nix::sys::ptrace;
use nix::unistd::Pid;

pub(super) use known::*;

pub(super) fn unsupported() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "single steps are known here for x86-64 and aarch64 only")
}

#[cfg(target_arch = "x86_64")]
mod known {
    use super::*;

    pub(in crate::sys) const SUPPORTED: bool = true;
    /// The signal code of a breakpoint instruction.
    pub(in crate::sys) const MARK_CODE: libc::c_int = libc::SI_KERNEL;
    /// `syscall`, `0f 05`, little-endian.
    const SYSTEM_CALL: u16 = 0x050f;
    /// `int3`.
    const BREAKPOINT: libc::c_long = 0xcc;

    #[inline(always)]
    pub(in crate::sys) fn mark() {
        // SAFETY: `int3` changes no register and no memory; the tracer resumes the process after it.
        unsafe { std::arch::asm!("int3", options(nostack)) };
    }

    /// The processor is past the instruction when it stops.
    pub(in crate::sys) fn pass_mark(_: Pid) -> io::Result<()> {
        Ok(())
    }

    pub(in crate::sys) fn at(pid: Pid) -> io::Result<u64> {
        Ok(ptrace::getregs(pid)?.rip)
    }

    pub(in crate::sys) fn is_system_call(code: libc::c_long) -> bool {
        code as u16 == SYSTEM_CALL
    }

    pub(in crate::sys) fn with_breakpoint(code: libc::c_long) -> libc::c_long {
        code & !0xff | BREAKPOINT
    }

    /// Whether the breakpoint that was hit is the one at `address`; if so, moves the child back in front of it.
    pub(in crate::sys) fn step_back_to(pid: Pid, address: u64) -> io::Result<bool> {
        let mut registers = ptrace::getregs(pid)?;
        if registers.rip != address + 1 {
            return Ok(false);
        }
        registers.rip = address;
        ptrace::setregs(pid, registers)?;
        Ok(true)
    }

    /// Returns the return address of a function whose first instruction is next.
    pub(in crate::sys) fn return_address(pid: Pid) -> io::Result<u64> {
        let stack = ptrace::getregs(pid)?.rsp;
        Ok(ptrace::read(pid, stack as ptrace::AddressType)? as u64)
    }
}

#[cfg(target_arch = "aarch64")]
mod known {
    use super::*;

    pub(in crate::sys) const SUPPORTED: bool = true;
    /// The signal code of a breakpoint instruction.
    pub(in crate::sys) const MARK_CODE: libc::c_int = libc::TRAP_BRKPT;
    /// `svc #0`.
    const SYSTEM_CALL: u32 = 0xd400_0001;
    /// `brk #0`.
    const BREAKPOINT: libc::c_long = 0xd420_0000;
    const LINK_REGISTER: usize = 30;

    #[inline(always)]
    pub(in crate::sys) fn mark() {
        // SAFETY: `brk` changes no register and no memory; the tracer resumes the process after it.
        unsafe { std::arch::asm!("brk #0", options(nostack)) };
    }

    /// The processor stops at the instruction and would stop there again.
    pub(in crate::sys) fn pass_mark(pid: Pid) -> io::Result<()> {
        let mut registers = ptrace::getregs(pid)?;
        registers.pc += 4;
        Ok(ptrace::setregs(pid, registers)?)
    }

    pub(in crate::sys) fn at(pid: Pid) -> io::Result<u64> {
        Ok(ptrace::getregs(pid)?.pc)
    }

    pub(in crate::sys) fn is_system_call(code: libc::c_long) -> bool {
        code as u32 == SYSTEM_CALL
    }

    pub(in crate::sys) fn with_breakpoint(code: libc::c_long) -> libc::c_long {
        code & !0xffff_ffff | BREAKPOINT
    }

    /// Whether the breakpoint that was hit is the one at `address`.
    pub(in crate::sys) fn step_back_to(pid: Pid, address: u64) -> io::Result<bool> {
        Ok(at(pid)? == address)
    }

    /// Returns the return address of a function whose first instruction is next.
    pub(in crate::sys) fn return_address(pid: Pid) -> io::Result<u64> {
        Ok(ptrace::getregs(pid)?.regs[LINK_REGISTER])
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod known {
    use super::*;

    pub(in crate::sys) const SUPPORTED: bool = false;
    pub(in crate::sys) const MARK_CODE: libc::c_int = libc::SI_KERNEL;

    #[inline(always)]
    pub(in crate::sys) fn mark() {}

    pub(in crate::sys) fn pass_mark(_: Pid) -> io::Result<()> {
        Err(unsupported())
    }

    pub(in crate::sys) fn at(_: Pid) -> io::Result<u64> {
        Err(unsupported())
    }

    pub(in crate::sys) fn is_system_call(_: libc::c_long) -> bool {
        false
    }

    pub(in crate::sys) fn with_breakpoint(code: libc::c_long) -> libc::c_long {
        code
    }

    pub(in crate::sys) fn step_back_to(_: Pid, _: u64) -> io::Result<bool> {
        Err(unsupported())
    }

    pub(in crate::sys) fn return_address(_: Pid) -> io::Result<u64> {
        Err(unsupported())
    }
}
