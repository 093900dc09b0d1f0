//! The pool: tasks of unequal length, workers that may be killed, and one result for each task.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::prelude::*;
use super::runner::codes;
use super::worker::PoolContext;
use crate::pool::{Task, TaskError, TaskHandle};
use crate::process::ExitStatus;
use crate::report::Tasks;
use crate::sys::signal::kill_self;

/// How long the first task takes, at speed 1. The later ones are shorter, so that the workers end at about the same time.
const LONGEST_MS: f64 = 2_000.0;
/// How long the last task takes.
const SHORTEST_MS: f64 = 300.0;
/// How long a poisoned task lasts, at speed 1.
const POISON_PAUSE: Duration = Duration::from_millis(500);

/// The options of a pool.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct PoolArgs {
    /// How many workers there are
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = whole::<u32>(1..=500))]
    workers: u32,
    /// How many tasks they share
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = whole::<u64>(1..=1_000_000))]
    tasks: u64,
    /// Which task, from 1, kills every worker that runs it
    #[arg(long, value_name = "N", value_parser = whole::<u64>(1..=1_000_000))]
    poison: Option<u64>,
    /// How long a task may take before its worker is killed
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    task_timeout: Option<Duration>,
}

/// The state of a pool run.
pub(crate) struct Pool {
    args: PoolArgs,
    /// The result of each task that has one, in the order of their arrival.
    results: Vec<(u64, Result<u64, TaskError>)>,
}

/// Returns the right result of a task.
fn square(task: u64) -> u64 {
    task * task
}

impl Scenario for Pool {
    const NAME: &'static str = "pool";
    const ABOUT: &'static str = "\
A pool of workers: each task has one result, whoever is killed

The workers share tasks of unequal length, the long ones first, so that none is idle for long at the end. If a worker is \
killed (kill -9), another one does its task again, and a new worker takes its place. A task that kills its workers twice \
has an error as its result; all others have their values.

Examples:
  ipc-demo pool                      twenty tasks, four workers; kill -9 one of them
  ipc-demo pool --poison 7           the seventh task kills its worker, twice
  ipc-demo pool --task-timeout 1s    tasks that take longer than a second fail";
    type Args = PoolArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of_task::<Square>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<PoolFact>];
    const CLAIM: [&'static str; 2] = ["every task has exactly one result", "每个任务恰好有一个结果"];
    type Observer = Attempts;

    fn not_explored(_: &PoolArgs) -> Option<&'static str> {
        Some("a pool has a thread that replaces workers, which is not scheduled")
    }

    fn prepare(args: PoolArgs) -> anyhow::Result<Self> {
        if let Some(poison) = args.poison {
            anyhow::ensure!(poison <= args.tasks, "--poison {poison}: there are only {} tasks", args.tasks);
        }
        anyhow::ensure!(args.task_timeout != Some(Duration::ZERO), "--task-timeout 0s leaves no time for a task");
        Ok(Pool { args, results: Vec::new() })
    }

    fn workers(&self) -> Vec<String> {
        numbered("worker", self.args.workers)
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["working", "task_started", "task_finished"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![Thing::new(TASKS, "", Shape::Tasks(Tasks { total: self.args.tasks, ..Tasks::default() }))]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let PoolArgs { workers, tasks, poison, task_timeout } = self.args;
        let (ctx, on_worker) = runner.pool_context(Square::NAME)?;
        let mut builder = crate::pool::Pool::builder().workers(workers as usize).inherit_ignored_signals();
        if let Some(limit) = task_timeout {
            builder = builder.time_limit(limit);
        }
        let pool = runner.started(builder.on_worker(on_worker).build(Square { ctx, tasks, poison }))?;
        let mut jobs = BTreeMap::new();
        runner.watch_until(|runner, _| {
            // As many at a time as the pool takes without waiting.
            while (jobs.len() as u64) < LOOKAHEAD && (self.results.len() + jobs.len()) < tasks as usize {
                let task = (self.results.len() + jobs.len()) as u64 + 1;
                jobs.insert(task, pool.submit(task)?);
            }
            self.take_results(&mut jobs, runner)?;
            Ok(self.results.len() as u64 == tasks)
        })?;
        if self.results.len() as u64 == tasks {
            pool.join();
        }
        Ok(())
    }

    fn check(self, attempts: &Attempts, completion: &Completion) -> anyhow::Result<CheckResult> {
        let mut of_tasks = BTreeMap::<u64, u32>::new();
        self.results.iter().for_each(|(task, _)| *of_tasks.entry(*task).or_default() += 1);
        let wrong = |(task, result): &(u64, Result<u64, TaskError>)| {
            result.as_ref().is_ok_and(|value| *value != square(*task)) || !(1..=self.args.tasks).contains(task)
        };
        let results = self.results.len() as u64;
        Ok(CheckResult {
            broken: self.results.iter().any(wrong) || of_tasks.values().any(|results| *results > 1),
            finished: of_tasks.len() as u64 == self.args.tasks && completion.stopped.is_none(),
            guaranteed: true,
            allowance: None,
            seen: self.seen(attempts),
            facts: vec![
                counter("tasks", "任务", self.args.tasks),
                counter("results", "结果", results),
                counter("failed", "失败", self.results.iter().filter(|(_, result)| result.is_err()).count() as u64),
                counter("retried", "重试", attempts.retried()),
            ],
            advice: Some([
                "kill -9 a worker while it works, and watch another one do its task: ipc-demo pool",
                "任务执行期间用 kill -9 终止一个工作进程，可看到其他进程接手它的任务：ipc-demo pool",
            ]),
        })
    }
}

/// How many tasks are submitted and have no result.
const LOOKAHEAD: u64 = 1000;

impl Pool {
    /// Returns how the tasks fared.
    fn seen(&self, attempts: &Attempts) -> [String; 2] {
        let failed = self.results.iter().filter(|(_, result)| result.is_err()).count() as u64;
        let (tasks, values, retried) = (self.args.tasks, self.results.len() as u64 - failed, attempts.retried());
        let or_none = |count, said: [String; 2]| if count == 0 { Default::default() } else { said };
        let [errors, errors_zh] =
            or_none(failed, [format!(" and {}", counted(failed, "error")), format!("和 {failed} 个错误")]);
        let retries = if retried == 1 { "1 retry".to_owned() } else { format!("{retried} retries") };
        let [retries, retries_zh] =
            or_none(retried, [format!(", after {retries}"), format!("；重新执行 {retried} 次")]);
        let (values_en, tasks_en) = (counted(values, "value"), counted(tasks, "task"));
        [
            format!("The pool returned {values_en}{errors} for {tasks_en}{retries}."),
            format!("{tasks} 个任务得到 {values} 个值{errors_zh}{retries_zh}。"),
        ]
    }

    /// Takes the results that are there.
    fn take_results(
        &mut self,
        jobs: &mut BTreeMap<u64, TaskHandle<Square>>,
        runner: &mut Runner<'_>,
    ) -> anyhow::Result<()> {
        let mut results = Vec::new();
        for (task, job) in jobs.iter_mut() {
            if let Some(result) = job.wait_timeout(Duration::ZERO) {
                results.push((*task, result));
            }
        }
        for (task, result) in results {
            jobs.remove(&task);
            if let Err(error) = &result {
                let fact = PoolFact::of_error(task, error).with_context(|| format!("task {task} failed: {error}"))?;
                runner.emit(fact)?;
            }
            self.results.push((task, result));
        }
        Ok(())
    }
}

/// What the workers of a pool do, and what the runner gets of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(clippy::enum_variant_names, reason = "the names of the events")]
pub(crate) enum PoolFact {
    /// A worker has begun a task.
    TaskStarted { task: u64 },
    /// It has finished it.
    TaskFinished { task: u64, value: u64 },
    /// The result of a task is an error, because of its last worker.
    TaskFailed {
        task: u64,
        last_worker: String,
        /// How many workers died of it; none if it took too long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempts: Option<u32>,
        /// The exit code of the last one; none if a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<i32>,
        /// The signal that ended the last one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        signal: Option<i32>,
    },
}

impl PoolFact {
    /// Returns the fact of an error that is due to a worker's end.
    fn of_error(task: u64, error: &TaskError) -> Option<Self> {
        let (worker, attempts, status) = match error {
            TaskError::WorkerDied { worker, status, attempts } => (worker, Some(*attempts), *status),
            TaskError::TimedOut { worker } => (worker, None, ExitStatus::Unknown),
            _ => return None,
        };
        let (exit_code, signal) = codes(status);
        Some(PoolFact::TaskFailed { task, last_worker: worker.to_string(), attempts, exit_code, signal })
    }
}

const TASKS: Noun = Noun::new("tasks", "任务");

/// What the tasks of a pool are numbered by.
const TASK: &str = "task";

impl Fact for PoolFact {
    fn class(&self) -> Class<'_> {
        let key = |number: &u64| Key::Item { from: TASK, number: *number };
        match self {
            Self::TaskStarted { task } => Class::works(key(task)),
            Self::TaskFinished { task, .. } => Class::finishes(key(task)),
            Self::TaskFailed { .. } => Class { follows_death: true, ..Class::dot(Severity::Trouble, "任务失败") },
        }
    }

    fn change(&self, _worker: &str, things: &mut Things) {
        if let (Self::TaskFailed { task, .. }, Some(Shape::Tasks(tasks))) = (self, things.shape(TASKS, "")) {
            tasks.left.remove(task);
            tasks.failed.insert(*task);
        }
    }

    fn sentence(&self, wording: &Wording<'_>) -> String {
        match self {
            Self::TaskStarted { task } => say!(wording, "begins task {task}", "开始执行任务 {task}"),
            Self::TaskFinished { task, value } => {
                say!(wording, "finishes task {task}: {value}", "完成任务 {task}，结果为 {value}")
            }
            Self::TaskFailed { task, last_worker, attempts: None, .. } => {
                let worker = wording.name(last_worker);
                say!(
                    wording,
                    "task {task} failed: it exceeded its time limit, {worker} was killed",
                    "任务 {task} 失败：超过时限，{worker}已被终止"
                )
            }
            Self::TaskFailed { task, last_worker, attempts: Some(attempts), exit_code, signal } => {
                let worker = wording.name(last_worker);
                let (en, zh) = match (signal, exit_code) {
                    (Some(signal), _) => (format!("was killed by signal {signal}"), format!("被信号 {signal} 终止")),
                    (None, Some(code)) => (format!("exited with code {code}"), format!("退出，退出码 {code}")),
                    (None, None) => ("died".to_owned(), "已终止".to_owned()),
                };
                say!(
                    wording,
                    "task {task} failed after {attempts} attempts: {worker} {en}",
                    "任务 {task} 失败，共尝试 {attempts} 次：{worker}{zh}"
                )
            }
        }
    }
}

/// How often each task was begun.
#[derive(Debug, Default)]
pub(crate) struct Attempts(BTreeMap<u64, u64>);

impl Observer for Attempts {
    fn count(&mut self, event: &Event) {
        if let Some(PoolFact::TaskStarted { task }) = event.get() {
            *self.0.entry(*task).or_default() += 1;
        }
    }
}

impl Attempts {
    /// Returns how often a task was begun again.
    fn retried(&self) -> u64 {
        self.0.values().map(|begun| begun - 1).sum()
    }
}

/// Takes its time for the square of a number.
#[derive(Clone, Serialize, Deserialize)]
struct Square {
    ctx: PoolContext,
    tasks: u64,
    poison: Option<u64>,
}

impl Task for Square {
    const NAME: &'static str = "pool.square";
    type Input = u64;
    type Output = u64;

    fn set_up(&mut self) -> RoleResult {
        self.ctx.enter();
        Ok(())
    }

    fn run(&mut self, task: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
        let ctx = &self.ctx.worker;
        ctx.emit(PoolFact::TaskStarted { task })?;
        if self.poison == Some(task) {
            ctx.pause(POISON_PAUSE);
            kill_self()?;
        }
        // The length belongs to the task and not to the worker that has it.
        let mut rng = StdRng::seed_from_u64(ctx.seed ^ task.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let place = ((task - 1) as f64 + rng.random::<f64>()) / self.tasks as f64;
        let working_ms = LONGEST_MS + (SHORTEST_MS - LONGEST_MS) * place;
        ctx.pause(Duration::from_secs_f64(working_ms / 1_000.0));
        let value = square(task);
        ctx.emit(PoolFact::TaskFinished { task, value })?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn verdict(results: Vec<(u64, Result<u64, TaskError>)>, completion: &Completion) -> Verdict {
        let args = PoolArgs { workers: 2, tasks: 3, poison: None, task_timeout: None };
        let pool = Pool { results, ..Pool::prepare(args).expect("good options") };
        pool.check(&Attempts::default(), completion).expect("a result").verdict(completion)
    }

    #[test]
    fn every_task_has_one_right_result_or_an_error() {
        let whole = &Completion::default();
        let failed = || Err(TaskError::Cancelled);
        assert_eq!(verdict(vec![(2, Ok(4)), (1, Ok(1)), (3, failed())], whole), Verdict::Held);
        assert_eq!(verdict(vec![(2, Ok(4)), (1, Ok(1))], whole), Verdict::Violated);
        assert_eq!(verdict(vec![(2, Ok(4)), (1, Ok(1))], &Completion::cut()), Verdict::NotShown);
        for wrong in [vec![(1, Ok(1)), (2, Ok(4)), (3, Ok(8))], vec![(1, Ok(1)), (1, Ok(1)), (2, Ok(4)), (3, Ok(9))]] {
            assert_eq!(verdict(wrong, whole), Verdict::Violated);
        }
    }

    #[test]
    fn options_that_cannot_be_are_refused() {
        let refused = |poison, task_timeout| {
            let args = PoolArgs { workers: 2, tasks: 3, poison, task_timeout };
            Pool::prepare(args).err().expect("refused").to_string()
        };
        assert!(refused(Some(4), None).contains("only 3 tasks"));
        assert!(refused(None, Some(Duration::ZERO)).contains("no time"));
    }

    #[test]
    fn retries_are_counted_from_what_workers_began() {
        let mut attempts = Attempts::default();
        for task in [1, 2, 2, 3, 2] {
            let fact = PoolFact::TaskStarted { task }.into();
            attempts.count(&Event { at_us: 0, worker: "worker-1".to_owned(), pid: 1, fact });
        }
        assert_eq!(attempts.retried(), 2);
    }
}
