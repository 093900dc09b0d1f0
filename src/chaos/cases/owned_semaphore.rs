//! The semaphore whose permits come back from the dead: after every death all of them are free.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Row, Scene, demand};
use crate::chaos::peer::{Holder, Peer};
use crate::chaos::words::{HOLDING, WAITING, Words, words};
use crate::ipc::{OwnedSemaphore, RoleResult};
use crate::sys::trace::mark;

const NAME: &str = "OwnedSemaphore";
const GET_ALL: Words = words("get all permits", "得到所有许可");
const PEER_GETS_IT: Words = words("the peer gets a permit", "等待者得到许可");
const LONG: Duration = Duration::from_secs(2);
/// Nobody can tell a permit that was given back from one that came back: both are free.
const FREE: (Effect, Effect) = (Effect::Done, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 5] = [
    Row::asleep::<AcquireEmpty>(NAME, WAITING, PEER_GETS_IT, Effect::Done)
        .looking_around()
        .like_python("Semaphore.waiting"),
    Row::before::<Release>(NAME, HOLDING, PEER_GETS_IT, Effect::Done)
        .looking_around()
        .like_python("Semaphore.holding_all"),
    Row::within::<Acquire>(NAME, words("in acquire", "acquire 中"), GET_ALL, FREE)
        .like_python("Semaphore.in_acquire_all"),
    Row::within::<AcquireEmpty>(NAME, words("in acquire, one behind", "acquire 中，后面有人等"), PEER_GETS_IT, FREE)
        .looking_around()
        .extra(),
    Row::within::<Release>(NAME, words("in release, a peer waits", "release 中，有人等"), PEER_GETS_IT, FREE)
        .looking_around()
        .like_python("Semaphore.in_release_all"),
];

/// Takes all permits, and none more, twice.
fn two_rounds(scene: &mut Scene, semaphore: &OwnedSemaphore, all: usize) -> Result<(), Fault> {
    let semaphore = semaphore.clone();
    scene.fresh(move || {
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
    type Part = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(OwnedSemaphore::new(2)?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        mark();
        let _permit = semaphore.acquire();
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        demand(self.0.get_value() == 2, Fault::Lost)?;
        two_rounds(scene, &self.0, 2).map(|()| Effect::Done)
    }
}

/// The only permit is taken; the victim waits for it, and a peer behind it.
struct AcquireEmpty {
    semaphore: OwnedSemaphore,
    holder: Holder,
    behind: Option<Peer<bool>>,
}

impl Case for AcquireEmpty {
    type Part = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        let semaphore = OwnedSemaphore::new(1)?;
        let held = semaphore.clone();
        let holder = Holder::of(move |meanwhile| {
            let _permit = held.try_acquire();
            meanwhile();
        })?;
        Ok(AcquireEmpty { semaphore, holder, behind: None })
    }

    fn part(&mut self) -> Self::Part {
        self.semaphore.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        Acquire::suffer(semaphore)
    }

    fn rouse(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.semaphore)?);
        self.holder.let_go();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        if !scene.roused {
            self.rouse().map_err(|_| Fault::Unusable)?;
        }
        demand(scene.back(self.behind.as_mut().expect("it was set to wait"))?, Fault::Hangs)?;
        two_rounds(scene, &self.semaphore, 1).map(|()| Effect::Done)
    }
}

/// The victim gives back the only permit; a peer waits for it.
struct Release {
    semaphore: OwnedSemaphore,
    peer: Option<Peer<bool>>,
}

impl Case for Release {
    type Part = OwnedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Release { semaphore: OwnedSemaphore::new(1)?, peer: None })
    }

    fn part(&mut self) -> Self::Part {
        self.semaphore.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        let permit = semaphore.acquire();
        mark();
        drop(permit);
        mark();
        Ok(())
    }

    fn surround(&mut self) -> anyhow::Result<()> {
        self.peer = Some(waiter(&self.semaphore)?);
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        demand(scene.back(self.peer.as_mut().expect("it was set to wait"))?, Fault::Hangs)?;
        two_rounds(scene, &self.semaphore, 1).map(|()| Effect::Done)
    }
}
