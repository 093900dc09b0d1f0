//! Victims that put.

use super::*;

/// What the victim of a put does.
fn suffer_put(queue: Queue<Item>) -> RoleResult {
    mark();
    queue.put(item(7))?;
    mark();
    Ok(())
}

pub(super) struct Put(Items);

impl Case for Put {
    type Part = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Put(queue(4, &[1])?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        suffer_put(queue)
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        look(scene, &self.0, &[1], &[1, 7])
    }
}

/// Three at once: all of them or none.
pub(super) struct PutMany(Items);

impl Case for PutMany {
    type Part = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(PutMany(queue(4, &[1])?))
    }

    fn part(&mut self) -> Self::Part {
        self.0.clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        let items = [item(7), item(8), item(9)];
        mark();
        queue.put_many(&items)?;
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        look(scene, &self.0, &[1], &[1, 7, 8, 9])
    }
}

/// A peer sleeps in `get`.
pub(super) struct PutToPeer {
    queue: Items,
    peer: Peer<IpcResult<Option<Item>>>,
}

impl Case for PutToPeer {
    type Part = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = queue(4, &[])?;
        let peer = getter(&queue)?;
        Ok(PutToPeer { queue, peer })
    }

    fn part(&mut self) -> Self::Part {
        self.queue.clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        suffer_put(queue)
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let queue = &self.queue;
        let effect = match scene.settle(&mut self.peer, || !queue.is_empty())? {
            Some(answer) => {
                demand(got(answer)? == 7, Fault::Lost)?;
                Effect::Done
            }
            None => {
                demand(queue.put_timeout(item(8), LONG).is_ok(), Fault::Unusable)?;
                demand(got(scene.back(&mut self.peer)?)? == 8, Fault::Lost)?;
                Effect::Undone
            }
        };
        look(scene, queue, &[], &[])?;
        Ok(effect)
    }
}

/// The victim waits for room that a get makes; a peer waits behind it.
pub(super) struct PutFull {
    queue: Items,
    behind: Option<Peer<bool>>,
}

impl Case for PutFull {
    type Part = Queue<Item>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(PutFull { queue: queue(2, &[1, 2])?, behind: None })
    }

    fn part(&mut self) -> Self::Part {
        self.queue.clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        suffer_put(queue)
    }

    fn rouse(&mut self) -> anyhow::Result<()> {
        self.behind = Some(putter(&self.queue, 9)?);
        anyhow::ensure!(self.queue.get_timeout(LONG)? == Some(item(1)), "the first item is the first out");
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        if !scene.roused {
            self.rouse().map_err(|_| Fault::Unusable)?;
        }
        let queue = &self.queue;
        let behind = self.behind.as_mut().expect("it was set to wait");
        let effect = match scene.settle(behind, || !queue.is_full())? {
            Some(put) => {
                demand(put, Fault::Hangs)?;
                Effect::Undone
            }
            // The victim has taken the room. The next one is for who waits behind it.
            None => {
                demand(got(queue.get_timeout(LONG))? == 2, Fault::Lost)?;
                demand(scene.back(behind)?, Fault::Hangs)?;
                Effect::Done
            }
        };
        let left: &[u64] = if effect == Effect::Done { &[7, 9] } else { &[2, 9] };
        look(scene, queue, left, left)?;
        Ok(effect)
    }
}

/// An item longer than what is left of a piece of the queue's memory.
pub(super) struct PutLong(Arc<Queue<String>>);

/// What the victim puts: 3,000 letters that do not repeat soon.
fn long() -> String {
    (0..3_000_u32).map(|index| char::from(b'a' + (index % 23) as u8)).collect()
}

impl Case for PutLong {
    type Part = Queue<String>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = Queue::<String>::builder().byte_limit(16_384).build()?;
        queue.put(long())?;
        Ok(PutLong(Arc::new(queue)))
    }

    fn part(&mut self) -> Self::Part {
        (*self.0).clone()
    }

    fn suffer(queue: Self::Part) -> RoleResult {
        let item = long();
        mark();
        queue.put(item)?;
        mark();
        Ok(())
    }

    fn judge(&mut self, scene: &mut Scene) -> Result<Effect, Fault> {
        let queue = Arc::clone(&self.0);
        scene.fresh(move || {
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
