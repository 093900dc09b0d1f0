//! The lock: its holder's death hands it on, and every other death leaves it alone.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Row, Scene, demand};
use crate::chaos::peer::{Holder, Peer};
use crate::chaos::words::{HOLDING, IDLE, WAITING, Words, words};
use crate::ipc::{Lock, RoleResult};
use crate::sys::trace::mark;

const NAME: &str = "Lock";
const GET_IT: Words = words("get the lock", "拿到锁");
const TAKE_OVER: Words = words("take it over, are told", "接过锁，并被告知");
const PEER_GETS_IT: Words = words("the peer gets the lock", "等待者拿到锁");
/// For those who would wait for ever: long enough to be seen hanging.
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 8] = [
    Row::before::<Acquire>(NAME, IDLE, GET_IT, Effect::Undone).like_python("Lock.idle"),
    Row::asleep::<AcquireContended>(NAME, WAITING, PEER_GETS_IT, Effect::Undone).like_python("Lock.waiting"),
    Row::before::<Release>(NAME, HOLDING, TAKE_OVER, Effect::HandedOn).like_python("Lock.holding"),
    Row::within::<Acquire>(NAME, words("in acquire", "acquire 中"), GET_IT, (Effect::Undone, Effect::HandedOn))
        .like_python("Lock.in_acquire"),
    Row::within::<Inherit>(
        NAME,
        words("in acquire, of the dead", "acquire 中，接死者的锁"),
        TAKE_OVER,
        (Effect::HandedOn, Effect::HandedOn),
    ),
    Row::within::<AcquireContended>(
        NAME,
        words("in acquire, one behind", "acquire 中，后面有人等"),
        PEER_GETS_IT,
        (Effect::Undone, Effect::HandedOn),
    )
    .like_python("Lock.in_acquire_among_peers"),
    Row::within::<Release>(NAME, words("in release", "release 中"), GET_IT, (Effect::HandedOn, Effect::Done))
        .like_python("Lock.in_release"),
    Row::within::<ReleaseToPeer>(
        NAME,
        words("in release, a peer waits", "release 中，有人等"),
        PEER_GETS_IT,
        (Effect::HandedOn, Effect::Done),
    )
    .like_python("Lock.in_release_among_peers"),
];

/// Takes the lock twice as nobody's heir.
fn two_rounds(lock: &Lock) -> Result<(), Fault> {
    for _ in 0..2 {
        let guard = lock.try_acquire().ok().flatten().ok_or(Fault::Unusable)?;
        demand(guard.abandoned().is_none(), Fault::Unusable)?;
    }
    Ok(())
}

/// Takes the lock, says whether its last holder died with it, and goes on.
fn look(scene: &mut Scene, lock: &Lock, otherwise: Effect) -> Result<Effect, Fault> {
    let lock = lock.clone();
    scene.fresh(move || {
        let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
        let effect = if guard.abandoned().is_some() { Effect::HandedOn } else { otherwise };
        drop(guard);
        two_rounds(&lock).map(|()| effect)
    })?
}

/// Waits for the lock as [`look`] does.
fn waiter(lock: &Lock, otherwise: Effect) -> anyhow::Result<Peer<Result<Effect, Fault>>> {
    let lock = lock.clone();
    Peer::asleep_in(move || {
        let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
        Ok(if guard.abandoned().is_some() { Effect::HandedOn } else { otherwise })
    })
}

struct Acquire(Lock);

impl Case for Acquire {
    type Part = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Acquire(Lock::new()?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(lock: Self::Part) -> RoleResult {
        mark();
        let _guard = lock.acquire()?;
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        look(scene, &self.0, Effect::Undone)
    }
}

/// The victim takes the lock of one that died before it: whoever comes next is told as well.
struct Inherit(Lock);

impl Case for Inherit {
    type Part = Lock;

    fn prepare() -> anyhow::Result<Self> {
        let lock = Lock::new()?;
        let held = lock.clone();
        let dies_with_it = std::thread::spawn(move || held.acquire().map(std::mem::forget));
        dies_with_it.join().map_err(|_| anyhow::anyhow!("the first holder panicked"))??;
        Ok(Inherit(lock))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(lock: Self::Part) -> RoleResult {
        Acquire::suffer(lock)
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        look(scene, &self.0, Effect::Undone)
    }
}

struct Release(Lock);

impl Case for Release {
    type Part = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Release(Lock::new()?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(lock: Self::Part) -> RoleResult {
        let guard = lock.acquire()?;
        mark();
        drop(guard);
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        look(scene, &self.0, Effect::Done)
    }
}

/// The victim waits behind somebody and is woken by the release; a peer waits behind the victim.
struct AcquireContended {
    lock: Lock,
    holder: Holder,
    behind: Option<Peer<Result<Effect, Fault>>>,
}

impl Case for AcquireContended {
    type Part = Lock;

    fn prepare() -> anyhow::Result<Self> {
        let lock = Lock::new()?;
        let held = lock.clone();
        let holder = Holder::of(move |meanwhile| {
            let _guard = held.try_acquire();
            meanwhile();
        })?;
        Ok(AcquireContended { lock, holder, behind: None })
    }

    fn part(&mut self) -> Self::Part {
        self.lock.clone()
    }

    fn suffer(lock: Self::Part) -> RoleResult {
        Acquire::suffer(lock)
    }

    fn rouse(&mut self) -> anyhow::Result<()> {
        self.behind = Some(waiter(&self.lock, Effect::Undone)?);
        self.holder.let_go();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        if !scene.roused {
            self.rouse().map_err(|_| Fault::Unusable)?;
        }
        let behind = self.behind.as_mut().expect("it waits since the lock was let go");
        // The one behind may also have been the faster of the two; then its successor is told.
        match (scene.back(behind)??, look(scene, &self.lock, Effect::Done)?) {
            (Effect::HandedOn, Effect::HandedOn) => Err(Fault::Twice),
            (effect, Effect::Done) => Ok(effect),
            _ => Ok(Effect::HandedOn),
        }
    }
}

/// A peer waits for what the victim gives back.
struct ReleaseToPeer {
    lock: Lock,
    peer: Option<Peer<Result<Effect, Fault>>>,
}

impl Case for ReleaseToPeer {
    type Part = Lock;

    fn prepare() -> anyhow::Result<Self> {
        Ok(ReleaseToPeer { lock: Lock::new()?, peer: None })
    }

    fn part(&mut self) -> Self::Part {
        self.lock.clone()
    }

    fn suffer(lock: Self::Part) -> RoleResult {
        Release::suffer(lock)
    }

    fn surround(&mut self) -> anyhow::Result<()> {
        self.peer = Some(waiter(&self.lock, Effect::Done)?);
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let effect = scene.back(self.peer.as_mut().expect("it waits since the victim came to its mark"))??;
        demand(look(scene, &self.lock, Effect::Done)? == Effect::Done, Fault::Twice)?;
        Ok(effect)
    }
}
