//! The workers of a storm on a queue on a server: they put, get, finish and return items, one by one or in batches, and log
//! what they did.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use ipc_demo::process::Fd;
use ipc_demo::redis::{self, JoinableConsumer, JoinableProducer, JoinableQueue, Lease, Queue, Server};
use ipc_demo::{Error, Role, RoleResult};
use serde::{Deserialize, Serialize};

use super::stress::{Entry, Item, note};

/// In a log, in place of how often the item was returned: the lease was lost, although its holder lived.
pub(super) const ROBBED: u32 = u32::MAX;

/// For how long workers try to reach a server: it may read a long file when it is started again.
pub(super) const AWAY: Duration = Duration::from_secs(100);

#[derive(Clone, Serialize, Deserialize)]
pub(super) enum PutEnd {
    Plain(redis::Producer<Item>),
    Tasks(JoinableProducer<Item>),
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) enum GetEnd {
    Plain(redis::Consumer<Item>),
    Tasks(JoinableConsumer<Item>),
}

/// Where a worker's end comes from.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Source<E> {
    /// From its parent.
    Given(E),
    /// From the server at a URL, as on another machine: nobody sees the worker die.
    Opened { url: String, name: String, has_tasks: bool },
}

impl Source<PutEnd> {
    fn end(self) -> ipc_demo::Result<PutEnd> {
        match self {
            Source::Given(end) => Ok(end),
            Source::Opened { url, name, has_tasks } => {
                let server = Server::new(&url)?.timeout(AWAY);
                Ok(if has_tasks {
                    PutEnd::Tasks(JoinableQueue::<Item>::builder(&server).name(&name).build_producer()?)
                } else {
                    PutEnd::Plain(Queue::<Item>::builder(&server).name(&name).build_producer()?)
                })
            }
        }
    }
}

impl Source<GetEnd> {
    fn end(self) -> ipc_demo::Result<GetEnd> {
        match self {
            Source::Given(end) => Ok(end),
            Source::Opened { url, name, has_tasks } => {
                let server = Server::new(&url)?.timeout(AWAY);
                Ok(if has_tasks {
                    GetEnd::Tasks(JoinableQueue::<Item>::builder(&server).name(&name).build_consumer()?)
                } else {
                    GetEnd::Plain(Queue::<Item>::builder(&server).name(&name).build_consumer()?)
                })
            }
        }
    }
}

/// Puts `count` items; the log contains how many puts have returned.
#[derive(Serialize, Deserialize)]
pub(crate) struct PutsInStorm {
    pub(super) queue: Source<PutEnd>,
    pub(super) putter: u32,
    pub(super) count: u32,
    pub(super) batch: u32,
    pub(super) book: Fd,
}

impl Role for PutsInStorm {
    const NAME: &'static str = "test.puts-in-storm";
    fn run(self) -> RoleResult {
        let queue = self.queue.end()?;
        let book = File::from(self.book.into_owned()?);
        for first in (0..self.count).step_by(self.batch as usize) {
            let end = self.count.min(first + self.batch);
            let mut items: Vec<_> = (first..end).map(|number| Item::new(self.putter, number)).collect();
            match (&queue, items.len()) {
                (PutEnd::Plain(queue), 1) => queue.put(items.remove(0))?,
                (PutEnd::Tasks(queue), 1) => queue.put(items.remove(0))?,
                (PutEnd::Plain(queue), _) => queue.put_many(&items)?,
                (PutEnd::Tasks(queue), _) => queue.put_many(&items)?,
            }
            book.write_all_at(&end.to_le_bytes(), 0)?;
        }
        Ok(())
    }
}

/// Gets items until there are no more; the log contains them. Some tasks are returned to the queue the first time.
#[derive(Serialize, Deserialize)]
pub(crate) struct GetsInStorm {
    pub(super) queue: Source<GetEnd>,
    pub(super) batch: u32,
    /// Whether its machine may be cut off: then its leases may be lost.
    pub(super) may_be_robbed: bool,
    pub(super) book: Fd,
}

impl Role for GetsInStorm {
    const NAME: &'static str = "test.gets-in-storm";
    fn run(self) -> RoleResult {
        let queue = self.queue.end()?;
        let mut book = File::from(self.book.into_owned()?);
        let most = self.batch as usize;
        let outcome = match &queue {
            GetEnd::Plain(queue) => plain(queue, most, &mut book),
            GetEnd::Tasks(queue) => tasks(queue, most, &mut book, self.may_be_robbed),
        };
        let end = outcome.expect_err("until there are no more");
        match end.downcast_ref() {
            Some(Error::Disconnected) => Ok(()),
            _ => Err(end),
        }
    }
}

type Ended = Box<dyn std::error::Error + Send + Sync>;

fn plain(queue: &redis::Consumer<Item>, most: usize, book: &mut File) -> Result<(), Ended> {
    loop {
        let items = if most == 1 { vec![Ok(queue.get()?)] } else { queue.get_many(most)? };
        for item in items {
            let item = item?;
            item.check()?;
            note(book, [item.putter, item.number, 0])?;
        }
    }
}

fn tasks(queue: &JoinableConsumer<Item>, most: usize, book: &mut File, may_be_robbed: bool) -> Result<(), Ended> {
    let ended = |[putter, number, _]: Entry, outcome: ipc_demo::Result<()>, book: &mut File| match outcome {
        Err(Error::LeaseLost { .. }) if may_be_robbed => Ok(()),
        Err(Error::LeaseLost { .. }) => Ok(note(book, [putter, number, ROBBED])?),
        outcome => Ok::<_, Ended>(outcome?),
    };
    loop {
        let leases = if most == 1 { vec![Ok(queue.get()?)] } else { queue.get_many(most)? };
        let mut kept = Vec::new();
        for lease in leases {
            let lease = lease?;
            lease.check()?;
            let entry = entry(&lease);
            note(book, entry)?;
            if lease.number % 13 == 5 && lease.redelivered() == 0 {
                ended(entry, lease.nack(), book)?;
            } else {
                kept.push((entry, lease));
            }
        }
        if most == 1 {
            for (entry, lease) in kept {
                ended(entry, lease.task_done().map(drop), book)?;
            }
        } else {
            let (entries, leases): (Vec<_>, Vec<_>) = kept.into_iter().unzip();
            for (entry, outcome) in entries.into_iter().zip(queue.finish_many(leases)?) {
                ended(entry, outcome.map(drop), book)?;
            }
        }
    }
}

fn entry(lease: &Lease<'_, Item>) -> Entry {
    [lease.putter, lease.number, lease.redelivered()]
}
