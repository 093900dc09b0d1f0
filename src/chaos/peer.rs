//! A survivor: a thread of the runner, in an operation of its own.
//!
//! The kernel is asked whether it sleeps. So a lost wake is noticed at once, although every sleeper checks for itself
//! every 100 ms and would find its condition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::case::Fault;
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::own_tid;
use crate::sys::trace::{Sleeper, is_asleep};

/// How soon a survivor has to go on after a death.
const PROMISED_NS: u64 = 250_000_000;
/// How long a thread that does not sleep may go without a processor.
const STARVED_NS: u64 = 10_000_000_000;
/// After this long asleep although its condition holds, a thread counts as not woken.
const OVERSLEPT_NS: u64 = 5_000_000;

/// A thread in an operation. If it does not return, it is detached.
pub(super) struct Peer<T> {
    thread: u32,
    answer: Receiver<(T, u64)>,
}

/// The result of a peer.
pub(super) struct Back<T> {
    pub(super) answer: T,
    pub(super) at_ns: u64,
    /// Whether it went on sleeping although its condition held.
    pub(super) wake_lost: bool,
}

impl<T: Send + 'static> Peer<T> {
    /// Starts `op`.
    pub(super) fn start(op: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<Self> {
        let (tell, answer) = mpsc::sync_channel(1);
        let number = Arc::new(AtomicU32::new(0));
        let own = Arc::clone(&number);
        let body = move || {
            own.store(own_tid(), Ordering::Release);
            let answer = op();
            // The receiver is gone if the peer was given up.
            let _ = tell.send((answer, monotonic_ns()));
        };
        thread::Builder::new().name("peer".into()).stack_size(256 * 1024).spawn(body)?;
        while number.load(Ordering::Acquire) == 0 {
            thread::yield_now();
        }
        Ok(Peer { thread: number.load(Ordering::Acquire), answer })
    }

    /// Starts `op` and waits until it sleeps.
    pub(super) fn asleep_in(op: impl FnOnce() -> T + Send + 'static) -> anyhow::Result<Self> {
        let peer = Peer::start(op)?;
        let until_ns = monotonic_ns() + STARVED_NS;
        while !peer.is_asleep() {
            anyhow::ensure!(monotonic_ns() < until_ns, "a peer that was to wait does not");
            thread::yield_now();
        }
        Ok(peer)
    }
}

impl<T> Peer<T> {
    fn is_asleep(&self) -> bool {
        is_asleep(Sleeper::Thread(self.thread))
    }

    /// Waits until the peer returns, as it must if `owed` returns `true`. Returns `None` if it rightly still sleeps.
    pub(super) fn settle(&mut self, since_ns: u64, owed: impl Fn() -> bool) -> Result<Option<Back<T>>, Fault> {
        let (mut overslept_since_ns, mut wake_lost) = (None, false);
        let mut pause = Duration::ZERO;
        loop {
            match self.answer.recv_timeout(pause) {
                Ok((answer, at_ns)) => return Ok(Some(Back { answer, at_ns, wake_lost })),
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Unusable),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // In this order: a peer that is asleep before and after `owed` returned `false` was owed nothing.
            let (slept, is_owed) = (self.is_asleep(), owed());
            let now_ns = monotonic_ns();
            if slept && !is_owed && self.is_asleep() {
                return Ok(None);
            }
            if !slept {
                overslept_since_ns = None;
            } else if is_owed {
                wake_lost |= now_ns - *overslept_since_ns.get_or_insert(now_ns) > OVERSLEPT_NS;
            }
            let patience_ns = if slept { PROMISED_NS } else { STARVED_NS };
            if now_ns.saturating_sub(since_ns) > patience_ns {
                return Err(Fault::Hangs);
            }
            pause = Duration::from_micros(50);
        }
    }
}

/// A thread that holds something until it is told to release it.
pub(super) struct Holder {
    let_go: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Holder {
    /// Starts `hold`, which acquires something, calls its argument, and releases.
    pub(super) fn of(hold: impl FnOnce(&dyn Fn()) + Send + 'static) -> anyhow::Result<Self> {
        let ((let_go, told), (tell, has_it)) = (mpsc::channel(), mpsc::channel());
        let body = move || {
            hold(&|| {
                let _ = tell.send(());
                let _ = told.recv();
            });
        };
        let thread = thread::Builder::new().name("holder".into()).stack_size(256 * 1024).spawn(body)?;
        has_it.recv()?;
        Ok(Holder { let_go: Some(let_go), thread: Some(thread) })
    }

    /// Releases, and returns when that is done.
    pub(super) fn let_go(&mut self) {
        drop(self.let_go.take());
        if let Some(thread) = self.thread.take() {
            // A holder that panicked has released as well.
            let _ = thread.join();
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.let_go();
    }
}
