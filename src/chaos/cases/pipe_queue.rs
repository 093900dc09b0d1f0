//! The textbook queue: the death of a waiter harms no other process. A death in the middle of an item tears the pipe,
//! as documented, and then every process is told.

use super::*;
use crate::Error;
use crate::queue::PipeQueue;

const GET_OR_TOLD: Texts = ["get the rest, or told", "取到其余，或得到通知"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(get, |kill| goes_on(kill, false))
            .asleep(WAITING, PEER_GETS, Done)
            .by_liveness_check()
            .like_python("Queue.waiting"),
        Row::of(get, |kill| goes_on(kill, true))
            .hidden_within(IN_GET, GET_OR_TOLD)
            .by_liveness_check()
            .extra()
            .like_python("Queue.in_get"),
    ]
}

fn get(queue: PipeQueue<u64>) -> RoleResult {
    marked(|| queue.get())
}

/// The victim gets, from an empty queue or from one with an item.
fn goes_on(kill: Kill<'_, PipeQueue<u64>>, is_filled: bool) -> Result<Effect> {
    let queue = PipeQueue::bounded(4)?;
    if is_filled {
        queue.put(1)?;
    }
    let got = kill.alone(queue.clone())?.fresh(queue, |queue| {
        queue.put_timeout(2, LONG)?;
        let first = queue.get_timeout(LONG);
        Ok(if matches!(first, Ok(Some(1))) { queue.get_timeout(LONG) } else { first })
    })?;
    match got {
        Ok(Some(2)) => Ok(Done),
        Ok(None) => bail!(Fault::Hangs),
        // An item was partly read, and every process is told.
        Err(Error::Torn) if is_filled => Ok(Done),
        Ok(Some(_)) => bail!(Fault::Twice),
        Err(_) => bail!(Fault::Unusable),
    }
}
