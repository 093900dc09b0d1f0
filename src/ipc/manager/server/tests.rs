//! The server in a thread of the test, with peers that know the protocol and violate it.

use std::io::Read;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use super::*;
use crate::ipc::error::{Error, Result};
use crate::ipc::manager::data::{Kind, ObjectId, Variant};
use crate::ipc::manager::error::ManagerError;
use crate::ipc::manager::store::{Call, Failure, Method, Reply, Request};
use crate::ipc::manager::wire::{
    HandshakeError, Inbox, Refused, ToClient, ToServer, Welcome, decode, encode, initiate,
};
use crate::sys::fd::wait_readable;
use crate::sys::socket;

/// A server behind a socket pair, which ends when this is dropped.
struct Serving {
    endpoint: OwnedFd,
    life: Option<OwnedFd>,
    server: Option<thread::JoinHandle<Status>>,
}

impl Serving {
    fn new(limits: Limits) -> Serving {
        Serving::with(limits, |_| {})
    }

    fn with(limits: Limits, change: impl FnOnce(&mut Server)) -> Serving {
        let (inside, endpoint) = socket::packet_pair().expect("a pair");
        let (stop, life) = std::io::pipe().expect("a pipe");
        let mut server = Server::new(key(), limits).expect("a server");
        server.add_parent(inside);
        change(&mut server);
        let server = thread::spawn(move || server.run(OwnedFd::from(stop), None).expect("it runs"));
        Serving { endpoint, life: Some(life.into()), server: Some(server) }
    }

    /// A connection that has sent nothing yet.
    fn stranger(&self) -> Peer {
        let (ours, theirs) = socket::stream_pair().expect("a pair");
        socket::pass_descriptors(self.endpoint.as_fd(), &[theirs.as_fd()]).expect("room");
        Peer { socket: ours, inbox: Inbox::new(usize::MAX, None) }
    }

    /// A connection that has authenticated.
    fn client(&self) -> Peer {
        self.try_client().expect("the handshake goes on")
    }

    fn try_client(&self) -> Option<Peer> {
        let mut peer = self.stranger();
        peer.shake_hands(&key()).ok().map(|_| peer)
    }

    /// Ends the server and returns its final status.
    fn end(mut self) -> Status {
        self.life = None;
        self.server.take().expect("ended once").join().expect("no panic")
    }
}

fn key() -> AuthKey {
    AuthKey::new("secret").expect("not empty")
}

struct Peer {
    socket: OwnedFd,
    inbox: Inbox,
}

impl Peer {
    fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    fn send(&self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match socket::send_some(self.fd(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    socket::wait_either(self.fd(), None).expect("a wait");
                }
                // The server may hang up in the middle.
                Err(_) => return,
            }
        }
    }

    fn send_frame(&self, content: &[u8]) {
        self.send(&[&(content.len() as u32).to_le_bytes(), content].concat());
    }

    fn shake_hands(&mut self, key: &AuthKey) -> Result<Welcome> {
        initiate(Transport::Unix, key, |frame| {
            self.send_frame(frame);
            Ok(self.frames().pop().ok_or(ManagerError::Handshake(HandshakeError::Closed))?)
        })
    }

    fn ask(&self, id: u64, request: Request) {
        let mut frame = Vec::new();
        encode(&ToServer { id: Some(id), request }, &mut frame, usize::MAX, &mut None).expect("any length");
        self.send(&frame);
    }

    /// The next frames; none at the end of the connection.
    fn frames(&mut self) -> Vec<Vec<u8>> {
        let (mut room, mut frames) = (vec![0; 64 * 1024], Vec::new());
        while frames.is_empty() {
            wait_readable(self.fd(), None).expect("a wait");
            let count = match socket::receive(self.socket.as_fd(), &mut room) {
                Ok(0) | Err(_) => return frames,
                Ok(count) => count,
            };
            self.inbox.feed(&room[..count]);
            while let Some(content) = self.inbox.next().expect("well-formed") {
                frames.push(content.to_vec());
            }
        }
        frames
    }

    fn answers(&mut self) -> Vec<ToClient> {
        self.frames().iter().map(|frame| decode(frame).expect("well-formed")).collect()
    }

    fn answer(&mut self) -> ToClient {
        self.answers().pop().expect("an answer")
    }

    fn list(&mut self) -> ObjectId {
        self.create(Kind::List, None)
    }

    /// Creates an object, or returns the one with that name.
    fn create<'a>(&mut self, kind: Kind, name: impl Into<Option<&'a str>>) -> ObjectId {
        self.ask(0, Request::Create { kind, args: vec![], name: name.into().map(str::to_owned) });
        match self.answer() {
            ToClient { result: Ok(Reply::Object(reference)), .. } => reference.id(),
            other => panic!("no object: {other:?}"),
        }
    }
}

fn call(object: ObjectId, method: Method, args: Vec<Variant>) -> Request {
    Request::Call(Call { object, method, args, timeout: None, thread: 0 })
}

#[test]
fn client_that_breaks_the_rules_is_ended_alone() {
    let server = Serving::new(Limits::default());
    let mut good = server.client();
    let list = good.list();
    let rules: [&[u8]; 4] = [&[0xff; 4], &[1, 0, 0, 0, 0xff], &[0, 0, 0, 0], &[3, 0, 0, 0, 0, 0, 77]];
    for broken in rules {
        let mut bad = server.client();
        bad.send(broken);
        assert_eq!(bad.frames(), Vec::<Vec<u8>>::new(), "hung up");
        good.ask(1, call(list, Method::Len, vec![]));
        assert_eq!(good.answer(), ToClient { id: 1, result: Ok(0.into()) });
    }
    // Nested without limit: a list in a list in a list …
    let mut bad = server.client();
    let nested = [[0, 1, 0, 1].as_slice(), &[6, 1].repeat(1_000_000)].concat();
    bad.send_frame(&nested);
    assert_eq!(bad.frames(), Vec::<Vec<u8>>::new());
    let status = server.end();
    assert_eq!((status.refused.broken, status.refused.total()), (5, 5));
}

#[test]
fn request_before_the_key_is_refused() {
    let server = Serving::new(Limits::default());
    let mut peer = server.stranger();
    peer.ask(1, Request::Names);
    assert_eq!(peer.frames(), [Refused::OtherProtocol.frame().expect("told")]);
    assert_eq!(peer.frames(), Vec::<Vec<u8>>::new());
    assert_eq!(server.end().refused.bad_handshake, 1);
}

#[test]
fn watcher_is_told_of_clients_and_wrong_keys() {
    let (inside, endpoint) = socket::packet_pair().expect("a pair");
    let (stop, life) = std::io::pipe().expect("a pipe");
    let (tell, told) = std::sync::mpsc::channel();
    let mut server = Server::new(key(), Limits::default()).expect("a server");
    server.add_parent(inside);
    let run =
        move || server.run(OwnedFd::from(stop), Some(&mut |status: &Status| tell.send(*status).expect("awaited")));
    let server =
        Serving { endpoint, life: Some(life.into()), server: Some(thread::spawn(move || run().expect("it runs"))) };
    let until = |is_so: &dyn Fn(&Status) -> bool| {
        let next = || told.recv_timeout(Duration::from_secs(20)).expect("the numbers have changed");
        while !is_so(&next()) {}
    };
    until(&|status| *status == Status::default());
    let client = server.client();
    until(&|status| status.clients == 1);
    let mut stranger = server.stranger();
    let other = AuthKey::new("Secret").expect("not empty");
    let refused = stranger.shake_hands(&other).expect_err("another key");
    assert!(matches!(refused, Error::Manager(ManagerError::Handshake(HandshakeError::KeyRefused))), "{refused}");
    until(&|status| status.refused.wrong_key == 1);
    drop(client);
    until(&|status| status.clients == 0);
    server.end();
}

#[test]
fn process_of_another_user_is_turned_away() {
    // As if the server belonged to another user: peers are compared with that.
    let server = Serving::with(Limits::default(), |server| server.state.own_user += 1);
    assert_eq!(server.stranger().frames(), Vec::<Vec<u8>>::new());
    let status = server.end();
    assert_eq!((status.refused.other_user, status.clients_ever), (1, 0));
}

#[test]
fn what_is_no_connection_does_not_come_through_the_door() {
    let server = Serving::new(Limits::default());
    let (packets, other) = socket::packet_pair().expect("a pair");
    socket::pass_descriptors(server.endpoint.as_fd(), &[packets.as_fd()]).expect("room");
    let (ends, _) = std::io::pipe().expect("a pipe");
    socket::pass_descriptors(server.endpoint.as_fd(), &[ends.as_fd()]).expect("room");
    socket::send_some(server.endpoint.as_fd(), b"nothing").expect("room");
    socket::send_some(server.endpoint.as_fd(), b"").expect("room");
    let (mut ends, three) = std::io::pipe().expect("a pipe");
    socket::pass_descriptors(server.endpoint.as_fd(), &[three.as_fd(); 3]).expect("room");
    drop((packets, other, three));
    server.client();
    assert_eq!(ends.read(&mut [0]).expect("readable"), 0, "none of the three is kept");
    assert_eq!(server.end().refused.other_user, 5);
}

#[test]
fn client_that_does_not_read_is_stopped_and_then_ended() {
    let limits = Limits { unread_time: Duration::from_millis(50), ..Limits::default() };
    let server = Serving::new(limits);
    let mut reading = server.client();
    let list = reading.list();
    let mut silent = server.client();
    let own = silent.list();
    let long = Variant::from("x".repeat(100_000));
    silent.ask(1, call(own, Method::Append, vec![long]));
    silent.answer();
    // Each answer is long; the server reads no more of these requests than it has room for, and blocks no other client.
    for id in 0..2_000 {
        silent.ask(id, call(own, Method::Copy, vec![]));
    }
    reading.ask(7, call(list, Method::Len, vec![]));
    assert_eq!(reading.answer(), ToClient { id: 7, result: Ok(0.into()) });
    loop {
        reading.ask(8, Request::Status);
        let ToClient { result: Ok(Reply::Status(status)), .. } = reading.answer() else { panic!("a status") };
        if status.refused.not_reading == 1 {
            break;
        }
        thread::yield_now();
    }
    assert_eq!(server.end().clients, 1);
}

#[test]
fn client_that_reads_late_gets_every_answer_in_order() {
    let server = Serving::new(Limits::default());
    let mut peer = server.client();
    let list = peer.list();
    peer.ask(1, call(list, Method::Append, vec![Variant::from("x".repeat(50_000))]));
    peer.answer();
    // Far above what the server keeps for a client that does not read.
    for id in 100..300 {
        peer.ask(id, call(list, Method::Copy, vec![]));
    }
    let mut seen = Vec::new();
    while seen.len() < 200 {
        seen.extend(peer.answers().into_iter().map(|answer| match answer {
            ToClient { id, result: Ok(_) } => id,
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(seen, (100..300).collect::<Vec<_>>());
    assert_eq!(server.end().refused.total(), 0);
}

#[test]
fn items_that_a_client_did_not_take_go_back_when_it_is_gone() {
    let items = 40_i64;
    let server = Serving::new(Limits::default());
    let (mut taker, mut other) = (server.client(), server.client());
    let queue = other.create(Kind::Queue, "queue");
    taker.create(Kind::Queue, "queue");
    for number in 0..items {
        // Together longer than a socket's buffer.
        let item = vec![Variant::from(number), Variant::from("x".repeat(100_000))];
        other.ask(1, call(queue, Method::Put, vec![Variant::from(item)]));
        other.answer();
    }
    (0..items).for_each(|id| taker.ask(id as u64, call(queue, Method::Get, vec![])));
    // Far more than fits into the socket is pending.
    loop {
        other.ask(2, call(queue, Method::Qsize, vec![]));
        match other.answer() {
            ToClient { result: Ok(Reply::Variant(left)), .. } if (0..30).any(|few| left == few.into()) => break,
            _ => thread::yield_now(),
        }
    }
    // Some of it has arrived, and the server waits for room.
    let read = taker.frames().len();
    drop(taker);
    let Request::Call(get) = call(queue, Method::Get, vec![]) else { panic!("a call") };
    let get = Request::Call(Call { timeout: Some(Duration::from_nanos(5_000_000_000)), ..get });
    // Everything that did not fit into the socket, in whatever order it was requeued.
    let (mut got, taken_at_most) = (Vec::new(), read + 4);
    while (items - got.len() as i64..items).ne(got.iter().copied()) || got.len() < items as usize - taken_at_most {
        other.ask(3, get.clone());
        let ToClient { result: Ok(Reply::Item(Variant::List(item))), .. } = other.answer() else {
            panic!("lost: only {got:?} came back")
        };
        got.extend((0..items).find(|number| item[0] == Variant::from(*number)));
        got.sort_unstable();
    }
    server.end();
}

#[test]
fn server_ends_when_one_of_its_threads_has_panicked() {
    let panics_with_the_lock = |server: &Server| {
        let panicked = panic::catch_unwind(AssertUnwindSafe(|| {
            let _held = server.state.lock();
            panic!("as a request may")
        }));
        drop(panicked.expect_err("it did"));
    };
    let fails = |server: &Server| server.state.fail();
    for break_it in [&fails as &dyn Fn(&Server), &panics_with_the_lock] {
        let (_life, stop) = std::io::pipe().expect("a pipe");
        let server = Server::new(key(), Limits::default()).expect("a server");
        break_it(&server);
        assert!(server.run(stop, None).expect_err("it cannot go on").to_string().contains("panicked"));
    }
}

#[test]
fn clients_above_the_limit_are_turned_away() {
    let server = Serving::new(Limits { clients: 2, ..Limits::default() });
    let _first = server.client();
    let _second = server.client();
    assert!(server.try_client().is_none());
    assert_eq!(server.end().refused.too_many, 1);
}

#[test]
fn answer_above_the_limit_is_an_error_and_not_the_end() {
    let server = Serving::new(Limits { frame: 10_000, ..Limits::default() });
    let mut peer = server.client();
    let list = peer.list();
    for id in 1..4 {
        peer.ask(id, call(list, Method::Append, vec![Variant::from("x".repeat(5_000))]));
        peer.answer();
    }
    peer.ask(9, call(list, Method::Copy, vec![]));
    let ToClient { id: 9, result: Err(Failure::AnswerTooLong { bytes, .. }) } = peer.answer() else {
        panic!("too long")
    };
    assert!(bytes > 15_000);
    peer.ask(10, call(list, Method::Len, vec![]));
    assert_eq!(peer.answer(), ToClient { id: 10, result: Ok(3.into()) });
    let mut long = Vec::new();
    encode(&ToServer { id: None, request: Request::Lookup("x".repeat(10_001)) }, &mut long, usize::MAX, &mut None)
        .expect("any");
    peer.send(&long);
    assert_eq!(peer.frames(), Vec::<Vec<u8>>::new(), "a request above the limit is the end");
    assert_eq!(server.end().refused.broken, 1);
}

#[test]
fn idle_client_is_ended_but_not_one_that_waits() {
    let server = Serving::new(Limits { idle_time: Some(Duration::from_millis(50)), ..Limits::default() });
    let mut waiting = server.client();
    waiting.ask(1, Request::Create { kind: Kind::Event, args: vec![], name: Some("event".into()) });
    let ToClient { result: Ok(Reply::Object(event)), .. } = waiting.answer() else { panic!("an event") };
    waiting.ask(2, call(event.id(), Method::Wait, vec![]));
    let mut idle = server.client();
    assert_eq!(idle.frames(), Vec::<Vec<u8>>::new(), "ended");
    let setting = server.client();
    setting.ask(1, Request::Lookup("event".into()));
    setting.ask(2, call(event.id(), Method::Set, vec![]));
    assert_eq!(waiting.answer(), ToClient { id: 2, result: Ok(true.into()) });
    assert_eq!(server.end().refused.idle, 1);
}

#[test]
fn any_bytes_of_a_client_end_in_order() {
    use proptest::prelude::*;
    use proptest::test_runner::TestRunner;
    // A busy machine must not end a client here.
    let server = Serving::new(Limits { handshake_time: Duration::from_secs(60), ..Limits::default() });
    let mut runner = TestRunner::new(ProptestConfig::with_cases(150));
    let bytes = proptest::collection::vec(any::<u8>(), 0..80);
    let run = runner.run(&(bytes.clone(), bytes, any::<bool>()), |(first, second, as_client)| {
        let peer = if as_client { server.client() } else { server.stranger() };
        // The server may hang up between the two.
        let _ = socket::send_some(peer.fd(), &first);
        let _ = socket::send_some(peer.fd(), &[&[second.len() as u8, 0, 0, 0], &second[..]].concat());
        Ok(())
    });
    run.expect("the server serves on");
    let mut good = server.client();
    good.list();
    server.end();
}
