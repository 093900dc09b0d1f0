//! The queue: a producer puts numbers, and a consumer gets them; or the queue is filled completely and emptied again.

use std::time::Duration;

use anyhow::{Context, ensure};

use super::delivery_audit::{self, DeliveryAudit, ItemFact, PAUSE, put_all, unless_disconnected};
use super::prelude::*;
use super::transport::{Getting, Putting, Transport, TransportArgs, UNSEEN};
use crate::queue::PutError;

/// The time between two steps of the filler, at speed 1.
const STEP: Duration = Duration::from_millis(200);
/// How long the filler waits for an item that it has put: with the textbook queue it may still be in transit.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(5);

/// The options of a queue.
#[derive(Debug, clap::Args)]
#[command(mut_arg("queue", |queue| queue.hide(true)))]
pub(crate) struct QueueArgs {
    /// How many items fit into the queue
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u32>(1..=1_000_000))]
    capacity: u32,
    /// How many items are put
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(0..=100_000_000))]
    items: u64,
    /// Fill the queue and empty it again, and try one put and one get too many
    #[arg(long, conflicts_with_all = ["items", "forever"])]
    fill: bool,
    /// Continue until Ctrl-C, as the reference program does
    #[arg(long, conflicts_with = "items")]
    forever: bool,
    #[command(flatten)]
    transport: TransportArgs,
}

/// The state of a queue run.
pub(crate) struct Queue {
    args: QueueArgs,
    transport: Transport,
    putting: Putting<u64>,
    /// Present until the workers have theirs.
    getting: Option<Getting<u64>>,
}

impl Scenario for Queue {
    const NAME: &'static str = "queue";
    const ABOUT: &'static str = "\
A producer puts numbers into a queue, a consumer takes them out

Each takes one second per item. With --fill one process fills the queue to its capacity, tries to put one more, \
empties it and tries to get one more, five steps per second. --transport pipe is the textbook queue, \
made of a pipe, locks, a semaphore and a thread; --transport redis://HOST is on a server; the default queue is in shared \
memory.

Examples:
  ipc-demo queue                            ten numbers
  ipc-demo queue --fill --capacity 5        full and empty
  ipc-demo queue --transport pipe           the textbook queue
  ipc-demo queue --forever                  until Ctrl-C";
    type Args = QueueArgs;
    const ROLES: &'static [RoleEntry] =
        &[RoleEntry::of::<Producer>(), RoleEntry::of::<Consumer>(), RoleEntry::of::<Filler>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<ItemFact>];
    const CLAIM: [&'static str; 2] =
        ["every item arrives exactly once, in the order it was put", "每个数据恰好到达一次，且保持放入顺序"];
    const NAMES: Names = &[("filler", "填充者"), ("item_put", "入队数据"), ("item_got", "出队数据")];
    type Observer = DeliveryAudit;

    fn not_explored(args: &QueueArgs) -> Option<&'static str> {
        args.transport.not_explored()
    }

    fn prepare(args: QueueArgs) -> anyhow::Result<Self> {
        ensure!(
            !args.transport.is_shared(),
            "--queue is for prodcons and joinable: queue checks the order of one producer's items"
        );
        let transport = args.transport.checked()?;
        let (putting, getting) = transport.open(Some(args.capacity), (true, true))?;
        Ok(Queue { args, transport, putting, getting: Some(getting) })
    }

    fn workers(&self) -> Vec<String> {
        let names: &[&str] = if self.args.fill { &["filler"] } else { &["producer", "consumer"] };
        names.iter().map(|name| name.to_string()).collect()
    }

    fn moments(&self) -> Vec<&'static str> {
        let limits: &[_] = if self.args.fill { &["queue_full", "queue_empty"] } else { &[] };
        [&["working", "item_put", "item_got"], limits].concat()
    }

    fn things(&self) -> Vec<Thing> {
        vec![delivery_audit::queue(Some(self.args.capacity.into()))]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let QueueArgs { capacity, items, fill, forever, .. } = self.args;
        let (putting, getting) = (self.putting.clone(), self.getting.take().context("a scenario runs once")?);
        // If the runner could put or get, the loss of the others would go unnoticed.
        unobserved(|| self.putting.close());
        if fill {
            runner.spawn("filler", false, |ctx| Filler { ctx, putting, getting, capacity })?;
        } else {
            let items = if forever { u64::MAX } else { items };
            runner.spawn("producer", false, |ctx| Producer { ctx, queue: putting, items })?;
            runner.spawn("consumer", false, |ctx| Consumer { ctx, queue: getting })?;
        }
        runner.watch()
    }

    fn check(self, audit: &DeliveryAudit, completion: &Completion) -> anyhow::Result<CheckResult> {
        let QueueArgs { capacity, items, fill, forever, .. } = self.args;
        let still_queued = self.putting.qsize().context(UNSEEN)? as u64;
        let planned = if fill { capacity.into() } else { items };
        let reached_limits = !fill || (audit.full == 1 && audit.empty == 1);
        let is_emptied = still_queued == 0 && completion.died_as("consumer") == 0 && completion.stopped.is_none();
        let result = audit.result(still_queued, (!forever).then_some(planned), completion);
        let consumed = audit.consumed();
        Ok(CheckResult {
            // What goes on until it is stopped has shown what it can.
            finished: (is_emptied && reached_limits && completion.shows(consumed))
                || (!fill && consumed == items && completion.stopped.is_none())
                || (forever && completion.died.is_empty()),
            guaranteed: self.transport.is_safe() || completion.is_regular(),
            seen: if fill && reached_limits && !result.broken {
                [
                    format!("{} filled the queue, and after {consumed} gets it was empty.", counted(planned, "item")),
                    format!("放入 {planned} 个数据后队列已满，取出 {consumed} 个后队列为空。"),
                ]
            } else {
                result.seen
            },
            ..result
        })
    }
}

/// Puts the numbers from 1.
#[derive(Serialize, Deserialize)]
struct Producer {
    ctx: WorkerContext,
    queue: Putting<u64>,
    items: u64,
}

impl Role for Producer {
    const NAME: &'static str = "queue.producer";

    fn run(self) -> RoleResult {
        put_all(&self.ctx, self.items, |number| {
            self.queue.put(number)?;
            Ok(ItemFact::put(number, self.ctx.name(), number, None))
        })
    }
}

/// Gets items until no producer is left.
#[derive(Serialize, Deserialize)]
struct Consumer {
    ctx: WorkerContext,
    queue: Getting<u64>,
}

impl Role for Consumer {
    const NAME: &'static str = "queue.consumer";

    fn run(self) -> RoleResult {
        let Consumer { ctx, queue } = &self;
        while let Some(number) = unless_disconnected(queue.get())? {
            ctx.emit(ItemFact::got(number, "producer", number, None))?;
            ctx.pause(PAUSE);
        }
        Ok(())
    }
}

/// Fills the queue and empties it again.
#[derive(Serialize, Deserialize)]
struct Filler {
    ctx: WorkerContext,
    putting: Putting<u64>,
    getting: Getting<u64>,
    capacity: u32,
}

impl Role for Filler {
    const NAME: &'static str = "queue.filler";

    fn run(self) -> RoleResult {
        let Filler { ctx, putting, getting, capacity } = &self;
        let size = || getting.qsize().ok().map(|items| items as u64);
        let capacity = u64::from(*capacity);
        for number in 1..=capacity {
            putting.put(number)?;
            ctx.emit(ItemFact::put(number, ctx.name(), number, size()))?;
            ctx.pause(STEP);
        }
        match putting.try_put(capacity + 1) {
            Err(PutError::Full(_)) => {}
            Ok(()) => return Err(format!("a queue for {capacity} took one more").into()),
            Err(error) => return Err(error.into()),
        }
        ctx.emit(ItemFact::QueueFull { timeout_us: 0 })?;
        ctx.pause(STEP);
        for _ in 1..=capacity {
            let number = getting.get_within(Some(ARRIVAL_TIMEOUT))?.ok_or("an item that was put did not come out")?;
            ctx.emit(ItemFact::got(number, ctx.name(), number, size()))?;
            ctx.pause(STEP);
        }
        match getting.try_get()? {
            None => Ok(ctx.emit(ItemFact::QueueEmpty)?),
            Some(number) => Err(format!("an emptied queue gave {number}").into()),
        }
    }
}
