//! The condition: a dead waiter consumes no notification, and no waiter depends on a dead notifier.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::sys::trace::mark;
use crate::{Condition, Lock, RoleResult};

const NAME: &str = "Condition";
const NOTIFY_PEER: Localized = localized("notify the living peer", "通知活着的等待者");
const PEER_IS_TOLD: Localized = localized("the peer is woken", "等待者被唤醒");
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 3] = [
    Row::asleep::<Wait>(NAME, WAITING, NOTIFY_PEER, Effect::Done).looking_around().like_python("Condition.waiting"),
    Row::within::<Wait>(
        NAME,
        localized("in wait, one behind", "wait 中，后面有人等"),
        PEER_IS_TOLD,
        (Effect::Done, Effect::Done),
    )
    .looking_around()
    .extra()
    .like_python("Condition.in_wait"),
    Row::within::<Notify>(
        NAME,
        localized("in notify, a peer waits", "notify 中，有人等"),
        PEER_IS_TOLD,
        (Effect::Undone, Effect::Done),
    )
    .looking_around()
    .like_python("Condition.in_notify"),
];

/// What the users of a condition share.
#[derive(Clone)]
struct Shared {
    lock: Lock,
    condition: Condition,
}

/// The result of a waiter: notified, told that a process died holding the lock, or neither.
type Answer = Result<Effect, Fault>;

impl Shared {
    fn new() -> anyhow::Result<Self> {
        Ok(Shared { lock: Lock::new()?, condition: Condition::new()? })
    }

    fn give(&self) -> (Lock, Condition) {
        (self.lock.clone(), self.condition.clone())
    }

    fn waiter(&self) -> anyhow::Result<Peer<Answer>> {
        let Shared { lock, condition } = self.clone();
        Peer::asleep_in(move || {
            let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
            let (guard, notified) = condition.wait_timeout(guard, LONG).map_err(|_| Fault::Unusable)?;
            demand(notified, Fault::Hangs)?;
            Ok(if guard.abandoned().is_some() { Effect::HandedOn } else { Effect::Done })
        })
    }

    /// Notifies one waiter; returns the number of notified waiters.
    fn notify(&self, observation: &mut Observation) -> Result<usize, Fault> {
        let Shared { lock, condition } = self.clone();
        observation.fresh(move || {
            let guard = lock.acquire_timeout(LONG).ok().flatten().ok_or(Fault::Hangs)?;
            condition.notify(&guard, 1).map_err(|_| Fault::Unusable)
        })?
    }

    fn two_rounds(&self, observation: &mut Observation) -> Result<(), Fault> {
        for _ in 0..2 {
            demand(self.notify(observation)? == 0, Fault::Twice)?;
            let mut peer = self.waiter().map_err(|_| Fault::Unusable)?;
            demand(self.notify(observation)? == 1, Fault::Lost)?;
            demand(observation.back(&mut peer)?? == Effect::Done, Fault::Unusable)?;
        }
        Ok(())
    }
}

/// The victim waits before a peer does, and one of the two is notified.
struct Wait {
    shared: Shared,
    behind: Option<Peer<Answer>>,
}

impl Case for Wait {
    type Handles = (Lock, Condition);

    fn prepare() -> anyhow::Result<Self> {
        Ok(Wait { shared: Shared::new()?, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.shared.give()
    }

    fn run_victim((lock, condition): Self::Handles) -> RoleResult {
        let (lock, condition) = (lock, condition);
        let guard = lock.acquire()?;
        mark();
        let _guard = condition.wait(guard)?;
        mark();
        Ok(())
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(self.shared.waiter()?);
        let guard = self.shared.lock.acquire()?;
        self.shared.condition.notify(&guard, 1)?;
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            // Later callers notice the death: the dead waiter gets no notification.
            self.behind = Some(self.shared.waiter().map_err(|_| Fault::Unusable)?);
            demand(self.shared.notify(observation)? == 1, Fault::Lost)?;
        }
        observation.back(self.behind.as_mut().expect("it was set to wait"))??;
        self.shared.two_rounds(observation).map(|()| Effect::Done)
    }
}

/// The victim acquires the lock, notifies a waiting peer, and releases the lock.
struct Notify {
    shared: Shared,
    peer: Peer<Answer>,
}

impl Case for Notify {
    type Handles = (Lock, Condition);

    fn prepare() -> anyhow::Result<Self> {
        let shared = Shared::new()?;
        let peer = shared.waiter()?;
        Ok(Notify { shared, peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.shared.give()
    }

    fn run_victim((lock, condition): Self::Handles) -> RoleResult {
        let (lock, condition) = (lock, condition);
        mark();
        let guard = lock.acquire()?;
        condition.notify(&guard, 1)?;
        drop(guard);
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let lock = &self.shared.lock;
        // If the lock is not abandoned, the victim had not begun.
        let effect = match observation.settle(&mut self.peer, || lock.state().is_abandoned())? {
            Some(answer) => answer?,
            None => {
                demand(self.shared.notify(observation)? == 1, Fault::Lost)?;
                demand(observation.back(&mut self.peer)?? == Effect::Done, Fault::Lost)?;
                Effect::Undone
            }
        };
        self.shared.two_rounds(observation)?;
        Ok(effect)
    }
}
