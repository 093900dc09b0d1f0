//! The ends of a queue in worker processes, for the cases of `queue_cases`: each call is performed by a thread of the
//! worker, and the caller waits for the result.
//!
//! A call has a connection of its own, so any number of calls can be in progress at once. Its thread is reported first.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ipc_demo::pipe::Connection;
use ipc_demo::process::{Ended, Fd};
use ipc_demo::queue::PutError;
use ipc_demo::{Error, Process, Result, Role, RoleResult};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::{Pid, gettid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::harness::{until, worker};
use crate::queue_cases::{GetEnd, Item, OfJoinableQueue, OfPipeQueue, OfQueue, Put, PutEnd, Transport};

/// What can be part of a role.
pub(crate) trait Sent: Serialize + DeserializeOwned {}
impl<T: Serialize + DeserializeOwned> Sent for T {}

/// A queue whose ends can be given to workers.
pub(crate) trait Givable: Transport<Putter: Sent, Getter: Sent> {
    const PUTTER: &'static str;
    const GETTER: &'static str;
}

impl Givable for OfQueue {
    const PUTTER: &'static str = "test.serves-producer";
    const GETTER: &'static str = "test.serves-consumer";
}

impl Givable for OfJoinableQueue {
    const PUTTER: &'static str = "test.serves-joinable-producer";
    const GETTER: &'static str = "test.serves-joinable-consumer";
}

impl Givable for OfPipeQueue {
    const PUTTER: &'static str = "test.serves-pipe-putter";
    const GETTER: &'static str = "test.serves-pipe-getter";
}

/// The queue with its putting end in a worker.
pub(crate) struct PutterAway<Q>(PhantomData<Q>);
/// The queue with its getting end in a worker.
pub(crate) struct GetterAway<Q>(PhantomData<Q>);
/// The queue with each end in a worker, and none here.
pub(crate) struct BothAway<Q>(PhantomData<Q>);

impl<Q: Givable> Transport for PutterAway<Q> {
    type Putter = Remote<Putting>;
    type Getter = Q::Getter;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn ends(capacity_items: Option<usize>) -> (Self::Putter, Self::Getter) {
        let (put, get) = Q::ends(capacity_items);
        (putter_away::<Q>(put), get)
    }
}

impl<Q: Givable> Transport for GetterAway<Q> {
    type Putter = Q::Putter;
    type Getter = Remote<Getting>;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn ends(capacity_items: Option<usize>) -> (Self::Putter, Self::Getter) {
        let (put, get) = Q::ends(capacity_items);
        (put, getter_away::<Q>(get))
    }
}

impl<Q: Givable> Transport for BothAway<Q> {
    type Putter = Remote<Putting>;
    type Getter = Remote<Getting>;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn ends(capacity_items: Option<usize>) -> (Self::Putter, Self::Getter) {
        let (put, get) = Q::ends(capacity_items);
        (putter_away::<Q>(put), getter_away::<Q>(get))
    }
}

fn putter_away<Q: Givable>(put: Q::Putter) -> Remote<Putting> {
    Remote::start(|desk| ServesPutter::<Q> { end: put, desk })
}

fn getter_away<Q: Givable>(get: Q::Getter) -> Remote<Getting> {
    Remote::start(|desk| ServesGetter::<Q> { end: get, desk })
}

/// A request to a worker for one of its handles.
#[derive(Debug, Serialize, Deserialize)]
enum Command<O> {
    /// Creates another handle, and returns its number.
    Again,
    /// Drops the handle. The worker ends with the last one.
    Drop,
    Do(O),
}

/// An operation on a putting end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Putting {
    Put(Item),
    PutTimeout(Item, Duration),
    TryPut(Item),
    PutMany(Vec<Item>),
    PutManyTimeout(Vec<Item>, Duration),
    Close,
    IsFull,
    Capacity,
}

/// An operation on a getting end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Getting {
    Get,
    GetTimeout(Duration),
    TryGet,
    GetMany(usize),
    Qsize,
    IsEmpty,
}

/// The errors that cases expect, in serialised form.
#[derive(Debug, Serialize, Deserialize)]
enum Refusal {
    Full,
    Closed,
    Disconnected,
    TooLong { bytes: usize, limit: usize },
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Full => Refusal::Full,
            Error::Closed => Refusal::Closed,
            Error::Disconnected => Refusal::Disconnected,
            Error::TooLong { bytes, limit } => Refusal::TooLong { bytes, limit },
            other => panic!("no case expects {other:?}"),
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full => Error::Full,
            Refusal::Closed => Error::Closed,
            Refusal::Disconnected => Error::Disconnected,
            Refusal::TooLong { bytes, limit } => Error::TooLong { bytes, limit },
        }
    }
}

type Answer<T> = std::result::Result<T, Refusal>;

fn answer<T>(outcome: Result<T>) -> Answer<T> {
    outcome.map_err(Refusal::from)
}

/// An item that was not put is returned with the reason.
type PutAnswer = std::result::Result<(), (Item, Refusal)>;

fn put_answer(outcome: Put) -> PutAnswer {
    outcome.map_err(|refused| match refused {
        PutError::Full(item) => (item, Refusal::Full),
        PutError::Failed(item, error) => (item, error.into()),
    })
}

fn put_outcome(answer: PutAnswer) -> Put {
    answer.map_err(|(item, refusal)| match refusal {
        Refusal::Full => PutError::Full(item),
        refusal => PutError::Failed(item, refusal.into()),
    })
}

/// Serves requests with the putting end of a queue.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct ServesPutter<Q: Givable> {
    end: Q::Putter,
    desk: Fd,
}

impl<Q: Givable> Role for ServesPutter<Q> {
    const NAME: &'static str = Q::PUTTER;
    fn run(self) -> RoleResult {
        let desk = self.desk.into_owned()?.into();
        serve(&desk, self.end, PutEnd::again, |end, operation, home| match operation {
            Putting::Put(item) => home.send(&put_answer(end.put(item))),
            Putting::PutTimeout(item, timeout) => home.send(&put_answer(end.put_timeout(item, timeout))),
            Putting::TryPut(item) => home.send(&put_answer(end.try_put(item))),
            Putting::PutMany(items) => home.send(&answer(end.put_many(&items))),
            Putting::PutManyTimeout(items, timeout) => home.send(&answer(end.put_many_timeout(&items, timeout))),
            Putting::Close => home.send(&end.close()),
            Putting::IsFull => home.send(&end.is_full()),
            Putting::Capacity => home.send(&end.capacity()),
        })
    }
}

/// Serves requests with the getting end of a queue.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct ServesGetter<Q: Givable> {
    end: Q::Getter,
    desk: Fd,
}

impl<Q: Givable> Role for ServesGetter<Q> {
    const NAME: &'static str = Q::GETTER;
    fn run(self) -> RoleResult {
        let desk = self.desk.into_owned()?.into();
        serve(&desk, self.end, GetEnd::again, |end, operation, home| match operation {
            Getting::Get => home.send(&answer(end.get())),
            Getting::GetTimeout(timeout) => home.send(&answer(end.get_timeout(timeout))),
            Getting::TryGet => home.send(&answer(end.try_get())),
            Getting::GetMany(most) => home.send(&answer(end.get_many(most))),
            Getting::Qsize => home.send(&end.qsize()),
            Getting::IsEmpty => home.send(&end.is_empty()),
        })
    }
}

/// Serves requests until the last handle is dropped.
fn serve<E: Send + Sync, O: DeserializeOwned + Send>(
    desk: &UnixListener,
    end: E,
    again: impl Fn(&E) -> E,
    perform: impl Fn(&E, O, &mut Connection) -> Result<()> + Sync,
) -> RoleResult {
    let mut ends = BTreeMap::from([(0_u32, Arc::new(end))]);
    thread::scope(|scope| {
        let mut next = 1;
        while !ends.is_empty() {
            let mut home = Connection::from_fd(desk.accept()?.0.into())?;
            let (number, command): (u32, Command<O>) = home.recv()?;
            match command {
                Command::Again => {
                    ends.insert(next, Arc::new(again(&ends[&number])));
                    home.send(&next)?;
                    next += 1;
                }
                Command::Drop => {
                    let end = ends.remove(&number).ok_or("it has no such handle")?;
                    // A thread that has just answered may not have dropped it yet.
                    until(|| Arc::strong_count(&end) == 1);
                    drop(end);
                    home.send(&())?;
                }
                Command::Do(operation) => {
                    let (end, perform) = (Arc::clone(&ends[&number]), &perform);
                    scope.spawn(move || {
                        home.send(&gettid().as_raw()).expect("the test listens");
                        perform(&end, operation, &mut home).expect("the test listens");
                    });
                }
            }
        }
        Ok(())
    })
}

/// A handle in a worker that performs operations `O`.
pub(crate) struct Remote<O: Serialize> {
    server: Arc<Server>,
    number: u32,
    operation: PhantomData<fn(O)>,
}

/// A worker with handles, and where it accepts requests.
struct Server {
    process: Process,
    desk: SocketAddr,
}

impl<O: Serialize> Remote<O> {
    fn start<R: Role>(role: impl FnOnce(Fd) -> R) -> Self {
        let desk = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
        // Without a name, the kernel assigns one that is not a file.
        bind(desk.as_raw_fd(), &UnixAddr::new_unnamed()).expect("a name");
        listen(&desk, Backlog::MAXCONN).expect("a socket that listens");
        let desk = UnixListener::from(desk);
        let address = desk.local_addr().expect("it has a name");
        let process = worker("remote end", role(Fd::new(desk)));
        Remote::of(Arc::new(Server { process, desk: address }), 0)
    }

    fn of(server: Arc<Server>, number: u32) -> Self {
        Remote { server, number, operation: PhantomData }
    }

    fn ask(&self, command: &Command<O>) -> Connection {
        let stream = UnixStream::connect_addr(&self.server.desk).expect("the worker lives");
        let mut home = Connection::from_fd(stream.into()).expect("a stream");
        home.send(&(self.number, command)).expect("the worker listens");
        home
    }

    fn perform<R: DeserializeOwned>(&self, operation: O) -> R {
        self.perform_as(operation, &|_| ())
    }

    /// Performs an operation, and calls `begins` with the worker's thread as soon as it begins.
    fn perform_as<R: DeserializeOwned>(&self, operation: O, begins: &dyn Fn(Pid)) -> R {
        let mut home = self.ask(&Command::Do(operation));
        begins(Pid::from_raw(home.recv().expect("a thread of the worker begins")));
        home.recv().expect("the worker answers")
    }

    fn another(&self) -> Self {
        let number = self.ask(&Command::Again).recv().expect("the worker answers");
        Remote::of(Arc::clone(&self.server), number)
    }
}

/// Waits until the worker has dropped it too.
impl<O: Serialize> Drop for Remote<O> {
    fn drop(&mut self) {
        // A failed test makes no requests to its workers any more: they are killed.
        if !thread::panicking() {
            self.ask(&Command::Drop).recv::<()>().expect("the worker answers");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !thread::panicking() {
            self.process.join().expect("it ends");
            assert!(self.process.ended().is_some_and(Ended::is_success), "{:?}", self.process.ended());
        }
    }
}

impl PutEnd for Remote<Putting> {
    fn again(&self) -> Self {
        self.another()
    }
    fn put_as(&self, item: Item, begins: &dyn Fn(Pid)) -> Put {
        put_outcome(self.perform_as(Putting::Put(item), begins))
    }
    fn put(&self, item: Item) -> Put {
        self.put_as(item, &|_| ())
    }
    fn put_timeout(&self, item: Item, timeout: Duration) -> Put {
        put_outcome(self.perform(Putting::PutTimeout(item, timeout)))
    }
    fn try_put(&self, item: Item) -> Put {
        put_outcome(self.perform(Putting::TryPut(item)))
    }
    fn put_many(&self, items: &[Item]) -> Result<()> {
        Ok(self.perform::<Answer<_>>(Putting::PutMany(items.to_vec()))?)
    }
    fn put_many_timeout(&self, items: &[Item], timeout: Duration) -> Result<usize> {
        Ok(self.perform::<Answer<_>>(Putting::PutManyTimeout(items.to_vec(), timeout))?)
    }
    fn close(&self) {
        self.perform(Putting::Close)
    }
    fn is_full(&self) -> bool {
        self.perform(Putting::IsFull)
    }
    fn capacity(&self) -> Option<usize> {
        self.perform(Putting::Capacity)
    }
}

impl GetEnd for Remote<Getting> {
    fn again(&self) -> Self {
        self.another()
    }
    fn get_as(&self, begins: &dyn Fn(Pid)) -> Result<Item> {
        Ok(self.perform_as::<Answer<_>>(Getting::Get, begins)?)
    }
    fn get(&self) -> Result<Item> {
        self.get_as(&|_| ())
    }
    fn get_timeout(&self, timeout: Duration) -> Result<Option<Item>> {
        Ok(self.perform::<Answer<_>>(Getting::GetTimeout(timeout))?)
    }
    fn try_get(&self) -> Result<Option<Item>> {
        Ok(self.perform::<Answer<_>>(Getting::TryGet)?)
    }
    fn get_many(&self, most: usize) -> Result<Vec<Item>> {
        Ok(self.perform::<Answer<_>>(Getting::GetMany(most))?)
    }
    fn qsize(&self) -> usize {
        self.perform(Getting::Qsize)
    }
    fn is_empty(&self) -> bool {
        self.perform(Getting::IsEmpty)
    }
}
