//! The thread that serves all clients: it waits for room for their answers, and for the next deadline.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::state::ServerState;
use crate::ipc::deadline::LIVENESS_CHECK_NS;
use crate::ipc::manager::status::Status;
use crate::ipc::manager::store::SessionId;
use crate::sys::clock::monotonic_ns;

/// The poller's tokens: the server's end, and a wake-up. The others are the clients' session ids.
const STOP: u64 = u64::MAX;
const WAKEUP: u64 = 0;
/// Interval at which the watcher is told the status, if it has changed.
const TELL_EVERY_NS: u64 = 500_000_000;

/// Is told a server's status, whenever it has changed.
pub(crate) type Watcher<'a> = Option<&'a mut dyn FnMut(&Status)>;

impl ServerState {
    /// Runs until `stop` is ready. Returns the final status.
    pub(super) fn poll(&self, stop: BorrowedFd<'_>, mut watcher: Watcher<'_>) -> io::Result<Status> {
        self.epoll.add(&self.wakeup, WAKEUP)?;
        self.epoll.add(stop, STOP)?;
        let (mut looked_ns, mut told, mut tell_ns) = (0, None, watcher.is_some().then_some(0));
        loop {
            let look_ns = self.has_to_look().then_some(looked_ns + LIVENESS_CHECK_NS);
            let until_ns = self.lock().poller_sleeps(look_ns.into_iter().chain(tell_ns).min());
            let ready = self.epoll.wait(until_ns)?;
            let now_ns = monotonic_ns();
            for token in ready {
                match token {
                    STOP => return Ok(self.lock().store.status()),
                    WAKEUP => self.wakeup.clear(),
                    session => {
                        let client = self.lock().clients.get(&SessionId(session)).cloned();
                        client.into_iter().for_each(|client| self.send(&client, now_ns));
                    }
                }
            }
            if self.has_failed.load(Relaxed) {
                return Err(has_panicked());
            }
            let mut inner = self.lock();
            inner.store.expire(now_ns);
            self.deliver(inner);
            if self.has_to_look() && now_ns >= looked_ns + LIVENESS_CHECK_NS {
                looked_ns = now_ns;
                self.look_through(now_ns);
            }
            if let Some(watcher) = watcher.as_mut().filter(|_| tell_ns.is_some_and(|tell_ns| tell_ns <= now_ns)) {
                tell_ns = Some(now_ns + TELL_EVERY_NS);
                let status = self.lock().store.status();
                if told != Some(status) {
                    watcher(&status);
                    told = Some(status);
                }
            }
        }
    }

    fn has_to_look(&self) -> bool {
        self.limits.idle_time.is_some() || self.has_unread.load(Relaxed)
    }

    /// Ends the connections whose time limit has passed.
    fn look_through(&self, now_ns: u64) {
        let is_over = |since_ns: u64, limit: Duration| u128::from(now_ns.saturating_sub(since_ns)) > limit.as_nanos();
        self.has_unread.store(false, Relaxed);
        for (client, waits) in self.clients() {
            match (client.unread_since_ns(), self.limits.idle_time) {
                (Some(since_ns), _) => {
                    self.has_unread.store(true, Relaxed);
                    if is_over(since_ns, self.limits.unread_time) {
                        client.end(|refused| &mut refused.not_reading);
                    }
                }
                (None, Some(limit)) if !waits && is_over(client.busy_ns.load(Relaxed), limit) => {
                    client.end(|refused| &mut refused.idle);
                }
                (None, _) => {}
            }
        }
    }
}

/// The reason for an end that was not requested.
pub(super) fn has_panicked() -> io::Error {
    io::Error::other("a thread of the manager has panicked")
}
