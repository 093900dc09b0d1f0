//! The queue: an item is either in it or not, no matter which process died, and waiters are woken.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;
use crate::{Consumer, Error, Queue};

const PEER_PUTS: Texts = ["the peer puts its item", "等待者放入数据"];
const IS_TOLD: Texts = ["the peer is told", "等待者得到通知"];
const IN_PUT: Texts = ["in put", "put 中"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(put, |kill| content(kill, &[1], &[1, 7])).before(IDLE, FIND_ALL, Undone).like_python("Queue.idle"),
        Row::of(get, get_queued).asleep(WAITING, PEER_GETS, Undone).like_python("Queue.waiting"),
        Row::of(put, |kill| content(kill, &[1], &[1, 7])).within(IN_PUT, FIND_ALL).like_python("Queue.in_put"),
        Row::of(put, |kill| put_to_peer(kill, &[]))
            .within(["in put, a peer waits", "put 中，有等待者"], PEER_GETS)
            .by_liveness_check()
            .like_python("Queue.in_put_to_peer"),
        Row::of(put, put_queued)
            .within(["in put, one behind", "put 中，后有等待者"], PEER_PUTS)
            .by_liveness_check()
            .like_python("Queue.in_put_among_peers"),
        Row::of(put_many, |kill| content(kill, &[1], &[1, 7, 8, 9]))
            .within(["in put_many", "put_many 中"], FIND_ALL)
            .extra(),
        Row::of(put_many, |kill| put_to_peer(kill, &[8, 9]))
            .within(["in put_many, a peer waits", "put_many 中，有等待者"], PEER_GETS)
            .by_liveness_check(),
        Row::of(get, |kill| content(kill, &[1, 2], &[2])).within(IN_GET, FIND_REST).like_python("Queue.in_get"),
        Row::of(get, get_from_peer)
            .within(["in get, a peer waits", "get 中，有等待者"], PEER_PUTS)
            .by_liveness_check()
            .like_python("Queue.in_get_from_peer"),
        Row::of(get, get_queued).within(IN_GET_QUEUED, PEER_GETS).like_python("Queue.in_get_among_peers"),
        Row::of(get_two, |kill| content(kill, &[1, 2, 3], &[3])).within(["in get_many", "get_many 中"], FIND_REST),
        Row::of(get, |kill| batch(kill, &[1, 2, 3], &[2, 3]))
            .within(["in get, of a batch", "get 中，取自一批"], FIND_REST),
        Row::of(get_two, |kill| batch(kill, &[1, 2], &[]))
            .within(["in get_many, of a batch", "get_many 中，取自一批"], FIND_REST)
            .extra(),
        Row::of(get_two, |kill| batch(kill, &[1, 2, 3], &[3]))
            .within(["in get_many, of more", "get_many 中，未取完"], FIND_REST)
            .extra(),
        Row::of(|queue| put_text(queue, 100), |kill| texts(kill, 100, 0, 1))
            .within(["in put, 100 B", "put 100 B 中"], FIND_ALL)
            .extra(),
        Row::of(|queue| put_texts(queue, 100), |kill| texts(kill, 100, 0, 3))
            .within(["in put_many, 100 B", "put_many 100 B 中"], FIND_ALL)
            .extra(),
        Row::of(get_text, |kill| texts(kill, 100, 2, 1)).within(["in get, 100 B", "get 100 B 中"], FIND_REST).extra(),
        Row::of(|queue| put_text(queue, LONG_BYTES), |kill| texts(kill, LONG_BYTES, 1, 2))
            .within(["in put, 3 kB", "put 3 kB 中"], FIND_ALL)
            .extra()
            .like_python("Queue.in_put_long"),
        Row::of(|queue| put_texts(queue, LONG_BYTES), |kill| texts(kill, LONG_BYTES, 1, 4))
            .within(["in put_many, 3 kB", "put_many 3 kB 中"], FIND_ALL)
            .extra(),
        Row::of(|queue: Queue<String>| marked(|| queue.get_many(2)), |kill| texts(kill, LONG_BYTES, 3, 1))
            .within(["in get_many, 3 kB", "get_many 3 kB 中"], FIND_REST)
            .extra(),
        Row::of(|queue: Queue<Item>| marked(|| queue.clone()), |kill| content(kill, &[1], &[1]))
            .hidden_within(["in clone", "clone 中"], FIND_ALL)
            .extra(),
        Row::of(|queue| marked(|| drop(queue)), left)
            .hidden_within(["in drop, a peer waits", "drop 中，有等待者"], IS_TOLD)
            .by_liveness_check(),
    ]
}

/// The length of an item that is longer than the rest of a chunk of the queue's memory.
const LONG_BYTES: usize = 3_000;

/// Returns an item: `len` letters that do not repeat soon.
fn text(len: usize) -> String {
    (0..len).map(|index| char::from(b'a' + (index % 23) as u8)).collect()
}

fn queue(capacity: usize, numbers: &[u64]) -> Result<Queue<Item>> {
    let queue = Queue::<Item>::builder().capacity(capacity).byte_limit(4096).build()?;
    for &number in numbers {
        queue.put(item(number))?;
    }
    Ok(queue)
}

fn put(queue: Queue<Item>) -> RoleResult {
    marked(|| queue.put(item(7)))
}

fn put_many(queue: Queue<Item>) -> RoleResult {
    put_items(&queue, &[item(7), item(8), item(9)])
}

fn put_text(queue: Queue<String>, len: usize) -> RoleResult {
    let item = text(len);
    marked(|| queue.put(item))
}

fn put_texts(queue: Queue<String>, len: usize) -> RoleResult {
    put_items(&queue, &[text(len), text(len), text(len)])
}

fn get_text(queue: Queue<String>) -> RoleResult {
    marked(|| queue.get())
}

fn put_items<T: Serialize + DeserializeOwned>(queue: &Queue<T>, items: &[T]) -> RoleResult {
    // Afterwards this thread has a buffer for them. How many instructions it takes to make it grow depends on what lies
    // behind it.
    Queue::new()?.put_many(items)?;
    marked(|| queue.put_many(items))
}

fn get(queue: Queue<Item>) -> RoleResult {
    marked(|| queue.get())
}

fn get_two(queue: Queue<Item>) -> RoleResult {
    marked(|| queue.get_many(2))
}

/// Starts a peer that gets, with one of several handles of this process: the victim is not the only possible producer.
fn getter(queue: &Queue<Item>) -> Result<Peer<u64>> {
    Peer::asleep_in(queue.clone(), |queue| number(queue.get_timeout(LONG)?.ok_or(Fault::Hangs)?))
}

fn putter(queue: &Queue<Item>, number: u64) -> Result<Peer<()>> {
    let put = move |queue: Queue<Item>| demand(queue.put_timeout(item(number), LONG).is_ok(), Fault::Hangs);
    Peer::asleep_in(queue.clone(), put)
}

/// Removes and returns everything in the queue.
fn drain(seen: &mut Observation, queue: &Queue<Item>) -> Result<Vec<u64>> {
    seen.fresh(queue.clone(), |queue| {
        let mut numbers = Vec::new();
        while let Some(item) = queue.try_get()? {
            numbers.push(number(item)?);
        }
        ensure!(queue.is_empty() && queue.qsize() == 0, Fault::Lost);
        Ok(numbers)
    })
}

/// The queue contains `left`; afterwards two more items pass through it.
fn contains(seen: &mut Observation, queue: &Queue<Item>, left: &[u64]) -> Result<()> {
    compare(seen, queue, left, left).map(drop)
}

/// Compares what was found with what is there if the operation was done, and if it was not. Of a batch, the first items
/// may have been put or taken.
fn effect_of_part(found: &[u64], undone: &[u64], done: &[u64]) -> Result<Effect> {
    let is_put = done.starts_with(undone);
    let is_part = match is_put {
        true => done.starts_with(found) && found.len() >= undone.len(),
        false => undone.ends_with(found) && found.len() >= done.len(),
    };
    if is_part { Ok(Effect::done_if(found != undone || done == undone)) } else { effect_of(found, undone, done) }
}

/// Compares the queue's content with `undone` and `done`. Then passes two items through it.
fn compare(seen: &mut Observation, queue: &Queue<Item>, undone: &[u64], done: &[u64]) -> Result<Effect> {
    let effect = effect_of_part(&drain(seen, queue)?, undone, done)?;
    for round in 100..102 {
        seen.fresh(queue.clone(), move |queue| Ok(queue.put_timeout(item(round), LONG)?))?;
        ensure!(drain(seen, queue)? == [round], Fault::Lost);
    }
    Ok(effect)
}

/// The queue contains `before`, and afterwards the same or `done`; no process waits.
fn content(kill: Kill<'_, Queue<Item>>, before: &[u64], done: &[u64]) -> Result<Effect> {
    content_of(queue(4, before)?, kill, before, done)
}

fn content_of(queue: Queue<Item>, kill: Kill<'_, Queue<Item>>, before: &[u64], done: &[u64]) -> Result<Effect> {
    let seen = kill.alone(queue.clone())?;
    compare(seen, &queue, before, done)
}

/// As [`content`], with items that were put together. A batch is packed behind an item of the same handle.
fn batch(kill: Kill<'_, Queue<Item>>, before: &[u64], done: &[u64]) -> Result<Effect> {
    let queue = queue(4, &[0])?;
    queue.put_many(&before.iter().map(|&number| item(number)).collect::<Vec<_>>())?;
    queue.get()?;
    content_of(queue, kill, before, done)
}

/// The queue contains `before` items of `len` bytes, and afterwards as many or `done`, or a number between the two; no
/// process waits.
fn texts(kill: Kill<'_, Queue<String>>, len: usize, before: usize, done: usize) -> Result<Effect> {
    let queue = Queue::<String>::builder().byte_limit(32_768).build()?;
    (0..before).try_for_each(|_| queue.put(text(len)))?;
    kill.alone(queue.clone())?.fresh(queue, move |queue| {
        let mut found = 0;
        while let Ok(Some(item)) = queue.try_get() {
            ensure!(item == text(len), Fault::Torn);
            found += 1;
        }
        queue.put_timeout(text(len), LONG)?;
        ensure!(queue.try_get()? == Some(text(len)), Fault::Lost);
        demand(found >= before.min(done), Fault::Lost)?;
        demand(found <= before.max(done), Fault::Twice)?;
        Ok(Effect::done_if(found != before))
    })
}

/// Returns whether `peer`, which waits in `get`, got an item, which must be `expected`; otherwise puts one for it.
fn is_served(seen: &mut Observation, queue: &Queue<Item>, peer: &Peer<u64>, expected: u64) -> Result<bool> {
    let (is_served, got) = seen.settle(peer, || !queue.is_empty(), |_| Ok(queue.put_timeout(item(6), LONG)?))?;
    demand(got == if is_served { expected } else { 6 }, Fault::Lost).map(|()| is_served)
}

/// A peer sleeps in `get`; of what the victim puts, `rest` stays in the queue.
fn put_to_peer(kill: Kill<'_, Queue<Item>>, rest: &[u64]) -> Result<Effect> {
    let queue = queue(4, &[])?;
    let peer = getter(&queue)?;
    let seen = kill.alone(queue.clone())?;
    let is_served = is_served(seen, &queue, &peer, 7)?;
    compare(seen, &queue, &[], if is_served { rest } else { &[] })?;
    Ok(Effect::done_if(is_served))
}

/// The queue is full. The victim waits for space that a get frees; a peer waits behind it.
fn put_queued(kill: Kill<'_, Queue<Item>>) -> Result<Effect> {
    let queue = queue(2, &[1, 2])?;
    let get = |expected| demand(queue.get_timeout(LONG)? == Some(item(expected)), Fault::Lost);
    let (seen, behind) = kill.victim(queue.clone())?.kill_ahead_of(|| putter(&queue, 9), || get(1))?;
    // If the victim took the space, the next one is for the waiter behind it.
    let (is_served, ()) = seen.settle(&behind, || !queue.is_full(), |_| get(2))?;
    contains(seen, &queue, if is_served { &[2, 9] } else { &[7, 9] })?;
    Ok(Effect::done_if(!is_served))
}

/// A peer sleeps in `put`: the queue is full.
fn get_from_peer(kill: Kill<'_, Queue<Item>>) -> Result<Effect> {
    let queue = queue(2, &[1, 2])?;
    let peer = putter(&queue, 9)?;
    let seen = kill.alone(queue.clone())?;
    let get = |_: &mut Observation| demand(queue.get_timeout(LONG)? == Some(item(1)), Fault::Lost);
    let (is_served, ()) = seen.settle(&peer, || !queue.is_full(), get)?;
    contains(seen, &queue, &[2, 9])?;
    Ok(Effect::done_if(is_served))
}

/// The victim waits for an item that is then put; a peer waits behind it.
fn get_queued(kill: Kill<'_, Queue<Item>>) -> Result<Effect> {
    let queue = queue(4, &[])?;
    let (seen, behind) = kill.victim(queue.clone())?.kill_ahead_of(|| getter(&queue), || Ok(queue.put(item(5))?))?;
    // If the victim took the item with it, the next one is for the waiter behind it.
    let is_served = is_served(seen, &queue, &behind, 5)?;
    contains(seen, &queue, &[])?;
    Ok(Effect::done_if(!is_served))
}

/// A peer waits for items of the victim alone, which drops its handle: no handle here can put.
fn left(kill: Kill<'_, Queue<Item>>) -> Result<Effect> {
    let queue = queue(4, &[])?;
    let consumer = queue.consumer();
    let is_told =
        |consumer: Consumer<Item>| demand(matches!(consumer.get_timeout(LONG), Err(Error::Disconnected)), Fault::Hangs);
    let victim = kill.victim(queue)?;
    let peer = Peer::asleep_in(consumer.clone(), is_told)?;
    let seen = victim.kill()?;
    seen.back(&peer)?;
    seen.fresh(consumer, is_told)?;
    Ok(Done)
}
