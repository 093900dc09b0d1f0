//! Locks: the death of the holder hands them on, and every other death leaves them unchanged. Whatever the dead
//! holder's depth was, the next holder of a reentrant lock gets all of it.

use super::*;
use crate::Lock;
use crate::sync::{GenericLock, LockGuard};

const GET_IT: Texts = ["get the lock", "获得锁"];
const TAKE_OVER: Texts = ["take it over, are told", "接管锁，并得到通知"];
const PEER_GETS_IT: Texts = ["the peer gets the lock", "等待者获得锁"];
const ACQUIRED: (Effect, Effect) = (Undone, HandedOn);
const RELEASED: (Effect, Effect) = (HandedOn, Done);

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(acquire::<false>, acquiring).before(IDLE, GET_IT, Undone).like_python("Lock.idle"),
        Row::of(acquire, contended).asleep(WAITING, PEER_GETS_IT, Undone).like_python("Lock.waiting"),
        Row::of(release::<false>, releasing).before(HOLDING, TAKE_OVER, HandedOn).like_python("Lock.holding"),
        Row::of(acquire::<false>, acquiring).between(IN_ACQUIRE, GET_IT, ACQUIRED).like_python("Lock.in_acquire"),
        Row::of(acquire, inherited).between(
            ["in acquire, of the dead", "acquire 中，接管遗留的锁"],
            TAKE_OVER,
            (HandedOn, HandedOn),
        ),
        Row::of(acquire, contended)
            .between(IN_ACQUIRE_QUEUED, PEER_GETS_IT, ACQUIRED)
            .like_python("Lock.in_acquire_among_peers"),
        Row::of(release::<false>, releasing).between(IN_RELEASE, GET_IT, RELEASED).like_python("Lock.in_release"),
        Row::of(release::<false>, to_peer)
            .between(IN_RELEASE_TO_PEER, PEER_GETS_IT, RELEASED)
            .like_python("Lock.in_release_among_peers"),
    ]
}

pub(super) fn reentrant_rows() -> Vec<Row> {
    vec![
        Row::of(release::<true>, releasing).before(HOLDING, TAKE_OVER, HandedOn).like_python("RLock.holding"),
        Row::of(acquire::<true>, acquiring)
            .between(["in acquire, twice", "两次 acquire 中"], GET_IT, ACQUIRED)
            .like_python("RLock.in_acquire"),
        Row::of(release::<true>, releasing)
            .between(["in release, twice", "两次 release 中"], GET_IT, RELEASED)
            .like_python("RLock.in_release"),
        Row::of(release::<true>, to_peer)
            .between(IN_RELEASE_TO_PEER, PEER_GETS_IT, RELEASED)
            .like_python("RLock.in_release_among_peers"),
    ]
}

/// Acquires a lock that this thread already holds, if it is reentrant.
fn acquire_deeper<const REENTRANT: bool>(lock: &GenericLock<REENTRANT>) -> Result<Option<LockGuard<'_>>> {
    Ok(if REENTRANT { Some(lock.acquire()?) } else { None })
}

fn acquire<const REENTRANT: bool>(lock: GenericLock<REENTRANT>) -> RoleResult {
    marked(|| (lock.acquire(), acquire_deeper(&lock)))
}

fn release<const REENTRANT: bool>(lock: GenericLock<REENTRANT>) -> RoleResult {
    let guard = lock.acquire()?;
    let inner = acquire_deeper(&lock)?;
    marked(|| drop((inner, guard)))
}

/// Returns what a survivor does: acquires the lock, and determines whether its last holder died with it.
fn survivor<const R: bool>(otherwise: Effect) -> impl FnOnce(GenericLock<R>) -> Result<Effect> + Send + 'static {
    move |lock| {
        let guard = lock.acquire_timeout(LONG)?.ok_or(Fault::Hangs)?;
        let inner = acquire_deeper(&lock)?;
        ensure!(inner.is_none_or(|inner| inner.abandoned().is_none()), Fault::Twice);
        Ok(if guard.abandoned().is_some() { HandedOn } else { otherwise })
    }
}

/// The lock remains usable, and the death is reported only once.
fn two_rounds<const REENTRANT: bool>(
    seen: &mut Observation,
    lock: &GenericLock<REENTRANT>,
    effect: Effect,
) -> Result<Effect> {
    for _ in 0..2 {
        ensure!(seen.fresh(lock.clone(), survivor(Done))? == Done, Fault::Twice);
    }
    Ok(effect)
}

/// No other process uses the lock.
fn alone<const R: bool>(kill: Kill<'_, GenericLock<R>>, lock: &GenericLock<R>, otherwise: Effect) -> Result<Effect> {
    let seen = kill.alone(lock.clone())?;
    let effect = seen.fresh(lock.clone(), survivor(otherwise))?;
    two_rounds(seen, lock, effect)
}

fn acquiring<const REENTRANT: bool>(kill: Kill<'_, GenericLock<REENTRANT>>) -> Result<Effect> {
    alone(kill, &GenericLock::new()?, Undone)
}

fn releasing<const REENTRANT: bool>(kill: Kill<'_, GenericLock<REENTRANT>>) -> Result<Effect> {
    alone(kill, &GenericLock::new()?, Done)
}

/// The victim acquires the lock of a dead holder: the next acquirer is told as well.
fn inherited(kill: Kill<'_, Lock>) -> Result<Effect> {
    let lock = Lock::new()?;
    kill.predecessor(lock.clone())?;
    alone(kill, &lock, Undone)
}

/// The victim waits behind a holder and is woken by the release; a peer waits behind the victim.
fn contended(kill: Kill<'_, Lock>) -> Result<Effect> {
    let lock = Lock::new()?;
    let mut held = Some(lock.acquire()?);
    let (seen, behind) = kill
        .victim(lock.clone())?
        .kill_ahead_of(|| Peer::asleep_in(lock.clone(), survivor(Undone)), || Ok(held.take()))?;
    // The waiting peer may also have been faster than the victim; then the peer's successor is told.
    let effect = match (seen.back(&behind)?, seen.fresh(lock.clone(), survivor(Done))?) {
        (HandedOn, HandedOn) => bail!(Fault::Twice),
        (effect, Done) => effect,
        _ => HandedOn,
    };
    two_rounds(seen, &lock, effect)
}

/// A peer waits for the lock that the victim releases.
fn to_peer<const REENTRANT: bool>(kill: Kill<'_, GenericLock<REENTRANT>>) -> Result<Effect> {
    let lock = GenericLock::new()?;
    let victim = kill.victim(lock.clone())?;
    let peer = Peer::asleep_in(lock.clone(), survivor(Done))?;
    let seen = victim.kill()?;
    let effect = seen.back(&peer)?;
    two_rounds(seen, &lock, effect)
}
