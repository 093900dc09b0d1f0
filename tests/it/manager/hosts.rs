//! `ipc-demo manager --serve`, `--connect` and `--call`: from another shell, and from another host.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::report::schema::{Fact, Verdict};
use nix::sys::signal::Signal;
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen, socket};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cli::refused;
use crate::harness::{Demo, Running, fact, facts, send, skip, until, watchdog};

/// A directory with a key that only its owner can read, and space for a socket.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().expect("a directory"));
        place.key("key", "a secret of some length\n", "600");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn key(&self, name: &str, content: &str, mode: &str) {
        let mode = u32::from_str_radix(mode, 8).expect("a mode");
        fs::write(self.path(name), content).expect("writable");
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(self.path(name), permissions).expect("mine");
    }

    fn socket(&self) -> String {
        format!("unix:{}", self.path("socket").display())
    }

    fn manager(&self, what: &str, address: &str) -> Demo {
        self.manager_with("key", what, address)
    }

    fn manager_with(&self, key: &str, what: &str, address: &str) -> Demo {
        Demo::run("manager").args([what, address, "--authkey-file"]).arg(self.path(key))
    }

    fn calls(&self, address: &str, calls: &[&str]) -> Demo {
        calls.iter().fold(self.manager("--connect", address), |demo, call| demo.args(["--call", call]))
    }

    /// Returns the output of calls, one JSON value each.
    #[track_caller]
    fn answers(&self, address: &str, calls: &[&str]) -> Vec<Value> {
        let finished = self.calls(address, calls).expect_exit(0);
        assert_eq!(finished.stderr, "");
        finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

/// Starts a manager, and returns where it listens.
fn serve(demo: Demo) -> (Running, String) {
    let mut running = demo.start();
    let started = running.until(|event| matches!(event.fact, Fact::ManagerStarted { .. }));
    let Fact::ManagerStarted { addresses, .. } = &started.fact else { unreachable!("it was looked for") };
    let address = addresses[0].clone();
    (running, address)
}

#[test]
fn manager_serves_other_shells_until_it_is_stopped() {
    let _watchdog = watchdog("manager_hosts::serves");
    let place = Place::new();
    for (address, signal, code) in
        [(place.socket(), Signal::SIGINT, 130), ("tcp:127.0.0.1:0".to_owned(), Signal::SIGTERM, 143)]
    {
        let (server, address) = serve(place.manager("--serve", &address));
        assert!(!address.ends_with(":0"), "the port that the kernel chose: {address}");
        let before = descriptors(server.pid());
        for workers in ["1", "3"] {
            let run = place.manager("--connect", &address).args(["--workers", workers, "--format", "json"]);
            let events = run.expect_exit(0).events();
            let connected = |fact: &Fact| matches!(fact, Fact::ManagerConnected { .. });
            assert!(events.iter().any(|event| connected(&event.fact)), "{events:?}");
            assert_eq!((fact(&events, "arrived").to_string(), fact(&events, "lost")), (workers.to_owned(), 0));
        }
        assert_eq!(place.answers(&address, &["dict.copy"]), [json!({"a": "a", "b": "b", "c": "c"})], "it stays");
        let all = place.manager("--connect", &address).args(["--type", "all", "--speed", "max", "--format", "json"]);
        assert_eq!(fact(&all.expect_exit(0).events(), "types"), 14);
        until(|| descriptors(server.pid()) == before);
        send(server.pid(), signal);
        let (exit_code, events, stderr) = server.finish();
        assert_eq!((exit_code, stderr.as_str()), (Some(code), ""));
        assert_eq!(crate::scenarios::verdict(&events), (Verdict::Held, true));
        // The runners and their workers: two clients, four, one that calls, and one with two workers for each type.
        assert_eq!(["clients", "connected", "turned_away"].map(|name| fact(&events, name)), [36, 0, 0]);
        assert!(fact(&events, "objects") >= fact(&events, "names") && fact(&events, "names") > 5);
        assert_eq!(facts(&events)["socket_left"], false);
        assert!(!place.path("socket").exists(), "no socket stays behind");
    }
}

#[test]
fn two_shells_at_once_share_one_lock() {
    let _watchdog = watchdog("manager_hosts::share");
    let place = Place::new();
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    let run = || place.manager("--connect", &address).args(["--type", "lock", "--workers", "3", "--speed", "5"]);
    let shells = [run().start(), run().start()];
    for shell in shells {
        let (code, events, stderr) = shell.finish();
        assert_eq!((code, fact(&events, "steps"), fact(&events, "lost")), (Some(0), 9, 0), "{stderr}");
    }
    assert_eq!(place.answers(&address, &["lock.count.get"]), [json!(18)], "no update is lost between them");
    send(server.pid(), Signal::SIGINT);
    assert_eq!(server.finish().0, Some(130));
}

#[test]
fn calls_print_one_json_value_each() {
    let _watchdog = watchdog("manager_hosts::calls");
    let place = Place::new();
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    let steps: [(&str, Value); 22] = [
        ("list", json!({})),
        ("create dict shop", json!({"$object": 1, "kind": "dict"})),
        ("create dict shop", json!({"$object": 1, "kind": "dict"})),
        ("shop.set tickets 3", Value::Null),
        ("shop.get tickets", json!(3)),
        ("shop.__getitem__ tickets", json!(3)),
        ("shop.get nothing", Value::Null),
        ("shop.add tickets -1", json!(2)),
        (r#"shop.set "a b" {"deep": [1, 0.5, null]}"#, Value::Null),
        (r#"shop.get_at ["a b", "deep", 1]"#, json!(0.5)),
        ("shop.items", json!([["tickets", 2], ["a b", {"deep": [1, 0.5, null]}]])),
        ("create joinable-queue jobs 5", json!({"$object": 2, "kind": "JoinableQueue"})),
        ("jobs.put paint", Value::Null),
        ("jobs.qsize", json!(1)),
        ("create lock door", json!({"$object": 3, "kind": "Lock"})),
        ("door.acquire", json!(true)),
        ("door.locked", json!(false)),
        ("create list all", json!({"$object": 4, "kind": "list"})),
        ("all.append @shop", Value::Null),
        ("all.get 0", json!({"$object": 1, "kind": "dict"})),
        ("delete door", Value::Null),
        ("list", json!({"shop": "dict", "jobs": "JoinableQueue", "all": "list"})),
    ];
    for (call, answer) in steps {
        assert_eq!(place.answers(&address, &[call]), [answer], "{call}");
    }
    // Over one connection, what was acquired is held until the end.
    let together = ["create lock door", "door.acquire", "door.locked", "door.release", "door.locked"];
    assert_eq!(place.answers(&address, &together)[1..], [json!(true), json!(true), Value::Null, json!(false)]);
    let [leased, still] = place.answers(&address, &["jobs.get", "jobs.unfinished"]).try_into().expect("two");
    assert_eq!((&leased["item"], still), (&json!("paint"), json!(1)));
    assert_eq!(place.answers(&address, &["jobs.qsize"]), [json!(1)], "who took it left without doing it");
    let status = place.answers(&address, &["status"]).remove(0);
    let fields = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let published = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!(fields(&status), published("clients clients_ever objects names waiting requests refused"));
    let reasons = published("wrong_key no_greeting too_slow other_user too_many broken not_reading idle");
    assert_eq!((fields(&status["refused"]), &status["clients"]), (reasons, &json!(1)));
    send(server.pid(), Signal::SIGINT);
    assert_eq!(server.finish().0, Some(130));
}

#[test]
fn call_that_cannot_be_done_says_what_could() {
    let _watchdog = watchdog("manager_hosts::bad_calls");
    let place = Place::new();
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    place.answers(&address, &["create dict shop", "create queue jobs", "create dict \"my shop\"", "create list list"]);
    for (call, said) in [
        ("shop", "NAME.METHOD"),
        ("create shop", "a type and a name"),
        ("create set shop", "there is no type \"set\" (there are: list, dict"),
        ("create list shop", "create shop: \"shop\" is the name of another type of object: dict"),
        ("create condition c null 5", "create c: condition takes [LOCK], and 2 were given"),
        ("shpo.get a", "no object named \"shpo\" (there are: jobs, list, \"my shop\", shop)"),
        ("delete shpo", "no object named \"shpo\" (there are: jobs, list, \"my shop\", shop)"),
        ("shop.put 1", "dict has no method \"put\" (it has: len, contains KEY,"),
        ("shop.get", "shop.get: get takes KEY [DEFAULT], and 0 were given"),
        ("shop.get a b c", "get takes KEY [DEFAULT], and 3 were given"),
        ("shop.clear now", "clear takes no arguments, and 1 was given"),
        ("shop.set a 1 2", "shop.set: set takes KEY VALUE, and 3 were given"),
        ("shop.__setitem__ a", "shop.__setitem__: __setitem__ takes KEY VALUE, and 1 was given"),
        ("shop.del", "shop.del: del takes KEY, and 0 were given"),
        ("list.push", "list.push: push takes VALUE, and 0 were given"),
        ("list.get", "list.get: get takes INDEX, and 0 were given"),
        ("list.get a", "list.get: get INDEX: a whole number expected, text given"),
        ("jobs.taskdone 1 2", "jobs.taskdone: taskdone takes [LEASE], and 2 were given"),
        ("create bounded-semaphore s a", "create s: bounded-semaphore PERMITS: a whole number expected, text given"),
        ("shop.update 1", "update ENTRIES: a dict or a list of pairs expected, a whole number given"),
        ("shop.get_item a", "no such key: \"a\""),
        ("shop.set n 1e999", "1e999 is beyond the range of a 64-bit float"),
        ("shop.set a {", "well-formed"),
        ("shop.set a 99999999999999999999", "64 bits"),
        ("jobs.put @shpo", "no object named \"shpo\""),
    ] {
        refused(place.calls(&address, &[call]), &[said]);
    }
    // Earlier calls remain done, and were printed.
    let half = place.calls(&address, &["shop.set a 1", "shop.nothing", "shop.set a 2"]).expect_exit(2);
    assert_eq!(half.stdout, "null\n");
    assert_eq!(place.answers(&address, &["shop.get a"]), [json!(1)]);
    let waits = place.calls(&address, &["jobs.get"]).args(["--timeout", "1s"]).expect_exit(3);
    assert_eq!(waits.stdout, "");
    assert!(waits.stderr.contains("jobs.get: timed out after 1s"), "{}", waits.stderr);
    let waits = place.calls(&address, &["create barrier b 2", "b.wait"]).args(["--timeout", "1s"]).expect_exit(3);
    assert!(waits.stderr.contains("b.wait: timed out after 1s"), "{}", waits.stderr);
    refused(place.calls(&address, &["b.wait"]), &["b.wait: the barrier is broken"]);
    refused(Demo::run("manager").args(["--call", "list"]), &["--connect ADDR --authkey-file FILE", "--serve"]);
    let drawn = place.path("call.svg");
    refused(
        place.calls(&address, &["list"]).args(["--timeline"]).arg(&drawn),
        &["--timeline works only with scenarios, not with manager --call"],
    );
    assert!(!drawn.exists());
    send(server.pid(), Signal::SIGINT);
    assert_eq!(server.finish().0, Some(130));
}

#[test]
fn who_does_not_get_in_is_told_what_to_do() {
    let _watchdog = watchdog("manager_hosts::not_in");
    let place = Place::new();
    place.key("other", "another secret\n", "600");
    place.key("empty", "\n", "600");
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    let garbage = TcpListener::bind("127.0.0.1:0").expect("a port");
    let no_manager = format!("tcp:{}", garbage.local_addr().expect("bound"));
    let peer = thread::spawn(move || {
        for stream in garbage.incoming().take(2) {
            // The client may be gone.
            let _ = stream.expect("a client").write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let nobody = format!("unix:{}", place.path("nobody").display());
    for call in [false, true] {
        let connect = |key: &str, address: &str| {
            let demo = place.manager_with(key, "--connect", address);
            if call { demo.args(["--call", "list"]) } else { demo }
        };
        let kept_out = |demo: Demo, said: &[&str]| {
            let finished = demo.expect_exit(3);
            assert_eq!(finished.stdout, "");
            assert!(said.iter().all(|said| finished.stderr.contains(said)), "{}", finished.stderr);
        };
        refused(connect("missing", &address), &["missing", "No such file", "umask 077"]);
        refused(connect("empty", &address), &["the key is empty", "umask 077"]);
        kept_out(connect("other", &address), &["refused the key", "other"]);
        kept_out(connect("key", &nobody), &["cannot reach a manager at", "nobody", "--serve"]);
        kept_out(connect("key", &no_manager), &["ipc-demo that listens at"]);
        refused(
            connect("key", "shop"),
            &["\"shop\" is not an address (expected unix:PATH, of at most 107 bytes, or tcp:HOST:PORT)"],
        );
    }
    peer.join().expect("it answered");
    refused(place.manager("--serve", &address), &["in use", "choose another address"]);
    fs::write(place.path("nobody"), "a file").expect("writable");
    refused(place.manager("--serve", &nobody), &["in use"]);
    assert_eq!(fs::read_to_string(place.path("nobody")).expect("still there"), "a file");
    send(server.pid(), Signal::SIGINT);
    let (code, events, _) = server.finish();
    assert_eq!(code, Some(130));
    assert!(fact(&events, "turned_away") >= 2);
}

#[test]
fn key_that_others_can_read_is_told() {
    let _watchdog = watchdog("manager_hosts::exposed");
    let place = Place::new();
    place.key("open", "a secret\n", "644");
    let (server, address) = serve(place.manager_with("open", "--serve", "tcp:0.0.0.0:0"));
    let told = |fact: &Fact| matches!(fact, Fact::KeyExposed { .. });
    assert_eq!(server.seen.iter().filter(|event| told(&event.fact)).count(), 1);
    let address = address.replace("0.0.0.0", "127.0.0.1");
    let call = place.manager_with("open", "--connect", &address).args(["--call", "list"]).expect_exit(0);
    assert_eq!(call.stdout, "{}\n");
    assert!(call.stderr.starts_with("warning: other users can read ") && call.stderr.contains("chmod 600"));
    send(server.pid(), Signal::SIGINT);
    server.finish();
    for (language, said) in [("en", "other users can read"), ("zh", "其他用户")] {
        let mut server = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
        server.args(["manager", "--serve", "tcp:0.0.0.0:0", "--lang", language, "--authkey-file"]);
        let mut server = server.arg(place.path("open")).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(server.stdout.take().expect("piped")).lines();
        let is_said = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| !line.contains("--connect"))
            .any(|line| line.contains(said));
        send(server.id(), Signal::SIGINT);
        assert!(is_said, "{said}");
        assert_eq!(lines.map_while(Result::ok).filter(|line| line.contains("✔")).count(), 1);
        assert_eq!(server.wait().expect("it ends").code(), Some(130));
    }
}

/// Neither a stopped manager, nor an unresponsive one, nor one that accepts no connections outlasts the timeout.
#[test]
fn timeout_bounds_the_whole_call() {
    let _watchdog = watchdog("manager_hosts::timeout");
    let place = Place::new();
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    let begun = |address: &str, calls: &[&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ipc-demo"));
        program.args(["manager", "--connect", address, "--authkey-file"]).arg(place.path("key")).args(calls);
        program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts")
    };
    // It ends before one that has begun with the default limits for a connection or an answer.
    let timed = |address: &str, call: &str| {
        let mut untimed = begun(address, &["--call", call]);
        let finished = place.calls(address, &[call]).args(["--timeout", "300ms"]).expect_exit(3);
        assert!(matches!(untimed.try_wait(), Ok(None)), "{address}: without the timeout it waits");
        untimed.kill().and_then(|()| untimed.wait()).expect("a child");
        finished.stderr
    };
    place.answers(&address, &["create dict shop"]);
    send(server.pid(), Signal::SIGSTOP);
    let said = timed(&address, "shop.items");
    assert!(said.contains("the manager does not answer: gave up on the handshake"), "{said}");
    send(server.pid(), Signal::SIGCONT);
    // Stopped after it has accepted the caller: by the caller's first line.
    let mut calls = begun(&address, &["--call", "create queue jobs", "--call", "jobs.get", "--timeout", "2s"]);
    let mut first = String::new();
    BufReader::new(calls.stdout.as_mut().expect("piped")).read_line(&mut first).expect("an answer");
    send(server.pid(), Signal::SIGSTOP);
    let mut untimed = begun(&address, &["--call", "jobs.get"]);
    let ended = calls.wait_with_output().expect("it ends");
    assert!(matches!(untimed.try_wait(), Ok(None)), "without the timeout it waits");
    untimed.kill().and_then(|()| untimed.wait()).expect("a child");
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3));
    assert!(said.contains("the manager does not answer: gave up on jobs.get"), "{said}");
    send(server.pid(), Signal::SIGCONT);
    send(server.pid(), Signal::SIGINT);
    assert_eq!(server.finish().0, Some(130));
    // Connections are not accepted here, and the kernel queues no more than one.
    let crowded = place.path("crowded");
    let listener = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).expect("a socket");
    bind(listener.as_raw_fd(), &UnixAddr::new(&crowded).expect("a path")).expect("free");
    listen(&listener, Backlog::new(0).expect("a number")).expect("it listens");
    let _first = UnixStream::connect(&crowded).expect("room for one");
    let said = timed(&format!("unix:{}", crowded.display()), "list");
    assert!(said.contains("cannot reach a manager at") && said.contains("timed out"), "{said}");
    // Accepts connections, and sends nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let said = timed(&format!("tcp:{}", silent.local_addr().expect("bound")), "list");
    assert!(said.contains("does not answer"), "{said}");
}

#[test]
fn server_that_is_killed_ends_the_plays_at_it() {
    let _watchdog = watchdog("manager_hosts::killed_server");
    let place = Place::new();
    let (server, address) = serve(place.manager("--serve", &place.socket()));
    let mut run = place.manager("--connect", &address).args(["--type", "lock", "--speed", "0.5"]).start();
    run.until(|event| matches!(event.fact, Fact::LockAcquired { .. }));
    send(server.pid(), Signal::SIGKILL);
    let (code, events, stderr) = run.finish();
    assert_eq!((code, crate::scenarios::verdict(&events)), (Some(3), (Verdict::NotShown, false)));
    assert!(stderr.contains("the manager exited before it answered"), "{stderr}");
    server.finish();
    // What it left behind does not keep the next one from starting.
    let (server, _) = serve(place.manager("--serve", &address));
    send(server.pid(), Signal::SIGINT);
    assert_eq!(server.finish().0, Some(130));
    assert!(!place.path("socket").exists());
}

/// A network of its own, for the lifetime of this value: held by an idle process in it.
pub(crate) struct Network {
    pub(crate) holder: Child,
}

impl Network {
    /// Starts the holder by a command that creates the network. Returns the command's message if it fails.
    pub(crate) fn new(command: &[&str]) -> Result<Self, String> {
        let mut holder = Command::new(command[0]);
        holder.args(&command[1..]).args(["sh", "-c", "echo made; exec cat"]);
        let holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut holder = holder.map_err(|error| format!("{}: {error}", command[0]))?;
        let mut said = String::new();
        let mut stdout = BufReader::new(holder.stdout.take().expect("piped"));
        stdout.read_line(&mut said).expect("text");
        if said == "made\n" {
            return Ok(Network { holder });
        }
        let output = holder.wait_with_output().expect("it ends");
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// Returns the beginning of a command that runs in it.
    pub(crate) fn entrance(&self) -> Vec<String> {
        let words = ["nsenter", "--preserve-credentials", "-U", "-n", "-t"].map(str::to_owned);
        words.into_iter().chain([self.holder.id().to_string()]).collect()
    }

    pub(crate) fn run(&self, command: &str) -> Result<(), String> {
        let entrance = self.entrance();
        let output = Command::new(&entrance[0]).args(&entrance[1..]).args(command.split(' ')).output();
        let output = output.map_err(|error| error.to_string())?;
        let said = || format!("{command}: {}", String::from_utf8_lossy(&output.stderr).trim());
        if output.status.success() { Ok(()) } else { Err(said()) }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The end of its input ends the process, and thereby the network.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// Creates two hosts, `10.57.0.1` and `10.57.0.2`, with a cable between them.
fn two_hosts() -> Result<[Network; 2], String> {
    let one = Network::new(&["unshare", "-Urn"])?;
    let entrance = one.entrance();
    let unshare = entrance.iter().map(String::as_str).chain(["unshare", "-n"]).collect::<Vec<_>>();
    let other = Network::new(&unshare)?;
    one.run(&format!("ip link add cable type veth peer name socket netns {}", other.holder.id()))?;
    for (host, end, number) in [(&one, "cable", "10.57.0.1/24"), (&other, "socket", "10.57.0.2/24")] {
        host.run(&format!("ip addr add {number} dev {end}"))?;
        host.run(&format!("ip link set {end} up"))?;
        host.run("ip link set lo up")?;
    }
    Ok([one, other])
}

/// Returns how many descriptors a process has: a server has one more for each client whose leaving it has not noticed.
fn descriptors(pid: u32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
}

#[test]
fn the_same_scenario_runs_across_two_hosts() {
    let _watchdog = watchdog("manager_hosts::two_hosts");
    let [one, other] = match two_hosts() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("netns", format!("cannot make network namespaces: {reason}")),
    };
    let place = Place::new();
    let at = |host: &Network, demo: Demo| demo.within(host.entrance().iter().map(String::as_str));
    let (server, address) = serve(at(&one, place.manager("--serve", "tcp:10.57.0.1:0")));
    let before = descriptors(server.pid());
    assert!(TcpListener::bind("10.57.0.1:0").is_err(), "a host of its own, and not this one");
    let run = |host, args: [&str; 4]| at(host, place.manager("--connect", &address).args(args));
    for host in [&other, &one] {
        let events = run(host, ["--workers", "3", "--format", "json"]).expect_exit(0).events();
        assert_eq!((fact(&events, "arrived"), fact(&events, "lost")), (3, 0));
        let events = run(host, ["--type", "all", "--speed", "max"]).args(["--format", "json"]).expect_exit(0).events();
        assert_eq!((fact(&events, "types"), fact(&events, "lost")), (14, 0));
    }
    // At once, and at one lock.
    let both = [&one, &other].map(|host| run(host, ["--type", "lock", "--speed", "20"]).start());
    for run in both {
        let (code, events, stderr) = run.finish();
        assert_eq!((code, fact(&events, "lost")), (Some(0), 0), "{stderr}");
    }
    let call = |call| {
        let printed = at(&other, place.calls(&address, &[call])).expect_exit(0).stdout;
        serde_json::from_str::<Value>(&printed).expect("JSON")
    };
    assert_eq!(call("dict.copy"), json!({"a": "a", "b": "b", "c": "c"}));
    assert_eq!(call("lock.count.get"), 24, "four runs of two workers with three turns each");
    until(|| descriptors(server.pid()) == before);
    send(server.pid(), Signal::SIGINT);
    let (code, events, _) = server.finish();
    assert_eq!((code, fact(&events, "connected")), (Some(130), 0));
}
