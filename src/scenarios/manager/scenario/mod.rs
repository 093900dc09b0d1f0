//! The scenario: the runner creates objects, the workers change them, and the runner shows them again.
//!
//! | file | content |
//! |---|---|
//! | `driver` | the runner's side of each type's demonstration |
//! | `worker` | the workers' side |
//! | `fixtures` | the objects of each type's demonstration |
//! | `audit` | the reports, compared with the final content of the manager |

mod audit;
mod driver;
mod fixtures;
mod worker;

use std::collections::HashSet;

use super::args::ManagerArgs;
use super::connect::Key;
use crate::Process;
use crate::manager::{self, Address, Kind, ManagerServer};
use crate::scenarios::barrier::BarrierFact;
use crate::scenarios::condition::ConditionFact;
use crate::scenarios::delivery_audit::ItemFact;
use crate::scenarios::held::{LockFact, PermitFact};
use crate::scenarios::manager::facts::ManagerFact;
use crate::scenarios::prelude::*;
use audit::Audit;
use driver::{Driver, Shown};

/// The state of a manager run.
pub(crate) struct Manager {
    kinds: Vec<Kind>,
    workers: u32,
    key: Option<Key>,
    /// The address of the manager, if it is not to be started.
    elsewhere: Option<Address>,
    manager: Option<manager::Manager>,
    shown: Vec<Shown>,
}

impl Scenario for Manager {
    const NAME: &'static str = "manager";
    const ABOUT: &'static str = "\
One process holds objects that workers change through proxies

The runner makes a dict in a manager process and shows it, a worker writes into it, and the runner shows it again: it \
sees what the worker wrote. --type shows another type, or all of them.

With --serve a manager runs until Ctrl-C, for clients that have the key; with --connect the workers use that manager, \
from another shell or another machine. Its objects stay, and other clients see them. An address without a host (tcp::5000) is \
that of this machine alone; over TCP, all data is encrypted and authenticated.

--call is for scripts: it prints one JSON value, or an error, and then exits with 2 (nothing was done) or 3. A call is:
  list                     all names and the types of their objects
  status                   the state of the manager
  create TYPE NAME [ARG…]  makes an object with a name, or finds it
  delete NAME              removes the name
  NAME.METHOD [ARG…]       calls a method, as in Python without underscores
The error for an unknown method lists those of the type. A name with spaces is quoted: '\"my shop\".items'. An argument \
is a JSON value, a bare word (text), or @NAME (that object). What a call acquires is released when the call ends.

Examples:
  ipc-demo manager                               the reference program
  ipc-demo manager --workers 5                   five workers write
  ipc-demo manager --type all --speed 5          each type with two workers
  (umask 077; head -c 32 /dev/urandom | base64 > key)
  ipc-demo manager --serve unix:/tmp/shop --authkey-file key
  ipc-demo manager --connect unix:/tmp/shop --authkey-file key
  ipc-demo manager --connect unix:/tmp/shop --authkey-file key \\
    --call 'create dict shop' --call 'shop.set tickets 3' --call shop.items";
    type Args = ManagerArgs;
    const ROLES: &'static [RoleEntry] = &[RoleEntry::of::<worker::Worker>(), RoleEntry::of::<ManagerServer>()];
    const FACTS: &'static [Parse] = &[
        AnyFact::parse::<ManagerFact>,
        AnyFact::parse::<LockFact>,
        AnyFact::parse::<PermitFact>,
        AnyFact::parse::<ConditionFact>,
        AnyFact::parse::<BarrierFact>,
        AnyFact::parse::<ItemFact>,
    ];
    const CLAIM: [&'static str; 2] =
        ["no call is lost, and nobody proceeds too early", "没有调用丢失，也没有进程提前继续"];
    const NAMES: Names = &[
        ("manager", "服务进程"),
        ("rlock", "可重入锁"),
        ("semaphore", "信号量"),
        ("bounded semaphore", "有界信号量"),
        ("not empty", "非空"),
        ("item_put", "入队数据"),
        ("item_got", "出队数据"),
    ];
    type Observer = Audit;

    fn not_explored(args: &ManagerArgs) -> Option<&'static str> {
        let is_own = args.serve.is_none() && args.connect.is_none() && args.call.is_empty();
        (!is_own).then_some("only a manager that it starts itself has no other clients")
    }

    fn prepare(args: ManagerArgs) -> anyhow::Result<Self> {
        let key = args.authkey_file.as_deref().map(Key::read).transpose()?;
        let workers = args.workers.unwrap_or(if args.kinds.is_some() { 2 } else { 1 });
        let kinds = args.kinds.unwrap_or_else(|| vec![Kind::Dict]);
        let elsewhere = args.connect.as_ref().zip(key.as_ref());
        let manager = elsewhere.map(|(address, key)| key.connect(address, None)).transpose()?;
        Ok(Manager { kinds, workers, key, elsewhere: args.connect, manager, shown: Vec::new() })
    }

    fn workers(&self) -> Vec<String> {
        (1..=self.workers).map(|number| format!("worker-{number}")).collect()
    }

    fn moments(&self) -> Vec<&'static str> {
        let of_kind = |kind: &Kind| match kind {
            Kind::Lock | Kind::RLock => &["waiting", "holding", "lock_waiting", "lock_acquired", "lock_released"][..],
            Kind::Semaphore | Kind::BoundedSemaphore => {
                &["waiting", "holding", "permit_waiting", "permit_acquired", "permit_released"]
            }
            Kind::Condition => &["waiting", "working", "condition_waiting", "condition_met", "item_got"],
            Kind::Event => &["waiting", "event_awaited", "event_seen"],
            Kind::Barrier => &["waiting", "barrier_waiting", "barrier_passed", "barrier_broken"],
            Kind::Queue => &["working", "item_put", "item_got"],
            Kind::JoinableQueue => &["working", "item_put", "item_got", "task_done"],
            _ => &[],
        };
        let mut seen = HashSet::new();
        let all = std::iter::once(&"object_called").chain(self.kinds.iter().flat_map(of_kind));
        let mut moments: Vec<_> = all.copied().filter(|moment| seen.insert(*moment)).collect();
        // Activities come first.
        let activities = ["waiting", "holding", "working"];
        moments.sort_by_key(|moment| activities.iter().position(|activity| activity == moment).unwrap_or(3));
        moments
    }

    fn things(&self) -> Vec<Thing> {
        // Those of each turn are told when they are made.
        Vec::new()
    }

    fn run(&mut self, runner: &mut Runner<'_>) -> anyhow::Result<()> {
        if let Some(warning) = self.key.as_ref().and_then(Key::warning) {
            runner.emit(warning)?;
        }
        if let Some(address) = &self.elsewhere {
            runner.emit(ManagerFact::ManagerConnected { address: address.to_string() })?;
        } else {
            let process = Process::builder().inherit_ignored_signals();
            let manager = self.manager.insert(manager::Manager::builder().process(process).start()?);
            // In an exploration it comes after the workers.
            let manager_pid = match manager.process() {
                Some(process) if !runner.is_explored() => process.pid(),
                _ => self.workers + 1,
            };
            runner.emit(ManagerFact::ManagerStarted { manager_pid, addresses: Vec::new() })?;
        }
        let manager = self.manager.as_ref().expect("it is connected or started");
        let mut driver = Driver::new(manager, self.elsewhere.is_some(), runner, self.workers);
        for &kind in &self.kinds {
            if driver.is_cut() {
                break;
            }
            let shown = driver.begin(kind)?;
            let performed = driver.perform(&shown);
            self.shown.push(shown);
            performed?;
        }
        Ok(())
    }

    fn check(self, audit: &Audit, completion: &Completion) -> anyhow::Result<CheckResult> {
        let result = audit.check(&self.shown, self.kinds.len(), self.workers, self.elsewhere.is_some(), completion);
        // Released here, when the workers have ended: earlier, they would see it as a death.
        drop(self.shown);
        self.manager.map_or(Ok(()), manager::Manager::shutdown)?;
        Ok(result)
    }
}
