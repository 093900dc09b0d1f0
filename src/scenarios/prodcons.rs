//! Producers and consumers: random numbers through a queue, each traced from its maker to its
//! consumer.

use std::convert::Infallible;

use anyhow::{Context, ensure};
use clap::builder::UnknownArgumentValueParser;

use super::delivery_audit::{self, DeliveryAudit, Item, ItemFact, Maker, PAUSE, unless_disconnected};
use super::prelude::*;
use super::transport::{Getting, Putting, Transport, TransportArgs, UNSEEN};

/// The options of producers and consumers.
#[derive(Debug, clap::Args)]
pub(crate) struct ProdconsArgs {
    /// How many producers there are
    #[arg(long, value_name = "P", default_value_t = 1, value_parser = whole::<u32>(0..=500))]
    producers: u32,
    /// How many consumers there are
    #[arg(long, value_name = "C", default_value_t = 1, value_parser = whole::<u32>(0..=500))]
    consumers: u32,
    /// How many items each producer makes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = whole::<u64>(0..=100_000_000))]
    items: u64,
    /// How many items fit into the queue [default: as many as memory allows]
    #[arg(long, value_name = "N", value_parser = whole::<u32>(1..=1_000_000))]
    capacity: Option<u32>,
    /// Continue until Ctrl-C, as the reference program does
    #[arg(long, conflicts_with = "items")]
    forever: bool,
    #[command(flatten)]
    transport: TransportArgs,
    /// What other scenarios have
    #[arg(long, hide = true, value_parser = UnknownArgumentValueParser::suggest("use --producers and --consumers"))]
    workers: Option<Infallible>,
}

/// The state of a run.
pub(crate) struct Prodcons {
    args: ProdconsArgs,
    putting: Putting<Item>,
    /// Present until the consumers have theirs.
    getting: Option<Getting<Item>>,
}

impl Scenario for Prodcons {
    const NAME: &'static str = "prodcons";
    const ABOUT: &'static str = "\
Producers and consumers: each number is traced from maker to taker

Neither waits for the other as long as the queue is neither full nor empty. Every number is traced from the producer \
that made it to the consumer that got it. The consumers end by themselves: a get on an empty queue returns an error \
when no producer is left.

Examples:
  ipc-demo prodcons                                  one of each
  ipc-demo prodcons --producers 2 --consumers 3      more of them
  ipc-demo prodcons --capacity 1                     they wait for each other
  ipc-demo prodcons --forever                        until Ctrl-C
  ipc-demo prodcons --transport redis://db --queue q --consumers 0
                                                     consumers on other machines";
    type Args = ProdconsArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<Maker<Putting<Item>>>(), RoleEntry::of::<Taker>()];
    const FACTS: &'static [Parse] = &[AnyFact::parse::<ItemFact>];
    const CLAIM: [&'static str; 2] = [
        "every item arrives exactly once; each producer's items stay in order",
        "每个数据恰好到达一次，且同一生产者的数据保持顺序",
    ];
    type Observer = DeliveryAudit;

    fn not_explored(args: &ProdconsArgs) -> Option<&'static str> {
        args.transport.not_explored()
    }

    fn prepare(args: ProdconsArgs) -> anyhow::Result<Self> {
        args.transport.check_sides(args.producers, args.consumers)?;
        let transport = args.transport.checked()?;
        let cannot_end =
            "over a pipe, consumers cannot tell that the last producer is gone: use --transport shm or redis";
        ensure!(!matches!(transport, Transport::Pipe), cannot_end);
        let (putting, getting) = transport.open(args.capacity, (args.producers > 0, args.consumers > 0))?;
        Ok(Prodcons { args, putting, getting: Some(getting) })
    }

    fn workers(&self) -> Vec<String> {
        [named("producer", self.args.producers), named("consumer", self.args.consumers)].concat()
    }

    fn moments(&self) -> Vec<&'static str> {
        vec!["working", "item_put", "item_got"]
    }

    fn things(&self) -> Vec<Thing> {
        vec![delivery_audit::queue(self.args.capacity.map(u64::from))]
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        let ProdconsArgs { producers, consumers, items, forever, .. } = self.args;
        let origin = self.args.transport.origin();
        let items = if forever { u64::MAX } else { items };
        let (putting, getting) = (&self.putting, self.getting.take().context("a scenario runs once")?);
        runner.spawn_each(named("producer", producers), |ctx| Maker {
            ctx,
            queue: putting.clone(),
            items,
            origin: origin.clone(),
        })?;
        runner.spawn_each(named("consumer", consumers), |ctx| Taker { ctx, queue: getting.clone() })?;
        // The runner neither puts nor gets: if it could, the loss of one side would go unnoticed.
        unobserved(|| {
            drop(getting);
            putting.close();
        });
        runner.watch()
    }

    fn check(self, audit: &DeliveryAudit, completion: &Completion) -> anyhow::Result<CheckResult> {
        let still_queued = self.putting.qsize().context(UNSEEN)? as u64;
        let consumer_is_left = completion.died_as("consumer") < self.args.consumers as usize;
        let planned = (!self.args.forever).then(|| self.args.items * u64::from(self.args.producers));
        if self.args.transport.is_shared() {
            return Ok(audit.shared_result(still_queued, 0, planned, completion));
        }
        let is_emptied = still_queued == 0 && completion.stopped.is_none();
        Ok(CheckResult {
            // What goes on until it is stopped has shown what it can.
            finished: (consumer_is_left && (is_emptied || self.args.forever) && completion.shows(audit.consumed()))
                || (is_emptied && planned == Some(audit.consumed())),
            ..audit.result(still_queued, planned, completion)
        })
    }
}

impl Role for Maker<Putting<Item>> {
    const NAME: &'static str = "prodcons.producer";

    fn run(self) -> RoleResult {
        Maker::run(self)
    }
}

/// Gets items until no producer is left.
#[derive(Serialize, Deserialize)]
struct Taker {
    ctx: WorkerContext,
    queue: Getting<Item>,
}

impl Role for Taker {
    const NAME: &'static str = "prodcons.consumer";

    fn run(self) -> RoleResult {
        let Taker { ctx, queue } = &self;
        while let Some(item) = unless_disconnected(queue.get())? {
            ctx.emit(item.got(false))?;
            ctx.pause(PAUSE);
        }
        Ok(())
    }
}
