//! Locks and permits of semaphores: the events that workers report, and a guard that reports them.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::scenario::WorkerContext;

use crate::report::{AnyFact, Class, Fact, Noun, Severity, Shape, Thing, Things, Wording, say};
use crate::sync::LockGuard;
use crate::{Lock, Result};

/// The semaphore whose permits are parking spaces.
pub(super) const CAR_PARK: &str = "car park";

const LOCK: Noun = Noun::new("lock", "锁");
const PERMIT: Noun = Noun { is_shared: true, ..Noun::new("permit", "许可") };

/// Returns a lock that is free.
pub(super) fn lock(name: &str) -> Thing {
    Thing::new(LOCK, name, Shape::Lock { holder: None, in_cycle: false })
}

/// Returns a semaphore whose permits are all there.
pub(super) fn permits(name: &str, total: u32) -> Thing {
    Thing::new(PERMIT, name, Shape::Permits { total, holders: Vec::new() })
}

/// Marks the locks of a deadlock.
pub(super) fn mark_cycle<'a>(things: &mut Things, locks: impl IntoIterator<Item = &'a str>) {
    for name in locks {
        if let Some(Shape::Lock { in_cycle, .. }) = things.shape(LOCK, name) {
            *in_cycle = true;
        }
    }
}

/// What workers report of locks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the events")]
pub(crate) enum LockFact {
    /// A worker began to wait for a lock.
    LockWaiting { lock: String },
    /// A worker acquired it; `abandoned` if the previous holder died with it.
    LockAcquired { lock: String, waited_us: u64, abandoned: bool },
    /// A worker released it.
    LockReleased { lock: String, held_us: u64 },
    /// A worker gave up waiting for it.
    LockTimedOut { lock: String, waited_us: u64 },
}

impl Fact for LockFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::LockWaiting { lock } => Class::waits(LOCK, lock),
            Self::LockAcquired { lock, abandoned, .. } => Class { inherits: *abandoned, ..Class::acquires(LOCK, lock) },
            Self::LockReleased { lock, .. } => Class::releases(LOCK, lock),
            Self::LockTimedOut { lock, .. } => {
                Class { dot: Some((Severity::Trouble, "等待锁超时")), ..Class::goes_on(LOCK, lock) }
            }
        }
    }

    fn change(&self, worker: &str, things: &mut Things) {
        if let Self::LockAcquired { .. } = self {
            // What it has read before may be out of date; no event reports that it reads it again.
            things.read_again(worker);
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        let (Self::LockWaiting { lock: name }
        | Self::LockAcquired { lock: name, .. }
        | Self::LockReleased { lock: name, .. }
        | Self::LockTimedOut { lock: name, .. }) = self;
        // Several locks have numbers.
        let en = if name.starts_with("lock-") { name } else { "the lock" };
        let (zh, who) = (wording.name(name), buyer_number(&wording.event.worker));
        match self {
            Self::LockWaiting { .. } => say!(wording, "waits for {en}", "{who}等待{zh}"),
            Self::LockAcquired { abandoned: true, .. } => {
                let former = wording.former_holder(name).map(|former| wording.name(former));
                let former = former.as_deref().unwrap_or(wording.pick("its holder", "持有者"));
                say!(wording, "takes over {en} from {former}, which died", "{who}接管{zh}：{former}已终止")
            }
            Self::LockAcquired { waited_us, .. } => {
                say!(wording, "gets {en} ({waited})", "{who}获得{zh}（{waited}）", waited = wording.waited(*waited_us))
            }
            Self::LockReleased { held_us, .. } => {
                let held = wording.duration(*held_us);
                say!(wording, "releases {en} (held {held})", "{who}释放{zh}（持有 {held}）")
            }
            Self::LockTimedOut { waited_us, .. } => {
                let waited = wording.waited(*waited_us);
                say!(wording, "gives up on {en} ({waited})", "等待{zh}超时，放弃（{waited}）")
            }
        }
    }
}

/// What workers report of a semaphore.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the events")]
pub(crate) enum PermitFact {
    /// A worker began to wait for a permit.
    PermitWaiting { semaphore: String },
    /// A worker acquired one.
    PermitAcquired { semaphore: String, waited_us: u64 },
    /// A worker released its permit.
    PermitReleased { semaphore: String, held_us: u64 },
}

impl Fact for PermitFact {
    fn class(&self) -> Class<'_> {
        match self {
            Self::PermitWaiting { semaphore } => Class::waits(PERMIT, semaphore),
            Self::PermitAcquired { semaphore, .. } => Class::acquires(PERMIT, semaphore),
            Self::PermitReleased { semaphore, .. } => Class::releases(PERMIT, semaphore),
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::PermitWaiting { semaphore } if semaphore == CAR_PARK => {
                say!(wording, "waits for a space", "等待车位")
            }
            Self::PermitWaiting { .. } => say!(wording, "waits for a permit", "等待许可"),
            Self::PermitAcquired { semaphore, waited_us } => {
                let waited = wording.waited(*waited_us);
                if semaphore == CAR_PARK {
                    say!(wording, "drives in ({waited})", "停进车位（{waited}）")
                } else {
                    say!(wording, "gets a permit ({waited})", "获得许可（{waited}）")
                }
            }
            Self::PermitReleased { semaphore, held_us } => {
                let held = wording.duration(*held_us);
                if semaphore == CAR_PARK {
                    say!(wording, "drives out (parked {held})", "离开车位（停了 {held}）")
                } else {
                    say!(wording, "releases the permit (held {held})", "释放许可（持有 {held}）")
                }
            }
        }
    }
}

/// Returns the number of a buyer. The reference program of the ticket sale begins its lines with it.
pub(super) fn buyer_number(worker: &str) -> &str {
    worker.strip_prefix("buyer-").unwrap_or_default()
}

/// What is held, and its name in the events.
#[derive(Debug, Clone, Copy)]
pub(super) enum Holdable<'a> {
    Lock(&'a str),
    Permit(&'a str),
}

impl Holdable<'_> {
    fn name(self) -> String {
        let (Holdable::Lock(name) | Holdable::Permit(name)) = self;
        name.to_owned()
    }

    fn waiting(self) -> AnyFact {
        match self {
            Holdable::Lock(_) => LockFact::LockWaiting { lock: self.name() }.into(),
            Holdable::Permit(_) => PermitFact::PermitWaiting { semaphore: self.name() }.into(),
        }
    }

    fn acquired(self, waited_us: u64, abandoned: bool) -> AnyFact {
        match self {
            Holdable::Lock(_) => LockFact::LockAcquired { lock: self.name(), waited_us, abandoned }.into(),
            Holdable::Permit(_) => PermitFact::PermitAcquired { semaphore: self.name(), waited_us }.into(),
        }
    }

    fn released(self, held_us: u64) -> AnyFact {
        match self {
            Holdable::Lock(_) => LockFact::LockReleased { lock: self.name(), held_us }.into(),
            Holdable::Permit(_) => PermitFact::PermitReleased { semaphore: self.name(), held_us }.into(),
        }
    }
}

/// A lock or a permit that a worker holds and reports, with its guard.
pub(super) struct Held<'a, G> {
    guard: G,
    thing: Holdable<'a>,
    ctx: &'a WorkerContext,
    since_us: u64,
}

impl<'a, G> Held<'a, G> {
    /// Waits in `acquire`, which also returns whether the previous holder died.
    pub(super) fn acquire(
        thing: Holdable<'a>,
        ctx: &'a WorkerContext,
        acquire: impl FnOnce() -> Result<(G, bool)>,
    ) -> Result<Self> {
        let held = Self::acquire_if(thing, ctx, || acquire().map(Some))?;
        Ok(held.expect("a wait without end ends with the thing"))
    }

    /// As [`acquire`](Self::acquire), but gives up if `acquire` does.
    fn acquire_if(
        thing: Holdable<'a>,
        ctx: &'a WorkerContext,
        acquire: impl FnOnce() -> Result<Option<(G, bool)>>,
    ) -> Result<Option<Self>> {
        ctx.emit(thing.waiting())?;
        let (acquired, waited_us) = ctx.timed(acquire);
        let Some((guard, abandoned)) = acquired? else {
            ctx.emit(LockFact::LockTimedOut { lock: thing.name(), waited_us })?;
            return Ok(None);
        };
        let since_us = ctx.now_us();
        ctx.emit_at(since_us, thing.acquired(waited_us, abandoned))?;
        Ok(Some(Held { guard, thing, ctx, since_us }))
    }

    /// Releases it, and reports that.
    pub(super) fn release(self) -> Result<()> {
        self.release_with(|guard| {
            drop(guard);
            Ok(())
        })
    }

    /// Releases it, and reports that with the time before: two holders at once are never shown.
    pub(super) fn release_with(self, release: impl FnOnce(G) -> Result<()>) -> Result<()> {
        let at_us = self.ctx.now_us();
        release(self.guard)?;
        self.ctx.emit_at(at_us, self.thing.released(at_us - self.since_us))
    }
}

impl<'a> Held<'a, LockGuard<'a>> {
    /// Acquires a lock; blocks as long as another worker holds it.
    pub(super) fn lock(lock: &'a Lock, name: &'a str, ctx: &'a WorkerContext) -> Result<Self> {
        Self::acquire(Holdable::Lock(name), ctx, || lock.acquire().map(with_origin))
    }

    /// Acquires a lock, or gives up when the timeout has passed, if there is one.
    pub(super) fn lock_within(
        timeout: Option<Duration>,
        lock: &'a Lock,
        name: &'a str,
        ctx: &'a WorkerContext,
    ) -> Result<Option<Self>> {
        let Some(timeout) = timeout else { return Self::lock(lock, name, ctx).map(Some) };
        Self::acquire_if(Holdable::Lock(name), ctx, || Ok(lock.acquire_timeout(timeout)?.map(with_origin)))
    }
}

/// Returns whether the previous holder of the lock died, too.
fn with_origin(guard: LockGuard<'_>) -> (LockGuard<'_>, bool) {
    let abandoned = guard.abandoned().is_some();
    (guard, abandoned)
}
