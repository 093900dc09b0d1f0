//! Sends and receives the frames of a handshake. They are short: sending does not block, receiving has a deadline.

use std::io;
use std::ops::ControlFlow;
use std::os::fd::BorrowedFd;

use super::wire::{HANDSHAKE_LIMIT, Inbox, frame};
use crate::ipc::deadline::Deadline;
use crate::sys::{fd, socket};

/// Receives a frame by `deadline`, unless `is_over` returns true. Bytes after the frame stay in `inbox`.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`]; [`io::ErrorKind::InvalidData`] if it is not a handshake frame;
/// [`io::ErrorKind::UnexpectedEof`] and others if the connection has ended.
pub(super) fn receive_frame(
    socket: BorrowedFd<'_>,
    inbox: &mut Inbox,
    deadline: Deadline,
    is_over: impl Fn() -> bool,
) -> io::Result<Vec<u8>> {
    let mut scratch = [0; HANDSHAKE_LIMIT + 4];
    let mut received = None;
    loop {
        if deadline.has_passed() || is_over() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if !fd::wait_readable(socket, Some(deadline.next_check()))? {
            continue;
        }
        let count = match socket::receive(socket, &mut scratch) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            count => count?,
        };
        // Each frame answers the one before it, so a second one is not processed here: it stays in the inbox.
        let fed = inbox.feed(&scratch[..count], HANDSHAKE_LIMIT, &mut None, |frame| {
            received = Some(frame.to_vec());
            Ok(ControlFlow::Break(()))
        });
        fed.map_err(|_| io::ErrorKind::InvalidData)?;
        if let Some(frame) = received {
            return Ok(frame);
        }
    }
}

/// Sends a frame. A fresh connection has room for it.
pub(super) fn send_frame(socket: BorrowedFd<'_>, content: &[u8]) -> io::Result<()> {
    let frame = frame(content);
    match socket::send_some(socket, &frame)? {
        count if count == frame.len() => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}
