//! Calls to a manager from an increasing number of clients, over Unix sockets and TCP, next to bare sockets.
//!
//! The baseline is a process that echoes its input: one write and one read on each side, which is the minimum for a
//! call to another process. Every client is a thread with a connection of its own, in both cases.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::start_barrier::join_all;
use super::workload::{Point, Sample, Workload};
use crate::manager::{Address, AuthKey, Dict, Manager};
use crate::process::Fd;
use crate::{Process, Role, RoleEntry, RoleResult};

/// The manager itself uses the role from the scenario of that name.
pub(super) const ROLE: RoleEntry = RoleEntry::of::<SendsBack>();

const CLIENTS: [u64; 3] = [1, 2, 16];
/// Roughly the length of a manager call and its answer.
const MESSAGE: usize = 24;

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Way {
    Unix,
    Tcp,
}

#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Call {
    Set,
    Get,
}

/// Returns all workloads, in the order of the output.
pub(super) fn workloads<'a>() -> Vec<Workload<'a>> {
    let workload = |name, about, way: Way, call: Call| {
        let point = |clients| {
            Point::at(clients)
                .ours("Dict", move |calls| manager(way, call, clients, calls))
                .baseline("sockets", move |round_trips| sockets(way, clients, round_trips))
                .python(json!({ "task": "manager", "way": way, "call": call, "clients": clients }))
        };
        Workload::growing(name, about, "clients", CLIENTS.map(point).into())
    };
    vec![
        workload("manager-set", "clients set a number in a dict, Unix socket", Way::Unix, Call::Set),
        workload("manager-get", "clients get a number from a dict, Unix socket", Way::Unix, Call::Get),
        workload("manager-tcp-set", "clients set a number in a dict, TCP", Way::Tcp, Call::Set),
        workload("manager-tcp-get", "clients get a number from a dict, TCP", Way::Tcp, Call::Get),
    ]
}

fn manager(way: Way, call: Call, clients: u64, calls: u64) -> Result<Sample> {
    let key = AuthKey::generate()?;
    let manager = Manager::builder().key(key.clone());
    let manager = match way {
        Way::Unix => manager.listen_privately(),
        Way::Tcp => manager.listen(Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 }),
    };
    let manager = manager.start()?;
    let address = manager.addresses().first().context("the manager listens nowhere")?;
    let connect = || {
        let manager = Manager::connect(address, &key)?;
        let dict: Dict = manager.make_named("bench", vec![])?;
        dict.insert("key", 0)?;
        Ok((manager, dict))
    };
    let sample = at_once(clients, calls, connect, |(_, dict), number| match call {
        Call::Set => Ok(dict.insert("key", number)?),
        Call::Get => dict.get("key")?.map(drop).context("the dict has lost its key"),
    })?;
    manager.shutdown()?;
    Ok(sample)
}

fn sockets(way: Way, clients: u64, round_trips: u64) -> Result<Sample> {
    let (ours, theirs): (Vec<OwnedFd>, Vec<OwnedFd>) =
        (0..clients).map(|_| socket_pair(way)).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    let process = Process::spawn("echo", SendsBack { sockets: theirs.into_iter().map(Fd::from).collect() })?;
    let ours = std::sync::Mutex::new(ours);
    let take = || {
        let socket = ours.lock().expect("nobody panics").pop().context("as many sockets as clients")?;
        let mut socket = UnixStream::from(socket);
        send_there_and_back(&mut socket)?;
        Ok(socket)
    };
    let sample = at_once(clients, round_trips, take, |socket, _| send_there_and_back(socket))?;
    // The echo ends when the other ends are closed.
    join_all([process])?;
    Ok(sample)
}

fn send_there_and_back(socket: &mut UnixStream) -> Result<()> {
    let mut message = [7; MESSAGE];
    socket.write_all(&message)?;
    Ok(socket.read_exact(&mut message)?)
}

/// Returns our end and the other.
fn socket_pair(way: Way) -> Result<(OwnedFd, OwnedFd)> {
    Ok(match way {
        Way::Unix => {
            let (ours, theirs) = UnixStream::pair()?;
            (ours.into(), theirs.into())
        }
        Way::Tcp => {
            let listener = TcpListener::bind("127.0.0.1:0")?;
            let ours = TcpStream::connect(listener.local_addr()?)?;
            let (theirs, _) = listener.accept()?;
            ours.set_nodelay(true)?;
            theirs.set_nodelay(true)?;
            (ours.into(), theirs.into())
        }
    })
}

/// Echoes its input on each of its sockets.
#[derive(Serialize, Deserialize)]
struct SendsBack {
    sockets: Vec<Fd>,
}

impl Role for SendsBack {
    const NAME: &'static str = "bench.sends-back";

    fn run(self) -> RoleResult {
        // Reading and writing are the same calls for sockets of every kind.
        let sockets = self.sockets.into_iter().map(|socket| socket.into_owned().map(UnixStream::from));
        let sockets: Vec<UnixStream> = sockets.collect::<Result<_, _>>()?;
        Ok(thread::scope(|scope| {
            let echoes: Vec<_> = sockets.into_iter().map(|socket| scope.spawn(move || send_back(socket))).collect();
            echoes.into_iter().try_for_each(|echo| echo.join().expect("no panic"))
        })?)
    }
}

fn send_back(mut socket: UnixStream) -> std::io::Result<()> {
    let mut message = [0; 4096];
    loop {
        match socket.read(&mut message)? {
            0 => return Ok(()),
            count => socket.write_all(&message[..count])?,
        }
    }
}

/// Runs all clients concurrently, each with its part of `calls` and its own result of `connect`.
fn at_once<C: Send>(
    clients: u64,
    calls: u64,
    connect: impl Fn() -> Result<C> + Sync,
    step: impl Fn(&mut C, u64) -> Result<()> + Sync,
) -> Result<Sample> {
    let each = calls.div_ceil(clients);
    let all_here = Barrier::new(clients as usize);
    let run = || {
        let connected = connect();
        // A client that failed must also let the others start.
        all_here.wait();
        let begun = Instant::now();
        let mut client = connected?;
        (0..each).try_for_each(|number| step(&mut client, number))?;
        Ok((client, begun, Instant::now()))
    };
    let done: Vec<Result<_>> = thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let done = done.into_iter().collect::<Result<Vec<_>>>()?;
    // By the clients' own clocks: on a busy machine, this thread may be scheduled late.
    let first = done.iter().map(|(_, begun, _)| *begun).min().context("nobody began")?;
    let last = done.iter().map(|(_, _, ended)| *ended).max().context("nobody ended")?;
    Ok(Sample { operations: each * clients, elapsed: last - first, round_trips: None })
}
