//! The manager beside bare sockets: set and get per second, with more and more clients, over Unix sockets and TCP.
//!
//! The yardstick is a process that sends back what it gets over a socket pair: one write and one read on each side, which is
//! the least that a call to another process can take. Every client is a thread with a connection of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::ipc::manager::{Address, AuthKey, Dict, Manager, ManagerServer};
use crate::ipc::{Builder, Error, Inherited, Process, Result, Role, RoleEntry, RoleResult, Slot};

/// The roles that the measurement's workers have.
pub(crate) const ROLES: &[RoleEntry] = &[RoleEntry::of::<ManagerServer>(), RoleEntry::of::<Echo>()];

const SLICES: u32 = 10;
const CLIENTS: [usize; 3] = [1, 2, 16];
/// About as long as a call of the manager and its answer.
const MESSAGE: usize = 24;

/// One measured number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) clients: usize,
    pub(crate) per_second: f64,
}

/// Sends back what it gets.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echo {
    socket: Slot<OwnedFd>,
}

impl Role for Echo {
    const NAME: &'static str = "bench.echo";

    fn run(self, inherited: &mut Inherited) -> RoleResult {
        // Reading and writing are the same calls for sockets of every kind.
        let mut socket = UnixStream::from(inherited.take(self.socket)?);
        let mut message = [0; 4096];
        loop {
            match socket.read(&mut message)? {
                0 => return Ok(()),
                count => socket.write_all(&message[..count])?,
            }
        }
    }
}

/// Measures everything, each for about `time`. `process` says how workers are started.
///
/// In slices, one of each after the other, and the best of each counts: a neighbour on the machine slows down a slice of
/// everything, and not all slices of one thing.
pub(crate) fn measure(time: Duration, process: impl Fn() -> Builder<'static>) -> Result<Vec<Line>> {
    let slice = time / SLICES;
    let (unix, theirs) = UnixStream::pair().map_err(in_bench)?;
    let _unix_echo = echo(theirs.into(), &process)?;
    let (tcp, theirs) = tcp_pair().map_err(in_bench)?;
    let _tcp_echo = echo(theirs, &process)?;
    let key = AuthKey::generate().map_err(in_bench)?;
    let anywhere = Address::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
    let manager = Manager::builder().process(process()).key(key.clone()).listen(anywhere).listen_privately().start()?;
    let mut best: Vec<Line> = Vec::new();
    for _ in 0..SLICES {
        let mut lines = vec![
            Line { what: "socketpair round trip", clients: 1, per_second: round_trips(&unix, slice)? },
            Line { what: "loopback TCP round trip", clients: 1, per_second: round_trips(&tcp, slice)? },
        ];
        for address in manager.addresses() {
            let (set, get) = match address {
                Address::Unix(_) => ("manager dict set, Unix", "manager dict get, Unix"),
                Address::Tcp { .. } => ("manager dict set, TCP", "manager dict get, TCP"),
            };
            for clients in CLIENTS {
                let setting = |dict: &Dict, number: u64| dict.insert("key", number);
                lines.push(Line { what: set, clients, per_second: rate(address, &key, clients, slice, setting)? });
                let getting = |dict: &Dict, _| dict.get("key").map(drop);
                lines.push(Line { what: get, clients, per_second: rate(address, &key, clients, slice, getting)? });
            }
        }
        if best.is_empty() {
            best = lines;
        } else {
            best.iter_mut().zip(lines).for_each(|(best, line)| best.per_second = best.per_second.max(line.per_second));
        }
    }
    // The echoes end when nobody is at the other end any more.
    drop((unix, tcp));
    manager.shutdown()?;
    Ok(best)
}

fn echo(socket: OwnedFd, process: impl Fn() -> Builder<'static>) -> Result<Process> {
    process().daemon(true).spawn("echo", |give| Echo { socket: give.hand_over(socket) })
}

fn round_trips(mut socket: impl Read + Write, time: Duration) -> Result<f64> {
    let mut message = [7; MESSAGE];
    let begin = Instant::now();
    let mut count = 0;
    while begin.elapsed() < time {
        for _ in 0..16 {
            socket.write_all(&message).and_then(|()| socket.read_exact(&mut message)).map_err(in_bench)?;
        }
        count += 16;
    }
    Ok(f64::from(count) / begin.elapsed().as_secs_f64())
}

fn tcp_pair() -> std::io::Result<(TcpStream, OwnedFd)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (theirs, _) = listener.accept()?;
    ours.set_nodelay(true)?;
    theirs.set_nodelay(true)?;
    Ok((ours, theirs.into()))
}

/// How often all clients together do `step` in a second.
fn rate(
    address: &Address,
    key: &AuthKey,
    clients: usize,
    time: Duration,
    step: impl Fn(&Dict, u64) -> Result<()> + Sync,
) -> Result<f64> {
    let (all_here, is_over) = (Barrier::new(clients + 1), AtomicBool::new(false));
    let run = || -> Result<u64> {
        let connected = Manager::connect(address, key).and_then(|manager| manager.make_named::<Dict>("bench", vec![]));
        let ready = connected.and_then(|dict| step(&dict, 0).map(|()| dict));
        // Also a client that failed lets the others begin.
        all_here.wait();
        let dict = ready?;
        let mut count = 0;
        while !is_over.load(Relaxed) {
            count += 1;
            step(&dict, count)?;
        }
        Ok(count)
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(run)).collect();
        all_here.wait();
        let begin = Instant::now();
        thread::sleep(time);
        is_over.store(true, Relaxed);
        let mut sum = 0;
        for thread in threads {
            sum += thread.join().map_err(|_| Error::manager_gone())??;
        }
        Ok(sum as f64 / begin.elapsed().as_secs_f64())
    })
}

fn in_bench(source: std::io::Error) -> Error {
    Error::Os { action: "measure", source }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the workers of these tests begin: the library's tests are no program of their own.
    #[test]
    #[expect(clippy::exit, reason = "a worker ends with its role's code and not with the test harness's")]
    fn worker_entry() {
        if let Some(code) = crate::ipc::enter(ROLES) {
            std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
        }
    }

    fn workers() -> Builder<'static> {
        let name = "bench::manager::tests::worker_entry";
        Process::builder().program("/proc/self/exe", &[name, "--exact", "--test-threads=1"])
    }

    #[test]
    fn everything_is_measured() {
        let lines = measure(Duration::from_millis(2), workers).expect("it runs");
        assert_eq!(lines.len(), 2 + 2 * 2 * CLIENTS.len());
        assert!(lines.iter().all(|line| line.per_second > 0.0), "{lines:?}");
    }

    /// `cargo test --release --lib bench::manager -- --ignored --nocapture`
    #[test]
    #[ignore = "measures, and takes half a minute"]
    #[expect(clippy::print_stderr, reason = "what is measured is for the eyes of who asked for it")]
    fn print() {
        for Line { what, clients, per_second } in measure(Duration::from_secs(2), workers).expect("it runs") {
            eprintln!(
                "{what:28} {clients:3} clients {per_second:10.0}/s {:8.2} us each",
                1e6 * clients as f64 / per_second
            );
        }
    }
}
