//! The queue of a scenario, over the transport that was chosen on the command line.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::ipc::Result;
use crate::ipc::queue::{
    Consumer, GetEnd, Item, JoinableConsumer, JoinableProducer, Lease, Pipe, PipeQueue, Producer, PutEnd,
    Transport as _,
};
use crate::redis::{self, Server, masked};
use crate::{JoinableQueue, Queue};

/// The environment variable with the URL of `--transport redis`.
const URL: &str = "IPC_DEMO_REDIS";

/// Where the queue is.
#[derive(Debug, clap::Args)]
pub(crate) struct TransportArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Queue on a server that other runs can join, and that stays [default: a new one, deleted at the end]
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
}

/// The options for a server. They are of every command that can use one.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArgs {
    /// Transport of the queue: shm; pipe (queue only); a Redis server, redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]; or redis, with that URL in IPC_DEMO_REDIS
    #[arg(long, value_name = "TRANSPORT", default_value = "shm")]
    transport: TransportArg,
    /// Maximum time to try to reach a server that does not answer [default: 10s]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    redis_timeout: Option<Duration>,
}

/// What was typed, not yet checked: an error would show it, with its password.
#[derive(Clone)]
struct TransportArg(String);

impl FromStr for TransportArg {
    type Err = std::convert::Infallible;

    fn from_str(typed: &str) -> std::result::Result<Self, Self::Err> {
        Ok(TransportArg(typed.to_owned()))
    }
}

impl fmt::Debug for TransportArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&masked(&self.0))
    }
}

/// What a queue is made of.
#[derive(Debug, Clone)]
pub(crate) enum Transport {
    /// A ring in shared memory; survives every kill.
    Shm,
    /// A pipe, two locks, a semaphore and a feeder thread: the textbook's.
    Pipe,
    /// A server, and the name of the queue if others can join it.
    Redis { server: Box<Server>, name: Option<String> },
}

impl TransportArgs {
    /// Returns why a run over this transport cannot be explored, if it cannot.
    pub(super) fn not_explored(&self) -> Option<&'static str> {
        match self.server.transport.0.as_str() {
            "shm" => None,
            "pipe" => Some("a queue over a pipe has feeder threads, which are not scheduled"),
            _ => Some("a queue on a server is not scheduled: other machines can use it"),
        }
    }

    /// Returns whether other runs can join the queue.
    pub(super) fn is_shared(&self) -> bool {
        self.queue.is_some()
    }

    /// Returns what distinguishes this run's producers from those of other runs on the same queue.
    pub(super) fn origin(&self) -> Option<String> {
        self.queue.as_ref().map(|_| redis::process_name())
    }

    /// Checks that there are workers, and that a side without workers can be on another machine.
    pub(super) fn check_sides(&self, producers: u32, consumers: u32) -> anyhow::Result<()> {
        ensure!(producers + consumers > 0, "without producers and consumers there is nothing to do");
        let lacks_one = producers == 0 || consumers == 0;
        ensure!(
            !lacks_one || self.is_shared(),
            "--producers 0 and --consumers 0 are for runs that share a queue: name it with --queue"
        );
        Ok(())
    }

    /// Checks what was typed, and that there is a server if one is needed.
    pub(super) fn checked(&self) -> anyhow::Result<Transport> {
        let transport = match self.server.transport.0.as_str() {
            "shm" => Transport::Shm,
            "pipe" => Transport::Pipe,
            _ => {
                let server = Box::new(self.server.server("--transport takes shm, pipe, redis or")?);
                Transport::Redis { server, name: self.queue.clone() }
            }
        };
        if !matches!(transport, Transport::Redis { .. }) {
            ensure!(self.queue.is_none(), "--queue names a queue on a server: use --transport redis://HOST");
            ensure!(self.server.redis_timeout.is_none(), "--redis-timeout is for --transport redis");
        }
        if let Transport::Redis { server, .. } = &transport {
            let info = server.check()?;
            if !info.is_append_only {
                note_once(server);
            }
            // What runs that were killed have left there. Not this run's concern if it fails.
            let _ = redis::delete_unused(server, redis::UNUSED);
        }
        Ok(transport)
    }
}

impl ServerArgs {
    /// Returns the server at the URL that was typed, or, for `redis`, in the environment. `expected` begins the message
    /// for what is neither.
    pub(crate) fn server(&self, expected: &str) -> anyhow::Result<Server> {
        let server = match self.transport.0.as_str() {
            "redis" => server_in_environment()?,
            typed => server_at(typed, "--transport ", expected)?,
        };
        Ok(server.timeout(self.redis_timeout.unwrap_or(redis::DEFAULT_TIMEOUT)))
    }
}

/// Returns the server at the URL in the environment.
pub(crate) fn server_in_environment() -> anyhow::Result<Server> {
    let url = std::env::var(URL).ok().with_context(|| {
        format!("no server: set the environment variable {URL} to redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]")
    })?;
    server_at(&url, &format!("{URL}="), &format!("{URL} is not the URL of a server: expected"))
}

fn server_at(url: &str, source: &str, expected: &str) -> anyhow::Result<Server> {
    // Not what was typed: it may be a URL without its scheme, with a password.
    ensure!(url.contains("://"), "{expected} redis://[USER[:PASSWORD]@]HOST[:PORT][/DB]");
    Server::new(url).with_context(|| format!("{source}{}", masked(url)))
}

/// Says, once per process, that a server forgets.
fn note_once(server: &Server) {
    static NOTED: std::sync::Once = std::sync::Once::new();
    NOTED.call_once(|| {
        use std::io::Write;
        let note = format!(
            "note: {server} keeps no append-only file: a restart loses what was changed since its last snapshot\n"
        );
        // A note that cannot be shown is no reason to stop.
        let _ = std::io::stderr().write_all(note.as_bytes());
    });
}

/// An end in a role: what is the same for all transports is found by dereferencing it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum End<S, P, R> {
    Shm(S),
    Pipe(P),
    Redis(R),
}

/// The end of a worker that puts.
pub(super) type Putting<T> = End<Producer<T>, PipeQueue<T>, redis::Producer<T>>;
/// The end of a worker that gets.
pub(super) type Getting<T> = End<Consumer<T>, PipeQueue<T>, redis::Consumer<T>>;

impl<T: Item + 'static> Deref for Putting<T> {
    type Target = dyn PutEnd<T>;
    fn deref(&self) -> &Self::Target {
        match self {
            End::Shm(end) => end,
            End::Pipe(end) => end,
            End::Redis(end) => end,
        }
    }
}

impl<T: Item + 'static> Deref for Getting<T> {
    type Target = dyn GetEnd<T>;
    fn deref(&self) -> &Self::Target {
        match self {
            End::Shm(end) => end,
            End::Pipe(end) => end,
            End::Redis(end) => end,
        }
    }
}

/// The context of an error of `qsize` after a run.
pub(super) const UNSEEN: &str = "cannot see what is left in the queue";

/// The end of a worker that makes tasks, and that of one that does them.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum TaskEnd<S, R> {
    Shm(S),
    Redis(R),
}

pub(super) type TaskPutting<T> = TaskEnd<JoinableProducer<T>, redis::JoinableProducer<T>>;
pub(super) type TaskGetting<T> = TaskEnd<JoinableConsumer<T>, redis::JoinableConsumer<T>>;

/// A task and the lease on it.
pub(super) enum Task<'q, T> {
    Shm(Lease<'q, T>),
    Redis(redis::Lease<'q, T>),
}

impl<T: Item + 'static> Deref for TaskPutting<T> {
    type Target = dyn PutEnd<T>;
    fn deref(&self) -> &Self::Target {
        match self {
            TaskEnd::Shm(end) => end,
            TaskEnd::Redis(end) => end,
        }
    }
}

impl<T: Item> TaskPutting<T> {
    pub(super) fn join_timeout(&self, timeout: Duration) -> Result<bool> {
        match self {
            TaskEnd::Shm(end) => end.join_timeout(timeout),
            TaskEnd::Redis(end) => end.join_timeout(timeout),
        }
    }

    pub(super) fn unfinished(&self) -> Result<u64> {
        match self {
            TaskEnd::Shm(end) => Ok(end.unfinished()),
            TaskEnd::Redis(end) => end.unfinished(),
        }
    }
}

impl<T: Item> TaskGetting<T> {
    pub(super) fn get(&self) -> Result<Task<'_, T>> {
        match self {
            TaskEnd::Shm(end) => end.get().map(Task::Shm),
            TaskEnd::Redis(end) => end.get().map(Task::Redis),
        }
    }
}

impl<T> Task<'_, T> {
    pub(super) fn redelivered(&self) -> u32 {
        match self {
            Task::Shm(lease) => lease.redelivered(),
            Task::Redis(lease) => lease.redelivered(),
        }
    }

    pub(super) fn task_done(self) -> Result<T> {
        match self {
            Task::Shm(lease) => lease.task_done(),
            Task::Redis(lease) => lease.task_done(),
        }
    }
}

impl<T> Deref for Task<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Task::Shm(lease) => lease,
            Task::Redis(lease) => lease,
        }
    }
}

impl Transport {
    /// Returns whether nothing is lost but what killed workers held.
    pub(super) fn is_safe(&self) -> bool {
        !matches!(self, Transport::Pipe)
    }

    /// Opens a queue of at most `capacity_items` items, or as many as there is room for. On a server, an end that this run
    /// does not need is closed: others are waited for.
    pub(super) fn open<T: Item>(
        &self,
        capacity_items: Option<u32>,
        (puts, gets): (bool, bool),
    ) -> anyhow::Result<(Putting<T>, Getting<T>)> {
        let capacity_items = capacity_items.map(|items| items as usize);
        Ok(match self {
            Transport::Shm => {
                let queue = capacity_items.map_or_else(Queue::new, Queue::bounded)?;
                (End::Shm(queue.producer()), End::Shm(queue.consumer()))
            }
            Transport::Pipe => {
                let (put, get) = Pipe.open(capacity_items)?;
                (End::Pipe(put), End::Pipe(get))
            }
            Transport::Redis { server, name } => {
                let builder = redis::Queue::<T>::builder(server).capacity(capacity_items.unwrap_or(usize::MAX));
                let builder = name.iter().fold(builder, |builder, name| builder.name(name));
                let queue = builder.build_for::<T>(puts, gets)?;
                (End::Redis(queue.producer()), End::Redis(queue.consumer()))
            }
        })
    }

    /// As [`open`](Self::open), for a queue of tasks.
    pub(super) fn open_tasks<T: Item>(
        &self,
        (puts, gets): (bool, bool),
    ) -> anyhow::Result<(TaskPutting<T>, TaskGetting<T>)> {
        Ok(match self {
            Transport::Shm => {
                let queue = JoinableQueue::new()?;
                (TaskEnd::Shm(queue.producer()), TaskEnd::Shm(queue.consumer()))
            }
            Transport::Pipe => bail!("a queue over a pipe has no leases: use --transport shm or redis"),
            Transport::Redis { server, name } => {
                let builder = redis::JoinableQueue::<T>::builder(server);
                let builder = name.iter().fold(builder, |builder, name| builder.name(name));
                let queue = builder.build_for::<T>(puts, gets)?;
                (TaskEnd::Redis(queue.producer()), TaskEnd::Redis(queue.consumer()))
            }
        })
    }
}
