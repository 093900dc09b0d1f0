//! The textbook queue: the death of a waiter harms no other process. A death in the middle of an item tears the pipe,
//! as documented, and then every process is told.

use std::sync::Arc;
use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{Localized, WAITING, localized};
use crate::queue::PipeQueue;
use crate::sys::trace::mark;
use crate::{Error, RoleResult};

const NAME: &str = "PipeQueue";
const PEER_GETS: Localized = localized("the peer gets the item", "等待者取到数据");
const GET_OR_TOLD: Localized = localized("get the rest, or told", "取到其余，或被告知");
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 2] = [
    Row::asleep::<Get<false>>(NAME, WAITING, PEER_GETS, Effect::Done).looking_around().like_python("Queue.waiting"),
    Row::within::<Get<true>>(NAME, localized("in get", "get 中"), GET_OR_TOLD, (Effect::Done, Effect::Done))
        .looking_around()
        .extra()
        .like_python("Queue.in_get"),
];

/// The victim gets; with `FILLED`, the queue holds an item.
struct Get<const FILLED: bool>(Arc<PipeQueue<u64>>);

impl<const FILLED: bool> Case for Get<FILLED> {
    type Handles = PipeQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = PipeQueue::bounded(4)?;
        if FILLED {
            queue.put(1)?;
        }
        Ok(Get(Arc::new(queue)))
    }

    fn handles(&mut self) -> Self::Handles {
        (*self.0).clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        mark();
        queue.get()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let queue = Arc::clone(&self.0);
        let got = observation.fresh(move || {
            queue.put_timeout(2, LONG).map_err(Error::from)?;
            let first = queue.get_timeout(LONG)?;
            Ok(if first == Some(1) { queue.get_timeout(LONG)? } else { first })
        })?;
        match got {
            Ok(Some(2)) => Ok(Effect::Done),
            Ok(None) => Err(Fault::Hangs),
            // An item was partly read, and every process is told.
            Err(Error::Torn) if FILLED => Ok(Effect::Done),
            Ok(Some(_)) => Err(Fault::Twice),
            Err(_) => demand(false, Fault::Unusable).map(|()| Effect::Done),
        }
    }
}
