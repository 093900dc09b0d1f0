//! The semaphore whose permits are reclaimed from dead processes: after every death all permits are free.

use std::time::Duration;

use crate::RoleResult;
use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{HOLDING, Localized, WAITING, localized};
use crate::chaos::peer::{Holder, Peer};
use crate::sync::OwnedSemaphore;
use crate::sys::trace::mark;

const NAME: &str = "OwnedSemaphore";
const GET_ALL: Localized = localized("get all permits", "得到所有许可");
const PEER_GETS_IT: Localized = localized("the peer gets a permit", "等待者得到许可");
const LONG: Duration = Duration::from_secs(2);
/// A released permit and a reclaimed one look the same: both are free.
const FREE: (Effect, Effect) = (Effect::Done, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 5] = [
    Row::asleep::<AcquireEmpty>(NAME, WAITING, PEER_GETS_IT, Effect::Done)
        .looking_around()
        .like_python("Semaphore.waiting"),
    Row::before::<Release>(NAME, HOLDING, PEER_GETS_IT, Effect::Done)
        .looking_around()
        .like_python("Semaphore.holding_all"),
    Row::within::<Acquire>(NAME, localized("in acquire", "acquire 中"), GET_ALL, FREE)
        .like_python("Semaphore.in_acquire_all"),
    Row::within::<AcquireEmpty>(
        NAME,
        localized("in acquire, one behind", "acquire 中，后面有人等"),
        PEER_GETS_IT,
        FREE,
    )
    .looking_around()
    .extra(),
    Row::within::<Release>(NAME, localized("in release, a peer waits", "release 中，有人等"), PEER_GETS_IT, FREE)
        .looking_around()
        .like_python("Semaphore.in_release_all"),
];

/// Acquires all permits, and no more, twice.
fn two_rounds(observation: &mut Observation, semaphore: &OwnedSemaphore, all: usize) -> Result<(), Fault> {
    let semaphore = semaphore.clone();
    observation.fresh(move || {
        for _ in 0..2 {
            let permits: Vec<_> = (0..=all).map_while(|_| semaphore.try_acquire()).collect();
            demand(permits.len() >= all, Fault::Lost)?;
            demand(permits.len() <= all, Fault::Twice)?;
        }
        Ok(())
    })?
}

fn waiter(semaphore: &OwnedSemaphore) -> anyhow::Result<Peer<bool>> {
    let semaphore = semaphore.clone();
    Peer::asleep_in(move || semaphore.acquire_timeout(LONG).is_some())
}

/// One of two permits.
struct Acquire(OwnedSemaphore);

impl Case for Acquire {
    type Handles = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(OwnedSemaphore::new(2)?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        mark();
        let _permit = semaphore.acquire();
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        demand(self.0.get_value() == 2, Fault::Lost)?;
        two_rounds(observation, &self.0, 2).map(|()| Effect::Done)
    }
}

/// The only permit is held; the victim waits for it, and a peer behind it.
struct AcquireEmpty {
    semaphore: OwnedSemaphore,
    holder: Holder,
    behind: Option<Peer<bool>>,
}

impl Case for AcquireEmpty {
    type Handles = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        let semaphore = OwnedSemaphore::new(1)?;
        let held = semaphore.clone();
        let holder = Holder::of(move |meanwhile| {
            let _permit = held.try_acquire();
            meanwhile();
        })?;
        Ok(AcquireEmpty { semaphore, holder, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.semaphore.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        Acquire::run_victim(semaphore)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.semaphore)?);
        self.holder.let_go();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        demand(observation.back(self.behind.as_mut().expect("it was set to wait"))?, Fault::Hangs)?;
        two_rounds(observation, &self.semaphore, 1).map(|()| Effect::Done)
    }
}

/// The victim releases the only permit; a peer waits for it.
struct Release {
    semaphore: OwnedSemaphore,
    peer: Option<Peer<bool>>,
}

impl Case for Release {
    type Handles = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Release { semaphore: OwnedSemaphore::new(1)?, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.semaphore.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        let permit = semaphore.acquire();
        mark();
        drop(permit);
        mark();
        Ok(())
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        self.peer = Some(waiter(&self.semaphore)?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        demand(observation.back(self.peer.as_mut().expect("it was set to wait"))?, Fault::Hangs)?;
        two_rounds(observation, &self.semaphore, 1).map(|()| Effect::Done)
    }
}
