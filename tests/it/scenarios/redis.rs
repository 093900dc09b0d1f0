//! The queues over a Redis server, also from several machines at once, and `ipc-demo redis`.

use crate::report::schema::{Event, Fact, Verdict};
use nix::sys::signal::Signal;

use super::verdict;
use crate::cli::refused;
use crate::harness::{Demo, Running, fact, patient_watchdog, send, skip, watchdog};
use crate::manager::hosts::Network;
use crate::redis_server::RedisServer;

fn over(server: &RedisServer, scenario: &str) -> Demo {
    Demo::run(scenario).args(["--transport", "redis", "--speed", "max"]).env("IPC_DEMO_REDIS", &server.url())
}

fn tool(server: &RedisServer, args: &[&str]) -> Demo {
    Demo::run("redis").args(args.iter().copied()).env("IPC_DEMO_REDIS", &server.url())
}

/// Returns how many keys there are, besides the list of all queues.
fn keys(server: &RedisServer) -> usize {
    server.ask("KEYS ipcq:{*").matches("ipcq:").count()
}

#[test]
fn every_scenario_of_queues_runs_over_a_server_and_leaves_nothing() {
    let _watchdog = watchdog("scenarios::redis::every");
    let Some(server) = RedisServer::start(&[]) else { return };
    for (scenario, args, consumed) in [
        ("queue", &["--items", "100", "--capacity", "3"][..], 100),
        ("queue", &["--fill", "--capacity", "7"], 7),
        ("prodcons", &["--producers", "2", "--consumers", "3", "--items", "50", "--capacity", "2"], 100),
        ("joinable", &["--producers", "2", "--consumers", "3", "--items", "50"], 100),
        ("joinable", &["--consumers", "2", "--items", "20", "--kill", "consumer-1@working"], 40),
        ("prodcons", &["--producers", "2", "--items", "20", "--kill", "producer-1@item_put"], 21),
    ] {
        let events =
            over(&server, scenario).args(args.iter().copied()).args(["--format", "json"]).expect_exit(0).events();
        assert_eq!(verdict(&events), (Verdict::Held, true), "{scenario} {args:?}");
        assert_eq!((fact(&events, "consumed"), fact(&events, "lost")), (consumed, 0), "{scenario} {args:?}");
        assert_eq!(keys(&server), 0, "{scenario} {args:?}: {}", server.ask("KEYS *"));
    }
}

#[test]
fn runs_share_a_named_queue() {
    let _watchdog = watchdog("scenarios::redis::share");
    let Some(server) = RedisServer::start(&[]) else { return };
    let run = |args: &[&str]| over(&server, "joinable").args(["--queue", "orders"]).args(args.iter().copied());
    // They come first, and wait for the first producer.
    let mut consumers = [2, 1].map(|count| run(&["--producers", "0", "--consumers", &count.to_string()]).start());
    consumers.iter_mut().for_each(|run| _ = run.until(|event| matches!(event.fact, Fact::WorkerStarted { .. })));
    let events =
        run(&["--producers", "2", "--consumers", "0", "--items", "100", "--format", "json"]).expect_exit(0).events();
    assert_eq!(verdict(&events), (Verdict::Held, true));
    let counted = |events: &[Event], names: [&str; 4]| names.map(|name| fact(events, name));
    assert_eq!(counted(&events, ["produced", "consumed", "lost", "tasks_done"]), [200, 0, 0, 0]);
    let mut done = 0;
    for run in consumers {
        let (code, events, stderr) = run.finish();
        assert_eq!((code, verdict(&events)), (Some(0), (Verdict::Held, true)), "{stderr}");
        let [produced, consumed, lost, tasks_done] = counted(&events, ["produced", "consumed", "lost", "tasks_done"]);
        assert_eq!((produced, lost, consumed), (0, 0, tasks_done));
        done += tasks_done;
    }
    assert_eq!(done, 200);
    let listed = tool(&server, &["list"]).expect_exit(0).stdout;
    assert!(listed.starts_with("orders: joinable, 0 queued, 0 unfinished"), "{listed}");
    // Plain items stay until somebody gets them.
    let plain = |args: &[&str]| over(&server, "prodcons").args(["--queue", "plain"]).args(args.iter().copied());
    let events = plain(&["--consumers", "0", "--items", "5", "--format", "json"]).expect_exit(0).events();
    assert_eq!(counted(&events, ["produced", "consumed", "lost", "still_queued"]), [5, 0, 0, 5]);
    let shown = tool(&server, &["show", "plain", "--format", "json"]).expect_exit(0).stdout;
    assert!(shown.contains(r#""queued":5"#), "{shown}");
    // A consumer that comes after the last producer gets what is left, and ends.
    let events = plain(&["--producers", "0", "--format", "json"]).expect_exit(0).events();
    assert_eq!(verdict(&events), (Verdict::Held, true));
    assert_eq!(counted(&events, ["produced", "consumed", "lost", "still_queued"]), [0, 5, 0, 0]);
    tool(&server, &["delete", "plain"]).expect_exit(0);
    refused(tool(&server, &["show", "plain"]), &["no queue \"plain\""]);
}

#[test]
fn run_without_its_server_ends_with_a_summary() {
    let _watchdog = watchdog("scenarios::redis::gone");
    let Some(server) = RedisServer::start(&[]) else { return };
    for scenario in ["prodcons", "joinable"] {
        let mut run = over(&server, scenario).args(["--items", "100000", "--redis-timeout", "300ms"]).start();
        run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
        server.signal(Signal::SIGSTOP);
        let (code, events, stderr) = run.finish();
        assert_eq!((code, verdict(&events).0), (Some(3), Verdict::NotShown), "{stderr}");
        let reasons: Vec<_> = stderr.lines().collect();
        assert!(reasons.iter().all(|reason| reason.contains("no answer from")), "each says why: {stderr}");
        assert!(reasons.iter().enumerate().all(|(at, reason)| !reasons[..at].contains(reason)), "each once: {stderr}");
        server.signal(Signal::SIGCONT);
    }
}

#[test]
fn count_of_a_stopped_run_includes_what_its_workers_had_leased() {
    let _watchdog = watchdog("scenarios::redis::stopped");
    let Some(server) = RedisServer::start(&[]) else { return };
    let args = ["--queue", "orders", "--items", "4", "--transport", "redis"];
    let mut run = Demo::run("joinable").args(args).env("IPC_DEMO_REDIS", &server.url()).start();
    run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
    send(run.pid(), Signal::SIGINT);
    let (code, events, stderr) = run.finish();
    assert_eq!(code, Some(130), "{stderr}");
    let shown = tool(&server, &["show", "orders", "--format", "json"]).expect_exit(0).stdout;
    assert!(shown.contains(&format!("\"queued\":{},", fact(&events, "still_queued"))), "{shown} {events:?}");
}

#[test]
fn bad_options_and_servers_start_nothing() {
    let _watchdog = watchdog("scenarios::redis::bad_options");
    for (line, said) in [
        ("queue --transport redis://ann:secret@db:port", "redis://ann:***@db:port"),
        ("queue --transport rediss://:secret@db", "redis-tls"),
        ("queue --transport redis", "IPC_DEMO_REDIS"),
        ("queue --transport redis://:secret", "--transport redis://:***"),
        ("queue redis://:secret@db", "unexpected argument 'redis://:***@db'"),
        ("redis list redis://:secret@db", "redis://:***@db"),
        ("queue --redis-timeout redis://:secret@db", "redis://:***@db"),
        ("queue --redis-timeout=redis://:secret@db", "redis://:***@db"),
        ("queue --transport redis://:1secret", "--transport redis://:***"),
        ("queue --transport tin", "--transport takes shm, pipe, redis or redis://"),
        ("queue --transport ann:secret@db", "--transport takes shm, pipe, redis or redis://"),
        ("queue --transport redis://db --queue orders", "--queue is for prodcons and joinable"),
        ("queue --queue orders", "--queue is for prodcons and joinable"),
        ("prodcons --redis-timeout 1s", "--redis-timeout is for"),
        ("prodcons --producers 0", "name it with --queue"),
        ("joinable --transport redis://db --queue a --producers 0 --consumers 0", "nothing to do"),
        ("joinable --transport pipe", "no leases"),
        ("prodcons --transport pipe", "last producer"),
        ("explore joinable --transport redis://:secret@db", "cannot explore joinable: a queue on a server"),
        ("chaos redis --exhaustive", "a queue on a server"),
        ("redis list", "set the environment variable IPC_DEMO_REDIS to redis://"),
        ("redis list --transport shm", "--transport takes redis or redis://"),
        ("bench redis", "set the environment variable IPC_DEMO_REDIS to redis://"),
    ] {
        let mut words = line.split(' ');
        let demo = Demo::run(words.next().expect("a command")).args(words);
        let finished = demo.expect_exit(2);
        assert_eq!(finished.stdout, "", "{line}");
        assert!(finished.stderr.contains(said) && !finished.stderr.contains("secret"), "{line}: {}", finished.stderr);
    }
    let away = ["--transport", "redis://127.0.0.1:1", "--redis-timeout", "200ms"];
    let finished = Demo::run("queue").args(away).expect_exit(3);
    assert!(finished.stderr.contains("no answer from 127.0.0.1:1 for 0.2 s"), "{}", finished.stderr);
    let Some(server) = RedisServer::start(&["--requirepass", "secret"]) else { return };
    refused(over(&server, "queue"), &["it needs a password"]);
}

#[test]
fn password_is_shown_nowhere() {
    let _watchdog = watchdog("scenarios::redis::password");
    let Some(server) = RedisServer::start(&["--requirepass", "hush-hush", "--appendonly", "no"]) else { return };
    let url = format!("{}?pass=hush-hush", server.url());
    let dir = tempfile::tempdir().expect("a folder");
    let [timeline, trace] = ["timeline.svg", "trace.json"].map(|name| dir.path().join(name));
    for format in ["text", "json"] {
        let demo =
            Demo::run("joinable").args(["--items", "2", "--speed", "max", "--format", format, "--transport", &url]);
        let finished = demo.arg("--timeline").arg(&timeline).arg("--trace").arg(&trace).expect_exit(0);
        let drawn = [&timeline, &trace].map(|file| std::fs::read_to_string(file).expect("written"));
        for shown in [&finished.stdout, &finished.stderr, &drawn[0], &drawn[1]] {
            assert!(!shown.contains("hush"), "{shown}");
        }
        assert!(finished.stdout.contains("pass=***"), "{}", finished.stdout);
        assert_eq!(finished.stderr.matches("append-only").count(), 1, "said once: {}", finished.stderr);
    }
}

#[test]
fn queue_of_a_killed_run_is_removed_by_list() {
    let _watchdog = watchdog("scenarios::redis::killed_run");
    let Some(server) = RedisServer::start(&[]) else { return };
    let demo = Demo::run("joinable").args(["--items", "1000", "--transport", &server.url()]);
    let mut run = demo.start();
    run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
    send(run.pid(), Signal::SIGKILL);
    run.finish();
    assert!(keys(&server) > 0);
    crate::harness::until(|| {
        tool(&server, &["list"]).expect_exit(0);
        keys(&server) == 0
    });
}

/// How many items each producer makes, while one machine is killed and one is cut off.
const ITEMS: u32 = 1500;

/// Creates a host with a server and two others, each with a cable to it: `10.58.1.1` to `10.58.1.2`, and so on.
pub(crate) fn three_hosts() -> Result<(Network, [Network; 2]), String> {
    let server = Network::new(&["unshare", "-Urn"])?;
    let entrance = server.entrance();
    let unshare = entrance.iter().map(String::as_str).chain(["unshare", "-n"]).collect::<Vec<_>>();
    let others = [Network::new(&unshare)?, Network::new(&unshare)?];
    server.run("ip link set lo up")?;
    for (number, host) in (1..).zip(&others) {
        server.run(&format!("ip link add cable{number} type veth peer name socket netns {}", host.holder.id()))?;
        for (host, end, last) in [(&server, format!("cable{number}"), 1), (host, "socket".to_owned(), 2)] {
            host.run(&format!("ip addr add 10.58.{number}.{last}/24 dev {end}"))?;
            host.run(&format!("ip link set {end} up"))?;
        }
        host.run("ip link set lo up")?;
    }
    Ok((server, others))
}

#[test]
fn machines_share_the_tasks_and_survive_kills_and_a_cut_cable() {
    let _watchdog = patient_watchdog("scenarios::redis::machines");
    let (host, [one, other]) = match three_hosts() {
        Ok(hosts) => hosts,
        Err(reason) => return skip("netns", format!("cannot make network namespaces: {reason}")),
    };
    let options = ["--port", "6379", "--bind", "0.0.0.0", "--requirepass", "secret"];
    let Some(server) = RedisServer::start_within(&host.entrance(), &options) else { return };
    let at = |network: &Network, number: u32, args: &[&str]| {
        let url = format!("redis://:secret@10.58.{number}.1");
        let demo = Demo::run("joinable").args(["--transport", "redis", "--queue", "orders", "--speed", "1000"]);
        let demo = demo.args(args.iter().copied()).env("IPC_DEMO_REDIS", &url);
        // `within` starts a new command, so the variable is set again.
        demo.within(network.entrance().iter().map(String::as_str)).env("IPC_DEMO_REDIS", &url)
    };
    let working = |run: &mut Running| _ = run.until(|event| matches!(event.fact, Fact::ItemGot { .. }));
    let mut victim = at(&other, 2, &["--producers", "0", "--consumers", "2"]).start();
    let consumers = at(&one, 1, &["--producers", "0", "--consumers", "2"]).start();
    let producers = at(&one, 1, &["--producers", "2", "--consumers", "0", "--items", &ITEMS.to_string()]).start();
    working(&mut victim);
    // All processes of a machine die at once: nobody is left there to say so.
    for pid in crate::harness::children_of(victim.pid()) {
        send(pid, Signal::SIGKILL);
    }
    send(victim.pid(), Signal::SIGKILL);
    victim.finish();
    let mut replacement = at(&other, 2, &["--producers", "0", "--consumers", "2"]).start();
    working(&mut replacement);
    // The cable of that machine is cut until its members have been declared dead, and then healed.
    let cut_off = [vec![replacement.pid()], crate::harness::children_of(replacement.pid())].concat();
    host.run("ip link set cable2 down").expect("a cable");
    crate::harness::until(|| {
        let show = Demo::run("redis").args(["show", "orders", "--transport", &format!("{}?pass=secret", server.url())]);
        let shown = show.expect_exit(0).stdout;
        !cut_off.iter().any(|pid| shown.contains(&format!(":{pid}:")))
    });
    host.run("ip link set cable2 up").expect("a cable");
    // Each is read to its end: a run whose output is not read stands still. A task that was in the hands of the machine
    // without a cable is another's.
    let finished = [producers, consumers, replacement].map(|run| std::thread::spawn(|| run.finish()));
    let [made, done, replaced] = finished.map(|run| {
        let (code, events, stderr) = run.join().expect("no panic");
        assert_eq!((code, verdict(&events)), (Some(0), (Verdict::Held, true)), "{stderr}");
        events
    });
    assert_eq!((fact(&made, "produced"), fact(&made, "lost")), (2 * u64::from(ITEMS), 0));
    assert!(fact(&done, "tasks_done") > 0 && fact(&replaced, "tasks_done") > 0);
}
