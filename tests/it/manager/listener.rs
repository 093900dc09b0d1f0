//! Clients rejected by a manager, without effect on others; TCP; many at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipc_demo::Error;
use ipc_demo::manager::{Address, AuthKey, Dict, HandshakeError, Limits, Manager, ManagerError, Status, Variant};

use crate::harness::watchdog;
use crate::manager::start_manager;

fn key(text: &str) -> AuthKey {
    AuthKey::new(text).expect("not empty")
}

fn local_tcp() -> Address {
    "tcp:127.0.0.1:0".parse().expect("an address")
}

/// Returns a manager with a Unix socket and a TCP port, and the two.
fn open_manager(limits: Limits) -> (Manager, PathBuf, String) {
    let manager =
        start_manager(|options| options.key(key("secret")).listen(local_tcp()).listen_privately().limits(limits));
    let [Address::Tcp { host, port }, Address::Unix(path)] = manager.addresses() else { panic!("two addresses") };
    let (path, tcp) = (path.clone(), format!("{host}:{port}"));
    (manager, path, tcp)
}

/// A peer of either kind.
trait Peer: Read + Write {}
impl<T: Read + Write> Peer for T {}

/// Connects to the manager's abstract socket.
fn connect(path: &Path) -> UnixStream {
    let name = path.as_os_str().as_bytes().strip_prefix(b"@").expect("it has no file");
    let address = SocketAddr::from_abstract_name(name).expect("a short name");
    UnixStream::connect_addr(&address).expect("it listens, and its backlog has room")
}

fn peers(path: &Path, tcp: &str) -> [Box<dyn Peer>; 2] {
    let (unix, tcp) = (connect(path), TcpStream::connect(tcp).expect("it listens"));
    for set in [UnixStream::set_read_timeout(&unix, Some(PATIENCE)), TcpStream::set_read_timeout(&tcp, Some(PATIENCE))]
    {
        set.expect("a timeout");
    }
    [Box::new(unix), Box::new(tcp)]
}

const PATIENCE: Duration = Duration::from_secs(20);

/// Returns what is received until the manager closes the connection; a reset counts as closing.
fn rest(peer: &mut dyn Peer) -> Vec<u8> {
    let mut bytes = Vec::new();
    match peer.read_to_end(&mut bytes) {
        Ok(_) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => bytes,
        Err(error) => panic!("it did not hang up: {error}"),
    }
}

/// Waits until the manager has counted the test's actions. Not a fixed pause: it is asked repeatedly.
fn await_status(manager: &Manager, is_so: impl Fn(&Status) -> bool) -> Status {
    loop {
        let status = manager.status().expect("nobody else notices");
        if is_so(&status) {
            return status;
        }
        std::thread::yield_now();
    }
}

/// A hello's length and its first bytes; 48 of the first Noise message follow.
const HELLO: &[u8] = b"\x38\0\0\0ipcdemo4";
const FIRST: usize = 48;

#[test]
fn another_key_is_refused_with_a_clear_error() {
    let _watchdog = watchdog("manager_listener::another_key");
    let (manager, ..) = open_manager(Limits::default());
    for address in manager.addresses() {
        let refused = Manager::connect(address, &key("Secret"));
        assert!(
            matches!(refused, Err(Error::Manager(ManagerError::Handshake(HandshakeError::KeyRefused)))),
            "{refused:?}"
        );
        let welcome = Manager::connect(address, &key("secret")).expect("the key");
        assert_eq!(welcome.dict().expect("a dict").len().expect("a call"), 0);
    }
    let status = manager.status().expect("a status");
    assert_eq!((status.refused.wrong_key, status.refused.total(), status.clients_ever), (2, 2, 3));
    assert!(AuthKey::new(vec![]).is_err(), "no key at all");
}

#[test]
fn garbage_and_huge_lengths_are_refused_at_once() {
    let _watchdog = watchdog("manager_listener::garbage");
    let (manager, path, tcp) = open_manager(Limits::default());
    let dict = manager.dict().expect("a dict");
    let four_gigabytes = [0xff; 4];
    let wrong_hello = [&HELLO[..4], b"nonsense", &[0; FIRST]].concat();
    let too_short = [&[8, 0, 0, 0], &HELLO[4..]].concat();
    let all: [&[u8]; 5] = [b"GET / HTTP/1.1\r\n\r\n", &four_gigabytes, &wrong_hello, &too_short, &[0; 4096]];
    let mut count = 0;
    for garbage in all {
        for mut peer in peers(&path, &tcp) {
            // It may close the connection before everything is sent.
            let _ = peer.write_all(garbage);
            assert!(rest(&mut *peer).len() <= 5, "one word of refusal");
            count += 1;
            dict.insert("still", count).expect("nobody else notices");
        }
    }
    let status = await_status(&manager, |status| status.refused.bad_handshake == count);
    assert_eq!(status.refused.total(), count);
}

#[test]
fn half_a_hello_is_counted_when_the_peer_disconnects() {
    let _watchdog = watchdog("manager_listener::half_a_hello");
    let (manager, path, tcp) = open_manager(Limits::default());
    for mut peer in peers(&path, &tcp) {
        peer.write_all(&[HELLO, &[7; FIRST - 1]].concat()).expect("room");
        drop(peer);
    }
    await_status(&manager, |status| status.refused.bad_handshake == 2);
    // A hello without the key.
    for mut peer in peers(&path, &tcp) {
        peer.write_all(&[HELLO, &[7; FIRST]].concat()).expect("room");
        assert_eq!(rest(&mut *peer), [1, 0, 0, 0, 2], "the key is refused");
    }
    await_status(&manager, |status| status.refused.wrong_key == 2);
}

#[test]
fn slow_and_silent_peers_are_ended_together_by_one_deadline() {
    let _watchdog = watchdog("manager_listener::slow_peers");
    let mut limits = Limits::default();
    limits.handshake_time = Duration::from_millis(300);
    let (manager, path, tcp) = open_manager(limits);
    let slow = connect(&path);
    slow.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    let silent = peers(&path, &tcp);
    // A byte at a time, with pauses, until the manager ends it: each byte alone would be in time.
    let handshake = [HELLO, &[7; FIRST]].concat();
    let mut sent = 0;
    for byte in handshake.iter().cycle() {
        if (&slow).write_all(&[*byte]).is_err() {
            break;
        }
        sent += 1;
        match (&slow).read(&mut [0; 64]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    assert!(sent < 200, "it was ended long before");
    for mut peer in silent {
        assert_eq!(rest(&mut *peer), [0; 0]);
    }
    let status = await_status(&manager, |status| status.refused.total() == 3);
    assert!(status.refused.too_slow >= 2, "{status:?}");
}

#[test]
fn crowd_of_silent_peers_keeps_no_worker_out() {
    let _watchdog = watchdog("manager_listener::crowd");
    let mut limits = Limits::default();
    limits.handshakes = 4;
    limits.handshake_time = Duration::from_millis(300);
    let (manager, path, tcp) = open_manager(limits);
    let crowd: Vec<_> = (0..20).map(|_| connect(&path)).collect();
    // Another listener is not crowded.
    let other = Manager::connect(&format!("tcp:{tcp}").parse().expect("an address"), &key("secret")).expect("in time");
    other.dict().expect("a dict").insert("a", 1).expect("a call");
    // And a client that waits in the same crowd is served when the time of those before it is over.
    let behind = Manager::connect(&Address::Unix(path), &key("secret")).expect("in the end");
    await_status(&behind, |status| status.refused.too_slow == 20);
    assert_eq!(manager.status().expect("a status").clients, 3);
    drop(crowd);
}

#[test]
fn nothing_of_a_manager_stays_in_the_file_system() {
    let _watchdog = watchdog("manager_listener::nothing_stays");
    let (manager, path, tcp) = open_manager(Limits::default());
    assert!(!path.exists(), "it is abstract");
    manager.shutdown().expect("it ends");
    assert!(Manager::connect(&Address::Unix(path), &key("secret")).is_err());
    assert!(TcpStream::connect(tcp).is_err());
}

#[test]
fn tcp_clients_share_objects_by_name() {
    let _watchdog = watchdog("manager_listener::tcp");
    let manager = start_manager(|options| options.key(key("secret")).listen(local_tcp()));
    let address = &manager.addresses()[0];
    let here: Dict = manager.make_named("shop", vec![]).expect("made");
    let far = Manager::connect(address, &key("secret")).expect("the key");
    let there: Dict = far.lookup("shop").expect("made");
    there.insert("tickets", 3).expect("a call");
    let large = Variant::bytes(vec![7; 3 << 20]);
    there.insert("large", large.clone()).expect("a call");
    assert_eq!(here.get("tickets").expect("a call"), Some(Variant::from(3)));
    assert_eq!(there.get("large").expect("a call"), Some(large));
    assert_eq!(far.names().expect("a call"), [("shop".to_owned(), ipc_demo::manager::Kind::Dict)]);
    let set = "set_item".parse().expect("a method");
    let any = far.lookup_any("shop").expect("made");
    any.call_by_name(set, vec!["tickets".into(), 2.into()], None).expect("a call");
    assert_eq!(here.get("tickets").expect("a call"), Some(Variant::from(2)));
    let wrong = far.lookup::<ipc_demo::manager::List>("shop").expect_err("a dict");
    assert_eq!(format!("{wrong}"), "using object 1 failed");
}

#[test]
fn what_is_changed_on_the_way_ends_the_connection() {
    let _watchdog = watchdog("manager_listener::changed_on_the_way");
    let manager = start_manager(|options| options.key(key("secret")).listen(local_tcp()));
    let Address::Tcp { host, port } = &manager.addresses()[0] else { panic!("TCP") };
    let server = TcpStream::connect((host.as_str(), *port)).expect("it listens");
    // A man in the middle that changes one bit of the first call.
    let middle = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp:{}", middle.local_addr().expect("a port")).parse().expect("an address");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (client, _) = middle.accept().expect("it connects");
            scope.spawn({
                let (mut from, mut to) = (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
                move || {
                    let _ = std::io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                }
            });
            let (mut from, mut to) = (&client, &server);
            // The hello and the confirmation, unchanged.
            for len in [60, 20] {
                let mut frame = vec![0; len];
                from.read_exact(&mut frame).expect("a handshake frame");
                to.write_all(&frame).expect("room");
            }
            let mut call = vec![0; 4096];
            let len = from.read(&mut call).expect("a call");
            call[len - 20] ^= 1;
            to.write_all(&call[..len]).expect("room");
        });
        let far = Manager::connect(&address, &key("secret")).expect("nothing changed yet");
        assert!(matches!(far.dict(), Err(Error::Manager(ManagerError::Gone { .. }))));
    });
    assert_eq!(manager.status().expect("a status").refused.broken, 1);
    assert_eq!(manager.status().expect("a status").objects, 0, "the call was not done");
}

/// A man in the middle that forwards everything and records what the client sends and what the manager answers.
fn listen_in(address: &Address, talk: impl FnOnce(&Address)) -> [Vec<u8>; 2] {
    let Address::Tcp { host, port } = address else { panic!("TCP") };
    let server = TcpStream::connect((host.as_str(), *port)).expect("it listens");
    let middle = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp:{}", middle.local_addr().expect("a port")).parse().expect("an address");
    let copy = |mut from: &TcpStream, mut to: &TcpStream| {
        let (mut heard, mut room) = (Vec::new(), vec![0; 4096]);
        while let Ok(count @ 1..) = from.read(&mut room) {
            heard.extend_from_slice(&room[..count]);
            to.write_all(&room[..count]).expect("room");
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
        heard
    };
    std::thread::scope(|scope| {
        let listening = scope.spawn(|| {
            let (client, _) = middle.accept().expect("it connects");
            std::thread::scope(|scope| {
                let asked = scope.spawn(|| copy(&client, &server));
                let answered = copy(&server, &client);
                [asked.join().expect("copied"), answered]
            })
        });
        talk(&address);
        listening.join().expect("copied")
    })
}

#[test]
fn who_listens_in_on_tcp_reads_nothing_and_cannot_replay_it() {
    let _watchdog = watchdog("manager_listener::listens_in");
    let manager = start_manager(|options| options.key(key("secret")).listen(local_tcp()));
    let shop: Dict = manager.make_named("shop", vec![]).expect("made");
    shop.insert("answer", "what the manager says").expect("a call");
    let address = manager.addresses()[0].clone();
    let [asked, answered] = listen_in(&address, |middle| {
        let far = Manager::connect(middle, &key("secret")).expect("nothing is changed");
        let there: Dict = far.lookup("shop").expect("made");
        there.insert("question", "what the client says").expect("a call");
        there.insert("long", "x".repeat(200_000)).expect("more than one piece");
        let answer = there.get("answer").expect("a call");
        assert_eq!(answer, Some(Variant::from("what the manager says")));
    });
    let holds = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|part| part == text.as_bytes());
    for (heard, said) in [(&asked, "what the client says"), (&answered, "what the manager says"), (&asked, "shop")] {
        assert!(!heard.is_empty() && !holds(heard, said), "{said}");
    }
    assert!(!holds(&asked, "secret") && !holds(&answered, "secret"));
    // The same again, byte for byte: the hello is answered, as for any client with the key, and the rest is rejected.
    let clients = manager.status().expect("a status").clients_ever;
    let Address::Tcp { host, port } = &address else { panic!("TCP") };
    let mut again = TcpStream::connect((host.as_str(), *port)).expect("it listens");
    again.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    again.write_all(&asked[..60]).expect("room");
    again.read_exact(&mut [0; 56]).expect("an answer");
    again.write_all(&asked[60..80]).expect("room");
    assert_eq!(rest(&mut again), [1, 0, 0, 0, 2], "the key is refused");
    let status = await_status(&manager, |status| status.refused.wrong_key == 1);
    assert_eq!(status.clients_ever, clients, "nobody came in");
}

/// A rejected call has changed nothing: an answer that removes something is not rejected for its length.
#[test]
fn answer_that_takes_something_away_is_not_too_long() {
    let _watchdog = watchdog("manager_listener::takes_away");
    let mut limits = Limits::default();
    limits.frame = 64 << 10;
    let (manager, ..) = open_manager(limits);
    let dict: Dict = manager.dict().expect("a dict");
    for name in ["a", "b"] {
        dict.insert(name, Variant::from(vec![])).expect("a call");
        for _ in 0..5 {
            dict.at([name]).push("x".repeat(20_000)).expect("each is short enough");
        }
    }
    assert!(
        matches!(dict.copy(), Err(Error::Manager(ManagerError::Managed { .. }))),
        "a copy is too long, and nothing is lost"
    );
    let five =
        |variant: Option<Variant>| assert_eq!(variant.expect("it was there").as_list().expect("a list").len(), 5);
    five(dict.remove("a").expect("a call"));
    five(dict.at(["b"]).remove().expect("a call"));
    assert_eq!(dict.len().expect("a call"), 0);
}

#[test]
fn two_hundred_clients_at_once_cost_little() {
    let _watchdog = watchdog("manager_listener::two_hundred");
    let (manager, path, _) = open_manager(Limits::default());
    let pid = manager.process().expect("its own").pid();
    let memory_kib = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a size");
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number")
    };
    let address = Address::Unix(path);
    let counter: Dict = manager.make_named("counter", vec![]).expect("made");
    counter.insert("n", 0).expect("a call");
    let before = memory_kib();
    let all_here = std::sync::Barrier::new(201);
    let go = manager.make_named::<ipc_demo::manager::Event>("go", vec![]).expect("made");
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let own = Manager::connect(&address, &key("secret")).expect("there is room for all");
                let (counter, go): (Dict, ipc_demo::manager::Event) =
                    (own.lookup("counter").expect("made"), own.lookup("go").expect("made"));
                all_here.wait();
                go.wait().expect("it is set in the end");
                for _ in 0..10 {
                    counter.add("n", 1).expect("a number");
                }
                all_here.wait();
            });
        }
        all_here.wait();
        await_status(&manager, |status| status.clients == 201 && status.waiting == 200);
        go.set().expect("a call");
        all_here.wait();
        let each_kib = memory_kib().saturating_sub(before) / 200;
        assert!(each_kib < 64, "{each_kib} KiB a client");
    });
    assert_eq!(counter.get("n").expect("a call"), Some(Variant::from(2000)));
    await_status(&manager, |status| status.clients == 1);
}
