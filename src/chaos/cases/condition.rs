//! The condition: a dead waiter consumes no notification, and no waiter depends on a dead notifier.

use super::*;
use crate::{Condition, Lock};

const NOTIFY_PEER: Texts = ["notify the living peer", "通知活着的等待者"];
const PEER_IS_TOLD: Texts = ["the peer is woken", "等待者被唤醒"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(wait, notified).asleep(WAITING, NOTIFY_PEER, Done).by_liveness_check().like_python("Condition.waiting"),
        Row::of(wait, notified)
            .hidden_within(["in wait, one behind", "wait 中，后有等待者"], PEER_IS_TOLD)
            .by_liveness_check()
            .extra()
            .like_python("Condition.in_wait"),
        Row::of(notify, notifying)
            .within(["in notify, a peer waits", "notify 中，有等待者"], PEER_IS_TOLD)
            .by_liveness_check()
            .like_python("Condition.in_notify"),
    ]
}

/// What the users of a condition share.
type Shared = (Lock, Condition);

fn wait((lock, condition): Shared) -> RoleResult {
    let guard = lock.acquire()?;
    marked(|| condition.wait(guard))
}

fn notify((lock, condition): Shared) -> RoleResult {
    marked(|| lock.acquire().and_then(|guard| condition.notify(&guard, 1)))
}

/// Starts a waiter. It returns whether a process had died with the lock when it was notified.
fn waiter(shared: &Shared) -> Result<Peer<bool>> {
    Peer::asleep_in(shared.clone(), |(lock, condition)| {
        let guard = lock.acquire_timeout(LONG)?.ok_or(Fault::Hangs)?;
        let (guard, is_notified) = condition.wait_timeout(guard, LONG)?;
        ensure!(is_notified, Fault::Hangs);
        Ok(guard.abandoned().is_some())
    })
}

/// Notifies one waiter; returns the number of notified waiters.
fn notify_one(seen: &mut Observation, shared: &Shared) -> Result<usize> {
    seen.fresh(shared.clone(), |(lock, condition)| {
        let guard = lock.acquire_timeout(LONG)?.ok_or(Fault::Hangs)?;
        Ok(condition.notify(&guard, 1)?)
    })
}

fn two_rounds(seen: &mut Observation, shared: &Shared, effect: Effect) -> Result<Effect> {
    for _ in 0..2 {
        ensure!(notify_one(seen, shared)? == 0, Fault::Twice);
        let peer = waiter(shared)?;
        ensure!(notify_one(seen, shared)? == 1, Fault::Lost);
        ensure!(!seen.back(&peer)?, Fault::Unusable);
    }
    Ok(effect)
}

/// The victim waits before a peer does, and one of the two is notified.
fn notified(kill: Kill<'_, Shared>) -> Result<Effect> {
    let shared = (Lock::new()?, Condition::new()?);
    let (seen, behind) = kill.victim(shared.clone())?.kill_asleep(|| {
        let behind = waiter(&shared)?;
        let guard = shared.0.acquire()?;
        shared.1.notify(&guard, 1)?;
        Ok(behind)
    })?;
    let behind = match behind {
        Some(behind) => behind,
        None => {
            // Later callers notice the death: the dead waiter gets no notification.
            let behind = waiter(&shared)?;
            ensure!(notify_one(seen, &shared)? == 1, Fault::Lost);
            behind
        }
    };
    seen.back(&behind)?;
    two_rounds(seen, &shared, Done)
}

/// The victim acquires the lock, notifies a waiting peer, and releases the lock.
fn notifying(kill: Kill<'_, Shared>) -> Result<Effect> {
    let shared = (Lock::new()?, Condition::new()?);
    let peer = waiter(&shared)?;
    let seen = kill.alone(shared.clone())?;
    // If the lock is not abandoned, the victim had not begun.
    let relieve = |seen: &mut Observation| demand(notify_one(seen, &shared)? == 1, Fault::Lost);
    let effect = match seen.settle(&peer, || shared.0.state().is_abandoned(), relieve)? {
        (true, true) => HandedOn,
        (true, false) => Done,
        (false, true) => bail!(Fault::Lost),
        (false, false) => Undone,
    };
    two_rounds(seen, &shared, effect)
}
