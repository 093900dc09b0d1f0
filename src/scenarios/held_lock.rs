//! A held lock, with its events reported.

use std::time::Duration;

use super::worker::WorkerContext;
use crate::report::Fact;
use crate::sync::LockGuard;
use crate::{Lock, Result};

/// A lock that a worker holds and reports.
pub(super) struct HeldLock<'a> {
    guard: LockGuard<'a>,
    name: &'a str,
    ctx: &'a WorkerContext,
    since_us: u64,
}

impl<'a> HeldLock<'a> {
    /// Acquires the lock; blocks as long as another worker holds it.
    pub(super) fn acquire(lock: &'a Lock, name: &'a str, ctx: &'a WorkerContext) -> Result<Self> {
        Ok(Self::acquire_within(None, lock, name, ctx)?.expect("a wait without end ends with the lock"))
    }

    /// Acquires the lock, or gives up when the timeout has passed.
    pub(super) fn acquire_within(
        timeout: Option<Duration>,
        lock: &'a Lock,
        name: &'a str,
        ctx: &'a WorkerContext,
    ) -> Result<Option<Self>> {
        ctx.emit(&Fact::LockWaiting { lock: name.to_owned() })?;
        let asked_us = ctx.now_us();
        let guard = match timeout {
            Some(timeout) => lock.acquire_timeout(timeout)?,
            None => Some(lock.acquire()?),
        };
        let since_us = ctx.now_us();
        let (lock, waited_us) = (name.to_owned(), since_us - asked_us);
        let Some(guard) = guard else {
            ctx.emit(&Fact::LockTimedOut { lock, waited_us })?;
            return Ok(None);
        };
        ctx.emit(&Fact::LockAcquired { lock, waited_us, abandoned: guard.abandoned().is_some() })?;
        Ok(Some(HeldLock { guard, name, ctx, since_us }))
    }

    /// Releases it, and reports that with the time before: two holders at once are never shown.
    pub(super) fn release(self) -> Result<()> {
        let HeldLock { guard, name, ctx, since_us } = self;
        let at_us = ctx.now_us();
        drop(guard);
        ctx.emit_at(at_us, &Fact::LockReleased { lock: name.to_owned(), held_us: at_us - since_us })
    }
}
