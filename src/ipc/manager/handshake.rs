//! Sends and receives the frames of a handshake. They are short: sending does not block, receiving has a deadline.

use std::io;
use std::os::fd::BorrowedFd;

use super::wire::{HANDSHAKE_LIMIT, HEADER};
use crate::ipc::deadline::Deadline;
use crate::sys::{fd, socket};

/// Receives a frame by `deadline`, unless `is_over` returns true. Bytes after the frame stay in the socket.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`]; [`io::ErrorKind::InvalidData`] if it is not a handshake frame;
/// [`io::ErrorKind::UnexpectedEof`] and others if the connection has ended.
pub(super) fn receive_frame(
    socket: BorrowedFd<'_>,
    deadline: Deadline,
    is_over: impl Fn() -> bool,
) -> io::Result<Vec<u8>> {
    let fill = |room: &mut [u8]| -> io::Result<()> {
        let mut filled = 0;
        while filled < room.len() {
            if deadline.has_passed() || is_over() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if fd::wait_readable(socket, Some(deadline.next_check()))? {
                filled += match socket::receive(socket, &mut room[filled..]) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                    count => count?,
                };
            }
        }
        Ok(())
    };
    let mut header = [0; HEADER];
    fill(&mut header)?;
    let len = u32::from_le_bytes(header) as usize;
    if len > HANDSHAKE_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut content = vec![0; len];
    fill(&mut content)?;
    Ok(content)
}

/// Sends a frame. A fresh connection has room for it.
pub(super) fn send_frame(socket: BorrowedFd<'_>, content: &[u8]) -> io::Result<()> {
    let frame = [&(content.len() as u32).to_le_bytes(), content].concat();
    match socket::send_some(socket, &frame)? {
        count if count == frame.len() => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}
