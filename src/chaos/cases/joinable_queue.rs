//! The queue of tasks: a dead worker's task goes to another worker, once, and `join` does not wait for a dead process.

use std::time::Duration;

use crate::chaos::case::{Case, Effect, Fault, Observation, Row, demand};
use crate::chaos::i18n::{HOLDING, Localized, WAITING, localized};
use crate::chaos::peer::Peer;
use crate::chaos::victim::kill_predecessor;
use crate::sys::trace::mark;
use crate::{JoinableQueue, Result as IpcResult, RoleResult};

const NAME: &str = "JoinableQueue";
const DO_ALL: Localized = localized("do every task once", "每个任务恰好处理一次");
const JOINS: Localized = localized("do the rest, join ends", "处理其余，join 结束");
const PEER_GETS: Localized = localized("the peer gets the task", "等待者取到任务");
const LONG: Duration = Duration::from_secs(2);
const OPERATION: (Effect, Effect) = (Effect::Undone, Effect::Done);

pub(in crate::chaos) static ROWS: [Row; 7] = [
    Row::asleep::<GetEmpty>(NAME, WAITING, PEER_GETS, Effect::Undone).like_python("JoinableQueue.waiting"),
    Row::before::<TaskDone>(NAME, HOLDING, JOINS, Effect::Undone).looking_around().like_python("JoinableQueue.holding"),
    Row::within::<Lease>(NAME, localized("in get", "get 中"), DO_ALL, OPERATION).like_python("JoinableQueue.in_get"),
    Row::within::<GetEmpty>(NAME, localized("in get, one behind", "get 中，后面有人等"), PEER_GETS, OPERATION)
        .looking_around()
        .extra()
        .like_python("JoinableQueue.in_get_among_peers"),
    Row::within::<TaskDone>(NAME, localized("in task_done, one joins", "task_done 中，有人 join"), JOINS, OPERATION)
        .looking_around()
        .like_python("JoinableQueue.in_task_done"),
    Row::within::<Nack>(NAME, localized("in nack", "nack 中"), DO_ALL, (Effect::Done, Effect::Done)),
    Row::within::<Inherit>(NAME, localized("in get, of the dead", "get 中，接管死者的任务"), DO_ALL, OPERATION).extra(),
];

/// The index of the row whose victim dies with a lease.
const LEASE: usize = 2;

type Tasks = JoinableQueue<u64>;

fn tasks(numbers: &[u64]) -> anyhow::Result<Tasks> {
    let queue = JoinableQueue::<u64>::builder().capacity(4).byte_limit(4096).build()?;
    queue.put_many(numbers)?;
    Ok(queue)
}

/// A task and the number of times it was returned to the queue.
type Done = (u64, u32);

/// Does tasks until none is left.
fn do_all(observation: &mut Observation, queue: &Tasks) -> Result<Vec<Done>, Fault> {
    let own = queue.clone();
    let mut done = observation.fresh(move || {
        let mut done = Vec::new();
        while own.unfinished() > 0 {
            let lease = own.get_timeout(LONG).map_err(|_| Fault::Unusable)?.ok_or(Fault::Hangs)?;
            done.push((*lease, lease.redelivered()));
            lease.task_done().map_err(|_| Fault::Twice)?;
        }
        demand(own.join_timeout(LONG).is_ok_and(|joined| joined), Fault::Hangs)?;
        Ok::<_, Fault>(done)
    })??;
    done.sort_unstable();
    Ok(done)
}

/// Passes two more tasks through the queue.
fn two_rounds(observation: &mut Observation, queue: &Tasks) -> Result<(), Fault> {
    for round in 100..102 {
        demand(queue.put_timeout(round, LONG).is_ok(), Fault::Unusable)?;
        demand(do_all(observation, queue)? == [(round, 0)], Fault::Lost)?;
    }
    Ok(())
}

/// Checks that each of `numbers` was done exactly once.
fn check(done: &[Done], numbers: &[u64]) -> Result<(), Fault> {
    let found: Vec<u64> = done.iter().map(|(number, _)| *number).collect();
    demand(found.len() >= numbers.len(), Fault::Lost)?;
    demand(found.len() <= numbers.len(), Fault::Twice)?;
    demand(found == numbers, Fault::Lost)
}

fn get_as_victim(queue: JoinableQueue<u64>) -> RoleResult {
    mark();
    let _lease = queue.get()?;
    mark();
    Ok(())
}

struct Lease(Tasks);

impl Case for Lease {
    type Handles = JoinableQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Lease(tasks(&[1, 2])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        demand(self.0.unfinished() == 2, Fault::Lost)?;
        let done = do_all(observation, &self.0)?;
        check(&done, &[1, 2])?;
        let effect = match done[..] {
            [(1, 0), (2, 0)] => Effect::Undone,
            [(1, 1), (2, 0)] => Effect::Done,
            _ => return Err(Fault::Twice),
        };
        two_rounds(observation, &self.0)?;
        Ok(effect)
    }
}

/// The victim has one of two tasks and returns it: by a nack or by its death, it is returned once.
struct Nack(Tasks);

impl Case for Nack {
    type Handles = JoinableQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(Nack(tasks(&[1, 2])?))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        let lease = queue.get()?;
        mark();
        lease.nack()?;
        mark();
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        demand(self.0.unfinished() == 2, Fault::Lost)?;
        demand(do_all(observation, &self.0)? == [(1, 1), (2, 0)], Fault::Twice)?;
        two_rounds(observation, &self.0).map(|()| Effect::Done)
    }
}

/// The victim gets the only task of a worker that died before it.
struct Inherit(Tasks);

impl Case for Inherit {
    type Handles = JoinableQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = tasks(&[1])?;
        kill_predecessor(&ROWS[LEASE], queue.clone())?;
        Ok(Inherit(queue))
    }

    fn handles(&mut self) -> Self::Handles {
        self.0.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        demand(self.0.unfinished() == 1, Fault::Lost)?;
        let done = do_all(observation, &self.0)?;
        check(&done, &[1])?;
        // The first death was one return; the victim's is another if it had the task.
        let effect = match done[0].1 {
            1 => Effect::Undone,
            2 => Effect::Done,
            _ => return Err(Fault::Lost),
        };
        two_rounds(observation, &self.0)?;
        Ok(effect)
    }
}

/// The victim waits for a task that is then put; a peer waits behind it.
struct GetEmpty {
    queue: Tasks,
    behind: Option<Peer<IpcResult<Option<Done>>>>,
}

impl Case for GetEmpty {
    type Handles = JoinableQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        Ok(GetEmpty { queue: tasks(&[])?, behind: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        get_as_victim(queue)
    }

    fn wake(&mut self) -> anyhow::Result<()> {
        let own = self.queue.clone();
        self.behind = Some(Peer::asleep_in(move || {
            let Some(lease) = own.get_timeout(LONG)? else { return Ok(None) };
            let done = (*lease, lease.redelivered());
            lease.task_done().map(|_| Some(done))
        })?);
        Ok(self.queue.put(5)?)
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        if !observation.woken {
            self.wake().map_err(|_| Fault::Unusable)?;
        }
        let done = observation.back(self.behind.as_mut().expect("it was set to wait"))?.map_err(|_| Fault::Unusable)?;
        let effect = match done {
            Some((5, 0)) => Effect::Undone,
            Some((5, 1)) => Effect::Done,
            Some(_) => return Err(Fault::Lost),
            None => return Err(Fault::Hangs),
        };
        demand(self.queue.unfinished() == 0, Fault::Twice)?;
        two_rounds(observation, &self.queue)?;
        Ok(effect)
    }
}

/// The victim has the only task and reports it done; a peer joins.
struct TaskDone {
    queue: Tasks,
    /// The joining peer is not the only process that could do the task.
    _consumer: JoinableQueue<u64>,
    peer: Option<Peer<IpcResult<bool>>>,
}

impl Case for TaskDone {
    type Handles = JoinableQueue<u64>;

    fn prepare() -> anyhow::Result<Self> {
        let queue = tasks(&[1])?;
        let consumer = queue.clone();
        Ok(TaskDone { queue, _consumer: consumer, peer: None })
    }

    fn handles(&mut self) -> Self::Handles {
        self.queue.clone()
    }

    fn run_victim(queue: Self::Handles) -> RoleResult {
        let lease = queue.get()?;
        mark();
        lease.task_done()?;
        mark();
        Ok(())
    }

    fn before_kill(&mut self) -> anyhow::Result<()> {
        let own = self.queue.clone();
        self.peer = Some(Peer::asleep_in(move || own.join_timeout(LONG))?);
        Ok(())
    }

    fn check(&mut self, observation: &mut Observation) -> Result<Effect, Fault> {
        let (queue, peer) = (&self.queue, self.peer.as_mut().expect("it was set to wait"));
        let effect = match observation.settle(peer, || queue.unfinished() == 0)? {
            Some(joined) => {
                demand(joined.is_ok_and(|joined| joined), Fault::Hangs)?;
                Effect::Done
            }
            None => {
                let done = do_all(observation, queue)?;
                check(&done, &[1])?;
                demand(done[0].1 == 1, Fault::Lost)?;
                demand(observation.back(peer)?.is_ok_and(|joined| joined), Fault::Hangs)?;
                Effect::Undone
            }
        };
        demand(queue.unfinished() == 0 && queue.is_empty(), Fault::Twice)?;
        two_rounds(observation, queue)?;
        Ok(effect)
    }
}
