//! A manager's objects given to workers and put into each other, and their lifetimes.

use ipc_demo::manager::{Dict, List, Manager, ManagerError, Queue, Variant};
use ipc_demo::process::Fd;
use ipc_demo::{Error, Role, RoleResult};
use serde::{Deserialize, Serialize};

use crate::harness::{arrive, await_word, meeting_point, until as until_true, watchdog, worker};
use crate::manager::start_manager;

/// Takes over several shares, reports, and puts one into another when told to.
#[derive(Serialize, Deserialize)]
pub(crate) struct UsesShares {
    dict: Dict,
    list: List,
    manager: Manager,
    here: Fd,
    until: Fd,
}

impl Role for UsesShares {
    const NAME: &'static str = "test.uses-shares";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        await_word(&until);
        let (dict, list, manager) = (self.dict, self.list, self.manager);
        dict.insert("list", &list)?;
        list.push("pushed")?;
        let own = manager.queue(0)?;
        own.put("in a queue in a dict")?;
        dict.insert("queue", &own)?;
        dict.insert("clients", manager.status()?.clients)?;
        arrive(&here, b'd');
        await_word(&until);
        Ok(())
    }
}

/// Starts a manager that also listens at a path, reports, and waits to be killed.
#[derive(Serialize, Deserialize)]
pub(crate) struct StartsManager {
    here: Fd,
    until: Fd,
}

impl Role for StartsManager {
    const NAME: &'static str = "test.starts-manager";
    fn run(self) -> RoleResult {
        let (here, until) = (self.here, self.until);
        let manager = start_manager(|options| options);
        let pid = manager.process().map(ipc_demo::Process::pid).unwrap_or_default();
        pid.to_le_bytes().into_iter().for_each(|byte| arrive(&here, byte));
        await_word(&until);
        Ok(())
    }
}

#[test]
fn shares_arrive_and_outlive_who_gave_them() {
    let _watchdog = watchdog("manager_sharing::shares_arrive");
    let manager = start_manager(|options| options);
    let dict = manager.dict().expect("a dict");
    let list = manager.list().expect("a list");
    let ((mut here, arrives), (until, mut release)) = (meeting_point(), meeting_point());
    let mut process = worker(
        "uses shares",
        UsesShares {
            dict: dict.clone(),
            list: list.clone(),
            manager: manager.clone(),
            here: arrives,
            until: until.into(),
        },
    );
    // Dropped here before it is taken over there.
    drop(list);
    assert_eq!(manager.status().expect("a status").objects, 2);
    go_on(&mut release);
    assert_eq!(here.meet(), Some(b'd'), "{:?}", process.ended());
    assert_eq!(
        dict.get("clients").expect("a call"),
        Some(Variant::from(2)),
        "one connection for all shares of a process"
    );
    let list = List::try_from(&dict.get("list").expect("a call").expect("put there")).expect("a list");
    assert_eq!(list.copy().expect("a call"), [Variant::from("pushed")]);
    list.push("from here").expect("a call");
    drop(release);
    assert!(process.join().expect("it ends").is_success(), "{:?}", process.ended());
    // The worker is gone with all its proxies, once the manager has noticed: what it left in the dict lives on.
    until_true(|| manager.status().expect("a status").clients == 1);
    let queue = Queue::try_from(&dict.get("queue").expect("a call").expect("put there")).expect("a queue");
    assert_eq!(queue.get().expect("an item"), Variant::from("in a queue in a dict"));
    assert_eq!(
        dict.at(["list"]).at(1).get().expect("a call"),
        Some(Variant::from("from here")),
        "through the reference"
    );
    assert_eq!(manager.status().expect("a status").objects, 3);
    dict.clear().expect("a call");
    assert_eq!(manager.status().expect("a status").objects, 3, "still referred to from here");
    drop((list, queue));
    assert_eq!(manager.status().expect("a status").objects, 1);
    drop(dict);
    assert_eq!(manager.status().expect("a status").objects, 0);
}

fn go_on(release: &mut Fd) {
    arrive(release, b'g');
}

#[test]
fn share_of_a_worker_that_died_before_taking_it_is_given_back() {
    let _watchdog = watchdog("manager_sharing::share_of_a_dead_worker");
    let manager = start_manager(|options| options);
    let start = |dict: &Dict, list: &List| {
        let ((here, arrives), (until, release)) = (meeting_point(), meeting_point());
        let process = worker(
            "dies early",
            UsesShares {
                dict: dict.clone(),
                list: list.clone(),
                manager: manager.clone(),
                here: arrives,
                until: until.into(),
            },
        );
        (process, here, release)
    };
    let (dict, list) = (manager.dict().expect("a dict"), manager.list().expect("a list"));
    let (mut process, _here, _release) = start(&dict, &list);
    process.kill().expect("a signal");
    process.join().expect("it ends");
    drop((dict, list));
    assert_eq!(manager.status().expect("a status").objects, 2, "kept for the worker");
    let (dict, list) = (manager.dict().expect("a dict"), manager.list().expect("a list"));
    let (mut process, _here, _release) = start(&dict, &list);
    assert_eq!(manager.status().expect("a status").objects, 2, "the dead one's are gone with the next share");
    process.kill().expect("a signal");
    process.join().expect("it ends");
}

#[test]
fn reference_to_an_object_of_another_manager_is_refused() {
    let _watchdog = watchdog("manager_sharing::foreign_reference");
    let (one, other) = (start_manager(|options| options), start_manager(|options| options));
    let (dict, list) = (one.dict().expect("a dict"), other.list().expect("a list"));
    assert!(matches!(dict.insert("list", &list), Err(Error::Manager(ManagerError::ForeignReference))));
    assert!(matches!(
        one.make::<List>(vec![Variant::from(vec![Variant::from(&list)])]),
        Err(Error::Manager(ManagerError::ForeignReference))
    ));
    dict.insert("itself", &dict).expect("a call");
}

#[test]
fn killed_parent_takes_its_manager_along() {
    let _watchdog = watchdog("manager_sharing::killed_parent");
    let ((mut here, arrives), (until, _release)) = (meeting_point(), meeting_point());
    let mut parent = worker("parent", StartsManager { here: arrives, until: until.into() });
    let pid = u32::from_le_bytes(std::array::from_fn(|_| here.meet().expect("a number")));
    assert!(crate::harness::is_running(pid));
    parent.kill().expect("a signal");
    parent.join().expect("it ends");
    // Not a fixed pause: the watchdog ends an endless wait.
    while crate::harness::is_running(pid) {
        std::thread::yield_now();
    }
}

#[test]
fn manager_without_its_role_in_the_table_says_so() {
    let _watchdog = watchdog("manager_sharing::no_role");
    // A program that starts and knows no roles at all.
    let process = ipc_demo::Process::builder().program("/bin/true", &[]);
    let failed = Manager::builder().process(process).start();
    let said = failed.expect_err("it knows no roles").to_string();
    assert!(said.contains("/bin/true ended") && said.contains("never entered the role"), "{said}");
}
