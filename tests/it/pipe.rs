//! Pipes and connections between processes, and with Python as the peer.

use std::process::{Command, Stdio};
use std::time::Duration;

use std::os::fd::OwnedFd;

use ipc_demo::pipe::{Connection, Receiver, Sender, duplex, pipe, wait};
use ipc_demo::process::{ExitStatus, Fd};
use ipc_demo::{Error, Lock, Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, meeting_point, skip, try_worker, watchdog, worker};
use crate::roles::Waits;

const MOMENT: Duration = Duration::from_millis(1);

/// Sends numbers from 1 on, then ends.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendsNumbers {
    to: Sender<u64>,
    count: u64,
}

impl Role for SendsNumbers {
    const NAME: &'static str = "test.sends-numbers";
    fn run(self) -> RoleResult {
        let mut to = self.to;
        for number in 1..=self.count {
            to.send(&number)?;
        }
        Ok(())
    }
}

/// Receives numbers until the end, or one at a time under a lock, and sends all of them to the parent.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReceivesNumbers {
    from: Receiver<u64>,
    home: Sender<Vec<u64>>,
    turns: Option<Lock>,
    at_most: usize,
}

impl Role for ReceivesNumbers {
    const NAME: &'static str = "test.receives-numbers";
    fn run(self) -> RoleResult {
        let mut from = self.from;
        let turns = self.turns;
        let mut got = Vec::new();
        while got.len() < self.at_most {
            let turn = turns.as_ref().map(Lock::acquire).transpose()?;
            match from.recv() {
                Ok(number) => got.push(number),
                Err(Error::EndOfFile) => break,
                Err(error) => return Err(error.into()),
            }
            drop(turn);
        }
        let mut home = self.home;
        home.send(&got)?;
        Ok(())
    }
}

/// Sends every message back, until the end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Echoes {
    with: Connection,
}

impl Role for Echoes {
    const NAME: &'static str = "test.echoes";
    fn run(self) -> RoleResult {
        let mut with = self.with;
        loop {
            match with.recv_bytes() {
                Ok(message) => with.send_bytes(&message)?,
                Err(Error::EndOfFile) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sends one message of a megabyte, which no pipe holds.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendsMegabyte {
    to: Sender<Vec<u8>>,
}

impl Role for SendsMegabyte {
    const NAME: &'static str = "test.sends-megabyte";
    fn run(mut self) -> RoleResult {
        Ok(self.to.send(&vec![1; 1_000_000])?)
    }
}

/// Sends without end, and succeeds if that ends because no receiver is left.
#[derive(Serialize, Deserialize)]
pub(crate) struct SendsUntilBroken {
    to: Sender<u64>,
}

impl Role for SendsUntilBroken {
    const NAME: &'static str = "test.sends-until-broken";
    fn run(self) -> RoleResult {
        let mut to = self.to;
        loop {
            match to.send(&0) {
                Ok(()) => {}
                Err(Error::BrokenPipe) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Keeps an end without using it, until it is told to end.
#[derive(Serialize, Deserialize)]
pub(crate) struct KeepsEnd {
    end: Sender<u64>,
    here: Fd,
    until: Fd,
}

impl Role for KeepsEnd {
    const NAME: &'static str = "test.keeps-end";
    fn run(self) -> RoleResult {
        let _end = self.end;
        arrive(&self.here, b'k');
        await_word(&self.until);
        Ok(())
    }
}

/// Keeps an end for lists.
#[derive(Serialize, Deserialize)]
struct KeepsLists {
    to: Sender<Vec<u64>>,
}

impl Role for KeepsLists {
    const NAME: &'static str = "test.keeps-lists";
    fn run(self) -> RoleResult {
        drop(self.to);
        Ok(())
    }
}

/// Returns the same end for one more worker.
fn another<T>(end: ipc_demo::Result<T>) -> T {
    end.expect("nothing is read ahead or half sent")
}

fn succeeds(process: &mut Process) {
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
}

#[test]
fn smoke() {
    let _watchdog = watchdog("pipe::smoke");
    let (mut receiver, sender) = pipe().expect("a pipe");
    let mut producer = worker("producer", SendsNumbers { to: sender, count: 10 });
    for number in 1..=10 {
        assert_eq!(receiver.recv().expect("sent"), number);
    }
    assert!(matches!(receiver.recv(), Err(Error::EndOfFile)));
    succeeds(&mut producer);
}

#[test]
fn duplex_goes_both_ways() {
    let _watchdog = watchdog("pipe::duplex");
    let (mut here, there) = duplex().expect("a connection");
    let mut echo = worker("echo", Echoes { with: there });
    for size in [0, 1, 4_092, 4_093, 100_000, 3_000_000] {
        let message = vec![size as u8; size];
        here.send_bytes(&message).expect("an echo");
        assert!(here.recv_bytes().expect("an echo") == message, "{size}");
    }
    here.close();
    succeeds(&mut echo);
}

#[test]
fn end_comes_when_the_last_holder_is_gone_and_not_before() {
    let _watchdog = watchdog("pipe::end_comes");
    let (mut receiver, sender) = pipe::<u64>().expect("a pipe");
    let (mut here, arrives) = meeting_point();
    let (until, _release) = meeting_point();
    let until = Fd::from(until);
    let mut holders = ["first", "second"].map(|name| {
        worker(name, KeepsEnd { end: another(sender.try_clone()), here: arrives.clone(), until: until.clone() })
    });
    assert_eq!([here.meet(), here.meet()], [Some(b'k'); 2]);
    drop(sender);
    assert_eq!(receiver.recv_timeout(MOMENT).expect("two hold it"), None);
    holders[0].kill().expect("a signal");
    holders[0].join().expect("it ends");
    assert_eq!(receiver.recv_timeout(MOMENT).expect("one holds it"), None);
    holders[1].kill().expect("a signal");
    assert!(matches!(receiver.recv(), Err(Error::EndOfFile)));
}

#[test]
fn survives_sender_killed_inside_a_message() {
    let _watchdog = watchdog("pipe::killed_inside");
    let (mut receiver, sender) = pipe().expect("a pipe");
    let victim = worker("victim", SendsMegabyte { to: sender });
    // The send cannot be complete: the pipe is too small. What has arrived may be the beginning or nothing.
    assert_eq!(receiver.recv_timeout(MOMENT).expect("no error"), None);
    assert!(receiver.poll(None).expect("it has begun"));
    victim.kill().expect("a signal");
    for _ in 0..2 {
        let cut_off = receiver.recv().expect_err("it is cut off");
        assert!(matches!(cut_off, Error::EndOfFileInsideMessage { received: 1.. }), "{cut_off}");
    }
}

#[test]
fn sender_without_receiver_gets_an_error_and_no_signal() {
    let _watchdog = watchdog("pipe::sender_without_receiver");
    let (mut receiver, sender) = pipe().expect("a pipe");
    let mut producer = worker("producer", SendsUntilBroken { to: sender });
    assert_eq!(receiver.recv().expect("sent"), 0);
    drop(receiver);
    let ended = producer.join().expect("it ends");
    assert_eq!(ended.status, ExitStatus::Code(0), "{ended:?}");
}

#[test]
fn what_was_read_ahead_goes_along_with_the_end() {
    let _watchdog = watchdog("pipe::read_ahead_goes_along");
    let (mut receiver, mut sender) = pipe().expect("a pipe");
    let (mut from_worker, home) = pipe().expect("a pipe");
    for number in 1..=3 {
        sender.send(&number).expect("room");
    }
    assert_eq!(receiver.recv().expect("sent"), 1);
    let mut heir = worker("heir", ReceivesNumbers { from: receiver, home, turns: None, at_most: usize::MAX });
    sender.send(&4).expect("room");
    drop(sender);
    assert_eq!(from_worker.recv().expect("the heir's list"), [2, 3, 4]);
    succeeds(&mut heir);
}

#[test]
fn end_that_has_read_ahead_cannot_be_shared() {
    let (mut receiver, mut sender) = pipe().expect("a pipe");
    sender.send(&1).expect("room");
    sender.send(&2).expect("room");
    receiver.recv().expect("sent");
    let refused = receiver.try_clone();
    assert!(matches!(refused, Err(Error::ReadAhead { bytes: 9 })), "{refused:?}");
    assert_eq!(receiver.recv().expect("still here"), 2);
}

#[test]
fn end_with_half_a_message_cannot_be_given() {
    let (mut receiver, mut sender) = pipe().expect("a pipe");
    assert!(matches!(sender.send_timeout(&vec![0_u64; 1_000_000], MOMENT), Err(Error::HalfSent { .. })));
    let refused = sender.try_clone();
    assert!(matches!(refused, Err(Error::HalfSent { bytes: 9_000_006, .. })), "{refused:?}");
    let (_receiver, mut moved) = pipe().expect("a pipe");
    assert!(matches!(moved.send_timeout(&vec![0_u64; 1_000_000], MOMENT), Err(Error::HalfSent { .. })));
    let refused = try_worker("nobody", KeepsLists { to: moved });
    assert!(matches!(refused, Err(Error::HalfSent { bytes: 9_000_006, .. })), "{refused:?}");
    std::thread::scope(|scope| {
        scope.spawn(|| assert!(sender.flush_timeout(Duration::MAX).expect("a receiver")));
        assert_eq!(receiver.recv().expect("whole").len(), 1_000_000);
    });
}

#[test]
fn receivers_that_share_an_end_take_turns() {
    let _watchdog = watchdog("pipe::receivers_take_turns");
    let (receiver, mut sender) = pipe().expect("a pipe");
    let (mut lists, home) = pipe().expect("a pipe");
    let turns = Lock::new().expect("a lock");
    let mut workers = ["first", "second"].map(|name| {
        worker(
            name,
            ReceivesNumbers {
                from: another(receiver.try_clone()),
                home: another(home.try_clone()),
                turns: Some(turns.clone()),
                at_most: usize::MAX,
            },
        )
    });
    drop((receiver, home));
    for number in 0..5_000 {
        sender.send(&number).expect("room");
    }
    drop(sender);
    let mut all = [lists.recv().expect("a list"), lists.recv().expect("a list")].concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..5_000), "each exactly once");
    workers.iter_mut().for_each(succeeds);
}

#[test]
fn receiver_that_shares_an_end_takes_no_more_than_it_hands_out() {
    let _watchdog = watchdog("pipe::takes_no_more");
    let (mut receiver, mut sender) = pipe().expect("a pipe");
    let (mut lists, home) = pipe().expect("a pipe");
    for number in 1..=4 {
        sender.send(&number).expect("room");
    }
    drop(sender);
    let mut first = worker(
        "first",
        ReceivesNumbers {
            from: another(receiver.try_clone()),
            home: another(home.try_clone()),
            turns: None,
            at_most: 1,
        },
    );
    succeeds(&mut first);
    assert_eq!(lists.recv().expect("a list"), [1]);
    assert_eq!(receiver.recv().expect("left for us"), 2);
    let mut second = worker(
        "second",
        ReceivesNumbers {
            from: another(receiver.try_clone()),
            home: another(home.try_clone()),
            turns: None,
            at_most: 1,
        },
    );
    succeeds(&mut second);
    assert_eq!(lists.recv().expect("a list"), [3]);
    assert_eq!(receiver.recv().expect("left for us"), 4);
}

#[test]
fn senders_that_share_an_end_do_not_mix() {
    let _watchdog = watchdog("pipe::senders_do_not_mix");
    let (mut receiver, sender) = pipe().expect("a pipe");
    let mut workers = ["first", "second", "third"]
        .map(|name| worker(name, SendsNumbers { to: another(sender.try_clone()), count: 5_000 }));
    drop(sender);
    let mut seen = [0; 5_001];
    for number in receiver.iter() {
        seen[number.expect("whole messages") as usize] += 1;
    }
    assert!(seen[1..].iter().all(|count| *count == 3));
    workers.iter_mut().for_each(succeeds);
}

#[test]
fn wait_tells_a_message_from_a_death() {
    let _watchdog = watchdog("pipe::wait");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let (receiver, mut sender) = pipe::<u8>().expect("a pipe");
    let mut process = worker("waits", Waits { here: arrives, until: until.into() });
    assert_eq!(here.meet(), Some(b'w'));
    assert_eq!(wait(&[&receiver, &process], Some(MOMENT)).expect("a wait"), [0; 0]);
    process.kill().expect("a signal");
    assert_eq!(wait(&[&receiver, &process], None).expect("a wait"), [1]);
    sender.send(&1).expect("room");
    assert_eq!(wait(&[&receiver, &process], None).expect("a wait"), [0, 1]);
    process.join().expect("it ends");
    assert_eq!(wait(&[&receiver, &process], None).expect("a wait"), [0, 1]);
}

/// Starts Python with a script, if this machine has one.
fn python(script: &str, stdin: OwnedFd, stdout: OwnedFd) -> Option<std::process::Child> {
    let imports = "from multiprocessing.connection import Connection\n";
    let mut command = Command::new("python3");
    command.args(["-c", &format!("{imports}{script}")]).stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout));
    match command.spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            skip("python3", error);
            None
        }
    }
}

/// Around every size at which one of the two sides changes its behaviour.
const SIZES: [usize; 13] = [0, 1, 4_091, 4_092, 4_093, 16_379, 16_380, 16_384, 16_385, 65_532, 65_537, 1_000_000, 2];

#[test]
fn python_echoes_every_size() {
    let _watchdog = watchdog("pipe::python_echoes");
    let (mut here, there) = duplex().expect("a connection");
    let there = there.as_fd().try_clone_to_owned().expect("a descriptor to spare");
    let null = OwnedFd::from(std::fs::File::create("/dev/null").expect("there is a null device"));
    let script = "
with Connection(0) as peer:
    try:
        while True:
            message = peer.recv_bytes()
            if len(message) % 2: peer.send_bytes(message, 0, len(message))
            else: peer.send_bytes(b'..' + message, 2)
    except EOFError:
        pass";
    let Some(mut child) = python(script, there, null) else { return };
    for (number, size) in SIZES.into_iter().enumerate() {
        let message: Vec<u8> = (0..size).map(|place| (place ^ number) as u8).collect();
        here.send_bytes(&message).expect("python is there");
        assert!(here.recv_bytes().expect("python is there") == message, "{size}");
    }
    here.close();
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn python_is_at_both_ends_of_one_way_pipes() {
    let _watchdog = watchdog("pipe::python_one_way");
    let (to_reader, mut to_python) = pipe::<()>().expect("a pipe");
    let (mut from_python, from_writer) = pipe::<()>().expect("a pipe");
    let script = "
into, out = Connection(0, writable=False), Connection(1, readable=False)
total = 0
try:
    while True:
        total += len(into.recv_bytes())
        out.send_bytes(b'x' * total)
except EOFError:
    out.send_bytes(b'end')";
    let copy = |end: &Connection| end.as_fd().try_clone_to_owned().expect("a descriptor to spare");
    let (stdin, stdout) = (copy(&to_reader.into_connection()), copy(&from_writer.into_connection()));
    let Some(mut child) = python(script, stdin, stdout) else { return };
    let mut total = 0;
    for size in SIZES {
        total += size;
        to_python.send_bytes(&vec![0; size]).expect("python is there");
        assert_eq!(from_python.recv_bytes().expect("python is there").len(), total);
    }
    drop(to_python);
    assert_eq!(from_python.recv_bytes().expect("python's last words"), b"end");
    assert!(matches!(from_python.recv_bytes(), Err(Error::EndOfFile)));
    assert!(child.wait().expect("it ends").success());
}
