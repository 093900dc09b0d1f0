//! Semaphores: an acquire or release happened or not. A dead process keeps its permits, as in Python; those of an
//! [`OwnedSemaphore`] are reclaimed, so that after every death all its permits are free.

use super::*;
use crate::sync::OwnedSemaphore;
use crate::{BoundedSemaphore, Semaphore};

const GO_ON: Texts = ["take the other permits", "取得其他许可"];
const GET_ALL: Texts = ["get all permits", "获得全部许可"];
const PEER_GETS_IT: Texts = ["the peer gets a permit", "等待者获得许可"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(acquire, available).before(IDLE, GO_ON, Undone).like_python("Semaphore.idle"),
        Row::of(acquire, queued).asleep(WAITING, PEER_GETS_IT, Undone).like_python("Semaphore.waiting"),
        Row::of(acquire, available).within(IN_ACQUIRE, GO_ON).like_python("Semaphore.in_acquire"),
        Row::of(acquire, queued)
            .within(IN_ACQUIRE_QUEUED, PEER_GETS_IT)
            .by_liveness_check()
            .like_python("Semaphore.in_acquire_among_peers"),
        Row::of(release, released).within(IN_RELEASE, GO_ON).like_python("Semaphore.in_release"),
        Row::of(release, to_peer)
            .within(IN_RELEASE_TO_PEER, PEER_GETS_IT)
            .like_python("Semaphore.in_release_among_peers"),
    ]
}

pub(super) fn bounded_rows() -> Vec<Row> {
    vec![
        Row::of(release_bounded, bounded_to_peer)
            .within(IN_RELEASE_TO_PEER, PEER_GETS_IT)
            .by_liveness_check()
            .like_python("BoundedSemaphore.in_release_among_peers"),
    ]
}

pub(super) fn owned_rows() -> Vec<Row> {
    vec![
        Row::of(acquire_owned, owned_queued)
            .asleep(WAITING, PEER_GETS_IT, Done)
            .by_liveness_check()
            .like_python("Semaphore.waiting"),
        Row::of(release_owned, owned_to_peer)
            .before(HOLDING, PEER_GETS_IT, Done)
            .by_liveness_check()
            .like_python("Semaphore.holding_all"),
        Row::of(acquire_owned, owned_available)
            .hidden_within(IN_ACQUIRE, GET_ALL)
            .like_python("Semaphore.in_acquire_all"),
        Row::of(acquire_owned, owned_queued).hidden_within(IN_ACQUIRE_QUEUED, PEER_GETS_IT).by_liveness_check().extra(),
        Row::of(release_owned, owned_to_peer)
            .hidden_within(IN_RELEASE_TO_PEER, PEER_GETS_IT)
            .by_liveness_check()
            .like_python("Semaphore.in_release_all"),
    ]
}

fn acquire(semaphore: Semaphore) -> RoleResult {
    marked(|| semaphore.acquire())
}

fn release(semaphore: Semaphore) -> RoleResult {
    marked(|| semaphore.release())
}

fn release_bounded(semaphore: BoundedSemaphore) -> RoleResult {
    semaphore.acquire();
    marked(|| semaphore.release())
}

fn acquire_owned(semaphore: OwnedSemaphore) -> RoleResult {
    marked(|| semaphore.acquire())
}

fn release_owned(semaphore: OwnedSemaphore) -> RoleResult {
    let permit = semaphore.acquire();
    marked(|| drop(permit))
}

/// Releases and acquires twice, and leaves the number of permits unchanged.
fn two_rounds(seen: &mut Observation, semaphore: &Semaphore, permits: u32, effect: Effect) -> Result<Effect> {
    ensure!(semaphore.get_value() == permits, Fault::Twice);
    seen.fresh(semaphore.clone(), |semaphore| {
        for _ in 0..2 {
            semaphore.release()?;
            ensure!(semaphore.acquire_timeout(LONG), Fault::Lost);
        }
        Ok(())
    })?;
    demand(semaphore.get_value() == permits, Fault::Lost).map(|()| effect)
}

fn waiter(semaphore: &Semaphore) -> Result<Peer<()>> {
    Peer::asleep_in(semaphore.clone(), |semaphore| demand(semaphore.acquire_timeout(LONG), Fault::Hangs))
}

/// One of two permits.
fn available(kill: Kill<'_, Semaphore>) -> Result<Effect> {
    let semaphore = Semaphore::new(2)?;
    let seen = kill.alone(semaphore.clone())?;
    let permits = semaphore.get_value();
    ensure!(matches!(permits, 1 | 2), Fault::Lost);
    two_rounds(seen, &semaphore, permits, Effect::done_if(permits == 1))
}

/// The victim finds no permit and is woken by a release; a peer waits behind it.
fn queued(kill: Kill<'_, Semaphore>) -> Result<Effect> {
    let semaphore = Semaphore::new(0)?;
    let (seen, behind) =
        kill.victim(semaphore.clone())?.kill_ahead_of(|| waiter(&semaphore), || Ok(semaphore.release()?))?;
    // If the victim took the permit, the next one is for the waiter behind it.
    let (is_served, ()) = seen.settle(&behind, || semaphore.get_value() > 0, |_| Ok(semaphore.release()?))?;
    two_rounds(seen, &semaphore, 0, Effect::done_if(!is_served))
}

fn released(kill: Kill<'_, Semaphore>) -> Result<Effect> {
    let semaphore = Semaphore::new(0)?;
    let seen = kill.alone(semaphore.clone())?;
    let is_released = semaphore.try_acquire();
    two_rounds(seen, &semaphore, 0, Effect::done_if(is_released))
}

/// A peer waits for the permit that the victim releases.
fn to_peer(kill: Kill<'_, Semaphore>) -> Result<Effect> {
    let semaphore = Semaphore::new(0)?;
    let peer = waiter(&semaphore)?;
    let seen = kill.alone(semaphore.clone())?;
    let (is_served, ()) = seen.settle(&peer, || semaphore.get_value() > 0, |_| Ok(semaphore.release()?))?;
    two_rounds(seen, &semaphore, 0, Effect::done_if(is_served))
}

/// The victim holds the only permit and releases it; a peer waits for it.
fn bounded_to_peer(kill: Kill<'_, BoundedSemaphore>) -> Result<Effect> {
    let semaphore = BoundedSemaphore::new(1)?;
    let victim = kill.victim(semaphore.clone())?;
    let peer = Peer::asleep_in(semaphore.clone(), |same| demand(same.acquire_timeout(LONG), Fault::Hangs))?;
    let seen = victim.kill()?;
    // A dead process keeps its permits, as in Python; any process may release them in its place.
    let (is_served, ()) = seen.settle(&peer, || semaphore.get_value() > 0, |_| Ok(semaphore.release()?))?;
    for _ in 0..2 {
        semaphore.release().map_err(|_| Fault::Lost)?;
        ensure!(semaphore.release().is_err(), Fault::Twice);
        ensure!(semaphore.try_acquire(), Fault::Lost);
    }
    Ok(Effect::done_if(is_served))
}

/// Acquires all permits, and no more, twice. A released permit and a reclaimed one look the same.
fn all_are_free(seen: &mut Observation, semaphore: OwnedSemaphore, all: usize) -> Result<Effect> {
    seen.fresh(semaphore, move |semaphore| {
        for _ in 0..2 {
            let permits: Vec<_> = (0..=all).map_while(|_| semaphore.try_acquire()).collect();
            ensure!(permits.len() >= all, Fault::Lost);
            ensure!(permits.len() <= all, Fault::Twice);
        }
        Ok(Done)
    })
}

fn owned_waiter(semaphore: &OwnedSemaphore) -> Result<Peer<()>> {
    Peer::asleep_in(semaphore.clone(), |semaphore| demand(semaphore.acquire_timeout(LONG).is_some(), Fault::Hangs))
}

/// One of two permits.
fn owned_available(kill: Kill<'_, OwnedSemaphore>) -> Result<Effect> {
    let semaphore = OwnedSemaphore::new(2)?;
    let seen = kill.alone(semaphore.clone())?;
    ensure!(semaphore.get_value() == 2, Fault::Lost);
    all_are_free(seen, semaphore, 2)
}

/// The only permit is held; the victim waits for it, and a peer behind it.
fn owned_queued(kill: Kill<'_, OwnedSemaphore>) -> Result<Effect> {
    let semaphore = OwnedSemaphore::new(1)?;
    let mut held = semaphore.try_acquire();
    let (seen, behind) =
        kill.victim(semaphore.clone())?.kill_ahead_of(|| owned_waiter(&semaphore), || Ok(held.take()))?;
    seen.back(&behind)?;
    drop(held);
    all_are_free(seen, semaphore, 1)
}

/// The victim releases the only permit; a peer waits for it.
fn owned_to_peer(kill: Kill<'_, OwnedSemaphore>) -> Result<Effect> {
    let semaphore = OwnedSemaphore::new(1)?;
    let victim = kill.victim(semaphore.clone())?;
    let peer = owned_waiter(&semaphore)?;
    let seen = victim.kill()?;
    seen.back(&peer)?;
    all_are_free(seen, semaphore, 1)
}
