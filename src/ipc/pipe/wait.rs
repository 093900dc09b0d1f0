//! Waiting for several objects at once: connections, processes, anything with a descriptor.
//!
//! # Standard
//! Python `multiprocessing.connection.wait(object_list, timeout)`. Differs: returns the indices of the ready objects.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::ipc::deadline::Deadline;
use crate::ipc::error::{Error, Result, os};
use crate::ipc::operation::is_observed_here;
use crate::ipc::process::child::Process;
use crate::sys::clock::monotonic_ns;
use crate::sys::fd::wait_any_readable;

/// An object that becomes ready: everything with a descriptor, when that is readable or its peer is closed.
pub trait Waitable {
    /// Returns the descriptor that becomes readable.
    fn descriptor(&self) -> BorrowedFd<'_>;

    /// Returns whether it is ready even if its descriptor is not.
    fn is_ready(&self) -> bool {
        false
    }
}

impl<T: AsFd + ?Sized> Waitable for T {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Ready when the process has ended.
impl Waitable for Process {
    fn descriptor(&self) -> BorrowedFd<'_> {
        self.sentinel()
    }

    fn is_ready(&self) -> bool {
        self.ended().is_some()
    }
}

/// Blocks until one of `objects` is ready, for at most `timeout`, or without limit if there is none. `Duration::ZERO`
/// only checks.
///
/// Returns the indices of all that are ready, in order, and none on timeout. A connection is ready when there is
/// something to receive or the peer is gone, a process when it has ended. With no objects it returns immediately.
///
/// ```
/// let (receiver, mut sender) = ipc_demo::pipe::pipe::<u8>()?;
/// let (other, _kept) = ipc_demo::pipe::duplex()?;
/// sender.send(&1)?;
/// assert_eq!(ipc_demo::pipe::wait(&[&other, &receiver], None)?, [1]);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
///
/// # Errors
/// [`Error::Os`] if the kernel refuses the wait, and [`Error::Schedule`] in an [exploration](crate::explore), which does
/// not schedule it.
///
/// # System calls
/// `poll`.
pub fn wait(objects: &[&dyn Waitable], timeout: Option<Duration>) -> Result<Vec<usize>> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    if is_observed_here() {
        return Err(Error::Schedule { reason: "it waits for several objects at once".to_owned() });
    }
    let ready_now: Vec<bool> = objects.iter().map(|object| object.is_ready()).collect();
    let deadline = if ready_now.contains(&true) { Some(monotonic_ns()) } else { Deadline::within(timeout).at_ns() };
    let descriptors: Vec<BorrowedFd<'_>> = objects.iter().map(|object| object.descriptor()).collect();
    let readable = wait_any_readable(&descriptors, deadline).map_err(os("wait for several things"))?;
    let is_ready = |place: &usize| ready_now[*place] || readable[*place];
    Ok((0..objects.len()).filter(is_ready).collect())
}
