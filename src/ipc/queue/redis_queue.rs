//! Queues on a Redis or Valkey server, for processes on several machines.
//!
//! [`Queue`] and [`JoinableQueue`] have the methods and errors of the queues in shared memory. What differs is what a
//! server, and a network to it, cannot do:
//!
//! | | in shared memory | on a server |
//! |---|---|---|
//! | a process is dead | when the kernel says so | when it has not reached the server for 1.5 s while others did; its parent sees it within 250 ms |
//! | a stopped process | lives | is dead after 1.5 s: what it had leased goes to others, and its `task_done` is [`Error::LeaseLost`] |
//! | the server is away | - | calls wait and are repeated, for the [timeout](Server::timeout) of the server; nobody is dead for that |
//! | a killed plain `get` | may lose one item | may lose the batch that it got last |
//! | reading the state | cannot fail | can, so `qsize` and the like return a `Result` |
//! | `try_put`, `try_get` | do not wait | wait for the server's answer |
//!
//! # State
//! All of it is on the server, in keys with the prefix `ipcq:{NAME}:`.
//!
//! | key | what it has |
//! |---|---|
//! | `meta` | the options; in one field, `state`, all numbers that a put or a get reads and changes; the members' rights (`m:`), and the sessions' last requests with their answers (`s:`), among them the items of the last get of a plain queue |
//! | `items` | plain: a list of batches of items; tasks: items by number |
//! | `long:NAME`, `long` | the payloads of long items that were put together; how many of them are left |
//! | `back`, `dead`, `again` | tasks: the numbers of those that were returned (served first), of dead letters, and how often each was returned |
//! | `lease:MEMBER` | tasks: the numbers that a process holds |
//! | `live`, `gone` | when each process expires; processes that were declared dead |
//! | `more`, `room`, `done` | tokens for those that wait |
//!
//! The number of unfinished tasks is the number of items less that of `dead`. Each operation is one script, in which it
//! happens as a whole or not at all. A process that must wait registers in that script, and then blocks on a list of
//! tokens, one for each that may go on; a token that is lost delays its waiter by a second.
//!
//! # Death
//! Every request has a number in its session, and the server keeps the session's last answer: a request whose answer was
//! lost is sent again, and is not performed twice, also if it arrives after later ones. What a crash leaves:
//!
//! | killed | what remains | what repairs it |
//! |---|---|---|
//! | a producer, before the answer | the item is in the queue, once, or not | - |
//! | a consumer | its leases | any other process returns them, marked as redelivered |
//! | a waiting process | its registration | the next token, which wakes nobody |
//! | the server | what its append-only file has | processes reconnect and repeat their requests |
//! | all processes | a queue without a name | the next run finds it: [`delete_unused`] |
//!
//! A server without an append-only file loses at a restart what was changed since its last snapshot. With one, and
//! `appendfsync everysec`, it loses up to two seconds at a power failure, or if it is killed while its disk is slow; with
//! `always` nothing. A failover to a replica loses what was not copied yet.
//!
//! # Cost
//! A round trip for an operation, of one item or up to 1,000; two for a get of long items. The script of a put or a get
//! takes the server about 10 µs more than `RPUSH` or `LPOP`. About 5 µs of that are its four commands, which read the state,
//! read the session's last request, move the item, and write both back: without a script, nothing on the server would
//! decide whether there is room and whether the request is repeated. In batches of 64 to 256 it is 0.1 to 0.3 µs an item, for
//! leases about 1 µs an item in each of the three scripts.
//!
//! A script takes 2.2 µs for each KiB that it touches: Lua hashes every byte of a text. So long payloads bypass the
//! scripts, from 8 KiB a request on. Next to `RPUSH` and `LPOP`, a put takes about 1.6 times and a get 1.7 times as long, a
//! put and a get in two threads twice as long, and batches 0.8 to 1.8 times; next to `RPUSH`, `LMOVE` and `LPOP`, leased
//! batches take 0.6 to 1.4 times as long.
//!
//! One queue is on one server thread: 10,000 to 20,000 leased items a second one by one, 200,000 to 300,000 in batches of
//! 256. Beyond that, use several queues (`orders.0`, `orders.1`, ...), which a cluster spreads over its nodes; order is kept
//! in each. Beyond that, use a broker that replicates and partitions itself: NATS JetStream, Kafka, or RabbitMQ quorum
//! queues.
//!
//! # Requirements
//! Redis 6.2 or later, for `LPOP` with a count and `SMISMEMBER`, or Valkey. The tests have run on Redis 6.2.14, 7.0.15 and
//! 8.2.3, and on Valkey 8.1.8 and 9.1.2.
//!
//! # Standard
//! Python has a managed `Queue` for other machines; brokers on Redis: Celery's kombu, BullMQ.

mod admin;
mod answer;
mod builder;
mod connection;
pub(crate) mod error;
mod handle;
mod heartbeat;
mod joinable;
mod member;
mod payload;
mod script;
mod server;
mod session;
mod transport;

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::DeserializeOwned;

pub use admin::{Life, MemberInfo, QueueInfo, UNUSED, delete, delete_abandoned, delete_unused, list, show};
pub use builder::QueueBuilder;
pub use error::RedisError;
pub use joinable::{JoinableConsumer, JoinableProducer, JoinableQueue, JoinableQueueBuilder, Lease};
#[cfg(feature = "cli")]
pub(crate) use member::process_name;
#[cfg(feature = "cli")]
pub(crate) use server::masked;
pub use server::{DEFAULT_TIMEOUT, Server, ServerInfo};

use self::handle::{Handle, SentHandle};
use super::access::{Access, Both, GetOnly, Gets, PutOnly, Puts};
use super::batch::Items;
use super::encoding;
use super::ends::until_disconnected;
use super::item::Item;
use super::participants::Rights;
use super::put_error::PutError;
use super::ring::Waiting;
use crate::ipc::buffer::Buffer;
use crate::ipc::error::{Error, Result};
use crate::ipc::process::transfer::sent_in_roles;

/// A queue of items of type `T` on a server.
///
/// As [`ipc_demo::Queue`](crate::Queue): `A` determines the kind of handle, and handles travel in roles. All handles of a
/// queue in a process are one member of it on the server.
///
/// ```no_run
/// use ipc_demo::redis::{Queue, Server};
///
/// let server = Server::new("redis://db.example")?;
/// let queue = Queue::<u64>::builder(&server).name("numbers").capacity(1000).build()?;
/// queue.put(1)?;
/// assert_eq!(queue.get()?, 1);
/// # Ok::<(), ipc_demo::Error>(())
/// ```
pub struct Queue<T, A: Access = Both> {
    handle: Handle,
    types: PhantomData<fn(T, A) -> T>,
}

/// The putting end of a [`Queue`].
pub type Producer<T> = Queue<T, PutOnly>;
/// The getting end of a [`Queue`].
pub type Consumer<T> = Queue<T, GetOnly>;

impl<T> Queue<T> {
    /// Creates a queue without a name, of up to [`DEFAULT_BYTE_LIMIT`](crate::queue::DEFAULT_BYTE_LIMIT).
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn new(server: &Server) -> Result<Self> {
        Queue::<T>::builder(server).build()
    }

    /// Creates a queue without a name of at most `capacity_items` items; `usize::MAX` means no limit.
    ///
    /// # Errors
    /// As [`QueueBuilder::build`].
    pub fn bounded(server: &Server, capacity_items: usize) -> Result<Self> {
        Queue::<T>::builder(server).capacity(capacity_items).build()
    }

    /// Returns a builder for a queue with options.
    pub fn builder(server: &Server) -> QueueBuilder {
        QueueBuilder::new(server)
    }

    /// Returns a handle that only puts.
    pub fn producer(&self) -> Producer<T> {
        self.another()
    }

    /// Returns a handle that only gets.
    pub fn consumer(&self) -> Consumer<T> {
        self.another()
    }
}

impl<T, A: Access> Queue<T, A> {
    fn of(handle: Handle) -> Self {
        Queue { handle, types: PhantomData }
    }

    fn another<U, B: Access>(&self) -> Queue<U, B> {
        Queue::of(self.handle.another(Rights(B::RIGHTS)))
    }

    /// Returns the queue's name.
    pub fn name(&self) -> &str {
        self.handle.member.name()
    }

    /// Returns the number of items in the queue.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn qsize(&self) -> Result<usize> {
        Ok(self.handle.counts()?.queued)
    }

    /// Returns whether the queue is empty.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.qsize()? == 0)
    }

    /// Returns whether the queue has as many items as it can have. Long items may have no room before.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub fn is_full(&self) -> Result<bool> {
        self.capacity().map_or(Ok(false), |capacity| Ok(self.qsize()? >= capacity))
    }

    /// Returns the maximum number of items; `None` if unlimited.
    pub fn capacity(&self) -> Option<usize> {
        self.handle.member.capacity()
    }

    /// Returns the maximum number of bytes of serialised items.
    pub fn byte_limit(&self) -> u64 {
        self.handle.member.byte_limit()
    }
}

impl<T: Item, A: Puts> Queue<T, A> {
    /// Puts an item. Blocks while the queue is full.
    ///
    /// When it returns, the item is in the queue even if this process dies.
    ///
    /// # Errors
    /// [`PutError::Failed`] with [`Error::Codec`], [`Error::TooLong`], [`Error::Closed`] and [`Error::Disconnected`] as
    /// [`ipc_demo::Queue::put`](crate::Queue::put), and with [`Error::Redis`]. After
    /// [`RedisError::Unreachable`] the item may be in the queue.
    ///
    /// # Death
    /// If the process is killed in the call, the item is in the queue or not.
    ///
    /// # Cost
    /// One round trip, or at least three if it has to wait.
    pub fn put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::FOREVER)
    }

    /// Puts an item, blocking for at most `timeout` while the queue is full.
    ///
    /// # Errors
    /// [`PutError::Full`] if there was no room, and as [`put`](Self::put).
    pub fn put_timeout(&self, item: T, timeout: Duration) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::at_most(timeout))
    }

    /// Puts an item if there is room.
    ///
    /// # Errors
    /// As [`put_timeout`](Self::put_timeout).
    pub fn try_put(&self, item: T) -> std::result::Result<(), PutError<T>> {
        self.put_waiting(item, Waiting::NO)
    }

    /// Puts all of `items` in order, up to 1,000 in a round trip. Blocks while the queue is full.
    ///
    /// # Errors
    /// As [`put`](Self::put). After [`Error::Codec`] and [`Error::TooLong`] no item was put; after others a prefix may
    /// have been put.
    pub fn put_many(&self, items: &[T]) -> Result<()> {
        self.put_all(items, &Waiting::FOREVER, &mut 0)
    }

    /// Puts `items` in order, blocking for at most `timeout` in total. Returns the number of items put.
    ///
    /// # Errors
    /// As [`put_many`](Self::put_many), and only if no item was put.
    pub fn put_many_timeout(&self, items: &[T], timeout: Duration) -> Result<usize> {
        self.put_some(items, &Waiting::at_most(timeout))
    }

    /// Closes this handle for puts.
    pub fn close(&self) {
        self.handle.give_up(Rights::PUT);
    }

    fn put_waiting(&self, item: T, waiting: Waiting) -> std::result::Result<(), PutError<T>> {
        let mut put = 0;
        let outcome = match self.put_all(std::slice::from_ref(&item), &waiting, &mut put) {
            Ok(()) if put == 0 => Err(Error::Full),
            outcome => outcome,
        };
        PutError::unless_put(item, outcome)
    }

    fn put_some(&self, items: &[T], waiting: &Waiting) -> Result<usize> {
        let mut put = 0;
        let outcome = self.put_all(items, waiting, &mut put);
        // The next call meets the same error again.
        if put > 0 { Ok(put) } else { outcome.map(|()| 0) }
    }

    /// Puts items in order as room becomes free, until timeout, and counts them in `put`.
    fn put_all(&self, items: &[T], waiting: &Waiting, put: &mut usize) -> Result<()> {
        let longest = usize::try_from(self.byte_limit()).unwrap_or(usize::MAX);
        let mut batch = Buffer::borrow();
        batch.clear();
        let encoded = items.iter().try_for_each(|item| encoding::append(item, longest, &mut batch));
        encoded.and_then(|()| {
            let payloads: Vec<&[u8]> = Items::of(&batch).collect();
            while *put < payloads.len() {
                match self.handle.put(&payloads[*put..], waiting)? {
                    0 => break,
                    count => *put += count,
                }
            }
            Ok(())
        })
    }
}

impl<T: DeserializeOwned, A: Gets> Queue<T, A> {
    /// Removes and returns the oldest item. Blocks while the queue is empty.
    ///
    /// # Errors
    /// [`Error::Disconnected`] if the queue is empty and no producer is left, [`Error::Codec`] if the bytes are not a
    /// valid `T`, and [`Error::Redis`]. In a queue with a name, the first producer is waited for.
    ///
    /// # Death
    /// If the process is killed in the call, or after it before its next one, the item is lost with it.
    pub fn get(&self) -> Result<T> {
        Ok(self.take(&Waiting::FOREVER)?.expect("a wait without end ends with an item or an error"))
    }

    /// Removes and returns the oldest item, blocking for at most `timeout`. Returns `None` on timeout.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_timeout(&self, timeout: Duration) -> Result<Option<T>> {
        self.take(&Waiting::at_most(timeout))
    }

    /// Removes and returns the oldest item if there is one.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn try_get(&self) -> Result<Option<T>> {
        self.take(&Waiting::NO)
    }

    /// Removes up to `most` of the items that are in the queue, at most 1,000, in one round trip. Blocks while there is
    /// none. Returns a result for each item.
    ///
    /// # Errors
    /// As [`get`](Self::get), except for errors of single items. No item was removed then.
    pub fn get_many(&self, most: usize) -> Result<Vec<Result<T>>> {
        self.take_many(most, &Waiting::FOREVER)
    }

    /// As [`get_many`](Self::get_many), blocking for at most `timeout`. Returns an empty vector on timeout.
    ///
    /// # Errors
    /// As [`get_many`](Self::get_many).
    pub fn get_many_timeout(&self, most: usize, timeout: Duration) -> Result<Vec<Result<T>>> {
        self.take_many(most, &Waiting::at_most(timeout))
    }

    /// Removes items one by one, blocking for each, until no more can arrive.
    pub fn iter(&self) -> impl Iterator<Item = Result<T>> {
        until_disconnected(|| self.get())
    }

    fn take(&self, waiting: &Waiting) -> Result<Option<T>> {
        self.handle.get(1, waiting)?.first().map(|payload| encoding::decode(payload)).transpose()
    }

    fn take_many(&self, most: usize, waiting: &Waiting) -> Result<Vec<Result<T>>> {
        if most == 0 {
            return Ok(Vec::new());
        }
        Ok(self.handle.get(most, waiting)?.iter().map(|payload| encoding::decode(payload)).collect())
    }
}

/// Creates and counts another handle of the same kind. A clone of a closed handle is closed.
impl<T, A: Access> Clone for Queue<T, A> {
    fn clone(&self) -> Self {
        self.another()
    }
}

sent_in_roles!(
    [T, A: Access] Queue<T, A>, "a Redis queue", |queue, recipient| queue.handle.counted_for(recipient),
    |sent: SentHandle| Handle::received(sent).map(Queue::of)
);

impl<T, A: Access> fmt::Debug for Queue<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = &self.handle.member;
        let mut queue = f.debug_struct("Queue");
        queue.field("kind", &format!("redis queue{}", A::END)).field("name", &member.name());
        queue.field("server", member.server()).field("capacity", &member.capacity()).finish_non_exhaustive()
    }
}
