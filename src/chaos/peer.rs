//! Somebody who lives on: a thread of the runner, in an operation of its own.
//!
//! Whether it sleeps is asked of the kernel. So a wake that was lost is seen at once, although everybody who sleeps looks
//! around every 100 ms and would find what it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::case::Fault;
use crate::sys::clock::monotonic_ns;
use crate::sys::robust::own_tid;
use crate::sys::trace::{Sleeper, is_asleep};

/// How soon anybody has to go on after a death.
const PROMISED_NS: u64 = 250_000_000;
/// How long a thread may take that does not sleep but does not get a processor.
const STARVED_NS: u64 = 10_000_000_000;
/// Who has slept this long beside what it waits for was not woken.
const OVERSLEPT_NS: u64 = 5_000_000;

/// A thread in an operation. One that never comes back is left to itself.
pub(super) struct Peer<T> {
    thread: u32,
    answer: Receiver<(T, u64)>,
}

/// What a peer came back with.
pub(super) struct Back<T> {
    pub(super) answer: T,
    pub(super) at_ns: u64,
    /// It had slept on although what it waited for was there.
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
            // Nobody listens any more if the peer was given up.
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

    /// Waits until the peer comes back, as it must if its wake is `owed` to it. `None` if it still sleeps, rightly.
    pub(super) fn settle(&mut self, since_ns: u64, owed: impl Fn() -> bool) -> Result<Option<Back<T>>, Fault> {
        let (mut overslept_since_ns, mut wake_lost) = (None, false);
        let mut pause = Duration::ZERO;
        loop {
            match self.answer.recv_timeout(pause) {
                Ok((answer, at_ns)) => return Ok(Some(Back { answer, at_ns, wake_lost })),
                Err(RecvTimeoutError::Disconnected) => return Err(Fault::Unusable),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // In this order: who sleeps before and after it was owed nothing was owed nothing.
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

/// A thread that has something until it is told to let go.
pub(super) struct Holder {
    let_go: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Holder {
    /// Starts `hold`, which takes what it holds, calls what it is given, and lets go.
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

    /// Lets go, and returns when it has.
    pub(super) fn let_go(&mut self) {
        drop(self.let_go.take());
        if let Some(thread) = self.thread.take() {
            // A holder that panicked has let go too.
            let _ = thread.join();
        }
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.let_go();
    }
}
