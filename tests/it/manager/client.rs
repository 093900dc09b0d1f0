//! Clients of a manager that wait for each other, and that are killed; a manager that is killed.

use std::time::Duration;

use ipc_demo::manager::{
    Barrier, BoundedSemaphore, Condition, Dict, Event, JoinableQueue, Lock, Manager, ManagerError, Queue, RLock,
    Semaphore, Variant,
};
use ipc_demo::process::Fd;
use ipc_demo::{Error, Process, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{MeetingReader, arrive, await_word, meeting_point, watchdog, worker};
use crate::manager::start_manager;

/// What a worker does to the object with the deed's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Deed {
    Lock,
    RLock,
    Semaphore,
    BoundedSemaphore,
    Condition,
    Event,
    Barrier,
    Get,
    Put,
    Join,
    Lease,
}

const DEEDS: [Deed; 11] = [
    Deed::Lock,
    Deed::RLock,
    Deed::Semaphore,
    Deed::BoundedSemaphore,
    Deed::Condition,
    Deed::Event,
    Deed::Barrier,
    Deed::Get,
    Deed::Put,
    Deed::Join,
    Deed::Lease,
];

/// Does a deed that may block; reports its beginning and its result; then waits until it may end.
#[derive(Serialize, Deserialize)]
pub(crate) struct Does {
    manager: Manager,
    deed: Deed,
    here: Fd,
    until: Fd,
}

impl Role for Does {
    const NAME: &'static str = "test.does";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let manager = self.manager;
        arrive(&here, b'b');
        let say = |abandoned| arrive(&here, if abandoned { b'a' } else { b'd' });
        let hold = |abandoned| {
            say(abandoned);
            await_word(&until);
        };
        let name = format!("{:?}", self.deed);
        let outcome = match self.deed {
            Deed::Lock => manager.lookup::<Lock>(&name)?.acquire().map(|guard| hold(guard.abandoned())),
            Deed::RLock => manager.lookup::<RLock>(&name)?.acquire().map(|guard| hold(guard.abandoned())),
            Deed::Semaphore => manager.lookup::<Semaphore>(&name)?.acquire().map(|guard| hold(guard.abandoned())),
            Deed::BoundedSemaphore => {
                manager.lookup::<BoundedSemaphore>(&name)?.acquire().map(|guard| hold(guard.abandoned()))
            }
            Deed::Condition => {
                let condition = manager.lookup::<Condition>(&name)?;
                let mut guard = condition.acquire()?;
                guard.wait().map(|()| hold(guard.abandoned()))
            }
            Deed::Event => manager.lookup::<Event>(&name)?.wait().map(|()| hold(false)),
            Deed::Barrier => manager.lookup::<Barrier>(&name)?.wait().map(|_| hold(false)),
            Deed::Get => manager.lookup::<Queue>(&name)?.get().map(|_| hold(false)),
            Deed::Put => manager.lookup::<Queue>(&name)?.put("theirs").map(|()| hold(false)),
            Deed::Join => manager.lookup::<Queue>(&name)?.join().map(|()| hold(false)),
            Deed::Lease => manager.lookup::<JoinableQueue>(&name)?.get().map(|task| hold(task.deliveries() > 1)),
        };
        match outcome {
            Err(Error::Manager(ManagerError::Gone { .. })) => arrive(&here, b'g'),
            Err(error) if Barrier::is_broken_error(&error) => arrive(&here, b'x'),
            other => other?,
        }
        Ok(())
    }
}

/// A worker that does a deed, and the ends for synchronising with it.
struct Doer {
    process: Process,
    here: MeetingReader,
    release: Fd,
}

impl Doer {
    fn start(manager: &Manager, deed: Deed) -> Doer {
        let ((mut here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let process =
            worker(&format!("{deed:?}"), Does { manager: manager.clone(), deed, here: arrives, until: until.into() });
        assert_eq!(here.meet(), Some(b'b'));
        Doer { process, here, release }
    }

    fn kill(mut self) {
        self.process.kill().expect("a signal");
        self.process.join().expect("it ends");
    }

    fn finish(mut self) {
        drop(self.release);
        let ended = self.process.join().expect("it ends");
        assert!(ended.is_success(), "{ended:?}");
    }
}

/// Creates the object of a deed in a state in which the deed blocks.
fn prepare(manager: &Manager, deed: Deed) {
    let name = &format!("{deed:?}");
    match deed {
        Deed::Lock => drop(manager.make_named::<Lock>(name, vec![]).expect("made")),
        Deed::RLock => drop(manager.make_named::<RLock>(name, vec![]).expect("made")),
        Deed::Semaphore => drop(manager.make_named::<Semaphore>(name, vec![1.into()]).expect("made")),
        Deed::BoundedSemaphore => drop(manager.make_named::<BoundedSemaphore>(name, vec![1.into()]).expect("made")),
        Deed::Condition => drop(manager.make_named::<Condition>(name, vec![]).expect("made")),
        Deed::Event => drop(manager.make_named::<Event>(name, vec![]).expect("made")),
        Deed::Barrier => drop(manager.make_named::<Barrier>(name, vec![2.into()]).expect("made")),
        Deed::Get => drop(manager.make_named::<Queue>(name, vec![]).expect("made")),
        Deed::Put | Deed::Join => {
            let queue: Queue = manager.make_named(name, vec![1.into()]).expect("made");
            queue.put("ours").expect("room");
        }
        Deed::Lease => drop(manager.make_named::<JoinableQueue>(name, vec![]).expect("made")),
    }
}

/// Waits until `calls` calls wait in the manager. Not a fixed pause: the manager is asked repeatedly.
fn await_waiting(manager: &Manager, calls: u64) {
    while manager.status().expect("a status").waiting != calls {
        std::thread::yield_now();
    }
}

/// Lets the waiting deed finish, and returns what has to be kept until then.
fn let_go(manager: &Manager, deed: Deed) {
    let name = &format!("{deed:?}");
    match deed {
        Deed::Condition => {
            let condition: Condition = manager.lookup(name).expect("made");
            condition.acquire().expect("free").notify(1).expect("held");
        }
        Deed::Event => manager.lookup::<Event>(name).expect("made").set().expect("a call"),
        Deed::Barrier => drop(manager.lookup::<Barrier>(name).expect("made").wait().expect("two parties")),
        Deed::Get => manager.lookup::<Queue>(name).expect("made").put("ours").expect("room"),
        Deed::Put => drop(manager.lookup::<Queue>(name).expect("made").get().expect("an item")),
        Deed::Join => manager.lookup::<Queue>(name).expect("made").task_done().expect("a task"),
        Deed::Lease => manager.lookup::<JoinableQueue>(name).expect("made").put("ours").expect("room"),
        Deed::Lock | Deed::RLock | Deed::Semaphore | Deed::BoundedSemaphore => {}
    }
}

#[test]
fn smoke() {
    let _watchdog = watchdog("manager::smoke");
    let manager = start_manager(|options| options);
    let dict = manager.dict().expect("a dict");
    assert!(dict.is_empty().expect("a call"));
    dict.insert("a", "a").expect("a call");
    assert_eq!(dict.get("a").expect("a call"), Some(Variant::from("a")));
    assert_eq!(dict.get("b").expect("a call"), None);
    assert_eq!(dict.copy().expect("a call").len(), 1);
    let pid = manager.process().expect("its own").pid();
    manager.shutdown().expect("it ends");
    assert!(!crate::harness::is_running(pid));
    assert!(matches!(dict.get("a"), Err(Error::Manager(ManagerError::Gone { .. }))), "an error, not a hang");
    assert!(matches!(dict.insert("a", 1), Err(Error::Manager(ManagerError::Gone { .. }))));
}

#[test]
fn blocks_until_another_client_lets_go() {
    let _watchdog = watchdog("manager::blocks_until");
    let manager = start_manager(|options| options);
    for deed in DEEDS {
        prepare(&manager, deed);
        let name = format!("{deed:?}");
        let (lock, rlock, semaphore, bounded);
        let held = match deed {
            Deed::Lock => {
                lock = manager.lookup::<Lock>(&name).expect("made");
                Some(lock.acquire().expect("free"))
            }
            Deed::RLock => {
                rlock = manager.lookup::<RLock>(&name).expect("made");
                Some(rlock.acquire().expect("free"))
            }
            Deed::Semaphore => {
                semaphore = manager.lookup::<Semaphore>(&name).expect("made");
                Some(semaphore.acquire().expect("free"))
            }
            Deed::BoundedSemaphore => {
                bounded = manager.lookup::<BoundedSemaphore>(&name).expect("made");
                Some(bounded.acquire().expect("free"))
            }
            _ => None,
        };
        let mut doer = Doer::start(&manager, deed);
        await_waiting(&manager, 1);
        // A waiting call does not block others.
        assert_eq!(manager.dict().expect("a dict").len().expect("a call"), 0);
        drop(held);
        let_go(&manager, deed);
        assert_eq!(doer.here.meet(), Some(b'd'), "{deed:?}");
        doer.finish();
    }
}

#[test]
fn survives_killed_holder_of_everything() {
    let _watchdog = watchdog("manager::survives_killed_holder");
    let manager = start_manager(|options| options);
    for deed in [Deed::Lock, Deed::RLock, Deed::Semaphore, Deed::BoundedSemaphore, Deed::Lease] {
        prepare(&manager, deed);
        if deed == Deed::Lease {
            let_go(&manager, deed);
        }
        let mut holder = Doer::start(&manager, deed);
        assert_eq!(holder.here.meet(), Some(b'd'));
        let mut next = Doer::start(&manager, deed);
        await_waiting(&manager, 1);
        holder.kill();
        // Locks and tasks report a death; one permit is as good as another.
        let told = !matches!(deed, Deed::Semaphore | Deed::BoundedSemaphore);
        assert_eq!(next.here.meet(), Some(if told { b'a' } else { b'd' }), "{deed:?}");
        next.finish();
    }
}

#[test]
fn survives_killed_waiters_at_everything() {
    let _watchdog = watchdog("manager::survives_killed_waiters");
    let manager = start_manager(|options| options);
    for deed in [Deed::Condition, Deed::Event, Deed::Get, Deed::Put, Deed::Join, Deed::Lease] {
        prepare(&manager, deed);
        let killed = Doer::start(&manager, deed);
        await_waiting(&manager, 1);
        killed.kill();
        let mut next = Doer::start(&manager, deed);
        // The dead client has left the line, and the living one is in it.
        await_waiting(&manager, 1);
        let_go(&manager, deed);
        assert_eq!(next.here.meet(), Some(b'd'), "{deed:?}");
        next.finish();
    }
}

#[test]
fn killed_party_breaks_the_barrier() {
    let _watchdog = watchdog("manager::killed_party");
    let manager = start_manager(|options| options);
    let barrier: Barrier = manager.make_named("Barrier", vec![3.into()]).expect("made");
    let (killed, mut waiting) = (Doer::start(&manager, Deed::Barrier), Doer::start(&manager, Deed::Barrier));
    await_waiting(&manager, 2);
    killed.kill();
    assert_eq!(waiting.here.meet(), Some(b'x'), "it does not wait for the dead");
    assert!(barrier.is_broken().expect("a call"));
    waiting.finish();
}

#[test]
fn item_for_a_getter_that_was_killed_goes_to_another() {
    let _watchdog = watchdog("manager::item_for_a_killed_getter");
    let manager = start_manager(|options| options);
    let queue: Queue = manager.make_named("Get", vec![]).expect("made");
    for round in 0..4 {
        let killed = Doer::start(&manager, Deed::Get);
        await_waiting(&manager, 1);
        // Both are there when the manager goes on: the item first, or the death first.
        stand_still(&manager);
        if round % 2 == 0 {
            let put = queue.put_later(round).expect("sent");
            killed.kill();
            go_on(&manager);
            put.wait().expect("room");
        } else {
            killed.kill();
            let put = queue.put_later(round).expect("sent");
            go_on(&manager);
            put.wait().expect("room");
        }
        assert_eq!(queue.get().expect("an item"), Variant::from(round));
    }
}

/// Stops the manager's process.
fn stand_still(manager: &Manager) {
    let pid = nix::unistd::Pid::from_raw(manager.process().expect("its own").pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP).expect("a signal");
    // The signal is sent, but each thread of the process stops with a delay.
    let stands_still = || {
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).expect("it runs");
        threads.flatten().all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).expect("it runs");
            stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
        })
    };
    while !stands_still() {
        std::thread::yield_now();
    }
}

fn go_on(manager: &Manager) {
    let pid = nix::unistd::Pid::from_raw(manager.process().expect("its own").pid() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGCONT).expect("a signal");
}

#[test]
fn killed_manager_is_an_error_for_all_at_once() {
    let _watchdog = watchdog("manager::killed_manager");
    let manager = start_manager(|options| options);
    DEEDS.into_iter().for_each(|deed| prepare(&manager, deed));
    let (lock, rlock): (Lock, RLock) = (manager.lookup("Lock").expect("made"), manager.lookup("RLock").expect("made"));
    let semaphore: Semaphore = manager.lookup("Semaphore").expect("made");
    let bounded: BoundedSemaphore = manager.lookup("BoundedSemaphore").expect("made");
    let _held = [lock.acquire(), rlock.acquire(), semaphore.acquire(), bounded.acquire()];
    let mut doers: Vec<Doer> = DEEDS.into_iter().map(|deed| Doer::start(&manager, deed)).collect();
    let dict = manager.dict().expect("a dict");
    await_waiting(&manager, DEEDS.len() as u64);
    manager.process().expect("its own").kill().expect("a signal");
    for doer in &mut doers {
        assert_eq!(doer.here.meet(), Some(b'g'), "{}", doer.process.name());
    }
    assert!(matches!(dict.len(), Err(Error::Manager(ManagerError::Gone { .. }))));
    assert!(matches!(manager.dict(), Err(Error::Manager(ManagerError::Gone { .. }))));
    doers.into_iter().for_each(Doer::finish);
}

#[test]
fn manager_that_stands_still_is_an_error_in_time() {
    let _watchdog = watchdog("manager::stands_still");
    let manager = start_manager(|options| options.answer_time(Duration::from_millis(200)));
    let dict = manager.dict().expect("a dict");
    let event = manager.event().expect("made");
    stand_still(&manager);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| event.wait());
        let silent = dict.len().expect_err("it stands still");
        assert_eq!(silent.to_string(), "the manager does not answer: gave up on len of dict 1");
        // The connection is now unusable for all threads: what it held is released.
        assert!(matches!(waiter.join().expect("no panic"), Err(Error::Manager(ManagerError::Gone { .. }))));
    });
    let gone = dict.len().expect_err("given up before");
    assert_eq!(gone.to_string(), "the manager exited before it answered len of dict 1");
}

#[test]
fn times_out_at_everything() {
    let _watchdog = watchdog("manager::times_out");
    let manager = start_manager(|options| options);
    let short = Duration::from_millis(5);
    let lock = manager.lock().expect("made");
    let held = lock.acquire().expect("free");
    assert!(lock.try_acquire().expect("a call").is_none());
    assert!(lock.acquire_timeout(short).expect("a call").is_none());
    drop(held);
    assert!(!lock.locked().expect("a call"));
    let semaphore = manager.bounded_semaphore(1).expect("made");
    let _permit = semaphore.acquire().expect("free");
    assert!(semaphore.acquire_timeout(short).expect("a call").is_none());
    let condition = manager.condition_on(&lock).expect("made");
    assert!(!condition.acquire().expect("free").wait_timeout(short).expect("a call"));
    let mut guard = condition.acquire().expect("free");
    assert!(!guard.wait_for_timeout(short, || Ok(false)).expect("a call"));
    drop(guard);
    assert!(!manager.event().expect("made").wait_timeout(short).expect("a call"));
    let barrier = manager.barrier(2).expect("made");
    let broken = barrier.wait_timeout(short).expect_err("nobody else comes");
    assert!(Barrier::is_broken_error(&broken), "{broken}");
    let queue = manager.queue(1).expect("made");
    assert_eq!(queue.get_timeout(short).expect("a call"), None);
    assert!(queue.try_put(1).expect("a call"));
    assert!(!queue.try_put(2).expect("a call"));
    assert!(!queue.put_timeout(2, short).expect("a call"));
    assert!(!queue.join_timeout(short).expect("a call"));
    let tasks = manager.joinable_queue(0).expect("made");
    assert!(tasks.get_timeout(short).expect("a call").is_none());
    tasks.put("work").expect("room");
    let task = tasks.try_get().expect("a call").expect("a task");
    assert!(!tasks.join_timeout(short).expect("a call"));
    assert_eq!(task.task_done().expect("its own"), Variant::from("work"));
    tasks.join().expect("all is done");
}

#[test]
fn threads_of_one_client_wait_beside_each_other() {
    let _watchdog = watchdog("manager::threads");
    let manager = start_manager(|options| options);
    let (queue, done) = (manager.queue(0).expect("made"), manager.queue(0).expect("made"));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(number) = queue.get().expect("an item").as_int::<i64>() {
                    done.put(number * 2).expect("room");
                }
            });
        }
        for number in 0..400 {
            queue.put(number).expect("room");
        }
        let sum: i64 = (0..400).map(|_| done.get().expect("an item").as_int::<i64>().expect("a number")).sum();
        assert_eq!(sum, (0..400).sum::<i64>() * 2);
        // One waits in vain; the others go on.
        for _ in 0..8 {
            queue.put(Variant::Null).expect("room");
        }
    });
    assert_eq!(manager.status().expect("a status").clients, 1, "one connection for all threads");
}

#[test]
fn rlock_tells_threads_of_one_client_apart() {
    let _watchdog = watchdog("manager::rlock_threads");
    let manager = start_manager(|options| options);
    let lock = manager.rlock().expect("made");
    let (outer, inner) = (lock.acquire().expect("free"), lock.acquire().expect("again"));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| lock.try_acquire().expect("a call").is_none());
        assert!(other.join().expect("no panic"));
    });
    drop((outer, inner));
    std::thread::scope(|scope| {
        let other = scope.spawn(|| lock.try_acquire().expect("a call").is_some());
        assert!(other.join().expect("no panic"));
    });
}

#[test]
fn barrier_action_is_run_by_the_last_and_its_error_breaks_the_barrier() {
    let _watchdog = watchdog("manager::barrier_action");
    let manager = start_manager(|options| options);
    let (barrier, ran) = (manager.barrier_with_action(2).expect("made"), manager.value("i", 0).expect("made"));
    let action = || ran.add(1).map(drop);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait_with(action).expect("two parties"));
        let mut numbers = [barrier.wait_with(action).expect("two parties"), other.join().expect("no panic")];
        numbers.sort_unstable();
        assert_eq!(numbers, [0, 1]);
    });
    assert_eq!(ran.get().expect("a call"), Variant::from(1));
    let fails = || Err(Error::WouldDeadlock);
    std::thread::scope(|scope| {
        let other = scope.spawn(|| barrier.wait_with(fails));
        let outcomes = [barrier.wait_with(fails), other.join().expect("no panic")];
        assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::WouldDeadlock))).count(), 1);
        let broken = |outcome: &&_| matches!(outcome, Err(error) if Barrier::is_broken_error(error));
        assert_eq!(outcomes.iter().filter(broken).count(), 1);
    });
}

#[test]
fn changes_are_one_step_between_processes() {
    let _watchdog = watchdog("manager::changes");
    let manager = start_manager(|options| options);
    let dict: Dict = manager.make_named("shop", vec![]).expect("made");
    dict.update([("sold", Variant::from(0)), ("log", Variant::from(vec![]))]).expect("a call");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    dict.add("sold", 1).expect("a number");
                    dict.at(["log"]).push("sold").expect("a list");
                    dict.at(["altered"])
                        .alter(|found| Some(Variant::from(found.and_then(|n| n.as_int::<i64>()).unwrap_or(0) + 1)))
                        .expect("a call");
                }
            });
        }
    });
    assert_eq!(dict.get("sold").expect("a call"), Some(Variant::from(200)));
    assert_eq!(dict.get("altered").expect("a call"), Some(Variant::from(200)));
    assert_eq!(dict.at(["log"]).get().expect("a call").and_then(|log| log.as_list().map(<[_]>::len)), Some(200));
    let refused = dict.add("log", 1).expect_err("no number");
    assert_eq!(refused.to_string(), "add of dict 1 failed");
}

#[test]
fn many_calls_under_way_are_done_in_order() {
    let _watchdog = watchdog("manager::many_calls");
    let manager = start_manager(|options| options);
    let list = manager.list().expect("a list");
    // Far more than the sockets hold, in both directions.
    let long = "x".repeat(2_000);
    let sent: Vec<_> = (0..2_000).map(|number| list.push_later(format!("{number} {long}")).expect("sent")).collect();
    for later in sent {
        later.wait().expect("done");
    }
    let copies: Vec<_> = (0..2_000).map(|number| list.slice(Some(number), Some(number + 1), None)).collect();
    for (number, copy) in copies.into_iter().enumerate() {
        let copy = copy.expect("done");
        assert!(copy[0].as_str().is_some_and(|text| text.starts_with(&format!("{number} "))));
    }
    let dict = manager.dict().expect("a dict");
    let answers: Vec<_> = (0..2_000)
        .map(|_| {
            drop(dict.insert_later("x", long.as_str()).expect("sent"));
            dict.get_later("x").expect("sent")
        })
        .collect();
    for answer in answers {
        assert_eq!(answer.wait().expect("done").expect("there").as_str(), Some(&*long));
    }
}

#[test]
fn whole_numbers_beyond_64_bits_are_refused_clearly() {
    let _watchdog = watchdog("manager::beyond_64_bits");
    let manager = start_manager(|options| options);
    let value = manager.value("Q", u64::MAX).expect("made");
    let refused = value.add(1).expect_err("too large");
    let Error::Manager(ManagerError::Managed { source, .. }) = &refused else { panic!("{refused}") };
    assert_eq!(source.to_string(), "a whole number does not fit 64 bits");
    assert_eq!(value.get().expect("a call"), Variant::from(u64::MAX), "unchanged");
    assert!(Variant::try_from(i128::MAX).is_err());
}
