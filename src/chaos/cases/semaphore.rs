//! The counting semaphore: a permit is taken or not, given or not; the dead keep what they took, as in Python.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Row, Scene, demand};
use crate::chaos::peer::Peer;
use crate::chaos::words::{IDLE, WAITING, Words, words};
use crate::ipc::{BoundedSemaphore, RoleResult, Semaphore};
use crate::sys::trace::mark;

const NAME: &str = "Semaphore";
const GO_ON: Words = words("take the other permits", "取别的许可");
const PEER_GETS_IT: Words = words("the peer gets a permit", "等待者得到许可");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 7] = [
    Row::before::<Acquire>(NAME, IDLE, GO_ON, Effect::Undone).like_python("Semaphore.idle"),
    Row::asleep::<AcquireEmpty>(NAME, WAITING, PEER_GETS_IT, Effect::Undone).like_python("Semaphore.waiting"),
    Row::within::<Acquire>(NAME, words("in acquire", "acquire 中"), GO_ON, OPERATION)
        .like_python("Semaphore.in_acquire"),
    Row::within::<AcquireEmpty>(
        NAME,
        words("in acquire, one behind", "acquire 中，后面有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .looking_around()
    .like_python("Semaphore.in_acquire_among_peers"),
    Row::within::<Release<false>>(NAME, words("in release", "release 中"), GO_ON, OPERATION)
        .like_python("Semaphore.in_release"),
    Row::within::<Release<true>>(
        NAME,
        words("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .like_python("Semaphore.in_release_among_peers"),
    Row::within::<ReleaseBounded>(
        "BoundedSemaphore",
        words("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        OPERATION,
    )
    .looking_around()
    .like_python("BoundedSemaphore.in_release_among_peers"),
];

/// Gives and takes twice, and leaves the number of permits as it was.
fn two_rounds(scene: &mut Scene, semaphore: &Semaphore) -> Result<(), Fault> {
    let semaphore = semaphore.clone();
    scene.fresh(move || {
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
    type Part = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(Semaphore::new(2)?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        mark();
        semaphore.acquire();
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let effect = match self.0.get_value() {
            2 => Effect::Undone,
            1 => Effect::Done,
            _ => return Err(Fault::Lost),
        };
        two_rounds(scene, &self.0)?;
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
    type Part = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(AcquireEmpty { semaphore: Semaphore::new(0)?, behind: None })
    }

    fn part(&mut self) -> Self::Part {
        self.semaphore.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        Acquire::suffer(semaphore)
    }

    fn rouse(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.semaphore)?);
        Ok(self.semaphore.release()?)
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        if self.behind.is_none() {
            self.rouse().map_err(|_| Fault::Unusable)?;
        }
        let behind = self.behind.as_mut().expect("it was just set to wait");
        let semaphore = &self.semaphore;
        let effect = match scene.settle(behind, || semaphore.get_value() > 0)? {
            Some(true) => Effect::Undone,
            Some(false) => return Err(Fault::Hangs),
            None => {
                // The victim has taken the permit. The next one is for who waits behind it.
                semaphore.release().map_err(|_| Fault::Unusable)?;
                demand(scene.back(behind)?, Fault::Hangs)?;
                Effect::Done
            }
        };
        demand(semaphore.get_value() == 0, Fault::Twice)?;
        two_rounds(scene, &self.semaphore)?;
        Ok(effect)
    }
}

/// The victim gives a permit, with `PEER` to somebody who waits for it.
struct Release<const PEER: bool> {
    semaphore: Semaphore,
    peer: Option<Peer<bool>>,
}

impl<const PEER: bool> Case for Release<PEER> {
    type Part = Semaphore;

    fn prepare() -> anyhow::Result<Self> {
        let semaphore = Semaphore::new(0)?;
        let peer = if PEER { Some(waiter(&semaphore)?) } else { None };
        Ok(Release { semaphore, peer })
    }

    fn part(&mut self) -> Self::Part {
        self.semaphore.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        mark();
        semaphore.release()?;
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let semaphore = &self.semaphore;
        let given = match &mut self.peer {
            None => semaphore.try_acquire(),
            Some(peer) => match scene.settle(peer, || semaphore.get_value() > 0)? {
                Some(got) => {
                    demand(got, Fault::Hangs)?;
                    true
                }
                None => {
                    semaphore.release().map_err(|_| Fault::Unusable)?;
                    demand(scene.back(peer)?, Fault::Hangs)?;
                    false
                }
            },
        };
        demand(semaphore.get_value() == 0, Fault::Twice)?;
        two_rounds(scene, semaphore)?;
        Ok(if given { Effect::Done } else { Effect::Undone })
    }
}

/// The victim has the only permit and gives it back; a peer waits for it.
struct ReleaseBounded {
    semaphore: BoundedSemaphore,
    peer: Option<Peer<bool>>,
}

impl Case for ReleaseBounded {
    type Part = BoundedSemaphore;

    fn prepare() -> anyhow::Result<Self> {
        Ok(ReleaseBounded { semaphore: BoundedSemaphore::new(1)?, peer: None })
    }

    fn part(&mut self) -> Self::Part {
        self.semaphore.clone()
    }

    fn suffer(semaphore: Self::Part) -> RoleResult {
        semaphore.acquire();
        mark();
        semaphore.release()?;
        mark();
        Ok(())
    }

    fn surround(&mut self) -> anyhow::Result<()> {
        let semaphore = self.semaphore.clone();
        self.peer = Some(Peer::asleep_in(move || semaphore.acquire_timeout(LONG))?);
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let (semaphore, peer) = (&self.semaphore, self.peer.as_mut().expect("it was set to wait"));
        let effect = match scene.settle(peer, || semaphore.get_value() > 0)? {
            Some(got) => {
                demand(got, Fault::Hangs)?;
                Effect::Done
            }
            // The dead keep what they took, as in Python; anybody may give it back for them.
            None => {
                semaphore.release().map_err(|_| Fault::Unusable)?;
                demand(scene.back(peer)?, Fault::Hangs)?;
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
