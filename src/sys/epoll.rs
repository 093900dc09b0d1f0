//! Waiting for many descriptors at once, each identified by a token, and for other threads of this process.
//!
//! # Standard
//! `epoll(7)`, `eventfd(2)`.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::epoll::{self, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::fd::{above_standard, poll_timeout};
use super::retry::retry;

/// The maximum number of descriptors that one wait reports.
const EVENTS: usize = 64;

/// A set of descriptors to wait for.
#[derive(Debug)]
pub(crate) struct Epoll(epoll::Epoll);

impl Epoll {
    /// Creates an empty set.
    pub(crate) fn new() -> io::Result<Self> {
        let set = epoll::Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        Ok(Epoll(epoll::Epoll(above_standard(set.0)?)))
    }

    /// Also watches `fd`, until it is closed, for data and end-of-file.
    pub(crate) fn add(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        Ok(self.0.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, token))?)
    }

    /// Watches `fd` for room to write, once. Several threads may ask for the same descriptor.
    pub(crate) fn add_for_room_once(&self, fd: impl AsFd, token: u64) -> io::Result<()> {
        let event = EpollEvent::new(EpollFlags::EPOLLOUT | EpollFlags::EPOLLONESHOT, token);
        let modify = || self.0.modify(&fd, &mut { event });
        let added = match modify() {
            // Another thread may have added it in the meantime.
            Err(Errno::ENOENT) => match self.0.add(&fd, event) {
                Err(Errno::EEXIST) => modify(),
                added => added,
            },
            modified => modified,
        };
        Ok(added?)
    }

    /// Blocks until one of the descriptors is ready, at most until `until_ns` on the monotonic clock. Returns the
    /// tokens of those that are ready.
    pub(crate) fn wait(&self, until_ns: Option<u64>) -> io::Result<impl Iterator<Item = u64> + use<>> {
        let mut events = [EpollEvent::empty(); EVENTS];
        let ready = retry(|| self.0.wait(&mut events, poll_timeout(until_ns)))?;
        Ok(events.into_iter().take(ready).map(|event| event.data()))
    }
}

/// A descriptor through which one thread of a process wakes another.
#[derive(Debug)]
pub(crate) struct Wakeup(EventFd);

impl Wakeup {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Wakeup(eventfd()?))
    }

    /// Makes the descriptor readable, until it is [cleared](Self::clear).
    pub(crate) fn wake(&self) {
        // Fails if the count is full; the descriptor is then readable anyway.
        let _ = self.0.write(1);
    }

    pub(crate) fn clear(&self) {
        // Fails if another thread has cleared it, which is as good.
        let _ = self.0.read();
    }
}

impl AsFd for Wakeup {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Creates a counter in the kernel that can be polled. Never blocks.
pub(super) fn eventfd() -> io::Result<EventFd> {
    let counter = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
    let fd = above_standard(counter.into())?;
    // SAFETY: the descriptor was an `EventFd` in the line before.
    Ok(unsafe { EventFd::from_owned_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::monotonic_ns;
    use crate::sys::socket::{send_some, stream_pair};

    fn now() -> Option<u64> {
        Some(monotonic_ns())
    }

    #[test]
    fn wait_tells_of_what_is_ready() {
        let (epoll, wakeup) = (Epoll::new().expect("a set"), Wakeup::new().expect("a wakeup"));
        let (one, other) = stream_pair().expect("a pair");
        epoll.add(&wakeup, 1).expect("added");
        epoll.add(&one, 2).expect("added");
        assert_eq!(epoll.wait(now()).expect("a wait").count(), 0);
        wakeup.wake();
        assert_eq!(epoll.wait(None).expect("a wait").collect::<Vec<_>>(), [1]);
        wakeup.clear();
        send_some(other.as_fd(), b"x").expect("room");
        assert_eq!(epoll.wait(None).expect("a wait").collect::<Vec<_>>(), [2]);
        drop(one);
        let (one, _other) = stream_pair().expect("a pair");
        for _ in 0..2 {
            epoll.add_for_room_once(&one, 3).expect("added, and asked for again");
            assert_eq!(epoll.wait(None).expect("a wait").collect::<Vec<_>>(), [3]);
            assert_eq!(epoll.wait(now()).expect("a wait").count(), 0, "once");
        }
    }
}
