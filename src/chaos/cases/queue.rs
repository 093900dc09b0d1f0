//! The queue: an item is either in it or not, no matter which process died, and waiters are woken.

mod get;
mod put;

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{IDLE, Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::sys::trace::mark;
use crate::{Consumer, Queue, Result as IpcResult, RoleResult};
use get::{Get, GetEmpty, GetFromPeer};
use put::{Put, PutFull, PutLong, PutMany, PutToPeer};

const NAME: &str = "Queue";
const FIND_ALL: Localized = localized("find every item once", "每个数据恰好一次");
const FIND_REST: Localized = localized("find the rest once", "其余数据恰好一次");
const PEER_GETS: Localized = localized("the peer gets the item", "等待者取到数据");
const PEER_PUTS: Localized = localized("the peer puts its item", "等待者放入数据");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 12] = [
    Row::before::<Put>(NAME, IDLE, FIND_ALL, Effect::Undone).like_python("Queue.idle"),
    Row::asleep::<GetEmpty>(NAME, WAITING, PEER_GETS, Effect::Undone).like_python("Queue.waiting"),
    Row::within::<Put>(NAME, localized("in put", "put 中"), FIND_ALL, OPERATION).like_python("Queue.in_put"),
    Row::within::<PutToPeer>(NAME, localized("in put, a peer waits", "put 中，有人等"), PEER_GETS, OPERATION)
        .like_python("Queue.in_put_to_peer"),
    Row::within::<PutFull>(NAME, localized("in put, one behind", "put 中，后面有人等"), PEER_PUTS, OPERATION)
        .like_python("Queue.in_put_among_peers"),
    Row::within::<PutMany>(NAME, localized("in put_many", "put_many 中"), FIND_ALL, OPERATION).extra(),
    Row::within::<Get>(NAME, localized("in get", "get 中"), FIND_REST, OPERATION).like_python("Queue.in_get"),
    Row::within::<GetFromPeer>(NAME, localized("in get, a peer waits", "get 中，有人等"), PEER_PUTS, OPERATION)
        .like_python("Queue.in_get_from_peer"),
    Row::within::<GetEmpty>(NAME, localized("in get, one behind", "get 中，后面有人等"), PEER_GETS, OPERATION)
        .like_python("Queue.in_get_among_peers"),
    Row::within::<PutLong>(NAME, localized("in put, 3 kB", "put 3 kB 中"), FIND_ALL, OPERATION)
        .extra()
        .like_python("Queue.in_put_long"),
    Row::within::<Attach>(NAME, localized("in attach", "attach 中"), FIND_ALL, (Effect::Done, Effect::Done)).extra(),
    Row::within::<Leave>(
        NAME,
        localized("in drop, a peer waits", "drop 中，有人等"),
        localized("the peer is told", "等待者被告知"),
        (Effect::Done, Effect::Done),
    )
    .looking_around(),
];

/// A number and its copy: an item in which tearing is detectable.
type Item = (u64, u64);
type Items = Queue<Item>;

fn item(number: u64) -> Item {
    (number, !number)
}

fn queue(capacity: usize, numbers: &[u64]) -> anyhow::Result<Items> {
    let queue = Queue::<Item>::builder().capacity(capacity).byte_limit(4096).build()?;
    for &number in numbers {
        queue.put(item(number))?;
    }
    Ok(queue)
}

/// Returns the number of an item that is whole.
fn number((number, likeness): Item) -> Result<u64, Fault> {
    if likeness == !number { Ok(number) } else { Err(Fault::Torn) }
}

/// Starts a peer that gets, with one of several handles of this process: the victim is not the only possible producer.
fn getter(queue: &Items) -> anyhow::Result<Peer<IpcResult<Option<Item>>>> {
    let own = queue.clone();
    Peer::asleep_in(move || own.get_timeout(LONG))
}

fn putter(queue: &Items, number: u64) -> anyhow::Result<Peer<bool>> {
    let own = queue.clone();
    Peer::asleep_in(move || own.put_timeout(item(number), LONG).is_ok())
}

/// Returns what a peer got.
fn got(answer: IpcResult<Option<Item>>) -> Result<u64, Fault> {
    number(answer.map_err(|_| Fault::Unusable)?.ok_or(Fault::Hangs)?)
}

/// Removes and returns everything in the queue.
fn drain(observation: &mut Observation, queue: &Items) -> Result<Vec<u64>, Fault> {
    let own = queue.clone();
    observation.fresh(move || {
        let mut numbers = Vec::new();
        while let Some(item) = own.try_get().map_err(|_| Fault::Unusable)? {
            numbers.push(number(item)?);
        }
        demand(own.is_empty() && own.qsize() == 0, Fault::Lost)?;
        Ok(numbers)
    })?
}

/// Compares the queue's content with `undone` and `done`. Then passes two items through it.
fn look(observation: &mut Observation, queue: &Items, undone: &[u64], done: &[u64]) -> Result<Effect, Fault> {
    let numbers = drain(observation, queue)?;
    let effect = match numbers {
        numbers if numbers == undone => Effect::Undone,
        numbers if numbers == done => Effect::Done,
        numbers if numbers.len() > undone.len().max(done.len()) => return Err(Fault::Twice),
        _ => return Err(Fault::Lost),
    };
    for round in 100..102 {
        let own = queue.clone();
        demand(observation.fresh(move || own.put_timeout(item(round), LONG).is_ok())?, Fault::Unusable)?;
        demand(drain(observation, queue)? == [round], Fault::Lost)?;
    }
    Ok(effect)
}

/// A peer waits for items of the victim alone, which drops its handle.
struct Leave {
    /// The victim's, until it is given to it: this process keeps nothing that could put.
    queue: Option<Items>,
    consumer: Consumer<Item>,
    peer: Option<Peer<IpcResult<Option<Item>>>>,
}

impl Case for Leave {
    type Handles = Items;

    fn prepare() -> anyhow::Result<Self> {
        let queue = queue(4, &[])?;
        Ok(Leave { consumer: queue.consumer(), queue: Some(queue), peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.take().expect("asked for once")
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        mark();
        drop(queue);
        mark();
        Ok(())
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        let own = self.consumer.clone();
        self.peer = Some(Peer::asleep_in(move || own.get_timeout(LONG))?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let is_told = |answer| matches!(answer, Err(crate::Error::Disconnected));
        demand(is_told(observation.back(self.peer.as_mut().expect("it was set to wait"))?), Fault::Hangs)?;
        let own = self.consumer.clone();
        demand(is_told(observation.fresh(move || own.try_get())?), Fault::Unusable)?;
        Ok(Effect::Done)
    }
}

/// The victim attaches a handle that it was passed; the others go on as if it had never existed.
struct Attach(Items);

impl Case for Attach {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Attach(queue(4, &[1])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        mark();
        let _queue = queue;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, &[1], &[1]).map(|_| Effect::Done)
    }
}
