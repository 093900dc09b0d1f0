//! The pool: each task has one result, whichever of its workers dies, and the workers of a dead parent end.
//!
//! A pool starts its workers itself: the victim is the first of them, which passes its marks while it is set up, and in its
//! tasks.
//!
//! Only the parent repairs what a death has left, so no worker can be killed in a repair. What can happen is that the next
//! worker dies before the repair has ended: with the task that the repair has given it, or before the repair begins.

use std::io::Read;

use serde::{Deserialize, Serialize};

use super::*;
use crate::Value;
use crate::chaos::victim::{Failpoint, be_followed, chosen_failpoint};
use crate::pool::{Builder, Pool, Task, TaskError, TaskHandle};
use crate::process::Fd;
use crate::sys::signal;

const ONE_RESULT: Texts = ["each task has a result", "每个任务恰好一个结果"];
const WORKERS_END: Texts = ["the workers end", "工作进程全部结束"];

pub(super) fn rows() -> Vec<Row> {
    let rows = vec![
        Row::of(of_pool, idle).asleep(IDLE, ONE_RESULT, Done).like_pythons("Pool.idle", "ProcessPoolExecutor.idle"),
        Row::of(of_pool, |kill| tried_again(kill, Stretch::Running, 8))
            .before(["a task is running", "正在执行任务"], ONE_RESULT, Done)
            .like_pythons("Pool.running", "ProcessPoolExecutor.running"),
        Row::of(of_pool, |kill| tried_once(kill, Stretch::Taking, 8))
            .within(["taking a task", "领取任务中"], ONE_RESULT)
            .like_pythons("Pool.in_steps", "ProcessPoolExecutor.in_steps"),
        Row::of(of_pool, |kill| tried_again(kill, Stretch::Taking, 8))
            .hidden_within(["taking one, retried", "领取任务中，可重试"], ONE_RESULT)
            .extra(),
        // First its task is charged to the victim, then none, then the next.
        Row::of(of_pool, |kill| tried_once(kill, Stretch::Finishing, 8))
            .within(["writing a result", "写入结果中"], ONE_RESULT)
            .like_pythons("Pool.in_steps", "ProcessPoolExecutor.in_steps"),
        Row::of(of_pool, |kill| tried_again(kill, Stretch::Finishing, 8))
            .hidden_within(["writing one, retried", "写入结果中，可重试"], ONE_RESULT)
            .extra(),
        Row::of(of_pool, |kill| tried_once(kill, Stretch::Finishing, 3_000))
            .within(["writing 3 kB", "写入 3 kB 结果中"], ONE_RESULT)
            .extra()
            .like_pythons("Pool.in_long_result", "ProcessPoolExecutor.in_long_result"),
        Row::of(of_pool, |kill| tried_again(kill, Stretch::SettingUp, 8))
            .hidden_within(["in set-up", "初始化中"], ONE_RESULT)
            .like_pythons("Pool.in_set_up", "ProcessPoolExecutor.in_set_up"),
        Row::of(of_pool, |kill| after_a_death(kill, true))
            .hidden_within(["taking a dead one's task", "领取死者的任务中"], ONE_RESULT),
        Row::of(of_pool, |kill| after_a_death(kill, false))
            .hidden_within(["before the repair", "接管任务之前"], ONE_RESULT),
        Row::of(submit, parent)
            .hidden_within(["the parent, in submit", "父进程，submit 中"], WORKERS_END)
            .like_pythons("Pool.parent_in_submit", "ProcessPoolExecutor.parent_in_submit"),
        Row::of(repair, parent).hidden_within(["the parent, in a repair", "父进程，接管任务中"], WORKERS_END),
        Row::of(map, parent)
            .asleep(["the parent, in map", "父进程，map 中"], WORKERS_END, Done)
            .like_pythons("Pool.parent", "ProcessPoolExecutor.parent"),
    ];
    rows.into_iter().map(Row::by_liveness_check).collect()
}

/// The first and the last thing that the victim does between its marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stretch {
    /// From the beginning of its set-up to its end.
    SettingUp,
    /// From the end of its set-up to the beginning of its first task.
    Taking,
    /// From the beginning of its first task to its end.
    Running,
    /// From the end of its first task to the beginning of its second.
    Finishing,
}

/// Returns the square of a number, and letters that belong to it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Square {
    stretch: Stretch,
    /// Which worker is the victim; 0 until all are started.
    victim: Value<u32>,
    failpoint: Failpoint,
    set_ups: Value<u64>,
    /// The process that has the task that does not end.
    endless: Value<u32>,
    bytes: usize,
    /// The number of the victim's task; `None` in another worker.
    tasks: Option<u64>,
    /// An end of a pipe, whose other end sees when the last worker ends.
    alive: Option<Fd>,
}

impl Square {
    fn new(stretch: Stretch, bytes: usize) -> Result<Self> {
        let (victim, set_ups, endless) = (Value::unlocked(0)?, Value::new(0)?, Value::unlocked(0)?);
        Ok(Square { stretch, victim, failpoint: chosen_failpoint(), set_ups, endless, bytes, tasks: None, alive: None })
    }

    /// Stops the victim where a stretch begins or ends.
    fn mark(&self, stretches: &[(Stretch, u64)]) {
        if self.tasks.is_some_and(|tasks| stretches.contains(&(self.stretch, tasks))) {
            mark();
        }
    }
}

impl Task for Square {
    const NAME: &'static str = "chaos.square";
    type Input = u64;
    type Output = (u64, String);

    fn set_up(&mut self) -> RoleResult {
        while self.victim.get() == 0 {
            std::thread::yield_now();
        }
        if self.victim.get() == std::process::id() {
            be_followed(self.failpoint)?;
            self.tasks = Some(0);
        }
        self.mark(&[(Stretch::SettingUp, 0)]);
        self.set_ups.update(|set_ups| set_ups + 1)?;
        self.mark(&[(Stretch::SettingUp, 0), (Stretch::Taking, 0)]);
        Ok(())
    }

    fn run(&mut self, number: u64) -> Result<(u64, String), Box<dyn std::error::Error + Send + Sync>> {
        self.mark(&[(Stretch::Taking, 0), (Stretch::Running, 0), (Stretch::Finishing, 1)]);
        if number == ENDLESS || number == ENDS_LATER && self.endless.get() == 0 {
            self.endless.set(std::process::id());
            loop {
                std::thread::park();
            }
        }
        let output = output(number, self.bytes);
        self.mark(&[(Stretch::Running, 0), (Stretch::Finishing, 0)]);
        self.tasks = self.tasks.map(|tasks| tasks + 1);
        Ok(output)
    }
}

/// A task that does not end.
const ENDLESS: u64 = u64::MAX;
/// A task that does not end in the first worker that has it.
const ENDS_LATER: u64 = 50;

/// Letters that do not repeat soon, in which tearing is detectable.
fn output(number: u64, bytes: usize) -> (u64, String) {
    (number * number, (0..bytes).map(|index| char::from(b'a' + ((number as usize + index) % 23) as u8)).collect())
}

/// A worker of a pool performs no operation but that of its pool.
fn of_pool((): ()) -> RoleResult {
    Err("the pool starts its workers".into())
}

type Handles = Vec<TaskHandle<Square>>;

fn submit_all(pool: &Pool<Square>, numbers: std::ops::Range<u64>) -> Result<Handles> {
    Ok(numbers.map(|number| pool.submit(number)).collect::<Result<_, _>>()?)
}

/// Returns for each task whether it has its output, or died with its worker.
fn results(handles: Handles, first: u64, bytes: usize) -> Result<Vec<bool>> {
    let is_there = |(number, mut handle): (u64, TaskHandle<Square>)| match handle.wait() {
        Ok(there) => demand(there == output(number, bytes), Fault::Torn).map(|()| true),
        Err(TaskError::WorkerDied { attempts: 1, .. }) => Ok(false),
        Err(_) => bail!(Fault::Unusable),
    };
    (first..).zip(handles).map(is_there).collect()
}

fn builder(workers: usize, retries: u32) -> Builder {
    Pool::builder().workers(workers).retries(retries).in_flight(8).in_flight_bytes(1 << 16)
}

/// Builds a pool whose first worker is the victim.
fn build_with_victim(task: Square, workers: usize, retries: u32) -> Result<(Pool<Square>, u32)> {
    let victim = task.victim.clone();
    let pool = builder(workers, retries).build(task)?;
    let (_, pid) = pool.workers().swap_remove(0);
    victim.set(pid);
    Ok((pool, pid))
}

/// Two more tasks pass through the pool.
fn two_rounds(seen: &mut Observation, pool: &Pool<Square>, bytes: usize, effect: Effect) -> Result<Effect> {
    for first in 100..102 {
        let handles = submit_all(pool, first..first + 1)?;
        let outputs = seen.fresh(handles, move |handles| results(handles, first, bytes))?;
        demand(outputs == [true], Fault::Lost)?;
    }
    Ok(effect)
}

/// The only worker of a pool is killed with one of two tasks, or between them. Without retries, the task that it was
/// running is an error. (No peer waits: whether the victim has to wake it would change its course.)
fn tried_once(kill: Kill<'_, ()>, stretch: Stretch, bytes: usize) -> Result<Effect> {
    let (pool, pid) = build_with_victim(Square::new(stretch, bytes)?, 1, 0)?;
    let handles = submit_all(&pool, 1..3)?;
    let seen = kill.worker(pid)?.kill()?;
    let outputs = seen.fresh(handles, move |handles| results(handles, 1, bytes))?;
    let is_later = stretch == Stretch::Finishing;
    let effect = match outputs[..] {
        [true, true] if is_later => HandedOn,
        [true, true] => Undone,
        [false, true] if is_later => Undone,
        [false, true] => Done,
        [true, false] if is_later => Done,
        _ => bail!(Fault::Lost),
    };
    two_rounds(seen, &pool, bytes, effect)
}

/// As [`tried_once`], while a peer waits for both results. With a retry, every task has its output.
fn tried_again(kill: Kill<'_, ()>, stretch: Stretch, bytes: usize) -> Result<Effect> {
    let (pool, pid) = build_with_victim(Square::new(stretch, bytes)?, 1, 1)?;
    let handles = submit_all(&pool, 1..3)?;
    let victim = kill.worker(pid)?;
    let peer = Peer::asleep_in(handles, move |handles| results(handles, 1, bytes))?;
    let seen = victim.kill()?;
    demand(seen.back(&peer)? == [true, true], Fault::Lost)?;
    two_rounds(seen, &pool, bytes, Done)
}

/// One of two workers has died with a task; the other one is killed while it takes this task, after the repair, or
/// another one, before it.
fn after_a_death(kill: Kill<'_, ()>, is_repaired: bool) -> Result<Effect> {
    let task = Square::new(Stretch::Taking, 8)?;
    let (victim, endless) = (task.victim.clone(), task.endless.clone());
    let (pool, mut supervisor) = builder(2, 2).build_unsupervised(task)?;
    let (_, pid) = pool.workers().swap_remove(1);
    victim.set(pid);
    let mut handles = submit_all(&pool, ENDS_LATER..ENDS_LATER + 1)?;
    while endless.get() == 0 {
        std::thread::yield_now();
    }
    signal::kill_child_quietly(endless.get())?;
    if is_repaired {
        supervisor.reap();
    }
    handles.extend(submit_all(&pool, ENDS_LATER + 1..ENDS_LATER + 2)?);
    let seen = kill.worker(pid)?.kill()?;
    std::thread::spawn(|| supervisor.run());
    let outputs = seen.fresh(handles, |handles| results(handles, ENDS_LATER, 8))?;
    demand(outputs == [true, true], Fault::Lost)?;
    two_rounds(seen, &pool, 8, Done)
}

/// One of two workers is killed while it has nothing to do.
fn idle(kill: Kill<'_, ()>) -> Result<Effect> {
    let (pool, pid) = build_with_victim(Square::new(Stretch::Taking, 8)?, 2, 0)?;
    let seen = kill.worker(pid)?.kill()?;
    let handles = submit_all(&pool, 1..5)?;
    let outputs = seen.fresh(handles, |handles| results(handles, 1, 8))?;
    demand(outputs == [true; 4], Fault::Lost)?;
    two_rounds(seen, &pool, 8, Done)
}

/// A task for workers that keep the end of a pipe. None of them is the victim.
fn task_of_parent(alive: Fd) -> Result<Square> {
    let task = Square { alive: Some(alive), ..Square::new(Stretch::Running, 8)? };
    task.victim.set(std::process::id());
    Ok(task)
}

/// Makes a pool of which one worker has a task.
fn pool_of_parent(alive: Fd) -> Result<(Pool<Square>, TaskHandle<Square>)> {
    let pool = builder(2, 1).build(task_of_parent(alive)?)?;
    let handle = pool.submit(ENDLESS)?;
    Ok((pool, handle))
}

/// The worker that has the task dies, and the other gets it.
fn repair(alive: Fd) -> RoleResult {
    let task = task_of_parent(alive)?;
    let endless = task.endless.clone();
    let (pool, mut supervisor) = builder(2, 1).build_unsupervised(task)?;
    let _handle = pool.submit(ENDLESS)?;
    while endless.get() == 0 {
        std::thread::yield_now();
    }
    signal::kill_child_quietly(endless.get())?;
    marked(|| supervisor.reap())
}

fn submit(alive: Fd) -> RoleResult {
    let (pool, _handle) = pool_of_parent(alive)?;
    marked(|| pool.submit(1))
}

fn map(alive: Fd) -> RoleResult {
    let (pool, _handle) = pool_of_parent(alive)?;
    marked(|| pool.map([1, ENDLESS]))
}

/// The victim is the parent of a pool; the end of its workers is the end of the pipe.
fn parent(kill: Kill<'_, Fd>) -> Result<Effect> {
    let (reader, writer) = std::io::pipe()?;
    let victim = kill.victim(Fd::new(writer))?;
    let peer = Peer::asleep_in(reader, |mut reader| demand(reader.read(&mut [0])? == 0, Fault::Unusable))?;
    let (seen, _) = victim.kill_asleep(|| Ok(()))?;
    seen.back(&peer)?;
    Ok(Done)
}
