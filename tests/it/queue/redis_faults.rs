//! A server that fails, refuses or forgets, and what the callers are told.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ipc_demo::Error;
use ipc_demo::queue::PutError;
use ipc_demo::redis::{self, JoinableQueue, Life, Queue, RedisError, Server};
use nix::sys::signal::Signal;

use super::redis_queue::{GetsFromServer, leaser};
use crate::harness::{meeting_point, send, stop, until, watchdog, worker};
use crate::redis_server::{RedisServer, shared};

/// Returns why something failed on a server.
#[track_caller]
fn why<T>(outcome: ipc_demo::Result<T>) -> RedisError {
    match outcome {
        Err(Error::Redis(error)) => *error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it succeeded"),
    }
}

fn opened(server: &Server) -> ipc_demo::Result<Queue<u32>> {
    server.check()?;
    Queue::<u32>::new(server)
}

const SOON: Duration = Duration::from_millis(300);

#[test]
fn unsuitable_servers_are_refused_with_the_reason() {
    let _watchdog = watchdog("redis_faults::unsuitable");
    let Some(locked) = RedisServer::start(&["--requirepass", "secret"]) else { return };
    let with = |password: &str| Server::new(&format!("{}?pass={password}", locked.url())).expect("a URL");
    opened(&with("secret")).expect("the password is right").put(1).expect("room");
    for server in [locked.server(), with("wrong")] {
        let refused = why(opened(&server));
        assert!(matches!(refused, RedisError::Access { .. }), "{refused}");
        assert!(!refused.to_string().contains("wrong\""), "{refused}");
    }
    let other = Server::new(&format!("{}?pass=secret&db=99", locked.url())).expect("a URL");
    let refused = why(opened(&other));
    assert!(matches!(refused, RedisError::NoDatabase { .. }), "{refused}");
    for (options, is_it) in [
        (&["--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"][..], "allkeys-lru"),
        (&["--replicaof", "127.0.0.1", "1"], "replica"),
    ] {
        let server = RedisServer::start(options).expect("a server");
        let refused = why(opened(&server.server())).to_string();
        assert!(refused.contains(is_it), "{refused}");
    }
    let user = ["--user", "bob", "on", "nopass", "~*", "+info", "+ping"];
    let server = RedisServer::start(&user).expect("a server");
    opened(&server.server()).expect("the default user may");
    let bob = Server::new(&format!("{}?user=bob&pass=x", server.url())).expect("a URL");
    let refused = why(opened(&bob));
    assert!(matches!(refused, RedisError::Access { .. }), "{refused}");
}

/// Answers every connection with this, and keeps it open; nothing: is silent.
fn pretender(says: &'static str) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let mut kept = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            if !says.is_empty() {
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(says.as_bytes());
            }
            kept.push(stream);
        }
    });
    Server::new(&format!("redis://{address}")).expect("a URL").timeout(SOON)
}

#[test]
fn what_is_no_suitable_server_is_told_apart() {
    let _watchdog = watchdog("redis_faults::no_server");
    let http = why(pretender("HTTP/1.1 400 Bad Request\r\n\r\n").check());
    assert!(matches!(http, RedisError::NotRedis { .. }), "{http}");
    let old = why(pretender("$22\r\nredis_version:5.0.14\r\n\r\n").check());
    assert!(matches!(&old, RedisError::TooOld { version, .. } if version == "5.0.14"), "{old}");
    let silent = why(pretender("").check());
    assert!(matches!(silent, RedisError::Unreachable { .. }), "{silent}");
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let nobody = Server::new(&format!("redis://127.0.0.1:{port}")).expect("a URL").timeout(SOON);
    let refused = why(nobody.check()).to_string();
    assert!(refused.contains(&format!("no answer from 127.0.0.1:{port} for 0.3 s")), "{refused}");
}

#[test]
fn foreign_keys_are_left_alone() {
    let _watchdog = watchdog("redis_faults::foreign");
    let Some(server) = RedisServer::start(&[]) else { return };
    let named = |name: &str| Queue::<u32>::builder(&server.server()).name(name).build::<u32>();
    let listed = || {
        let queues = redis::list(&server.server()).expect("a list");
        queues.into_iter().map(|queue| queue.name).collect::<Vec<_>>()
    };
    for (key, command, answer) in [
        ("meta", "HSET ipcq:{taken}:meta a b", "HGETALL"),
        ("meta", "SET ipcq:{taken}:meta x", "GET"),
        ("items", "SET ipcq:{taken}:items x", "GET"),
        ("back", "LPUSH ipcq:{taken}:back x", "LRANGE"),
        ("live", "SADD ipcq:{taken}:live x", "SMEMBERS"),
    ] {
        server.ask(command);
        let refused = why(named("taken"));
        assert!(matches!(&refused, RedisError::ForeignKey { key: found, .. } if found.ends_with(key)), "{refused}");
        assert!(redis::delete(&server.server(), "taken").is_err(), "{answer}");
        assert_eq!(listed(), [""; 0], "it is not one of the queues");
        assert!(redis::show(&server.server(), "taken").is_err(), "{answer}");
        assert_eq!(server.ask(&format!("DEL ipcq:{{taken}}:{key}")), ":1\r\n", "it was left alone");
    }
    // A key of another type beside a queue of ours.
    let queue = named("ours").expect("a queue");
    server.ask("SET ipcq:{ours}:dead x");
    assert!(matches!(why(named("ours")), RedisError::ForeignKey { .. }));
    assert_eq!(listed(), ["ours"]);
    drop(queue);
    let tasks = JoinableQueue::<u32>::builder(&server.server()).name("tasks").build::<u32>().expect("a queue");
    server.ask("SET ipcq:{tasks}:dead x");
    assert_eq!(listed(), ["ours"], "what is damaged keeps no other from being listed");
    drop(tasks);
    // Also where another program has listed its key among the queues, and where the list itself is foreign.
    server.ask("SADD ipcq:queues theirs");
    server.ask("SET ipcq:{theirs}:meta x");
    assert_eq!(listed(), ["ours"]);
    let shown = why(redis::show(&server.server(), "theirs"));
    assert!(matches!(&shown, RedisError::ForeignKey { key, .. } if key == "ipcq:{theirs}:meta"), "{shown}");
    server.ask("SET ipcq:queues x");
    let refused = why(named("other"));
    assert!(matches!(&refused, RedisError::ForeignKey { key, .. } if key == "ipcq:queues"), "{refused}");
}

#[test]
fn acknowledged_items_survive_a_restart_of_the_server() {
    let _watchdog = watchdog("redis_faults::restart");
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let queue = JoinableQueue::<u32>::new(&server.server()).expect("a queue");
    queue.put_many(&[1, 2, 3]).expect("room");
    let lease = queue.get().expect("an item");
    thread::scope(|scope| {
        let waits = scope.spawn(|| (0..2).map(|_| *queue.get().expect("an item")).collect::<Vec<_>>());
        server.kill();
        server.restart();
        lease.task_done().expect("nobody is dead because the server was away");
        waits.join().expect("no panic");
    });
    // The two leases were dropped, and the items came back.
    for _ in 0..2 {
        queue.get().expect("an item").task_done().expect("it is ours");
    }
    queue.join().expect("all is done");
    assert!(server.ask("SCRIPT FLUSH").starts_with("+OK"));
    queue.put(4).expect("scripts are loaded again");
}

#[test]
fn server_that_stays_away_is_named() {
    let _watchdog = watchdog("redis_faults::stays_away");
    let Some(mut server) = RedisServer::start(&[]) else { return };
    let queue = Queue::<u32>::new(&server.server().timeout(SOON)).expect("a queue");
    queue.put(1).expect("room");
    server.kill();
    let gone = why(queue.get());
    assert!(matches!(&gone, RedisError::Unreachable { server, .. } if server.ends_with("/s")), "{gone}");
    assert!(queue.try_put(2).is_err() && queue.qsize().is_err());
    server.restart();
    assert_eq!(queue.get().expect("it is back"), 1);
    // Stopped, it accepts connections and does not answer.
    server.signal(Signal::SIGSTOP);
    let silent = why(queue.qsize());
    assert!(matches!(silent, RedisError::Unreachable { .. }), "{silent}");
    server.signal(Signal::SIGCONT);
    queue.put(3).expect("it goes on");
    assert_eq!(queue.get().expect("an item"), 3);
}

/// Puts until the server refuses, and returns why.
fn refusal_of<T>(mut put: impl FnMut() -> Result<(), PutError<T>>) -> RedisError {
    loop {
        if let Err(refused) = put() {
            return why(Err::<(), _>(refused.into()));
        }
    }
}

#[test]
fn full_memory_refuses_puts_and_nothing_else() {
    let _watchdog = watchdog("redis_faults::full_memory");
    let Some(server) = RedisServer::start(&["--maxmemory", "6mb"]) else { return };
    let tasks = JoinableQueue::<String>::new(&server.server()).expect("a queue");
    let refused = refusal_of(|| tasks.put("x".repeat(50_000)));
    assert!(matches!(refused, RedisError::OutOfMemory { .. }), "{refused}");
    let put = tasks.qsize().expect("it answers");
    // Also the second part of every script works in a full memory.
    let worker = tasks.consumer();
    let returned = worker.get().expect("an item");
    let (number, _) = (returned.number(), drop(returned));
    let mut done = 0;
    while let Some(lease) = worker.try_get().expect("no error") {
        assert!(done > 0 || lease.number() == number, "the returned one comes first");
        lease.task_done().expect("it is ours");
        done += 1;
    }
    assert_eq!((done, tasks.unfinished().expect("it answers")), (put, 0));
    tasks.join().expect("all is done");
}

#[test]
fn stopped_process_is_dead_and_joins_again() {
    let _watchdog = watchdog("redis_faults::stopped");
    let Some(server) = shared() else { return };
    let queue = JoinableQueue::<u32>::new(&server).expect("a queue");
    queue.put(1).expect("room");
    let mut stopped = leaser(&queue, 1);
    stop(stopped.process.pid());
    // Nobody says that it is dead; it is not heard of.
    let lease = queue.get().expect("it comes back");
    assert_eq!((*lease, lease.redelivered()), (1, 1));
    send(stopped.process.pid(), Signal::SIGCONT);
    let is_back = |member: &redis::MemberInfo| {
        member.id.contains(&format!(":{}:", stopped.process.pid())) && member.id.ends_with("-1")
    };
    until(|| redis::show(&server, queue.name()).is_ok_and(|info| info.members.iter().any(is_back)));
    drop(std::mem::replace(&mut stopped.release, meeting_point().1));
    stopped.process.join().expect("it ends");
    let ended = format!("{:?}", stopped.process.ended());
    assert!(ended.contains("another consumer has it now"), "{ended}");
    lease.task_done().expect("it is ours");
    queue.join().expect("all is done");
}

#[test]
fn member_of_another_machine_that_dies_is_noticed() {
    let _watchdog = watchdog("redis_faults::another_machine");
    let Some(server) = shared() else { return };
    let queue = JoinableQueue::<u32>::builder(&server).name("test:machine").build::<u32>().expect("a queue");
    queue.put_many(&(0..3000).collect::<Vec<_>>()).expect("room");
    // Started by a process that is killed with it: nobody is left to say so. More leases than one script returns.
    let orphan = leaser(&queue, 2500);
    stop(orphan.process.pid());
    let members = redis::show(&server, "test:machine").expect("it is there").members;
    let life = |member: &redis::MemberInfo| match member.life {
        Life::Alive(left) => left,
        Life::Dead(_) => Duration::ZERO,
    };
    // What is not heard of again is dead in this time.
    let lives: Vec<_> = members.iter().map(life).collect();
    assert!(lives.len() >= 2 && lives.iter().all(|left| *left <= Duration::from_millis(1500)), "{lives:?}");
    until(|| queue.qsize().expect("it answers") == 3000);
    orphan.kill();
    let numbers: Vec<u64> =
        queue.get_many(1000).expect("items").into_iter().map(|lease| lease.expect("well-formed").number()).collect();
    assert!(numbers.is_sorted() && numbers[0] == 0, "in order");
    drop(queue);
    redis::delete(&server, "test:machine").expect("it was there");
}

#[test]
fn deleted_queue_is_reported_as_such() {
    let _watchdog = watchdog("redis_faults::deleted");
    let Some(server) = shared() else { return };
    let queue = Queue::<u32>::builder(&server).name("test:deleted").build::<u32>().expect("a queue");
    thread::scope(|scope| {
        let waits = scope.spawn(|| queue.get());
        redis::delete(&server, "test:deleted").expect("it was there");
        let gone = why(waits.join().expect("no panic"));
        assert!(matches!(&gone, RedisError::NoQueue { queue, .. } if queue == "test:deleted"), "{gone}");
    });
}

#[test]
fn answers_to_a_process_that_stands_still_are_removed() {
    let _watchdog = watchdog("redis_faults::stands_still");
    let Some(server) = RedisServer::start(&[]) else { return };
    let queue = Queue::<u32>::new(&server.server()).expect("a queue");
    queue.put_many(&(0..3000).collect::<Vec<_>>()).expect("room");
    let ((mut said, says), (until_told, _release)) = (meeting_point(), meeting_point());
    let role = GetsFromServer { queue: queue.consumer(), said: says, until: until_told.into() };
    let mut still = worker("still", role);
    assert_eq!(said.meet(), Some(b'g'));
    stop(still.pid());
    let got: usize = (0..3).map(|_| queue.get_many(1000).expect("items").len()).sum();
    assert_eq!((got, queue.try_get().expect("no error")), (2999, None));
    assert_eq!(server.ask(&format!("EXISTS ipcq:{{{}}}:items", queue.name())), ":0\r\n");
    // It is declared dead, and what it got is lost with it.
    let pid = format!(":{}:", still.pid());
    let sessions = |ending| fields(&server, queue.name(), |field| field.contains(&pid) && field.ends_with(ending));
    let theirs = sessions("g").pop().expect("it has got something");
    until(|| !sessions("gb").contains(&format!("{theirs}b")));
    assert!(answer(&server, queue.name(), &theirs).ends_with('x'), "its session is that of a dead process");
    still.kill().expect("a signal");
    still.join().expect("it ends");
}

#[test]
fn get_of_a_process_that_was_declared_dead_makes_it_a_member_again() {
    let _watchdog = watchdog("redis_faults::declared_dead");
    let Some(server) = RedisServer::start(&[]) else { return };
    let queue = Queue::<u32>::new(&server.server()).expect("a queue");
    queue.put_many(&[1, 2]).expect("room");
    assert_eq!(queue.get().expect("an item"), 1);
    let member = |field: &str| field.starts_with("m:");
    let [first] = &fields(&server, queue.name(), member)[..] else { panic!("one process") };
    mark_session(&server, queue.name());
    assert_eq!(server.ask(&format!("HDEL ipcq:{{{}}}:meta {first}", queue.name())), ":1\r\n");
    assert_eq!(queue.get().expect("an item"), 2);
    let [again] = &fields(&server, queue.name(), member)[..] else { panic!("one process") };
    assert_ne!(again, first);
}

#[test]
fn repeated_get_of_a_member_that_was_declared_dead_meanwhile_changes_no_membership() {
    let _watchdog = watchdog("redis_faults::repeated_get");
    let Some(server) = RedisServer::start(&[]) else { return };
    let network = Network::to(&server);
    // A request is tried once.
    let queue = Queue::<u32>::new(&network.server().timeout(Duration::ZERO)).expect("a queue");
    queue.put_many(&[1, 2, 3]).expect("room");
    // The server has the script from here on.
    assert_eq!(queue.get().expect("an item"), 1);
    network.delay(GET, || queue.try_get()).expect_err("no answer");
    network.deliver(&server);
    let members = || fields(&server, queue.name(), |field| field.starts_with("m:"));
    // Declared dead, and a member again.
    mark_session(&server, queue.name());
    let before = members();
    assert_eq!(queue.get().expect("an item"), 3);
    assert_eq!(members(), before);
}

/// Marks the only session that gets as the process does that declares its member dead.
fn mark_session(server: &RedisServer, name: &str) {
    let [session] = &fields(server, name, |field| field.ends_with('g'))[..] else { panic!("one session") };
    let number = &answer(server, name, session)[..12];
    assert_eq!(server.ask(&format!("HSET ipcq:{{{name}}}:meta {session} {number}x")), ":0\r\n");
}

/// Returns the fields of a queue's meta key of which `is_one` is true.
fn fields(server: &RedisServer, name: &str, is_one: impl Fn(&str) -> bool) -> Vec<String> {
    let fields = server.ask(&format!("HKEYS ipcq:{{{name}}}:meta"));
    fields.lines().filter(|field| is_one(field)).map(str::to_owned).collect()
}

/// Returns a field of a queue's meta key.
fn answer(server: &RedisServer, name: &str, field: &str) -> String {
    let answer = server.ask(&format!("HGET ipcq:{{{name}}}:meta {field}"));
    answer.lines().nth(1).expect("a text").to_owned()
}

/// Returns the number of strings with payloads of a queue.
fn strings(server: &RedisServer, name: &str) -> usize {
    let answer = server.ask(&format!("KEYS ipcq:{{{name}}}:long:*"));
    let count = answer.lines().next().and_then(|line| line.strip_prefix('*'));
    count.and_then(|count| count.parse().ok()).expect("an array")
}

fn long(letter: &str) -> String {
    letter.repeat(9_000)
}

#[test]
fn payloads_of_long_items_end_with_them() {
    let _watchdog = watchdog("redis_faults::long_items");
    let Some(server) = RedisServer::start(&[]) else { return };
    let queue = Queue::<String>::builder(&server.server()).capacity(3).byte_limit(100_000).build().expect("a queue");
    let kept = || strings(&server, queue.name());
    let put = |items: &[String]| queue.put_many_timeout(items, SOON).expect("room for some");
    // One has no room.
    assert_eq!(put(&["a", "b", "c", "d"].map(long)), 3);
    assert_eq!(kept(), 1);
    assert!(matches!(queue.try_put(long("d")), Err(PutError::Full(_))));
    assert_eq!(kept(), 1);
    assert_eq!(queue.get().expect("an item"), long("a"));
    // Short ones among them.
    assert_eq!(put(&["e".to_owned()]), 1);
    let others: Vec<_> = queue.get_many(3).expect("items").into_iter().map(|item| item.expect("text")).collect();
    assert_eq!(others, [long("b"), long("c"), "e".to_owned()]);
    // What was got is removed when that is known: by the next get, or as its process goes.
    assert_eq!(queue.try_get().expect("no error"), None);
    assert_eq!(kept(), 0);
    // The byte limit counts them.
    assert!(matches!(queue.try_put("x".repeat(100_001)), Err(PutError::Failed(_, Error::TooLong { .. }))));
    assert_eq!(put(&["x".repeat(60_000), "y".repeat(60_000)]), 1);
    assert_eq!(kept(), 1);
    assert_eq!(queue.get().expect("an item").len(), 60_000);
    until(|| kept() == 0);
    // A queue is deleted with them.
    put(&["z"].map(long));
    drop(queue);
    assert_eq!(server.ask("DBSIZE"), ":0\r\n");
}

#[test]
fn payloads_of_long_tasks_end_with_them() {
    let _watchdog = watchdog("redis_faults::long_tasks");
    let Some(server) = RedisServer::start(&[]) else { return };
    let builder = JoinableQueue::<String>::builder(&server.server()).capacity(4);
    let builder = builder.max_redeliveries(1).byte_limit(100_000);
    let queue = builder.build().expect("a queue");
    let kept = || strings(&server, queue.name());
    queue.put_many(&["a", "b", "c"].map(long)).expect("room");
    queue.put("d".to_owned()).expect("room");
    let leases = queue.get_many(4).expect("items").into_iter().map(|lease| lease.expect("text")).collect();
    assert_eq!(queue.finish_many(leases).expect("no error").len(), 4);
    assert_eq!(kept(), 0);
    // Returned, leased again, done too late, and dead.
    queue.put_many(&["e", "f"].map(long)).expect("room");
    queue.get().expect("an item").nack().expect("leased");
    let (e, f) = (queue.get().expect("an item"), queue.get().expect("an item"));
    assert_eq!([&**e, &**f].map(|item| &item[..1]), ["e", "f"]);
    f.task_done().expect("leased");
    e.nack().expect("leased");
    assert_eq!((queue.unfinished().expect("it answers"), kept()), (0, 1));
    let letters = queue.drain_dead_letters().expect("it answers");
    assert_eq!(letters[0].as_ref().expect("text").item, long("e"));
    assert_eq!(kept(), 0);
    // Two have no room.
    let many = ["g", "h", "i", "j", "k", "l"].map(long);
    assert_eq!(queue.put_many_timeout(&many, SOON).expect("room for some"), 4);
    for item in &many[..4] {
        assert_eq!(kept(), 1);
        assert_eq!(queue.get().expect("an item").task_done().expect("leased"), *item);
    }
    assert_eq!(kept(), 0);
    // All of their bytes are free again.
    queue.try_put("x".repeat(99_000)).expect("room");
}

#[test]
fn full_memory_refuses_long_items_as_a_whole() {
    let _watchdog = watchdog("redis_faults::long_in_full_memory");
    let Some(server) = RedisServer::start(&["--maxmemory", "6mb"]) else { return };
    let queue = Queue::<String>::new(&server.server()).expect("a queue");
    let refused = refusal_of(|| queue.put("x".repeat(50_000)));
    assert!(matches!(refused, RedisError::OutOfMemory { .. }), "{refused}");
    let put = queue.qsize().expect("it answers");
    assert_eq!(strings(&server, queue.name()), put);
    let got = std::iter::from_fn(|| queue.try_get().expect("no error")).count();
    assert_eq!((got, strings(&server, queue.name())), (put, 0));
}

/// A way to a server on which a request can be delayed.
struct Network {
    address: std::net::SocketAddr,
    delayed: Arc<Mutex<Delayed>>,
}

#[derive(Default)]
struct Delayed {
    /// How the next request to be delayed begins.
    beginning: Option<&'static [u8]>,
    /// The request, and the server's side of its connection.
    request: Option<(Vec<u8>, UnixStream)>,
}

impl Network {
    fn to(server: &RedisServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let (address, socket) = (listener.local_addr().expect("bound"), server.socket());
        let delayed = Arc::new(Mutex::new(Delayed::default()));
        let shared = Arc::clone(&delayed);
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.expect("a client"), UnixStream::connect(&socket).expect("it listens"));
                let (mut answers, mut to_client) =
                    (server.try_clone().expect("descriptors"), client.try_clone().expect("descriptors"));
                let shared = Arc::clone(&shared);
                thread::spawn(move || forward(client, server, &shared));
                thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
            }
        });
        Network { address, delayed }
    }

    fn server(&self) -> Server {
        Server::new(&format!("redis://{}", self.address)).expect("a URL")
    }

    /// Calls `operation`, whose request begins like this. Its connection is lost before the request has arrived; it is
    /// made again on another one.
    fn delay<R>(&self, beginning: &'static str, operation: impl FnOnce() -> R) -> R {
        self.delayed.lock().expect("no panic").beginning = Some(beginning.as_bytes());
        let outcome = operation();
        until(|| self.delayed.lock().expect("no panic").request.is_some());
        outcome
    }

    /// Lets the delayed request arrive at the server, and waits until it is performed.
    fn deliver(&self, to: &RedisServer) {
        let (request, mut server) = self.delayed.lock().expect("no panic").request.take().expect("one was delayed");
        server.write_all(&request).expect("it listens");
        // A request on a new connection comes after what was there before.
        assert_eq!(to.ask("PING"), "+PONG\r\n");
    }
}

/// Forwards requests until one is to be delayed.
fn forward(mut client: TcpStream, mut server: UnixStream, delayed: &Mutex<Delayed>) {
    let mut chunk = vec![0; 1 << 16];
    loop {
        let count = match client.read(&mut chunk) {
            Ok(0) | Err(_) => return drop(server.shutdown(Shutdown::Both)),
            Ok(count) => count,
        };
        let mut state = delayed.lock().expect("no panic");
        if state.beginning.take_if(|beginning| chunk.starts_with(beginning)).is_some() {
            client.shutdown(Shutdown::Write).expect("it is connected");
            let mut request = chunk[..count].to_vec();
            // The end of it, until the client has seen that the connection is lost.
            let _ = client.read_to_end(&mut request);
            state.request = Some((request, server));
            return;
        }
        if server.write_all(&chunk[..count]).is_err() {
            return;
        }
    }
}

/// How requests begin, by the number of their arguments.
const GET: &str = "*9\r\n$7\r\nEVALSHA";
const PUT: &str = "*12\r\n$7\r\nEVALSHA";
const PUT_LONG: &str = "*1\r\n$5\r\nMULTI";

#[test]
fn requests_that_arrive_after_later_ones_change_nothing() {
    let _watchdog = watchdog("redis_faults::late_requests");
    let Some(server) = RedisServer::start(&[]) else { return };
    let network = Network::to(&server);
    let queue = Queue::<String>::builder(&network.server()).capacity(2).build::<String>().expect("a queue");
    let put = |item: &str| queue.try_put(item.to_owned()).is_ok();
    let get = || queue.try_get().expect("no error");
    let queued = || queue.qsize().expect("it answers");
    let some = |item: &str| Some(item.to_owned());
    // What succeeded.
    assert!(network.delay(PUT, || put("a")));
    assert!(put("b"));
    assert_eq!([get(), get()], ["a", "b"].map(some));
    network.deliver(&server);
    assert_eq!(queued(), 0);
    assert!(put("a"));
    assert_eq!(network.delay(GET, get), some("a"));
    assert_eq!(get(), None);
    assert!(put("c"));
    network.deliver(&server);
    assert_eq!((queued(), get()), (1, some("c")));
    // What was refused.
    assert!(put("d") && put("e"));
    assert!(!network.delay(PUT, || put("f")));
    assert_eq!([get(), get()], ["d", "e"].map(some));
    network.deliver(&server);
    assert_eq!(queued(), 0);
    assert_eq!(network.delay(GET, get), None);
    assert!(put("g"));
    network.deliver(&server);
    assert_eq!((queued(), get()), (1, some("g")));
    // Payloads that have been removed.
    assert!(network.delay(PUT_LONG, || put(&long("h"))));
    assert_eq!((get(), get(), strings(&server, queue.name())), (Some(long("h")), None, 0));
    network.deliver(&server);
    assert_eq!((queued(), strings(&server, queue.name())), (0, 0));
    // Payloads that are still there do not expire.
    assert!(network.delay(PUT_LONG, || put(&long("i"))));
    network.deliver(&server);
    let keys = server.ask(&format!("KEYS ipcq:{{{}}}:long:*", queue.name()));
    let key = keys.lines().nth(2).expect("one key");
    assert_eq!(server.ask(&format!("TTL {key}")), ":-1\r\n");
    assert_eq!((queued(), get()), (1, Some(long("i"))));
}

#[test]
fn leases_that_arrive_after_later_requests_take_nothing() {
    let _watchdog = watchdog("redis_faults::late_leases");
    let Some(server) = RedisServer::start(&[]) else { return };
    let network = Network::to(&server);
    let queue = JoinableQueue::<u32>::new(&network.server()).expect("a queue");
    for is_there in [true, false] {
        if is_there {
            queue.put(1).expect("room");
        }
        let lease = network.delay(GET, || queue.try_get().expect("no error"));
        assert_eq!(lease.is_some(), is_there);
        lease.into_iter().for_each(|lease| assert_eq!(lease.task_done().expect("leased"), 1));
        queue.put(2).expect("room");
        network.deliver(&server);
        assert_eq!((queue.qsize().expect("it answers"), queue.unfinished().expect("it answers")), (1, 1));
        queue.get().expect("an item").task_done().expect("leased");
    }
    queue.join().expect("all are done");
}

#[test]
fn few_short_tasks_are_in_a_table_too() {
    let _watchdog = watchdog("redis_faults::table");
    let Some(server) = RedisServer::start(&[]) else { return };
    let queue = JoinableQueue::<u32>::new(&server.server()).expect("a queue");
    let key = |name: &str| format!("ipcq:{{{}}}:{name}", queue.name());
    for name in ["items", "meta"] {
        assert_eq!(server.ask(&format!("OBJECT ENCODING {}", key(name))), "$9\r\nhashtable\r\n", "{name}");
    }
    assert_eq!(queue.unfinished().expect("it answers"), 0);
    queue.join().expect("nothing to do");
}

#[test]
fn sessions_of_the_dead_are_kept_for_an_hour() {
    let _watchdog = watchdog("redis_faults::sessions");
    let Some(server) = RedisServer::start(&[]) else { return };
    let queue = JoinableQueue::<u32>::new(&server.server()).expect("a queue");
    queue.put_many(&[1, 2]).expect("room");
    let workers = [leaser(&queue, 1), leaser(&queue, 1)];
    let sessions = workers.map(|worker| {
        let session = format!("s:{}", member(&server.server(), &queue, worker.process.pid()));
        worker.kill();
        session
    });
    let gone = |session: &str| session.trim_start_matches("s:").rsplit_once('-').expect("an id").0.to_owned();
    let scored = |session| server.ask(&format!("ZSCORE ipcq:{{{}}}:gone {}", queue.name(), gone(session)));
    until(|| sessions.iter().all(|session| scored(session) != "$-1\r\n"));
    let are_kept = || {
        let fields = server.ask(&format!("HKEYS ipcq:{{{}}}:meta", queue.name()));
        sessions.each_ref().map(|session| fields.contains(session.as_str()))
    };
    assert_eq!(are_kept(), [true, true], "their late requests are recognised");
    // One of them died more than an hour ago by the server's clock.
    server.ask(&format!("ZADD ipcq:{{{}}}:gone 1 {}", queue.name(), gone(&sessions[0])));
    until(|| are_kept() == [false, true]);
}

/// Returns the id of a process among those that use a queue.
fn member(server: &Server, queue: &JoinableQueue<u32>, pid: u32) -> String {
    let info = redis::show(server, queue.name()).expect("it is there");
    let of_pid = |member: &redis::MemberInfo| member.id.contains(&format!(":{pid}:"));
    info.members.into_iter().find(of_pid).expect("it uses the queue").id
}

#[test]
fn unused_queues_are_deleted_after_a_minute() {
    let _watchdog = watchdog("redis_faults::unused");
    let Some(server) = RedisServer::start(&[]) else { return };
    let named = Queue::<u32>::builder(&server.server()).name("test:kept").build::<u32>().expect("a queue");
    let queues = [(); 3].map(|()| Queue::<u32>::new(&server.server()).expect("a queue"));
    let names = queues.each_ref().map(|queue| queue.name().to_owned());
    // A process that is never heard of again leaves a copy of its keys behind; it died some seconds, or two minutes ago.
    let copied = |name: &str, seconds: u64| {
        for key in ["meta", "live"] {
            assert_eq!(server.ask(&format!("COPY ipcq:{{{name}}}:{key} ipcq:{{{name}.copy}}:{key}")), ":1\r\n");
        }
        let copy = format!("{name}.copy");
        let id = redis::show(&server.server(), &copy).expect("it is there").members.remove(0).id;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let died = now - Duration::from_secs(seconds);
        server.ask(&format!("ZADD ipcq:{{{copy}}}:live {} {id}", died.as_millis()));
        server.ask(&format!("SADD ipcq:queues {copy}"));
        copy
    };
    let [recent, old] = [copied(&names[0], 5), copied(&names[1], 120)];
    let deleted = |unused: Duration| redis::delete_unused(&server.server(), unused).expect("it answers");
    assert!(deleted(redis::UNUSED).is_empty(), "the server has not been running for a minute: nobody could reach it");
    until(|| server.server().check().expect("it answers").uptime > Duration::from_secs(1));
    let mut expected = [recent, old];
    expected.sort();
    assert_eq!(deleted(Duration::from_secs(1)), expected, "not those that are used, nor those with a name");
    assert_eq!(redis::list(&server.server()).expect("it answers").len(), 4);
    drop((queues, named));
}
