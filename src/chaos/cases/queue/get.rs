//! Victims that get.

use super::*;

/// The victim's part of a get.
fn get_as_victim(queue: Queue<Item>) -> RoleResult {
    mark();
    queue.get()?;
    mark();
    Ok(())
}

pub(super) struct Get(Items);

impl Case for Get {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Get(queue(4, &[1, 2])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        look(observation, &self.0, &[1, 2], &[2])
    }
}

/// A peer sleeps in `put`: the queue is full.
pub(super) struct GetFromPeer {
    queue: Items,
    peer: Peer<bool>,
}

impl Case for GetFromPeer {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = queue(2, &[1, 2])?;
        let peer = putter(&queue, 9)?;
        Ok(GetFromPeer { queue, peer })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let queue = &self.queue;
        let (effect, first) = match observation.settle(&mut self.peer, || !queue.is_full())? {
            Some(put) => {
                demand(put, Fault::Hangs)?;
                (Effect::Done, None)
            }
            None => {
                let first = got(queue.get_timeout(LONG))?;
                demand(observation.back(&mut self.peer)?, Fault::Hangs)?;
                (Effect::Undone, Some(first))
            }
        };
        demand(first.is_none_or(|first| first == 1), Fault::Lost)?;
        look(observation, queue, &[2, 9], &[2, 9])?;
        Ok(effect)
    }
}

/// The victim waits for an item that is then put; a peer waits behind it.
pub(super) struct GetEmpty {
    queue: Items,
    behind: Option<Peer<IpcResult<Option<Item>>>>,
}

impl Case for GetEmpty {
    type Handles = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(GetEmpty { queue: queue(4, &[])?, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        self.behind = Some(getter(&self.queue)?);
        Ok(self.queue.put(item(5))?)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        let queue = &self.queue;
        let behind = self.behind.as_mut().expect("it was set to wait");
        let effect = match observation.settle(behind, || !queue.is_empty())? {
            Some(answer) => {
                demand(got(answer)? == 5, Fault::Lost)?;
                Effect::Undone
            }
            // The victim took the item with it. The next one is for the waiter behind it.
            None => {
                demand(queue.put_timeout(item(6), LONG).is_ok(), Fault::Unusable)?;
                demand(got(observation.back(behind)?)? == 6, Fault::Lost)?;
                Effect::Done
            }
        };
        look(observation, queue, &[], &[])?;
        Ok(effect)
    }
}
