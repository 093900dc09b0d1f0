//! The queue of tasks: a dead worker's task goes to another worker, once, and `join` does not wait for a dead process.

use super::*;
use crate::JoinableQueue;

const JOINS: Texts = ["do the rest, join ends", "处理其余，join 结束"];
const PEER_GETS: Texts = ["the peer gets the task", "等待者取到任务"];

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::of(get, queued).asleep(WAITING, PEER_GETS, Undone).like_python("JoinableQueue.waiting"),
        Row::of(task_done, joined)
            .before(HOLDING, JOINS, Undone)
            .by_liveness_check()
            .like_python("JoinableQueue.holding"),
        Row::of(get, |kill| redone(kill, &tasks(&[1, 2])?, &[(1, 0), (2, 0)], &[(1, 1), (2, 0)]))
            .within(IN_GET, DO_ALL)
            .like_python("JoinableQueue.in_get"),
        Row::of(get, queued)
            .within(IN_GET_QUEUED, PEER_GETS)
            .by_liveness_check()
            .extra()
            .like_python("JoinableQueue.in_get_among_peers"),
        Row::of(task_done, joined)
            .within(["in task_done, one joins", "task_done 中，有等待者"], JOINS)
            .by_liveness_check()
            .like_python("JoinableQueue.in_task_done"),
        // By a nack or by the victim's death, the task is returned once.
        Row::of(nack, |kill| redone(kill, &tasks(&[1, 2])?, &[(1, 1), (2, 0)], &[(1, 1), (2, 0)]))
            .hidden_within(["in nack", "nack 中"], DO_ALL),
        Row::of(get, inherited).within(["in get, of the dead", "get 中，接管遗留的任务"], DO_ALL).extra(),
    ]
}

type Tasks = JoinableQueue<u64>;
/// A task and the number of times it was returned to the queue.
type Redone = (u64, u32);

fn tasks(numbers: &[u64]) -> Result<Tasks> {
    let queue = Tasks::builder().capacity(4).byte_limit(4096).build()?;
    queue.put_many(numbers)?;
    Ok(queue)
}

fn get(queue: Tasks) -> RoleResult {
    marked(|| queue.get())
}

fn task_done(queue: Tasks) -> RoleResult {
    let lease = queue.get()?;
    marked(|| lease.task_done())
}

fn nack(queue: Tasks) -> RoleResult {
    let lease = queue.get()?;
    marked(|| lease.nack())
}

/// Does one task.
fn do_one(queue: &Tasks) -> Result<Redone> {
    let lease = queue.get_timeout(LONG)?.ok_or(Fault::Hangs)?;
    let done = (*lease, lease.redelivered());
    lease.task_done().map_err(|_| Fault::Twice)?;
    Ok(done)
}

/// Does tasks until none is left.
fn do_all(seen: &mut Observation, queue: &Tasks) -> Result<Vec<Redone>> {
    seen.fresh(queue.clone(), |queue| {
        let mut done = Vec::new();
        while queue.unfinished() > 0 {
            done.push(do_one(&queue)?);
        }
        ensure!(queue.join_timeout(LONG)?, Fault::Hangs);
        done.sort_unstable();
        Ok(done)
    })
}

/// Nothing is left, and two more tasks pass through the queue.
fn two_rounds(seen: &mut Observation, queue: &Tasks, effect: Effect) -> Result<Effect> {
    ensure!(queue.unfinished() == 0 && queue.is_empty(), Fault::Twice);
    for round in 100..102 {
        queue.put_timeout(round, LONG)?;
        ensure!(do_all(seen, queue)? == [(round, 0)], Fault::Lost);
    }
    Ok(effect)
}

/// The victim leases some tasks of `queue`; afterwards the tasks are done as in `undone` or `done`.
fn redone(kill: Kill<'_, Tasks>, queue: &Tasks, undone: &[Redone], done: &[Redone]) -> Result<Effect> {
    let seen = kill.alone(queue.clone())?;
    ensure!(queue.unfinished() == done.len() as u64, Fault::Lost);
    let effect = effect_of(&do_all(seen, queue)?, undone, done)?;
    two_rounds(seen, queue, effect)
}

/// The victim gets the only task of a worker that died before it.
fn inherited(kill: Kill<'_, Tasks>) -> Result<Effect> {
    let queue = tasks(&[1])?;
    kill.predecessor(queue.clone())?;
    // The first death was one return; the victim's is another if it had the task.
    redone(kill, &queue, &[(1, 1)], &[(1, 2)])
}

/// The victim waits for a task that is then put; a peer waits behind it.
fn queued(kill: Kill<'_, Tasks>) -> Result<Effect> {
    let queue = tasks(&[])?;
    let (seen, behind) = kill
        .victim(queue.clone())?
        .kill_ahead_of(|| Peer::asleep_in(queue.clone(), |queue| do_one(&queue)), || Ok(queue.put(5)?))?;
    let effect = effect_of(&[seen.back(&behind)?], &[(5, 0)], &[(5, 1)])?;
    two_rounds(seen, &queue, effect)
}

/// The victim has the only task and reports it done; a peer joins.
fn joined(kill: Kill<'_, Tasks>) -> Result<Effect> {
    let queue = tasks(&[1])?;
    // The joining peer is not the only process that could do the task.
    let _consumer = queue.clone();
    let victim = kill.victim(queue.clone())?;
    let peer = Peer::asleep_in(queue.clone(), |queue| demand(queue.join_timeout(LONG)?, Fault::Hangs))?;
    let seen = victim.kill()?;
    let finish = |seen: &mut Observation| demand(do_all(seen, &queue)? == [(1, 1)], Fault::Lost);
    let (is_done, ()) = seen.settle(&peer, || queue.unfinished() == 0, finish)?;
    two_rounds(seen, &queue, Effect::done_if(is_done))
}
