//! Survivors: threads of the runner, each in an operation of its own.
//!
//! The kernel is asked whether it sleeps. So a lost wake is noticed at once, although every sleeper checks for itself
//! every 100 ms and would find its condition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};

use super::effect::Fault;
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
    answer: Receiver<(anyhow::Result<T>, u64)>,
}

impl<T: Send + 'static> Peer<T> {
    /// Starts a process that runs `op` with its own handles.
    pub(super) fn start<H: Send + 'static>(
        handles: H,
        op: impl FnOnce(H) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (tell, answer) = mpsc::sync_channel(1);
        let number = Arc::new(AtomicU32::new(0));
        let own = Arc::clone(&number);
        let body = move || {
            own.store(own_tid(), Ordering::Release);
            let answer = op(handles);
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
    pub(super) fn asleep_in<H: Send + 'static>(
        handles: H,
        op: impl FnOnce(H) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let peer = Peer::start(handles, op)?;
        let until_ns = monotonic_ns() + STARVED_NS;
        while !peer.is_asleep() {
            ensure!(monotonic_ns() < until_ns, "a peer that was to wait does not");
            thread::yield_now();
        }
        Ok(peer)
    }
}

impl<T> Peer<T> {
    fn is_asleep(&self) -> bool {
        is_asleep(Sleeper::Thread(self.thread))
    }

    /// Waits until the peer returns, as it must if `owed` returns `true`: its answer, and when it came. `None` if it
    /// rightly still sleeps. Sets `wake_lost` if it went on sleeping although its condition held.
    fn settle(&self, since_ns: u64, wake_lost: &mut bool, owed: impl Fn() -> bool) -> anyhow::Result<Option<(T, u64)>> {
        let mut overslept_since_ns = None;
        let mut pause = Duration::ZERO;
        loop {
            match self.answer.recv_timeout(pause) {
                Ok((answer, at_ns)) => return Ok(Some((answer?, at_ns))),
                Err(RecvTimeoutError::Disconnected) => bail!(Fault::Unusable),
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
                *wake_lost |= now_ns - *overslept_since_ns.get_or_insert(now_ns) > OVERSLEPT_NS;
            }
            let patience_ns = if slept { PROMISED_NS } else { STARVED_NS };
            ensure!(now_ns.saturating_sub(since_ns) <= patience_ns, Fault::Hangs);
            pause = Duration::from_micros(50);
        }
    }
}

/// The time of a death, and what was observed after it.
#[derive(Debug, Default)]
pub(super) struct Observation {
    pub(super) victim_pid: u32,
    /// 0 until the victim is killed.
    pub(super) killed_ns: u64,
    /// The longest time from the kill until a survivor went on.
    pub(super) slowest_ns: u64,
    /// Whether a sleeper was not woken and found its condition by its own check.
    pub(super) wake_lost: bool,
}

impl Observation {
    /// Returns the result of a peer that slept through the death, and `true`.
    ///
    /// If it still sleeps and `owed` returns `false`, `relieve` is called to let it go on, and the result is `false`.
    pub(super) fn settle<T>(
        &mut self,
        peer: &Peer<T>,
        owed: impl Fn() -> bool,
        relieve: impl FnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<(bool, T)> {
        if let Some((answer, at_ns)) = peer.settle(self.killed_ns, &mut self.wake_lost, owed)? {
            self.slowest_ns = self.slowest_ns.max(at_ns.saturating_sub(self.killed_ns));
            return Ok((true, answer));
        }
        relieve(self)?;
        Ok((false, self.back(peer)?))
    }

    /// Returns the result of a peer that has to return in any case.
    pub(super) fn back<T>(&mut self, peer: &Peer<T>) -> anyhow::Result<T> {
        let (_, answer) = self.settle(peer, || true, |_| bail!(Fault::Hangs))?;
        Ok(answer)
    }

    /// Runs `op` on a new thread with its own handles; it must finish within 250 ms.
    pub(super) fn fresh<H: Send + 'static, T: Send + 'static>(
        &mut self,
        handles: H,
        op: impl FnOnce(H) -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<T> {
        let begun_ns = monotonic_ns();
        let settled = Peer::start(handles, op)?.settle(begun_ns, &mut false, || true)?;
        let (answer, at_ns) = settled.ok_or(Fault::Hangs)?;
        self.slowest_ns = self.slowest_ns.max(at_ns.saturating_sub(begun_ns));
        Ok(answer)
    }
}
