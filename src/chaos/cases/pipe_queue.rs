//! The textbook queue: who waits in it and is killed harms nobody. In the middle of an item it tears the pipe, as documented,
//! and then everybody is told.

use std::sync::Arc;
use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Row, Scene, demand};
use crate::chaos::words::{WAITING, Words, words};
use crate::ipc::{Error, PipeQueue, RoleResult};
use crate::sys::trace::mark;

const NAME: &str = "PipeQueue";
const PEER_GETS: Words = words("the peer gets the item", "等待者取到数据");
const GET_OR_TOLD: Words = words("get the rest, or told", "取到其余，或被告知");
const LONG: Duration = Duration::from_secs(2);

pub(in crate::chaos) static ROWS: [Row; 2] = [
    Row::asleep::<Get<false>>(NAME, WAITING, PEER_GETS, Effect::Done).looking_around().like_python("Queue.waiting"),
    Row::within::<Get<true>>(NAME, words("in get", "get 中"), GET_OR_TOLD, (Effect::Done, Effect::Done))
        .looking_around()
        .extra()
        .like_python("Queue.in_get"),
];

/// The victim gets; with `FILLED` there is something to get.
struct Get<const FILLED: bool>(Arc<PipeQueue<u64>>);

impl<const FILLED: bool> Case for Get<FILLED> {
    type Part = PipeQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = PipeQueue::bounded(4)?;
        if FILLED {
            queue.put(1)?;
        }
        Ok(Get(Arc::new(queue)))
    }

    fn part(&mut self) -> Self::Part {
        (*self.0).clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        mark();
        queue.get()?;
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let queue = Arc::clone(&self.0);
        let got = scene.fresh(move || {
            queue.put_timeout(2, LONG).map_err(Error::from)?;
            let first = queue.get_timeout(LONG)?;
            Ok(if first == Some(1) { queue.get_timeout(LONG)? } else { first })
        })?;
        match got {
            Ok(Some(2)) => Ok(Effect::Done),
            Ok(None) => Err(Fault::Hangs),
            // An item that is half read, and everybody is told.
            Err(Error::Torn) if FILLED => Ok(Effect::Done),
            Ok(Some(_)) => Err(Fault::Twice),
            Err(_) => demand(false, Fault::Unusable).map(|()| Effect::Done),
        }
    }
}
