//! Byte streams between processes: pipes and Unix sockets, blocking, with an optional deadline.
//!
//! The descriptors stay in blocking mode: the mode belongs to the open file, which processes share, and a foreign peer
//! does not expect another.
//!
//! # Death
//! A reader sees the end of the stream when the last process that holds the other end is gone, however it ended. A
//! writer sees `EPIPE`; sockets raise no SIGPIPE, and for pipes Rust's runtime ignores it.
//!
//! # Standard
//! `pipe(7)` (a write of at most `PIPE_BUF` bytes is all or nothing), `unix(7)`, `pwritev2(2)` `RWF_NOWAIT`.

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::socket::{MsgFlags, SockType, sendmsg};
use nix::sys::stat::{SFlag, fstat};
use nix::sys::uio::writev;
use nix::unistd::{read, write};

use super::fd::{self, wait_readable, wait_writable};
use super::retry::retry;

/// The longest write to a pipe that is never split or interleaved with another's.
pub(crate) const ATOMIC_WRITE: usize = libc::PIPE_BUF;

/// One end of a pipe or of a socket pair.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    fd: Arc<OwnedFd>,
    is_socket: bool,
}

/// The directions in which a descriptor can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    ReadOnly,
    WriteOnly,
    Both,
}

/// Writes everything, blocking until there is room even if the descriptor is non-blocking.
pub(crate) fn write_waiting(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match retry(|| write(fd, bytes)) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::EAGAIN) => _ = wait_writable(fd, None)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

impl Stream {
    /// Creates a pipe: its reading and its writing end.
    pub(crate) fn pipe() -> io::Result<(Stream, Stream)> {
        let (reading, writing) = fd::pipe()?;
        Ok((Stream { fd: reading.into(), is_socket: false }, Stream { fd: writing.into(), is_socket: false }))
    }

    /// Creates a pair of connected sockets.
    pub(crate) fn socket_pair() -> io::Result<(Stream, Stream)> {
        let (one, other) = fd::socket_pair(SockType::Stream)?;
        Ok((Stream { fd: one.into(), is_socket: true }, Stream { fd: other.into(), is_socket: true }))
    }

    /// Returns the stream behind a descriptor received from elsewhere.
    pub(crate) fn of(fd: impl Into<Arc<OwnedFd>>) -> io::Result<Stream> {
        let fd = fd.into();
        let kind = SFlag::from_bits_truncate(fstat(&fd)?.st_mode) & SFlag::S_IFMT;
        Ok(Stream { fd, is_socket: kind == SFlag::S_IFSOCK })
    }

    /// The descriptor, to send to another process.
    pub(crate) fn descriptor(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    /// Returns whether the descriptor can be read, written, or both.
    pub(crate) fn access(&self) -> io::Result<Access> {
        let flags = OFlag::from_bits_truncate(fcntl(&self.fd, FcntlArg::F_GETFL)?);
        Ok(match flags & OFlag::O_ACCMODE {
            OFlag::O_RDONLY => Access::ReadOnly,
            OFlag::O_WRONLY => Access::WriteOnly,
            _ => Access::Both,
        })
    }

    /// Reads available data, blocking for the first byte at most until `until_ns`. Returns 0 at the end, `None` on
    /// timeout.
    ///
    /// With a deadline no other process may be reading the same end.
    #[inline]
    pub(crate) fn read(&self, buffer: &mut [u8], until_ns: Option<u64>) -> io::Result<Option<usize>> {
        if until_ns.is_some() && !wait_readable(&self.fd, until_ns)? {
            return Ok(None);
        }
        loop {
            match retry(|| read(&self.fd, buffer)) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::EAGAIN) => {
                    if !wait_readable(&self.fd, until_ns)? {
                        return Ok(None);
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Writes from `parts`, blocking for room at most until `until_ns`. Returns `None` if nothing was written by then.
    ///
    /// Without a deadline everything is written unless a signal interrupts. With one it may be less, but up to
    /// [`ATOMIC_WRITE`] bytes are all or nothing.
    #[inline]
    pub(crate) fn write(&self, parts: &[IoSlice<'_>], until_ns: Option<u64>) -> io::Result<Option<usize>> {
        loop {
            let written = retry(|| match (self.is_socket, until_ns) {
                (true, None) => self.send(parts, MsgFlags::MSG_NOSIGNAL),
                (true, Some(_)) => self.send(parts, MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT),
                (false, None) => match parts {
                    [only] => write(&self.fd, only),
                    parts => writev(&self.fd, parts),
                },
                (false, Some(_)) => self.write_what_fits(parts),
            });
            match written {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::EAGAIN) => {
                    if !wait_writable(&self.fd, until_ns)? {
                        return Ok(None);
                    }
                }
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn send(&self, parts: &[IoSlice<'_>], flags: MsgFlags) -> nix::Result<usize> {
        sendmsg::<()>(self.fd.as_raw_fd(), parts, &[], flags, None)
    }

    /// Writes to a pipe without blocking, although it is in blocking mode.
    fn write_what_fits(&self, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
        let count = parts.len() as libc::c_int;
        // SAFETY: `IoSlice` has the layout of `iovec`; the parts live through the call and are only read. Offset -1
        // means "as write(2) does".
        let written =
            unsafe { libc::pwritev2(self.fd.as_raw_fd(), parts.as_ptr().cast(), count, -1, libc::RWF_NOWAIT) };
        match Errno::result(written) {
            Err(Errno::EOPNOTSUPP) => self.write_where_there_is_room(parts),
            written => written.map(|count| count as usize),
        }
    }

    /// The same where the kernel has no such call (before 6.5, or a named pipe): room for one atomic write is checked
    /// for first. Another writer may use it up in between, and then the write blocks until the reader makes room.
    #[cold]
    fn write_where_there_is_room(&self, parts: &[IoSlice<'_>]) -> nix::Result<usize> {
        if !wait_writable(&self.fd, Some(0)).map_err(|_| Errno::EIO)? {
            return Err(Errno::EAGAIN);
        }
        let atomic: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).take(ATOMIC_WRITE).collect();
        write(&self.fd, &atomic)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// How many columns a terminal has. `None` if it is no terminal or does not say; how many rows it has does not matter.
pub(crate) fn terminal_columns(fd: BorrowedFd<'_>) -> Option<u16> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the descriptor is open, and the kernel writes one `winsize` there.
    let answer = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (answer == 0 && size.ws_col > 0).then_some(size.ws_col)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::monotonic_ns;

    #[test]
    fn terminal_without_rows_has_columns() {
        let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/ptmx");
        let Ok(terminal) = open else {
            eprintln!("skipped: no terminal can be made here");
            return;
        };
        assert_eq!(terminal_columns(terminal.as_fd()), None, "it was not told");
        let size = libc::winsize { ws_row: 0, ws_col: 40, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open, and the kernel reads one `winsize` there.
        let answer = unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
        assert_eq!((answer, terminal_columns(terminal.as_fd())), (0, Some(40)));
    }

    /// Fills the pipe or socket until it is completely full.
    fn fill(stream: &Stream) -> usize {
        let piece = [7; ATOMIC_WRITE];
        let mut written = 0;
        while let Some(count) = stream.write(&[IoSlice::new(&piece)], Some(0)).expect("a reader is there") {
            written += count;
        }
        written
    }

    #[test]
    fn access_is_that_of_the_descriptor() {
        let (reading, writing) = Stream::pipe().expect("a pipe");
        let (one, _other) = Stream::socket_pair().expect("sockets");
        assert_eq!(reading.access().expect("flags"), Access::ReadOnly);
        assert_eq!(writing.access().expect("flags"), Access::WriteOnly);
        assert_eq!(one.access().expect("flags"), Access::Both);
        assert!(Stream::of(one.fd).expect("a descriptor").is_socket);
        assert!(!Stream::of(writing.fd).expect("a descriptor").is_socket);
    }

    #[test]
    fn read_times_out_while_there_is_nothing() {
        let (reading, _writing) = Stream::pipe().expect("a pipe");
        assert_eq!(reading.read(&mut [0; 1], Some(monotonic_ns() + 1_000_000)).expect("no error"), None);
    }

    #[test]
    fn write_times_out_while_it_is_full() {
        for (reading, writing) in [Stream::pipe().expect("a pipe"), Stream::socket_pair().expect("sockets")] {
            assert!(fill(&writing) >= ATOMIC_WRITE);
            let until_ns = monotonic_ns() + 1_000_000;
            assert_eq!(writing.write(&[IoSlice::new(&[1])], Some(until_ns)).expect("no error"), None);
            assert!(monotonic_ns() >= until_ns);
            drop(reading);
            let gone = writing.write(&[IoSlice::new(&[1])], Some(0)).expect_err("nobody reads");
            assert_eq!(gone.kind(), io::ErrorKind::BrokenPipe);
        }
    }

    #[test]
    fn write_where_there_is_room_never_waits() {
        let (reading, writing) = Stream::pipe().expect("a pipe");
        let parts = [IoSlice::new(b"ab"), IoSlice::new(b"cd")];
        assert_eq!(writing.write_where_there_is_room(&parts), Ok(4));
        fill(&writing);
        assert_eq!(writing.write_where_there_is_room(&parts), Err(Errno::EAGAIN));
        let mut four = [0; 4];
        assert_eq!(reading.read(&mut four, None).expect("written above"), Some(4));
        assert_eq!(&four, b"abcd");
    }
}
