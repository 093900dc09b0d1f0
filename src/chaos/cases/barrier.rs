//! The barrier: a round ends for all parties, or breaks for all.

use std::sync::Arc;
use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{IDLE, Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::sync::BreakCause;
use crate::sys::trace::mark;
use crate::{Barrier, Error, RoleResult};

const NAME: &str = "Barrier";
const ARE_TOLD: Localized = localized("are told who died", "得知谁已终止");
const PASS_OR_ARE_TOLD: Localized = localized("pass, or are told", "通过，或得知有进程终止");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 4] = [
    Row::before::<Last>(NAME, IDLE, ARE_TOLD, Effect::Undone).looking_around().like_python("Barrier.idle"),
    Row::asleep::<First>(NAME, WAITING, ARE_TOLD, Effect::Undone).like_python("Barrier.waiting"),
    Row::within::<First>(NAME, localized("in wait, the first", "wait 中，最先到"), PASS_OR_ARE_TOLD, OPERATION)
        .looking_around()
        .like_python("Barrier.in_wait"),
    Row::within::<Last>(NAME, localized("in wait, the last", "wait 中，最后到"), PASS_OR_ARE_TOLD, OPERATION)
        .looking_around()
        .like_python("Barrier.in_wait"),
];

/// Waits at the barrier. Returns `Ok(true)` if it was passed, `Ok(false)` if the death of `victim` was reported.
fn wait(barrier: &Barrier, victim: Option<u32>) -> Result<bool, Fault> {
    match barrier.wait_timeout(LONG) {
        Ok(_) => Ok(true),
        Err(Error::BrokenBarrier(BreakCause::Died(pid))) if victim.is_none() || pid == victim => Ok(false),
        Err(Error::BrokenBarrier(BreakCause::TimedOut)) => Err(Fault::Hangs),
        Err(_) => Err(Fault::Unusable),
    }
}

fn waiter(barrier: &Barrier) -> Arc<dyn Fn() -> Result<bool, Fault> + Send + Sync> {
    let barrier = barrier.clone();
    Arc::new(move || wait(&barrier, None))
}

/// Repairs the barrier if necessary; then two threads pass it twice.
fn two_rounds(observation: &mut Observation, barrier: &Barrier) -> Result<(), Fault> {
    barrier.reset();
    for _ in 0..2 {
        let meet = waiter(barrier);
        let mut peer = Peer::start(move || meet()).map_err(|_| Fault::Unusable)?;
        let meet = waiter(barrier);
        let passed = observation.fresh(move || meet())??;
        demand(passed && observation.back(&mut peer)??, Fault::Unusable)?;
    }
    Ok(())
}

fn effect_of(passed: bool) -> Effect {
    if passed { Effect::Done } else { Effect::Undone }
}

/// A peer waits; the victim is the second of two.
struct Last {
    barrier: Barrier,
    peer: Peer<Result<bool, Fault>>,
}

impl Case for Last {
    type Handles = Barrier;

    fn prepare() -> anyhow::Result<Self> {
        let barrier = Barrier::new(2)?;
        let meet = waiter(&barrier);
        Ok(Last { barrier, peer: Peer::asleep_in(move || meet())? })
    }

    fn handles(&mut self) -> Self::Handles {
        self.barrier.clone()
    }

    fn run_victim(barrier: Self::Handles) -> RoleResult {
        mark();
        barrier.wait()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let passed = observation.back(&mut self.peer)??;
        two_rounds(observation, &self.barrier)?;
        Ok(effect_of(passed))
    }
}

/// The victim waits; a peer arrives as the second of two.
struct First {
    barrier: Barrier,
    peer: Option<Peer<Result<bool, Fault>>>,
}

impl Case for First {
    type Handles = Barrier;

    fn prepare() -> anyhow::Result<Self> {
        Ok(First { barrier: Barrier::new(2)?, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.barrier.clone()
    }

    fn run_victim(barrier: Self::Handles) -> RoleResult {
        Last::run_victim(barrier)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        let meet = waiter(&self.barrier);
        self.peer = Some(Peer::start(move || meet())?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let passed = match &mut self.peer {
            Some(peer) => observation.back(peer)??,
            None => {
                let (barrier, victim) = (self.barrier.clone(), Some(observation.victim_pid));
                observation.fresh(move || wait(&barrier, victim))??
            }
        };
        two_rounds(observation, &self.barrier)?;
        Ok(effect_of(passed))
    }
}
