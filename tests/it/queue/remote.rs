//! The ends of a queue in worker processes, for the cases of `cases`: each call is performed by a thread of the
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
use ipc_demo::queue::{GetEnd, Pipe, PutEnd, PutError, SharedMemory, Transport};
use ipc_demo::{Error, Process, Result, Role, RoleResult};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use nix::unistd::{Pid, gettid};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::harness::{until, worker};
use crate::queue::cases::{GetAs, Item, Joinable, Kind, Put, PutAs};

/// What can be part of a role.
pub(crate) trait Sent: Serialize + DeserializeOwned {}
impl<T: Serialize + DeserializeOwned> Sent for T {}

/// A queue whose ends can be given to workers.
pub(crate) trait Givable: Kind<Producer: Sent, Consumer: Sent> {
    const PUTTER: &'static str;
    const GETTER: &'static str;
}

impl Givable for SharedMemory {
    const PUTTER: &'static str = "test.serves-producer";
    const GETTER: &'static str = "test.serves-consumer";
}

impl Givable for Joinable {
    const PUTTER: &'static str = "test.serves-joinable-producer";
    const GETTER: &'static str = "test.serves-joinable-consumer";
}

impl Givable for Pipe {
    const PUTTER: &'static str = "test.serves-pipe-putter";
    const GETTER: &'static str = "test.serves-pipe-getter";
}

/// The queue with its putting end in a worker.
pub(crate) struct PutterAway<Q>(PhantomData<Q>);
/// The queue with its getting end in a worker.
pub(crate) struct GetterAway<Q>(PhantomData<Q>);
/// The queue with each end in a worker, and none here.
pub(crate) struct BothAway<Q>(PhantomData<Q>);

impl<Q: Givable> Kind for PutterAway<Q> {
    const KIND: Self = PutterAway(PhantomData);
    fn is_available() -> bool {
        Q::is_available()
    }
}

impl<Q: Givable> Transport<Item> for PutterAway<Q> {
    type Producer = Remote<Putting>;
    type Consumer = Q::Consumer;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        let (put, get) = Q::KIND.open(capacity_items)?;
        Ok((putter_away::<Q>(put), get))
    }
}

impl<Q: Givable> Kind for GetterAway<Q> {
    const KIND: Self = GetterAway(PhantomData);
    fn is_available() -> bool {
        Q::is_available()
    }
}

impl<Q: Givable> Transport<Item> for GetterAway<Q> {
    type Producer = Q::Producer;
    type Consumer = Remote<Getting>;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        let (put, get) = Q::KIND.open(capacity_items)?;
        Ok((put, getter_away::<Q>(get)))
    }
}

impl<Q: Givable> Kind for BothAway<Q> {
    const KIND: Self = BothAway(PhantomData);
    fn is_available() -> bool {
        Q::is_available()
    }
}

impl<Q: Givable> Transport<Item> for BothAway<Q> {
    type Producer = Remote<Putting>;
    type Consumer = Remote<Getting>;
    const ARRIVES_WITH_PUT: bool = Q::ARRIVES_WITH_PUT;
    fn open(&self, capacity_items: Option<usize>) -> Result<(Self::Producer, Self::Consumer)> {
        let (put, get) = Q::KIND.open(capacity_items)?;
        Ok((putter_away::<Q>(put), getter_away::<Q>(get)))
    }
}

fn putter_away<Q: Givable>(put: Q::Producer) -> Remote<Putting> {
    Remote::start(|desk| ServesPutter::<Q> { end: put, desk })
}

fn getter_away<Q: Givable>(get: Q::Consumer) -> Remote<Getting> {
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
    Put(Item, Option<Duration>),
    PutMany(Vec<Item>, Option<Duration>),
    Close,
    Capacity,
    Qsize,
    IsFull,
    HasConsumers,
}

/// An operation on a getting end.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Getting {
    Get(Option<Duration>),
    GetMany(usize, Option<Duration>),
    Qsize,
    IsEmpty,
    HasProducers,
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
    end: Q::Producer,
    desk: Fd,
}

impl<Q: Givable> Role for ServesPutter<Q> {
    const NAME: &'static str = Q::PUTTER;
    fn run(self) -> RoleResult {
        let desk = self.desk.into_owned()?.into();
        serve(&desk, self.end, |end, operation, home| match operation {
            Putting::Put(item, timeout) => home.send(&put_answer(end.put_within(item, timeout))),
            Putting::PutMany(items, timeout) => home.send(&answer(end.put_many_within(&items, timeout))),
            Putting::Close => home.send(&end.close()),
            Putting::Capacity => home.send(&end.capacity()),
            Putting::Qsize => home.send(&answer(end.qsize())),
            Putting::IsFull => home.send(&end.is_full()),
            Putting::HasConsumers => home.send(&end.has_consumers()),
        })
    }
}

/// Serves requests with the getting end of a queue.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct ServesGetter<Q: Givable> {
    end: Q::Consumer,
    desk: Fd,
}

impl<Q: Givable> Role for ServesGetter<Q> {
    const NAME: &'static str = Q::GETTER;
    fn run(self) -> RoleResult {
        let desk = self.desk.into_owned()?.into();
        serve(&desk, self.end, |end, operation, home| match operation {
            Getting::Get(timeout) => home.send(&answer(end.get_within(timeout))),
            Getting::GetMany(most, timeout) => {
                let items = end.get_many_within(most, timeout);
                home.send(&answer(items.and_then(|items| items.into_iter().collect::<Result<Vec<Item>>>())))
            }
            Getting::Qsize => home.send(&answer(end.qsize())),
            Getting::IsEmpty => home.send(&end.is_empty()),
            Getting::HasProducers => home.send(&end.has_producers()),
        })
    }
}

/// Serves requests until the last handle is dropped.
fn serve<E: Clone + Send + Sync, O: DeserializeOwned + Send>(
    desk: &UnixListener,
    end: E,
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
                    ends.insert(next, Arc::new(E::clone(&ends[&number])));
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

impl<O: Serialize> Clone for Remote<O> {
    fn clone(&self) -> Self {
        let number = self.ask(&Command::Again).recv().expect("the worker answers");
        Remote::of(Arc::clone(&self.server), number)
    }
}

impl PutAs for Remote<Putting> {
    fn put_as(&self, item: Item, begins: &dyn Fn(Pid)) -> Put {
        put_outcome(self.perform_as(Putting::Put(item, None), begins))
    }
}

impl PutEnd<Item> for Remote<Putting> {
    fn put_within(&self, item: Item, timeout: Option<Duration>) -> Put {
        put_outcome(self.perform(Putting::Put(item, timeout)))
    }
    fn put_many_within(&self, items: &[Item], timeout: Option<Duration>) -> Result<usize> {
        Ok(self.perform::<Answer<_>>(Putting::PutMany(items.to_vec(), timeout))?)
    }
    fn close(&self) {
        self.perform(Putting::Close)
    }
    fn capacity(&self) -> Option<usize> {
        self.perform(Putting::Capacity)
    }
    fn qsize(&self) -> Result<usize> {
        Ok(self.perform::<Answer<_>>(Putting::Qsize)?)
    }
    fn is_full(&self) -> bool {
        self.perform(Putting::IsFull)
    }
    fn has_consumers(&self) -> bool {
        self.perform(Putting::HasConsumers)
    }
}

impl GetAs for Remote<Getting> {
    fn get_as(&self, begins: &dyn Fn(Pid)) -> Result<Item> {
        let item = self.perform_as::<Answer<Option<_>>>(Getting::Get(None), begins)?;
        Ok(item.expect("a wait without end ends with an item"))
    }
}

impl GetEnd<Item> for Remote<Getting> {
    fn get_within(&self, timeout: Option<Duration>) -> Result<Option<Item>> {
        Ok(self.perform::<Answer<_>>(Getting::Get(timeout))?)
    }
    fn get_many_within(&self, most: usize, timeout: Option<Duration>) -> Result<Vec<Result<Item>>> {
        let items: Vec<Item> = self.perform::<Answer<_>>(Getting::GetMany(most, timeout))?;
        Ok(items.into_iter().map(Ok).collect())
    }
    fn qsize(&self) -> Result<usize> {
        Ok(self.perform::<Answer<_>>(Getting::Qsize)?)
    }
    fn is_empty(&self) -> bool {
        self.perform(Getting::IsEmpty)
    }
    fn has_producers(&self) -> bool {
        self.perform(Getting::HasProducers)
    }
}
