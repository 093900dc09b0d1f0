//! The barrier: a round ends for all parties, or breaks for all.

use super::*;
use crate::sync::BreakCause;
use crate::{Barrier, Error};

const ARE_TOLD: Texts = ["are told who died", "得知谁已终止"];
const PASS_OR_ARE_TOLD: Texts = ["pass, or are told", "通过，或得知有进程终止"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(wait, last).before(IDLE, ARE_TOLD, Undone).by_liveness_check().like_python("Barrier.idle"),
        Row::of(wait, first).asleep(WAITING, ARE_TOLD, Undone).like_python("Barrier.waiting"),
        Row::of(wait, first)
            .within(["in wait, the first", "wait 中，最先到"], PASS_OR_ARE_TOLD)
            .by_liveness_check()
            .like_python("Barrier.in_wait"),
        Row::of(wait, last)
            .within(["in wait, the last", "wait 中，最后到"], PASS_OR_ARE_TOLD)
            .by_liveness_check()
            .like_python("Barrier.in_wait"),
    ]
}

fn wait(barrier: Barrier) -> RoleResult {
    marked(|| barrier.wait())
}

/// Waits. Returns whether the wait passed; otherwise it reported a death, which is that of `victim` if known.
fn pass(barrier: &Barrier, victim: Option<u32>) -> Result<bool> {
    match barrier.wait_timeout(LONG) {
        Ok(_) => Ok(true),
        Err(Error::BrokenBarrier(BreakCause::Died(pid))) if victim.is_none() || pid == victim => Ok(false),
        Err(Error::BrokenBarrier(BreakCause::TimedOut)) => bail!(Fault::Hangs),
        Err(_) => bail!(Fault::Unusable),
    }
}

/// Repairs the barrier if necessary; then two threads pass it twice.
fn two_rounds(seen: &mut Observation, barrier: &Barrier, effect: Effect) -> Result<Effect> {
    barrier.reset();
    for _ in 0..2 {
        let peer = Peer::start(barrier.clone(), |barrier| pass(&barrier, None))?;
        let has_passed = seen.fresh(barrier.clone(), |barrier| pass(&barrier, None))?;
        ensure!(has_passed && seen.back(&peer)?, Fault::Unusable);
    }
    Ok(effect)
}

/// A peer waits; the victim is the second of two.
fn last(kill: Kill<'_, Barrier>) -> Result<Effect> {
    let barrier = Barrier::new(2)?;
    let peer = Peer::asleep_in(barrier.clone(), |barrier| pass(&barrier, None))?;
    let seen = kill.alone(barrier.clone())?;
    let has_passed = seen.back(&peer)?;
    two_rounds(seen, &barrier, Effect::done_if(has_passed))
}

/// The victim waits; a peer arrives as the second of two.
fn first(kill: Kill<'_, Barrier>) -> Result<Effect> {
    let barrier = Barrier::new(2)?;
    let arrive = || Peer::start(barrier.clone(), |barrier| pass(&barrier, None));
    let (seen, peer) = kill.victim(barrier.clone())?.kill_asleep(arrive)?;
    let victim = seen.victim_pid;
    let has_passed = match &peer {
        Some(peer) => seen.back(peer)?,
        None => seen.fresh(barrier.clone(), move |barrier| pass(&barrier, Some(victim)))?,
    };
    two_rounds(seen, &barrier, Effect::done_if(has_passed))
}
