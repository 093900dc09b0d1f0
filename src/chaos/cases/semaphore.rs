//! The counting semaphore: an acquire or release happened or not; a dead process keeps its permits, as in Python.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{IDLE, Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::sys::trace::mark;
use crate::{BoundedSemaphore, RoleResult, Semaphore};

const NAME: &str = "Semaphore";
const GO_ON: Localized = localized("take the other permits", "取别的许可");
const PEER_GETS_IT: Localized = localized("the peer gets a permit", "等待者得到许可");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 7] = [
    Row::before::<Acquire>(NAME, IDLE, GO_ON, Effect::Undone).like_python("Semaphore.idle"),
    Row::asleep::<AcquireEmpty>(NAME, WAITING, PEER_GETS_IT, Effect::Undone).like_python("Semaphore.waiting"),
    Row::within::<Acquire>(NAME, localized("in acquire", "acquire 中"), GO_ON, OPERATION)
        .like_python("Semaphore.in_acquire"),
    Row::within::<AcquireEmpty>(
        NAME,
        localized("in acquire, one behind", "acquire 中，后面有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .looking_around()
    .like_python("Semaphore.in_acquire_among_peers"),
    Row::within::<Release<false>>(NAME, localized("in release", "release 中"), GO_ON, OPERATION)
        .like_python("Semaphore.in_release"),
    Row::within::<Release<true>>(
        NAME,
        localized("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .like_python("Semaphore.in_release_among_peers"),
    Row::within::<ReleaseBounded>(
        "BoundedSemaphore",
        localized("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .looking_around()
    .like_python("BoundedSemaphore.in_release_among_peers"),
];

/// Releases and acquires twice, and leaves the number of permits unchanged.
fn two_rounds(observation: &mut Observation, semaphore: &Semaphore) -> Result<(), Fault> {
    let semaphore = semaphore.clone();
    observation.fresh(move || {
        for _ in 0..2 {
            semaphore.release().map_err(|_| Fault::Unusable)?;
            demand(semaphore.acquire_timeout(LONG), Fault::Lost)?;
        }
        Ok(())
    })?
}

fn waiter(semaphore: &Semaphore) -> anyhow::Result<Peer<bool>> {
    let semaphore = semaphore.clone();
    Peer::asleep_in(move || semaphore.acquire_timeout(LONG))
}

/// One of two permits.
struct Acquire(Semaphore);

impl Case for Acquire {
    type Handles = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(Semaphore::new(2)?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        mark();
        semaphore.acquire();
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let effect = match self.0.get_value() {
            2 => Effect::Undone,
            1 => Effect::Done,
            _ => return Err(Fault::Lost),
        };
        two_rounds(observation, &self.0)?;
        demand(self.0.get_value() == 2 - u32::from(effect == Effect::Done), Fault::Lost)?;
        Ok(effect)
    }
}

/// The victim finds no permit and is woken by a release; a peer waits behind it.
struct AcquireEmpty {
    semaphore: Semaphore,
    behind: Option<Peer<bool>>,
}

impl Case for AcquireEmpty {
    type Handles = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(AcquireEmpty { semaphore: Semaphore::new(0)?, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.semaphore.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        Acquire::run_victim(semaphore)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.semaphore)?);
        Ok(self.semaphore.release()?)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if self.behind.is_none() {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        let behind = self.behind.as_mut().expect("it was just set to wait");
        let semaphore = &self.semaphore;
        let effect = match observation.settle(behind, || semaphore.get_value() > 0)? {
            Some(true) => Effect::Undone,
            Some(false) => return Err(Fault::Hangs),
            None => {
                // The victim took the permit. The next one is for the waiter behind it.
                semaphore.release().map_err(|_| Fault::Unusable)?;
                demand(observation.back(behind)?, Fault::Hangs)?;
                Effect::Done
            }
        };
        demand(semaphore.get_value() == 0, Fault::Twice)?;
        two_rounds(observation, &self.semaphore)?;
        Ok(effect)
    }
}

/// The victim releases a permit; with `PEER`, to a waiter.
struct Release<const PEER: bool> {
    semaphore: Semaphore,
    peer: Option<Peer<bool>>,
}

impl<const PEER: bool> Case for Release<PEER> {
    type Handles = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        let semaphore = Semaphore::new(0)?;
        let peer = if PEER { Some(waiter(&semaphore)?) } else { None };
        Ok(Release { semaphore, peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.semaphore.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        mark();
        semaphore.release()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let semaphore = &self.semaphore;
        let given = match &mut self.peer {
            None => semaphore.try_acquire(),
            Some(peer) => match observation.settle(peer, || semaphore.get_value() > 0)? {
                Some(got) => {
                    demand(got, Fault::Hangs)?;
                    true
                }
                None => {
                    semaphore.release().map_err(|_| Fault::Unusable)?;
                    demand(observation.back(peer)?, Fault::Hangs)?;
                    false
                }
            },
        };
        demand(semaphore.get_value() == 0, Fault::Twice)?;
        two_rounds(observation, semaphore)?;
        Ok(if given { Effect::Done } else { Effect::Undone })
    }
}

/// The victim holds the only permit and releases it; a peer waits for it.
struct ReleaseBounded {
    semaphore: BoundedSemaphore,
    peer: Option<Peer<bool>>,
}

impl Case for ReleaseBounded {
    type Handles = BoundedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(ReleaseBounded { semaphore: BoundedSemaphore::new(1)?, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.semaphore.clone()
    }

    fn run_victim(semaphore: Self::Handles) -> RoleResult {
        semaphore.acquire();
        mark();
        semaphore.release()?;
        mark();
        Ok(())
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        let semaphore = self.semaphore.clone();
        self.peer = Some(Peer::asleep_in(move || semaphore.acquire_timeout(LONG))?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let (semaphore, peer) = (&self.semaphore, self.peer.as_mut().expect("it was set to wait"));
        let effect = match observation.settle(peer, || semaphore.get_value() > 0)? {
            Some(got) => {
                demand(got, Fault::Hangs)?;
                Effect::Done
            }
            // A dead process keeps its permits, as in Python; any process may release them in its place.
            None => {
                semaphore.release().map_err(|_| Fault::Unusable)?;
                demand(observation.back(peer)?, Fault::Hangs)?;
                Effect::Undone
            }
        };
        for _ in 0..2 {
            semaphore.release().map_err(|_| Fault::Lost)?;
            demand(semaphore.release().is_err(), Fault::Twice)?;
            demand(semaphore.try_acquire(), Fault::Lost)?;
        }
        Ok(effect)
    }
}
