//! The joinable queue: producers, a daemon consumer, and a runner that waits until every task is done.

use std::time::Duration;

use anyhow::Context;

use super::delivery_audit::{self, DeliveryAudit, Item, ItemFact, Maker, PAUSE, unless_disconnected};
use super::prelude::*;
use super::transport::{TaskGetting, TaskPutting, TransportArgs, UNSEEN};
use crate::Error;

/// How long the runner waits for the last task in an exploration, where it waits at most for its turn.
const JOIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The options of a run with counted tasks.
#[derive(Debug, clap::Args)]
pub(crate) struct JoinableArgs {
    /// How many producers there are
    #[arg(long, value_name = "P", default_value_t = 2, value_parser = whole::<u32>(0..=500))]
    producers: u32,
    /// How many consumers there are; they are daemons
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = whole::<u32>(0..=500))]
    consumers: u32,
    /// How many items each producer makes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(0..=100_000_000))]
    items: u64,
    #[command(flatten)]
    transport: TransportArgs,
}

/// The state of a run with counted tasks.
pub(crate) struct Joinable {
    args: JoinableArgs,
    putting: TaskPutting<Item>,
    /// Present until the consumers have theirs.
    getting: Option<TaskGetting<Item>>,
}

impl Scenario for Joinable {
    const NAME: &'static str = "joinable";
    const ABOUT: &'static str = "\
A queue that knows when every task is done, and a daemon consumer

The runner waits for the producers, then for the queue: until the consumer has marked every item as done. Then the runner \
ends, and with it the consumer, a daemon that would otherwise wait forever. If a consumer is killed in the middle of a \
task, nothing is lost: another consumer gets the task.

Examples:
  ipc-demo joinable                    two producers, one consumer
  ipc-demo joinable --consumers 3      kill one: who gets its task?
  ipc-demo joinable --transport redis://db --queue orders --consumers 0
  ipc-demo joinable --transport redis://db --queue orders --producers 0
                                       the same on two machines";
    type Args = JoinableArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Maker<TaskPutting<Item>>>(), RoleEntry::of::<Worker>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<ItemFact>];
    const CLAIM: [&'static str; 2] =
        ["every task is done exactly once, and none is lost", "每个任务恰好处理一次，且不丢失"];
    type Observer = DeliveryAudit;

    fn not_explored(args: &JoinableArgs) -> Option<&'static str> {
        args.transport.not_explored()
    }

    fn prepare(args: JoinableArgs) -> anyhow::Result<Self> {
        args.transport.check_sides(args.producers, args.consumers)?;
        let (putting, getting) = args.transport.checked()?.open_tasks((args.producers > 0, args.consumers > 0))?;
        Ok(Joinable { args, putting, getting: Some(getting) })
    }

    fn workers(&self) -> Vec<String> {
        [named("producer", self.args.producers), named("consumer", self.args.consumers)].concat()
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["working", "item_put", "item_got", "task_done"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![delivery_audit::queue(None)]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let JoinableArgs { producers, consumers, items, .. } = self.args;
        let (origin, is_shared) = (self.args.transport.origin(), self.args.transport.is_shared());
        let (putting, getting) = (&self.putting, self.getting.take().context("a scenario runs once")?);
        runner.spawn_each(named("producer", producers), |ctx| Maker {
            ctx,
            queue: putting.clone(),
            items,
            origin: origin.clone(),
        })?;
        // Without producers here, consumers end when those elsewhere are gone.
        let are_daemons = producers > 0;
        for name in named("consumer", consumers) {
            runner.spawn(&name, are_daemons, |ctx| Worker { ctx, queue: getting.clone() })?;
        }
        // The runner does no tasks: if it could, the loss of the last consumer would go unnoticed.
        unobserved(|| {
            drop(getting);
            if is_shared {
                putting.close();
            }
        });
        if !are_daemons {
            return runner.watch();
        }
        let (mut audit, mut joined) = (DeliveryAudit::default(), false);
        let mut count = |events: &[Event]| {
            events.iter().for_each(|event| audit.count(event));
            // Of what others make, only that which came here is known here.
            audit.tasks_done() >= if is_shared { audit.consumed() } else { audit.produced(0) }
        };
        runner.watch_until(|runner, events| {
            count(events);
            if runner.has_expected_workers() {
                return Ok(false);
            }
            // In an exploration, the join is one step. Nothing is shown while it is blocked, so it waits until it is not.
            if runner.is_explored() && runner.has_running("consumer") && unobserved(|| putting.unfinished())? > 0 {
                return Ok(false);
            }
            let timeout = if runner.is_explored() { JOIN_TIMEOUT } else { Duration::ZERO };
            joined = match putting.join_timeout(timeout) {
                // No consumer is left to do the rest.
                Err(Error::Disconnected) => return Ok(true),
                // If their death was asked for it is no failure.
                Err(Error::NoConsumers { .. }) if runner.kills_are_requested() => return Ok(true),
                joined => joined?,
            };
            Ok(joined)
        })?;
        if !joined {
            return Ok(());
        }
        // The worker of the last task may not have reported it yet.
        runner.watch_reports(count)?;
        let tasks = if consumers == 0 { audit.produced(0) } else { audit.tasks_done() };
        runner.emit(ItemFact::QueueJoined { tasks })
    }

    fn check(self, audit: &DeliveryAudit, completion: &Completion) -> anyhow::Result<CheckResult> {
        let unfinished = self.putting.unfinished()?;
        // The unfinished tasks that were not reported as got.
        let still_queued = unfinished.min(audit.produced(0) - audit.consumed());
        let (produced, tasks_done) = (audit.produced(still_queued), audit.tasks_done());
        let planned = self.args.items * u64::from(self.args.producers);
        if self.args.transport.is_shared() {
            let queued = self.putting.qsize().context(UNSEEN)? as u64;
            let lost = if completion.is_regular() { unfinished } else { 0 };
            let mut result = audit.shared_result(queued, lost, Some(planned), completion);
            result.facts.push(counter("tasks_done", "已处理", tasks_done));
            return Ok(CheckResult { finished: result.finished && unfinished == 0, ..result });
        }
        let unreported = produced.saturating_sub(tasks_done + unfinished);
        let consumer_is_left = completion.died_as("consumer") < self.args.consumers as usize;
        let mut result = audit.result(still_queued, Some(planned), completion);
        result.facts.push(counter("tasks_done", "已处理", tasks_done));
        // By a consumer that died with it: another has got it since, or it is in the queue again.
        let returned = audit.redelivered + (unfinished - still_queued);
        result.facts.push(counter("returned", "退回", returned));
        Ok(CheckResult {
            // A task that was taken is not lost with its taker.
            broken: audit.is_broken(still_queued, &Completion::default())
                || unreported > completion.interrupted() as u64,
            finished: unfinished == 0
                && (consumer_is_left || tasks_done == planned)
                && completion.stopped.is_none()
                && completion.shows(tasks_done),
            allowance: if unreported > 0 { Some(Allowance::Unreported) } else { result.allowance },
            seen: self.seen(produced, tasks_done, audit.redelivered),
            advice: Some([
                "kill a consumer in the middle of a task: ipc-demo joinable --consumers 2 --kill consumer-1@working",
                "试试在处理任务时杀死消费者：ipc-demo joinable --consumers 2 --kill consumer-1@working",
            ]),
            ..result
        })
    }
}

impl Joinable {
    /// Returns how the tasks fared.
    fn seen(&self, produced: u64, done: u64, redelivered: u64) -> [String; 2] {
        let who = if self.args.consumers == 1 { "The consumer" } else { "The consumers" };
        let [en, zh] = match redelivered {
            0 => Default::default(),
            _ => [
                format!(", {redelivered} of them after the one that had it first died"),
                format!("，其中 {redelivered} 个在原来的消费者终止后由其他消费者接手"),
            ],
        };
        let done_zh = of_all_zh(done, produced, "处理完", "个");
        [format!("{who} did {}{en}.", of_all(done, produced, "task")), format!("{produced} 个任务{done_zh}{zh}。")]
    }
}

impl Role for Maker<TaskPutting<Item>> {
    const NAME: &'static str = "joinable.producer";

    fn run(self) -> RoleResult {
        Maker::run(self)
    }
}

/// Does tasks forever: a daemon.
#[derive(Serialize, Deserialize)]
struct Worker {
    ctx: WorkerContext,
    queue: TaskGetting<Item>,
}

impl Role for Worker {
    const NAME: &'static str = "joinable.consumer";

    fn run(self) -> RoleResult {
        let Worker { ctx, queue } = &self;
        // It ends when all are done and no more will be put.
        while let Some(task) = unless_disconnected(queue.get())? {
            ctx.emit(task.got(task.redelivered() > 0))?;
            ctx.pause(PAUSE);
            let done = task.done();
            match task.task_done() {
                // This machine was cut off from the server, and another consumer has the task now.
                Err(Error::LeaseLost { .. }) => continue,
                outcome => outcome?,
            };
            ctx.emit(done)?;
        }
        Ok(())
    }
}
