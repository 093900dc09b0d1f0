//! Long items and bytes in place: an item is whole, or not there, and the memory of a dead process can be used again.

use super::*;
use crate::{JoinableQueue, Queue};

const PEER_WRITES: Texts = ["the peer gets memory", "等待者得到内存"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(put_typed, typed_content).within(["in put, 64 KiB", "put 64 KiB 中"], FIND_ALL).extra(),
        Row::of(put_bytes, |kill| content(kill, &[1], &[1, 7]))
            .within(["in put_bytes, 64 KiB", "put_bytes 64 KiB 中"], FIND_ALL)
            .extra(),
        Row::of(write, |kill| content(kill, &[1], &[1, 7]))
            .within(["from reserve to commit", "reserve 到 commit 中"], FIND_ALL)
            .extra(),
        Row::of(give_up, |kill| content(kill, &[1], &[1]))
            .hidden_within(["in a dropped reservation", "放弃的 reserve 中"], FIND_ALL)
            .extra(),
        Row::of(put_more, grown).within(["in put, the queue grows", "put 中，队列增长"], FIND_ALL),
        Row::of(get_into, |kill| content(kill, &[1, 2], &[2])).within(["in get_into", "get_into 中"], FIND_REST),
        Row::of(read, |kill| content(kill, &[1, 2], &[2]))
            .within(["in get_ref and its drop", "get_ref 到释放中"], FIND_REST),
        Row::of(read, read_before_peer)
            .within(["in get_ref, a peer waits", "get_ref 中，有等待者"], PEER_WRITES)
            .by_liveness_check(),
    ]
}

pub(super) fn leased_rows() -> Vec<Row> {
    vec![
        Row::of(|queue: Tasks| marked(|| queue.get_ref().map(drop)), |kill| redone(kill, 0, &[1, 0]))
            .within(["in get_ref and its drop", "get_ref 到释放中"], DO_ALL),
        Row::of(task_done, |kill| redone(kill, 1, &[0]))
            .within(["in task_done, 64 KiB", "task_done 64 KiB 中"], DO_ALL),
    ]
}

type Bytes = Queue<[u8]>;
type Tasks = JoinableQueue<[u8]>;

const LONG_BYTES: usize = 64 << 10;
/// How many long items there is memory for.
const MOST: usize = 3;

/// Returns an item longer than a chunk of the queue's memory.
fn long(seed: u8) -> Vec<u8> {
    (0..LONG_BYTES).map(|index| (index % 251) as u8 ^ seed).collect()
}

/// Returns the first byte of an item that is whole.
fn seed(bytes: &[u8]) -> Result<u8> {
    let seed = bytes.first().copied().unwrap_or(0);
    demand(bytes == long(seed), Fault::Torn).map(|()| seed)
}

fn put_typed(queue: Queue<Vec<u8>>) -> RoleResult {
    let item = long(7);
    marked(|| queue.put(item))
}

fn put_bytes(queue: Bytes) -> RoleResult {
    let item = long(7);
    marked(|| queue.put_bytes(&item))
}

fn write(queue: Bytes) -> RoleResult {
    let item = long(7);
    let write = || -> crate::Result<()> {
        let mut reservation = queue.reserve(LONG_BYTES)?;
        reservation.copy_from_slice(&item);
        reservation.commit()
    };
    marked(write)
}

fn give_up(queue: Bytes) -> RoleResult {
    marked(|| queue.reserve(LONG_BYTES).map(drop))
}

/// Puts a short item that needs a segment, and a long one that needs chunks.
fn put_more(queue: Bytes) -> RoleResult {
    let item = long(7);
    marked(|| queue.put_bytes(&[1]).and_then(|()| queue.put_bytes(&item)))
}

fn get_into(queue: Bytes) -> RoleResult {
    let mut buffer = Vec::with_capacity(LONG_BYTES);
    marked(|| queue.get_into(&mut buffer))
}

fn read(queue: Bytes) -> RoleResult {
    marked(|| queue.get_ref().map(drop))
}

fn task_done(queue: Tasks) -> RoleResult {
    let lease = queue.get_ref()?;
    marked(|| lease.task_done())
}

/// Removes and returns everything in the queue.
fn drain(seen: &mut Observation, queue: &Bytes) -> Result<Vec<u8>> {
    seen.fresh(queue.clone(), |queue| {
        let mut seeds = Vec::new();
        while let Some(item) = queue.try_get_ref()? {
            seeds.push(seed(&item)?);
        }
        ensure!(queue.is_empty() && queue.qsize() == 0, Fault::Lost);
        Ok(seeds)
    })
}

/// The empty queue has all of its memory, twice: one item takes it.
fn two_rounds(seen: &mut Observation, queue: &Bytes, effect: Effect) -> Result<Effect> {
    for round in 100..102 {
        seen.fresh(queue.clone(), move |queue| {
            let item = vec![round; queue.byte_limit() as usize];
            queue.put_bytes_timeout(&item, LONG).map_err(|_| Fault::Hangs)?;
            demand(queue.try_get_ref()?.is_some_and(|found| *found == item[..]), Fault::Lost)
        })?;
    }
    Ok(effect)
}

fn queue(seeds: &[u8]) -> Result<Bytes> {
    let queue = Bytes::builder().capacity(4).byte_limit((MOST * LONG_BYTES) as u64).build::<[u8]>()?;
    seeds.iter().try_for_each(|seed| queue.put_bytes(&long(*seed)))?;
    Ok(queue)
}

/// The queue contains `before`, and afterwards the same or `done`; no process waits.
fn content(kill: Kill<'_, Bytes>, before: &[u8], done: &[u8]) -> Result<Effect> {
    let queue = queue(before)?;
    let seen = kill.alone(queue.clone())?;
    let effect = effect_of(&drain(seen, &queue)?, before, done)?;
    two_rounds(seen, &queue, effect)
}

fn typed_content(kill: Kill<'_, Queue<Vec<u8>>>) -> Result<Effect> {
    let queue = Queue::<Vec<u8>>::builder().byte_limit((MOST * LONG_BYTES) as u64).build()?;
    queue.put(long(1))?;
    kill.alone(queue.clone())?.fresh(queue, |queue| {
        let mut seeds = Vec::new();
        while let Some(item) = queue.try_get()? {
            seeds.push(seed(&item)?);
        }
        // It takes all memory, with the bytes in front of it.
        let all = vec![9; queue.byte_limit() as usize - 10];
        queue.put_timeout(all.clone(), LONG).map_err(|_| Fault::Hangs)?;
        demand(queue.try_get()? == Some(all), Fault::Lost)?;
        effect_of(&seeds, &[1], &[1, 7])
    })
}

/// One item fits into the first segment, while one process reads a long item and another writes one.
fn grown(kill: Kill<'_, Bytes>) -> Result<Effect> {
    let queue = Bytes::builder().byte_limit(16 * LONG_BYTES as u64).build::<[u8]>()?;
    queue.put_bytes(&long(1))?;
    let read = queue.get_ref()?;
    (0..SEGMENT_SLOTS - 1).try_for_each(|_| queue.put_bytes(&[0]))?;
    let mut written = queue.reserve(LONG_BYTES)?;
    written.copy_from_slice(&long(2));
    let seen = kill.alone(queue.clone())?;
    ensure!(seed(&read)? == 1 && seed(&written)? == 2, Fault::Torn);
    demand(written.commit().is_ok(), Fault::Unusable)?;
    let items = seen.fresh(queue.clone(), |queue| {
        (1..SEGMENT_SLOTS).try_for_each(|_| demand(*queue.get_ref()? == [0], Fault::Lost))?;
        let mut items = Vec::new();
        while let Some(item) = queue.try_get_ref()? {
            items.push(if item.len() == 1 { item[0] } else { seed(&item)? });
        }
        Ok(items)
    })?;
    drop(read);
    let effect = match items[..] {
        [2] => Undone,
        [1, 2] | [1, 7, 2] => Done,
        _ => bail!(Fault::Lost),
    };
    two_rounds(seen, &queue, effect)
}

/// Slots of a segment of a queue with a small byte limit.
const SEGMENT_SLOTS: usize = 256;

/// A peer waits for the memory of what the victim reads.
fn read_before_peer(kill: Kill<'_, Bytes>) -> Result<Effect> {
    let queue = queue(&[1, 2, 3])?;
    let victim = kill.victim(queue.clone())?;
    let write = |queue: Bytes| demand(queue.put_bytes_timeout(&long(9), LONG).is_ok(), Fault::Hangs);
    let peer = Peer::asleep_in(queue.clone(), write)?;
    let seen = victim.kill()?;
    let get = |_: &mut Observation| demand(seed(&queue.get_ref()?)? == 1, Fault::Lost);
    let (is_served, ()) = seen.settle(&peer, || queue.qsize() < MOST, get)?;
    ensure!(drain(seen, &queue)? == [2, 3, 9], Fault::Lost);
    two_rounds(seen, &queue, Effect::done_if(is_served))
}

/// The victim has one of two tasks, which were returned `undone` times if it had not done anything, or it is done.
fn redone(kill: Kill<'_, Tasks>, undone: u32, done: &[u32]) -> Result<Effect> {
    let queue = Tasks::builder().byte_limit((2 * LONG_BYTES) as u64).build::<[u8]>()?;
    (1..=2).try_for_each(|seed| queue.put_bytes(&long(seed)))?;
    let done = done.to_vec();
    kill.alone(queue.clone())?.fresh(queue, move |queue| {
        let mut returned = Vec::new();
        while queue.unfinished() > 0 {
            let lease = queue.get_ref_timeout(LONG)?.ok_or(Fault::Hangs)?;
            seed(&lease)?;
            returned.push(lease.redelivered());
            lease.task_done().map_err(|_| Fault::Twice)?;
        }
        ensure!(queue.join_timeout(LONG)?, Fault::Hangs);
        // All memory is free.
        queue.put_bytes_timeout(&[9; 2 * LONG_BYTES], LONG).map_err(|_| Fault::Hangs)?;
        returned.sort_unstable_by(|one, other| other.cmp(one));
        effect_of(&returned, &[undone, 0], &done)
    })
}
