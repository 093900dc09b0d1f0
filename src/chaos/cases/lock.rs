//! Locks: the death of the holder hands them on, and every other death leaves them unchanged. Whatever the dead
//! holder's depth was, the next holder of a reentrant lock gets all of it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::sys::trace::mark;
use crate::{Lock, RLock};

const GET_IT: Localized = localized("get the lock", "获得锁");
const TAKE_OVER: Localized = localized("take it over, are told", "接管锁，并得知");
const PEER_GETS_IT: Localized = localized("the peer gets the lock", "等待者获得锁");
const ACQUIRED: (Effect, Effect) = (Undone, HandedOn);
const RELEASED: (Effect, Effect) = (HandedOn, Done);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Case::of("Lock", acquire::<Lock>, |kill| alone(kill, Undone))
            .before(IDLE, GET_IT, Undone)
            .like_python("Lock.idle"),
        Case::of("Lock", acquire, contended).asleep(WAITING, PEER_GETS_IT, Undone).like_python("Lock.waiting"),
        Case::of("Lock", release::<Lock>, |kill| alone(kill, Done))
            .before(HOLDING, TAKE_OVER, HandedOn)
            .like_python("Lock.holding"),
        Case::of("Lock", acquire::<Lock>, |kill| alone(kill, Undone))
            .within(IN_ACQUIRE, GET_IT, ACQUIRED)
            .like_python("Lock.in_acquire"),
        Case::of("Lock", acquire, inherited).within(
            localized("in acquire, of the dead", "acquire 中，接管死者的锁"),
            TAKE_OVER,
            (HandedOn, HandedOn),
        ),
        Case::of("Lock", acquire, contended)
            .within(IN_ACQUIRE_QUEUED, PEER_GETS_IT, ACQUIRED)
            .like_python("Lock.in_acquire_among_peers"),
        Case::of("Lock", release::<Lock>, |kill| alone(kill, Done))
            .within(IN_RELEASE, GET_IT, RELEASED)
            .like_python("Lock.in_release"),
        Case::of("Lock", release::<Lock>, to_peer)
            .within(IN_RELEASE_TO_PEER, PEER_GETS_IT, RELEASED)
            .like_python("Lock.in_release_among_peers"),
        Case::of("RLock", release::<RLock>, |kill| alone(kill, Done))
            .before(HOLDING, TAKE_OVER, HandedOn)
            .like_python("RLock.holding"),
        Case::of("RLock", acquire::<RLock>, |kill| alone(kill, Undone))
            .within(localized("in acquire, twice", "acquire 两次中"), GET_IT, ACQUIRED)
            .like_python("RLock.in_acquire"),
        Case::of("RLock", release::<RLock>, |kill| alone(kill, Done))
            .within(localized("in release, twice", "release 两次中"), GET_IT, RELEASED)
            .like_python("RLock.in_release"),
        Case::of("RLock", release::<RLock>, to_peer)
            .within(IN_RELEASE_TO_PEER, PEER_GETS_IT, RELEASED)
            .like_python("RLock.in_release_among_peers"),
    ]
}

/// A lock of either kind.
trait AnyLock: Clone + Serialize + DeserializeOwned + Send + 'static {
    fn new() -> Result<Self>;

    /// Acquires the lock as deep as its kind allows here, passes on whether its last holder died with it, and releases.
    fn hold<T>(&self, timeout: Option<Duration>, meanwhile: impl FnOnce(bool) -> T) -> Result<T>;
}

impl AnyLock for Lock {
    fn new() -> Result<Self> {
        Ok(Lock::new()?)
    }

    fn hold<T>(&self, timeout: Option<Duration>, meanwhile: impl FnOnce(bool) -> T) -> Result<T> {
        let guard = match timeout {
            None => self.acquire()?,
            Some(timeout) => self.acquire_timeout(timeout)?.ok_or(Fault::Hangs)?,
        };
        Ok(meanwhile(guard.abandoned().is_some()))
    }
}

impl AnyLock for RLock {
    fn new() -> Result<Self> {
        Ok(RLock::new()?)
    }

    fn hold<T>(&self, timeout: Option<Duration>, meanwhile: impl FnOnce(bool) -> T) -> Result<T> {
        let outer = match timeout {
            None => self.acquire()?,
            Some(timeout) => self.acquire_timeout(timeout)?.ok_or(Fault::Hangs)?,
        };
        let inner = self.acquire()?;
        ensure!(inner.abandoned().is_none(), Fault::Twice);
        Ok(meanwhile(outer.abandoned().is_some()))
    }
}

fn acquire<L: AnyLock>(lock: L) -> RoleResult {
    mark();
    Ok(lock.hold(None, |_| mark())?)
}

fn release<L: AnyLock>(lock: L) -> RoleResult {
    lock.hold(None, |_| mark())?;
    mark();
    Ok(())
}

/// Returns what a survivor does: acquires the lock, and determines whether its last holder died with it.
fn survivor<L: AnyLock>(lock: &L, otherwise: Effect) -> impl FnOnce() -> Result<Effect> + Send + 'static {
    let lock = lock.clone();
    move || lock.hold(Some(LONG), |is_abandoned| if is_abandoned { HandedOn } else { otherwise })
}

/// The lock can be acquired again and again, and nobody is told a second time.
fn two_rounds<L: AnyLock>(seen: &mut Observation, lock: &L) -> Result<()> {
    for _ in 0..2 {
        ensure!(seen.fresh(survivor(lock, Done))? == Done, Fault::Twice);
    }
    Ok(())
}

/// Nobody else has to do with the lock.
fn alone<L: AnyLock>(kill: Kill<'_, L>, otherwise: Effect) -> Result<Effect> {
    let lock = L::new()?;
    let seen = kill.victim(lock.clone())?.kill()?;
    let effect = seen.fresh(survivor(&lock, otherwise))?;
    two_rounds(seen, &lock)?;
    Ok(effect)
}

/// The victim acquires the lock of a dead holder: the next acquirer is told as well.
fn inherited(kill: Kill<'_, Lock>) -> Result<Effect> {
    let lock = Lock::new()?;
    kill.predecessor(lock.clone())?;
    let seen = kill.victim(lock.clone())?.kill()?;
    let effect = seen.fresh(survivor(&lock, Undone))?;
    two_rounds(seen, &lock)?;
    Ok(effect)
}

/// The victim waits behind a holder and is woken by the release; a peer waits behind the victim.
fn contended(kill: Kill<'_, Lock>) -> Result<Effect> {
    let lock = Lock::new()?;
    let mut held = Some(lock.acquire()?);
    let (seen, behind) = kill.victim(lock.clone())?.kill_waking(|| {
        let behind = Peer::asleep_in(survivor(&lock, Undone))?;
        held.take();
        Ok(behind)
    })?;
    // The waiting peer may also have been faster than the victim; then the peer's successor is told.
    let effect = match (seen.back(&behind)?, seen.fresh(survivor(&lock, Done))?) {
        (HandedOn, HandedOn) => bail!(Fault::Twice),
        (effect, Done) => effect,
        _ => HandedOn,
    };
    two_rounds(seen, &lock)?;
    Ok(effect)
}

/// A peer waits for the lock that the victim releases.
fn to_peer<L: AnyLock>(kill: Kill<'_, L>) -> Result<Effect> {
    let lock = L::new()?;
    let victim = kill.victim(lock.clone())?;
    let peer = Peer::asleep_in(survivor(&lock, Done))?;
    let seen = victim.kill()?;
    let effect = seen.back(&peer)?;
    two_rounds(seen, &lock)?;
    Ok(effect)
}
