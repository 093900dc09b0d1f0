//! The event: it is set and all waiters are released, or neither.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::sys::trace::mark;
use crate::{Event, RoleResult};

const NAME: &str = "Event";
const GO_ON: Localized = localized("see it set, or set it", "看到已置位，或自己置位");
const ARE_LET_GO: Localized = localized("both peers are let go", "两个等待者都被放行");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 5] = [
    Row::asleep::<Wait>(NAME, WAITING, ARE_LET_GO, Effect::Done).like_python("Event.waiting"),
    Row::within::<Wait>(
        NAME,
        localized("in wait, others wait", "wait 中，别人也等"),
        ARE_LET_GO,
        (Effect::Done, Effect::Done),
    )
    .like_python("Event.in_wait"),
    Row::within::<Set<false>>(NAME, localized("in set", "set 中"), GO_ON, OPERATION).like_python("Event.in_set"),
    Row::within::<Set<true>>(NAME, localized("in set, two peers wait", "set 中，有两个人等"), ARE_LET_GO, OPERATION)
        .like_python("Event.in_set_to_peers"),
    Row::within::<Clear>(NAME, localized("in clear", "clear 中"), GO_ON, OPERATION).like_python("Event.in_clear"),
];

fn waiters(event: &Event) -> anyhow::Result<[Peer<bool>; 2]> {
    let waiter = || {
        let event = event.clone();
        Peer::asleep_in(move || event.wait_timeout(LONG))
    };
    Ok([waiter()?, waiter()?])
}

/// Clears the event and sets it for a waiter, twice.
fn two_rounds(observation: &mut Observation, event: &Event) -> Result<(), Fault> {
    for _ in 0..2 {
        event.clear();
        demand(!event.is_set(), Fault::Unusable)?;
        let waiting = event.clone();
        let mut peer = Peer::asleep_in(move || waiting.wait_timeout(LONG)).map_err(|_| Fault::Unusable)?;
        event.set();
        demand(observation.back(&mut peer)?, Fault::Hangs)?;
    }
    Ok(())
}

/// The victim sets the event; with `PEERS`, two peers wait for it.
struct Set<const PEERS: bool> {
    event: Event,
    peers: Option<[Peer<bool>; 2]>,
}

impl<const PEERS: bool> Case for Set<PEERS> {
    type Handles = Event;

    fn prepare() -> anyhow::Result<Self> {
        let event = Event::new()?;
        let peers = if PEERS { Some(waiters(&event)?) } else { None };
        Ok(Set { event, peers })
    }

    fn handles(&mut self) -> Self::Handles {
        self.event.clone()
    }

    fn run_victim(event: Self::Handles) -> RoleResult {
        mark();
        event.set();
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let event = &self.event;
        let effect = if event.is_set() { Effect::Done } else { Effect::Undone };
        for peer in self.peers.iter_mut().flatten() {
            match observation.settle(peer, || event.is_set())? {
                Some(let_go) => demand(let_go, Fault::Hangs)?,
                None => {
                    demand(effect == Effect::Undone, Fault::WakeLost)?;
                    event.set();
                    demand(observation.back(peer)?, Fault::Hangs)?;
                }
            }
        }
        two_rounds(observation, event)?;
        Ok(effect)
    }
}

struct Clear(Event);

impl Case for Clear {
    type Handles = Event;

    fn prepare() -> anyhow::Result<Self> {
        let event = Event::new()?;
        event.set();
        Ok(Clear(event))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(event: Self::Handles) -> RoleResult {
        mark();
        event.clear();
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let effect = if self.0.is_set() { Effect::Undone } else { Effect::Done };
        two_rounds(observation, &self.0)?;
        Ok(effect)
    }
}

/// The victim and two peers wait, and the event is set.
struct Wait {
    event: Event,
    others: [Peer<bool>; 2],
}

impl Case for Wait {
    type Handles = Event;

    fn prepare() -> anyhow::Result<Self> {
        let event = Event::new()?;
        let others = waiters(&event)?;
        Ok(Wait { event, others })
    }

    fn handles(&mut self) -> Self::Handles {
        self.event.clone()
    }

    fn run_victim(event: Self::Handles) -> RoleResult {
        mark();
        event.wait();
        mark();
        Ok(())
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.event.set();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.event.set();
        }
        for peer in &mut self.others {
            demand(observation.back(peer)?, Fault::Hangs)?;
        }
        two_rounds(observation, &self.event).map(|()| Effect::Done)
    }
}
