//! The barrier: a round ends for all parties, or breaks for all.

use super::*;
use crate::sync::BreakCause;
use crate::{Barrier, Error};

const ARE_TOLD: Localized = localized("are told who died", "得知谁已终止");
const PASS_OR_ARE_TOLD: Localized = localized("pass, or are told", "通过，或得知有进程终止");

pub(super) fn rows() -> Vec<Row> {
    vec![
        Case::of("Barrier", wait, last).before(IDLE, ARE_TOLD, Undone).by_liveness_check().like_python("Barrier.idle"),
        Case::of("Barrier", wait, first).asleep(WAITING, ARE_TOLD, Undone).like_python("Barrier.waiting"),
        Case::of("Barrier", wait, first)
            .within(localized("in wait, the first", "wait 中，最先到"), PASS_OR_ARE_TOLD, OPERATION)
            .by_liveness_check()
            .like_python("Barrier.in_wait"),
        Case::of("Barrier", wait, last)
            .within(localized("in wait, the last", "wait 中，最后到"), PASS_OR_ARE_TOLD, OPERATION)
            .by_liveness_check()
            .like_python("Barrier.in_wait"),
    ]
}

fn wait(barrier: Barrier) -> RoleResult {
    marked(|| barrier.wait())?;
    Ok(())
}

/// Returns what a survivor does: waits, and returns whether it passed. Otherwise a death was reported: of `victim`, if
/// it is known.
fn survivor(barrier: &Barrier, victim: Option<u32>) -> impl FnOnce() -> Result<bool> + Send + 'static {
    let barrier = barrier.clone();
    move || match barrier.wait_timeout(LONG) {
        Ok(_) => Ok(true),
        Err(Error::BrokenBarrier(BreakCause::Died(pid))) if victim.is_none() || pid == victim => Ok(false),
        Err(Error::BrokenBarrier(BreakCause::TimedOut)) => bail!(Fault::Hangs),
        Err(_) => bail!(Fault::Unusable),
    }
}

/// Repairs the barrier if necessary; then two threads pass it twice.
fn two_rounds(seen: &mut Observation, barrier: &Barrier) -> Result<()> {
    barrier.reset();
    for _ in 0..2 {
        let peer = Peer::start(survivor(barrier, None))?;
        ensure!(seen.fresh(survivor(barrier, None))? && seen.back(&peer)?, Fault::Unusable);
    }
    Ok(())
}

/// A peer waits; the victim is the second of two.
fn last(kill: Kill<'_, Barrier>) -> Result<Effect> {
    let barrier = Barrier::new(2)?;
    let peer = Peer::asleep_in(survivor(&barrier, None))?;
    let seen = kill.victim(barrier.clone())?.kill()?;
    let has_passed = seen.back(&peer)?;
    two_rounds(seen, &barrier)?;
    Ok(Effect::done_if(has_passed))
}

/// The victim waits; a peer arrives as the second of two.
fn first(kill: Kill<'_, Barrier>) -> Result<Effect> {
    let barrier = Barrier::new(2)?;
    let arrive = || Peer::start(survivor(&barrier, None));
    let (seen, peer) = kill.victim(barrier.clone())?.kill_asleep(arrive)?;
    let has_passed = match &peer {
        Some(peer) => seen.back(peer)?,
        None => seen.fresh(survivor(&barrier, Some(seen.victim_pid)))?,
    };
    two_rounds(seen, &barrier)?;
    Ok(Effect::done_if(has_passed))
}
