//! The reentrant lock: whatever the dead holder's depth was, the next holder gets all of it.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{HOLDING, Localized, localized};
use crate::chaos::peer::Peer;
use crate::sync::LockGuard;
use crate::sys::trace::mark;
use crate::{RLock, RoleResult};

const NAME: &str = "RLock";
const GET_IT: Localized = localized("get the lock", "获得锁");
const TAKE_OVER: Localized = localized("take it over, are told", "接管锁，并得知");
const PEER_GETS_IT: Localized = localized("the peer gets the lock", "等待者获得锁");
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 4] = [
    Row::before::<Release<false>>(NAME, HOLDING, TAKE_OVER, Effect::HandedOn).like_python("RLock.holding"),
    Row::within::<Acquire>(
        NAME,
        localized("in acquire, twice", "acquire 两次中"),
        GET_IT,
        (Effect::Undone, Effect::HandedOn),
    )
    .like_python("RLock.in_acquire"),
    Row::within::<Release<false>>(
        NAME,
        localized("in release, twice", "release 两次中"),
        GET_IT,
        (Effect::HandedOn, Effect::Done),
    )
    .like_python("RLock.in_release"),
    Row::within::<Release<true>>(
        NAME,
        localized("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        (Effect::HandedOn, Effect::Done),
    )
    .like_python("RLock.in_release_among_peers"),
];

fn effect_of(guard: &LockGuard<'_>, otherwise: Effect) -> Effect {
    if guard.abandoned().is_some() { Effect::HandedOn } else { otherwise }
}

/// Acquires the lock twice, nested, and determines whether its last holder died; then another thread does the same.
fn look(observation: &mut Observation, lock: &RLock, otherwise: Effect) -> Result<Effect, Fault> {
    let mut round = |otherwise| {
        let lock = lock.clone();
        observation.fresh(move || {
            let outer = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
            let inner = lock.try_acquire().ok().flatten().ok_or(Fault::Unusable)?;
            demand(inner.abandoned().is_none(), Fault::Twice)?;
            Ok(effect_of(&outer, otherwise))
        })?
    };
    let effect = round(otherwise)?;
    demand(round(Effect::Done)? == Effect::Done, Fault::Twice)?;
    Ok(effect)
}

struct Acquire(RLock);

impl Case for Acquire {
    type Handles = RLock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(RLock::new()?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        mark();
        let _outer = lock.acquire()?;
        let _inner = lock.acquire()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, Effect::Undone)
    }
}

/// The victim releases both levels; with `PEER`, to a waiter.
struct Release<const PEER: bool> {
    lock: RLock,
    peer: Option<Peer<Result<Effect, Fault>>>,
}

impl<const PEER: bool> Case for Release<PEER> {
    type Handles = RLock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Release { lock: RLock::new()?, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.lock.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        let (outer, inner) = (lock.acquire()?, lock.acquire()?);
        mark();
        drop(inner);
        drop(outer);
        mark();
        Ok(())
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        let lock = self.lock.clone();
        let wait = move || {
            let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
            Ok(effect_of(&guard, Effect::Done))
        };
        self.peer = if PEER { Some(Peer::asleep_in(wait)?) } else { None };
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let Some(peer) = &mut self.peer else { return look(observation, &self.lock, Effect::Done) };
        let effect = observation.back(peer)??;
        demand(look(observation, &self.lock, Effect::Done)? == Effect::Done, Fault::Twice)?;
        Ok(effect)
    }
}
