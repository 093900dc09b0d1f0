//! External programs that this process starts, with all of their descendants.
//!
//! # Standard
//! `PR_SET_CHILD_SUBREAPER(2const)`, `killpg(3)`, `waitpid(2)`.

use std::io;

use nix::sys::prctl;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::retry::retry;

/// Makes this process the new parent of orphans among its descendants.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Leaves later orphans among this process's descendants to the system.
pub(crate) fn disown_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(false)?)
}

/// Kills all processes of the group that a child leads, and reaps them: first the child itself, then those that became
/// children of this process by its death, until there are none.
pub(crate) fn kill_group(leader: u32) {
    let leader = Pid::from_raw(leader as i32);
    let _ = killpg(leader, Signal::SIGKILL);
    let group = Pid::from_raw(-leader.as_raw());
    while retry(|| waitpid(group, None)).is_ok() {}
}
