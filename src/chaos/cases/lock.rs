//! The lock: the death of its holder hands it on, and every other death leaves it unchanged.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{HOLDING, IDLE, Localized, WAITING, localized};
use crate::chaos::peer::{Holder, Peer};
use crate::sys::trace::mark;
use crate::{Lock, RoleResult};

const NAME: &str = "Lock";
const GET_IT: Localized = localized("get the lock", "获得锁");
const TAKE_OVER: Localized = localized("take it over, are told", "接管锁，并得知");
const PEER_GETS_IT: Localized = localized("the peer gets the lock", "等待者获得锁");
/// For those who would wait for ever: long enough to be seen hanging.
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 8] = [
    Row::before::<Acquire>(NAME, IDLE, GET_IT, Effect::Undone).like_python("Lock.idle"),
    Row::asleep::<AcquireContended>(NAME, WAITING, PEER_GETS_IT, Effect::Undone).like_python("Lock.waiting"),
    Row::before::<Release>(NAME, HOLDING, TAKE_OVER, Effect::HandedOn).like_python("Lock.holding"),
    Row::within::<Acquire>(NAME, localized("in acquire", "acquire 中"), GET_IT, (Effect::Undone, Effect::HandedOn))
        .like_python("Lock.in_acquire"),
    Row::within::<Inherit>(
        NAME,
        localized("in acquire, of the dead", "acquire 中，接管死者的锁"),
        TAKE_OVER,
        (Effect::HandedOn, Effect::HandedOn),
    ),
    Row::within::<AcquireContended>(
        NAME,
        localized("in acquire, one behind", "acquire 中，后面有人等"),
        PEER_GETS_IT,
        (Effect::Undone, Effect::HandedOn),
    )
    .like_python("Lock.in_acquire_among_peers"),
    Row::within::<Release>(NAME, localized("in release", "release 中"), GET_IT, (Effect::HandedOn, Effect::Done))
        .like_python("Lock.in_release"),
    Row::within::<ReleaseToPeer>(
        NAME,
        localized("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        (Effect::HandedOn, Effect::Done),
    )
    .like_python("Lock.in_release_among_peers"),
];

/// Acquires the lock twice; no previous holder may have died with it.
fn two_rounds(lock: &Lock) -> Result<(), Fault> {
    for _ in 0..2 {
        let guard = lock.try_acquire().ok().flatten().ok_or(Fault::Unusable)?;
        demand(guard.abandoned().is_none(), Fault::Unusable)?;
    }
    Ok(())
}

/// Acquires the lock, determines whether its last holder died with it, and goes on.
fn look(observation: &mut Observation, lock: &Lock, otherwise: Effect) -> Result<Effect, Fault> {
    let lock = lock.clone();
    observation.fresh(move || {
        let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
        let effect = if guard.abandoned().is_some() { Effect::HandedOn } else { otherwise };
        drop(guard);
        two_rounds(&lock).map(|()| effect)
    })?
}

/// Starts a peer that waits for the lock as [`look`] does.
fn waiter(lock: &Lock, otherwise: Effect) -> anyhow::Result<Peer<Result<Effect, Fault>>> {
    let lock = lock.clone();
    Peer::asleep_in(move || {
        let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
        Ok(if guard.abandoned().is_some() { Effect::HandedOn } else { otherwise })
    })
}

struct Acquire(Lock);

impl Case for Acquire {
    type Handles = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(Lock::new()?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        mark();
        let _guard = lock.acquire()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, Effect::Undone)
    }
}

/// The victim acquires the lock of a dead holder: the next acquirer is told as well.
struct Inherit(Lock);

impl Case for Inherit {
    type Handles = Lock;

    fn prepare() -> anyhow::Result<Self> {
        let lock = Lock::new()?;
        let held = lock.clone();
        let dies_with_it = std::thread::spawn(move || held.acquire().map(std::mem::forget));
        dies_with_it.join().map_err(|_| anyhow::anyhow!("the first holder panicked"))??;
        Ok(Inherit(lock))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        Acquire::run_victim(lock)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, Effect::Undone)
    }
}

struct Release(Lock);

impl Case for Release {
    type Handles = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Release(Lock::new()?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        let guard = lock.acquire()?;
        mark();
        drop(guard);
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, Effect::Done)
    }
}

/// The victim waits behind a holder and is woken by the release; a peer waits behind the victim.
struct AcquireContended {
    lock: Lock,
    holder: Holder,
    behind: Option<Peer<Result<Effect, Fault>>>,
}

impl Case for AcquireContended {
    type Handles = Lock;

    fn prepare() -> anyhow::Result<Self> {
        let lock = Lock::new()?;
        let held = lock.clone();
        let holder = Holder::of(move |meanwhile| {
            let _guard = held.try_acquire();
            meanwhile();
        })?;
        Ok(AcquireContended { lock, holder, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.lock.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        Acquire::run_victim(lock)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.lock, Effect::Undone)?);
        self.holder.let_go();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        let behind = self.behind.as_mut().expect("it waits since the lock was let go");
        // The waiting peer may also have been faster than the victim; then the peer's successor is told.
        match (observation.back(behind)??, look(observation, &self.lock, Effect::Done)?) {
            (Effect::HandedOn, Effect::HandedOn) => Err(Fault::Twice),
            (effect, Effect::Done) => Ok(effect),
            _ => Ok(Effect::HandedOn),
        }
    }
}

/// A peer waits for the lock that the victim releases.
struct ReleaseToPeer {
    lock: Lock,
    peer: Option<Peer<Result<Effect, Fault>>>,
}

impl Case for ReleaseToPeer {
    type Handles = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(ReleaseToPeer { lock: Lock::new()?, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.lock.clone()
    }

    fn run_victim(lock: Self::Handles) -> RoleResult {
        Release::run_victim(lock)
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        self.peer = Some(waiter(&self.lock, Effect::Done)?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let effect = observation.back(self.peer.as_mut().expect("it waits since the victim came to its mark"))??;
        demand(look(observation, &self.lock, Effect::Done)? == Effect::Done, Fault::Twice)?;
        Ok(effect)
    }
}
