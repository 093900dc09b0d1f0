//! Victims that put.

use std::sync::Arc;

use super::*;

/// The victim's part of a put.
fn put_as_victim(queue: Queue<Item>) -> RoleResult {
    mark();
    queue.put(item(7))?;
    mark();
    Ok(())
}

pub(super) struct Put(Items);

impl Case for Put {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Put(queue(4, &[1])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        put_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, &[1], &[1, 7])
    }
}

/// Three at once: all of them or none.
pub(super) struct PutMany(Items);

impl Case for PutMany {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(PutMany(queue(4, &[1])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        let items = [item(7), item(8), item(9)];
        mark();
        queue.put_many(&items)?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, &[1], &[1, 7, 8, 9])
    }
}

/// A peer sleeps in `get`.
pub(super) struct PutToPeer {
    queue: Items,
    peer: Peer<IpcResult<Option<Item>>>,
}

impl Case for PutToPeer {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = queue(4, &[])?;
        let peer = getter(&queue)?;
        Ok(PutToPeer { queue, peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        put_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let queue = &self.queue;
        let effect = match observation.settle(&mut self.peer, || !queue.is_empty())? {
            Some(answer) => {
                demand(got(answer)? == 7, Fault::Lost)?;
                Effect::Done
            }
            None => {
                demand(queue.put_timeout(item(8), LONG).is_ok(), Fault::Unusable)?;
                demand(got(observation.back(&mut self.peer)?)? == 8, Fault::Lost)?;
                Effect::Undone
            }
        };
        look(observation, queue, &[], &[])?;
        Ok(effect)
    }
}

/// The victim waits for space that a get frees; a peer waits behind it.
pub(super) struct PutFull {
    queue: Items,
    behind: Option<Peer<bool>>,
}

impl Case for PutFull {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(PutFull { queue: queue(2, &[1, 2])?, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        put_as_victim(queue)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(putter(&self.queue, 9)?);
        anyhow::ensure!(self.queue.get_timeout(LONG)? == Some(item(1)), "the first item is the first out");
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        let queue = &self.queue;
        let behind = self.behind.as_mut().expect("it was set to wait");
        let effect = match observation.settle(behind, || !queue.is_full())? {
            Some(put) => {
                demand(put, Fault::Hangs)?;
                Effect::Undone
            }
            // The victim took the space. The next one is for the waiter behind it.
            None => {
                demand(got(queue.get_timeout(LONG))? == 2, Fault::Lost)?;
                demand(observation.back(behind)?, Fault::Hangs)?;
                Effect::Done
            }
        };
        let left: &[u64] = if effect == Effect::Done { &[7, 9] } else { &[2, 9] };
        look(observation, queue, left, left)?;
        Ok(effect)
    }
}

/// An item longer than the rest of a chunk of the queue's memory.
pub(super) struct PutLong(Arc<Queue<String>>);

/// Returns what the victim puts: 3,000 letters that do not repeat soon.
fn long() -> String {
    (0..3_000_u32).map(|index| char::from(b'a' + (index % 23) as u8)).collect()
}

impl Case for PutLong {
    type Handles = Queue<String>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = Queue::<String>::builder().byte_limit(16_384).build()?;
        queue.put(long())?;
        Ok(PutLong(Arc::new(queue)))
    }

    fn handles(&mut self) -> Self::Handles {
        (*self.0).clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        let item = long();
        mark();
        queue.put(item)?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let queue = Arc::clone(&self.0);
        observation.fresh(move || {
            let mut items = 0;
            while let Ok(Some(item)) = queue.try_get() {
                demand(item == long(), Fault::Torn)?;
                items += 1;
            }
            demand(queue.put_timeout(long(), LONG).is_ok(), Fault::Unusable)?;
            demand(queue.try_get().is_ok_and(|item| item.as_ref() == Some(&long())), Fault::Lost)?;
            match items {
                1 => Ok(Effect::Undone),
                2 => Ok(Effect::Done),
                0 => Err(Fault::Lost),
                _ => Err(Fault::Twice),
            }
        })?
    }
}
