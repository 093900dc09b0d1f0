//! Stream sockets: non-blocking partial reads and writes, the identity of the peer, and sending descriptors.
//!
//! # Standard
//! `send(2)`, `recv(2)`, `unix(7)` with `SCM_RIGHTS` and `SO_PEERCRED`, `tcp(7)`.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, accept4,
    connect, listen, recv, recvmsg, send, sendmsg, setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::fd;
use super::retry::retry;

/// Receives what has arrived, at most as much as fits; 0 is the end. [`io::ErrorKind::WouldBlock`] if nothing has.
pub(crate) fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(retry(|| recv(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT))?)
}

/// Like [`receive`], but blocks, for at most the timeout of [`set_receive_timeout`]. A signal ends the wait like a
/// timeout.
pub(crate) fn receive_blocking(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    match recv(socket.as_raw_fd(), bytes, MsgFlags::empty()) {
        Err(Errno::EINTR) => Err(io::ErrorKind::WouldBlock.into()),
        received => Ok(received?),
    }
}

/// Sends as much as there is room for. [`io::ErrorKind::WouldBlock`] if there is none; no signal if the peer is gone.
pub(crate) fn send_some(socket: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(retry(|| send(socket.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL))?)
}

/// Sends `message` whole, blocking for room. [`io::ErrorKind::BrokenPipe`], and no signal, if the peer is gone.
pub(crate) fn send_message(socket: BorrowedFd<'_>, message: &[u8]) -> io::Result<()> {
    Ok(retry(|| send(socket.as_raw_fd(), message, MsgFlags::MSG_NOSIGNAL)).map(|_| ())?)
}

/// Sets the timeout of [`receive_blocking`].
pub(crate) fn set_receive_timeout(socket: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    Ok(setsockopt(&socket, sockopt::ReceiveTimeout, &time_value(timeout))?)
}

/// Shuts a connection down in both directions, even if its descriptor is open elsewhere.
pub(crate) fn hang_up(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Both)?)
}

/// Shuts the receiving direction down; a blocked receiver sees the end.
pub(crate) fn hear_no_more(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(nix::sys::socket::shutdown(socket.as_raw_fd(), nix::sys::socket::Shutdown::Read)?)
}

/// Creates two connected stream sockets.
pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    fd::socket_pair(SockType::Stream)
}

/// Creates two connected sockets for whole messages.
pub(crate) fn packet_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    fd::socket_pair(SockType::SeqPacket)
}

/// Returns the user of the process that created the other end of a Unix socket's connection.
pub(crate) fn peer_user(socket: BorrowedFd<'_>) -> io::Result<u32> {
    Ok(nix::sys::socket::getsockopt(&socket, sockopt::PeerCredentials)?.uid())
}

/// Returns the process that created the other end of a Unix socket's connection, if it is visible to this process.
/// Returns `None` over TCP.
pub(crate) fn peer_process(socket: BorrowedFd<'_>) -> Option<u32> {
    let peer = nix::sys::socket::getsockopt(&socket, sockopt::PeerCredentials).ok()?;
    u32::try_from(peer.pid()).ok().filter(|pid| *pid != 0)
}

/// Returns this process's effective user.
pub(crate) fn own_user() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Whether a received descriptor is suitable as a connection: a Unix stream socket.
pub(crate) fn is_unix_stream(socket: BorrowedFd<'_>) -> bool {
    let kind = nix::sys::socket::getsockopt(&socket, sockopt::SockType);
    kind == Ok(SockType::Stream) && peer_user(socket).is_ok()
}

/// Returns the name of an abstract socket, which has no file: the part of `path` after an initial `@`.
pub(crate) fn abstract_name(path: &Path) -> Option<&[u8]> {
    path.as_os_str().as_bytes().strip_prefix(b"@")
}

/// Connects to the listening Unix socket at `path`, an abstract one if it begins with `@`. Blocks at most `timeout` while its queue is full, then fails with
/// [`io::ErrorKind::TimedOut`].
pub(crate) fn connect_unix(path: &Path, timeout: Duration) -> io::Result<OwnedFd> {
    let address = match abstract_name(path) {
        Some(name) => UnixAddr::new_abstract(name)?,
        None => UnixAddr::new(path)?,
    };
    let connection = fd::above_standard(socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?)?;
    let deadline = Instant::now() + timeout;
    loop {
        // Zero would mean no limit.
        let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_micros(1));
        setsockopt(&connection, sockopt::SendTimeout, &time_value(left))?;
        match connect(connection.as_raw_fd(), &address) {
            Ok(()) => break,
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(errno) => return Err(errno.into()),
        }
    }
    // Everything later is sent without blocking.
    setsockopt(&connection, sockopt::SendTimeout, &TimeVal::new(0, 0))?;
    Ok(connection)
}

fn time_value(time: Duration) -> TimeVal {
    TimeVal::new(time.as_secs().try_into().unwrap_or(i64::MAX), time.subsec_micros().into())
}

/// Accepts the next connection of a listening socket. [`io::ErrorKind::WouldBlock`] if there is none.
pub(crate) fn accept(listener: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let number = retry(|| accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC))?;
    // SAFETY: the kernel just made this descriptor for us, and its number is not known elsewhere.
    fd::above_standard(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Makes a listening socket non-blocking, and its queue as long as the kernel allows.
pub(crate) fn prepare_listener(listener: BorrowedFd<'_>) -> io::Result<()> {
    fcntl(listener, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(listen(&listener, Backlog::MAXALLOWABLE)?)
}

/// Configures a TCP connection: no delays, and an error within seconds when the other machine is gone.
pub(crate) fn tune_tcp(socket: BorrowedFd<'_>) -> io::Result<()> {
    const PROBE_AFTER_S: u32 = 5;
    const PROBE_EVERY_S: u32 = 1;
    const PROBES: u32 = 5;
    setsockopt(&socket, sockopt::TcpNoDelay, &true)?;
    setsockopt(&socket, sockopt::KeepAlive, &true)?;
    setsockopt(&socket, sockopt::TcpKeepIdle, &PROBE_AFTER_S)?;
    setsockopt(&socket, sockopt::TcpKeepInterval, &PROBE_EVERY_S)?;
    setsockopt(&socket, sockopt::TcpKeepCount, &PROBES)?;
    setsockopt(&socket, sockopt::TcpUserTimeout, &((PROBE_AFTER_S + PROBES * PROBE_EVERY_S) * 1000))?;
    Ok(())
}

/// Sends copies of `descriptors` through `socket` as one message. Fails with [`io::ErrorKind::WouldBlock`] if there is
/// no room.
pub(crate) fn pass_descriptors(socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let content = [IoSlice::new(b"d")];
    let rights: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&rights)];
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    Ok(retry(|| sendmsg::<()>(socket.as_raw_fd(), &content, &rights, flags, None)).map(|_| ())?)
}

/// Receives the descriptor of a message that was sent through `socket`, or `None` if it does not have exactly one. Fails
/// with [`io::ErrorKind::WouldBlock`] if there is no message, and [`io::ErrorKind::UnexpectedEof`] if no sender is left.
pub(crate) fn take_descriptor(socket: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    let descriptors = take_descriptors(socket, MsgFlags::MSG_DONTWAIT)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(<[OwnedFd; 1]>::try_from(descriptors).ok().map(|[descriptor]| descriptor))
}

/// Blocks until a message arrives through `socket`. Returns its descriptors, or `None` if no sender is left.
pub(crate) fn wait_for_descriptors(socket: BorrowedFd<'_>) -> io::Result<Option<Vec<OwnedFd>>> {
    take_descriptors(socket, MsgFlags::empty())
}

fn take_descriptors(socket: BorrowedFd<'_>, flags: MsgFlags) -> io::Result<Option<Vec<OwnedFd>>> {
    let mut byte = [0];
    let mut content = [IoSliceMut::new(&mut byte)];
    // Room for as many as the kernel can pass: of more than fit it would install some without reporting which.
    let mut room = cmsg_space!([RawFd; 253]);
    let flags = flags | MsgFlags::MSG_CMSG_CLOEXEC;
    let message = loop {
        // Not `retry`: the result borrows from the buffers.
        match recvmsg::<()>(socket.as_raw_fd(), &mut content, Some(&mut room), flags) {
            Err(Errno::EINTR) => {}
            message => break message?,
        }
    };
    let numbers = match message.cmsgs()?.next() {
        Some(ControlMessageOwned::ScmRights(numbers)) => numbers,
        _ if message.bytes == 0 && has_hung_up(socket)? => return Ok(None),
        _ => return Ok(Some(Vec::new())),
    };
    let own = |number| {
        // SAFETY: the kernel just made this descriptor for us, and its number is not known elsewhere.
        unsafe { OwnedFd::from_raw_fd(number) }
    };
    let descriptors: Vec<OwnedFd> = numbers.into_iter().map(own).collect();
    descriptors.into_iter().map(fd::above_standard).collect::<io::Result<_>>().map(Some)
}

/// Whether the other end is closed: an empty message looks the same.
pub(crate) fn has_hung_up(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut asked = [PollFd::new(socket, PollFlags::empty())];
    fd::wait_for(&mut asked, Some(0))?;
    Ok(asked[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP)))
}

/// Blocks until `socket` has data to read or room to write.
pub(crate) fn wait_either(socket: BorrowedFd<'_>, until_ns: Option<u64>) -> io::Result<bool> {
    let mut asked = [PollFd::new(socket.as_fd(), PollFlags::POLLIN | PollFlags::POLLOUT)];
    fd::wait_for(&mut asked, until_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_pass_one_by_one() {
        let (sending, receiving) = packet_pair().expect("a pair");
        let (one, other) = stream_pair().expect("a pair");
        assert_eq!(take_descriptor(receiving.as_fd()).expect_err("empty").kind(), io::ErrorKind::WouldBlock);
        pass_descriptors(sending.as_fd(), &[one.as_fd()]).expect("room");
        let Some(passed) = take_descriptor(receiving.as_fd()).expect("sent") else { panic!("it was sent") };
        assert!(is_unix_stream(passed.as_fd()));
        assert_eq!(peer_user(passed.as_fd()).expect("a peer"), nix::unistd::getuid().as_raw());
        assert_eq!(peer_process(passed.as_fd()), Some(std::process::id()));
        assert_eq!(send_some(passed.as_fd(), b"hi").expect("room"), 2);
        let mut bytes = [0; 9];
        assert_eq!(receive(other.as_fd(), &mut bytes).expect("sent"), 2);
        send_some(sending.as_fd(), b"no descriptor").expect("room");
        assert!(matches!(take_descriptor(receiving.as_fd()), Ok(None)));
        drop(sending);
        assert_eq!(take_descriptor(receiving.as_fd()).expect_err("no sender").kind(), io::ErrorKind::UnexpectedEof);
    }
}
