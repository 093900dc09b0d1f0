//! Programs of others that this process starts, with all that they start in turn.
//!
//! # Standard
//! `PR_SET_CHILD_SUBREAPER(2const)`, `killpg(3)`, `waitpid(2)`.

use std::io;

use nix::sys::prctl;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use super::retry::retry;

/// From now on the orphans among this process's descendants become its children.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Asks an own child to end, which was not waited for yet.
pub(crate) fn terminate(child: u32) {
    // One that has ended already need not be asked.
    let _ = kill(Pid::from_raw(child as i32), Signal::SIGTERM);
}

/// Kills all processes of the group that an own child leads, and waits for them: first for the child itself, then for those
/// that its death has made children of this process, until there is none.
pub(crate) fn kill_group(leader: u32) {
    let leader = Pid::from_raw(leader as i32);
    let _ = killpg(leader, Signal::SIGKILL);
    let everybody = Pid::from_raw(-leader.as_raw());
    while retry(|| waitpid(everybody, None)).is_ok() {}
}
